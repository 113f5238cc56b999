//! Named worlds: each scenario makes a plan from choices.

mod crowd;
mod pair;

use crate::choices::Choices;
use crate::plan::{Deed, DeedKind, Plan};
use std::collections::BTreeSet;

/// How large a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Hosts, where the scenario has no fixed number.
    pub nodes: u32,
    /// Virtual minutes of the busy part.
    pub minutes: u32,
}

/// A named way to make plans.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it is about, in a sentence.
    pub about: &'static str,
    /// Its size unless another is asked for.
    pub size: Size,
    /// Makes a plan.
    pub plan: fn(&mut Choices, Size) -> Plan,
}

/// All scenarios.
pub const ALL: [Scenario; 2] = [pair::SCENARIO, crowd::SCENARIO];

/// The scenario of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

/// Makes each client `each` friends, about, some of them among their neighbours by number: people have circles.
fn befriend_some(choices: &mut Choices, plan: &mut Plan, each: u32) {
    let clients = plan.clients();
    let count = clients.len() as u64;
    let mut known = BTreeSet::new();
    for (i, one) in (0_u64..).zip(&clients) {
        for _ in 0..each {
            let near = choices.chance(500_000, "circle");
            let step = choices.between(1, if near { 5 } else { count.saturating_sub(1).max(1) }, "friend");
            let other = clients[((i + step) % count) as usize];
            if *one != other && known.insert((*one.min(&other), *one.max(&other))) {
                plan.friends.push((*one, other));
            }
        }
    }
}

/// Lets friends say `messages` things to each other during warm-up (its last two thirds) and chaos.
fn chat(choices: &mut Choices, plan: &mut Plan, messages: u32) {
    if plan.friends.is_empty() {
        return;
    }
    let from = plan.phases.warm_up / 3;
    let until = plan.phases.warm_up + plan.phases.chaos;
    for _ in 0..messages {
        let (a, b) = *choices.pick(&plan.friends, "pair");
        let (host, to) = if choices.chance(500_000, "who") { (a, b) } else { (b, a) };
        let len = if choices.chance(100_000, "long") { choices.between(200, 1372, "length") } else { 40 };
        let at = choices.span(from, until, "when");
        plan.deeds.push(Deed { at, host, what: DeedKind::Say(to, len as u32) });
    }
}

//! Named worlds: each scenario makes a plan from choices.

mod adversaries;
mod bootstrap_loss;
mod churn;
mod crowd;
mod flash_crowd;
mod handshake;
mod lossy_mobile;
mod moving;
mod nat_matrix;
mod onion_privacy;
mod pair;
mod partition;
mod relayed;
mod soak;
mod suspend;
mod tiny_tables;

use crate::choices::Choices;
use crate::net::Place;
use crate::observe::HostId;
use crate::plan::{Deed, DeedKind, Plan};
use crate::rng::Ppm;
use crate::run::Outcome;
use crate::world::Clock;
use core::time::Duration;
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
    /// What its outcome says as a table, where it says that.
    pub table: Option<fn(&Plan, &Outcome) -> Table>,
}

/// A table of words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Headings, one for each column.
    pub head: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

impl Size {
    /// The busy part.
    fn busy(self) -> Duration {
        Duration::from_secs(u64::from(self.minutes) * 60)
    }
}

/// All scenarios.
pub const ALL: [Scenario; 23] = [
    pair::SCENARIO,
    handshake::SCENARIO,
    crowd::SCENARIO,
    churn::SCENARIO,
    nat_matrix::SCENARIO,
    partition::SCENARIO,
    flash_crowd::SCENARIO,
    suspend::SCENARIO,
    bootstrap_loss::SCENARIO,
    lossy_mobile::SCENARIO,
    adversaries::FLOOD,
    adversaries::SYBIL,
    adversaries::MUTATE,
    onion_privacy::SCENARIO,
    tiny_tables::SCENARIO,
    soak::SCENARIO,
    relayed::TCP_ONLY,
    relayed::PROXIED,
    relayed::UDP_BLOCKED,
    relayed::RELAY_DIES,
    moving::SLEEPER,
    moving::ROAMER,
    adversaries::RELAY,
];

/// In this time a small network has formed and its friends have met.
const SETTLE: Duration = Duration::from_secs(20);
/// Clients for each bootstrap node of a town.
const SHARE: u32 = 8;

/// The scenario of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

/// A plan for `nodes` hosts (two at least) at public addresses, a few of them bootstrap nodes.
fn town(choices: &mut Choices, nodes: u32) -> Plan {
    let mut plan = Plan::new(choices.word("seed"));
    plan.backbone = choices.span(Duration::from_millis(1), Duration::from_millis(150), "backbone");
    let servers = (nodes / SHARE).clamp(1, 20);
    for _ in 0..servers {
        plan.add_bootstrap();
    }
    for _ in servers..nodes.max(2) {
        plan.add_client(Place::PUBLIC);
    }
    plan
}

/// The same with at least two bootstrap nodes, which are relays too. So many clients of a million use no UDP.
fn relay_town(choices: &mut Choices, nodes: u32, without_udp: Ppm) -> Plan {
    let mut plan = Plan::new(choices.word("seed"));
    plan.backbone = choices.span(Duration::from_millis(1), Duration::from_millis(150), "backbone");
    let servers = (nodes / SHARE).clamp(2, 20);
    for _ in 0..servers {
        plan.add_relay();
    }
    for _ in servers..nodes.max(servers + 2) {
        let client = plan.add_client(Place::PUBLIC);
        plan.hosts[client as usize].udp = !choices.chance(without_udp, "without UDP");
    }
    plan
}

/// Any client.
fn client_host(choices: &mut Choices, plan: &Plan) -> HostId {
    *choices.pick(&plan.clients(), "host")
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

/// Gives half of the clients clocks that drift or are set wrong. Ask for it last: older records have no such choices.
fn set_clocks(choices: &mut Choices, plan: &mut Plan) {
    for client in plan.clients() {
        if choices.chance(500_000, "odd clock") {
            let drift = choices.between(0, 1_000, "drift") as i32 - 500;
            let wall = choices.between(0, 200_000, "wall") as i64 - 100_000;
            plan.hosts[client as usize].clock = Clock { drift, wall };
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

//! Laptops sleep, for seconds or for hours.

use super::{SETTLE, Scenario, Size, befriend_some, chat, client_host, town};
use crate::choices::Choices;
use crate::plan::{Fault, FaultKind, Plan};
use core::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "suspend",
    about: "Clients sleep for seconds, minutes or hours; their clocks stand still or go on, and some wake elsewhere.",
    size: Size { nodes: 8, minutes: 10 },
    plan,
    table: None,
};

fn plan(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = town(choices, size.nodes);
    befriend_some(choices, &mut plan, 2);
    plan.phases.warm_up = SETTLE;
    plan.phases.chaos = size.busy();
    for _ in 0..size.nodes {
        let host = client_host(choices, &plan);
        let begins = SETTLE + choices.span(Duration::ZERO, size.busy(), "when");
        let longest = *choices.pick(&[10, 120, 1200, 4 * 3600], "longest");
        let ends = begins + choices.span(Duration::from_millis(100), Duration::from_secs(longest), "nap");
        plan.phases.chaos = plan.phases.chaos.max(ends - SETTLE);
        let counted = choices.chance(500_000, "counted");
        plan.faults.push(Fault { begins, ends, what: FaultKind::Asleep(host, counted) });
        if choices.chance(300_000, "elsewhere") {
            let place = plan.hosts[host as usize].place.clone();
            let at = begins + (ends - begins) / 2;
            plan.faults.push(Fault { begins: at, ends, what: FaultKind::Moved(host, place) });
        }
    }
    chat(choices, &mut plan, size.nodes * size.minutes);
    plan
}

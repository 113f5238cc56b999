//! The bootstrap nodes are gone, for good.

use super::{SETTLE, Scenario, Size, befriend_some, chat, client_host, town};
use crate::choices::Choices;
use crate::plan::{Fault, FaultKind, Plan};
use crate::world::SavedState;
use core::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "bootstrap-loss",
    about: "All bootstrap nodes vanish; clients that restart find the network through what their profiles remember.",
    size: Size { nodes: 12, minutes: 5 },
    plan,
    table: None,
};

fn plan(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = town(choices, size.nodes);
    befriend_some(choices, &mut plan, 2);
    plan.phases.warm_up = SETTLE + Duration::from_secs(20);
    plan.phases.chaos = size.busy();
    let gone = plan.phases.warm_up + choices.span(Duration::ZERO, Duration::from_secs(10), "gone");
    for host in plan.bootstrap_nodes() {
        plan.hosts[host as usize].leaves = Some(gone);
    }
    for _ in 0..size.nodes / 2 {
        let host = client_host(choices, &plan);
        let begins = gone + choices.span(Duration::from_secs(5), size.busy(), "when");
        let ends = begins + choices.span(Duration::from_secs(1), Duration::from_secs(30), "away");
        let crash = choices.chance(500_000, "crash");
        let what = if crash { FaultKind::Down(host, SavedState::Current) } else { FaultKind::Stopped(host) };
        plan.faults.push(Fault { begins, ends, what });
    }
    chat(choices, &mut plan, size.nodes * size.minutes);
    plan
}

//! Everybody comes at once.

use super::{Scenario, Size, befriend_some, town};
use crate::choices::Choices;
use crate::plan::Plan;
use core::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "flash-crowd",
    about: "Hundreds of clients arrive within a few seconds at one bootstrap node.",
    size: Size { nodes: 150, minutes: 1 },
    plan,
    table: None,
};

fn plan(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = town(choices, size.nodes);
    let rush = choices.span(Duration::from_millis(100), Duration::from_secs(5), "rush");
    for host in plan.hosts.iter_mut().skip(1) {
        // The first node is there before everybody.
        host.arrives = Duration::from_millis(100) + choices.span(Duration::ZERO, rush, "arrival");
        host.through = vec![0];
    }
    befriend_some(choices, &mut plan, 2);
    plan.phases.warm_up = size.busy();
    plan
}

//! The network falls apart, and grows together again.

use super::{SETTLE, Scenario, Size, befriend_some, chat, town};
use crate::choices::Choices;
use crate::net::{Cut, Part};
use crate::plan::{Fault, FaultKind, Plan};
use core::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "partition",
    about: "Two or three regions lose each other, one way or both, for minutes.",
    size: Size { nodes: 24, minutes: 4 },
    plan,
    table: None,
};

fn plan(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = town(choices, size.nodes);
    let regions = choices.between(2, 3, "regions") as u16;
    for (i, host) in (0_u16..).zip(&mut plan.hosts) {
        host.place.region = i % regions;
    }
    befriend_some(choices, &mut plan, 3);
    plan.phases.warm_up = SETTLE;
    plan.phases.chaos = size.busy();
    let mut begins = SETTLE;
    while begins < SETTLE + size.busy() {
        let ends = begins + choices.span(Duration::from_secs(5), Duration::from_secs(150), "spell");
        let (from, to) =
            (choices.below(u64::from(regions), "from") as u16, choices.below(u64::from(regions), "to") as u16);
        let there = Cut { from: Part::Region(from), to: Part::Region(to) };
        let back = Cut { from: Part::Region(to), to: Part::Region(from) };
        let cuts = if choices.chance(300_000, "one way") { vec![there] } else { vec![there, back] };
        if from != to {
            plan.faults.push(Fault { begins, ends, what: FaultKind::Cuts(cuts) });
        }
        begins = ends + choices.span(Duration::from_secs(1), Duration::from_secs(40), "calm");
    }
    chat(choices, &mut plan, size.nodes * size.minutes);
    plan
}

//! Who is looked for, and from where, stays apart.

use super::{SETTLE, Scenario, Size, befriend_some, chat, town};
use crate::choices::Choices;
use crate::plan::{Family, Plan, swarm};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "onion-privacy",
    about: "Small worlds, short of relays, with dishonest hops and restarts: no relay may learn who asks.",
    size: Size { nodes: 7, minutes: 4 },
    plan,
    table: None,
};

const FAMILIES: [Family; 6] =
    [Family::Dishonest, Family::Restart, Family::Crash, Family::Loss, Family::Partition, Family::Roam];

fn plan(choices: &mut Choices, size: Size) -> Plan {
    let nodes = choices.between(4, u64::from(size.nodes.max(4)), "nodes") as u32;
    let mut plan = town(choices, nodes);
    befriend_some(choices, &mut plan, 2);
    plan.phases.warm_up = SETTLE;
    plan.phases.chaos = size.busy();
    let all: Vec<u32> = (0..plan.hosts.len() as u32).collect();
    swarm(choices, &mut plan, &FAMILIES, &all);
    chat(choices, &mut plan, nodes * size.minutes);
    plan
}

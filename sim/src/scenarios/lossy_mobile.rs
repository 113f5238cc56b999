//! Phones: bad lines, other addresses, naps.

use super::{SETTLE, Scenario, Size, befriend_some, chat, town};
use crate::choices::Choices;
use crate::net::LinkSpec;
use crate::plan::{Family, Plan, swarm};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "lossy-mobile",
    about: "Clients on mobile lines that lose, delay and reorder, who change their address and sleep.",
    size: Size { nodes: 12, minutes: 5 },
    plan,
    table: None,
};

const FAMILIES: [Family; 6] =
    [Family::Loss, Family::Delay, Family::Damage, Family::Narrow, Family::Roam, Family::Suspend];

fn plan(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = town(choices, size.nodes);
    let clients = plan.clients();
    for client in &clients {
        plan.hosts[*client as usize].place.access = LinkSpec::MOBILE;
    }
    befriend_some(choices, &mut plan, 2);
    plan.phases.warm_up = SETTLE;
    plan.phases.chaos = size.busy();
    swarm(choices, &mut plan, &FAMILIES, &clients);
    chat(choices, &mut plan, size.nodes * size.minutes * 2);
    plan
}

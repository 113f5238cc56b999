//! Microcontrollers: every table as small as can be, or a little larger.

use super::{SETTLE, Scenario, Size, befriend_some, chat, set_clocks, town};
use crate::choices::Choices;
use crate::oracles::IdleBudget;
use crate::plan::{Family, Plan, swarm};
use bluering_core::Limits;
use core::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "tiny-tables",
    about: "Clients with the tables of a microcontroller, each capacity drawn at random, through all faults.",
    size: Size { nodes: 10, minutes: 4 },
    plan,
    table: None,
};

fn plan(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = town(choices, size.nodes);
    for client in plan.clients() {
        plan.hosts[client as usize].limits = limits(choices);
    }
    // No more friends than the smallest table holds.
    befriend_some(choices, &mut plan, 1);
    plan.phases.warm_up = SETTLE;
    plan.phases.chaos = size.busy();
    plan.phases.quiet = Duration::from_secs(60);
    plan.demands.idle = Some(IdleBudget { own: 8, answers: 12 });
    let clients = plan.clients();
    swarm(choices, &mut plan, &Family::ALL, &clients);
    chat(choices, &mut plan, size.nodes * size.minutes * 2);
    set_clocks(choices, &mut plan);
    plan
}

fn limits(choices: &mut Choices) -> Limits {
    let mut between = |low, high, site| choices.between(low, high, site) as usize;
    Limits {
        friends: between(6, 10, "friends"),
        nodes: between(16, 64, "nodes"),
        announces: between(0, 8, "announces"),
        blocks: between(8, 16, "blocks"),
        keys: between(4, 32, "keys"),
        blocked: between(0, 4, "blocked"),
        ..Limits::MICRO
    }
}

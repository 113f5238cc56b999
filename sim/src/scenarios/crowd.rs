//! Many people with a social graph, who chat now and then; nothing goes wrong.

use super::{Scenario, Size, befriend_some, chat};
use crate::choices::Choices;
use crate::net::Place;
use crate::plan::Plan;
use core::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "crowd",
    about: "Many clients with a social graph who chat now and then, on good lines.",
    size: Size { nodes: 100, minutes: 10 },
    plan,
    table: None,
};

/// Clients for each bootstrap node.
const SHARE: u32 = 200;
/// Friendships for each client, about.
const FRIENDS: u32 = 2;

fn plan(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = Plan::new(choices.word("seed"));
    let servers = (size.nodes / SHARE).max(1);
    for _ in 0..servers {
        plan.add_bootstrap();
    }
    for _ in servers..size.nodes {
        plan.add_client(Place::PUBLIC);
    }
    befriend_some(choices, &mut plan, FRIENDS);
    let busy = Duration::from_secs(u64::from(size.minutes) * 60);
    plan.phases.warm_up = busy;
    chat(choices, &mut plan, size.nodes * size.minutes / 2);
    plan
}

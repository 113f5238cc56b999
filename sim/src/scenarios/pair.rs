//! Two friends and a bootstrap node, and whatever can go wrong between them.

use super::{Scenario, Size, chat, set_clocks};
use crate::choices::Choices;
use crate::net::Place;
use crate::oracles::IdleBudget;
use crate::plan::{Family, Plan, swarm};
use core::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "pair",
    about: "Two friends and a bootstrap node, who chat through a random subset of all faults.",
    size: Size { nodes: 3, minutes: 3 },
    plan,
    table: None,
};

fn plan(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = Plan::new(choices.word("seed"));
    plan.add_bootstrap();
    let pair = [plan.add_client(Place::PUBLIC), plan.add_client(Place::PUBLIC)];
    plan.friends.push((pair[0], pair[1]));
    plan.phases.warm_up = Duration::from_secs(20);
    plan.phases.chaos = Duration::from_secs(u64::from(size.minutes) * 60);
    plan.phases.quiet = Duration::from_secs(30);
    plan.demands.idle = Some(IdleBudget { own: 8, answers: 15 });
    swarm(choices, &mut plan, &Family::ALL, &pair);
    chat(choices, &mut plan, 40);
    set_clocks(choices, &mut plan);
    plan
}

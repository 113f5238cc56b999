//! People come and go all the time.

use super::{SETTLE, Scenario, Size, befriend_some, chat, client_host, town};
use crate::choices::Choices;
use crate::plan::{Fault, FaultKind, Plan};
use crate::world::SavedState;
use core::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "churn",
    about: "Clients stop, crash and start again all the time, with profiles current or stale.",
    size: Size { nodes: 20, minutes: 5 },
    plan,
    table: None,
};

fn plan(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = town(choices, size.nodes);
    befriend_some(choices, &mut plan, 2);
    plan.phases.warm_up = SETTLE;
    plan.phases.chaos = size.busy();
    for _ in 0..size.nodes * size.minutes / 2 {
        let host = client_host(choices, &plan);
        let begins = SETTLE + choices.span(Duration::ZERO, size.busy(), "when");
        let ends = begins + choices.span(Duration::from_millis(10), Duration::from_secs(60), "away");
        let what = match choices.below(4, "how") {
            0 | 1 => FaultKind::Stopped(host),
            2 => FaultKind::Down(host, SavedState::Current),
            _ => FaultKind::Down(host, SavedState::Stale),
        };
        plan.faults.push(Fault { begins, ends, what });
    }
    chat(choices, &mut plan, size.nodes * size.minutes);
    plan
}

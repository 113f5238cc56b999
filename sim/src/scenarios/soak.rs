//! A virtual week.

use super::{SETTLE, Scenario, Size, befriend_some, chat, client_host, town};
use crate::choices::Choices;
use crate::oracles::IdleBudget;
use crate::plan::{Fault, FaultKind, Plan};
use crate::world::SavedState;
use core::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "soak",
    about: "A few people for a virtual week: some chat, a nap every night, a crash now and then.",
    size: Size { nodes: 5, minutes: 7 * 24 * 60 },
    plan,
    table: None,
};

const DAY: u64 = 24 * 3600;

fn plan(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = town(choices, size.nodes);
    befriend_some(choices, &mut plan, 1);
    plan.phases.warm_up = SETTLE;
    plan.phases.chaos = size.busy();
    plan.phases.quiet = Duration::from_secs(600);
    plan.demands.idle = Some(IdleBudget { own: 4, answers: 8 });
    let days = (u64::from(size.minutes) * 60).div_ceil(DAY);
    for day in 0..days {
        let host = client_host(choices, &plan);
        let night = SETTLE + Duration::from_secs(day * DAY);
        let begins = night + choices.span(Duration::ZERO, Duration::from_secs(DAY / 2), "bedtime");
        let ends = begins + choices.span(Duration::from_secs(60), Duration::from_secs(10 * 3600), "nap");
        plan.faults.push(Fault { begins, ends, what: FaultKind::Asleep(host, choices.chance(500_000, "counted")) });
        let (other, at) =
            (client_host(choices, &plan), night + choices.span(Duration::ZERO, Duration::from_secs(DAY), "crash"));
        let what = FaultKind::Down(other, SavedState::Current);
        plan.faults.push(Fault { begins: at, ends: at + Duration::from_secs(5), what });
    }
    chat(choices, &mut plan, (size.minutes / 10).max(10));
    plan
}

//! The first packets of a session, each lost or not.

use super::{Scenario, Size};
use crate::choices::Choices;
use crate::net::Place;
use crate::plan::{Fault, FaultKind, Plan};
use core::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "handshake",
    about: "Two friends begin a new session; which of their first packets are lost is chosen one by one.",
    size: Size { nodes: 3, minutes: 1 },
    plan,
    table: None,
};

/// Datagrams of each friend whose fate is chosen: the search, cookies, handshakes and the first data.
const CHOSEN: usize = 4;

/// All choices of the plan are such fates (the seed aside), so that all its runs can be had, one after the other.
fn plan(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = Plan::new(choices.word("seed"));
    plan.shuffle_ties = false;
    plan.add_bootstrap();
    let pair = [plan.add_client(Place::PUBLIC), plan.add_client(Place::PUBLIC)];
    plan.friends.push((pair[0], pair[1]));
    plan.phases.warm_up = Duration::from_secs(5);
    plan.phases.chaos = size.busy() / 4;
    // Both begin anew: the first restarts, and what each sends from then on may be lost.
    let begins = plan.phases.warm_up;
    let restarted = begins + Duration::from_millis(100);
    plan.faults.push(Fault { begins, ends: restarted, what: FaultKind::Stopped(pair[0]) });
    for host in pair {
        let fates = (0..CHOSEN).map(|_| choices.below(2, "fate") == 1).collect();
        plan.faults.push(Fault { begins: restarted, ends: restarted, what: FaultKind::Fates(host, fates) });
    }
    plan
}

//! People with relays who sleep, or are somewhere else all of a sudden.

use super::{SETTLE, Scenario, Size, befriend_some, chat, client_host, relay_town};
use crate::choices::Choices;
use crate::net::{NatSpec, Place, Tcp};
use crate::plan::{Family, Fault, FaultKind, Plan, swarm};
use core::time::Duration;

pub(super) const SLEEPER: Scenario = Scenario {
    name: "sleeper",
    about: "Phones and laptops, with and without UDP, sleep for seconds or hours while NATs forget them.",
    size: Size { nodes: 6, minutes: 4 },
    plan: sleeper,
    table: None,
};

pub(super) const ROAMER: Scenario = Scenario {
    name: "roamer",
    about: "People move from network to network, awake or asleep: public, behind NATs, walls; streams end or hang.",
    size: Size { nodes: 6, minutes: 4 },
    plan: roamer,
    table: None,
};

fn sleeper(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = town(choices, size);
    for _ in 0..size.nodes {
        let host = client_host(choices, &plan);
        let begins = SETTLE + choices.span(Duration::ZERO, size.busy(), "when");
        let longest = *choices.pick(&[10, 60, 600, 2 * 3600], "longest");
        let ends = begins + choices.span(Duration::from_millis(100), Duration::from_secs(longest), "nap");
        plan.phases.chaos = plan.phases.chaos.max(ends - SETTLE);
        plan.faults.push(Fault { begins, ends, what: FaultKind::Asleep(host, choices.chance(500_000, "counted")) });
    }
    finish(choices, plan, size, &[Family::Streams, Family::NatReboot, Family::Loss])
}

fn roamer(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = town(choices, size);
    for _ in 0..size.nodes {
        let host = client_host(choices, &plan);
        let begins = SETTLE + choices.span(Duration::ZERO, size.busy(), "when");
        let ends = begins + choices.span(Duration::from_millis(100), Duration::from_secs(60), "nap");
        let place = place(choices, &mut plan);
        let unnoticed = choices.chance(500_000, "unnoticed");
        if choices.chance(300_000, "asleep") {
            plan.faults.push(Fault { begins, ends, what: FaultKind::Asleep(host, choices.chance(500_000, "counted")) });
        }
        let what = if unnoticed { FaultKind::MovedUnnoticed(host, place) } else { FaultKind::Moved(host, place) };
        plan.faults.push(Fault { begins: begins + (ends - begins) / 2, ends, what });
    }
    finish(choices, plan, size, &[Family::Streams, Family::Suspend])
}

/// People at any places. Relays reach all of them.
fn town(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = relay_town(choices, size.nodes, 300_000);
    for client in plan.clients() {
        let udp = plan.hosts[client as usize].udp;
        let place = place(choices, &mut plan);
        plan.hosts[client as usize].place = Place { udp: place.udp && udp, ..place };
    }
    befriend_some(choices, &mut plan, 2);
    plan.phases.warm_up = SETTLE;
    plan.phases.chaos = size.busy();
    plan
}

fn place(choices: &mut Choices, plan: &mut Plan) -> Place {
    let nats = [NatSpec::FULL_CONE, NatSpec::PORT_RESTRICTED, NatSpec::SYMMETRIC];
    match choices.below(4, "place") {
        0 => Place::PUBLIC,
        1 => Place { tcp: Tcp::Port(443), ..Place::TCP_ONLY },
        _ => Place::behind(plan.add_nat(choices.pick(&nats, "nat").clone())),
    }
}

fn finish(choices: &mut Choices, mut plan: Plan, size: Size, families: &[Family]) -> Plan {
    let clients = plan.clients();
    swarm(choices, &mut plan, families, &clients);
    chat(choices, &mut plan, size.nodes * size.minutes * 2);
    plan
}

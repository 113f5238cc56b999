//! People who need relays: they have no UDP, or lose it, or their relays die.

use super::{SETTLE, Scenario, Size, befriend_some, chat, relay_town};
use crate::actors::{ProxySpec, Speech};
use crate::choices::Choices;
use crate::net::{NatSpec, Place, Tcp};
use crate::plan::{Family, Fault, FaultKind, Plan, swarm};
use crate::world::{RELAY_PORTS, SavedState};
use core::time::Duration;

pub(super) const TCP_ONLY: Scenario = Scenario {
    name: "tcp-only",
    about: "Nobody uses UDP: relays are all that there is, through stalls, resets, hung streams and restarts.",
    size: Size { nodes: 6, minutes: 2 },
    plan: tcp_only,
    table: None,
};

pub(super) const PROXIED: Scenario = Scenario {
    name: "proxied",
    about: "People who go through a proxy, SOCKS5 or HTTP, with or without a password, by need or by choice.",
    size: Size { nodes: 6, minutes: 2 },
    plan: proxied,
    table: None,
};

pub(super) const UDP_BLOCKED: Scenario = Scenario {
    name: "udp-blocked",
    about: "UDP dies at some hosts while they chat, and comes back.",
    size: Size { nodes: 6, minutes: 3 },
    plan: udp_blocked,
    table: None,
};

pub(super) const RELAY_DIES: Scenario = Scenario {
    name: "relay-dies",
    about: "Relays crash and come back, one of them for good, under people some of whom have nothing else.",
    size: Size { nodes: 7, minutes: 3 },
    plan: relay_dies,
    table: None,
};

/// What streams suffer from, and who uses them.
const FAMILIES: [Family; 5] = [Family::Streams, Family::Restart, Family::Crash, Family::Suspend, Family::Partition];

fn tcp_only(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = relay_town(choices, size.nodes, 0);
    for client in plan.clients() {
        let place = walled(choices, &mut plan);
        let host = &mut plan.hosts[client as usize];
        (host.udp, host.place) = (false, place);
    }
    befriend_some(choices, &mut plan, 2);
    finish(choices, plan, size, &FAMILIES)
}

fn proxied(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = relay_town(choices, size.nodes.saturating_sub(2), 0);
    for speech in [Speech::Socks5, Speech::Http] {
        let guarded = choices.chance(500_000, "guarded");
        let credentials = guarded.then(|| (b"somebody".to_vec(), b"a password".to_vec()));
        let proxy = plan.add_proxy(ProxySpec { credentials, ..ProxySpec::new(speech) });
        // Nothing else gets out; or everything would, and the node must not use it.
        let walled = choices.chance(500_000, "walled");
        let tcp = if walled { Tcp::Host(proxy) } else { Tcp::Open };
        plan.add_proxied_client(Place { tcp, udp: !walled, ..Place::PUBLIC }, proxy);
    }
    befriend_some(choices, &mut plan, 2);
    finish(choices, plan, size, &FAMILIES)
}

/// Where UDP does not get through, and sometimes not much else.
fn walled(choices: &mut Choices, plan: &mut Plan) -> Place {
    match choices.below(3, "wall") {
        0 => Place::TCP_ONLY,
        1 => Place { tcp: Tcp::Port(*choices.pick(&RELAY_PORTS, "port")), ..Place::TCP_ONLY },
        _ => Place { udp: false, ..Place::behind(plan.add_nat(NatSpec::SYMMETRIC)) },
    }
}

fn udp_blocked(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = relay_town(choices, size.nodes, 200_000);
    befriend_some(choices, &mut plan, 2);
    let clients = plan.clients();
    for _ in 0..size.nodes {
        let begins = SETTLE + choices.span(Duration::ZERO, size.busy(), "when");
        let ends = begins + choices.span(Duration::from_secs(3), Duration::from_secs(90), "spell");
        let what = FaultKind::NoUdp(vec![*choices.pick(&clients, "host")]);
        plan.faults.push(Fault { begins, ends, what });
    }
    finish(choices, plan, size, &[Family::Streams, Family::Loss, Family::NoUdp])
}

fn relay_dies(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = relay_town(choices, size.nodes, 500_000);
    befriend_some(choices, &mut plan, 2);
    let relays = plan.relays();
    for _ in 0..choices.between(1, 4, "deaths") {
        let begins = SETTLE + choices.span(Duration::ZERO, size.busy(), "when");
        let ends = begins + choices.span(Duration::from_millis(100), Duration::from_secs(60), "away");
        let what = FaultKind::Down(*choices.pick(&relays, "relay"), SavedState::Current);
        plan.faults.push(Fault { begins, ends, what });
    }
    if choices.chance(500_000, "for good") {
        let leaves = SETTLE + choices.span(Duration::ZERO, size.busy(), "when");
        plan.hosts[*choices.pick(&relays, "relay") as usize].leaves = Some(leaves);
    }
    finish(choices, plan, size, &[Family::Streams, Family::NoUdp])
}

fn finish(choices: &mut Choices, mut plan: Plan, size: Size, families: &[Family]) -> Plan {
    plan.phases.warm_up = SETTLE;
    plan.phases.chaos = size.busy();
    let clients = plan.clients();
    swarm(choices, &mut plan, families, &clients);
    chat(choices, &mut plan, size.nodes * size.minutes * 2);
    plan
}

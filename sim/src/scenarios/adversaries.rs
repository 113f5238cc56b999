//! Worlds with somebody in them who means ill.

use super::{SETTLE, Scenario, Size, befriend_some, chat, relay_town, town};
use crate::adversaries::{AbuseKind, FalseRelay, RelayAbuse, RelayLie};
use crate::adversaries::{Announces, Flood, FloodKind, Liar, Mutate, Replay, Strategy, Sybil};
use crate::choices::Choices;
use crate::plan::{Family, Plan, swarm};
use core::time::Duration;

pub(super) const FLOOD: Scenario = Scenario {
    name: "adversary-flood",
    about: "Floods of cookie, nodes and announce requests, handshakes, onion layers and garbage, at a random rate.",
    size: Size { nodes: 8, minutes: 2 },
    plan: flood,
    table: None,
};

pub(super) const SYBIL: Scenario = Scenario {
    name: "adversary-sybil",
    about: "Many false nodes gather around somebody's key, and nodes that name false nodes.",
    size: Size { nodes: 12, minutes: 2 },
    plan: sybil,
    table: None,
};

pub(super) const MUTATE: Scenario = Scenario {
    name: "adversary-mutate",
    about: "Everything that is overheard comes again, whole or with one thing changed.",
    size: Size { nodes: 6, minutes: 2 },
    plan: mutate,
    table: None,
};

pub(super) const RELAY: Scenario = Scenario {
    name: "adversary-relay",
    about: "Relays that lie, tamper, delay or drop, and clients that misuse honest ones, among people who need them.",
    size: Size { nodes: 7, minutes: 2 },
    plan: relay,
    table: None,
};

/// Weather that may come on top.
const WEATHER: [Family; 4] = [Family::Loss, Family::Delay, Family::Damage, Family::Restart];

fn flood(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = honest(choices, size);
    let count = choices.between(1, 3, "floods");
    for _ in 0..count {
        let kind = *choices.pick(&FloodKind::ALL, "kind");
        let per_second = *choices.pick(&[20, 100, 400], "rate");
        let spoofed = *choices.pick(&[0, 500_000, 1_000_000], "spoofed");
        let finds = choices.chance(500_000, "finds");
        plan.add_adversary(Strategy::Flood(Flood { kind, per_second, spoofed, finds, claims: None }), None);
    }
    finish(choices, plan, size)
}

fn sybil(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = honest(choices, size);
    let after = *choices.pick(&plan.clients(), "victim");
    // Two names each: false nodes stay the minority, or else no network of this kind could help its people.
    let hosts = choices.between(1, u64::from(size.nodes / 4).max(1), "hosts") as u32;
    let announces = [Announces::Forget, Announces::Deny, Announces::Ignore, Announces::Misdirect];
    let announces = *choices.pick(&announces, "announces");
    let bits = choices.between(0, 8, "bits") as u32;
    let forwards = *choices.pick(&[0, 500_000, 1_000_000], "forwards");
    let seed = choices.word("sybil seed");
    for part in 0..hosts {
        let sybil =
            Sybil { seed, identities: hosts * 2, part: (part, hosts), bits, announces, forwards, ..Sybil::default() };
        plan.add_adversary(Strategy::Sybil(sybil), Some(after));
    }
    if choices.chance(500_000, "liar") {
        plan.add_adversary(Strategy::Liar(Liar::default()), None);
    }
    finish(choices, plan, size)
}

fn mutate(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = honest(choices, size);
    if choices.chance(700_000, "mutate") {
        plan.add_adversary(Strategy::Mutate(Mutate::default()), None);
    }
    if choices.chance(700_000, "replay") {
        let at_once = choices.between(0, 500_000, "at once") as u32;
        plan.add_adversary(Strategy::Replay(Replay { at_once, ..Replay::default() }), None);
    }
    finish(choices, plan, size)
}

fn relay(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = relay_town(choices, size.nodes, 500_000);
    befriend_some(choices, &mut plan, 2);
    let clients = plan.clients();
    for _ in 0..choices.between(0, 2, "false relays") {
        let false_relay = FalseRelay { seed: choices.word("relay seed"), lie: lie(choices) };
        let id = plan.add_adversary(Strategy::FalseRelay(false_relay), None);
        for client in &clients {
            plan.hosts[*client as usize].relays.push(id);
        }
    }
    for _ in 0..choices.between(0, 2, "abusers") {
        let kind = *choices.pick(&AbuseKind::ALL, "kind");
        let (conns, per_second) = (*choices.pick(&[1, 10, 100], "conns"), *choices.pick(&[5, 20], "rate"));
        let victim = Some(*choices.pick(&clients, "victim"));
        plan.add_adversary(Strategy::RelayAbuse(RelayAbuse { kind, conns, per_second, victim: None }), victim);
    }
    finish(choices, plan, size)
}

fn lie(choices: &mut Choices) -> RelayLie {
    let ppm = choices.between(1, 1_000_000, "how often") as u32;
    let by = choices.span(Duration::from_millis(100), Duration::from_secs(5), "hold");
    let lies = [
        RelayLie::WrongIds,
        RelayLie::FalsePresence,
        RelayLie::Tampers(ppm),
        RelayLie::Delays(by),
        RelayLie::Drops(ppm),
        RelayLie::Silent,
        RelayLie::Garbage,
    ];
    *choices.pick(&lies, "lie")
}

fn honest(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = town(choices, size.nodes);
    befriend_some(choices, &mut plan, 2);
    plan
}

fn finish(choices: &mut Choices, mut plan: Plan, size: Size) -> Plan {
    plan.phases.warm_up = SETTLE * 2;
    plan.phases.chaos = size.busy();
    let clients = plan.clients();
    if choices.chance(400_000, "weather") {
        swarm(choices, &mut plan, &WEATHER, &clients);
    }
    chat(choices, &mut plan, size.nodes * size.minutes * 2);
    plan
}

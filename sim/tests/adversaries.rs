//! Each adversary in a small network: it acts, and friends meet and chat all the same.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may panic, and picks what it looks for"
)]

use bluering_core::time::Instant;
use bluering_core::{Connection, Disposition, DropReason, Endpoint, Event, Limits};
use bluering_sim::adversaries::{Announces, Flood, FloodKind, Liar, Lie, Mutate, Replay, Strategy, Sybil};
use bluering_sim::crypto::Strength;
use bluering_sim::net::Place;
use bluering_sim::observe::{Observation, Tap};
use bluering_sim::{HostId, World};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

const SECOND: Duration = Duration::from_secs(1);
/// The most bytes that answer one byte at once: a nodes response to a nodes request.
const AMPLIFICATION: (u64, u64) = (26, 10);

/// What became of the adversaries' datagrams, and what applications heard.
#[derive(Debug, Default)]
struct Watch {
    adversaries: BTreeSet<HostId>,
    /// Datagrams that the adversaries sent.
    sent: u64,
    /// Of these that reached a node: consumed, answered, dropped.
    consumed: u64,
    consumed_kinds: BTreeMap<u8, u64>,
    replied: u64,
    dropped: BTreeMap<String, u64>,
    bytes: (u64, u64),
    /// The most bytes of an answer for ten bytes of its cause.
    worst: u64,
    /// What was said and what was heard, by sender and receiver.
    said: BTreeMap<(HostId, HostId), Vec<Vec<u8>>>,
    heard: BTreeMap<(HostId, HostId), Vec<Vec<u8>>>,
    offline: u32,
    /// Datagrams of nodes to this address, and their requests to adversaries.
    victim: Option<Endpoint>,
    at_victim: u64,
    to_adversaries: BTreeMap<u8, u64>,
    addresses: BTreeSet<String>,
}

impl Watch {
    fn arrived(&self) -> u64 {
        self.consumed + self.replied + self.dropped.values().sum::<u64>()
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.get(&format!("{reason:?}")).copied().unwrap_or(0)
    }

    fn handled(&mut self, disposition: Disposition, bytes: &[u8]) {
        let len = bytes.len() as u64;
        self.bytes.0 += len;
        match disposition {
            Disposition::Consumed => {
                self.consumed += 1;
                *self.consumed_kinds.entry(bytes[0]).or_default() += 1;
            }
            Disposition::Reply { len: answer, .. } => {
                self.replied += 1;
                self.bytes.1 += answer as u64;
                self.worst = self.worst.max(answer as u64 * 10 / len);
            }
            Disposition::Dropped(reason) => *self.dropped.entry(format!("{reason:?}")).or_default() += 1,
        }
    }
}

impl Tap for Watch {
    fn observe(&mut self, _: Instant, seen: &Observation<'_>) {
        match seen {
            Observation::Sent { packet, .. } if self.adversaries.contains(&packet.from) => self.sent += 1,
            Observation::Sent { packet, .. } => {
                self.at_victim += u64::from(Some(packet.to) == self.victim);
                if self.addresses.contains(&packet.to.to_string()) {
                    *self.to_adversaries.entry(packet.bytes[0]).or_default() += 1;
                }
            }
            Observation::Handled { packet, disposition, .. } if self.adversaries.contains(&packet.from) => {
                self.handled(*disposition, packet.bytes);
            }
            Observation::Said { host, to, message: Some(_), text } => {
                self.said.entry((*host, *to)).or_default().push(text.to_vec());
            }
            Observation::Heard { host, peer: Some(peer), event: Event::Message { text, .. } } => {
                self.heard.entry((*peer, *host)).or_default().push(text.to_vec());
            }
            Observation::Heard { event: Event::FriendConnection { connection: Connection::None, .. }, .. } => {
                self.offline += 1;
            }
            _ => {}
        }
    }
}

/// A bootstrap node, some clients, every two of them friends, and adversaries.
struct Scene {
    world: World<Watch>,
    clients: Vec<HostId>,
}

const HUB: HostId = 0;

impl Scene {
    fn new(seed: u64, strength: Strength, clients: u32) -> Self {
        let mut world = World::watched(seed, strength, Watch::default());
        world.add(&Limits::SERVER);
        let clients = (0..clients).map(|_| world.add(&Limits::DESKTOP)).collect();
        Self { world, clients }
    }

    /// An adversary who knows the bootstrap node.
    fn adversary(&mut self, strategy: &Strategy) {
        let targets = [self.world.info(HUB)];
        let actor = strategy.actor(&targets, self.world.suite());
        let id = self.world.add_actor(&Place::PUBLIC, actor);
        self.world.tap.adversaries.insert(id);
        let at = self.world.net().address(id);
        self.world.tap.addresses.insert(at.to_string());
    }

    /// All enter the network and make friends; how long until the last one is online.
    fn meet(&mut self, limit: Duration) -> Duration {
        self.world.run_for(5 * SECOND);
        for id in &self.clients {
            self.world.bootstrap(*id, HUB);
        }
        for pair in self.clients.chunks_exact(2) {
            self.world.befriend(pair[0], pair[1]);
        }
        let start = self.world.now();
        let all = |w: &World<Watch>| self.clients.iter().all(|id| is_online(w, *id));
        assert!(self.world.run_until(limit, all), "not all are online after {limit:?}");
        self.world.now().since(start)
    }

    /// Friends talk for so many seconds; everything arrives once and in order, and nobody goes offline.
    fn chat(&mut self, seconds: u32) {
        self.world.run_for(2 * SECOND);
        for round in 0..2 * seconds {
            for pair in self.clients.clone().chunks_exact(2) {
                for (from, to) in [(pair[0], pair[1]), (pair[1], pair[0])] {
                    let text = format!("{from} to {to}: {round}");
                    self.world.say(from, to, text.as_bytes()).unwrap();
                }
            }
            self.world.run_for(SECOND / 2);
        }
        self.world.run_for(2 * SECOND);
        let watch = &self.world.tap;
        assert_eq!(watch.said, watch.heard);
        assert_eq!(watch.offline, 0);
        assert_eq!(watch.said.len(), self.clients.len());
    }

    /// What is true of every adversary: it keeps its rate, and answers to it are bounded.
    fn assert_bounded(&self, per_second: u64) {
        let watch = &self.world.tap;
        let seconds = self.world.now().since(Instant::from_secs(1)).as_secs() + 1;
        let most = per_second * seconds * watch.adversaries.len() as u64;
        assert!(watch.sent <= most + per_second, "{} datagrams in {seconds} s", watch.sent);
        assert!(watch.worst <= AMPLIFICATION.0, "{} times the bytes", watch.worst as f64 / AMPLIFICATION.1 as f64);
    }
}

fn is_online(world: &World<Watch>, id: HostId) -> bool {
    let node = world.node(id);
    node.friends().any(|friend| node.friend(friend).is_some_and(|f| f.connection == Connection::Udp))
}

#[test]
fn replays_neither_repeat_nor_end_anything() {
    for plan in [
        Replay { per_second: 100, ..Replay::default() },
        Replay { per_second: 100, at_once: 1_000_000, spoofed: 1_000_000, astray: 0, ..Replay::default() },
        Replay { per_second: 100, at_once: 0, spoofed: 0, memory: 2000, ..Replay::default() },
    ] {
        let mut scene = Scene::new(1, Strength::Real, 6);
        scene.adversary(&Strategy::Replay(plan.clone()));
        let took = scene.meet(20 * SECOND);
        scene.chat(20);
        eprintln!("{plan:?} {took:?} {:?}", scene.world.tap);
        scene.assert_bounded(100);
    }
}

#[test]
fn what_was_changed_on_its_way_is_dropped() {
    let mut scene = Scene::new(2, Strength::Real, 6);
    scene.adversary(&Strategy::Mutate(Mutate { per_second: 100, sample: 1_000_000, ..Mutate::default() }));
    let took = scene.meet(20 * SECOND);
    scene.chat(20);
    eprintln!("{took:?} {:?}", scene.world.tap);
    scene.assert_bounded(100);
}

#[test]
fn floods_keep_nobody_from_meeting_and_talking() {
    for (seed, kind) in (3..).zip(FloodKind::ALL) {
        let mut scene = Scene::new(seed, Strength::Real, 4);
        let claims = Some(scene.world.node(1).tox_id().public_key.0);
        let plan = Flood { kind, per_second: 200, claims, ..Flood::default() };
        scene.adversary(&Strategy::Flood(plan));
        let took = scene.meet(20 * SECOND);
        scene.chat(5);
        eprintln!("{kind:?} {took:?} {:?}", scene.world.tap);
        scene.assert_bounded(200);
    }
}

#[test]
fn a_few_sybils_hide_nobody() {
    for announces in [Announces::Deny, Announces::Forget, Announces::Misdirect, Announces::Ignore] {
        let mut scene = Scene::new(20, Strength::Toy, 12);
        let target = scene.world.node(1).tox_id().public_key.0;
        for part in 0..3 {
            let plan =
                Sybil { seed: 9, identities: 12, part: (part, 3), target, bits: 20, announces, ..Sybil::default() };
            scene.adversary(&Strategy::Sybil(plan));
        }
        let took = scene.meet(60 * SECOND);
        scene.chat(20);
        eprintln!("{announces:?} {took:?} {:?}", scene.world.tap);
        scene.assert_bounded(200);
    }
}

#[test]
fn liars_mislead_nobody_for_long() {
    let victim = Endpoint::v4([198, 51, 100, 7], 53);
    for lies in [vec![Lie::Victim(victim.into())], vec![Lie::Unroutable], vec![Lie::WrongKey], vec![Lie::WrongId]] {
        let mut scene = Scene::new(30, Strength::Real, 8);
        scene.world.tap.victim = Some(victim);
        for _ in 0..3 {
            scene.adversary(&Strategy::Liar(Liar { lies: lies.clone(), answers: 3, per_second: 100 }));
        }
        let took = scene.meet(20 * SECOND);
        scene.chat(20);
        eprintln!("{lies:?} {took:?} {:?}", scene.world.tap);
        scene.assert_bounded(100);
    }
}

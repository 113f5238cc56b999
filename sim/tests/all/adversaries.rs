//! Each adversary in a small network: it acts, and friends meet and chat all the same.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may panic, and picks what it looks for"
)]

use bluering_core::time::Instant;
use bluering_core::wire::kind;
use bluering_core::{Connection, Disposition, DropReason, Endpoint, Event, Limits};
use bluering_sim::adversaries::{Announces, Flood, FloodKind, Liar, Lie, Mutate, Replay, Strategy, Sybil};
use bluering_sim::crypto::Strength;
use bluering_sim::net::Place;
use bluering_sim::observe::{Observation, Tap};
use bluering_sim::world::SavedState;
use bluering_sim::{HostId, World};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

const SECOND: Duration = Duration::from_secs(1);
/// The most bytes that answer ten bytes at once: a nodes response to a nodes request.
const AMPLIFICATION: u64 = 26;

/// What became of the adversaries' datagrams, and what applications heard.
#[derive(Debug, Default)]
struct Watch {
    adversaries: BTreeSet<HostId>,
    /// Datagrams that the adversaries sent.
    sent: u64,
    sent_kinds: BTreeMap<u8, u64>,
    /// Of these that reached a node: consumed, by kind; answered; dropped.
    consumed: BTreeMap<u8, u64>,
    replied: u64,
    dropped: BTreeMap<String, u64>,
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
        self.consumed.values().sum::<u64>() + self.replied + self.dropped.values().sum::<u64>()
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.get(&format!("{reason:?}")).copied().unwrap_or(0)
    }

    fn handled(&mut self, disposition: Disposition, bytes: &[u8]) {
        let len = bytes.len() as u64;
        match disposition {
            Disposition::Consumed => *self.consumed.entry(kind_of(bytes)).or_default() += 1,
            Disposition::Reply { len: answer, .. } => {
                self.replied += 1;
                self.worst = self.worst.max(answer as u64 * 10 / len);
            }
            Disposition::Dropped(reason) => *self.dropped.entry(format!("{reason:?}")).or_default() += 1,
        }
    }
}

impl Tap for Watch {
    fn observe(&mut self, _: Instant, seen: &Observation<'_>) {
        match seen {
            Observation::Sent { packet, .. } if self.adversaries.contains(&packet.from) => {
                self.sent += 1;
                *self.sent_kinds.entry(kind_of(packet.bytes)).or_default() += 1;
            }
            Observation::Sent { packet, .. } => {
                self.at_victim += u64::from(Some(packet.to) == self.victim);
                if self.addresses.contains(&packet.to.to_string()) {
                    *self.to_adversaries.entry(kind_of(packet.bytes)).or_default() += 1;
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
        assert!(watch.worst <= AMPLIFICATION, "{} bytes for ten", watch.worst);
    }
}

fn is_online(world: &World<Watch>, id: HostId) -> bool {
    let node = world.node(id);
    node.friends().any(|friend| node.friend(friend).is_some_and(|f| f.connection == Connection::Udp))
}

#[test]
fn replays_neither_repeat_nor_end_anything() {
    let some = Replay { per_second: 100, ..Replay::default() };
    let at_once = Replay { at_once: 1_000_000, spoofed: 1_000_000, astray: 0, ..some };
    let later = Replay { at_once: 0, spoofed: 0, memory: 2000, ..some };
    for plan in [some, at_once, later] {
        let mut scene = Scene::new(1, Strength::Toy, 6);
        scene.adversary(&Strategy::Replay(plan));
        scene.meet(5 * SECOND);
        scene.chat(10);
        scene.assert_bounded(100);
        let watch = &scene.world.tap;
        assert!(watch.arrived() > 1000, "{} arrived", watch.arrived());
        assert!(watch.dropped(DropReason::Duplicate) > 10 && watch.dropped(DropReason::Unsolicited) > 100);
        // Answers to requests carry no state, so they count as often as they come while they are fresh.
        assert!(watch.consumed.keys().all(|kind| [kind::PING_RESPONSE, kind::NODES_RESPONSE].contains(kind)));
    }
}

#[test]
fn what_was_changed_on_its_way_counts_for_nothing() {
    for seed in 0..2 {
        let mut scene = Scene::new(seed, Strength::Toy, 6);
        let plan = Mutate { per_second: 100, sample: 1_000_000, sealed: 200_000, spoofed: 500_000 };
        scene.adversary(&Strategy::Mutate(plan));
        scene.meet(5 * SECOND);
        scene.chat(10);
        scene.assert_bounded(100);
        let watch = &scene.world.tap;
        assert!(watch.arrived() > 300, "{} arrived", watch.arrived());
        assert_eq!(watch.consumed, BTreeMap::new());
        let least = [DropReason::Malformed, DropReason::BadCrypto, DropReason::Unsolicited, DropReason::Duplicate];
        assert!(least.iter().all(|reason| watch.dropped(*reason) > 10), "{:?}", watch.dropped);
    }
}

#[test]
fn floods_keep_nobody_from_meeting_and_talking() {
    for (seed, kind) in (3..).zip(FloodKind::ALL) {
        let mut scene = Scene::new(seed, Strength::Toy, 4);
        let claims = Some(scene.world.node(1).tox_id().public_key.0);
        let finds = kind != FloodKind::Cookie;
        scene.adversary(&Strategy::Flood(Flood { kind, per_second: 200, claims, finds, ..Flood::default() }));
        scene.meet(5 * SECOND);
        scene.chat(4);
        scene.assert_bounded(200);
        let watch = &scene.world.tap;
        assert!(watch.arrived() > 1500, "{kind:?}: {} arrived", watch.arrived());
        let dropped = watch.arrived() - watch.replied;
        match kind {
            FloodKind::Handshake => assert!(watch.dropped(DropReason::Stranger) > 100),
            FloodKind::Garbage => assert!(dropped > 1500),
            FloodKind::Cookie | FloodKind::Nodes | FloodKind::Announce | FloodKind::Ping | FloodKind::OnionLayers => {
                assert!(watch.replied > 1500 && watch.consumed.is_empty());
            }
        }
    }
}

/// A microcontroller under a flood of a thousand datagrams a second, each from a new key and most from an address of
/// its own: it stays online with its friend, messages pass, and it computes what it can afford.
#[test]
fn a_microcontroller_survives_a_thousand_strangers_a_second() {
    for (seed, kinds) in (40..).zip([&[FloodKind::Nodes][..], &[FloodKind::Cookie], &FloodKind::ALL]) {
        let mut world = World::watched(seed, Strength::Toy, Watch::default());
        world.add(&Limits::SERVER);
        let clients = vec![world.add(&Limits::MICRO), world.add(&Limits::DESKTOP)];
        let mut scene = Scene { world, clients };
        scene.meet(10 * SECOND);
        scene.world.run_for(10 * SECOND);
        let micro = scene.clients[0];
        for kind in kinds {
            let (per_second, claims) = (1000 / kinds.len() as u32, Some(scene.world.node(2).tox_id().public_key.0));
            let flood = Flood { kind: *kind, per_second, spoofed: 900_000, finds: false, claims };
            let targets = [scene.world.info(micro)];
            let actor = Strategy::Flood(flood).actor(&targets, scene.world.suite());
            let id = scene.world.add_actor(&Place::PUBLIC, actor);
            scene.world.tap.adversaries.insert(id);
        }
        let computed = |scene: &Scene| scene.world.node(micro).stats().keys_computed;
        let (before, mut worst) = (computed(&scene), 0);
        for _ in 0..6 {
            let start = computed(&scene);
            // Ten seconds; the last two are for what is still on its way.
            scene.chat(6);
            worst = worst.max((computed(&scene) - start) / 10);
        }
        let (all, watch) = (computed(&scene) - before, &scene.world.tap);
        assert!(watch.arrived() > 50_000, "{}", watch.arrived());
        assert!(worst <= 40 && all <= 60 * 30, "{all} keys in 60 s, {worst} a second at most");
        assert!(watch.dropped(DropReason::RateLimited) > 5_000);
    }
}

/// The friend restarts under the same flood, with a new DHT key that nobody knows: they find each other again.
#[test]
fn a_friend_comes_back_to_a_flooded_microcontroller() {
    let mut world = World::watched(50, Strength::Toy, Watch::default());
    world.add(&Limits::SERVER);
    let clients = vec![world.add(&Limits::MICRO), world.add(&Limits::DESKTOP)];
    let mut scene = Scene { world, clients };
    scene.meet(10 * SECOND);
    scene.world.run_for(10 * SECOND);
    let (micro, friend) = (scene.clients[0], scene.clients[1]);
    let flood = Flood { kind: FloodKind::Nodes, per_second: 1000, spoofed: 900_000, finds: false, claims: None };
    let targets = [scene.world.info(micro)];
    let actor = Strategy::Flood(flood).actor(&targets, scene.world.suite());
    scene.world.add_actor(&Place::PUBLIC, actor);
    scene.world.run_for(5 * SECOND);
    scene.world.stop(friend);
    scene.world.run_for(SECOND);
    let hub = scene.world.info(HUB);
    scene.world.restart(friend, SavedState::Current, &[hub]);
    let met = |w: &World<Watch>| is_online(w, friend) && is_online(w, micro);
    assert!(scene.world.run_until(10 * SECOND, met));
}

/// The only way in is flooded by newcomers who answer nothing. Whoever comes then is asked back all the same.
#[test]
fn a_flooded_bootstrap_node_still_lists_newcomers() {
    for seed in 0..4 {
        let mut scene = Scene::new(seed, Strength::Toy, 4);
        let plan = Flood { kind: FloodKind::Nodes, per_second: 200, spoofed: 1_000_000, finds: false, claims: None };
        scene.adversary(&Strategy::Flood(plan));
        let took = scene.meet(10 * SECOND);
        assert!(took < 5 * SECOND, "seed {seed}: {took:?}");
    }
}

#[test]
fn a_few_sybils_hide_nobody() {
    for announces in [Announces::Deny, Announces::Forget, Announces::Misdirect, Announces::Ignore] {
        let mut scene = Scene::new(20, Strength::Toy, 8);
        let target = scene.world.node(1).tox_id().public_key.0;
        for part in 0..2 {
            let all = Sybil { seed: 9, identities: 8, target, bits: 20, announces, ..Sybil::default() };
            scene.adversary(&Strategy::Sybil(Sybil { part: (part, 2), ..all }));
        }
        scene.meet(20 * SECOND);
        scene.chat(5);
        scene.assert_bounded(200);
        let watch = &scene.world.tap;
        let asked = |kind: u8| watch.to_adversaries.get(&kind).copied().unwrap_or(0);
        assert!(asked(kind::ANNOUNCE_REQUEST) > 20 && asked(kind::ONION_REQUEST_0) > 5, "{:?}", watch.to_adversaries);
    }
}

/// Eight identities behind one address push each other out of every list. They are not asked for ever because of it.
#[test]
fn many_names_of_one_address_cost_little() {
    let mut scene = Scene::new(21, Strength::Toy, 4);
    let target = scene.world.node(1).dht_key().0;
    for part in 0..2 {
        let all = Sybil { seed: 9, identities: 16, target, bits: 20, ..Sybil::default() };
        scene.adversary(&Strategy::Sybil(Sybil { part: (part, 2), ..all }));
    }
    scene.meet(20 * SECOND);
    scene.chat(10);
    let watch = &scene.world.tap;
    let seconds = scene.world.now().since(Instant::from_secs(1)).as_secs();
    let asked = watch.to_adversaries[&kind::NODES_REQUEST] / 5;
    // It was fifty a second.
    assert!((5..5 * seconds).contains(&asked), "{asked} requests of each node in {seconds} s");
}

/// A sybil that passes everything on is an honest relay: answers come back through it.
#[test]
fn onion_packets_find_their_way_through_an_adversary() {
    let through = |forwards| {
        let mut scene = Scene::new(22, Strength::Real, 4);
        scene.adversary(&Strategy::Sybil(Sybil { identities: 2, forwards, ..Sybil::default() }));
        scene.meet(20 * SECOND);
        scene.chat(5);
        let kinds = [kind::ONION_REQUEST_1, kind::ANNOUNCE_REQUEST, kind::ONION_RESPONSE_2, kind::ANNOUNCE_RESPONSE];
        kinds.map(|kind| scene.world.tap.sent_kinds.get(&kind).copied().unwrap_or(0))
    };
    assert_eq!(through(0), [0; 4]);
    let all = through(1_000_000);
    assert!(all.iter().all(|count| *count > 0), "{all:?}");
}

#[test]
fn liars_mislead_nobody_for_long() {
    let victim = Endpoint::v4([198, 51, 100, 7], 53);
    for lie in [Lie::Victim(victim.into()), Lie::Unroutable, Lie::WrongKey, Lie::WrongId] {
        let mut scene = Scene::new(30, Strength::Toy, 6);
        scene.world.tap.victim = Some(victim);
        for _ in 0..2 {
            scene.adversary(&Strategy::Liar(Liar { lies: vec![lie], answers: 3, per_second: 100 }));
        }
        scene.meet(10 * SECOND);
        scene.chat(5);
        scene.assert_bounded(100);
        let watch = &scene.world.tap;
        assert!(watch.arrived() > 100, "{lie:?}: {} arrived", watch.arrived());
        // Each answer names four; what they cost the victim is bounded by the answers, and by a rate.
        assert!(watch.at_victim <= 4 * watch.consumed.values().sum::<u64>(), "{} at the victim", watch.at_victim);
        assert_eq!(watch.at_victim > 50, lie == Lie::Victim(victim.into()));
        assert_eq!(watch.dropped(DropReason::Unsolicited) > 50, lie == Lie::WrongId);
    }
}

/// Two runs with adversaries of every sort are the same, and a strategy survives being written down.
#[test]
fn adversaries_follow_from_the_seed() {
    let run = |seed| {
        let mut scene = Scene::new(seed, Strength::Toy, 2);
        scene.adversary(&Strategy::Replay(Replay::default()));
        scene.adversary(&Strategy::Mutate(Mutate::default()));
        scene.adversary(&Strategy::Flood(Flood::default()));
        scene.adversary(&Strategy::Sybil(Sybil::default()));
        scene.adversary(&Strategy::Liar(Liar::default()));
        scene.meet(20 * SECOND);
        scene.world.digest()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

/// The first byte; of an empty datagram one that no packet has.
fn kind_of(bytes: &[u8]) -> u8 {
    bytes.first().copied().unwrap_or(0xff)
}

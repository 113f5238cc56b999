//! What strangers, liars and floods can do: nothing but cost a bounded amount of work.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may panic, and picks what it looks for"
)]

use bluering_core::crypto::PublicKey;
use bluering_core::wire::kind;
use bluering_core::{Connection, Disposition, DropReason, Endpoint, FriendId, Limits, MessageKind};
use bluering_sim::adversaries::craft::{Attacker, address, index, noise as bytes_of};
use bluering_sim::{Flight, Heard, HostId, SimRng, World};
use core::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const MILLI: Duration = Duration::from_millis(1);
/// The most bytes that answer one byte at once: a nodes response to a nodes request.
const AMPLIFICATION: f64 = 2.6;

/// Two friends who are connected through a bootstrap node.
struct Pair {
    world: World,
    hub: HostId,
    ends: [HostId; 2],
    friends: [FriendId; 2],
    sent: [Vec<Vec<u8>>; 2],
}

impl Pair {
    /// With everything recorded from the start.
    fn new(seed: u64, limits: &Limits) -> Self {
        let mut world = World::new(seed);
        world.record();
        let hub = world.add(&Limits::SERVER);
        let ends = [world.add(limits), world.add(limits)];
        ends.iter().for_each(|end| world.bootstrap(*end, hub));
        let [alice, bob] = ends;
        let bob_at_alice = world.add_friend(alice, bob, b"it is me");
        assert!(
            world.run_until(MINUTE, |w| w.heard(bob).iter().any(|(_, e)| matches!(e, Heard::FriendRequest { .. })))
        );
        let key = world.node(alice).tox_id().public_key;
        let Ok(alice_at_bob) = world.with(bob, |node, now| node.accept(now, key)) else { panic!("not accepted") };
        let mut pair = Self { world, hub, ends, friends: [bob_at_alice, alice_at_bob], sent: Default::default() };
        assert!(pair.world.run_until(MINUTE, |w| ends.iter().all(|end| is_online(w, *end))));
        pair.world.run_for(2 * Duration::from_secs(1));
        pair
    }

    /// Each says something; what it is differs each time.
    fn say(&mut self) {
        for i in 0..2 {
            let (friend, text) = (self.friends[i], format!("{i}: {}", self.sent[i].len()).into_bytes());
            let said =
                self.world.with(self.ends[i], |node, now| node.send_message(now, friend, MessageKind::Normal, &text));
            assert!(said.is_ok(), "{said:?} after {}", self.sent[i].len());
            self.sent[i].push(text);
        }
    }

    /// Everything that was said has arrived once and in order, and nobody was ever seen offline.
    fn assert_unharmed(&self) {
        for i in 0..2 {
            assert!(is_online(&self.world, self.ends[i]));
            assert_eq!(self.texts(1 - i), self.sent[i]);
            let changes = self.world.heard(self.ends[i]).iter();
            let changes = changes.filter(|(_, heard)| matches!(heard, Heard::FriendConnection { .. }));
            assert_eq!(changes.count(), 1);
        }
    }

    fn texts(&self, i: usize) -> Vec<Vec<u8>> {
        let of = |heard: &Heard| if let Heard::Message { text, .. } = heard { Some(text.clone()) } else { None };
        self.world.heard(self.ends[i]).iter().filter_map(|(_, heard)| of(heard)).collect()
    }

    /// Delivers a datagram; what the node sends at once, as packets and bytes.
    fn inject(&mut self, to: HostId, from: Endpoint, bytes: &[u8]) -> (u64, u64) {
        let before = self.world.sent(to);
        let _ = self.world.inject(to, from, bytes);
        let after = self.world.sent(to);
        (after.0 - before.0, after.1 - before.1)
    }
}

fn is_online(world: &World, id: HostId) -> bool {
    let node = world.node(id);
    node.friends().any(|friend| node.friend(friend).is_some_and(|f| f.connection == Connection::Udp))
}

/// Everything that was ever sent comes again: whole, bent, cut, longer, from its sender and from elsewhere, and in an
/// order that has nothing to do with the first.
#[test]
fn replays_change_nothing() {
    for (seed, limits) in [(1, Limits::DESKTOP), (2, Limits::MICRO)] {
        let mut pair = Pair::new(seed, &limits);
        for _ in 0..20 {
            pair.say();
            pair.world.run_for(30 * MILLI);
        }
        pair.world.run_for(Duration::from_secs(3));
        pair.assert_unharmed();
        let mut log: Vec<Flight> = pair.world.recorded();
        let mut noise = SimRng::new(seed);
        noise.shuffle(&mut log);
        let events: Vec<usize> = pair.ends.iter().map(|end| pair.world.heard(*end).len()).collect();
        let (mut bytes_in, mut bytes_out) = (0, 0);
        for (n, flight) in log.iter().enumerate() {
            let mut bytes = flight.bytes.clone();
            match n % 6 {
                0 | 1 => {}
                2 | 3 => bytes[index(&mut noise, flight.bytes.len())] ^= 1 << noise.below(8),
                4 => bytes.truncate(index(&mut noise, flight.bytes.len())),
                _ => bytes.push(0),
            }
            let from = if n % 2 == 0 { pair.world.info(flight.from).at } else { address(&mut noise) };
            let (packets, out) = pair.inject(flight.to, from, &bytes);
            // An answer, and what an answer of ours that still counts starts: a request to each node that it names.
            assert!(packets <= 5, "{packets} packets follow from {:#04x}", flight.bytes[0]);
            (bytes_in, bytes_out) = (bytes_in + bytes.len() as u64, bytes_out + out);
            if n % 50 == 0 {
                pair.world.run_for(MILLI);
            }
        }
        assert!(log.len() > 300, "{} packets", log.len());
        assert!(bytes_out < bytes_in, "{bytes_in} bytes in, {bytes_out} out");
        pair.world.run_for(Duration::from_secs(5));
        let after: Vec<usize> = pair.ends.iter().map(|end| pair.world.heard(*end).len()).collect();
        assert_eq!(events, after);
        pair.say();
        pair.world.run_for(Duration::from_secs(1));
        pair.assert_unharmed();
    }
}

/// Thousands of strangers ask for everything that can be asked for.
#[test]
fn floods_of_requests_do_not_disturb_a_chat() {
    for (seed, limits) in [(3, Limits::DESKTOP), (4, Limits::MICRO)] {
        let mut pair = Pair::new(seed, &limits);
        let mut noise = SimRng::new(seed);
        let targets = [pair.hub, pair.ends[0], pair.ends[1]];
        let mut follow_ups = 0;
        for round in 0..800 {
            for to in targets {
                let attacker = Attacker::new(pair.world.suite(), &mut noise);
                let key = pair.world.node(to).dht_key();
                let long_term = pair.world.node(pair.ends[1]).tox_id().public_key;
                let packet = match round % 4 {
                    0 => attacker.cookie_request(&key, long_term),
                    1 => attacker.nodes_request(&key, long_term),
                    2 => attacker.announce_request(&key, long_term),
                    _ => attacker.ping_request(&key),
                };
                let (packets, bytes) = pair.inject(to, attacker.at, &packet);
                assert!(packets <= 2, "{packets} packets follow from {:#04x}", packet[0]);
                follow_ups += packets.saturating_sub(1);
                // A newcomer is pinged, at a limited rate.
                let answer = bytes.saturating_sub(if packets == 2 { 82 } else { 0 });
                assert!(answer as f64 <= AMPLIFICATION * packet.len() as f64, "{answer} bytes to {:#04x}", packet[0]);
            }
            if round % 16 == 0 {
                pair.say();
            }
            pair.world.run_for(MILLI);
        }
        pair.world.run_for(Duration::from_secs(2));
        pair.assert_unharmed();
        assert!(follow_ups <= 3 * (32 + 16 * 4), "{follow_ups} newcomers were pinged");
        let limited = pair.world.node(pair.ends[0]).stats().dropped(DropReason::RateLimited);
        assert_eq!(limited > 0, limits == Limits::MICRO, "{limited} requests were refused");
        assert!(pair.world.node(pair.ends[0]).known_nodes().count() <= 3, "nobody enters the lists without an answer");
    }
}

/// The same flood from the start, and hundreds who announce themselves wherever they can: two friends meet
/// nevertheless.
#[test]
fn friends_meet_in_a_flood() {
    for (seed, limits) in [(10, Limits::DESKTOP), (11, Limits::MICRO)] {
        let mut world = World::new(seed);
        let hub = world.add(&Limits::SERVER);
        let ends = [world.add(&limits), world.add(&limits)];
        let mut noise = SimRng::new(seed);
        for _ in 0..300 {
            let attacker = Attacker::new(world.suite(), &mut noise);
            announce(&mut world, &attacker, hub);
        }
        ends.iter().for_each(|end| world.bootstrap(*end, hub));
        world.befriend(ends[0], ends[1]);
        let start = world.now();
        while !ends.iter().all(|end| is_online(&world, *end)) {
            assert!(world.now().since(start) < Duration::from_secs(10), "{limits:?}");
            for to in [hub, ends[0], ends[1]] {
                let (attacker, key) = (Attacker::new(world.suite(), &mut noise), world.node(to).dht_key());
                let packet = match noise.below(3) {
                    0 => attacker.cookie_request(&key, world.node(ends[0]).tox_id().public_key),
                    1 => attacker.nodes_request(&key, world.node(ends[1]).dht_key()),
                    _ => attacker.ping_request(&key),
                };
                let _ = world.inject(to, attacker.at, &packet);
            }
            world.run_for(2 * MILLI);
        }
    }
}

/// Every kind of packet with every length, filled with noise, to everybody.
#[test]
fn garbage_is_dropped() {
    for (seed, limits) in [(5, Limits::DESKTOP), (6, Limits::MICRO)] {
        let mut pair = Pair::new(seed, &limits);
        let mut noise = SimRng::new(seed);
        let targets = [pair.hub, pair.ends[0], pair.ends[1]];
        let kinds: Vec<u8> = (0..=0x24).chain(0x7e..=0x90).chain([0xf0, 0xff]).collect();
        for len in (0..=2048_usize).step_by(3) {
            let mut bytes = bytes_of(&mut noise, len);
            for to in targets {
                if let Some(first) = bytes.first_mut() {
                    *first = kinds[index(&mut noise, kinds.len())];
                }
                let from = if noise.below(2) == 0 { address(&mut noise) } else { pair.world.info(pair.ends[0]).at };
                let is_info = bytes.first() == Some(&kind::BOOTSTRAP_INFO) && len == 78;
                let (packets, _) = pair.inject(to, from, &bytes);
                assert!(packets == 0 || is_info, "{len} bytes of {:#04x}", bytes[0]);
            }
            if len % 10 == 0 {
                pair.world.run_for(MILLI);
            }
        }
        pair.say();
        pair.world.run_for(Duration::from_secs(2));
        pair.assert_unharmed();
    }
}

/// Nodes that answer everything properly, but name nobody but a victim who never asked, under keys that nobody could be
/// closer than.
#[test]
fn liars_cannot_aim_us_at_a_victim() {
    for (seed, limits) in [(7, Limits::DESKTOP), (8, Limits::MICRO)] {
        let mut pair = Pair::new(seed, &limits);
        let mut noise = SimRng::new(seed);
        let victim = Endpoint::v4([198, 51, 100, 7], 53);
        let liars: Vec<Attacker> = (0..30).map(|_| Attacker::new(pair.world.suite(), &mut noise)).collect();
        pair.world.strays();
        let (mut at_victim, mut answers) = (0, 0);
        let start = pair.world.now();
        for round in 0..1000 {
            if round % 10 == 0 {
                let liar = &liars[round / 10 % liars.len()];
                let key = pair.world.node(pair.ends[0]).dht_key();
                pair.inject(pair.ends[0], liar.at, &liar.ping_request(&key));
            }
            if round % 40 == 0 {
                pair.say();
            }
            pair.world.run_for(10 * MILLI);
            for (from, to, bytes) in pair.world.strays() {
                at_victim += u32::from(to == victim);
                let Some(liar) = liars.iter().find(|liar| liar.at == to) else { continue };
                let key = pair.world.node(from).dht_key();
                // Each answer ten times, each time with other names.
                for _ in 0..10 {
                    let Some(answer) = liar.answer(&key, &bytes, victim, &mut noise) else { break };
                    pair.inject(from, liar.at, &answer);
                    answers += 1;
                }
            }
        }
        pair.world.run_for(Duration::from_secs(2));
        pair.assert_unharmed();
        let seconds = pair.world.now().since(start).as_secs() as u32;
        assert!(answers > 500, "{answers} answers");
        assert!(at_victim < 200 + 120 * seconds, "{at_victim} packets in {seconds} s after {answers} answers");
    }
}

/// A friend says that her DHT key is that of another friend. They find each other all the same.
#[test]
fn a_friend_cannot_pose_as_the_dht_node_of_another() {
    let mut world = World::new(9);
    let hub = world.add(&Limits::SERVER);
    let ends = [world.add(&Limits::DESKTOP), world.add(&Limits::DESKTOP)];
    let mallory = Attacker::new(world.suite(), &mut SimRng::new(9));
    for end in ends {
        assert!(world.with(end, |node, now| node.accept(now, mallory.key)).is_ok());
        world.bootstrap(end, hub);
    }
    world.run_for(Duration::from_secs(10));
    for (end, other) in [(ends[0], ends[1]), (ends[1], ends[0])] {
        let (long_term, claimed) = (world.node(end).tox_id().public_key, world.node(other).dht_key());
        let data_key = ask_for_data_key(&mut world, &mallory, hub, long_term);
        let lie = mallory.dht_key_announce(&long_term, &data_key, claimed);
        assert_eq!(world.inject(end, mallory.at, &lie), Disposition::Consumed);
    }
    world.befriend(ends[0], ends[1]);
    let start = world.now();
    assert!(world.run_until(MINUTE, |w| ends.iter().all(|end| is_online(w, *end))));
    assert!(world.now().since(start) < Duration::from_secs(5));
}

/// What a friend's last run announced comes again while a session with the friend's new run stands.
#[test]
fn an_old_announcement_ends_no_session() {
    for seed in 0..4 {
        let mut pair = Pair::new(seed, &Limits::DESKTOP);
        let [alice, old_bob] = pair.ends;
        let world = &mut pair.world;
        let (secret, nospam) = (world.node(old_bob).secret_key().clone(), world.node(old_bob).tox_id().nospam);
        let log = world.recorded();
        let announces = log.iter().filter(|flight| flight.to == alice);
        let is_announce = |kind: u8| kind == kind::ONION_DATA_RESPONSE || kind == kind::DHT_REQUEST;
        let announces: Vec<&Flight> = announces.filter(|flight| is_announce(flight.bytes[0])).collect();
        assert!(!announces.is_empty());
        world.with(old_bob, |node, now| node.shutdown(now));
        world.run_for(Duration::from_secs(2));
        world.set_up(old_bob, false);
        let bob = world.add_with(&Limits::DESKTOP, secret, nospam);
        let key = world.node(alice).tox_id().public_key;
        assert!(world.with(bob, |node, now| node.accept(now, key)).is_ok());
        world.bootstrap(bob, pair.hub);
        assert!(world.run_until(MINUTE, |w| is_online(w, alice) && is_online(w, bob)));
        for flight in announces {
            let _ = world.inject(alice, world.info(flight.from).at, &flight.bytes);
            assert!(is_online(world, alice), "seed {seed}: ended by {:#04x}", flight.bytes[0]);
        }
        world.run_for(Duration::from_secs(2));
        assert!(is_online(world, alice) && is_online(world, bob));
    }
}

/// Asks the node `hub`, as the last relay of a path would, for the onion data key of `whom`.
fn ask_for_data_key(world: &mut World, attacker: &Attacker, hub: HostId, whom: PublicKey) -> PublicKey {
    world.strays();
    let key = world.node(hub).dht_key();
    let _ = world.inject(hub, attacker.at, &attacker.announce_request(&key, whom));
    let answers = world.strays();
    let answer = answers.iter().find(|(_, to, _)| *to == attacker.at).expect("an announce response");
    attacker.data_key(&key, &answer.2).expect("the key is announced there")
}

/// Announces an attacker at `hub`, in the two steps that it takes.
fn announce(world: &mut World, attacker: &Attacker, hub: HostId) {
    let key = world.node(hub).dht_key();
    let mut ping_id = [0; 32];
    for step in 0..2 {
        world.strays();
        let request = attacker.announce(&key, ping_id, [9; 8]);
        let _ = world.inject(hub, attacker.at, &request);
        let answers = world.strays();
        let answer = answers.iter().find(|(_, to, _)| *to == attacker.at).expect("an announce response");
        let (id, stored) = attacker.ping_id(&key, &answer.2).expect("a ping id");
        assert_eq!(stored, step == 1);
        ping_id = id;
    }
}

//! The DHT, seen from outside: whole nodes find each other, and what that costs.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may panic")]

use crate::people::{self, DHT, MINUTE, Net, SECOND, befriend, come, knows, network, network_of, time_until, weather};
use bluering_core::Limits;
use bluering_sim::SimRng;
use bluering_sim::adversaries::craft::{Attacker, address};
use bluering_sim::net::{NatSpec, Place};
use bluering_sim::plan::CLIENT;
use bluering_sim::{HostId, HostSpec};
use core::time::Duration;
use quickcheck::QuickCheck;

/// All people but the bootstrap node know each other.
fn all_know_each_other(world: &Net) -> bool {
    let all = 1..world.len();
    all.clone().all(|a| all.clone().all(|b| a == b || knows(world, a, b)))
}

#[test]
fn two_nodes_find_each_other_though_one_starts_empty() {
    let mut world = network(1, 1, 1);
    let both = |w: &Net| knows(w, 0, 1) && knows(w, 1, 0);
    let took = time_until(&mut world, SECOND, both);
    assert!(took.is_some_and(|ms| ms < 100), "{took:?}: an empty answer counts, and who asks us is pinged at once");
}

#[test]
fn ten_nodes_around_a_bootstrap_find_each_other_at_once() {
    let mut world = network(2, 1, 10);
    for a in 1..11 {
        (a + 1..11).for_each(|b| befriend(&mut world, a, b));
    }
    let took = time_until(&mut world, 10 * SECOND, all_know_each_other);
    assert!(took.is_some_and(|ms| ms < 700), "{took:?}");
    let met = |w: &Net| (1..11).all(|a| (a + 1..11).all(|b| w.are_connected(a, b)));
    let took = time_until(&mut world, 10 * SECOND, met);
    assert!(took.is_some_and(|ms| ms < 3000), "45 pairs of friends: {took:?}");
    world.run_for(5 * SECOND);
    assert!(world.tap.busiest_second() <= 24, "{} packets in a second to one node", world.tap.busiest_second());
}

#[test]
fn a_friend_that_comes_online_is_found_at_once() {
    for delay in [0, 100, 333, 2000, 9000] {
        let mut world = network(3, 1, 10);
        world.run_for(MINUTE);
        let friend = world.add(&CLIENT);
        world.befriend(3, friend);
        world.set_up(friend, false);
        world.run_for(Duration::from_millis(delay));
        world.set_up(friend, true);
        world.bootstrap(friend, 0);
        let took = time_until(&mut world, 10 * SECOND, |w| w.are_connected(3, friend));
        assert!(took.is_some_and(|ms| ms < 1500), "{took:?} when searched for {delay} ms");
    }
}

/// The friend was away for so long that nobody knows her address any more.
#[test]
fn a_search_is_found_under_loss() {
    for seed in 1..6 {
        let mut world = network(seed, 1, 10);
        world.befriend(3, 7);
        assert!(world.run_until(10 * SECOND, |w| w.are_connected(3, 7)));
        world.set_up(7, false);
        world.run_for(4 * MINUTE);
        assert!(!world.are_connected(3, 7) && (0..7).all(|id| !knows(&world, id, 7)));
        weather(&mut world, 250_000, 0, Duration::ZERO);
        world.set_up(7, true);
        world.bootstrap(7, 0);
        let took = time_until(&mut world, MINUTE, |w| knows(w, 3, 7));
        assert!(took.is_some_and(|ms| ms < 60_000), "seed {seed}: {took:?}");
        let took = time_until(&mut world, MINUTE, |w| w.are_connected(3, 7));
        assert!(took.is_some_and(|ms| ms < 60_000), "seed {seed}: {took:?}");
    }
}

#[test]
fn idle_traffic_is_low() {
    let mut world = network(4, 1, 11);
    (2..12).for_each(|friend| befriend(&mut world, 1, friend));
    world.run_for(3 * MINUTE);
    let met = |w: &Net| (2..12).all(|friend| w.are_connected(1, friend));
    assert!(met(&world));
    let since = world.now();
    world.run_for(5 * MINUTE);
    assert!(met(&world), "keep-alive works");
    let per_minute = world.tap.asked(1, since, DHT) / 5;
    assert!((11..60).contains(&per_minute), "{per_minute} requests in a minute");
    assert!(world.tap.busiest_second() <= 24, "{}", world.tap.busiest_second());
}

/// Friends that are not there any more are searched for less and less.
#[test]
fn fruitless_searches_cool_down() {
    let mut world = network(5, 1, 11);
    (2..12).for_each(|friend| befriend(&mut world, 1, friend));
    assert!(world.run_until(MINUTE, |w| (2..12).all(|friend| w.are_connected(1, friend))));
    let others = (0..6).map(|_| come(&mut world, &CLIENT)).collect::<Vec<_>>();
    world.run_for(10 * SECOND);
    (2..12).for_each(|friend| world.set_up(friend, false));
    world.run_for(5 * MINUTE);
    let since = world.now();
    world.run_for(10 * MINUTE);
    let per_minute = world.tap.asked(1, since, DHT) / 10;
    assert!((10..90).contains(&per_minute), "{per_minute} requests in a minute");
    assert!(others.iter().all(|other| knows(&world, 1, *other)));
}

#[test]
fn silent_nodes_turn_bad_and_are_forgotten() {
    let mut world = network(6, 1, 2);
    world.run_for(10 * SECOND);
    assert!(knows(&world, 1, 2));
    let (full, at) = (people::used(&world, 1, "close list"), world.info(2).at);
    world.set_up(2, false);
    let gone = world.now();
    world.run_for(50 * SECOND);
    assert!(knows(&world, 1, 2), "one answer may be lost");
    assert!(world.run_until(80 * SECOND, |w| !knows(w, 1, 2)));
    world.run_for(70 * SECOND);
    assert_eq!(people::used(&world, 1, "close list"), full - 1, "forgotten {:?} after", world.now().since(gone));
    let sent = world.tap.sent.iter().filter(|sent| sent.by == 1 && sent.to == at && sent.when > gone);
    let count = sent.filter(|sent| DHT.contains(&sent.kind())).count();
    assert!((2..=12).contains(&count), "{count}");
}

#[test]
fn bootstraps_are_asked_until_they_answer_and_again_when_all_is_lost() {
    let mut world = network(7, 1, 0);
    world.set_up(0, false);
    let start = world.now();
    come(&mut world, &CLIENT);
    world.run_for(4 * SECOND);
    let asked = world.tap.sent.iter().filter(|sent| sent.by == 1 && DHT.contains(&sent.kind()));
    let pauses: Vec<_> = asked.map(|sent| sent.when.since(start).as_millis()).collect();
    assert_eq!(pauses, [0, 100, 400, 1400, 3400]);
    let connected = |w: &Net| knows(w, 1, 0);
    assert!(!connected(&world));
    world.set_up(0, true);
    world.run_for(5 * SECOND);
    assert!(connected(&world));
    world.set_up(0, false);
    world.run_for(10 * MINUTE);
    assert!(!connected(&world));
    let since = world.now();
    world.run_for(MINUTE);
    let asked = world.tap.asked(1, since, DHT);
    assert!((1..=3).contains(&asked), "{asked} requests a minute");
    world.set_up(0, true);
    assert!(world.run_until(31 * SECOND, connected));
}

/// A machine that was suspended for hours finds its nodes and its friend still there.
#[test]
fn survives_a_jump_of_time() {
    let mut world = network(8, 1, 10);
    world.befriend(1, 5);
    world.run_for(MINUTE);
    assert!(world.are_connected(1, 5));
    let known = world.node(1).known_nodes().count();
    (0..11).for_each(|host| world.suspend(host));
    world.run_for(600 * MINUTE);
    (0..11).for_each(|host| world.resume(host, true));
    world.run_for(2 * SECOND);
    assert!(world.node(1).known_nodes().count() >= known);
    assert!(world.run_until(3 * SECOND, |w| w.are_connected(1, 5)));
}

/// The friend's address changed: his old entry is silent, others tell the new one.
#[test]
fn a_friend_who_moves_is_found_at_the_new_address() {
    let mut world = network(9, 1, 6);
    world.befriend(1, 4);
    world.run_for(2 * MINUTE);
    assert!(world.are_connected(1, 4));
    let old = world.info(4).at;
    world.move_to(4, &Place::PUBLIC);
    world.bootstrap(4, 0);
    assert_ne!(world.info(4).at, old);
    let took = time_until(&mut world, MINUTE, |w| knows(w, 1, 4));
    assert!(took.is_some_and(|ms| ms < 10_000), "{took:?}");
    world.say(1, 4, b"still you?").unwrap();
    assert!(world.run_until(5 * SECOND, |w| w.tap.read.contains_key(&4)));
}

/// Nodes of a local network are told to each other, not to the outside, and a working address is not replaced.
#[test]
fn lan_addresses_are_told_to_lan_only() {
    let mut world = network(10, 1, 0);
    let nat = world.net_mut().add_nat(NatSpec::FULL_CONE, &Place::PUBLIC, None);
    let inside: Vec<HostId> =
        (0..3).map(|_| world.add_host(HostSpec { place: Place::behind(nat), ..HostSpec::public(CLIENT) })).collect();
    world.bootstrap(inside[0], 0);
    world.run_for(SECOND);
    for id in &inside[1..] {
        // Through the neighbour only: it hears them from their local addresses.
        world.bootstrap(*id, inside[0]);
    }
    world.run_for(SECOND);
    let outside: Vec<HostId> = (0..4).map(|_| come(&mut world, &CLIENT)).collect();
    world.befriend(outside[0], inside[0]);
    world.run_for(MINUTE);
    assert!(world.info(inside[1]).at.is_lan() && knows(&world, inside[1], inside[2]));
    assert!(world.are_connected(outside[0], inside[0]));
    // A friend is told all nodes near us: she may be in the same local network.
    let strangers = |id: HostId| id == 0 || outside[1..].contains(&id);
    let leaked = world.tap.sent.iter().find(|sent| strangers(sent.by) && sent.to.is_lan());
    assert!(leaked.is_none(), "{leaked:?}");
    let at_server = world.node(0).known_nodes().find(|node| node.key == world.info(inside[0]).key).unwrap();
    assert!(!at_server.at.is_lan());
}

/// Whatever is lost, whoever comes and goes: no deadline sticks (checked by the world), nobody is flooded, and when the
/// loss ends everybody who is there is connected.
#[test]
fn any_weather() {
    fn calms_down(loss: u8, size: u8, absences: Vec<(u8, u16)>) -> bool {
        let mut world = network(u64::from(size), 1, 2 + u32::from(size % 6));
        let n = world.len();
        world.befriend(1, 2);
        weather(&mut world, u32::from(loss) * 3900, 0, Duration::ZERO);
        for (who, secs) in absences.iter().take(6) {
            let who = HostId::from(*who) % n;
            world.set_up(who, false);
            world.run_for(Duration::from_secs(u64::from(*secs % 100)));
            world.set_up(who, true);
        }
        weather(&mut world, 0, 0, Duration::ZERO);
        world.run_for(3 * MINUTE);
        world.tap.busiest_second() <= 24
            && (0..n).all(|id| world.node(id).known_nodes().next().is_some())
            && world.are_connected(1, 2)
    }
    QuickCheck::new().tests(4).quickcheck(calms_down as fn(u8, u8, Vec<(u8, u16)>) -> bool);
}

/// The microcontroller's tables are enough to be part of a network.
#[test]
fn eight_places_are_enough() {
    let small = Limits { nodes: 8, announces: 4, ..Limits::MICRO };
    let mut world = network_of(11, 1, 13, &small);
    (1..14).for_each(|a| befriend(&mut world, a, a % 13 + 1));
    let met = |w: &Net| (1..14).all(|a| w.are_connected(a, a % 13 + 1));
    let took = time_until(&mut world, MINUTE, met);
    assert!(took.is_some_and(|ms| ms < 10_000), "{took:?}");
}

/// A thousand strangers who ask once each: all are answered, few are pinged, and nobody who is known suffers.
#[test]
fn a_flood_of_strangers_is_met_with_a_bounded_number_of_packets() {
    let mut world = network(12, 1, 5);
    world.run_for(20 * SECOND);
    let (key, since) = (world.info(0).key, world.now());
    let mut rng = SimRng::new(12);
    let strangers: Vec<Attacker> = (0..100).map(|_| Attacker::new(world.suite(), &mut rng)).collect();
    for n in 0..1000 {
        let stranger = &strangers[n % 100];
        let _ = world.inject(0, address(&mut rng), &stranger.ping_request(&key));
        world.run_for(Duration::from_millis(1));
    }
    let known: Vec<_> = (1..6).map(|id| world.info(id).at).collect();
    let sent = world.tap.sent.iter().filter(|sent| sent.by == 0 && sent.when >= since && !known.contains(&sent.to));
    let (answers, pings): (Vec<_>, Vec<_>) = sent.partition(|sent| sent.answers.is_some());
    assert_eq!(answers.len(), 1000);
    assert!((16..=32 + 17).contains(&pings.len()), "{} pings in a second", pings.len());
    world.run_for(200 * SECOND);
    assert_eq!(world.node(0).known_nodes().count(), 5);
}

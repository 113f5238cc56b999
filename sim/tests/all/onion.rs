//! The onion, seen from outside: whole nodes are found through it, and what that costs.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may panic")]

use crate::people::{
    self, MINUTE, Net, ONION, SECOND, Sent, accept, befriend, come, is_connected, network, network_of, time_until,
    weather,
};
use bluering_core::crypto::PublicKey;
use bluering_core::wire::kind;
use bluering_core::{Disposition, DropReason, Endpoint, Limits};
use bluering_sim::plan::CLIENT;
use bluering_sim::world::SavedState;
use bluering_sim::{HostId, World};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

/// Onion data, as it reaches its receiver.
const DATA: u8 = kind::ONION_DATA_RESPONSE;

fn key(world: &Net, id: HostId) -> PublicKey {
    world.node(id).tox_id().public_key
}

fn connect(world: &mut Net, id: HostId) {
    assert!(world.run_until(5 * SECOND, |w| is_connected(w, id)));
}

/// The node dies and is back, with another DHT key and another data key.
fn restart(world: &mut Net, id: HostId) {
    world.crash(id);
    let info = world.info(0);
    world.restart(id, SavedState::Current, &[info]);
}

/// Servers, Alice and Bob, both connected.
fn two(seed: u64, servers: u32) -> (Net, HostId, HostId) {
    let mut world = network(seed, servers, 2);
    connect(&mut world, servers);
    connect(&mut world, servers + 1);
    (world, servers, servers + 1)
}

#[test]
fn we_are_connected_within_half_a_second() {
    for (servers, seeds, limit) in [(1, 8, 480), (25, 3, 400)] {
        for seed in 0..seeds {
            let mut world = network(seed, servers, 1);
            let took = time_until(&mut world, 2 * SECOND, |w| is_connected(w, servers));
            assert!(took.is_some_and(|ms| ms < limit), "seed {seed}, {servers} servers: {took:?}");
        }
    }
}

#[test]
fn bootstrap_nodes_serve_at_once() {
    let mut world = network(5, 3, 0);
    let alice = world.add(&CLIENT);
    (0..3).for_each(|server| world.bootstrap(alice, server));
    let took = time_until(&mut world, 2 * SECOND, |w| is_connected(w, alice));
    assert!(took.is_some_and(|ms| ms < 400), "{took:?}");
    assert_eq!(world.node(alice).path_nodes().count(), 3);
}

#[test]
fn a_friend_request_arrives_once_within_half_a_second() {
    for (seed, servers) in [(0, 1), (1, 1), (2, 1), (3, 3), (4, 25)] {
        let (mut world, alice, bob) = two(seed, servers);
        let start = world.now();
        world.add_friend(alice, bob, b"it is me");
        world.run_for(5 * SECOND);
        let requests = &world.tap.requests;
        assert_eq!(requests.len(), 1, "seed {seed}");
        let took = requests[0].0.since(start).as_millis();
        assert!(took < 600 && requests[0].1 == bob, "seed {seed}: {took}");
    }
}

#[test]
fn a_request_is_repeated_for_a_new_run_of_the_friend_until_the_friend_answers() {
    let (mut world, alice, bob) = two(5, 3);
    world.add_friend(alice, bob, b"it is me");
    assert!(world.run_until(5 * SECOND, |w| w.tap.requests.len() == 1));
    restart(&mut world, bob);
    let took = time_until(&mut world, MINUTE, |w| w.tap.requests.len() == 2);
    assert!(took.is_some_and(|ms| ms < 3000), "{took:?}");
    let alice_key = key(&world, alice);
    accept(&mut world, bob, alice_key);
    assert!(world.run_until(10 * SECOND, |w| w.are_connected(alice, bob)));
    restart(&mut world, bob);
    assert!(world.run_until(30 * SECOND, |w| w.are_connected(alice, bob)));
    world.run_for(10 * SECOND);
    assert_eq!(world.tap.requests.len(), 2);
}

#[test]
fn a_friend_who_comes_later_hears_of_us_within_moments() {
    for seed in 0..6 {
        let (mut world, alice, bob) = two(seed, 1);
        world.befriend(alice, bob);
        world.crash(bob);
        world.run_for(3 * SECOND);
        let info = world.info(0);
        world.restart(bob, SavedState::Current, &[info]);
        let took = time_until(&mut world, MINUTE, |w| w.are_connected(alice, bob));
        assert!(took.is_some_and(|ms| ms < 2000), "seed {seed}: {took:?}");
    }
}

#[test]
fn a_friend_with_new_keys_is_noticed_soon() {
    for seed in 0..3 {
        let (mut world, alice, bob) = two(seed, 5);
        world.befriend(alice, bob);
        assert!(world.run_until(5 * SECOND, |w| w.are_connected(alice, bob)));
        for pause in [2, 100, 200] {
            world.run_for(pause * SECOND);
            restart(&mut world, bob);
            let fresh = |w: &Net| w.are_connected(alice, bob);
            let took = time_until(&mut world, MINUTE, fresh);
            assert!(took.is_some_and(|ms| ms < 2000), "seed {seed}, after {pause} s: {took:?}");
        }
    }
}

/// Bob does not know Alice, so he never answers.
#[test]
fn our_dht_key_goes_out_at_once_then_more_and_more_rarely() {
    let (mut world, alice, bob) = two(1, 1);
    let bob_key = key(&world, bob);
    accept(&mut world, alice, bob_key);
    world.run_for(70 * SECOND);
    let times = world.tap.times(bob, DATA);
    let offsets: Vec<u64> = times.iter().map(|at| at.since(times[0]).as_millis() as u64).collect();
    let expected = [0, 1000, 3000, 7000, 15_000, 45_000];
    assert_eq!(offsets.len(), expected.len(), "{offsets:?}");
    assert!(offsets.iter().zip(expected).all(|(a, b)| a.abs_diff(b) < 250), "{offsets:?}");
}

#[test]
fn nothing_goes_to_a_friend_who_is_online() {
    let (mut world, alice, bob) = two(1, 1);
    world.befriend(alice, bob);
    assert!(world.run_until(5 * SECOND, |w| w.are_connected(alice, bob)));
    world.run_for(SECOND);
    let before = world.tap.times(bob, DATA).len() + world.tap.times(alice, DATA).len();
    world.run_for(100 * SECOND);
    assert_eq!(world.tap.times(bob, DATA).len() + world.tap.times(alice, DATA).len(), before);
    assert!(before > 0);
}

/// A round trip through the onion is eight datagrams: with every 20th lost a third of the round trips fail.
#[test]
fn lost_packets_only_cost_time() {
    for (loss, servers, connected, found) in [(50_000, 1, 6, 16), (50_000, 25, 2, 10), (140_000, 1, 20, 80)] {
        for seed in 0..1 {
            let mut world = network(seed, servers, 2);
            weather(&mut world, loss, 0, Duration::ZERO);
            let (alice, bob) = (servers, servers + 1);
            let took = time_until(&mut world, connected * SECOND, |w| is_connected(w, alice));
            assert!(took.is_some(), "{loss} ppm lost, {servers} servers, seed {seed}");
            world.befriend(alice, bob);
            let took = time_until(&mut world, found * SECOND, |w| w.are_connected(alice, bob));
            assert!(took.is_some(), "{loss} ppm lost, {servers} servers, seed {seed}");
        }
    }
}

#[test]
fn idle_clients_are_quiet() {
    for (servers, friends, per_100_s) in [(1, 0, 10), (3, 0, 15), (10, 10, 30)] {
        let mut world = network(3, servers, 1 + friends);
        let alice = servers;
        (1..=friends).for_each(|n| befriend(&mut world, alice, alice + n));
        world.run_for(5 * MINUTE);
        assert!((1..=friends).all(|n| world.are_connected(alice, alice + n)));
        let since = world.now();
        world.run_for(100 * SECOND);
        let sent = world.tap.asked(alice, since, ONION);
        assert!((5..=per_100_s).contains(&sent), "{servers} servers: {sent} in 100 s");
        assert!(is_connected(&world, alice));
    }
}

#[test]
fn searches_get_rare_with_time() {
    let (mut world, alice, _) = two(3, 10);
    let start = world.now();
    (1..5).for_each(|n| accept(&mut world, alice, PublicKey([n; 32])));
    world.run_for(SECOND);
    let young = world.tap.asked(alice, start, ONION);
    assert!((20..150).contains(&young), "{young} in the first second");
    world.run_for(MINUTE);
    let since = world.now();
    world.run_for(10 * SECOND);
    let later = world.tap.asked(alice, since, ONION);
    assert!(later < 160, "{later} in 10 s after a minute");
    world.tap.sent.clear();
    world.run_for(45 * MINUTE);
    let since = world.now();
    world.run_for(1000 * SECOND);
    let old = world.tap.asked(alice, since, ONION);
    assert!((80..600).contains(&old), "{old} in 1000 s after an hour");
}

/// The hosts that each request of `by` that reached its announce node went through, and that node.
fn routes(world: &Net, by: HostId) -> Vec<Vec<HostId>> {
    let sent: BTreeMap<u64, &Sent> = world.tap.sent.iter().map(|sent| (sent.id, sent)).collect();
    let at: BTreeMap<String, HostId> = (0..world.len()).map(|id| (world.info(id).at.to_string(), id)).collect();
    let arrived = sent.values().filter(|sent| sent.kind() == kind::ANNOUNCE_REQUEST);
    let routes = arrived.filter_map(|last| {
        let mut hosts = vec![*at.get(&last.to.to_string())?, last.by];
        let mut packet = *last;
        while let Some(before) = packet.answers.and_then(|id| sent.get(&id)) {
            hosts.push(before.by);
            packet = before;
        }
        (hosts.pop()? == by).then_some(hosts)
    });
    routes.collect()
}

#[test]
fn hops_are_distinct_and_never_end_at_the_node_that_is_asked() {
    for servers in [3, 4, 8] {
        let (mut world, alice, bob) = two(3, servers);
        // The first paths are made when only one node is known.
        world.run_for(MINUTE);
        world.tap.sent.clear();
        world.befriend(alice, bob);
        world.run_for(20 * SECOND);
        let routes = routes(&world, alice);
        assert!(routes.len() > 10, "{} requests", routes.len());
        for route in routes {
            assert_ne!(route[0], route[1], "{servers} servers");
            let hops: BTreeSet<HostId> = route[1..].iter().copied().collect();
            assert_eq!((hops.len(), hops.contains(&alice)), (3, false), "{servers} servers: {route:?}");
        }
    }
}

#[test]
fn paths_of_too_few_nodes_are_given_up_when_more_are_known() {
    let mut world = network(3, 1, 1);
    connect(&mut world, 1);
    assert!(routes(&world, 1).iter().all(|route| route[1..] == [0, 0, 0]));
    for _ in 0..4 {
        come(&mut world, &CLIENT);
    }
    world.run_for(60 * SECOND);
    world.tap.sent.clear();
    world.run_for(2 * MINUTE);
    assert!(is_connected(&world, 1));
    let routes = routes(&world, 1);
    let distinct = |route: &Vec<HostId>| route[1..].iter().collect::<BTreeSet<_>>().len() == 3;
    assert!(!routes.is_empty() && routes.iter().all(distinct), "{routes:?}");
}

#[test]
fn dead_relays_are_replaced() {
    for seed in 0..3 {
        let (mut world, alice, bob) = two(seed, 12);
        world.run_for(5 * SECOND);
        (3..9).for_each(|server| world.set_up(server, false));
        world.run_for(MINUTE);
        world.befriend(alice, bob);
        let took = time_until(&mut world, MINUTE, |w| w.are_connected(alice, bob));
        assert!(took.is_some_and(|ms| ms < 6000), "seed {seed}: {took:?}");
        assert!(is_connected(&world, bob));
    }
}

#[test]
fn an_outage_is_noticed_and_survived() {
    let (mut world, alice, bob) = two(7, 3);
    let bob_key = key(&world, bob);
    accept(&mut world, alice, bob_key);
    world.run_for(200 * SECOND);
    [0, 1, 2, bob].iter().for_each(|id| world.set_up(*id, false));
    world.run_for(200 * SECOND);
    assert!(!is_connected(&world, alice));
    world.run_for(1000 * SECOND);
    let since = world.now();
    world.run_for(100 * SECOND);
    let sent = world.tap.asked(alice, since, ONION);
    assert!(sent < 60, "{sent} in 100 s without a network");
    [0, 1, 2, bob].iter().for_each(|id| world.set_up(*id, true));
    let took = time_until(&mut world, MINUTE, |w| is_connected(w, alice));
    assert!(took.is_some_and(|ms| ms < 32_000), "{took:?}");
    let alice_key = key(&world, alice);
    accept(&mut world, bob, alice_key);
    let took = time_until(&mut world, MINUTE, |w| w.are_connected(alice, bob));
    assert!(took.is_some_and(|ms| ms < 10_000), "{took:?}");
}

/// Somebody who sees an answer on its way sends a bent one first, then the true one comes, then it comes again.
#[test]
fn forged_and_replayed_answers_change_nothing() {
    let (mut world, alice, bob) = two(7, 1);
    world.run_for(SECOND);
    let bob_key = key(&world, bob);
    let seen = world.tap.sent.len();
    accept(&mut world, alice, bob_key);
    let at = world.info(alice).at;
    let is_answer = move |sent: &&Sent| sent.to == at && sent.kind() == kind::ANNOUNCE_RESPONSE;
    assert!(world.run_until(SECOND, |w| w.tap.sent[seen..].iter().any(|sent| is_answer(&sent))));
    let answer = world.tap.sent[seen..].iter().find(is_answer).unwrap().clone();
    let from = world.info(answer.by).at;
    let sent = world.sent(alice);
    for at in [9, 50, answer.bytes.len() - 1] {
        let mut forged = answer.bytes.clone();
        forged[at] ^= 1;
        assert_eq!(world.inject(alice, from, &forged), Disposition::Dropped(DropReason::BadCrypto));
    }
    for len in 0..answer.bytes.len() {
        assert!(matches!(world.inject(alice, from, &answer.bytes[..len]), Disposition::Dropped(_)));
    }
    assert_eq!(world.sent(alice), sent, "nothing follows");
    assert_eq!(world.inject(alice, from, &answer.bytes), Disposition::Consumed, "the request was still open");
    let sent = world.sent(alice);
    assert_eq!(world.inject(alice, from, &answer.bytes), Disposition::Dropped(DropReason::Unsolicited), "replayed");
    assert_eq!(world.sent(alice), sent);
}

#[test]
fn data_from_strangers_is_opened_and_garbage_is_not() {
    let (mut world, alice, bob) = two(7, 1);
    let bob_key = key(&world, bob);
    accept(&mut world, alice, bob_key);
    assert!(world.run_until(5 * SECOND, |w| !w.tap.times(bob, DATA).is_empty()));
    let came = world.tap.came.iter().find(|came| came.1 == bob && came.3[0] == DATA).unwrap();
    let (from, packet): (Endpoint, Vec<u8>) = (came.2, came.3.clone());
    let opened = world.inject(bob, from, &packet);
    assert!(!matches!(opened, Disposition::Dropped(DropReason::BadCrypto)), "{opened:?}");
    for at in 1..packet.len() {
        let mut bad = packet.clone();
        bad[at] ^= 1;
        // The top bit of an X25519 key is ignored.
        let good = !matches!(world.inject(bob, from, &bad), Disposition::Dropped(DropReason::BadCrypto));
        assert!(!good || at == 56, "byte {at}");
    }
    assert_eq!(world.inject(alice, from, &packet), Disposition::Dropped(DropReason::BadCrypto));
}

#[test]
fn tiny_tables_work_too() {
    let mut world = network_of(5, 3, 2, &Limits { friends: 2, nodes: 8, announces: 2, ..Limits::MICRO });
    let took = time_until(&mut world, 2 * SECOND, |w| is_connected(w, 3) && is_connected(w, 4));
    assert!(took.is_some_and(|ms| ms < 500), "{took:?}");
    world.befriend(3, 4);
    let took = time_until(&mut world, 5 * SECOND, |w| w.are_connected(3, 4));
    assert!(took.is_some_and(|ms| ms < 1500), "{took:?}");
}

#[test]
fn a_removed_friend_leaves_nothing_behind() {
    let (mut world, alice, bob) = two(5, 3);
    let bob_key = key(&world, bob);
    accept(&mut world, alice, bob_key);
    world.run_for(Duration::from_millis(50));
    world.with(alice, |node, now| node.remove_friend(now, node.friend_by_key(&bob_key).unwrap()));
    let carol = come(&mut world, &CLIENT);
    world.befriend(alice, carol);
    world.run_for(5 * SECOND);
    assert!(world.tap.times(bob, DATA).is_empty());
    assert!(world.are_connected(alice, carol));
}

/// A friend who writes to us is there: an old search wakes up.
#[test]
fn a_sign_of_life_makes_a_search_young() {
    let (mut world, alice, bob) = two(5, 3);
    world.befriend(alice, bob);
    world.crash(bob);
    world.run_for(30 * MINUTE);
    let info = world.info(0);
    world.restart(bob, SavedState::Current, &[info]);
    let took = time_until(&mut world, MINUTE, |w| w.are_connected(alice, bob));
    assert!(took.is_some_and(|ms| ms < 3000), "{took:?}");
}

/// Whatever is done to it and whatever arrives, it neither panics nor gets busy (the world checks that), and it keeps
/// to its rate.
#[test]
fn any_order_of_events_is_survived() {
    fn survives(events: Vec<(u8, u8, u16)>, seed: u8) -> bool {
        let mut world: Net = network(u64::from(seed), 3, 0);
        let client = come(&mut world, &Limits { friends: 3, ..CLIENT });
        let start = world.now();
        events.into_iter().for_each(|event| act(&mut world, client, event));
        world.run_for(SECOND);
        let sent = world.tap.asked(client, start, ONION) as u128;
        sent <= 200 + world.now().since(start).as_millis() / 8
    }
    quickcheck::QuickCheck::new().tests(15).quickcheck(survives as fn(Vec<(u8, u8, u16)>, u8) -> bool);
}

fn act(world: &mut World<people::Log>, client: HostId, (what, index, arg): (u8, u8, u16)) {
    match what % 8 {
        0 | 1 => drop(world.with(client, |node, now| node.accept(now, PublicKey([arg as u8 | 1; 32])))),
        2 => {
            let friend = world.node(client).friend_by_index(usize::from(index % 4));
            friend.map(|friend| world.with(client, |node, now| node.remove_friend(now, friend)));
        }
        3 => world.set_up(u32::from(index % 3), arg % 2 == 0),
        4 => world.bootstrap(client, u32::from(index % 3)),
        5 => {
            let mut bytes = [arg as u8; 300];
            bytes[0] = [0x84, 0x86, 0x88, 0x8e][usize::from(index % 4)];
            let _ = world.inject(client, world.net().address(0), &bytes[..usize::from(arg) % 300]);
        }
        6 => weather(world, u32::from(arg % 5) * 100_000, 0, Duration::ZERO),
        _ => world.run_for(Duration::from_millis(u64::from(arg % 1000))),
    }
}

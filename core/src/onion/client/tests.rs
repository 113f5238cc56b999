//! The onion client in a small network, in virtual time.

use super::world::{DESKTOP, Sizes, TINY, World};
use super::*;
use crate::{Disposition, DropReason, Endpoint};
use std::vec::Vec;

const REQUEST: u8 = 0x20;
const DHT_KEY: u8 = 0x9c;

#[test]
fn alone_with_one_node_we_are_connected_within_half_a_second() {
    for seed in 0..20 {
        let mut world = World::new(seed, 1);
        let client = world.client(DESKTOP);
        let took = world.connect(client, 2000);
        assert!(took.is_some_and(|ms| ms < 480), "seed {seed}: {took:?}");
    }
}

#[test]
fn in_a_larger_network_we_are_connected_within_half_a_second() {
    for seed in 0..5 {
        let mut world = World::new(seed, 25);
        let client = world.client(DESKTOP);
        let took = world.connect(client, 2000);
        assert!(took.is_some_and(|ms| ms < 400), "seed {seed}: {took:?}");
    }
}

#[test]
fn a_friend_request_arrives_within_half_a_second() {
    for (seed, servers) in [(0, 1), (1, 1), (2, 1), (3, 3), (4, 25), (5, 25)] {
        let mut world = World::new(seed, servers);
        let (alice, bob) = (world.client(DESKTOP), world.client(DESKTOP));
        world.connect(alice, 2000).unwrap();
        world.connect(bob, 2000).unwrap();
        world.befriend(alice, 3, bob);
        let now = world.now;
        world.with(alice, |alice| alice.onion.send_request(now, 3));
        let took = world.time_of_mail(2000, bob, alice, REQUEST);
        assert!(took.is_some_and(|ms| ms < 500), "seed {seed}: {took:?}");
        assert!(world.with(alice, |alice| alice.onion.take_request_sent(3)));
        assert!(!world.with(alice, |alice| alice.onion.take_request_sent(3)));
        assert!(!world.clients[alice].inbox.iter().any(|_| true));
    }
}

#[test]
fn a_friend_who_comes_later_hears_of_us_within_moments() {
    for seed in 0..10 {
        let mut world = World::new(seed, 1);
        let (alice, bob) = (world.client(DESKTOP), world.client(DESKTOP));
        world.clients[bob].up = false;
        world.connect(alice, 2000).unwrap();
        world.befriend(alice, 0, bob);
        world.run_ms(3000);
        world.restart(bob, DESKTOP);
        world.connect(bob, 2000).unwrap();
        let took = world.time_of_mail(2000, bob, alice, DHT_KEY);
        assert!(took.is_some_and(|ms| ms < 600), "seed {seed}: {took:?}");
    }
}

#[test]
fn a_friend_with_a_new_data_key_is_noticed_within_a_second() {
    for seed in 0..10 {
        let mut world = World::new(seed, 5);
        let (alice, bob) = (world.client(DESKTOP), world.client(DESKTOP));
        world.connect(bob, 2000).unwrap();
        world.befriend(alice, 0, bob);
        world.time_of_mail(2000, bob, alice, DHT_KEY).unwrap();
        world.run_ms(2000);
        world.restart(bob, DESKTOP);
        world.connect(bob, 2000).unwrap();
        let took = world.time_of_mail(2000, bob, alice, DHT_KEY);
        assert!(took.is_some_and(|ms| ms < 1000), "seed {seed}: {took:?}");
        // Later, when the search is old: whoever talks to the friend tells us that the session has ended.
        world.run_ms(100_000);
        let now = world.now;
        world.with(alice, |alice| alice.onion.set_friend_online(now, 0, true));
        world.run_ms(100_000);
        world.restart(bob, DESKTOP);
        let now = world.now;
        world.with(alice, |alice| alice.onion.set_friend_online(now, 0, false));
        world.connect(bob, 2000).unwrap();
        let took = world.time_of_mail(2000, bob, alice, DHT_KEY);
        assert!(took.is_some_and(|ms| ms < 1000), "seed {seed}, later: {took:?}");
    }
}

#[test]
fn our_dht_key_goes_out_at_once_then_more_and_more_rarely() {
    let mut world = World::new(1, 1);
    let (alice, bob) = (world.client(DESKTOP), world.client(DESKTOP));
    world.connect(bob, 2000).unwrap();
    world.befriend(alice, 0, bob);
    world.time_of_mail(2000, bob, alice, DHT_KEY).unwrap();
    let start = world.now;
    world.run_ms(70_000);
    let offsets: Vec<_> = world.clients[bob].inbox.iter().map(|(at, ..)| at.since(start).as_millis() as u64).collect();
    let expected = [0, 1000, 3000, 7000, 15_000, 45_000];
    assert_eq!(offsets.len(), expected.len(), "{offsets:?}");
    assert!(offsets.iter().zip(expected).all(|(a, b)| a.abs_diff(b) < 250), "{offsets:?}");
    let now = world.now;
    world.with(alice, |alice| alice.onion.set_friend_online(now, 0, true));
    world.run_ms(100_000);
    assert_eq!(world.clients[bob].inbox.len(), expected.len(), "nothing goes to a friend who is online");
}

/// A round trip through the onion is eight datagrams: with every 20th lost a third of the round trips fail.
#[test]
fn lost_packets_only_cost_time() {
    for (drop_every, servers, connected_ms, found_ms) in
        [(20, 1, 6000, 16_000), (20, 25, 2000, 4000), (7, 1, 20_000, 80_000), (7, 25, 10_000, 20_000)]
    {
        for seed in 0..6 {
            let mut world = World::new(seed, servers);
            world.drop_every = drop_every;
            let (alice, bob) = (world.client(DESKTOP), world.client(DESKTOP));
            let took = world.connect(alice, connected_ms);
            assert!(took.is_some(), "1/{drop_every} lost, {servers} servers, seed {seed}");
            world.befriend(alice, 0, bob);
            let found = world.time_of_mail(found_ms, bob, alice, DHT_KEY);
            std::println!("1/{drop_every} lost, {servers} servers: connected after {took:?}, found after {found:?}");
            assert!(found.is_some(), "1/{drop_every} lost, {servers} servers, seed {seed}");
        }
    }
}

#[test]
fn idle_clients_are_quiet() {
    for (servers, per_100_s) in [(1, 10), (3, 15), (25, 25)] {
        let mut world = World::new(3, servers);
        let client = world.client(DESKTOP);
        world.connect(client, 2000).unwrap();
        for index in 0..10 {
            let (now, key) = (world.now, PublicKey([index as u8 + 1; 32]));
            world.with(client, |client| {
                client.onion.add_friend(now, index, key);
                client.onion.set_friend_online(now, index, true);
            });
        }
        world.run_ms(300_000);
        let sent = world.clients[client].sent_in(world.now, 100);
        std::println!("{servers} servers: {sent} datagrams in 100 s");
        assert!(sent <= per_100_s, "{servers} servers: {sent} in 100 s");
        assert!(sent >= 5 && world.clients[client].onion.is_connected(world.now));
    }
}

#[test]
fn searches_get_rare_with_time() {
    let mut world = World::new(3, 25);
    let client = world.client(DESKTOP);
    world.connect(client, 2000).unwrap();
    for index in 0..10 {
        let (now, key) = (world.now, PublicKey([index as u8 + 1; 32]));
        world.with(client, |client| client.onion.add_friend(now, index, key));
    }
    world.run_ms(1000);
    let young = world.clients[client].sent_in(world.now, 1);
    assert!((50..150).contains(&young), "{young} in the first second");
    world.run_ms(60_000);
    let later = world.clients[client].sent_in(world.now, 10);
    assert!(later < 400, "{later} in 10 s after a minute");
    world.run_ms(3 * 3_600_000);
    let old = world.clients[client].sent_in(world.now, 1000);
    std::println!("{young} {later} {old}");
    assert!((80..400).contains(&old), "{old} in 1000 s after three hours");
}

#[test]
fn hops_are_distinct_and_never_end_at_the_node_that_is_asked() {
    for servers in [3, 4, 8] {
        let mut world = World::new(3, servers);
        let (alice, bob) = (world.client(DESKTOP), world.client(DESKTOP));
        world.befriend(alice, 0, bob);
        world.run_ms(20_000);
        let mut asked = 0;
        for server in &world.servers {
            asked += server.last_hops.len();
            assert!(!server.last_hops.contains(&server.at), "{servers} servers");
        }
        assert!(asked > 20);
        assert!(world.clients[alice].onion.paths.all_distinct());
    }
}

#[test]
fn paths_of_too_few_nodes_are_given_up_when_more_are_known() {
    let mut world = World::new(3, 4);
    for server in 1..4 {
        world.servers[server].up = false;
    }
    let client = world.client(Sizes { path_nodes: 4, ..DESKTOP });
    for server in 1..4 {
        let at = world.servers[server].at;
        for _ in 0..10 {
            world.clients[client].onion.nodes.blame(&[at]);
        }
    }
    world.connect(client, 2000).unwrap();
    assert!(!world.clients[client].onion.paths.all_distinct());
    for server in 1..4 {
        world.servers[server].up = true;
        world.introduce(client, server);
    }
    world.run_ms(16_000);
    assert!(world.clients[client].onion.is_connected(world.now));
    let now = world.now;
    let onion = &world.clients[client].onion;
    assert!(onion.announcement.is_sound(now, &onion.paths, &onion.nodes));
}

#[test]
fn dead_relays_are_replaced() {
    for seed in 0..5 {
        let mut world = World::new(seed, 12);
        let (alice, bob) = (world.client(DESKTOP), world.client(DESKTOP));
        world.connect(alice, 2000).unwrap();
        world.connect(bob, 2000).unwrap();
        world.run_ms(5000);
        for server in 0..6 {
            world.servers[server].up = false;
        }
        world.run_ms(60_000);
        world.befriend(alice, 0, bob);
        let took = world.time_of_mail(20_000, bob, alice, DHT_KEY);
        assert!(took.is_some_and(|ms| ms < 5000), "seed {seed}: {took:?}");
        assert!(world.clients[bob].onion.is_connected(world.now));
    }
}

#[test]
fn an_outage_is_noticed_and_survived() {
    let mut world = World::new(7, 3);
    let (alice, bob) = (world.client(DESKTOP), world.client(DESKTOP));
    world.connect(alice, 2000).unwrap();
    world.befriend(alice, 0, bob);
    world.run_ms(200_000);
    world.servers.iter_mut().for_each(|server| server.up = false);
    world.run_ms(200_000);
    assert!(!world.clients[alice].onion.is_connected(world.now));
    world.run_ms(2_000_000);
    let sent = world.clients[alice].sent_in(world.now, 100);
    assert!(sent < 60, "{sent} in 100 s without a network");
    world.servers.iter_mut().for_each(|server| server.up = true);
    for server in 0..3 {
        world.introduce(alice, server);
        world.introduce(bob, server);
    }
    let took = world.connect(alice, 10_000);
    assert!(took.is_some_and(|ms| ms < 1500), "{took:?}");
    let took = world.time_of_mail(20_000, bob, alice, DHT_KEY);
    assert!(took.is_some_and(|ms| ms < 5000), "{took:?}");
}

#[test]
fn forged_and_replayed_answers_change_nothing() {
    let mut world = World::new(7, 1);
    let (alice, bob) = (world.client(DESKTOP), world.client(DESKTOP));
    world.connect(alice, 2000).unwrap();
    world.run_ms(1000);
    world.last_to_client = None;
    world.befriend(alice, 0, bob);
    world.time_until(1000, |world| world.last_to_client.is_some()).unwrap();
    let (from, answer) = world.last_to_client.clone().unwrap();
    assert_eq!(answer[0], 0x84);
    let sent = world.clients[alice].sent.len();
    assert_eq!(world.inject(alice, from, &answer), Disposition::Dropped(DropReason::Unsolicited), "replayed");
    assert_eq!(world.clients[alice].sent.len(), sent);

    // A forger who knows an open sendback, but no key.
    world.time_until(1000, |world| world.clients[alice].onion.requests.open_sendback().is_some()).unwrap();
    let (at, now) = (world.servers[0].at, world.now);
    let open = world.clients[alice].onion.requests.open_sendback().unwrap();
    let mut forged = answer;
    forged[1..9].copy_from_slice(&open.to_be_bytes());
    forged[50] ^= 1;
    assert_eq!(world.inject(alice, at, &forged), Disposition::Dropped(DropReason::BadCrypto));
    assert_eq!(world.now, now);
    assert_eq!(world.clients[alice].onion.requests.open_sendback(), Some(open), "the request stays open");
    for len in 0..forged.len() {
        assert!(matches!(world.inject(alice, at, &forged[..len]), Disposition::Dropped(_)));
    }
}

#[test]
fn data_from_strangers_is_opened_and_garbage_is_not() {
    let mut world = World::new(7, 1);
    let (alice, bob) = (world.client(DESKTOP), world.client(DESKTOP));
    world.connect(bob, 2000).unwrap();
    world.befriend(alice, 0, bob);
    world.last_to_client = None;
    world.time_of_mail(2000, bob, alice, DHT_KEY).unwrap();
    let (from, packet) = world.last_to_client.clone().unwrap();
    assert_eq!((packet[0], world.inject(bob, from, &packet)), (0x86, Disposition::Consumed));
    for at in 1..packet.len() {
        let mut bad = packet.clone();
        bad[at] ^= 1;
        // The top bit of an X25519 key is ignored.
        let ignored = at == 56;
        let good = world.inject(bob, from, &bad) == Disposition::Consumed;
        assert!(!good || ignored, "byte {at}");
    }
    assert!(matches!(world.inject(alice, from, &packet), Disposition::Dropped(DropReason::BadCrypto)));
}

#[test]
fn answers_cannot_make_us_ask_without_end() {
    let mut world = World::new(5, 1);
    let client = world.client(DESKTOP);
    let now = world.now;
    world.clients[client].bench.now = now;
    let asked = || {
        let mut pending = Pending::VACANT;
        pending.set_node(PublicKey([9; 32]), Endpoint::v4([8, 8, 8, 8], 1));
        pending
    };
    let mut wanted = 0;
    for round in 0..100_u8 {
        let mut bytes = [0; 4 * 39];
        let mut w = crate::wire::Writer::new(&mut bytes);
        for n in 0..4 {
            let key = PublicKey([(round.wrapping_mul(4) + n) | 1; 32]);
            NodeInfo { key, at: Endpoint::v4([9, 9, round, n], 1) }.emit(&mut w);
        }
        let nodes = crate::wire::PackedNodes::parse_udp(&bytes, 4).unwrap();
        let it = &mut world.clients[client];
        it.onion.ask_further(&mut it.bench.cx(), &asked(), nodes, &Endpoint::v4([8, 8, 8, 8], 1));
        wanted += std::iter::from_fn(|| it.onion.requests.take_wanted()).count();
    }
    assert!((1..=SEARCH_BURST as usize).contains(&wanted), "{wanted}");
}

#[test]
fn local_nodes_count_only_from_local_relays() {
    for (from, counts) in [([8, 8, 8, 8], false), ([192, 168, 1, 1], true)] {
        let mut world = World::new(5, 1);
        let client = world.client(DESKTOP);
        while world.clients[client].onion.requests.take_wanted().is_some() {}
        let mut bytes = [0; 39];
        let local = NodeInfo { key: PublicKey([3; 32]), at: Endpoint::v4([10, 0, 0, 1], 1) };
        local.emit(&mut crate::wire::Writer::new(&mut bytes));
        let nodes = crate::wire::PackedNodes::parse_udp(&bytes, 4).unwrap();
        let it = &mut world.clients[client];
        it.onion.ask_further(&mut it.bench.cx(), &Pending::VACANT, nodes, &Endpoint::v4(from, 1));
        assert_eq!(it.onion.requests.has_wanted(), counts);
    }
}

#[test]
fn tiny_tables_work_too() {
    let mut world = World::new(5, 3);
    let (alice, bob) = (world.client(TINY), world.client(TINY));
    assert!(world.connect(alice, 2000).is_some_and(|ms| ms < 500));
    world.connect(bob, 2000).unwrap();
    world.befriend(alice, 0, bob);
    assert!(world.time_of_mail(5000, bob, alice, DHT_KEY).is_some_and(|ms| ms < 1000));
    let now = world.now;
    world.with(alice, |alice| {
        alice.onion.add_friend(now, 1, PublicKey([1; 32]));
        alice.onion.send_request(now, 1);
        alice.onion.remove_friend(7);
    });
    let none = Sizes { path_nodes: 0, paths: 0, friends: 0, self_nodes: 0, pending: 0 };
    let nobody = world.client(none);
    assert_eq!(world.connect(nobody, 10_000), None);
}

#[test]
fn a_removed_friend_leaves_nothing_behind() {
    let mut world = World::new(5, 3);
    let (alice, bob) = (world.client(DESKTOP), world.client(DESKTOP));
    world.connect(bob, 2000).unwrap();
    world.befriend(alice, 0, bob);
    world.run_ms(50);
    world.with(alice, |alice| alice.onion.remove_friend(0));
    let carol = world.client(DESKTOP);
    world.befriend(alice, 0, carol);
    world.run_ms(5000);
    assert!(world.clients[bob].inbox.is_empty());
    assert!(!world.clients[carol].inbox.is_empty());
}

/// Memory of the tables: what a microcontroller pays per entry.
#[test]
fn entries_stay_small() {
    assert!(size_of::<PathNode>() <= 60, "{}", size_of::<PathNode>());
    assert!(size_of::<Path>() <= 248, "{}", size_of::<Path>());
    assert!(size_of::<SelfNode>() <= 128, "{}", size_of::<SelfNode>());
    assert!(size_of::<Pending>() <= 112, "{}", size_of::<Pending>());
    assert!(size_of::<OnionFriend>() <= 680, "{}", size_of::<OnionFriend>());
    assert!(size_of::<OnionClient<'_>>() <= 320, "{}", size_of::<OnionClient<'_>>());
}

//! The onion client in a small network, in virtual time.

use super::world::{DESKTOP, Sizes, TINY, World};
use super::*;
use crate::{Disposition, DropReason, Endpoint};
use std::vec::Vec;

const REQUEST: u8 = 0x20;
const DHT_KEY: u8 = 0x9c;

#[test]
fn alone_with_one_node_we_are_connected_within_half_a_second() {
    for seed in 0..12 {
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
    for seed in 0..4 {
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
        for seed in 0..3 {
            let mut world = World::new(seed, servers);
            world.drop_every = drop_every;
            let (alice, bob) = (world.client(DESKTOP), world.client(DESKTOP));
            let took = world.connect(alice, connected_ms);
            assert!(took.is_some(), "1/{drop_every} lost, {servers} servers, seed {seed}");
            world.befriend(alice, 0, bob);
            let found = world.time_of_mail(found_ms, bob, alice, DHT_KEY);
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
        assert!(sent <= per_100_s, "{servers} servers: {sent} in 100 s");
        assert!(sent >= 5 && world.clients[client].onion.is_connected(world.now));
    }
}

#[test]
fn searches_get_rare_with_time() {
    let mut world = World::new(3, 25);
    let client = world.client(DESKTOP);
    world.connect(client, 2000).unwrap();
    for index in 0..4 {
        let (now, key) = (world.now, PublicKey([index as u8 + 1; 32]));
        world.with(client, |client| client.onion.add_friend(now, index, key));
    }
    world.run_ms(1000);
    let young = world.clients[client].sent_in(world.now, 1);
    assert!((20..150).contains(&young), "{young} in the first second");
    world.run_ms(60_000);
    let later = world.clients[client].sent_in(world.now, 10);
    assert!(later < 160, "{later} in 10 s after a minute");
    world.run_ms(3 * 3_600_000);
    let old = world.clients[client].sent_in(world.now, 1000);
    assert!((80..250).contains(&old), "{old} in 1000 s after three hours");
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
        it.onion.ask_further(&it.bench.cx(), &asked(), nodes, &Endpoint::v4([8, 8, 8, 8], 1));
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
        it.onion.ask_further(&it.bench.cx(), &Pending::VACANT, nodes, &Endpoint::v4(from, 1));
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

#[test]
fn bootstrap_nodes_serve_before_the_dht_answers() {
    let mut world = World::new(5, 3);
    let nodes: Vec<_> = world.servers.iter().map(|server| server.info()).collect();
    world.servers.iter_mut().for_each(|server| server.up = false);
    let client = world.client(Sizes { path_nodes: 0, ..DESKTOP });
    world.clients[client].onion = OnionClient::new(DESKTOP.tables());
    world.servers.iter_mut().for_each(|server| server.up = true);
    world.with(client, |client| nodes.iter().for_each(|node| client.onion.add_bootstrap(*node)));
    let took = world.connect(client, 2000);
    assert!(took.is_some_and(|ms| ms < 400), "{took:?}");
    assert_eq!(world.clients[client].onion.path_nodes().count(), 3);
}

#[test]
fn a_request_is_repeated_for_a_new_run_of_the_friend_until_the_friend_answers() {
    let mut world = World::new(5, 3);
    let (alice, bob) = (world.client(DESKTOP), world.client(DESKTOP));
    world.connect(bob, 2000).unwrap();
    world.befriend(alice, 0, bob);
    let now = world.now;
    world.with(alice, |alice| alice.onion.send_request(now, 0));
    world.time_of_mail(2000, bob, alice, REQUEST).unwrap();
    world.restart(bob, DESKTOP);
    let took = world.time_of_mail(3000, bob, alice, REQUEST);
    assert!(took.is_some_and(|ms| ms < 1500), "{took:?}");
    let key = world.clients[bob].bench.me.dht.public;
    world.with(alice, |alice| alice.onion.set_friend_dht_key(0, Some(key)));
    world.restart(bob, DESKTOP);
    assert_eq!(world.time_of_mail(10_000, bob, alice, REQUEST), None);
    assert!(world.clients[bob].inbox.iter().any(|(_, _, first)| *first == DHT_KEY));
}

/// A friend who writes to us is there: an old search wakes up.
#[test]
fn a_sign_of_life_makes_a_search_young() {
    let mut world = World::new(5, 3);
    let (alice, bob) = (world.client(DESKTOP), world.client(DESKTOP));
    world.clients[bob].up = false;
    world.befriend(alice, 0, bob);
    world.run_ms(4_000_000);
    world.restart(bob, DESKTOP);
    world.connect(bob, 2000).unwrap();
    let key = world.clients[bob].bench.me.dht.public;
    world.with(alice, |alice| alice.onion.set_friend_dht_key(0, Some(key)));
    let took = world.time_of_mail(3000, bob, alice, DHT_KEY);
    assert!(took.is_some_and(|ms| ms < 600), "{took:?}");
}

quickcheck::quickcheck! {
    /// Whatever is done to it and whatever arrives, it neither panics nor gets busy (the world checks that), and it
    /// keeps to its rate.
    fn any_order_of_events_is_survived(events: Vec<(u8, u8, u16)>, seed: u8) -> bool {
        let mut world = World::new(seed, 3);
        let client = world.client(Sizes { pending: 8, friends: 3, ..DESKTOP });
        let start = world.now;
        for (what, index, arg) in events {
            let (now, index) = (world.now, usize::from(index % 4));
            match what % 10 {
                0 => world.with(client, |it| it.onion.add_friend(now, index, PublicKey([arg as u8 | 1; 32]))),
                1 => world.with(client, |it| it.onion.remove_friend(index)),
                2 => world.with(client, |it| it.onion.set_friend_online(now, index, arg % 2 == 0)),
                3 => world.with(client, |it| it.onion.send_request(now, index)),
                4 => world.with(client, |it| it.onion.set_friend_dht_key(index, Some(PublicKey([arg as u8; 32])))),
                5 => world.servers[index % 3].up = arg % 2 == 0,
                6 => world.introduce(client, index % 3),
                7 => {
                    let mut bytes = [arg as u8; 300];
                    bytes[0] = [0x84, 0x86, 0x88, 0x8e][index];
                    let len = usize::from(arg) % 300;
                    let from = world.servers[0].at;
                    let _ = world.inject(client, from, &bytes[..len]);
                }
                8 => world.drop_every = u64::from(arg % 5),
                _ => world.run_ms(u64::from(arg % 1000)),
            }
        }
        world.run_ms(1000);
        let sent = world.clients[client].sent.len() as u128;
        sent <= 200 + world.now.since(start).as_millis() / 8
    }
}

/// Memory of the tables: what a microcontroller pays per entry.
#[test]
#[cfg_attr(target_arch = "x86", ignore = "a u64 is aligned to four bytes there, and entries are smaller")]
fn entries_stay_small() {
    let sizes = [
        size_of::<PathNode>(),
        size_of::<Path>(),
        size_of::<SelfNode>(),
        size_of::<Pending>(),
        size_of::<OnionFriend>(),
    ];
    assert_eq!(sizes, [60, 240, 128, 112, 664]);
}

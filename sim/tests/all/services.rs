//! What strangers can do with the services that nodes offer to groups: forwarding and DHT announcements.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use bluering_core::crypto::PublicKey;
use bluering_core::wire::announcements::SearchRequest;
use bluering_core::wire::forwarding::{CHAIN_MAX, ForwardRequest, Forwarded};
use bluering_core::wire::{Writer, kind};
use bluering_core::{DATAGRAM_MAX, Disposition, DropReason, Endpoint, Limits};
use bluering_sim::adversaries::craft::{Attacker, address};
use bluering_sim::{HostId, SimRng, World};
use core::time::Duration;

const MILLI: Duration = Duration::from_millis(1);

/// Three nodes that know each other.
fn network(seed: u64) -> (World, [HostId; 3]) {
    let mut world = World::new(seed);
    let limits = Limits { announcements: 8, ..Limits::SERVER };
    let hosts = [world.add(&limits), world.add(&limits), world.add(&limits)];
    hosts[1..].iter().for_each(|host| world.bootstrap(*host, hosts[0]));
    world.run_for(Duration::from_secs(30));
    assert!(hosts.iter().all(|host| world.node(*host).known_nodes().count() == 2));
    world.record();
    (world, hosts)
}

fn written(emit: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buf = [0; DATAGRAM_MAX];
    let mut w = Writer::new(&mut buf);
    emit(&mut w);
    let len = w.len();
    buf[..len].to_vec()
}

/// A search of the attacker at the node with `key`.
fn search(attacker: &Attacker, key: &PublicKey, wanted: PublicKey) -> Vec<u8> {
    let text = written(|w| SearchRequest { key: wanted, known: None, id: 7 }.emit(w));
    attacker.packet(kind::DATA_SEARCH_REQUEST, key, &text)
}

/// `data` through a chain of nodes.
fn chained(chain: impl DoubleEndedIterator<Item = PublicKey>, data: &[u8]) -> Vec<u8> {
    chain.rev().fold(data.to_vec(), |data, next| written(|w| ForwardRequest { next, data: &data }.emit(w)))
}

/// What the nodes sent to each other and to others of these kinds since the last call.
fn flights(world: &mut World) -> Vec<(u8, Endpoint, usize)> {
    let log = world.recorded();
    let log =
        log.iter().filter(|flight| (kind::FORWARD_REQUEST..=kind::STORE_ANNOUNCE_RESPONSE).contains(&flight.bytes[0]));
    log.map(|flight| (flight.bytes[0], world.info(flight.to).at, flight.bytes.len())).collect()
}

/// A request goes through a chain of nodes to the one that answers, and the answer comes back the same way.
#[test]
fn a_search_goes_through_a_chain() {
    let (mut world, hosts) = network(1);
    let keys = hosts.map(|host| world.node(host).dht_key());
    let mut noise = SimRng::new(1);
    let attacker = Attacker::new(world.suite(), &mut noise);
    let inner = search(&attacker, &keys[2], PublicKey([3; 32]));
    let packet = chained([keys[1], keys[2]].into_iter(), &inner);
    let went = world.inject(hosts[0], attacker.at, &packet);
    assert!(matches!(went, Disposition::Reply { to, .. } if to == world.info(hosts[1]).at), "{went:?}");
    world.run_for(Duration::from_secs(2));
    let kinds: Vec<u8> = flights(&mut world).iter().map(|(kind, ..)| *kind).collect();
    assert_eq!(kinds, [kind::FORWARDING, kind::FORWARDING, kind::FORWARD_REPLY, kind::FORWARD_REPLY]);
    // And to the one who asked.
    assert_eq!(world.node(hosts[0]).stats().dropped(DropReason::BadToken), 0);
}

/// Packets that are to run in circles, by thousands: each goes a few hops, and a node passes on no more than its rate.
#[test]
fn loops_of_forwarders_end() {
    let (mut world, hosts) = network(2);
    let keys = hosts.map(|host| world.node(host).dht_key());
    let mut noise = SimRng::new(2);
    let circle = |len: usize| chained((0..len).map(|i| keys[1 - i % 2]), b"round and round");
    // Longer than a chain may be: it does not even begin.
    let from = address(&mut noise);
    let long = world.inject(hosts[0], from, &circle(CHAIN_MAX + 1));
    assert_eq!(long, Disposition::Dropped(DropReason::Forbidden));
    let sendback = &[1; 8][..];
    let mut injected = 0;
    for _ in 0..2000 {
        let from = address(&mut noise);
        let _ = world.inject(hosts[0], from, &circle(CHAIN_MAX));
        let data = &circle(CHAIN_MAX);
        let forged = written(|w| Forwarded { kind: kind::FORWARDING, sendback, data }.emit(w));
        let _ = world.inject(hosts[0], from, &forged);
        injected += 2;
        world.run_for(MILLI);
    }
    world.run_for(Duration::from_secs(2));
    let flights = flights(&mut world);
    let limited = world.node(hosts[0]).stats().dropped(DropReason::RateLimited);
    assert!(limited > 2000, "{limited}");
    // In two seconds each of the two passes on 256 at once and one in 4 ms.
    assert!(flights.len() <= 2 * (256 + 2500 / 4), "{} follow from {injected}", flights.len());
    assert!(flights.iter().all(|(_, _, len)| *len <= circle(CHAIN_MAX).len() + 40), "packets grow");
    for host in hosts {
        assert_eq!(world.node(host).known_nodes().count(), 2, "the network lives on");
    }
}

/// Thousands search and ask for what they have no auth for: tables stay as they are, answers have their bound, and
/// whoever knows nobody is not listed for it.
#[test]
fn floods_of_searches_change_nothing() {
    let (mut world, hosts) = network(3);
    let mut noise = SimRng::new(3);
    let key = world.node(hosts[0]).dht_key();
    for round in 0..3000 {
        let attacker = Attacker::new(world.suite(), &mut noise);
        let wanted = PublicKey(noise.array());
        let packet = match round % 4 {
            0 | 1 => search(&attacker, &key, wanted),
            2 => attacker.packet(kind::DATA_RETRIEVE_REQUEST, &key, &[&wanted.0[..], &[0; 41]].concat()),
            _ => attacker.packet(kind::STORE_ANNOUNCE_REQUEST, &key, &[&wanted.0[..], &[1; 100 + 8]].concat()),
        };
        let before = world.sent(hosts[0]);
        let answer = world.inject(hosts[0], attacker.at, &packet);
        let after = world.sent(hosts[0]);
        assert!(after.0 - before.0 <= 1 && (after.1 - before.1) * 10 <= packet.len() as u64 * 34);
        assert!(round % 4 < 2 || matches!(answer, Disposition::Dropped(_)), "{answer:?}");
        if round % 16 == 0 {
            world.run_for(MILLI);
        }
    }
    let table = world.node(hosts[0]).occupancy().get("DHT announcements").unwrap();
    assert_eq!((table.used, table.capacity), (0, 8));
    assert_eq!(world.node(hosts[0]).known_nodes().count(), 2);
}

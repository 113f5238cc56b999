//! What single datagrams do.

use super::world::{Party, World, dht};
use crate::crypto::PublicKey;
use crate::cx::test_env::Bench;
use crate::dht::send::seal_packet;
use crate::dht::{DhtNote, emit_dht_request};
use crate::storage::Need;
use crate::time::Instant;
use crate::wire::dht::{INFO_REQUEST_LEN, InfoResponse, NAT_PING, NodesRequest, NodesResponse, Ping};
use crate::wire::{NodeInfo, kind};
use crate::{DATAGRAM_MAX, Disposition, DropReason, Endpoint, Frame};
use core::time::Duration;
use quickcheck::quickcheck;
use std::boxed::Box;
use std::vec::Vec;

const STRANGER: Endpoint = Endpoint::v4([198, 51, 100, 1], 4000);

/// A packet of `by` to `to`.
fn ping(by: &mut Bench, to: &PublicKey, packet: u8, ping: Ping) -> Vec<u8> {
    let mut buf = [0; DATAGRAM_MAX];
    let len = seal_packet(&mut by.cx(), Need::Theirs, packet, to, &mut buf, |w| ping.emit(w)).unwrap();
    buf[..len].to_vec()
}

fn deliver(world: &mut World, from: Endpoint, bytes: &[u8]) -> Disposition {
    let to = world.parties[0].at;
    world.deliver(from, to, bytes).unwrap()
}

fn one_party() -> (World, PublicKey) {
    let mut world = World::new();
    world.add();
    let key = world.info(0).key;
    (world, key)
}

#[test]
fn requests_are_answered_in_place_and_newcomers_pinged() {
    let (mut world, key) = one_party();
    let mut stranger = Bench::new(99);
    let request = ping(&mut stranger, &key, 0, Ping { kind: 0, id: 77 });
    assert_eq!(deliver(&mut world, STRANGER, &request), Disposition::Reply { to: STRANGER, len: 82 });
    let sent: Vec<_> = world.log.iter().map(|s| (s.kind, s.to)).collect();
    assert_eq!(sent, [(1, STRANGER), (0, STRANGER)]);
    // Again: answered, but not pinged so soon.
    let _ = deliver(&mut world, STRANGER, &request);
    assert_eq!(world.log.len(), 3);
    let mut buf = [0; DATAGRAM_MAX];
    let text = NodesRequest { target: PublicKey([5; 32]), id: 9 };
    let len = seal_packet(&mut stranger.cx(), Need::Theirs, 2, &key, &mut buf, |w| text.emit(w)).unwrap();
    assert_eq!(deliver(&mut world, STRANGER, &buf[..len]), Disposition::Reply { to: STRANGER, len: 82 });
}

#[test]
fn forged_and_misdirected_packets_are_dropped_with_the_reason() {
    let (mut world, key) = one_party();
    let mut stranger = Bench::new(99);
    let good = ping(&mut stranger, &key, 0, Ping { kind: 0, id: 77 });
    let mut dropped = |from, bytes: &[u8]| match deliver(&mut world, from, bytes) {
        Disposition::Dropped(reason) => Some(reason),
        Disposition::Consumed | Disposition::Reply { .. } => None,
    };
    let mut forged = good.clone();
    forged[81] ^= 1;
    assert_eq!(dropped(STRANGER, &forged), Some(DropReason::BadCrypto));
    assert_eq!(dropped(STRANGER, &good[..81]), Some(DropReason::Malformed));
    assert_eq!(dropped(Endpoint::v4([1, 2, 3, 4], 0), &good), Some(DropReason::BadAddress));
    let mut own = good.clone();
    own[1..33].copy_from_slice(&key.0);
    assert_eq!(dropped(STRANGER, &own), Some(DropReason::OwnPacket));
    let mut small_order = good.clone();
    small_order[1..33].fill(0);
    assert_eq!(dropped(STRANGER, &small_order), Some(DropReason::BadCrypto));
    // A ping response in the box of a request, and the other way round.
    assert_eq!(dropped(STRANGER, &ping(&mut stranger, &key, 0, Ping { kind: 1, id: 7 })), Some(DropReason::Malformed));
    assert_eq!(dropped(STRANGER, &ping(&mut stranger, &key, 1, Ping { kind: 0, id: 7 })), Some(DropReason::Malformed));
    let answer = ping(&mut stranger, &key, 1, Ping { kind: 1, id: 7 });
    assert_eq!(dropped(STRANGER, &answer), Some(DropReason::Unsolicited));
    assert_eq!(dropped(STRANGER, &[0x77; 33]), Some(DropReason::UnknownKind));
    assert_eq!(dropped(STRANGER, &[]), Some(DropReason::UnknownKind));
}

/// Who calls in the local network gets a nodes request, once, until it is known; at the rate of newcomers.
#[test]
fn who_calls_is_asked_unless_known() {
    let (mut world, key) = one_party();
    let at = Endpoint::v4([192, 168, 1, 9], 33445);
    let call = |world: &mut World, key, at| {
        let now = world.now;
        let called = world.parties[0].dht.called(now, NodeInfo { key, at });
        world.run(Duration::ZERO);
        called.map(|()| core::mem::take(&mut world.log).iter().map(|sent| (sent.kind, sent.to)).collect::<Vec<_>>())
    };
    assert_eq!(call(&mut world, key, at), Err(DropReason::OwnPacket));
    let other = PublicKey([9; 32]);
    assert_eq!(call(&mut world, other, at), Ok(std::vec![(2, at)]));
    assert_eq!(call(&mut world, other, at), Ok(Vec::new()), "it was just asked");
    let mut asked = 1;
    for i in 0..200_u8 {
        asked += call(&mut world, PublicKey([i ^ 0x55; 32]), Endpoint::v4([192, 168, 1, i], 33446)).unwrap().len();
    }
    assert_eq!(asked, 32, "a flood of calls costs no more than its burst");
    // Two that hear each other's calls are connected; then calls are no news.
    let (mut world, _) = one_party();
    world.add();
    let (a, b) = (world.info(0), world.info(1));
    world.parties[1].at = at;
    let _ = call(&mut world, b.key, at);
    world.run(Duration::from_secs(3));
    let now = world.now;
    assert!(world.parties.iter().all(|party| party.dht.is_connected(now)));
    world.log.clear();
    let elsewhere = Endpoint::v4([192, 168, 1, 10], 33445);
    assert_eq!(call(&mut world, b.key, elsewhere), Ok(Vec::new()));
    assert!(world.parties[1].dht.listed(&a.key).is_some());
}

/// An answer counts for the node that was asked, from its address, within 5 to 10 s.
#[test]
fn answers_are_accepted_once_asked_for() {
    let (mut world, key) = one_party();
    let mut stranger = Bench::new(99);
    let node = NodeInfo { key: stranger.me.dht.public, at: STRANGER };
    let nodes = |stranger: &mut Bench, id| {
        let mut buf = [0; DATAGRAM_MAX];
        let named = NodeInfo { key: PublicKey([3; 32]), at: Endpoint::v4([198, 51, 100, 9], 1) };
        let text = |w: &mut crate::wire::Writer<'_>| NodesResponse::emit_list(w, &[named], id);
        let len = seal_packet(&mut stranger.cx(), Need::Theirs, 4, &key, &mut buf, text).unwrap();
        buf[..len].to_vec()
    };
    let id = world.parties[0].dht.ids.make(world.now, kind::NODES_REQUEST, &node);
    let answer = nodes(&mut stranger, id);
    let elsewhere = Endpoint::v4([198, 51, 100, 1], 4001);
    assert_eq!(deliver(&mut world, elsewhere, &answer), Disposition::Dropped(DropReason::Unsolicited));
    let wrong = nodes(&mut stranger, id ^ 1);
    assert_eq!(deliver(&mut world, STRANGER, &wrong), Disposition::Dropped(DropReason::Unsolicited));
    assert_eq!(deliver(&mut world, STRANGER, &answer), Disposition::Consumed);
    assert_eq!(world.parties[0].notes, [(DhtNote::Alive(node), Vec::new())]);
    assert!(
        world.log.iter().any(|s| s.to == Endpoint::v4([198, 51, 100, 9], 1) && s.kind == 2),
        "who is named is asked"
    );
    world.now = world.now + Duration::from_secs(10);
    assert_eq!(deliver(&mut world, STRANGER, &answer), Disposition::Dropped(DropReason::Unsolicited));
}

/// A node on the internet cannot make us send packets to ourselves.
#[test]
fn loopback_addresses_named_from_outside_are_not_asked() {
    let (mut world, key) = one_party();
    let mut stranger = Bench::new(99);
    let node = NodeInfo { key: stranger.me.dht.public, at: STRANGER };
    let id = world.parties[0].dht.ids.make(world.now, kind::NODES_REQUEST, &node);
    let named = [Endpoint::v4([8, 8, 8, 8], 0), Endpoint::v4([127, 0, 0, 1], 22)]
        .map(|at| NodeInfo { key: PublicKey([at.port() as u8 + 1; 32]), at });
    let mut buf = [0; DATAGRAM_MAX];
    let len =
        seal_packet(&mut stranger.cx(), Need::Theirs, 4, &key, &mut buf, |w| NodesResponse::emit_list(w, &named, id))
            .unwrap();
    assert_eq!(deliver(&mut world, STRANGER, &buf[..len]), Disposition::Consumed);
    world.run(Duration::from_secs(3));
    assert!(world.log.iter().all(|s| s.to == STRANGER));
}

/// A searched key that asks us something is pinged at once, however busy we are with others.
#[test]
fn a_searched_newcomer_is_pinged_at_once() {
    let (mut world, key) = one_party();
    let mut friend = Bench::new(99);
    let now = world.now;
    world.parties[0].dht.search(now, friend.me.dht.public).unwrap();
    for n in 0..100 {
        let mut stranger = Bench::new(100 + n);
        let request = ping(&mut stranger, &key, 0, Ping { kind: 0, id: 1 });
        let _ = deliver(&mut world, Endpoint::v4([198, 51, 100, n], 5), &request);
    }
    let request = ping(&mut friend, &key, 0, Ping { kind: 0, id: 1 });
    let _ = deliver(&mut world, STRANGER, &request);
    let last = world.log.last().unwrap();
    assert_eq!((last.to, last.kind, last.when), (STRANGER, 0, now));
}

#[test]
fn dht_requests_travel_through_a_node_that_knows_the_receiver() {
    let mut world = World::new();
    for _ in 0..3 {
        world.add();
    }
    world.bootstrap(1, 0);
    world.bootstrap(2, 0);
    world.run(Duration::from_secs(3));
    let (server, friend) = (world.info(0), world.info(2));
    let now = world.now;
    let id = world.parties[1].dht.search(now, friend.key).unwrap();
    assert_eq!(world.parties[1].dht.route(now, id, 0), Some(server));
    assert_eq!(world.parties[1].dht.route(now, id, 1), None);
    let mut buf = [0; DATAGRAM_MAX];
    let Party { bench, at, .. } = &mut world.parties[1];
    let (from, data) = (*at, [7; 918]);
    assert_eq!(emit_dht_request(&mut bench.cx(), &friend.key, 156, &[7; 919], &mut buf), None);
    assert_eq!(emit_dht_request(&mut bench.cx(), &PublicKey::ZERO, 156, &data, &mut buf), None);
    let len = emit_dht_request(&mut bench.cx(), &friend.key, 156, &data, &mut buf).unwrap();
    assert_eq!(len, 1024);
    let forwarded = deliver(&mut world, from, &buf[..len]);
    assert_eq!(forwarded, Disposition::Reply { to: friend.at, len: 1024 });
    world.run(Duration::from_secs(1));
    let sender = world.info(1).key;
    let (note, bytes) = world.parties[2].notes.last().unwrap();
    assert!(matches!(note, DhtNote::Request { sender: by, request: 156, .. } if *by == sender));
    assert_eq!(bytes[..], data);
    let unknown = emit_dht_request(&mut world.parties[1].bench.cx(), &PublicKey([9; 32]), 156, &[1], &mut buf);
    let dropped = deliver(&mut world, from, &buf[..unknown.unwrap()]);
    assert_eq!(dropped, Disposition::Dropped(DropReason::NoRoute));
    // And one for the first node itself.
    let len = emit_dht_request(&mut world.parties[1].bench.cx(), &server.key, 155, &[], &mut buf).unwrap();
    assert_eq!(deliver(&mut world, from, &buf[..len]), Disposition::Consumed);
    assert!(matches!(world.parties[0].notes.last().unwrap().0, DhtNote::Request { request: 155, .. }));
}

/// Friends ping each other through a node that knows both; strangers are not answered.
#[test]
fn nat_pings_are_for_friends() {
    let mut world = World::new();
    for _ in 0..4 {
        world.add();
    }
    (1..4).for_each(|i| world.bootstrap(i, 0));
    world.run(Duration::from_secs(3));
    let (now, friend, server) = (world.now, world.info(2), world.parties[0].at);
    for (who, whom) in [(1, 2), (2, 1)] {
        let key = world.info(whom).key;
        world.parties[who].dht.search(now, key).unwrap();
    }
    let nat_ping = |world: &mut World, by: usize, data: &[u8]| {
        let mut buf = [0; DATAGRAM_MAX];
        let party = &mut world.parties[by];
        let from = party.at;
        let len = emit_dht_request(&mut party.bench.cx(), &friend.key, NAT_PING, data, &mut buf).unwrap();
        world.deliver(from, friend.at, &buf[..len])
    };
    let (ask, answer) = ([0, 1, 2, 3, 4, 5, 6, 7, 8], [1, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(nat_ping(&mut world, 3, &ask), Some(Disposition::Dropped(DropReason::Stranger)));
    assert_eq!(nat_ping(&mut world, 1, &ask[..8]), Some(Disposition::Dropped(DropReason::Malformed)));
    assert_eq!(nat_ping(&mut world, 1, &answer), Some(Disposition::Dropped(DropReason::Unsolicited)));
    world.log.clear();
    assert_eq!(nat_ping(&mut world, 1, &ask), Some(Disposition::Consumed));
    let through: Vec<_> = world.log.iter().filter(|sent| sent.kind == 0x20).map(|sent| sent.to).collect();
    assert!(!through.is_empty() && through.iter().all(|to| *to == server || *to == world.parties[3].at), "{through:?}");
    assert_eq!(nat_ping(&mut world, 1, &ask), Some(Disposition::Dropped(DropReason::Duplicate)));
    // What comes out at the other end is the answer, and our request for whoever wants to be asked as well.
    world.run(Duration::from_secs(1));
    let slots = world.parties[1].dht.tables()[3];
    assert_eq!((slots.name, slots.used), ("punches", 1), "the friend has asked in turn");
}

/// After a move everybody is asked anew at once, and what was said of us is forgotten.
#[test]
fn who_moves_starts_over() {
    let mut world = World::new();
    for _ in 0..12 {
        world.add();
    }
    (1..12).for_each(|i| world.bootstrap(i, 0));
    world.run(Duration::from_secs(40));
    let own = world.parties[5].dht.own_address(world.now, true).unwrap();
    assert_eq!((own.at, own.same_for_all), (world.parties[5].at, true));
    assert_eq!(world.parties[5].dht.own_address(world.now, false), None);
    let (now, known) = (world.now, world.parties[5].dht.nodes(world.now).count());
    world.parties[5].dht.start_over(now);
    assert_eq!(world.parties[5].dht.own_address(now, true), None);
    world.log.clear();
    world.run(Duration::from_millis(600));
    let asked: std::collections::BTreeSet<_> =
        world.log.iter().filter(|sent| sent.kind == 2).map(|sent| std::format!("{}", sent.to)).collect();
    assert!(known >= 8 && asked.len() >= known, "{} of {known}", asked.len());
    assert_eq!(world.parties[5].dht.own_address(world.now, true).unwrap().at, world.parties[5].at);
}

#[test]
fn bootstrap_info_is_told_to_who_asks_with_the_right_length() {
    let (mut world, _) = one_party();
    let request = [0xf0; INFO_REQUEST_LEN];
    let mut buf = [0; DATAGRAM_MAX];
    buf[..INFO_REQUEST_LEN].copy_from_slice(&request);
    let Party { bench, dht, .. } = &mut world.parties[0];
    let mut frame = Frame::new(&mut buf, INFO_REQUEST_LEN, STRANGER);
    let (disposition, _) = dht.on_packet(&mut bench.cx(), &mut frame);
    assert_eq!(disposition, Disposition::Reply { to: STRANGER, len: 10 });
    assert_eq!(InfoResponse::parse(&buf[..10]), Some(InfoResponse { version: 1_000_002_023, motd: b"hello" }));
    assert_eq!(deliver(&mut world, STRANGER, &request[..77]), Disposition::Dropped(DropReason::Malformed));
    let replies =
        (0..200).filter(|_| deliver(&mut world, STRANGER, &request) != Disposition::Dropped(DropReason::RateLimited));
    assert_eq!(replies.count(), 63, "the request proves no address, so answers are limited");
}

#[test]
fn the_message_of_the_day_changes_in_lent_memory() {
    let (mut world, _) = one_party();
    let told = |world: &mut World| {
        let mut buf = [0xf0; DATAGRAM_MAX];
        let Party { bench, dht, .. } = &mut world.parties[0];
        let (disposition, _) = dht.on_packet(&mut bench.cx(), &mut Frame::new(&mut buf, INFO_REQUEST_LEN, STRANGER));
        let Disposition::Reply { len, .. } = disposition else { panic!("{disposition:?}") };
        InfoResponse::parse(&buf[..len]).expect("an answer").motd.to_vec()
    };
    assert!(!world.parties[0].dht.set_motd(b"nowhere to put it"));
    assert_eq!(told(&mut world), b"hello");
    world.parties[0].dht.lend_motd(Box::leak(Box::new([0; 256])));
    assert_eq!(told(&mut world), b"hello");
    assert!(world.parties[0].dht.set_motd(b"up for a day"));
    assert_eq!(told(&mut world), b"up for a day");
    assert!(world.parties[0].dht.set_motd(&[b'x'; 300]));
    assert_eq!(told(&mut world), [b'x'; 256]);
}

/// Two bootstrap nodes whose answers are as long as requests do not talk for ever.
#[test]
fn an_answer_is_never_a_request() {
    let mut party = dht(8, 3, 4, 1);
    party.info = Some(crate::dht::BootstrapInfo { version: 1, motd: &[b'x'; 73] });
    let mut bench = Bench::new(1);
    party.start(&mut bench.cx());
    let mut buf = [0xf0; DATAGRAM_MAX];
    let mut frame = Frame::new(&mut buf, INFO_REQUEST_LEN, STRANGER);
    let (disposition, _) = party.on_packet(&mut bench.cx(), &mut frame);
    assert_eq!(disposition, Disposition::Reply { to: STRANGER, len: 77 });
}

quickcheck! {
    /// Bytes from nowhere are dropped, change no table, and cause no packet.
    fn arbitrary_datagrams_do_no_harm(kind: u8, bytes: Vec<u8>, len: u16) -> bool {
        let kinds = [0, 1, 2, 4, 0x20, 0x21];
        let mut packet = std::vec![kinds[usize::from(kind) % kinds.len()]];
        packet.extend(bytes.iter().cycle().take(if bytes.is_empty() { 0 } else { usize::from(len % 1200) }));
        let (mut world, _) = one_party();
        let disposition = deliver(&mut world, STRANGER, &packet);
        matches!(disposition, Disposition::Dropped(_)) && world.log.is_empty()
            && world.parties[0].dht.deadline().is_none_or(|d| d.at > Instant::ZERO)
    }
}

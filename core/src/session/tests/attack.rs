//! What strangers on the path can send changes nothing.

use super::*;
use crate::budget::Budget;
use crate::storage::Mem;
use quickcheck::quickcheck;

/// What of a party's sessions an attacker must not change.
fn picture(party: &Party) -> (Vec<Vec<u8>>, usize, usize, Option<Instant>, u32, usize) {
    let id = party.id();
    let heard = party.sessions.last_heard(id);
    (party.inbox.clone(), party.notes.len(), party.blocks_used(), heard, party.acked(), party.sessions.table.len())
}

#[test]
fn replays_bent_and_cut_packets_are_dropped() {
    let mut world = World::connected(4, [64, 64]);
    for i in 0..30 {
        world.alice().send(&[64, i], 1 + u32::from(i)).unwrap();
        world.bob().send(&[64, i], 1 + u32::from(i)).unwrap();
        world.run(5);
    }
    world.run(1000);
    let log = world.log.clone();
    let before: Vec<_> = world.parties.iter().map(picture).collect();
    let sent = [world.alice().sent, world.bob().sent];
    for (n, flight) in log.iter().enumerate() {
        let index = world.parties.iter().position(|party| party.endpoint == flight.to).unwrap();
        for variant in 0..4 {
            let mut bytes = flight.bytes.clone();
            let len = bytes.len();
            match variant {
                0 => {}
                1 => bytes[1 + n * 7 % (len - 1)] ^= 1 << (n % 8),
                2 => bytes.truncate(n * 5 % len),
                _ => bytes.push(0),
            }
            let is_request = bytes.first() == Some(&kind::COOKIE_REQUEST);
            let party = &mut world.parties[index];
            let drops = party.drops.len();
            let reply = party.receive(&bytes, flight.from);
            assert!(is_request || (party.drops.len() == drops + 1 && reply.is_none()), "{n} {variant}");
        }
    }
    assert_eq!(before, world.parties.iter().map(picture).collect::<Vec<_>>());
    // Nothing but duplicates' acknowledgements may follow, and no more than one.
    world.pump_all();
    assert!(world.alice().sent <= sent[0] + 1 && world.bob().sent <= sent[1] + 1);
}

#[test]
fn replayed_handshakes_are_harmless() {
    let mut world = World::connected(4, [64, 64]);
    let old: Vec<_> = world.log.iter().filter(|flight| flight.bytes[0] == kind::CRYPTO_HANDSHAKE).cloned().collect();
    assert_eq!(old.len(), 2);
    // Alice's session is opened anew, within the life of the first cookies.
    let id = world.alice().id();
    let alice = world.alice();
    alice.sessions.close(&mut alice.bench.cx(), id);
    world.run(50);
    world.open(0);
    assert!(world.run_until(1000, |w| w.parties.iter().all(Party::is_established)));
    world.run(100);
    let before: Vec<_> = world.parties.iter().map(picture).collect();
    for flight in &old {
        for from in [flight.from, Endpoint::v4([6, 6, 6, 6], 6)] {
            let party = world.parties.iter_mut().find(|party| party.endpoint == flight.to).unwrap();
            party.receive(&flight.bytes, from);
            assert_eq!(party.drops.last(), Some(&DropReason::Duplicate));
        }
    }
    assert_eq!(before, world.parties.iter().map(picture).collect::<Vec<_>>());
}

#[test]
fn cookies_expire_and_cannot_be_forged() {
    let mut world = World::new(4, [64, 64]);
    world.open(0);
    assert!(world.run_until(1000, |w| w.log.iter().any(|flight| flight.bytes[0] == kind::CRYPTO_HANDSHAKE)));
    let handshake = world.log.last().unwrap().clone();
    world.flights.clear();
    world.now = world.now + Duration::from_secs(16);
    world.bob().receive(&handshake.bytes, handshake.from);
    assert_eq!(world.bob().drops, [DropReason::BadToken]);
    assert_eq!(world.bob().stats().cookies_refused, 1);
    assert!(world.bob().sessions.table.is_empty());
}

#[test]
fn cookie_requests_are_limited() {
    let mut world = World::new(4, [64, 64]);
    world.bob().bench.budget = Budget::new(Mem::Borrowed(&mut []), 50, [1; 16]);
    world.open(0);
    world.run(0);
    let request = world.log[0].clone();
    let answered =
        |w: &mut World| (0..1000).filter(|_| w.bob().receive(&request.bytes, request.from).is_some()).count();
    let first = answered(&mut world);
    assert!((10..100).contains(&first), "{first}");
    world.now = world.now + Duration::from_millis(200);
    let second = answered(&mut world);
    assert!((5..20).contains(&second), "{second}");
    assert!(world.bob().drops.contains(&DropReason::RateLimited));
    // Once Bob wants a session with Alice, a flood does not keep her out.
    world.open(1);
    assert!(world.bob().receive(&request.bytes, request.from).is_some());
}

#[test]
fn replays_move_no_session() {
    let mut world = World::connected(4, [64, 64]);
    world.run(20_000);
    world.now = world.now + Duration::from_secs(2);
    let log = world.log.clone();
    let before: Vec<_> = world.parties.iter().map(picture).collect();
    for flight in log.iter().filter(|flight| flight.bytes[0] == kind::CRYPTO_DATA) {
        let party = world.parties.iter_mut().find(|party| party.endpoint == flight.to).unwrap();
        party.bench.now = world.now;
        party.receive(&flight.bytes, Endpoint::v4([6, 6, 6, 6], 6));
        assert_eq!(party.sessions.endpoint(party.id()), Some(flight.from));
    }
    assert_eq!(before, world.parties.iter().map(picture).collect::<Vec<_>>());
}

/// Packets that never arrived are authentic and new: whoever held them back may play them from somewhere else.
#[test]
fn what_was_held_back_moves_no_session() {
    let mut world = World::connected(4, [64, 64]);
    let held = world.bob().endpoint;
    world.alice().send(&[64, 1], 1).unwrap();
    world.pump_all();
    let late: Vec<_> = world.flights.extract_if(.., |flight| flight.to == held).collect();
    assert!(!late.is_empty());
    world.alice().send(&[64, 2], 2).unwrap();
    world.run(3_000);
    let (bob, alice) = (world.bob().id(), world.alice().endpoint);
    world.now = world.now + Duration::from_secs(1);
    let notes = world.bob().notes.len();
    for flight in &late {
        world.bob().receive(&flight.bytes, Endpoint::v4([6, 6, 6, 6], 6));
    }
    assert_eq!(world.bob().sessions.endpoint(bob), Some(alice));
    assert_eq!(world.bob().notes.len(), notes);
}

#[test]
fn packets_of_nobody_are_unsolicited() {
    let mut world = World::connected(4, [64, 64]);
    let data = world.log.iter().rev().find(|flight| flight.bytes[0] == kind::CRYPTO_DATA).unwrap().clone();
    let party = world.parties.iter_mut().find(|party| party.endpoint == data.to).unwrap();
    party.receive(&data.bytes, Endpoint::v4([6, 6, 6, 6], 6));
    party.receive(&[0x1c; 322], data.from);
    party.receive(&[], data.from);
    assert_eq!(party.drops, [DropReason::Unsolicited, DropReason::UnknownKind, DropReason::UnknownKind]);
}

quickcheck! {
    /// No datagram of an unknown sender, and no damaged one of a friend, does more than be dropped.
    fn noise_is_dropped(kind: u8, noise: Vec<u8>, from_friend: bool) -> bool {
        let mut world = World::connected(1, [4, 4]);
        let from = if from_friend { world.alice().endpoint } else { Endpoint::v4([1, 2, 3, 4], 5) };
        let sizes = [noise.len(), 145, 161, 385, 1400, 28, 2048];
        let drops = world.bob().drops.len();
        for len in sizes {
            let content = noise.iter().copied().chain((0..=255).cycle()).take(len);
            let bytes: Vec<u8> = [0x18 + kind % 6].into_iter().chain(content).take(2048).collect();
            if world.bob().receive(&bytes, from).is_some() { return false; }
        }
        world.bob().drops.len() == drops + sizes.len() && world.bob().is_established()
    }
}

//! How sessions begin and end.

use super::*;

fn established(party: &Party) -> usize {
    party.notes.iter().filter(|note| matches!(note, SessionNote::Established { .. })).count()
}

fn closed(party: &Party) -> usize {
    party.notes.iter().filter(|note| matches!(note, SessionNote::Closed { .. })).count()
}

#[test]
fn one_side_opens() {
    let mut world = World::new(1, [8, 8]);
    let start = world.now;
    let id = world.open(0);
    assert!(world.run_until(1000, |w| w.parties.iter().all(Party::is_established)));
    // Cookie, handshake, confirmation: two and a half round trips of 40 ms.
    assert!(world.now.since(start) <= Duration::from_millis(105), "{:?}", world.now.since(start));
    assert_eq!(world.alice().notes, [SessionNote::Established { id, owner: 0 }]);
    let (id, dht) = (world.bob().id(), world.alice().bench.me.dht.public);
    let expected = [SessionNote::Incoming { id, owner: 0, dht }, SessionNote::Established { id, owner: 0 }];
    assert_eq!(world.bob().notes, expected);
    assert_eq!(world.bob().sessions.endpoint(id), Some(world.alice().endpoint));
    world.run(60_000);
    assert!(world.parties.iter().all(|party| party.is_established() && party.drops.is_empty()));
    for Stats { sessions_opened, handshakes_repeated, packets_resent, .. } in world.parties.iter().map(Party::stats) {
        assert_eq!((*sessions_opened, *handshakes_repeated, *packets_resent), (1, 0, 0));
    }
}

#[test]
fn both_open_at_once() {
    for offset in [0, 10, 20, 30, 45, 60, 70, 85, 100] {
        let mut world = World::new(offset, [8, 8]);
        world.open(0);
        world.run(offset);
        if world.parties[1].sessions.table.is_empty() {
            world.open(1);
        }
        assert!(world.run_until(1000, |w| w.parties.iter().all(Party::is_established)), "{offset}");
        world.run(2000);
        for party in &world.parties {
            assert_eq!((established(party), closed(party), party.sessions.table.len()), (1, 0, 1), "{offset}");
        }
        world.alice().send(b"\x40hi", 1).unwrap();
        world.bob().send(b"\x41ho", 1).unwrap();
        world.run(100);
        assert_eq!((world.alice().acked(), world.bob().acked()), (1, 1));
    }
}

#[test]
fn lost_packets_only_delay_it() {
    for seed in 0..200 {
        let mut world = World::new(seed, [8, 8]);
        (world.loss, world.duplicates, world.jitter) = (30, 20, Duration::from_millis(30));
        world.open(0);
        if seed % 3 == 0 {
            world.open(1);
        }
        assert!(world.run_until(12_000, |w| w.parties.iter().all(Party::is_established)), "{seed}");
        world.loss = 0;
        world.run(5000);
        assert!(world.parties.iter().all(|party| established(party) == 1 && closed(party) == 0), "{seed}");
    }
}

#[test]
fn nobody_there() {
    let mut world = World::new(1, [8, 8]);
    let id = world.open(0);
    world.loss = 100;
    world.run(20_000);
    assert_eq!(world.alice().notes, [SessionNote::Closed { id, owner: 0 }]);
    assert_eq!((world.alice().sent, world.alice().sessions.deadline()), (10, None));
    assert_eq!((world.alice().stats().handshakes_repeated, world.alice().stats().sessions_opened), (9, 0));
    // Without an address there is nothing to do at all.
    let (peer, dht) = (world.bob().key(), world.bob().bench.me.dht.public);
    let alice = world.alice();
    alice.sessions.open(&mut alice.bench.cx(), 3, peer, dht).unwrap();
    world.run(100_000);
    assert_eq!((world.alice().sent, world.alice().notes.len()), (10, 1));
}

#[test]
fn strangers_are_refused() {
    let mut world = World::new(1, [8, 8]);
    world.bob().friends.clear();
    world.open(0);
    world.run(3000);
    assert!(world.bob().sessions.table.is_empty());
    assert!(world.bob().drops.iter().all(|reason| *reason == DropReason::Stranger));
    assert!(!world.bob().drops.is_empty());
}

#[test]
fn closing_tells_the_peer() {
    let mut world = World::connected(1, [8, 8]);
    for i in 0..3 {
        world.alice().send(&[64, i], 0).unwrap();
    }
    world.run(50);
    world.bob().reads = false;
    world.alice().send(&[64, 3], 0).unwrap();
    world.run(5);
    let (id, bob) = (world.alice().id(), world.bob().id());
    let alice = world.alice();
    alice.sessions.close(&mut alice.bench.cx(), id);
    assert_eq!(world.alice().blocks_used(), 0);
    world.run(100);
    assert!(world.alice().sessions.table.is_empty());
    // What arrived before the end is still there to be read; then it is over.
    assert_eq!(closed(world.bob()), 0);
    assert!(!world.bob().is_established());
    world.bob().reads = true;
    world.run(0);
    assert_eq!(world.bob().notes.last(), Some(&SessionNote::Closed { id: bob, owner: 0 }));
    assert_eq!(world.bob().inbox, [[64, 0], [64, 1], [64, 2], [64, 3]]);
    assert_eq!((world.bob().blocks_used(), world.bob().sessions.table.len()), (0, 0));
}

#[test]
fn silence_ends_a_session() {
    let mut world = World::connected(1, [8, 8]);
    world.loss = 100;
    world.alice().send(b"\x40", 1).unwrap();
    let (start, before) = (world.now, world.alice().sent);
    assert!(world.run_until(60_000, |w| closed(&w.parties[0]) == 1));
    assert!(world.now.since(start) <= Duration::from_secs(32));
    assert!(world.alice().sent - before < 50, "{}", world.alice().sent - before);
    world.run(5000);
    for party in &world.parties {
        assert_eq!((party.blocks_used(), party.sessions.deadline()), (0, None));
    }
}

#[test]
fn an_idle_session_is_quiet() {
    let mut world = World::connected(1, [8, 8]);
    world.run(10_000);
    let before = [world.alice().sent, world.bob().sent];
    world.run(100_000);
    for (party, before) in world.parties.iter().zip(before) {
        assert!(party.is_established());
        assert!((25..=50).contains(&(party.sent - before)), "{}", party.sent - before);
    }
}

#[test]
fn a_peer_that_starts_anew_is_back_at_once() {
    for same_address in [true, false] {
        let mut world = World::connected(1, [8, 8]);
        world.bob().send(b"\x40lost", 1).unwrap();
        // Alice crashes and comes back with the same long-term key.
        let old = world.bob().id();
        let mut fresh = Party::new(1, 8);
        let mut rng = Bench::new(77);
        fresh.bench.me.dht = crate::cx::KeyPair::generate(&crate::crypto::Nacl, &mut rng.rng);
        fresh.bench.rng = rng.rng;
        fresh.friends = world.alice().friends.clone();
        if !same_address {
            fresh.endpoint = Endpoint::v4([10, 0, 9, 9], 1);
        }
        world.parties[0] = fresh;
        world.bob().notes.clear();
        world.open(0);
        let start = world.now;
        assert!(world.run_until(2000, |w| w.parties[0].is_established() && established(&w.parties[1]) == 1));
        assert!(world.now.since(start) < Duration::from_millis(110));
        let (id, dht) = (world.bob().id(), world.alice().bench.me.dht.public);
        let expected = [
            SessionNote::Closed { id: old, owner: 0 },
            SessionNote::Incoming { id, owner: 0, dht },
            SessionNote::Established { id, owner: 0 },
        ];
        assert_eq!(world.bob().notes, expected);
        world.bob().send(b"\x40again", 1).unwrap();
        world.run(100);
        assert_eq!((world.bob().blocks_used(), world.alice().inbox.len()), (0, 1));
    }
}

#[test]
fn a_full_table_refuses() {
    let mut world = World::new(1, [8, 8]);
    let alice = world.alice();
    for i in 0..4 {
        alice.sessions.open(&mut alice.bench.cx(), i, PublicKey([i as u8; 32]), PublicKey::ZERO).unwrap();
    }
    let more = alice.sessions.open(&mut alice.bench.cx(), 9, PublicKey([9; 32]), PublicKey::ZERO);
    assert_eq!(more, Err(Full));
    let again = alice.sessions.open(&mut alice.bench.cx(), 2, PublicKey([2; 32]), PublicKey::ZERO).unwrap();
    assert_eq!(again.index(), 2);
    world.open_refused();
}

impl World {
    /// Bob's handshake finds no place at Alice's.
    fn open_refused(&mut self) {
        self.open(1);
        self.run(1000);
        assert!(self.alice().drops.contains(&DropReason::NoRoom));
        assert_eq!(self.alice().sessions.table.len(), 4);
    }
}

#[test]
fn a_session_follows_its_peer_to_a_new_address() {
    let mut world = World::connected(1, [8, 8]);
    world.run(10_000);
    let moved = Endpoint::v4([10, 7, 7, 7], 99);
    world.alice().endpoint = moved;
    world.alice().send(b"\x40here", 1).unwrap();
    assert!(world.run_until(10_000, |w| w.parties[0].acked() == 1));
    let id = world.bob().id();
    assert_eq!(world.bob().sessions.endpoint(id), Some(moved));
    assert_eq!((closed(world.bob()), world.bob().inbox.len()), (0, 1));
}

#[test]
fn an_address_counts_until_a_better_one_has_proved_itself() {
    let mut world = World::new(1, [8, 8]);
    let id = world.open(0);
    let (right, wrong) = (world.bob().endpoint, Endpoint::v4([10, 8, 8, 8], 8));
    let now = world.now;
    world.alice().sessions.set_endpoint(now, id, wrong);
    world.run(500);
    assert!(world.bob().sent == 0 && world.alice().sent >= 2);
    let now = world.now;
    world.alice().sessions.set_endpoint(now, id, right);
    assert!(
        world.run_until(1000, |w| w.parties[0]
            .sessions
            .table
            .values()
            .any(|s| matches!(s.state, State::HandshakeSent(_))))
    );
    let now = world.now;
    world.alice().sessions.set_endpoint(now, id, wrong);
    assert!(world.run_until(1000, |w| w.parties.iter().all(Party::is_established)));
    let now = world.now;
    world.alice().sessions.set_endpoint(now, id, wrong);
    assert_eq!(world.alice().sessions.endpoint(id), Some(right));
    world.loss = 100;
    world.run(9000);
    let now = world.now;
    world.alice().sessions.set_endpoint(now, id, wrong);
    assert_eq!(world.alice().sessions.endpoint(id), Some(wrong));
}

//! The protocol end to end, on virtual time.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may panic, and picks what it looks for"
)]

use bluering_core::{Connection, Limits, MessageKind, SendError};
use bluering_sim::{Heard, HostId, World};
use core::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// A bootstrap node and two clients that know it.
fn three(seed: u64, limits: &Limits) -> (World, HostId, HostId) {
    let mut world = World::new(seed);
    let hub = world.add(&Limits::SERVER);
    let (alice, bob) = (world.add(limits), world.add(limits));
    world.bootstrap(alice, hub);
    world.bootstrap(bob, hub);
    (world, alice, bob)
}

fn online(world: &World, id: HostId) -> bool {
    world
        .node(id)
        .friends()
        .any(|friend| world.node(id).friend(friend).is_some_and(|f| f.connection == Connection::Udp))
}

fn texts(world: &World, id: HostId) -> Vec<Vec<u8>> {
    let of = |heard: &Heard| match heard {
        Heard::Message { text, .. } => Some(text.clone()),
        _ => None,
    };
    world.heard(id).iter().filter_map(|(_, heard)| of(heard)).collect()
}

#[test]
fn request_accept_chat_and_receipts() {
    for seed in 0..20 {
        let (mut world, alice, bob) = three(seed, &Limits::DESKTOP);
        world.with(alice, |node, _| node.set_name(b"Alice")).unwrap();
        assert!(world.run_until(MINUTE, |w| w.node(alice).connection() == Connection::Udp), "seed {seed}");
        let bob_at_alice = world.add_friend(alice, bob, b"it is me");
        let asked = |w: &World| w.heard(bob).iter().any(|(_, e)| matches!(e, Heard::FriendRequest { .. }));
        assert!(world.run_until(MINUTE, asked), "seed {seed}");
        let key = world.node(alice).tox_id().public_key;
        let alice_at_bob = world.with(bob, |node, now| node.accept(now, key)).unwrap();
        assert!(world.run_until(MINUTE, |w| online(w, alice) && online(w, bob)), "seed {seed}");

        let long = vec![b'x'; 1372];
        for text in [b"hello".as_slice(), &long, b"!"] {
            world.with(alice, |node, now| node.send_message(now, bob_at_alice, MessageKind::Normal, text)).unwrap();
        }
        world.with(bob, |node, now| node.send_message(now, alice_at_bob, MessageKind::Action, b"waves")).unwrap();
        world.with(bob, |node, now| node.set_typing(now, alice_at_bob, true)).unwrap();
        world.run_for(Duration::from_secs(2));
        assert_eq!(texts(&world, bob), [b"hello".to_vec(), long, b"!".to_vec()]);
        assert_eq!(texts(&world, alice), [b"waves".to_vec()]);
        let heard = |id, what: &Heard| world.heard(id).iter().any(|(_, heard)| heard == what);
        assert!(heard(bob, &Heard::FriendName { friend: alice_at_bob, name: b"Alice".to_vec() }));
        assert!(heard(alice, &Heard::FriendTyping { friend: bob_at_alice, typing: true }));
        for message in 1..=3 {
            assert!(heard(alice, &Heard::ReadReceipt { friend: bob_at_alice, message }));
        }
    }
}

#[test]
fn thirty_idle_minutes_lose_no_connection() {
    let (mut world, alice, bob) = three(1, &Limits::DESKTOP);
    world.befriend(alice, bob);
    assert!(world.run_until(MINUTE, |w| online(w, alice) && online(w, bob)));
    let before = (world.heard(alice).len(), world.heard(bob).len());
    world.run_for(Duration::from_secs(5));
    let settled = (world.heard(alice).len(), world.heard(bob).len());
    world.run_for(30 * MINUTE);
    assert!(online(&world, alice) && online(&world, bob));
    assert_eq!((world.heard(alice).len(), world.heard(bob).len()), settled, "since {before:?}");
}

#[test]
fn a_wrong_nospam_never_arrives() {
    let (mut world, alice, bob) = three(2, &Limits::DESKTOP);
    let mut id = world.node(bob).tox_id();
    id.nospam.0[0] ^= 1;
    world.with(alice, |node, now| node.add_friend(now, &id, b"let me in")).unwrap();
    world.run_for(10 * MINUTE);
    assert!(!world.heard(bob).iter().any(|(_, e)| matches!(e, Heard::FriendRequest { .. })));
    assert!(world.node(bob).stats().dropped(bluering_core::DropReason::WrongNospam) > 0);
}

#[test]
fn an_application_that_does_not_read_stops_the_sender_and_loses_nothing() {
    for limits in [Limits::DESKTOP, Limits::MICRO] {
        let (mut world, alice, bob) = three(3, &limits);
        let (bob_at_alice, _) = world.befriend(alice, bob);
        assert!(world.run_until(MINUTE, |w| online(w, alice) && online(w, bob)));
        world.run_for(Duration::from_secs(1));
        world.set_reading(bob, false);
        let mut sent = 0_u32;
        for _ in 0..400 {
            let send = |node: &mut bluering_core::Node<'static, bluering_sim::SimEnv>, now| {
                node.send_message(now, bob_at_alice, MessageKind::Normal, &vec![7; 1372])
            };
            match world.with(alice, send) {
                Ok(_) => sent += 1,
                Err(error) => assert_eq!(error, SendError::Full),
            }
            world.run_for(Duration::from_millis(20));
        }
        assert!(texts(&world, bob).is_empty());
        world.set_reading(bob, true);
        assert!(
            world.run_until(MINUTE, |w| texts(w, bob).len() == sent as usize),
            "{} of {sent}",
            texts(&world, bob).len()
        );
        assert_eq!(world.node(alice).stats().sends_refused, 400 - u64::from(sent));
    }
}

#[test]
fn what_was_received_before_the_end_is_still_read() {
    let (mut world, alice, bob) = three(4, &Limits::DESKTOP);
    let (bob_at_alice, _) = world.befriend(alice, bob);
    assert!(world.run_until(MINUTE, |w| online(w, alice) && online(w, bob)));
    world.run_for(Duration::from_secs(1));
    world.set_reading(bob, false);
    world.with(alice, |node, now| node.send_message(now, bob_at_alice, MessageKind::Normal, b"last words")).unwrap();
    world.run_for(Duration::from_secs(1));
    world.with(alice, |node, now| node.shutdown(now));
    world.run_for(Duration::from_secs(1));
    world.set_reading(bob, true);
    world.run_for(Duration::from_millis(10));
    assert_eq!(texts(&world, bob), [b"last words".to_vec()]);
    assert!(!online(&world, bob));
    assert!(world.heard(alice).iter().any(|(_, e)| matches!(e, Heard::ReadReceipt { message: 1, .. })));
}

#[test]
fn a_crashed_friend_is_back_soon_after_its_restart() {
    for seed in 0..5 {
        let (mut world, alice, bob) = three(seed, &Limits::DESKTOP);
        // With nobody else around, half of Alice's onion paths would lead through the crashed node.
        for _ in 0..10 {
            let other = world.add(&Limits::DESKTOP);
            world.bootstrap(other, 0);
        }
        world.befriend(alice, bob);
        assert!(world.run_until(MINUTE, |w| online(w, alice) && online(w, bob)));
        let (secret, nospam) = (world.node(bob).secret_key().clone(), world.node(bob).tox_id().nospam);
        world.set_up(bob, false);
        world.run_for(Duration::from_secs(1));
        let bob = world.add_with(&Limits::DESKTOP, secret, nospam);
        let alice_key = world.node(alice).tox_id().public_key;
        world.with(bob, |node, now| node.accept(now, alice_key)).unwrap();
        world.bootstrap(bob, 0);
        let start = world.now();
        assert!(world.run_until(MINUTE, |w| online(w, bob)), "seed {seed}");
        let took = world.now().since(start);
        assert!(took < Duration::from_secs(5), "seed {seed}: {took:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let (mut world, alice, bob) = three(seed, &Limits::MICRO);
        world.befriend(alice, bob);
        world.run_for(2 * MINUTE);
        (world.digest(), format!("{:?}", world.heard(alice)))
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7).0, run(8).0);
}

#[test]
fn thirty_nodes_meet() {
    let mut world = World::new(5);
    let hub = world.add(&Limits::SERVER);
    let people: Vec<HostId> = (0..30).map(|_| world.add(&Limits::DESKTOP)).collect();
    for id in &people {
        world.bootstrap(*id, hub);
    }
    world.run_for(Duration::from_secs(3));
    for pair in people.chunks_exact(2) {
        world.befriend(pair[0], pair[1]);
    }
    let start = world.now();
    assert!(world.run_until(MINUTE, |w| people.iter().all(|id| online(w, *id))));
    let took = world.now().since(start);
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn a_friend_who_left_and_returns_is_back_at_once_even_in_the_smallest_network() {
    for seed in 0..10 {
        let (mut world, alice, bob) = three(seed, &Limits::DESKTOP);
        world.befriend(alice, bob);
        assert!(world.run_until(MINUTE, |w| online(w, alice) && online(w, bob)));
        world.run_for(Duration::from_secs(3));
        let (secret, nospam) = (world.node(bob).secret_key().clone(), world.node(bob).tox_id().nospam);
        world.with(bob, |node, now| node.shutdown(now));
        world.run_for(Duration::from_secs(1));
        world.set_up(bob, false);
        let bob = world.add_with(&Limits::DESKTOP, secret, nospam);
        let alice_key = world.node(alice).tox_id().public_key;
        world.with(bob, |node, now| node.accept(now, alice_key)).unwrap();
        world.bootstrap(bob, 0);
        let start = world.now();
        assert!(world.run_until(MINUTE, |w| online(w, bob) && online(w, alice)), "seed {seed}");
        let took = world.now().since(start);
        assert!(took < Duration::from_millis(1500), "seed {seed}: {took:?}");
    }
}

#[test]
fn applications_have_packets_of_their_own() {
    let (mut world, alice, bob) = three(6, &Limits::DESKTOP);
    let (bob_at_alice, alice_at_bob) = world.befriend(alice, bob);
    let early = world.with(alice, |node, now| node.send_lossless(now, bob_at_alice, &[160]));
    assert_eq!(early, Err(SendError::NotConnected));
    assert!(world.run_until(MINUTE, |w| online(w, alice) && online(w, bob)));
    for (data, expected) in
        [(vec![159], SendError::BadId), (vec![], SendError::Empty), (vec![160; 1374], SendError::TooLong)]
    {
        assert_eq!(world.with(alice, |node, now| node.send_lossless(now, bob_at_alice, &data)), Err(expected));
    }
    assert_eq!(world.with(alice, |node, now| node.send_lossy(now, bob_at_alice, &[199])), Err(SendError::BadId));
    let (lossless, lossy) = (vec![191; 1373], vec![200, 1, 2]);
    world.with(alice, |node, now| node.send_lossless(now, bob_at_alice, &lossless)).unwrap();
    world.with(alice, |node, now| node.send_lossy(now, bob_at_alice, &lossy)).unwrap();
    world.run_for(Duration::from_secs(1));
    let heard = |what: Heard| world.heard(bob).iter().any(|(_, heard)| *heard == what);
    assert!(heard(Heard::LosslessPacket { friend: alice_at_bob, data: lossless }));
    assert!(heard(Heard::LossyPacket { friend: alice_at_bob, data: lossy }));
}

#[test]
fn a_friend_who_is_gone_costs_little() {
    let (mut world, alice, bob) = three(9, &Limits::DESKTOP);
    world.befriend(alice, bob);
    assert!(world.run_until(MINUTE, |w| online(w, alice) && online(w, bob)));
    world.set_up(bob, false);
    world.run_for(20 * MINUTE);
    assert!(!online(&world, alice));
    let before = world.node(alice).stats().datagrams_out;
    world.run_for(10 * MINUTE);
    let rate = (world.node(alice).stats().datagrams_out - before) / 10;
    assert!(rate < 90, "{rate} datagrams a minute");
}

#[test]
fn idle_friends_cost_fewer_datagrams_than_in_toxcore() {
    let mut world = World::new(10);
    let hub = world.add(&Limits::SERVER);
    let people: Vec<HostId> = (0..11).map(|_| world.add(&Limits::DESKTOP)).collect();
    for id in &people {
        world.bootstrap(*id, hub);
    }
    for id in &people[1..] {
        world.befriend(people[0], *id);
    }
    let all = |w: &World| {
        let node = w.node(people[0]);
        node.friends().all(|f| node.friend(f).is_some_and(|f| f.connection == Connection::Udp))
    };
    assert!(world.run_until(MINUTE, all));
    world.run_for(5 * MINUTE);
    let before = world.node(people[0]).stats().datagrams_out;
    world.run_for(10 * MINUTE);
    let rate = (world.node(people[0]).stats().datagrams_out - before) as f64 / 600.0;
    // c-toxcore sends 15 to 22 a second.
    assert!(rate < 10.0, "{rate} datagrams a second");
    println!("{rate} datagrams a second");
}

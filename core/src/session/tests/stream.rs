//! Lossless and lossy packets of an established session.

use super::*;

/// Sends `count` numbered packets from Alice to Bob as room allows, and checks that each arrives once and in order.
fn transfer(world: &mut World, count: u32, millis: u64) -> bool {
    let mut sent = 0;
    let done = world.run_until(millis, |w| {
        while sent < count && w.alice().send(&[&[64][..], &sent.to_be_bytes()].concat(), sent + 1).is_ok() {
            sent += 1;
        }
        if sent < count {
            let (id, alice) = (w.parties[0].id(), &w.parties[0]);
            assert!(!alice.sessions.room(&alice.bench.blocks, id));
        }
        w.pump_all();
        w.parties[0].acked() == count
    });
    let expected = (0..count).map(|i| [&[64][..], &i.to_be_bytes()].concat());
    let inbox = &world.parties[1].inbox;
    let in_order = inbox.iter().cloned().eq(expected.take(inbox.len()));
    assert!(in_order, "order or count");
    done && world.bob().inbox.len() == count as usize
}

#[test]
fn a_good_link_wastes_nothing() {
    let mut world = World::connected(1, [512, 512]);
    let (start, before) = (world.now, world.alice().sent);
    assert!(transfer(&mut world, 5000, 60_000));
    // Each packet goes out once; the window has opened.
    assert!(world.alice().sent - before <= 5010, "{}", world.alice().sent - before);
    assert!(world.now.since(start) < Duration::from_secs(4), "{:?}", world.now.since(start));
    assert!(world.bob().sent < 1000, "{}", world.bob().sent);
    assert_eq!(world.alice().stats().packets_resent, 0);
}

#[test]
fn small_pools_deliver_everything() {
    for (seed, [a, b]) in [[3, 8], [8, 3], [3, 3], [5, 4], [2, 2], [16, 5], [16, 2], [16, 3]].into_iter().enumerate() {
        let mut world = World::connected(seed as u64, [a, b]);
        (world.loss, world.duplicates, world.jitter) = (10, 5, Duration::from_millis(10));
        assert!(transfer(&mut world, 200, 200_000), "{a} {b}");
    }
}

#[test]
fn both_fill_their_pools() {
    for blocks in [2, 3, 4, 8] {
        let mut world = World::connected(3, [blocks, blocks]);
        world.loss = 5;
        let mut sent = [0u32; 2];
        let done = world.run_until(200_000, |w| {
            for (party, sent) in w.parties.iter_mut().zip(&mut sent) {
                while *sent < 100 && party.send(&[16, *sent as u8], *sent + 1).is_ok() {
                    *sent += 1;
                }
            }
            w.pump_all();
            w.parties.iter().all(|party| party.inbox.len() == 100 && party.acked() == 100)
        });
        assert!(done, "{blocks}");
    }
}

#[test]
fn a_reader_that_stops_closes_the_window() {
    let mut world = World::connected(1, [64, 8]);
    world.bob().reads = false;
    let mut sent = 0;
    world.run_until(20_000, |w| {
        while w.alice().send(&[16, sent], u32::from(sent) + 1).is_ok() {
            sent += 1;
        }
        w.pump_all();
        false
    });
    // Bob's pool is full but for what he may send, Alice's is up to her share of it; nobody is busy.
    assert_eq!((world.bob().blocks_used(), world.alice().acked()), (6, 6));
    assert!(sent < 60);
    let before = [world.alice().sent, world.bob().sent];
    world.run(10_000);
    assert!(world.alice().sent - before[0] < 25, "{}", world.alice().sent - before[0]);
    assert!(world.bob().sent - before[1] < 25, "{}", world.bob().sent - before[1]);
    world.bob().reads = true;
    let start = world.now;
    assert!(world.run_until(10_000, |w| w.parties[1].inbox.len() == usize::from(sent)));
    // Each round trip of 40 ms brings as much as Bob has room for.
    assert!(world.now.since(start) < Duration::from_millis(500), "{:?}", world.now.since(start));
    let first_after = world.bob().inbox[6].clone();
    assert_eq!(first_after, [16, 6]);
}

#[test]
fn numbers_wrap() {
    let mut world = World::connected(5, [64, 64]);
    for party in &mut world.parties {
        let id = party.id();
        let live = party.sessions.live_mut(id).unwrap();
        live.send = send::SendWindow::new(u32::MAX - 100, None);
        live.receive = receive::ReceiveWindow::new(u32::MAX - 100);
    }
    (world.loss, world.duplicates, world.jitter) = (10, 5, Duration::from_millis(15));
    assert!(transfer(&mut world, 500, 60_000));
}

#[test]
fn a_lost_tail_is_found() {
    let mut world = World::connected(5, [64, 64]);
    world.run(5000);
    world.loss = 100;
    for i in 0..10 {
        world.alice().send(&[64, i], 0).unwrap();
    }
    world.run(1);
    world.loss = 0;
    let start = world.now;
    assert!(world.run_until(5000, |w| w.parties[1].inbox.len() == 10));
    assert!(world.now.since(start) < Duration::from_millis(250), "{:?}", world.now.since(start));
}

#[test]
fn lossy_packets_are_sent_at_once_or_not() {
    let mut world = World::connected(5, [8, 8]);
    let id = world.alice().id();
    let alice = world.alice();
    assert_eq!(alice.sessions.send_lossy(&mut alice.bench.cx(), id, &[&[200], b"abc"]), Ok(()));
    assert_eq!(alice.sessions.send_lossy(&mut alice.bench.cx(), id, &[&[200]]), Err(SendRefused::Full));
    world.run(20);
    assert_eq!(world.bob().lossy, [b"\xc8abc"]);
    assert_eq!(world.alice().blocks_used(), 0);
    assert_eq!(world.bob().sessions.send_lossy(&mut Bench::new(3).cx(), id, &[&[200]]).is_ok(), world.bob().id() == id);
}

#[test]
fn a_receipt_takes_little_more_than_a_round_trip() {
    let mut world = World::connected(5, [8, 8]);
    world.run(10_000);
    let start = world.now;
    world.alice().send(&[64; 1373], 7).unwrap();
    assert!(world.run_until(1000, |w| w.parties[0].acked() == 7));
    assert!(world.now.since(start) <= Duration::from_millis(41), "{:?}", world.now.since(start));
}

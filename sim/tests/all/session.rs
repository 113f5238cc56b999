//! Sessions between whole nodes on bad lines, with small pools, and with owners who do as they please.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may panic")]

use crate::people::{self, MINUTE, Net, SECOND, network_of, used, weather};
use bluering_core::Limits;
use bluering_sim::HostId;
use bluering_sim::plan::CLIENT;
use core::time::Duration;

const ENDS: [HostId; 2] = [1, 2];

/// A server, and two friends who are online.
fn friends(seed: u64, blocks: [u32; 2]) -> Net {
    let mut world = network_of(seed, 1, 0, &CLIENT);
    for blocks in blocks {
        people::come(&mut world, &Limits { blocks: blocks.try_into().unwrap(), ..CLIENT });
    }
    world.befriend(1, 2);
    assert!(world.run_until(MINUTE, |w| w.are_connected(1, 2)));
    world.run_for(2 * SECOND);
    world
}

fn text(n: u32) -> Vec<u8> {
    format!("number {n}").into_bytes()
}

/// Says `count` numbered things, in one direction or both, as fast as there is room; true when all arrived in time,
/// each once, in order, and with a receipt. Receipts never come before the message was read.
fn talk(world: &mut Net, senders: &[HostId], count: u32, limit: Duration) -> bool {
    let mut said = [0; 2];
    let done = world.now() + limit;
    while world.now() < done {
        for (sender, said) in senders.iter().zip(&mut said) {
            while *said < count && world.say(*sender, 3 - sender, &text(*said)).is_ok() {
                *said += 1;
            }
        }
        world.run_for(Duration::from_millis(20));
        let got = |sender: &HostId| world.tap.receipts.get(sender).map_or(0, Vec::len);
        let read = |sender: &HostId| world.tap.read.get(&(3 - sender)).map_or(0, Vec::len);
        assert!(senders.iter().all(|sender| got(sender) <= read(sender)));
        if senders.iter().all(|sender| got(sender) == count as usize) {
            break;
        }
    }
    let complete = |sender: &HostId| {
        let in_order =
            world.tap.read.get(&(3 - sender)).is_some_and(|read| read.iter().cloned().eq((0..count).map(text)));
        let receipts = world.tap.receipts.get(sender).is_some_and(|got| got.is_sorted() && got.len() == count as usize);
        in_order && receipts
    };
    senders.iter().all(complete)
}

#[test]
fn a_bad_link_loses_nothing() {
    for seed in 0..3 {
        let mut world = friends(seed, [128, 128]);
        weather(&mut world, 100_000, 50_000, Duration::from_millis(15));
        assert!(talk(&mut world, &[1], 1000, 2 * MINUTE), "seed {seed}");
        assert!(world.node(1).stats().packets_resent >= 100, "{}", world.node(1).stats().packets_resent);
        weather(&mut world, 0, 0, Duration::ZERO);
        world.run_for(10 * SECOND);
        assert_eq!(ENDS.map(|end| used(&world, end, "blocks")), [0, 0]);
        assert_eq!(ENDS.map(|end| world.tap.changes[&end]), [1, 1], "nobody was seen offline");
    }
}

#[test]
fn small_pools_deliver_everything() {
    for (seed, pools) in (0..).zip([[6, 8], [8, 6], [6, 6], [16, 6], [8, 16]]) {
        let mut world = friends(seed, pools);
        weather(&mut world, 100_000, 50_000, Duration::from_millis(10));
        assert!(talk(&mut world, &[1], 100, 4 * MINUTE), "{pools:?}");
    }
}

#[test]
fn both_fill_their_pools() {
    for blocks in [6, 8, 10] {
        let mut world = friends(3, [blocks, blocks]);
        weather(&mut world, 50_000, 0, Duration::ZERO);
        assert!(talk(&mut world, &[1, 2], 60, 4 * MINUTE), "{blocks}");
    }
}

/// Random deeds of both owners and random weather: nothing panics, spins or leaks, and the two find each other again.
#[test]
fn chaos_passes() {
    fn survives(seed: u64, pools: (u8, u8), deeds: Vec<(u8, u16)>) -> bool {
        let mut world = friends(seed, [6 + u32::from(pools.0 % 20), 6 + u32::from(pools.1 % 20)]);
        for (what, n) in deeds {
            act(&mut world, what, n);
        }
        weather(&mut world, 0, 0, Duration::ZERO);
        ENDS.iter().for_each(|end| world.set_reading(*end, true));
        for (end, other) in [(1, 2), (2, 1)] {
            if world.friend(end, other).is_none() {
                let key = world.node(other).tox_id().public_key;
                people::accept(&mut world, end, key);
            }
        }
        // A session that only one side believes in ends by itself; then both can begin anew.
        let back = world.run_until(2 * MINUTE, |w| w.are_connected(1, 2));
        world.run_for(45 * SECOND);
        world.tap.read.clear();
        let heard = world.run_until(MINUTE, |w| w.are_connected(1, 2)) && says(&mut world);
        for (end, other) in [(1, 2), (2, 1)] {
            let friend = world.friend(end, other).unwrap();
            world.with(end, |node, now| node.remove_friend(now, friend));
        }
        world.run_for(SECOND);
        back && heard && ENDS.iter().all(|end| used(&world, *end, "blocks") + used(&world, *end, "sessions") == 0)
    }
    let survives = survives as fn(u64, (u8, u8), Vec<(u8, u16)>) -> bool;
    quickcheck::QuickCheck::new().tests(30).quickcheck(survives);
}

/// Alice says something, as soon as there is room, and Bob hears it.
fn says(world: &mut Net) -> bool {
    for _ in 0..600 {
        if world.say(1, 2, b"the end").is_ok() {
            return world
                .run_until(MINUTE, |w| w.tap.read.get(&2).is_some_and(|read| read.contains(&b"the end".to_vec())));
        }
        world.run_for(SECOND / 10);
    }
    false
}

fn act(world: &mut Net, what: u8, n: u16) {
    let who = 1 + HostId::from(n & 1);
    let other = 3 - who;
    match (what % 12, world.friend(who, other)) {
        (0 | 1, None) => {
            let key = world.node(other).tox_id().public_key;
            people::accept(world, who, key);
        }
        (2, Some(friend)) => drop(world.with(who, |node, now| node.remove_friend(now, friend))),
        (3..=6, Some(_)) => {
            for i in 0..n % 9 {
                let _ = world.say(who, other, &vec![b'a' + i as u8; 1 + usize::from(n) % 1372]);
            }
        }
        (7, Some(friend)) => drop(world.with(who, |node, now| node.send_lossy(now, friend, &[200, 1]))),
        (8, _) => world.set_reading(who, n & 2 == 0),
        (9, _) => weather(world, u32::from(n % 60) * 10_000, u32::from(n % 2) * 50_000, Duration::from_millis(10)),
        (10, _) => weather(world, 0, 0, Duration::from_millis(u64::from(n % 50))),
        (11, _) => world.run_for(Duration::from_millis(u64::from(n) * 2)),
        _ => {}
    }
    world.run_for(Duration::from_millis(u64::from(n % 100)));
}

//! Random actions of both owners and a random link: nothing panics, spins or leaks, and the link recovers.

use super::*;
use quickcheck::{QuickCheck, quickcheck};

fn act(world: &mut World, what: u8, n: u16) {
    let who = usize::from(n & 1);
    world.parties[who].bench.now = world.now;
    let party = &mut world.parties[who];
    let open: Vec<_> = party.sessions.table.iter().map(|(id, _)| id).collect();
    let picked = open.get(usize::from(n) % open.len().max(1)).copied();
    match (what % 12, picked) {
        (0 | 1, _) => drop(world.open(who)),
        (2, Some(id)) => party.sessions.close(&mut party.bench.cx(), id),
        (3..=6, Some(id)) => {
            for i in 0..n % 9 {
                let content = vec![16 + i as u8; 1 + usize::from(n) % 1373];
                let _ = party.sessions.send(&mut party.bench.cx(), id, &[&content], u32::from(n) + 1);
            }
        }
        (7, Some(id)) => drop(party.sessions.send_lossy(&mut party.bench.cx(), id, &[&[200, 1]])),
        (8, _) => party.reads = n & 2 == 0,
        (9, _) => world.loss = u64::from(n % 60),
        (10, _) => world.jitter = Duration::from_millis(u64::from(n % 50)),
        (11, _) => world.run(u64::from(n) * 2),
        (_, None) => {}
        (12.., Some(_)) => unreachable!("modulo 12"),
    }
    world.run(u64::from(n % 100));
}

fn survives(seed: u64, blocks: (u8, u8), actions: Vec<(u8, u16)>) -> bool {
    let mut world = World::new(seed, [2 + usize::from(blocks.0 % 20), 2 + usize::from(blocks.1 % 20)]);
    for (what, n) in actions {
        act(&mut world, what, n);
    }
    (world.loss, world.jitter) = (0, Duration::ZERO);
    world.parties.iter_mut().for_each(|party| party.reads = true);
    // A session that only one side believes in ends by itself; then both can begin anew.
    world.run(45_000);
    world.open(0);
    let back = world.run_until(5_000, |w| w.parties.iter().all(Party::is_established));
    world.parties.iter_mut().for_each(|party| party.inbox.clear());
    let heard = world.run_until(60_000, |w| {
        let _ = w.parties[0].send(&[99], 0);
        w.pump_all();
        w.parties[1].inbox.iter().any(|content| content == &[99])
    });
    let ids = [0, 1].map(|i| world.parties[i].id());
    for (party, id) in world.parties.iter_mut().zip(ids) {
        party.sessions.close(&mut party.bench.cx(), id);
    }
    world.run(1000);
    back && heard && world.parties.iter().all(|party| party.blocks_used() == 0 && party.sessions.table.is_empty())
}

#[test]
fn chaos_passes() {
    QuickCheck::new().tests(100).quickcheck(survives as fn(u64, (u8, u8), Vec<(u8, u16)>) -> bool);
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

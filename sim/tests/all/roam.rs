//! People who move and people who sleep: how soon their friends hear them again.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::people::{MINUTE, Net, SECOND, network};
use bluering_core::time::Instant;
use bluering_sim::net::{LinkSpec, NatSpec, Place, V4};
use bluering_sim::plan::CLIENT;
use bluering_sim::{HostId, HostSpec};
use core::time::Duration;

/// Public nodes around, so that nobody's paths lead through the two alone.
const SERVERS: u32 = 10;
const ALICE: HostId = SERVERS;
const BOB: HostId = SERVERS + 1;

/// Where somebody may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Home {
    Public,
    Nat(usize),
}

impl Home {
    fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Nat(kind) => NatSpec::ALL[kind].0,
        }
    }

    /// Such a place, with a line of its own of 10 ms each way.
    fn place(self, world: &mut Net) -> Place {
        let access = LinkSpec::with_latency(Duration::from_millis(10));
        let v4 = match self {
            Self::Public => V4::Public,
            Self::Nat(kind) => V4::Behind(world.net_mut().add_nat(NatSpec::ALL[kind].1.clone(), &Place::PUBLIC, None)),
        };
        Place { access, v4, ..Place::PUBLIC }
    }
}

const HOMES: [Home; 4] = [Home::Public, Home::Nat(0), Home::Nat(1), Home::Nat(2)];

/// Two friends in such places, online for half a minute.
fn friends(seed: u64, homes: [Home; 2]) -> Net {
    let mut world = network(seed, SERVERS, 0);
    for home in homes {
        let place = home.place(&mut world);
        let id = world.add_host(HostSpec { place, ..HostSpec::public(CLIENT) });
        world.bootstrap(id, 0);
    }
    world.befriend(ALICE, BOB);
    assert!(world.run_until(MINUTE, |w| w.are_connected(ALICE, BOB)), "{homes:?} {seed}");
    world.run_for(30 * SECOND);
    world
}

/// Both say something every 50 ms until each has heard something said from now on: how long that takes.
fn gap(world: &mut Net, limit: Duration) -> Option<Duration> {
    let start = world.now();
    let said = |at: Instant| at.millis().to_string().into_bytes();
    let heard = |w: &Net, who: HostId| {
        let is_new = |text: &Vec<u8>| {
            let at = std::str::from_utf8(text).ok().and_then(|text| text.parse::<u64>().ok());
            at.is_some_and(|at| at >= start.millis())
        };
        w.tap.read.get(&who).is_some_and(|read| read.iter().any(is_new))
    };
    while world.now().since(start) < limit {
        for (a, b) in [(ALICE, BOB), (BOB, ALICE)] {
            // Refused while offline.
            let _ = world.say(a, b, &said(world.now()));
        }
        if world.run_until(Duration::from_millis(50), |w| heard(w, ALICE) && heard(w, BOB)) {
            return Some(world.now().since(start));
        }
    }
    None
}

#[test]
fn who_moves_is_heard_again_within_three_seconds() {
    let mut slowest = (Duration::ZERO, String::new());
    for seed in 0..3 {
        for stays in HOMES {
            for (from, to) in [(HOMES[3], HOMES[0]), (HOMES[0], HOMES[2]), (HOMES[3], HOMES[3]), (HOMES[1], HOMES[3])] {
                let mut world = friends(seed, [from, stays]);
                gap(&mut world, SECOND).unwrap();
                let changes = world.tap.changes.clone();
                let place = to.place(&mut world);
                world.move_to(ALICE, &place);
                let what = format!("{} -> {}, to {}, seed {seed}", from.name(), to.name(), stays.name());
                let took = gap(&mut world, MINUTE).unwrap_or(MINUTE);
                println!("{took:?} {what}");
                assert_eq!(changes, world.tap.changes, "nobody went offline: {what}");
                slowest = slowest.max((took, what));
            }
        }
    }
    println!("slowest: {slowest:?}");
    assert!(slowest.0 <= 3 * SECOND, "{slowest:?}");
}

#[test]
fn who_wakes_after_ten_minutes_is_heard_again_within_three_seconds() {
    let mut slowest = (Duration::ZERO, String::new());
    for seed in 0..3 {
        for sleeps in HOMES {
            for stays in HOMES {
                let mut world = friends(seed, [sleeps, stays]);
                world.suspend(ALICE);
                world.run_for(10 * MINUTE);
                world.resume(ALICE, true);
                let what = format!("{} sleeps, {} not, seed {seed}", sleeps.name(), stays.name());
                let took = gap(&mut world, MINUTE).unwrap_or(MINUTE);
                println!("{took:?} {what}");
                slowest = slowest.max((took, what));
            }
        }
    }
    println!("slowest: {slowest:?}");
    assert!(slowest.0 <= 3 * SECOND, "{slowest:?}");
}

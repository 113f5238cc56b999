//! Rough weather: random lines, NATs, sleep, deafness, partitions and dishonest relays. Then calm, and every rule
//! holds.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use bluering_core::Limits;
use bluering_sim::crypto::Strength;
use bluering_sim::net::{Cut, Jitter, LinkSpec, Loss, NatSpec, Part, Place};
use bluering_sim::oracles::{Probe, QUIET_BEGINS, QUIET_ENDS, Settings, Watch};
use bluering_sim::world::Tamper;
use bluering_sim::{HostId, HostSpec, SimRng, World};
use core::time::Duration;

const SERVERS: u32 = 4;
const CLIENTS: u32 = 8;

fn build(seed: u64, rng: &mut SimRng) -> World<Watch> {
    let clients: Vec<HostId> = (SERVERS..SERVERS + CLIENTS).collect();
    let pairs: Vec<(HostId, HostId)> =
        clients.iter().flat_map(|a| (1..=2).map(move |d| (*a, SERVERS + (a - SERVERS + d) % CLIENTS))).collect();
    let settings = Settings { pairs: pairs.clone(), needles: vec![b"~secret~".to_vec()], idle: Some(12) };
    let mut world = World::watched(seed, Strength::Real, Watch::new(&settings, Vec::new()));
    world.suite().keep_ledger();
    world.shuffle_ties();
    for _ in 0..SERVERS {
        world.add_host(HostSpec::public(Limits::DESKTOP));
    }
    for _ in 0..CLIENTS {
        let place = if rng.chance(500_000) {
            let nat = world.net_mut().add_nat(NatSpec::FULL_CONE, &Place::PUBLIC, None);
            Place::behind(nat)
        } else {
            Place::PUBLIC
        };
        let limits = if rng.chance(300_000) { Limits::MICRO } else { Limits::DESKTOP };
        world.add_host(HostSpec { place, ..HostSpec::public(limits) });
    }
    for id in 0..SERVERS + CLIENTS {
        let name = format!("~secret~ {id}");
        world.with(id, |node, _| node.set_name(name.as_bytes()).unwrap());
        for through in 0..SERVERS {
            if through != id {
                world.bootstrap(id, through);
            }
        }
    }
    for (a, b) in pairs {
        world.befriend(a, b);
    }
    world
}

fn line(rng: &mut SimRng) -> LinkSpec {
    let base = LinkSpec::with_latency(Duration::from_millis(1 + rng.below(200)));
    match rng.below(5) {
        0 => LinkSpec { loss: Loss::Bernoulli(rng.below(400_000) as u32), ..base },
        1 => LinkSpec {
            jitter: Jitter::Uniform(Duration::from_millis(rng.below(300))),
            reorder: rng.below(300_000) as u32,
            reorder_by: Duration::from_millis(200),
            ..base
        },
        2 => LinkSpec {
            duplicate: rng.below(300_000) as u32,
            corrupt: rng.below(100_000) as u32,
            truncate: rng.below(50_000) as u32,
            reorder_by: Duration::from_millis(200),
            ..base
        },
        3 => LinkSpec { rate: Some(2_000 + rng.below(50_000) as u32), queue: 3_000 + rng.below(60_000) as u32, ..base },
        _ => base,
    }
}

fn chaos(world: &mut World<Watch>, rng: &mut SimRng, n: &mut u32) {
    let client = |rng: &mut SimRng| SERVERS + rng.below(CLIENTS.into()) as u32;
    let mut cuts = Vec::new();
    for _ in 0..240 {
        let host = client(rng);
        match rng.below(40) {
            0 => world.suspend(host),
            1 => world.resume(host, rng.chance(500_000)),
            2 => world.set_reading(host, false),
            3 | 4 => world.set_reading(host, true),
            5 => cuts.push(world.net_mut().cut(Cut { from: Part::Hosts(vec![host]), to: Part::All })),
            6 => cuts.drain(..).for_each(|cut| world.net_mut().mend(cut)),
            7 => {
                let (up, down) = (line(rng), line(rng));
                world.net_mut().set_access(host, up, down);
            }
            8 => {
                let tamper = [Tamper::Drop(500_000), Tamper::Flip(500_000), Tamper::Delay(Duration::from_secs(2))];
                world.tamper(host, Some(tamper[rng.below(3) as usize]));
            }
            9 => world.set_wall_clock(host, rng.below(200_000) as i64 - 100_000),
            _ => {}
        }
        for _ in 0..rng.below(12) {
            let (from, to) = (client(rng), client(rng));
            *n += 1;
            let mut text = format!("~secret~ {n} ").into_bytes();
            text.resize(text.len() + rng.below(1200) as usize, b'.');
            let _ = world.say(from, to, &text);
        }
        world.run_for(Duration::from_millis(rng.below(1000)));
        Watch::look(world);
    }
    for host in 0..SERVERS + CLIENTS {
        world.resume(host, true);
        world.set_reading(host, true);
        world.tamper(host, None);
        let calm = LinkSpec::with_latency(Duration::from_millis(5));
        world.net_mut().set_access(host, calm.clone(), calm);
    }
    cuts.drain(..).for_each(|cut| world.net_mut().mend(cut));
}

fn run(seed: u64) -> World<Watch> {
    let mut rng = SimRng::fork(seed, &[99]);
    let mut world = build(seed, &mut rng);
    let mut n = 0;
    world.run_for(Duration::from_secs(20));
    chaos(&mut world, &mut rng, &mut n);
    let bound = Duration::from_secs(180);
    world.run_until(bound, |world| world.tap.online.all_online());
    let now = world.now();
    let Watch { online, findings, .. } = &mut world.tap;
    online.demand(now, bound, findings);
    world.run_for(Duration::from_secs(60));
    world.mark(QUIET_BEGINS);
    world.run_for(Duration::from_secs(60));
    world.mark(QUIET_ENDS);
    let mut watch = core::mem::take(&mut world.tap);
    watch.audit(&world);
    world.tap = watch;
    world
}

/// Seed 4 is one in which senders who did not read were told of receipts for messages that a lost session had taken
/// with it.
#[test]
fn every_rule_holds_after_rough_weather() {
    for seed in [4, 5] {
        let world = run(seed);
        assert_eq!(world.tap.findings.violations(), [], "seed {seed}");
        let probes = &world.tap.probes;
        for probe in [Probe::Undelivered, Probe::CameBack, Probe::Cut, Probe::HostDown, Probe::PacketResent] {
            assert!(probes.get(probe) > 0, "seed {seed} never reached {}", probe.name());
        }
    }
}

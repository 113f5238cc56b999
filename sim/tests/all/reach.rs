//! Friends who have no UDP, or lose it, sleep or move: how long it takes until they hear of each other again.

use bluering_core::time::Instant;
use bluering_core::{Connection, Event};
use bluering_sim::choices::Choices;
use bluering_sim::crypto::Strength;
use bluering_sim::net::Place;
use bluering_sim::observe::{Observation, Tap};
use bluering_sim::plan::{CLIENT, RELAY, SERVER};
use bluering_sim::run::{Options, run};
use bluering_sim::scenarios;
use bluering_sim::{HostId, HostSpec, World};
use core::time::Duration;
use std::collections::BTreeMap;

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Remembers how friends see each other, when messages came, and how many datagrams each host sent.
#[derive(Default)]
struct Log {
    seen: BTreeMap<(HostId, HostId), Connection>,
    came: Vec<(Instant, HostId)>,
    datagrams: BTreeMap<HostId, u64>,
}

impl Tap for Log {
    fn observe(&mut self, at: Instant, seen: &Observation<'_>) {
        if let Observation::Sent { packet, .. } = seen {
            *self.datagrams.entry(packet.from).or_default() += 1;
        }
        let Observation::Heard { host, peer, event, .. } = seen else { return };
        if let (Some(peer), Event::FriendConnection { connection, .. }) = (peer, event) {
            self.seen.insert((*host, *peer), *connection);
        } else if let Event::Message { .. } = event {
            self.came.push((at, *host));
        }
    }
}

type Net = World<Log>;

/// Three bootstrap nodes with relays that know each other.
fn network(seed: u64) -> Net {
    let mut world = World::watched(seed, Strength::Real, Log::default());
    // There and back in 30 ms and more, 70 at most.
    world.net_mut().backbone = 5 * seed as u32 * MILLI;
    for server in 0..3 {
        world.add_host(HostSpec { relay: Some(RELAY), ..HostSpec::public(SERVER) });
        if server > 0 {
            world.bootstrap(server, 0);
        }
    }
    world.run_for(3 * SECOND);
    world
}

fn person(world: &mut Net, place: &Place, udp: bool) -> HostId {
    let id = world.add_host(HostSpec { place: place.clone(), udp, ..HostSpec::public(CLIENT) });
    enter(world, id);
    id
}

fn enter(world: &mut Net, id: HostId) {
    for server in 0..3 {
        world.bootstrap(id, server);
        let mut relay = world.info(server);
        relay.at = bluering_core::Endpoint::new(relay.at.ip(), 443);
        world.add_relay(id, relay);
    }
}

/// How long it takes until both are online.
fn meets(world: &mut Net, a: HostId, b: HostId) -> Option<Duration> {
    let start = world.now();
    world.run_until(2 * MINUTE, |w| w.are_connected(a, b)).then(|| world.now().since(start))
}

/// How long it takes until each has heard something new of the other.
fn exchange(world: &mut Net, a: HostId, b: HostId) -> Option<Duration> {
    let start = world.now();
    world.tap.came.clear();
    for _ in 0..6000 {
        for (from, to) in [(a, b), (b, a)] {
            // Refused as long as the friend is offline.
            let _ = world.say(from, to, b"are you there?");
        }
        world.run_for(20 * MILLI);
        if [a, b].iter().all(|who| world.tap.came.iter().any(|(_, host)| host == who)) {
            let first = |who: HostId| world.tap.came.iter().find(|(_, host)| *host == who).map(|(at, _)| *at);
            return Some(first(a).max(first(b))?.since(start));
        }
    }
    None
}

/// The longest time without a message in either direction, while both talk without end and something happens after a
/// second.
fn gap(world: &mut Net, a: HostId, b: HostId, what: impl FnOnce(&mut Net)) -> Duration {
    let (mut what, start) = (Some(what), world.now());
    world.tap.came.clear();
    for round in 0..1500 {
        if round == 50
            && let Some(what) = what.take()
        {
            what(world);
        }
        let _ = world.say(a, b, b"one");
        let _ = world.say(b, a, b"two");
        world.run_for(20 * MILLI);
    }
    let end = world.now();
    let longest = |who: HostId| {
        let times = world.tap.came.iter().filter(|(_, host)| *host == who).map(|(at, _)| *at);
        let times: Vec<Instant> = [start].into_iter().chain(times).chain([end]).collect();
        times.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap_or_default()
    };
    longest(a).max(longest(b))
}

/// Two friends who have talked for a while.
fn friends(seed: u64, ways: [bool; 2]) -> (Net, HostId, HostId) {
    let mut world = network(seed);
    let ids = ways.map(|udp| person(&mut world, &if udp { Place::PUBLIC } else { Place::TCP_ONLY }, udp));
    let [a, b] = ids;
    let _ = world.befriend(a, b);
    assert!(meets(&mut world, a, b).is_some());
    // Not at the same point of every timer.
    world.run_for(20 * SECOND + seed as u32 * 1370 * MILLI);
    (world, a, b)
}

/// The median and the longest of several runs.
fn times(name: &str, measure: impl Fn(u64) -> Option<Duration>) -> Duration {
    let mut all: Vec<Duration> = (1..6).map(|seed| measure(seed).unwrap_or(120 * SECOND)).collect();
    all.sort_unstable();
    println!("| {name} | {} ms | {} ms |", all[2].as_millis(), all[4].as_millis());
    all[4]
}

const TCP: [bool; 2] = [false; 2];
const UDP: [bool; 2] = [true; 2];
const MIXED: [bool; 2] = [false, true];

fn add_to_online(seed: u64, ways: [bool; 2]) -> Option<Duration> {
    let mut world = network(seed);
    let [a, b] = ways.map(|udp| person(&mut world, &if udp { Place::PUBLIC } else { Place::TCP_ONLY }, udp));
    world.run_for(5 * SECOND);
    let _ = world.befriend(a, b);
    meets(&mut world, a, b)
}

fn restart_to_online(seed: u64, ways: [bool; 2]) -> Option<Duration> {
    let (mut world, a, b) = friends(seed, ways);
    world.stop(a);
    world.run_for(5 * SECOND);
    world.restart(a, bluering_sim::world::SavedState::Current, &[]);
    enter(&mut world, a);
    exchange(&mut world, a, b)
}

fn resume(seed: u64, ways: [bool; 2], counted: bool) -> Option<Duration> {
    let (mut world, a, b) = friends(seed, ways);
    world.suspend(a);
    world.run_for(10 * MINUTE);
    world.resume(a, counted);
    exchange(&mut world, a, b)
}

fn moves(seed: u64, ways: [bool; 2], unnoticed: bool) -> Option<Duration> {
    let (mut world, a, b) = friends(seed, ways);
    let place = if ways[0] { Place::PUBLIC } else { Place::TCP_ONLY };
    Some(gap(
        &mut world,
        a,
        b,
        |world| {
            if unnoticed { world.move_unnoticed(a, &place) } else { world.move_to(a, &place) }
        },
    ))
}

fn udp_dies(seed: u64, who: usize) -> Option<Duration> {
    let (mut world, a, b) = friends(seed, UDP);
    let host = [a, b][who];
    Some(gap(&mut world, a, b, |world| world.net_mut().set_udp(host, false)))
}

/// For the table in the README: `cargo test -p bluering-sim --test all reach -- --nocapture`. The bounds are the
/// issue's; it has none for a move that nobody notices.
#[test]
fn how_long_it_takes() {
    println!("| what | median | longest |");
    let mut late = Vec::new();
    let mut within = |limit: u64, name: &str, measure: &dyn Fn(u64) -> Option<Duration>| {
        let longest = times(name, measure);
        late.extend((longest > Duration::from_millis(limit)).then(|| format!("{name}: {longest:?}, not {limit} ms")));
    };
    within(1500, "TCP only, add to both online", &|seed| add_to_online(seed, TCP));
    within(1500, "TCP only and UDP, add to both online", &|seed| add_to_online(seed, MIXED));
    within(1500, "UDP, add to both online", &|seed| add_to_online(seed, UDP));
    within(1500, "TCP only, restart to both online", &|seed| restart_to_online(seed, TCP));
    within(1500, "UDP, restart to both online", &|seed| restart_to_online(seed, UDP));
    within(2000, "UDP dies, gap in messages", &|seed| udp_dies(seed, (seed % 2) as usize));
    within(3000, "UDP, resume after 10 minutes, clock counts on", &|seed| resume(seed, UDP, true));
    within(3000, "UDP, resume after 10 minutes, clock stood still", &|seed| resume(seed, UDP, false));
    within(3000, "TCP only, resume after 10 minutes, clock counts on", &|seed| resume(seed, TCP, true));
    within(3000, "TCP only, resume after 10 minutes, clock stood still", &|seed| resume(seed, TCP, false));
    within(3000, "UDP, move, gap in messages", &|seed| moves(seed, UDP, false));
    within(3000, "UDP, move unnoticed, gap in messages", &|seed| moves(seed, UDP, true));
    within(3000, "TCP only, move, gap in messages", &|seed| moves(seed, TCP, false));
    within(6000, "TCP only, move unnoticed, gap in messages", &|seed| moves(seed, TCP, true));
    assert!(late.is_empty(), "{late:?}");
}

/// The NAT matrix with relays: every pair ends as the model says, and none is unreachable.
#[test]
fn every_pair_of_nats_ends_directly_punched_or_relayed() {
    let scenario = scenarios::find("nat-matrix").expect("a scenario");
    let plan = (scenario.plan)(&mut Choices::seeded(1), scenario.size);
    let outcome = run(&plan, Options::default());
    assert_eq!(outcome.violations, []);
    let table = (scenario.table.expect("a table"))(&plan, &outcome);
    let mut counts = BTreeMap::<&str, u32>::new();
    for row in &table.rows {
        println!("{}", row.join(" | "));
        for word in &row[1..] {
            *counts.entry(word).or_default() += 1;
        }
    }
    println!("{counts:?}");
    let known = ["direct", "punched", "relayed"];
    assert!(counts.keys().all(|word| known.contains(word)), "{counts:?}");
    assert!(known.iter().all(|word| counts.contains_key(word)));
}

#[test]
fn without_udp_they_meet() {
    for (udp_a, udp_b) in [(false, false), (false, true)] {
        let mut world = network(1);
        let a = person(&mut world, &Place::TCP_ONLY, udp_a);
        let b = person(&mut world, &if udp_b { Place::PUBLIC } else { Place::TCP_ONLY }, udp_b);
        world.run_for(5 * SECOND);
        let _ = world.befriend(a, b);
        let took = meets(&mut world, a, b);
        println!("{udp_a} {udp_b} met after {took:?}");
        assert!(took.is_some());
        assert!(!world.tap.datagrams.contains_key(&a), "no datagram ever");
    }
}

//! Friends who have no UDP, or lose it, sleep or move: how long it takes until they hear of each other again.

use bluering_core::time::Instant;
use bluering_core::{Connection, Event};
use bluering_sim::crypto::Strength;
use bluering_sim::net::Place;
use bluering_sim::observe::{Observation, Tap};
use bluering_sim::plan::{CLIENT, RELAY, SERVER};
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
        match seen {
            Observation::Sent { packet, .. } => *self.datagrams.entry(packet.from).or_default() += 1,
            Observation::Heard { host, peer: Some(peer), event: Event::FriendConnection { connection, .. } } => {
                self.seen.insert((*host, *peer), *connection);
            }
            Observation::Heard { host, event: Event::Message { .. }, .. } => self.came.push((at, *host)),
            _ => {}
        }
    }
}

type Net = World<Log>;

/// Three bootstrap nodes with relays that know each other.
fn network(seed: u64) -> Net {
    let mut world = World::watched(seed, Strength::Real, Log::default());
    world.net_mut().backbone = 20 * MILLI;
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

#[test]
fn without_udp_they_meet() {
    for (udp_a, udp_b) in [(false, false), (false, true)] {
        let mut world = network(1);
        let a = person(&mut world, &Place::TCP_ONLY, udp_a);
        let b = person(&mut world, &if udp_b { Place::PUBLIC } else { Place::TCP_ONLY }, udp_b);
        world.run_for(5 * SECOND);
        world.befriend(a, b);
        let took = meets(&mut world, a, b);
        println!("{udp_a} {udp_b} met after {took:?}");
        assert!(took.is_some());
        assert!(!world.tap.datagrams.contains_key(&a), "no datagram ever");
    }
}

//! What the tests of oracles share: false observations, and a small honest world.

use super::{Findings, Oracle, Rule, Watch};
use crate::World;
use crate::crypto::Strength;
use crate::observe::{HostId, Observation, Packet, Truth};
use crate::rng::SimRng;
use bluering_core::crypto::SecretKey;
use bluering_core::time::Instant;
use bluering_core::{Endpoint, FriendId, Limits};
use core::time::Duration;

/// An oracle that is told what never was.
pub(super) struct Feed<O> {
    pub(super) now: Instant,
    pub(super) oracle: O,
    pub(super) findings: Findings,
}

impl<O: Oracle> Feed<O> {
    pub(super) fn new(oracle: O) -> Self {
        Self { now: Instant::from_secs(1), oracle, findings: Findings::default() }
    }

    pub(super) fn see(&mut self, seen: &Observation<'_>) {
        self.oracle.observe(self.now, seen, &mut self.findings);
    }

    /// Rule and host of each violation so far.
    pub(super) fn found(&self) -> Vec<(Rule, Option<HostId>)> {
        found(&self.findings)
    }
}

pub(super) fn found(findings: &Findings) -> Vec<(Rule, Option<HostId>)> {
    findings.violations().iter().for_each(|found| println!("{found:?}"));
    findings.violations().iter().map(|found| (found.rule, found.host)).collect()
}

/// The address of a host.
pub(super) fn address(host: HostId) -> Endpoint {
    Endpoint::v4([11, 0, 0, host as u8], 33445)
}

/// A datagram between two hosts.
pub(super) fn packet(from: HostId, to: HostId, bytes: &[u8]) -> Packet<'_> {
    Packet { id: 1, from, source: address(from), to: address(to), bytes }
}

/// Who a host is.
pub(super) fn truth(host: HostId) -> Truth {
    let secret = |label| SecretKey::from_bytes(SimRng::fork(label, &[host.into()]).array());
    let (public, dht) = (secret(1).public_key(), secret(2).public_key());
    Truth { public, secret: secret(1), dht, limits: Limits::MICRO }
}

/// A friend's number, which only a node can make.
pub(super) fn any_friend() -> FriendId {
    let mut world = World::new(1);
    let (a, b) = (world.add(&Limits::MICRO), world.add(&Limits::MICRO));
    world.befriend(a, b).0
}

/// A world of six nodes of which 0 and 1 are friends, seen by `oracles`.
pub(super) fn watched(oracles: Vec<Box<dyn Oracle>>) -> World<Watch> {
    let mut world = World::watched(7, Strength::Real, Watch::new(oracles, &[(0, 1)]));
    for _ in 0..6 {
        world.add(&Limits::DESKTOP);
    }
    (0..6).for_each(|id| world.bootstrap(id, (id + 1) % 6));
    world.befriend(0, 1);
    world
}

/// The friends meet, and talk.
pub(super) fn chat(world: &mut World<Watch>) {
    assert!(world.run_until(Duration::from_secs(120), |world| world.tap.online.all_online()), "they never met");
    for i in 0..20_u8 {
        world.say(0, 1, &[b"~secret~ ", &[i][..]].concat()).unwrap();
        world.run_for(Duration::from_millis(300));
        world.say(1, 0, &[b"~secret~ back ", &[i][..]].concat()).unwrap();
    }
    world.run_for(Duration::from_secs(30));
}

/// What there is to say about the world at the end.
pub(super) fn audited(world: &mut World<Watch>) -> Vec<(Rule, Option<HostId>)> {
    Watch::audit(world);
    found(&world.tap.findings)
}

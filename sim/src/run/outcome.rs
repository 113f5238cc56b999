//! What is left of a run.

use crate::observe::HostId;
use crate::oracles::{OnlineTimes, Peaks, Probe, Violation, Watch};
use crate::plan::Plan;
use crate::world::World;
use bluering_core::Connection;
use core::time::Duration;
use std::collections::BTreeMap;

/// How a run went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Hosts of the plan.
    pub nodes: u32,
    /// How long the run took, by the world's clock.
    pub took: Duration,
    /// A hash over all that happened.
    pub hash: u64,
    /// Things that were due: datagrams that arrived, and timers.
    pub events: u64,
    /// Datagrams sent.
    pub packets: u64,
    /// What must not be, and was: the first few of each rule.
    pub violations: Vec<Violation>,
    /// How many there were in all.
    pub violation_count: u64,
    /// How long pairs took to be online for the first time.
    pub online: OnlineTimes,
    /// What was reached, and how often.
    pub probes: BTreeMap<&'static str, u64>,
    /// How full tables were.
    pub peaks: Peaks,
    /// Whether each pair of friends is online at the end.
    pub pairs: Vec<(HostId, HostId, bool)>,
    /// How the two of each pair see each other at the end; when they do not agree, the worse of it.
    pub links: Vec<Connection>,
}

impl Outcome {
    pub(super) fn of(plan: &Plan, world: &World<Watch>) -> Self {
        let watch = &world.tap;
        let mut probes = watch.probes.by_name();
        if world.tampered() > 0 {
            probes.insert(Probe::Tampered.name(), world.tampered());
        }
        let pairs = plan.friends.iter().map(|(a, b)| (*a, *b, world.are_connected(*a, *b))).collect();
        let links = plan.friends.iter().map(|(a, b)| worse(world.link(*a, *b), world.link(*b, *a))).collect();
        Self {
            nodes: plan.hosts.len() as u32,
            took: world.now().since(super::START),
            hash: world.digest(),
            events: world.events(),
            packets: world.datagrams(),
            violations: watch.findings.violations().to_vec(),
            violation_count: watch.findings.total(),
            online: watch.online.times(),
            probes,
            peaks: watch.peaks.clone(),
            pairs,
            links,
        }
    }
}

const fn worse(a: Connection, b: Connection) -> Connection {
    match (a, b) {
        (Connection::None, _) | (_, Connection::None) => Connection::None,
        (Connection::Tcp, _) | (_, Connection::Tcp) => Connection::Tcp,
        (Connection::Udp, Connection::Udp) => Connection::Udp,
    }
}

//! What is left of a run.

use crate::observe::{HostId, Tap};
use crate::oracles::{Violation, Watch};
use crate::plan::Plan;
use crate::world::World;
use core::time::Duration;
use serde::{Deserialize, Serialize};
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
    /// Whether each pair of friends is online at the end.
    pub pairs: Vec<(HostId, HostId, bool)>,
}

/// From the later start of two friends until each sees the other online, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnlineTimes {
    /// Pairs that met.
    pub pairs: u32,
    /// Of these, half took at most so long.
    pub p50: u64,
    /// 19 of 20.
    pub p95: u64,
    /// The slowest.
    pub max: u64,
}

impl Outcome {
    pub(super) fn of<T: Tap>(plan: &Plan, world: &World<T>, watch: Watch) -> Self {
        let pairs = plan.friends.iter().map(|(a, b)| (*a, *b, world.are_connected(*a, *b))).collect();
        Self {
            nodes: plan.hosts.len() as u32,
            took: world.now().since(super::START),
            hash: world.digest(),
            events: world.events(),
            packets: world.datagrams(),
            violations: watch.findings.violations().to_vec(),
            violation_count: watch.findings.total(),
            online: watch.online.times(),
            probes: watch.probes.counts(),
            pairs,
        }
    }
}

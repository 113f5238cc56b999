//! What must hold in every run, whatever happens to it.
//!
//! An [`Oracle`] sees everything that its world shows ([`Observation`]) and reports what must not be as a
//! [`Violation`]. At the end it may look at the world itself. An oracle that never fires proves nothing, so each has a
//! test in which a deliberately broken actor or a false observation makes it fire.

mod all;
mod allocations;
mod amplification;
mod conservation;
mod delivery;
#[cfg(test)]
mod fixture;
mod idle;
mod liveness;
mod nonces;
mod onion;
mod per_host;
mod probes;
mod secrecy;
mod tables;
mod timers;
mod watch;

pub use all::{IdleBudget, Settings, all};
pub use allocations::Allocations;
pub use amplification::Amplification;
pub use conservation::Conservation;
pub use delivery::Delivery;
pub use idle::{Idle, QUIET_BEGINS, QUIET_ENDS};
pub use liveness::{Online, OnlineTimes};
pub use nonces::Nonces;
pub use onion::OnionPrivacy;
pub use per_host::PerHost;
pub use probes::{Count, Probe, Probes};
pub use secrecy::Secrecy;
pub use tables::{Peak, Peaks, Tables};
pub use timers::Timers;
pub use watch::Watch;

use crate::observe::{HostId, Observation, Tap};
use crate::world::World;
use bluering_core::time::Instant;
use serde::{Deserialize, Serialize};

/// Something that must hold in every run.
pub trait Oracle {
    /// Which one it is.
    fn rule(&self) -> Rule;

    /// Something happened.
    fn observe(&mut self, at: Instant, seen: &Observation<'_>, findings: &mut Findings);

    /// Now and then while the run goes on: a look at the world.
    fn look(&mut self, _world: &dyn Audited, _findings: &mut Findings) {}

    /// The run has ended: everything was healed, and has been quiet for a while.
    fn audit(&mut self, _world: &dyn Audited, _findings: &mut Findings) {}
}

/// What an oracle can look at when the run is over: the world, whoever watches it.
pub trait Audited {
    /// The time.
    fn now(&self) -> Instant;
    /// How many hosts there are.
    fn len(&self) -> u32;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The node of a host, if it has one that runs.
    fn try_node(&self, id: HostId) -> Option<&bluering_core::Node<'static, crate::SimEnv>>;
    /// The relay of a host, if it has one that runs.
    fn relay(&self, id: HostId) -> Option<&bluering_core::relay::server::RelayServer<'static, crate::SimEnv>>;
    /// The cryptography of the world, with its ledger.
    fn suite(&self) -> &crate::crypto::SimSuite;
}

impl<T: Tap> Audited for World<T> {
    fn now(&self) -> Instant {
        Self::now(self)
    }

    fn len(&self) -> u32 {
        Self::len(self)
    }

    fn try_node(&self, id: HostId) -> Option<&bluering_core::Node<'static, crate::SimEnv>> {
        Self::try_node(self, id)
    }

    fn relay(&self, id: HostId) -> Option<&bluering_core::relay::server::RelayServer<'static, crate::SimEnv>> {
        Self::relay(self, id)
    }

    fn suite(&self) -> &crate::crypto::SimSuite {
        Self::suite(self)
    }
}

/// The rules that oracles guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Rule {
    /// Each accepted message is delivered exactly once and in order, or reported as failed.
    Delivery,
    /// A receipt never comes before its message was delivered.
    Receipts,
    /// After healing, every pair that the NAT model says can reach each other is online within the bound.
    Liveness,
    /// No plaintext, name or secret key in any captured byte.
    Secrecy,
    /// No datagram to or from an address shows its owner's long-term key, nor does what a relay makes of it.
    OnionPrivacy,
    /// No nonce twice with one key.
    Nonces,
    /// What answers an unauthenticated datagram is bounded.
    Amplification,
    /// No table holds more than its capacity, and none leaks.
    Tables,
    /// The core takes nothing from the heap after its start.
    Allocations,
    /// No deadline lies in the past twice without progress.
    Timers,
    /// An idle node stays within its budget of datagrams.
    IdleTraffic,
    /// What came in was consumed, answered or dropped, and counted as such.
    Conservation,
    /// The same choices give the same run.
    Determinism,
    /// Nothing panics.
    Panic,
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// When, in microseconds of the world's time.
    pub at: u64,
    /// At which host, when at one.
    pub host: Option<HostId>,
    /// What happened, in words.
    pub what: String,
}

/// Violations of one run. Of each rule only the first few are kept.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    violations: Vec<Violation>,
    total: u64,
}

/// As many violations of one rule are kept.
const KEPT_EACH: usize = 5;

impl Findings {
    /// Reports a violation.
    pub fn report(&mut self, rule: Rule, at: Instant, host: Option<HostId>, what: String) {
        self.total += 1;
        if self.violations.iter().filter(|violation| violation.rule == rule).count() < KEPT_EACH {
            self.violations.push(Violation { rule, at: at.micros(), host, what });
        }
    }

    /// Those that were kept, in the order of their finding.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// How many there were in all.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }
}

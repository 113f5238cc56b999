//! What a host gives the core: randomness, primitives, time.

use crate::HostSuite;
use bluering_core::time::{Instant, UnixTime};
use bluering_core::{Env, Parts};
use chacha20::ChaCha20Rng;
use rand_core::SeedableRng;

/// The environment of a node on a host.
#[derive(Debug)]
pub struct HostEnv;

impl Env for HostEnv {
    type Rng = ChaCha20Rng;
    type Suite = HostSuite;
}

impl HostEnv {
    /// A generator seeded by the operating system, and the primitives.
    ///
    /// # Errors
    /// The operating system has no randomness to give.
    pub fn parts() -> Result<Parts<Self>, getrandom::Error> {
        Ok(Parts { rng: rng()?, suite: HostSuite::new() })
    }
}

/// ChaCha20 with a fresh 256-bit seed.
///
/// # Errors
/// The operating system has no randomness to give.
pub fn rng() -> Result<ChaCha20Rng, getrandom::Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    Ok(ChaCha20Rng::from_seed(seed))
}

/// The core's time: microseconds of the monotonic clock since the node was built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: std::time::Instant,
}

impl Clock {
    /// The node's first second is 1, so that [`Instant::ZERO`] stays "never".
    const OFFSET: std::time::Duration = std::time::Duration::from_secs(1);

    pub(crate) fn start() -> Self {
        Self { epoch: std::time::Instant::now() }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::ZERO + self.epoch.elapsed() + Self::OFFSET
    }

    /// When the operating system's clock will show `at`; `None` for never.
    pub(crate) fn to_host(self, at: Instant) -> Option<std::time::Instant> {
        self.epoch.checked_add(at.since(Instant::ZERO + Self::OFFSET))
    }
}

/// Wall-clock time; the epoch when the host's clock stands before it.
pub(crate) fn unix_now() -> UnixTime {
    UnixTime(std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs()))
}

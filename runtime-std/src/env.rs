//! What a host gives the core: randomness, primitives, time.

use crate::HostSuite;
use bluering_core::time::{Instant, UnixTime};
use bluering_core::{Env, Parts};
use chacha20::ChaCha20Rng;
use rand_core::SeedableRng;
use std::time::Duration;

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

/// The core's time: microseconds since the node was built. Where the system tells it, the time in which the machine
/// slept counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: Ticks,
}

impl Clock {
    /// The node's first second is 1, so that [`Instant::ZERO`] stays "never".
    const OFFSET: Duration = Duration::from_secs(1);

    pub(crate) fn start() -> Self {
        Self { epoch: Ticks::now() }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::ZERO + Ticks::now().since(self.epoch) + Self::OFFSET
    }

    /// When the operating system's clock will show `at`, if the machine does not sleep; `None` for never.
    pub(crate) fn to_host(self, at: Instant) -> Option<std::time::Instant> {
        std::time::Instant::now().checked_add(at.since(self.now()))
    }
}

/// A clock that goes on in sleep.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[derive(Clone, Copy, Debug)]
struct Ticks(Duration);

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Ticks {
    fn now() -> Self {
        use nix::time::{ClockId, clock_gettime};
        // No kernel that Rust runs on is without it.
        Self(clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from))
    }

    fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Elsewhere, the monotonic clock.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[derive(Clone, Copy, Debug)]
struct Ticks(std::time::Instant);

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Ticks {
    fn now() -> Self {
        Self(std::time::Instant::now())
    }

    fn since(self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }
}

/// Wall-clock time; the epoch when the host's clock stands before it.
pub(crate) fn unix_now() -> UnixTime {
    UnixTime(std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs()))
}

//! A host's own clock: it drifts, stands still while the host sleeps, or jumps.

use bluering_core::time::Instant;
use core::time::Duration;

/// How a host's clocks differ from the world's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// How much faster it runs, in parts per million; above -1,000,000.
    pub drift: i32,
    /// Seconds by which the wall clock is ahead.
    pub wall: i64,
}

/// A clock that runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    /// The world's time at which the host's was `local`.
    origin: Instant,
    local: Instant,
    drift: i32,
}

const MILLION: i128 = 1_000_000;

impl Running {
    pub(super) const fn new(now: Instant, drift: i32) -> Self {
        Self { origin: now, local: now, drift }
    }

    /// The host's time.
    pub(super) fn local(&self, now: Instant) -> Instant {
        let elapsed = i128::from(now.micros()) - i128::from(self.origin.micros());
        plus(self.local, elapsed * (MILLION + i128::from(self.drift)) / MILLION)
    }

    /// The world's time at which the host's will be `local` or a little later.
    pub(super) fn world(&self, local: Instant) -> Instant {
        if self.drift == 0 && self.origin == self.local {
            return local;
        }
        let elapsed = i128::from(local.micros()) - i128::from(self.local.micros());
        let rate = MILLION + i128::from(self.drift);
        plus(self.origin, (elapsed * MILLION + rate - 1).div_euclid(rate))
    }

    /// The host has slept until `now`; its clock stood still for `stood` of it.
    pub(super) fn stand_still(&mut self, now: Instant, stood: Duration) {
        let local = self.local(now);
        let stood = i128::try_from(stood.as_micros()).unwrap_or(0);
        (self.origin, self.local) = (now, plus(local, -stood));
    }
}

fn plus(at: Instant, micros: i128) -> Instant {
    Instant::from_micros(u64::try_from(i128::from(at.micros()) + micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    quickcheck! {
        fn a_deadline_is_never_early(drift: i16, start: u32, wait: u32) -> bool {
            let clock = Running::new(Instant::from_micros(u64::from(start)), i32::from(drift));
            let deadline = clock.local(Instant::from_micros(u64::from(start) + u64::from(wait)));
            let at = clock.world(deadline);
            clock.local(at) >= deadline && at <= Instant::from_micros(u64::from(start) + u64::from(wait))
        }
    }

    #[test]
    fn a_sleeping_clock_may_stand_still() {
        let mut clock = Running::new(Instant::from_secs(1), 0);
        clock.stand_still(Instant::from_secs(100), Duration::from_secs(90));
        assert_eq!(clock.local(Instant::from_secs(101)), Instant::from_secs(11));
        assert_eq!(clock.world(Instant::from_secs(11)), Instant::from_secs(101));
    }
}

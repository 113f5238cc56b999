//! Two small measures: how often we may send, and how long an answer takes.

use crate::time::Instant;
use core::time::Duration;

/// A token bucket, kept as the time at which it will be full again (GCRA): one number, no ticking.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    burst: u32,
    full_at: Instant,
}

impl Pace {
    /// One per `interval` in the long run, `burst` at once.
    pub(super) const fn new(interval: Duration, burst: u32) -> Self {
        Self { interval, burst, full_at: Instant::ZERO }
    }

    /// When the next one may go.
    pub(super) fn ready_at(&self) -> Instant {
        let ahead = self.interval.saturating_mul(self.burst.saturating_sub(1));
        Instant::from_micros(self.full_at.micros().saturating_sub(ahead.as_micros() as u64))
    }

    /// Takes one if it may go now.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let ready = self.ready_at() <= now;
        if ready {
            self.full_at = self.full_at.max(now) + self.interval;
        }
        ready
    }
}

/// Patience before anything has been answered.
const PATIENCE_FIRST: Duration = Duration::from_millis(1500);
const PATIENCE_MIN: Duration = Duration::from_millis(600);
const PATIENCE_MAX: Duration = Duration::from_secs(4);

/// The smoothed round-trip time of onion requests. Relays are alike enough that one figure serves all paths.
#[derive(Debug)]
pub(super) struct RoundTrip {
    smoothed: Option<Duration>,
}

impl RoundTrip {
    pub(super) const UNKNOWN: Self = Self { smoothed: None };

    /// An answer took `span`.
    pub(super) fn sample(&mut self, span: Duration) {
        let span = span.min(PATIENCE_MAX);
        self.smoothed = Some(match self.smoothed {
            None => span,
            Some(old) => (old * 7 + span) / 8,
        });
    }

    /// After how long without an answer we try elsewhere. A late answer still counts.
    pub(super) fn patience(&self) -> Duration {
        match self.smoothed {
            None => PATIENCE_FIRST,
            Some(span) => (span * 3 + Duration::from_millis(400)).clamp(PATIENCE_MIN, PATIENCE_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::vec::Vec;

    quickcheck! {
        /// Over any stretch of time no more than burst + elapsed / interval pass, and `ready_at` tells the truth.
        fn the_bucket_keeps_its_rate(steps: Vec<u8>) -> bool {
            let (interval, burst) = (Duration::from_millis(20), 5);
            let mut pace = Pace::new(interval, burst);
            let start = Instant::from_secs(7);
            let (mut now, mut taken) = (start, 0_u64);
            steps.iter().all(|step| {
                now = now + Duration::from_millis(u64::from(*step) / 4);
                let expected = pace.ready_at() <= now;
                let got = pace.take(now);
                taken += u64::from(got);
                got == expected && taken <= u64::from(burst) + now.since(start).as_millis() as u64 / 20
            })
        }
    }

    #[test]
    fn patience_follows_the_round_trip() {
        let mut trip = RoundTrip::UNKNOWN;
        assert_eq!(trip.patience(), PATIENCE_FIRST);
        trip.sample(Duration::from_millis(100));
        assert_eq!(trip.patience(), Duration::from_millis(700));
        for _ in 0..50 {
            trip.sample(Duration::from_secs(3));
        }
        assert_eq!(trip.patience(), PATIENCE_MAX);
    }
}

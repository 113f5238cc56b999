//! How fast an adversary may send: without a bound it would only show how fast the simulator is.

use bluering_core::time::Instant;
use core::time::Duration;

const SECOND: u64 = 1_000_000;

/// A token bucket: so many datagrams a second, and so many at once.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    every: Option<Duration>,
    burst: u32,
    full_at: Instant,
}

impl Pace {
    /// At most `per_second` datagrams a second, one after the other.
    pub(super) fn even(per_second: u32) -> Self {
        let every = (per_second > 0).then(|| Duration::from_micros(SECOND.div_ceil(u64::from(per_second))));
        Self { every, burst: 1, full_at: Instant::ZERO }
    }

    /// The same, and those of a quarter of a second at once.
    pub(super) fn bursts(per_second: u32) -> Self {
        Self { burst: (per_second / 4).max(1), ..Self::even(per_second) }
    }

    /// Takes a token; false when there is none.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let Some(every) = self.every.filter(|_| self.ready_at() <= now) else { return false };
        self.full_at = self.full_at.max(now) + every;
        true
    }

    /// When there is a token: never, at a rate of 0.
    pub(super) fn ready_at(&self) -> Instant {
        let Some(every) = self.every else { return Instant::FAR };
        let slack = every * (self.burst - 1);
        Instant::ZERO + self.full_at.since(Instant::ZERO).saturating_sub(slack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    quickcheck! {
        /// In any span no more than the rate and the burst; and a patient sender gets the whole rate.
        fn never_faster_than_told(rate: u8, waits_ms: Vec<u8>) -> bool {
            let (start, rate) = (Instant::from_secs(9), u64::from(rate));
            let (even, bursts) = (Pace::even(rate as u32), Pace::bursts(rate as u32));
            [(even, 1), (bursts, (rate / 4).max(1))].into_iter().all(|(mut pace, burst)| {
                let (mut now, mut sent) = (start, 0);
                let bounded = waits_ms.iter().all(|wait| {
                    now = now + Duration::from_millis(u64::from(*wait));
                    while pace.take(now) {
                        sent += 1;
                    }
                    sent <= burst + rate * now.since(start).as_millis() as u64 / 1000 + 1
                });
                bounded && (rate == 0) == (pace.ready_at() == Instant::FAR)
            })
        }
    }
}

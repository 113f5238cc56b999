//! Rate limits: token buckets.

use crate::time::Instant;
use core::time::Duration;

/// A token bucket, kept as the time at which it will be full again.
#[derive(Debug)]
pub(crate) struct Tokens {
    full_at: Instant,
    every: Duration,
    burst: u32,
}

impl Tokens {
    /// One token comes back in each span of `every`; `burst` fit.
    pub(crate) const fn new(every: Duration, burst: u32) -> Self {
        Self { full_at: Instant::ZERO, every, burst }
    }

    /// A bucket that will be full at that time.
    pub(crate) const fn full_at(full_at: Instant, every: Duration, burst: u32) -> Self {
        Self { full_at, every, burst }
    }

    /// When it will be full if nobody takes a token.
    pub(crate) const fn is_full_at(&self) -> Instant {
        self.full_at
    }

    pub(crate) const fn every(&self) -> Duration {
        self.every
    }

    pub(crate) const fn burst(&self) -> u32 {
        self.burst
    }

    /// When there is a token; in the past when there is one now.
    pub(crate) fn ready_at(&self) -> Instant {
        self.ready_leaving(0)
    }

    /// The same for somebody who must leave `keep` tokens for others.
    pub(crate) fn ready_leaving(&self, keep: u32) -> Instant {
        let slack = self.every * self.burst.saturating_sub(1).saturating_sub(keep);
        Instant::ZERO + self.full_at.since(Instant::ZERO).saturating_sub(slack)
    }

    /// Takes a token; false when there is none.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.take_leaving(now, 0)
    }

    /// Takes a token if `keep` are left then.
    pub(crate) fn take_leaving(&mut self, now: Instant, keep: u32) -> bool {
        let ready = now >= self.ready_leaving(keep);
        if ready {
            self.full_at = self.full_at.max(now) + self.every;
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    quickcheck! {
        /// Over any span no more than the burst and what came back meanwhile; and `ready_at` tells the truth.
        fn never_more_than_the_rate(waits_ms: Vec<u8>) -> bool {
            let mut tokens = Tokens::new(Duration::from_millis(100), 3);
            let start = Instant::from_secs(50);
            let (mut now, mut taken) = (start, 0);
            waits_ms.iter().all(|wait| {
                now = now + Duration::from_millis(u64::from(*wait));
                let ready = tokens.ready_at() <= now;
                let got = tokens.take(now);
                taken += u128::from(got);
                got == ready && taken <= 3 + now.since(start).as_millis() / 100
            }) && (waits_ms.len() < 3 || taken >= 3)
        }
    }

    use std::vec::Vec;
}

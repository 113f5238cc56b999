//! How fast a session may send: round-trip times and the congestion window, in integers.
//!
//! A window of packets in flight doubles each round trip until packets are lost or queue up, then grows by two per
//! round trip. A loss takes a quarter of it when the path is congested (queueing delay, or many losses at once), an
//! eighth otherwise, once per round trip. Bursts are bounded, because receive buffers hold some ninety packets on an
//! untuned Linux.

use crate::time::Instant;
use core::time::Duration;

/// Packets that may be sent back to back before an acknowledgement or the pacing timer allows more.
pub(crate) const BURST: u32 = 64;
const WINDOW_START: u32 = 32;
const WINDOW_MIN: u32 = 4;
/// toxcore accepts so many packets ahead (`net_crypto.h`, CRYPTO_PACKET_BUFFER_SIZE).
pub(crate) const WINDOW_MAX: u32 = 32_768;

/// Assumed before the first measurement: toxcore acknowledges up to a second late.
const RTT_START_US: u32 = 500_000;
const PROBE_MIN: Duration = Duration::from_millis(60);
const PROBE_MAX: Duration = Duration::from_secs(4);
/// Pacing timers are not set shorter than this.
const PACE_MIN: Duration = Duration::from_millis(1);

/// Measured round-trip times in microseconds, the peer's delayed acknowledgements included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rtt {
    smoothed: u32,
    deviation: u32,
    min: u32,
}

impl Rtt {
    /// Nothing measured yet but the time that the handshake took.
    pub(crate) fn new(handshake: Option<Duration>) -> Self {
        Self { smoothed: RTT_START_US, deviation: 0, min: handshake.map_or(RTT_START_US, micros) }
    }

    pub(crate) fn sample(&mut self, span: Duration) {
        let now = micros(span);
        // The minimum is forgotten slowly: paths change.
        self.min = if now < self.min { now } else { self.min + (now - self.min) / 128 };
        if self.deviation == 0 {
            (self.smoothed, self.deviation) = (now, (now / 2).max(1));
            return;
        }
        let error = self.smoothed.abs_diff(now);
        self.deviation = (self.deviation - self.deviation / 4 + error / 4).max(1);
        self.smoothed = self.smoothed - self.smoothed / 8 + now / 8;
    }

    /// The shortest seen.
    pub(crate) fn min(&self) -> Duration {
        Duration::from_micros(self.min.into())
    }

    /// How long a retransmission needs before it can show in a request packet.
    pub(crate) fn settle(&self) -> Duration {
        Duration::from_micros(u64::from(self.smoothed.min(self.min.saturating_mul(2)))) + Duration::from_millis(3)
    }

    /// How long to wait for any acknowledgement before the peer is told in a small packet how far we are: nodes of our
    /// kind answer that at once.
    pub(crate) fn nudge(&self) -> Duration {
        (self.min() * 2 + PROBE_MIN).min(self.probe(0))
    }

    /// How long to wait for any acknowledgement before a packet is sent again, doubled for each of `tries` in vain.
    pub(crate) fn probe(&self, tries: u8) -> Duration {
        let wait = u64::from(self.smoothed) + u64::from(self.smoothed.max(self.deviation.saturating_mul(4)));
        (Duration::from_micros(wait).max(PROBE_MIN) * (1 << tries.min(6))).min(PROBE_MAX)
    }

    fn is_queueing(&self) -> bool {
        self.smoothed > self.min.saturating_add(self.min / 2).saturating_add(25_000)
    }
}

fn micros(span: Duration) -> u32 {
    u32::try_from(span.as_micros()).unwrap_or(u32::MAX).clamp(1, 60_000_000)
}

/// The congestion window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Congestion {
    window: u32,
    /// Below it the window doubles per round trip.
    threshold: u32,
    /// Acknowledged packets that have not yet grown the window.
    credit: u32,
    /// A loss of a packet before this number belongs to the last reduction.
    recover: u32,
    /// Packets that may be sent back to back now.
    burst: u32,
}

impl Congestion {
    /// `number` is that of the first packet.
    pub(crate) const fn new(number: u32) -> Self {
        Self { window: WINDOW_START, threshold: WINDOW_MAX, credit: 0, recover: number, burst: BURST }
    }

    /// Whether a new packet may join those in flight.
    pub(crate) const fn allows(&self, in_flight: u32) -> bool {
        in_flight < self.window
    }

    /// Takes one packet of the burst; false when it is used up.
    pub(crate) const fn take_burst(&mut self) -> bool {
        let left = self.burst > 0;
        self.burst = self.burst.saturating_sub(1);
        left
    }

    pub(crate) const fn burst_left(&self) -> bool {
        self.burst > 0
    }

    /// A probe goes out even when the burst is used up.
    pub(crate) fn allow_probe(&mut self) {
        self.burst = self.burst.max(1);
    }

    pub(crate) const fn refill(&mut self) {
        self.burst = BURST;
    }

    /// When a used up burst is renewed: the window spread over three quarters of a round trip.
    pub(crate) fn pace(&self, now: Instant, rtt: &Rtt) -> Instant {
        let micros = u64::from(rtt.min) * u64::from(BURST) * 3 / (4 * u64::from(self.window));
        now + Duration::from_micros(micros).max(PACE_MIN)
    }

    /// `acked` packets left the flight, which had `in_flight` before.
    pub(crate) fn on_acked(&mut self, acked: u32, in_flight: u32, rtt: &Rtt) {
        self.burst = (self.burst + 2 * acked).min(BURST);
        if in_flight < self.window / 2 {
            return;
        }
        if self.window < self.threshold {
            self.window = (self.window + acked).min(WINDOW_MAX);
            if rtt.is_queueing() {
                self.threshold = self.window;
            }
            return;
        }
        self.credit += 2 * acked;
        while self.credit >= self.window {
            self.credit -= self.window;
            self.window = (self.window + 1).min(WINDOW_MAX);
        }
    }

    /// The packet `number` is missing; `lost` of `in_flight` are. `next` is the number of the next new packet.
    pub(crate) fn on_lost(&mut self, number: u32, next: u32, lost: u32, in_flight: u32, rtt: &Rtt) {
        if (1..=WINDOW_MAX).contains(&self.recover.wrapping_sub(number)) {
            return;
        }
        self.recover = next;
        let congested = rtt.is_queueing() || lost.saturating_mul(5) > in_flight;
        let cut = if congested { self.window / 4 } else { self.window / 8 };
        self.threshold = (self.window - cut).max(WINDOW_MIN);
        self.window = self.threshold;
        self.credit = 0;
    }

    /// Nothing was acknowledged for long.
    pub(crate) fn on_silence(&mut self) {
        self.threshold = (self.window / 2).max(WINDOW_MIN);
        self.window = self.threshold;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    #[test]
    fn one_reduction_per_round_trip() {
        let (mut c, rtt) = (Congestion::new(u32::MAX - 1), Rtt::new(None));
        c.on_acked(32, 32, &rtt);
        assert_eq!(c.window, 64);
        c.on_lost(u32::MAX, 40, 1, 64, &rtt);
        assert_eq!(c.window, 56);
        c.on_lost(7, 41, 1, 64, &rtt);
        assert_eq!(c.window, 56);
        c.on_lost(40, 99, 30, 64, &rtt);
        assert_eq!(c.window, 42);
    }

    quickcheck! {
        /// Nothing overflows, and the window stays between its bounds.
        fn the_window_is_bounded(events: Vec<(u8, u16, u32)>) -> bool {
            let (mut c, mut rtt) = (Congestion::new(0), Rtt::new(Some(Duration::ZERO)));
            events.iter().all(|&(what, n, x)| {
                match what % 4 {
                    0 => c.on_acked(n.into(), x, &rtt),
                    1 => c.on_lost(x, x.wrapping_add(n.into()), n.into(), x, &rtt),
                    2 => c.on_silence(),
                    _ => rtt.sample(Duration::from_micros(x.into())),
                }
                (WINDOW_MIN..=WINDOW_MAX).contains(&c.window)
                    && rtt.probe(what) <= PROBE_MAX
                    && rtt.probe(0) >= PROBE_MIN
            })
        }
    }
    use std::vec::Vec;
}

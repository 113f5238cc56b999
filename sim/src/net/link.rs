//! What one direction of one link does to the packets on it.
//!
//! A packet meets, in this order: the MTU; the line, which sends so many bytes per second and lets so many wait; loss;
//! then the way, its latency and jitter. With bad luck it is held back, damaged or doubled at the end of it.
//!
//! A link keeps order: a packet that jitter delays delays those behind it, as a radio that repeats a frame does. Only
//! packets that are held back (`reorder`) are overtaken.
//!
//! Each feature draws from the link's generator only where it is switched on, and a calm link draws nothing at all.

use crate::rng::{Ppm, SimRng};
use bluering_core::time::Instant;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// The datagram that fits into an Ethernet frame, behind the headers of IPv6 and UDP.
const ETHERNET: u32 = 1500 - 40 - 8;

/// How a link behaves, in one direction.
///
/// | preset | latency | jitter | loss | rate | queue |
/// |---|---|---|---|---|---|
/// | [`PERFECT`](Self::PERFECT) | 0 | - | - | - | - |
/// | [`LAN`](Self::LAN) | 0.2 ms | to 0.1 ms | - | 1 Gbit/s | 256 KiB (2 ms) |
/// | [`FIBRE`](Self::FIBRE) | 8 ms | to 2 ms | 0.01 % | 100 Mbit/s | 256 KiB (21 ms) |
/// | [`DSL`](Self::DSL) | 20 ms | to 8 ms | 0.1 % | 10 Mbit/s | 64 KiB (52 ms) |
/// | [`MOBILE`](Self::MOBILE) | 45 ms | long tail, mean 20 ms | 1.6 %, in bursts | 8 Mbit/s | 256 KiB (262 ms) |
/// | [`SATELLITE`](Self::SATELLITE) | 270 ms | to 20 ms | 0.5 % | 5 Mbit/s | 512 KiB (839 ms) |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkSpec {
    /// Time on the way.
    pub latency: Duration,
    /// What the way takes longer at times.
    pub jitter: Jitter,
    /// Packets that never arrive.
    pub loss: Loss,
    /// Packets that arrive twice, the second time up to [`reorder_by`](Self::reorder_by) later.
    pub duplicate: Ppm,
    /// Packets that are held back, so that others overtake them.
    pub reorder: Ppm,
    /// How much longer they take, at most.
    pub reorder_by: Duration,
    /// Packets in which one bit is flipped, unnoticed by any checksum.
    pub corrupt: Ppm,
    /// Packets that lose their end.
    pub truncate: Ppm,
    /// Bytes per second, at least 1; `None` is no limit.
    pub rate: Option<u32>,
    /// Bytes that may wait for the line, the rest of the packet on it among them; what does not fit is lost (tail
    /// drop). A packet that finds the line free always goes.
    pub queue: u32,
    /// The longest datagram that passes, in bytes.
    pub mtu: u32,
}

/// What the way takes longer than its latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Jitter {
    /// Nothing.
    None,
    /// Anything up to this, all equally likely.
    Uniform(Duration),
    /// Exponential with this mean: mostly little, one time in 150 more than five times as much, and never more than 45
    /// times.
    Tail(Duration),
}

/// Which packets never arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Loss {
    /// None.
    None,
    /// Each with the same probability.
    Bernoulli(Ppm),
    /// In bursts: the link is good or bad, and may change with each packet.
    GilbertElliott {
        /// From good to bad, per packet.
        to_bad: Ppm,
        /// From bad to good, per packet.
        to_good: Ppm,
        /// Loss while it is good.
        in_good: Ppm,
        /// Loss while it is bad.
        in_bad: Ppm,
    },
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It never arrives.
    Lost(LinkLoss),
    /// It arrives.
    Arrives {
        /// When.
        at: Instant,
        /// What happened to it on the way.
        damage: Option<Damage>,
        /// When a second copy arrives, not before the first and always intact.
        twin: Option<Instant>,
    },
}

/// Why a packet never arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkLoss {
    /// Lost on the way.
    Loss,
    /// Too many bytes waited for the line already.
    QueueFull,
    /// Longer than the MTU.
    TooLong,
}

/// What happened to the bytes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// This bit changed; bit 0 is the lowest of the first byte.
    Flip {
        /// Its number.
        bit: u32,
    },
    /// Only the first bytes are left.
    Cut {
        /// How many.
        len: u32,
    },
}

/// One direction of a link.
#[derive(Clone, Debug)]
pub struct Link {
    spec: LinkSpec,
    rng: SimRng,
    /// Nothing but latency and MTU, and no draws.
    calm: bool,
    /// The latency in microseconds.
    latency: u64,
    /// Gilbert-Elliott: the link is bad.
    bad: bool,
    /// When the line is free, in nanoseconds: packets on a fast line take less than a microsecond.
    free: u64,
    /// The latest arrival of a packet that was not held back.
    last: Instant,
}

impl LinkSpec {
    /// No latency, and nothing bad happens.
    pub const PERFECT: Self = Self {
        latency: Duration::ZERO,
        jitter: Jitter::None,
        loss: Loss::None,
        duplicate: 0,
        reorder: 0,
        reorder_by: Duration::ZERO,
        corrupt: 0,
        truncate: 0,
        rate: None,
        queue: 0,
        mtu: 65_535,
    };

    /// Two hosts at one switch.
    pub const LAN: Self = Self {
        jitter: Jitter::Uniform(Duration::from_micros(100)),
        ..Self::line(Duration::from_micros(200), 125_000_000, 256)
    };

    /// A home on fibre.
    pub const FIBRE: Self = Self {
        jitter: Jitter::Uniform(Duration::from_millis(2)),
        loss: Loss::Bernoulli(100),
        ..Self::line(Duration::from_millis(8), 12_500_000, 256)
    };

    /// A home on copper. PPPoE takes eight bytes of each frame.
    pub const DSL: Self = Self {
        jitter: Jitter::Uniform(Duration::from_millis(8)),
        loss: Loss::Bernoulli(1000),
        mtu: ETHERNET - 8,
        ..Self::line(Duration::from_millis(20), 1_250_000, 64)
    };

    /// A telephone on the move: losses come in bursts, delays have a long tail, and packets overtake each other.
    pub const MOBILE: Self = Self {
        jitter: Jitter::Tail(Duration::from_millis(20)),
        loss: Loss::GilbertElliott { to_bad: 10_000, to_good: 200_000, in_good: 2000, in_bad: 300_000 },
        duplicate: 500,
        reorder: 5000,
        reorder_by: Duration::from_millis(40),
        ..Self::line(Duration::from_millis(45), 1_000_000, 256)
    };

    /// By way of a geostationary satellite.
    pub const SATELLITE: Self = Self {
        jitter: Jitter::Uniform(Duration::from_millis(20)),
        loss: Loss::Bernoulli(5000),
        ..Self::line(Duration::from_millis(270), 625_000, 512)
    };

    /// A perfect link, but for its latency.
    #[must_use]
    pub const fn with_latency(latency: Duration) -> Self {
        Self { latency, ..Self::PERFECT }
    }

    /// A line of Ethernet frames: bytes per second, and KiB that may wait.
    const fn line(latency: Duration, rate: u32, kib: u32) -> Self {
        Self { rate: Some(rate), queue: kib * 1024, mtu: ETHERNET, ..Self::with_latency(latency) }
    }

    /// Nothing here ever depends on chance or on the packets before.
    fn is_calm(&self) -> bool {
        let faults = self.duplicate | self.reorder | self.corrupt | self.truncate;
        faults == 0 && self.rate.is_none() && self.jitter == Jitter::None && self.loss == Loss::None
    }
}

impl Link {
    /// A link whose line is free and good.
    #[must_use]
    pub fn new(spec: LinkSpec, rng: SimRng) -> Self {
        let (calm, latency) = (spec.is_calm(), micros(spec.latency));
        Self { spec, rng, calm, latency, bad: false, free: 0, last: Instant::ZERO }
    }

    /// How it behaves.
    #[must_use]
    pub const fn spec(&self) -> &LinkSpec {
        &self.spec
    }

    /// Lets it behave differently from now on: another line, which is free and good. Packets on their way arrive as
    /// they would have; later ones may overtake them.
    pub fn set_spec(&mut self, spec: LinkSpec) {
        *self = Self::new(spec, self.rng.clone());
    }

    /// Sends a datagram of `len` bytes. `now` never goes back.
    #[inline]
    pub fn carry(&mut self, now: Instant, len: u32) -> Fate {
        if len > self.spec.mtu {
            return Fate::Lost(LinkLoss::TooLong);
        }
        if self.calm {
            return Fate::Arrives { at: later(now, self.latency), damage: None, twin: None };
        }
        self.carry_roughly(now, len)
    }

    fn carry_roughly(&mut self, now: Instant, len: u32) -> Fate {
        let Some(sent) = self.send(now, len) else {
            return Fate::Lost(LinkLoss::QueueFull);
        };
        if self.loses() {
            return Fate::Lost(LinkLoss::Loss);
        }
        let at = self.travel(sent);
        let damage = self.damage(len);
        let twin = self.rng.chance(self.spec.duplicate).then(|| later(at, self.held()));
        Fate::Arrives { at, damage, twin }
    }

    /// Puts a packet on the line; returns when it has left. `None` when there is no room to wait.
    fn send(&mut self, now: Instant, len: u32) -> Option<Instant> {
        let Some(rate) = self.spec.rate else {
            return Some(now);
        };
        let (rate, now) = (u128::from(rate.max(1)), now.micros().saturating_mul(1000));
        let waiting = u128::from(self.free.saturating_sub(now)) * rate / NANOS;
        if waiting > 0 && waiting + u128::from(len) > u128::from(self.spec.queue) {
            return None;
        }
        let takes = u128::from(len) * NANOS / rate;
        self.free = self.free.max(now).saturating_add(takes as u64);
        Some(Instant::from_micros(self.free.div_ceil(1000)))
    }

    fn loses(&mut self) -> bool {
        match self.spec.loss {
            Loss::None => false,
            Loss::Bernoulli(ppm) => self.rng.chance(ppm),
            Loss::GilbertElliott { to_bad, to_good, in_good, in_bad } => {
                let turns = self.rng.chance(if self.bad { to_good } else { to_bad });
                self.bad ^= turns;
                self.rng.chance(if self.bad { in_bad } else { in_good })
            }
        }
    }

    /// When a packet that left the line at `sent` arrives.
    fn travel(&mut self, sent: Instant) -> Instant {
        let jitter = match self.spec.jitter {
            Jitter::None => 0,
            Jitter::Uniform(most) => up_to(&mut self.rng, micros(most)),
            Jitter::Tail(mean) => exponential(&mut self.rng, micros(mean)),
        };
        self.last = self.last.max(later(sent, self.latency.saturating_add(jitter)));
        if self.rng.chance(self.spec.reorder) { later(self.last, self.held()) } else { self.last }
    }

    /// How much longer a packet takes that is held back.
    fn held(&mut self) -> u64 {
        up_to(&mut self.rng, micros(self.spec.reorder_by))
    }

    fn damage(&mut self, len: u32) -> Option<Damage> {
        if len == 0 {
            return None;
        }
        if self.rng.chance(self.spec.truncate) {
            return Some(Damage::Cut { len: self.rng.below(u64::from(len)) as u32 });
        }
        let flips = self.rng.chance(self.spec.corrupt);
        flips.then(|| Damage::Flip { bit: self.rng.below(u64::from(len) * 8) as u32 })
    }
}

impl Damage {
    /// Does it to `bytes`. What lies behind their end stays undone.
    pub fn apply(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Flip { bit } => {
                if let Some(byte) = bytes.get_mut(bit as usize / 8) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Self::Cut { len } => bytes.truncate(len as usize),
        }
    }
}

/// Nanoseconds of a second.
const NANOS: u128 = 1_000_000_000;

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn later(at: Instant, micros: u64) -> Instant {
    Instant::from_micros(at.micros().saturating_add(micros))
}

/// From 0 to `most`, all equally likely.
fn up_to(rng: &mut SimRng, most: u64) -> u64 {
    if most == 0 { 0 } else { rng.below(most.saturating_add(1)) }
}

/// Exponentially distributed: the negative logarithm of a number between 0 and 1, times `mean`. It is taken bit by bit
/// in integers, since the logarithms of floating point differ between machines.
fn exponential(rng: &mut SimRng, mean: u64) -> u64 {
    const LN_2: u128 = 45_426;
    let drawn = rng.next() | 1;
    let zeros = drawn.leading_zeros();
    // drawn / 2^64 = mantissa / 2^(zeros + 1), the mantissa from 1 to 2 with 63 fraction bits.
    let mut mantissa = u128::from(drawn << zeros);
    let mut log = 0;
    for _ in 0..16 {
        mantissa = (mantissa * mantissa) >> 63;
        let bit = mantissa >> 64;
        mantissa >>= bit;
        log = (log << 1) | bit;
    }
    let halvings = (u128::from(zeros + 1) << 16) - log;
    u64::try_from((u128::from(mean) * halvings * LN_2) >> 32).unwrap_or(u64::MAX)
}

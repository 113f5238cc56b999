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

    /// Whether nothing here depends on chance or on other packets, so that it does not matter who is first.
    #[must_use]
    pub const fn is_calm(&self) -> bool {
        self.calm
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::MILLION;
    use quickcheck::quickcheck;

    const START: Instant = Instant::from_secs(100);

    fn link(spec: LinkSpec) -> Link {
        Link::new(spec, SimRng::new(7))
    }

    fn after(micros: u64) -> Instant {
        START + Duration::from_micros(micros)
    }

    /// When a packet that must arrive does.
    fn arrival(fate: Fate) -> Instant {
        let Fate::Arrives { at, .. } = fate else { panic!("{fate:?}") };
        at
    }

    /// Of `n` packets far apart, the fates of those that arrive: time on the way, and the whole.
    fn carry_many(spec: &LinkSpec, n: u64) -> Vec<(Duration, Fate)> {
        let mut link = link(spec.clone());
        let fates = (0..n).map(|i| (Instant::from_secs(100 * i), link.carry(Instant::from_secs(100 * i), 100)));
        fates
            .filter(|(_, fate)| !matches!(fate, Fate::Lost(_)))
            .map(|(at, fate)| (arrival(fate).since(at), fate))
            .collect()
    }

    /// Lost packets per million.
    fn loss(spec: &LinkSpec) -> u64 {
        (200_000 - carry_many(spec, 200_000).len() as u64) * 5
    }

    #[test]
    fn a_link_without_chance_draws_nothing() {
        let limited = LinkSpec { rate: Some(1000), queue: 10_000, ..LinkSpec::PERFECT };
        for spec in [LinkSpec::PERFECT, LinkSpec::with_latency(Duration::from_millis(5)), limited] {
            let mut link = link(spec.clone());
            let untouched = link.rng.clone();
            assert!(arrival(link.carry(START, 10)) >= START + spec.latency);
            assert_eq!(link.rng, untouched);
        }
    }

    #[test]
    fn latency_is_kept_to_the_microsecond() {
        let mut link = link(LinkSpec::with_latency(Duration::from_micros(1234)));
        assert_eq!(link.carry(START, 10), Fate::Arrives { at: after(1234), damage: None, twin: None });
    }

    #[test]
    fn a_packet_longer_than_the_mtu_is_lost() {
        for spec in [LinkSpec { mtu: 99, ..LinkSpec::PERFECT }, LinkSpec { mtu: 99, ..LinkSpec::MOBILE }] {
            assert_eq!(link(spec.clone()).carry(START, 100), Fate::Lost(LinkLoss::TooLong));
            assert_ne!(link(spec).carry(START, 99), Fate::Lost(LinkLoss::TooLong));
        }
    }

    #[test]
    fn losses_are_as_often_as_asked() {
        assert_eq!(loss(&LinkSpec::PERFECT), 0);
        let bernoulli = loss(&LinkSpec { loss: Loss::Bernoulli(50_000), ..LinkSpec::PERFECT });
        assert!((48_000..52_000).contains(&bernoulli), "{bernoulli}");
        assert_eq!(loss(&LinkSpec { loss: Loss::Bernoulli(MILLION), ..LinkSpec::PERFECT }), 1_000_000);
        // Bad in 1 of 21 packets, where 30 % are lost, and 0.2 % of the others.
        let bursts = loss(&LinkSpec::MOBILE);
        assert!((15_000..18_000).contains(&bursts), "{bursts}");
    }

    #[test]
    fn gilbert_elliott_loses_in_bursts() {
        let mut link = link(LinkSpec::MOBILE);
        let lost: Vec<_> =
            (0..200_000).map(|i| link.carry(Instant::from_secs(i), 9) == Fate::Lost(LinkLoss::Loss)).collect();
        let losses = lost.iter().filter(|lost| **lost).count();
        let pairs = lost.windows(2).filter(|pair| pair[0] && pair[1]).count();
        // After a loss, the next is ten times as likely as on average.
        assert!(pairs * 100 > losses * 15, "{pairs} of {losses}");
    }

    #[test]
    fn a_line_sends_at_its_rate_and_drops_what_cannot_wait() {
        let mut link = link(LinkSpec { rate: Some(1000), queue: 250, ..LinkSpec::PERFECT });
        assert_eq!(arrival(link.carry(START, 100)), after(100_000));
        assert_eq!(arrival(link.carry(START, 100)), after(200_000));
        assert_eq!(link.carry(START, 51), Fate::Lost(LinkLoss::QueueFull));
        assert_eq!(arrival(link.carry(START, 50)), after(250_000));
        assert_eq!(arrival(link.carry(after(250_000), 1000)), after(1_250_000), "a free line takes anything");
    }

    #[test]
    fn jitter_stays_within_its_bounds_and_keeps_order() {
        let uniform = LinkSpec { jitter: Jitter::Uniform(Duration::from_micros(500)), ..LinkSpec::PERFECT };
        let delays = carry_many(&uniform, 10_000);
        assert!(delays.iter().all(|(delay, _)| delay.as_micros() <= 500));
        assert!([0, 500].iter().all(|edge| delays.iter().any(|(delay, _)| delay.as_micros() == *edge)));
        let mut link = link(LinkSpec { jitter: Jitter::Tail(Duration::from_millis(20)), ..LinkSpec::PERFECT });
        let arrivals: Vec<_> = (0..1000).map(|i| arrival(link.carry(after(i * 100), 9))).collect();
        assert!(arrivals.is_sorted());
    }

    #[test]
    fn a_tail_is_exponential() {
        let spec = LinkSpec { jitter: Jitter::Tail(Duration::from_millis(10)), ..LinkSpec::PERFECT };
        let delays: Vec<_> = carry_many(&spec, 200_000).into_iter().map(|(delay, _)| delay.as_micros()).collect();
        let mean = delays.iter().sum::<u128>() / 200_000;
        assert!((9900..10_100).contains(&mean), "{mean}");
        // Half of them below ln 2 = 0.693 means, and e^-5 = 0.67 % above five.
        let below = delays.iter().filter(|delay| **delay < 6931).count();
        assert!((99_000..101_000).contains(&below), "{below}");
        let above = delays.iter().filter(|delay| **delay > 50_000).count();
        assert!((1200..1500).contains(&above), "{above}");
    }

    /// Replay files hang on it.
    #[test]
    fn the_tail_of_a_seed_is_fixed() {
        let mut rng = SimRng::new(0);
        assert_eq!([0; 4].map(|_| exponential(&mut rng, 1_000_000)), [508_722, 290_654, 2_272_829, 875_654]);
    }

    #[test]
    fn held_back_packets_are_overtaken() {
        let spec = LinkSpec { reorder: 100_000, reorder_by: Duration::from_millis(5), ..LinkSpec::PERFECT };
        let mut link = link(spec);
        let arrivals: Vec<_> = (0..1000).map(|i| arrival(link.carry(after(i * 1000), 9))).collect();
        let late = (0..1000).filter(|i| arrivals[*i as usize] > after(i * 1000)).count();
        assert!((70..130).contains(&late), "{late}");
        assert!(!arrivals.is_sorted());
        assert!((0..1000).all(|i| arrivals[i as usize] <= after(i * 1000 + 5000)));
    }

    #[test]
    fn twins_follow_within_bounds() {
        let spec = LinkSpec { duplicate: 500_000, reorder_by: Duration::from_millis(5), ..LinkSpec::PERFECT };
        let twins = carry_many(&spec, 1000).into_iter().filter_map(|(_, fate)| match fate {
            Fate::Arrives { at, twin, .. } => twin.map(|twin| (at, twin)),
            Fate::Lost(_) => None,
        });
        let twins: Vec<_> = twins.collect();
        assert!((450..550).contains(&twins.len()), "{}", twins.len());
        assert!(twins.iter().all(|(at, twin)| twin >= at && *twin <= *at + Duration::from_millis(5)));
    }

    #[test]
    fn another_spec_is_a_free_line() {
        let mut link = link(LinkSpec { rate: Some(1), queue: 1000, ..LinkSpec::SATELLITE });
        link.carry(START, 1000);
        link.set_spec(LinkSpec::PERFECT);
        assert_eq!(link.spec(), &LinkSpec::PERFECT);
        assert_eq!(arrival(link.carry(START, 1000)), START);
    }

    #[test]
    fn presets_carry_the_longest_packets_of_tox() {
        use LinkSpec as L;
        for spec in [L::PERFECT, L::LAN, L::FIBRE, L::DSL, L::MOBILE, L::SATELLITE] {
            let delays = carry_many(&spec, 1000);
            assert!(delays.len() > 950 && delays.iter().all(|(delay, _)| *delay >= spec.latency), "{spec:?}");
            assert!(spec.mtu >= 1400, "{spec:?}");
        }
    }

    quickcheck! {
        fn damage_changes_a_packet(bytes: Vec<u8>, cut: bool) -> bool {
            let (corrupt, truncate) = if cut { (0, MILLION) } else { (MILLION, 0) };
            let mut link = link(LinkSpec { corrupt, truncate, ..LinkSpec::PERFECT });
            let Fate::Arrives { damage, .. } = link.carry(START, bytes.len() as u32) else { return false };
            let mut damaged = bytes.clone();
            if let Some(damage) = damage {
                damage.apply(&mut damaged);
            }
            (damaged == bytes) == bytes.is_empty() && (cut || damaged.len() == bytes.len())
        }

        fn no_more_leaves_a_line_than_it_carries(packets: Vec<(u16, u16)>, rate: u16, queue: u16) -> bool {
            let (rate, queue) = (u32::from(rate) + 1, u32::from(queue));
            let mut link = link(LinkSpec { rate: Some(rate), queue, mtu: 65_535, ..LinkSpec::PERFECT });
            let (mut now, mut free) = (START, START);
            packets.into_iter().all(|(pause, len)| {
                now = now + Duration::from_micros(u64::from(pause) * 100);
                let waits = free.since(now).as_micros() * u128::from(rate) / 1_000_000;
                match link.carry(now, u32::from(len)) {
                    Fate::Arrives { at, .. } => {
                        // Up to two microseconds of rounding here.
                        let takes = u64::from(len) * 1_000_000 / u64::from(rate);
                        let earliest = free.max(now) + Duration::from_micros(takes.saturating_sub(2));
                        free = at;
                        at >= earliest && (waits <= 1 || waits + u128::from(len) <= u128::from(queue) + 1)
                    }
                    Fate::Lost(_) => waits + u128::from(len) >= u128::from(queue),
                }
            })
        }

        fn the_same_seed_gives_the_same_fates(seed: u64, packets: Vec<(u16, u16)>) -> bool {
            let fates = || {
                let (mut link, mut now) = (Link::new(LinkSpec::MOBILE, SimRng::new(seed)), START);
                let mut carry = |(pause, len): &(u16, u16)| {
                    now = now + Duration::from_micros(u64::from(*pause));
                    link.carry(now, u32::from(*len))
                };
                packets.iter().map(&mut carry).collect::<Vec<_>>()
            };
            fates() == fates()
        }
    }
}

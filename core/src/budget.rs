//! The budget of key agreements that others can make us compute.
//!
//! Anybody can send a datagram from a new key, and an X25519 agreement is by far the dearest thing that follows:
//! 1.7 million instructions on a Cortex-M4. Whoever is in the cache of box keys costs no agreement and passes; all
//! others need a token, before anything dear is done. Two limits hold:
//!
//! - *One for all.* A bucket, of which strangers must leave one half, and those at the address of somebody known one
//!   quarter. What comes back goes to those first who may take the last tokens: known keys have the whole rate
//!   if they need it, neighbours what these leave, strangers the rest. A flood finds the bucket at its own mark at all
//!   times and takes nothing from those before it.
//! - *One for each source prefix*, IPv4 /24 or IPv6 /48: a quarter of that rate. It holds for strangers outside of the
//!   local network. A full table gives up the bucket that is fullest: it knows least.
//!
//! Who is known is looked up only when a stranger would be refused. A known *key* cannot be taken on by others at will:
//! there are as many as the tables hold. An address can be forged, so it counts for less.

use crate::Endpoint;
use crate::crypto::PublicKey;
use crate::limit::Tokens;
use crate::storage::Mem;
use crate::time::Instant;
use core::hash::Hasher;
use core::net::IpAddr;
use core::time::Duration;
use siphasher::sip::SipHasher13;

/// Who makes us compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A key that we have asked, that has answered, that we search, or that a friend has.
    Known,
    /// Somebody at the address of one whom we know.
    Near,
    /// Anybody else.
    Stranger,
}

/// Tells the standing of a DHT key at an address.
pub(crate) type StandingOf<'a> = dyn Fn(&PublicKey, Endpoint) -> Standing + 'a;

/// What part of the rate one prefix can have.
const PREFIX_PART: u32 = 4;
/// Places of one set of the table of prefixes.
const WAYS: usize = 8;

/// The bucket of a prefix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    full_at: Instant,
    /// A hash of the prefix.
    tag: u32,
}

impl Source {
    /// What static storage is filled with: a full bucket.
    pub(crate) const VACANT: Self = Self { full_at: Instant::ZERO, tag: 0 };
}

/// The budget.
#[derive(Debug)]
pub(crate) struct Budget<'s> {
    all: Tokens,
    sources: Mem<'s, Source>,
    /// Of the hash that finds a prefix.
    seed: [u8; 16],
}

impl<'s> Budget<'s> {
    /// So many agreements in a second, and those of one second at once; `seed` is secret. Without `sources` there is no
    /// limit for each prefix.
    pub(crate) fn new(mut sources: Mem<'s, Source>, per_second: u32, seed: [u8; 16]) -> Self {
        sources.fill(Source::VACANT);
        let per_second = per_second.clamp(1, 1_000_000);
        let every = Duration::from_micros(1_000_000_u64.div_ceil(u64::from(per_second)));
        Self { all: Tokens::new(every, per_second), sources, seed }
    }

    /// One token comes back in this time.
    pub(crate) const fn every(&self) -> Duration {
        self.all.every()
    }

    /// So many tokens there are at most.
    pub(crate) const fn burst(&self) -> u32 {
        self.all.burst()
    }

    /// Takes a token for somebody at `from`; false when there is none for such as him.
    pub(crate) fn take(&mut self, now: Instant, from: Endpoint, standing: impl FnOnce() -> Standing) -> bool {
        if self.take_as_stranger(now, from) {
            return true;
        }
        match standing() {
            Standing::Known => self.all.take(now),
            Standing::Near => self.all.take_leaving(now, self.burst() / 4),
            Standing::Stranger => false,
        }
    }

    /// A token for all and one of the prefix, or neither.
    fn take_as_stranger(&mut self, now: Instant, from: Endpoint) -> bool {
        let keep = self.burst() / 2;
        if now < self.all.ready_leaving(keep) {
            return false;
        }
        if let Some(mut prefix) = self.prefix(from)
            && !prefix.take(now)
        {
            return false;
        }
        self.all.take_leaving(now, keep)
    }

    /// The bucket of the prefix that `from` belongs to, which may be new.
    fn prefix(&mut self, from: Endpoint) -> Option<Prefix<'_>> {
        if from.is_lan() || self.sources.is_empty() {
            return None;
        }
        let mut hasher = SipHasher13::new_with_key(&self.seed);
        match from.ip() {
            IpAddr::V4(ip) => hasher.write(&ip.octets()[..3]),
            IpAddr::V6(ip) => hasher.write(&ip.octets()[..6]),
        }
        let (every, burst) = (self.every() * PREFIX_PART, (self.burst() / PREFIX_PART).max(1));
        let (hash, sets) = (hasher.finish(), (self.sources.len() / WAYS).max(1));
        let (tag, set) = ((hash >> 32) as u32, (hash % sets as u64) as usize);
        let places = self.sources.chunks_mut(WAYS).nth(set)?;
        let source = places.iter_mut().min_by_key(|place| (place.tag != tag, place.full_at))?;
        if source.tag != tag {
            *source = Source { full_at: Instant::ZERO, tag };
        }
        Some(Prefix { source, every, burst })
    }
}

/// A bucket of the table, with what it need not remember.
struct Prefix<'a> {
    source: &'a mut Source,
    every: Duration,
    burst: u32,
}

impl Prefix<'_> {
    fn take(&mut self, now: Instant) -> bool {
        let mut tokens = Tokens::full_at(self.source.full_at, self.every, self.burst);
        let taken = tokens.take(now);
        self.source.full_at = tokens.is_full_at();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::boxed::Box;
    use std::vec;
    use std::vec::Vec;

    const RATE: u32 = 20;

    fn budget(sources: usize) -> Budget<'static> {
        let mem = vec![Source::VACANT; sources].into_boxed_slice();
        Budget::new(Mem::Borrowed(Box::leak(mem)), RATE, [3; 16])
    }

    fn host(prefix: u16, last: u8) -> Endpoint {
        let [b, c] = prefix.to_be_bytes();
        Endpoint::v4([60, b, c, last], 33_445)
    }

    /// How many of `count` tries of a stranger at once get a token.
    fn strangers(budget: &mut Budget<'_>, now: Instant, count: u32, from: impl Fn(u32) -> Endpoint) -> u32 {
        (0..count).map(|n| u32::from(budget.take(now, from(n), || Standing::Stranger))).sum()
    }

    #[test]
    fn a_prefix_has_a_quarter_and_starves_no_other() {
        let (mut budget, now) = (budget(8), Instant::from_secs(100));
        assert_eq!(strangers(&mut budget, now, 300, |n| host(1, n as u8)), RATE / 4);
        assert_eq!(strangers(&mut budget, now, 300, |n| host(2, n as u8)), RATE / 4);
        let mut others = 0;
        for ms in 0..10_000 {
            let now = now + Duration::from_millis(1000 + ms);
            strangers(&mut budget, now, 1, |_| host(1, ms as u8));
            strangers(&mut budget, now, 1, |_| host(2, ms as u8));
            if ms % 500 == 0 {
                others += strangers(&mut budget, now, 1, |_| host(3, 1));
            }
        }
        assert_eq!(others, 20);
        let v6 = |n: u32| Endpoint::new(IpAddr::from([0x2001, 0xdb8, 7, n as u16, 1, 2, 3, 4]), 5);
        assert_eq!(strangers(&mut budget, now + Duration::from_secs(60), 300, v6), RATE / 4);
    }

    #[test]
    fn the_local_network_is_one_host_to_us_and_has_no_part() {
        let (mut budget, now) = (budget(8), Instant::from_secs(100));
        let local = |n| Endpoint::v4([127, 0, 0, 1], n as u16 + 1);
        assert_eq!(strangers(&mut budget, now, 300, local), RATE / 2);
    }

    #[test]
    fn a_flood_from_everywhere_leaves_the_share_of_those_we_know() {
        let (mut budget, now) = (budget(8), Instant::from_secs(100));
        let (mut known, mut near, mut hostile) = (0, 0, 0);
        for ms in 0_u32..60_000 {
            let now = now + Duration::from_millis(ms.into());
            hostile += strangers(&mut budget, now, 1, |_| host(ms as u16, 1));
            if ms % 100 == 0 {
                known += u32::from(budget.take(now, host(ms as u16, 1), || Standing::Known));
            }
            if ms % 500 == 0 {
                near += u32::from(budget.take(now, host(ms as u16, 1), || Standing::Near));
            }
        }
        assert_eq!((known, near), (600, 120));
        assert!(known + near + hostile <= RATE + RATE * 60, "{hostile}");
        assert!(hostile >= RATE * 60 - known - near, "what is not needed is not wasted: {hostile}");
    }

    #[test]
    fn neighbours_leave_something_to_known_keys() {
        let (mut budget, now) = (budget(8), Instant::from_secs(100));
        let mut take = |standing| (0..100).map(|_| u32::from(budget.take(now, host(1, 1), || standing))).sum::<u32>();
        assert_eq!(take(Standing::Near), 15);
        assert_eq!(take(Standing::Stranger), 0);
        assert_eq!(take(Standing::Known), 5);
    }

    quickcheck! {
        /// Never more than the rate and one burst, whoever asks; and no prefix more than its part while the table holds
        /// all of them.
        fn never_more_than_the_rate(tries: Vec<(u8, u8, u8)>) -> bool {
            let (mut budget, start) = (budget(8), Instant::from_secs(50));
            let (mut now, mut taken, mut of) = (start, 0, [0_u128; 8]);
            tries.iter().all(|(wait, prefix, standing)| {
                now = now + Duration::from_millis(u64::from(*wait) / 4);
                let prefix = usize::from(prefix % 8);
                let standing = [Standing::Known, Standing::Near, Standing::Stranger][usize::from(standing % 3)];
                let got = budget.take(now, host(prefix as u16, *wait), || standing);
                taken += u128::from(got);
                of[prefix] += u128::from(got && standing == Standing::Stranger);
                let ms = now.since(start).as_millis();
                taken <= 20 + ms / 50 && of[prefix] <= 5 + ms / 200
            })
        }

        /// Any address finds a bucket in a table of any size.
        fn every_size_works(sources: u8, from: Vec<u32>) -> bool {
            let mut budget = budget(usize::from(sources % 40));
            let at = |ip: &u32| Endpoint::v4(ip.to_be_bytes(), 1);
            let mut take = |ip: &u32| budget.take(Instant::ZERO, at(ip), || Standing::Stranger);
            from.iter().filter(|ip| take(ip)).count() <= RATE as usize / 2
        }
    }
}

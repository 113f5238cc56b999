//! Ranges of seeds, and their parts.

use core::fmt;
use core::str::FromStr;

/// `A..B`, `A..=B`, or one seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seeds {
    from: u64,
    /// How many.
    len: u64,
}

/// `K/N`: part K of N, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    part: u64,
    of: u64,
}

/// Every so many seeds of a range: each part has easy and hard ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    seeds: Seeds,
    shard: Shard,
}

impl Seeds {
    pub(super) const fn part(self, shard: Shard) -> Part {
        Part { seeds: self, shard }
    }
}

impl Part {
    pub(super) const fn len(&self) -> u64 {
        (self.seeds.len + self.shard.of - self.shard.part) / self.shard.of
    }

    pub(super) const fn contains(&self, seed: u64) -> bool {
        match seed.checked_sub(self.seeds.from) {
            Some(place) => place < self.seeds.len && place % self.shard.of == self.shard.part - 1,
            None => false,
        }
    }

    pub(super) fn iter(self) -> impl Iterator<Item = u64> + Send {
        let Self { seeds, shard } = self;
        (0..self.len()).map(move |i| seeds.from + shard.part - 1 + i * shard.of)
    }
}

/// What was wrong.
#[derive(Debug)]
pub(super) struct Wrong(&'static str);

impl FromStr for Seeds {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        const WRONG: Wrong = Wrong("not A..B, A..=B or A, with A below B");
        let number = |text: &str| text.parse::<u64>().map_err(|_| WRONG);
        let (from, end) = match text.split_once("..") {
            None => (number(text)?, number(text)?.checked_add(1)),
            Some((from, to)) => match to.strip_prefix('=') {
                Some(last) => (number(from)?, number(last)?.checked_add(1)),
                None => (number(from)?, Some(number(to)?)),
            },
        };
        let len = end.and_then(|end| end.checked_sub(from)).filter(|len| *len > 0).ok_or(WRONG)?;
        Ok(Self { from, len })
    }
}

impl FromStr for Shard {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        const WRONG: Wrong = Wrong("not K/N with K from 1 to N, and N up to 1000000");
        let (part, of) = text.split_once('/').ok_or(WRONG)?;
        let (part, of) = (part.parse().map_err(|_| WRONG)?, of.parse().map_err(|_| WRONG)?);
        if (1..=of).contains(&part) && of <= 1_000_000 { Ok(Self { part, of }) } else { Err(WRONG) }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Wrong {}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn list(seeds: &str, shard: &str) -> Vec<u64> {
        seeds.parse::<Seeds>().unwrap().part(shard.parse().unwrap()).iter().collect()
    }

    #[test]
    fn ranges_are_read_as_rust_has_them() {
        assert_eq!(list("3..6", "1/1"), [3, 4, 5]);
        assert_eq!(list("3..=6", "1/1"), [3, 4, 5, 6]);
        assert_eq!(list("7", "1/1"), [7]);
        assert_eq!(list("0..5", "2/2"), [1, 3]);
        for wrong in ["", "..", "5..5", "6..5", "a..b", "1..", "1...3", "0..=18446744073709551615"] {
            assert!(wrong.parse::<Seeds>().is_err(), "{wrong}");
        }
        for wrong in ["", "1", "0/2", "3/2", "1/0", "1/1000001", "a/b"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    quickcheck! {
        fn each_seed_is_in_one_part(from: u32, len: u8, of: u8) -> bool {
            let (from, len, of) = (u64::from(from), u64::from(len) + 1, u64::from(of % 9) + 1);
            let seeds = Seeds { from, len };
            let parts: Vec<Part> = (1..=of).map(|part| seeds.part(Shard { part, of })).collect();
            let mut all: Vec<u64> = parts.iter().flat_map(|part| part.iter()).collect();
            all.sort_unstable();
            all == (from..from + len).collect::<Vec<_>>()
                && parts.iter().all(|part| {
                    part.len() == part.iter().count() as u64
                        && (from..from + len).all(|seed| part.contains(seed) == part.iter().any(|own| own == seed))
                })
        }
    }
}

//! Where everything random in a world comes from, besides the nodes' own randomness: one stream of choices.
//!
//! A scenario asks for numbers, each at a named [`Site`]. They can come from a seed, from bytes (quickcheck, a
//! fuzzer), or from a record of an earlier run, cut down by shrinking; all are remembered. 0 is always the simplest
//! answer (no fault, the first of a list), so a source that has run dry answers 0, and shrinking goes towards 0.
//!
//! Choices make the *plan* of a run: hosts, faults, actions. What happens to single packets is drawn from generators
//! that are forked per link from one seed, itself a choice, unless the plan asks for chosen fates.

mod exhaustive;

pub use exhaustive::Exhaustive;

use crate::rng::{MILLION, Ppm, SimRng};
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// What a choice is about: part of traces, and a handle for shrinking.
pub type Site = &'static str;

/// A choice that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// What it was about.
    pub site: Site,
    /// How many answers there were; 0 stands for 2^64.
    pub of: u64,
    /// The answer.
    pub value: u64,
}

/// What choices are made of, as replay files hold it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A generator.
    Seed(u64),
    /// Bytes of a fuzzer or of quickcheck, as many for each choice as it needs.
    Bytes(Vec<u8>),
    /// Answers, one for each choice.
    Recorded(Vec<u64>),
}

/// A stream of choices.
#[derive(Clone, Debug)]
pub struct Choices {
    from: From,
    draws: Vec<Draw>,
}

#[derive(Clone, Debug)]
enum From {
    Rng(SimRng),
    Bytes(std::vec::IntoIter<u8>),
    Recorded(std::vec::IntoIter<u64>),
}

impl Choices {
    /// Choices from `source`.
    #[must_use]
    pub fn new(source: Source) -> Self {
        let from = match source {
            Source::Seed(seed) => From::Rng(SimRng::new(seed)),
            Source::Bytes(bytes) => From::Bytes(bytes.into_iter()),
            Source::Recorded(values) => From::Recorded(values.into_iter()),
        };
        Self { from, draws: Vec::new() }
    }

    /// Choices from a seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self::new(Source::Seed(seed))
    }

    /// A number below `n`; 0 when `n` is 0 or 1.
    pub fn below(&mut self, n: u64, site: Site) -> u64 {
        if n <= 1 {
            return 0;
        }
        let value = match &mut self.from {
            From::Rng(rng) => rng.below(n),
            From::Bytes(bytes) => fold_bytes(bytes, n) % n,
            // An answer of another run may be too large for this one.
            From::Recorded(values) => values.next().unwrap_or(0).min(n - 1),
        };
        self.draws.push(Draw { site, of: n, value });
        value
    }

    /// Any 64 bits: a seed for something.
    pub fn word(&mut self, site: Site) -> u64 {
        let value = match &mut self.from {
            From::Rng(rng) => rng.next(),
            From::Bytes(bytes) => fold_bytes(bytes, u64::MAX),
            From::Recorded(values) => values.next().unwrap_or(0),
        };
        self.draws.push(Draw { site, of: 0, value });
        value
    }

    /// True with a probability of `ppm`.
    pub fn chance(&mut self, ppm: Ppm, site: Site) -> bool {
        let ppm = u64::from(ppm.min(MILLION));
        self.below(u64::from(MILLION), site) >= u64::from(MILLION) - ppm
    }

    /// One of `low..=high`.
    pub fn between(&mut self, low: u64, high: u64, site: Site) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1), site)
    }

    /// A time span, in whole milliseconds, both ends possible.
    pub fn span(&mut self, low: Duration, high: Duration, site: Site) -> Duration {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.between(millis(low), millis(high), site))
    }

    /// One of `items`.
    ///
    /// # Panics
    /// When there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T], site: Site) -> &'a T {
        &items[self.below(items.len() as u64, site) as usize]
    }

    /// All choices so far.
    #[must_use]
    pub fn draws(&self) -> &[Draw] {
        &self.draws
    }

    /// The answers so far, to be replayed.
    #[must_use]
    pub fn record(&self) -> Source {
        Source::Recorded(self.draws.iter().map(|draw| draw.value).collect())
    }
}

/// As many bytes as `n` needs, little end first; bytes that are missing are 0.
fn fold_bytes(bytes: &mut std::vec::IntoIter<u8>, n: u64) -> u64 {
    let len = (u64::BITS - (n - 1).leading_zeros()).div_ceil(8);
    (0..len).fold(0, |value, i| value | u64::from(bytes.next().unwrap_or(0)) << (8 * i))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn some(choices: &mut Choices) -> Vec<u64> {
        let mut values: Vec<u64> = (1..40).map(|n| choices.below(n * n, "test")).collect();
        values.push(choices.word("word"));
        values
    }

    #[test]
    fn a_record_gives_the_same_choices() {
        let mut first = Choices::seeded(5);
        let values = some(&mut first);
        assert_eq!(values, some(&mut Choices::new(first.record())));
        assert_ne!(values, some(&mut Choices::seeded(6)));
    }

    #[test]
    fn a_source_that_has_run_dry_answers_with_the_simplest() {
        for source in [Source::Bytes(Vec::new()), Source::Recorded(Vec::new())] {
            let mut choices = Choices::new(source);
            assert!(some(&mut choices).iter().all(|value| *value == 0));
            assert!(!choices.chance(MILLION - 1, "test"));
        }
    }

    quickcheck! {
        fn every_answer_is_one_of_those_offered(bytes: Vec<u8>, n: u64) -> bool {
            Choices::new(Source::Bytes(bytes)).below(n, "test") < n.max(1)
        }
    }
}

//! Every combination of the choices of a small world, one run after the other.
//!
//! An odometer: the first run answers 0 everywhere. After each run the last choice that has another answer is moved on
//! by one, and those after it begin at 0 again; they may even be other choices, since what is asked depends on what
//! was answered. It ends when no choice has an answer left. Any 64 bits ([`Choices::word`]) are no choice here: 0.
//!
//! ```
//! use bluering_sim::choices::Exhaustive;
//!
//! let mut all = Exhaustive::new();
//! let mut seen = Vec::new();
//! while let Some(mut choices) = all.next() {
//!     seen.push((choices.below(2, "coin"), choices.below(3, "die")));
//!     all.learn(&choices);
//! }
//! assert_eq!(seen, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]);
//! ```

use super::{Choices, Source};

/// Enumerates all runs of a world.
#[derive(Clone, Debug, Default)]
pub struct Exhaustive {
    /// The answers that the next run begins with; none when all have been had.
    next: Option<Vec<u64>>,
    runs: u64,
}

impl Exhaustive {
    /// Before the first run.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: Some(Vec::new()), runs: 0 }
    }

    /// The choices of the next run, until all have been had; [`learn`](Self::learn) must hear of each run.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot be told between its items")]
    pub fn next(&mut self) -> Option<Choices> {
        let values = self.next.take()?;
        self.runs += 1;
        Some(Choices::new(Source::Recorded(values)))
    }

    /// What a run has asked: the next differs from it in the last choice that has an answer left.
    pub fn learn(&mut self, run: &Choices) {
        let draws = run.draws();
        self.next = draws.iter().rposition(|draw| draw.value + 1 < draw.of).map(|last| {
            let mut values: Vec<u64> = draws[..=last].iter().map(|draw| draw.value).collect();
            values[last] += 1;
            values
        });
    }

    /// Runs so far.
    #[must_use]
    pub const fn runs(&self) -> u64 {
        self.runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::collections::BTreeSet;

    fn all<T>(mut run: impl FnMut(&mut Choices) -> T) -> Vec<T> {
        let mut all = Exhaustive::new();
        let mut had = Vec::new();
        while let Some(mut choices) = all.next() {
            had.push(run(&mut choices));
            all.learn(&choices);
        }
        assert_eq!(all.runs(), had.len() as u64);
        had
    }

    /// Lists of up to three numbers, each smaller than the one before.
    #[test]
    fn later_choices_may_depend_on_earlier_ones() {
        let had = all(|choices| {
            let mut list = Vec::new();
            for _ in 0..choices.below(4, "length") {
                let bound = list.last().copied().unwrap_or(4);
                list.push(choices.below(bound, "number"));
            }
            list
        });
        assert_eq!(had.first(), Some(&vec![]));
        assert_eq!(had.iter().collect::<BTreeSet<_>>().len(), 1 + 4 + 7 + 8, "{had:?}");
        // 0, and then 0 again, below which there is nothing to choose from, so lists repeat at their ends only.
        assert!(had.contains(&vec![3, 2, 1]));
    }

    #[test]
    fn a_world_without_choices_runs_once() {
        assert_eq!(all(|choices| choices.below(1, "none") + choices.word("seed")), [0]);
    }

    quickcheck! {
        fn each_combination_comes_once(a: u8, b: u8, c: u8) -> bool {
            let of = [a, b, c].map(|n| u64::from(n % 5) + 1);
            let had = all(|choices| of.map(|n| choices.below(n, "digit")));
            let mut sorted = had.clone();
            sorted.dedup();
            had.len() as u64 == of.iter().product::<u64>() && sorted.is_sorted() && sorted == had
        }
    }
}

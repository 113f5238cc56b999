//! A run that can be had again: its case, the file it travels in, and the smallest case that still shows the same.
//!
//! A [`Case`] is all that a run depends on: the scenario, its size, the choices, and what is taken out of the plan. The
//! same case gives the same run on every machine. When a rule is broken the case goes to a [`ReplayFile`], and
//! [`shrink`](fn@shrink) takes things away from it for as long as the same rule stays broken.

#[cfg(any(test, feature = "quickcheck"))]
mod arbitrary;
mod edit;
mod file;
mod follow;
mod shrink;

pub use edit::{Edit, Pass};
pub use file::{FileError, ReplayFile};
pub use shrink::{Progress, Shrunk, same, shrink};

use crate::choices::{Choices, Source};
use crate::plan::{Overrides, Plan};
use crate::run::{self, Options, Outcome};
use crate::scenarios::{Scenario, Size};

/// All that a run depends on.
#[derive(Clone, Debug)]
pub struct Case {
    /// What makes the plan.
    pub scenario: &'static Scenario,
    /// How large it is.
    pub size: Size,
    /// Where its choices come from.
    pub source: Source,
    /// What is taken out of the plan again.
    pub overrides: Overrides,
}

impl Case {
    /// A scenario with a seed, at its usual size.
    #[must_use]
    pub fn of(scenario: &'static Scenario, seed: u64) -> Self {
        let source = Source::Seed(seed);
        Self { scenario, size: scenario.size, source, overrides: Overrides::default() }
    }

    /// The plan before anything is taken out, and the choices it was made of.
    #[must_use]
    pub fn plan(&self) -> (Plan, Choices) {
        let mut choices = Choices::new(self.source.clone());
        let plan = (self.scenario.plan)(&mut choices, self.size);
        (plan, choices)
    }

    /// What is carried out: the plan without those who never come, and the overrides, which now hold what was to
    /// happen to them, or be done with them, too.
    #[must_use]
    pub fn resolved(&self) -> (Plan, Overrides) {
        let (mut plan, _) = self.plan();
        let mut overrides = self.overrides.clone();
        follow::follow(&mut plan, &mut overrides);
        (plan, overrides)
    }

    /// Carries it out; the overrides in `options` are replaced by its own.
    #[must_use]
    pub fn run(&self, options: Options) -> Outcome {
        let (plan, overrides) = self.resolved();
        run::run(&plan, Options { overrides, ..options })
    }
}

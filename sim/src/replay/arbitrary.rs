//! Cases as quickcheck makes and shrinks them: with the feature `quickcheck`, and in this crate's own tests.

use super::{Case, edit};
use crate::choices::Source;
use crate::scenarios;
use quickcheck::{Arbitrary, Gen};

/// Any scenario at its usual size, with choices from a seed or from bytes.
impl Arbitrary for Case {
    fn arbitrary(g: &mut Gen) -> Self {
        let scenario = g.choose(&scenarios::ALL).unwrap_or(&scenarios::ALL[0]);
        let scenario = scenarios::find(scenario.name).unwrap_or(scenario);
        let source =
            if bool::arbitrary(g) { Source::Seed(u64::arbitrary(g)) } else { Source::Bytes(Vec::arbitrary(g)) };
        Self { source, ..Self::of(scenario, 0) }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        Box::new(edit::smaller(self))
    }
}

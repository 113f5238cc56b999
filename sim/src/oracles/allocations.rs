//! The core takes nothing from the heap after its start.

use super::{Findings, Oracle, Rule};
use crate::observe::Observation;
use bluering_core::time::Instant;

/// Whatever the meter of the world sees is a violation; a world without a meter proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocations;

impl Oracle for Allocations {
    fn rule(&self) -> Rule {
        Rule::Allocations
    }

    fn observe(&mut self, at: Instant, seen: &Observation<'_>, findings: &mut Findings) {
        if let Observation::Allocated { host, times } = *seen {
            findings.report(Rule::Allocations, at, Some(host), format!("took memory from the heap {times} times"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Feed;
    use super::*;

    #[test]
    fn an_allocation_is_seen() {
        let mut feed = Feed::new(Allocations);
        feed.see(&Observation::Mark { text: "nothing" });
        assert_eq!(feed.found(), []);
        feed.see(&Observation::Allocated { host: 3, times: 2 });
        assert_eq!(feed.found(), [(Rule::Allocations, Some(3))]);
    }
}

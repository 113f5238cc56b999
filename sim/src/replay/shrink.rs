//! The smallest case that still breaks the same rule.
//!
//! Shrinking tries [`Edit`]s, the boldest first, and keeps each after which the same rule is broken. They come in
//! passes: a smaller size, an earlier end, then hosts, faults and deeds in ever smaller chunks, and last the choices:
//! spans between two choices of one kind are left out, the rest goes towards 0. A round of all passes is followed by
//! another until nothing more can go, or the runs are used up. Nothing here is random: the same case shrinks the same.

use super::Case;
use super::edit::{Pass, edits};
use crate::oracles::{Rule, Violation};
use core::ops::ControlFlow;
use std::collections::BTreeSet;

/// How far shrinking is, after each run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Runs so far.
    pub runs: u32,
    /// As many may be made.
    pub limit: u32,
    /// What is being taken away.
    pub pass: Pass,
    /// Edits that were kept.
    pub kept: u32,
}

/// What shrinking came to.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest case found.
    pub case: Case,
    /// What it breaks.
    pub broken: Violation,
    /// Runs that were made.
    pub runs: u32,
    /// Edits that were kept.
    pub kept: u32,
    /// Nothing more can go; else the runs were used up, or it was stopped.
    pub complete: bool,
}

/// Whether two violations are of the same rule; panics must be of the same place, too.
#[must_use]
pub fn same(one: &Violation, other: &Violation) -> bool {
    let place = |violation: &Violation| violation.what.rsplit_once(" at ").map(|(_, place)| place.to_owned());
    one.rule == other.rule && (one.rule != Rule::Panic || place(one) == place(other))
}

/// Takes away from `case`, which breaks `broken`, whatever can go. `run` tells what a case breaks; `go_on` hears of
/// every run, and may stop.
pub fn shrink(
    case: Case,
    broken: Violation,
    limit: u32,
    run: impl FnMut(&Case) -> Vec<Violation>,
    go_on: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Shrunk {
    let progress = Progress { runs: 0, limit, pass: Pass::ALL[0], kept: 0 };
    let mut shrinking = Shrinking { case, broken, run, go_on, progress };
    let complete = loop {
        let before = shrinking.progress.kept;
        if Pass::ALL.into_iter().try_for_each(|pass| shrinking.pass(pass)).is_break() {
            break false;
        }
        if shrinking.progress.kept == before {
            break true;
        }
    };
    let Shrinking { case, broken, progress: Progress { runs, kept, .. }, .. } = shrinking;
    Shrunk { case, broken, runs, kept, complete }
}

struct Shrinking<R, G> {
    case: Case,
    broken: Violation,
    run: R,
    go_on: G,
    progress: Progress,
}

impl<R: FnMut(&Case) -> Vec<Violation>, G: FnMut(&Progress) -> ControlFlow<()>> Shrinking<R, G> {
    /// Tries the edits of one pass.
    fn pass(&mut self, pass: Pass) -> ControlFlow<()> {
        self.progress.pass = pass;
        let mut refused = BTreeSet::new();
        let mut list = edits(&self.case, pass, Some(&self.broken)).into_iter();
        while let Some(edit) = list.next() {
            let Some(smaller) = edit.apply(&self.case).filter(|_| !refused.contains(&edit)) else { continue };
            if self.progress.runs == self.progress.limit {
                return ControlFlow::Break(());
            }
            self.progress.runs += 1;
            if let Some(found) = (self.run)(&smaller).into_iter().find(|found| same(found, &self.broken)) {
                (self.case, self.broken) = (smaller, found);
                self.progress.kept += 1;
                if pass.renumbers() {
                    list = edits(&self.case, pass, Some(&self.broken)).into_iter();
                }
            } else {
                refused.insert(edit);
            }
            (self.go_on)(&self.progress)?;
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choices::{Choices, Source};
    use crate::net::Place;
    use crate::plan::{Deed, DeedKind, Fault, FaultKind, Plan};
    use crate::scenarios::{Scenario, Size};
    use core::time::Duration;

    const TOY: Scenario = Scenario {
        name: "toy",
        about: "Nothing runs here: the tests judge the plan.",
        size: Size { nodes: 40, minutes: 8 },
        plan,
        table: None,
    };

    fn plan(choices: &mut Choices, size: Size) -> Plan {
        let mut plan = Plan::new(choices.word("seed"));
        for _ in 0..size.nodes {
            plan.add_client(Place::PUBLIC);
        }
        let second = Duration::from_secs(1);
        for _ in 0..choices.between(0, 30, "faults") {
            let host = choices.below(size.nodes.into(), "host") as u32;
            plan.faults.push(Fault { begins: second, ends: second * 2, what: FaultKind::Stopped(host) });
        }
        for _ in 0..100 {
            let host = choices.below(size.nodes.into(), "who") as u32;
            let at = choices.span(Duration::ZERO, Duration::from_secs(60), "when");
            plan.deeds.push(Deed { at, host, what: DeedKind::Rename });
        }
        plan
    }

    /// Breaks a rule when somebody with a number above 4 takes another name after 20 s, and a fault happens at all.
    fn judge(case: &Case) -> Vec<Violation> {
        let (plan, overrides) = case.resolved();
        let faults = (0..plan.faults.len() as u32).filter(|id| !overrides.faults.contains(id)).count();
        let deeds = (0..).zip(&plan.deeds).filter(|(id, deed)| {
            let end = Duration::from_millis(overrides.end.unwrap_or(u64::MAX));
            !overrides.deeds.contains(id) && deed.host > 4 && deed.at > Duration::from_secs(20) && deed.at < end
        });
        let first = deeds.map(|(_, deed)| deed).min_by_key(|deed| deed.at).filter(|_| faults > 0);
        let found = first.map(|deed| Violation {
            rule: Rule::Delivery,
            at: 1_000_000 + deed.at.as_micros() as u64,
            host: Some(deed.host),
            what: String::new(),
        });
        // Another rule, which every run breaks, must not count.
        let other = Violation { rule: Rule::Receipts, at: 0, host: None, what: String::new() };
        [other].into_iter().chain(found).collect()
    }

    fn shrunk(seed: u64, limit: u32) -> Shrunk {
        let case = Case::of(&TOY, seed);
        let broken = judge(&case).pop().unwrap();
        assert_eq!(broken.rule, Rule::Delivery);
        shrink(case, broken, limit, judge, |_| ControlFlow::Continue(()))
    }

    #[test]
    fn one_host_one_fault_and_one_deed_are_left() {
        let Shrunk { case, broken, complete, runs, .. } = shrunk(3, 5000);
        let (plan, overrides) = case.resolved();
        assert!(complete, "{runs}");
        assert_eq!(plan.hosts.len() - overrides.hosts.len(), 1, "{overrides:?}");
        assert_eq!(plan.faults.len() - overrides.faults.len(), 1, "{overrides:?}");
        assert_eq!(plan.deeds.len() - overrides.deeds.len(), 1, "{overrides:?}");
        assert_eq!((broken.host, broken.at), (Some(5), 21_001_000), "{case:?}");
        assert_eq!((case.size, overrides.end), (Size { nodes: 6, minutes: 1 }, Some(20_002)));
        assert!(
            matches!(case.source, Source::Recorded(values) if values.iter().filter(|value| **value > 0).count() <= 4)
        );
    }

    #[test]
    fn shrinking_is_the_same_every_time_and_keeps_to_its_runs() {
        let [one, two] = [shrunk(4, 120), shrunk(4, 120)];
        assert_eq!((one.runs, one.complete), (120, false));
        assert_eq!((one.case.source, one.case.overrides), (two.case.source, two.case.overrides));
        let mut heard = 0;
        let case = Case::of(&TOY, 4);
        let broken = judge(&case).pop().unwrap();
        let stopped = shrink(case, broken, 120, judge, |progress| {
            heard = progress.runs;
            if progress.runs == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!((stopped.runs, heard, stopped.complete), (7, 7, false));
    }

    #[test]
    fn panics_are_the_same_by_their_place() {
        let panic = |what: &str| Violation { rule: Rule::Panic, at: 0, host: None, what: what.into() };
        assert!(same(&panic("index 3 at a.rs:5:1"), &panic("index 4 at a.rs:5:1")));
        assert!(!same(&panic("index 3 at a.rs:5:1"), &panic("index 3 at a.rs:6:1")));
        let late = Violation { rule: Rule::Timers, at: 9, host: None, what: "one at a".into() };
        assert!(same(&late, &Violation { what: "two at b".into(), ..late.clone() }));
    }

    /// quickcheck's way through the same edits ends at the same kind of case.
    #[test]
    fn quickcheck_shrinks_with_the_same_edits() {
        let mut case = Case::of(&TOY, 3);
        let mut steps = 0;
        while let Some(smaller) = quickcheck::Arbitrary::shrink(&case).take(3000).find(|case| judge(case).len() > 1) {
            case = smaller;
            steps += 1;
            assert!(steps < 400);
        }
        let (plan, overrides) = case.resolved();
        assert_eq!(plan.deeds.len() - overrides.deeds.len(), 1, "{overrides:?}");
        assert_eq!(plan.faults.len() - overrides.faults.len(), 1, "{overrides:?}");
    }
}

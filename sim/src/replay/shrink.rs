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

//! What can be taken away from a case, the boldest first.

use super::Case;
use crate::choices::{Draw, Site, Source};
use crate::oracles::{Rule, Violation};
use crate::plan::Overrides;
use crate::run::START;
use crate::scenarios::Size;
use std::collections::BTreeSet;

/// A kind of edits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// A smaller scenario.
    Size,
    /// The run ends when the rule is broken.
    End,
    /// Hosts never come.
    Hosts,
    /// Faults do not happen.
    Faults,
    /// Deeds are not done.
    Deeds,
    /// Choices are left out.
    Omit,
    /// Choices are 0.
    Zero,
    /// Choices are smaller.
    Lower,
}

impl Pass {
    /// All, in the order in which they pay.
    pub const ALL: [Self; 8] =
        [Self::Size, Self::End, Self::Hosts, Self::Faults, Self::Deeds, Self::Omit, Self::Zero, Self::Lower];

    /// After an edit of this kind the other edits are about other things than before, or there are better ones.
    pub(super) const fn renumbers(self) -> bool {
        match self {
            Self::Size | Self::Omit | Self::Lower => true,
            Self::End | Self::Hosts | Self::Faults | Self::Deeds | Self::Zero => false,
        }
    }
}

/// Something that makes a case smaller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edit {
    /// This many nodes.
    Nodes(u32),
    /// This many minutes.
    Minutes(u32),
    /// The run ends after this many milliseconds.
    End(u64),
    /// Without these hosts.
    Hosts(Vec<u32>),
    /// Without these faults.
    Faults(Vec<u32>),
    /// Without these deeds.
    Deeds(Vec<u32>),
    /// Without the choices from one place up to another.
    Omit(u32, u32),
    /// The choices from one place up to another are 0.
    Zero(u32, u32),
    /// The choice at a place is this.
    Lower(u32, u64),
}

/// The edits of a pass for a case, of which it is known, or not, what it breaks.
pub(super) fn edits(case: &Case, pass: Pass, broken: Option<&Violation>) -> Vec<Edit> {
    match pass {
        Pass::Size => {
            let Size { nodes, minutes } = case.size;
            let nodes = towards(1, nodes.into()).map(|nodes| Edit::Nodes(nodes as u32));
            towards(1, minutes.into()).map(|minutes| Edit::Minutes(minutes as u32)).chain(nodes).collect()
        }
        Pass::End => broken.into_iter().filter(|broken| broken.rule != Rule::Liveness).map(end_after).collect(),
        Pass::Hosts => {
            let (plan, overrides) = case.resolved();
            chunks(plan.hosts.len(), &overrides.hosts).map(Edit::Hosts).collect()
        }
        Pass::Faults => {
            let (plan, overrides) = case.resolved();
            chunks(plan.faults.len(), &overrides.faults).map(Edit::Faults).collect()
        }
        Pass::Deeds => {
            let (plan, overrides) = case.resolved();
            chunks(plan.deeds.len(), &overrides.deeds).map(Edit::Deeds).collect()
        }
        Pass::Omit => omissions(case.plan().1.draws()),
        Pass::Zero => zeros(case.plan().1.draws()),
        Pass::Lower => (0..).zip(case.plan().1.draws()).flat_map(|(at, draw)| lower(at, draw)).collect(),
    }
}

/// All smaller cases, one edit away.
#[cfg(any(test, feature = "quickcheck"))]
pub(super) fn smaller(case: &Case) -> impl Iterator<Item = Case> + use<> {
    let case = case.clone();
    Pass::ALL.into_iter().flat_map(move |pass| {
        let case = case.clone();
        edits(&case, pass, None).into_iter().filter_map(move |edit| edit.apply(&case))
    })
}

impl Edit {
    /// The case after the edit; none when that is the same case.
    #[must_use]
    pub fn apply(&self, case: &Case) -> Option<Case> {
        let mut edited = case.clone();
        let Overrides { hosts, faults, deeds, end } = &mut edited.overrides;
        let changes = match self {
            Self::Nodes(nodes) => core::mem::replace(&mut edited.size.nodes, *nodes) > *nodes,
            Self::Minutes(minutes) => core::mem::replace(&mut edited.size.minutes, *minutes) > *minutes,
            Self::End(at) => end.replace(*at).is_none_or(|before| before > *at),
            Self::Hosts(ids) => add(hosts, ids),
            Self::Faults(ids) => add(faults, ids),
            Self::Deeds(ids) => add(deeds, ids),
            Self::Omit(from, to) => {
                edited.rewrite(|values| values.drain(range(*from, *to, values.len())).next().is_some())
            }
            Self::Zero(from, to) => edited.rewrite(|values| {
                let range = range(*from, *to, values.len());
                let any = values[range.clone()].iter().any(|value| *value != 0);
                values[range].fill(0);
                any
            }),
            Self::Lower(at, to) => edited.rewrite(|values| {
                values.get_mut(*at as usize).is_some_and(|value| core::mem::replace(value, *to) > *to)
            }),
        };
        changes.then_some(edited)
    }
}

impl Case {
    /// Changes the choices by their record; whether that made others of them.
    fn rewrite(&mut self, change: impl FnOnce(&mut Vec<u64>) -> bool) -> bool {
        let (_, choices) = self.plan();
        let before: Vec<u64> = choices.draws().iter().map(|draw| draw.value).collect();
        let mut values = before.clone();
        let changes = change(&mut values) && trimmed(&values) != trimmed(&before);
        values.truncate(trimmed(&values).len());
        self.source = Source::Recorded(values);
        changes
    }
}

/// What comes after the last answer that is not 0 needs no record.
fn trimmed(values: &[u64]) -> &[u64] {
    &values[..values.iter().rposition(|value| *value != 0).map_or(0, |last| last + 1)]
}

fn end_after(broken: &Violation) -> Edit {
    Edit::End(broken.at.saturating_sub(START.micros()) / 1000 + 1)
}

/// Adds `ids`; whether one was new.
fn add(set: &mut BTreeSet<u32>, ids: &[u32]) -> bool {
    let before = set.len();
    set.extend(ids);
    set.len() > before
}

fn range(from: u32, to: u32, len: usize) -> core::ops::Range<usize> {
    let to = (to as usize).min(len);
    (from as usize).min(to)..to
}

/// Numbers from `floor` up to below `value`, in ever smaller steps.
fn towards(floor: u64, value: u64) -> impl Iterator<Item = u64> {
    let distance = value.saturating_sub(floor);
    core::iter::successors(Some(distance), |step| Some(step / 2))
        .take_while(|step| *step > 0)
        .map(move |step| value - step)
}

/// What is left of `0..len`, all at once, then in halves, quarters, and so on, down to single ones.
fn chunks(len: usize, gone: &BTreeSet<u32>) -> impl Iterator<Item = Vec<u32>> + use<> {
    let left: Vec<u32> = (0..len as u32).filter(|id| !gone.contains(id)).collect();
    halves(left.len()).flat_map(move |size| left.chunks(size).map(<[u32]>::to_vec).collect::<Vec<_>>())
}

/// `len`, the half of it, and so on, down to 1.
fn halves(len: usize) -> impl Iterator<Item = usize> {
    core::iter::successors(Some(len), |size| (*size > 1).then(|| size.div_ceil(2))).take_while(|size| *size > 0)
}

/// Spans that begin with a choice about something, and end before the next about the same: a fault, a deed, a host.
fn omissions(draws: &[Draw]) -> Vec<Edit> {
    let sites: BTreeSet<Site> = draws.iter().map(|draw| draw.site).collect();
    let mut spans = BTreeSet::new();
    for site in sites {
        let begins = (0..).zip(draws).filter(|(_, draw)| draw.site == site).map(|(at, _)| at);
        let bounds: Vec<u32> = begins.chain([draws.len() as u32]).collect();
        for size in halves(bounds.len() - 1) {
            for from in (0..bounds.len() - 1).step_by(size) {
                let to = (from + size).min(bounds.len() - 1);
                spans.insert((bounds[to] - bounds[from], bounds[from]));
            }
        }
    }
    spans.into_iter().rev().map(|(len, from)| Edit::Omit(from, from + len)).collect()
}

fn zeros(draws: &[Draw]) -> Vec<Edit> {
    let len = draws.len() as u32;
    let spans = halves(draws.len()).flat_map(|size| {
        let size = size as u32;
        (0..len).step_by(size as usize).map(move |from| (from, (from + size).min(len)))
    });
    let matters = |(from, to): &(u32, u32)| draws[*from as usize..*to as usize].iter().any(|draw| draw.value > 0);
    spans.filter(matters).map(|(from, to)| Edit::Zero(from, to)).collect()
}

/// A seed knows no larger and smaller, so only the first few are tried for one.
fn lower(at: u32, draw: &Draw) -> Vec<Edit> {
    let smaller: Vec<u64> =
        if draw.of == 0 { (1..draw.value.min(4)).collect() } else { towards(0, draw.value).skip(1).collect() };
    smaller.into_iter().map(|to| Edit::Lower(at, to)).collect()
}

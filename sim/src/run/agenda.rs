//! What the plan wants done, by time.

use crate::plan::{Overrides, Plan};
use core::time::Duration;

/// An entry of the agenda; numbers are places in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    /// A fault ends. Before others begin: a host that crashes twice is up in between.
    End(u32),
    /// A host comes.
    Arrive(u32),
    /// A host goes for good.
    Leave(u32),
    /// A fault begins.
    Begin(u32),
    /// Somebody does something.
    Do(u32),
}

/// The entries that are left, the earliest first.
#[derive(Debug)]
pub(super) struct Agenda {
    entries: std::iter::Peekable<std::vec::IntoIter<(Duration, Item)>>,
}

impl Agenda {
    /// All entries of a plan but those that are overridden, and those of hosts that are.
    pub(super) fn new(plan: &Plan, overrides: &Overrides) -> Self {
        let mut entries = Vec::new();
        for (id, host) in (0..).zip(&plan.hosts) {
            if !overrides.hosts.contains(&id) {
                entries.push((host.arrives, Item::Arrive(id)));
                entries.extend(host.leaves.map(|at| (at, Item::Leave(id))));
            }
        }
        let healed = plan.phases.warm_up + plan.phases.chaos;
        for (i, fault) in (0..).zip(&plan.faults) {
            if !overrides.faults.contains(&i) && fault.begins < healed {
                entries.push((fault.begins, Item::Begin(i)));
                entries.push((fault.ends.min(healed), Item::End(i)));
            }
        }
        for (i, deed) in (0..).zip(&plan.deeds) {
            if !overrides.deeds.contains(&i) && !overrides.hosts.contains(&deed.host) {
                entries.push((deed.at, Item::Do(i)));
            }
        }
        entries.sort_unstable();
        Self { entries: entries.into_iter().peekable() }
    }

    /// The next entry, unless it is due only after `until`.
    pub(super) fn next_before(&mut self, until: Duration) -> Option<(Duration, Item)> {
        self.entries.next_if(|(at, _)| *at <= until)
    }
}

//! The watcher of a world: passes everything on to oracles, probes and whoever else wants to see it.

use super::{Audited, Findings, Online, Oracle, Peaks, Probes};
use crate::observe::{HostId, Observation, Tap};
use crate::world::World;
use bluering_core::time::Instant;
use core::cell::RefCell;
use core::mem::take;
use std::rc::Rc;

/// Watches a run: make a world with it ([`World::watched`]), and let it [`look`](Self::look) now and then and
/// [`audit`](Self::audit) the end.
#[derive(Default)]
pub struct Watch {
    oracles: Vec<Box<dyn Oracle>>,
    /// What was found.
    pub findings: Findings,
    /// Which pairs are online.
    pub online: Online,
    /// What was reached.
    pub probes: Probes,
    /// How full tables were.
    pub peaks: Peaks,
    /// Others who watch: traces, captures, reports. To read from one afterwards, keep a clone of its `Rc`.
    pub sinks: Vec<Box<dyn Tap>>,
}

impl Watch {
    /// Watches with `oracles`; `pairs` are those that must meet.
    #[must_use]
    pub fn new(oracles: Vec<Box<dyn Oracle>>, pairs: &[(HostId, HostId)]) -> Self {
        Self { oracles, online: Online::new(pairs), ..Self::default() }
    }

    /// Looks at the world while it runs: once per virtual second is often enough.
    pub fn look(world: &mut World<Self>) {
        Self::show(world, |oracle, world, findings| oracle.look(world, findings));
    }

    /// Looks at the world at the end, once.
    pub fn audit(world: &mut World<Self>) {
        Self::show(world, |oracle, world, findings| oracle.audit(world, findings));
        let mut probes = take(&mut world.tap.probes);
        probes.audit(world);
        world.tap.probes = probes;
    }

    /// Shows the world to all oracles, which live in it.
    fn show(world: &mut World<Self>, mut look: impl FnMut(&mut dyn Oracle, &dyn Audited, &mut Findings)) {
        let (mut oracles, mut findings) = (take(&mut world.tap.oracles), take(&mut world.tap.findings));
        let mut peaks = take(&mut world.tap.peaks);
        oracles.iter_mut().for_each(|oracle| look(&mut **oracle, world, &mut findings));
        peaks.look(world);
        (world.tap.oracles, world.tap.findings, world.tap.peaks) = (oracles, findings, peaks);
    }
}

impl Tap for Watch {
    fn observe(&mut self, at: Instant, seen: &Observation<'_>) {
        for oracle in &mut self.oracles {
            oracle.observe(at, seen, &mut self.findings);
        }
        self.online.observe(at, seen);
        self.probes.observe(at, seen);
        for sink in &mut self.sinks {
            sink.observe(at, seen);
        }
    }
}

impl<T: Tap> Tap for Rc<RefCell<T>> {
    fn observe(&mut self, at: Instant, seen: &Observation<'_>) {
        self.borrow_mut().observe(at, seen);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{chat, found, watched};
    use super::super::{IdleBudget, QUIET_BEGINS, QUIET_ENDS, Settings, all};
    use super::*;
    use core::time::Duration;

    #[derive(Default)]
    struct Counter(u64);

    impl Tap for Counter {
        fn observe(&mut self, _: Instant, _: &Observation<'_>) {
            self.0 += 1;
        }
    }

    #[test]
    fn an_honest_run_breaks_no_rule() {
        let idle = Some(IdleBudget { own: 5, answers: 20 });
        let mut world = watched(all(&Settings { needles: vec![b"~secret~".to_vec()], idle, private: Vec::new() }));
        world.suite().keep_ledger();
        let counter = Rc::new(RefCell::new(Counter::default()));
        world.tap.sinks.push(Box::new(Rc::clone(&counter)));
        chat(&mut world);
        Watch::look(&mut world);
        world.mark(QUIET_BEGINS);
        world.run_for(Duration::from_secs(60));
        world.mark(QUIET_ENDS);
        let now = world.now();
        let Watch { online, findings, .. } = &mut world.tap;
        online.demand(now, Duration::from_secs(60), |_, _| true, findings);
        Watch::audit(&mut world);
        assert_eq!(found(&world.tap.findings), []);
        assert!(counter.borrow().0 > world.datagrams());
        assert_eq!(world.tap.online.times().pairs, 1);
        assert!(world.tap.peaks.by_table()["friends"].used == 1);
    }
}

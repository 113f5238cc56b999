//! The watcher of a world: passes everything on to oracles, probes and whoever else wants to see it.

use super::{Audited, Findings, Online, Oracle, Peaks, Probes, Settings, all};
use crate::observe::{HostId, Observation, Tap};
use crate::world::World;
use bluering_core::time::Instant;
use core::cell::RefCell;
use core::mem::take;
use std::rc::Rc;

/// Watches a run: make a world with it ([`World::watched`]), let it [`look`](Self::look) now and then,
/// take it out and let it [`audit`](Self::audit) what is left.
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
    /// Watches with all oracles, and shows everything to `sinks` too.
    #[must_use]
    pub fn new(settings: &Settings, sinks: Vec<Box<dyn Tap>>) -> Self {
        Self { sinks, ..Self::with(all(settings), &settings.pairs) }
    }

    /// Watches without oracles: who is online and what is reached, no more.
    #[must_use]
    pub fn blind(pairs: &[(HostId, HostId)], sinks: Vec<Box<dyn Tap>>) -> Self {
        Self { sinks, ..Self::with(Vec::new(), pairs) }
    }

    /// Watches with these oracles; `pairs` are those that must meet.
    #[must_use]
    pub fn with(oracles: Vec<Box<dyn Oracle>>, pairs: &[(HostId, HostId)]) -> Self {
        Self { oracles, online: Online::new(pairs), ..Self::default() }
    }

    /// Looks at the world that it watches, while it runs: once per virtual second is often enough.
    pub fn look(world: &mut World<Self>) {
        let mut watch = take(&mut world.tap);
        watch.oracles.iter_mut().for_each(|oracle| oracle.look(world, &mut watch.findings));
        watch.peaks.look(world);
        world.tap = watch;
    }

    /// Looks at the world at the end, once. It must have been taken out of it.
    pub fn audit(&mut self, world: &dyn Audited) {
        self.oracles.iter_mut().for_each(|oracle| oracle.audit(world, &mut self.findings));
        self.peaks.look(world);
        self.probes.audit(world);
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
    use super::super::fixture::{audited, chat, watched};
    use super::super::{QUIET_BEGINS, QUIET_ENDS};
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
        let settings = Settings { needles: vec![b"~secret~".to_vec()], idle: Some(5), ..Settings::default() };
        let mut world = watched(all(&settings));
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
        online.demand(now, Duration::from_secs(60), findings);
        assert_eq!(audited(&mut world), []);
        assert!(counter.borrow().0 > world.datagrams());
        assert_eq!(world.tap.online.times().pairs, 1);
        assert_eq!(world.tap.peaks.by_table()["friends"].used, 1);
    }
}

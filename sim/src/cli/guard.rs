//! Carries out cases, and makes a violation of a panic.
//!
//! Each run has a thread of its own: what a panic leaves behind there (the meter of allocations, half a world) goes
//! with it.

use crate::METER;
use bluering_core::time::Instant;
use bluering_sim::observe::{Observation, Tap};
use bluering_sim::oracles::{Rule, Violation};
use bluering_sim::replay::Case;
use bluering_sim::run::{Options, Outcome};
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::thread;

/// Debug builds of large worlds go deep; memory that is not touched costs nothing.
const STACK: usize = 64 << 20;

thread_local! {
    /// Whether panics of this thread are caught here, and the last of them.
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// How a run ended.
#[derive(Debug)]
pub(super) struct Ran {
    /// What came of it, unless something panicked.
    pub(super) outcome: Option<Outcome>,
    /// What was broken: the first few of each rule.
    pub(super) broken: Vec<Violation>,
    /// How much, in all.
    pub(super) count: u64,
}

/// Carries out a case.
pub(super) fn run(case: &Case) -> Ran {
    run_watched(case, || ((), Vec::new()), |(), _| ()).0
}

/// Carries out a case with watchers. `open` makes them, `close` has them back; both on the thread of the run.
pub(super) fn run_watched<W, R: Send>(
    case: &Case,
    open: impl FnOnce() -> (W, Vec<Box<dyn Tap>>) + Send,
    close: impl FnOnce(W, &mut Ran) -> R + Send,
) -> (Ran, Option<R>) {
    let work = || {
        let clock = Arc::new(AtomicU64::new(0));
        let (watchers, mut sinks) = open();
        sinks.push(Box::new(Clock(Arc::clone(&clock))));
        let result = caught(|| case.run(Options { meter: Some(METER), sinks, ..Options::default() }));
        let mut ran = result.map_or_else(|what| Ran::panicked(clock.load(Ordering::Relaxed), what), Ran::ended);
        let closed = close(watchers, &mut ran);
        (ran, Some(closed))
    };
    thread::scope(|scope| match thread::Builder::new().name("run".into()).stack_size(STACK).spawn_scoped(scope, work) {
        Ok(thread) => thread.join().unwrap_or_else(|_| (Ran::panicked(0, "panicked at its end".into()), None)),
        Err(error) => (Ran::panicked(0, format!("no thread for the run: {error}")), None),
    })
}

/// Carries out a case once more: it must be the same run.
pub(super) fn compare(case: &Case, first: &mut Ran) {
    let again = run(case);
    let hash = |ran: &Ran| ran.outcome.as_ref().map(|outcome| outcome.hash);
    if hash(first) != hash(&again) {
        let what = format!("two runs of the same case differ: {:x?} and {:x?}", hash(first), hash(&again));
        first.broken.push(Violation { rule: Rule::Determinism, at: 0, host: None, what });
        first.count += 1;
    }
}

impl Ran {
    fn ended(outcome: Outcome) -> Self {
        let (broken, count) = (outcome.violations.clone(), outcome.violation_count);
        Self { outcome: Some(outcome), broken, count }
    }

    fn panicked(at: u64, what: String) -> Self {
        Self { outcome: None, broken: vec![Violation { rule: Rule::Panic, at, host: None, what }], count: 1 }
    }
}

/// Runs `work`; the words and the place of its panic.
fn caught<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(hook);
    CAUGHT.set(Some(String::new()));
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    let words = CAUGHT.take();
    result.map_err(|_| words.unwrap_or_default())
}

/// Keeps the words of panics that are caught; others are told as ever.
fn hook() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let kept = CAUGHT.with_borrow_mut(|caught| {
            caught.as_mut().map(|words| {
                // A second one, while unwinding, says less than the first.
                if words.is_empty() {
                    let what = info.payload_as_str().unwrap_or("no words");
                    let place = info.location().map_or_else(String::new, ToString::to_string);
                    *words = format!("{what} at {place}");
                }
            })
        });
        if kept.is_none() {
            before(info);
        }
    }));
}

/// Keeps the time of the world, for when a panic ends it.
struct Clock(Arc<AtomicU64>);

impl Tap for Clock {
    fn observe(&mut self, at: Instant, _: &Observation<'_>) {
        self.0.store(at.micros(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bluering_sim::scenarios::{Scenario, Size};

    const BROKEN: Scenario = Scenario {
        name: "broken",
        about: "Panics.",
        size: Size { nodes: 1, minutes: 1 },
        plan: |_, size| panic!("no plan for {}", size.nodes),
        table: None,
    };

    #[test]
    fn a_panic_is_a_violation_with_its_words_and_place() {
        let case = Case::of(&BROKEN, 1);
        let (ran, closed) = run_watched(&case, || (7, Vec::new()), |watcher, ran| (watcher, ran.count));
        let Violation { rule, what, .. } = &ran.broken[0];
        assert_eq!((*rule, closed, ran.outcome.is_none()), (Rule::Panic, Some((7, 1)), true));
        assert!(what.starts_with("no plan for 1 at sim/src/cli/guard.rs:"), "{what}");
        let mut again = run(&case);
        assert!(bluering_sim::replay::same(&ran.broken[0], &again.broken[0]));
        compare(&case, &mut again);
        assert_eq!(again.count, 1);
    }

    #[test]
    fn runs_that_differ_are_a_violation() {
        let seed =
            |seed| Case { size: Size { nodes: 3, minutes: 1 }, ..Case::of(&bluering_sim::scenarios::ALL[0], seed) };
        let mut first = run(&seed(1));
        let before = first.count;
        compare(&seed(1), &mut first);
        assert_eq!(first.count, before);
        compare(&seed(2), &mut first);
        assert_eq!(first.broken.last().map(|violation| violation.rule), Some(Rule::Determinism));
    }
}

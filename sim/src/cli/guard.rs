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
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// Watchers of a run. They are made on its thread.
pub(super) type Sinks<'a> = dyn Fn() -> Vec<Box<dyn Tap>> + Sync + 'a;

/// Carries out a case.
pub(super) fn run(case: &Case, sinks: &Sinks<'_>) -> Ran {
    let clock = Arc::new(AtomicU64::new(0));
    let watched = || {
        let mut sinks = sinks();
        sinks.push(Box::new(Clock(Arc::clone(&clock))));
        case.run(Options { meter: Some(METER), sinks, ..Options::default() })
    };
    match caught(watched) {
        Ok(outcome) => {
            let (broken, count) = (outcome.violations.clone(), outcome.violation_count);
            Ran { outcome: Some(outcome), broken, count }
        }
        Err(what) => {
            let at = clock.load(Ordering::Relaxed);
            Ran { outcome: None, broken: vec![Violation { rule: Rule::Panic, at, host: None, what }], count: 1 }
        }
    }
}

/// Carries out a case, and once more: both runs must be the same.
pub(super) fn run_twice(case: &Case, sinks: &Sinks<'_>) -> Ran {
    let mut first = run(case, sinks);
    let again = run(case, &Vec::new);
    let hash = |ran: &Ran| ran.outcome.as_ref().map(|outcome| outcome.hash);
    if hash(&first) != hash(&again) {
        let what = format!("two runs of the same case differ: {:x?} and {:x?}", hash(&first), hash(&again));
        first.broken.push(Violation { rule: Rule::Determinism, at: 0, host: None, what });
        first.count += 1;
    }
    first
}

/// Runs `work` on a thread of its own; the words and the place of its panic.
fn caught<R: Send>(work: impl FnOnce() -> R + Send) -> Result<R, String> {
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(hook);
    thread::scope(|scope| {
        let guarded = || {
            CAUGHT.set(Some(String::new()));
            panic::catch_unwind(AssertUnwindSafe(work)).map_err(|_| CAUGHT.take().unwrap_or_default())
        };
        match thread::Builder::new().name("run".into()).stack_size(STACK).spawn_scoped(scope, guarded) {
            Ok(thread) => thread.join().unwrap_or_else(|_| Err("panicked again while unwinding".into())),
            Err(error) => Err(format!("no thread for the run: {error}")),
        }
    })
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

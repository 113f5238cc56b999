//! Keeps the flash up to date: soon after what a snapshot holds has changed, and before the reserved no-replay numbers
//! run out.

use crate::flash::{SaveError, Saved, Snapshot, Store, WithWords, copy_words};
use crate::tox::{Inner, embassy_time_at, now};
use bluering_core::storage::Full;
use core::cell::RefCell;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use embassy_time::{Duration, Timer};
use embedded_storage_async::nor_flash::NorFlash;

/// Changes of this time make one snapshot: they come in groups, and flash wears.
const GATHER: Duration = Duration::from_millis(1000);
/// A save that failed is tried again after this time, then ever more slowly.
const AGAIN_FIRST: Duration = Duration::from_secs(5);
const AGAIN_SLOWEST: Duration = Duration::from_secs(600);

/// Saves for ever.
pub(crate) async fn keep_saved<F: NorFlash>(inner: &RefCell<Inner<'_>>, store: &mut Store<F>, bytes: &mut [u8]) -> ! {
    let mut pause = AGAIN_FIRST;
    loop {
        until_due(inner).await;
        if !inner.borrow().closing {
            Timer::after(GATHER).await;
        }
        let saved = save(inner, store, bytes).await;
        count(&mut inner.borrow_mut(), saved);
        match saved {
            Outcome::Saved | Outcome::Unchanged => pause = AGAIN_FIRST,
            Outcome::Changed => {}
            Outcome::Failed => {
                Timer::after(pause).await;
                pause = (pause * 2).min(AGAIN_SLOWEST);
            }
        }
    }
}

/// Notes what became of a save, and tells who waits for it.
fn count(inner: &mut Inner<'_>, saved: Outcome) {
    let counters = &mut inner.counters;
    match saved {
        Outcome::Saved => counters.snapshots = counters.snapshots.saturating_add(1),
        Outcome::Failed => counters.snapshots_failed = counters.snapshots_failed.saturating_add(1),
        Outcome::Unchanged | Outcome::Changed => {}
    }
    match saved {
        Outcome::Saved | Outcome::Unchanged => inner.tasks.wake(),
        Outcome::Changed => inner.unsaved = true,
        Outcome::Failed => {
            inner.unsaved = true;
            inner.tasks.wake();
        }
    }
}

/// What became of one attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Saved,
    Unchanged,
    /// The node changed while it was written.
    Changed,
    Failed,
}

/// Waits until something is to be saved. The runner's task is polled when the node has changed.
async fn until_due(inner: &RefCell<Inner<'_>>) {
    poll_fn(|cx| {
        let inner = &*inner.borrow();
        if inner.unsaved || inner.clock.is_save_due(now()) {
            return Poll::Ready(());
        }
        pin!(Timer::at(embassy_time_at(inner.clock.save_due_at()))).poll(cx).map(|()| ())
    })
    .await;
}

async fn save<F: NorFlash>(inner: &RefCell<Inner<'_>>, store: &mut Store<F>, bytes: &mut [u8]) -> Outcome {
    let (len, reservation) = {
        let inner = &mut *inner.borrow_mut();
        // A new reservation would make every snapshot a new one.
        let reservation = inner.clock.reservation_needed(now());
        inner.unsaved = false;
        match Snapshot::write(inner.node, reservation, bytes) {
            Ok(len) => (len, reservation),
            Err(Full) => return Outcome::Failed,
        }
    };
    let words = |key: &_, at, to: &mut [u8]| copy_words(inner.borrow().node, key, at, to);
    let Ok(source) = WithWords::new(&bytes[..len], words) else { return Outcome::Failed };
    let outcome = match store.save(source).await {
        Ok(Saved::Written(_) | Saved::Alone(_)) => Outcome::Saved,
        Ok(Saved::Unchanged) => Outcome::Unchanged,
        Err(SaveError::Changed) => Outcome::Changed,
        Err(SaveError::NotLoaded | SaveError::TooLong | SaveError::Worn | SaveError::Flash(_)) => Outcome::Failed,
    };
    if matches!(outcome, Outcome::Saved | Outcome::Unchanged) {
        let inner = &mut *inner.borrow_mut();
        inner.clock.saved(reservation);
        inner.tell_clock();
    }
    outcome
}

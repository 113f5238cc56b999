//! When the profile is saved: a moment after something in it changed, and at the end. The disk is waited for elsewhere.

use crate::profile_store::{ProfileBytes, ProfileStore, SaveError};
use smol::Task;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Changes come in groups (a friend comes online and tells three things); one write serves them all.
const SETTLE: Duration = Duration::from_secs(1);

/// The profile's file and what is due to it.
#[derive(Debug, Default)]
pub(crate) struct Saver {
    store: Option<Arc<ProfileStore>>,
    due: Option<Instant>,
    writing: Option<Task<Result<(), SaveError>>>,
}

impl Saver {
    /// Saves to `store`, or never.
    pub(crate) fn new(store: Option<ProfileStore>) -> Self {
        Self { store: store.map(Arc::new), due: None, writing: None }
    }

    /// Something that the profile holds has changed.
    pub(crate) fn changed(&mut self) {
        if self.store.is_some() && self.due.is_none() {
            self.due = Some(Instant::now() + SETTLE);
        }
    }

    /// When to call [`due`](Self::due) again. Never while a write is under way: its end wakes the runner.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due.filter(|_| self.writing.is_none())
    }

    /// Whether [`start`](Self::start) shall be called now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|at| at <= now)
    }

    /// Starts to write on smol's thread pool.
    pub(crate) fn start(&mut self, bytes: ProfileBytes) {
        self.due = None;
        self.writing = self.store.clone().map(|store| smol::unblock(move || store.write(&bytes)));
    }

    /// The end of the write that is under way, once.
    pub(crate) fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SaveError>> {
        let Some(task) = &mut self.writing else { return Poll::Pending };
        let result = Pin::new(task).poll(cx);
        if result.is_ready() {
            self.writing = None;
        }
        result
    }

    /// Writes the last state, after what is still being written. The last word, so it waits.
    pub(crate) async fn finish(mut self, bytes: impl FnOnce() -> ProfileBytes) -> Result<(), SaveError> {
        if let Some(task) = self.writing.take() {
            // An earlier failure is told by the write that follows.
            let _ = task.await;
        }
        let Some(store) = self.store.take() else { return Ok(()) };
        let bytes = bytes();
        smol::unblock(move || store.write(&bytes)).await
    }
}

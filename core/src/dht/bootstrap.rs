//! Bootstrap nodes: asked until they answer, and again when nobody else is left.

use crate::storage::Full;
use crate::time::Instant;
use crate::wire::NodeInfo;
use core::time::Duration;

/// Bootstrap nodes that are remembered.
const NODES: usize = 8;
/// Pauses between requests, in milliseconds. A node that has not answered after the last of them is given up when others
/// have, and asked on at the last pace when nobody has.
const PAUSES_MS: [u64; 8] = [100, 300, 1000, 2000, 4000, 8000, 16_000, 30_000];

#[derive(Debug)]
struct Entry {
    node: NodeInfo,
    /// When it is asked next; [`Instant::FAR`] when it answered or was given up.
    at: Instant,
    tries: u8,
}

#[derive(Debug)]
pub(super) struct Bootstraps {
    entries: heapless::Vec<Entry, NODES>,
}

impl Bootstraps {
    pub(super) const fn new() -> Self {
        Self { entries: heapless::Vec::new() }
    }

    /// Adds a node, to be asked at once. When there is no room it takes the place of one that needs no more requests.
    pub(super) fn add(&mut self, now: Instant, node: NodeInfo) -> Result<(), Full> {
        let new = Entry { node, at: now, tries: 0 };
        if let Some(known) = self.entries.iter_mut().find(|entry| entry.node.key == node.key) {
            *known = new;
            return Ok(());
        }
        let Err(new) = self.entries.push(new) else { return Ok(()) };
        let done = self.entries.iter_mut().find(|entry| entry.at == Instant::FAR).ok_or(Full)?;
        *done = new;
        Ok(())
    }

    pub(super) fn answered(&mut self, node: &NodeInfo) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.node.key == node.key) {
            entry.at = Instant::FAR;
        }
    }

    /// Starts over with all of them: nobody is left.
    pub(super) fn rearm(&mut self, now: Instant) {
        for entry in self.entries.iter_mut().filter(|entry| entry.at == Instant::FAR) {
            entry.at = now;
            entry.tries = 0;
        }
    }

    /// The next node that is to be asked.
    pub(super) fn poll(&mut self, now: Instant, connected: bool) -> Option<NodeInfo> {
        let entry = self.entries.iter_mut().find(|entry| entry.at <= now)?;
        let last = PAUSES_MS.len() - 1;
        let tries = usize::from(entry.tries);
        entry.at = if connected && tries >= last {
            Instant::FAR
        } else {
            now + Duration::from_millis(PAUSES_MS[tries.min(last)])
        };
        entry.tries = entry.tries.saturating_add(1);
        Some(entry.node)
    }

    /// When [`Self::poll`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        self.entries.iter().map(|entry| entry.at).min().filter(|at| *at != Instant::FAR)
    }

    /// Whether [`Self::rearm`] would change something.
    pub(super) fn any_parked(&self) -> bool {
        self.entries.iter().any(|entry| entry.at == Instant::FAR)
    }
}

//! Bootstrap nodes: asked until they answer, and again when nobody else is left.

use crate::time::Instant;
use crate::wire::NodeInfo;
use core::time::Duration;

/// Bootstrap nodes that are remembered.
const NODES: usize = 8;
/// Pauses between requests, in milliseconds. A node that has not answered after the last of them is parked when others
/// have, and asked on at the last pace when nobody has.
const PAUSES_MS: [u64; 8] = [100, 300, 1000, 2000, 4000, 8000, 16_000, 30_000];
/// A parked node is asked this often: parts of a network that have lost each other meet there again.
const PARKED_EVERY: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct Entry {
    node: NodeInfo,
    /// When it is asked next.
    pub(super) at: Instant,
    tries: u8,
    /// It has answered, or was given up.
    parked: bool,
}

#[derive(Debug)]
pub(super) struct Bootstraps {
    entries: heapless::Vec<Entry, NODES>,
}

impl Bootstraps {
    pub(super) const fn new() -> Self {
        Self { entries: heapless::Vec::new() }
    }

    /// Adds a node, to be asked at once. When there is no room it takes the place of a parked one, or else of the one
    /// that was asked most often without an answer.
    pub(super) fn add(&mut self, now: Instant, node: NodeInfo) {
        let new = Entry { node, at: now, tries: 0, parked: false };
        if let Some(known) = self.entries.iter_mut().find(|entry| entry.node.key == node.key) {
            *known = new;
            return;
        }
        let Err(new) = self.entries.push(new) else { return };
        if let Some(done) = self.entries.iter_mut().max_by_key(|entry| (entry.parked, entry.tries)) {
            *done = new;
        }
    }

    pub(super) fn answered(&mut self, now: Instant, node: &NodeInfo) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.node.key == node.key) {
            entry.at = now + PARKED_EVERY;
            entry.parked = true;
        }
    }

    /// Starts over with all of them: nobody is left.
    pub(super) fn rearm(&mut self, now: Instant) {
        for entry in self.entries.iter_mut().filter(|entry| entry.parked) {
            *entry = Entry { at: now, tries: 0, parked: false, ..*entry };
        }
    }

    /// The next node that is to be asked.
    pub(super) fn poll(&mut self, now: Instant, connected: bool) -> Option<NodeInfo> {
        let entry = self.entries.iter_mut().find(|entry| entry.at <= now)?;
        let last = PAUSES_MS.len() - 1;
        let tries = usize::from(entry.tries);
        entry.parked |= connected && tries >= last;
        let pause = if entry.parked { PARKED_EVERY } else { Duration::from_millis(PAUSES_MS[tries.min(last)]) };
        entry.at = now + pause;
        entry.tries = entry.tries.saturating_add(1);
        Some(entry.node)
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeInfo> {
        self.entries.iter().map(|entry| entry.node)
    }

    /// When [`Self::poll`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        self.entries.iter().map(|entry| entry.at).min()
    }

    /// Whether [`Self::rearm`] would change something.
    pub(super) fn any_parked(&self) -> bool {
        self.entries.iter().any(|entry| entry.parked)
    }
}

#[cfg(test)]
impl Bootstraps {
    pub(super) fn entry_of(&mut self, node: &NodeInfo) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.node == *node)
    }
}

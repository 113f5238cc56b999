//! Friend requests that come in: checked, filtered, and kept until the application has read them.

use crate::DropReason;
use crate::crypto::{Nospam, PublicKey};
use crate::storage::{BlockId, Blocks, Mem, Slots, Table};

/// What vacant places of the table of blocked keys hold.
pub(crate) const BLOCKED_KEY_VACANT: PublicKey = PublicKey::ZERO;

/// Blocks that stay free for sessions when a request is stored.
const KEEP: usize = 2;
/// Senders remembered so that a repeated request is shown once (`friend_requests.h`).
const REMEMBERED: usize = 32;

/// A request that the application has not read yet.
#[derive(Debug)]
pub(crate) struct IncomingRequest {
    pub(crate) from: PublicKey,
    pub(crate) words: BlockId,
}

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is kept, to be read with `next`.
    Kept,
    /// Not wanted.
    Dropped(DropReason),
}

/// The filter and the waiting requests.
#[derive(Debug)]
pub(crate) struct Requests<'s> {
    waiting: Slots<'s, IncomingRequest>,
    blocked: Mem<'s, PublicKey>,
    /// The first eight bytes of the keys of the last senders, and where the next goes.
    recent: [u64; REMEMBERED],
    recent_at: u8,
    /// Keys in `blocked`.
    blocked_len: u32,
}

impl<'s> Requests<'s> {
    /// A waiting table of capacity 0 turns requests off.
    pub(crate) const fn new(waiting: Slots<'s, IncomingRequest>, blocked: Mem<'s, PublicKey>) -> Self {
        Self { waiting, blocked, recent: [0; REMEMBERED], recent_at: 0, blocked_len: 0 }
    }

    /// Its tables.
    pub(crate) fn tables(&self) -> [Table; 2] {
        let blocked = Table { name: "blocked keys", used: self.blocked_len as usize, capacity: self.blocked.len() };
        [Table::of_slots("friend requests", &self.waiting), blocked]
    }

    /// Judges a request from a stranger. `nospam` is the one that it carries, `ours` the one that it must carry.
    pub(crate) fn receive(
        &mut self,
        blocks: &mut Blocks<'_>,
        from: PublicKey,
        nospam: Nospam,
        ours: Nospam,
        words: &[u8],
    ) -> Verdict {
        if nospam != ours {
            return Verdict::Dropped(DropReason::WrongNospam);
        }
        if self.is_blocked(&from) {
            return Verdict::Dropped(DropReason::Stranger);
        }
        let mark = mark_of(&from);
        if self.recent.contains(&mark) {
            return Verdict::Dropped(DropReason::Duplicate);
        }
        if self.waiting.is_full() {
            return Verdict::Dropped(DropReason::NoRoom);
        }
        let Ok(words) = blocks.take(KEEP, &[words]) else { return Verdict::Dropped(DropReason::NoRoom) };
        if self.waiting.insert(IncomingRequest { from, words }).is_err() {
            unreachable!("room was checked");
        }
        self.recent[usize::from(self.recent_at)] = mark;
        self.recent_at = (self.recent_at + 1) % REMEMBERED as u8;
        Verdict::Kept
    }

    /// The next waiting request; the caller gives its block back.
    pub(crate) fn next(&mut self) -> Option<IncomingRequest> {
        let (id, _) = self.waiting.iter().next()?;
        self.waiting.remove(id)
    }

    /// A removed friend may ask again.
    pub(crate) fn forget(&mut self, key: &PublicKey) {
        let mark = mark_of(key);
        for place in self.recent.iter_mut().filter(|place| **place == mark) {
            *place = 0;
        }
    }

    /// Requests from `key` are dropped from now on. False when the table of blocked keys is full.
    pub(crate) fn block(&mut self, key: PublicKey) -> bool {
        if self.is_blocked(&key) || key == BLOCKED_KEY_VACANT {
            return true;
        }
        match self.blocked.iter_mut().find(|place| **place == BLOCKED_KEY_VACANT) {
            Some(place) => {
                *place = key;
                self.blocked_len += 1;
                true
            }
            None => false,
        }
    }

    /// Requests from `key` are shown again.
    pub(crate) fn unblock(&mut self, key: &PublicKey) {
        for place in self.blocked.iter_mut().filter(|place| *place == key && **place != BLOCKED_KEY_VACANT) {
            *place = BLOCKED_KEY_VACANT;
            self.blocked_len -= 1;
        }
    }

    fn is_blocked(&self, key: &PublicKey) -> bool {
        *key != BLOCKED_KEY_VACANT && self.blocked.contains(key)
    }
}

/// Keys are uniformly distributed; who finds two with the same first 63 bits hides only his own second request.
fn mark_of(key: &PublicKey) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = key.0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h]) | 1
}

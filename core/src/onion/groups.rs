//! Keeping group announcements for others.
//!
//! Peers of public groups tell nodes where they are, at the end of announce requests (0x87), and are told of each other
//! in the answer. They come through the onion: nobody here knows who says so, and nothing is proved. An announcement is
//! kept until its peer may be expected to repeat it; toxcore's nodes forget a group after 30 s, though its clients wait
//! up to 20 minutes, and in between nobody finds the group.
//!
//! Bounds: one entry for each peer of a group, [`PER_GROUP`] for a group, the table for all. The oldest makes room.

use crate::storage::{Slots, Table};
use crate::time::Instant;
use crate::wire::Writer;
use crate::wire::onion::group::{ANNOUNCE_LEN_MAX, ANNOUNCES_MAX, ChatId, GroupAnnounce, PublicAnnounce};
use core::time::Duration;

/// How long an announcement is kept: a minute longer than toxcore's clients wait before they repeat theirs
/// (`group_chats.c`, GC_SELF_REFRESH_ANNOUNCE_INTERVAL).
pub(super) const GROUP_LIFE: Duration = Duration::from_secs(21 * 60);
/// Announcements kept of one group (`group_announce.h`, GCA_MAX_SAVED_ANNOUNCES_PER_GC).
pub(super) const PER_GROUP: usize = 16;

/// An announcement of a peer of a group.
#[derive(Debug)]
pub(crate) struct GroupPeer {
    chat: ChatId,
    at: Instant,
    len: u8,
    bytes: [u8; ANNOUNCE_LEN_MAX],
}

impl GroupPeer {
    fn new(now: Instant, public: &PublicAnnounce<'_>) -> Self {
        let mut bytes = [0; ANNOUNCE_LEN_MAX];
        let packed = public.announce.as_bytes();
        bytes[..packed.len()].copy_from_slice(packed);
        Self { chat: public.chat, at: now, len: packed.len() as u8, bytes }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.reached(self.at, GROUP_LIFE)
    }

    fn packed(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Whether it is of this peer: its key comes first.
    fn is_of(&self, announce: &GroupAnnounce<'_>) -> bool {
        self.packed().starts_with(&announce.peer.0)
    }
}

/// The table of group announcements.
#[derive(Debug)]
pub(crate) struct GroupStore<'s> {
    entries: Slots<'s, GroupPeer>,
}

impl<'s> GroupStore<'s> {
    /// A store over `entries`; with capacity 0 it keeps nothing.
    pub(crate) const fn new(entries: Slots<'s, GroupPeer>) -> Self {
        Self { entries }
    }

    pub(crate) fn table(&self) -> Table {
        Table::of_slots("group announcements", &self.entries)
    }

    /// Keeps an announcement: in place of that peer's last one, in a free place, or in place of the oldest, of its own
    /// group if that has its share.
    pub(super) fn put(&mut self, now: Instant, public: &PublicAnnounce<'_>) {
        let new = GroupPeer::new(now, public);
        let is_ours = |entry: &GroupPeer| entry.chat == public.chat;
        let is_same = |entry: &&mut GroupPeer| is_ours(entry) && entry.is_of(&public.announce);
        if let Some(known) = self.entries.values_mut().find(is_same) {
            *known = new;
            return;
        }
        let crowded = self.entries.values().filter(|entry| is_ours(entry)).count() >= PER_GROUP;
        if !crowded && !self.entries.is_full() {
            let inserted = self.entries.insert(new);
            debug_assert!(inserted.is_ok(), "a table that is not full takes an entry");
            return;
        }
        let candidates = self.entries.values_mut().filter(|entry| !crowded || is_ours(entry));
        if let Some(oldest) = candidates.min_by_key(|entry| entry.at) {
            *oldest = new;
        }
    }

    /// Writes up to four announcements of a group, the newest first, but for that of the asker.
    pub(super) fn answer(&self, now: Instant, public: &PublicAnnounce<'_>, w: &mut Writer<'_>) {
        let mut newest = heapless::Vec::<&GroupPeer, ANNOUNCES_MAX>::new();
        let others = self
            .entries
            .values()
            .filter(|entry| entry.chat == public.chat && !entry.is_over(now) && !entry.is_of(&public.announce));
        for entry in others {
            let place = newest.iter().position(|other| other.at < entry.at).unwrap_or(newest.len());
            if place < ANNOUNCES_MAX {
                if newest.is_full() {
                    newest.pop();
                }
                // There is room now.
                let _ = newest.insert(place, entry);
            }
        }
        for entry in newest {
            w.bytes(entry.packed());
        }
    }
}

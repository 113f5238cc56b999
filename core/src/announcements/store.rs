//! The table of DHT announcements. Full, it keeps those nearest to our DHT key, as toxcore's 32 buckets of eight do.

use crate::crypto::PublicKey;
use crate::storage::{Slots, Table};
use crate::time::Instant;
use crate::wire::announcements::DATA_LEN_MAX;

/// What somebody has announced.
#[derive(Debug)]
pub(crate) struct Announcement {
    key: PublicKey,
    until: Instant,
    len: u16,
    data: [u8; DATA_LEN_MAX],
}

impl Announcement {
    pub(super) fn data(&self) -> &[u8] {
        &self.data[..usize::from(self.len)]
    }

    fn is_over(&self, now: Instant) -> bool {
        now >= self.until
    }
}

#[derive(Debug)]
pub(super) struct Store<'s> {
    entries: Slots<'s, Announcement>,
}

impl<'s> Store<'s> {
    pub(super) const fn new(entries: Slots<'s, Announcement>) -> Self {
        Self { entries }
    }

    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    pub(super) fn table(&self) -> Table {
        Table::of_slots("DHT announcements", &self.entries)
    }

    /// What is stored under a key.
    pub(super) fn find(&self, now: Instant, key: &PublicKey) -> Option<&Announcement> {
        self.entries.values().find(|entry| entry.key == *key && !entry.is_over(now))
    }

    /// Whether [`Self::put`] would store something under this key.
    pub(super) fn accepts(&self, now: Instant, me: &PublicKey, key: &PublicKey) -> bool {
        !self.entries.is_full()
            || self
                .entries
                .values()
                .any(|entry| entry.key == *key || entry.is_over(now) || key.is_closer(&entry.key, me))
    }

    /// Stores data (512 bytes at most): in place of what the key has there, in a free place, or in place of an
    /// announcement that is over or the one farthest from `me`; false if all are nearer.
    pub(super) fn put(&mut self, now: Instant, me: &PublicKey, key: PublicKey, until: Instant, data: &[u8]) -> bool {
        if !self.accepts(now, me, &key) {
            return false;
        }
        let mut new = Announcement { key, until, len: data.len() as u16, data: [0; DATA_LEN_MAX] };
        new.data[..data.len()].copy_from_slice(data);
        if let Some(own) = self.entries.values_mut().find(|entry| entry.key == key) {
            *own = new;
        } else if !self.entries.is_full() {
            return self.entries.insert(new).is_ok();
        } else {
            let worst = self.entries.values_mut().max_by_key(|entry| (entry.is_over(now), entry.key.distance(me)));
            let Some(worst) = worst else { return false };
            *worst = new;
        }
        true
    }

    /// Keeps what is stored under a key until another time.
    pub(super) fn renew(&mut self, key: &PublicKey, until: Instant) {
        if let Some(entry) = self.entries.values_mut().find(|entry| entry.key == *key) {
            entry.until = until;
        }
    }
}

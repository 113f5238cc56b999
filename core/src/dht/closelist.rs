//! The close list: nodes that answered us, sorted into k-buckets by how many leading bits they share with our key.
//!
//! Large lists (1024 entries and more) have 128 buckets of equal width, 8 at 1024 as in toxcore; a bucket with a live
//! node in each place takes nobody. Small lists share all their places: who comes when the list is full replaces a bad
//! node, or one from the most crowded of the buckets that are farther than its own. A live node never makes room for a
//! farther one.

use super::entry::{NodeEntry, insert_closest};
use crate::crypto::PublicKey;
use crate::storage::Mem;
use crate::time::Instant;
use crate::wire::{NodeInfo, NodeList};
use core::ops::Range;
use core::time::Duration;

/// Number of k-buckets (`DHT.h`, LCLIENT_LENGTH); keys that share more bits are in the last.
const BUCKETS: usize = 128;
/// The list is divided into buckets when each gets as many places as in toxcore (LCLIENT_NODES).
const BUCKET_LEN_MIN: usize = 8;
/// The list is walked this often at most; its timers are a minute long.
const TICK: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct CloseList<'s> {
    /// Each region holds its entries at its front.
    mem: Mem<'s, NodeEntry>,
    me: PublicKey,
    /// Lower bound of the time at which an entry needs attention.
    due: Instant,
    /// Who has not been asked since is asked now.
    ask_since: Instant,
    /// The walk: the next entry, the earliest time met so far, and how many may still be asked in this tick.
    cursor: usize,
    walk_min: Instant,
    budget: usize,
}

impl<'s> CloseList<'s> {
    pub(super) fn new(mut mem: Mem<'s, NodeEntry>) -> Self {
        mem.fill(NodeEntry::VACANT);
        let budget = budget(mem.len());
        let (due, walk_min) = (Instant::FAR, Instant::FAR);
        Self { mem, me: PublicKey::ZERO, due, ask_since: Instant::ZERO, cursor: 0, walk_min, budget }
    }

    /// Sets our own key, to which the distances are measured; before the first entry.
    pub(super) fn set_me(&mut self, me: PublicKey) {
        self.me = me;
    }

    /// Places taken, and all places.
    pub(super) fn occupancy(&self) -> (usize, usize) {
        let regions = if self.has_buckets() { BUCKETS } else { 1 };
        let entries = |i| self.mem[self.region(i)].iter().take_while(|entry| !entry.is_vacant()).count();
        ((0..regions).map(entries).sum(), self.mem.len())
    }

    pub(super) fn get(&self, key: &PublicKey) -> Option<&NodeEntry> {
        self.position(key).map(|i| &self.mem[i])
    }

    /// Whether an answer of `node` would add it, or bring an entry up to date that has fallen silent.
    pub(super) fn wants(&self, node: &NodeInfo, now: Instant) -> bool {
        match self.get(&node.key) {
            Some(known) => !known.is_live(now) || known.at != node.at && known.is_silent(now),
            None => self.place_for(&node.key, now).is_some(),
        }
    }

    /// `node` answered.
    pub(super) fn hear(&mut self, node: &NodeInfo, now: Instant) {
        let known = self.position(&node.key);
        if known.is_none_or(|i| self.mem[i].at != node.at) {
            self.evict_address(node);
        }
        if let Some(i) = self.position(&node.key) {
            self.mem[i].hear(node.at, now);
            return;
        }
        if let Some(i) = self.place_for(&node.key, now) {
            self.mem[i] = NodeEntry::new(node, now);
            self.due = self.due.min(self.mem[i].next_at(true));
            self.walk_min = self.walk_min.min(self.mem[i].next_at(true));
        }
    }

    pub(super) fn mark_asked(&mut self, key: &PublicKey, now: Instant) {
        if let Some(i) = self.position(key) {
            self.mem[i].asked = now;
        }
    }

    /// Everybody is to be asked anew, beginning now.
    pub(super) fn ask_all(&mut self, now: Instant) {
        (self.ask_since, self.due, self.cursor, self.walk_min) = (now, now, 0, Instant::FAR);
        self.budget = budget(self.mem.len());
    }

    /// The next node that is to be asked whether it lives. Forgets dead ones on the way, unless nobody at all answers.
    pub(super) fn poll(&mut self, now: Instant, connected: bool) -> Option<NodeInfo> {
        if now < self.due {
            return None;
        }
        while self.cursor < self.mem.len() {
            let entry = &mut self.mem[self.cursor];
            if entry.is_vacant() {
                self.cursor = self.region_at(self.cursor).end;
            } else if connected && entry.is_dead(now) {
                self.remove(self.cursor);
            } else if entry.ask_at() > now && entry.asked >= self.ask_since {
                self.walk_min = self.walk_min.min(entry.next_at(connected));
                self.cursor += 1;
            } else if self.budget == 0 {
                return self.rest(now + TICK);
            } else {
                entry.asked = now;
                self.walk_min = self.walk_min.min(entry.next_at(connected));
                self.cursor += 1;
                self.budget -= 1;
                return Some(self.mem[self.cursor - 1].info());
            }
        }
        self.cursor = 0;
        let until = self.walk_min.max(now + TICK);
        let until = if self.walk_min == Instant::FAR { Instant::FAR } else { until };
        self.walk_min = Instant::FAR;
        self.rest(until)
    }

    /// When [`Self::poll`] has something to do.
    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &NodeEntry> + Clone {
        self.mem.iter().filter(|entry| !entry.is_vacant())
    }

    pub(super) fn entries_live(&self, now: Instant) -> impl Iterator<Item = &NodeEntry> + Clone {
        self.mem.iter().filter(move |entry| entry.is_live(now))
    }

    /// Offers the live nodes that are closest to `target` to `list`.
    pub(super) fn closest(&self, now: Instant, target: &PublicKey, lan_ok: bool, list: &mut NodeList) {
        let mut offer = |range: Range<usize>| {
            let occupied = self.mem[range].iter().take_while(|entry| !entry.is_vacant());
            for entry in occupied.filter(|entry| entry.is_live(now) && (lan_ok || !entry.at.is_lan())) {
                insert_closest(list, target, entry.info());
            }
            list.is_full()
        };
        if !self.has_buckets() {
            offer(0..self.mem.len());
            return;
        }
        // Whoever is in the target's own bucket shares more bits with it than all in the nearer buckets, which among
        // themselves share the same number; farther buckets follow one by one.
        let own = bucket(&self.me, target);
        if offer(self.region(own)) {
            return;
        }
        let nearer = (own + 1..BUCKETS).fold(false, |_, i| offer(self.region(i)));
        let _ = nearer || (0..own).rev().any(|i| offer(self.region(i)));
    }

    fn rest(&mut self, until: Instant) -> Option<NodeInfo> {
        self.due = until;
        self.budget = budget(self.mem.len());
        None
    }

    fn has_buckets(&self) -> bool {
        self.mem.len() >= BUCKETS * BUCKET_LEN_MIN
    }

    /// The places of a bucket; all places of a small list.
    fn region(&self, bucket: usize) -> Range<usize> {
        if !self.has_buckets() {
            return 0..self.mem.len();
        }
        let width = self.mem.len() / BUCKETS;
        bucket * width..(bucket + 1) * width
    }

    /// The region that a place belongs to. Places beyond the last bucket (the remainder of the division) are never
    /// used.
    fn region_at(&self, place: usize) -> Range<usize> {
        if !self.has_buckets() {
            return 0..self.mem.len();
        }
        let bucket = place / (self.mem.len() / BUCKETS);
        if bucket < BUCKETS { self.region(bucket) } else { place..self.mem.len() }
    }

    fn position(&self, key: &PublicKey) -> Option<usize> {
        let region = self.region(bucket(&self.me, key));
        let start = region.start;
        self.mem[region].iter().position(|entry| entry.key == *key && !entry.is_vacant()).map(|i| start + i)
    }

    /// One node per address: whoever answered there before has changed its key.
    fn evict_address(&mut self, node: &NodeInfo) {
        let same = |entry: &NodeEntry| !entry.is_vacant() && entry.at == node.at && entry.key != node.key;
        if let Some(i) = self.mem.iter().position(same) {
            self.remove(i);
        }
    }

    fn remove(&mut self, place: usize) {
        let region = self.region_at(place);
        let used = self.mem[region.clone()].iter().take_while(|entry| !entry.is_vacant()).count();
        let last = region.start + used - 1;
        self.mem[place] = self.mem[last];
        self.mem[last] = NodeEntry::VACANT;
        // The entry that moved may have jumped over the walk.
        if place != last {
            self.walk_min = self.walk_min.min(self.mem[place].next_at(true));
        }
    }

    /// Where a new node with `key` would go: a vacant place, that of a bad node, or (small lists) that of one too many.
    fn place_for(&self, key: &PublicKey, now: Instant) -> Option<usize> {
        let region = self.region(bucket(&self.me, key));
        let start = region.start;
        let entries = &self.mem[region];
        if let Some(i) = entries.iter().position(NodeEntry::is_vacant) {
            return Some(start + i);
        }
        let bad = entries.iter().enumerate().filter(|(_, entry)| !entry.is_live(now));
        if let Some((i, _)) = bad.min_by_key(|(_, entry)| entry.heard) {
            return Some(start + i);
        }
        if self.has_buckets() { None } else { self.crowded(key) }
    }

    /// The farthest node of the most crowded bucket among those that are farther than the bucket of `key` and hold
    /// more.
    fn crowded(&self, key: &PublicKey) -> Option<usize> {
        let mut counts = [0_u16; BUCKETS];
        for entry in self.mem.iter() {
            counts[bucket(&self.me, &entry.key)] += 1;
        }
        let own = bucket(&self.me, key);
        let (most, count) = (0..own).map(|i| (i, counts[i])).rev().max_by_key(|(_, count)| *count)?;
        let members = self.mem.iter().enumerate().filter(|(_, entry)| bucket(&self.me, &entry.key) == most);
        let farthest = members.max_by_key(|(_, entry)| entry.key.distance(&self.me));
        farthest.filter(|_| count > counts[own]).map(|(i, _)| i)
    }
}

fn bucket(me: &PublicKey, key: &PublicKey) -> usize {
    me.common_prefix(key).min(BUCKETS - 1)
}

/// How many nodes may be asked in one tick: all within 16 s after a suspension, without one burst.
fn budget(capacity: usize) -> usize {
    (capacity / 16).max(16)
}

//! A search: the eight nodes closest to a key that have answered us.
//!
//! Whoever joins the list is asked for the key at once; its answer brings closer candidates, so a search converges
//! within a few round trips. The search for a friend then repeats: he may come online any moment, and the nodes near
//! his key hear from him first. Intervals grow with the age of the search, and stop mattering once the friend himself
//! has answered.

use super::entry::{NodeEntry, PEER_GAP, RENAMED_AFTER};
use crate::crypto::PublicKey;
use crate::time::Instant;
use crate::wire::NodeInfo;
use core::time::Duration;

/// A node that has answered lately has so long to answer again before it counts as missing.
const GRACE: Duration = Duration::from_millis(1_500);
/// So long a search counts as just begun.
const FRESH: Duration = Duration::from_secs(20);
/// Nodes in the list (`DHT.h`, MAX_FRIEND_CLIENTS).
const NODES: usize = 8;
/// Of which the closest are asked again and again while the search is hot.
const HOT_NODES: usize = 4;
/// One node of the list is asked this often as long as the key itself is not found (GET_NODE_INTERVAL).
const SLOW_EVERY: Duration = Duration::from_secs(20);

/// Whose key is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// A friend's: hot at first.
    Friend,
    /// Our own: repeated a few times, so that our neighbours hear from us.
    Own,
    /// Nobody's: finds nodes all over the network.
    Random,
}

/// A searched key and the nodes closest to it.
#[derive(Debug)]
pub(crate) struct Search {
    pub(super) key: PublicKey,
    goal: Goal,
    /// When the search became hot.
    since: Instant,
    /// Lower bound of the time at which [`Self::poll`] has something to do.
    due: Instant,
    /// In order of distance.
    nodes: heapless::Vec<SearchNode, NODES>,
}

#[derive(Debug)]
struct SearchNode {
    entry: NodeEntry,
    /// When it was last asked for this search's key; zero for never.
    asked_key: Instant,
}

impl Search {
    pub(super) const fn new(key: PublicKey, goal: Goal, now: Instant) -> Self {
        Self { key, goal, since: now, due: Instant::FAR, nodes: heapless::Vec::new() }
    }

    /// Makes the search hot again.
    pub(super) fn reheat(&mut self, now: Instant) {
        self.since = now;
        self.nodes.iter_mut().for_each(|node| node.asked_key = Instant::ZERO);
        self.reschedule(now, true);
    }

    /// Whether an answer of `node` would add it, or bring an entry up to date that has fallen silent. Where the
    /// searched node itself is, is open from the time when the search became hot until it answers.
    pub(super) fn wants(&self, node: &NodeInfo, now: Instant) -> bool {
        if let Some(known) = self.nodes.iter().find(|known| known.entry.key == node.key) {
            let is_doubtful = known.entry.is_silent(now) || node.key == self.key && known.entry.heard < self.since;
            return !known.entry.is_live(now) || known.entry.at != node.at && is_doubtful;
        }
        !self.nodes.is_full()
            || self.nodes.iter().any(|known| !known.entry.is_live(now))
            || self.nodes.last().is_some_and(|last| node.key.is_closer(&last.entry.key, &self.key))
    }

    /// A node answered. `asked_key` tells when it was asked for this search's key before it was in the list.
    pub(super) fn hear(&mut self, node: &NodeInfo, now: Instant, asked_key: Option<Instant>) {
        self.hear_entry(&NodeEntry::new(node, now), now, asked_key);
    }

    /// Takes over a node that is known from another list.
    pub(super) fn hear_entry(&mut self, entry: &NodeEntry, now: Instant, asked_key: Option<Instant>) {
        let mut asked_key = asked_key.unwrap_or(Instant::ZERO);
        // One node per address: whoever answered there before has changed its key. If it did so just now, it is not
        // asked at once under the new one: two keys of one address would take turns for ever.
        let before = self.nodes.iter().find(|known| known.entry.at == entry.at && known.entry.key != entry.key);
        if let Some(before) = before.filter(|before| !now.reached(before.entry.heard, RENAMED_AFTER)) {
            asked_key = asked_key.max(before.asked_key);
        }
        self.nodes.retain(|known| known.entry.at != entry.at || known.entry.key == entry.key);
        if let Some(known) = self.nodes.iter_mut().find(|known| known.entry.key == entry.key) {
            known.entry.hear(entry.at, entry.heard);
            known.asked_key = known.asked_key.max(asked_key);
        } else if self.make_room(entry, now) {
            let closer = |known: &SearchNode| entry.key.is_closer(&known.entry.key, &self.key);
            let place = self.nodes.iter().position(closer).unwrap_or(self.nodes.len());
            // There is room now.
            let _ = self.nodes.insert(place, SearchNode { entry: *entry, asked_key });
        } else {
            return;
        }
        self.reschedule(now, true);
    }

    pub(super) fn mark_asked(&mut self, key: &PublicKey, now: Instant) {
        if let Some(known) = self.nodes.iter_mut().find(|known| known.entry.key == *key) {
            known.entry.asked = now;
        }
    }

    /// The next node that is to be asked for the key, marked as asked. Forgets dead ones on the way, unless nobody at
    /// all answers.
    pub(super) fn poll(&mut self, now: Instant, connected: bool) -> Option<NodeInfo> {
        if now < self.due {
            return None;
        }
        self.nodes.retain(|node| !(connected && node.entry.is_dead(now)));
        let asked = match self.next(now) {
            Some((i, at)) if at <= now => {
                let node = &mut self.nodes[i];
                node.asked_key = now;
                node.entry.asked = now;
                Some(node.entry.info())
            }
            Some(_) | None => None,
        };
        self.reschedule(now, connected);
        asked
    }

    /// When [`Self::poll`] has something to do.
    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    pub(super) const fn goal(&self) -> Goal {
        self.goal
    }

    /// Whether the node whose key is searched has answered since the search became hot, and not long ago.
    pub(super) fn is_found(&self, now: Instant) -> bool {
        self.target().is_some_and(|target| target.is_live(now) && target.heard >= self.since)
    }

    /// Whether the node whose key is searched does not answer. One that did lately has some time for it: two who are in
    /// touch would else draw each other into punching again and again.
    pub(super) fn is_missing(&self, now: Instant) -> bool {
        let was_there = self.target().is_some_and(|target| target.is_live(now));
        !self.is_found(now) && (!was_there || now.reached(self.since, GRACE))
    }

    /// Whether it became hot not long ago: what a friend asks for again and again does not make it so each time.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        !now.reached(self.since, FRESH)
    }

    /// The node whose key is searched.
    pub(super) fn target(&self) -> Option<&NodeEntry> {
        self.nodes.first().map(|node| &node.entry).filter(|entry| entry.key == self.key)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &NodeEntry> {
        self.nodes.iter().map(|node| &node.entry)
    }

    pub(super) fn live(&self, now: Instant) -> impl Iterator<Item = &NodeEntry> {
        self.nodes.iter().map(|node| &node.entry).filter(move |entry| entry.is_live(now))
    }

    fn make_room(&mut self, entry: &NodeEntry, now: Instant) -> bool {
        if !self.nodes.is_full() {
            return true;
        }
        if let Some(bad) = self.nodes.iter().rposition(|known| !known.entry.is_live(now)) {
            self.nodes.remove(bad);
            return true;
        }
        let closer = self.nodes.last().is_some_and(|last| entry.key.is_closer(&last.entry.key, &self.key));
        if closer {
            self.nodes.pop();
        }
        closer
    }

    fn reschedule(&mut self, now: Instant, connected: bool) {
        let dead = self.nodes.iter().filter(|_| connected).map(|node| node.entry.dead_at()).min();
        let dead = dead.unwrap_or(Instant::FAR);
        self.due = self.next(now).map_or(Instant::FAR, |(_, at)| at).min(dead);
    }

    /// Who is to be asked next, and when.
    fn next(&self, now: Instant) -> Option<(usize, Instant)> {
        let found = self.is_found(now);
        let hot = if found { None } else { self.interval(now) };
        let slow = if found { None } else { self.slow(now) };
        let mut rank = 0;
        let mut best: Option<(usize, Instant)> = None;
        for (i, node) in self.nodes.iter().enumerate() {
            let mut at = node.entry.ask_at();
            let is_target = node.entry.key == self.key;
            if node.entry.is_live(now) {
                if node.asked_key == Instant::ZERO && !(is_target && found) {
                    at = Instant::ZERO;
                }
                if let Some(interval) = hot.filter(|_| rank < HOT_NODES || is_target) {
                    at = at.min(node.asked_key + interval);
                }
                if let Some((_, slow_at)) = slow.filter(|(slowest, _)| *slowest == i) {
                    at = at.min(slow_at);
                }
                rank += usize::from(!is_target);
            }
            let at = at.max(node.entry.asked + PEER_GAP);
            if best.is_none_or(|(_, earliest)| at < earliest) {
                best = Some((i, at));
            }
        }
        best
    }

    /// The live node that has not been asked for the key for longest, and when its turn is. One that owes us an answer
    /// has to wait for its regular turn.
    fn slow(&self, now: Instant) -> Option<(usize, Instant)> {
        let last = self.nodes.iter().map(|node| node.asked_key).max()?;
        let candidates = self.nodes.iter().enumerate();
        let ready = |entry: &NodeEntry| entry.is_live(now) && !entry.is_silent(now) && entry.key != self.key;
        let candidates = candidates.filter(|(_, node)| ready(&node.entry));
        let (i, _) = candidates.min_by_key(|(_, node)| node.asked_key)?;
        Some((i, last + SLOW_EVERY))
    }

    /// How often the closest nodes are asked at this age; `None` when the search is no longer hot.
    fn interval(&self, now: Instant) -> Option<Duration> {
        /// Up to an age in seconds, an interval in milliseconds.
        const FRIEND: [(u64, u64); 3] = [(3, 250), (10, 1000), (60, 3000)];
        const OWN: [(u64, u64); 2] = [(3, 1000), (30, 5000)];
        let steps: &[(u64, u64)] = match self.goal {
            Goal::Friend => &FRIEND,
            Goal::Own => &OWN,
            Goal::Random => &[],
        };
        let age = now.since(self.since).as_secs();
        steps.iter().find(|(until, _)| age < *until).map(|(_, interval)| Duration::from_millis(*interval))
    }
}

//! What is remembered of a node that has answered us, and the clocks of all lists.

use crate::Endpoint;
use crate::crypto::PublicKey;
use crate::time::Instant;
use crate::wire::{NodeInfo, NodeList};
use core::time::Duration;

/// A known node is asked again this long after its last answer or our last request (`DHT.c`, PING_INTERVAL).
pub(super) const ASK_EVERY: Duration = Duration::from_secs(60);
/// A node that has been silent for longer is bad: not told to others, first to be replaced (BAD_NODE_TIMEOUT).
pub(super) const BAD_AFTER: Duration = Duration::from_secs(122);
/// A node that has been silent for longer is forgotten (KILL_NODE_TIMEOUT), if it was asked at least once since.
const REMOVE_AFTER: Duration = Duration::from_secs(182);
/// How long an answer may take (PING_TIMEOUT).
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// An answer that is late by this much lets us try the node's other addresses.
const SILENT_AFTER: Duration = Duration::from_secs(1);
/// A node that answers under another key than within this time before is one that changes its key too often.
pub(super) const RENAMED_AFTER: Duration = Duration::from_secs(10);
/// Time between two requests of ours to one node: 20 in a second at most, whatever is searched.
pub(super) const PEER_GAP: Duration = Duration::from_millis(50);

/// A node in the close list or in a search: it has answered us at least once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeEntry {
    pub(super) key: PublicKey,
    pub(super) at: Endpoint,
    /// When it last answered.
    pub(super) heard: Instant,
    /// When we last sent it a request, for whichever list.
    pub(super) asked: Instant,
}

impl NodeEntry {
    /// What static storage is filled with.
    pub(crate) const VACANT: Self =
        Self { key: PublicKey::ZERO, at: Endpoint::UNSPECIFIED, heard: Instant::ZERO, asked: Instant::ZERO };

    pub(super) const fn new(node: &NodeInfo, now: Instant) -> Self {
        Self { key: node.key, at: node.at, heard: now, asked: Instant::ZERO }
    }

    /// It answered from `at`. A LAN address does not take the place of a WAN address that works (`DHT.c`, wire-facts
    /// 2.2).
    pub(super) fn hear(&mut self, at: Endpoint, now: Instant) {
        if self.is_live(now) && !self.at.is_lan() && at.is_lan() {
            return;
        }
        self.at = at;
        self.heard = now;
    }

    pub(super) fn is_vacant(&self) -> bool {
        self.key == PublicKey::ZERO
    }

    pub(super) const fn info(&self) -> NodeInfo {
        NodeInfo { key: self.key, at: self.at }
    }

    pub(super) fn is_live(&self, now: Instant) -> bool {
        !self.is_vacant() && now < self.heard + BAD_AFTER
    }

    /// Whether an answer from `at` would change its address.
    pub(super) fn would_move(&self, at: Endpoint) -> bool {
        self.at != at && (self.at.is_lan() || !at.is_lan())
    }

    /// The last request is not answered and the answer is late.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        self.asked > self.heard && now.reached(self.asked, SILENT_AFTER)
    }

    /// It is to be forgotten: silent for long, and a recent request is unanswered. (After a suspension of the machine
    /// everybody has been silent for long.)
    pub(super) fn is_dead(&self, now: Instant) -> bool {
        self.dead_at() <= now && now < self.ask_at()
    }

    /// When it is to be forgotten if it stays silent.
    pub(super) fn dead_at(&self) -> Instant {
        if self.asked > self.heard { (self.heard + REMOVE_AFTER).max(self.asked + ANSWER_WAIT) } else { Instant::FAR }
    }

    /// When it is to be asked to see whether it lives.
    pub(super) fn ask_at(&self) -> Instant {
        self.heard.max(self.asked) + ASK_EVERY
    }

    /// When the entry needs attention; nobody is forgotten while we are not `connected`.
    pub(super) fn next_at(&self, connected: bool) -> Instant {
        if connected { self.ask_at().min(self.dead_at()) } else { self.ask_at() }
    }
}

/// Puts `node` into `list`, which holds the closest to `target` in order of distance, if it belongs there.
pub(super) fn insert_closest(list: &mut NodeList, target: &PublicKey, node: NodeInfo) {
    if list.iter().any(|known| known.key == node.key) {
        return;
    }
    if list.is_full() {
        match list.last() {
            Some(last) if node.key.is_closer(&last.key, target) => list.pop(),
            Some(_) | None => return,
        };
    }
    let place = list.iter().position(|known| node.key.is_closer(&known.key, target)).unwrap_or(list.len());
    // There is room: a full list has just lost its last node.
    let _ = list.insert(place, node);
}

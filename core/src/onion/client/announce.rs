//! Being found: the nodes near our long-term key that hold our announcement.
//!
//! A node first answers with a ping id that is good for the path it was asked over. The request that brings it back
//! over the same path is the announcement, and goes out the instant the ping id arrives. What is announced is repeated
//! while it works, and announced anew over another path as soon as its path is gone.

use super::nodes::PathNodes;
use super::paths::{PathId, Paths};
use super::pending::{Owner, Pending, Requests};
use crate::Endpoint;
use crate::crypto::PublicKey;
use crate::storage::{Mem, Table};
use crate::time::Instant;
use crate::wire::NodeInfo;
use crate::wire::onion::Stored;
use core::time::Duration;

/// Between announcements to a node that holds us (`onion_client.h`, ONION_NODE_PING_INTERVAL).
const INTERVAL: Duration = Duration::from_secs(15);
/// The same at most while a node that keeps holding us, or the path to it, is not yet stable: half its age.
const INTERVAL_SETTLING: Duration = Duration::from_secs(60);
/// The same when node and path are stable (`onion_client.c`, ANNOUNCE_INTERVAL_STABLE).
const INTERVAL_STABLE: Duration = Duration::from_secs(120);
/// From this age on a node that answers is stable (`onion_client.c`, TIME_TO_STABLE).
const STABLE: Duration = Duration::from_secs(90);
/// When nothing else reschedules a node that was asked.
const SAFETY: Duration = Duration::from_secs(10);
/// A node is dropped after this many unanswered requests in a row (`onion_client.h`, ONION_NODE_MAX_PINGS)...
const UNANSWERED_MAX: u8 = 3;
/// ...and this long a silence (ONION_NODE_TIMEOUT).
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// While nobody holds us, so many unanswered requests are repeated without a pause.
const IMPATIENT: u8 = 10;
/// We count as connected this long after a node confirmed that it holds us (ONION_OFFLINE_TIMEOUT).
const CONNECTED: Duration = Duration::from_secs(75);
/// First wait between two rounds of asking further nodes; a quarter longer each time.
const POPULATE_FIRST: Duration = Duration::from_millis(300);
/// Longest such wait while the list is not half full, and afterwards (ANNOUNCE_POPULATE_TIMEOUT).
const POPULATE_MAX: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(600)];
/// Nodes asked in one such round.
const POPULATE_NODES: usize = 5;
/// Unanswered requests in flight to one node while nobody holds us yet.
const PARALLEL: usize = 3;

/// A node that holds our announcement, or shall.
#[derive(Debug)]
pub(crate) struct SelfNode {
    stored: bool,
    unanswered: u8,
    /// How often in a row it took the ping id and did not store us.
    refused: u8,
    /// Over which it last answered, and for which the ping id is good.
    path: PathId,
    at: Endpoint,
    key: PublicKey,
    ping_id: [u8; 32],
    added: Instant,
    heard: Instant,
    sent: Instant,
    due: Instant,
}

impl SelfNode {
    /// What static storage is filled with: all zeros.
    pub(crate) const VACANT: Self = Self {
        stored: false,
        unanswered: 0,
        refused: 0,
        path: PathId::NONE,
        at: Endpoint::UNSPECIFIED,
        key: PublicKey::ZERO,
        ping_id: [0; 32],
        added: Instant::ZERO,
        heard: Instant::ZERO,
        sent: Instant::ZERO,
        due: Instant::ZERO,
    };

    const fn is_vacant(&self) -> bool {
        self.at.port() == 0
    }

    pub(super) const fn info(&self) -> NodeInfo {
        NodeInfo { key: self.key, at: self.at }
    }

    /// The ping id, and the path that it is good for.
    pub(super) const fn ping_id(&self) -> (&[u8; 32], PathId) {
        (&self.ping_id, self.path)
    }
}

/// The list of these nodes. Full: a nearer node replaces the farthest.
#[derive(Debug)]
pub(super) struct Announcement<'s> {
    mem: Mem<'s, SelfNode>,
    /// When the first node is due.
    next_due: Option<Instant>,
    populate_at: Instant,
    populate_gap: Duration,
    last_sent: Instant,
    /// When a node last confirmed that it holds us.
    confirmed: Option<Instant>,
}

impl<'s> Announcement<'s> {
    pub(super) const fn new(mem: Mem<'s, SelfNode>) -> Self {
        Self {
            mem,
            next_due: None,
            populate_at: Instant::ZERO,
            populate_gap: POPULATE_FIRST,
            last_sent: Instant::ZERO,
            confirmed: None,
        }
    }

    pub(super) fn table(&self) -> Table {
        Table { name: "onion self nodes", used: self.len(), capacity: self.mem.len() }
    }

    pub(super) fn is_connected(&self, now: Instant) -> bool {
        self.confirmed.is_some_and(|at| !now.reached(at, CONNECTED))
    }

    /// A node has become known that may hold us.
    pub(super) fn newcomer(&mut self, now: Instant) {
        if self.len() <= self.mem.len() / 2 {
            (self.populate_at, self.populate_gap) = (now, POPULATE_FIRST);
        }
    }

    /// Whether this node would improve the list.
    pub(super) fn wants(&self, me: &PublicKey, key: &PublicKey) -> bool {
        let worse = |node: &SelfNode| node.is_vacant() || key.is_closer(&node.key, me);
        self.find(key).is_none() && self.mem.iter().any(worse)
    }

    /// A node has answered.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        me: &PublicKey,
        paths: &Paths<'_>,
        asked: &Pending,
        stored: Stored,
    ) {
        let Some(node) = self.place(now, me, &asked.node()) else { return };
        (node.at, node.path, node.heard, node.unanswered) = (asked.node().at, asked.path, now, 0);
        node.stored = false;
        let wait = match stored {
            Stored::Found { .. } => INTERVAL,
            Stored::No { ping_id } | Stored::Announced { ping_id } if !asked.earned => {
                node.ping_id = ping_id;
                Duration::ZERO
            }
            Stored::No { ping_id } => {
                node.ping_id = ping_id;
                node.refused = node.refused.saturating_add(1);
                after_refusal(node.refused)
            }
            Stored::Announced { ping_id } => {
                (node.ping_id, node.refused, node.stored) = (ping_id, 0, true);
                let stable = now.reached(node.added, STABLE) && paths.is_stable(now, asked.path);
                if stable { INTERVAL_STABLE } else { (now.since(node.added) / 2).clamp(INTERVAL, INTERVAL_SETTLING) }
            }
        };
        node.due = now + wait;
        if node.stored {
            self.confirmed = Some(now);
        }
        self.find_next_due();
    }

    /// A node has not answered in time: the next try goes over another path, at once at first.
    pub(super) fn unanswered(&mut self, now: Instant, key: &PublicKey) {
        let connected = self.is_connected(now);
        let Some(place) = self.find(key) else { return };
        let node = &mut self.mem[place];
        node.unanswered = node.unanswered.saturating_add(1);
        if node.unanswered >= UNANSWERED_MAX && now.reached(node.heard, SILENCE_MAX) {
            *node = SelfNode::VACANT;
            self.populate_at = self.populate_at.min(now + POPULATE_FIRST);
        } else {
            let patient = if connected { 1 } else { IMPATIENT };
            node.due = now + Duration::from_secs(u64::from(node.unanswered.saturating_sub(patient).min(3)));
        }
        self.find_next_due();
    }

    /// Notes what is due: nodes whose path is gone, one node after 15 quiet seconds, and further nodes while the list
    /// is not full.
    pub(super) fn on_timeout(
        &mut self,
        now: Instant,
        me: &PublicKey,
        paths: &Paths<'_>,
        nodes: &PathNodes<'_>,
        requests: &mut Requests<'_>,
    ) {
        self.paths_given_up(now, paths, nodes);
        if now.reached(self.last_sent, INTERVAL) {
            let quiet = self.mem.iter_mut().filter(|node| !node.is_vacant()).min_by_key(|node| node.sent);
            if let Some(node) = quiet.filter(|node| now.reached(node.sent, INTERVAL)) {
                node.due = node.due.min(now);
            }
            self.last_sent = now;
            self.find_next_due();
        }
        if self.populate_at <= now {
            self.populate(now, me, nodes, requests);
        }
    }

    /// Where answers would come back over a path that is gone, we are announced again.
    pub(super) fn paths_given_up(&mut self, now: Instant, paths: &Paths<'_>, nodes: &PathNodes<'_>) {
        for node in self.mem.iter_mut().filter(|node| node.stored && !paths.is_alive(now, nodes, node.path)) {
            (node.stored, node.due) = (false, now);
        }
        self.find_next_due();
    }

    /// No answer will come back, and no path is left: whoever holds us, or shall, is asked at once.
    pub(super) fn way_changed(&mut self, now: Instant) {
        for node in self.mem.iter_mut().filter(|node| !node.is_vacant()) {
            (node.stored, node.due) = (false, now);
        }
        (self.populate_at, self.populate_gap) = (now, POPULATE_FIRST);
        self.find_next_due();
    }

    /// A node that is due.
    pub(super) fn due(&self, now: Instant) -> Option<usize> {
        self.next_due.filter(|at| *at <= now)?;
        self.mem.iter().position(|node| !node.is_vacant() && node.due <= now)
    }

    pub(super) fn get(&self, place: usize) -> &SelfNode {
        &self.mem[place]
    }

    /// A request to that node goes out.
    pub(super) fn sent(&mut self, now: Instant, place: usize) {
        let node = &mut self.mem[place];
        (node.sent, node.due, self.last_sent) = (now, now + SAFETY, now);
        self.find_next_due();
    }

    /// When `on_timeout` has something to do.
    pub(super) fn deadline(&self) -> Instant {
        let quiet = if self.len() > 0 { self.last_sent + INTERVAL } else { Instant::FAR };
        self.populate_at.min(quiet)
    }

    /// When a node is due.
    pub(super) const fn next_due(&self) -> Option<Instant> {
        self.next_due
    }

    /// Comes after every change of a node's time.
    fn find_next_due(&mut self) {
        self.next_due = self.mem.iter().filter(|node| !node.is_vacant()).map(|node| node.due).min();
    }

    fn find(&self, key: &PublicKey) -> Option<usize> {
        self.mem.iter().position(|node| !node.is_vacant() && node.key == *key)
    }

    fn len(&self) -> usize {
        self.mem.iter().filter(|node| !node.is_vacant()).count()
    }

    /// Asks known nodes that are not in the list, those nearest to us first. While nobody holds us, those of the list
    /// are asked as well, each over several paths.
    fn populate(&mut self, now: Instant, me: &PublicKey, nodes: &PathNodes<'_>, requests: &mut Requests<'_>) {
        let len = self.len();
        let held = self.mem.iter().any(|node| node.stored);
        let parallel = if held { 0 } else { PARALLEL };
        for _ in 0..POPULATE_NODES {
            let fit = |node: &NodeInfo| {
                (self.wants(me, &node.key) || !held && self.find(&node.key).is_some())
                    && requests.may_repeat(now, Owner::Ourselves, &node.key, POPULATE_FIRST, parallel)
            };
            let Some(node) = nodes.closest(me, fit) else { break };
            if !requests.want(now, Owner::Ourselves, node) {
                break;
            }
        }
        let gap_max = POPULATE_MAX[usize::from(len > self.mem.len() / 2)];
        self.populate_at = if len == self.mem.len() { Instant::FAR } else { now + self.populate_gap };
        self.populate_gap = (self.populate_gap * 5 / 4).min(gap_max);
    }

    /// The node's place; a new one if it is near enough.
    fn place(&mut self, now: Instant, me: &PublicKey, node: &NodeInfo) -> Option<&mut SelfNode> {
        if let Some(place) = self.find(&node.key) {
            return self.mem.get_mut(place);
        }
        let farthest = self.mem.iter_mut().max_by_key(|other| (other.is_vacant(), other.key.distance(me)))?;
        if !farthest.is_vacant() && !node.key.is_closer(&farthest.key, me) {
            return None;
        }
        *farthest = SelfNode { key: node.key, at: node.at, added: now, ..SelfNode::VACANT };
        Some(farthest)
    }
}

/// How long we wait before we try again at a node that did not store us: its table may be full, or its ping ids
/// changed.
const fn after_refusal(refused: u8) -> Duration {
    Duration::from_secs(match refused {
        0 | 1 => 0,
        2..=5 => 3,
        6..=12 => 15,
        13.. => 60,
    })
}

//! Finding a friend: the nodes near the friend's long-term key, asked in rounds until one holds the friend's
//! announcement.
//!
//! Rounds are frequent while the search is young and get rarer with its age. Finding the friend does not end the
//! search: the announcement may be a leftover of the friend's last run, with a data key that nobody holds any more.
//! What ends it is the friend coming online. Each node tells the data key that it knows; the last two are kept, and a
//! third one makes the search young again.

use super::nodes::PathNodes;
use super::pace::Pace;
use super::paths::PathId;
use super::pending::{Owner, Pending, Requests};
use crate::Endpoint;
use crate::crypto::{PublicKey, SecretKey};
use crate::cx::KeyPair;
use crate::storage::Mem;
use crate::time::Instant;
use crate::wire::NodeInfo;
use core::time::Duration;
use rand_core::CryptoRng;

/// Nodes kept per friend (`onion_client.h`, MAX_ONION_CLIENTS).
pub(super) const NODES: usize = 8;
/// Nodes asked that are not in the list, per round.
const CANDIDATES: usize = 4;
/// Requests in flight to one node for one friend.
const PARALLEL: usize = 2;
/// A node is dropped after this many unanswered requests in a row (ONION_NODE_MAX_PINGS).
const UNANSWERED_MAX: u8 = 3;
/// A search that became young for a new data key does so again after this time at the earliest.
const REVIVE: Duration = Duration::from_secs(60);

/// Young searches: up to this age, this long between rounds.
const YOUNG: [(Duration, Duration); 3] = [
    (Duration::from_secs(5), Duration::from_millis(300)),
    (Duration::from_secs(15), Duration::from_secs(1)),
    (Duration::from_secs(60), Duration::from_secs(3)),
];
/// Older ones wait a quarter of their age, at most this long.
const INTERVAL_MAX: Duration = Duration::from_secs(900);

/// A node near a friend's key.
#[derive(Debug)]
pub(super) struct FriendNode {
    unanswered: u8,
    /// Which of the friend's data keys it told: 0 none, 1 + the index otherwise.
    pub(super) told: u8,
    /// Over which it last answered.
    pub(super) path: PathId,
    pub(super) at: Endpoint,
    key: PublicKey,
}

impl FriendNode {
    const VACANT: Self =
        Self { unanswered: 0, told: 0, path: PathId::NONE, at: Endpoint::UNSPECIFIED, key: PublicKey::ZERO };

    const fn is_vacant(&self) -> bool {
        self.at.port() == 0
    }

    pub(super) const fn info(&self) -> NodeInfo {
        NodeInfo { key: self.key, at: self.at }
    }
}

/// A friend who is searched, and what we want to tell them. Sets of nodes are bit masks over `nodes`.
#[derive(Debug)]
pub(crate) struct OnionFriend {
    pub(super) online: bool,
    /// Which data key came last.
    newest: u8,
    /// Nodes to be asked in this round.
    pub(super) ask: u8,
    /// What goes to the friend, and through which nodes.
    pub(super) mail: super::dhtkey::Mail,
    /// Since when we search; [`Instant::ZERO`] before the first request.
    since: Instant,
    pub(super) round_at: Instant,
    revived: Instant,
    pub(super) key: PublicKey,
    /// The pair that we search with: nodes cannot tell which searches are ours.
    pub(super) public: PublicKey,
    pub(super) secret: SecretKey,
    data_keys: [PublicKey; 2],
    pub(super) nodes: [FriendNode; NODES],
}

impl OnionFriend {
    /// What static storage is filled with: all zeros.
    pub(crate) const VACANT: Self = Self {
        online: false,
        newest: 0,
        ask: 0,
        mail: super::dhtkey::Mail::NONE,
        since: Instant::ZERO,
        round_at: Instant::ZERO,
        revived: Instant::ZERO,
        key: PublicKey::ZERO,
        public: PublicKey::ZERO,
        secret: SecretKey::from_bytes([0; 32]),
        data_keys: [PublicKey::ZERO; 2],
        nodes: [const { FriendNode::VACANT }; NODES],
    };

    pub(super) fn new(now: Instant, key: PublicKey) -> Self {
        Self { key, round_at: now, ..Self::VACANT }
    }

    pub(super) fn set_pair(&mut self, pair: KeyPair) {
        (self.public, self.secret) = (pair.public, pair.secret);
    }

    pub(super) fn has_pair(&self) -> bool {
        self.public != PublicKey::ZERO
    }

    pub(super) fn is_vacant(&self) -> bool {
        self.key == PublicKey::ZERO
    }

    pub(super) fn is_searched(&self) -> bool {
        !self.is_vacant() && !self.online
    }

    /// Makes the search young again; the next round is due at once.
    fn restart(&mut self, now: Instant) {
        (self.since, self.round_at) = (Instant::ZERO, now);
    }

    /// The same after the friend, or we, may have been away: finding the friend again is news.
    pub(super) fn start_over(&mut self, now: Instant) {
        self.restart(now);
        self.mail.new_key();
        self.nodes.iter_mut().for_each(|node| node.told = 0);
    }

    /// The data key that this node told.
    pub(super) fn data_key(&self, node: usize) -> Option<&PublicKey> {
        let told = usize::from(self.nodes[node].told);
        self.data_keys.get(told.checked_sub(1)?)
    }

    /// Nodes that hold the friend.
    pub(super) fn holders(&self) -> u8 {
        self.mask(|node| node.told != 0)
    }

    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.nodes.iter().filter(|node| !node.is_vacant()).count()
    }

    /// How long the search has gone on.
    pub(super) fn age(&self, now: Instant) -> Duration {
        if self.since == Instant::ZERO { Duration::ZERO } else { now.since(self.since) }
    }

    /// Whether this node would improve the list.
    pub(super) fn wants(&self, key: &PublicKey) -> bool {
        let known = |node: &FriendNode| !node.is_vacant() && node.key == *key;
        let worse = |node: &FriendNode| node.is_vacant() || key.is_closer(&node.key, &self.key);
        !self.nodes.iter().any(known) && self.nodes.iter().any(worse)
    }

    /// Begins a round: all nodes of the list are to be asked, and further known nodes while it is not full.
    pub(super) fn begin_round(
        &mut self,
        now: Instant,
        owner: Owner,
        nodes: &PathNodes<'_>,
        requests: &mut Requests<'_>,
        pace: &mut Pace,
        rng: &mut impl CryptoRng,
    ) {
        self.ask = self.mask(|node| !node.is_vacant() && requests.count_open(owner, &node.key) < PARALLEL);
        let parallel = if self.len() == 0 { PARALLEL } else { 0 };
        let mut wanted = false;
        for _ in 0..CANDIDATES {
            let gap = YOUNG[0].1;
            let fit =
                |node: &NodeInfo| self.wants(&node.key) && requests.may_repeat(now, owner, &node.key, gap, parallel);
            let Some(node) = nodes.closest(&self.key, fit) else { break };
            if !requests.has_room(owner) || !pace.take(now) {
                break;
            }
            wanted |= requests.want(now, owner, node);
        }
        if self.since == Instant::ZERO && (self.ask != 0 || wanted) {
            self.since = now;
        }
        self.round_at = now + self.interval(now, rng);
    }

    /// A node has answered. True when it holds the friend and that, or its data key, is new; `data_key` is `None` when
    /// it does not hold the friend.
    pub(super) fn answered(&mut self, now: Instant, asked: &Pending, data_key: Option<&PublicKey>) -> Option<usize> {
        let told = data_key.map_or(0, |key| self.learn(now, key));
        let place = self.place(&asked.node())?;
        let node = &mut self.nodes[place];
        let news = told != 0 && told != node.told;
        (node.at, node.path, node.unanswered, node.told) = (asked.node().at, asked.path, 0, told);
        news.then_some(place)
    }

    /// A node has not answered in time.
    pub(super) fn unanswered(&mut self, key: &PublicKey, network_works: bool) {
        let Some(place) = self.nodes.iter().position(|node| !node.is_vacant() && node.key == *key) else { return };
        let node = &mut self.nodes[place];
        node.unanswered = node.unanswered.saturating_add(1);
        if node.unanswered >= UNANSWERED_MAX && network_works {
            self.vacate(place);
        }
    }

    fn interval(&self, now: Instant, rng: &mut impl CryptoRng) -> Duration {
        let age = self.age(now);
        if let Some((_, interval)) = YOUNG.iter().find(|(until, _)| age < *until) {
            return *interval;
        }
        let interval = (age / 4).min(INTERVAL_MAX);
        // Spread by an eighth, so that searches which began together do not stay together.
        interval - interval / 8 * (rng.next_u32() % 256) / 256
    }

    /// Remembers a data key; returns its number, from 1.
    fn learn(&mut self, now: Instant, key: &PublicKey) -> u8 {
        if *key == PublicKey::ZERO {
            return 0;
        }
        if let Some(known) = self.data_keys.iter().position(|other| other == key) {
            return known as u8 + 1;
        }
        let place = if self.data_keys[0] == PublicKey::ZERO { 0 } else { 1 - self.newest };
        let first = self.data_keys[usize::from(place)] == PublicKey::ZERO && place == 0;
        self.data_keys[usize::from(place)] = *key;
        self.newest = place;
        for node in self.nodes.iter_mut().filter(|node| node.told == place + 1) {
            node.told = 0;
        }
        if !first && now.reached(self.revived, REVIVE) {
            self.revived = now;
            self.restart(now);
        }
        self.mail.new_key();
        place + 1
    }

    /// The node's place; a new one if it is near enough.
    fn place(&mut self, node: &NodeInfo) -> Option<usize> {
        let known = self.nodes.iter().position(|other| !other.is_vacant() && other.key == node.key);
        if known.is_some() {
            return known;
        }
        let rank = |other: &FriendNode| (other.is_vacant(), other.key.distance(&self.key));
        let farthest = (0..NODES).max_by_key(|place| rank(&self.nodes[*place]))?;
        if !self.nodes[farthest].is_vacant() && !node.key.is_closer(&self.nodes[farthest].key, &self.key) {
            return None;
        }
        self.vacate(farthest);
        (self.nodes[farthest].key, self.nodes[farthest].at) = (node.key, node.at);
        Some(farthest)
    }

    fn vacate(&mut self, place: usize) {
        self.nodes[place] = FriendNode::VACANT;
        self.ask &= !bit(place);
        self.mail.forget(place);
    }

    fn mask(&self, is_in: impl Fn(&FriendNode) -> bool) -> u8 {
        self.nodes.iter().enumerate().filter(|(_, node)| is_in(node)).fold(0, |mask, (place, _)| mask | bit(place))
    }
}

/// The mask with that place alone.
pub(super) const fn bit(place: usize) -> u8 {
    1 << place
}

/// The first place of a mask.
pub(super) const fn first(mask: u8) -> Option<usize> {
    if mask == 0 { None } else { Some(mask.trailing_zeros() as usize) }
}

/// All friends; the index is the friend's number everywhere.
pub(super) type Friends<'s> = Mem<'s, OnionFriend>;

//! What goes to a friend through the nodes that hold the friend's announcement: friend requests, and our DHT key.
//!
//! Both go out the instant such a node is found, and again through each further one. Nobody acknowledges them, so our
//! DHT key is repeated after 1, 3, 7 and 15 s and then at [`INTERVAL`] until the friend is online; friend requests are
//! repeated by whoever wants them.

use super::OnionSend;
use super::search::bit;
use crate::time::Instant;
use core::time::Duration;

/// First waits between two times that our DHT key goes out.
const WAITS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];
/// Later ones (`onion_client.h`, ONION_DHTPK_SEND_INTERVAL).
const INTERVAL: Duration = Duration::from_secs(30);
/// A friend who does not answer for long is told less and less often: at an eighth of the search's age, at most this.
const INTERVAL_MAX: Duration = Duration::from_secs(300);

/// The mail for one friend. Sets of nodes are bit masks over the friend's nodes.
#[derive(Debug)]
pub(super) struct Mail {
    /// Nodes through which our DHT key is to go.
    dht_key: u8,
    /// Nodes through which the friend request is to go, and through which it has gone.
    request: u8,
    requested: u8,
    /// How often our DHT key has been repeated.
    step: u8,
    /// A friend request is wanted.
    wanted: bool,
    /// It has not gone out through enough nodes yet.
    waits: bool,
    /// It has, and nobody has been told so.
    done: bool,
    /// The friend's DHT key, as far as needed to notice another: the first bytes, zeros for none.
    dht_tag: [u8; 4],
    /// When our DHT key goes out again; [`Instant::ZERO`] for never.
    again_at: Instant,
}

impl Mail {
    pub(super) const NONE: Self = Self {
        dht_key: 0,
        request: 0,
        requested: 0,
        step: 0,
        wanted: false,
        waits: false,
        done: false,
        dht_tag: [0; 4],
        again_at: Instant::ZERO,
    };

    /// That node holds the friend, which is news.
    pub(super) fn found(&mut self, now: Instant, node: usize) {
        self.dht_key |= bit(node);
        if self.again_at == Instant::ZERO {
            self.again_at = now + WAITS[0];
        }
        self.requested &= !bit(node);
        if self.wanted {
            self.request |= bit(node);
        }
    }

    /// The friend has another data key than before: a new run of theirs knows nothing of us.
    pub(super) fn new_key(&mut self) {
        (self.step, self.again_at) = (0, Instant::ZERO);
    }

    /// A friend request is wanted, through these nodes as a start.
    pub(super) fn want_request(&mut self, holders: u8) {
        (self.wanted, self.waits, self.done) = (true, true, false);
        (self.request, self.requested) = (holders, 0);
    }

    /// True once after the request went out through enough nodes.
    pub(super) fn take_done(&mut self) -> bool {
        core::mem::take(&mut self.done)
    }

    /// The friend's DHT key is known now, or another than before. True when that is news.
    pub(super) fn friend_key(&mut self, tag: [u8; 4]) -> bool {
        if tag != [0; 4] {
            (self.wanted, self.request) = (false, 0);
        }
        core::mem::replace(&mut self.dht_tag, tag) != tag && tag != [0; 4]
    }

    /// Nothing goes to a friend who is online.
    pub(super) fn stop(&mut self) {
        *self = Self { done: self.done, dht_tag: self.dht_tag, ..Self::NONE };
    }

    /// Our DHT key is due again, through all nodes that hold the friend.
    pub(super) fn on_timeout(&mut self, now: Instant, holders: u8, age: Duration) {
        if self.again_at == Instant::ZERO || now < self.again_at {
            return;
        }
        self.dht_key |= holders;
        self.step = self.step.saturating_add(1);
        let wait = WAITS.get(usize::from(self.step)).copied();
        let wait = wait.unwrap_or_else(|| (age / 8).clamp(INTERVAL, INTERVAL_MAX));
        self.again_at = if holders == 0 { Instant::ZERO } else { now + wait };
    }

    /// What is to go out next, and through which node.
    pub(super) fn next(&self) -> Option<(usize, OnionSend)> {
        let request = super::search::first(self.request).map(|node| (node, OnionSend::FriendRequest));
        request.or_else(|| super::search::first(self.dht_key).map(|node| (node, OnionSend::DhtKey)))
    }

    /// It went out, or could not. `nodes` is how many nodes of the friend are known.
    pub(super) fn sent(&mut self, node: usize, what: OnionSend, went: bool, nodes: usize) {
        match what {
            OnionSend::DhtKey => self.dht_key &= !bit(node),
            OnionSend::FriendRequest => {
                self.request &= !bit(node);
                if went {
                    self.requested |= bit(node);
                    // `onion_client.c`, send_onion_data: a quarter of the nodes.
                    let enough = self.requested.count_ones() as usize > nodes.saturating_sub(1) / 4;
                    if enough && self.waits {
                        (self.waits, self.done) = (false, true);
                    }
                }
            }
        }
    }

    /// When `on_timeout` has something to do.
    pub(super) fn deadline(&self) -> Instant {
        if self.again_at == Instant::ZERO { Instant::FAR } else { self.again_at }
    }

    /// That node is gone.
    pub(super) fn forget(&mut self, node: usize) {
        self.dht_key &= !bit(node);
        self.request &= !bit(node);
        self.requested &= !bit(node);
    }
}

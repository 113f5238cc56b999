//! The onion client: how we are found by friends, and find them, without telling anybody who talks to whom.
//!
//! We announce our long-term key at the nodes nearest to it ([`announce`]) and search each friend's key at the nodes
//! nearest to that ([`search`]). Both are the same request, sent through a path of three relays ([`paths`], drawn from
//! [`nodes`]), and both converge: an answer names nearer nodes, which are asked at once. Outstanding requests stand in
//! one table ([`pending`]). A node that holds a friend passes data on to them: friend requests and our DHT key
//! ([`dhtkey`]). With the DHT key the friend finds our address in the DHT, and the onion's work is done.
//!
//! Everything reacts to answers; timers only repeat. Rates are bounded by [`pace`] and get low with time.

mod announce;
mod dhtkey;
mod nodes;
mod pace;
mod paths;
mod pending;
mod receive;
mod search;
mod send;
#[cfg(test)]
mod tests;

pub(crate) use announce::SelfNode;
pub(crate) use nodes::PathNode;
pub(crate) use paths::Path;
pub(crate) use pending::Pending;
pub(crate) use search::OnionFriend;

use crate::Env;
use crate::crypto::PublicKey;
use crate::cx::{Cx, KeyPair};
use crate::storage::{Blocks, Mem, Table};
use crate::time::{Deadline, Instant, Why};
use crate::wire::NodeInfo;
use announce::Announcement;
use core::ops::Range;
use core::time::Duration;
use nodes::PathNodes;
use pace::{Pace, RoundTrip};
use paths::Paths;
use pending::{Owner, Requests};
use search::Friends;

/// Requests for friends, and to nodes that we only heard of: one per this time in the long run...
const SEARCH_INTERVAL: Duration = Duration::from_millis(16);
/// ...and so many at once.
const SEARCH_BURST: u32 = 64;
/// After no path could be built although relays are known.
const PATHLESS: Duration = Duration::from_secs(1);
/// An answer this recent shows that the network works.
const NETWORK_WORKS: Duration = Duration::from_secs(10);

/// What the onion client tells the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OnionNote {
    /// Somebody has sent us data through the onion.
    Data {
        /// Who, by long-term key: proven.
        from: PublicKey,
        /// The plaintext in `frame.buf`; its first byte is 0x20 (friend request) or 0x9c (DHT key announce).
        data: Range<usize>,
    },
}

/// What is to be sent to a friend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnionSend {
    /// 0x20, nospam, message.
    FriendRequest,
    /// 0x9c, unix seconds, our DHT key, up to four nodes.
    DhtKey,
}

/// How our onion packets leave us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnionWay {
    /// Not at all: nothing is tried.
    None,
    /// As datagrams, to the first of three relays.
    Udp,
    /// To a TCP relay, which is the first of the three.
    Relays,
}

/// Writes the plaintext for a friend (by index) to the slice of 948 bytes, first byte included, and returns its length;
/// 0 when there is nothing to be sent after all.
pub(crate) type Content<'c> = dyn FnMut(&Blocks<'_>, usize, OnionSend, &mut [u8]) -> usize + 'c;

/// The memory of an [`OnionClient`].
#[derive(Debug)]
pub(crate) struct OnionTables<'s> {
    /// Relays to draw paths from; 32 in toxcore.
    pub(crate) path_nodes: Mem<'s, PathNode>,
    /// Paths, an even number; 12 in toxcore.
    pub(crate) paths: Mem<'s, Path>,
    /// As many as there are friends.
    pub(crate) friends: Mem<'s, OnionFriend>,
    /// Nodes that hold us; 12 in toxcore.
    pub(crate) self_nodes: Mem<'s, SelfNode>,
    /// Requests in flight; 64 serve ten friends well.
    pub(crate) pending: Mem<'s, Pending>,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct OnionClient<'s> {
    way: OnionWay,
    nodes: PathNodes<'s>,
    paths: Paths<'s>,
    friends: Friends<'s>,
    announcement: Announcement<'s>,
    requests: Requests<'s>,
    trip: RoundTrip,
    pace: Pace,
    /// When the last answer came.
    heard: Instant,
    /// No path could be built: nothing is tried before.
    pathless_until: Instant,
    /// Lower bounds of the friends' timers.
    round_wake: Instant,
    mail_wake: Instant,
    /// Some friend may have something to be sent.
    mail_due: bool,
    ask_due: bool,
    /// The friend that was served last.
    turn: usize,
}

impl<'s> OnionClient<'s> {
    pub(crate) fn new(tables: OnionTables<'s>) -> Self {
        Self {
            way: OnionWay::Udp,
            nodes: PathNodes::new(tables.path_nodes),
            paths: Paths::new(tables.paths),
            friends: tables.friends,
            announcement: Announcement::new(tables.self_nodes),
            requests: Requests::new(tables.pending),
            trip: RoundTrip::UNKNOWN,
            pace: Pace::new(SEARCH_INTERVAL, SEARCH_BURST),
            heard: Instant::ZERO,
            pathless_until: Instant::ZERO,
            round_wake: Instant::FAR,
            mail_wake: Instant::FAR,
            mail_due: false,
            ask_due: false,
            turn: 0,
        }
    }

    pub(crate) const fn way(&self) -> OnionWay {
        self.way
    }

    /// Packets leave us another way from now on: all paths begin anew.
    pub(crate) fn set_way(&mut self, now: Instant, way: OnionWay) {
        if core::mem::replace(&mut self.way, way) == way {
            return;
        }
        self.paths.begin_anew(way == OnionWay::Relays);
        self.requests.clear();
        self.nodes.forgive();
        self.pathless_until = Instant::ZERO;
        self.announcement.way_changed(now);
        for friend in self.friends.iter_mut().filter(|friend| friend.is_searched()) {
            friend.round_at = now;
        }
        self.round_wake = now;
    }

    /// A DHT node that answered us: it may serve in paths and hold announcements.
    pub(crate) fn add_node(&mut self, now: Instant, node: NodeInfo) {
        if self.nodes.add(now, node) {
            self.announcement.newcomer(now);
        }
    }

    /// The DHT node with this key is known to have left: paths through it are given up, and we announce ourselves anew
    /// where answers would have come through them. If it is there after all, the DHT hears it and it is added again.
    pub(crate) fn node_left(&mut self, now: Instant, key: &PublicKey) {
        if let Some(at) = self.nodes.forget(key) {
            self.paths.give_up(&at);
            self.announcement.paths_given_up(now, &self.paths, &self.nodes);
        }
    }

    /// We may be somewhere else, where answers to what we asked do not reach us: everything is asked anew, and nobody
    /// is blamed.
    pub(crate) fn start_over(&mut self, now: Instant) {
        self.requests.clear();
        self.announcement.way_changed(now);
        self.friends.iter_mut().filter(|friend| friend.is_searched()).for_each(|friend| friend.start_over(now));
        (self.round_wake, self.pathless_until) = (now, Instant::ZERO);
    }

    /// A configured node, used until a live one is known.
    pub(crate) fn add_bootstrap(&mut self, node: NodeInfo) {
        self.nodes.add_bootstrap(node);
    }

    /// Starts searching a friend. An index beyond the table is ignored.
    pub(crate) fn add_friend(&mut self, now: Instant, index: usize, key: PublicKey) {
        self.remove_friend(index);
        if let Some(friend) = self.friends.get_mut(index).filter(|_| index < usize::from(u16::MAX)) {
            *friend = OnionFriend::new(now, key);
            self.round_wake = self.round_wake.min(now);
        }
    }

    /// Stops searching a friend; the index may be reused.
    pub(crate) fn remove_friend(&mut self, index: usize) {
        if let Some(friend) = self.friends.get_mut(index) {
            *friend = OnionFriend::VACANT;
            self.requests.forget(owner(index));
        }
    }

    /// A friend who is online is not searched; one who has gone offline is searched like a new one.
    pub(crate) fn set_friend_online(&mut self, now: Instant, index: usize, online: bool) {
        let Some(friend) = self.friends.get_mut(index).filter(|friend| !friend.is_vacant()) else { return };
        if friend.online == online {
            return;
        }
        friend.online = online;
        friend.ask = 0;
        friend.mail.stop();
        friend.start_over(now);
        self.round_wake = self.round_wake.min(now);
    }

    /// What we know of the friend's DHT key. A new one shows that the friend is there: the search becomes young again.
    pub(crate) fn set_friend_dht_key(&mut self, index: usize, key: Option<PublicKey>) {
        let Some(friend) = self.friends.get_mut(index).filter(|friend| !friend.is_vacant()) else { return };
        let tag = key.map_or([0; 4], |key| [key.0[0], key.0[1], key.0[2], key.0[3]]);
        if friend.mail.friend_key(tag) && friend.is_searched() {
            friend.start_over(Instant::ZERO);
            self.round_wake = Instant::ZERO;
        }
    }

    /// A friend request is to go out, through every node that holds the friend, until the friend answers. Called again,
    /// it goes out again.
    pub(crate) fn send_request(&mut self, now: Instant, index: usize) {
        let Some(friend) = self.friends.get_mut(index).filter(|friend| friend.is_searched()) else { return };
        friend.mail.want_request(friend.holders());
        self.mail_due = true;
        self.mail_wake = self.mail_wake.min(now);
    }

    /// True once after the request went out through more than a quarter of the friend's known nodes.
    pub(crate) fn take_request_sent(&mut self, index: usize) -> bool {
        self.friends.get_mut(index).is_some_and(|friend| friend.mail.take_done())
    }

    /// Whether a node has confirmed within 75 s, through a path, that it holds our announcement.
    pub(crate) fn is_connected(&self, now: Instant) -> bool {
        self.announcement.is_connected(now)
    }

    /// Known relays, live ones first.
    pub(crate) fn path_nodes(&self) -> impl Iterator<Item = NodeInfo> + Clone {
        self.nodes.iter()
    }

    /// Its tables. No friend has an index of `extent` or more.
    pub(crate) fn tables(&self, extent: usize) -> [Table; 5] {
        let friends = self.friends.iter().take(extent).filter(|friend| !friend.is_vacant());
        [
            self.nodes.table(),
            self.paths.table(),
            Table { name: "onion friends", used: friends.count(), capacity: self.friends.len() },
            self.announcement.table(),
            self.requests.table(),
        ]
    }

    /// Counts what was not answered, and notes what is due.
    pub(crate) fn on_timeout<E: Env>(&mut self, cx: &mut Cx<'_, 's, E>) {
        self.expire(cx.now);
        if !self.is_open(cx.now) {
            return;
        }
        let me = &cx.me.long_term.public;
        self.announcement.on_timeout(cx.now, me, &self.paths, &self.nodes, &mut self.requests);
        if self.round_wake <= cx.now {
            self.begin_rounds(cx);
        }
        if self.mail_wake <= cx.now {
            self.repeat_mail(cx.now);
        }
    }

    /// The earliest time at which `on_timeout` has something to do, or `encode_next`, if it `can_send`.
    pub(crate) fn deadline(&self, can_send: bool) -> Option<Deadline> {
        let late = self.requests.deadline(self.trip.patience()).map(|at| Deadline { at, why: Why::OnionTimeout });
        let Some(open) = self.opens_at() else { return late };
        let room = |owner| self.requests.has_room(owner);
        let after = |at: Instant, why| (at != Instant::FAR).then(|| Deadline { at: at.max(open), why });
        let announce = (can_send && room(Owner::Ourselves)).then(|| self.announcement.next_due()).flatten();
        let ask = can_send && self.ask_due && room(Owner::Friend(0));
        let (mail, wanted) = (can_send && self.mail_due, can_send && self.requests.has_wanted());
        [
            after(self.announcement.deadline(), Why::OnionAnnounce),
            after(announce.unwrap_or(Instant::FAR), Why::OnionAnnounce),
            after(self.round_wake, Why::OnionSearch),
            after(self.mail_wake, Why::OnionDhtKey),
            after(if mail { open } else { Instant::FAR }, Why::OnionDhtKey),
            after(if ask { self.pace.ready_at() } else { Instant::FAR }, Why::OnionSearch),
            after(if wanted { open } else { Instant::FAR }, Why::OnionPath),
        ]
        .into_iter()
        .fold(late, Deadline::earliest)
    }

    /// When paths can be had; `None` while no relay is known.
    fn opens_at(&self) -> Option<Instant> {
        let ready = if self.way == OnionWay::None { None } else { self.nodes.ready_at() };
        ready.map(|at| at.max(self.pathless_until))
    }

    fn is_open(&self, now: Instant) -> bool {
        self.opens_at().is_some_and(|at| at <= now)
    }

    /// Requests that have waited too long are held against their path and their node.
    fn expire(&mut self, now: Instant) {
        let works = !now.reached(self.heard, NETWORK_WORKS);
        while let Some(lost) = self.requests.expire(now, self.trip.patience()) {
            self.paths.failed(&mut self.nodes, lost.path);
            self.nodes.blame(&[lost.node.at]);
            match lost.owner {
                Owner::Ourselves => self.announcement.unanswered(now, &lost.node.key),
                Owner::Friend(index) => {
                    if let Some(friend) = self.friends.get_mut(usize::from(index)) {
                        friend.unanswered(&lost.node.key, works);
                    }
                }
            }
        }
    }

    fn begin_rounds<E: Env>(&mut self, cx: &mut Cx<'_, 's, E>) {
        let now = cx.now;
        let mut wake = Instant::FAR;
        for (index, friend) in self.friends.iter_mut().enumerate().filter(|(_, friend)| friend.is_searched()) {
            if friend.round_at <= now {
                if !friend.has_pair() {
                    friend.set_pair(KeyPair::generate(cx.suite, cx.rng));
                }
                let (nodes, requests) = (&self.nodes, &mut self.requests);
                friend.begin_round(now, owner(index), nodes, requests, &mut self.pace, cx.rng);
                self.ask_due |= friend.ask != 0;
            }
            wake = wake.min(friend.round_at);
        }
        self.round_wake = wake;
    }

    fn repeat_mail(&mut self, now: Instant) {
        let mut wake = Instant::FAR;
        for friend in self.friends.iter_mut().filter(|friend| friend.is_searched()) {
            let (holders, age) = (friend.holders(), friend.age(now));
            friend.mail.on_timeout(now, holders, age);
            self.mail_due |= friend.mail.next().is_some();
            wake = wake.min(friend.mail.deadline());
        }
        self.mail_wake = wake;
    }
}

/// The owner of requests for the friend at `index`.
fn owner(index: usize) -> Owner {
    Owner::Friend(u16::try_from(index).unwrap_or(u16::MAX - 1))
}

//! Friends: who they are, how far we are on the way to them, and what still has to be told.
//!
//! A friend is known by a long-term key. To meet, both sides announce themselves in the onion, find each other's
//! announcement, tell each other their DHT key through it, look that key up in the DHT, and open a session to the
//! address found. This module holds the table and its rules; `node` carries the news between it and the machines that
//! do those steps. While a friend has not answered our request, the request goes out again: often in the first minutes,
//! then ever more slowly.

mod requests;
#[cfg(test)]
mod tests;

pub(crate) use requests::{BLOCKED_KEY_VACANT, IncomingRequest};
pub(crate) use requests::{Requests, Verdict};

use crate::crypto::{Nospam, PublicKey, ToxId};
use crate::dht::SearchId;
use crate::event::{Connection, UserStatus};
use crate::relay::Reach;
use crate::session::SessionId;
use crate::storage::{BlockId, Blocks, Chain, Id, Slots};
use crate::time::{Deadline, Instant, Why};
use core::time::Duration;

/// Longest text of a friend request in bytes (`tox.h`).
pub(crate) const REQUEST_LEN_MAX: usize = 921;

/// An alive packet goes out this often (`friend_connection.h`, FRIEND_PING_INTERVAL).
const ALIVE_EVERY: Duration = Duration::from_secs(8);
/// It goes out so much early when another friend's is due: one wake-up serves many.
const ALIVE_EARLY: Duration = Duration::from_secs(2);
/// Our DHT key is told through the DHT this often while a friend is offline (`onion_client.h`).
const DHT_ANNOUNCE_EVERY: Duration = Duration::from_secs(20);
/// The same after we have moved.
const DHT_ANNOUNCE_SOON: Duration = Duration::from_millis(400);
/// Through so many nodes near the friend's DHT key.
pub(crate) const DHT_ANNOUNCE_ROUTES: u8 = 2;
/// A session that could not be opened is tried again after this time while the friend's DHT node answers.
const REOPEN_AFTER: Duration = Duration::from_secs(3);
/// A friend who is online is told our relays this often (`friend_connection.h`, SHARE_RELAYS_INTERVAL).
const SHARE_EVERY: Duration = Duration::from_secs(120);
/// A DHT key is forgotten this long after the friend last told it or was online, if no node answers under it
/// (`friend_connection.h`, FRIEND_DHT_TIMEOUT).
const DHT_KEY_KEPT: Duration = Duration::from_secs(122);
/// A friend request goes out again after 5 s, some times at that pace, then twice as late each time.
const REQUEST_FIRST: Duration = Duration::from_secs(5);
const REQUEST_QUICK_TRIES: u8 = 12;
const REQUEST_SLOWEST: Duration = Duration::from_secs(1800);

/// Handle of a friend. Its index is the friend number that user interfaces show.
pub type FriendId = Id<Friend>;

/// Why a friend cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddFriendError {
    /// A request needs words.
    NoMessage,
    /// The words are longer than 921 bytes.
    TooLong,
    /// It is our own Tox ID.
    OwnKey,
    /// A friend already, or a request is on its way.
    AlreadyFriend,
    /// A request was on its way; it goes on with the new nospam.
    NewNospam,
    /// The key can belong to nobody.
    BadKey,
    /// The friend table or the block pool is full.
    Full,
}

impl core::fmt::Display for AddFriendError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NoMessage => "a friend request needs a message",
            Self::TooLong => "the message of a friend request has at most 921 bytes",
            Self::OwnKey => "that is your own Tox ID",
            Self::AlreadyFriend => "already a friend, or a request was already sent",
            Self::NewNospam => "a request was already sent; it goes on with the new nospam",
            Self::BadKey => "the public key is not valid",
            Self::Full => "no room for another friend",
        })
    }
}

impl core::error::Error for AddFriendError {}

/// What a friend has still to be told, as flags.
pub(crate) mod tell {
    pub(crate) const ONLINE: u8 = 1;
    pub(crate) const NAME: u8 = 2;
    pub(crate) const STATUS_MESSAGE: u8 = 4;
    pub(crate) const STATUS: u8 = 8;
    pub(crate) const TYPING: u8 = 16;
    pub(crate) const ALIVE: u8 = 32;
    pub(crate) const RELAYS: u8 = 64;
    pub(crate) const PRESENCE: u8 = NAME | STATUS_MESSAGE | STATUS | TYPING;
}

/// An entry of the friend table.
#[derive(Debug)]
pub struct Friend {
    pub(crate) key: PublicKey,
    pub(crate) nospam: Nospam,
    /// The words of our request while it is unanswered.
    pub(crate) request: Option<BlockId>,
    request_tries: u8,
    request_at: Instant,

    /// The DHT key that the friend told us last; zero when unknown.
    pub(crate) dht_key: PublicKey,
    /// The highest `no_replay` number seen in an announcement since the last session ended.
    no_replay: u64,
    /// The highest of all.
    no_replay_ever: u64,
    pub(crate) search: Option<SearchId>,
    pub(crate) session: Option<SessionId>,
    /// When the friend last told the DHT key, or was online.
    told_at: Instant,
    reopen_at: Instant,
    /// The friend's DHT node answered us not long ago.
    near: bool,
    /// How relays reach the friend, and when a session may be opened through them.
    reach: Reach,
    relay_at: Instant,
    /// When the friend is told our relays again.
    share_at: Instant,
    dht_announce_at: Instant,
    dht_announce_routes: u8,

    /// The friend's client has said ONLINE in this session.
    pub(crate) online: bool,
    /// What the application was last told about it.
    pub(crate) shown: Connection,
    pub(crate) tell: u8,
    alive_at: Instant,
    pub(crate) typing_to_friend: bool,
    pub(crate) typing: bool,
    pub(crate) status: UserStatus,
    /// Received before the last session ended, not read yet.
    pub(crate) unread: Chain,
    /// The session that said ONLINE is over, but not all of it is read.
    draining: bool,
    /// Custom lossy packets, not read yet.
    pub(crate) lossy: Chain,
    pub(crate) outbox: Outbox,
}

/// Message numbers of one friend: sent, acknowledged, reported.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    last: u32,
    acked: u32,
    reported: u32,
    lost: u32,
    /// A send was refused for lack of room.
    pub(crate) wants_room: bool,
}

/// What became of messages.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Arrived(u32),
    Lost(u32, u32),
}

impl Outbox {
    /// The number that the next message gets, if it can be queued.
    pub(crate) const fn next(&self) -> u32 {
        self.last + 1
    }

    /// The message of [`Outbox::next`] was queued.
    pub(crate) const fn sent(&mut self) {
        self.last += 1;
    }

    /// Everything of the present session up to `tag` is acknowledged. While the end of an earlier session is not
    /// reported, that waits: what was lost then lies in between.
    pub(crate) fn acknowledged(&mut self, tag: u32) {
        if tag <= self.lost || self.reported >= self.lost {
            self.acked = self.acked.max(tag.min(self.last));
        }
    }

    /// The session is gone: what is not acknowledged stays so.
    pub(crate) const fn session_ended(&mut self) {
        self.lost = self.last;
        self.wants_room = false;
    }

    /// The next thing to report, in order of message numbers.
    pub(crate) fn report(&mut self) -> Option<Fate> {
        if self.reported < self.acked {
            self.reported += 1;
            return Some(Fate::Arrived(self.reported));
        }
        if self.reported < self.lost {
            let first = self.reported + 1;
            (self.reported, self.acked) = (self.lost, self.lost);
            return Some(Fate::Lost(first, self.lost));
        }
        None
    }
}

/// The friend table.
#[derive(Debug)]
pub(crate) struct Friends<'s> {
    pub(crate) table: Slots<'s, Friend>,
}

impl<'s> Friends<'s> {
    pub(crate) const fn new(table: Slots<'s, Friend>) -> Self {
        Self { table }
    }

    /// Adds a friend who was accepted, or whose key is known to be good.
    pub(crate) fn accept(&mut self, me: &PublicKey, key: PublicKey) -> Result<FriendId, AddFriendError> {
        self.insert(me, key, Nospam::default(), None).map_err(|(error, _)| error)
    }

    /// Adds a friend to whom a request goes out.
    pub(crate) fn request(
        &mut self,
        blocks: &mut Blocks<'_>,
        me: &PublicKey,
        to: &ToxId,
        message: &[u8],
    ) -> Result<FriendId, AddFriendError> {
        if message.is_empty() {
            return Err(AddFriendError::NoMessage);
        }
        if message.len() > REQUEST_LEN_MAX {
            return Err(AddFriendError::TooLong);
        }
        if let Some((_, friend)) = self.find_mut(&to.public_key) {
            if friend.request.is_none() || friend.nospam == to.nospam {
                return Err(AddFriendError::AlreadyFriend);
            }
            friend.nospam = to.nospam;
            return Err(AddFriendError::NewNospam);
        }
        let words = blocks.take(1, &[message]).map_err(|_| AddFriendError::Full)?;
        self.insert(me, to.public_key, to.nospam, Some(words)).map_err(|(error, words)| {
            if let Some(words) = words {
                blocks.give(words);
            }
            error
        })
    }

    /// Takes a friend out; the caller gives back what it owns.
    pub(crate) fn remove(&mut self, id: FriendId) -> Option<Friend> {
        self.table.remove(id)
    }

    pub(crate) fn get_mut(&mut self, id: FriendId) -> Option<&mut Friend> {
        self.table.get_mut(id)
    }

    /// The friend at a place of the table, as machines that keep parallel tables name it.
    pub(crate) fn at_mut(&mut self, index: usize) -> Option<&mut Friend> {
        let id = self.table.id_at(index)?;
        self.table.get_mut(id)
    }

    pub(crate) fn find(&self, key: &PublicKey) -> Option<FriendId> {
        self.table.iter().find_map(|(id, friend)| (friend.key == *key).then_some(id))
    }

    fn find_mut(&mut self, key: &PublicKey) -> Option<(FriendId, &mut Friend)> {
        self.table.iter_mut().find(|(_, friend)| friend.key == *key)
    }

    /// Friends who say that this is their DHT key. More than one can say so, but only one tells the truth.
    pub(crate) fn with_dht_key(&mut self, key: &PublicKey) -> impl Iterator<Item = (FriendId, &mut Friend)> {
        self.table.iter_mut().filter(move |(_, friend)| friend.dht_key == *key)
    }

    pub(crate) fn deadline(&self) -> Option<Deadline> {
        self.table.values().map(Friend::deadline).min_by_key(|deadline| deadline.at)
    }

    fn insert(
        &mut self,
        me: &PublicKey,
        key: PublicKey,
        nospam: Nospam,
        request: Option<BlockId>,
    ) -> Result<FriendId, (AddFriendError, Option<BlockId>)> {
        let error = if key == *me {
            AddFriendError::OwnKey
        } else if !key.is_valid() {
            AddFriendError::BadKey
        } else if self.find(&key).is_some() {
            AddFriendError::AlreadyFriend
        } else if self.table.is_full() {
            AddFriendError::Full
        } else {
            return match self.table.insert(Friend::new(key, nospam, request)) {
                Ok(id) => Ok(id),
                Err(_) => unreachable!("room was checked"),
            };
        };
        Err((error, request))
    }
}

impl Friend {
    fn new(key: PublicKey, nospam: Nospam, request: Option<BlockId>) -> Self {
        Self {
            key,
            nospam,
            request,
            request_tries: 0,
            request_at: Instant::ZERO,
            dht_key: PublicKey::ZERO,
            no_replay: 0,
            no_replay_ever: 0,
            search: None,
            session: None,
            told_at: Instant::ZERO,
            reopen_at: Instant::ZERO,
            near: false,
            reach: Reach::None,
            relay_at: Instant::FAR,
            share_at: Instant::FAR,
            dht_announce_at: Instant::ZERO,
            dht_announce_routes: 0,
            online: false,
            shown: Connection::None,
            tell: 0,
            alive_at: Instant::FAR,
            typing_to_friend: false,
            typing: false,
            status: UserStatus::None,
            unread: Chain::EMPTY,
            draining: false,
            lossy: Chain::EMPTY,
            outbox: Outbox::default(),
        }
    }

    /// Whether a friend request is to go out now; moves the timer on.
    pub(crate) fn request_due(&mut self, now: Instant) -> bool {
        if self.request.is_none() || self.request_at > now {
            return false;
        }
        self.request_tries = self.request_tries.saturating_add(1);
        let doublings = u32::from(self.request_tries.saturating_sub(REQUEST_QUICK_TRIES));
        let wait = REQUEST_FIRST.saturating_mul(1 << doublings.min(16)).min(REQUEST_SLOWEST);
        self.request_at = now + wait;
        true
    }

    /// How often the unanswered request went out.
    pub(crate) const fn request_tries(&self) -> u8 {
        if self.request.is_some() { self.request_tries } else { 0 }
    }

    /// The request went out `tries` times in earlier runs.
    pub(crate) const fn resume_request(&mut self, tries: u8) {
        if self.request.is_some() && self.request_tries < tries {
            self.request_tries = tries;
        }
    }

    /// Whether an announced DHT key is news; remembers its number. A replayed announcement is not. While a session with
    /// another key stands, only an announcement later than all others is: one from before the session would end it.
    pub(crate) fn is_fresh_announce(&mut self, no_replay: u64, dht_key: &PublicKey) -> bool {
        let outdates_session = self.session.is_some() && self.dht_key != *dht_key;
        let fresh = no_replay > if outdates_session { self.no_replay_ever } else { self.no_replay };
        self.no_replay = self.no_replay.max(no_replay);
        self.no_replay_ever = self.no_replay_ever.max(no_replay);
        fresh
    }

    /// A session may be opened to the friend's DHT node, which answered just now.
    pub(crate) fn may_open(&mut self, now: Instant) -> bool {
        if self.session.is_some() || self.reopen_at > now {
            return false;
        }
        self.reopen_at = now + REOPEN_AFTER;
        true
    }

    /// A session was opened, by either side.
    pub(crate) const fn session_opened(&mut self, id: SessionId) {
        self.session = Some(id);
    }

    /// The session is confirmed: the friend has accepted us, and is told who we are.
    pub(crate) fn established(&mut self, now: Instant) {
        self.tell = tell::ONLINE;
        self.alive_at = now + ALIVE_EVERY;
        self.dht_announce_routes = 0;
    }

    /// The friend told the DHT key again.
    pub(crate) const fn told_dht_key(&mut self, now: Instant) {
        self.told_at = now;
    }

    /// Whether the DHT key is too old to look for: the friend is gone, and its next run has another.
    pub(crate) fn is_dht_key_stale(&self, now: Instant) -> bool {
        self.stale_at().is_some_and(|at| at <= now)
    }

    fn stale_at(&self) -> Option<Instant> {
        let looked_for = self.search.is_some() && self.session.is_none() && !self.near && self.reach != Reach::Online;
        looked_for.then(|| self.told_at + DHT_KEY_KEPT)
    }

    /// The friend's DHT node answered: the way is known.
    pub(crate) const fn in_sight(&mut self) {
        self.near = true;
    }

    /// The friend's DHT node answers no more; when it does again, nothing is waited for.
    pub(crate) const fn lost_sight(&mut self) {
        self.near = false;
        self.reopen_at = Instant::ZERO;
    }

    /// We may be somewhere else. The friend is told to look for us again, at once through nodes that are known to live
    /// and soon through those that then turn out to.
    pub(crate) fn start_over(&mut self, now: Instant) {
        self.reopen_at = Instant::ZERO;
        self.dht_announce_routes = DHT_ANNOUNCE_ROUTES;
        self.dht_announce_at = self.dht_announce_at.min(now + DHT_ANNOUNCE_SOON);
    }

    /// How relays reach the friend has changed. A session through them is opened after a `head_start` of UDP.
    pub(crate) fn reached(&mut self, now: Instant, reach: Reach, head_start: Duration) {
        let is_news = reach > core::mem::replace(&mut self.reach, reach);
        if reach == Reach::None {
            self.relay_at = Instant::FAR;
        } else if is_news {
            self.relay_at = self.relay_at.min(now + head_start);
        }
    }

    /// Whether a session is to be opened again; moves the timers on.
    pub(crate) fn reopen_due(&mut self, now: Instant) -> bool {
        let by_relay = self.session.is_none() && self.relay_at <= now;
        if by_relay {
            self.relay_at = if self.reach == Reach::Online { now + REOPEN_AFTER } else { Instant::FAR };
            self.reopen_at = now + REOPEN_AFTER;
        }
        by_relay || self.near && self.may_open(now)
    }

    /// Whether a relay may reach the friend.
    pub(crate) fn is_relayed(&self) -> bool {
        self.reach != Reach::None
    }

    /// Our relays are to be told from now on.
    pub(crate) const fn share_relays(&mut self, now: Instant) {
        self.share_at = now;
    }

    /// The session is gone. The friend counts as online until all that was received is read.
    pub(crate) fn session_ended(&mut self, now: Instant) {
        self.session = None;
        self.told_at = now;
        self.draining = true;
        self.typing = false;
        self.tell = 0;
        self.alive_at = Instant::FAR;
        self.share_at = Instant::FAR;
        if self.reach == Reach::Online {
            self.relay_at = now + REOPEN_AFTER;
        }
        // The next announcement may come from a restarted friend whose clock is behind.
        self.no_replay = 0;
        self.outbox.session_ended();
    }

    /// Called before looking for the next event: when all of an ended session is read, the friend is offline.
    pub(crate) const fn read_up(&mut self) {
        if self.draining && self.unread.is_empty() {
            self.draining = false;
            self.online = false;
        }
    }

    /// The friend's client said ONLINE: it is told ours again, and everything about us.
    pub(crate) const fn came_online(&mut self) {
        self.online = true;
        self.tell |= tell::ONLINE | tell::PRESENCE;
    }

    /// How the friend can be reached now; `relayed` tells how the session goes. One that is over went as was shown.
    pub(crate) const fn connection(&self, relayed: Option<bool>) -> Connection {
        match (self.online, relayed, self.shown) {
            (false, _, _) => Connection::None,
            (true, Some(true), _) | (true, None, Connection::Tcp) => Connection::Tcp,
            (true, _, _) => Connection::Udp,
        }
    }

    /// Whether an alive packet is due.
    pub(crate) fn is_alive_due(&self, now: Instant) -> bool {
        self.alive_at <= now
    }

    /// Arms what is due. `awake`: some friend's alive packet goes out now.
    pub(crate) fn on_timeout(&mut self, now: Instant, awake: bool) {
        if self.alive_at <= if awake { now + ALIVE_EARLY } else { now } {
            self.alive_at = now + ALIVE_EVERY;
            self.tell |= tell::ALIVE;
        }
        if self.share_at <= now {
            self.share_at = now + SHARE_EVERY;
            self.tell |= tell::RELAYS;
        }
        if self.wants_dht_announce() && self.dht_announce_at <= now {
            self.dht_announce_at = now + DHT_ANNOUNCE_EVERY;
            self.dht_announce_routes = DHT_ANNOUNCE_ROUTES;
        }
    }

    /// The next of the routes through which our DHT key is to be announced in the DHT.
    pub(crate) const fn next_dht_announce(&mut self) -> Option<usize> {
        match self.dht_announce_routes.checked_sub(1) {
            Some(left) => {
                self.dht_announce_routes = left;
                Some(left as usize)
            }
            None => None,
        }
    }

    fn wants_dht_announce(&self) -> bool {
        self.search.is_some() && self.alive_at == Instant::FAR
    }

    fn deadline(&self) -> Deadline {
        let mut first = Deadline { at: self.alive_at, why: Why::FriendAlive };
        if self.request.is_some() && self.request_at < first.at {
            first = Deadline { at: self.request_at, why: Why::FriendRequest };
        }
        if self.near && self.session.is_none() && self.reopen_at < first.at {
            first = Deadline { at: self.reopen_at, why: Why::FriendTimeout };
        }
        if self.session.is_none() && self.relay_at < first.at {
            first = Deadline { at: self.relay_at, why: Why::Relay };
        }
        if self.share_at < first.at {
            first = Deadline { at: self.share_at, why: Why::Relay };
        }
        if let Some(at) = self.stale_at().filter(|at| *at < first.at) {
            first = Deadline { at, why: Why::FriendTimeout };
        }
        if self.wants_dht_announce() && self.dht_announce_at < first.at {
            first = Deadline { at: self.dht_announce_at, why: Why::OnionDhtKey };
        }
        first
    }
}

//! All the memory of a node, in one place.

use super::FriendId;
use crate::announcements::Announcement;
use crate::budget::Source;
use crate::crypto::PublicKey;
use crate::dht::{Candidate, NodeEntry, Punch, Search};
use crate::friend::{BLOCKED_KEY_VACANT, Friend, IncomingRequest};
use crate::messenger::SelfText;
use crate::onion::{Announced, GroupPeer, OnionFriend, OnionTables, Path, PathNode, Pending, SelfNode};
use crate::relay::client::{Relay, RelayName, RelayPeer};
use crate::session::Session;
use crate::storage::{Block, Blocks, KeyEntry, Mem, Slot, Slots};

/// The tables that a node works in. Each has a policy for when it is full:
///
/// | table | when full |
/// |---|---|
/// | close list | a node that no longer answers makes room, else the one with the least use for its bucket stays out |
/// | candidates, onion requests | the oldest makes room |
/// | punches | a friend who has given no sign of life for 20 s makes room |
/// | announcements of others, DHT announcements | the farthest from our DHT key makes room for a closer one |
/// | group announcements | the oldest makes room; of a group with 16 peers, the oldest of these |
/// | friends, blocked keys | the command fails with `Full` |
/// | friend requests | dropped and counted; their senders repeat them |
/// | sessions | refused; the other side tries again |
/// | relays | one that is not connected makes room; those of the configuration stay before those of friends |
/// | box keys | the least recently used of four makes room; one of them is for those who come unasked |
/// | source prefixes | the one with the most tokens left makes room |
/// | blocks | senders are refused and told when there is room; what arrives is not acknowledged, so it comes again |
#[derive(Debug)]
pub struct Storage<'s> {
    pub(super) close: Mem<'s, NodeEntry>,
    pub(super) searches: Slots<'s, Search>,
    pub(super) candidates: Mem<'s, Candidate>,
    pub(super) punches: Mem<'s, Punch>,
    pub(super) announced: Slots<'s, Announced>,
    pub(super) group_peers: Slots<'s, GroupPeer>,
    pub(super) announcements: Slots<'s, Announcement>,
    pub(super) onion: OnionTables<'s>,
    pub(super) relays: Mem<'s, Relay>,
    pub(super) relay_peers: Mem<'s, RelayPeer>,
    pub(super) relay_names: Mem<'s, RelayName>,
    pub(super) streams: usize,
    pub(super) sessions: Slots<'s, Session>,
    pub(super) friends: Slots<'s, Friend>,
    pub(super) requests: Slots<'s, IncomingRequest>,
    pub(super) blocked: Mem<'s, PublicKey>,
    pub(super) text: Mem<'s, SelfText>,
    pub(super) keys: Mem<'s, KeyEntry>,
    pub(super) sources: Mem<'s, Source>,
    pub(super) agreements: u32,
    pub(super) blocks: Blocks<'s>,
}

/// Capacities of the tables of a node on the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Friends.
    pub friends: usize,
    /// DHT nodes in the close list.
    pub nodes: usize,
    /// Announcements stored for others; 0 turns the service off.
    pub announces: usize,
    /// Announcements of peers of groups, stored for others; static storage has none.
    pub group_peers: usize,
    /// DHT announcements stored for others; 0, as in static storage, turns that service off.
    pub announcements: usize,
    /// Blocks of 1.4 KB: send and receive windows, unread messages.
    pub blocks: usize,
    /// Cached box keys.
    pub keys: usize,
    /// TCP relays known at a time, up to 255; 0 turns their use off.
    pub relays: usize,
    /// Keys whose friend requests are dropped.
    pub blocked: usize,
    /// Key agreements that others can make us compute, in a second and at once; see [`Storage::with_agreements`].
    pub agreements: u32,
}

impl Limits {
    /// A person's client on a computer.
    pub const DESKTOP: Self = Self {
        friends: 1024,
        nodes: 1024,
        announces: 160,
        group_peers: 256,
        announcements: 256,
        blocks: 4096,
        keys: 1024,
        relays: 24,
        blocked: 1024,
        agreements: 2000,
    };
    /// A bootstrap node without friends. It answers as fast as its core computes: that is less than the limit.
    pub const SERVER: Self = Self {
        friends: 0,
        nodes: 1024,
        announces: 4096,
        group_peers: 2048,
        announcements: 1024,
        blocks: 8,
        keys: 16384,
        relays: 0,
        blocked: 0,
        agreements: 50_000,
    };
    /// What a microcontroller has: useful in simulations.
    pub const MICRO: Self = Self {
        friends: 8,
        nodes: 64,
        announces: 6,
        group_peers: 0,
        announcements: 0,
        blocks: 8,
        keys: 56,
        relays: 0,
        blocked: 4,
        agreements: AGREEMENTS,
    };
}

/// Places of small tables that do not depend on the limits.
const CANDIDATES: usize = 16;
/// Friends behind address translators who are sought at the same time.
const PUNCHES: usize = 1;
#[cfg(feature = "alloc")]
const PUNCHES_ROOMY: usize = 16;
const PATH_NODES: usize = 16;
/// Half of them for ourselves, half for friends.
const PATHS: usize = 8;
/// As many as toxcore has.
#[cfg(feature = "alloc")]
const PATHS_ROOMY: usize = 12;
const SELF_NODES: usize = 6;
const ONION_PENDING: usize = 16;
const REQUESTS: usize = 4;
/// Searches of the DHT itself: our own key, and two random ones that feed the onion paths.
const EXTRA_SEARCHES: usize = 3;
const BLOCKS_MIN: usize = 4;
/// Routes name relays by a byte.
#[cfg(feature = "alloc")]
const RELAYS_MAX: usize = 255;
/// Relays that are known by a name: those of the configuration, behind a proxy.
#[cfg(feature = "alloc")]
const RELAY_NAMES: usize = 8;
/// TCP relays that static storage has room for: four of a configuration, and some of friends.
#[cfg(feature = "relays")]
const RELAYS: usize = 6;
/// TCP connections that a node in static storage has at a time, at most.
#[cfg(feature = "relays")]
pub const RELAY_STREAMS: usize = 3;
/// Key agreements that others can make a microcontroller compute in a second. One takes 1.7 million instructions, so
/// twenty are 34 million: a fifth of a Cortex-M4 at 168 MHz, half of one at 64 MHz.
const AGREEMENTS: u32 = 20;
/// Source prefixes that are limited one by one.
const SOURCES: usize = 8;
/// On a host.
#[cfg(feature = "alloc")]
const SOURCES_ROOMY: usize = 1024;
/// Box keys of static storage: in a small network everybody's onion paths lead through everybody, and each has keys of
/// its own; one that is not remembered costs a microcontroller more than a million instructions.
const KEYS: usize = 56;

impl Storage<'_> {
    pub(super) fn suffices(&self) -> bool {
        self.searches.capacity() >= self.friends.capacity() + EXTRA_SEARCHES
            && self.onion.friends.len() >= self.friends.capacity()
            && self.blocks.capacity() >= BLOCKS_MIN
    }

    /// The same storage with another budget: so many key agreements in a second (and at once) can others make us
    /// compute, by datagrams from keys that are new to us. Half of it is for strangers if all of it is wanted, one
    /// quarter for a single address prefix; the rest is kept for those we know. Static storage starts with 20.
    #[must_use]
    pub fn with_agreements(self, per_second: u32) -> Self {
        Self { agreements: per_second, ..self }
    }

    /// The same storage with another limit: so many TCP connections to relays does the node have at a time. Static
    /// storage starts with three, if it has room for relays, storage on the heap without a limit.
    #[must_use]
    pub fn with_streams(self, streams: usize) -> Self {
        Self { streams, ..self }
    }
}

#[cfg(feature = "alloc")]
impl Storage<'static> {
    /// Storage on the heap: allocated here, and never again.
    #[must_use]
    pub fn heap(limits: &Limits) -> Self {
        fn filled<T>(count: usize, vacant: impl Fn() -> T) -> Mem<'static, T> {
            Mem::Owned(core::iter::repeat_with(vacant).take(count).collect())
        }
        // A host can afford more than the places that a microcontroller has.
        let roomy = |micro: usize| if limits.nodes > 64 { micro * 2 } else { micro };
        Self {
            close: filled(limits.nodes, || NodeEntry::VACANT),
            searches: Slots::<Search>::boxed(limits.friends + EXTRA_SEARCHES),
            candidates: filled(roomy(CANDIDATES), || Candidate::VACANT),
            punches: filled(if limits.nodes > 64 { PUNCHES_ROOMY } else { PUNCHES }, || Punch::VACANT),
            announced: Slots::<Announced>::boxed(limits.announces),
            group_peers: Slots::<GroupPeer>::boxed(limits.group_peers),
            announcements: Slots::<Announcement>::boxed(limits.announcements),
            onion: OnionTables {
                path_nodes: filled(roomy(PATH_NODES), || PathNode::VACANT),
                paths: filled(if limits.nodes > 64 { PATHS_ROOMY } else { PATHS }, || Path::VACANT),
                friends: filled(limits.friends, || OnionFriend::VACANT),
                self_nodes: filled(if limits.nodes > 64 { SELF_NODES * 2 } else { SELF_NODES }, || SelfNode::VACANT),
                pending: filled(roomy(roomy(ONION_PENDING)), || Pending::VACANT),
            },
            relays: filled(limits.relays.min(RELAYS_MAX), || Relay::VACANT),
            relay_peers: filled(if limits.relays > 0 { limits.friends } else { 0 }, || RelayPeer::VACANT),
            relay_names: filled(limits.relays.min(RELAY_NAMES), || RelayName::VACANT),
            streams: usize::MAX,
            // Ended sessions keep their place until all that they brought is read.
            sessions: Slots::<Session>::boxed(limits.friends + EXTRA_SEARCHES),
            friends: Slots::<Friend>::boxed(limits.friends),
            requests: Slots::<IncomingRequest>::boxed(roomy(REQUESTS)),
            blocked: filled(limits.blocked, || BLOCKED_KEY_VACANT),
            text: filled(1, || SelfText::EMPTY),
            keys: filled(limits.keys, || KeyEntry::VACANT),
            sources: filled(if limits.nodes > 64 { SOURCES_ROOMY } else { SOURCES }, || Source::VACANT),
            agreements: limits.agreements,
            blocks: Blocks::boxed(limits.blocks),
        }
    }
}

/// Storage of a size that is known when the program is linked. All zeros when new, so a `static` lands in `.bss`.
///
/// `SEARCHES` must be at least `FRIENDS + 3`. There is room for TCP relays with the feature `relays` only.
#[derive(Debug)]
pub struct StaticStorage<
    const FRIENDS: usize,
    const SEARCHES: usize,
    const NODES: usize,
    const BLOCKS: usize,
    const ANNOUNCES: usize,
> {
    close: [NodeEntry; NODES],
    searches: [Slot<Search>; SEARCHES],
    candidates: [Candidate; CANDIDATES],
    punches: [Punch; PUNCHES],
    announced: [Slot<Announced>; ANNOUNCES],
    path_nodes: [PathNode; PATH_NODES],
    paths: [Path; PATHS],
    onion_friends: [OnionFriend; FRIENDS],
    self_nodes: [SelfNode; SELF_NODES],
    onion_pending: [Pending; ONION_PENDING],
    #[cfg(feature = "relays")]
    relays: [Relay; RELAYS],
    #[cfg(feature = "relays")]
    relay_peers: [RelayPeer; FRIENDS],
    sessions: [Slot<Session>; FRIENDS],
    friends: [Slot<Friend>; FRIENDS],
    requests: [Slot<IncomingRequest>; REQUESTS],
    blocked: [PublicKey; 4],
    text: [SelfText; 1],
    keys: [KeyEntry; KEYS],
    sources: [Source; SOURCES],
    blocks: [Block; BLOCKS],
}

impl<const FRIENDS: usize, const SEARCHES: usize, const NODES: usize, const BLOCKS: usize, const ANNOUNCES: usize>
    StaticStorage<FRIENDS, SEARCHES, NODES, BLOCKS, ANNOUNCES>
{
    /// Its size in bytes: all the memory that the core's tables take.
    pub const BYTES: usize = size_of::<Self>();

    /// Empty tables.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default of this size would be built on the stack")]
    pub const fn new() -> Self {
        const { assert!(SEARCHES >= FRIENDS + EXTRA_SEARCHES, "SEARCHES must be at least FRIENDS + 3") };
        Self {
            close: [const { NodeEntry::VACANT }; NODES],
            searches: [const { Slot::VACANT }; SEARCHES],
            candidates: [const { Candidate::VACANT }; CANDIDATES],
            punches: [const { Punch::VACANT }; PUNCHES],
            announced: [const { Slot::VACANT }; ANNOUNCES],
            path_nodes: [const { PathNode::VACANT }; PATH_NODES],
            paths: [const { Path::VACANT }; PATHS],
            onion_friends: [const { OnionFriend::VACANT }; FRIENDS],
            self_nodes: [const { SelfNode::VACANT }; SELF_NODES],
            onion_pending: [const { Pending::VACANT }; ONION_PENDING],
            #[cfg(feature = "relays")]
            relays: [const { Relay::VACANT }; RELAYS],
            #[cfg(feature = "relays")]
            relay_peers: [const { RelayPeer::VACANT }; FRIENDS],
            sessions: [const { Slot::VACANT }; FRIENDS],
            friends: [const { Slot::VACANT }; FRIENDS],
            requests: [const { Slot::VACANT }; REQUESTS],
            blocked: [BLOCKED_KEY_VACANT; 4],
            text: [const { SelfText::EMPTY }; 1],
            keys: [const { KeyEntry::VACANT }; KEYS],
            sources: [Source::VACANT; SOURCES],
            blocks: [Block::ZERO; BLOCKS],
        }
    }

    /// Lends the tables to a node. What an earlier node left in them is forgotten.
    pub fn storage(&mut self) -> Storage<'_> {
        // The other tables are emptied by those who work in them.
        self.path_nodes.fill_with(|| PathNode::VACANT);
        self.paths.fill_with(|| Path::VACANT);
        self.onion_friends.fill_with(|| OnionFriend::VACANT);
        self.self_nodes.fill_with(|| SelfNode::VACANT);
        self.onion_pending.fill_with(|| Pending::VACANT);
        self.blocked.fill(BLOCKED_KEY_VACANT);
        self.text.fill_with(|| SelfText::EMPTY);
        self.keys.fill_with(|| KeyEntry::VACANT);
        Storage {
            close: Mem::Borrowed(&mut self.close),
            searches: Slots::new(&mut self.searches),
            candidates: Mem::Borrowed(&mut self.candidates),
            punches: Mem::Borrowed(&mut self.punches),
            announced: Slots::new(&mut self.announced),
            group_peers: Slots::new(&mut []),
            announcements: Slots::new(&mut []),
            onion: OnionTables {
                path_nodes: Mem::Borrowed(&mut self.path_nodes),
                paths: Mem::Borrowed(&mut self.paths),
                friends: Mem::Borrowed(&mut self.onion_friends),
                self_nodes: Mem::Borrowed(&mut self.self_nodes),
                pending: Mem::Borrowed(&mut self.onion_pending),
            },
            #[cfg(feature = "relays")]
            relays: Mem::Borrowed(&mut self.relays),
            #[cfg(feature = "relays")]
            relay_peers: Mem::Borrowed(&mut self.relay_peers),
            #[cfg(feature = "relays")]
            streams: RELAY_STREAMS,
            #[cfg(not(feature = "relays"))]
            relays: Mem::Borrowed(&mut []),
            #[cfg(not(feature = "relays"))]
            relay_peers: Mem::Borrowed(&mut []),
            #[cfg(not(feature = "relays"))]
            streams: 0,
            relay_names: Mem::Borrowed(&mut []),
            sessions: Slots::new(&mut self.sessions),
            friends: Slots::new(&mut self.friends),
            requests: Slots::new(&mut self.requests),
            blocked: Mem::Borrowed(&mut self.blocked),
            text: Mem::Borrowed(&mut self.text),
            keys: Mem::Borrowed(&mut self.keys),
            sources: Mem::Borrowed(&mut self.sources),
            agreements: AGREEMENTS,
            blocks: Blocks::new(&mut self.blocks),
        }
    }
}

// A handle must stay small: events carry it by value.
const _: () = assert!(size_of::<FriendId>() <= 8);

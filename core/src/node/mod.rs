//! The node: composes the machines, and is all that a runtime sees.
//!
//! Inputs go to the machine whose packet kind they carry. What a machine learns and another must know comes back as a
//! note, and the notes are drained in one place, `links`. Nothing is queued for sending: every machine keeps intents in
//! its tables and encodes them when [`Node::poll_transmit`] has a buffer for them.

mod commands;
mod law;
mod links;
mod occupancy;
mod profile;
mod relays;
mod roam;
mod services;
#[cfg(feature = "alloc")]
mod shard;
mod storage;
#[cfg(test)]
mod tests;

pub use crate::dht::{BootstrapInfo, OwnAddress};
pub use crate::friend::{AddFriendError, FriendId};
pub use crate::messenger::{SendError, TooLong};
pub use commands::FriendInfo;
pub use law::Output;
pub use occupancy::Occupancy;
pub use profile::FriendTexts;
pub use relays::RelayHost;
#[cfg(feature = "alloc")]
pub use shard::{AgreedKey, Shard, Sorted};
#[cfg(feature = "relays")]
pub use storage::RELAY_STREAMS;
pub use storage::{Limits, StaticStorage, Storage};

use crate::Endpoint;
use crate::announcements::Announcements;
use crate::budget::Budget;
use crate::crypto::{Nospam, SecretKey};
use crate::cx::{Cx, Env, Identity, Parts};
use crate::dht::Dht;
use crate::event::{Connection, Event};
use crate::forwarding::Forwarder;
use crate::frame::{DATAGRAM_MAX, Disposition, Frame, Transmit};
use crate::friend::{Friends, Requests};
use crate::lan::{LanCall, LanCaller};
use crate::messenger::Messenger;
use crate::onion::{AnnounceStore, OnionClient, OnionRelay, OnionWay};
use crate::relay::proxy::Proxy;
use crate::relay::{RelayClient, StreamId};
use crate::session::{SessionId, Sessions};
use crate::stats::{DropReason, Stats};
use crate::storage::{BlockId, Blocks, Keys};
use crate::time::{Deadline, Instant, UnixTime};
use crate::wire::kind;
use law::Law;
use rand_core::Rng;

/// Number of a message to one friend, counted from 1.
pub type MessageId = u32;

/// Who the node is.
#[derive(Debug)]
pub struct Config<'s> {
    /// The long-term secret key: the identity.
    pub secret: SecretKey,
    /// The nospam of our Tox ID.
    pub nospam: Nospam,
    /// The DHT key: what bootstrap lines name. `None`, as clients have it, for a new one at each start.
    pub dht_secret: Option<SecretKey>,
    /// What to answer to bootstrap info requests (0xf0); `None` for clients.
    pub info: Option<BootstrapInfo<'s>>,
    /// Whether nodes of the local network find each other: asks for [`Action::LanDiscovery`], and answers it.
    pub lan_discovery: bool,
    /// Whether to use UDP. Without it the node lives by TCP relays alone, and never sends a datagram.
    pub udp: bool,
    /// All connections go through this proxy; UDP cannot, so there is none.
    pub proxy: Option<&'s Proxy<'s>>,
    /// Whether to punch holes into address translators towards friends, which may take some packets to ports where
    /// nobody listens.
    pub hole_punching: bool,
}

impl Config<'_> {
    /// A client with UDP and hole punching, and without LAN discovery.
    #[must_use]
    pub const fn new(secret: SecretKey, nospam: Nospam) -> Self {
        let (dht_secret, info, lan_discovery) = (None, None, false);
        Self { secret, nospam, dht_secret, info, lan_discovery, udp: true, proxy: None, hole_punching: true }
    }
}

/// Something that only the runtime can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// What a profile holds has changed: save it soon.
    Persist,
    /// Tell the local network of us: send the packet of this call to its ports at all broadcast addresses, from the
    /// node's own socket.
    LanDiscovery(LanCall),
    /// Open a TCP connection; [`Node::stream_opened`] or [`Node::stream_closed`] follows.
    Open {
        /// What it is called from now on.
        id: StreamId,
        /// Where to.
        to: Endpoint,
    },
    /// Close it; nothing follows.
    Close {
        /// Its id, which is stale now.
        id: StreamId,
    },
}

/// Why a node cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// The storage lacks what every node needs: the searches (three more than friends), or blocks.
    StorageTooSmall,
}

impl core::fmt::Display for BuildError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the storage is too small: it needs three searches more than friends, and four blocks")
    }
}

impl core::error::Error for BuildError {}

/// A Tox node: client, bootstrap node, or both.
///
/// Methods come in four classes.
///
/// - Getters take `&self`.
/// - Inputs: [`handle_datagram`](Self::handle_datagram), [`handle_timeout`](Self::handle_timeout),
///   [`handle_clock`](Self::handle_clock), and those of streams: [`stream_opened`](Self::stream_opened),
///   [`stream_closed`](Self::stream_closed), [`handle_stream`](Self::handle_stream),
///   [`stream_ready`](Self::stream_ready).
/// - Commands, such as [`add_friend`](Self::add_friend) and [`send_message`](Self::send_message). They fail with a
///   small enum of their own; `Full` is back-pressure, and an event follows when there is room again.
/// - Outputs: [`poll_action`](Self::poll_action), [`poll_transmit`](Self::poll_transmit),
///   [`next_stream`](Self::next_stream) with [`poll_stream`](Self::poll_stream), [`poll_event`](Self::poll_event),
///   [`poll_timeout`](Self::poll_timeout).
///
/// **The law of the loop**: after inputs and commands, and before sleeping, drain actions, transmits, streams (if the
/// storage has room for relays) and events until
/// each poll returns `None` or its receiver is blocked (say so with [`blocked`](Self::blocked)); then sleep until the
/// deadline or the next input. Debug builds check it. [`driver::pump`](crate::driver::pump) is that loop:
///
/// ```
/// # use bluering_core::{*, crypto::*, driver::*, time::*};
/// # struct E; impl Env for E { type Rng = R; type Suite = Nacl; }
/// # type Never = core::convert::Infallible;
/// # struct R(u8);
/// # impl rand_core::TryRng for R {
/// #     type Error = Never;
/// #     fn try_next_u32(&mut self) -> Result<u32, Never> { self.try_next_u64().map(|n| n as u32) }
/// #     fn try_next_u64(&mut self) -> Result<u64, Never> {
/// #         self.0 = self.0.wrapping_mul(5).wrapping_add(1);
/// #         Ok(u64::from(self.0))
/// #     }
/// #     fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Never> {
/// #         bytes.iter_mut().try_for_each(|byte| self.try_next_u64().map(|n| *byte = n as u8))
/// #     }
/// # }
/// # impl rand_core::TryCryptoRng for R {}
/// struct Wires;
/// impl Ports for Wires {
///     fn datagram(&mut self, packet: &Transmit<'_>) -> Sent { println!("to {}", packet.to); Sent::Ok }
///     fn action(&mut self, action: Action) { println!("{action:?}") }
///     fn stream(&mut self, _: relay::StreamId, _: &mut dyn FnMut(&mut [u8]) -> usize) -> bool { false } // no relays
///     fn event_room(&mut self) -> bool { true }
///     fn event(&mut self, event: Event<'_>) { println!("{event:?}") }
/// }
///
/// // On a microcontroller this is a `static`.
/// let mut memory = Box::new(StaticStorage::<2, 5, 16, 8, 4>::new());
/// let secret = SecretKey::from_bytes([7; 32]);
/// let config = Config::new(secret, Nospam([1, 2, 3, 4]));
/// let start = Instant::ZERO; // the adapter's clock
/// let mut node = Node::<E>::new(config, memory.storage(), Parts { rng: R(1), suite: Nacl }, start)?;
/// node.set_name(b"Alice")?;
///
/// let (mut scratch, mut ports, mut buf) = (Scratch::new(), Wires, [0; DATAGRAM_MAX]);
/// let now = start; // ... a datagram of 3 bytes comes in:
/// buf[..3].copy_from_slice(b"???");
/// match node.handle_datagram(now, &mut Frame::new(&mut buf, 3, Endpoint::v4([192, 0, 2, 1], 33445))) {
///     Disposition::Reply { to, len } => println!("answer the first {len} bytes of buf to {to}"),
///     Disposition::Consumed => {}
///     Disposition::Dropped(why) => assert_eq!(why, DropReason::UnknownKind),
/// }
/// let idle = pump(&mut node, now, &mut scratch, &mut ports);
/// println!("sleep until {:?}, a datagram or a command", idle.deadline);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Node<'s, E: Env> {
    dht: Dht<'s>,
    relay: OnionRelay,
    relays: RelayClient<'s>,
    store: AnnounceStore<'s>,
    forwarder: Forwarder,
    announcements: Announcements<'s>,
    onion: OnionClient<'s>,
    sessions: Sessions<'s>,
    friends: Friends<'s>,
    requests: Requests<'s>,
    messenger: Messenger<'s>,
    shared: Shared<'s, E>,
    lan: LanCaller,
    /// The connection that the application was told of.
    shown: Connection,
    /// Where we are reached in the local network.
    local: Option<Endpoint>,
    udp: bool,
    /// The onion may have something for a relay.
    onion_looks: bool,
    /// Some friend may have something to be told.
    telling: bool,
    persist: bool,
    /// Shut down: no session begins any more.
    closing: bool,
    /// Until when the driver was told to sleep; far later, the machine has slept.
    alarm: Instant,
    /// Which machine encodes first: they take turns.
    turn: u8,
    /// Place of the friend who had the last event.
    event_turn: usize,
    lent: Lent,
    law: Law,
}

/// By what ways to reach others.
struct Ways<'s> {
    udp: bool,
    lan_discovery: bool,
    proxy: Option<&'s Proxy<'s>>,
    hole_punching: bool,
}

/// What [`Node::poll_event`] has lent out; taken back at the next call.
#[derive(Debug)]
enum Lent {
    Nothing,
    Packet(SessionId),
    Block(BlockId),
}

/// What all machines share, lent to them as a [`Cx`].
struct Shared<'s, E: Env> {
    now: Instant,
    /// Wall-clock time as of `unix_at`.
    unix: UnixTime,
    unix_at: Instant,
    me: Identity,
    keys: Keys<'s>,
    budget: Budget<'s>,
    blocks: Blocks<'s>,
    parts: Parts<E>,
    stats: Stats,
}

impl<'s, E: Env> Shared<'s, E> {
    fn cx(&mut self) -> Cx<'_, 's, E> {
        Cx {
            now: self.now,
            unix: UnixTime(self.unix.0 + self.now.since(self.unix_at).as_secs()),
            me: &self.me,
            keys: &mut self.keys,
            budget: &mut self.budget,
            blocks: &mut self.blocks,
            rng: &mut self.parts.rng,
            suite: &self.parts.suite,
            stats: &mut self.stats,
        }
    }

    /// Time never goes back.
    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }
}

impl<'s, E: Env> Node<'s, E> {
    /// A node over `storage`. Give it the wall clock with [`handle_clock`](Self::handle_clock) if there is one.
    ///
    /// # Errors
    /// [`BuildError::StorageTooSmall`].
    pub fn new(
        config: Config<'s>,
        storage: Storage<'s>,
        mut parts: Parts<E>,
        now: Instant,
    ) -> Result<Self, BuildError> {
        if !storage.suffices() {
            return Err(BuildError::StorageTooSmall);
        }
        let me = Identity::generate(&mut parts, config.secret, config.nospam, config.dht_secret);
        let Config { lan_discovery, proxy, hole_punching, .. } = config;
        let proxy = proxy.filter(|_| E::PROXIES);
        let ways = Ways { udp: config.udp && proxy.is_none(), lan_discovery, proxy, hole_punching };
        Ok(Self::assemble(me, config.info, ways, storage, parts, now))
    }

    /// Puts the node together. Not inlined: its copies on the stack are not there yet while keys are computed.
    #[inline(never)]
    fn assemble(
        me: Identity,
        info: Option<BootstrapInfo<'s>>,
        ways: Ways<'s>,
        storage: Storage<'s>,
        mut parts: Parts<E>,
        now: Instant,
    ) -> Self {
        let rng = &mut parts.rng;
        let mut seeds = [[0; 16]; 2];
        seeds.iter_mut().for_each(|seed| rng.fill_bytes(seed));
        let [key_seed, dht_seed] = seeds;
        let law = Law::new(E::RELAYS && !storage.relays.is_empty());
        let mut node = Self {
            dht: Dht::new(
                storage.close,
                storage.searches,
                storage.candidates,
                (storage.punches, ways.hole_punching),
                info,
                dht_seed,
            ),
            relay: OnionRelay::new(rng),
            relays: RelayClient::new(
                (storage.relays, storage.streams),
                storage.relay_peers,
                storage.relay_names,
                ways.proxy,
            ),
            store: AnnounceStore::new(storage.announced, storage.group_peers, rng),
            forwarder: Forwarder::new(rng),
            announcements: Announcements::new(now, storage.announcements, rng),
            onion: OnionClient::new(storage.onion),
            sessions: Sessions::new(storage.sessions, rng),
            friends: Friends::new(storage.friends),
            requests: Requests::new(storage.requests, storage.blocked),
            messenger: Messenger::new(storage.text),
            shared: Shared {
                now,
                unix: UnixTime(0),
                unix_at: now,
                me,
                keys: Keys::new(storage.keys, key_seed),
                budget: Budget::new(storage.sources, storage.agreements, key_seed),
                blocks: storage.blocks,
                parts,
                stats: Stats::default(),
            },
            lan: LanCaller::new(now, ways.udp && ways.lan_discovery),
            shown: Connection::None,
            local: None,
            udp: ways.udp,
            onion_looks: false,
            telling: false,
            persist: false,
            closing: false,
            alarm: Instant::FAR,
            turn: 0,
            event_turn: 0,
            lent: Lent::Nothing,
            law,
        };
        node.dht.start(&mut node.shared.cx());
        if !node.udp {
            node.onion.set_way(now, OnionWay::None);
        }
        node
    }

    /// Handles a received datagram: decrypts it in place, and answers it in place at most once.
    pub fn handle_datagram(&mut self, now: Instant, frame: &mut Frame<'_>) -> Disposition {
        self.shared.advance(now);
        self.notice_sleep();
        self.shared.stats.datagrams_in += 1;
        let disposition = if self.udp { self.dispatch(frame) } else { Disposition::Dropped(DropReason::Disabled) };
        self.after_relays();
        match disposition {
            Disposition::Consumed => {}
            Disposition::Reply { .. } => {
                self.shared.stats.replied += 1;
                self.shared.stats.datagrams_out += 1;
            }
            Disposition::Dropped(reason) => self.shared.stats.count_drop(reason),
        }
        disposition
    }

    /// Does what is due. Call it at the time of [`poll_timeout`](Self::poll_timeout) or later; earlier does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.input(now);
        if self.udp {
            self.dht.on_timeout(&mut self.shared.cx());
        }
        self.onion.on_timeout(&mut self.shared.cx());
        self.sessions.on_timeout(&mut self.shared.cx());
        self.drain_session_notes();
        self.friends_on_timeout();
        if E::RELAYS {
            self.relays.on_timeout(&mut self.shared.cx());
            self.after_relays();
        }
    }

    /// The wall clock: at start, when it was set, and now and then. Without one, friends find a restarted node later.
    pub fn handle_clock(&mut self, now: Instant, unix: UnixTime) {
        self.input(now);
        (self.shared.unix, self.shared.unix_at) = (unix, self.shared.now);
    }

    /// The next thing that only the runtime can do.
    pub fn poll_action(&mut self) -> Option<Action> {
        if core::mem::take(&mut self.persist) {
            return Some(Action::Persist);
        }
        if E::LAN_DISCOVERY
            && let Some(call) = self.lan.poll(self.shared.now, self.shared.me.dht.public)
        {
            return Some(Action::LanDiscovery(call));
        }
        if E::RELAYS
            && let Some(action) = self.poll_stream_action()
        {
            return Some(action);
        }
        self.law.drained(Output::Action);
        None
    }

    /// The next packet to be sent, encoded into `buf`. When it cannot be sent now, keep it and call
    /// [`blocked`](Self::blocked).
    pub fn poll_transmit<'b>(&mut self, now: Instant, buf: &'b mut [u8; DATAGRAM_MAX]) -> Option<Transmit<'b>> {
        self.shared.advance(now);
        if self.law.is_resting(self.shared.now) {
            return None;
        }
        if self.telling {
            self.tell_friends();
        }
        let encoded = (0..4).find_map(|_| {
            let encoded = match self.turn {
                0 => self.sessions.encode_next(&mut self.shared.cx(), buf),
                1 if self.udp => self.dht.encode_next(&mut self.shared.cx(), buf),
                2 if self.onion.way() == OnionWay::Udp => self.encode_onion(buf),
                2 => {
                    self.onion_looks = true;
                    None
                }
                3 if self.udp => self.encode_dht_announce(buf),
                _ => None,
            };
            if encoded.is_none() {
                self.turn = (self.turn + 1) % 4;
            }
            encoded
        });
        let Some((to, len)) = encoded else {
            self.law.drained(Output::Transmit);
            return None;
        };
        self.shared.stats.datagrams_out += 1;
        Some(Transmit { to, bytes: &buf[..len] })
    }

    /// The next event. What it lends goes back at the next call. Unread events hold blocks, so a friend who sends to an
    /// application that does not read is stopped by the window, and nothing is lost.
    pub fn poll_event(&mut self) -> Option<Event<'_>> {
        self.take_back();
        let connection = self.connection();
        if self.shown != connection {
            self.shown = connection;
            return Some(Event::SelfConnection(connection));
        }
        if self.law.is_resting(self.shared.now) {
            return None;
        }
        if E::RELAYS
            && let Some(trouble) = self.relays.take_trouble()
        {
            return Some(Event::Proxy(trouble));
        }
        if let Some(request) = self.requests.next() {
            self.lent = Lent::Block(request.words);
            let Lent::Block(words) = &self.lent else { unreachable!("set above") };
            return Some(Event::FriendRequest { key: request.from, message: self.shared.blocks.get(words).bytes() });
        }
        self.poll_friend_event()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and why.
    pub fn poll_timeout(&mut self) -> Option<Deadline> {
        if let Some(rest) = self.law.sleeps() {
            return rest;
        }
        let dht = if self.udp { self.dht.deadline() } else { None };
        let relays =
            if E::RELAYS { Deadline::earliest(self.relays.deadline(), self.onion_way_deadline()) } else { None };
        let rest = [
            dht,
            relays,
            self.onion.deadline(!(E::RELAYS && self.onion_is_held_up())),
            self.sessions.deadline(),
            self.friends.deadline(),
            self.lan.deadline().filter(|_| E::LAN_DISCOVERY),
        ];
        let rest = rest.into_iter().fold(None, Deadline::earliest);
        self.law.rest(rest);
        // What is overdue already says nothing about how long we sleep.
        self.alarm = rest.map_or(Instant::FAR, |rest| rest.at.max(self.shared.now));
        rest
    }

    /// The receiver of an output cannot take more now; it counts as drained until it can.
    pub const fn blocked(&mut self, output: Output) {
        self.law.blocked(output);
    }

    /// Ends all sessions in good order: [`poll_transmit`](Self::poll_transmit) hands out the kill packets, so that
    /// friends see us go offline at once.
    pub fn shutdown(&mut self, now: Instant) {
        self.input(now);
        self.closing = true;
        for friend in self.friends.table.values_mut() {
            friend.lost_sight();
            if let Some(session) = friend.session {
                let acked = self.sessions.acked_tag(session);
                let unread = self.sessions.take_unread(&mut self.shared.blocks, session);
                self.sessions.close(&mut self.shared.cx(), session);
                links::end_session(&mut self.shared.blocks, now, friend, unread, acked);
            }
        }
    }

    /// Counters since the start.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    fn input(&mut self, now: Instant) {
        self.shared.advance(now);
        self.law.input();
        self.notice_sleep();
    }

    /// What is done for others alone (relaying, storing, most answers of the DHT) is no input by the law: nothing of
    /// ours follows from it.
    fn dispatch(&mut self, frame: &mut Frame<'_>) -> Disposition {
        let Some(kind) = frame.bytes().first() else { return Disposition::Dropped(DropReason::Malformed) };
        match *kind {
            kind::PING_REQUEST
            | kind::PING_RESPONSE
            | kind::NODES_REQUEST
            | kind::NODES_RESPONSE
            | kind::DHT_REQUEST
            | kind::BOOTSTRAP_INFO => self.on_dht(frame),
            kind::LAN_DISCOVERY if E::LAN_DISCOVERY => self.on_lan_discovery(frame),
            kind::COOKIE_REQUEST => self.on_session(frame),
            kind::COOKIE_RESPONSE | kind::CRYPTO_HANDSHAKE | kind::CRYPTO_DATA => {
                self.law.input();
                self.on_session(frame)
            }
            kind::ONION_REQUEST_0
            | kind::ONION_REQUEST_1
            | kind::ONION_REQUEST_2
            | kind::ONION_RESPONSE_1
            | kind::ONION_RESPONSE_2
            | kind::ONION_RESPONSE_3 => {
                let dht = &self.dht;
                self.relay.on_packet(&mut self.shared.cx(), frame, &|key, at| dht.standing(key, at))
            }
            kind::ANNOUNCE_REQUEST | kind::ONION_DATA_REQUEST | kind::GROUP_ANNOUNCE_REQUEST => {
                let (dht, now) = (&self.dht, self.shared.now);
                let closest = |key: &_, lan_ok| dht.closest(now, key, lan_ok);
                self.store.on_packet(&mut self.shared.cx(), frame, &|key, at| dht.standing(key, at), closest)
            }
            kind::FORWARD_REQUEST..=kind::STORE_ANNOUNCE_RESPONSE if E::SERVES => self.on_service(frame),
            kind::ANNOUNCE_RESPONSE | kind::ONION_DATA_RESPONSE | kind::GROUP_ANNOUNCE_RESPONSE => {
                self.law.input();
                self.on_onion(frame)
            }
            _ => Disposition::Dropped(DropReason::UnknownKind),
        }
    }
}

impl<E: Env> core::fmt::Debug for Node<'_, E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Node")
            .field("key", &self.shared.me.long_term.public)
            .field("friends", &self.friends.table.len())
            .finish_non_exhaustive()
    }
}

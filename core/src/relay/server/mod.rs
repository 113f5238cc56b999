//! The relay: carries data between clients that have no other way to each other.
//!
//! It stands alone, so that a node can have none, one, or one per thread; its adapter owns the sockets:
//!
//! - [`opened`](RelayServer::opened) for each connection accepted, [`closed`](RelayServer::closed) for each that ended.
//! - [`handle_stream`](RelayServer::handle_stream) for what arrived. It opens frames in the adapter's buffer and tells
//!   how many bytes are done with; the rest is the beginning of a frame, to be kept until more is there.
//! - [`next_stream`](RelayServer::next_stream) names who is to be sent something,
//!   [`poll_stream`](RelayServer::poll_stream) writes it. A connection that cannot send is not asked: then its queue
//!   fills, and further data to it is dropped.
//! - [`poll_transmit`](RelayServer::poll_transmit) gives datagrams for nodes: onion packets of clients.
//!   [`RelayMark::owns`] tells which received datagrams are answers to them, for
//!   [`handle_datagram`](RelayServer::handle_datagram); all others are the node's.
//! - [`poll_action`](RelayServer::poll_action) names connections to be closed, and
//!   [`poll_timeout`](RelayServer::poll_timeout) when to call [`handle_timeout`](RelayServer::handle_timeout).
//!
//! Several threads share a relay by a lock around it. So that it is held only while packets are passed on, the threads
//! shake hands, open and seal themselves: see [`RelayServer::with_channels_outside`].
//!
//! Nothing is ever buffered for a client that sends. For one that receives there are queues of data, which are dropped
//! from when it reads too slowly, and notices (who came and went, pings), which are not queued but flags: they are few,
//! go first, and are never lost. Whoever misuses the protocol is closed, exactly where toxcore does it (wire-facts
//! 2.11).

mod conns;
mod index;
mod onion;
mod outside;
mod queue;
mod receive;
mod routes;
mod send;
mod stats;
mod storage;
#[cfg(test)]
mod tests;

pub use conns::Conn;
pub use onion::RelayMark;
pub use queue::{QUEUE_BLOCK_LEN, QueueBlock};
pub use routes::RoutePage;
pub use stats::{CloseReason, RelayStats};
pub use storage::{RelayLimits, RelayStorage, StaticRelayStorage};

use super::StreamId;
use crate::crypto::{PublicKey, SecretKey};
use crate::cx::{Env, KeyPair, Parts};
use crate::forwarding::Sendbacks;
use crate::limit::Tokens;
use crate::node::BuildError;
use crate::onion::ReturnKeys;
use crate::storage::{Full, Table};
use crate::time::{Deadline, Instant, Why};
use crate::{DropReason, Endpoint};
use conns::{Conns, State};
use core::time::Duration;
use index::{KeyIndex, Shares};
use queue::{Pool, Queue};
use rand_core::Rng;
use routes::Routes;

/// How long handshake and first frame may take together.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// A client is pinged so long after its last sign of life (`TCP_server.h`, TCP_PING_FREQUENCY).
const PING_EVERY: Duration = Duration::from_secs(30);
/// A ping must be answered in this time (TCP_PING_TIMEOUT).
const PING_TIME: Duration = Duration::from_secs(10);
/// An address with this part of all pending handshakes displaces its own.
const PENDING_SHARE: usize = 4;
/// Packets of clients are forwarded to nodes once in this time.
const FORWARD_EVERY: Duration = Duration::from_millis(2);
/// And so many at once.
const FORWARD_BURST: u32 = 512;

/// Something that only the adapter can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayAction {
    /// Close this connection. Its id is stale now.
    Close {
        /// Which.
        id: StreamId,
        /// What for.
        reason: CloseReason,
    },
}

/// A TCP relay. See the module's documentation for how it is driven.
pub struct RelayServer<'s, E: Env> {
    now: Instant,
    me: KeyPair,
    parts: Parts<E>,
    limits: RelayLimits,
    clients: usize,
    conns: Conns<'s>,
    index: KeyIndex<'s>,
    shares: Shares<'s>,
    routes: Routes<'s>,
    pool: Pool<'s>,
    /// Datagrams for nodes.
    datagrams: Queue,
    returns: ReturnKeys,
    sendbacks: Sendbacks,
    /// Packets that are forwarded to nodes.
    forwards: Tokens,
    mark: RelayMark,
    stats: RelayStats,
    /// The adapter has the channels.
    outside: bool,
}

impl<'s, E: Env> RelayServer<'s, E> {
    /// A relay whose key is `secret`: a node's DHT key.
    ///
    /// # Errors
    /// [`BuildError::StorageTooSmall`] when a table is missing or smaller than its limit.
    pub fn new(
        secret: SecretKey,
        storage: RelayStorage<'s>,
        mut parts: Parts<E>,
        now: Instant,
    ) -> Result<Self, BuildError> {
        if !storage.suffices() {
            return Err(BuildError::StorageTooSmall);
        }
        let mut seeds = [[0; 16]; 3];
        seeds.iter_mut().for_each(|seed| parts.rng.fill_bytes(seed));
        let [key_seed, address_seed, mark_seed] = seeds;
        Ok(Self {
            now,
            me: KeyPair::new(&parts.suite, secret),
            limits: storage.limits,
            clients: 0,
            conns: Conns::new(storage.conns),
            index: KeyIndex::new(storage.index, key_seed),
            shares: Shares::new(storage.shares, address_seed, storage.limits.per_address),
            routes: Routes::new(storage.pages),
            pool: Pool::new(storage.blocks, storage.links),
            datagrams: Queue::EMPTY,
            returns: ReturnKeys::new(&mut parts.rng),
            sendbacks: Sendbacks::new(&mut parts.rng),
            forwards: Tokens::new(FORWARD_EVERY, FORWARD_BURST),
            mark: RelayMark::new(mark_seed),
            stats: RelayStats::default(),
            outside: false,
            parts,
        })
    }

    /// A connection was accepted.
    ///
    /// # Errors
    /// [`Full`]: close it. Its address has its share already, or actions were not drained.
    pub fn opened(&mut self, now: Instant, from: Endpoint) -> Result<StreamId, Full> {
        self.advance(now);
        let bucket = self.shares.bucket(from.ip());
        let opened = self.make_room(bucket).and_then(|()| self.conns.insert(self.now, from, bucket));
        match opened {
            Ok(_) => {
                self.shares.take(bucket);
                self.stats.opened += 1;
            }
            Err(Full) => self.stats.refused += 1,
        }
        opened
    }

    /// A connection has ended by itself; no action follows. A stale id does no harm.
    pub fn closed(&mut self, now: Instant, id: StreamId) {
        self.advance(now);
        let Some(at) = self.conns.find(id) else { return };
        self.shut(at, CloseReason::Gone);
        self.conns.vacate(at);
    }

    /// Does what is due. Call it at the time of [`poll_timeout`](Self::poll_timeout) or later; earlier does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        while let Some(at) = self.due(self.conns.pending.front(), HANDSHAKE_TIME) {
            self.shut(at, CloseReason::HandshakeTimeout);
        }
        while let Some(at) = self.due(self.conns.asked.front(), PING_TIME) {
            self.shut(at, CloseReason::PingTimeout);
        }
        while let Some(at) = self.due(self.conns.idle.front(), PING_EVERY) {
            let ping = self.parts.rng.next_u64().max(1);
            let conn = self.conns.get_mut(at);
            (conn.ping, conn.due.ping) = (ping, true);
            self.conns.change(at, State::Asked, self.now);
            self.conns.list(at);
        }
    }

    /// The next thing that only the adapter can do.
    pub fn poll_action(&mut self) -> Option<RelayAction> {
        let (id, reason) = self.conns.vacate(self.conns.closing.front()?);
        Some(RelayAction::Close { id, reason })
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and why. Before it, actions, streams and transmits are
    /// drained; debug builds check it.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        debug_assert!(self.conns.closing.len() == 0, "actions not drained before sleeping");
        debug_assert!(!self.conns.any_listed(), "streams not drained before sleeping");
        debug_assert!(self.datagrams.is_empty(), "transmits not drained before sleeping");
        let deadline =
            |front: Option<usize>, span, why| front.map(|at| Deadline { at: self.conns.get(at).since + span, why });
        [
            deadline(self.conns.pending.front(), HANDSHAKE_TIME, Why::RelayHandshake),
            deadline(self.conns.asked.front(), PING_TIME, Why::RelayPong),
            deadline(self.conns.idle.front(), PING_EVERY, Why::RelayPing),
        ]
        .into_iter()
        .fold(None, Deadline::earliest)
    }

    /// Our key, which clients must know.
    #[must_use]
    pub const fn key(&self) -> PublicKey {
        self.me.public
    }

    /// Tells which datagrams are answers to our clients. It can be copied to whoever receives datagrams.
    #[must_use]
    pub const fn mark(&self) -> RelayMark {
        self.mark
    }

    /// The key of a client; `None` as long as it has not proved that it has it.
    #[must_use]
    pub fn client(&self, id: StreamId) -> Option<PublicKey> {
        self.conns.find(id).map(|at| self.conns.get(at)).filter(|conn| conn.is_client()).map(|conn| conn.key)
    }

    /// Counters since the start.
    #[must_use]
    pub const fn stats(&self) -> &RelayStats {
        &self.stats
    }

    /// How full the tables are: clients, pending handshakes, pages of routes, blocks.
    #[must_use]
    pub fn tables(&self) -> [Table; 4] {
        let RelayLimits { clients, pending, .. } = self.limits;
        let (pages, blocks) = (self.routes.capacity(), self.pool.capacity() as usize);
        [
            Table { name: "relay clients", used: self.clients, capacity: clients },
            Table { name: "relay handshakes", used: self.conns.pending.len(), capacity: pending },
            Table { name: "relay routes", used: self.routes.used(), capacity: pages },
            Table { name: "relay blocks", used: self.pool.used() as usize, capacity: blocks },
        ]
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// The front of a list, if its time has come.
    fn due(&self, front: Option<usize>, span: Duration) -> Option<usize> {
        front.filter(|at| self.now.reached(self.conns.get(*at).since, span))
    }

    /// Lets a pending connection go when there are too many, at all or from one address.
    fn make_room(&mut self, bucket: u32) -> Result<(), Full> {
        let used_up = self.shares.is_used_up(bucket);
        if !used_up && self.conns.pending.len() < self.limits.pending {
            return Ok(());
        }
        let (own, count) = self.conns.oldest_of(bucket);
        let oldest =
            if used_up || count * PENDING_SHARE > self.limits.pending { own } else { self.conns.pending.front() };
        self.shut(oldest.ok_or(Full)?, CloseReason::Displaced);
        Ok(())
    }

    /// Ends a connection: its peers are told, and all that it owns is given back.
    fn shut(&mut self, at: usize, reason: CloseReason) {
        let conn = self.conns.get(at);
        if conn.state == State::Closing {
            return;
        }
        let bucket = conn.bucket;
        if conn.is_client() {
            self.clients -= 1;
            let (index, conns) = (&mut self.index, &self.conns);
            index.remove(&conns.get(at).key, |i| &conns.get(i).key);
            self.leave_all(at);
        }
        let conn = self.conns.get_mut(at);
        self.pool.clear(&mut conn.queue);
        conn.due = conns::Outgoing::default();
        self.shares.give(bucket);
        self.conns.close(at, reason, self.now);
        self.stats.count_close(reason);
    }

    fn drop_packet(&mut self, reason: DropReason) {
        self.stats.count_drop(reason);
    }
}

impl<E: Env> core::fmt::Debug for RelayServer<'_, E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RelayServer")
            .field("key", &self.me.public)
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

//! TCP relays: for those whom UDP does not reach.
//!
//! A client keeps an encrypted stream to a relay and names the peers it wants to speak with; when two have named each
//! other, the relay passes data between them. It also carries packets to somebody who has not named the sender
//! (out-of-band), and is the first hop of the onion for those who have no UDP.
//!
//! [`channel`] is the stream, which both ends share; [`server`] is the relay; `client` is a node's part; [`proxy`]
//! opens the way to a relay for those who are let out by a proxy only.

pub mod channel;
pub(crate) mod client;
pub mod proxy;
pub mod server;

pub use client::StreamEnd;
pub(crate) use client::{Reach, RelayClient};

/// Handle of a TCP connection: a stale one finds nothing, never another connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamId {
    index: u32,
    /// Counts all connections so far; never used again.
    serial: u64,
}

impl StreamId {
    /// The place in the table: a small number, reused when the connection has ended. Adapters keep sockets under it.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

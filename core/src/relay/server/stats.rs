//! What a relay counts.

use crate::DropReason;

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CloseReason {
    /// The other side closed it.
    Gone = 0,
    /// A handshake for another key, or none.
    BadHandshake,
    /// A frame that did not open.
    BadFrame,
    /// A packet that the protocol does not know, or an id that stands for nobody.
    Misuse,
    /// The handshake was not done in time.
    HandshakeTimeout,
    /// A newer connection waits for its handshake.
    Displaced,
    /// A ping was not answered.
    PingTimeout,
    /// The client has another, newer connection.
    Replaced,
    /// There are as many clients as there may be.
    NoRoom,
    /// What it must be told does not fit into its queue.
    Overflow,
}

impl CloseReason {
    /// All reasons, in order.
    pub const ALL: [Self; 10] = [
        Self::Gone,
        Self::BadHandshake,
        Self::BadFrame,
        Self::Misuse,
        Self::HandshakeTimeout,
        Self::Displaced,
        Self::PingTimeout,
        Self::Replaced,
        Self::NoRoom,
        Self::Overflow,
    ];
}

/// Counters of a relay since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayStats {
    /// Connections accepted.
    pub opened: u64,
    /// Connections refused at once: the table is full, or the address has its share.
    pub refused: u64,
    /// Clients that have shown who they are.
    pub clients: u64,
    /// Frames received.
    pub frames_in: u64,
    /// Frames sent.
    pub frames_out: u64,
    /// Packets passed on from client to client, out-of-band ones included.
    pub relayed: u64,
    /// Bytes in them.
    pub relayed_bytes: u64,
    /// Onion packets sent on.
    pub onion_requests: u64,
    /// Onion answers handed to clients.
    pub onion_responses: u64,
    /// Packets sent to nodes for clients, as forwarding.
    pub forwarded: u64,
    closed: [u64; CloseReason::ALL.len()],
    dropped: [u64; DropReason::ALL.len()],
}

impl RelayStats {
    /// How many connections were closed for `reason`.
    #[must_use]
    pub const fn closed(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize]
    }

    /// How many packets were dropped for `reason`: [`DropReason::NoRoom`] when a client reads too slowly,
    /// [`DropReason::NoRoute`] when nobody is there.
    #[must_use]
    pub const fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    pub(super) const fn count_close(&mut self, reason: CloseReason) {
        self.closed[reason as usize] += 1;
    }

    pub(super) const fn count_drop(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
    }
}

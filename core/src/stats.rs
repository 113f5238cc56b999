//! Counters. Nothing from the network is ever an error: it is consumed, answered, or dropped and counted here.

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DropReason {
    /// The first byte names no packet that we serve.
    UnknownKind,
    /// Wrong length or layout.
    Malformed,
    /// A box did not open, or a key is of small order.
    BadCrypto,
    /// Sent by ourselves.
    OwnPacket,
    /// An answer to nothing that we asked, or too late.
    Unsolicited,
    /// To be forwarded to a node that we do not know.
    NoRoute,
    /// An onion payload that relays must not forward.
    Forbidden,
    /// The address cannot be sent to.
    BadAddress,
    /// A ping id, cookie or other token of ours that has expired or never was.
    BadToken,
    /// A table or the block pool is full.
    NoRoom,
    /// More than the rate limit allows.
    RateLimited,
    /// From somebody who is no friend.
    Stranger,
    /// Seen before: a duplicate or replayed packet.
    Duplicate,
    /// It does not fit the state of its connection.
    BadState,
    /// Outside a session's window.
    OutOfWindow,
    /// A friend request with a wrong nospam.
    WrongNospam,
    /// The feature is turned off (a table of capacity 0).
    Disabled,
}

impl DropReason {
    /// All reasons, in order.
    pub const ALL: [Self; 17] = [
        Self::UnknownKind,
        Self::Malformed,
        Self::BadCrypto,
        Self::OwnPacket,
        Self::Unsolicited,
        Self::NoRoute,
        Self::Forbidden,
        Self::BadAddress,
        Self::BadToken,
        Self::NoRoom,
        Self::RateLimited,
        Self::Stranger,
        Self::Duplicate,
        Self::BadState,
        Self::OutOfWindow,
        Self::WrongNospam,
        Self::Disabled,
    ];
}

/// Counters of a node since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams handled.
    pub datagrams_in: u64,
    /// Datagrams handed out, replies included.
    pub datagrams_out: u64,
    /// Of `datagrams_in`: answered in place.
    pub replied: u64,
    /// Box keys and session keys agreed upon, cached or not: X25519 is what costs time.
    pub keys_computed: u64,
    /// Key agreements that others made us compute, within the [budget](crate::Limits::agreements).
    pub agreements_granted: u32,
    /// Key agreements that the budget had nothing left for.
    pub agreements_refused: u32,
    /// Announcements of others that gave their place to one nearer to our DHT key.
    pub announces_evicted: u32,
    /// Announcements that were not stored: the table is full of nearer ones.
    pub announces_refused: u32,
    /// Handshakes with a cookie that is not ours or has expired.
    pub cookies_refused: u32,
    /// Cookie requests and handshakes that went out again because no answer came.
    pub handshakes_repeated: u32,
    /// Sessions that came to be established.
    pub sessions_opened: u32,
    /// Lossless packets that went out again: reported missing, or suspected to be.
    pub packets_resent: u64,
    /// Messages and custom packets that the application got back with [`SendError::Full`](crate::SendError::Full).
    pub sends_refused: u64,
    dropped: [u32; DropReason::ALL.len()],
}

impl Stats {
    /// How many datagrams were dropped for `reason`.
    #[must_use]
    pub const fn dropped(&self, reason: DropReason) -> u32 {
        self.dropped[reason as usize]
    }

    /// How many datagrams were dropped at all.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().map(|n| u64::from(*n)).sum()
    }

    /// Adds the counters of another thread ([`Shard`](crate::Shard)).
    #[cfg(feature = "alloc")]
    pub fn add(&mut self, other: &Self) {
        for (all, more) in [
            (&mut self.datagrams_in, other.datagrams_in),
            (&mut self.datagrams_out, other.datagrams_out),
            (&mut self.replied, other.replied),
            (&mut self.keys_computed, other.keys_computed),
            (&mut self.packets_resent, other.packets_resent),
            (&mut self.sends_refused, other.sends_refused),
        ] {
            *all += more;
        }
        for (all, more) in [
            (&mut self.agreements_granted, other.agreements_granted),
            (&mut self.agreements_refused, other.agreements_refused),
            (&mut self.announces_evicted, other.announces_evicted),
            (&mut self.announces_refused, other.announces_refused),
            (&mut self.cookies_refused, other.cookies_refused),
            (&mut self.handshakes_repeated, other.handshakes_repeated),
            (&mut self.sessions_opened, other.sessions_opened),
        ] {
            *all = all.saturating_add(more);
        }
        for (all, more) in self.dropped.iter_mut().zip(&other.dropped) {
            *all = all.saturating_add(*more);
        }
    }

    /// Counts one.
    pub(crate) fn count_drop(&mut self, reason: DropReason) {
        count(&mut self.dropped[reason as usize]);
    }
}

/// Counts one; a full counter stays full.
pub(crate) const fn count(counter: &mut u32) {
    *counter = counter.saturating_add(1);
}

//! Time as the core sees it: an input, never a clock.
//!
//! Every entry point of the node takes `now`. The adapter chooses the epoch; values of two nodes are never compared.

use core::time::Duration;

/// A point in time, in microseconds since an epoch that the adapter chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The epoch. Tables also use it for "never".
    pub const ZERO: Self = Self(0);
    /// Later than every deadline.
    pub const FAR: Self = Self(u64::MAX);

    /// From microseconds since the epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// From milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// From seconds since the epoch.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0 / 1000
    }

    /// Time since `earlier`; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Whether `span` or more has passed since `earlier`.
    #[must_use]
    pub fn reached(self, earlier: Self, span: Duration) -> bool {
        self >= earlier + span
    }
}

impl core::ops::Add<Duration> for Instant {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        // Not by `as_micros`, whose 128 bits cost a small processor much.
        let micros = span.as_secs().saturating_mul(1_000_000).saturating_add(span.subsec_micros().into());
        Self(self.0.saturating_add(micros))
    }
}

/// Wall-clock time, seconds since 1970. It may jump; only the friend-finding announce needs it (`no_replay`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(pub u64);

/// When the node wants to be called again, and for what: a busy loop names its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// Call `handle_timeout` at this time or later.
    pub at: Instant,
    /// The timer behind it.
    pub why: Why,
}

impl Deadline {
    /// The earlier of two optional deadlines.
    #[must_use]
    pub fn earliest(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        match (a, b) {
            (Some(a), Some(b)) => Some(if b.at < a.at { b } else { a }),
            (a, None) => a,
            (None, b) => b,
        }
    }
}

/// The timers of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// A bootstrap node has not answered yet.
    Bootstrap,
    /// The local network is to be told of us.
    LanDiscovery,
    /// A known DHT node is due for a nodes request.
    DhtPing,
    /// A search for a DHT key asks on.
    DhtSearch,
    /// Newcomers that wait to be pinged.
    DhtPingAdd,
    /// A friend behind an address translator is sought.
    HolePunch,
    /// An onion path is missing or worn out.
    OnionPath,
    /// Our announcement is due at one of its nodes.
    OnionAnnounce,
    /// A search for a friend's announcement.
    OnionSearch,
    /// A friend is to be told our DHT key.
    OnionDhtKey,
    /// An onion request was not answered in time.
    OnionTimeout,
    /// A cookie request or handshake is repeated.
    SessionHandshake,
    /// Missing packets are requested, or arrived ones acknowledged.
    SessionRequest,
    /// The congestion window or the pacing opens.
    SessionSend,
    /// A session has been silent for too long.
    SessionTimeout,
    /// An alive packet is due.
    FriendAlive,
    /// A friend request goes out again.
    FriendRequest,
    /// A friend has been silent for too long.
    FriendTimeout,
    /// A relay that we use is to be pinged, given up, or tried again.
    Relay,
    /// A handshake with a relay takes too long.
    RelayHandshake,
    /// A client of our relay is to be pinged.
    RelayPing,
    /// A client of our relay has not answered a ping.
    RelayPong,
}

//! The two ways to a peer: directly, and through relays.
//!
//! Direct is better. It counts as long as the peer is heard there; it is doubted after 8 s of silence, after one second
//! of silence while something is not acknowledged, and when the peer itself speaks through a relay. Then packets go
//! through a relay, if the peer is at one, and small probes go to the address: whoever hears the other directly says so
//! at once, directly, and both are back.
//!
//! After a move or a sleep the peer may have given the session up, and forgotten us: nothing of ours reaches it, and it
//! does not know where to ask for us. So when nothing is heard although a relay is there, the session ends soon, and
//! another is opened.

use super::live::Live;
use crate::relay::Reach;
use crate::time::Instant;
use core::time::Duration;

/// toxcore believes in a direct connection for 8 s (`net_crypto.h`, UDP_DIRECT_TIMEOUT).
const DIRECT_LIFE: Duration = Duration::from_secs(8);
/// How long something may stay unacknowledged in silence: toxcore acknowledges up to a second late.
const PATIENCE: Duration = Duration::from_millis(1_000);
/// A peer heard directly so lately may have sent through the relay before.
const OVERLAP: Duration = Duration::from_millis(500);
/// First pause between probes, and the longest (toxcore: half of UDP_DIRECT_TIMEOUT).
const PROBE_FIRST: Duration = Duration::from_millis(250);
const PROBE_MAX: Duration = Duration::from_secs(4);
/// How long a peer may be silent after a move or a sleep once a relay is there; three round trips are added.
const ADRIFT: Duration = Duration::from_millis(1_500);
/// Tries that a session opens with its address alone, if it has one.
const DIRECT_TRIES: u8 = 2;

/// How a session's peer is reached.
#[derive(Debug)]
pub(crate) struct Ways {
    /// There are relays at all: the owner tells how the peer is reached.
    watched: bool,
    reach: Reach,
    /// The peer has been heard directly, and that is not doubted.
    direct: bool,
    /// The last packet came through a relay.
    by_relay: bool,
    /// Something waits for a relay.
    pub(super) due: bool,
    /// A probe is to go out.
    pub(super) probe: bool,
    probes: u8,
    /// When the peer was last heard directly.
    heard: Instant,
    probe_at: Instant,
    /// We have moved or slept, nothing was heard since, and no relay is there.
    adrift: bool,
}

impl Ways {
    pub(crate) const NEW: Self = Self {
        watched: false,
        reach: Reach::None,
        direct: false,
        by_relay: false,
        due: false,
        probe: false,
        probes: 0,
        heard: Instant::ZERO,
        probe_at: Instant::ZERO,
        adrift: false,
    };

    /// How relays reach the peer may have changed. True when that is news.
    pub(crate) fn set_reach(&mut self, reach: Reach) -> bool {
        self.watched = true;
        core::mem::replace(&mut self.reach, reach) != reach
    }

    /// Whether an established session's packets go through a relay.
    pub(crate) fn is_relayed(&self, has_address: bool) -> bool {
        self.reach == Reach::Online && !(self.direct && has_address)
    }

    pub(crate) const fn is_direct(&self) -> bool {
        self.direct
    }

    /// When the peer was last heard directly.
    pub(crate) const fn heard(&self) -> Instant {
        self.heard
    }

    /// A packet of an opening session goes out for the nth time: whether it goes through relays, too.
    pub(crate) fn open(&mut self, tries: u8, has_address: bool) {
        self.due |= self.reach != Reach::None && (!has_address || self.by_relay || tries >= DIRECT_TRIES);
    }

    /// A handshake of the peer came.
    pub(crate) const fn shaken(&mut self, by_relay: bool) {
        self.by_relay = by_relay;
    }

    /// An authentic packet came directly. True when that is news.
    pub(crate) const fn heard_direct(&mut self, now: Instant) -> bool {
        (self.heard, self.by_relay, self.probe, self.probes) = (now, false, false, 0);
        self.on_land();
        !core::mem::replace(&mut self.direct, true)
    }

    /// An authentic packet came through a relay. True when that is news.
    pub(crate) fn heard_relayed(&mut self, now: Instant) -> bool {
        self.by_relay = true;
        self.on_land();
        self.direct && now.reached(self.heard, OVERLAP) && self.doubt(now)
    }

    /// We have moved or slept: whether the peer still knows us is open.
    pub(crate) const fn set_adrift(&mut self) {
        self.adrift = true;
    }

    /// Once a relay is there: whether, and how soon, a peer that is still silent has forgotten us. Its packets take
    /// `round_trip`.
    pub(crate) fn take_adrift(&mut self, round_trip: Duration) -> Option<Duration> {
        let shows = self.adrift && self.reach != Reach::None;
        shows.then(|| self.on_land()).map(|()| ADRIFT + 3 * round_trip)
    }

    /// The peer's address is new.
    pub(crate) fn moved(&mut self, now: Instant) {
        (self.probes, self.probe_at) = (0, now);
    }

    /// Timers of an established session. True when the direct way is doubted from now on.
    pub(crate) fn on_timeout(&mut self, now: Instant, live: &Live, has_address: bool) -> bool {
        if now < self.deadline(live, has_address) {
            return false;
        }
        if self.direct {
            return self.doubt(now);
        }
        self.probe = true;
        self.probe_at = now + (PROBE_FIRST * (1 << self.probes.min(4))).min(PROBE_MAX);
        self.probes = self.probes.saturating_add(1);
        false
    }

    /// When [`on_timeout`](Self::on_timeout) has something to do.
    pub(crate) fn deadline(&self, live: &Live, has_address: bool) -> Instant {
        if !self.watched || !has_address {
            return Instant::FAR;
        }
        if !self.direct {
            return if self.reach == Reach::Online { self.probe_at } else { Instant::FAR };
        }
        let waits = live.send.waits();
        let impatient = if waits == Instant::FAR { Instant::FAR } else { waits.max(self.heard) + PATIENCE };
        impatient.min(self.heard + DIRECT_LIFE)
    }

    const fn on_land(&mut self) {
        self.adrift = false;
    }

    fn doubt(&mut self, now: Instant) -> bool {
        (self.direct, self.probes, self.probe_at) = (false, 0, now);
        true
    }
}

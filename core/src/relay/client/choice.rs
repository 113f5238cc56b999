//! Which relays are connected.
//!
//! *Base* relays are those that we keep for ourselves: three, of those that were configured if possible. Peers that
//! have no better way get their own relays connected besides. When everybody is reached directly, a relay that is not
//! base goes after a while, unless it is the only one where a peer could be met at once: some of these stay, so that
//! nobody is lost when UDP dies.
//!
//! Where there is room for a few streams only, half of them are for base relays, and what is not needed now goes.

use super::RelayClient;
use super::peers::RouteStage;
use super::relay::{Relay, Stage};
use crate::time::Instant;
use crate::wire::NodeInfo;
use core::time::Duration;

/// Relays that we keep for ourselves (`TCP_connection.h`, RECOMMENDED_FRIEND_TCP_CONNECTIONS).
const BASE: usize = 3;
/// Other relays that are kept for peers that are reached directly.
const WARM: usize = 2;
/// A relay that nobody needs goes after this time (`TCP_connection.c`, TCP_CONNECTION_ANNOUNCE_TIMEOUT).
const IDLE_TIME: Duration = Duration::from_secs(10);
/// A relay of a peer that failed so often is not tried on the peer's behalf.
const FAILS_MAX: u8 = 8;

impl RelayClient<'_> {
    /// Opens and closes what is to be. Comes after every change.
    pub(super) fn choose(&mut self, now: Instant) {
        self.fill_base(now);
        self.serve_peers(now);
        let was_full = !self.has_stream();
        self.retire(now);
        if was_full && self.has_stream() {
            self.fill_base(now);
            self.serve_peers(now);
        }
        self.set_wake();
    }

    /// Finds the next timer.
    pub(super) fn set_wake(&mut self) {
        let is_idle = |relay: &Relay| relay.is_active() && relay.idle_since != Instant::ZERO;
        let idle = |relay: &Relay| if is_idle(relay) { relay.idle_since + IDLE_TIME } else { Instant::FAR };
        let next = |relay: &Relay| relay.until().min(idle(relay));
        self.wake = self.relays.iter().filter(|relay| !relay.is_vacant()).map(next).min().unwrap_or(Instant::FAR);
    }

    fn fill_base(&mut self, now: Instant) {
        loop {
            let held = self.relays.iter().filter(|relay| relay.base && relay.is_active()).count();
            if held >= self.base_wanted() {
                return;
            }
            let has_stream = self.has_stream();
            let fits = |relay: &Relay| {
                let own = relay.own && (relay.is_active() || relay.stage == Stage::Idle && has_stream);
                !relay.is_vacant() && !relay.base && (relay.is_up() || own)
            };
            let candidates = self.relays.iter().enumerate().filter(|(_, relay)| fits(relay));
            let rank = |relay: &Relay| (!relay.is_active(), !relay.own, relay.fails);
            let Some((place, _)) = candidates.min_by_key(|(_, relay)| rank(relay)) else { return };
            self.relays[place].base = true;
            if self.relays[place].stage == Stage::Idle {
                self.open(now, place);
            }
            for index in 0..self.extent {
                self.bind(index, place);
            }
        }
    }

    /// The relays of peers without a better way.
    fn serve_peers(&mut self, now: Instant) {
        for index in 0..self.extent {
            if self.peers[index].is_vacant() || !self.peers[index].awake {
                continue;
            }
            for relay in self.peers[index].known {
                if !relay.at.is_usable() {
                    continue;
                }
                let Some(place) = self.place_for(&relay, false) else { continue };
                self.bind(index, place);
                let entry = &self.relays[place];
                if entry.stage == Stage::Idle && entry.fails < FAILS_MAX && self.has_stream() {
                    self.open(now, place);
                }
            }
        }
    }

    /// Base relays: at most half of the streams, rounded up.
    fn base_wanted(&self) -> usize {
        self.streams.div_ceil(2).min(BASE)
    }

    /// Others that stay though nobody needs them now: one stream is left for whoever comes to need one.
    fn warm_wanted(&self) -> usize {
        self.streams.saturating_sub(self.base_wanted() + 1).min(WARM)
    }

    /// Whether one more stream may be opened.
    fn has_stream(&self) -> bool {
        self.relays.iter().filter(|relay| relay.is_active()).count() < self.streams
    }

    /// Ends connections that nobody has needed for a while.
    fn retire(&mut self, now: Instant) {
        let mut warm = 0;
        for place in 0..self.relays.len() {
            let relay = &self.relays[place];
            if !relay.is_active() {
                continue;
            }
            let mut needed = relay.base || self.is_needed(place);
            if !needed && warm < self.warm_wanted() && self.is_only_way(place) {
                (needed, warm) = (true, warm + 1);
            }
            let relay = &mut self.relays[place];
            if needed {
                relay.idle_since = Instant::ZERO;
            } else if relay.idle_since == Instant::ZERO {
                relay.idle_since = now;
            } else if now.reached(relay.idle_since, IDLE_TIME) {
                self.hang_up(place);
                self.disconnect(place);
            }
        }
    }

    /// Whether a peer that has no better way may be there.
    fn is_needed(&self, place: usize) -> bool {
        let key = &self.relays[place].key;
        self.peers[..self.extent].iter().any(|peer| !peer.is_vacant() && peer.awake && peer.knows(key))
            || self.peers[..self.extent].iter().any(|peer| {
                let online = |at: usize| peer.routes[at].stage == RouteStage::Online;
                peer.awake && peer.route_at(place).is_some_and(online)
            })
    }

    /// Whether a peer could be met at once there, and nowhere else.
    fn is_only_way(&self, place: usize) -> bool {
        self.peers[..self.extent].iter().any(|peer| {
            let mut online = peer.routes.iter().filter(|route| route.stage == RouteStage::Online);
            let first = online.next().and_then(super::peers::Route::place);
            first == Some(place) && online.next().is_none()
        })
    }

    /// The place of a relay, which may be new. A full table gives up one that is not connected: those that were not
    /// configured go first, and for a peer's sake those of the configuration do not go.
    pub(super) fn place_for(&mut self, node: &NodeInfo, own: bool) -> Option<usize> {
        let known = self.relays.iter().position(|relay| !relay.is_vacant() && relay.key == node.key);
        if let Some(place) = known {
            // A friend may have named a port that does not lead there from here.
            let relay = &self.relays[place];
            if own && relay.at != node.at && !(relay.is_up() || relay.own && relay.is_active()) {
                self.hang_up(place);
                self.disconnect(place);
                (self.relays[place].at, self.relays[place].fails) = (node.at, 0);
            }
            return Some(place);
        }
        let evictable = |relay: &Relay| {
            relay.is_vacant() || !relay.is_active() && relay.closing == 0 && !relay.own && (own || relay.fails > 0)
        };
        let places = self.relays.iter().enumerate().filter(|(_, relay)| evictable(relay));
        let (place, _) = places.max_by_key(|(_, relay)| (relay.is_vacant(), relay.fails, !relay.worked))?;
        self.unbind_all(place);
        self.relays[place] = Relay::new(node);
        Some(place)
    }
}

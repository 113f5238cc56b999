//! Peers: friends whose DHT key is known, and the routes to them.

use super::RelayClient;
use crate::Endpoint;
use crate::crypto::PublicKey;
use crate::time::Instant;
use crate::wire::NodeInfo;

/// Routes to one peer (`TCP_connection.h`, MAX_FRIEND_TCP_CONNECTIONS).
pub(super) const ROUTES_MAX: usize = 6;
/// Relays of a peer that are remembered.
const KNOWN: usize = 3;

/// How a peer is reached through relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// Not at all.
    None,
    /// Relays that it may be at are connected.
    Perhaps,
    /// A relay says that it is there, and asks for us.
    Online,
}

/// A way to a peer through one relay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    /// Place of the relay + 1; 0 in vacant places.
    relay: u8,
    /// What the relay calls the peer, if it has told.
    pub(super) id: u8,
    pub(super) stage: RouteStage,
    /// Packets of an opening session that went this way since they became due.
    pub(super) step: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RouteStage {
    /// To be asked for.
    Wanted,
    /// Asked for.
    Asked,
    /// The relay has no id left for us.
    Refused,
    /// Ours; the peer is not there.
    Given,
    /// The peer is there.
    Online,
}

impl Route {
    const VACANT: Self = Self { relay: 0, id: 0, stage: RouteStage::Wanted, step: 0 };

    pub(super) fn place(&self) -> Option<usize> {
        usize::from(self.relay).checked_sub(1)
    }
}

/// A friend whose DHT key is known.
#[derive(Debug)]
pub(crate) struct RelayPeer {
    /// The DHT key; zero in vacant places.
    pub(super) key: PublicKey,
    /// It has no better way: its relays are to be connected.
    pub(super) awake: bool,
    /// It is wanted no more; what its session says last may still go out.
    pub(super) retired: bool,
    /// Its reach has changed.
    news: bool,
    /// Routes over which the session has something to send, a bit each.
    pub(super) due: u8,
    /// Where data goes first.
    pub(super) prefer: u8,
    pub(super) routes: [Route; ROUTES_MAX],
    /// The relays that it announced last.
    pub(super) known: [NodeInfo; KNOWN],
    next_known: u8,
}

impl RelayPeer {
    /// What vacant places hold.
    pub(crate) const VACANT: Self = Self {
        key: PublicKey::ZERO,
        awake: false,
        retired: false,
        news: false,
        due: 0,
        prefer: 0,
        routes: [Route::VACANT; ROUTES_MAX],
        known: [NodeInfo { key: PublicKey::ZERO, at: Endpoint::UNSPECIFIED }; KNOWN],
        next_known: 0,
    };

    pub(super) fn is_vacant(&self) -> bool {
        self.key == PublicKey::ZERO
    }

    pub(super) fn route_at(&self, place: usize) -> Option<usize> {
        self.routes.iter().position(|route| route.place() == Some(place))
    }

    pub(super) fn knows(&self, relay: &PublicKey) -> bool {
        self.known.iter().any(|known| known.key == *relay && *relay != PublicKey::ZERO)
    }
}

impl RelayClient<'_> {
    /// A friend with this DHT key is wanted. The relays of an earlier key are forgotten.
    pub(crate) fn set_peer(&mut self, now: Instant, index: usize, key: PublicKey) {
        if !self.is_on() || index >= self.peers.len() || key == PublicKey::ZERO {
            return;
        }
        if self.peers[index].key == key && !self.peers[index].retired {
            return;
        }
        self.remove_peer(index);
        self.peers[index] = RelayPeer { key, awake: true, news: true, ..RelayPeer::VACANT };
        self.news = true;
        self.extent = self.extent.max(index + 1);
        for place in 0..self.relays.len() {
            if self.relays[place].base {
                self.bind(index, place);
            }
        }
        self.choose(now);
    }

    /// A friend is not wanted any more.
    pub(crate) fn remove_peer(&mut self, index: usize) {
        let Some(peer) = self.peers.get_mut(index).filter(|peer| !peer.is_vacant()) else { return };
        let routes = peer.routes;
        *peer = RelayPeer::VACANT;
        for (place, id) in routes.iter().filter_map(|route| Some((route.place()?, route.id))) {
            if id != 0 {
                self.relays[place].leave(id);
                self.list(place);
            }
        }
    }

    /// A friend is not wanted any more, but its session may have a last word.
    pub(crate) fn retire_peer(&mut self, index: usize) {
        if self.reach(index) == Reach::Online {
            self.peers[index].retired = true;
        } else {
            self.remove_peer(index);
        }
    }

    /// Whoever owns the peer is to look at its reach.
    pub(crate) fn tell_peer(&mut self, index: usize) {
        if self.peers.get(index).is_some_and(|peer| !peer.is_vacant()) {
            self.tell(index);
        }
    }

    /// The peer can be met at this relay.
    pub(crate) fn peer_relay(&mut self, now: Instant, index: usize, relay: NodeInfo) {
        let Some(peer) = self.peers.get_mut(index).filter(|peer| !peer.is_vacant()) else { return };
        if !self.relays.is_empty() && relay.at.is_usable() && relay.key != PublicKey::ZERO {
            let known = peer.known.iter_mut().position(|known| known.key == relay.key);
            let place = known.unwrap_or_else(|| {
                let next = peer.next_known;
                peer.next_known = (next + 1) % KNOWN as u8;
                usize::from(next)
            });
            peer.known[place] = relay;
            self.choose(now);
        }
    }

    /// Where the peer can be met: the relays that it has announced.
    pub(crate) fn relays_of(&self, index: usize) -> impl Iterator<Item = NodeInfo> + Clone {
        self.peers.get(index).into_iter().flat_map(|peer| peer.known).filter(|relay| relay.key != PublicKey::ZERO)
    }

    /// Whether the peer has no better way than relays.
    pub(crate) fn set_awake(&mut self, now: Instant, index: usize, awake: bool) {
        let Some(peer) = self.peers.get_mut(index).filter(|peer| !peer.is_vacant()) else { return };
        if peer.awake != awake {
            peer.awake = awake;
            self.choose(now);
        }
    }

    /// How the peer is reached.
    pub(crate) fn reach(&self, index: usize) -> Reach {
        let Some(peer) = self.peers.get(index).filter(|peer| !peer.is_vacant()) else { return Reach::None };
        let of = |route: &Route| match route.place() {
            Some(place) if self.relays[place].is_up() => match route.stage {
                RouteStage::Online => Reach::Online,
                RouteStage::Wanted | RouteStage::Asked | RouteStage::Refused | RouteStage::Given => Reach::Perhaps,
            },
            Some(_) | None => Reach::None,
        };
        peer.routes.iter().map(of).max().unwrap_or(Reach::None)
    }

    /// The next peer whose reach may have changed.
    pub(crate) fn take_news(&mut self) -> Option<usize> {
        if !self.news {
            return None;
        }
        let extent = self.extent.min(self.peers.len());
        let next = self.peers[..extent].iter_mut().position(|peer| core::mem::take(&mut peer.news));
        self.news = next.is_some();
        next
    }

    /// The peer that speaks out-of-band.
    pub(super) fn peer_with(&self, key: &PublicKey) -> Option<usize> {
        self.peers[..self.extent].iter().position(|peer| peer.key == *key && !peer.is_vacant())
    }

    /// The peer is to be met at this relay, if it has a route left.
    pub(super) fn bind(&mut self, index: usize, place: usize) {
        let peer = &mut self.peers[index];
        if peer.is_vacant() || peer.route_at(place).is_some() {
            return;
        }
        let Some(route) = peer.routes.iter_mut().find(|route| route.relay == 0) else { return };
        *route = Route { relay: place as u8 + 1, ..Route::VACANT };
        if self.relays[place].is_up() {
            self.relays[place].asks = true;
            self.list(place);
            self.tell(index);
        }
    }

    /// A relay is connected: whoever may be met there is.
    pub(super) fn routes_up(&mut self, place: usize) {
        let (base, key) = (self.relays[place].base, self.relays[place].key);
        for index in 0..self.extent {
            if base || self.peers[index].knows(&key) {
                self.bind(index, place);
            }
            if self.peers[index].route_at(place).is_some() {
                self.tell(index);
            }
        }
    }

    /// A relay is connected no more.
    pub(super) fn routes_down(&mut self, place: usize) {
        for index in 0..self.extent {
            let Some(at) = self.peers[index].route_at(place) else { continue };
            let peer = &mut self.peers[index];
            peer.routes[at] = Route { relay: place as u8 + 1, ..Route::VACANT };
            peer.due &= !(1 << at);
            self.tell(index);
        }
    }

    /// A relay is forgotten.
    pub(super) fn unbind_all(&mut self, place: usize) {
        for peer in self.peers[..self.extent].iter_mut() {
            if let Some(at) = peer.route_at(place) {
                peer.routes[at] = Route::VACANT;
                peer.due &= !(1 << at);
            }
        }
    }

    /// The reach of a peer has changed.
    pub(super) fn tell(&mut self, index: usize) {
        self.peers[index].news = true;
        self.news = true;
    }
}

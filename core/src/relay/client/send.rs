//! What a relay is told, encoded when its stream takes it.

use super::RelayClient;
use super::StreamId;
use super::peers::{Reach, Route, RouteStage};
use super::receive::OwedCookie;
use super::relay::{Line, Mark, Stage};
use crate::crypto::PublicKey;
use crate::cx::{Cx, Env};
use crate::relay::channel::Greeting;
use crate::relay::proxy::Target;
use crate::time::Instant;
use crate::wire::relay::{FRAME_TEXT, RelayPacket, packet};

/// A session's packet that is to go through a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) peer: usize,
    /// Packets of its opening that went this way already.
    pub(crate) step: u8,
    /// Where the session's packet stands in the frame.
    pub(crate) at: usize,
    head: Head,
}

/// What stands before a packet in its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    Data(u8),
    Oob(PublicKey),
}

impl Due {
    /// Whether it goes out-of-band: nobody has asked for us there yet.
    pub(crate) const fn is_oob(&self) -> bool {
        matches!(self.head, Head::Oob(_))
    }
}

/// How much worse than the best a relay may be before another carries the onion's packets.
const ONION_SLACK: u16 = 4;

impl<'s> RelayClient<'s> {
    /// Writes the next thing of our own to the relay: handshake, pings, routes. Its length, 0 for nothing.
    pub(crate) fn encode_own<E: Env>(&mut self, cx: &mut Cx<'_, 's, E>, id: StreamId, buf: &mut [u8]) -> usize {
        let Some(place) = self.find(id) else { return 0 };
        match self.relays[place].stage {
            Stage::Proxying if E::PROXIES => self.encode_proxy(place, buf),
            Stage::Greeting => self.encode_hello(cx, place, buf),
            Stage::Up => match self.next_own(place) {
                Some(packet) => self.seal(cx, place, &packet, buf),
                None => 0,
            },
            Stage::Idle | Stage::Waiting | Stage::Opening | Stage::Proxying => 0,
        }
    }

    fn encode_proxy(&mut self, place: usize, buf: &mut [u8]) -> usize {
        let relay = &mut self.relays[place];
        let (Some(proxy), Line::Proxy(client)) = (self.proxy, &mut relay.line) else { return 0 };
        let named = relay.name.and_then(|name| self.names.get(name));
        client.output(proxy, &named.unwrap_or(Target::At(relay.at)), buf)
    }

    fn encode_hello<E: Env>(&mut self, cx: &mut Cx<'_, 's, E>, place: usize, buf: &mut [u8]) -> usize {
        let relay = &mut self.relays[place];
        if !matches!(relay.line, Line::None) {
            return 0;
        }
        cx.stats.keys_computed += 1;
        let me = (&cx.me.dht.secret, &cx.me.dht.public);
        match Greeting::new(cx.suite, cx.rng, me, &relay.key) {
            Some((greeting, hello)) => {
                relay.line = Line::Greeting(greeting);
                buf[..hello.len()].copy_from_slice(&hello);
                hello.len()
            }
            None => {
                self.fail(cx.now, place);
                0
            }
        }
    }

    fn next_own(&mut self, place: usize) -> Option<RelayPacket<'static>> {
        let relay = &mut self.relays[place];
        if core::mem::take(&mut relay.ping_due) {
            return Some(RelayPacket::Ping(relay.ping));
        }
        if relay.pong != 0 {
            return Some(RelayPacket::Pong(core::mem::take(&mut relay.pong)));
        }
        if let Some(id) = relay.take_leaving() {
            return Some(RelayPacket::DisconnectNotification(id));
        }
        if !relay.asks {
            return None;
        }
        let wanted = self.peers[..self.extent].iter_mut().find_map(|peer| {
            let at = peer.route_at(place).filter(|at| peer.routes[*at].stage == RouteStage::Wanted)?;
            peer.routes[at].stage = RouteStage::Asked;
            Some(peer.key)
        });
        relay.asks = wanted.is_some();
        wanted.map(RelayPacket::RoutingRequest)
    }

    /// The next cookie request that is to be answered through the relay.
    pub(crate) fn take_cookie(&mut self, id: StreamId) -> Option<OwedCookie> {
        let place = self.find(id).filter(|place| self.relays[*place].is_up())?;
        self.relays[place].cookies.pop()
    }

    /// How to speak with whoever has this DHT key: as a peer if it is online here, out-of-band otherwise. Where its
    /// packet stands in the frame.
    pub(crate) fn answer_to(&self, id: StreamId, dht: &PublicKey) -> Option<Due> {
        let place = self.find(id).filter(|place| self.relays[*place].is_up())?;
        let online = self.peer_with(dht).and_then(|index| {
            let peer = &self.peers[index];
            let route = peer.routes[peer.route_at(place)?];
            (route.stage == RouteStage::Online).then_some(route.id)
        });
        Some(due(0, 0, online.map_or(Head::Oob(*dht), Head::Data)))
    }

    /// The session with a peer has something to say. While it opens, all relays are told; then one is. When it is
    /// stalled, all relays of the peer have to show that they are still there.
    pub(crate) fn spread(&mut self, now: Instant, index: usize, opening: bool, stalled: bool) {
        let reach = self.reach(index);
        let Some(peer) = self.peers.get_mut(index).filter(|peer| !peer.is_vacant()) else { return };
        if stalled {
            peer.prefer = peer.prefer.wrapping_add(1);
            let places = peer.routes.iter().filter_map(Route::place);
            places.for_each(|place| {
                if self.relays[place].doubt(now) {
                    self.wake = now;
                }
            });
        }
        let fits = |at: usize, busy_ok: bool| {
            let route = &peer.routes[at];
            let Some(relay) = route.place().map(|place| &self.relays[place]) else { return false };
            let online = route.stage == RouteStage::Online || opening && reach == Reach::Perhaps;
            relay.is_up() && online && (busy_ok || relay.mark != Mark::Taken)
        };
        let count = peer.routes.len();
        let mask = if opening {
            (0..count).filter(|at| fits(*at, true)).fold(0, |mask, at| mask | 1 << at)
        } else {
            let turned = |step: usize| (step + usize::from(peer.prefer)) % count;
            let free = (0..count).map(turned).find(|at| fits(*at, false));
            let any = free.or_else(|| (0..count).map(turned).find(|at| fits(*at, true)));
            any.map_or(0, |at| 1 << at)
        };
        peer.due |= mask;
        for at in (0..count).filter(|at| mask >> at & 1 == 1) {
            self.peers[index].routes[at].step = 0;
            if let Some(place) = self.peers[index].routes[at].place() {
                self.list(place);
            }
        }
    }

    /// The next peer whose session has something to say through the relay. Peers take turns.
    pub(crate) fn next_due(&mut self, id: StreamId) -> Option<Due> {
        let place = self.find(id).filter(|place| self.relays[*place].is_up())?;
        let extent = self.extent;
        let turns = (1..=extent).map(|step| (self.turn + step) % extent);
        let (index, at) = turns.into_iter().find_map(|index| {
            let peer = &self.peers[index];
            let at = if peer.due == 0 { None } else { peer.route_at(place) }?;
            (peer.due >> at & 1 == 1).then_some((index, at))
        })?;
        let (peer, route) = (&self.peers[index], &self.peers[index].routes[at]);
        let head = if route.stage == RouteStage::Online { Head::Data(route.id) } else { Head::Oob(peer.key) };
        Some(due(index, route.step, head))
    }

    /// What [`next_due`](Self::next_due) gave was sent, or there was nothing: then it is not due any more.
    pub(crate) fn served(&mut self, id: StreamId, due: &Due, sent: bool) {
        let Some(place) = self.find(id) else { return };
        let Some(peer) = self.peers.get_mut(due.peer) else { return };
        let Some(at) = peer.route_at(place) else { return };
        if sent {
            self.turn = due.peer;
            peer.routes[at].step = peer.routes[at].step.saturating_add(1);
            return;
        }
        peer.due &= !(1 << at);
        if peer.retired {
            self.remove_peer(due.peer);
        }
    }

    /// Makes a frame of the `len` bytes at `buf[due.at..]` and gives its length.
    pub(crate) fn seal_due<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        id: StreamId,
        due: &Due,
        len: usize,
        buf: &mut [u8],
    ) -> usize {
        match &due.head {
            Head::Data(route) => buf[FRAME_TEXT] = *route,
            Head::Oob(to) => {
                buf[FRAME_TEXT] = packet::OOB_SEND;
                buf[FRAME_TEXT + 1..due.at].copy_from_slice(&to.0);
            }
        }
        self.seal_text(cx, id, due.at + len, buf)
    }

    /// Makes a frame of the packet in `buf[FRAME_TEXT..len]`.
    pub(crate) fn seal_text<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        id: StreamId,
        len: usize,
        buf: &mut [u8],
    ) -> usize {
        let Some(place) = self.find(id) else { return 0 };
        let Line::Channel(channel) = &mut self.relays[place].line else { return 0 };
        channel.seal(cx.suite, buf, len);
        len
    }

    fn seal<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        place: usize,
        packet: &RelayPacket<'_>,
        buf: &mut [u8],
    ) -> usize {
        let Line::Channel(channel) = &mut self.relays[place].line else { return 0 };
        channel.seal_packet(cx.suite, packet, buf)
    }

    /// All was taken that there was to be sent.
    pub(crate) fn drained(&mut self, id: StreamId) {
        if let Some(place) = self.find(id) {
            self.relays[place].mark = Mark::Quiet;
        }
    }

    /// The onion has something to be sent: the relay that answers best will be asked.
    pub(crate) fn list_onion(&mut self) {
        if let Some((place, _)) = self.best_for_onion() {
            self.list(place);
        }
    }

    /// Whether the relay is one that carries the onion's packets now.
    pub(crate) fn carries_onion(&self, id: StreamId) -> bool {
        let best = self.best_for_onion().map_or(0, |(_, unanswered)| unanswered);
        let relay = self.find(id).map(|place| &self.relays[place]).filter(|relay| relay.is_up());
        relay.is_some_and(|relay| relay.onion_unanswered < best.saturating_add(ONION_SLACK))
    }

    /// An onion packet goes through the relay.
    pub(crate) fn onion_sent(&mut self, id: StreamId) {
        if let Some(place) = self.find(id) {
            let relay = &mut self.relays[place];
            relay.onion_unanswered = relay.onion_unanswered.saturating_add(1);
        }
    }

    /// The answer to one came through the relay, and it was genuine: whatever else a relay says does not speak for it.
    pub(crate) fn onion_answered(&mut self, id: StreamId) {
        if let Some(place) = self.find(id) {
            self.relays[place].onion_unanswered = 0;
        }
    }

    /// Whether the onion must wait: the stream that it would take is full.
    pub(crate) fn holds_onion_up(&self) -> bool {
        self.best_for_onion().is_some_and(|(place, _)| self.relays[place].mark == Mark::Taken)
    }

    fn best_for_onion(&self) -> Option<(usize, u16)> {
        let up = self.relays.iter().enumerate().filter(|(_, relay)| relay.is_up());
        up.map(|(place, relay)| (place, relay.onion_unanswered)).min_by_key(|(_, unanswered)| *unanswered)
    }
}

fn due(peer: usize, step: u8, head: Head) -> Due {
    let at = FRAME_TEXT
        + match head {
            Head::Data(_) => 1,
            Head::Oob(_) => 1 + crate::crypto::PUBLIC_KEY_LEN,
        };
    Due { peer, step, at, head }
}

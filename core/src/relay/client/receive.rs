//! What a relay says. Whatever it cannot say ends the connection; what is only strange is dropped.

use super::RelayClient;
use super::StreamId;
use super::peers::RouteStage;
use super::relay::{Line, Stage};
use crate::crypto::PublicKey;
use crate::cx::{Cx, Env};
use crate::relay::channel::Received;
use crate::relay::proxy::ProxyState;
use crate::time::Instant;
use crate::wire::relay::{RELAY_HELLO_LEN, ROUTE_FIRST, RelayPacket};
use core::ops::Range;
use rand_core::Rng;

/// What is for other machines, in the bytes that were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A session's packet, or what claims to be one.
    Session {
        /// Whose, as far as we know.
        peer: Option<usize>,
        /// The DHT key that the relay names.
        from: PublicKey,
        packet: Range<usize>,
    },
    /// An answer to an onion packet.
    Onion(Range<usize>),
}

/// A cookie request that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwedCookie {
    /// The DHT key that asks, and the long-term key.
    pub(crate) dht: PublicKey,
    pub(crate) peer: PublicKey,
    pub(crate) echo: u64,
}

/// Something that a relay cannot say.
struct Misuse;

impl<'s> RelayClient<'s> {
    /// Reads the first handshake or frame of `bytes`, opened in place: how many bytes are done with (0 when there are
    /// too few), and what is in it for others.
    pub(crate) fn receive<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        id: StreamId,
        bytes: &mut [u8],
    ) -> (usize, Option<Content>) {
        let Some(place) = self.find(id) else { return (bytes.len(), None) };
        match self.relays[place].stage {
            Stage::Proxying if E::PROXIES => self.read_proxy(cx.now, place, bytes),
            Stage::Greeting => self.read_hello(cx, place, bytes),
            Stage::Up => self.read_frame(cx, place, bytes),
            Stage::Idle | Stage::Waiting | Stage::Opening | Stage::Proxying => {
                self.fail(cx.now, place);
                (bytes.len(), None)
            }
        }
    }

    fn read_proxy(&mut self, now: Instant, place: usize, bytes: &[u8]) -> (usize, Option<Content>) {
        let Line::Proxy(client) = &mut self.relays[place].line else { return (bytes.len(), None) };
        let progress = client.input(bytes);
        match progress.state {
            ProxyState::Waiting => self.list(place),
            ProxyState::Ready => {
                self.trouble = None;
                self.relays[place].line = Line::None;
                self.relays[place].enter(now, Stage::Greeting);
                self.list(place);
                self.set_wake();
            }
            ProxyState::Failed(trouble) => {
                self.in_trouble(Some(trouble));
                self.fail(now, place);
                return (bytes.len(), None);
            }
        }
        (progress.used, None)
    }

    fn read_hello<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        place: usize,
        bytes: &mut [u8],
    ) -> (usize, Option<Content>) {
        let all = bytes.len();
        let Some(hello) = bytes.first_chunk_mut::<RELAY_HELLO_LEN>() else { return (0, None) };
        let Line::Greeting(greeting) = &self.relays[place].line else {
            self.fail(cx.now, place);
            return (all, None);
        };
        cx.stats.keys_computed += 1;
        let Some(channel) = greeting.finish(cx.suite, hello) else {
            self.fail(cx.now, place);
            return (all, None);
        };
        let ping = cx.rng.next_u64() | 1;
        self.relays[place].connected(cx.now, channel, ping);
        self.list(place);
        self.routes_up(place);
        self.choose(cx.now);
        (RELAY_HELLO_LEN, None)
    }

    fn read_frame<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        place: usize,
        bytes: &mut [u8],
    ) -> (usize, Option<Content>) {
        let all = bytes.len();
        let Line::Channel(channel) = &mut self.relays[place].line else { return (all, None) };
        let (used, len) = match channel.open(cx.suite, bytes) {
            Received::Part => return (0, None),
            Received::Frame { used, text } => (used, text.len()),
            Received::Broken => {
                self.fail(cx.now, place);
                return (all, None);
            }
        };
        let text = used - len..used;
        let content = RelayPacket::parse(&bytes[text.clone()]).ok_or(Misuse);
        match content.and_then(|packet| self.on_packet(cx, place, &packet, text.end)) {
            Ok(content) => (used, content),
            Err(Misuse) => {
                self.fail(cx.now, place);
                (all, None)
            }
        }
    }

    /// A packet; its data, if it has any, ends at `end` of the bytes.
    fn on_packet<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        place: usize,
        packet: &RelayPacket<'_>,
        end: usize,
    ) -> Result<Option<Content>, Misuse> {
        match *packet {
            RelayPacket::RoutingResponse { id, peer } => self.on_route(place, id, &peer)?,
            RelayPacket::ConnectionNotification(id) => self.on_notice(place, id, RouteStage::Online),
            RelayPacket::DisconnectNotification(id) => self.on_notice(place, id, RouteStage::Given),
            RelayPacket::Ping(0) => return Err(Misuse),
            RelayPacket::Ping(id) => {
                self.relays[place].pong = id;
                self.list(place);
            }
            RelayPacket::Pong(id) => {
                self.learned |= self.relays[place].answered(cx.now, id);
                self.set_wake();
            }
            RelayPacket::OobRecv { from, data } => {
                return Ok(Some(Content::Session { peer: self.peer_with(&from), from, packet: end - data.len()..end }));
            }
            RelayPacket::OnionResponse(data) => return Ok(Some(Content::Onion(end - data.len()..end))),
            RelayPacket::Data { id, data } => {
                let Some(index) = self.relays[place].owner(id) else { return Ok(None) };
                let from = self.peers[index].key;
                return Ok(Some(Content::Session { peer: Some(index), from, packet: end - data.len()..end }));
            }
            RelayPacket::Forwarding(_) => {}
            RelayPacket::RoutingRequest(_)
            | RelayPacket::OobSend { .. }
            | RelayPacket::OnionRequest(_)
            | RelayPacket::ForwardRequest { .. } => return Err(Misuse),
        }
        Ok(None)
    }

    /// The relay tells what it calls a peer.
    fn on_route(&mut self, place: usize, id: u8, key: &PublicKey) -> Result<(), Misuse> {
        let asked = self.peer_with(key).and_then(|index| {
            let at = self.peers[index].route_at(place)?;
            (self.peers[index].routes[at].stage == RouteStage::Asked).then_some((index, at))
        });
        if id < ROUTE_FIRST {
            if let Some((index, at)) = asked {
                self.peers[index].routes[at].stage = RouteStage::Refused;
            }
            return Ok(());
        }
        let relay = &mut self.relays[place];
        if relay.owner(id).is_some() || relay.is_leaving(id) {
            return Err(Misuse);
        }
        match asked {
            Some((index, at)) => {
                relay.give(id, index);
                let route = &mut self.peers[index].routes[at];
                (route.id, route.stage) = (id, RouteStage::Given);
                self.tell(index);
            }
            None => {
                // We asked, and need it no more.
                relay.leave(id);
                self.list(place);
            }
        }
        Ok(())
    }

    /// A peer has come to a relay, or left it.
    fn on_notice(&mut self, place: usize, id: u8, stage: RouteStage) {
        let Some(index) = self.relays[place].owner(id) else { return };
        let Some(at) = self.peers[index].route_at(place) else { return };
        let peer = &mut self.peers[index];
        if peer.routes[at].stage != stage {
            peer.routes[at].stage = stage;
            peer.due &= !(1 << at);
            self.tell(index);
        }
    }

    /// A cookie request came through the relay, to be answered there. Full: it is asked again.
    pub(crate) fn owe_cookie(&mut self, id: StreamId, owed: OwedCookie) {
        let Some(place) = self.find(id) else { return };
        if self.relays[place].cookies.push(owed).is_ok() {
            self.list(place);
        }
    }

    /// Where the relay of a stream is.
    pub(crate) fn endpoint(&self, id: StreamId) -> Option<crate::Endpoint> {
        self.find(id).map(|place| self.relays[place].at)
    }

    /// The peer with this key is at the relay of this stream, though it has not announced it.
    pub(crate) fn met_at(&mut self, id: StreamId, key: &PublicKey) {
        if let Some((place, index)) = self.find(id).zip(self.peer_with(key)) {
            self.bind(index, place);
        }
    }
}

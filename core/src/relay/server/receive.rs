//! What clients send: handshakes, then frames with packets.

use super::RelayServer;
use super::conns::State;
use super::routes::{Link, route_id};
use super::stats::CloseReason;
use crate::DropReason;
use crate::crypto::PublicKey;
use crate::cx::Env;
use crate::relay::StreamId;
use crate::relay::channel::{Answered, Received, answer, greeter, opened};
use crate::time::Instant;
use crate::wire::relay::{CLIENT_HELLO_LEN, RelayPacket, packet, route_place};

/// Blocks of data that may wait for one client: what a socket's buffer holds is enough to read at once.
const DATA_BLOCKS: u32 = 64;

impl<E: Env> RelayServer<'_, E> {
    /// Handles what has arrived on a connection, in place. Returns how many bytes are done with: keep the others, which
    /// were not changed, and give them again in front of what comes next. They are never more than a frame.
    pub fn handle_stream(&mut self, now: Instant, id: StreamId, bytes: &mut [u8]) -> usize {
        self.advance(now);
        let Some(at) = self.conns.find(id) else { return bytes.len() };
        let mut used = 0;
        while used < bytes.len() {
            match self.on_bytes(at, &mut bytes[used..]) {
                Ok(0) => return used,
                Ok(more) => used += more,
                Err(reason) => {
                    self.shut(at, reason);
                    return bytes.len();
                }
            }
            // It may have been closed on behalf of another.
            if self.conns.get(at).state == State::Closing {
                return bytes.len();
            }
        }
        used
    }

    /// Handles the first handshake or frame; 0 when it is not whole.
    fn on_bytes(&mut self, at: usize, bytes: &mut [u8]) -> Result<usize, CloseReason> {
        let conn = self.conns.get_mut(at);
        match conn.state {
            State::Vacant | State::Closing => return Ok(bytes.len()),
            State::Greeting if self.outside => return Ok(bytes.len()),
            State::Greeting => {
                let Some(hello) = bytes.first_chunk_mut() else { return Ok(0) };
                return self.on_hello(at, hello).map(|()| CLIENT_HELLO_LEN);
            }
            State::Proving | State::Idle | State::Asked => {}
        }
        let received = if self.outside { opened(bytes) } else { conn.channel.open(&self.parts.suite, bytes) };
        let (used, text) = match received {
            Received::Frame { used, text } => (used, text),
            Received::Part => return Ok(0),
            Received::Broken => return Err(CloseReason::BadFrame),
        };
        self.stats.frames_in += 1;
        if conn.state == State::Proving {
            self.admit(at)?;
        }
        self.on_packet(at, text)?;
        Ok(used)
    }

    fn on_hello(&mut self, at: usize, hello: &mut [u8; CLIENT_HELLO_LEN]) -> Result<(), CloseReason> {
        // Before the expensive part: is there any use in it?
        if !self.welcomes(&greeter(hello)) {
            return Err(CloseReason::NoRoom);
        }
        let (suite, rng) = (&self.parts.suite, &mut self.parts.rng);
        let Answered { client, channel, hello } =
            answer(suite, rng, &self.me.secret, hello).ok_or(CloseReason::BadHandshake)?;
        let conn = self.conns.get_mut(at);
        (conn.key, conn.channel) = (client, channel);
        self.pool.push(&mut conn.queue, 1, true, &[&hello]).map_err(|_| CloseReason::Overflow)?;
        self.conns.change(at, State::Proving, self.now);
        self.conns.list(at);
        Ok(())
    }

    /// The first frame has opened, so it is who it says. A client has one connection: the new one.
    fn admit(&mut self, at: usize) -> Result<(), CloseReason> {
        let key = self.conns.get(at).key;
        if let Some(old) = self.find(&key) {
            self.shut(old, CloseReason::Replaced);
        }
        if self.clients >= self.limits.clients {
            return Err(CloseReason::NoRoom);
        }
        self.index.insert(&key, at);
        self.clients += 1;
        self.stats.clients += 1;
        self.conns.change(at, State::Idle, self.now);
        Ok(())
    }

    /// Everything that a client may say, and what must not be said (wire-facts 2.11).
    fn on_packet(&mut self, at: usize, text: &mut [u8]) -> Result<(), CloseReason> {
        match RelayPacket::parse(text).ok_or(CloseReason::Misuse)? {
            RelayPacket::Data { id, .. } => return self.on_data(at, id, text),
            RelayPacket::RoutingRequest(peer) => return self.on_routing_request(at, peer),
            RelayPacket::ConnectionNotification(_) => {}
            RelayPacket::DisconnectNotification(id) => {
                let place = route_place(id).ok_or(CloseReason::Misuse)?;
                self.leave(at, place).ok_or(CloseReason::Misuse)?;
            }
            RelayPacket::Ping(id) => {
                let conn = self.conns.get_mut(at);
                (conn.pong, conn.due.pong) = (id, true);
                self.conns.list(at);
            }
            RelayPacket::Pong(0) => return Err(CloseReason::Misuse),
            RelayPacket::Pong(id) => {
                let conn = self.conns.get(at);
                if conn.state == State::Asked && conn.ping == id {
                    self.conns.change(at, State::Idle, self.now);
                }
            }
            RelayPacket::OobSend { to, data } => self.on_oob(at, &to, data),
            RelayPacket::OnionRequest(request) => self.on_onion_request(at, request)?,
            RelayPacket::ForwardRequest { to, data } => self.on_forward_request(at, to, data),
            RelayPacket::RoutingResponse { .. }
            | RelayPacket::OobRecv { .. }
            | RelayPacket::OnionResponse(_)
            | RelayPacket::Forwarding(_) => return Err(CloseReason::Misuse),
        }
        Ok(())
    }

    /// Data for a peer: the same packet, with the id that we have there.
    fn on_data(&mut self, at: usize, id: u8, text: &mut [u8]) -> Result<(), CloseReason> {
        let routes = &self.conns.get(at).routes;
        let route = route_place(id).and_then(|place| self.routes.get(routes, place)).ok_or(CloseReason::Misuse)?;
        match route.link.get() {
            Some((peer, place)) => {
                text[0] = route_id(place);
                self.relay(peer, &[text]);
            }
            None => self.drop_packet(DropReason::NoRoute),
        }
        Ok(())
    }

    fn on_oob(&mut self, at: usize, to: &PublicKey, data: &[u8]) {
        let from = self.conns.get(at).key;
        match self.find(to) {
            Some(peer) => self.relay(peer, &[&[packet::OOB_RECV], &from.0, data]),
            None => self.drop_packet(DropReason::NoRoute),
        }
    }

    fn on_routing_request(&mut self, at: usize, peer: PublicKey) -> Result<(), CloseReason> {
        let conn = self.conns.get_mut(at);
        let key = conn.key;
        let known = self.routes.find(&conn.routes, &peer);
        let place = match known {
            Some(place) => place,
            None if peer == key => return self.refuse_route(at, &peer),
            None => match self.routes.add(&mut conn.routes, peer) {
                Some(place) => place,
                None => return self.refuse_route(at, &peer),
            },
        };
        self.notice(at, place, |route| route.due.response = true);
        if known.is_none()
            && let Some(other) = self.find(&peer)
            && let Some(theirs) = self.routes.find(&self.conns.get(other).routes, &key)
        {
            self.connect(at, place, Link::to(other, theirs));
            self.connect(other, theirs, Link::to(at, place));
        }
        Ok(())
    }

    /// Queued, unlike other notices, for it has no route to stand in.
    fn refuse_route(&mut self, at: usize, peer: &PublicKey) -> Result<(), CloseReason> {
        self.send(at, &[&[packet::ROUTING_RESPONSE, 0], &peer.0]).map_err(|_| CloseReason::Overflow)
    }

    fn connect(&mut self, at: usize, place: usize, link: Link) {
        self.notice(at, place, |route| {
            route.link = link;
            route.due.connect();
        });
    }

    /// Takes a route away; its other end is told.
    fn leave(&mut self, at: usize, place: usize) -> Option<()> {
        let conn = self.conns.get_mut(at);
        let link = self.routes.get(&conn.routes, place)?.link;
        self.routes.remove(&mut conn.routes, place);
        if let Some((other, theirs)) = link.get() {
            self.notice(other, theirs, |route| {
                route.link = Link::NONE;
                route.due.disconnect();
            });
        }
        Some(())
    }

    /// Takes all routes away.
    pub(super) fn leave_all(&mut self, at: usize) {
        while let Some(place) = {
            let routes = &self.conns.get(at).routes;
            self.routes.places(routes).next()
        } {
            self.leave(at, place);
        }
    }

    /// Changes a route and sees to it that its client is told.
    fn notice(&mut self, at: usize, place: usize, change: impl FnOnce(&mut super::routes::Route)) {
        let conn = self.conns.get_mut(at);
        let Some(route) = self.routes.get_mut(&conn.routes, place) else { return };
        change(route);
        conn.due.notices = true;
        self.conns.list(at);
    }

    /// Passes a packet on; dropped when the receiver reads too slowly.
    fn relay(&mut self, to: usize, parts: &[&[u8]]) {
        match self.send(to, parts) {
            Ok(()) => {
                self.stats.relayed += 1;
                self.stats.relayed_bytes += parts.iter().map(|part| part.len() as u64).sum::<u64>();
            }
            Err(_) => self.drop_packet(DropReason::NoRoom),
        }
    }

    /// Queues a packet for a client.
    pub(super) fn send(&mut self, to: usize, parts: &[&[u8]]) -> Result<(), crate::storage::Full> {
        let conn = self.conns.get_mut(to);
        self.pool.push(&mut conn.queue, DATA_BLOCKS, false, parts)?;
        self.conns.list(to);
        Ok(())
    }

    /// The connection of the client with this key.
    pub(super) fn find(&self, key: &PublicKey) -> Option<usize> {
        self.index.find(key, |i| &self.conns.get(i).key)
    }
}

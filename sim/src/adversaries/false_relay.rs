//! False relay: a TCP relay that lies, tampers, delays or drops.
//!
//! It shakes hands as a relay does, for it has the key that its clients were told of, and then carries their data from
//! one to the other, more or less. It is no first hop of the onion: what its clients want to have sent on is gone.
//!
//! What must hold: sessions are sealed from end to end, so it can read and forge nothing; friends who have another
//! relay, or UDP, are online all the same.

use crate::actor::{Actor, ActorCx};
use crate::crypto::SimSuite;
use crate::net::{ConnId, Side, StreamEvent, StreamWhat};
use crate::rng::{Ppm, SimRng};
use crate::world::RELAY_PORTS;
use bluering_core::Endpoint;
use bluering_core::crypto::{PublicKey, SecretKey, Suite};
use bluering_core::relay::channel::{Channel, Received, answer};
use bluering_core::time::Instant;
use bluering_core::wire::Writer;
use bluering_core::wire::relay::{CLIENT_HELLO_LEN, FRAME_TEXT, PACKET_LEN_MAX, ROUTE_FIRST, ROUTES, RelayPacket};
use core::time::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A relay that is not what it seems.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FalseRelay {
    /// What its key follows from.
    pub seed: u64,
    /// What it does.
    pub lie: RelayLie,
}

/// What a false relay does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RelayLie {
    /// It names other ids than were asked for, and other peers.
    WrongIds,
    /// It says of every peer that it is there, and a little later that it has left, again and again.
    FalsePresence,
    /// It flips a bit of what it carries, with this probability.
    Tampers(Ppm),
    /// It holds back what it carries for so long.
    Delays(Duration),
    /// It drops what it carries, with this probability.
    Drops(Ppm),
    /// It shakes hands and never says another word.
    Silent,
    /// It sends frames that do not open.
    Garbage,
}

impl FalseRelay {
    /// The secret key of this relay.
    fn secret(&self) -> SecretKey {
        SecretKey::from_bytes(SimRng::fork(self.seed, &[LABEL]).array())
    }

    /// The key that its clients are told of.
    #[must_use]
    pub fn key(&self, suite: &SimSuite) -> PublicKey {
        suite.public_key(&self.secret())
    }
}

const LABEL: u64 = 30;
/// Between two changes of mind about who is there.
const FICKLE: Duration = Duration::from_millis(700);
/// Bytes that wait for one client, at most.
const UNSENT_MAX: usize = 1 << 18;

#[derive(Debug)]
pub(super) struct FalseRelays {
    plan: FalseRelay,
    suite: SimSuite,
    clients: BTreeMap<ConnId, Client>,
    /// What is held back, until when, and for whom.
    held: BTreeMap<(Instant, u64), (ConnId, Vec<u8>)>,
    count: u64,
}

#[derive(Debug)]
struct Client {
    key: PublicKey,
    channel: Option<Channel>,
    /// The peers that it has asked for; the place is the id.
    peers: Vec<PublicKey>,
    unread: Vec<u8>,
    unsent: Vec<u8>,
}

impl FalseRelays {
    pub(super) fn new(plan: &FalseRelay, suite: &SimSuite) -> Self {
        let (clients, held) = (BTreeMap::new(), BTreeMap::new());
        Self { plan: plan.clone(), suite: suite.clone(), clients, held, count: 0 }
    }

    fn read(&mut self, cx: &mut ActorCx<'_>, conn: ConnId) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        if client.channel.is_none() {
            let Some(hello) = client.unread.first_chunk_mut::<CLIENT_HELLO_LEN>() else { return };
            let secret = self.plan.secret();
            let Some(answered) = answer(&self.suite, &mut *cx.rng, &secret, hello) else {
                self.clients.remove(&conn);
                return cx.abort(conn, Side::Server);
            };
            (client.key, client.channel) = (answered.client, Some(answered.channel));
            client.unread.drain(..CLIENT_HELLO_LEN);
            client.unsent.extend(answered.hello);
            self.flush(cx, conn);
        }
        while let Some(text) = self.next_packet(cx, conn) {
            match RelayPacket::parse(&text) {
                Some(packet) => self.on_packet(cx, conn, &packet),
                None => return self.lose(cx, conn),
            }
        }
    }

    fn next_packet(&mut self, cx: &mut ActorCx<'_>, conn: ConnId) -> Option<Vec<u8>> {
        let client = self.clients.get_mut(&conn)?;
        match client.channel.as_mut()?.open(&self.suite, &mut client.unread) {
            Received::Frame { used, text } => {
                let text = text.to_vec();
                client.unread.drain(..used);
                Some(text)
            }
            Received::Part => None,
            Received::Broken => {
                self.lose(cx, conn);
                None
            }
        }
    }

    fn on_packet(&mut self, cx: &mut ActorCx<'_>, conn: ConnId, packet: &RelayPacket<'_>) {
        let Some(me) = self.clients.get(&conn).map(|client| client.key) else { return };
        match *packet {
            _ if self.plan.lie == RelayLie::Silent => {}
            RelayPacket::Ping(id) => self.say(cx, conn, &RelayPacket::Pong(id)),
            RelayPacket::RoutingRequest(peer) => self.route(cx, conn, peer),
            RelayPacket::DisconnectNotification(id) => self.unroute(conn, id),
            RelayPacket::OobSend { to, data } => {
                if let Some(peer) = self.connection_of(&to) {
                    self.carry(cx, peer, &RelayPacket::OobRecv { from: me, data });
                }
            }
            RelayPacket::Data { id, data } => {
                let peer = self.clients.get(&conn).and_then(|client| client.peers.get(place(id)?).copied());
                let Some(there) = peer.and_then(|peer| self.connection_of(&peer)) else { return };
                if let Some(id) = self.clients.get(&there).and_then(|client| client.id_of(&me)) {
                    self.carry(cx, there, &RelayPacket::Data { id, data });
                }
            }
            RelayPacket::Pong(_)
            | RelayPacket::OnionRequest(_)
            | RelayPacket::ForwardRequest { .. }
            | RelayPacket::RoutingResponse { .. }
            | RelayPacket::ConnectionNotification(_)
            | RelayPacket::OobRecv { .. }
            | RelayPacket::OnionResponse(_)
            | RelayPacket::Forwarding(_) => {}
        }
    }

    fn route(&mut self, cx: &mut ActorCx<'_>, conn: ConnId, peer: PublicKey) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        if client.id_of(&peer).is_none() && client.peers.len() < ROUTES {
            client.peers.push(peer);
        }
        let (me, Some(id)) = (client.key, client.id_of(&peer)) else { return };
        match self.plan.lie {
            RelayLie::WrongIds => {
                let (other, stranger) = (ROUTE_FIRST + cx.rng.below(ROUTES as u64) as u8, PublicKey(cx.rng.array()));
                self.say(cx, conn, &RelayPacket::RoutingResponse { id: other, peer });
                self.say(cx, conn, &RelayPacket::RoutingResponse { id, peer: stranger });
                let notice = RelayPacket::ConnectionNotification(other.wrapping_add(1).max(ROUTE_FIRST));
                return self.say(cx, conn, &notice);
            }
            RelayLie::Garbage => return self.garbage(cx, conn),
            RelayLie::FalsePresence
            | RelayLie::Tampers(_)
            | RelayLie::Delays(_)
            | RelayLie::Drops(_)
            | RelayLie::Silent => {}
        }
        self.say(cx, conn, &RelayPacket::RoutingResponse { id, peer });
        if self.plan.lie == RelayLie::FalsePresence {
            return self.say(cx, conn, &RelayPacket::ConnectionNotification(id));
        }
        let there = self.connection_of(&peer);
        let back = there.and_then(|there| Some((there, self.clients.get(&there)?.id_of(&me)?)));
        if let Some((there, their_id)) = back {
            self.say(cx, conn, &RelayPacket::ConnectionNotification(id));
            self.say(cx, there, &RelayPacket::ConnectionNotification(their_id));
        }
    }

    fn unroute(&mut self, conn: ConnId, id: u8) {
        // A key that nobody has stands for a free place.
        let peer = self.clients.get_mut(&conn).and_then(|client| client.peers.get_mut(place(id)?));
        if let Some(peer) = peer {
            *peer = PublicKey::ZERO;
        }
    }

    /// Carries what one client says to another.
    fn carry(&mut self, cx: &mut ActorCx<'_>, to: ConnId, packet: &RelayPacket<'_>) {
        let mut text = written(packet);
        match self.plan.lie {
            RelayLie::Drops(ppm) if cx.rng.chance(ppm) => {}
            RelayLie::Tampers(ppm) if cx.rng.chance(ppm) && text.len() > 1 => {
                let place = 1 + cx.rng.below(text.len() as u64 - 1) as usize;
                text[place] ^= 1 << cx.rng.below(8);
                self.say_raw(cx, to, &text);
            }
            RelayLie::Delays(by) => {
                self.count += 1;
                self.held.insert((cx.now + by, self.count), (to, text));
                cx.wake_at(cx.now + by);
            }
            RelayLie::Drops(_)
            | RelayLie::Tampers(_)
            | RelayLie::WrongIds
            | RelayLie::FalsePresence
            | RelayLie::Silent
            | RelayLie::Garbage => self.say_raw(cx, to, &text),
        }
    }

    fn say(&mut self, cx: &mut ActorCx<'_>, conn: ConnId, packet: &RelayPacket<'_>) {
        self.say_raw(cx, conn, &written(packet));
    }

    fn say_raw(&mut self, cx: &mut ActorCx<'_>, conn: ConnId, text: &[u8]) {
        let Some(client) = self.clients.get_mut(&conn).filter(|client| client.unsent.len() < UNSENT_MAX) else {
            return;
        };
        let Some(channel) = &mut client.channel else { return };
        let mut frame = [&[0; FRAME_TEXT], text].concat();
        let len = frame.len();
        channel.seal(&self.suite, &mut frame, len);
        client.unsent.extend(frame);
        self.flush(cx, conn);
    }

    fn garbage(&mut self, cx: &mut ActorCx<'_>, conn: ConnId) {
        if let Some(client) = self.clients.get_mut(&conn) {
            let mut frame = vec![0; 2 + 17 + cx.rng.below(200) as usize];
            cx.rng.fill(&mut frame[2..]);
            let len = (frame.len() - 2) as u16;
            frame[..2].copy_from_slice(&len.to_be_bytes());
            client.unsent.extend(frame);
            self.flush(cx, conn);
        }
    }

    fn flush(&mut self, cx: &mut ActorCx<'_>, conn: ConnId) {
        if let Some(client) = self.clients.get_mut(&conn) {
            let taken = cx.write(conn, Side::Server, &client.unsent);
            client.unsent.drain(..taken);
        }
    }

    fn lose(&mut self, cx: &mut ActorCx<'_>, conn: ConnId) {
        self.clients.remove(&conn);
        cx.close(conn, Side::Server);
    }

    /// The newest connection of a client.
    fn connection_of(&self, key: &PublicKey) -> Option<ConnId> {
        let is_open = |(_, client): &(&ConnId, &Client)| client.key == *key && client.channel.is_some();
        self.clients.iter().rev().find(is_open).map(|(conn, _)| *conn)
    }

    /// Changes its mind about who is there, at every client.
    fn waver(&mut self, cx: &mut ActorCx<'_>) {
        let all: Vec<(ConnId, usize)> = self.clients.iter().map(|(conn, client)| (*conn, client.peers.len())).collect();
        for (conn, peers) in all {
            for id in (ROUTE_FIRST..=u8::MAX).take(peers) {
                let here = cx.rng.chance(500_000);
                let notice = if here {
                    RelayPacket::ConnectionNotification(id)
                } else {
                    RelayPacket::DisconnectNotification(id)
                };
                self.say(cx, conn, &notice);
            }
        }
    }
}

impl Client {
    fn id_of(&self, peer: &PublicKey) -> Option<u8> {
        let place = self.peers.iter().position(|known| known == peer)?;
        u8::try_from(place).ok()?.checked_add(ROUTE_FIRST)
    }
}

/// The place of an id among a client's peers.
fn place(id: u8) -> Option<usize> {
    id.checked_sub(ROUTE_FIRST).map(usize::from)
}

fn written(packet: &RelayPacket<'_>) -> Vec<u8> {
    let mut buf = [0; PACKET_LEN_MAX];
    let mut w = Writer::new(&mut buf);
    packet.emit(&mut w);
    let len = w.len();
    buf[..len].to_vec()
}

impl Actor for FalseRelays {
    fn start(&mut self, cx: &mut ActorCx<'_>) {
        self.clients.clear();
        RELAY_PORTS.into_iter().for_each(|port| cx.listen(port));
        if self.plan.lie == RelayLie::FalsePresence {
            cx.wake_at(cx.now + FICKLE);
        }
    }

    fn on_datagram(&mut self, _: &mut ActorCx<'_>, _: Endpoint, _: &[u8]) {}

    fn on_timer(&mut self, cx: &mut ActorCx<'_>) {
        if self.plan.lie == RelayLie::FalsePresence {
            self.waver(cx);
            cx.wake_at(cx.now + FICKLE);
        }
        while let Some(entry) = self.held.first_entry().filter(|entry| entry.key().0 <= cx.now) {
            let (to, text) = entry.remove();
            self.say_raw(cx, to, &text);
        }
        if let Some((at, _)) = self.held.first_key_value().map(|(key, _)| *key) {
            cx.wake_at(at);
        }
    }

    fn on_stream(&mut self, cx: &mut ActorCx<'_>, event: &StreamEvent) {
        let conn = event.conn;
        match &event.what {
            StreamWhat::Opened { .. } => {
                let (unread, unsent, peers) = (Vec::new(), Vec::new(), Vec::new());
                self.clients.insert(conn, Client { key: PublicKey::ZERO, channel: None, peers, unread, unsent });
            }
            StreamWhat::Data(bytes) => {
                if let Some(client) = self.clients.get_mut(&conn) {
                    client.unread.extend_from_slice(bytes);
                    self.read(cx, conn);
                }
            }
            StreamWhat::Writable => self.flush(cx, conn),
            StreamWhat::Closed | StreamWhat::Reset | StreamWhat::TimedOut | StreamWhat::Refused => self.lose(cx, conn),
        }
    }
}

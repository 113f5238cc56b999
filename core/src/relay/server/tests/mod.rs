//! A relay and the clients that talk to it, byte by byte.

mod crowds;
mod misuse;
mod onion;
mod routing;
mod streams;

use super::*;
use crate::crypto::Nacl;
use crate::cx::test_env::TestEnv;
use crate::relay::channel::{Channel, Greeting, Received};
use crate::wire::relay::{FRAME_LEN_MAX, FRAME_TEXT, RelayPacket};
use chacha20::ChaCha12Rng;
use rand_core::SeedableRng;
use std::boxed::Box;
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

/// 12 clients, 8 handshakes.
const CLIENTS: usize = 12;
const PENDING: usize = 8;
type Memory = StaticRelayStorage<{ CLIENTS + PENDING + 16 }, 64, 16, 64>;

/// A relay on virtual time, and what it has said.
struct Relay {
    server: RelayServer<'static, TestEnv>,
    now: Instant,
    rng: ChaCha12Rng,
    /// Bytes sent and not looked at, by connection.
    sent: BTreeMap<usize, Vec<u8>>,
    closed: Vec<(StreamId, CloseReason)>,
    datagrams: Vec<(Endpoint, Vec<u8>)>,
    /// Connections that cannot send.
    stuck: Vec<StreamId>,
}

/// A client's end of a connection.
struct Client {
    id: StreamId,
    secret: SecretKey,
    key: PublicKey,
    channel: Channel,
}

/// A packet that owns its bytes.
type Packet = Vec<u8>;

impl Relay {
    fn new() -> Self {
        Self::with(Box::leak(Box::new(Memory::new())).storage(PENDING, 100))
    }

    fn with(storage: RelayStorage<'static>) -> Self {
        let now = Instant::from_secs(1000);
        let parts = Parts { rng: ChaCha12Rng::seed_from_u64(7), suite: Nacl };
        let server = RelayServer::new(SecretKey::from_bytes([9; 32]), storage, parts, now).unwrap();
        let (sent, closed, datagrams, stuck) = Default::default();
        Self { server, now, rng: ChaCha12Rng::seed_from_u64(8), sent, closed, datagrams, stuck }
    }

    fn open(&mut self, ip: u8) -> StreamId {
        let id = self.server.opened(self.now, Endpoint::v4([11, 0, 0, ip], 1000)).unwrap();
        self.drain();
        id
    }

    /// Gives bytes to the server, all of them at once.
    fn give(&mut self, id: StreamId, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        let len = bytes.len();
        assert_eq!(self.server.handle_stream(self.now, id, &mut bytes), len);
        self.drain();
    }

    /// The law of the loop.
    fn drain(&mut self) {
        let mut buf = [0; FRAME_LEN_MAX + 100];
        while let Some(id) = self.server.next_stream() {
            while !self.stuck.contains(&id) {
                match self.server.poll_stream(self.now, id, &mut buf) {
                    0 => break,
                    len => self.sent.entry(id.index()).or_default().extend_from_slice(&buf[..len]),
                }
            }
        }
        let mut datagram = [0; crate::DATAGRAM_MAX];
        while let Some(packet) = self.server.poll_transmit(self.now, &mut datagram) {
            self.datagrams.push((packet.to, packet.bytes.to_vec()));
        }
        while let Some(RelayAction::Close { id, reason }) = self.server.poll_action() {
            self.sent.remove(&id.index());
            self.closed.push((id, reason));
        }
        let _ = self.server.poll_timeout();
    }

    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(deadline) = self.server.poll_timeout().filter(|deadline| deadline.at <= end) {
            self.now = deadline.at;
            self.server.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    fn secret(&mut self) -> SecretKey {
        SecretKey::generate(&mut self.rng)
    }

    /// A client whose handshake is done, and who has not sent a frame.
    fn greet(&mut self, ip: u8, secret: SecretKey) -> Client {
        let (id, key) = (self.open(ip), secret.public_key());
        let relay = self.server.key();
        let (greeting, hello) = Greeting::new(&Nacl, &mut self.rng, (&secret, &key), &relay).unwrap();
        self.give(id, &hello);
        let answer = self.sent.remove(&id.index()).unwrap();
        let channel = greeting.finish(&Nacl, &mut answer.try_into().unwrap()).unwrap();
        Client { id, secret, key, channel }
    }

    /// A client that has proved who it is.
    fn join_as(&mut self, ip: u8, secret: SecretKey) -> Client {
        let mut client = self.greet(ip, secret);
        self.say(&mut client, &RelayPacket::Ping(1));
        assert_eq!(self.hear(&mut client), [packet(&RelayPacket::Pong(1))]);
        assert_eq!(self.server.client(client.id), Some(client.key));
        client
    }

    fn join(&mut self, ip: u8) -> Client {
        let secret = self.secret();
        self.join_as(ip, secret)
    }

    fn say(&mut self, client: &mut Client, packet: &RelayPacket<'_>) {
        let bytes = client.frame(packet);
        self.give(client.id, &bytes);
    }

    /// Sends a packet of any form.
    fn say_raw(&mut self, client: &mut Client, text: &[u8]) {
        let bytes = client.frame_raw(text);
        self.give(client.id, &bytes);
    }

    /// All packets that a client was sent since the last time.
    fn hear(&mut self, client: &mut Client) -> Vec<Packet> {
        let mut bytes = self.sent.remove(&client.id.index()).unwrap_or_default();
        let (mut packets, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let Received::Frame { used, text } = client.channel.open(&Nacl, &mut bytes[at..]) else {
                panic!("the relay sends whole frames")
            };
            packets.push(text.to_vec());
            at += used;
        }
        packets
    }

    /// Both name each other.
    fn route(&mut self, a: &mut Client, b: &mut Client) {
        let (a_key, b_key) = (a.key, b.key);
        self.say(a, &RelayPacket::RoutingRequest(b_key));
        self.say(b, &RelayPacket::RoutingRequest(a_key));
        assert!(self.hear(a).contains(&packet(&RelayPacket::ConnectionNotification(16))));
        assert!(self.hear(b).contains(&packet(&RelayPacket::ConnectionNotification(16))));
    }

    fn why_closed(&self, id: StreamId) -> Option<CloseReason> {
        self.closed.iter().find(|(closed, _)| *closed == id).map(|(_, reason)| *reason)
    }

    fn table(&self, i: usize) -> usize {
        self.server.tables()[i].used
    }

    /// When all clients have left, nothing is left of them.
    fn is_clean(&self) -> bool {
        self.server.tables().iter().all(|table| table.used == 0)
    }
}

impl Client {
    fn frame(&mut self, packet: &RelayPacket<'_>) -> Vec<u8> {
        let mut buf = [0; FRAME_LEN_MAX];
        let len = self.channel.seal_packet(&Nacl, packet, &mut buf);
        buf[..len].to_vec()
    }

    fn frame_raw(&mut self, text: &[u8]) -> Vec<u8> {
        let mut buf = vec![0; FRAME_TEXT];
        buf.extend_from_slice(text);
        let len = buf.len();
        self.channel.seal(&Nacl, &mut buf, len);
        buf
    }
}

fn packet(packet: &RelayPacket<'_>) -> Packet {
    let mut buf = [0; FRAME_LEN_MAX];
    let mut w = crate::wire::Writer::new(&mut buf);
    packet.emit(&mut w);
    let len = w.len();
    buf[..len].to_vec()
}

//! A node without UDP, and relays that mean ill: bytes decide what they say, in which pieces, when they fall over, and
//! what the node is told to do.
//!
//! The relays seal what they say, so the fuzzer reaches what is behind the cryptography; other bytes go in as they are.

#![no_main]

use bluering_core::crypto::{Nacl, Nospam, PublicKey, SecretKey};
use bluering_core::driver::{Ports, Scratch, Sent, pump};
use bluering_core::relay::channel::{Channel, Received, answer};
use bluering_core::relay::{StreamEnd, StreamId};
use bluering_core::time::Instant;
use bluering_core::wire::NodeInfo;
use bluering_core::wire::relay::{CLIENT_HELLO_LEN, FRAME_LEN_MAX, FRAME_TEXT, RelayPacket};
use bluering_core::{Action, Config, Endpoint, Env, Event, Limits, Node, Parts, RelayHost, Storage, Transmit};
use chacha20::ChaCha8Rng;
use core::time::Duration;
use libfuzzer_sys::fuzz_target;
use rand_core::SeedableRng;

const RELAYS: u8 = 4;
const LIMITS: Limits = Limits { relays: 3, friends: 3, ..Limits::MICRO };

struct FuzzEnv;

impl Env for FuzzEnv {
    type Rng = ChaCha8Rng;
    type Suite = Nacl;
}

/// A stream that the node has opened.
struct Stream {
    id: StreamId,
    relay: u8,
    opened: bool,
    channel: Option<Channel>,
    heard: Vec<u8>,
    /// Given to the node and not used yet.
    rest: Vec<u8>,
    reads: bool,
}

#[derive(Default)]
struct Wires {
    streams: Vec<Stream>,
}

impl Ports for Wires {
    fn datagram(&mut self, _: &Transmit<'_>) -> Sent {
        panic!("a datagram without UDP");
    }

    fn stream(&mut self, id: StreamId, fill: &mut dyn FnMut(&mut [u8]) -> usize) -> bool {
        let stream = self.streams.iter_mut().find(|stream| stream.id == id).expect("a stream that was opened");
        let (mut buf, mut any) = ([0; FRAME_LEN_MAX], false);
        while stream.reads {
            match fill(&mut buf) {
                0 => break,
                len => stream.heard.extend_from_slice(&buf[..len]),
            }
            any = true;
        }
        any
    }

    fn action(&mut self, action: Action) {
        match action {
            Action::Open { id, to } => {
                let relay = to.port() as u8;
                assert!(self.streams.iter().all(|stream| stream.id != id));
                let (heard, rest) = (Vec::new(), Vec::new());
                self.streams.push(Stream { id, relay, opened: false, channel: None, heard, rest, reads: true });
            }
            Action::Close { id } => self.streams.retain(|stream| stream.id != id),
            _ => {}
        }
    }

    fn event_room(&mut self) -> bool {
        true
    }

    fn event(&mut self, _: Event<'_>) {}
}

struct World {
    node: Node<'static, FuzzEnv>,
    scratch: Scratch,
    now: Instant,
    rng: ChaCha8Rng,
    wires: Wires,
}

fn secret(of: u8) -> SecretKey {
    SecretKey::from_bytes([of + 1; 32])
}

fuzz_target!(|bytes: &[u8]| {
    let now = Instant::from_secs(1);
    let config = Config { udp: false, ..Config::new(secret(100), Nospam([1; 4])) };
    let parts = Parts { rng: ChaCha8Rng::from_seed([1; 32]), suite: Nacl };
    let node = Node::new(config, Storage::heap(&LIMITS), parts, now).expect("enough storage");
    let rng = ChaCha8Rng::from_seed([2; 32]);
    let mut world = World { node, scratch: Scratch::new(), now, rng, wires: Wires::default() };
    let mut input = bytes;
    while let [what, arg, rest @ ..] = input {
        let (data, rest) = rest.split_at(usize::from(*arg & 63).min(rest.len()));
        input = rest;
        world.step(*what, *arg, data);
        world.pump();
        assert!(world.node.occupancy().tables().iter().all(|table| table.used <= table.capacity));
    }
});

impl World {
    fn step(&mut self, what: u8, arg: u8, data: &[u8]) {
        let i = usize::from(what >> 4) % self.wires.streams.len().max(1);
        match (what & 15, self.wires.streams.get_mut(i)) {
            (0, _) => {
                let key = secret(arg % RELAYS).public_key();
                let at = Endpoint::v4([11, 0, 0, 1], u16::from(arg % RELAYS) + 1);
                self.node.add_relay(self.now, key, RelayHost::At(at));
                self.node.bootstrap(self.now, NodeInfo { key, at });
            }
            (1, _) => {
                self.now = self.now + Duration::from_millis(u64::from(arg) * 200);
                self.node.handle_timeout(self.now);
            }
            (2, _) => drop(self.node.accept(self.now, secret(10 + arg % 4).public_key())),
            (3, Some(stream)) if !stream.opened => {
                stream.opened = true;
                self.node.stream_opened(self.now, stream.id);
            }
            (4, Some(stream)) => {
                let id = stream.id;
                self.wires.streams.remove(i);
                self.node.stream_closed(self.now, id, StreamEnd::Ended);
            }
            (5, Some(stream)) => {
                stream.reads = arg & 64 == 0;
                if stream.reads {
                    self.node.stream_ready(self.now, stream.id);
                }
            }
            (6, Some(stream)) if stream.opened => self.answer(i),
            (7, Some(_)) => self.give(i, data),
            (8, _) => {
                if let Some(friend) = self.node.friend_by_index(usize::from(arg % 4)) {
                    self.node.remove_friend(self.now, friend);
                }
            }
            (_, Some(stream)) if stream.channel.is_some() && !data.is_empty() => {
                let mut frame = [&[0; FRAME_TEXT][..], data].concat();
                if arg & 128 != 0 {
                    frame.resize(FRAME_TEXT + usize::from(what) * 7 + 1, arg);
                }
                let len = frame.len();
                if let Some(channel) = &mut stream.channel {
                    channel.seal(&Nacl, &mut frame, len);
                }
                let (id, cut) = (stream.id, usize::from(arg) % len);
                self.give(i, &frame[..cut]);
                if self.wires.streams.get(i).is_some_and(|stream| stream.id == id) {
                    self.give(i, &frame[cut..]);
                }
            }
            (_, _) => {}
        }
    }

    /// The relay answers what it has heard: the handshake, pings, and that every peer is there.
    fn answer(&mut self, i: usize) {
        let stream = &mut self.wires.streams[i];
        let mut says = Vec::new();
        if stream.channel.is_none() {
            let Some(hello) = stream.heard.first_chunk::<CLIENT_HELLO_LEN>() else { return };
            let relay = secret(stream.relay.wrapping_sub(1) % RELAYS);
            let answered = answer(&Nacl, &mut self.rng, &relay, &mut { *hello }).expect("a right handshake");
            says.extend_from_slice(&answered.hello);
            stream.channel = Some(answered.channel);
            stream.heard.drain(..CLIENT_HELLO_LEN);
        }
        let Some(channel) = &mut stream.channel else { return };
        let mut next = 16;
        while let Received::Frame { used, text } = channel.open(&Nacl, &mut stream.heard) {
            let packet = RelayPacket::parse(text).expect("what the node says is a packet");
            let answers = match packet {
                RelayPacket::Ping(id) => vec![RelayPacket::Pong(id)],
                RelayPacket::RoutingRequest(peer) => {
                    next += 1;
                    let peer: PublicKey = peer;
                    vec![RelayPacket::RoutingResponse { id: next, peer }, RelayPacket::ConnectionNotification(next)]
                }
                _ => Vec::new(),
            };
            stream.heard.drain(..used);
            for packet in answers {
                let mut buf = [0; FRAME_LEN_MAX];
                let len = channel.seal_packet(&Nacl, &packet, &mut buf);
                says.extend_from_slice(&buf[..len]);
            }
        }
        self.give(i, &says);
    }

    fn give(&mut self, i: usize, bytes: &[u8]) {
        let stream = &mut self.wires.streams[i];
        stream.rest.extend_from_slice(bytes);
        let used = self.node.handle_stream(self.now, stream.id, &mut stream.rest);
        stream.rest.drain(..used);
        assert!(stream.rest.len() < FRAME_LEN_MAX);
        self.pump();
    }

    fn pump(&mut self) {
        for _ in 0..8 {
            let idle = pump(&mut self.node, self.now, &mut self.scratch, &mut self.wires);
            match idle.deadline {
                Some(deadline) if deadline.at <= self.now => self.node.handle_timeout(self.now),
                Some(_) | None => return,
            }
        }
        panic!("busy");
    }
}

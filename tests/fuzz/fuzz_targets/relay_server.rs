//! A relay and its clients: bytes decide who connects, what is said in which pieces, who reads, who goes, and when.
//!
//! Clients seal what they say, so the fuzzer reaches what is behind the cryptography; other bytes go in as they are.

#![no_main]

use bluering_core::crypto::{Nacl, SecretKey};
use bluering_core::relay::StreamId;
use bluering_core::relay::channel::{Channel, Greeting, Received};
use bluering_core::relay::server::{RelayAction, RelayLimits, RelayServer, RelayStorage};
use bluering_core::time::Instant;
use bluering_core::wire::relay::{FRAME_LEN_MAX, FRAME_TEXT, RelayPacket};
use bluering_core::{DATAGRAM_MAX, Endpoint, Env, Frame, Parts};
use chacha20::ChaCha8Rng;
use core::time::Duration;
use libfuzzer_sys::fuzz_target;
use rand_core::SeedableRng;

const LIMITS: RelayLimits = RelayLimits { clients: 4, pending: 3, per_address: 4, pages: 6, blocks: 8 };

struct FuzzEnv;

impl Env for FuzzEnv {
    type Rng = ChaCha8Rng;
    type Suite = Nacl;
}

struct Client {
    id: StreamId,
    channel: Channel,
    /// Given to the relay and not used yet.
    rest: Vec<u8>,
    reads: bool,
}

struct World {
    relay: RelayServer<'static, FuzzEnv>,
    now: Instant,
    rng: ChaCha8Rng,
    clients: Vec<Client>,
    datagram: Vec<u8>,
}

fuzz_target!(|bytes: &[u8]| {
    let (now, parts) = (Instant::from_secs(1), Parts { rng: ChaCha8Rng::from_seed([1; 32]), suite: Nacl });
    let relay = RelayServer::new(SecretKey::from_bytes([9; 32]), RelayStorage::heap(&LIMITS), parts, now);
    let relay = relay.expect("enough storage");
    let rng = ChaCha8Rng::from_seed([2; 32]);
    let mut world = World { relay, now, rng, clients: Vec::new(), datagram: Vec::new() };
    let mut input = bytes;
    while let [what, arg, rest @ ..] = input {
        let len = usize::from(*arg & 63).min(rest.len());
        let (data, rest) = rest.split_at(len);
        input = rest;
        world.step(*what, *arg, data);
    }
    let ids: Vec<StreamId> = world.clients.iter().map(|client| client.id).collect();
    ids.into_iter().for_each(|id| world.relay.closed(world.now, id));
    world.drain();
    world.pass(Duration::from_secs(60));
    assert!(world.relay.tables().iter().all(|table| table.used == 0), "{:?}", world.relay.tables());
});

impl World {
    fn step(&mut self, what: u8, arg: u8, data: &[u8]) {
        let i = usize::from(what >> 4) % self.clients.len().max(1);
        match (what & 15, self.clients.get_mut(i)) {
            (0, _) => self.join(arg),
            (1, _) => self.pass(Duration::from_millis(u64::from(arg) * 200)),
            (2, Some(client)) => {
                client.reads = arg & 64 == 0;
                let id = client.id;
                self.read(id);
            }
            (3, Some(client)) => {
                let id = client.id;
                self.clients.remove(i);
                self.relay.closed(self.now, id);
            }
            (4, _) => self.answer(data),
            (5, Some(_)) => self.give(i, data),
            (_, Some(client)) if !data.is_empty() => {
                // A packet; the second bit pads it to a length that more kinds have.
                let mut frame = [&[0; FRAME_TEXT][..], data].concat();
                if arg & 128 != 0 {
                    frame.resize(FRAME_TEXT + usize::from(what) * 7 + 1, arg);
                }
                let len = frame.len();
                client.channel.seal(&Nacl, &mut frame, len);
                let cut = usize::from(arg) % len;
                self.give(i, &frame[..cut]);
                if i < self.clients.len() {
                    self.give(i, &frame[cut..]);
                }
            }
            (_, _) => {}
        }
        self.drain();
    }

    fn join(&mut self, arg: u8) {
        let Ok(id) = self.relay.opened(self.now, Endpoint::v4([11, 0, 0, arg & 1], 1)) else { return };
        let secret = SecretKey::from_bytes([1 + arg % 5; 32]);
        let me = (&secret, &secret.public_key());
        let (greeting, mut hello) = Greeting::new(&Nacl, &mut self.rng, me, &self.relay.key()).expect("a good key");
        self.relay.handle_stream(self.now, id, &mut hello);
        let mut buf = [0; FRAME_LEN_MAX];
        let len = self.relay.poll_stream(self.now, id, &mut buf);
        let channel = buf.first_chunk_mut().filter(|_| len == 96).and_then(|hello| greeting.finish(&Nacl, hello));
        if let Some(channel) = channel {
            self.clients.push(Client { id, channel, rest: Vec::new(), reads: true });
        }
    }

    fn give(&mut self, i: usize, bytes: &[u8]) {
        let client = &mut self.clients[i];
        client.rest.extend_from_slice(bytes);
        let used = self.relay.handle_stream(self.now, client.id, &mut client.rest);
        client.rest.drain(..used);
        assert!(client.rest.len() < FRAME_LEN_MAX);
    }

    /// A node answers the last datagram.
    fn answer(&mut self, data: &[u8]) {
        let Some(header) = self.datagram.len().checked_sub(59).map(|at| self.datagram[at..].to_vec()) else { return };
        let packet = [&[0x8e], &header[..], data].concat();
        let mut buf = [0; DATAGRAM_MAX];
        buf[..packet.len()].copy_from_slice(&packet);
        let _ = self.relay.handle_datagram(self.now, &mut Frame::new(&mut buf, packet.len(), Endpoint::UNSPECIFIED));
    }

    fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
        for round in 0.. {
            self.relay.handle_timeout(self.now);
            self.drain();
            match self.relay.poll_timeout() {
                Some(deadline) if deadline.at <= self.now => assert!(round < 10, "busy with {:?}", deadline.why),
                Some(_) | None => break,
            }
        }
    }

    fn drain(&mut self) {
        while let Some(id) = self.relay.next_stream() {
            self.read(id);
        }
        let mut buf = [0; DATAGRAM_MAX];
        while let Some(packet) = self.relay.poll_transmit(self.now, &mut buf) {
            assert!(packet.bytes.len() <= 1400 || packet.bytes[0] == 0x91);
            self.datagram = packet.bytes.to_vec();
        }
        while let Some(RelayAction::Close { id, .. }) = self.relay.poll_action() {
            self.clients.retain(|client| client.id != id);
        }
        for table in self.relay.tables() {
            assert!(table.used <= table.capacity, "{table:?}");
        }
    }

    /// Everything that a relay sends opens and is a packet.
    fn read(&mut self, id: StreamId) {
        let mut buf = [0; FRAME_LEN_MAX + 200];
        let Some(client) = self.clients.iter_mut().find(|client| client.id == id && client.reads) else { return };
        loop {
            let len = self.relay.poll_stream(self.now, id, &mut buf);
            let mut at = 0;
            while at < len {
                let Received::Frame { used, text } = client.channel.open(&Nacl, &mut buf[at..len]) else {
                    panic!("whole frames")
                };
                assert!(RelayPacket::parse(text).is_some());
                at += used;
            }
            if len == 0 {
                return;
            }
        }
    }
}

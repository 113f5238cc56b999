//! The whole node: datagrams, time and commands in any order. No panic, bounded output, no deadline stuck in the past.
//!
//! A bootstrap node and two friends who are connected already. The cryptography is a toy that hides nothing: a box
//! shows its text, and when a packet is delivered *lax*, every box opens. So the fuzzer gets behind the authenticators,
//! where it plays friends who lie, and it is fast enough to find something there.

#![no_main]

use bluering_core::crypto::{Nonce, Nospam, PublicKey, SecretKey, SharedKey, Suite};
use bluering_core::time::{Instant, UnixTime};
use bluering_core::wire::NodeInfo;
use bluering_core::{
    BootstrapInfo, Config, Connection, DATAGRAM_MAX, Disposition, Endpoint, Env, Event, Frame, Limits, MessageKind,
    Node, Parts, Storage, UserStatus,
};
use core::time::Duration;
use libfuzzer_sys::fuzz_target;
use rand_core::SeedableRng;
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

struct FuzzEnv;

impl Env for FuzzEnv {
    type Rng = chacha20::ChaCha8Rng;
    type Suite = Toy;
}

/// Not cryptography: keys that agree, and authenticators that notice a change unless `lax`.
struct Toy {
    lax: Rc<Cell<bool>>,
}

impl Suite for Toy {
    fn agree(&self, secret: &SecretKey, public: &PublicKey) -> Option<SharedKey> {
        let own = self.public_key(secret);
        let sum = core::array::from_fn(|i| own.0[i].wrapping_add(public.0[i]).wrapping_add(i as u8));
        (*public != PublicKey::ZERO).then(|| SharedKey::from_bytes(sum))
    }

    fn public_key(&self, secret: &SecretKey) -> PublicKey {
        let mut key = secret.as_bytes().map(|byte| byte.rotate_left(3) ^ 0x55);
        key[31] &= 0x7f;
        PublicKey(key)
    }

    fn seal(&self, key: &SharedKey, nonce: &Nonce, boxed: &mut [u8]) {
        let (tag, text) = boxed.split_at_mut(16);
        tag.copy_from_slice(&authenticator(key, nonce, text));
    }

    fn open(&self, key: &SharedKey, nonce: &Nonce, boxed: &mut [u8]) -> bool {
        let Some((tag, text)) = boxed.split_at_mut_checked(16) else { return false };
        self.lax.get() || *tag == authenticator(key, nonce, text)
    }
}

fn authenticator(key: &SharedKey, nonce: &Nonce, text: &[u8]) -> [u8; 16] {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for byte in key.as_bytes().iter().chain(&nonce.0).chain(text) {
        sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let mut tag = [0; 16];
    tag[..8].copy_from_slice(&sum.to_be_bytes());
    tag[8..].copy_from_slice(&(!sum).to_be_bytes());
    tag
}

/// More packets than this from one node in one instant would be a flood.
const OUTPUT_MAX: usize = 600;
const FLYING_MAX: usize = 512;
const STRANGER: Endpoint = Endpoint::v4([203, 0, 113, 9], 999);

struct World {
    nodes: Vec<Node<'static, FuzzEnv>>,
    lax: Rc<Cell<bool>>,
    now: Instant,
    /// To whom, from where, what.
    flying: VecDeque<(usize, Endpoint, Vec<u8>)>,
    reading: bool,
}

fuzz_target!(|data: &[u8]| {
    let mut world = World::connected();
    let mut input = data.iter().copied();
    while let (Some(what), Some(arg)) = (input.next(), input.next()) {
        world.lax.set(what & 8 != 0);
        match what & 7 {
            0 => world.deliver_next(),
            1 => world.deliver_changed(what, arg, &mut input),
            2 => {
                let bytes: Vec<u8> = input.by_ref().take(usize::from(arg) * 6).collect();
                let from = if what & 16 != 0 { STRANGER } else { address(usize::from(what >> 5) % 3) };
                world.deliver(usize::from(what >> 6) % 3, from, &bytes);
            }
            3 => {
                world.flying.truncate(usize::from(arg));
            }
            4 => world.command(usize::from(what >> 4) % 3, arg),
            5 => world.pass(Duration::from_millis(u64::from(arg))),
            6 => world.pass(Duration::from_secs(u64::from(arg))),
            _ => world.run(Duration::from_millis(u64::from(arg) * 8)),
        }
        world.lax.set(false);
        if what & 7 == 7 {
            world.reading = what & 16 == 0;
        }
    }
});

impl World {
    fn connected() -> Self {
        let (now, lax) = (Instant::from_secs(1), Rc::new(Cell::new(false)));
        let nodes = (0..3).map(|i| node(i, now, &lax)).collect();
        let mut world = Self { nodes, lax, now, flying: VecDeque::new(), reading: true };
        for (i, other) in [(1, 2), (2, 1)] {
            let hub = NodeInfo { key: world.nodes[0].dht_key(), at: address(0) };
            let key = world.nodes[other].tox_id().public_key;
            world.nodes[i].bootstrap(now, hub);
            assert!(world.nodes[i].accept(now, key).is_ok());
        }
        world.drain_all();
        for _ in 0..40 {
            world.run(Duration::from_millis(250));
            if world.is_online(1) && world.is_online(2) {
                return world;
            }
        }
        panic!("friends do not meet");
    }

    fn is_online(&self, i: usize) -> bool {
        let friend = self.nodes[i].friend_by_index(0).and_then(|id| self.nodes[i].friend(id));
        friend.is_some_and(|friend| friend.connection == Connection::Udp)
    }

    /// Lets everything take its course.
    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        for _ in 0..400 {
            if !self.flying.is_empty() {
                self.deliver_next();
                continue;
            }
            let due = self.nodes.iter_mut().filter_map(|node| node.poll_timeout()).map(|deadline| deadline.at).min();
            match due {
                Some(at) if at <= end => self.pass(at.max(self.now).since(self.now)),
                Some(_) | None => break,
            }
        }
        self.pass(end.max(self.now).since(self.now));
    }

    fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
        for i in 0..self.nodes.len() {
            self.nodes[i].handle_timeout(self.now);
            self.drain(i);
        }
    }

    fn deliver_next(&mut self) {
        if let Some((to, from, bytes)) = self.flying.pop_front() {
            self.deliver(to, from, &bytes);
        }
    }

    /// Some packet, with bytes changed, cut, repeated, or from elsewhere.
    fn deliver_changed(&mut self, what: u8, arg: u8, input: &mut impl Iterator<Item = u8>) {
        let Some((to, mut from, mut bytes)) = self.flying.remove(usize::from(arg) % self.flying.len().max(1)) else {
            return;
        };
        let mut word = || usize::from(input.next().unwrap_or(0)) << 8 | usize::from(input.next().unwrap_or(0));
        for _ in 0..what >> 6 {
            let (at, change) = (word() % bytes.len(), word() as u8);
            bytes[at] = change;
        }
        if what & 16 != 0 {
            bytes.truncate(word() % (bytes.len() + 1));
        }
        if what & 32 != 0 {
            self.deliver(to, from, &bytes);
            from = if arg & 128 != 0 { STRANGER } else { address(usize::from(arg >> 5) % 3) };
        }
        self.deliver(to, from, &bytes);
    }

    fn command(&mut self, i: usize, arg: u8) {
        let now = self.now;
        let (next, any) = (&self.nodes[(i + 1) % 3], &self.nodes[(i + usize::from(arg >> 4)) % 3]);
        let (next, any) = (next.tox_id(), any.tox_id().public_key);
        let node = &mut self.nodes[i];
        let friend = node.friend_by_index(0);
        match (arg & 7, friend) {
            (0, Some(friend)) => {
                let mut data = vec![arg; usize::from(arg) * 5 + 1];
                data[0] = if arg & 64 == 0 { 160 } else { 200 };
                let _ = if arg & 64 == 0 {
                    node.send_lossless(now, friend, &data)
                } else {
                    node.send_lossy(now, friend, &data)
                };
            }
            (1 | 2, Some(friend)) => {
                let text = vec![arg; usize::from(arg) * 5];
                let _ = node.send_message(now, friend, MessageKind::Normal, &text);
            }
            (3, Some(friend)) => {
                let _ = node.set_typing(now, friend, arg & 8 != 0);
            }
            (4, Some(friend)) if arg & 0xf0 == 0 => assert!(node.remove_friend(now, friend)),
            (5, _) => {
                let _ = node.add_friend(now, &next, b"hello");
            }
            (6, _) => {
                let _ = node.accept(now, any);
            }
            (7, _) if arg & 0xf0 == 0xf0 => node.shutdown(now),
            _ => {
                node.set_status(UserStatus::Busy);
                let _ = node.set_name(&vec![arg; usize::from(arg)]);
            }
        }
        self.drain(i);
    }

    fn deliver(&mut self, to: usize, from: Endpoint, bytes: &[u8]) {
        let mut buf = [0; DATAGRAM_MAX];
        let len = bytes.len().min(DATAGRAM_MAX);
        buf[..len].copy_from_slice(&bytes[..len]);
        match self.nodes[to].handle_datagram(self.now, &mut Frame::new(&mut buf, len, from)) {
            Disposition::Reply { to: target, len } => self.send(to, target, &buf[..len]),
            Disposition::Consumed | Disposition::Dropped(_) => {}
        }
        self.drain(to);
    }

    fn send(&mut self, from: usize, to: Endpoint, bytes: &[u8]) {
        assert!(!bytes.is_empty() && bytes.len() <= 1400, "{} bytes", bytes.len());
        if let Some(to) = (0..self.nodes.len()).find(|i| address(*i) == to)
            && self.flying.len() < FLYING_MAX
        {
            self.flying.push_back((to, address(from), bytes.to_vec()));
        }
    }

    fn drain_all(&mut self) {
        (0..self.nodes.len()).for_each(|i| self.drain(i));
    }

    /// The law of the loop. A deadline that has come must go away within a few rounds.
    fn drain(&mut self, i: usize) {
        let mut buf = [0; DATAGRAM_MAX];
        let mut sent = 0;
        for round in 0.. {
            while self.nodes[i].poll_action().is_some() {}
            while let Some(packet) = self.nodes[i].poll_transmit(self.now, &mut buf) {
                sent += 1;
                assert!(sent <= OUTPUT_MAX, "endless output");
                let (to, len) = (packet.to, packet.bytes.len());
                self.send(i, to, &buf[..len]);
            }
            let mut any = false;
            if self.reading || i != 2 {
                while let Some(event) = self.nodes[i].poll_event() {
                    check(&event);
                    any = true;
                }
            } else {
                self.nodes[i].blocked(bluering_core::Output::Event);
            }
            if any {
                continue;
            }
            match self.nodes[i].poll_timeout() {
                Some(deadline) if deadline.at <= self.now => {
                    assert!(round < 40, "busy with {:?}", deadline.why);
                    self.nodes[i].handle_timeout(self.now);
                }
                Some(_) | None => break,
            }
        }
    }
}

/// What the documentation of events promises.
fn check(event: &Event<'_>) {
    match event {
        Event::FriendRequest { message, .. } => assert!((1..=921).contains(&message.len())),
        Event::FriendName { name, .. } => assert!(name.len() <= 128),
        Event::FriendStatusMessage { text, .. } => assert!(text.len() <= 1007),
        Event::Message { text, .. } => assert!((1..=1372).contains(&text.len())),
        _ => {}
    }
}

fn node(i: usize, now: Instant, lax: &Rc<Cell<bool>>) -> Node<'static, FuzzEnv> {
    let seed = i as u8 + 1;
    let parts = Parts { rng: chacha20::ChaCha8Rng::from_seed([seed; 32]), suite: Toy { lax: lax.clone() } };
    let info = (i == 0).then_some(BootstrapInfo { version: 1, motd: b"fuzz" });
    let (secret, nospam) = (SecretKey::from_bytes([seed * 37; 32]), Nospam([seed; 4]));
    let config = Config { info, lan_discovery: i == 1, ..Config::new(secret, nospam) };
    let limits = Limits { group_peers: 2, announcements: 2, ..Limits::MICRO };
    match Node::new(config, Storage::heap(&limits), parts, now) {
        Ok(mut node) => {
            node.handle_clock(now, UnixTime(1_700_000_000));
            node
        }
        Err(error) => panic!("{error}"),
    }
}

const fn address(i: usize) -> Endpoint {
    Endpoint::v4([11, 0, 0, i as u8 + 1], 33445)
}

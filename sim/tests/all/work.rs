//! How much work one datagram can cause, counted in X25519 agreements, by far the dearest thing that a node does.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may panic, and picks what it looks for"
)]

use bluering_core::crypto::{Nacl, Nonce, Nospam, PublicKey, SecretKey, SharedKey, Suite};
use bluering_core::driver::{Ports, Scratch, Sent, pump};
use bluering_core::relay::StreamId;
use bluering_core::time::Instant;
use bluering_core::{
    Action, BootstrapInfo, Config, DATAGRAM_MAX, Disposition, Endpoint, Env, Event, Frame, Limits, Node, Parts,
    Storage, Transmit,
};
use bluering_sim::SimRng;
use bluering_sim::adversaries::craft::{Attacker, address, index, noise as bytes_of};
use bluering_sim::crypto::{SimSuite, Strength};
use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

/// Packets of each flood.
const FLOOD: u32 = 600;

struct CountingEnv;

impl Env for CountingEnv {
    type Rng = SimRng;
    type Suite = Counting;
}

/// Counts multiplications on the curve.
struct Counting(Rc<Cell<u32>>);

impl Suite for Counting {
    fn agree(&self, secret: &SecretKey, public: &PublicKey) -> Option<SharedKey> {
        self.0.set(self.0.get() + 1);
        Nacl.agree(secret, public)
    }

    fn public_key(&self, secret: &SecretKey) -> PublicKey {
        self.0.set(self.0.get() + 1);
        Nacl.public_key(secret)
    }

    fn seal(&self, key: &SharedKey, nonce: &Nonce, boxed: &mut [u8]) {
        Nacl.seal(key, nonce, boxed);
    }

    fn open(&self, key: &SharedKey, nonce: &Nonce, boxed: &mut [u8]) -> bool {
        Nacl.open(key, nonce, boxed)
    }
}

/// What the node sends by itself.
#[derive(Default)]
struct Wire(Vec<(Endpoint, Vec<u8>)>);

impl Ports for Wire {
    fn datagram(&mut self, packet: &Transmit<'_>) -> Sent {
        self.0.push((packet.to, packet.bytes.to_vec()));
        Sent::Ok
    }

    fn stream(&mut self, _: StreamId, _: &mut dyn FnMut(&mut [u8]) -> usize) -> bool {
        false
    }

    fn action(&mut self, _: Action) {}

    fn event_room(&mut self) -> bool {
        true
    }

    fn event(&mut self, _: Event<'_>) {}
}

struct Target {
    node: Node<'static, CountingEnv>,
    work: Rc<Cell<u32>>,
    scratch: Scratch,
    now: Instant,
}

impl Target {
    fn new(limits: &Limits) -> Self {
        let (work, now) = (Rc::new(Cell::new(0)), Instant::from_secs(1));
        let parts = Parts { rng: SimRng::new(3), suite: Counting(work.clone()) };
        let info = Some(BootstrapInfo { version: 1, motd: b"target" });
        let config = Config { info, ..Config::new(SecretKey::from_bytes([5; 32]), Nospam([1; 4])) };
        let Ok(node) = Node::new(config, Storage::heap(limits), parts, now) else { panic!("the limits are too small") };
        let mut target = Self { node, work, scratch: Scratch::new(), now };
        target.drain();
        target
    }

    /// Multiplications that follow from a datagram at once.
    fn cost_of(&mut self, from: Endpoint, bytes: &[u8]) -> (u32, Vec<(Endpoint, Vec<u8>)>) {
        let before = self.work.get();
        let mut buf = [0; DATAGRAM_MAX];
        buf[..bytes.len()].copy_from_slice(bytes);
        let disposition = self.node.handle_datagram(self.now, &mut Frame::new(&mut buf, bytes.len(), from));
        let mut sent = self.drain();
        if let Disposition::Reply { to, len } = disposition {
            sent.push((to, buf[..len].to_vec()));
        }
        (self.work.get() - before, sent)
    }

    fn drain(&mut self) -> Vec<(Endpoint, Vec<u8>)> {
        let mut wire = Wire::default();
        let _ = pump(&mut self.node, self.now, &mut self.scratch, &mut wire);
        wire.0
    }

    fn pass(&mut self, span: Duration) -> Vec<(Endpoint, Vec<u8>)> {
        self.now = self.now + span;
        self.node.handle_timeout(self.now);
        self.drain()
    }
}

/// Requests of all kinds from senders who are new each time.
#[test]
fn a_request_costs_one_agreement() {
    for limits in [Limits::DESKTOP, Limits::MICRO] {
        let (mut target, suite, mut noise) = (Target::new(&limits), SimSuite::new(Strength::Real), SimRng::new(1));
        let (dht, long_term) = (target.node.dht_key(), target.node.tox_id().public_key);
        let mut worst = [0; 5];
        let mut total = 0;
        for n in 0..FLOOD {
            let attacker = Attacker::new(&suite, &mut noise);
            let what = n as usize % 5;
            let mut packet = match what {
                0 => attacker.ping_request(&dht),
                1 => attacker.nodes_request(&dht, long_term),
                2 => attacker.cookie_request(&dht, long_term),
                3 => attacker.announce_request(&dht, long_term),
                _ => bytes_of(&mut noise, 400),
            };
            if what == 4 {
                packet[0] =
                    [0x00, 0x02, 0x18, 0x1a, 0x1b, 0x20, 0x80, 0x81, 0x82, 0x83, 0x84, 0x86][index(&mut noise, 12)];
            }
            let (cost, _) = target.cost_of(attacker.at, &packet);
            worst[what] = worst[what].max(cost);
            total += cost;
            if n % 10 == 0 {
                target.pass(Duration::from_millis(1));
            }
        }
        assert!(worst.iter().all(|cost| *cost <= 2), "{worst:?}");
        assert!(total <= FLOOD * 5 / 4, "{total}");
    }
}

/// A node that we asked answers again and again, and names other nodes each time. Each name is a request to somebody,
/// but soon no longer at once.
#[test]
fn answers_that_name_nodes_cost_little() {
    for limits in [Limits::DESKTOP, Limits::MICRO] {
        let (mut target, suite, mut noise) = (Target::new(&limits), SimSuite::new(Strength::Real), SimRng::new(2));
        let (dht, liar) = (target.node.dht_key(), Attacker::new(&suite, &mut noise));
        let node = bluering_core::wire::NodeInfo { key: liar.key, at: liar.at };
        target.node.bootstrap(target.now, node);
        let asked = target.pass(Duration::from_millis(1));
        let (_, request) = asked.iter().find(|(to, _)| *to == liar.at).expect("the bootstrap node is asked");
        let mut total = 0;
        for _ in 0..FLOOD {
            let victim = address(&mut noise);
            let answer = liar.answer(&dht, request, victim, &mut noise).expect("an answer");
            let (cost, _) = target.cost_of(liar.at, &answer);
            assert!(cost <= 8, "{cost}");
            total += cost;
        }
        // A microcontroller asks two seconds' worth of its budget at once, and cannot afford more.
        let most = if limits == Limits::MICRO { 3 * limits.agreements } else { FLOOD / 2 };
        assert!((30..most).contains(&total), "{total}");
    }
}

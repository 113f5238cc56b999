//! In steady state the core takes nothing from the heap: two friends exchange messages, and every allocation is
//! counted.

#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks what it looks for")]
#![expect(unsafe_code, reason = "a global allocator can only be counted by one of our own")]

use bluering_core::crypto::{Nacl, Nospam, SecretKey};
use bluering_core::driver::{Ports, Scratch, Sent, pump};
use bluering_core::relay::StreamId;
use bluering_core::time::{Instant, UnixTime};
use bluering_core::{
    Action, Config, Connection, DATAGRAM_MAX, Disposition, Endpoint, Env, Event, Frame, FriendId, Limits, MessageKind,
    Node, Parts, Storage, Transmit,
};
use chacha20::ChaCha8Rng;
use core::time::Duration;
use rand_core::SeedableRng;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::VecDeque;

struct PlainEnv;

impl Env for PlainEnv {
    type Rng = ChaCha8Rng;
    type Suite = Nacl;
}

thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting per thread.
struct Counting;

fn count() {
    // A thread that ends may have lost its counter already.
    let _ = TAKEN.try_with(|taken| taken.set(taken.get() + 1));
}

// SAFETY: every call goes to the system's allocator with the arguments that came in.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.realloc(memory, layout, len) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn taken() -> u64 {
    TAKEN.with(Cell::get)
}

const PLACES: usize = 512;
const LATENCY: Duration = Duration::from_millis(5);

/// A datagram under way.
struct Letter {
    due: Instant,
    from: usize,
    to: Endpoint,
    len: usize,
    bytes: [u8; DATAGRAM_MAX],
}

/// The network, and what applications count: nothing in it grows.
struct Wire {
    letters: VecDeque<Letter>,
    now: Instant,
    from: usize,
    online: [bool; 3],
    messages: u32,
    receipts: u32,
}

impl Wire {
    fn carry(&mut self, to: Endpoint, bytes: &[u8]) {
        assert!(self.letters.len() < PLACES, "the network is too small");
        let mut letter =
            Letter { due: self.now + LATENCY, from: self.from, to, len: bytes.len(), bytes: [0; DATAGRAM_MAX] };
        letter.bytes[..bytes.len()].copy_from_slice(bytes);
        self.letters.push_back(letter);
    }
}

impl Ports for Wire {
    fn datagram(&mut self, packet: &Transmit<'_>) -> Sent {
        self.carry(packet.to, packet.bytes);
        Sent::Ok
    }

    fn stream(&mut self, _: StreamId, _: &mut dyn FnMut(&mut [u8]) -> usize) -> bool {
        false
    }

    fn action(&mut self, _: Action) {}

    fn event_room(&mut self) -> bool {
        true
    }

    fn event(&mut self, event: Event<'_>) {
        if let Event::FriendConnection { connection, .. } = event {
            self.online[self.from] = connection == Connection::Udp;
        }
        self.messages += u32::from(matches!(event, Event::Message { .. }));
        self.receipts += u32::from(matches!(event, Event::ReadReceipt { .. }));
    }
}

/// Three nodes without a runtime.
struct Trio {
    nodes: Vec<(Node<'static, PlainEnv>, Scratch, Option<Instant>)>,
    wire: Wire,
}

fn address(node: usize) -> Endpoint {
    Endpoint::v4([11, 0, 0, node as u8 + 1], 33445)
}

impl Trio {
    fn new() -> Self {
        let now = Instant::from_secs(1);
        let nodes = (0..3).map(|i| {
            let rng = ChaCha8Rng::from_seed([i + 1; 32]);
            let config = Config::new(SecretKey::from_bytes([i + 7; 32]), Nospam([i; 4]));
            let limits = if i == 0 { Limits::SERVER } else { Limits::DESKTOP };
            let node = Node::new(config, Storage::heap(&limits), Parts { rng, suite: Nacl }, now);
            let mut node = node.expect("the limits suffice");
            node.handle_clock(now, UnixTime(1_700_000_000));
            (node, Scratch::new(), None)
        });
        let letters = VecDeque::with_capacity(PLACES);
        let wire = Wire { letters, now, from: 0, online: [false; 3], messages: 0, receipts: 0 };
        Self { nodes: nodes.collect(), wire }
    }

    /// Runs a command on a node, and sends what follows from it.
    fn with<T>(&mut self, i: usize, command: impl FnOnce(&mut Node<'static, PlainEnv>, Instant) -> T) -> T {
        let result = command(&mut self.nodes[i].0, self.wire.now);
        self.pump(i);
        result
    }

    fn pump(&mut self, i: usize) {
        let (node, scratch, deadline) = &mut self.nodes[i];
        self.wire.from = i;
        *deadline = pump(node, self.wire.now, scratch, &mut self.wire).deadline.map(|deadline| deadline.at);
    }

    /// The next thing that happens: a timer or a delivery.
    fn step(&mut self) {
        let timer = (0..3).filter_map(|i| Some((self.nodes[i].2?, i))).min();
        let letter = self.wire.letters.front().map(|letter| letter.due);
        match (letter, timer) {
            (Some(due), timer) if timer.is_none_or(|(at, _)| due <= at) => self.deliver(),
            (_, Some((at, i))) => {
                self.wire.now = self.wire.now.max(at);
                self.with(i, |node, now| node.handle_timeout(now));
            }
            (_, None) => panic!("nothing will ever happen"),
        }
    }

    fn deliver(&mut self) {
        let Some(mut letter) = self.wire.letters.pop_front() else { return };
        self.wire.now = self.wire.now.max(letter.due);
        let Some(i) = (0..3).find(|i| address(*i) == letter.to) else { return };
        let from = address(letter.from);
        let mut frame = Frame::new(&mut letter.bytes, letter.len, from);
        if let Disposition::Reply { to, len } = self.nodes[i].0.handle_datagram(self.wire.now, &mut frame) {
            self.wire.from = i;
            self.wire.carry(to, &letter.bytes[..len]);
        }
        self.pump(i);
    }

    fn run_until(&mut self, mut done: impl FnMut(&Wire) -> bool) {
        let end = self.wire.now + Duration::from_secs(120);
        while !done(&self.wire) {
            assert!(self.wire.now < end, "it takes too long");
            self.step();
        }
    }

    /// Sends `count` messages from node 1, `window` of them under way, until all are acknowledged.
    fn talk(&mut self, to: FriendId, count: u32, window: u32) {
        let (start, text) = (self.wire.receipts, [b'x'; 1372]);
        let mut sent = 0;
        while self.wire.receipts - start < count {
            while sent < count && sent - (self.wire.receipts - start) < window {
                let result = self.with(1, |node, now| node.send_message(now, to, MessageKind::Normal, &text));
                result.expect("the window has room");
                sent += 1;
            }
            self.step();
        }
    }
}

#[test]
fn messages_cost_no_allocation() {
    let before = taken();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(taken() - before, 1, "the count works");

    let mut trio = Trio::new();
    let hub = bluering_core::wire::NodeInfo { key: trio.nodes[0].0.dht_key(), at: address(0) };
    for i in 1..3 {
        trio.with(i, |node, now| node.bootstrap(now, hub));
    }
    let keys = [1, 2].map(|i: usize| trio.nodes[i].0.tox_id().public_key);
    let before = taken();
    let to = trio.with(1, |node, now| node.accept(now, keys[1])).expect("a new friend");
    trio.with(2, |node, now| node.accept(now, keys[0])).expect("a new friend");
    trio.run_until(|wire| wire.online[1] && wire.online[2]);
    assert_eq!(taken() - before, 0, "allocations on the way to each other");

    let before = taken();
    trio.talk(to, 10_000, 100);
    assert_eq!((trio.wire.messages, trio.wire.receipts), (10_000, 10_000));
    assert_eq!(taken() - before, 0, "allocations in 10,000 messages");

    let (before, end) = (taken(), trio.wire.now + Duration::from_secs(300));
    while trio.wire.now < end {
        trio.step();
    }
    assert_eq!(taken() - before, 0, "allocations in five idle minutes");
    assert!(trio.wire.online[1] && trio.wire.online[2]);
}

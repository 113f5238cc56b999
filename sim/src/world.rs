//! The world: nodes, the datagrams between them, and time.

use crate::env::{SimEnv, fork};
use bluering_core::crypto::{Nospam, SecretKey, ToxId};
use bluering_core::driver::{Ports, Scratch, Sent, pump};
use bluering_core::time::{Instant, UnixTime};
use bluering_core::wire::NodeInfo;
use bluering_core::{
    Action, BootstrapInfo, Config, Connection, DATAGRAM_MAX, Disposition, Endpoint, Event, Frame, FriendId, Limits,
    MessageId, MessageKind, Node, Parts, Storage, Transmit, UserStatus,
};
use core::time::Duration;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Wall-clock time at the start of every world.
const EPOCH: u64 = 1_700_000_000;

/// A node whose deadline has come already so often in a row does not get on.
const BUSY: u32 = 100;

/// A node of the world.
pub type NodeId = usize;

/// An event that a node gave to its application, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the same as bluering_core::Event")]
pub enum Heard {
    SelfConnection(Connection),
    FriendRequest { key: bluering_core::crypto::PublicKey, message: Vec<u8> },
    FriendConnection { friend: FriendId, connection: Connection },
    FriendName { friend: FriendId, name: Vec<u8> },
    FriendStatusMessage { friend: FriendId, text: Vec<u8> },
    FriendStatus { friend: FriendId, status: UserStatus },
    FriendTyping { friend: FriendId, typing: bool },
    Message { friend: FriendId, kind: MessageKind, text: Vec<u8> },
    LosslessPacket { friend: FriendId, data: Vec<u8> },
    LossyPacket { friend: FriendId, data: Vec<u8> },
    ReadReceipt { friend: FriendId, message: MessageId },
    Undelivered { friend: FriendId, first: MessageId, last: MessageId },
    Writable { friend: FriendId },
}

impl Heard {
    fn of(event: Event<'_>) -> Option<Self> {
        Some(match event {
            Event::SelfConnection(connection) => Self::SelfConnection(connection),
            Event::FriendRequest { key, message } => Self::FriendRequest { key, message: message.to_vec() },
            Event::FriendConnection { friend, connection } => Self::FriendConnection { friend, connection },
            Event::FriendName { friend, name } => Self::FriendName { friend, name: name.to_vec() },
            Event::FriendStatusMessage { friend, text } => Self::FriendStatusMessage { friend, text: text.to_vec() },
            Event::FriendStatus { friend, status } => Self::FriendStatus { friend, status },
            Event::FriendTyping { friend, typing } => Self::FriendTyping { friend, typing },
            Event::Message { friend, kind, text } => Self::Message { friend, kind, text: text.to_vec() },
            Event::LosslessPacket { friend, data } => Self::LosslessPacket { friend, data: data.to_vec() },
            Event::LossyPacket { friend, data } => Self::LossyPacket { friend, data: data.to_vec() },
            Event::ReadReceipt { friend, message } => Self::ReadReceipt { friend, message },
            Event::Undelivered { friend, first, last } => Self::Undelivered { friend, first, last },
            Event::Writable { friend } => Self::Writable { friend },
            _ => return None,
        })
    }
}

/// A simulated network.
pub struct World {
    seed: u64,
    now: Instant,
    /// One-way delay of every link.
    pub latency: Duration,
    nodes: Vec<Host>,
    addresses: BTreeMap<(core::net::IpAddr, u16), NodeId>,
    queue: BinaryHeap<Reverse<(Instant, u64, Happening)>>,
    sequence: u64,
    /// Datagrams sent so far.
    pub datagrams: u64,
    /// A hash (FNV-1a) over all that was sent, to compare runs.
    pub digest: u64,
    record: Option<Vec<Flight>>,
    strays: Option<Vec<(NodeId, Endpoint, Vec<u8>)>>,
}

/// A datagram that was sent between two nodes, recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flight {
    /// The sender.
    pub from: NodeId,
    /// The receiver.
    pub to: NodeId,
    /// The datagram.
    pub bytes: Vec<u8>,
}

/// A node and what its application heard.
struct Host {
    node: Node<'static, SimEnv>,
    at: Endpoint,
    scratch: Scratch,
    heard: Vec<(Instant, Heard)>,
    persists: u32,
    /// Datagrams and bytes that it sent.
    sent: (u64, u64),
    /// The application reads events.
    reading: bool,
    up: bool,
    /// A timer for this time stands in the queue.
    timer: Instant,
    /// How often in a row its deadline had come already.
    urgent: u32,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Timer(NodeId),
    Datagram { to: NodeId, from: NodeId, bytes: Vec<u8> },
}

/// What a node sends while it is pumped.
struct Outbox<'a> {
    out: Vec<(Endpoint, Vec<u8>)>,
    heard: &'a mut Vec<(Instant, Heard)>,
    persists: &'a mut u32,
    reading: bool,
    now: Instant,
}

impl Ports for Outbox<'_> {
    fn datagram(&mut self, packet: &Transmit<'_>) -> Sent {
        self.out.push((packet.to, packet.bytes.to_vec()));
        Sent::Ok
    }

    fn action(&mut self, action: Action) {
        *self.persists += u32::from(action == Action::Persist);
    }

    fn event_room(&mut self) -> bool {
        self.reading
    }

    fn event(&mut self, event: Event<'_>) {
        self.heard.extend(Heard::of(event).map(|heard| (self.now, heard)));
    }
}

impl World {
    /// An empty world. The same seed gives the same world.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            now: Instant::from_secs(1),
            latency: Duration::from_millis(10),
            nodes: Vec::new(),
            addresses: BTreeMap::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            datagrams: 0,
            digest: 0xcbf2_9ce4_8422_2325,
            record: None,
            strays: None,
        }
    }

    /// Adds a node with a fresh identity at a public address of its own.
    ///
    /// # Panics
    /// When the storage is too small for a node: a mistake of the test.
    pub fn add(&mut self, limits: &Limits) -> NodeId {
        let id = self.nodes.len();
        let secret = SecretKey::generate(&mut fork(self.seed, id as u64, 1));
        self.add_with(limits, secret, Nospam([0, 0, (id >> 8) as u8, id as u8]))
    }

    /// Adds a node with a given identity: a restart, when the identity was there before.
    ///
    /// # Panics
    /// When the storage is too small for a node: a mistake of the test.
    pub fn add_with(&mut self, limits: &Limits, secret: SecretKey, nospam: Nospam) -> NodeId {
        let id = self.nodes.len();
        let at = Endpoint::v4([11, (id >> 16) as u8, (id >> 8) as u8, id as u8], 33445);
        let info = Some(BootstrapInfo { version: 4_000_001_000, motd: b"simulated" });
        let parts = Parts { rng: fork(self.seed, id as u64, 2), suite: bluering_core::crypto::Nacl };
        let config = Config { secret, nospam, dht_secret: None, info };
        let Ok(mut node) = Node::new(config, Storage::heap(limits), parts, self.now) else {
            panic!("the limits are too small for a node");
        };
        node.handle_clock(self.now, UnixTime(EPOCH + self.now.millis() / 1000));
        self.addresses.insert((at.ip(), at.port()), id);
        self.nodes.push(Host {
            node,
            at,
            scratch: Scratch::new(),
            heard: Vec::new(),
            persists: 0,
            sent: (0, 0),
            reading: true,
            up: true,
            timer: Instant::FAR,
            urgent: 0,
        });
        self.pump(id);
        id
    }

    /// The time now.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// A node, to look at.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node<'static, SimEnv> {
        &self.nodes[id].node
    }

    /// Runs a command on a node, and sends what follows from it.
    pub fn with<T>(&mut self, id: NodeId, command: impl FnOnce(&mut Node<'static, SimEnv>, Instant) -> T) -> T {
        let result = command(&mut self.nodes[id].node, self.now);
        self.pump(id);
        result
    }

    /// The address and DHT key of a node.
    #[must_use]
    pub fn info(&self, id: NodeId) -> NodeInfo {
        NodeInfo { key: self.nodes[id].node.dht_key(), at: self.nodes[id].at }
    }

    /// Lets `id` enter the network through `through`.
    pub fn bootstrap(&mut self, id: NodeId, through: NodeId) {
        let info = self.info(through);
        self.with(id, |node, now| node.bootstrap(now, info));
    }

    /// Sends a friend request from `a` to `b`.
    ///
    /// # Panics
    /// When the friend cannot be added.
    pub fn add_friend(&mut self, a: NodeId, b: NodeId, message: &[u8]) -> FriendId {
        let id: ToxId = self.nodes[b].node.tox_id();
        match self.with(a, |node, now| node.add_friend(now, &id, message)) {
            Ok(friend) => friend,
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes `a` and `b` friends, each accepting the other by key. Returns `b` at `a` and `a` at `b`.
    ///
    /// # Panics
    /// When one of them cannot be added.
    pub fn befriend(&mut self, a: NodeId, b: NodeId) -> (FriendId, FriendId) {
        let (key_a, key_b) = (self.nodes[a].node.tox_id().public_key, self.nodes[b].node.tox_id().public_key);
        let at_a = self.with(a, |node, now| node.accept(now, key_b));
        let at_b = self.with(b, |node, now| node.accept(now, key_a));
        match (at_a, at_b) {
            (Ok(at_a), Ok(at_b)) => (at_a, at_b),
            (Err(error), _) | (_, Err(error)) => panic!("{error}"),
        }
    }

    /// Whether the application of `id` reads events from now on.
    pub fn set_reading(&mut self, id: NodeId, reading: bool) {
        self.nodes[id].reading = reading;
        self.pump(id);
    }

    /// Takes a node off the network without a word: a crash, or a pulled cable.
    pub fn set_up(&mut self, id: NodeId, up: bool) {
        self.nodes[id].up = up;
        self.pump(id);
    }

    /// What the application of `id` heard so far, with the time of each.
    #[must_use]
    pub fn heard(&self, id: NodeId) -> &[(Instant, Heard)] {
        &self.nodes[id].heard
    }

    /// How often a node asked to be saved.
    #[must_use]
    pub fn persists(&self, id: NodeId) -> u32 {
        self.nodes[id].persists
    }

    /// Datagrams and bytes that a node has sent so far, whether or not somebody received them.
    #[must_use]
    pub fn sent(&self, id: NodeId) -> (u64, u64) {
        self.nodes[id].sent
    }

    /// Records the datagrams between nodes from now on.
    pub fn record(&mut self) {
        self.record = Some(Vec::new());
    }

    /// Ends the recording and gives it away, in the order of sending.
    pub fn recorded(&mut self) -> Vec<Flight> {
        self.record.take().unwrap_or_default()
    }

    /// Datagrams since the last call to addresses where no node is: from whom, where to, what. The first call starts it.
    pub fn strays(&mut self) -> Vec<(NodeId, Endpoint, Vec<u8>)> {
        self.strays.replace(Vec::new()).unwrap_or_default()
    }

    /// Delivers arbitrary bytes to `to`, as if sent by `from`; returns what became of them.
    pub fn inject(&mut self, to: NodeId, from: Endpoint, bytes: &[u8]) -> Disposition {
        self.deliver(to, from, bytes)
    }

    /// Runs until `done`, but not longer than `limit`; true when it was reached.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if done(self) {
                return true;
            }
            match self.queue.peek() {
                Some(Reverse((at, ..))) if *at <= end => self.step(),
                Some(_) | None => {
                    self.now = end;
                    return done(self);
                }
            }
        }
    }

    /// Runs for `span`.
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(span, |_| false);
    }

    fn step(&mut self) {
        let Some(Reverse((at, _, happening))) = self.queue.pop() else { return };
        self.now = self.now.max(at);
        match happening {
            Happening::Timer(id) => {
                if self.nodes[id].timer == at && self.nodes[id].up {
                    self.nodes[id].timer = Instant::FAR;
                    self.nodes[id].node.handle_timeout(at);
                    self.pump(id);
                }
            }
            Happening::Datagram { to, from, bytes } => {
                let from = self.nodes[from].at;
                let _ = self.deliver(to, from, &bytes);
            }
        }
    }

    fn deliver(&mut self, to: NodeId, from: Endpoint, bytes: &[u8]) -> Disposition {
        let host = &mut self.nodes[to];
        if !host.up {
            return Disposition::Consumed;
        }
        let mut buf = [0; DATAGRAM_MAX];
        buf[..bytes.len()].copy_from_slice(bytes);
        let disposition = host.node.handle_datagram(self.now, &mut Frame::new(&mut buf, bytes.len(), from));
        if let Disposition::Reply { to: target, len } = disposition {
            self.send(to, target, buf[..len].to_vec());
        }
        self.pump(to);
        disposition
    }

    fn pump(&mut self, id: NodeId) {
        let host = &mut self.nodes[id];
        if !host.up {
            return;
        }
        let mut ports = Outbox {
            out: Vec::new(),
            heard: &mut host.heard,
            persists: &mut host.persists,
            reading: host.reading,
            now: self.now,
        };
        let idle = pump(&mut host.node, self.now, &mut host.scratch, &mut ports);
        let out = ports.out;
        if let Some(deadline) = idle.deadline {
            host.urgent = if deadline.at > self.now { 0 } else { host.urgent + 1 };
            assert!(host.urgent < BUSY, "node {id} is busy with {:?}", deadline.why);
            let at = deadline.at.max(self.now);
            if at < host.timer || host.timer <= self.now {
                host.timer = at;
                self.schedule(at, Happening::Timer(id));
            }
        }
        for (to, bytes) in out {
            self.send(id, to, bytes);
        }
    }

    fn send(&mut self, from: NodeId, to: Endpoint, bytes: Vec<u8>) {
        self.datagrams += 1;
        let (datagrams, total) = &mut self.nodes[from].sent;
        (*datagrams, *total) = (*datagrams + 1, *total + bytes.len() as u64);
        for byte in &bytes {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let Some(to) = self.addresses.get(&(to.ip(), to.port())).copied() else {
            self.strays.iter_mut().for_each(|strays| strays.push((from, to, bytes.clone())));
            return;
        };
        if let Some(record) = &mut self.record {
            record.push(Flight { from, to, bytes: bytes.clone() });
        }
        self.schedule(self.now + self.latency, Happening::Datagram { to, from, bytes });
    }

    fn schedule(&mut self, at: Instant, happening: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence, happening)));
    }
}

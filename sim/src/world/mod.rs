//! A simulated network on virtual time: real nodes, lines between them, and whoever means them ill.
//!
//! A [`World`] owns hosts, a [`Net`], and a queue of what is due: datagrams that arrive, and timers. It jumps from one
//! to the next, so nothing ever sleeps, and the same seed gives the same run everywhere. Each node draws its randomness
//! from a generator of its own, forked from the seed by its number and start, so that one more draw in one node changes
//! nothing in another. A [`Tap`] sees everything.

mod clock;
mod heard;
mod host;
mod life;
mod outlet;
mod queue;
mod relay;
mod sockets;
mod streams;
mod wire;

/// An event that a node gave to its application, owned.
pub use bluering_core::OwnedEvent as Heard;
pub use clock::Clock;
pub use host::HostSpec;
pub use life::SavedState;
pub use outlet::AllocationMeter;
pub use relay::RELAY_PORTS;
pub(crate) use streams::StreamDesk;
pub use wire::Tamper;

use crate::SimEnv;
use crate::actor::{Actor, ActorCx};
use crate::crypto::{SimSuite, Strength};
use crate::net::{Net, NetDrop, Place};
use crate::observe::{Change, HostId, Observation, Packet, Tap};
use crate::rng::SimRng;
use bluering_core::crypto::{Nospam, PublicKey, SecretKey, ToxId};
use bluering_core::driver::Scratch;
use bluering_core::time::Instant;
use bluering_core::wire::NodeInfo;
use bluering_core::{
    Connection, DATAGRAM_MAX, Disposition, Endpoint, Frame, FriendId, Limits, MessageId, MessageKind, Node, SendError,
};
use core::time::Duration;
use host::{Host, Kind, Power};
use queue::{Due, InFlight};
use std::collections::HashMap;
use wire::{Outgoing, Wire};

/// A node whose deadline has come already so often in a row does not get on.
const BUSY: u32 = 100;
/// Labels of the generators that are forked for a host.
const LABEL_IDENTITY: u64 = 1;
const LABEL_NODE: u64 = 2;
const LABEL_ACTOR: u64 = 3;
const LABEL_TIES: u64 = 4;
const LABEL_TAMPER: u64 = 5;
const LABEL_DHT: u64 = 6;
const LABEL_RELAY: u64 = 8;

/// A simulated network, and who watches it.
pub struct World<T: Tap = ()> {
    seed: u64,
    now: Instant,
    /// The watcher.
    pub tap: T,
    hosts: Vec<Host>,
    keys: HashMap<PublicKey, HostId>,
    wire: Wire,
    desk: StreamDesk,
    suite: SimSuite,
    scratch: Scratch,
    /// What the node that is at work handles.
    buf: Box<[u8; DATAGRAM_MAX]>,
    meter: Option<AllocationMeter>,
    keep_heard: bool,
    events: u64,
    record: Option<Vec<Flight>>,
    eavesdroppers: Vec<HostId>,
}

/// A datagram that was delivered, recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flight {
    /// The sender.
    pub from: HostId,
    /// The receiver.
    pub to: HostId,
    /// The datagram.
    pub bytes: Vec<u8>,
}

impl World {
    /// An empty world that nobody watches, with real cryptography and 10 ms from anywhere to anywhere. The same seed
    /// gives the same world.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut world = Self::watched(seed, Strength::Real, ());
        world.keep_heard = true;
        world
    }
}

impl<T: Tap> World<T> {
    /// An empty world with a watcher. What applications hear is shown to the watcher only.
    pub fn watched(seed: u64, strength: Strength, tap: T) -> Self {
        Self {
            seed,
            now: Instant::from_secs(1),
            tap,
            hosts: Vec::new(),
            keys: HashMap::new(),
            wire: Wire::new(seed),
            desk: StreamDesk::new(seed),
            suite: SimSuite::new(strength),
            scratch: Scratch::new(),
            buf: Box::new([0; DATAGRAM_MAX]),
            meter: None,
            keep_heard: false,
            events: 0,
            record: None,
            eavesdroppers: Vec::new(),
        }
    }

    /// Lets things that are due at the same microsecond happen in any order, not in that of their making.
    pub fn shuffle_ties(&mut self) {
        self.wire.queue.ties = Some(SimRng::fork(self.seed, &[LABEL_TIES]));
    }

    /// Counts what the nodes take from the heap from now on.
    pub fn meter_allocations(&mut self, meter: AllocationMeter) {
        self.suite.exempt_memory(meter.exempt);
        self.meter = Some(meter);
    }

    /// Adds a node with a fresh identity at a public address of its own; the way there is the network's backbone only.
    ///
    /// # Panics
    /// When the storage is too small for a node: a mistake of the test.
    pub fn add(&mut self, limits: &Limits) -> HostId {
        self.add_host(HostSpec {
            place: Place { access: crate::net::LinkSpec::PERFECT, ..Place::PUBLIC },
            ..HostSpec::public(*limits)
        })
    }

    /// Adds a node with a given identity: a restart, when the identity was there before.
    ///
    /// # Panics
    /// When the storage is too small for a node: a mistake of the test.
    pub fn add_with(&mut self, limits: &Limits, secret: SecretKey, nospam: Nospam) -> HostId {
        let place = Place { access: crate::net::LinkSpec::PERFECT, ..Place::PUBLIC };
        self.add_as(HostSpec { place, ..HostSpec::public(*limits) }, secret, nospam)
    }

    /// Adds a host with a node of a fresh identity.
    ///
    /// # Panics
    /// When the storage is too small for a node: a mistake of the test.
    pub fn add_host(&mut self, spec: HostSpec) -> HostId {
        let (secret, nospam) = self.fresh_identity(self.len());
        self.add_as(spec, secret, nospam)
    }

    /// Adds a host with an actor.
    pub fn add_actor(&mut self, place: &Place, actor: Box<dyn Actor>) -> HostId {
        let id = self.reserve(place);
        self.settle_actor(id, actor);
        id
    }

    /// Starts an actor on a reserved host.
    pub fn settle_actor(&mut self, id: HostId, actor: Box<dyn Actor>) {
        if actor.overhears() {
            self.eavesdroppers.push(id);
            self.wire.overheard.get_or_insert_default();
        }
        let rng = SimRng::fork(self.seed, &[LABEL_ACTOR, u64::from(id)]);
        self.hosts[id as usize].kind = Kind::Actor(Some(actor), rng);
        self.joined(id, false);
        self.act(id, |actor, cx| actor.start(cx));
    }

    /// The time now.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// How many hosts there are.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.hosts.len() as u32
    }

    /// Whether there is no host.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// The network.
    #[must_use]
    pub const fn net(&self) -> &Net {
        &self.wire.net
    }

    /// The network, to be changed.
    pub const fn net_mut(&mut self) -> &mut Net {
        &mut self.wire.net
    }

    /// The cryptography of this world.
    #[must_use]
    pub const fn suite(&self) -> &SimSuite {
        &self.suite
    }

    /// A node, to look at.
    ///
    /// # Panics
    /// When the host has none now.
    #[must_use]
    pub fn node(&self, id: HostId) -> &Node<'static, SimEnv> {
        match self.try_node(id) {
            Some(node) => node,
            None => panic!("host {id} has no node"),
        }
    }

    /// The node of a host, if it has one that runs.
    #[must_use]
    pub fn try_node(&self, id: HostId) -> Option<&Node<'static, SimEnv>> {
        self.hosts[id as usize].node().map(|host| &host.node)
    }

    /// Runs a command on a node, with its own time, and sends what follows from it.
    ///
    /// # Panics
    /// When the host has no node now.
    pub fn with<R>(&mut self, id: HostId, command: impl FnOnce(&mut Node<'static, SimEnv>, Instant) -> R) -> R {
        let now = self.now;
        let Some(host) = self.hosts[id as usize].node_mut() else { panic!("host {id} has no node") };
        host.peers_stale = true;
        let result = command(&mut host.node, host.running.local(now));
        self.pump(id, true);
        result
    }

    /// The address and DHT key of a node: what a bootstrap line says.
    #[must_use]
    pub fn info(&self, id: HostId) -> NodeInfo {
        NodeInfo { key: self.node(id).dht_key(), at: self.wire.net.address(id) }
    }

    /// The host whose long-term key this is.
    #[must_use]
    pub fn whose(&self, key: &PublicKey) -> Option<HostId> {
        self.keys.get(key).copied()
    }

    /// Lets `id` enter the network through `through`.
    pub fn bootstrap(&mut self, id: HostId, through: HostId) {
        let info = self.info(through);
        self.with(id, |node, now| node.bootstrap(now, info));
    }

    /// Sends a friend request from `a` to `b`.
    ///
    /// # Panics
    /// When the friend cannot be added.
    pub fn add_friend(&mut self, a: HostId, b: HostId, message: &[u8]) -> FriendId {
        let id: ToxId = self.node(b).tox_id();
        match self.with(a, |node, now| node.add_friend(now, &id, message)) {
            Ok(friend) => friend,
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes `a` and `b` friends, each accepting the other by key. Returns `b` at `a` and `a` at `b`.
    ///
    /// # Panics
    /// When one of them cannot be added.
    pub fn befriend(&mut self, a: HostId, b: HostId) -> (FriendId, FriendId) {
        let (key_a, key_b) = (self.node(a).tox_id().public_key, self.node(b).tox_id().public_key);
        let at_a = self.with(a, |node, now| node.accept(now, key_b));
        let at_b = self.with(b, |node, now| node.accept(now, key_a));
        match (at_a, at_b) {
            (Ok(at_a), Ok(at_b)) => (at_a, at_b),
            (Err(error), _) | (_, Err(error)) => panic!("{error}"),
        }
    }

    /// `b` among the friends of `a`.
    #[must_use]
    pub fn friend(&self, a: HostId, b: HostId) -> Option<FriendId> {
        let key = self.hosts.get(b as usize)?.identity?;
        self.try_node(a)?.friend_by_key(&key)
    }

    /// Whether `a` and `b` both see the other online.
    #[must_use]
    pub fn are_connected(&self, a: HostId, b: HostId) -> bool {
        let sees = |x, y| {
            let friend = self.friend(x, y).and_then(|friend| self.try_node(x)?.friend(friend));
            friend.is_some_and(|friend| friend.connection != Connection::None)
        };
        sees(a, b) && sees(b, a)
    }

    /// Whether a host works now: it is not asleep and its cable is not pulled.
    #[must_use]
    pub fn is_awake(&self, id: HostId) -> bool {
        self.hosts[id as usize].power == Power::On
    }

    /// The application of `a` says something to `b`, a friend.
    ///
    /// # Errors
    /// Those of [`Node::send_message`]; [`SendError::NotConnected`] also when they are no friends or `a` has no node.
    pub fn say(&mut self, a: HostId, b: HostId, text: &[u8]) -> Result<MessageId, SendError> {
        let friend = self.friend(a, b).ok_or(SendError::NotConnected)?;
        let now = self.now;
        let Some(host) = self.hosts[a as usize].node_mut() else { return Err(SendError::NotConnected) };
        let result = host.node.send_message(host.running.local(now), friend, MessageKind::Normal, text);
        let message = result.as_ref().ok().copied();
        self.tap.observe(now, &Observation::Said { host: a, to: b, message, text });
        self.pump(a, true);
        result
    }

    /// Whether the application of `id` reads events from now on.
    pub fn set_reading(&mut self, id: HostId, reading: bool) {
        if let Some(host) = self.hosts[id as usize].node_mut() {
            host.reading = reading;
        }
        self.changed(id, if reading { Change::Hearing } else { Change::Deaf });
        self.pump(id, true);
    }

    /// What the application of `id` heard since its start, with the time of each; only in worlds without a watcher.
    #[must_use]
    pub fn heard(&self, id: HostId) -> &[(Instant, Heard)] {
        self.hosts[id as usize].node().map_or(&[], |host| &host.heard)
    }

    /// How often a node asked to be saved.
    #[must_use]
    pub fn persists(&self, id: HostId) -> u32 {
        self.hosts[id as usize].node().map_or(0, |host| host.persists)
    }

    /// Datagrams and bytes that a host has sent so far, whether or not somebody received them.
    #[must_use]
    pub fn sent(&self, id: HostId) -> (u64, u64) {
        self.hosts[id as usize].sent
    }

    /// Datagrams sent by all so far.
    #[must_use]
    pub const fn datagrams(&self) -> u64 {
        self.wire.datagrams
    }

    /// Things that were due so far: datagrams that arrived, and timers.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// A hash over all that was sent, lost and told so far, to compare runs.
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.wire.digest.0
    }

    /// Records the datagrams that are delivered from now on.
    pub fn record(&mut self) {
        self.record = Some(Vec::new());
    }

    /// Ends the recording and gives it away, in the order of delivery.
    pub fn recorded(&mut self) -> Vec<Flight> {
        self.record.take().unwrap_or_default()
    }

    /// Datagrams since the last call to addresses where nobody is: from whom, where to, what. The first call starts
    /// it.
    pub fn strays(&mut self) -> Vec<(HostId, Endpoint, Vec<u8>)> {
        self.wire.strays.replace(Vec::new()).unwrap_or_default()
    }

    /// Delivers arbitrary bytes to `to`, as if sent by `from`; returns what became of them.
    pub fn inject(&mut self, to: HostId, from: Endpoint, bytes: &[u8]) -> Disposition {
        let packet = Packet { id: 0, from: to, source: from, to: self.wire.net.address(to), bytes };
        self.handle(to, packet)
    }

    /// Runs until `done`, but not longer than `limit`; true when it was reached.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if done(self) {
                return true;
            }
            match self.wire.queue.next_at() {
                Some(at) if at <= end => self.step(),
                Some(_) | None => {
                    self.now = end;
                    return done(self);
                }
            }
        }
    }

    /// Runs for `span`.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.wire.queue.next_at().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Writes a line into the run's timeline.
    pub fn mark(&mut self, text: &str) {
        self.tap.observe(self.now, &Observation::Mark { text });
    }
}

/// One thing after another.
impl<T: Tap> World<T> {
    fn step(&mut self) {
        let Some((at, due)) = self.wire.queue.pop() else { return };
        self.now = self.now.max(at);
        self.events += 1;
        match due {
            Due::Timer(id) => self.timer(id, at),
            Due::Relay(id) => self.relay_timer(id, at),
            Due::Streams => self.run_streams(),
            Due::Arrival(place) => {
                let Some(flight) = self.wire.queue.land(place) else { return };
                if flight.leg.is_some() {
                    self.wire.onward(&mut self.tap, self.now, flight);
                } else {
                    self.arrive(&flight);
                    self.wire.queue.give_back(flight.bytes);
                }
            }
        }
        self.let_eavesdroppers_hear();
    }

    fn timer(&mut self, id: HostId, at: Instant) {
        let host = &mut self.hosts[id as usize];
        if host.armed != at {
            return;
        }
        host.armed = Instant::FAR;
        if host.power != Power::On {
            return;
        }
        if host.deadline > at {
            return self.arm(id);
        }
        match &mut host.kind {
            Kind::Node(node) => {
                let local = node.running.local(self.now);
                let meter = self.meter.as_ref();
                let taken = outlet::metered(meter, || node.node.handle_timeout(local));
                outlet::report(&mut self.tap, self.now, id, taken);
                self.pump(id, false);
            }
            Kind::Actor(..) => {
                host.deadline = Instant::FAR;
                self.act(id, |actor, cx| actor.on_timer(cx));
            }
            Kind::Nothing => {}
        }
    }

    fn arrive(&mut self, flight: &InFlight) {
        let InFlight { id, from, source, to, gate, leg: _, ref bytes } = *flight;
        let packet = Packet { id, from, source, to, bytes };
        let host = match self.wire.net.arrive(self.now, gate, source) {
            Ok(host) => host,
            Err(why) => return self.wire.lost(&mut self.tap, self.now, packet, why),
        };
        if self.hosts[host as usize].power != Power::On {
            return self.wire.lost(&mut self.tap, self.now, packet, NetDrop::HostDown);
        }
        match self.hosts[host as usize].kind {
            Kind::Node(_) => {
                if let Some(record) = &mut self.record {
                    record.push(Flight { from, to: host, bytes: bytes.clone() });
                }
                let _ = self.handle(host, packet);
            }
            Kind::Actor(..) => self.act(host, |actor, cx| actor.on_datagram(cx, source, bytes)),
            Kind::Nothing => self.wire.lost(&mut self.tap, self.now, packet, NetDrop::HostDown),
        }
    }

    /// Gives a datagram to a node.
    fn handle(&mut self, id: HostId, packet: Packet<'_>) -> Disposition {
        let host = &mut self.hosts[id as usize];
        if host.power != Power::On {
            return Disposition::Consumed;
        }
        if self.give_to_relay(id, packet) {
            return Disposition::Consumed;
        }
        let Some(node) = self.hosts[id as usize].node_mut() else { return Disposition::Consumed };
        let buf = &mut self.buf;
        let len = packet.bytes.len().min(DATAGRAM_MAX);
        buf[..len].copy_from_slice(&packet.bytes[..len]);
        let local = node.running.local(self.now);
        let mut disposition = Disposition::Consumed;
        let taken = outlet::metered(self.meter.as_ref(), || {
            disposition = node.node.handle_datagram(local, &mut Frame::new(buf, len, packet.source));
        });
        outlet::report(&mut self.tap, self.now, id, taken);
        let reply = match disposition {
            Disposition::Reply { to, len } => Some((to, &buf[..len])),
            Disposition::Consumed | Disposition::Dropped(_) => None,
        };
        let seen = Observation::Handled { host: id, packet, disposition, reply: reply.map(|(_, bytes)| bytes) };
        self.tap.observe(self.now, &seen);
        if let Some((to, bytes)) = reply {
            self.hosts[id as usize].count_sent(bytes.len());
            let out = Outgoing { from: id, spoofed: None, to, bytes, answers: Some(packet.id) };
            self.wire.send(&mut self.tap, self.now, out);
        }
        self.pump(id, true);
        disposition
    }

    /// Lets an actor work.
    fn act(&mut self, id: HostId, work: impl FnOnce(&mut dyn Actor, &mut ActorCx<'_>)) {
        let at = self.wire.net.address(id);
        let host = &mut self.hosts[id as usize];
        let mut wake = host.deadline;
        let Kind::Actor(slot, rng) = &mut host.kind else { return };
        let Some(mut actor) = slot.take() else { return };
        let mut out = Vec::new();
        let (net, desk) = (&self.wire.net, &mut self.desk);
        let mut cx = ActorCx { now: self.now, host: id, at, rng, out: &mut out, wake: &mut wake, net, desk };
        work(&mut *actor, &mut cx);
        *slot = Some(actor);
        host.deadline = wake.max(self.now);
        for sent in out {
            self.hosts[id as usize].count_sent(sent.bytes.len());
            let out = Outgoing { from: id, spoofed: sent.source, to: sent.to, bytes: &sent.bytes, answers: None };
            self.wire.send(&mut self.tap, self.now, out);
        }
        self.arm(id);
        self.arm_streams();
    }

    fn let_eavesdroppers_hear(&mut self) {
        if self.eavesdroppers.is_empty() {
            return;
        }
        let heard = core::mem::take(self.wire.overheard.get_or_insert_default());
        for copy in &heard {
            let packet = Packet { id: copy.id, from: copy.from, source: copy.source, to: copy.to, bytes: &copy.bytes };
            for i in 0..self.eavesdroppers.len() {
                let id = self.eavesdroppers[i];
                if id != copy.from {
                    self.act(id, |actor, cx| actor.on_overheard(cx, &packet));
                }
            }
        }
    }

    /// Sees to it that the queue holds a timer for the host's deadline.
    fn arm(&mut self, id: HostId) {
        let host = &mut self.hosts[id as usize];
        if host.deadline < host.armed && host.power == Power::On {
            host.armed = host.deadline;
            self.wire.set_timer(host.deadline, id);
        }
    }
}

//! Byte streams of actors, nodes and relays: who connects to whom, and what they hear of it.
//!
//! A stream takes as long as the lines of its two hosts, when it begins; a lossy line is a stall (see
//! [`World::streams_mut`]), and over a partition nothing arrives until it has ended. Servers are reached at addresses
//! that somebody outside can send to without having been asked: public ones, and those of neighbours in a local
//! network. Firewalls let out what they let out when a stream begins.
//!
//! A NAT forgets streams that are idle for too long, and all of them when it restarts; the streams of a host that is at
//! another address now are forgotten at once. The other sides never hear of it.

use super::World;
use super::host::{Kind, Power};
use super::queue::Due;
use crate::net::{ConnId, Cut, NatId, Net, Side, StreamEvent, StreamSpec, StreamWhat, Streams};
use crate::observe::{HostId, Observation, StreamSeen, Tap};
use crate::rng::SimRng;
use bluering_core::Endpoint;
use bluering_core::time::Instant;
use core::time::Duration;
use std::collections::HashMap;

/// Where connections to addresses lead at which nobody is: this host is never there.
const NOBODY: HostId = HostId::MAX;

const LABEL_STREAMS: u64 = 7;
/// The ports that clients connect from.
const CLIENT_PORTS: core::ops::Range<u16> = 32_768..60_999;

/// The byte streams of a world, and when to look after them.
#[derive(Debug)]
pub(crate) struct StreamDesk {
    pub(crate) streams: Streams,
    spec: StreamSpec,
    /// Where connections come from that their servers do not know of yet.
    sources: HashMap<ConnId, Endpoint>,
    /// The earliest time for which the queue holds a visit.
    armed: Instant,
}

impl StreamDesk {
    pub(super) fn new(seed: u64) -> Self {
        let mut streams = Streams::new(SimRng::fork(seed, &[LABEL_STREAMS]));
        streams.drop_host(NOBODY);
        Self { streams, spec: StreamSpec::PERFECT, sources: HashMap::new(), armed: Instant::FAR }
    }

    /// Begins a connection.
    pub(crate) fn connect(&mut self, now: Instant, net: &Net, from: HostId, to: Endpoint) -> ConnId {
        let way = net.stream_way(from, to);
        let (host, latency) = way.map_or((NOBODY, Duration::ZERO), |way| (way.host, way.latency));
        let idle = way.and_then(|way| way.idle).or(self.spec.idle);
        let spec = StreamSpec { latency: self.spec.latency + latency, idle, ..self.spec.clone() };
        let conn = self.streams.connect(now, from, (host, to.port()), spec);
        if let Some(way) = way {
            let port = CLIENT_PORTS.start + (conn.0 % CLIENT_PORTS.len() as u64) as u16;
            self.sources.insert(conn, Endpoint::new(way.source, port));
        }
        conn
    }

    /// The client's address, as the server sees it. To be asked once, when the server hears of it.
    pub(super) fn source(&mut self, conn: ConnId) -> Endpoint {
        self.sources.remove(&conn).unwrap_or(Endpoint::UNSPECIFIED)
    }
}

/// Streams.
impl<T: Tap> World<T> {
    /// How streams behave that are opened from now on; their latency is that of the lines, besides.
    pub fn set_streams(&mut self, spec: StreamSpec) {
        self.desk.spec = spec;
    }

    /// All streams, to be stalled.
    pub const fn streams_mut(&mut self) -> &mut Streams {
        &mut self.desk.streams
    }

    /// All streams, to look at.
    #[must_use]
    pub const fn streams(&self) -> &Streams {
        &self.desk.streams
    }

    /// Begins a partition, for datagrams and streams; the number ends it.
    pub fn cut(&mut self, cut: Cut) -> u32 {
        let id = self.wire.net.cut(cut);
        self.hold_streams();
        id
    }

    /// Ends a partition.
    pub fn mend(&mut self, id: u32) {
        self.wire.net.mend(id);
        self.hold_streams();
    }

    /// Streams are held up where a partition lies between their ends.
    fn hold_streams(&mut self) {
        for (conn, [client, server]) in self.desk.streams.ends() {
            let held = server != NOBODY && self.wire.net.are_cut(client, server);
            self.desk.streams.hold(self.now, conn, held);
        }
        self.arm_streams();
    }

    /// A NAT forgets all its mappings: those of datagrams, and the streams that went through it.
    pub fn reboot_nat(&mut self, nat: NatId) {
        self.wire.net.reboot_nat(nat);
        for (conn, ends) in self.desk.streams.ends() {
            let [client, server] = ends.map(|host| host != NOBODY && self.wire.net.is_behind(host, nat));
            if client != server {
                self.desk.streams.sever(conn);
            }
        }
    }

    /// All streams of a host are forgotten on their way. The host does not hear of it, nor do the others.
    pub fn sever_streams(&mut self, id: HostId) {
        for (conn, _) in self.desk.streams.of(id) {
            self.desk.streams.sever(conn);
        }
    }

    /// All streams of a host are reset, at both ends.
    pub fn reset_streams(&mut self, id: HostId) {
        for (conn, side) in self.desk.streams.of(id) {
            self.desk.streams.abort(self.now, conn, side);
            self.lost_stream(id, conn, side);
        }
        self.arm_streams();
    }

    /// Sees to it that the queue holds a visit for what happens next.
    pub(super) fn arm_streams(&mut self) {
        let next = self.desk.streams.next_at().map_or(Instant::FAR, |at| at.max(self.now));
        if next < self.desk.armed {
            self.desk.armed = next;
            self.wire.queue.push(next, Due::Streams);
        }
    }

    /// Lets all streams happen that are due.
    pub(super) fn run_streams(&mut self) {
        self.desk.armed = Instant::FAR;
        while let Some(event) = self.desk.streams.poll(self.now) {
            self.hear_stream(&event);
        }
        self.arm_streams();
    }

    fn hear_stream(&mut self, event: &StreamEvent) {
        let (id, conn, side) = (event.host, event.conn, event.side);
        let Some(host) = self.hosts.get(id as usize).filter(|host| host.power == Power::On) else { return };
        let kind = match host.kind {
            Kind::Node(_) => false,
            Kind::Actor(..) => true,
            Kind::Nothing => return,
        };
        let (word, bytes) = words(&event.what);
        self.wire.digest.add(&[self.now.micros(), u64::from(id), conn.0, side as u64, word]);
        self.wire.digest.add_bytes(bytes);
        self.tap.observe(self.now, &Observation::Stream { host: id, conn, side, what: StreamSeen::Hears(&event.what) });
        match (kind, side) {
            (true, _) => self.act(id, |actor, cx| actor.on_stream(cx, event)),
            (false, Side::Server) => self.relay_hears(event),
            (false, Side::Client) => {}
        }
    }

    /// The connections of a host are gone because its address is; its own programs are told, nobody else is.
    pub(super) fn lose_streams(&mut self, id: HostId) {
        for (conn, side) in self.desk.streams.of(id) {
            self.desk.streams.sever(conn);
            self.desk.streams.forget(conn, side);
            self.lost_stream(id, conn, side);
        }
    }

    /// Tells a node or relay that a stream of its own is gone.
    fn lost_stream(&mut self, id: HostId, conn: ConnId, side: Side) {
        match side {
            Side::Server => self.relay_loses(id, conn),
            Side::Client => {}
        }
    }

    /// A host is on the network again, or at another address: its actor starts anew.
    pub(super) fn start_again(&mut self, id: HostId) {
        if matches!(self.hosts[id as usize].kind, Kind::Actor(..)) && self.is_awake(id) {
            self.desk.streams.restore_host(id);
            self.act(id, |actor, cx| actor.start(cx));
        }
    }
}

/// For the hash of a run.
fn words(what: &StreamWhat) -> (u64, &[u8]) {
    match what {
        StreamWhat::Opened { .. } => (1, &[]),
        StreamWhat::Refused => (2, &[]),
        StreamWhat::TimedOut => (3, &[]),
        StreamWhat::Data(bytes) => (4, bytes),
        StreamWhat::Writable => (5, &[]),
        StreamWhat::Closed => (6, &[]),
        StreamWhat::Reset => (7, &[]),
    }
}

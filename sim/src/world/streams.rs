//! Byte streams of actors: who connects to whom, and what they hear of it.
//!
//! A stream takes as long as the lines of its two hosts, when it begins; a partition or a lossy line that comes later
//! is a stall (see [`World::streams_mut`]). Servers are reached at addresses that somebody outside can send to without
//! having been asked: public ones, and those of neighbours in a local network.

use super::World;
use super::host::{Kind, Power};
use super::queue::Due;
use crate::net::{StreamEvent, StreamSpec, StreamWhat, Streams};
use crate::observe::{HostId, Tap};
use crate::rng::SimRng;
use bluering_core::time::Instant;

/// Where connections to addresses lead at which nobody is: this host is never there.
pub(crate) const NOBODY: HostId = HostId::MAX;

const LABEL_STREAMS: u64 = 7;

/// The byte streams of a world, and when to look after them.
#[derive(Debug)]
pub(super) struct StreamDesk {
    pub(super) streams: Streams,
    pub(super) spec: StreamSpec,
    /// The earliest time for which the queue holds a visit.
    armed: Instant,
    /// What came for hosts that sleep.
    held: Vec<StreamEvent>,
}

impl StreamDesk {
    pub(super) fn new(seed: u64) -> Self {
        let mut streams = Streams::new(SimRng::fork(seed, &[LABEL_STREAMS]));
        streams.drop_host(NOBODY);
        Self { streams, spec: StreamSpec::PERFECT, armed: Instant::FAR, held: Vec::new() }
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
            self.hear_stream(event);
        }
        self.arm_streams();
    }

    fn hear_stream(&mut self, event: StreamEvent) {
        let Some(host) = self.hosts.get(event.host as usize) else { return };
        match host.power {
            Power::On => {}
            Power::Asleep(_) => return self.desk.held.push(event),
            Power::Off => return,
        }
        let (kind, bytes) = words(&event.what);
        self.wire.digest.add(&[self.now.micros(), u64::from(event.host), event.conn.0, event.side as u64, kind]);
        self.wire.digest.add_bytes(bytes);
        self.act(event.host, |actor, cx| actor.on_stream(cx, &event));
    }

    /// A host that has slept hears what came in the meantime.
    pub(super) fn hear_held(&mut self, id: HostId) {
        let (mine, others) = core::mem::take(&mut self.desk.held).into_iter().partition(|event| event.host == id);
        self.desk.held = others;
        let mine: Vec<StreamEvent> = mine;
        mine.into_iter().for_each(|event| self.hear_stream(event));
    }

    /// A host is cut off from its streams: they are half-open from now on.
    pub(super) fn lose_streams(&mut self, id: HostId) {
        self.desk.streams.drop_host(id);
        self.desk.held.retain(|event| event.host != id);
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

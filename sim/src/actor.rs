//! Hosts that run no node: adversaries, and whatever else a test puts on the network.

use crate::net::{ConnId, Net, Side, StreamEvent};
use crate::observe::{HostId, Packet};
use crate::rng::SimRng;
use crate::world::StreamDesk;
use bluering_core::Endpoint;
use bluering_core::time::Instant;

/// The program of a host that is no node.
pub trait Actor {
    /// It is on the network now: for the first time, or again after its cable was pulled, or at another address.
    fn start(&mut self, _cx: &mut ActorCx<'_>) {}

    /// A datagram has come.
    fn on_datagram(&mut self, cx: &mut ActorCx<'_>, from: Endpoint, bytes: &[u8]);

    /// The time asked for with [`ActorCx::wake_at`] has come.
    fn on_timer(&mut self, _cx: &mut ActorCx<'_>) {}

    /// Something happened to a byte stream of its own.
    fn on_stream(&mut self, _cx: &mut ActorCx<'_>, _event: &StreamEvent) {}

    /// Whether it taps the network: then it sees each datagram that any host sends.
    fn overhears(&self) -> bool {
        false
    }

    /// A datagram that somebody else has sent.
    fn on_overheard(&mut self, _cx: &mut ActorCx<'_>, _packet: &Packet<'_>) {}
}

/// What an actor can do.
#[derive(Debug)]
pub struct ActorCx<'a> {
    /// The time.
    pub now: Instant,
    /// Its host.
    pub host: HostId,
    /// Its own address.
    pub at: Endpoint,
    /// Its randomness.
    pub rng: &'a mut SimRng,
    pub(crate) out: &'a mut Vec<Outgoing>,
    pub(crate) wake: &'a mut Instant,
    pub(crate) net: &'a Net,
    pub(crate) desk: &'a mut StreamDesk,
}

/// A datagram that an actor sends.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) source: Option<Endpoint>,
    pub(crate) to: Endpoint,
    pub(crate) bytes: Vec<u8>,
}

impl ActorCx<'_> {
    /// Sends a datagram.
    pub fn send(&mut self, to: Endpoint, bytes: Vec<u8>) {
        self.out.push(Outgoing { source: None, to, bytes });
    }

    /// Sends a datagram with a false source address.
    pub fn send_as(&mut self, source: Endpoint, to: Endpoint, bytes: Vec<u8>) {
        self.out.push(Outgoing { source: Some(source), to, bytes });
    }

    /// Asks for [`Actor::on_timer`] at `at`; the earliest such wish holds.
    pub fn wake_at(&mut self, at: Instant) {
        *self.wake = (*self.wake).min(at);
    }
}

/// Byte streams.
impl ActorCx<'_> {
    /// Accepts connections to `port` from now on.
    pub fn listen(&mut self, port: u16) {
        self.desk.streams.listen(self.host, port);
    }

    /// Begins a connection to a server. [`Actor::on_stream`] hears how it goes; to an address that nobody has, or that
    /// cannot be reached from outside, it times out.
    pub fn connect(&mut self, to: Endpoint) -> ConnId {
        self.desk.connect(self.now, self.net, self.host, to)
    }

    /// Writes to a stream; how many bytes were taken. When that is less than all,
    /// [`Writable`](crate::net::StreamWhat::Writable) follows as soon as there is room.
    pub fn write(&mut self, conn: ConnId, side: Side, bytes: &[u8]) -> usize {
        self.desk.streams.write(self.now, conn, side, bytes)
    }

    /// Ends what this side writes, behind all that was written.
    pub fn close(&mut self, conn: ConnId, side: Side) {
        self.desk.streams.close(self.now, conn, side);
    }

    /// Gives a stream up at once.
    pub fn abort(&mut self, conn: ConnId, side: Side) {
        self.desk.streams.abort(self.now, conn, side);
    }

    /// Whether this side reads from now on. What it does not read fills the other side's window.
    pub fn set_reading(&mut self, conn: ConnId, side: Side, reading: bool) {
        self.desk.streams.set_reading(self.now, conn, side, reading);
    }
}

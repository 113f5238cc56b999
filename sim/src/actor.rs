//! Hosts that run no node: adversaries, and whatever else a test puts on the network.

use crate::observe::{HostId, Packet};
use crate::rng::SimRng;
use bluering_core::Endpoint;
use bluering_core::time::Instant;

/// The program of a host that is no node.
pub trait Actor {
    /// It is on the network now.
    fn start(&mut self, _cx: &mut ActorCx<'_>) {}

    /// A datagram has come.
    fn on_datagram(&mut self, cx: &mut ActorCx<'_>, from: Endpoint, bytes: &[u8]);

    /// The time asked for with [`ActorCx::wake_at`] has come.
    fn on_timer(&mut self, _cx: &mut ActorCx<'_>) {}

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

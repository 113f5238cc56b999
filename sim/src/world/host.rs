//! A host: its node or actor, its clock, and what the world remembers of it.

use super::Heard;
use super::clock::{Clock, Running};
use super::relay::RelayHost;
use crate::SimEnv;
use crate::actor::Actor;
use crate::net::Place;
use crate::observe::HostId;
use crate::rng::SimRng;
use bluering_core::crypto::PublicKey;
use bluering_core::relay::server::RelayLimits;
use bluering_core::time::Instant;
use bluering_core::{Limits, Node};

/// What a new host with a node shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSpec {
    /// Where it is.
    pub place: Place,
    /// Capacities of its node's tables.
    pub limits: Limits,
    /// Its clocks.
    pub clock: Clock,
    /// Its DHT key is the same at every start, as that of a bootstrap node.
    pub fixed_dht: bool,
    /// A relay of this size runs beside the node, and the DHT key is fixed.
    pub relay: Option<RelayLimits>,
}

impl HostSpec {
    /// A host at a public address.
    #[must_use]
    pub const fn public(limits: Limits) -> Self {
        Self { place: Place::PUBLIC, limits, clock: Clock { drift: 0, wall: 0 }, fixed_dht: false, relay: None }
    }
}

/// A host of the world.
pub(super) struct Host {
    pub(super) kind: Kind,
    pub(super) power: Power,
    pub(super) limits: Limits,
    pub(super) clock: Clock,
    pub(super) fixed_dht: bool,
    pub(super) relay: Option<RelayLimits>,
    /// The long-term key of its node.
    pub(super) identity: Option<PublicKey>,
    /// How often its node was started.
    pub(super) starts: u64,
    /// When it is to be called, and the earliest time for which the queue holds a timer.
    pub(super) deadline: Instant,
    pub(super) armed: Instant,
    /// How often in a row its deadline had come already.
    pub(super) strikes: u32,
    /// Datagrams and bytes that it sent.
    pub(super) sent: (u64, u64),
    pub(super) saved: Saved,
}

/// What runs on a host.
pub(super) enum Kind {
    Node(Box<NodeHost>),
    /// Taken out while it works.
    Actor(Option<Box<dyn Actor>>, SimRng),
    /// The process has ended.
    Nothing,
}

/// Whether a host works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Power {
    On,
    /// Since when.
    Asleep(Instant),
    /// No packet comes or goes, and no timer is heeded.
    Off,
}

/// Profiles on a host's disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Saved {
    /// As of the last end of the node.
    pub(super) current: Vec<u8>,
    /// As of the last [`checkpoint`](super::World::checkpoint).
    pub(super) older: Vec<u8>,
}

/// A node and its application.
pub(super) struct NodeHost {
    pub(super) node: Node<'static, SimEnv>,
    pub(super) running: Running,
    /// Which host each friend is, by the friend's place in the table.
    pub(super) peers: Vec<Option<HostId>>,
    /// A command may have changed the friends since `peers` was made.
    pub(super) peers_stale: bool,
    pub(super) heard: Vec<(Instant, Heard)>,
    pub(super) persists: u32,
    /// The application reads events.
    pub(super) reading: bool,
    /// It was moved in its sleep.
    pub(super) moved: bool,
    /// The relay in the same process.
    pub(super) relay: Option<Box<RelayHost>>,
}

impl Host {
    pub(super) fn node(&self) -> Option<&NodeHost> {
        match &self.kind {
            Kind::Node(node) => Some(node),
            Kind::Actor(..) | Kind::Nothing => None,
        }
    }

    pub(super) fn node_mut(&mut self) -> Option<&mut NodeHost> {
        match &mut self.kind {
            Kind::Node(node) => Some(node),
            Kind::Actor(..) | Kind::Nothing => None,
        }
    }
}

//! What can be seen of a run by whoever watches it: oracles, traces, captures, reports.
//!
//! The watcher is all-knowing: each observation names the hosts behind addresses. Nodes never see any of it.

use crate::net::{ConnId, NetDrop, Side, StreamWhat};
use bluering_core::crypto::{PublicKey, SecretKey};
use bluering_core::time::{Deadline, Instant};
use bluering_core::{Disposition, Endpoint, Event, Limits, MessageId};

/// A host of the world, counted from 0.
pub type HostId = u32;

/// Watches a run. `()` watches nothing.
pub trait Tap {
    /// Something happened at `at`.
    fn observe(&mut self, at: Instant, seen: &Observation<'_>);
}

impl Tap for () {
    fn observe(&mut self, _: Instant, _: &Observation<'_>) {}
}

/// A datagram on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Counts the datagrams of the run; copies made by the network share it.
    pub id: u64,
    /// Who sent it, in truth.
    pub from: HostId,
    /// Who it says it is from: at its sending the sender's own address, at its arrival as NATs have left it.
    pub source: Endpoint,
    /// Where it was sent to.
    pub to: Endpoint,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Who a host is, from one start of its node to the next.
#[derive(Clone, Debug)]
pub struct Truth {
    /// The long-term public key.
    pub public: PublicKey,
    /// The long-term secret key.
    pub secret: SecretKey,
    /// The DHT key of this run.
    pub dht: PublicKey,
    /// Its capacities.
    pub limits: Limits,
}

/// Something that happened.
#[derive(Debug)]
pub enum Observation<'a> {
    /// A host came to be: at what place, as the report shows it.
    Joined {
        /// Who.
        host: HostId,
        /// "public", or the names of its NATs.
        place: String,
        /// `None` for an adversary or another actor without a node.
        node: bool,
    },
    /// A node starts, for the first time or again.
    Started {
        /// Where.
        host: HostId,
        /// Who it is.
        truth: &'a Truth,
    },
    /// Something was done to a host.
    Changed {
        /// Who.
        host: HostId,
        /// What.
        how: Change,
    },
    /// A datagram leaves a host. `answers` is the datagram that it answers in place.
    Sent {
        /// The datagram.
        packet: Packet<'a>,
        /// What it is the immediate answer to.
        answers: Option<u64>,
    },
    /// A datagram is lost on its way.
    Lost {
        /// The datagram.
        packet: Packet<'a>,
        /// Why.
        why: NetDrop,
    },
    /// A datagram has reached a node, which has handled it.
    Handled {
        /// The node's host.
        host: HostId,
        /// The datagram as it came.
        packet: Packet<'a>,
        /// What became of it.
        disposition: Disposition,
        /// What the node sends back at once.
        reply: Option<&'a [u8]>,
    },
    /// A node told its application something.
    Heard {
        /// Whose application.
        host: HostId,
        /// Which host it is about, when it is about a friend.
        peer: Option<HostId>,
        /// What.
        event: &'a Event<'a>,
    },
    /// An application asked for a message to be sent.
    Said {
        /// Who.
        host: HostId,
        /// To whom.
        to: HostId,
        /// Its number, when it was accepted.
        message: Option<MessageId>,
        /// The words.
        text: &'a [u8],
    },
    /// A node was pumped, and sleeps until its deadline.
    Sleeps {
        /// Who.
        host: HostId,
        /// Until when, by the world's clock; `None` when for ever.
        deadline: Option<Deadline>,
        /// Whether it sent, told or was told anything since it last slept.
        progress: bool,
    },
    /// The core took memory from the heap.
    Allocated {
        /// Whose node.
        host: HostId,
        /// How often.
        times: u64,
    },
    /// A datagram was for the relay on a host, not for its node.
    ForRelay {
        /// The host.
        host: HostId,
        /// The datagram as it came.
        packet: Packet<'a>,
        /// What became of it.
        disposition: Disposition,
    },
    /// Something happened at one end of a byte stream.
    Stream {
        /// Whose end.
        host: HostId,
        /// The stream.
        conn: ConnId,
        /// Which end.
        side: Side,
        /// What.
        what: StreamSeen<'a>,
    },
    /// A fault of the plan begins or ends, or a phase of the run begins.
    Mark {
        /// Words for a timeline.
        text: &'a str,
    },
}

/// What is seen of one end of a byte stream.
#[derive(Clone, Copy, Debug)]
pub enum StreamSeen<'a> {
    /// A node begins a connection.
    Connects {
        /// Where to.
        to: Endpoint,
    },
    /// A node or relay writes.
    Writes(&'a [u8]),
    /// A node or relay closes.
    Closes,
    /// The program hears of it.
    Hears(&'a StreamWhat),
}

/// What can be done to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Its process ends without a word.
    Crashed,
    /// Its node says good-bye and ends.
    Stopped,
    /// It sleeps: nothing is sent, received or timed.
    Suspended,
    /// It wakes.
    Resumed,
    /// It is at another address now.
    Moved,
    /// Its wall clock was set.
    ClockSet,
    /// Its application no longer reads events.
    Deaf,
    /// Its application reads events again.
    Hearing,
    /// Its saved state could not be read, and it begins as nobody again.
    ProfileRefused,
}

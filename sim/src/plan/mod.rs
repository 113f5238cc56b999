//! All that a run will do: hosts, friendships, faults, deeds, and how long each phase lasts.
//!
//! A scenario makes a plan from [`Choices`](crate::choices::Choices); [`run`](crate::run) carries it out. The plan is
//! data, so it can be cut down: [`Overrides`] take hosts, faults and deeds out of it again, without changing anything
//! else, and a replay file is the choices and the overrides.

mod reach;
mod swarm;

pub use reach::expected;
pub use swarm::{Family, stream_spec, swarm};

use crate::actors::ProxySpec;
use crate::adversaries::Strategy;
use crate::crypto::Strength;
use crate::net::{Cut, LinkSpec, NatId, NatSpec, Place, Region, StreamSpec};
use crate::observe::HostId;
use crate::oracles::IdleBudget;
use crate::world::{Clock, SavedState, Tamper};
use bluering_core::Limits;
use bluering_core::relay::server::RelayLimits;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a run will do. All times count from the start of the run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed of the world: identities, the nodes' randomness, and what happens on the lines.
    pub seed: u64,
    /// Which cryptography.
    pub strength: Strength,
    /// Things that are due at the same microsecond happen in any order.
    pub shuffle_ties: bool,
    /// One-way delay between any two places, besides their access lines.
    pub backbone: Duration,
    /// Lines between regions, one way each.
    pub regions: Vec<(Region, Region, LinkSpec)>,
    /// The NATs; one that is behind another comes after it.
    pub nats: Vec<NatPlan>,
    /// The hosts, in the order of their ids.
    pub hosts: Vec<HostPlan>,
    /// Who are friends.
    pub friends: Vec<(HostId, HostId)>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// What people do.
    pub deeds: Vec<Deed>,
    /// How long it all takes.
    pub phases: Phases,
    /// What is demanded of the run.
    pub demands: Demands,
}

/// A NAT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatPlan {
    /// How it behaves.
    pub spec: NatSpec,
    /// Where it is; of an inner NAT only the region counts.
    pub place: Place,
    /// Behind which other.
    pub outer: Option<NatId>,
}

/// A host.
#[derive(Clone, Debug)]
pub struct HostPlan {
    /// What it is.
    pub role: Role,
    /// Where it is.
    pub place: Place,
    /// Capacities of its tables.
    pub limits: Limits,
    /// Its clocks.
    pub clock: Clock,
    /// When it comes.
    pub arrives: Duration,
    /// When it goes for good, without a word.
    pub leaves: Option<Duration>,
    /// Through whom it enters the network.
    pub through: Vec<HostId>,
    /// A relay of this size runs beside its node.
    pub relay: Option<RelayLimits>,
}

/// What a host is.
#[derive(Clone, Debug)]
pub enum Role {
    /// A node that others enter the network through.
    Bootstrap,
    /// A person's client.
    Client,
    /// A proxy. It resolves no names.
    Proxy(ProxySpec),
    /// Somebody with ill intent, who knows the nodes that it could enter through.
    Adversary {
        /// What it does.
        strategy: Strategy,
        /// Whom it is after: the target of a [`Sybil`](crate::adversaries::Sybil) is this host's long-term key.
        after: Option<HostId>,
    },
}

/// Something that goes wrong for a while.
#[derive(Clone, Debug)]
pub struct Fault {
    /// When it begins.
    pub begins: Duration,
    /// When it ends; healing ends all.
    pub ends: Duration,
    /// What it is.
    pub what: FaultKind,
}

/// What can go wrong.
#[derive(Clone, Debug)]
pub enum FaultKind {
    /// These hosts have this access line, up and down.
    Lines {
        /// Who.
        hosts: Vec<HostId>,
        /// To the network.
        up: LinkSpec,
        /// From the network.
        down: LinkSpec,
    },
    /// Nothing gets from one side to the other.
    Cuts(Vec<Cut>),
    /// UDP does not get through at these hosts.
    NoUdp(Vec<HostId>),
    /// A host sleeps; whether its clock goes on meanwhile.
    Asleep(HostId, bool),
    /// A host's process has crashed; in the end it starts again with its profile in this condition.
    Down(HostId, SavedState),
    /// A host's process has ended in good order; in the end it starts again.
    Stopped(HostId),
    /// A host passes on other people's packets dishonestly.
    Dishonest(HostId, Tamper),
    /// A host's application does not read events.
    Deaf(HostId),
    /// A host is somewhere else from now on, and its streams end. It stays there.
    Moved(HostId, Place),
    /// A host is somewhere else from now on and does not notice: its streams hang. It stays there.
    MovedUnnoticed(HostId, Place),
    /// Streams that begin meanwhile behave so.
    Streams(StreamSpec),
    /// The streams of these hosts hang from now on, those that they have now.
    Severed(Vec<HostId>),
    /// The streams of these hosts are reset, once.
    Reset(Vec<HostId>),
    /// A NAT forgets its mappings, once.
    NatReboot(NatId),
    /// Of the next datagrams that a host sends, exactly those that are marked are lost.
    Fates(HostId, Vec<bool>),
    /// A host's wall clock is so many seconds ahead.
    WallClock(HostId, i64),
}

/// Something that a person does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// When.
    pub at: Duration,
    /// Who.
    pub host: HostId,
    /// What.
    pub what: DeedKind,
}

/// What people do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeedKind {
    /// Says something of so many bytes to a friend.
    Say(HostId, u32),
    /// Types, or stops.
    Type(HostId, bool),
    /// Takes another name.
    Rename,
    /// The client saves its profile aside: what a stale profile is later.
    Checkpoint,
}

/// How long each phase lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phases {
    /// Hosts come and meet; nothing goes wrong.
    pub warm_up: Duration,
    /// Faults.
    pub chaos: Duration,
    /// All faults have ended: within this time every pair that can meet must be online.
    pub heal: Duration,
    /// Nobody does anything.
    pub quiet: Duration,
}

/// What is demanded of a run, besides the rules that always hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demands {
    /// Every pair that can meet is online after healing.
    pub liveness: bool,
    /// What a node may send in the quiet phase, when that is demanded.
    pub idle: Option<IdleBudget>,
}

/// What is taken out of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overrides {
    /// These hosts never come.
    pub hosts: BTreeSet<u32>,
    /// These faults do not happen.
    pub faults: BTreeSet<u32>,
    /// These deeds are not done.
    pub deeds: BTreeSet<u32>,
    /// The run ends here, in milliseconds, without healing.
    pub end: Option<u64>,
}

impl Overrides {
    /// Whether nothing is taken out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Room for 64 friends: enough for any simulated person, and small enough for thousands of them.
pub const CLIENT: Limits =
    Limits { friends: 64, nodes: 64, announces: 32, blocks: 128, keys: 256, blocked: 8, ..Limits::DESKTOP };
/// A bootstrap node for thousands.
pub const SERVER: Limits =
    Limits { friends: 0, nodes: 512, announces: 512, blocks: 8, keys: 2048, blocked: 0, ..Limits::SERVER };

/// A relay for hundreds.
pub const RELAY: RelayLimits = RelayLimits { clients: 256, pending: 64, per_address: 64, pages: 384, blocks: 256 };

impl Plan {
    /// An empty plan with real cryptography and 20 ms between places.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            strength: Strength::Real,
            shuffle_ties: true,
            backbone: Duration::from_millis(20),
            regions: Vec::new(),
            nats: Vec::new(),
            hosts: Vec::new(),
            friends: Vec::new(),
            faults: Vec::new(),
            deeds: Vec::new(),
            phases: Phases {
                warm_up: Duration::from_secs(30),
                chaos: Duration::ZERO,
                heal: Duration::from_secs(120),
                quiet: Duration::ZERO,
            },
            demands: Demands { liveness: true, idle: None },
        }
    }

    /// Adds a bootstrap node at a public address.
    pub fn add_bootstrap(&mut self) -> HostId {
        let host = self.host(Role::Bootstrap, Place::PUBLIC);
        self.add(HostPlan { limits: SERVER, ..host })
    }

    /// Adds a bootstrap node at a public address that is a relay as well.
    pub fn add_relay(&mut self) -> HostId {
        let host = self.host(Role::Bootstrap, Place::PUBLIC);
        self.add(HostPlan { limits: SERVER, relay: Some(RELAY), ..host })
    }

    /// Adds a proxy at a public address.
    pub fn add_proxy(&mut self, spec: ProxySpec) -> HostId {
        let host = self.host(Role::Proxy(spec), Place::PUBLIC);
        self.add(host)
    }

    /// Adds a client at `place` that enters through all bootstrap nodes so far.
    pub fn add_client(&mut self, place: Place) -> HostId {
        let host = self.host(Role::Client, place);
        self.add(host)
    }

    /// Adds an adversary at a public address, who comes together with the clients.
    pub fn add_adversary(&mut self, strategy: Strategy, after: Option<HostId>) -> HostId {
        let host = self.host(Role::Adversary { strategy, after }, Place::PUBLIC);
        self.add(host)
    }

    /// A host that is there from the beginning and knows all bootstrap nodes so far.
    fn host(&self, role: Role, place: Place) -> HostPlan {
        HostPlan {
            role,
            place,
            limits: CLIENT,
            clock: Clock::default(),
            arrives: Duration::ZERO,
            leaves: None,
            through: self.bootstrap_nodes(),
            relay: None,
        }
    }

    /// Adds a host.
    pub fn add(&mut self, host: HostPlan) -> HostId {
        self.hosts.push(host);
        self.hosts.len() as HostId - 1
    }

    /// Adds a NAT at a public address.
    pub fn add_nat(&mut self, spec: NatSpec) -> NatId {
        self.nats.push(NatPlan { spec, place: Place::PUBLIC, outer: None });
        self.nats.len() as NatId - 1
    }

    /// The bootstrap nodes.
    #[must_use]
    pub fn bootstrap_nodes(&self) -> Vec<HostId> {
        self.of_role(|role| matches!(role, Role::Bootstrap))
    }

    /// The clients.
    #[must_use]
    pub fn clients(&self) -> Vec<HostId> {
        self.of_role(|role| matches!(role, Role::Client))
    }

    fn of_role(&self, wanted: impl Fn(&Role) -> bool) -> Vec<HostId> {
        (0..).zip(&self.hosts).filter(|(_, host)| wanted(&host.role)).map(|(id, _)| id).collect()
    }

    /// How long the run lasts at most.
    #[must_use]
    pub fn length(&self) -> Duration {
        let Phases { warm_up, chaos, heal, quiet } = self.phases;
        warm_up + chaos + heal + quiet
    }

    /// Something that stands in every text and name of this run, and nowhere else: the oracle of secrecy looks for it.
    #[must_use]
    pub fn marker(&self) -> [u8; 10] {
        let mut marker = *b"~secret~00";
        for (place, byte) in marker.iter_mut().skip(1).zip(crate::rng::SimRng::fork(self.seed, &[20]).array::<9>()) {
            *place = b'a' + byte % 26;
        }
        marker
    }
}

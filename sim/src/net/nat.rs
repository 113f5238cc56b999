//! NATs as RFC 4787 describes them, and a stateful firewall.
//!
//! A NAT gives each inner endpoint that sends a port of its external address: a mapping. What the port depends on, the
//! inner endpoint alone or also where it sends to, is its *mapping* behaviour. Who may then answer, anybody, the
//! addresses that were sent to, or only the very endpoints, is its *filtering* behaviour. A mapping lives as long as
//! it is used.
//!
//! The old names (RFC 3489) stand for pairs of the two:
//!
//! | name | mapping depends on | filtering depends on |
//! |---|---|---|
//! | full cone | the inner endpoint | nothing |
//! | restricted cone | the inner endpoint | the address |
//! | port-restricted cone | the inner endpoint | address and port |
//! | symmetric | also address and port | address and port |
//!
//! Carrier-grade NAT is two of them in a row: the external endpoint of the first is the inner one of the second. A
//! packet from inside to the external address (hairpin) goes through [`Nat::outbound`], then [`Nat::inbound`].

use crate::rng::SimRng;
use bluering_core::Endpoint;
use bluering_core::time::Instant;
use core::net::IpAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The first port that a NAT gives away when it has the choice.
const FIRST_PORT: u16 = 1024;

/// Ports that a NAT gives away when it has the choice.
const PORTS: u32 = 65_536 - FIRST_PORT as u32;

/// Remote hosts that may answer, per mapping or firewall. When full, the quarter not used for longest is forgotten.
const PERMITS: usize = 16_384;

/// A table is swept for what has expired when it has grown to this, and each time it has doubled.
const SWEEP_FROM: usize = 64;

/// How much of the remote endpoint a behaviour depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Dependence {
    /// Nothing: endpoint-independent.
    Endpoint,
    /// Its address.
    Address,
    /// Its address and port.
    AddressAndPort,
}

/// Which port a new mapping gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PortPolicy {
    /// The inner one, or else the next free one.
    Preserve,
    /// The next one after the last.
    Sequential,
    /// Any.
    Random,
}

/// How a NAT behaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatSpec {
    /// What a mapping depends on, besides the inner endpoint.
    pub mapping: Dependence,
    /// What of the sender of an incoming packet must have been sent to.
    pub filtering: Dependence,
    /// Which port a mapping gets.
    pub ports: PortPolicy,
    /// Whether inner hosts reach each other by external endpoints.
    pub hairpin: bool,
    /// How long a mapping, or the right to answer, lives without a packet out.
    pub expiry: Duration,
    /// Packets in keep both alive, too.
    pub inbound_refresh: bool,
}

/// Why a NAT drops an incoming packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NatDrop {
    /// Nobody has this port, or not any more.
    NoMapping,
    /// The sender was not sent to.
    Filtered,
    /// It comes from inside, and the NAT does not do that.
    NoHairpin,
}

/// How two hosts can talk without a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reach {
    /// At least one of them can just send.
    Direct,
    /// Both must send to each other (hole punching).
    Punched,
    /// Not at all, short of guessing ports.
    Unreachable,
}

/// An address and port, as keys are ordered.
type Address = (IpAddr, u16);

/// A NAT: one external address and the mappings of its ports.
#[derive(Clone, Debug)]
pub struct Nat {
    spec: NatSpec,
    external: IpAddr,
    rng: SimRng,
    by_port: BTreeMap<u16, Mapping>,
    /// The port of an inner endpoint and that of the remote which mappings depend on.
    by_inner: BTreeMap<(Address, Address), u16>,
    /// The last port given away.
    last: u16,
    /// The number of mappings at which to look for expired ones.
    sweep_at: usize,
    /// No port is free before.
    full_until: Instant,
}

#[derive(Clone, Debug)]
struct Mapping {
    key: (Address, Address),
    inner: Endpoint,
    used: Instant,
    permits: Permits<Address>,
}

/// A stateful firewall: who was sent to may answer. It changes no addresses, as is usual for IPv6 (RFC 6092).
#[derive(Clone, Debug)]
pub struct Firewall {
    filtering: Dependence,
    expiry: Duration,
    permits: Permits<(Address, Address)>,
}

impl Dependence {
    /// What of `remote` it depends on; the rest is blanked out.
    const fn scope(self, remote: Endpoint) -> Address {
        match self {
            Self::Endpoint => address(Endpoint::UNSPECIFIED),
            Self::Address => (remote.ip(), 0),
            Self::AddressAndPort => address(remote),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Address => "address",
            Self::AddressAndPort => "address and port",
        }
    }
}

impl NatSpec {
    /// Endpoint-independent in both: anybody may send to a mapped port. It hairpins.
    pub const FULL_CONE: Self = Self { hairpin: true, ..Self::cone(Dependence::Endpoint) };

    /// Only addresses that were sent to may answer.
    pub const RESTRICTED: Self = Self::cone(Dependence::Address);

    /// Only endpoints that were sent to may answer: most homes.
    pub const PORT_RESTRICTED: Self = Self::cone(Dependence::AddressAndPort);

    /// Another random port for each remote endpoint: strict firewalls, many mobile networks.
    pub const SYMMETRIC: Self = Self {
        mapping: Dependence::AddressAndPort,
        ports: PortPolicy::Random,
        ..Self::cone(Dependence::AddressAndPort)
    };

    /// Another port for each remote endpoint, one after the other, so that it can be guessed.
    pub const SYMMETRIC_SEQUENTIAL: Self = Self { ports: PortPolicy::Sequential, ..Self::SYMMETRIC };

    /// The common NATs, from the most to the least open.
    pub const ALL: [(&'static str, Self); 5] = [
        ("full cone", Self::FULL_CONE),
        ("restricted", Self::RESTRICTED),
        ("port-restricted", Self::PORT_RESTRICTED),
        ("symmetric", Self::SYMMETRIC),
        ("symmetric sequential", Self::SYMMETRIC_SEQUENTIAL),
    ];

    /// The name in [`ALL`](Self::ALL), or else the two behaviours.
    #[must_use]
    pub fn name(&self) -> String {
        let known = Self::ALL.into_iter().find(|(_, spec)| spec == self);
        known.map_or_else(
            || format!("mapping by {}, filtering by {}", self.mapping.name(), self.filtering.name()),
            |(name, _)| name.to_owned(),
        )
    }

    /// Endpoint-independent mapping. Two minutes are the least that RFC 4787 allows (REQ-5).
    const fn cone(filtering: Dependence) -> Self {
        Self {
            mapping: Dependence::Endpoint,
            filtering,
            ports: PortPolicy::Preserve,
            hairpin: false,
            expiry: Duration::from_secs(120),
            inbound_refresh: false,
        }
    }

    fn expired(&self, now: Instant, used: Instant) -> bool {
        now.reached(used, self.expiry)
    }
}

impl Nat {
    /// A NAT without mappings.
    #[must_use]
    pub fn new(spec: NatSpec, external: IpAddr, mut rng: SimRng) -> Self {
        let last = any_port(&mut rng);
        let (by_port, by_inner) = (BTreeMap::new(), BTreeMap::new());
        Self { spec, external, rng, by_port, by_inner, last, sweep_at: SWEEP_FROM, full_until: Instant::ZERO }
    }

    /// Its address outside.
    #[must_use]
    pub const fn external(&self) -> IpAddr {
        self.external
    }

    /// How it behaves.
    #[must_use]
    pub const fn spec(&self) -> &NatSpec {
        &self.spec
    }

    /// Translates the source of a packet out: returns the external endpoint that `to` sees. `None` when no port is
    /// left. `now` never goes back.
    pub fn outbound(&mut self, now: Instant, inner: Endpoint, to: Endpoint) -> Option<Endpoint> {
        let key = (address(inner), self.spec.mapping.scope(to));
        let port = self.port_of(now, key).or_else(|| self.open(now, key, inner))?;
        let mapping = self.by_port.get_mut(&port)?;
        mapping.used = now;
        mapping.permits.refresh(now, self.spec.expiry, self.spec.filtering.scope(to));
        Some(Endpoint::new(self.external, port))
    }

    /// Translates the target of a packet in, to our external `port`: returns the inner endpoint.
    ///
    /// # Errors
    /// When it has to be dropped.
    pub fn inbound(&mut self, now: Instant, port: u16, from: Endpoint) -> Result<Endpoint, NatDrop> {
        if from.ip() == self.external && !self.spec.hairpin {
            return Err(NatDrop::NoHairpin);
        }
        let NatSpec { expiry, filtering, inbound_refresh, .. } = self.spec;
        let mapping = self.by_port.get_mut(&port).filter(|mapping| !now.reached(mapping.used, expiry));
        let mapping = mapping.ok_or(NatDrop::NoMapping)?;
        let scope = filtering.scope(from);
        if !mapping.permits.allow(now, expiry, &scope) {
            return Err(NatDrop::Filtered);
        }
        if inbound_refresh {
            mapping.used = now;
            mapping.permits.refresh(now, expiry, scope);
        }
        Ok(mapping.inner)
    }

    /// Forgets all mappings.
    pub fn reboot(&mut self) {
        self.by_port.clear();
        self.by_inner.clear();
        (self.sweep_at, self.full_until) = (SWEEP_FROM, Instant::ZERO);
    }

    /// How many mappings are alive.
    #[must_use]
    pub fn mappings(&self, now: Instant) -> usize {
        self.by_port.values().filter(|mapping| !self.spec.expired(now, mapping.used)).count()
    }

    /// The port of a mapping that is alive.
    fn port_of(&self, now: Instant, key: (Address, Address)) -> Option<u16> {
        let port = self.by_inner.get(&key)?;
        let mapping = self.by_port.get(port)?;
        (!self.spec.expired(now, mapping.used)).then_some(*port)
    }

    /// Makes a mapping, in place of what has expired.
    fn open(&mut self, now: Instant, key: (Address, Address), inner: Endpoint) -> Option<u16> {
        if let Some(port) = self.by_inner.get(&key).copied() {
            self.close(port);
        }
        if self.by_port.len() >= self.sweep_at {
            self.sweep(now);
        }
        let port = self.choose(now, inner)?;
        self.close(port);
        self.last = port;
        self.by_inner.insert(key, port);
        self.by_port.insert(port, Mapping { key, inner, used: now, permits: Permits::new() });
        Some(port)
    }

    fn close(&mut self, port: u16) {
        if let Some(mapping) = self.by_port.remove(&port) {
            self.by_inner.remove(&mapping.key);
        }
    }

    fn sweep(&mut self, now: Instant) {
        let spec = &self.spec;
        self.by_port.retain(|_, mapping| !spec.expired(now, mapping.used));
        self.by_inner.retain(|_, port| self.by_port.contains_key(port));
        self.sweep_at = SWEEP_FROM.max(self.by_port.len() * 2);
    }

    /// A free port for a new mapping of `inner`.
    fn choose(&mut self, now: Instant, inner: Endpoint) -> Option<u16> {
        let start = match self.spec.ports {
            PortPolicy::Preserve if self.is_free(now, inner.port()) => return Some(inner.port()),
            PortPolicy::Preserve => inner.port().max(FIRST_PORT),
            PortPolicy::Sequential => self.last.checked_add(1).unwrap_or(FIRST_PORT),
            PortPolicy::Random => any_port(&mut self.rng),
        };
        if now < self.full_until {
            return None;
        }
        let port = self.free_in(now, start, u16::MAX).or_else(|| self.free_in(now, FIRST_PORT, start));
        if port.is_none() {
            let oldest = self.by_port.values().map(|mapping| mapping.used).min();
            self.full_until = oldest.map_or(now, |used| used + self.spec.expiry);
        }
        port
    }

    fn is_free(&self, now: Instant, port: u16) -> bool {
        port != 0 && self.by_port.get(&port).is_none_or(|mapping| self.spec.expired(now, mapping.used))
    }

    /// The first free port from `first` to `last`.
    fn free_in(&self, now: Instant, first: u16, last: u16) -> Option<u16> {
        // Both are in order, so the first difference is the answer.
        let mut taken = self.by_port.range(first..=last);
        (first..=last)
            .find(|port| !taken.next().is_some_and(|(at, mapping)| at == port && !self.spec.expired(now, mapping.used)))
    }
}

impl Firewall {
    /// A firewall that lets nothing in yet.
    #[must_use]
    pub const fn new(filtering: Dependence, expiry: Duration) -> Self {
        Self { filtering, expiry, permits: Permits::new() }
    }

    /// A packet goes out from `inner` to `to`. `now` never goes back.
    pub fn outbound(&mut self, now: Instant, inner: Endpoint, to: Endpoint) {
        self.permits.refresh(now, self.expiry, (address(inner), self.filtering.scope(to)));
    }

    /// Whether a packet from `from` may come in to `inner`. Packets in refresh nothing.
    #[must_use]
    pub fn inbound(&self, now: Instant, inner: Endpoint, from: Endpoint) -> bool {
        self.permits.allow(now, self.expiry, &(address(inner), self.filtering.scope(from)))
    }
}

/// What two hosts behind these NATs can reach by themselves, when each knows the other's endpoint as third parties see
/// it, and answers where it hears the other from. `None` is a public host. It does not hold for two hosts behind the
/// same NAT.
///
/// | | public | full cone | restricted | port-restricted | symmetric |
/// |---|---|---|---|---|---|
/// | public, full cone | direct | direct | direct | direct | direct |
/// | restricted | | | punched | punched | punched |
/// | port-restricted | | | | punched | unreachable |
/// | symmetric | | | | | unreachable |
///
/// A restricted host can be punched with a symmetric one, since it filters by address: whatever port the other's
/// packets come from, they pass, and so the true port becomes known.
#[must_use]
pub fn reach(a: Option<&NatSpec>, b: Option<&NatSpec>) -> Reach {
    let (a, b) = (Outlook::of(a), Outlook::of(b));
    let meet = |both| a.hears(b, both) && b.hears_answer(a) || b.hears(a, both) && a.hears_answer(b);
    match (meet(false), meet(true)) {
        (true, _) => Reach::Direct,
        (false, true) => Reach::Punched,
        (false, false) => Reach::Unreachable,
    }
}

/// How a host looks to another one that knows its endpoint from a third party.
#[derive(Clone, Copy)]
struct Outlook {
    /// It has that endpoint towards everybody.
    fixed: bool,
    filtering: Dependence,
}

impl Outlook {
    fn of(spec: Option<&NatSpec>) -> Self {
        spec.map_or(Self { fixed: true, filtering: Dependence::Endpoint }, |spec| Self {
            fixed: spec.mapping == Dependence::Endpoint,
            filtering: spec.filtering,
        })
    }

    /// Whether a first packet of `peer` to the known endpoint comes in. `sending`: we send to the peer's known one, too.
    fn hears(self, peer: Self, sending: bool) -> bool {
        match self.filtering {
            Dependence::Endpoint => true,
            Dependence::Address => sending && self.fixed,
            Dependence::AddressAndPort => sending && self.fixed && peer.fixed,
        }
    }

    /// Whether the answer of `peer`, which heard us, comes in: it does not when it comes from another port than the one
    /// we sent to and we care.
    fn hears_answer(self, peer: Self) -> bool {
        peer.fixed || self.filtering != Dependence::AddressAndPort
    }
}

/// When each remote host was last sent to.
#[derive(Clone, Debug)]
struct Permits<K> {
    last: BTreeMap<K, Instant>,
    /// The number of entries at which to look for expired ones.
    sweep_at: usize,
}

impl<K: Ord> Permits<K> {
    const fn new() -> Self {
        Self { last: BTreeMap::new(), sweep_at: SWEEP_FROM }
    }

    fn allow(&self, now: Instant, expiry: Duration, key: &K) -> bool {
        self.last.get(key).is_some_and(|used| !now.reached(*used, expiry))
    }

    fn refresh(&mut self, now: Instant, expiry: Duration, key: K) {
        if let Some(used) = self.last.get_mut(&key) {
            *used = now;
            return;
        }
        if self.last.len() >= self.sweep_at {
            self.sweep(now, expiry);
        }
        self.last.insert(key, now);
    }

    fn sweep(&mut self, now: Instant, expiry: Duration) {
        self.last.retain(|_, used| !now.reached(*used, expiry));
        let surplus = self.last.len().saturating_sub(PERMITS / 4 * 3);
        if surplus > 0 {
            let mut times: Vec<_> = self.last.values().copied().collect();
            let (_, oldest, _) = times.select_nth_unstable(surplus - 1);
            let oldest = *oldest;
            self.last.retain(|_, used| *used > oldest);
        }
        self.sweep_at = (self.last.len() * 2).clamp(SWEEP_FROM, PERMITS);
    }
}

const fn address(endpoint: Endpoint) -> Address {
    (endpoint.ip(), endpoint.port())
}

fn any_port(rng: &mut SimRng) -> u16 {
    FIRST_PORT + rng.below(u64::from(PORTS)) as u16
}

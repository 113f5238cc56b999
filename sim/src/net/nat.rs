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

mod firewall;
mod reach;

use crate::rng::SimRng;
use bluering_core::Endpoint;
use bluering_core::time::Instant;
use core::net::IpAddr;
use core::time::Duration;
use firewall::Permits;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use firewall::Firewall;
pub use reach::{Reach, reach};

/// The first port that a NAT gives away when it has the choice.
const FIRST_PORT: u16 = 1024;

/// Ports that a NAT gives away when it has the choice.
const PORTS: u32 = 65_536 - FIRST_PORT as u32;

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
    /// The inner one, or else the next free one after the last.
    Preserve,
    /// The next free one after the last.
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
    /// After how long without a packet a byte stream is forgotten.
    pub stream_expiry: Duration,
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

    /// Endpoint-independent mapping. Two minutes are the least that RFC 4787 allows (REQ-5), and 2 h 4 min for streams
    /// the least that RFC 5382 does (REQ-5).
    const fn cone(filtering: Dependence) -> Self {
        Self {
            mapping: Dependence::Endpoint,
            filtering,
            ports: PortPolicy::Preserve,
            hairpin: false,
            expiry: Duration::from_secs(120),
            inbound_refresh: false,
            stream_expiry: Duration::from_secs(7440),
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
            PortPolicy::Preserve | PortPolicy::Sequential => self.last.checked_add(1).unwrap_or(0).max(FIRST_PORT),
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

const fn address(endpoint: Endpoint) -> Address {
    (endpoint.ip(), endpoint.port())
}

fn any_port(rng: &mut SimRng) -> u16 {
    FIRST_PORT + rng.below(u64::from(PORTS)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    const NOW: Instant = Instant::from_secs(1000);
    const HOME: IpAddr = Endpoint::v4([5; 4], 0).ip();

    fn nat(spec: &NatSpec) -> Nat {
        Nat::new(spec.clone(), HOME, SimRng::new(3))
    }

    fn inner(host: u8, port: u16) -> Endpoint {
        Endpoint::v4([10, 0, 0, host], port)
    }

    fn remote(host: u8, port: u16) -> Endpoint {
        Endpoint::v4([host; 4], port)
    }

    /// Each NAT in [`NatSpec::ALL`], and one that only maps by address.
    fn specs() -> Vec<NatSpec> {
        let by_address = NatSpec { mapping: Dependence::Address, ..NatSpec::RESTRICTED };
        NatSpec::ALL.into_iter().map(|(_, spec)| spec).chain([by_address]).collect()
    }

    #[test]
    fn mapping_follows_its_dependence() {
        for (mapping, same) in [
            (Dependence::Endpoint, [true, true]),
            (Dependence::Address, [true, false]),
            (Dependence::AddressAndPort, [false, false]),
        ] {
            for ports in [PortPolicy::Preserve, PortPolicy::Sequential, PortPolicy::Random] {
                let mut nat = nat(&NatSpec { mapping, ports, ..NatSpec::FULL_CONE });
                let first = nat.outbound(NOW, inner(1, 5000), remote(1, 1));
                assert_eq!(nat.outbound(NOW, inner(1, 5000), remote(1, 1)), first);
                let others = [remote(1, 2), remote(2, 1)].map(|to| nat.outbound(NOW, inner(1, 5000), to) == first);
                assert_eq!(others, same, "{mapping:?} {ports:?}");
            }
        }
    }

    #[test]
    fn filtering_follows_its_dependence() {
        let filtered = Err(NatDrop::Filtered);
        for (filtering, port, host) in [
            (Dependence::Endpoint, Ok(inner(1, 5000)), Ok(inner(1, 5000))),
            (Dependence::Address, Ok(inner(1, 5000)), filtered),
            (Dependence::AddressAndPort, filtered, filtered),
        ] {
            for mapping in [Dependence::Endpoint, Dependence::Address, Dependence::AddressAndPort] {
                let mut nat = nat(&NatSpec { mapping, filtering, ..NatSpec::FULL_CONE });
                let outside = nat.outbound(NOW, inner(1, 5000), remote(1, 1)).unwrap().port();
                assert_eq!(nat.inbound(NOW, outside, remote(1, 1)), Ok(inner(1, 5000)));
                assert_eq!(nat.inbound(NOW, outside, remote(1, 2)), port);
                assert_eq!(nat.inbound(NOW, outside, remote(2, 1)), host);
                assert_eq!(nat.inbound(NOW, outside ^ 1, remote(1, 1)), Err(NatDrop::NoMapping));
            }
        }
    }

    #[test]
    fn mappings_live_as_long_as_they_are_used() {
        let expiry = Duration::from_secs(60);
        let at = |secs| NOW + Duration::from_secs(secs);
        for inbound_refresh in [false, true] {
            let mut nat = nat(&NatSpec { expiry, inbound_refresh, ..NatSpec::PORT_RESTRICTED });
            let port = nat.outbound(NOW, inner(1, 5000), remote(1, 1)).unwrap().port();
            nat.outbound(at(30), inner(1, 5000), remote(1, 1));
            assert!(nat.inbound(at(89), port, remote(1, 1)).is_ok());
            assert_eq!(nat.inbound(at(90), port, remote(1, 1)).is_ok(), inbound_refresh);
            assert_eq!(nat.mappings(at(90)), usize::from(inbound_refresh));
            assert_eq!(nat.inbound(at(150), port, remote(1, 1)), Err(NatDrop::NoMapping));
        }
    }

    /// A mapping that one peer keeps alive does not stay open to the others.
    #[test]
    fn the_right_to_answer_expires_by_itself() {
        let mut nat = nat(&NatSpec::PORT_RESTRICTED);
        let port = nat.outbound(NOW, inner(1, 5000), remote(1, 1)).unwrap().port();
        let later = NOW + NatSpec::PORT_RESTRICTED.expiry;
        nat.outbound(NOW + Duration::from_secs(60), inner(1, 5000), remote(2, 2));
        assert_eq!(nat.inbound(later, port, remote(1, 1)), Err(NatDrop::Filtered));
        assert!(nat.inbound(later, port, remote(2, 2)).is_ok());
    }

    #[test]
    fn ports_follow_the_policy() {
        let mut preserving = nat(&NatSpec::FULL_CONE);
        assert_eq!(preserving.outbound(NOW, inner(1, 80), remote(1, 1)), Some(Endpoint::new(HOME, 80)));
        assert_eq!(preserving.outbound(NOW, inner(1, 65_535), remote(1, 1)), Some(Endpoint::new(HOME, 65_535)));
        assert_eq!(preserving.outbound(NOW, inner(2, 65_535), remote(1, 1)), Some(Endpoint::new(HOME, FIRST_PORT)));
        let mut sequential = nat(&NatSpec::SYMMETRIC_SEQUENTIAL);
        let ports = [1, 2, 3].map(|to| sequential.outbound(NOW, inner(1, 5000), remote(1, to)).unwrap().port());
        assert_eq!(ports, [ports[0], ports[0] + 1, ports[0] + 2]);
        let mut random = nat(&NatSpec::SYMMETRIC);
        let ports = [1, 2, 3].map(|to| random.outbound(NOW, inner(1, 5000), remote(1, to)).unwrap().port());
        assert!(ports[1].abs_diff(ports[0]) > 1 && ports[2].abs_diff(ports[1]) > 1, "{ports:?}");
    }

    #[test]
    fn all_ports_can_be_used_and_then_none_is_left() {
        let expiry = NatSpec::FULL_CONE.expiry;
        let (mut nat, full) = (nat(&NatSpec::FULL_CONE), NOW + expiry / 2);
        for i in 0..PORTS {
            let from = inner((i >> 12) as u8, 2000 + (i & 0xfff) as u16);
            assert!(nat.outbound(if i == 0 { NOW } else { full }, from, remote(1, 1)).is_some());
        }
        assert_eq!(nat.mappings(full), PORTS as usize);
        assert_eq!(nat.outbound(full, inner(99, 2000), remote(1, 1)), None);
        assert!(nat.outbound(full, inner(1, 2000), remote(1, 1)).is_some(), "existing ones go on");
        assert!(nat.outbound(NOW + expiry, inner(99, 2001), remote(1, 1)).is_some(), "the first has expired");
        assert_eq!(nat.outbound(NOW + expiry, inner(98, 2000), remote(1, 1)), None);
    }

    #[test]
    fn expired_mappings_are_reclaimed() {
        let mut nat = nat(&NatSpec::SYMMETRIC);
        for i in 0..10_000_u64 {
            let to = remote((i >> 8) as u8, i as u16);
            nat.outbound(NOW + Duration::from_secs(i * 10), inner(1, 5000), to);
            assert!(nat.by_port.len() <= SWEEP_FROM && nat.by_inner.len() == nat.by_port.len());
        }
    }

    #[test]
    fn a_reboot_forgets_all() {
        let mut nat = nat(&NatSpec::FULL_CONE);
        let port = nat.outbound(NOW, inner(1, 5000), remote(1, 1)).unwrap().port();
        nat.reboot();
        assert_eq!((nat.mappings(NOW), nat.inbound(NOW, port, remote(1, 1))), (0, Err(NatDrop::NoMapping)));
        assert!(nat.outbound(NOW, inner(1, 5000), remote(1, 1)).is_some());
    }

    #[test]
    fn hairpins_are_as_the_spec_says() {
        for hairpin in [false, true] {
            let mut nat = nat(&NatSpec { hairpin, ..NatSpec::FULL_CONE });
            let b = nat.outbound(NOW, inner(2, 6000), remote(1, 1)).unwrap();
            let a = nat.outbound(NOW, inner(1, 5000), b).unwrap();
            let expected = if hairpin { Ok(inner(2, 6000)) } else { Err(NatDrop::NoHairpin) };
            assert_eq!(nat.inbound(NOW, b.port(), a), expected);
        }
    }

    #[test]
    fn carrier_grade_nat_is_two_in_a_row() {
        let (mut home, mut carrier) = (nat(&NatSpec::PORT_RESTRICTED), nat(&NatSpec::SYMMETRIC));
        let middle = home.outbound(NOW, inner(1, 5000), remote(1, 1)).unwrap();
        let outside = carrier.outbound(NOW, middle, remote(1, 1)).unwrap();
        assert_eq!(carrier.inbound(NOW, outside.port(), remote(1, 1)), Ok(middle));
        assert_eq!(home.inbound(NOW, middle.port(), remote(1, 1)), Ok(inner(1, 5000)));
    }

    #[test]
    fn names_are_known() {
        assert!(NatSpec::ALL.iter().all(|(name, spec)| spec.name() == *name));
        let odd = NatSpec { filtering: Dependence::Endpoint, ..NatSpec::SYMMETRIC };
        assert_eq!(odd.name(), "mapping by address and port, filtering by endpoint");
    }

    quickcheck! {
        /// Whatever went out before: the answer to a packet finds its sender, and no two mappings share a port.
        fn out_and_in_again(packets: Vec<(u8, u8, u8, u8, u8)>) -> bool {
            specs().into_iter().all(|spec| {
                let (mut nat, mut now) = (nat(&spec), NOW);
                packets.iter().all(|(pause, host, port, to, to_port)| {
                    now = now + Duration::from_secs(u64::from(pause % 32));
                    let from = inner(host % 4, 5000 + u16::from(port % 4));
                    let to = remote(to % 4, u16::from(to_port % 4));
                    let outside = nat.outbound(now, from, to).unwrap();
                    let mut ports = nat.by_port.iter();
                    let both_ways = ports.all(|(port, mapping)| nat.by_inner.get(&mapping.key) == Some(port));
                    let unique = both_ways && nat.by_inner.len() == nat.by_port.len();
                    unique && outside.ip() == HOME && nat.inbound(now, outside.port(), to) == Ok(from)
                })
            })
        }
    }
}

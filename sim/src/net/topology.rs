//! Who is where, and how a datagram gets from one place to another.
//!
//! A *site* is a place on the public internet: an access line with an uplink and a downlink in a *region*. A host with
//! a public address is a site of its own; hosts behind a NAT share the site of the outermost NAT. A datagram leaves
//! through the sender's NATs, then crosses its uplink, the line between the two regions, and the receiver's downlink,
//! and enters through the receiver's NATs, whose filters see it when it arrives. Neighbours behind one NAT talk over
//! their local network.

mod ways;

use super::link::{Damage, Fate, Link, LinkLoss, LinkSpec};
use super::nat::{Dependence, Firewall, Nat, NatDrop, NatSpec};
use crate::observe::HostId;
use crate::rng::SimRng;
use bluering_core::Endpoint;
use bluering_core::time::Instant;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;
use std::collections::HashMap;

pub use ways::{Tcp, Way};

/// A NAT of the world, counted from 0.
pub type NatId = u32;
/// A part of the world, between whose parts lines are long.
pub type Region = u16;

/// Why the network did not deliver a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NetDrop {
    /// Lost on a line.
    Loss,
    /// The queue before a slow line is full.
    QueueFull,
    /// Longer than the line takes.
    TooLong,
    /// A partition lies between the two.
    Cut,
    /// Nobody has the address.
    NoRoute,
    /// The sender has no address of that family, or may not use UDP.
    Blocked,
    /// No mapping of the NAT has that port.
    NoMapping,
    /// A NAT or firewall lets nothing in from there.
    Filtered,
    /// The NAT has no port left.
    NoPort,
    /// The host sleeps or is down.
    HostDown,
}

impl NetDrop {
    /// All reasons, in order.
    pub const ALL: [Self; 10] = [
        Self::Loss,
        Self::QueueFull,
        Self::TooLong,
        Self::Cut,
        Self::NoRoute,
        Self::Blocked,
        Self::NoMapping,
        Self::Filtered,
        Self::NoPort,
        Self::HostDown,
    ];
}

/// Where a host is attached, to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its region.
    pub region: Region,
    /// Its access line, both ways. Hosts behind a NAT have that of the NAT.
    pub access: LinkSpec,
    /// Its IPv4 address.
    pub v4: V4,
    /// Its IPv6 address.
    pub v6: V6,
    /// Whether UDP gets through.
    pub udp: bool,
    /// Which connections get out.
    pub tcp: Tcp,
}

/// How a host has IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum V4 {
    /// Not at all.
    None,
    /// With a public address.
    Public,
    /// Behind a NAT.
    Behind(NatId),
}

/// How a host has IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum V6 {
    /// Not at all.
    None,
    /// Reachable by all.
    Public,
    /// Behind a firewall that lets in answers only, kept for five minutes.
    Firewalled(Dependence),
}

impl Place {
    /// A public IPv4 address with a line of 5 ms each way.
    pub const PUBLIC: Self = Self {
        region: 0,
        access: LinkSpec::with_latency(Duration::from_millis(5)),
        v4: V4::Public,
        v6: V6::None,
        udp: true,
        tcp: Tcp::Open,
    };

    /// The same, but UDP does not get through.
    pub const TCP_ONLY: Self = Self { udp: false, ..Self::PUBLIC };

    /// The same, behind a NAT.
    #[must_use]
    pub const fn behind(nat: NatId) -> Self {
        Self { v4: V4::Behind(nat), ..Self::PUBLIC }
    }
}

/// One end of a cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everybody.
    All,
    /// A region.
    Region(Region),
    /// These hosts, wherever they are.
    Hosts(Vec<HostId>),
}

/// A one-way partition: nothing gets from one side to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where it comes from.
    pub from: Part,
    /// Where it does not arrive.
    pub to: Part,
}

/// The network.
#[derive(Debug)]
pub struct Net {
    seed: u64,
    /// One-way delay between any two sites, unless set by region.
    pub backbone: Duration,
    sites: Vec<Site>,
    nats: Vec<NatBox>,
    hosts: Vec<Attached>,
    public: HashMap<IpAddr, Owner>,
    regions: HashMap<(Region, Region), Link>,
    pairs: HashMap<(HostId, HostId), Link>,
    cuts: Vec<(u32, Cut)>,
    next_cut: u32,
    next_address: u32,
}

#[derive(Debug)]
struct Site {
    region: Region,
    up: Link,
    down: Link,
}

#[derive(Debug)]
struct NatBox {
    nat: Nat,
    site: u32,
    outer: Option<NatId>,
    /// Who has which inner address: a host or an inner NAT.
    inside: HashMap<IpAddr, Owner>,
}

/// A host's present place.
#[derive(Debug)]
struct Attached {
    site: u32,
    v4: Option<IpAddr>,
    behind: Option<NatId>,
    v6: Option<IpAddr>,
    firewall: Option<Firewall>,
    udp: bool,
    tcp: Tcp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Host(HostId),
    Nat(NatId),
}

impl Owner {
    const fn host(self) -> Option<HostId> {
        match self {
            Self::Host(host) => Some(host),
            Self::Nat(_) => None,
        }
    }
}

/// A datagram that is on its way.
#[derive(Clone, Copy, Debug)]
pub struct Flight {
    /// When it arrives.
    pub at: Instant,
    /// When its duplicate arrives.
    pub twin: Option<Instant>,
    /// What the lines did to it.
    pub damage: Option<Damage>,
    /// Where it seems to come from.
    pub source: Endpoint,
    /// At `at` it reaches another line, and is to be taken [onward](Net::onward). `None` when it arrives then.
    pub leg: Option<Leg>,
    gate: Gate,
}

/// The lines that a datagram still has to cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    from: HostId,
    next: Line,
}

/// The lines of a way, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Up,
    Region,
    Pair,
    Down,
}

impl Flight {
    /// Goes on with a datagram that has reached a line at `at`.
    #[must_use]
    pub const fn resumed(at: Instant, source: Endpoint, gate: Gate, leg: Leg) -> Self {
        Self { at, twin: None, damage: None, source, leg: Some(leg), gate }
    }

    /// Where it will enter.
    #[must_use]
    pub const fn gate(&self) -> Gate {
        self.gate
    }
}

/// Where a datagram enters its receiver's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate(Owner, u16);

/// The port that every node listens on.
pub const PORT: u16 = 33445;
/// Delay within a local network.
const LAN_DELAY: Duration = Duration::from_micros(500);
const FIREWALL_EXPIRY: Duration = Duration::from_secs(300);

/// Labels of the generators that are forked for the network.
const LABEL_UP: u64 = 10;
const LABEL_DOWN: u64 = 11;
const LABEL_REGION: u64 = 12;
const LABEL_PAIR: u64 = 13;
const LABEL_NAT: u64 = 14;

impl Net {
    /// An empty network, whose losses follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            backbone: Duration::ZERO,
            sites: Vec::new(),
            nats: Vec::new(),
            hosts: Vec::new(),
            public: HashMap::new(),
            regions: HashMap::new(),
            pairs: HashMap::new(),
            cuts: Vec::new(),
            next_cut: 0,
            next_address: 0,
        }
    }

    /// Adds a NAT: at a public address, or behind `outer` (carrier-grade NAT).
    pub fn add_nat(&mut self, spec: NatSpec, place: &Place, outer: Option<NatId>) -> NatId {
        let id = self.nats.len() as NatId;
        let (site, external) = match outer {
            None => (self.add_site(place), IpAddr::V4(self.public_v4(12))),
            Some(outer) => {
                let inside = self.nats[outer as usize].inside.len() as u32 + 2;
                (self.nats[outer as usize].site, IpAddr::V4(Ipv4Addr::from(0x6440_0000 + inside)))
            }
        };
        match outer {
            None => self.public.insert(external, Owner::Nat(id)),
            Some(outer) => self.nats[outer as usize].inside.insert(external, Owner::Nat(id)),
        };
        let nat = Nat::new(spec, external, SimRng::fork(self.seed, &[LABEL_NAT, u64::from(id)]));
        self.nats.push(NatBox { nat, site, outer, inside: HashMap::new() });
        id
    }

    /// Attaches a new host; its id is the next.
    pub fn attach(&mut self, place: &Place) -> HostId {
        let host = self.hosts.len() as HostId;
        let attached = self.attached(host, place);
        self.hosts.push(attached);
        host
    }

    /// Moves a host to a new place, with new addresses.
    pub fn move_to(&mut self, host: HostId, place: &Place) {
        let old = &self.hosts[host as usize];
        for ip in [old.v4, old.v6].into_iter().flatten() {
            match old.behind.filter(|_| ip.is_ipv4()) {
                Some(nat) => self.nats[nat as usize].inside.remove(&ip),
                None => self.public.remove(&ip),
            };
        }
        self.hosts[host as usize] = self.attached(host, place);
    }

    /// The address that a host itself knows: IPv4 where it has one.
    #[must_use]
    pub fn address(&self, host: HostId) -> Endpoint {
        let attached = &self.hosts[host as usize];
        attached.v4.or(attached.v6).map_or(Endpoint::UNSPECIFIED, |ip| Endpoint::new(ip, PORT))
    }

    /// The IPv6 address of a host, if it has one.
    #[must_use]
    pub fn address_v6(&self, host: HostId) -> Option<Endpoint> {
        self.hosts[host as usize].v6.map(|ip| Endpoint::new(ip, PORT))
    }

    /// The NATs before a host, the innermost first.
    pub fn nats_of(&self, host: HostId) -> impl Iterator<Item = &NatSpec> {
        let first = self.hosts[host as usize].behind;
        core::iter::successors(first, |nat| self.nats[*nat as usize].outer)
            .map(|nat| self.nats[nat as usize].nat.spec())
    }

    /// A NAT forgets all its mappings.
    pub fn reboot_nat(&mut self, nat: NatId) {
        self.nats[nat as usize].nat.reboot();
    }

    /// Sets the line between two regions, one way.
    pub fn set_region_link(&mut self, from: Region, to: Region, spec: LinkSpec) {
        let rng = SimRng::fork(self.seed, &[LABEL_REGION, u64::from(from), u64::from(to)]);
        self.regions.insert((from, to), Link::new(spec, rng));
    }

    /// Adds a line of its own from one host to another, one way, on top of all others.
    pub fn set_pair_link(&mut self, from: HostId, to: HostId, spec: LinkSpec) {
        let rng = SimRng::fork(self.seed, &[LABEL_PAIR, u64::from(from), u64::from(to)]);
        self.pairs.insert((from, to), Link::new(spec, rng));
    }

    /// Changes the access line of a host's site.
    pub fn set_access(&mut self, host: HostId, up: LinkSpec, down: LinkSpec) {
        let site = &mut self.sites[self.hosts[host as usize].site as usize];
        site.up.set_spec(up);
        site.down.set_spec(down);
    }

    /// The access line of a host's site, up and down.
    #[must_use]
    pub fn access(&self, host: HostId) -> (&LinkSpec, &LinkSpec) {
        let site = &self.sites[self.hosts[host as usize].site as usize];
        (site.up.spec(), site.down.spec())
    }

    /// Lets UDP through at a host, or not.
    pub fn set_udp(&mut self, host: HostId, udp: bool) {
        self.hosts[host as usize].udp = udp;
    }

    /// Begins a partition; the number ends it.
    pub fn cut(&mut self, cut: Cut) -> u32 {
        self.next_cut += 1;
        self.cuts.push((self.next_cut, cut));
        self.next_cut
    }

    /// Ends a partition.
    pub fn mend(&mut self, id: u32) {
        self.cuts.retain(|(cut, _)| *cut != id);
    }

    /// Sends a datagram of `len` bytes. `spoofed` replaces the source address behind the sender's NATs.
    ///
    /// # Errors
    /// The reason, when it is not delivered.
    pub fn send(
        &mut self,
        now: Instant,
        from: HostId,
        spoofed: Option<Endpoint>,
        to: Endpoint,
        len: u32,
    ) -> Result<Flight, NetDrop> {
        let attached = &mut self.hosts[from as usize];
        if !attached.udp {
            return Err(NetDrop::Blocked);
        }
        let own = if to.ip().is_ipv4() { attached.v4 } else { attached.v6 };
        let mut source = Endpoint::new(own.ok_or(NetDrop::Blocked)?, PORT);
        if let (true, Some(firewall)) = (to.ip().is_ipv6(), &mut attached.firewall) {
            firewall.outbound(now, source, to);
        }
        let mut level = attached.behind.filter(|_| to.ip().is_ipv4());
        while let Some(id) = level {
            let nat_box = &mut self.nats[id as usize];
            if let Some(owner) = nat_box.inside.get(&to.ip()) {
                let gate = Gate(*owner, to.port());
                return Ok(Flight { at: now + LAN_DELAY, twin: None, damage: None, source, leg: None, gate });
            }
            source = nat_box.nat.outbound(now, source, to).ok_or(NetDrop::NoPort)?;
            if to.ip() == nat_box.nat.external() {
                if !nat_box.nat.spec().hairpin {
                    return Err(NetDrop::Filtered);
                }
                let gate = Gate(Owner::Nat(id), to.port());
                return Ok(Flight { at: now + LAN_DELAY, twin: None, damage: None, source, leg: None, gate });
            }
            level = nat_box.outer;
        }
        let owner = *self.public.get(&to.ip()).ok_or(NetDrop::NoRoute)?;
        self.travel(now, from, spoofed.unwrap_or(source), Gate(owner, to.port()), len)
    }

    /// Takes a datagram through the NATs at its gate.
    ///
    /// # Errors
    /// The reason, when it is not delivered.
    pub fn arrive(&mut self, now: Instant, gate: Gate, source: Endpoint) -> Result<HostId, NetDrop> {
        let Gate(mut owner, mut port) = gate;
        loop {
            match owner {
                Owner::Host(host) => return self.enter(now, host, port, source),
                Owner::Nat(id) => {
                    let nat_box = &mut self.nats[id as usize];
                    let inner = nat_box.nat.inbound(now, port, source).map_err(|drop| match drop {
                        NatDrop::NoMapping => NetDrop::NoMapping,
                        NatDrop::Filtered | NatDrop::NoHairpin => NetDrop::Filtered,
                    })?;
                    owner = *nat_box.inside.get(&inner.ip()).ok_or(NetDrop::NoRoute)?;
                    port = inner.port();
                }
            }
        }
    }

    fn enter(&mut self, now: Instant, host: HostId, port: u16, source: Endpoint) -> Result<HostId, NetDrop> {
        let attached = &mut self.hosts[host as usize];
        if !attached.udp {
            return Err(NetDrop::Blocked);
        }
        if port != PORT {
            return Err(NetDrop::NoRoute);
        }
        if let (true, Some(ip), Some(firewall)) = (source.ip().is_ipv6(), attached.v6, &mut attached.firewall)
            && !firewall.inbound(now, Endpoint::new(ip, PORT), source)
        {
            return Err(NetDrop::Filtered);
        }
        Ok(host)
    }

    /// Takes a datagram over the next line, and over all behind it that are calm. A line where it matters who is first
    /// is crossed when the datagram has reached it: a slow sender must not hold up a fast one.
    ///
    /// # Errors
    /// The reason, when it is lost there.
    pub fn onward(&mut self, flight: &mut Flight, len: u32) -> Result<(), NetDrop> {
        let now = flight.at;
        let (to_site, to_host) = self.site_of(flight.gate.0);
        while let Some(Leg { from, next }) = flight.leg {
            let from_site = self.hosts[from as usize].site as usize;
            let (line, then) = match next {
                Line::Up => (Some(&mut self.sites[from_site].up), Some(Line::Region)),
                Line::Region => {
                    let regions = (self.sites[from_site].region, self.sites[to_site].region);
                    (self.regions.get_mut(&regions), Some(Line::Pair))
                }
                Line::Pair => (to_host.and_then(|to| self.pairs.get_mut(&(from, to))), Some(Line::Down)),
                Line::Down => (Some(&mut self.sites[to_site].down), None),
            };
            match line {
                Some(line) if !line.is_calm() && flight.at > now => return Ok(()),
                Some(line) => cross(line, flight, len)?,
                None if next == Line::Region => delay(flight, self.backbone),
                None => {}
            }
            flight.leg = then.map(|next| Leg { from, next });
        }
        Ok(())
    }

    fn site_of(&self, owner: Owner) -> (usize, Option<HostId>) {
        match owner {
            Owner::Host(host) => (self.hosts[host as usize].site as usize, Some(host)),
            Owner::Nat(nat) => (self.nats[nat as usize].site as usize, None),
        }
    }

    /// Crosses the lines between two sites.
    fn travel(
        &mut self,
        now: Instant,
        from: HostId,
        source: Endpoint,
        gate: Gate,
        len: u32,
    ) -> Result<Flight, NetDrop> {
        let from_site = self.hosts[from as usize].site as usize;
        let (to_site, _) = self.site_of(gate.0);
        if !self.cuts.is_empty() && self.is_cut(from, from_site, gate.0, to_site) {
            return Err(NetDrop::Cut);
        }
        let mut flight = Flight::resumed(now, source, gate, Leg { from, next: Line::Up });
        self.onward(&mut flight, len)?;
        Ok(flight)
    }

    fn is_cut(&self, from: HostId, from_site: usize, to: Owner, to_site: usize) -> bool {
        let is_in = |side: &Part, site: usize, is_host: &dyn Fn(HostId) -> bool| match side {
            Part::All => true,
            Part::Region(region) => self.sites[site].region == *region,
            Part::Hosts(hosts) => hosts.iter().any(|host| is_host(*host)),
        };
        let sends = |host| host == from;
        // Behind a NAT that the cut names by one of its hosts, the whole site is cut off.
        let receives = |host: HostId| match to {
            Owner::Host(to) => host == to,
            Owner::Nat(_) => self.hosts[host as usize].site as usize == to_site,
        };
        self.cuts.iter().any(|(_, cut)| is_in(&cut.from, from_site, &sends) && is_in(&cut.to, to_site, &receives))
    }

    fn attached(&mut self, host: HostId, place: &Place) -> Attached {
        let (v4, behind) = match place.v4 {
            V4::None => (None, None),
            V4::Public => (Some(IpAddr::V4(self.public_v4(11))), None),
            V4::Behind(nat) => (Some(self.inner_address(nat)), Some(nat)),
        };
        let v6 = (place.v6 != V6::None).then(|| IpAddr::V6(self.public_v6()));
        let site = match behind {
            Some(nat) => self.nats[nat as usize].site,
            None => self.add_site(place),
        };
        for ip in [v4, v6].into_iter().flatten() {
            match behind.filter(|_| ip.is_ipv4()) {
                Some(nat) => self.nats[nat as usize].inside.insert(ip, Owner::Host(host)),
                None => self.public.insert(ip, Owner::Host(host)),
            };
        }
        let firewall = match place.v6 {
            V6::None | V6::Public => None,
            V6::Firewalled(filtering) => Some(Firewall::new(filtering, FIREWALL_EXPIRY)),
        };
        Attached { site, v4, behind, v6, firewall, udp: place.udp, tcp: place.tcp }
    }

    fn add_site(&mut self, place: &Place) -> u32 {
        let id = self.sites.len() as u32;
        let link = |label| Link::new(place.access.clone(), SimRng::fork(self.seed, &[label, u64::from(id)]));
        let site = Site { region: place.region, up: link(LABEL_UP), down: link(LABEL_DOWN) };
        self.sites.push(site);
        id
    }

    fn public_v4(&mut self, first: u8) -> Ipv4Addr {
        self.next_address += 1;
        let [_, b, c, d] = self.next_address.to_be_bytes();
        Ipv4Addr::new(first, b, c, d)
    }

    fn public_v6(&mut self) -> Ipv6Addr {
        self.next_address += 1;
        // 2a00::/12 is allotted for real; nothing here leaves the process.
        Ipv6Addr::from((0x2a00 << 112) | u128::from(self.next_address))
    }

    fn inner_address(&self, nat: NatId) -> IpAddr {
        let inside = &self.nats[nat as usize].inside;
        let free = (2_u32..).map(|n| IpAddr::V4(Ipv4Addr::from(0xc0a8_0000 + n))).find(|ip| !inside.contains_key(ip));
        free.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

fn cross(line: &mut Link, flight: &mut Flight, len: u32) -> Result<(), NetDrop> {
    match line.carry(flight.at, len) {
        Fate::Lost(LinkLoss::Loss) => Err(NetDrop::Loss),
        Fate::Lost(LinkLoss::QueueFull) => Err(NetDrop::QueueFull),
        Fate::Lost(LinkLoss::TooLong) => Err(NetDrop::TooLong),
        Fate::Arrives { at, damage, twin } => {
            let took = at.since(flight.at);
            flight.twin = flight.twin.map(|at| at + took).or(twin);
            flight.at = at;
            flight.damage = flight.damage.or(damage);
            Ok(())
        }
    }
}

fn delay(flight: &mut Flight, by: Duration) {
    flight.at = flight.at + by;
    flight.twin = flight.twin.map(|at| at + by);
}

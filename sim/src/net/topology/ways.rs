//! The ways of byte streams: who is at the other end, and what lets them out.

use super::{LAN_DELAY, NatId, Net, Owner};
use crate::observe::HostId;
use bluering_core::Endpoint;
use core::net::IpAddr;
use core::time::Duration;

/// Which connections a firewall lets out. What it does not let out is never answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tcp {
    /// All.
    Open,
    /// Those to this port.
    Port(u16),
    /// Those to this host: a proxy.
    Host(HostId),
    /// None.
    Blocked,
}

/// The way of a byte stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Where it leads.
    pub host: HostId,
    /// How long it is.
    pub latency: Duration,
    /// The client's address, as the server sees it.
    pub source: IpAddr,
    /// After how long without a packet a NAT on the way forgets it.
    pub idle: Option<Duration>,
}

impl Tcp {
    fn lets_out(self, host: HostId, port: u16) -> bool {
        match self {
            Self::Open => true,
            Self::Port(open) => port == open,
            Self::Host(open) => host == open,
            Self::Blocked => false,
        }
    }
}

impl Net {
    /// The host with a public address.
    #[must_use]
    pub fn host_at(&self, ip: IpAddr) -> Option<HostId> {
        self.public.get(&ip).copied().and_then(Owner::host)
    }

    /// The way of a byte stream to an address; `None` when nothing answers. NATs and firewalls let streams out, and
    /// none in.
    #[must_use]
    pub fn stream_way(&self, from: HostId, to: Endpoint) -> Option<Way> {
        let attached = &self.hosts[from as usize];
        let mut source = if to.ip().is_ipv4() { attached.v4 } else { attached.v6 }?;
        let (mut idle, mut level) = (None::<Duration>, attached.behind.filter(|_| to.ip().is_ipv4()));
        while let Some(id) = level {
            let nat_box = &self.nats[id as usize];
            if let Some(owner) = nat_box.inside.get(&to.ip()) {
                let host = owner.host().filter(|host| attached.tcp.lets_out(*host, to.port()))?;
                return Some(Way { host, latency: LAN_DELAY, source, idle });
            }
            let expiry = nat_box.nat.spec().stream_expiry;
            idle = Some(idle.map_or(expiry, |idle| idle.min(expiry)));
            source = nat_box.nat.external();
            level = nat_box.outer;
        }
        let owner = *self.public.get(&to.ip())?;
        let host = owner.host().filter(|host| attached.tcp.lets_out(*host, to.port()))?;
        let shut = to.ip().is_ipv6() && self.hosts[host as usize].firewall.is_some();
        if shut || self.are_cut(from, host) {
            return None;
        }
        Some(Way { host, latency: self.distance(from, host), source, idle })
    }

    /// How long the lines between two hosts are.
    fn distance(&self, from: HostId, to: HostId) -> Duration {
        let [up, down] = [from, to].map(|host| &self.sites[self.hosts[host as usize].site as usize]);
        let between = self.regions.get(&(up.region, down.region));
        let own = self.pairs.get(&(from, to)).map_or(Duration::ZERO, |line| line.spec().latency);
        let between = between.map_or(self.backbone, |line| line.spec().latency);
        up.up.spec().latency + between + own + down.down.spec().latency
    }

    /// Whether a partition lies between two hosts, one way or the other.
    #[must_use]
    pub fn are_cut(&self, a: HostId, b: HostId) -> bool {
        let site = |host: HostId| self.hosts[host as usize].site as usize;
        !self.cuts.is_empty()
            && [(a, b), (b, a)].into_iter().any(|(from, to)| self.is_cut(from, site(from), Owner::Host(to), site(to)))
    }

    /// Whether a host is behind a NAT, directly or not.
    #[must_use]
    pub fn is_behind(&self, host: HostId, nat: NatId) -> bool {
        let first = self.hosts[host as usize].behind;
        core::iter::successors(first, |nat| self.nats[*nat as usize].outer).any(|behind| behind == nat)
    }
}

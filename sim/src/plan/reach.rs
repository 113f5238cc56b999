//! Who can reach whom, as the NATs say.

use super::{HostPlan, Plan, Role};
use crate::net::{Dependence, NatSpec, Reach, Tcp, V4, V6, reach};
use crate::observe::HostId;
use std::collections::BTreeSet;

/// What is to be expected of two hosts that look for each other over UDP, without relays and without help in their
/// local network.
#[must_use]
pub fn expected(plan: &Plan, a: HostId, b: HostId) -> Reach {
    let (host_a, host_b) = (&plan.hosts[a as usize], &plan.hosts[b as usize]);
    if !(host_a.place.udp && host_b.place.udp) {
        return Reach::Unreachable;
    }
    let v4 = match (host_a.place.v4, host_b.place.v4) {
        (V4::None, _) | (_, V4::None) => Reach::Unreachable,
        // Neighbours see each other's outer address only, so their packets must turn at the NAT.
        (V4::Behind(x), V4::Behind(y)) if outermost(plan, x) == outermost(plan, y) => turning(plan, x, y),
        (x, y) => reach(effective(plan, x).as_ref(), effective(plan, y).as_ref()),
    };
    let v6 = match (firewall(host_a.place.v6), firewall(host_b.place.v6)) {
        (Some(x), Some(y)) => reach(x.as_ref(), y.as_ref()),
        (None, _) | (_, None) => Reach::Unreachable,
    };
    if rank(v6) < rank(v4) { v6 } else { v4 }
}

/// How two friends talk in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// At least one of them can just send.
    Direct,
    /// Both must send to each other (hole punching).
    Punched,
    /// Through a relay.
    Relayed,
    /// Not at all.
    Never,
}

/// What is to be expected of two hosts who know relays, or none. Who has a relay can be met there by whoever has any.
#[must_use]
pub fn meeting(plan: &Plan, a: HostId, b: HostId, gone: &BTreeSet<u32>) -> Meeting {
    let hosts = [a, b].map(|id| &plan.hosts[id as usize]);
    let reach = if hosts.iter().all(|host| host.udp && host.proxy.is_none()) {
        expected(plan, a, b)
    } else {
        Reach::Unreachable
    };
    let has_relay = |host: &&HostPlan| {
        let honest = |id: &HostId| !gone.contains(id) && plan.hosts[*id as usize].relay.is_some();
        let proxy_is_there = host.proxy.is_none_or(|proxy| !gone.contains(&proxy));
        host.place.tcp != Tcp::Blocked && proxy_is_there && host.relays.iter().any(honest)
    };
    match reach {
        Reach::Direct => Meeting::Direct,
        Reach::Punched => Meeting::Punched,
        Reach::Unreachable if hosts.iter().all(has_relay) => Meeting::Relayed,
        Reach::Unreachable => Meeting::Never,
    }
}

/// The pairs of friends, with what is to be expected of each.
impl Plan {
    /// Pairs that must meet when the hosts `gone` never come: clients who can reach each other, and who have a way into
    /// the network.
    #[must_use]
    pub fn reachable_pairs(&self, gone: &BTreeSet<u32>) -> Vec<(HostId, HostId)> {
        let can = |id: HostId| {
            let host = &self.hosts[id as usize];
            let comes = matches!(host.role, Role::Client) && !gone.contains(&id);
            comes && host.through.iter().any(|way| !gone.contains(way))
        };
        let pairs = self.friends.iter().copied();
        pairs.filter(|(a, b)| can(*a) && can(*b) && meeting(self, *a, *b, gone) != Meeting::Never).collect()
    }
}

const fn rank(reach: Reach) -> u8 {
    match reach {
        Reach::Direct => 0,
        Reach::Punched => 1,
        Reach::Unreachable => 2,
    }
}

fn outermost(plan: &Plan, mut nat: u32) -> u32 {
    while let Some(outer) = plan.nats[nat as usize].outer {
        nat = outer;
    }
    nat
}

/// Two hosts with one outermost NAT. Only simple cases are promised: the same NAT, which turns packets for all.
fn turning(plan: &Plan, x: u32, y: u32) -> Reach {
    let spec = &plan.nats[x as usize].spec;
    if x == y && plan.nats[x as usize].outer.is_none() && spec.hairpin {
        reach(Some(spec), Some(spec))
    } else {
        Reach::Unreachable
    }
}

/// Several NATs behave like the strictest of each part.
fn effective(plan: &Plan, v4: V4) -> Option<NatSpec> {
    let V4::Behind(first) = v4 else { return None };
    let chain = core::iter::successors(Some(first), |nat| plan.nats[*nat as usize].outer);
    chain.map(|nat| plan.nats[nat as usize].spec.clone()).reduce(|inner, outer| NatSpec {
        mapping: stricter(inner.mapping, outer.mapping),
        filtering: stricter(inner.filtering, outer.filtering),
        ..outer
    })
}

const fn stricter(a: Dependence, b: Dependence) -> Dependence {
    match (a, b) {
        (Dependence::AddressAndPort, _) | (_, Dependence::AddressAndPort) => Dependence::AddressAndPort,
        (Dependence::Address, _) | (_, Dependence::Address) => Dependence::Address,
        (Dependence::Endpoint, Dependence::Endpoint) => Dependence::Endpoint,
    }
}

/// A firewall is a NAT that maps every address to itself.
fn firewall(v6: V6) -> Option<Option<NatSpec>> {
    match v6 {
        V6::None => None,
        V6::Public => Some(None),
        V6::Firewalled(filtering) => Some(Some(NatSpec { filtering, ..NatSpec::FULL_CONE })),
    }
}

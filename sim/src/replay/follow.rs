//! When a host is taken out of a plan, its friendships go with it, and faults and deeds that need it.

use crate::net::{Cut, Part};
use crate::observe::HostId;
use crate::plan::{DeedKind, FaultKind, Overrides, Plan};
use std::collections::BTreeSet;

/// Takes whatever is about hosts that never come out of `plan`. Numbers of faults and deeds stay what they are: what
/// is left without any host is added to `overrides`.
pub(super) fn follow(plan: &mut Plan, overrides: &mut Overrides) {
    let Overrides { hosts: gone, faults, deeds, end: _ } = overrides;
    if gone.is_empty() {
        return;
    }
    plan.friends.retain(|(a, b)| !gone.contains(a) && !gone.contains(b));
    for host in &mut plan.hosts {
        host.through.retain(|other| !gone.contains(other));
    }
    for (i, fault) in (0..).zip(&mut plan.faults) {
        if concerns_nobody(&mut fault.what, gone) {
            faults.insert(i);
        }
    }
    for (i, deed) in (0..).zip(&plan.deeds) {
        let to = match deed.what {
            DeedKind::Say(to, _) | DeedKind::Type(to, _) => to,
            DeedKind::Rename | DeedKind::Checkpoint => deed.host,
        };
        if gone.contains(&deed.host) || gone.contains(&to) {
            deeds.insert(i);
        }
    }
}

/// Takes hosts out of a fault; whether none is left.
fn concerns_nobody(what: &mut FaultKind, gone: &BTreeSet<u32>) -> bool {
    match what {
        FaultKind::Lines { hosts, .. }
        | FaultKind::NoUdp(hosts)
        | FaultKind::Severed(hosts)
        | FaultKind::Reset(hosts) => leaves_none(hosts, gone),
        FaultKind::Cuts(cuts) => {
            cuts.retain_mut(|Cut { from, to }| !(side_is_empty(from, gone) || side_is_empty(to, gone)));
            cuts.is_empty()
        }
        FaultKind::Asleep(host, _)
        | FaultKind::Down(host, _)
        | FaultKind::Stopped(host)
        | FaultKind::Dishonest(host, _)
        | FaultKind::Deaf(host)
        | FaultKind::Moved(host, _)
        | FaultKind::MovedUnnoticed(host, _)
        | FaultKind::Fates(host, _)
        | FaultKind::WallClock(host, _) => gone.contains(host),
        FaultKind::NatReboot(_) | FaultKind::Streams(_) => false,
    }
}

fn side_is_empty(side: &mut Part, gone: &BTreeSet<u32>) -> bool {
    match side {
        Part::All | Part::Region(_) => false,
        Part::Hosts(hosts) => leaves_none(hosts, gone),
    }
}

fn leaves_none(hosts: &mut Vec<HostId>, gone: &BTreeSet<u32>) -> bool {
    hosts.retain(|host| !gone.contains(host));
    hosts.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Place;
    use crate::plan::{Deed, Fault};
    use core::time::Duration;

    #[test]
    fn friends_faults_and_deeds_of_a_host_go_with_it() {
        let mut plan = Plan::new(1);
        let server = plan.add_bootstrap();
        let [a, b, c] = [(); 3].map(|()| plan.add_client(Place::PUBLIC));
        plan.friends = vec![(a, b), (b, c)];
        let cut = |left: &[HostId], right: &[HostId]| Cut {
            from: Part::Hosts(left.to_vec()),
            to: Part::Hosts(right.to_vec()),
        };
        let faults = [
            FaultKind::Stopped(a),
            FaultKind::Stopped(b),
            FaultKind::NoUdp(vec![a, b]),
            FaultKind::Cuts(vec![cut(&[a], &[b, c]), cut(&[a, b], &[c])]),
            FaultKind::Cuts(vec![cut(&[a], &[b])]),
        ];
        let (begins, ends) = (Duration::from_secs(1), Duration::from_secs(2));
        plan.faults = faults.map(|what| Fault { begins, ends, what }).into();
        let deeds = [(a, DeedKind::Rename), (b, DeedKind::Say(a, 9)), (b, DeedKind::Say(c, 9))];
        plan.deeds = deeds.map(|(host, what)| Deed { at: begins, host, what }).into();

        let mut overrides = Overrides { hosts: [server, a].into(), ..Overrides::default() };
        follow(&mut plan, &mut overrides);

        assert_eq!(plan.friends, [(b, c)]);
        assert!(plan.hosts[b as usize].through.is_empty());
        assert_eq!(overrides.faults, [0, 4].into());
        assert_eq!(overrides.deeds, [0, 1].into());
        assert!(matches!(&plan.faults[2].what, FaultKind::NoUdp(hosts) if *hosts == [b]));
        assert!(matches!(&plan.faults[3].what, FaultKind::Cuts(cuts) if *cuts == [cut(&[b], &[c])]));
    }
}

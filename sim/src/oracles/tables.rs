//! No table holds more than its capacity, and none leaks.
//!
//! Blocks are what leaks would be made of: they hold unread and unacknowledged packets and the words of friend
//! requests, and wander between chains. After a while of quiet a node needs few: for each session those of its last
//! alive packets, and one for each friend request that is not answered or not read.

use super::{Audited, Findings, Oracle, PerHost, Rule};
use crate::SimEnv;
use crate::observe::{Change, HostId, Observation};
use bluering_core::Node;
use bluering_core::relay::server::RelayServer;
use bluering_core::storage::Table;
use bluering_core::time::Instant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Blocks that a session may hold in quiet: an alive packet on its way there, and what the friend sent with a gap.
const BLOCKS_PER_SESSION: usize = 3;

/// Looks at the tables of all nodes, now and then and at the end.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// Nodes whose application does not read: they hold what they must.
    deaf: PerHost<bool>,
}

/// How full each table was at most.
#[derive(Clone, Debug, Default)]
pub struct Peaks(BTreeMap<&'static str, Peak>);

/// How full a table was at most, of all nodes the one where the greatest share was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peak {
    /// At which host.
    pub host: HostId,
    /// Places taken.
    pub used: u64,
    /// All places.
    pub capacity: u64,
}

impl Peak {
    const fn share(&self) -> u64 {
        self.used * 1_000_000 / if self.capacity == 0 { 1 } else { self.capacity }
    }
}

impl Peaks {
    /// By the tables' names.
    #[must_use]
    pub const fn by_table(&self) -> &BTreeMap<&'static str, Peak> {
        &self.0
    }

    /// Looks at the tables of all nodes.
    pub fn look(&mut self, world: &dyn Audited) {
        for host in 0..world.len() {
            let Some(node) = world.try_node(host) else { continue };
            for table in tables(world, host, node) {
                self.note(table.name, Peak { host, used: table.used as u64, capacity: table.capacity as u64 });
            }
        }
    }

    fn note(&mut self, name: &'static str, found: Peak) {
        let peak = self.0.entry(name).or_insert(found);
        if found.share() > peak.share() {
            *peak = found;
        }
    }
}

/// The tables of a node, and of the relay beside it.
fn tables(world: &dyn Audited, host: HostId, node: &Node<'static, SimEnv>) -> impl Iterator<Item = Table> + use<> {
    let relay = world.relay(host).map(RelayServer::tables);
    node.occupancy().tables().to_vec().into_iter().chain(relay.into_iter().flatten())
}

impl Oracle for Tables {
    fn rule(&self) -> Rule {
        Rule::Tables
    }

    fn observe(&mut self, _: Instant, seen: &Observation<'_>, _: &mut Findings) {
        match seen {
            Observation::Started { host, .. } | Observation::Changed { host, how: Change::Hearing } => {
                *self.deaf.at(*host) = false;
            }
            Observation::Changed { host, how: Change::Deaf } => *self.deaf.at(*host) = true,
            Observation::Changed { .. }
            | Observation::Joined { .. }
            | Observation::Sent { .. }
            | Observation::Lost { .. }
            | Observation::Handled { .. }
            | Observation::Heard { .. }
            | Observation::Said { .. }
            | Observation::Sleeps { .. }
            | Observation::Allocated { .. }
            | Observation::ForRelay { .. }
            | Observation::Stream { .. }
            | Observation::Mark { .. } => {}
        }
    }

    fn look(&mut self, world: &dyn Audited, findings: &mut Findings) {
        for host in 0..world.len() {
            let Some(node) = world.try_node(host) else { continue };
            for table in tables(world, host, node) {
                if table.used > table.capacity {
                    let Table { name, used, capacity } = table;
                    let what = format!("{used} of {capacity} places are taken in the table of {name}");
                    findings.report(Rule::Tables, world.now(), Some(host), what);
                }
            }
        }
    }

    fn audit(&mut self, world: &dyn Audited, findings: &mut Findings) {
        self.look(world, findings);
        for host in (0..world.len()).filter(|host| self.deaf.get(*host) != Some(&true)) {
            let Some(node) = world.try_node(host) else { continue };
            let tables = node.occupancy();
            let used = |name: &str| tables.get(name).map_or(0, |table| table.used);
            let asked = node.friends().filter_map(|id| node.friend(id)).filter(|friend| friend.requested.is_some());
            let needed = used("sessions") * BLOCKS_PER_SESSION + used("friend requests") + asked.count();
            if used("blocks") > needed {
                let what = format!("{} blocks are taken, where {needed} would do", used("blocks"));
                findings.report(Rule::Tables, world.now(), Some(host), what);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{audited, chat, watched};
    use super::*;
    use core::time::Duration;

    #[test]
    fn an_honest_run_leaks_nothing() {
        let mut world = watched(vec![Box::new(Tables::default())]);
        chat(&mut world);
        assert_eq!(audited(&mut world), []);
    }

    /// A node that sits on its blocks: its application is deaf, and the oracle is not told.
    #[test]
    fn blocks_that_are_not_given_back_are_seen() {
        let mut world = watched(vec![Box::new(Tables::default())]);
        chat(&mut world);
        world.set_reading(1, false);
        let now = world.now();
        crate::observe::Tap::observe(&mut world.tap, now, &Observation::Changed { host: 1, how: Change::Hearing });
        (0..10_u8).for_each(|i| assert!(world.say(0, 1, &[i]).is_ok()));
        world.run_for(Duration::from_secs(10));
        assert_eq!(audited(&mut world), [(Rule::Tables, Some(1))]);
    }

    #[test]
    fn the_fullest_is_the_peak() {
        let mut tables = Peaks::default();
        tables.note("keys", Peak { host: 1, used: 10, capacity: 100 });
        tables.note("keys", Peak { host: 2, used: 3, capacity: 4 });
        tables.note("keys", Peak { host: 3, used: 0, capacity: 0 });
        assert_eq!(tables.by_table()["keys"].host, 2);
    }
}

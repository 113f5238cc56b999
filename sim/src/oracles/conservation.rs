//! What came in was consumed, answered or dropped, and counted as such.

use super::{Audited, Findings, Oracle, PerHost, Rule};
use crate::observe::Observation;
use bluering_core::Disposition;
use bluering_core::time::Instant;

/// Counts what each node did with its datagrams, and compares with the node's own counters.
#[derive(Clone, Debug, Default)]
pub struct Conservation {
    counts: PerHost<Counts>,
}

/// Since the last start of the host's node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    came: u64,
    went: u64,
    replied: u64,
    dropped: u64,
}

impl Oracle for Conservation {
    fn rule(&self) -> Rule {
        Rule::Conservation
    }

    fn observe(&mut self, _: Instant, seen: &Observation<'_>, _: &mut Findings) {
        match seen {
            Observation::Sent { packet, .. } => self.counts.at(packet.from).went += 1,
            Observation::Handled { host, disposition, .. } => {
                let counts = self.counts.at(*host);
                counts.came += 1;
                match disposition {
                    Disposition::Consumed => {}
                    Disposition::Reply { .. } => counts.replied += 1,
                    Disposition::Dropped(_) => counts.dropped += 1,
                }
            }
            Observation::Started { host, .. } => *self.counts.at(*host) = Counts::default(),
            Observation::Joined { .. }
            | Observation::Changed { .. }
            | Observation::Lost { .. }
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
        for (host, seen) in self.counts.iter() {
            let Some(stats) = world.try_node(host).map(|node| node.stats()) else { continue };
            // The relay on the same host sends for its clients.
            let relayed = world.relay(host).map_or(0, |relay| relay.stats().onion_requests + relay.stats().forwarded);
            let counted = Counts {
                came: stats.datagrams_in,
                went: stats.datagrams_out + relayed,
                replied: stats.replied,
                dropped: stats.dropped_total(),
            };
            if *seen != counted {
                let what = format!("the node counts {counted:?}, the world {seen:?}");
                findings.report(Rule::Conservation, world.now(), Some(host), what);
            }
        }
    }

    fn audit(&mut self, world: &dyn Audited, findings: &mut Findings) {
        self.look(world, findings);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{audited, chat, packet, watched};
    use super::*;
    use crate::observe::Tap;

    fn run(false_packets: u32) -> Vec<(Rule, Option<u32>)> {
        let mut world = watched(vec![Box::new(Conservation::default())]);
        chat(&mut world);
        for _ in 0..false_packets {
            let (packet, disposition) = (packet(0, 1, b"?"), Disposition::Consumed);
            let now = world.now();
            world.tap.observe(now, &Observation::Handled { host: 1, packet, disposition, reply: None });
        }
        audited(&mut world)
    }

    #[test]
    fn an_honest_run_balances() {
        assert_eq!(run(0), []);
    }

    #[test]
    fn a_packet_that_a_node_did_not_count_is_seen() {
        assert_eq!(run(1), [(Rule::Conservation, Some(1))]);
    }
}

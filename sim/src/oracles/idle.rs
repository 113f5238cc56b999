//! An idle node stays within its budget of datagrams.

use super::{Findings, IdleBudget, Oracle, PerHost, Rule};
use crate::observe::{HostId, Observation};
use bluering_core::time::Instant;

/// The mark with which nobody says or does anything any more.
pub const QUIET_BEGINS: &str = "quiet begins";
/// The mark with which that ends.
pub const QUIET_ENDS: &str = "quiet ends";

/// Counts datagrams of each node between the marks [`QUIET_BEGINS`] and [`QUIET_ENDS`].
///
/// What a node answers or passes on for others follows from them, not from it, and a bootstrap node of thousands has
/// much of it; so the budget has two parts.
#[derive(Clone, Debug)]
pub struct Idle {
    budget: IdleBudget,
    since: Option<Instant>,
    sent: PerHost<Sent>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    is_node: bool,
    own: u64,
    answers: u64,
}

impl Idle {
    /// With this budget per node.
    #[must_use]
    pub const fn new(budget: IdleBudget) -> Self {
        Self { budget, since: None, sent: PerHost::new() }
    }

    fn begin(&mut self, at: Instant) {
        self.since = Some(at);
        self.sent.iter_mut().for_each(|(_, sent)| *sent = Sent { is_node: sent.is_node, ..Sent::default() });
    }

    fn end(&mut self, at: Instant, findings: &mut Findings) {
        let Some(since) = self.since.take() else { return };
        let millis = at.since(since).as_millis();
        for (host, sent) in self.sent.iter().filter(|(_, sent)| sent.is_node) {
            for (what, n, budget) in
                [("on its own", sent.own, self.budget.own), ("as answers", sent.answers, self.budget.answers)]
            {
                if u128::from(n) * 1000 > u128::from(budget) * millis {
                    report(findings, at, host, &format!("sent {n} datagrams {what} in {millis} ms of quiet"), budget);
                }
            }
        }
    }
}

fn report(findings: &mut Findings, at: Instant, host: HostId, what: &str, budget: u32) {
    findings.report(Rule::IdleTraffic, at, Some(host), format!("{what}; {budget} per second is the budget"));
}

impl Oracle for Idle {
    fn rule(&self) -> Rule {
        Rule::IdleTraffic
    }

    fn observe(&mut self, at: Instant, seen: &Observation<'_>, findings: &mut Findings) {
        match seen {
            Observation::Sent { packet, answers } if self.since.is_some() => {
                let sent = self.sent.at(packet.from);
                match answers {
                    Some(_) => sent.answers += 1,
                    None => sent.own += 1,
                }
            }
            Observation::Joined { host, node, .. } => self.sent.at(*host).is_node = *node,
            Observation::Mark { text } if *text == QUIET_BEGINS => self.begin(at),
            Observation::Mark { text } if *text == QUIET_ENDS => self.end(at, findings),
            Observation::Sent { .. }
            | Observation::Mark { .. }
            | Observation::Started { .. }
            | Observation::Changed { .. }
            | Observation::Lost { .. }
            | Observation::Handled { .. }
            | Observation::Heard { .. }
            | Observation::Said { .. }
            | Observation::Sleeps { .. }
            | Observation::Allocated { .. }
            | Observation::ForRelay { .. }
            | Observation::Stream { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Feed, packet};
    use super::*;

    /// One host sends `own` datagrams and `answers` in ten seconds of quiet, and many before.
    fn run(node: bool, own: u32, answers: u32) -> Vec<(Rule, Option<HostId>)> {
        let mut feed = Feed::new(Idle::new(IdleBudget { own: 2, answers: 5 }));
        feed.see(&Observation::Joined { host: 4, place: String::new(), node });
        let sent = |answers| Observation::Sent { packet: packet(4, 5, b"x"), answers };
        (0..1000).for_each(|_| feed.see(&sent(None)));
        feed.see(&Observation::Mark { text: QUIET_BEGINS });
        (0..own).for_each(|_| feed.see(&sent(None)));
        (0..answers).for_each(|_| feed.see(&sent(Some(1))));
        feed.now = Instant::from_secs(11);
        feed.see(&Observation::Mark { text: QUIET_ENDS });
        feed.found()
    }

    #[test]
    fn more_than_the_budget_is_seen() {
        assert_eq!(run(true, 20, 50), []);
        assert_eq!(run(true, 21, 50), [(Rule::IdleTraffic, Some(4))]);
        assert_eq!(run(true, 20, 51), [(Rule::IdleTraffic, Some(4))]);
    }

    #[test]
    fn adversaries_have_no_budget() {
        assert_eq!(run(false, 500, 0), []);
    }
}

//! An idle node stays within its budget of datagrams.

use super::{Findings, Oracle, PerHost, Rule};
use crate::observe::Observation;
use bluering_core::time::Instant;

/// The mark with which nobody says or does anything any more.
pub const QUIET_BEGINS: &str = "quiet begins";
/// The mark with which that ends.
pub const QUIET_ENDS: &str = "quiet ends";

/// Immediate answers, onion hops among them, that may follow from one datagram: a request through the onion passes
/// seven hands after its sender's. Twice that leaves room for lines that double packets.
const ANSWERS: u64 = 14;
/// Answers to what was under way when the quiet began.
const UNDER_WAY: u64 = 1000;

/// Counts datagrams of each node between the marks [`QUIET_BEGINS`] and [`QUIET_ENDS`].
///
/// What a node answers or passes on for others follows from them, not from it, and a bootstrap node of thousands has
/// much of it; so the budget is for what a node sends on its own. All answers together are bounded by what they can
/// follow from: two nodes that answer each other for ever are found out.
#[derive(Clone, Debug)]
pub struct Idle {
    /// Per second.
    budget: u32,
    since: Option<Instant>,
    answers: u64,
    /// Sent by each on its own.
    own: PerHost<u64>,
    is_node: PerHost<bool>,
}

impl Idle {
    /// With this budget of datagrams per second and node.
    #[must_use]
    pub const fn new(budget: u32) -> Self {
        Self { budget, since: None, answers: 0, own: PerHost::new(), is_node: PerHost::new() }
    }

    fn begin(&mut self, at: Instant) {
        (self.since, self.answers, self.own) = (Some(at), 0, PerHost::new());
    }

    fn end(&mut self, at: Instant, findings: &mut Findings) {
        let Some(since) = self.since.take() else { return };
        let millis = at.since(since).as_millis();
        let budget = self.budget;
        for (host, n) in self.own.iter().filter(|(host, _)| self.is_node.get(*host) == Some(&true)) {
            if u128::from(*n) * 1000 > u128::from(budget) * millis {
                let what = format!("sent {n} datagrams in {millis} ms of quiet; {budget} per second is the budget");
                findings.report(Rule::IdleTraffic, at, Some(host), what);
            }
        }
        let (own, answers): (u64, _) = (self.own.iter().map(|(_, n)| n).sum(), self.answers);
        if answers > own * ANSWERS + UNDER_WAY {
            let what = format!("{answers} datagrams were answers, while only {own} could cause any");
            findings.report(Rule::IdleTraffic, at, None, what);
        }
    }
}

impl Oracle for Idle {
    fn rule(&self) -> Rule {
        Rule::IdleTraffic
    }

    fn observe(&mut self, at: Instant, seen: &Observation<'_>, findings: &mut Findings) {
        match seen {
            Observation::Sent { packet, answers } if self.since.is_some() => match answers {
                Some(_) => self.answers += 1,
                None => *self.own.at(packet.from) += 1,
            },
            Observation::Joined { host, node, .. } => *self.is_node.at(*host) = *node,
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
            | Observation::Allocated { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Feed, packet};
    use super::*;
    use crate::observe::HostId;

    /// One host sends `own` datagrams and `answers` in ten seconds of quiet, and many before.
    fn run(node: bool, own: u32, answers: u32) -> Vec<(Rule, Option<HostId>)> {
        let mut feed = Feed::new(Idle::new(2));
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
        assert_eq!(run(true, 20, 200), []);
        assert_eq!(run(true, 21, 200), [(Rule::IdleTraffic, Some(4))]);
    }

    #[test]
    fn answers_to_answers_are_seen() {
        assert_eq!(run(true, 1, 1014), []);
        assert_eq!(run(true, 1, 1015), [(Rule::IdleTraffic, None)]);
    }

    #[test]
    fn adversaries_have_no_budget() {
        assert_eq!(run(false, 500, 0), []);
    }
}

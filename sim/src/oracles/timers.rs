//! No deadline lies in the past twice without progress: a node that would spin.

use super::{Findings, Oracle, PerHost, Rule};
use crate::observe::Observation;
use bluering_core::time::Instant;

/// Watches what nodes sleep until.
///
/// A node may find itself late once: its timer has come, and what it did about it shows only in the next deadline. A
/// second time in a row, with nothing sent, told or received between, means that it would burn the processor.
#[derive(Clone, Debug, Default)]
pub struct Timers {
    late: PerHost<bool>,
}

impl Oracle for Timers {
    fn rule(&self) -> Rule {
        Rule::Timers
    }

    fn observe(&mut self, at: Instant, seen: &Observation<'_>, findings: &mut Findings) {
        let Observation::Sleeps { host, deadline, progress } = *seen else { return };
        let late = deadline.filter(|deadline| deadline.at <= at && !progress);
        let was = core::mem::replace(self.late.at(host), late.is_some());
        if let Some(deadline) = late.filter(|_| was) {
            let what = format!("{:?} is due again at once, and nothing comes of it", deadline.why);
            findings.report(Rule::Timers, at, Some(host), what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Feed;
    use super::*;
    use bluering_core::time::{Deadline, Why};

    fn sleeps(host: u32, at: u64, progress: bool) -> Observation<'static> {
        let deadline = Some(Deadline { at: Instant::from_secs(at), why: Why::DhtPing });
        Observation::Sleeps { host, deadline, progress }
    }

    #[test]
    fn a_spinning_node_is_seen() {
        let mut feed = Feed::new(Timers::default());
        feed.now = Instant::from_secs(10);
        feed.see(&sleeps(1, 10, false));
        feed.see(&sleeps(2, 10, false));
        assert_eq!(feed.found(), []);
        feed.see(&sleeps(1, 9, false));
        assert_eq!(feed.found(), [(Rule::Timers, Some(1))]);
    }

    #[test]
    fn progress_or_a_later_deadline_is_fine() {
        let mut feed = Feed::new(Timers::default());
        feed.now = Instant::from_secs(10);
        for seen in [sleeps(1, 10, false), sleeps(1, 11, false), sleeps(1, 10, false), sleeps(1, 10, true)] {
            feed.see(&seen);
        }
        feed.see(&Observation::Sleeps { host: 1, deadline: None, progress: false });
        assert_eq!(feed.found(), []);
    }
}

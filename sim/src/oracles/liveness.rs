//! Which pairs are online, since when, and how long it took them.
//!
//! A pair is online when both applications were told so. Ends whose process has ended, who sleep or who do not read
//! cannot be demanded anything of: their pairs count as satisfied until they are back.

use super::{Findings, PerHost, Rule};
use crate::observe::{Change, HostId, Observation, Tap};
use bluering_core::time::Instant;
use bluering_core::{Connection, Event};
use core::time::Duration;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Tracks pairs of friends.
#[derive(Clone, Debug, Default)]
pub struct Online {
    pairs: Vec<Pair>,
    hosts: PerHost<Host>,
    /// Pairs, lower host first.
    index: HashMap<(HostId, HostId), u32>,
    /// Pairs that are not online though both ends could be.
    missing: u32,
}

#[derive(Clone, Debug)]
struct Pair {
    ends: [HostId; 2],
    /// Whether each end was told that the other is online.
    told: [bool; 2],
    is_missing: bool,
    first: Option<Duration>,
    since: Option<Instant>,
}

#[derive(Clone, Debug, Default)]
struct Host {
    pairs: Vec<u32>,
    runs: bool,
    asleep: bool,
    deaf: bool,
    started: Instant,
}

impl Host {
    const fn is_up(&self) -> bool {
        self.runs && !self.asleep && !self.deaf
    }
}

/// How long pairs took to be online for the first time, from the later start of the two on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnlineTimes {
    /// Pairs that were ever online.
    pub pairs: u32,
    /// Half of them took no longer, in milliseconds.
    pub p50: u64,
    /// 95 % of them took no longer, in milliseconds.
    pub p95: u64,
    /// The longest, in milliseconds.
    pub max: u64,
}

impl Online {
    /// Tracks these pairs, which can reach each other.
    #[must_use]
    pub fn new(pairs: &[(HostId, HostId)]) -> Self {
        let mut online = Self::default();
        for &(a, b) in pairs {
            let next = online.pairs.len() as u32;
            if *online.index.entry((a.min(b), a.max(b))).or_insert(next) == next {
                let ends = [a, b];
                online.pairs.push(Pair { ends, told: [false; 2], is_missing: false, first: None, since: None });
                ends.into_iter().for_each(|end| online.hosts.at(end).pairs.push(next));
            }
        }
        online
    }

    /// Whether every pair whose ends are up is online.
    #[must_use]
    pub const fn all_online(&self) -> bool {
        self.missing == 0
    }

    /// The pairs whose ends are up and which are not online.
    #[must_use]
    pub fn missing(&self) -> Vec<(HostId, HostId)> {
        self.pairs.iter().filter(|pair| pair.is_missing).map(|pair| (pair.ends[0], pair.ends[1])).collect()
    }

    /// How many pairs there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Since when a pair has been online.
    #[must_use]
    pub fn since(&self, a: HostId, b: HostId) -> Option<Instant> {
        self.pairs[*self.index.get(&(a.min(b), a.max(b)))? as usize].since
    }

    /// For each pair that was ever online, how long that took after the later start of the two.
    pub fn first_times(&self) -> impl Iterator<Item = ((HostId, HostId), Duration)> {
        self.pairs.iter().filter_map(|pair| Some(((pair.ends[0], pair.ends[1]), pair.first?)))
    }

    /// How long it took the pairs to be online for the first time.
    #[must_use]
    pub fn times(&self) -> OnlineTimes {
        let mut times: Vec<Duration> = self.first_times().map(|(_, time)| time).collect();
        times.sort_unstable();
        let millis = |time: &Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        // The smallest time that so many percent do not exceed.
        let percentile = |percent: usize| times.get((times.len() * percent).div_ceil(100).max(1) - 1).map_or(0, millis);
        let pairs = times.len() as u32;
        OnlineTimes { pairs, p50: percentile(50), p95: percentile(95), max: percentile(100) }
    }

    /// Demands that all pairs are online that are friends still: everything was healed `bound` ago. A profile with a
    /// flipped bit may have made somebody else of a host.
    pub fn demand(
        &self,
        now: Instant,
        bound: Duration,
        are_friends: impl Fn(HostId, HostId) -> bool,
        findings: &mut Findings,
    ) {
        for pair in self.pairs.iter().filter(|pair| pair.is_missing) {
            let ([a, b], [told_a, told_b]) = (pair.ends, pair.told);
            if !are_friends(a, b) {
                continue;
            }
            let what = match (told_a, told_b) {
                (true, _) => format!("host {a} sees host {b} online, but not the other way round"),
                (_, true) => format!("host {b} sees host {a} online, but not the other way round"),
                (false, false) => format!("hosts {a} and {b} do not see each other online"),
            };
            let what = format!("{what}, {} s after healing", bound.as_secs());
            findings.report(Rule::Liveness, now, Some(a), what);
        }
    }

    fn heard(&mut self, at: Instant, host: HostId, peer: HostId, online: bool) {
        let Some(&index) = self.index.get(&(host.min(peer), host.max(peer))) else { return };
        let pair = &mut self.pairs[index as usize];
        pair.told[usize::from(pair.ends[1] == host)] = online;
        self.judge(at, index);
    }

    /// Something has changed about a host: `change` it, and look at its pairs again.
    fn host(&mut self, at: Instant, host: HostId, forgets: bool, change: impl FnOnce(&mut Host)) {
        let state = self.hosts.at(host);
        change(state);
        for place in 0..state.pairs.len() {
            let index = self.hosts.at(host).pairs[place];
            let pair = &mut self.pairs[index as usize];
            if forgets {
                pair.told[usize::from(pair.ends[1] == host)] = false;
            }
            self.judge(at, index);
        }
    }

    fn judge(&mut self, at: Instant, index: u32) {
        let pair = &mut self.pairs[index as usize];
        let [a, b] = pair.ends.map(|end| self.hosts.get(end));
        let both_up = a.is_some_and(Host::is_up) && b.is_some_and(Host::is_up);
        let is_online = pair.told == [true; 2];
        pair.since = is_online.then_some(pair.since.unwrap_or(at));
        if is_online && pair.first.is_none() {
            let started = |host: Option<&Host>| host.map_or(Instant::ZERO, |host| host.started);
            pair.first = Some(at.since(started(a).max(started(b))));
        }
        let is_missing = both_up && !is_online;
        self.missing = self.missing + u32::from(is_missing) - u32::from(pair.is_missing);
        pair.is_missing = is_missing;
    }

    fn changed(&mut self, at: Instant, host: HostId, how: Change) {
        match how {
            Change::Crashed | Change::Stopped => self.host(at, host, true, |host| host.runs = false),
            Change::Suspended => self.host(at, host, false, |host| host.asleep = true),
            Change::Resumed => self.host(at, host, false, |host| host.asleep = false),
            Change::Deaf => self.host(at, host, false, |host| host.deaf = true),
            Change::Hearing => self.host(at, host, false, |host| host.deaf = false),
            Change::Moved | Change::ClockSet | Change::ProfileRefused => {}
        }
    }
}

impl Tap for Online {
    fn observe(&mut self, at: Instant, seen: &Observation<'_>) {
        match seen {
            Observation::Heard { host, peer: Some(peer), event: Event::FriendConnection { connection, .. } } => {
                self.heard(at, *host, *peer, *connection != Connection::None);
            }
            Observation::Started { host, .. } => self.host(at, *host, true, |host| {
                (host.runs, host.asleep, host.deaf, host.started) = (true, false, false, at);
            }),
            Observation::Changed { host, how } => self.changed(at, *host, *how),
            Observation::Heard { .. }
            | Observation::Joined { .. }
            | Observation::Sent { .. }
            | Observation::Lost { .. }
            | Observation::Handled { .. }
            | Observation::Said { .. }
            | Observation::Sleeps { .. }
            | Observation::Allocated { .. }
            | Observation::ForRelay { .. }
            | Observation::Stream { .. }
            | Observation::Mark { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{any_friend, found, truth};
    use super::*;

    struct Story(Online);

    impl Story {
        fn new(pairs: &[(HostId, HostId)]) -> Self {
            Self(Online::new(pairs))
        }

        fn started(&mut self, at: u64, host: HostId) -> &mut Self {
            self.0.observe(Instant::from_secs(at), &Observation::Started { host, truth: &truth(host) });
            self
        }

        fn told(&mut self, at: u64, host: HostId, peer: HostId, connection: Connection) -> &mut Self {
            let event = Event::FriendConnection { friend: any_friend(), connection };
            self.0.observe(Instant::from_secs(at), &Observation::Heard { host, peer: Some(peer), event: &event });
            self
        }

        fn changed(&mut self, host: HostId, how: Change) -> &mut Self {
            self.0.observe(Instant::from_secs(500), &Observation::Changed { host, how });
            self
        }

        fn demanded(&self) -> Vec<(Rule, Option<HostId>)> {
            let mut findings = Findings::default();
            self.0.demand(Instant::from_secs(900), Duration::from_secs(60), |_, _| true, &mut findings);
            found(&findings)
        }
    }

    #[test]
    fn a_pair_that_does_not_meet_is_demanded() {
        let mut story = Story::new(&[(1, 2), (3, 4)]);
        story.started(1, 1).started(1, 2).started(1, 3);
        assert_eq!(story.demanded(), [(Rule::Liveness, Some(1))]);
        story.told(5, 1, 2, Connection::Udp);
        assert_eq!((story.0.all_online(), story.0.missing()), (false, vec![(1, 2)]));
        story.told(6, 2, 1, Connection::Udp);
        assert!(story.0.all_online() && story.demanded().is_empty());
        assert_eq!(story.0.since(2, 1), Some(Instant::from_secs(6)));
        story.started(7, 4);
        assert_eq!(story.0.missing(), [(3, 4)]);
    }

    #[test]
    fn the_offline_and_the_restarted_are_missing_again() {
        let mut story = Story::new(&[(1, 2)]);
        story.started(1, 1).started(1, 2).told(2, 1, 2, Connection::Udp).told(2, 2, 1, Connection::Udp);
        story.told(3, 1, 2, Connection::None);
        assert_eq!(story.0.missing(), [(1, 2)]);
        story.told(4, 1, 2, Connection::Udp);
        assert!(story.0.all_online());
        // Host 2 has not noticed yet that 1 was gone, but 1 does not see 2.
        story.started(9, 1);
        assert_eq!(story.0.missing(), [(1, 2)]);
    }

    #[test]
    fn who_is_down_is_not_demanded() {
        let mut story = Story::new(&[(1, 2)]);
        story.started(1, 1).started(1, 2);
        for (gone, back) in [(Change::Suspended, Change::Resumed), (Change::Deaf, Change::Hearing)] {
            assert_eq!(story.changed(2, gone).demanded(), []);
            assert_eq!(story.changed(2, back).demanded(), [(Rule::Liveness, Some(1))]);
        }
        assert_eq!(story.changed(1, Change::Crashed).demanded(), []);
        assert_eq!(story.started(600, 1).demanded(), [(Rule::Liveness, Some(1))]);
    }

    #[test]
    fn times_count_from_the_later_start() {
        let pairs: Vec<_> = (0..20).map(|i| (2 * i, 2 * i + 1)).collect();
        let mut story = Story::new(&pairs);
        for (i, (a, b)) in (1..).zip(pairs) {
            story.started(1, a).started(10, b);
            story.told(10 + i, a, b, Connection::Udp).told(10 + i, b, a, Connection::Udp);
        }
        let times = OnlineTimes { pairs: 20, p50: 10_000, p95: 19_000, max: 20_000 };
        assert_eq!(story.0.times(), times);
        assert_eq!(Story::new(&[]).0.times(), OnlineTimes::default());
    }
}

//! A run on one page for the browser: a single HTML file that needs no network and no scripts.
//!
//! A [`Report`] watches the run and keeps counts by kind and interval, never single datagrams. What it cannot see
//! itself comes at the end in a [`Summary`]. All times are the world's.

mod chart;
mod collect;
mod network;
mod page;
mod series;
mod tables;
mod times;

use super::{Kind, Timeline, words};
use crate::observe::{Change, HostId, Observation, Tap};
use crate::oracles::{OnlineTimes, Peak, Peaks, Violation};
use crate::plan::Plan;
use crate::run::Outcome;
use bluering_core::time::Instant;
use bluering_core::{Connection, Disposition, Event, Occupancy};
use collect::{Guests, Latency, Marks, Reasons, Sight};
use core::time::Duration;
use series::Series;
use std::collections::BTreeMap;

/// What a report is told at the end of a run.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The scenario's name.
    pub scenario: String,
    /// Its seed.
    pub seed: u64,
    /// Hosts of the plan.
    pub nodes: u32,
    /// How long the run took, by the world's clock.
    pub took: Duration,
    /// A hash over all that happened.
    pub hash: u64,
    /// Things that were due: datagrams that arrived, and timers.
    pub events: u64,
    /// Datagrams sent.
    pub packets: u64,
    /// What must not be, and was: the first few of each rule.
    pub violations: Vec<Violation>,
    /// How many there were in all.
    pub violation_count: u64,
    /// How long pairs took to be online for the first time.
    pub online: OnlineTimes,
    /// What was to be reached, and how often it was.
    pub probes: Vec<(String, u64)>,
    /// The command that runs it again.
    pub replay_command: String,
    /// Who are friends.
    pub pairs: Vec<(HostId, HostId)>,
    /// Nodes that others enter the network through.
    pub bootstrap: Vec<HostId>,
    /// How full tables were.
    pub occupancy: TableUse,
}

/// How full each table was, over all nodes and samples.
#[derive(Clone, Debug, Default)]
pub struct TableUse {
    tables: BTreeMap<&'static str, Use>,
    /// Names in the order of their first sample.
    order: Vec<&'static str>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Use {
    /// Of the fullest: places taken, and all its places.
    used: u64,
    capacity: u64,
    at: u64,
    host: HostId,
    /// Sums of shares in parts per million, and how many.
    sum: u64,
    samples: u64,
}

impl TableUse {
    /// Adds a sample: a few per node and virtual minute are enough.
    pub fn add(&mut self, at: Instant, host: HostId, occupancy: &Occupancy) {
        for table in occupancy.tables().iter().filter(|table| table.capacity > 0) {
            let (used, capacity) = (table.used as u64, table.capacity as u64);
            let known = self.tables.entry(table.name).or_insert_with(|| {
                self.order.push(table.name);
                Use { used, capacity, at: at.micros(), host, sum: 0, samples: 0 }
            });
            known.sum += used * 1_000_000 / capacity;
            known.samples += 1;
            if used * known.capacity > known.used * capacity {
                *known = Use { used, capacity, at: at.micros(), host, ..*known };
            }
        }
    }
}

/// From the run's own peaks: without averages and times.
impl From<&Peaks> for TableUse {
    fn from(peaks: &Peaks) -> Self {
        let peaks = peaks.by_table().iter().filter(|(_, peak)| peak.capacity > 0);
        let tables: BTreeMap<&'static str, Use> = peaks
            .map(|(name, peak)| {
                let Peak { host, used, capacity } = *peak;
                (*name, Use { host, used, capacity, ..Use::default() })
            })
            .collect();
        Self { order: tables.keys().copied().collect(), tables }
    }
}

impl Summary {
    /// That of a run of a plan.
    #[must_use]
    pub fn of(scenario: &str, seed: u64, replay_command: String, plan: &Plan, outcome: &Outcome) -> Self {
        Self {
            scenario: scenario.to_owned(),
            seed,
            nodes: outcome.nodes,
            took: outcome.took,
            hash: outcome.hash,
            events: outcome.events,
            packets: outcome.packets,
            violations: outcome.violations.clone(),
            violation_count: outcome.violation_count,
            online: outcome.online,
            probes: outcome.probes.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            replay_command,
            pairs: plan.friends.clone(),
            bootstrap: plan.bootstrap_nodes(),
            occupancy: TableUse::from(&outcome.peaks),
        }
    }
}

/// Collects what the page shows while a run goes on.
pub struct Report {
    end: Instant,
    guests: Guests,
    sight: Sight,
    series: Series,
    latency: Latency,
    packets: [u64; Kind::COUNT],
    bytes: [u64; Kind::COUNT],
    lost: Reasons,
    dropped: Reasons,
    marks: Marks,
    messages: Messages,
    /// The timeline of the run; let it [`keep`](Timeline::keep) each violation when it is found.
    pub timeline: Timeline,
}

#[derive(Clone, Copy, Debug, Default)]
struct Messages {
    said: u64,
    refused: u64,
    heard: u64,
    receipts: u64,
}

impl Default for Report {
    fn default() -> Self {
        Self::new()
    }
}

impl Report {
    /// A report on a run that is about to start.
    #[must_use]
    pub fn new() -> Self {
        Self {
            end: Instant::from_secs(0),
            guests: Guests::default(),
            sight: Sight::default(),
            series: Series::new(),
            latency: Latency::new(),
            packets: [0; Kind::COUNT],
            bytes: [0; Kind::COUNT],
            lost: Reasons::default(),
            dropped: Reasons::default(),
            marks: Marks::default(),
            messages: Messages::default(),
            timeline: Timeline::new(),
        }
    }

    /// The page.
    #[must_use]
    pub fn render(&self, summary: &Summary) -> String {
        page::page(self, summary).into_string()
    }

    /// The end of the time axis, in seconds.
    fn seconds(&self) -> f64 {
        (self.end.micros() as f64 / 1e6).max(1.0)
    }

    fn changed(&mut self, at: Instant, host: HostId, how: Change) {
        match how {
            Change::Crashed | Change::Stopped => {
                self.guests.get(host).up = false;
                self.sight.forget(host);
                self.note_online(at);
            }
            Change::Suspended => self.guests.get(host).up = false,
            Change::Resumed => self.guests.get(host).up = true,
            Change::Moved | Change::ClockSet | Change::Deaf | Change::Hearing | Change::ProfileRefused => {}
        }
    }

    fn heard(&mut self, at: Instant, host: HostId, peer: Option<HostId>, event: &Event<'_>) {
        if let (Event::FriendConnection { connection, .. }, Some(peer)) = (event, peer)
            && self.sight.set(host, peer, *connection != Connection::None)
        {
            self.note_online(at);
        }
        self.messages.heard += u64::from(matches!(event, Event::Message { .. }));
        self.messages.receipts += u64::from(matches!(event, Event::ReadReceipt { .. }));
    }

    fn note_online(&mut self, at: Instant) {
        self.series.at(at).online = Some(self.sight.count());
    }

    fn sent(&mut self, at: Instant, id: u64, bytes: &[u8]) {
        let (kind, len) = (Kind::of(bytes), bytes.len() as u64);
        self.latency.sent(at, id);
        self.packets[kind.index()] += 1;
        self.bytes[kind.index()] += len;
        let interval = self.series.at(at);
        interval.bytes[kind.index()] += len;
        interval.sent += 1;
    }
}

impl Tap for Report {
    fn observe(&mut self, at: Instant, seen: &Observation<'_>) {
        self.end = self.end.max(at);
        self.timeline.observe(at, seen);
        match seen {
            Observation::Joined { host, place, node } => self.guests.join(*host, place, *node),
            Observation::Started { host, .. } => {
                self.guests.get(*host).up = true;
                self.sight.forget(*host);
            }
            Observation::Changed { host, how } => self.changed(at, *host, *how),
            Observation::Sent { packet, .. } => self.sent(at, packet.id, packet.bytes),
            Observation::Lost { packet, why } => {
                self.lost.count(words::lost(*why), Kind::of(packet.bytes));
                self.series.at(at).lost += 1;
            }
            Observation::Handled { packet, disposition, .. } => {
                let kind = Kind::of(packet.bytes);
                self.latency.handled(at, packet.id, kind);
                if let Disposition::Dropped(why) = disposition {
                    self.dropped.count(words::dropped(*why), kind);
                    self.series.at(at).dropped += 1;
                }
            }
            Observation::Heard { host, peer, event } => self.heard(at, *host, *peer, event),
            Observation::Said { message, .. } => {
                self.messages.said += u64::from(message.is_some());
                self.messages.refused += u64::from(message.is_none());
            }
            Observation::Mark { text } => self.marks.add(at, text),
            Observation::Sleeps { .. }
            | Observation::Allocated { .. }
            | Observation::ForRelay { .. }
            | Observation::Stream { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{PAIR_END, pair};
    use super::*;
    use crate::oracles::Rule;

    fn summary() -> Summary {
        Summary { scenario: "pair <&>".into(), seed: 7, pairs: vec![(1, 2), (3, 4)], ..Summary::default() }
    }

    #[test]
    fn a_run_on_a_page() {
        let report = pair(4, Report::new());
        let page = report.render(&summary());
        for words in ["pair &lt;&amp;&gt;", "seed 7", "crypto data", PAIR_END, "All rules held", "of 2 at the end"] {
            assert!(page.contains(words), "{words}");
        }
        assert!(page.contains("hosts 1 and 2: online at the end") && page.contains("hosts 3 and 4: never online"));
        assert!(!page.contains("NaN") && !page.contains("inf"), "all numbers are numbers");
        assert!(page.len() < 200_000, "{}", page.len());
        assert_eq!(page, pair(4, Report::new()).render(&summary()), "the same run gives the same page");
    }

    #[test]
    fn a_violation_comes_first_with_its_timeline() {
        let mut report = pair(5, Report::new());
        let what = "both say <nothing>".to_owned();
        let violation = Violation { rule: Rule::Liveness, at: 66_000_000, host: Some(1), what };
        report.timeline.keep(&violation);
        let page = report.render(&Summary { violations: vec![violation], violation_count: 9, ..summary() });
        for words in ["9 violations", "The first 1 of 9", "** Liveness: both say &lt;nothing&gt;", "starts"] {
            assert!(page.contains(words), "{words}");
        }
        assert!(page.find("id=\"violations\"") < page.find("id=\"network\""));
    }

    #[test]
    fn nothing_at_all_is_a_page_too() {
        let page = Report::new().render(&Summary::default());
        assert!(page.contains("No faults in this run.") && page.contains("Nothing was lost"));
        assert!(!page.contains("NaN") && !page.contains("inf"));
    }

    #[test]
    fn a_flood_takes_no_more_memory_than_a_trickle() {
        let mut report = Report::new();
        let (at, bytes) = (|id: u64| Instant::from_secs(1 + id / 100), [0x1b; 60]);
        for id in 1..=400_000 {
            let to = bluering_core::Endpoint::UNSPECIFIED;
            let packet = crate::observe::Packet { id, from: 0, source: to, to, bytes: &bytes };
            report.observe(at(id), &Observation::Sent { packet, answers: None });
        }
        assert!(report.render(&Summary::default()).len() < 100_000);
        assert_eq!(report.packets.iter().sum::<u64>(), 400_000);
    }

    #[test]
    fn of_a_table_the_fullest_is_shown() {
        let world = {
            let mut world = crate::World::new(1);
            world.add(&bluering_core::Limits::MICRO);
            world
        };
        let mut tables = TableUse::default();
        tables.add(Instant::from_secs(5), 0, &world.node(0).occupancy());
        let page = Report::new().render(&Summary { occupancy: tables, ..Summary::default() });
        assert!(page.contains("close list") && page.contains("blocks"));
    }
}

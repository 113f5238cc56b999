//! What led to a failure, on one screen.
//!
//! Of each host the last few important things are kept: what was done to it, what its node told, what was said, and
//! what was lost on its way out. Losses have a ring of their own, so that a bad line does not wash all else away, and
//! equal ones in a row count as one.

use super::Kind;
use super::words::{self, Seconds};
use crate::net::NetDrop;
use crate::observe::{Change, HostId, Observation, Tap};
use crate::oracles::Violation;
use bluering_core::time::Instant;
use std::collections::VecDeque;

/// So much is kept of each host, besides losses.
const DEEDS: usize = 32;
/// So many losses are kept of each host.
const LOSSES: usize = 8;
/// So many marks of the run are kept.
const MARKS: usize = 256;
/// So many violations keep their timeline from when they were found.
const KEPT: usize = 16;
/// Lines before the violation, and after it.
const BEFORE: usize = 28;
const AFTER: usize = 6;
/// Marks from before the first line.
const MARKS_BEFORE: usize = 3;
const COLUMNS: usize = 120;

/// The last important things of a run.
#[derive(Debug, Default)]
pub struct Timeline {
    hosts: Vec<Rings>,
    marks: VecDeque<(Instant, String)>,
    kept: Vec<(Violation, String)>,
}

#[derive(Debug, Default)]
struct Rings {
    deeds: VecDeque<Entry>,
    losses: VecDeque<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Instant,
    peer: Option<HostId>,
    what: What,
    /// How often in a row.
    times: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Started,
    Changed(Change),
    Told(&'static str, Option<u64>),
    Said(Option<u32>, u32),
    Lost(Kind, NetDrop),
}

impl Timeline {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the timeline of a violation as it is now, before later things push it out. Only the first few are kept.
    pub fn keep(&mut self, violation: &Violation) {
        if self.kept.len() < KEPT && self.kept.iter().all(|(kept, _)| kept != violation) {
            let text = self.around(violation);
            self.kept.push((violation.clone(), text));
        }
    }

    /// What led to a violation, and what came after: at most 40 lines of 120 columns, ending with a newline. Only the
    /// hosts involved, and the marks of the run.
    #[must_use]
    pub fn around(&self, violation: &Violation) -> String {
        if let Some((_, text)) = self.kept.iter().find(|(kept, _)| kept == violation) {
            return text.clone();
        }
        let lines = self.lines(violation.host);
        let place = lines.partition_point(|line| line.at <= violation.at);
        let (before, after) = lines.split_at(place);
        let (older, before) = before.split_at(before.len().saturating_sub(BEFORE));
        let older: Vec<&Line> = older.iter().filter(|line| line.is_mark).collect();
        let older = &older[older.len().saturating_sub(MARKS_BEFORE)..];
        let texts = |lines: &[Line]| lines.iter().map(|line| line.text.clone()).collect::<Vec<_>>();
        let mut all: Vec<String> = older.iter().map(|line| line.text.clone()).collect();
        all.extend(texts(before));
        all.push(headline(violation));
        all.extend(texts(&after[..after.len().min(AFTER)]));
        all.iter().map(|line| cut(line) + "\n").collect()
    }

    /// Everything kept that involves the host, or everything, in order of time.
    fn lines(&self, host: Option<HostId>) -> Vec<Line> {
        let involved = |id: HostId, entry: &Entry| host.is_none_or(|host| id == host || entry.peer == Some(host));
        let marks = self.marks.iter().map(|(at, text)| Line::mark(*at, text));
        let entries = (0..).zip(&self.hosts).flat_map(|(id, rings)| {
            let entries = rings.deeds.iter().chain(&rings.losses);
            entries.filter(move |entry| involved(id, entry)).map(move |entry| Line::of(id, entry))
        });
        let mut lines: Vec<Line> = marks.chain(entries).collect();
        lines.sort_by_key(|line| line.at);
        lines
    }

    fn push(&mut self, at: Instant, host: HostId, peer: Option<HostId>, what: What) {
        let place = host as usize;
        if self.hosts.len() <= place {
            self.hosts.resize_with(place + 1, Rings::default);
        }
        let rings = &mut self.hosts[place];
        let (ring, most) = match what {
            What::Lost(..) => (&mut rings.losses, LOSSES),
            What::Started | What::Changed(_) | What::Told(..) | What::Said(..) => (&mut rings.deeds, DEEDS),
        };
        match ring.back_mut() {
            Some(last) if last.what == what && last.peer == peer => {
                last.times += 1;
                last.at = at;
            }
            Some(_) | None => {
                if ring.len() == most {
                    ring.pop_front();
                }
                ring.push_back(Entry { at, peer, what, times: 1 });
            }
        }
    }
}

impl Tap for Timeline {
    fn observe(&mut self, at: Instant, seen: &Observation<'_>) {
        match seen {
            Observation::Mark { text } => {
                if self.marks.len() == MARKS {
                    self.marks.pop_front();
                }
                self.marks.push_back((at, (*text).to_owned()));
            }
            Observation::Started { host, .. } => self.push(at, *host, None, What::Started),
            Observation::Changed { host, how } => self.push(at, *host, None, What::Changed(*how)),
            Observation::Heard { host, peer, event } => {
                let (what, number) = words::event(event);
                self.push(at, *host, *peer, What::Told(what, number));
            }
            Observation::Said { host, to, message, text } => {
                self.push(at, *host, Some(*to), What::Said(*message, text.len() as u32));
            }
            Observation::Lost { packet, why } => {
                self.push(at, packet.from, None, What::Lost(Kind::of(packet.bytes), *why));
            }
            Observation::Joined { .. }
            | Observation::Sent { .. }
            | Observation::Handled { .. }
            | Observation::Sleeps { .. }
            | Observation::Allocated { .. }
            | Observation::ForRelay { .. }
            | Observation::Stream { .. } => {}
        }
    }
}

struct Line {
    at: u64,
    text: String,
    is_mark: bool,
}

impl Line {
    fn mark(at: Instant, text: &str) -> Self {
        Self { at: at.micros(), text: format!("{:>14}  -- {text}", Seconds::from(at)), is_mark: true }
    }

    fn of(host: HostId, entry: &Entry) -> Self {
        let what = match entry.what {
            What::Started => "starts".to_owned(),
            What::Changed(how) => words::change(how).to_owned(),
            What::Told(what, None) => what.to_owned(),
            What::Told(what, Some(number)) => format!("{what} {number}"),
            What::Said(Some(number), bytes) => format!("says message {number} of {bytes} bytes"),
            What::Said(None, bytes) => format!("may not say a message of {bytes} bytes"),
            What::Lost(kind, why) => format!("loses a {}: {}", kind.name(), words::lost(why)),
        };
        let peer = entry.peer.map_or_else(String::new, |peer| format!(" (host {peer})"));
        let times = if entry.times > 1 { format!(", {} times", entry.times) } else { String::new() };
        let at = Seconds::from(entry.at);
        Self { at: entry.at.micros(), text: format!("{at:>14}  host {host:>5}  {what}{peer}{times}"), is_mark: false }
    }
}

fn headline(violation: &Violation) -> String {
    let place = violation.host.map_or_else(String::new, |host| format!("host {host:>5}  "));
    format!("{:>14}  {place}** {:?}: {}", Seconds(violation.at), violation.rule, violation.what)
}

fn cut(line: &str) -> String {
    let line = line.replace(['\n', '\r'], " ");
    if line.chars().count() <= COLUMNS {
        return line;
    }
    line.chars().take(COLUMNS - 3).collect::<String>() + "..."
}

#[cfg(test)]
mod tests {
    use super::super::tests::{PAIR_END, pair};
    use super::*;
    use crate::oracles::Rule;
    use core::time::Duration;

    fn violation(at: u64, host: Option<HostId>) -> Violation {
        Violation { rule: Rule::Delivery, at, host, what: "a message twice; ".repeat(20) }
    }

    #[test]
    fn one_screen_with_the_failure_in_it() {
        let timeline = pair(2, Timeline::new());
        let text = timeline.around(&violation(u64::MAX, Some(1)));
        assert!(text.lines().count() <= 40, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS));
        assert!(text.lines().last().unwrap().contains("** Delivery: a message twice"));
        for words in ["sees the friend online (host 2)", PAIR_END, "says message"] {
            assert!(text.contains(words), "{words}:\n{text}");
        }
        assert!(!text.contains("host     0"), "the bootstrap node has nothing to do with it:\n{text}");
    }

    #[test]
    fn a_flood_of_losses_washes_nothing_away() {
        let mut timeline = Timeline::new();
        let crash = Observation::Changed { host: 1, how: Change::Crashed };
        timeline.observe(Instant::from_secs(1), &crash);
        for i in 0..1000 {
            let why = NetDrop::ALL[i % 2];
            timeline.push(
                Instant::from_secs(2) + Duration::from_millis(i as u64),
                1,
                None,
                What::Lost(Kind::UNKNOWN, why),
            );
        }
        let text = timeline.around(&violation(10_000_000, Some(1)));
        assert!(text.contains("crashed"), "{text}");
        assert_eq!(text.lines().count(), LOSSES + 2);
    }

    #[test]
    fn equal_losses_are_one_line() {
        let mut timeline = Timeline::new();
        for _ in 0..1000 {
            timeline.push(Instant::from_secs(2), 1, None, What::Lost(Kind::UNKNOWN, NetDrop::Cut));
        }
        assert!(timeline.around(&violation(3_000_000, Some(1))).contains("1000 times"));
    }

    #[test]
    fn what_was_kept_stays() {
        let (mut timeline, failure) = (Timeline::new(), violation(1_500_000, Some(1)));
        timeline.observe(Instant::from_secs(1), &Observation::Changed { host: 1, how: Change::Moved });
        timeline.keep(&failure);
        for i in 0..DEEDS as u32 {
            let said = Observation::Said { host: 1, to: 2, message: Some(i), text: b"" };
            timeline.observe(Instant::from_secs(2), &said);
        }
        assert!(timeline.around(&failure).contains("is somewhere else"));
        assert!(!timeline.around(&violation(1_500_001, Some(1))).contains("is somewhere else"));
    }
}

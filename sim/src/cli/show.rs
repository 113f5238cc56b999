//! A run in words and in JSON.

use super::guard::Ran;
use bluering_sim::choices::Source;
use bluering_sim::oracles::{OnlineTimes, Rule, Violation};
use bluering_sim::replay::Case;
use bluering_sim::run::START;
use bluering_sim::scenarios::Table;
use core::fmt::Write as _;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A run as one JSON object. Nothing in it depends on the machine or its speed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Line {
    /// The scenario's name.
    pub(super) scenario: String,
    /// The seed, when the choices come from one.
    pub(super) seed: Option<u64>,
    /// Hosts of the plan.
    pub(super) nodes: u32,
    /// Hosts asked for: the same, unless the scenario has a fixed number.
    pub(super) nodes_asked: u32,
    /// Minutes asked for.
    pub(super) minutes: u32,
    /// How long the run took in the world, in minutes.
    pub(super) virtual_minutes: f64,
    /// Over all that happened; none when the run did not end.
    pub(super) hash: Option<String>,
    /// Arrivals and timers.
    pub(super) events: u64,
    /// Datagrams sent.
    pub(super) packets: u64,
    /// How often a rule was broken.
    pub(super) violations: u64,
    /// Until pairs were online, in milliseconds.
    pub(super) online: OnlineTimes,
    /// What was reached, and how often.
    pub(super) probes: BTreeMap<String, u64>,
    /// Which rules were broken.
    pub(super) broken: Vec<Rule>,
    /// The first few violations of each rule.
    pub(super) findings: Vec<Violation>,
}

impl Line {
    pub(super) fn new(case: &Case, ran: &Ran) -> Self {
        let outcome = ran.outcome.as_ref();
        let probes = outcome.map(|outcome| outcome.probes.iter().map(|(name, hits)| ((*name).to_owned(), *hits)));
        let rules: BTreeSet<Rule> = ran.broken.iter().map(|violation| violation.rule).collect();
        Self {
            scenario: case.scenario.name.into(),
            seed: seed(case),
            nodes: outcome.map_or(case.size.nodes, |outcome| outcome.nodes),
            nodes_asked: case.size.nodes,
            minutes: case.size.minutes,
            virtual_minutes: outcome.map_or(0.0, |outcome| outcome.took.as_millis() as f64 / 60_000.0),
            hash: outcome.map(|outcome| format!("{:016x}", outcome.hash)),
            events: outcome.map_or(0, |outcome| outcome.events),
            packets: outcome.map_or(0, |outcome| outcome.packets),
            violations: ran.count,
            online: outcome.map_or_else(OnlineTimes::default, |outcome| outcome.online),
            probes: probes.map(Iterator::collect).unwrap_or_default(),
            broken: rules.into_iter().collect(),
            findings: ran.broken.clone(),
        }
    }

    /// The object, and a line feed.
    pub(super) fn to_json(&self) -> String {
        // Names and numbers only: there is nothing in it that JSON cannot hold.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }
}

/// The seed of a case, when its choices come from one.
pub(super) const fn seed(case: &Case) -> Option<u64> {
    match case.source {
        Source::Seed(seed) => Some(seed),
        Source::Bytes(_) | Source::Recorded(_) => None,
    }
}

/// A case in a few words: `crowd, seed 17`.
pub(super) fn title(case: &Case) -> String {
    let source = match &case.source {
        Source::Seed(seed) => format!("seed {seed}"),
        Source::Bytes(bytes) => format!("choices from {} bytes", bytes.len()),
        Source::Recorded(values) => format!("{} recorded choices", values.len()),
    };
    format!("{}, {source}", case.scenario.name)
}

/// A short summary for people. `real` is how long the run took outside.
pub(super) fn summary(case: &Case, ran: &Ran, real: Duration) -> String {
    let mut text = title(case);
    if let Some(outcome) = &ran.outcome {
        let node_seconds = f64::from(outcome.nodes) * outcome.took.as_secs_f64();
        let now = outcome.pairs.iter().filter(|(_, _, online)| *online).count();
        let online = &outcome.online;
        let _ = write!(
            text,
            ": {} nodes, {:.1} virtual minutes in {:.2} s ({} node-seconds per second)\n\
             hash     {:016x}\n\
             events   {}, packets {}\n\
             online   {now} of {} pairs at the end; first after p50 {}, p95 {}, max {}\n\
             probes   {}\n",
            outcome.nodes,
            outcome.took.as_secs_f64() / 60.0,
            real.as_secs_f64(),
            grouped((node_seconds / real.as_secs_f64().max(1e-6)) as u64),
            outcome.hash,
            grouped(outcome.events),
            grouped(outcome.packets),
            outcome.pairs.len(),
            seconds(online.p50),
            seconds(online.p95),
            seconds(online.max),
            probes(&outcome.probes),
        );
    } else {
        text.push_str(": the run did not end\n");
    }
    if ran.count == 0 {
        text.push_str("broken   no rule\n");
    }
    text
}

/// What was broken, a line each.
pub(super) fn violations(ran: &Ran) -> String {
    let mut text = String::new();
    for violation in ran.broken.iter().take(10) {
        let _ = writeln!(text, "broken   {}", words(violation));
    }
    if ran.count > 10 {
        let _ = writeln!(text, "         {} in all", grouped(ran.count));
    }
    text
}

/// What the scenario makes of the outcome, as a table.
pub(super) fn table(case: &Case, ran: &Ran) -> String {
    let (Some(make), Some(outcome)) = (case.scenario.table, &ran.outcome) else { return String::new() };
    let Table { head, rows } = make(&case.resolved().0, outcome);
    let width = |column: usize| {
        let cells = rows.iter().chain([&head]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut text = String::new();
    for row in [&head].into_iter().chain(&rows) {
        let cells = row.iter().enumerate().map(|(column, cell)| format!("{cell:width$}", width = width(column)));
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

/// The command that runs a case of a seed again; for others, a hint.
pub(super) fn command(case: &Case) -> String {
    let (name, size) = (case.scenario.name, case.size);
    match seed(case) {
        Some(seed) => {
            format!("bluering-sim run {name} --seed {seed} --nodes {} --minutes {}", size.nodes, size.minutes)
        }
        None => "bluering-sim replay FILE".into(),
    }
}

/// A violation in words.
pub(super) fn words(violation: &Violation) -> String {
    let Violation { rule, at, host, what } = violation;
    let host = host.map_or_else(String::new, |host| format!(", host {host}"));
    let at = at.saturating_sub(START.micros()) / 1000;
    format!("{rule:?} after {}{host}: {what}", seconds(at))
}

fn probes<K: AsRef<str>>(probes: &BTreeMap<K, u64>) -> String {
    let hit = probes.iter().filter(|(_, hits)| **hits > 0);
    let hit: Vec<_> = hit.map(|(name, hits)| format!("{} {}", name.as_ref(), grouped(*hits))).collect();
    if hit.is_empty() { "none hit".into() } else { hit.join(", ") }
}

/// Milliseconds as seconds.
fn seconds(millis: u64) -> String {
    format!("{}.{:03} s", millis / 1000, millis % 1000)
}

/// 1234567 as 1,234,567.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

//! What a sweep has come to.

use super::super::show::{Line, command, grouped, words};
use bluering_sim::choices::Source;
use bluering_sim::oracles::Rule;
use bluering_sim::replay::Case;
use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// As many bad seeds are named.
const NAMED: usize = 10;

/// Counts over the seeds so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    seeds: u64,
    violations: u64,
    bad: u64,
    rules: BTreeMap<Rule, u64>,
    named: Vec<(u64, String, Option<PathBuf>)>,
    probes: BTreeMap<String, u64>,
    slowest: u64,
}

impl Tally {
    pub(super) fn add(&mut self, line: &Line, replay: Option<PathBuf>) {
        self.seeds += 1;
        self.violations += line.violations;
        self.slowest = self.slowest.max(line.online.max);
        for rule in &line.broken {
            *self.rules.entry(*rule).or_default() += 1;
        }
        for (name, hits) in &line.probes {
            *self.probes.entry(name.clone()).or_default() += hits;
        }
        if line.violations > 0 {
            self.bad += 1;
            if self.named.len() < NAMED || replay.is_some() {
                let what = line.findings.first().map(words).unwrap_or_default();
                self.named.push((line.seed.unwrap_or(0), what, replay));
            }
        }
    }

    /// For the progress bar.
    pub(super) fn brief(&self) -> String {
        if self.bad == 0 { String::new() } else { format!("- {} BROKE A RULE", self.bad) }
    }

    /// Whether no rule was broken, and each probe in `require` was hit.
    pub(super) fn is_good(&self, require: &[String]) -> bool {
        self.bad == 0 && self.missed(require).is_empty()
    }

    fn missed<'a>(&self, require: &'a [String]) -> Vec<&'a str> {
        let hit = |name: &str| self.probes.get(name).is_some_and(|hits| *hits > 0);
        require.iter().map(String::as_str).filter(|name| !hit(name)).collect()
    }

    /// The summary at the end.
    pub(super) fn summary(&self, case: &Case, wanted: u64, require: &[String]) -> String {
        let mut text = format!(
            "{}: {} of {} seeds, {} violations in {} of them; slowest pair online after {} ms\n",
            case.scenario.name,
            grouped(self.seeds),
            grouped(wanted),
            grouped(self.violations),
            grouped(self.bad),
            grouped(self.slowest)
        );
        for (rule, seeds) in &self.rules {
            let _ = writeln!(text, "broken   {rule:?} by {} seeds", grouped(*seeds));
        }
        for (seed, what, replay) in &self.named {
            let how = match replay {
                Some(path) => format!("bluering-sim replay {}", path.display()),
                None => command(&Case { source: Source::Seed(*seed), ..case.clone() }),
            };
            let _ = writeln!(text, "seed     {seed}: {what}\n         {how}");
        }
        let never: Vec<&str> =
            self.probes.iter().filter(|(_, hits)| **hits == 0).map(|(name, _)| name.as_str()).collect();
        if !never.is_empty() {
            let _ = writeln!(text, "probes   never hit: {}", never.join(", "));
        }
        for name in self.missed(require) {
            let known: Vec<&str> = self.probes.keys().map(String::as_str).collect();
            let _ = writeln!(text, "required \"{name}\" was never hit [probes: {}]", known.join(", "));
        }
        text
    }
}

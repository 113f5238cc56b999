//! Options that several commands have.

use bluering_sim::choices::Source;
use bluering_sim::plan::Overrides;
use bluering_sim::replay::Case;
use bluering_sim::scenarios::{self, Scenario, Size};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use std::path::PathBuf;

/// Which world.
#[derive(Args, Clone, Debug)]
pub(super) struct WorldOptions {
    /// Which scenario
    #[arg(value_parser = scenario())]
    pub(super) scenario: &'static Scenario,
    /// Hosts, where the scenario has no fixed number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) nodes: Option<u32>,
    /// Virtual minutes of the busy part
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) minutes: Option<u32>,
}

impl WorldOptions {
    pub(super) fn size(&self) -> Size {
        let usual = self.scenario.size;
        Size { nodes: self.nodes.unwrap_or(usual.nodes), minutes: self.minutes.unwrap_or(usual.minutes) }
    }

    /// The case of a seed.
    pub(super) fn case(&self, seed: u64) -> Case {
        let (source, overrides) = (Source::Seed(seed), Overrides::default());
        Case { scenario: self.scenario, size: self.size(), source, overrides }
    }
}

fn scenario() -> impl TypedValueParser<Value = &'static Scenario> {
    let names = scenarios::ALL.iter().map(|scenario| PossibleValue::new(scenario.name).help(scenario.about));
    PossibleValuesParser::new(names).try_map(|name| scenarios::find(&name).ok_or("unknown scenario"))
}

/// What a single run shows.
#[derive(Args, Clone, Debug)]
pub(super) struct ShowOptions {
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
    /// Write all packets to this file, for Wireshark
    #[arg(long, value_name = "FILE")]
    pub(super) pcap: Option<PathBuf>,
    /// Write all that happens to this file, one JSON line each
    #[arg(long, value_name = "FILE")]
    pub(super) trace: Option<PathBuf>,
    /// Write a report to this file, for a browser
    #[arg(long, value_name = "FILE.html")]
    pub(super) report: Option<PathBuf>,
    /// Where a replay file goes when a rule is broken (default: SCENARIO-SEED.toxsim)
    #[arg(long, value_name = "FILE")]
    pub(super) replay_out: Option<PathBuf>,
    /// Run twice, and compare
    #[arg(long)]
    pub(super) twice: bool,
}

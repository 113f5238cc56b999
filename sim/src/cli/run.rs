//! `run`, and what `replay` shares with it.

use super::guard::{self, Ran};
use super::options::{ShowOptions, WorldOptions};
use super::outputs::{Files, Outputs};
use super::{Done, Failure, say, show, verdict};
use bluering_sim::replay::{Case, ReplayFile};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    world: WorldOptions,
    /// Where all choices come from
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    show: ShowOptions,
}

pub(super) fn run(options: &Options) -> Done {
    let case = options.world.case(options.seed);
    let ran = run_and_show(&case, &options.show)?;
    if !ran.broken.is_empty() {
        let path = options.show.replay_out.clone().unwrap_or_else(|| replay_name(&case));
        write_replay(&case, &ran, &path)?;
        eprint!("{}", how_to_replay(&case, &path));
    }
    Ok(verdict(&ran.broken))
}

/// Carries out a case, with the outputs that were asked for.
pub(super) fn run_and_show(case: &Case, show: &ShowOptions) -> Result<Ran, Failure> {
    let begun = Instant::now();
    let files = Files::create(case, show)?;
    let open = || {
        let outputs = files.watch();
        let sinks = outputs.as_ref().map_or_else(|_| Vec::new(), Outputs::sinks);
        (outputs, sinks)
    };
    let (ran, timeline) = guard::run_watched(case, open, |outputs, ran| {
        let real = begun.elapsed();
        if show.twice {
            guard::compare(case, ran);
        }
        outputs.and_then(|outputs| outputs.finish(case, ran)).map(|timeline| (real, timeline))
    });
    let (real, timeline) = timeline.transpose()?.unwrap_or_default();
    if show.json {
        say(&show::Line::new(case, &ran).to_json())?;
        eprint!("{}", show::violations(&ran));
    } else {
        say(&show::summary(case, &ran, real))?;
        say(&show::table(case, &ran))?;
        say(&show::violations(&ran))?;
    }
    eprint!("{}", timeline.unwrap_or_default());
    Ok(ran)
}

/// `crowd-17.toxsim`
pub(super) fn replay_name(case: &Case) -> PathBuf {
    let seed = show::seed(case).map_or_else(|| "case".to_owned(), |seed| seed.to_string());
    format!("{}-{seed}.toxsim", case.scenario.name).into()
}

pub(super) fn write_replay(case: &Case, ran: &Ran, path: &Path) -> Result<(), Failure> {
    let hash = ran.outcome.as_ref().map(|outcome| outcome.hash);
    let file = ReplayFile::new(case, ran.broken.first().cloned(), hash);
    std::fs::write(path, file.to_bytes()).map_err(|error| Failure::file(path, error))
}

fn how_to_replay(case: &Case, path: &Path) -> String {
    let path = path.display();
    format!(
        "case     {}\nreplay   bluering-sim replay {path}\nshrink   bluering-sim shrink {path}\n",
        show::title(case)
    )
}

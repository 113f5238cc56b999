//! `replay` and `shrink`.

use super::guard;
use super::options::ShowOptions;
use super::run::{run_and_show, write_replay};
use super::{Done, Failure, INTERRUPTED, say, show, verdict};
use bluering_sim::oracles::Violation;
use bluering_sim::replay::{self, Case, Progress, ReplayFile, Shrunk};
use clap::Args;
use core::ops::ControlFlow;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Args, Debug)]
pub(super) struct Options {
    /// The replay file
    file: PathBuf,
    #[command(flatten)]
    show: ShowOptions,
}

#[derive(Args, Debug)]
pub(super) struct ShrinkOptions {
    /// The replay file
    file: PathBuf,
    /// Where the smaller case goes (default: beside FILE, as NAME.small.toxsim)
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Runs to try at most
    #[arg(long, value_name = "N", default_value_t = 1000)]
    runs: u32,
}

pub(super) fn replay(options: &Options) -> Done {
    let (file, case) = open(&options.file)?;
    let ran = run_and_show(&case, &options.show)?;
    if let Some(path) = options.show.replay_out.as_deref().filter(|_| !ran.broken.is_empty()) {
        write_replay(&case, &ran, path)?;
    }
    let hash = ran.outcome.as_ref().map(|outcome| outcome.hash);
    eprintln!("recorded {}", compared(&file, &ran.broken, hash));
    Ok(verdict(&ran.broken))
}

/// What became of what the file was written for.
fn compared(file: &ReplayFile, broken: &[Violation], hash: Option<u64>) -> String {
    let run = if file.hash == hash { "the same run" } else { "another run: the program is not the one that wrote it" };
    let Some(recorded) = &file.broken else { return format!("as not broken; {run}") };
    let again = broken.iter().any(|found| replay::same(found, recorded));
    let verb = if again { "broken again" } else { "no longer broken" };
    format!("{}; {verb}; {run}", show::words(recorded))
}

pub(super) fn shrink(options: &ShrinkOptions) -> Done {
    let (file, case) = open(&options.file)?;
    let broken = |case: &Case| guard::run(case).broken;
    let found = broken(&case);
    let Some(first) = found.iter().find(|found| file.broken.as_ref().is_none_or(|old| replay::same(old, found))) else {
        let what = file.broken.as_ref().map_or_else(|| "a rule".into(), show::words);
        return Err(Failure { code: 1, message: format!("{}: not broken: {what}", options.file.display()) });
    };
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let handler = ctrlc::set_handler(move || flag.store(true, Ordering::SeqCst));
    handler.map_err(|error| Failure { code: 1, message: error.to_string() })?;
    let bar = bar(options.runs);
    let go_on = |progress: &Progress| {
        bar.set_position(progress.runs.into());
        bar.set_message(format!("{:?}, {} taken away", progress.pass, progress.kept));
        if stop.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let shrunk = replay::shrink(case.clone(), first.clone(), options.runs, broken, go_on);
    bar.finish_and_clear();
    let out = options.out.clone().unwrap_or_else(|| options.file.with_extension("small.toxsim"));
    write_replay(&shrunk.case, &guard::run(&shrunk.case), &out)?;
    say(&told(&case, &shrunk, &out))?;
    let interrupted = stop.load(Ordering::SeqCst);
    Ok(if interrupted { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}

fn bar(runs: u32) -> ProgressBar {
    let style = ProgressStyle::with_template("{elapsed} {wide_bar} run {pos} of at most {len}: {msg}");
    let bar = ProgressBar::new(runs.into());
    style.map(|style| bar.with_style(style)).unwrap_or_else(|_| ProgressBar::hidden())
}

fn told(before: &Case, shrunk: &Shrunk, out: &Path) -> String {
    let why = if shrunk.complete { "nothing more can go" } else { "more may go" };
    format!(
        "broken   {}\nbefore   {}\nafter    {}\nruns     {}, {} edits kept; {why}\nreplay   bluering-sim replay {}\n",
        show::words(&shrunk.broken),
        left(before),
        left(&shrunk.case),
        shrunk.runs,
        shrunk.kept,
        out.display(),
    )
}

/// How much there is of a case.
fn left(case: &Case) -> String {
    let (plan, overrides) = case.resolved();
    let choices = case.plan().1.draws().iter().filter(|draw| draw.value > 0).count();
    let end = overrides.end.map_or_else(String::new, |end| format!(", ends after {} ms", show::grouped(end)));
    format!(
        "{} hosts, {} faults, {} deeds, {choices} choices that are not 0{end}",
        kept(plan.hosts.len(), &overrides.hosts),
        kept(plan.faults.len(), &overrides.faults),
        kept(plan.deeds.len(), &overrides.deeds),
    )
}

/// How many of `count` are not taken out; what is taken out may stem from a plan that had more.
fn kept(count: usize, out: &BTreeSet<u32>) -> usize {
    (0..count as u32).filter(|i| !out.contains(i)).count()
}

fn open(path: &Path) -> Result<(ReplayFile, Case), Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure::file(path, error))?;
    let file = ReplayFile::from_bytes(&bytes).map_err(|error| Failure::file(path, error))?;
    let case = file.case().map_err(|error| Failure::file(path, error))?;
    Ok((file, case))
}

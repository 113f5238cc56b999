//! `sweep`: many seeds of one scenario, one JSON line for each, in any order.
//!
//! Workers take seeds from one list and run them; only the main thread writes, whole lines at a time. So a sweep may be
//! stopped at any moment, and goes on with the seeds that are not in its file yet.

mod seeds;
mod store;
mod tally;

use super::guard;
use super::options::WorldOptions;
use super::run::{replay_name, write_replay};
use super::show::Line;
use super::{Done, Failure, INTERRUPTED};
use bluering_sim::replay::Case;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use seeds::{Seeds, Shard};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use store::Store;
use tally::Tally;

#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    world: WorldOptions,
    /// Which seeds: A..B without B, A..=B with it
    #[arg(long, value_name = "A..B")]
    seeds: Seeds,
    /// Runs at the same time (default: one for each core)
    #[arg(long, value_name = "J", value_parser = clap::value_parser!(u32).range(1..=1024))]
    jobs: Option<u32>,
    /// Only part K of N parts of the seeds; K is 1 to N
    #[arg(long, value_name = "K/N", default_value = "1/1")]
    shard: Shard,
    /// Append the lines to this file, and skip seeds that are in it (default: stdout)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Probes of which each must be hit at least once
    #[arg(long, value_name = "PROBE,..", value_delimiter = ',')]
    require: Vec<String>,
    /// Run each seed twice, and compare
    #[arg(long)]
    twice: bool,
}

/// Replay files are written for so many of the seeds that broke something.
const FILES: usize = 5;

/// What the main thread hears.
enum Word {
    Ran(Box<Line>, Option<PathBuf>),
    Failed(Failure),
    Interrupted,
}

pub(super) fn sweep(options: Options) -> Done {
    let first = options.world.case(0);
    let (mut store, before) = Store::open(options.out.as_deref(), &first)?;
    let seeds = options.seeds.part(options.shard);
    let mut tally = Tally::default();
    let done = before.iter().filter(|line| line.seed.is_some_and(|seed| seeds.contains(seed)));
    let done: std::collections::BTreeSet<u64> =
        done.inspect(|line| tally.add(line, None)).filter_map(|line| line.seed).collect();
    let bar = bar(seeds.len(), done.len() as u64);
    let (send, heard) = channel();
    let interrupt = send.clone();
    let handler = ctrlc::set_handler(move || drop(interrupt.send(Word::Interrupted)));
    handler.map_err(|error| Failure { code: 1, message: error.to_string() })?;
    let wanted = seeds.len() - done.len() as u64;
    start_workers(&options, Box::new(seeds.iter().filter(move |seed| !done.contains(seed))), &send);
    let mut interrupted = false;
    for word in heard.iter().take(wanted as usize) {
        match word {
            Word::Ran(line, replay) => {
                store.put(&line)?;
                tally.add(&line, replay);
                bar.inc(1);
                bar.set_message(tally.brief());
            }
            Word::Failed(failure) => return Err(failure),
            Word::Interrupted => {
                interrupted = true;
                break;
            }
        }
    }
    bar.finish_and_clear();
    eprint!("{}", tally.summary(&first, seeds.len(), &options.require));
    Ok(match (interrupted, tally.is_good(&options.require)) {
        (true, _) => ExitCode::from(INTERRUPTED),
        (false, good) => ExitCode::from(u8::from(!good)),
    })
}

/// Starts threads that outlive nobody: the process ends without waiting for them.
fn start_workers(options: &Options, seeds: Box<dyn Iterator<Item = u64> + Send>, send: &Sender<Word>) {
    let jobs =
        options.jobs.map_or_else(|| thread::available_parallelism().map_or(1, usize::from), |jobs| jobs as usize);
    let seeds = Arc::new(Mutex::new(seeds));
    let files = Arc::new(Mutex::new(FILES));
    for _ in 0..jobs {
        let (seeds, files, send) = (Arc::clone(&seeds), Arc::clone(&files), send.clone());
        let (world, twice) = (options.world.clone(), options.twice);
        let folder = options.out.as_deref().and_then(Path::parent).map(Path::to_path_buf).unwrap_or_default();
        thread::spawn(move || {
            let next = || seeds.lock().ok().and_then(|mut seeds| seeds.next());
            while let Some(seed) = next() {
                let word = work(&world.case(seed), twice, &folder, &files);
                if send.send(word).is_err() {
                    return;
                }
            }
        });
    }
}

fn work(case: &Case, twice: bool, folder: &Path, files: &Mutex<usize>) -> Word {
    let mut ran = guard::run(case);
    if twice {
        guard::compare(case, &mut ran);
    }
    let line = Box::new(Line::new(case, &ran));
    let may_write = || {
        files.lock().is_ok_and(|mut left| {
            let any = *left > 0;
            *left = left.saturating_sub(1);
            any
        })
    };
    if ran.broken.is_empty() || !may_write() {
        return Word::Ran(line, None);
    }
    let path = folder.join(replay_name(case));
    match write_replay(case, &ran, &path) {
        Ok(()) => Word::Ran(line, Some(path)),
        Err(failure) => Word::Failed(failure),
    }
}

fn bar(len: u64, done: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{elapsed} {wide_bar} {pos} of {len} seeds, {eta} left {msg}");
    let bar = ProgressBar::new(len);
    let bar = style.map(|style| bar.with_style(style)).unwrap_or_else(|_| ProgressBar::hidden());
    bar.set_position(done);
    bar.reset_eta();
    bar
}

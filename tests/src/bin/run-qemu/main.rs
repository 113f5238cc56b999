//! run-qemu: the firmware of `runtime-embassy`, booted in QEMU among real Tox programs.
//!
//! `runtime-embassy/run-qemu` installs what is missing, builds the image and calls this. Each scenario has an
//! internet of its own, in network namespaces: a real tox-bootstrapd, real libtoxcore clients, and devices on taps.
//! What they
//! measure ends in one table, beside the goals; a goal that is missed fails the run like anything else.

mod broken;
mod chat;
mod flood;
mod idle;
mod image;
mod nat;
mod paths;
mod relay;
mod stage;
mod table;

use bluering_tests::{Outcome, TempDir};
use clap::{Parser, Subcommand};
use core::time::Duration;
use stage::Lab;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use table::Figures;

/// A scenario: its name, what it shows, and how.
type Scenario = (&'static str, &'static str, fn(&Lab, &mut Figures) -> Outcome);

static SCENARIOS: [Scenario; 13] = [
    ("chat", "a real client adds the device; 100 messages each way, with receipts", chat::chat),
    ("reset", "reset button and power cuts: the same identity, and online again", chat::reset),
    ("confirm", "a friend request waits for the console's answer", chat::confirm),
    ("idle", "nothing is lost while nobody says anything; what that costs", idle::idle),
    ("flood", "hostile datagrams: the friend stays online", flood::scenario::flood),
    ("nat", "two devices behind two NATs meet and chat", nat::nat),
    ("relay", "UDP is blocked: they meet through a TCP relay, which goes and comes back", relay::relay),
    ("fallback", "UDP dies while they chat, and comes back: a TCP relay carries on", relay::fallback),
    ("dhcp", "address and name server from DHCP, the node by its name", paths::dhcp),
    ("ipv6", "IPv6 alone", paths::ipv6),
    ("link", "the cable is pulled, and plugged in elsewhere", paths::link),
    ("config", "a wrong configuration stops the boot, and is named", broken::config),
    ("flash", "a damaged flash costs the newest snapshot at most, and is told", broken::flash),
];

/// The scenarios that need an image of their own.
const OF_RELAYS: [&str; 2] = ["relay", "fallback"];

/// Firmware in QEMU among real Tox programs.
#[derive(Parser)]
#[command(name = "run-qemu")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the scenarios and prints the table
    Test(Test),
    /// Floods a device: what the scenario runs inside of its network
    Flood(flood::Options),
}

#[derive(clap::Args)]
struct Test {
    /// The linked firmware
    image: PathBuf,
    /// The same with TCP relays; without it the scenarios relay and fallback are left out
    #[arg(long, value_name = "IMAGE")]
    relays: Option<PathBuf>,
    /// How long to idle, in seconds
    #[arg(long, default_value_t = 600)]
    idle: u64,
    /// How long to flood, in seconds
    #[arg(long, default_value_t = 60)]
    flood: u64,
    /// How many scenarios run at once
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    lanes: usize,
    /// Where to write the table, besides printing it
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// Where to keep what the devices said
    #[arg(long, value_name = "FOLDER")]
    logs: Option<PathBuf>,
    /// Only these scenarios, of: chat reset confirm idle flood nat relay fallback dhcp ipv6 link config flash
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Test(options) => test(&options),
        Command::Flood(options) => flood::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("run-qemu: {why}");
            ExitCode::FAILURE
        }
    }
}

fn test(options: &Test) -> Outcome {
    let unknown = options.only.iter().find(|only| !SCENARIOS.iter().any(|(name, ..)| name == only));
    bluering_tests::ensure(unknown.is_none(), || format!("no scenario is called {unknown:?}"))?;
    let mut figures = Figures::default();
    image::measure(&options.image, &image::WITHOUT_RELAYS, &mut figures)?;
    if let Some(image) = &options.relays {
        image::measure(image, &image::WITH_RELAYS, &mut figures)?;
    }
    let is_possible = |name: &str| options.relays.is_some() || !OF_RELAYS.contains(&name);
    let is_wanted = |name: &str| {
        if options.only.is_empty() { is_possible(name) } else { options.only.iter().any(|only| only == name) }
    };
    let wanted: Vec<_> = SCENARIOS.iter().filter(|(name, ..)| is_wanted(name)).collect();
    let failed = run_all(&wanted, options, &mut figures);

    let text = figures.table();
    println!("\n{text}");
    if let Some(file) = &options.table {
        std::fs::write(file, &text)?;
    }
    let mut missed = figures.missed();
    if options.only.is_empty() {
        missed.extend(figures.unmeasured(options.relays.is_some()));
    }
    bluering_tests::ensure(failed.is_empty() && missed.is_empty(), || {
        format!("failed: [{}], goals missed: [{}]", failed.join(", "), missed.join(", "))
    })?;
    println!("all passed");
    Ok(())
}

/// The names of those that failed. Several run at once when there are lanes for them: most of the time they wait.
fn run_all(wanted: &[&'static Scenario], options: &Test, figures: &mut Figures) -> Vec<&'static str> {
    let (next, image) = (AtomicUsize::new(0), figures.clone());
    let (failed, measured) = (Mutex::new(Vec::new()), Mutex::new(figures));
    let lane = || {
        while let Some(scenario) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut own = image.clone();
            if !run(scenario, options, &mut own) {
                lock(&failed).push(scenario.0);
            }
            lock(&measured).extend(own);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..options.lanes.max(1) {
            scope.spawn(lane);
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// A scenario that panicked left whole figures behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether it passed. What the devices said is shown when it did not.
fn run((name, what, scenario): &Scenario, options: &Test, figures: &mut Figures) -> bool {
    println!("{name}: {what}");
    let start = Instant::now();
    let outcome = TempDir::new().and_then(|folder| {
        let logs = options.logs.as_ref().map_or(folder.path().join("logs"), |logs| logs.join(name));
        std::fs::create_dir_all(&logs)?;
        let lab = Lab {
            image: options.image.clone(),
            relays: options.relays.clone(),
            logs,
            idle: Duration::from_secs(options.idle),
            flood: Duration::from_secs(options.flood),
        };
        scenario(&lab, figures).inspect_err(|_| lab.show_logs())
    });
    let seconds = start.elapsed().as_secs_f64();
    match &outcome {
        Ok(()) => println!("{name}: passed, {seconds:.1} s"),
        Err(why) => println!("{name}: FAILED after {seconds:.1} s: {why}"),
    }
    outcome.is_ok()
}

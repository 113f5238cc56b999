//! What a TCP relay passes on between its clients, and what they cost in memory.
//!
//! "Of one core" is by the processor time of the relay's process. Senders pour as fast as the relay takes it, and what
//! arrives is counted: data that the relay drops does not count. `--only relay`, `threads` or `room` measures that part
//! alone, `$TOX_BOOTSTRAPD` names another c-toxcore than the system's.

use bluering::HostSuite;
use bluering_tests::Kind::{Ours, Real};
use bluering_tests::bench::{Bench, title};
use bluering_tests::crowd::{DATA_LEN, Line, pour};
use bluering_tests::measure::{cpu_seconds, resident_bytes};
use bluering_tests::table::Table;
use bluering_tests::visitors::{Visitors, open_files};
use bluering_tests::{Failure, Net, Node, Outcome};
use chacha20::ChaCha20Rng;
use rand_core::SeedableRng;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const RUNS: usize = 3;
const PAIRS: [usize; 2] = [1, 200];
/// Clients that only are there.
const CLIENTS: usize = 10_000;
/// Tables for more, and as many clients as a process may have open files here: 20,000 is a usual hard limit.
const ROOMY: usize = 100_000;
/// Open files that are not clients.
const OTHER_FILES: usize = 1000;
const MIB: f64 = 1024.0 * 1024.0;
const ROWS: [&str; 5] = [
    "one pair, MB/s",
    "one pair, MB/s of one core",
    "200 pairs, MB/s",
    "200 pairs, MB/s of one core",
    "memory with 10,000 clients, MiB",
];

/// A name for `--only`, and what measures it.
type Part = (&'static str, fn(&Bench, Duration));

const PARTS: [Part; 3] = [("relay", relay), ("threads", threads), ("room", room)];

fn main() -> ExitCode {
    let bench = Bench::from_args();
    let span = Duration::from_millis(if bench.quick { 500 } else { 3000 });
    for (_, measure) in PARTS.into_iter().filter(|(name, _)| bench.wants(name)) {
        measure(&bench, span);
    }
    bench.finish()
}

/// Both implementations, one thread.
fn relay(bench: &Bench, span: Duration) {
    let mut samples = vec![vec![Vec::new(); 2]; ROWS.len()];
    for run in 0..bench.runs(RUNS) {
        // Interleaved, so that a slow minute of the machine hits all alike.
        for (column, kind) in [Real, Ours].into_iter().enumerate() {
            let what = format!("{}, run {run}", title(kind));
            let start = |net: &Net| Node::start_relay(net, kind);
            for (row, figure) in bench.take(&what, poured(start, span)).into_iter().flatten().enumerate() {
                samples[row][column].push(figure);
            }
            let memory = memory(start, &[CLIENTS]);
            samples[4][column].extend(bench.take(&what, memory).into_iter().flatten().skip(1));
        }
    }
    print(&format!("Relay: packets of {DATA_LEN} bytes, memory"), &[title(Real), title(Ours)], &ROWS, &samples);
}

/// Ours on one thread and on two.
fn threads(bench: &Bench, span: Duration) {
    let mut samples = vec![vec![Vec::new(); 2]; 4];
    for run in 0..bench.runs(RUNS) {
        for (column, workers) in ["1", "2"].into_iter().enumerate() {
            let start = |net: &Net| Node::start_with_options(net, &["--workers", workers]);
            let what = format!("{workers} workers, run {run}");
            for (row, figure) in bench.take(&what, poured(start, span)).into_iter().flatten().enumerate() {
                samples[row][column].push(figure);
            }
        }
    }
    print("Relay: more threads", &["--workers 1", "--workers 2"], &ROWS[..4], &samples);
}

/// Ours with large tables, and with as many clients as there can be.
fn room(bench: &Bench, _: Duration) {
    let most = ROOMY.min(open_files().saturating_sub(OTHER_FILES));
    let mut samples = vec![vec![Vec::new()]; 3];
    for run in 0..bench.runs(RUNS) {
        let start = |net: &Net| Node::start_with_options(net, &["--tcp-clients", &ROOMY.to_string()]);
        let memory = bench.take(&format!("a roomy relay, run {run}"), memory(start, &[CLIENTS, most]));
        for (row, figure) in memory.into_iter().flatten().enumerate() {
            samples[row][0].push(figure);
        }
    }
    let rows = [0, CLIENTS, most].map(|clients| format!("memory with {clients} clients, MiB"));
    let heading = format!("Relay with room for {ROOMY} clients");
    print(&heading, &[title(Ours)], &rows.each_ref().map(String::as_str), &samples);
}

fn print(heading: &str, columns: &[&str], rows: &[&str], samples: &[Vec<Vec<f64>>]) {
    let mut table = Table::new(heading, columns);
    for (what, row) in rows.iter().zip(samples) {
        table.row(what, row);
    }
    table.print();
}

/// For each number of pairs: MB per second, and per second of one core.
fn poured(start: impl Fn(&Net) -> Outcome<Node>, span: Duration) -> Outcome<Vec<f64>> {
    let net = Net::new()?;
    let node = start(&net)?;
    let (relay, pid) = (node.relay(), node.pid());
    net.within(move || {
        let (at, key) = relay.ok_or_else(|| Failure::new("a relay"))?;
        let (suite, mut rng) = (HostSuite::new(), ChaCha20Rng::from_seed([7; 32]));
        let mut figures = Vec::new();
        for pairs in PAIRS {
            let mut lines = (0..pairs).map(|_| Line::new(at, &key, &mut rng)).collect::<Outcome<Vec<_>>>()?;
            pour(&mut lines, &suite, span / 5)?;
            let (begin, before) = (Instant::now(), cpu_seconds(pid));
            let megabytes = pour(&mut lines, &suite, span)? as f64 / 1e6;
            figures.push(megabytes / begin.elapsed().as_secs_f64());
            figures.push(megabytes / (cpu_seconds(pid) - before));
        }
        Ok(figures)
    })
}

/// Memory in MiB with nobody there, and with so many clients.
fn memory(start: impl Fn(&Net) -> Outcome<Node>, counts: &[usize]) -> Outcome<Vec<f64>> {
    let net = Net::new()?;
    let node = start(&net)?;
    let (relay, pid, counts) = (node.relay(), node.pid(), counts.to_vec());
    net.within(move || {
        let (at, key) = relay.ok_or_else(|| Failure::new("a relay"))?;
        let (suite, mut rng) = (HostSuite::new(), ChaCha20Rng::from_seed([7; 32]));
        let mut figures = vec![resident_bytes(pid) as f64 / MIB];
        let mut visitors = Visitors::new(at, key);
        for count in counts {
            visitors.grow(count, &suite, &mut rng)?;
            figures.push(resident_bytes(pid) as f64 / MIB);
        }
        Ok(figures)
    })
}

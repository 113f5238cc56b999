//! What a bootstrap node carries for others: onion hops and announcements, answered per second of one core.
//!
//! A core's second is a second of processor time of the node's process, whatever else the machine does meanwhile. "New
//! keys": no asker is remembered, so each costs an X25519 agreement. "Cached keys": the same few ask again and again.
//! Then the same of two threads, in seconds of the clock: that says something where nothing else runs. `--only TEXT`
//! measures the rows with such a name, `$TOX_BOOTSTRAPD` names another c-toxcore than the system's.

use bluering::HostSuite;
use bluering_core::crypto::PublicKey;
use bluering_tests::Kind::{Ours, Real};
use bluering_tests::bench::{Bench, title};
use bluering_tests::load::{Ask, Asker, Load};
use bluering_tests::measure::cpu_seconds;
use bluering_tests::table::Table;
use bluering_tests::{Failure, Net, Node, Outcome};
use chacha20::ChaCha20Rng;
use rand_core::SeedableRng;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const RUNS: usize = 5;
/// More than any cache of keys holds.
const NEW_KEYS: usize = 60_000;
const CACHED_KEYS: usize = 64;
/// Its name, what is asked, and how many ask.
type Row = (&'static str, Ask, usize);

const ROWS: [Row; 4] = [
    ("onion hops (0x81), new keys", Ask::Hop, NEW_KEYS),
    ("onion hops (0x81), cached keys", Ask::Hop, CACHED_KEYS),
    ("announces (0x83), new keys", Ask::Announce, NEW_KEYS),
    ("announces (0x83), cached keys", Ask::Announce, CACHED_KEYS),
];

/// What was answered in a second of one core, and in a second.
#[derive(Clone, Copy)]
struct Rate {
    core: f64,
    wall: f64,
}

fn main() -> ExitCode {
    let bench = Bench::from_args();
    let span = Duration::from_millis(if bench.quick { 500 } else { 2000 });
    let rows: Vec<Row> = ROWS.into_iter().filter(|(what, ..)| bench.wants(what)).collect();
    let mut samples = vec![vec![Vec::new(); 2]; rows.len()];
    let (mut walls, mut sharded) = (samples.clone(), samples.clone());
    for run in 0..bench.runs(RUNS) {
        // Interleaved, so that a slow minute of the machine hits all alike.
        for (column, kind) in [Real, Ours].into_iter().enumerate() {
            let rates = serve(|net| Node::start(net, kind), &rows, span);
            let rates = bench.take(&format!("{}, run {run}", title(kind)), rates);
            for (row, rate) in rates.into_iter().flatten().enumerate() {
                samples[row][column].push(rate.core);
                walls[row][column].push(rate.wall);
            }
        }
        for (column, workers) in ["1", "2"].into_iter().enumerate() {
            let rates = serve(|net| Node::start_with_options(net, &["--workers", workers]), &rows, span);
            for (row, rate) in
                bench.take(&format!("{workers} workers, run {run}"), rates).into_iter().flatten().enumerate()
            {
                sharded[row][column].push(rate.wall);
            }
        }
    }
    print("Node: answered per second of one core", &[title(Real), title(Ours)], &rows, &samples);
    print("Node: answered per second", &[title(Real), title(Ours)], &rows, &walls);
    print("Node, more threads: answered per second", &["--workers 1", "--workers 2"], &rows, &sharded);
    bench.finish()
}

fn print(heading: &str, columns: &[&str], rows: &[Row], samples: &[Vec<Vec<f64>>]) {
    let mut table = Table::new(heading, columns);
    for ((what, ..), row) in rows.iter().zip(samples) {
        table.row(what, row);
    }
    table.print();
}

/// The rates of one node, in the order of the rows.
fn serve(start: impl FnOnce(&Net) -> Outcome<Node>, rows: &[Row], span: Duration) -> Outcome<Vec<Rate>> {
    let net = Net::new()?;
    let node = start(&net)?;
    let SocketAddr::V4(at) = node.endpoint() else { return Err(Failure::new("an IPv4 node")) };
    let key = PublicKey::from_hex(node.key()).ok_or_else(|| Failure::new("a key"))?;
    let (pid, rows) = (node.pid(), rows.to_vec());
    let rates = net.within(move || {
        let (suite, mut rng) = (HostSuite::new(), ChaCha20Rng::from_seed([7; 32]));
        // Of its own for each kind of request: nobody's key is left over from before.
        let askers = Asker::crowd(2 * NEW_KEYS, &key, &suite, &mut rng);
        let load = Load::new(*at.ip(), at)?;
        let mut rates = Vec::new();
        for (_, ask, keys) in rows {
            let first = if ask == Ask::Hop { 0 } else { NEW_KEYS };
            let packets = load.packets(ask, &askers[first..first + keys], &suite, &mut rng)?;
            load.run(&packets, span / 5)?;
            let (start, before) = (Instant::now(), cpu_seconds(pid));
            let answered = load.run(&packets, span)? as f64;
            let wall = start.elapsed().as_secs_f64();
            rates.push(Rate { core: answered / (cpu_seconds(pid) - before), wall: answered / wall });
        }
        Ok(rates)
    });
    drop(node);
    rates
}

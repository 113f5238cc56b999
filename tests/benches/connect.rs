//! How long it takes to get connected, to become friends, and to meet again after a restart.
//!
//! Every mix of implementations in the same network: eleven tox-bootstrapd, the first of which also relays TCP.

use bluering_tests::Kind::{Ours, Real};
use bluering_tests::bench::{Bench, title};
use bluering_tests::table::Table;
use bluering_tests::{Kind, Net, Node, Outcome, Pair, Peer};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Nodes besides the first: c-toxcore needs company to meet again without a relay.
const CROWD: usize = 10;
const RUNS: usize = 5;
/// Between friendship and restart, so that a profile has something to remember.
const SETTLE: Duration = Duration::from_secs(3);
const MIXES: [(Kind, Kind); 4] = [(Real, Real), (Ours, Ours), (Ours, Real), (Real, Ours)];
const ROWS: [&str; 8] = [
    "start → connected, who asks",
    "start → connected, who accepts",
    "add → request seen",
    "add → both see each other",
    "one restarts: → connected",
    "one restarts: → both see each other",
    "both restart: → connected",
    "both restart: → both see each other",
];

fn main() -> ExitCode {
    let bench = Bench::from_args();
    let mut samples: Vec<Vec<Vec<f64>>> = vec![vec![Vec::new(); MIXES.len()]; ROWS.len()];
    for run in 0..bench.runs(RUNS) {
        // Interleaved, so that a slow minute of the machine hits all alike.
        for (column, (a, b)) in MIXES.into_iter().enumerate() {
            let mut times = Vec::new();
            let outcome = scenario(a, b, &mut times);
            bench.take(&format!("{} with {}, run {run}", title(a), title(b)), outcome);
            for (row, seconds) in times.into_iter().enumerate() {
                samples[row][column].push(seconds);
            }
        }
    }
    let columns = MIXES.map(|(a, b)| format!("{} → {}", title(a), title(b)));
    let mut table = Table::new("Connection times, seconds (asks → accepts)", &columns.each_ref().map(String::as_str));
    for (what, row) in ROWS.iter().zip(&samples) {
        table.row(what, row);
    }
    table.print();
    bench.finish()
}

/// One life of a pair. The times go to `times` in the order of [`ROWS`] as far as it gets.
fn scenario(a: Kind, b: Kind, times: &mut Vec<f64>) -> Outcome {
    let net = Net::new()?;
    let node = Node::start_with_relay(&net)?;
    let _crowd = node.crowd(&net, CROWD)?;
    let mut pair = Pair::online(&net, &node, a, b)?;
    times.push(connected_after(&pair.a)?);
    times.push(connected_after(&pair.b)?);
    let [asked, seen, met] = pair.befriend()?;
    times.push(seconds(asked, seen));
    times.push(seconds(asked, met));

    sleep(SETTLE);
    let mark = pair.b.mark();
    let pair = pair.restart_a(&net)?;
    times.push(connected_after(&pair.a)?);
    let gone = pair.b.wait_after(mark, "friend_connection", |heard| heard.text("status") == "none")?;
    times.push(seconds(pair.a.started(), pair.meet(0, gone.next)?));

    sleep(SETTLE);
    let pair = pair.restart_both(&net)?;
    times.push(connected_after(&pair.a)?.max(connected_after(&pair.b)?));
    times.push(seconds(pair.b.started(), pair.meet(0, 0)?));
    pair.a.close()?;
    pair.b.close()
}

fn connected_after(peer: &Peer) -> Outcome<f64> {
    Ok(seconds(peer.started(), peer.online()?.at))
}

fn seconds(from: Instant, to: Instant) -> f64 {
    to.duration_since(from).as_secs_f64()
}

//! How soon friends reach each other where that is hard: without UDP, when it dies, behind bad address translators,
//! after sleep, after a move.
//!
//! "Until both are heard": both say something twenty times a second, and the later of the two moments counts at which
//! one hears something that the other has said since. Sleep is a stopped process, for longer than any session lives.

use bluering_tests::Kind::{Ours, Real};
use bluering_tests::bench::{Bench, title};
use bluering_tests::table::Table;
use bluering_tests::{Failure, Internet, Kind, Net, Node, Outcome, Pair, Translator};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

const RUNS: usize = 3;
const MIXES: [(Kind, Kind); 4] = [(Real, Real), (Ours, Ours), (Ours, Real), (Real, Ours)];
const TCP: &[&str] = &["--tcp-only"];
const UDP: &[&str] = &[];
/// Before anything happens to friends who have met.
const SETTLE: Duration = Duration::from_secs(5);
/// How long somebody sleeps; a session lives for 32 s.
const SLEEP: Duration = Duration::from_secs(60);
/// Nodes of an internet.
const NODES: [Kind; 6] = [Real; 6];

/// Measures something between two in seconds.
type Measure = fn(Kind, Kind) -> Outcome<Vec<f64>>;

/// What is measured, and what measures it.
const GROUPS: [(&[&str], Measure); 5] = [
    (&["TCP only: add → both see each other", "TCP only: one restarts → both see each other"], tcp_only),
    (&["UDP dies → both are heard"], udp_dies),
    (&["both behind symmetric NATs: add → both see each other"], symmetric),
    (&["one slept for a minute → both are heard"], sleeps),
    (&["one has another address → both are heard"], moves),
];

fn main() -> ExitCode {
    let bench = Bench::from_args();
    let columns = MIXES.map(|(a, b)| format!("{} → {}", title(a), title(b)));
    let mut table = Table::new(
        "Reach, seconds (who asks, restarts, sleeps or moves → the friend)",
        &columns.each_ref().map(String::as_str),
    );
    for (names, measure) in GROUPS.into_iter().filter(|(names, _)| bench.wants(names[0])) {
        let mut samples = vec![vec![Vec::new(); MIXES.len()]; names.len()];
        for run in 0..bench.runs(RUNS) {
            // Interleaved, so that a slow minute of the machine hits all alike.
            for (column, (a, b)) in MIXES.into_iter().enumerate() {
                let what = format!("{}, {}, run {run}", names[0], columns[column]);
                for (row, seconds) in bench.take(&what, measure(a, b)).into_iter().flatten().enumerate() {
                    samples[row][column].push(seconds);
                }
            }
        }
        for (name, row) in names.iter().zip(&samples) {
            table.row(name, row);
        }
    }
    table.print();
    bench.finish()
}

fn tcp_only(a: Kind, b: Kind) -> Outcome<Vec<f64>> {
    let net = Net::new()?;
    let node = Node::start_relay(&net, Real)?;
    let mut pair = Pair::online_with(&net, &node, (a, TCP), (b, TCP))?;
    let [asked, _, met] = pair.befriend()?;
    sleep(SETTLE);
    let mark = pair.b.mark();
    let pair = pair.restart_a(&net)?;
    let gone = pair.b.wait_after(mark, "friend_connection", |heard| heard.text("status") == "none")?;
    let again = pair.meet(0, gone.next)?;
    Ok([met.duration_since(asked), again.duration_since(pair.a.started())].map(|span| span.as_secs_f64()).to_vec())
}

fn udp_dies(a: Kind, b: Kind) -> Outcome<Vec<f64>> {
    let net = Net::new()?;
    let node = Node::start_relay(&net, Real)?;
    let pair = Pair::friends_with(&net, &node, (a, UDP), (b, UDP))?;
    for peer in [&pair.a, &pair.b] {
        peer.wait("friend_connection", |heard| heard.text("status") == "udp")?;
    }
    sleep(SETTLE);
    let (start, marks) = (Instant::now(), pair.marks());
    net.block_udp(true)?;
    Ok(vec![pair.talk(start, marks)?.as_secs_f64()])
}

fn symmetric(a: Kind, b: Kind) -> Outcome<Vec<f64>> {
    let internet = Internet::new()?;
    let nodes = internet.nodes(&NODES)?;
    let (left, right) = (
        internet.home_behind([198, 51, 100, 100], Translator::Symmetric)?,
        internet.home_behind([203, 0, 113, 100], Translator::Symmetric)?,
    );
    let mut pair = Pair::online_apart(&nodes[0].1, (&left.inside()?, a, UDP), (&right.inside()?, b, UDP))?;
    let [asked, _, met] = pair.befriend()?;
    Ok(vec![met.duration_since(asked).as_secs_f64()])
}

fn sleeps(a: Kind, b: Kind) -> Outcome<Vec<f64>> {
    let internet = Internet::new()?;
    let nodes = internet.nodes(&NODES)?;
    let (house, laptop) = (internet.host([198, 51, 100, 100])?, internet.host([203, 0, 113, 100])?);
    let pair = befriended(&nodes[0].1, (&laptop, a), (&house, b))?;
    signal(pair.a.pid(), Signal::SIGSTOP)?;
    sleep(SLEEP);
    let (start, marks) = (Instant::now(), pair.marks());
    signal(pair.a.pid(), Signal::SIGCONT)?;
    Ok(vec![pair.talk(start, marks)?.as_secs_f64()])
}

fn moves(a: Kind, b: Kind) -> Outcome<Vec<f64>> {
    let internet = Internet::new()?;
    let nodes = internet.nodes(&NODES)?;
    let (house, laptop) = (internet.host([198, 51, 100, 100])?, internet.host([203, 0, 113, 100])?);
    let pair = befriended(&nodes[0].1, (&laptop, a), (&house, b))?;
    let (start, marks) = (Instant::now(), pair.marks());
    internet.move_host(&laptop, [192, 0, 2, 100])?;
    Ok(vec![pair.talk(start, marks)?.as_secs_f64()])
}

/// Two friends who have been in touch for a while.
fn befriended(node: &Node, a: (&Net, Kind), b: (&Net, Kind)) -> Outcome<Pair> {
    let mut pair = Pair::online_apart(node, (a.0, a.1, UDP), (b.0, b.1, UDP))?;
    pair.befriend()?;
    sleep(SETTLE);
    Ok(pair)
}

fn signal(pid: u32, signal: Signal) -> Outcome {
    let pid = i32::try_from(pid).map_err(|_| Failure::new("a process"))?;
    Ok(kill(Pid::from_raw(pid), signal).map_err(std::io::Error::from)?)
}

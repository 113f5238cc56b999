//! How many messages of 1372 bytes two friends exchange, and what each costs the two processes.
//!
//! Nobody spins: a c-toxcore client iterates at `tox_iteration_interval`. "in process" is the command `flood`, with
//! which a client sends by itself and its friend only counts (`sink`); "by JSON lines" is one `send_message` line, one
//! reply and two events for each message, which both clients pay alike, but which also wakes c-toxcore's loop early.

use bluering_tests::Kind::{Ours, Real};
use bluering_tests::bench::{Bench, title};
use bluering_tests::measure::cpu_seconds;
use bluering_tests::table::Table;
use bluering_tests::{Kind, Net, Node, Outcome, Pair};
use serde_json::json;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const RUNS: usize = 3;
const BYTES: usize = 1372;
/// Messages that may be under way. More and c-toxcore overflows the receiver's socket buffer.
const WINDOW: usize = 256;
const TIMEOUT: Duration = Duration::from_secs(180);
const MIXES: [(Kind, Kind); 4] = [(Real, Real), (Ours, Ours), (Ours, Real), (Real, Ours)];

/// Messages per second, and CPU microseconds per message of the sender and of the receiver.
type Figures = [f64; 3];
type Way = fn(&Pair, usize) -> Outcome<Figures>;

fn main() -> ExitCode {
    let bench = Bench::from_args();
    let count = if bench.quick { 2_000 } else { 20_000 };
    let ways: [(&str, Way); 2] = [("in process", flood), ("by JSON lines", by_json_lines)];
    let mut samples = vec![vec![vec![Vec::new(); MIXES.len()]; 3]; ways.len()];
    for run in 0..bench.runs(RUNS) {
        for (column, (a, b)) in MIXES.into_iter().enumerate() {
            let what = format!("{} to {}, run {run}", title(a), title(b));
            let Some((_net, _node, pair)) = bench.take(&what, friends(a, b)) else { continue };
            for (way, (name, measure)) in ways.iter().enumerate() {
                let Some(figures) = bench.take(&format!("{what}, {name}"), measure(&pair, count)) else { continue };
                for (row, figure) in figures.into_iter().enumerate() {
                    samples[way][row][column].push(figure);
                }
            }
        }
    }
    let columns = MIXES.map(|(a, b)| format!("{} → {}", title(a), title(b)));
    for ((name, _), rows) in ways.iter().zip(&samples) {
        let head = format!("Messages of {BYTES} bytes, {name}, at most {WINDOW} unacknowledged, {count} messages");
        let mut table = Table::new(&head, &columns.each_ref().map(String::as_str));
        for (what, row) in
            ["acknowledged /s", "CPU of the sender, µs each", "CPU of the receiver, µs each"].iter().zip(rows)
        {
            table.row(what, row);
        }
        table.print();
    }
    bench.finish()
}

fn friends(a: Kind, b: Kind) -> Outcome<(Net, Node, Pair)> {
    let net = Net::new()?;
    let node = Node::start_with_relay(&net)?;
    let pair = Pair::friends(&net, &node, a, b)?;
    on_udp(&pair)?;
    Ok((net, node, pair))
}

/// c-toxcore begins on the TCP relay at times, and changes to UDP soon.
fn on_udp(pair: &Pair) -> Outcome {
    pair.a.wait("friend_connection", |heard| heard.text("status") == "udp")?;
    pair.b.wait("friend_connection", |heard| heard.text("status") == "udp").map(drop)
}

fn flood(pair: &Pair, count: usize) -> Outcome<Figures> {
    pair.b.cmd("sink", json!({"on": true}))?;
    let cpu = Cpu::of(pair);
    let args = json!({"friend": pair.b_at_a, "bytes": BYTES, "count": count, "window": WINDOW});
    let reply = pair.a.cmd_within(TIMEOUT, "flood", args)?;
    let figures = cpu.figures(pair, count, reply.float("seconds")?);
    pair.b.cmd("sink", json!({"on": false}))?;
    Ok(figures)
}

fn by_json_lines(pair: &Pair, count: usize) -> Outcome<Figures> {
    let text = "x".repeat(BYTES);
    let (cpu, start, mut mark) = (Cpu::of(pair), Instant::now(), pair.a.mark());
    for sent in 0..count + WINDOW {
        if sent >= WINDOW {
            mark = pair.a.wait_since(mark, "read_receipt", TIMEOUT, |_| true)?.next;
        }
        if sent < count {
            pair.a.post("send_message", json!({"friend": pair.b_at_a, "text": text}))?;
        }
    }
    Ok(cpu.figures(pair, count, start.elapsed().as_secs_f64()))
}

/// CPU of both peers at the start of a measurement.
struct Cpu([f64; 2]);

impl Cpu {
    fn of(pair: &Pair) -> Self {
        Self([cpu_seconds(pair.a.pid()), cpu_seconds(pair.b.pid())])
    }

    fn figures(&self, pair: &Pair, count: usize, seconds: f64) -> Figures {
        let now = Self::of(pair);
        let each = |i: usize| (now.0[i] - self.0[i]) / count as f64 * 1e6;
        [count as f64 / seconds, each(0), each(1)]
    }
}

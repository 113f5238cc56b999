//! What a client with ten online friends costs while nobody says anything.
//!
//! The datagrams are those of the whole network (the client, its friends, the node), for only that can be counted from
//! outside; the network around the client is the same in the first two columns.

use bluering_tests::Kind::{Ours, Real};
use bluering_tests::bench::{Bench, title};
use bluering_tests::measure::{cpu_seconds, datagrams_sent, resident_bytes};
use bluering_tests::table::Table;
use bluering_tests::{Kind, Net, Node, Outcome, Peer};
use serde_json::json;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

const RUNS: usize = 3;
const FRIENDS: usize = 10;
/// The client, and its friends.
const MIXES: [(Kind, Kind); 3] = [(Real, Real), (Ours, Real), (Ours, Ours)];
const ROWS: [&str; 4] = ["CPU of one core, %", "memory, kB", "friends on UDP", "datagrams in the whole network /s"];

fn main() -> ExitCode {
    let bench = Bench::from_args();
    let (settle, span) = if bench.quick { (5, 10) } else { (30, 60) };
    let mut samples = vec![vec![Vec::new(); MIXES.len()]; ROWS.len()];
    for run in 0..bench.runs(RUNS) {
        for (column, (client, friends)) in MIXES.into_iter().enumerate() {
            let what = format!("{} among {}, run {run}", title(client), title(friends));
            let measured = idle(client, friends, Duration::from_secs(settle), Duration::from_secs(span));
            for (row, figure) in bench.take(&what, measured).into_iter().flatten().enumerate() {
                samples[row][column].push(figure);
            }
        }
    }
    let columns = MIXES.map(|(client, friends)| format!("{} among {}", title(client), title(friends)));
    let head = format!("Idle with {FRIENDS} online friends, {span} s after {settle} s");
    let mut table = Table::new(&head, &columns.each_ref().map(String::as_str));
    for (what, row) in ROWS.iter().zip(&samples) {
        table.row(what, row);
    }
    table.print();
    bench.finish()
}

fn idle(kind: Kind, friends_kind: Kind, settle: Duration, span: Duration) -> Outcome<[f64; 4]> {
    let net = Net::new()?;
    let node = Node::start_with_relay(&net)?;
    let start = |kind, name: &str| Peer::start(&net, kind, name, &["--bootstrap", &node.address(), "--auto-accept"]);
    let client = start(kind, "client")?;
    let friends: Vec<Peer> =
        (0..FRIENDS).map(|i| start(friends_kind, &format!("friend{i}"))).collect::<Outcome<_>>()?;
    client.online()?;
    for friend in &friends {
        friend.online()?;
        client.cmd("add_friend", json!({"address": friend.address(), "message": "hi"}))?;
    }
    for number in 0..FRIENDS {
        client.friend_online(0, number as u64)?;
    }
    sleep(settle);

    let (start, cpu, sent) = (Instant::now(), cpu_seconds(client.pid()), datagrams_sent(client.pid()));
    sleep(span);
    let seconds = start.elapsed().as_secs_f64();
    let cpu = (cpu_seconds(client.pid()) - cpu) / seconds * 100.0;
    let datagrams = (datagrams_sent(client.pid()) - sent) as f64 / seconds;
    let list = client.cmd("friends", json!({}))?;
    let entries = list.line["friends"].as_array().map(Vec::as_slice).unwrap_or_default();
    let on_udp = entries.iter().filter(|friend| friend["connection"] == "udp").count();
    Ok([cpu, resident_bytes(client.pid()) as f64 / 1024.0, on_udp as f64, datagrams])
}

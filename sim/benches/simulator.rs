//! Speed and size of the simulator: `cargo bench -p bluering-sim -- [--quick]`.
//!
//! Each row is measured in a process of its own, so that its memory is its own. Times are of the processor, not of the
//! clock on the wall. c-toxcore's figures are constants, measured once with its own test network (threads, one latency
//! for all) on this machine's like: issue 3 and `reference/baseline.md`.

use bluering_core::time::Instant;
use bluering_core::{Connection, Limits};
use bluering_sim::choices::Choices;
use bluering_sim::crypto::Strength;
use bluering_sim::plan::SERVER;
use bluering_sim::scenarios::{self, Size};
use bluering_sim::{HostId, HostSpec, World, run};
use core::time::Duration;
use std::process::Command;

/// Clients for each bootstrap node.
const SHARE: u32 = 200;
/// Node-seconds per second of c-toxcore's test network.
const C_TOXCORE: [(u32, u64); 2] = [(20, 1900), (100, 4000)];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["--row", row, a, b] => measure(row, number(a), number(b)),
        ["--quick"] => table(true),
        [] => table(false),
        _ => eprintln!("options: --quick"),
    }
}

fn table(quick: bool) {
    let pick = |full, small| if quick { small } else { full };
    let rows = [
        ("crowd", pick((1000, 10), (200, 2))),
        ("crowd-watched", pick((1000, 10), (200, 2))),
        ("formed", pick((10_000, 1000), (500, 50))),
        ("toy", pick((100_000, 10), (2000, 10))),
        ("micro-memory", (2000, 0)),
        ("small", (20, 2)),
        ("small", (100, 2)),
        ("connected", (20, 10)),
        ("connected", (100, 10)),
    ];
    println!("{:<34} {:>9} {:>8}  result", "what", "CPU s", "MiB");
    for (name, (a, b)) in rows {
        child(name, a, b);
    }
}

/// Measures a row in a process of its own, which prints it.
fn child(row: &str, a: u32, b: u32) {
    let Ok(program) = std::env::current_exe() else { return eprintln!("this program cannot be found") };
    let done = Command::new(program).args(["--row", row, &a.to_string(), &b.to_string()]).status();
    if !done.is_ok_and(|status| status.success()) {
        println!("{row} {a} {b}: failed");
    }
}

fn measure(row: &str, a: u32, b: u32) {
    let (what, result) = match row {
        "crowd" => (format!("crowd {a} x {b} min"), crowd(a, b, true)),
        "crowd-watched" => (format!("crowd {a} x {b} min, all oracles"), crowd(a, b, false)),
        "formed" => (format!("{a} nodes formed, {b} pairs online"), formed(a, b)),
        "toy" => (format!("{a} nodes with toy crypto"), toy(a, b)),
        "micro-memory" => (format!("{a} idle microcontrollers"), micro_memory(a)),
        "small" => (format!("crowd {a} x {b} min"), small(a, b)),
        "connected" => (format!("{a} nodes in {b} virtual s"), connected(a, b)),
        _ => return eprintln!("no row {row}"),
    };
    println!("{what:<34} {:>9.2} {:>8}  {result}", cpu_ms() as f64 / 1000.0, peak_kib() / 1024);
}

fn crowd(nodes: u32, minutes: u32, blind: bool) -> String {
    let (speed, outcome) = run_crowd(nodes, minutes, blind);
    let online = outcome.online;
    format!(
        "{speed} node-seconds/s; {} events, {} pairs online after {} ms (p50), {} violations, hash {:x}",
        outcome.events, online.pairs, online.p50, outcome.violation_count, outcome.hash
    )
}

fn small(nodes: u32, minutes: u32) -> String {
    let (speed, _) = run_crowd(nodes, minutes, true);
    let theirs = C_TOXCORE.iter().find(|(size, _)| *size == nodes).map_or(0, |(_, speed)| *speed);
    format!("{speed} node-seconds/s; c-toxcore's test network: {theirs} (a constant, not run here)")
}

fn run_crowd(nodes: u32, minutes: u32, blind: bool) -> (u64, run::Outcome) {
    let Some(scenario) = scenarios::find("crowd") else { panic!("no crowd") };
    let plan = (scenario.plan)(&mut Choices::seeded(1), Size { nodes, minutes });
    let before = cpu_ms();
    let outcome = run::run(&plan, run::Options { blind, ..Default::default() });
    let node_ms = outcome.took.as_millis() as u64 * u64::from(nodes);
    (node_ms / (cpu_ms() - before).max(1), outcome)
}

fn formed(nodes: u32, pairs: u32) -> String {
    let mut world = World::watched(1, Strength::Real, ());
    let clients = populate(&mut world, nodes, Duration::from_secs(60));
    let friends: Vec<_> = clients.chunks_exact(2).take(pairs as usize).map(|pair| (pair[0], pair[1])).collect();
    for (a, b) in &friends {
        let _ = world.befriend(*a, *b);
    }
    let missing = |world: &World<()>| friends.iter().filter(|(a, b)| !world.are_connected(*a, *b)).count();
    run_while(&mut world, Duration::from_secs(120), |world| missing(world) > 0);
    let online = nodes as usize - clients.iter().filter(|id| !is_connected(&world, **id)).count();
    format!("{online} nodes and {} pairs online after {}", friends.len() - missing(&world), elapsed(&world))
}

fn toy(nodes: u32, seconds: u32) -> String {
    let mut world = World::watched(1, Strength::Toy, ());
    let clients = populate(&mut world, nodes, Duration::from_secs(u64::from(seconds)));
    world.run_for(Duration::from_secs(2));
    let online = clients.iter().filter(|id| is_connected(&world, **id)).count();
    let bytes = peak_kib() * 1024 / u64::from(nodes);
    format!("{online} of {} connected after {}; {bytes} bytes per node", clients.len(), elapsed(&world))
}

fn micro_memory(nodes: u32) -> String {
    let mut world = World::watched(1, Strength::Real, ());
    let before = peak_kib();
    for _ in 0..nodes {
        world.add_host(HostSpec::public(Limits::MICRO));
    }
    world.run_for(Duration::from_secs(10));
    format!("{} bytes each; goal: 65536", (peak_kib() - before) * 1024 / u64::from(nodes))
}

/// How many of `nodes`, all of which come at once, are connected.
fn connected(nodes: u32, seconds: u32) -> String {
    let mut world = World::watched(1, Strength::Real, ());
    let clients = populate(&mut world, nodes, Duration::ZERO);
    let limit = Duration::from_secs(u64::from(seconds));
    run_while(&mut world, limit, |world| !clients.iter().all(|id| is_connected(world, *id)));
    let online = clients.iter().filter(|id| is_connected(&world, **id)).count();
    let bootstraps = world.len() as usize - clients.len();
    let theirs = if nodes == 100 { "; c-toxcore: 33 of 100 after 2 minutes (a constant)" } else { "" };
    format!(
        "{online} of {} clients ({bootstraps} bootstrap) connected after {}{theirs}",
        clients.len(),
        elapsed(&world)
    )
}

/// Fills a world with bootstrap nodes and, over `span`, clients of a microcontroller's size. Gives the clients.
fn populate(world: &mut World<()>, nodes: u32, span: Duration) -> Vec<HostId> {
    let servers = (nodes / SHARE).max(1);
    for id in 0..servers {
        world.add_host(HostSpec { fixed_dht: true, ..HostSpec::public(SERVER) });
        (id > 0).then(|| world.bootstrap(id, id - 1));
    }
    let gap = span / nodes;
    let enter = |id: HostId| {
        world.add_host(HostSpec::public(Limits::MICRO));
        world.bootstrap(id, id % servers);
        world.run_for(gap);
        id
    };
    (servers..nodes).map(enter).collect()
}

/// Runs until `go_on` says no, asking ten times in a second; not longer than `limit`.
fn run_while(world: &mut World<()>, limit: Duration, go_on: impl Fn(&World<()>) -> bool) {
    let end = world.now() + limit;
    while go_on(world) && world.now() < end {
        world.run_for(Duration::from_millis(100));
    }
}

fn is_connected(world: &World<()>, id: HostId) -> bool {
    world.node(id).connection() != Connection::None
}

fn elapsed(world: &World<()>) -> String {
    format!("{:.1} virtual s", world.now().since(Instant::from_secs(1)).as_secs_f64())
}

fn number(word: &str) -> u32 {
    word.parse().unwrap_or(1)
}

/// Time that this process has spent on the processor, in milliseconds.
fn cpu_ms() -> u64 {
    // Run time in nanoseconds is the first of three numbers.
    let schedule = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    schedule.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0) / 1_000_000
}

/// The most memory that this process has had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

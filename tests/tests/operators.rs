//! `bluering node` beside tox-bootstrapd: one configuration file for both, one keys file, one answer to 0xf0, and
//! metrics that promtool accepts. And what it does under load: others are served, it ends when asked to, threads agree.

#![cfg(feature = "interop")]

use bluering::HostSuite;
use bluering::core::crypto::PublicKey;
use bluering_tests::load::{Ask, Asker, Load};
use bluering_tests::{Failure, Internet, Kind, Net, Node, Outcome, TempDir, ensure, in_path};
use chacha20::ChaCha20Rng;
use rand_core::SeedableRng;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Asks for bootstrap info inside of the network, and prints the answer in hexadecimal.
const ASK_INFO: &str = "import socket, sys\n\
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)\n\
    s.sendto(b'\\xf0' + bytes(77), ('127.0.0.1', int(sys.argv[1])))\n\
    print(s.recv(2048).hex())";
/// Reads the metrics inside of the network.
const READ_METRICS: &str = "import sys, urllib.request\n\
    print(urllib.request.urlopen('http://127.0.0.1:%s/metrics' % sys.argv[1], timeout=5).read().decode(), end='')";

/// What a script prints that runs in the network.
fn python(net: &Net, script: &str, arg: u16) -> Outcome<String> {
    let output = net.command(&in_path("python3")?)?.args(["-c", script, &arg.to_string()]).output()?;
    ensure(output.status.success(), || String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A file as tox-bootstrapd has it, with its keys beside it.
fn config(folder: &TempDir, port: u16, motd: &str) -> Outcome<String> {
    let (path, keys, pid) = (folder.file("tox-bootstrapd.conf"), folder.file("keys"), folder.file("pid"));
    let text = format!(
        "port = {port}\nkeys_file_path = \"{keys}\"\npid_file_path = \"{pid}\"\nenable_ipv6 = false\n\
         enable_ipv4_fallback = true\nenable_lan_discovery = false\nenable_tcp_relay = false\n\
         tcp_relay_ports = [443, 3389, 33445]\nenable_motd = true\nmotd = \"{motd}\"\nbootstrap_nodes = ()\n"
    );
    std::fs::write(&path, text)?;
    Ok(path)
}

/// The same file and the same keys serve both, one after the other, and who asks sees the difference only in the
/// version.
#[test]
fn one_file_and_one_answer() -> Outcome {
    let longest = "x".repeat(255);
    for motd in ["", "hello", "Grüße aus Köln", &longest] {
        let (net, folder) = (Net::new()?, TempDir::new()?);
        let port = net.port();
        let file = config(&folder, port, motd)?;
        let mut answers = Vec::new();
        for kind in [Kind::Real, Kind::Ours] {
            let node = Node::start_with_config(&net, kind, &file, port)?;
            let info = python(&net, ASK_INFO, port)?;
            answers.push((node.address(), info.trim().to_string()));
        }
        let [(real_address, real), (our_address, ours)] = &answers[..] else { return Err(Failure::new("two answers")) };
        ensure(real_address == our_address, || format!("{real_address} became {our_address}"))?;
        ensure(real.len() == ours.len(), || format!("{motd}: {real} and {ours}"))?;
        ensure(real[..2] == ours[..2] && real[10..] == ours[10..], || format!("{motd}: {real} and {ours}"))?;
        let version = |info: &str| u32::from_str_radix(&info[2..10], 16).unwrap_or(0);
        let leading = (version(real) / 1_000_000_000, version(ours) / 1_000_000_000);
        ensure(leading == (1, 4), || format!("versions {} and {}", version(real), version(ours)))?;
    }
    Ok(())
}

#[test]
fn promtool_accepts_the_metrics() -> Outcome {
    let (net, folder) = (Net::new()?, TempDir::new()?);
    let (port, relay, metrics) = (net.port(), net.port(), net.port());
    let text = format!(
        "udp = \"127.0.0.1:{port}\"\ntcp = \"127.0.0.1:{relay}\"\nkeys = \"{}\"\nmetrics = \"127.0.0.1:{metrics}\"\n\
         workers = 2\n",
        folder.file("keys")
    );
    let file = folder.file("node.toml");
    std::fs::write(&file, text)?;
    let node = Node::start_with_config(&net, Kind::Ours, &file, port)?;
    let _other = node.crowd(&net, 2)?;
    let page = python(&net, READ_METRICS, metrics)?;
    let asked = page.lines().any(|line| {
        line.starts_with("bluering_datagrams_received_total{kind=\"nodes_request\"} ") && !line.ends_with(" 0")
    });
    ensure(asked, || page.clone())?;
    for line in ["bluering_table_entries{table=\"relay_clients\"} 0", "bluering_relay_closed_total{reason=\"gone\"} 0"]
    {
        ensure(page.lines().any(|found| found == line), || format!("{line} is not in\n{page}"))?;
    }
    let mut promtool = Command::new(in_path("promtool")?);
    let piped = promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn()?;
    child.stdin.take().ok_or_else(|| Failure::new("no stdin"))?.write_all(page.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    ensure(output.status.success() && said.is_empty(), || String::from_utf8_lossy(&said).into_owned())
}

/// Where packets are sent from, and the packets.
type Asking = (Load, Vec<Vec<u8>>);

/// What asks a node from inside of a network: a new key in each packet.
fn askers(node: &Node, from: &Net, ask: Ask, count: usize) -> Outcome<impl FnOnce() -> Outcome<Asking> + use<>> {
    let (SocketAddr::V4(at), std::net::IpAddr::V4(from)) = (node.endpoint(), from.address()) else {
        return Err(Failure::new("IPv4"));
    };
    let key = PublicKey::from_hex(node.key()).ok_or_else(|| Failure::new("a key"))?;
    Ok(move || {
        let (suite, mut rng) = (HostSuite::new(), ChaCha20Rng::from_seed([ask as u8; 32]));
        let crowd = Asker::crowd(count, &key, &suite, &mut rng);
        let load = Load::new(from, at)?;
        let packets = load.packets(ask, &crowd, &suite, &mut rng)?;
        Ok((load, packets))
    })
}

/// One prefix asks with new keys, more often than it may; who comes from elsewhere, and is just as unknown, is served.
#[test]
fn a_flood_from_one_prefix_starves_nobody() -> Outcome {
    const FLOOD: u32 = 2000;
    let internet = Internet::new()?;
    let [home, flooder, other] =
        [internet.host([203, 0, 113, 5])?, internet.host([198, 51, 100, 6])?, internet.host([192, 0, 2, 7])?];
    let (folder, (port, metrics)) = (TempDir::new()?, (home.port(), home.port()));
    let file = folder.file("node.toml");
    let text = format!(
        "udp = \"{}:{port}\"\nkeys = \"{}\"\nmetrics = \"127.0.0.1:{metrics}\"\n\
         agreements = 1000\n",
        home.address(),
        folder.file("keys")
    );
    std::fs::write(&file, text)?;
    let node = Node::start_with_config(&home, Kind::Ours, &file, port)?;
    let flood = askers(&node, &flooder, Ask::Announce, 20_000)?;
    let few = askers(&node, &other, Ask::Announce, 200)?;
    let flooding = std::thread::spawn(move || {
        flooder.within(move || {
            let (load, packets) = flood()?;
            load.pace(&packets, FLOOD, Duration::from_secs(8))
        })
    });
    // It has begun when something is refused.
    let refused = |page: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix("bluering_budget_refused_total "));
        line.and_then(|count| count.parse::<u64>().ok()).unwrap_or(0)
    };
    while refused(&python(&home, READ_METRICS, metrics)?) == 0 {
        ensure(!flooding.is_finished(), || "a flood within the budget".into())?;
    }
    let served = other.within(move || {
        let (load, packets) = few()?;
        load.pace(&packets, 100, Duration::from_secs(1))
    })?;
    let answered = flooding.join().map_err(|_| Failure::new("the flood panicked"))??;
    ensure(served >= 80, || format!("{served} of 100 from elsewhere, {answered} of the flood"))?;
    ensure(answered > 0, || "a prefix has a share".into())
}

/// Packets keep coming from all sides when it is asked to end.
#[test]
fn a_busy_node_ends_within_a_second() -> Outcome {
    for workers in ["1", "3"] {
        let net = Net::new()?;
        let node = Node::start_with_options(&net, &["--workers", workers])?;
        let ask = askers(&node, &net, Ask::Hop, 2000)?;
        let (sender, begun) = std::sync::mpsc::channel();
        let load = std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                net.within(move || {
                    let (load, packets) = ask()?;
                    let answered = load.run(&packets, Duration::from_millis(300))?;
                    let _ = sender.send(());
                    load.pace(&packets, 100_000, Duration::from_secs(2))?;
                    Ok(answered)
                })
            });
            begun.recv().map_err(|_| Failure::new("no load"))?;
            let took = node.stop()?;
            ensure(took < Duration::from_secs(1), || format!("{workers} workers took {took:?}"))?;
            asking.join().map_err(|_| Failure::new("the load panicked"))?
        })?;
        ensure(load > 0, || "it had no load".into())?;
    }
    Ok(())
}

/// Whoever receives a packet, it is carried and answered: hops and announces through three threads.
#[test]
fn all_threads_answer() -> Outcome {
    let net = Net::new()?;
    let node = Node::start_with_options(&net, &["--workers", "3"])?;
    for (ask, count) in [(Ask::Hop, 500), (Ask::Announce, 500)] {
        let ask_them = askers(&node, &net, ask, count)?;
        let answered = net.within(move || {
            let (load, packets) = ask_them()?;
            load.each(&packets)
        })?;
        ensure(answered == 500, || format!("{ask:?}: {answered} of 500"))?;
    }
    Ok(())
}

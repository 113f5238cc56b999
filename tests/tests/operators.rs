//! `bluering node` beside tox-bootstrapd: one configuration file for both, one keys file, one answer to 0xf0, and
//! metrics that promtool accepts.

#![cfg(feature = "interop")]

use bluering_tests::{Failure, Kind, Net, Node, Outcome, TempDir, ensure, in_path};
use std::io::Write;
use std::process::{Command, Stdio};

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
    let (port, metrics) = (net.port(), net.port());
    let text =
        format!("udp = \"127.0.0.1:{port}\"\nkeys = \"{}\"\nmetrics = \"127.0.0.1:{metrics}\"\n", folder.file("keys"));
    let file = folder.file("node.toml");
    std::fs::write(&file, text)?;
    let node = Node::start_with_config(&net, Kind::Ours, &file, port)?;
    let _other = node.crowd(&net, 2)?;
    let page = python(&net, READ_METRICS, metrics)?;
    let asked = page.lines().any(|line| {
        line.starts_with("bluering_datagrams_received_total{kind=\"nodes_request\"} ") && !line.ends_with(" 0")
    });
    ensure(asked, || page.clone())?;
    let mut promtool = Command::new(in_path("promtool")?);
    let piped = promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn()?;
    child.stdin.take().ok_or_else(|| Failure::new("no stdin"))?.write_all(page.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    ensure(output.status.success() && said.is_empty(), || String::from_utf8_lossy(&said).into_owned())
}

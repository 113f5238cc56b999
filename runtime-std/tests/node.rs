//! `bluering node` as its operators run it: configuration files, errors with their places, readiness, metrics, stop.

#![cfg(target_os = "linux")]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const KEY: &str = "F404ABAA1C99A9D37D61AB54898F56793E1DEF8BD46B1038B9D822E8460FAB67";
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder that goes when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bluering-node-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_string()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        fs::write(self.0.join(name), text).expect("writable");
        self.path(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn bluering(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bluering"));
    command.arg("node").args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = bluering(args).output().expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// A node that runs, and ends with the test.
struct Node {
    child: Child,
    output: BufReader<Box<dyn Read>>,
}

impl Node {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
        let output = BufReader::new(Box::new(child.stdout.take().expect("piped")) as Box<dyn Read>);
        Self { child, output }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line
    }

    /// Ends it as systemd does: exit code, how long it took, and what it said on stderr.
    fn stop(mut self) -> (Option<i32>, Duration, String) {
        let start = Instant::now();
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).expect("running");
        let status = self.child.wait().expect("it ends");
        let mut said = String::new();
        self.child.stderr.take().expect("piped").read_to_string(&mut said).expect("UTF-8");
        (status.code(), start.elapsed(), said)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn wrong_files_are_told_with_line_and_value() {
    let folder = Folder::new("wrong");
    let short = folder.write("short", "short");
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let held = UdpSocket::bind(taken).expect("still free");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken_tcp = listener.local_addr().expect("bound");
    let keys = folder.path("keys");
    for (name, text, parts) in [
        ("typo.toml", "udp = \"127.0.0.1:0\"\nkyes = \"x\"\n".to_string(), ["typo.toml:2:", "'kyes'"]),
        ("port.toml", "udp = \"127.0.0.1:99999\"\n".to_string(), ["port.toml:1:", "99999"]),
        (
            "taken-tcp.toml",
            format!("udp = \"127.0.0.1:0\"\nkeys = \"{keys}\"\n\ntcp = [\"{taken_tcp}\"]\n"),
            ["taken-tcp.toml:4:", "in use"],
        ),
        (
            "motd.toml",
            format!("motd = \"{{{{frob}}}}\"\nudp = \"127.0.0.1:0\"\nkeys = \"{keys}\"\n"),
            ["motd.toml:1:", "{{frob}}"],
        ),
        ("keys.toml", format!("udp = \"127.0.0.1:0\"\nkeys = \"{short}\"\n"), ["keys.toml:2:", "64 bytes"]),
        ("taken.toml", format!("keys = \"{keys}\"\nudp = \"{taken}\"\n"), ["taken.toml:2:", "in use"]),
        ("tox.conf", "port = 33445\nport2 = 1\n".to_string(), ["tox.conf:2:", "'port2'"]),
        ("tox2.conf", "port = 70000\n".to_string(), ["tox2.conf:1:", "port = 70000"]),
    ] {
        let file = folder.write(name, text);
        let (code, _, said) = run(&["--config", &file]);
        assert_eq!(code, Some(1), "{name}: {said}");
        assert!(said.starts_with("bluering: ") && parts.iter().all(|part| said.contains(part)), "{name}: {said}");
        let (code, _, said) = run(&["check-config", &file]);
        let expected = if name.starts_with("taken") { 0 } else { 1 };
        assert_eq!(code, Some(expected), "{name}: {said}");
    }
    drop(held);
    assert_eq!(fs::read(&short).expect("there"), b"short");
    let (code, _, said) = run(&["--udp", "127.0.0.1:0", "--keys", &keys, "--tcp", &taken_tcp.to_string()]);
    assert!(code == Some(1) && said.contains(&format!("--tcp {taken_tcp}: ")) && said.contains("in use"), "{said}");
    let empty = folder.write("empty.toml", "");
    let (code, _, said) = run(&["--config", &empty]);
    assert!(code == Some(2) && said.contains("--udp"), "{said}");
    let (code, _, said) = run(&["--config", &folder.path("missing.toml")]);
    assert!(code == Some(1) && said.contains("missing.toml"), "{said}");
}

#[test]
fn keys_are_derived_and_checked() {
    let folder = Folder::new("keys");
    let keys = folder.path("keys");
    let mut node = Node::start(&mut bluering(&["--udp", "127.0.0.1:0", "--keys", &keys]));
    let line = node.line();
    let (code, printed, _) = run(&["derive-pk", &keys]);
    assert!(code == Some(0) && printed.trim().len() == 64 && line.contains(printed.trim()), "{line} {printed}");
    let (code, _, said) = run(&["derive-pk", &folder.path("none")]);
    assert!(code == Some(1) && said.contains("no such file"), "{said}");
    let mut bytes = fs::read(&keys).expect("made");
    bytes[0] ^= 1;
    let (code, _, said) = run(&["derive-pk", &folder.write("mixed", &bytes)]);
    assert!(code == Some(1) && said.contains("does not belong"), "{said}");
}

/// The command line wins; systemd is told; Prometheus reads; the end comes within a second and leaves no pid file.
#[test]
fn a_node_lives_and_ends_in_good_order() {
    let folder = Folder::new("life");
    let socket = UnixDatagram::bind(folder.path("notify")).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let (keys, pid) = (folder.path("keys"), folder.path("pid"));
    let file = folder.write(
        "node.toml",
        format!(
            "udp = \"127.0.0.1:1\"\nkeys = \"{keys}\"\nmetrics = \"127.0.0.1:0\"\npid-file = \"{pid}\"\n\
             motd = \"since {{{{start_date}}}}\"\nbootstrap = [\"127.0.0.1:9:{KEY}\"]\n"
        ),
    );
    let mut command = bluering(&["--config", &file, "--udp", "127.0.0.1:0"]);
    let mut node = Node::start(command.env("NOTIFY_SOCKET", folder.path("notify")).env("WATCHDOG_USEC", "20000000"));
    let (first, second) = (node.line(), node.line());
    let notified = |socket: &UnixDatagram| {
        let mut buf = [0; 512];
        let len = socket.recv(&mut buf).expect("a notification");
        String::from_utf8_lossy(&buf[..len]).into_owned()
    };
    let ready = notified(&socket);
    assert!(ready.contains("READY=1") && ready.contains("STATUS=UDP 127.0.0.1:"), "{ready}");
    assert!(notified(&socket).contains("WATCHDOG=1"));
    assert_eq!(fs::read_to_string(&pid).expect("written").trim(), node.child.id().to_string());

    let at = first.trim().rsplit_once("UDP ").expect("an address").1;
    let client = UdpSocket::bind("127.0.0.1:0").expect("a port");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    client.send_to(&[0xf0; 78], at).expect("sent");
    let mut buf = [0; 512];
    let len = client.recv(&mut buf).expect("bootstrap info");
    assert_eq!((&buf[..1], &buf[1..5]), (&[0xf0][..], &4_000_001_000_u32.to_be_bytes()[..]));
    let motd = String::from_utf8_lossy(&buf[5..len]);
    assert!(motd.starts_with("since 20") && motd.ends_with("Z\0"), "{motd:?}");

    let at = second.trim().split_once("http://").expect("an address").1.trim_end_matches("/metrics");
    let mut stream = TcpStream::connect(at).expect("it listens");
    stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").expect("taken");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("a page");
    for sample in [
        "bluering_datagrams_received_total{kind=\"bootstrap_info\"} 1\n",
        "bluering_datagrams_sent_total{kind=\"bootstrap_info\"} 1\n",
    ] {
        assert!(page.contains(sample), "{page}");
    }

    let (code, took, said) = stop_and_hear(node, &socket, notified);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(!fs::exists(&pid).expect("readable"));
}

fn stop_and_hear(
    node: Node,
    socket: &UnixDatagram,
    notified: impl Fn(&UnixDatagram) -> String,
) -> (Option<i32>, Duration, String) {
    let ended = node.stop();
    assert!((0..3).any(|_| notified(socket).contains("STOPPING=1")));
    ended
}

#[test]
fn a_file_of_tox_bootstrapd_is_taken_as_it_is() {
    let folder = Folder::new("foreign");
    let probe = UdpSocket::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let relay = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let file = folder.write(
        "tox-bootstrapd.conf",
        format!(
            "// as it comes with tox-bootstrapd\nport = {probe}\nkeys_file_path = \"{}\"\npid_file_path = \"{}\"\n\
             enable_ipv6 = false\nenable_ipv4_fallback = true\nenable_lan_discovery = true\nenable_tcp_relay = true\n\
             tcp_relay_ports = [{relay}]\nenable_motd = true\nmotd = \"tox-bootstrapd\"\nbootstrap_nodes = (\n\
             {{\n  address = \"127.0.0.1\"\n  port = 9\n  public_key = \"{KEY}\"\n}},\n)\n",
            folder.path("keys"),
            folder.path("pid")
        ),
    );
    let (code, said, warnings) = run(&["check-config", &file]);
    assert!(code == Some(0) && said.contains("good, with 1 bootstrap nodes"), "{said}{warnings}");
    assert!(warnings.contains("no such file yet") && !warnings.contains("LAN"), "{warnings}");
    let mut node = Node::start(&mut bluering(&["--config", &file]));
    assert!(node.line().contains(&format!("UDP 0.0.0.0:{probe}, TCP 0.0.0.0:{relay}")));
    let (code, _, said) = node.stop();
    assert!(code == Some(0), "{said}");
    assert_eq!(fs::read(folder.path("keys")).expect("made").len(), 64);
}

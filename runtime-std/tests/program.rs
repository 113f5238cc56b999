//! The program as its users run it: exit codes, one-line errors, JSON lines, files.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

const SECRET: &str = "77076D0A7318A57D3C16C17251B26645DF4C2F87EBC0992AB177FBA51DB92C2A";
const PUBLIC: &str = "8520F0098930A754748B7DDCB43EF75A0DBF3A0D26381AF4EBA4A98EAA9B4E6A";

fn bluering(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bluering"));
    command.args(args);
    command
}

fn run(args: &[&str]) -> Output {
    bluering(args).stdin(Stdio::null()).output().expect("the program runs")
}

fn file(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("bluering-program-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A headless client on the port that the system chooses last: a fixed one would collide with other tests.
struct Headless {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Headless {
    fn start(args: &[&str]) -> (Self, Value) {
        let mut command = bluering(&["headless", "--max-seconds", "60"]);
        let mut child =
            command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program runs");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut headless = Self { child, input, output };
        let ready = headless.next("ready");
        (headless, ready)
    }

    fn next(&mut self, event: &str) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).expect("a line") > 0, "ended before {event}");
            let line: Value = serde_json::from_str(&line).expect("JSON");
            assert!(line["t"].as_f64().is_some_and(|t| t > 1.6e9), "{line}");
            if line["event"] == event {
                return line;
            }
        }
    }

    fn ask(&mut self, line: &str) -> Value {
        writeln!(self.input, "{line}").expect("taken");
        self.next("reply")
    }

    /// The error of a command that must fail.
    fn error(&mut self, command: Value) -> String {
        let reply = self.ask(&command.to_string());
        assert_eq!(reply["ok"], false, "{reply}");
        reply["error"].as_str().expect("a text").to_string()
    }

    fn quit(mut self) {
        assert_eq!(self.ask(r#"{"cmd":"quit","id":"last"}"#)["id"], "last");
        self.next("bye");
        assert!(self.child.wait().expect("it ends").success());
    }
}

#[test]
fn wrong_command_lines_end_with_two_and_one_line() {
    let taken = std::net::UdpSocket::bind("0.0.0.0:0").expect("a port");
    let taken = taken.local_addr().expect("bound").port().to_string();
    for (args, code, parts) in [
        (&["id", "check", "1234"][..], 2, &["1234", "76"][..]),
        (&["headless", "--bootstrap", "127.0.0.1:33445:XYZ"], 2, &["--bootstrap", "XYZ"]),
        (&["headless", "--port", "123456"], 2, &["--port", "123456"]),
        (&["headless", "--tcp-relay-port", "1"], 2, &["--tcp-relay-port", "not supported yet"]),
        (&["headless", "--proxy", "socks4:127.0.0.1:9050"], 2, &["--proxy", "socks4"]),
        (&["chat", "--frob"], 2, &["--frob"]),
        (&["node", "--udp", "127.0.0.1", "--keys", "x"], 2, &["--udp", "127.0.0.1"]),
        (&["headless", "--port", &taken], 1, &["UDP port", &taken]),
        (&["headless", "--save", "/dev/null"], 1, &["/dev/null", "not a Tox profile"]),
        (&["id", "print", "/nonexistent/me.tox"], 1, &["/nonexistent/me.tox"]),
        (&["headless", "--bootstrap", &format!("two..dots:1:{PUBLIC}")], 1, &["two..dots"]),
    ] {
        let output = run(args);
        let error = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        assert!(error.starts_with("bluering: ") && error.matches('\n').count() == 1, "{error:?}");
        assert!(parts.iter().all(|part| error.contains(part)), "{error:?} names {parts:?}");
    }
    assert!(run(&["--help"]).status.success());
    assert!(run(&["headless", "--help"]).status.success());
}

#[test]
fn ready_tells_what_self_tells() {
    let (mut headless, ready) = Headless::start(&["--name", "Grete", "--secret-key", SECRET]);
    assert_eq!((&ready["pk"], &ready["name"]), (&json!(PUBLIC), &json!("Grete")));
    assert!(ready["address"].as_str().is_some_and(|id| id.len() == 76 && id.starts_with(PUBLIC)));
    assert!(ready["udp_port"].as_u64().is_some_and(|port| (33445..=33545).contains(&port)));
    for field in
        ["dht_id", "version", "lib", "features", "nospam", "status_message", "status", "connection", "tcp_port"]
    {
        assert!(ready.get(field).is_some(), "{field}");
    }
    let me = headless.ask(r#"{"cmd":"self","id":{"any":1}}"#);
    assert_eq!((&me["id"], &me["ok"], &me["cmd"]), (&json!({"any": 1}), &json!(true), &json!("self")));
    assert_eq!(me["address"], ready["address"]);
    let changed = headless.ask(r#"{"cmd":"set_nospam","nospam":"0A0B0C0D"}"#);
    assert_eq!(changed["nospam"], "0A0B0C0D");
    assert!(headless.ask(r#"{"cmd":"help"}"#)["commands"]["send_message"].is_array());
    headless.quit();
}

#[test]
fn refusals_are_worded_like_toxpeers() {
    let (mut headless, ready) = Headless::start(&[]);
    let own = ready["address"].as_str().expect("a Tox ID").to_string();
    let mistyped = format!("{}{}", &own[..75], if own.ends_with('0') { '1' } else { '0' });
    assert_eq!(headless.error(json!({"cmd": "add_friend", "address": mistyped})), "tox_friend_add: BAD_CHECKSUM");
    assert_eq!(headless.error(json!({"cmd": "add_friend", "address": own})), "tox_friend_add: OWN_KEY");
    let friend = json!({"cmd": "accept", "pk": PUBLIC});
    assert_eq!(headless.ask(&friend.to_string())["friend"], 0);
    assert_eq!(headless.error(friend), "tox_friend_add_norequest: ALREADY_SENT");
    let send = |friend: u64| json!({"cmd": "send_message", "friend": friend, "text": "x"});
    assert_eq!(headless.error(send(0)), "tox_friend_send_message: FRIEND_NOT_CONNECTED");
    assert_eq!(headless.error(send(1)), "tox_friend_send_message: FRIEND_NOT_FOUND");
    assert_eq!(headless.error(json!({"cmd": "frob"})), "unknown command frob");
    assert_eq!(headless.error(json!({"cmd": "self", "x": 1})), "self: unknown argument x");
    assert_eq!(headless.error(json!({"cmd": "set_name", "name": "x".repeat(129)})), "tox_self_set_name: TOO_LONG");
    let friends = headless.ask(r#"{"cmd":"friends"}"#);
    let expected =
        json!([{"friend": 0, "pk": PUBLIC, "name": "", "status_message": "", "connection": "none", "status": "none"}]);
    assert_eq!(friends["friends"], expected);
    assert_eq!(headless.ask(r#"{"cmd":"delete_friend","friend":0}"#)["ok"], true);
    headless.quit();
}

#[test]
fn a_profile_survives_and_a_foreign_file_stays() {
    let path = file("save.tox");
    let (mut headless, first) = Headless::start(&["--save", text(&path), "--name", "Grete"]);
    assert!(!path.exists(), "only told to load");
    let saved = headless.ask(r#"{"cmd":"save"}"#);
    assert_eq!((&saved["path"], &saved["encrypted"]), (&json!(text(&path)), &json!(false)));
    assert_eq!(saved["bytes"].as_u64(), Some(std::fs::metadata(&path).expect("saved").len()));
    assert!(
        headless.ask(r#"{"cmd":"save","path":"-"}"#)["hex"].as_str().is_some_and(|hex| hex.starts_with("00000000"))
    );
    let letter = file("letter");
    std::fs::write(&letter, "dear Grete").expect("writable");
    let error = headless.error(json!({"cmd": "save", "path": text(&letter)}));
    assert!(error.contains("not a Tox profile"), "{error}");
    assert_eq!(std::fs::read(&letter).expect("there"), b"dear Grete");
    headless.quit();
    let (headless, second) = Headless::start(&["--save", text(&path)]);
    assert_eq!((&second["address"], &second["name"]), (&first["address"], &json!("Grete")));
    headless.quit();
    let printed = run(&["id", "print", text(&path)]).stdout;
    assert_eq!(String::from_utf8(printed).expect("UTF-8").trim(), first["address"]);
    let renewed = String::from_utf8(run(&["id", "new-nospam", text(&path)]).stdout).expect("UTF-8");
    assert!(renewed.starts_with(&first["pk"].as_str().expect("hex")[..64]) && renewed.trim() != first["address"]);
    for path in [path, letter] {
        std::fs::remove_file(path).expect("there");
    }
}

#[test]
fn a_node_keeps_its_key() {
    let keys = file("keys");
    let first_line = || {
        let args = ["node", "--udp", "127.0.0.1:0", "--keys", text(&keys), "--motd", "hello"];
        let mut child = bluering(&args).stdout(Stdio::piped()).spawn().expect("the program runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        child.kill().expect("running");
        child.wait().expect("it ends");
        line
    };
    let first = first_line();
    let (key, at) = first
        .strip_prefix("bluering node: public key ")
        .and_then(|rest| rest.trim().split_once(", UDP 127.0.0.1:"))
        .expect("the line that scripts read");
    assert!(key.len() == 64 && at.parse::<u16>().is_ok_and(|port| port > 0), "{first}");
    assert_eq!(std::fs::metadata(&keys).expect("made").len(), 64);
    assert!(first_line().contains(key));
    std::fs::write(&keys, "short").expect("writable");
    let output = run(&["node", "--udp", "127.0.0.1:0", "--keys", text(&keys)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("64 bytes"));
    assert_eq!(std::fs::read(&keys).expect("there"), b"short");
    std::fs::remove_file(&keys).expect("there");
}

#[test]
fn a_new_profile_is_checked_and_never_overwrites() {
    let path = file("new.tox");
    let id = String::from_utf8(run(&["id", "new", text(&path), "--name", "Grete"]).stdout).expect("UTF-8");
    let check = run(&["id", "check", id.trim()]);
    assert!(check.status.success() && String::from_utf8_lossy(&check.stdout).contains(&id[..64]));
    let before = std::fs::read(&path).expect("made");
    assert_eq!(run(&["id", "new", text(&path)]).status.code(), Some(1));
    assert_eq!(std::fs::read(&path).expect("there"), before);
    std::fs::remove_file(&path).expect("there");
}

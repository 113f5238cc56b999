//! toxpeer: a real Tox client driven by JSON lines. The other side that nobody here wrote.
//!
//! One process is one libtoxcore instance: commands on stdin, replies and events on stdout. `bluering headless` speaks
//! the same lines, so one test drives either. The loop is the one that tox.h asks for: iterate, then sleep for
//! `tox_iteration_interval`, unless a command comes. `{"cmd":"help"}` lists the commands; two of them are for benches:
//!
//! - `flood(friend, bytes, count, window)` sends `count` messages with at most `window` unacknowledged and answers
//!   after the last receipt with the seconds and this thread's CPU seconds that it took.
//! - `sink(on)` counts messages and receipts instead of printing them, and tells the counts and the CPU seconds so far.

#![allow(unsafe_code, reason = "libtoxcore is a C library, loaded at run time")]

mod api;
mod bench;
mod commands;
mod groups;
mod tox;

use bench::{Flood, Sink};
use clap::Parser;
use core::ffi::c_int;
use core::time::Duration;
use serde_json::{Value, json};
use std::io::{self, BufRead, BufWriter, Stdout, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tox::{Heard, Start, Tox};

const CONNECTIONS: &[&str] = &["none", "tcp", "udp"];
const STATUSES: &[&str] = &["none", "away", "busy"];
const MESSAGE_TYPES: &[&str] = &["normal", "action"];
/// The shortest sleep between two iterations.
const SLEEP_MIN: Duration = Duration::from_micros(500);

/// A real Tox client (libtoxcore) driven by JSON lines on stdin and stdout.
#[derive(Parser)]
#[command(name = "toxpeer")]
struct Options {
    /// Our name
    #[arg(long)]
    name: Option<String>,
    /// UDP port
    #[arg(long)]
    port: Option<u16>,
    /// Use IPv6 too
    #[arg(long)]
    ipv6: bool,
    /// No UDP: everything through TCP relays
    #[arg(long)]
    tcp_only: bool,
    /// Look for peers on the local network
    #[arg(long)]
    local_discovery: bool,
    /// A node to start from: HOST:PORT:PK[:TCPPORT]
    #[arg(long, value_name = "NODE")]
    bootstrap: Vec<String>,
    /// Profile, loaded when it exists
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Save the profile at the end
    #[arg(long)]
    save_on_exit: bool,
    /// 64 hex digits: start with this key and no profile
    #[arg(long, value_name = "HEX")]
    secret_key: Option<String>,
    /// Send every friend message back
    #[arg(long)]
    echo: bool,
    /// Accept every friend request
    #[arg(long)]
    auto_accept: bool,
    /// Do not stop at the end of stdin
    #[arg(long)]
    keep_running: bool,
    /// Stop after this long
    #[arg(long, value_name = "SECONDS")]
    max_seconds: Option<f64>,
}

fn main() -> ExitCode {
    let run = || {
        let options = Options::parse();
        let mut peer = Peer::start(options)?;
        peer.run()
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("toxpeer: {why}");
            ExitCode::FAILURE
        }
    }
}

struct Peer {
    options: Options,
    tox: Tox,
    out: BufWriter<Stdout>,
    flood: Option<Flood>,
    sink: Option<Sink>,
    stopping: bool,
}

impl Peer {
    fn start(options: Options) -> Result<Self, String> {
        let savedata = match &options.save {
            Some(path) if path.exists() => Some(std::fs::read(path).map_err(|why| format!("{path:?}: {why}"))?),
            Some(_) | None => None,
        };
        let secret_key = options.secret_key.as_deref().map(commands::unhex).transpose()?;
        let start = Start {
            ipv6: options.ipv6,
            tcp_only: options.tcp_only,
            local_discovery: options.local_discovery,
            port: options.port,
            savedata: savedata.as_deref(),
            secret_key: secret_key.as_deref(),
        };
        let tox = Tox::new(api::Api::load()?, &start)?;
        let mut peer =
            Self { options, tox, out: BufWriter::new(io::stdout()), flood: None, sink: None, stopping: false };
        if let Some(name) = peer.options.name.clone() {
            peer.tox.set_name(name.as_bytes())?;
        }
        for node in peer.options.bootstrap.clone() {
            peer.bootstrap_from(&node)?;
        }
        Ok(peer)
    }

    fn run(&mut self) -> Result<(), String> {
        self.emit("ready", self.describe());
        let lines = stdin_lines();
        let end = self.options.max_seconds.map(|seconds| Instant::now() + Duration::from_secs_f64(seconds));
        let mut open = true;
        while !self.stopping && end.is_none_or(|end| Instant::now() < end) {
            for heard in self.tox.iterate() {
                self.on_heard(heard);
            }
            self.drive_flood();
            self.flush()?;
            let sleep = Duration::from_millis(self.tox.interval_ms().into()).max(SLEEP_MIN);
            if !open {
                thread::sleep(sleep);
                continue;
            }
            open = self.take_commands(&lines, sleep);
            if !open && !self.options.keep_running {
                break;
            }
        }
        if self.options.save_on_exit && self.options.save.is_some() {
            self.save(None)?;
        }
        self.emit("bye", json!({}));
        self.flush()
    }

    /// Sleeps, but not longer than until a command comes. False at the end of stdin.
    fn take_commands(&mut self, lines: &Receiver<String>, sleep: Duration) -> bool {
        match lines.recv_timeout(sleep) {
            Ok(line) => self.handle(&line),
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        while let Ok(line) = lines.try_recv() {
            self.handle(&line);
        }
        true
    }

    fn on_heard(&mut self, heard: Heard) {
        match heard {
            Heard::SelfConnection(status) => self.emit("self_connection", json!({"status": name(CONNECTIONS, status)})),
            Heard::Request { key, message } => self.on_request(&key, &message),
            Heard::Name { friend, name } => self.emit("friend_name", json!({"friend": friend, "name": text(&name)})),
            Heard::StatusMessage { friend, text: bytes } => {
                self.emit("friend_status_message", json!({"friend": friend, "text": text(&bytes)}));
            }
            Heard::Status { friend, status } => {
                self.emit("friend_status", json!({"friend": friend, "status": name(STATUSES, status)}));
            }
            Heard::Connection { friend, status } => {
                self.emit("friend_connection", json!({"friend": friend, "status": name(CONNECTIONS, status)}));
            }
            Heard::Typing { friend, typing } => {
                self.emit("friend_typing", json!({"friend": friend, "typing": typing}));
            }
            Heard::Receipt { friend, message } => self.on_receipt(friend, message),
            Heard::Message { friend, kind, text: bytes } => self.on_message(friend, kind, &bytes),
            Heard::GroupInvite { friend, data } => {
                self.emit("group_invite", json!({"friend": friend, "data": commands::hex(&data)}));
            }
            Heard::GroupJoined { group } => self.emit("group_joined", json!({"group": group})),
            Heard::GroupFailed { group, why } => self.emit("group_failed", json!({"group": group, "why": why})),
            Heard::GroupPeer { group, peer } => self.emit("group_peer", json!({"group": group, "peer": peer})),
            Heard::GroupMessage { group, peer, text: bytes } => {
                self.emit("group_message", json!({"group": group, "peer": peer, "text": text(&bytes)}));
            }
        }
    }

    fn on_request(&mut self, key: &[u8], message: &[u8]) {
        self.emit("friend_request", json!({"pk": commands::hex(key), "message": text(message)}));
        if !self.options.auto_accept {
            return;
        }
        match self.tox.accept(key) {
            Ok(friend) => self.emit("auto_accepted", json!({"pk": commands::hex(key), "friend": friend})),
            Err(why) => self.emit("internal_error", json!({"where": "friend_request", "error": why})),
        }
    }

    fn on_receipt(&mut self, friend: u32, message: u32) {
        if let Some(sink) = &mut self.sink {
            sink.receipts += 1;
        } else if let Some(flood) = &mut self.flood {
            flood.on_receipt(friend);
        } else {
            self.emit("read_receipt", json!({"friend": friend, "message_id": message}));
        }
    }

    fn on_message(&mut self, friend: u32, kind: c_int, bytes: &[u8]) {
        if let Some(sink) = &mut self.sink {
            sink.messages += 1;
            sink.bytes += bytes.len() as u64;
            return;
        }
        let message =
            json!({"friend": friend, "type": name(MESSAGE_TYPES, kind), "text": text(bytes), "bytes": bytes.len()});
        self.emit("message", message);
        if !self.options.echo {
            return;
        }
        match self.tox.send_message(friend, kind, bytes) {
            Ok(id) => self.emit("echoed", json!({"friend": friend, "message_id": id})),
            Err(why) => self.emit("echo_failed", json!({"error": why})),
        }
    }

    /// Writes one line: the event's name, the time, and the fields of `more`.
    fn emit(&mut self, event: &str, more: Value) {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let mut line = json!({"event": event, "t": (seconds * 1e4).round() / 1e4});
        if let (Some(line), Value::Object(more)) = (line.as_object_mut(), more) {
            line.extend(more);
        }
        // A failed write shows at the next flush.
        let _ = writeln!(self.out, "{line}");
    }

    fn flush(&mut self) -> Result<(), String> {
        self.out.flush().map_err(|why| format!("stdout: {why}"))
    }
}

/// The lines of stdin, read by a thread of their own; disconnected at the end.
fn stdin_lines() -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if !line.trim().is_empty() && sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn name(names: &[&str], code: c_int) -> Value {
    usize::try_from(code).ok().and_then(|i| names.get(i)).map_or_else(|| json!(code), |name| json!(name))
}

/// Text as toxpeer.py prints it: `?` for every byte that is not UTF-8.
fn text(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| '?'));
    }
    out
}

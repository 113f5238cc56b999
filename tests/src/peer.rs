//! One client process that speaks JSON lines.

use crate::log::{Heard, Log, lock};
use crate::{Failure, Kind, Net, Outcome, Process, ensure};
use core::time::Duration;
use serde_json::{Value, json};
use std::io::Write;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

const READY_TIMEOUT: Duration = Duration::from_secs(20);
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);
const QUIT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long anything between peers may take: c-toxcore needs 8 s until online and up to 32 s to find a friend again.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running client. It ends when dropped.
pub struct Peer {
    name: String,
    kind: Kind,
    started: Instant,
    ready: Value,
    log: Arc<Log>,
    stdin: Mutex<ChildStdin>,
    commands: AtomicU64,
    process: Process,
}

impl Peer {
    /// Starts a client called `name` and waits for its first line.
    ///
    /// # Errors
    /// When the program is missing, ends or says nothing.
    pub fn start(net: &Net, kind: Kind, name: &str, args: &[&str]) -> Outcome<Self> {
        Self::start_with(net, &[], kind, name, args)
    }

    /// The same, with other files in place of the system's (see [`Net::command_with`]).
    ///
    /// # Errors
    /// When the program is missing, ends or says nothing.
    pub fn start_with(net: &Net, files: &[(String, &str)], kind: Kind, name: &str, args: &[&str]) -> Outcome<Self> {
        let (program, first_args) = kind.client()?;
        Self::run(net.command_with(&program, files)?, kind, first_args, name, args)
    }

    /// Starts a client of c-toxcore with another libtoxcore than the system's.
    ///
    /// # Errors
    /// When the program or the library is missing, ends or says nothing.
    pub fn start_with_library(net: &Net, library: &str, name: &str, args: &[&str]) -> Outcome<Self> {
        let (program, first_args) = Kind::Real.client()?;
        let mut command = net.command(&program)?;
        command.env("TOXPEER_LIB", library);
        Self::run(command, Kind::Real, first_args, name, args)
    }

    fn run(mut command: Command, kind: Kind, first_args: &[&str], name: &str, args: &[&str]) -> Outcome<Self> {
        command.args(first_args).args(["--name", name]).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut process = Process(command.spawn()?);
        let child = &mut process.0;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Failure::new("the child's streams are piped"));
        };
        let log = Arc::new(Log::default());
        log.follow(stdout, |line| {
            serde_json::from_str(line).unwrap_or_else(|_| json!({"event": "text", "text": line}))
        });
        log.follow(stderr, |line| json!({"event": "stderr", "text": line}));
        let (stdin, commands) = (Mutex::new(stdin), AtomicU64::new(1));
        let mut peer = Self { name: name.into(), kind, started, ready: Value::Null, log, stdin, commands, process };
        peer.ready = peer.wait_since(0, "ready", READY_TIMEOUT, |_| true)?.line;
        Ok(peer)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whose implementation it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// When it was started.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// A text field of its first line.
    #[must_use]
    pub fn ready(&self, field: &str) -> &str {
        self.ready[field].as_str().unwrap_or_default()
    }

    /// Its Tox ID at the start.
    #[must_use]
    pub fn address(&self) -> &str {
        self.ready("address")
    }

    /// Its long-term public key.
    #[must_use]
    pub fn pk(&self) -> &str {
        self.ready("pk")
    }

    /// Sends a command with these arguments and waits for its reply.
    ///
    /// # Errors
    /// When it is refused, or no reply comes within 30 seconds.
    pub fn cmd(&self, command: &str, args: Value) -> Outcome<Heard> {
        self.cmd_within(REPLY_TIMEOUT, command, args)
    }

    /// As [`Self::cmd`], with another time limit.
    ///
    /// # Errors
    /// When it is refused, or no reply comes in time.
    pub fn cmd_within(&self, timeout: Duration, command: &str, args: Value) -> Outcome<Heard> {
        let mark = self.mark();
        let id = self.post(command, args)?;
        let reply = self.wait_since(mark, "reply", timeout, |heard| heard.line["id"] == id)?;
        if reply.line["ok"] == true { Ok(reply) } else { Err(Failure(format!("{command}: {}", reply.text("error")))) }
    }

    /// Sends a command and does not wait for its reply.
    ///
    /// # Errors
    /// When the peer takes no more lines.
    pub fn post(&self, command: &str, args: Value) -> Outcome<u64> {
        let id = self.commands.fetch_add(1, Ordering::Relaxed);
        let mut line = args;
        line["cmd"] = command.into();
        line["id"] = id.into();
        let sent = writeln!(lock(&self.stdin), "{line}");
        sent.map_err(|why| self.failure(&format!("{command} not taken: {why}")))?;
        Ok(id)
    }

    /// Where its list of lines ends now, for [`Self::wait_since`].
    #[must_use]
    pub fn mark(&self) -> usize {
        self.log.mark()
    }

    /// The first such event ever, now or within 90 seconds.
    ///
    /// # Errors
    /// When it does not come, or the peer ends.
    pub fn wait(&self, event: &str, wanted: impl Fn(&Heard) -> bool) -> Outcome<Heard> {
        self.wait_since(0, event, PATIENCE, wanted)
    }

    /// The first such event after `mark`, now or within 90 seconds.
    ///
    /// # Errors
    /// When it does not come, or the peer ends.
    pub fn wait_after(&self, mark: usize, event: &str, wanted: impl Fn(&Heard) -> bool) -> Outcome<Heard> {
        self.wait_since(mark, event, PATIENCE, wanted)
    }

    /// The first event of this name after `mark` for which `wanted` holds.
    ///
    /// # Errors
    /// When it does not come in time, or the peer ends.
    pub fn wait_since(
        &self,
        mark: usize,
        event: &str,
        timeout: Duration,
        wanted: impl Fn(&Heard) -> bool,
    ) -> Outcome<Heard> {
        self.log.expect(mark, event, timeout, wanted, |what| self.failure(what))
    }

    /// Waits all of `span` and makes sure that no such event comes.
    ///
    /// # Errors
    /// When it comes, or the peer ends.
    pub fn stays_without(
        &self,
        mark: usize,
        event: &str,
        span: Duration,
        unwanted: impl Fn(&Heard) -> bool,
    ) -> Outcome {
        self.log.refuse(mark, event, span, unwanted, |what| self.failure(what))
    }

    /// Waits until it calls itself connected.
    ///
    /// # Errors
    /// When it does not within 90 seconds.
    pub fn online(&self) -> Outcome<Heard> {
        self.wait("self_connection", |heard| heard.text("status") != "none")
    }

    /// Waits until it sees this friend, after `mark`.
    ///
    /// # Errors
    /// When it does not within 90 seconds.
    pub fn friend_online(&self, mark: usize, friend: u64) -> Outcome<Heard> {
        self.wait_after(mark, "friend_connection", |heard| {
            heard.line["friend"] == friend && heard.text("status") != "none"
        })
    }

    /// Tells it to quit, saving its profile (it needs `--save`), and waits until it has ended.
    ///
    /// # Errors
    /// When it does not within 10 seconds.
    pub fn save_and_close(mut self) -> Outcome {
        self.cmd("quit", json!({"save": true}))?;
        self.await_end()
    }

    /// Tells it to quit and waits until it has ended.
    ///
    /// # Errors
    /// When it does not within 10 seconds.
    pub fn close(mut self) -> Outcome {
        self.cmd("quit", json!({}))?;
        self.await_end()
    }

    fn await_end(&mut self) -> Outcome {
        let start = Instant::now();
        while self.process.0.try_wait()?.is_none() {
            ensure(start.elapsed() < QUIT_TIMEOUT, || format!("{} does not quit", self.name))?;
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn failure(&self, what: &str) -> Failure {
        Failure(self.quote(what))
    }

    /// What happened to this peer, with what it said last.
    #[must_use]
    pub fn quote(&self, what: &str) -> String {
        let said = self.log.quote(self.started, |heard| heard.line.to_string());
        format!("{} ({:?}): {what}; its last lines:{said}", self.name, self.kind)
    }
}

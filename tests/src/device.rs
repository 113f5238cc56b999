//! A microcontroller in QEMU: firmware on the board mps2-an386, its console, its link, its power.
//!
//! A [`Board`] is what stays when the power goes: the image, the flash, the place where it is plugged in. A [`Device`]
//! is a board with power. Its console is the bot's: a line that begins with `friend` is heard as the event `friend`,
//! and the words behind are its field `rest`.

use crate::log::{Heard, Log, lock};
use crate::programs::in_path;
use crate::qmp::Qmp;
use crate::wire::Wire;
use crate::{Failure, Net, Outcome, Process, TempDir, ensure};
use core::time::Duration;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Instant;

/// Where the firmware looks for its configuration: the board's PSRAM.
const CONFIG_AT: &str = "0x21000000";
const REPLY_TIMEOUT: Duration = Duration::from_secs(20);
/// How long anything between a device and others may take.
const PATIENCE: Duration = Duration::from_secs(90);
const RECEIPTS_TIMEOUT: Duration = Duration::from_secs(10);
const RECEIPTS_LOOK: Duration = Duration::from_millis(100);
const ENDED_LOOK: Duration = Duration::from_millis(20);
const TOX_ID_DIGITS: usize = 76;
const KEY_DIGITS: usize = 64;

/// How time passes in a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// As outside.
    Real,
    /// By instructions, one each nanosecond; while it sleeps, as outside. Timers then count instructions.
    Instructions,
}

/// A board without power.
pub struct Board {
    name: String,
    image: PathBuf,
    clock: Clock,
    net: Arc<Net>,
    tap: String,
    mac: String,
    folder: TempDir,
    transcript: Arc<Mutex<File>>,
}

impl Board {
    /// A new board, its flash empty, plugged into `wire`. What it says is added to `logs/NAME.log`.
    ///
    /// # Errors
    /// When there can be no tap, or the transcript cannot be written.
    pub fn new(wire: &Wire, name: &str, image: &Path, clock: Clock, logs: &Path) -> Outcome<Self> {
        let tap = wire.tap()?;
        let plug: u8 = tap.trim_start_matches("tap").parse().unwrap_or_default();
        let transcript = OpenOptions::new().create(true).append(true).open(logs.join(format!("{name}.log")))?;
        Ok(Self {
            name: name.into(),
            image: std::path::absolute(image)?,
            clock,
            net: wire.shared_net(),
            tap,
            mac: format!("52:54:00:12:34:{plug:02x}"),
            folder: TempDir::new()?,
            transcript: Arc::new(Mutex::new(transcript)),
        })
    }

    /// The folder in which its flash is a file.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The same board, with another clock from the next boot on.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Gives it power, and this configuration.
    ///
    /// # Errors
    /// When QEMU is missing or does not start.
    pub fn boot(self, config: &str) -> Outcome<Device> {
        std::fs::write(self.folder.file("config"), format!("{config}\0"))?;
        let mut command = self.net.command(&in_path("qemu-system-arm")?)?;
        command.args(["-M", "mps2-an386", "-display", "none", "-monitor", "none"]);
        command.args(["-chardev", "stdio,id=uart,signal=off", "-serial", "chardev:uart"]);
        command.args(["-semihosting-config", "enable=on,target=native", "-qmp", "unix:qmp,server=on,wait=off"]);
        let (tap, mac) = (&self.tap, &self.mac);
        command.args(["-nic", &format!("tap,id=lan,ifname={tap},script=no,downscript=no,model=lan9118,mac={mac}")]);
        command.args(["-device", &format!("loader,file=config,addr={CONFIG_AT},force-raw=on")]);
        if self.clock == Clock::Instructions {
            command.args(["-icount", "shift=0"]);
        }
        command.arg("-kernel").arg(&self.image).current_dir(self.folder());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Device::start(self, &mut command)
    }
}

/// A board with power. It loses it when dropped.
pub struct Device {
    started: Instant,
    log: Arc<Log>,
    stdin: Mutex<ChildStdin>,
    process: Process,
    board: Board,
}

impl Device {
    fn start(board: Board, command: &mut std::process::Command) -> Outcome<Self> {
        let started = Instant::now();
        let mut process = Process(command.spawn()?);
        let child = &mut process.0;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Failure::new("the child's streams are piped"));
        };
        let log = Arc::new(Log::default());
        let note = |from: &'static str| {
            let transcript = Arc::clone(&board.transcript);
            move |line: &str| {
                let seconds = started.elapsed().as_secs_f64();
                // The transcript is for people; what is checked is the log.
                let _ = writeln!(lock(&transcript), "{seconds:9.3} {from}{line}");
            }
        };
        note("-- ")("power on");
        let (uart, emulator) = (note(""), note("qemu: "));
        log.follow(stdout, move |line| {
            uart(line.trim_end());
            event(line.trim_end())
        });
        log.follow(stderr, move |line| {
            emulator(line);
            json!({"event": "stderr", "text": line})
        });
        Ok(Self { started, log, stdin: Mutex::new(stdin), process, board })
    }

    /// Cuts the power, wherever it is.
    #[must_use]
    pub fn power_off(self) -> Board {
        let Self { process, board, .. } = self;
        drop(process);
        board
    }

    /// Waits until it has ended by itself, and gives its exit code.
    ///
    /// # Errors
    /// When it has not within 20 seconds.
    pub fn ended(mut self) -> Outcome<(Option<i32>, Board)> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.0.try_wait()? {
                return Ok((status.code(), self.power_off()));
            }
            ensure(start.elapsed() < REPLY_TIMEOUT, || self.failure("it does not end").0)?;
            sleep(ENDED_LOOK);
        }
    }

    /// Presses the reset button. When that was.
    ///
    /// # Errors
    /// When QEMU does not obey.
    pub fn reset(&self) -> Outcome<Instant> {
        let pressed = Instant::now();
        self.qmp("system_reset", json!({}))?;
        Ok(pressed)
    }

    /// Pulls the network cable out, or plugs it in.
    ///
    /// # Errors
    /// When QEMU does not obey.
    pub fn set_link(&self, up: bool) -> Outcome {
        self.qmp("set_link", json!({"name": "lan", "up": up}))
    }

    /// When its power was switched on.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// QEMU's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.board.name
    }

    /// The Tox ID that it told last after `mark`.
    ///
    /// # Errors
    /// When it tells none.
    pub fn tox_id(&self, mark: usize) -> Outcome<String> {
        let id = self.wait_after(mark, "tox-id", |_| true)?.text("rest").to_ascii_uppercase();
        if id.len() == TOX_ID_DIGITS { Ok(id) } else { Err(self.failure(&format!("a Tox ID of {} digits", id.len()))) }
    }

    /// Types a line at its console.
    ///
    /// # Errors
    /// When QEMU has ended.
    pub fn type_line(&self, line: &str) -> Outcome {
        let taken = writeln!(lock(&self.stdin), "{line}");
        taken.map_err(|why| self.failure(&format!("{line:?} not taken: {why}")))
    }

    /// Types a line and waits for the first such event after it.
    ///
    /// # Errors
    /// When it does not come within 20 seconds.
    pub fn command(&self, line: &str, event: &str) -> Outcome<Heard> {
        let mark = self.mark();
        self.type_line(line)?;
        self.wait_since(mark, event, REPLY_TIMEOUT, |_| true)
    }

    /// What it tells about itself.
    ///
    /// # Errors
    /// When it does not answer within 20 seconds.
    pub fn status(&self) -> Outcome<Status> {
        let heard = self.command("status", "status")?;
        Ok(Status::parse(heard.at, heard.text("rest")))
    }

    /// Waits until it has exactly so many receipts for what it wrote.
    ///
    /// # Errors
    /// When it has more, or has fewer after 10 seconds.
    pub fn await_receipts(&self, wanted: u64) -> Outcome {
        let start = Instant::now();
        loop {
            let found = self.status()?.number("receipts")?;
            if found == wanted {
                return Ok(());
            }
            let in_time = found < wanted && start.elapsed() < RECEIPTS_TIMEOUT;
            ensure(in_time, || self.failure(&format!("{found} receipts, not {wanted}")).0)?;
            sleep(RECEIPTS_LOOK);
        }
    }

    /// Where its list of lines ends now.
    #[must_use]
    pub fn mark(&self) -> usize {
        self.log.mark()
    }

    /// The first such event after `mark`, now or within 90 seconds.
    ///
    /// # Errors
    /// When it does not come, or QEMU ends.
    pub fn wait_after(&self, mark: usize, event: &str, wanted: impl Fn(&Heard) -> bool) -> Outcome<Heard> {
        self.wait_since(mark, event, PATIENCE, wanted)
    }

    /// As [`Self::wait_after`], with another time limit.
    ///
    /// # Errors
    /// When it does not come in time, or QEMU ends.
    pub fn wait_since(
        &self,
        mark: usize,
        event: &str,
        timeout: Duration,
        wanted: impl Fn(&Heard) -> bool,
    ) -> Outcome<Heard> {
        self.log.expect(mark, event, timeout, wanted, |what| self.failure(what))
    }

    /// Waits until it sees the friend with this key come (`online`) or go (`offline`), after `mark`.
    ///
    /// # Errors
    /// When it does not within 90 seconds.
    pub fn friend(&self, mark: usize, key: &str, state: &str) -> Outcome<Heard> {
        self.wait_after(mark, "friend", |heard| is_friend(heard, key, state))
    }

    /// Makes sure that it has seen no such event after `mark`.
    ///
    /// # Errors
    /// When it has.
    pub fn was_without(&self, mark: usize, event: &str, unwanted: impl Fn(&Heard) -> bool) -> Outcome {
        self.log.refuse(mark, event, Duration::ZERO, unwanted, |what| self.failure(what))
    }

    /// What happened to it, with what it said last.
    #[must_use]
    pub fn failure(&self, what: &str) -> Failure {
        let said = self.log.quote(self.started, |heard| heard.text("text").to_string());
        Failure(format!("{} (device): {what}; its last lines:{said}", self.board.name))
    }

    fn qmp(&self, command: &str, arguments: Value) -> Outcome {
        Qmp::connect(&self.board.folder().join("qmp"))?.execute(command, arguments)
    }
}

/// Whether this is the line `friend I KEY STATE` of this friend.
#[must_use]
pub fn is_friend(heard: &Heard, key: &str, state: &str) -> bool {
    let mut words = heard.text("rest").split_whitespace().skip(1);
    words.next().is_some_and(|word| word.eq_ignore_ascii_case(&key[..KEY_DIGITS])) && words.next() == Some(state)
}

/// The line `status`: names and values.
#[derive(Debug)]
pub struct Status {
    /// When it was read.
    pub at: Instant,
    values: BTreeMap<String, String>,
}

impl Status {
    /// Reads `key=value key=value ...`.
    #[must_use]
    pub fn parse(at: Instant, text: &str) -> Self {
        let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
        Self { at, values: pairs.map(|(key, value)| (key.into(), value.into())).collect() }
    }

    /// A number.
    ///
    /// # Errors
    /// When it is not there.
    pub fn number(&self, key: &str) -> Outcome<u64> {
        let value = self.values.get(key).and_then(|value| value.parse().ok());
        value.ok_or_else(|| Failure(format!("no number {key} in {:?}", self.values)))
    }

    /// A word, empty when it is not there.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        self.values.get(key).map_or("", String::as_str)
    }
}

/// A line of the console as an event: its first word, without a colon, and the rest.
fn event(line: &str) -> Value {
    let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
    json!({"event": first.trim_end_matches(':'), "rest": rest.trim(), "text": line})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_events() {
        assert_eq!(event("flash: new identity")["event"], "flash");
        assert_eq!(event("connection udp")["rest"], "udp");
        assert_eq!(event("alone")["rest"], "");
    }

    #[test]
    fn friends_are_told_apart() {
        let key = "0123456789abcdef".repeat(4);
        let line = event(&format!("friend 3 {key} online"));
        let heard = Heard { next: 1, at: Instant::now(), line };
        assert!(is_friend(&heard, &format!("{}00000000AAAA", key.to_uppercase()), "online"));
        assert!(!is_friend(&heard, &key, "offline"));
        assert!(!is_friend(&heard, &"0".repeat(64), "online"));
    }

    #[test]
    fn status_has_numbers_and_words() {
        let status = Status::parse(Instant::now(), "uptime_ms=77 connection=udp odd");
        assert_eq!(status.number("uptime_ms").ok(), Some(77));
        assert_eq!(status.text("connection"), "udp");
        assert!(status.number("connection").is_err() && status.number("odd").is_err());
    }
}

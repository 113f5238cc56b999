//! QEMU's control socket: a command in JSON, an answer in JSON.

use crate::{Failure, Outcome};
use core::time::Duration;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::sleep;
use std::time::Instant;

const TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to it.
pub(crate) struct Qmp {
    lines: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects; QEMU may still be starting.
    pub(crate) fn connect(socket: &Path) -> Outcome<Self> {
        let start = Instant::now();
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(why) if start.elapsed() > TIMEOUT => return Err(Failure(format!("{}: {why}", socket.display()))),
                Err(_) => sleep(Duration::from_millis(5)),
            }
        };
        stream.set_read_timeout(Some(TIMEOUT))?;
        let mut qmp = Self { lines: BufReader::new(stream) };
        qmp.line()?;
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and waits until QEMU has done it.
    pub(crate) fn execute(&mut self, command: &str, arguments: Value) -> Outcome {
        writeln!(self.lines.get_mut(), "{}", json!({"execute": command, "arguments": arguments}))?;
        loop {
            let line = self.line()?;
            if line.get("return").is_some() {
                return Ok(());
            }
            if let Some(why) = line.get("error") {
                return Err(Failure(format!("QEMU, {command}: {why}")));
            }
        }
    }

    fn line(&mut self) -> Outcome<Value> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        serde_json::from_str(&line).map_err(|why| Failure(format!("QEMU said {line:?}: {why}")))
    }
}

//! Event lines.

use serde_json::Value;
use std::io::{self, BufWriter, Stdout, Write};
use std::time::SystemTime;

/// stdout, flushed before the program sleeps.
pub(super) struct Output(BufWriter<Stdout>);

impl Output {
    pub(super) fn new() -> Self {
        Self(BufWriter::new(io::stdout()))
    }

    /// One line: the event's name, the time in seconds since 1970, then `fields`.
    pub(super) fn emit(&mut self, event: &str, fields: Value) -> io::Result<()> {
        let time = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64();
        write!(self.0, "{{\"event\": \"{event}\", \"t\": {time:.4}")?;
        if let Value::Object(fields) = fields {
            for (name, value) in fields {
                write!(self.0, ", \"{name}\": {value}")?;
            }
        }
        self.0.write_all(b"}\n")
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Text as toxpeer prints it: a question mark for each byte that is not UTF-8.
pub(super) fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    text
}

/// Upper-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undecodable_bytes_are_question_marks() {
        assert_eq!(text("grüß 🐧".as_bytes()), "grüß 🐧");
        assert_eq!(text(b"a\xff\xfeb\xe2\x82"), "a??b??");
    }
}

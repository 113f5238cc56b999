//! The console: lines that a person or a script types, and lines in answer.
//!
//! A board gives any byte stream, a UART or a program's own streams. [`Lines`] makes lines of what comes in,
//! [`Command`] understands them, [`Console`] writes the answers. Lines are bounded both ways: one that is too long to
//! come in is told so and skipped, one that is too long to go out is cut.

mod command;
mod lines;
#[cfg(test)]
mod tests;

pub use command::{Command, CommandError, HELP};
pub use lines::{LINE_MAX, Line, Lines};

use core::fmt::{self, Write as _};
use embedded_io_async::Write;
use heapless::String;

/// The longest line that is written, without its end.
pub const OUT_MAX: usize = 640;
/// How much of a foreign text is shown in a line.
const SHOWN_MAX: usize = 128;

/// The side of the console that is written.
#[derive(Debug)]
pub struct Console<W> {
    out: W,
    line: String<{ OUT_MAX + 2 }>,
}

impl<W: Write> Console<W> {
    /// Over a byte stream.
    pub const fn new(out: W) -> Self {
        Self { out, line: String::new() }
    }

    /// Writes a line. What it is too long for is cut, and ends in `...`. A console that cannot be written is nothing
    /// that a bot could mend: it goes on without.
    pub async fn say(&mut self, what: impl fmt::Display) {
        self.compose(what);
        let _ = self.line.push_str("\r\n");
        if self.out.write_all(self.line.as_bytes()).await.is_ok() {
            let _ = self.out.flush().await;
        }
    }

    /// The line as it would be written, without its end.
    pub fn compose(&mut self, what: impl fmt::Display) -> &str {
        const CUT: &str = "...";
        self.line.clear();
        let mut limited = Limited { line: &mut self.line, left: OUT_MAX - CUT.len() };
        if write!(limited, "{what}").is_err() {
            // There is room for it: the text before was kept that much shorter.
            let _ = self.line.push_str(CUT);
        }
        &self.line
    }
}

/// Takes as much text as is left, whole characters only.
struct Limited<'a, const N: usize> {
    line: &'a mut String<N>,
    left: usize,
}

impl<const N: usize> fmt::Write for Limited<'_, N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let taken = &text[..text.floor_char_boundary(self.left)];
        self.left -= taken.len();
        self.line.push_str(taken).map_err(|_| fmt::Error)?;
        if taken.len() == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// A foreign text, safe to be shown: control characters and what a console could take for a command are escaped, and
/// what is long is cut.
#[derive(Clone, Copy, Debug)]
pub struct Shown<T>(pub T);

impl fmt::Display for Shown<&str> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.floor_char_boundary(SHOWN_MAX)];
        for c in shown.chars() {
            match c {
                // Quotes and backslashes would only be harder to read.
                '"' | '\'' | '\\' => f.write_char(c)?,
                c => write!(f, "{}", c.escape_debug())?,
            }
        }
        if shown.len() == self.0.len() { Ok(()) } else { f.write_str("...") }
    }
}

impl fmt::Display for Shown<&[u8]> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, chunk) in self.0.utf8_chunks().enumerate() {
            if i == SHOWN_MAX {
                return f.write_str("...");
            }
            Shown(chunk.valid()).fmt(f)?;
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

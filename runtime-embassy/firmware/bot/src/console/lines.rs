//! Lines out of bytes.

use embedded_io_async::Read;

/// The longest line that is read, without its end: `send` with a message of moderate length.
pub const LINE_MAX: usize = 512;

/// What came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line, without its end and white space around it.
    Text(&'a str),
    /// One of more than [`LINE_MAX`] bytes; it was skipped.
    TooLong,
    /// One that is not UTF-8.
    NotText,
}

/// The side of the console that is read.
#[derive(Debug)]
pub struct Lines<R> {
    input: R,
    buffer: [u8; LINE_MAX],
    /// Bytes that were read.
    len: usize,
    /// Of them: a line that was given out, and is dropped at the next call.
    given: usize,
    /// Whether the line being read has already been too long.
    skipping: bool,
}

impl<R: Read> Lines<R> {
    /// Over a byte stream.
    pub const fn new(input: R) -> Self {
        Self { input, buffer: [0; LINE_MAX], len: 0, given: 0, skipping: false }
    }

    /// Waits for the next line; `None` when the stream has ended. Nothing is lost when this is dropped before it is
    /// ready, as long as that holds for the stream.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn next(&mut self) -> Result<Option<Line<'_>>, R::Error> {
        self.drop_given();
        let mut searched = 0;
        let (end, is_last) = loop {
            if let Some(at) = self.buffer[searched..self.len].iter().position(|byte| *byte == b'\n') {
                break (searched + at, false);
            }
            if self.len == LINE_MAX {
                self.skipping = true;
                self.len = 0;
            }
            searched = self.len;
            match self.input.read(&mut self.buffer[self.len..]).await? {
                0 if self.len == 0 && !self.skipping => return Ok(None),
                0 => break (self.len, true),
                n => self.len += n,
            }
        };
        self.given = if is_last { end } else { end + 1 };
        if core::mem::take(&mut self.skipping) {
            return Ok(Some(Line::TooLong));
        }
        let text = core::str::from_utf8(&self.buffer[..end]);
        Ok(Some(text.map_or(Line::NotText, |text| Line::Text(text.trim()))))
    }

    fn drop_given(&mut self) {
        self.buffer.copy_within(self.given..self.len, 0);
        self.len -= self.given;
        self.given = 0;
    }
}

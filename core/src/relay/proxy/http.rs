//! HTTP's CONNECT as a client speaks it (RFC 9110, 9.3.6 and 11.7; RFC 7617).
//!
//! ```text
//! we     CONNECT host:port HTTP/1.1 | Host: host:port | Proxy-Authorization: Basic base64(user:password) | empty line
//! proxy  HTTP/1.x 2xx text | any lines | empty line
//! ```
//! Of the answer only the status counts. An answer that asks us to wait (1xx) is followed by another.

use super::trouble::{ProxyTrouble, Refusal};
use super::{ProxyState, Target};
use crate::wire::Writer;
use base64ct::{Base64, Encoder};
use core::fmt::{self, Write};

/// So many bytes may stand before the empty line, all answers together.
const HEAD_MAX: u16 = 8192;
const VERSION: &[u8] = b"HTTP/1.";

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Http {
    has_credentials: bool,
    /// So many bytes have come.
    read: u16,
    state: State,
}

/// What comes next: our request, or a byte here in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Say,
    /// The byte of "HTTP/1." with this index.
    Version(u8),
    Minor,
    BeforeStatus,
    /// So many digits were there, and this is their number.
    Status(u8, u16),
    AfterStatus(u16),
    /// The lines.
    Head(Answer, Line),
    Ready,
    Failed(ProxyTrouble),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Another one follows.
    Interim,
    /// The stream is open behind it.
    Success,
}

/// Where in a line of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Start,
    /// Behind a carriage return at the start.
    Return,
    Text,
}

impl Http {
    pub(super) const fn new(has_credentials: bool) -> Self {
        Self { has_credentials, read: 0, state: State::Say }
    }

    pub(super) const fn state(&self) -> ProxyState {
        match self.state {
            State::Ready => ProxyState::Ready,
            State::Failed(trouble) => ProxyState::Failed(trouble),
            State::Say
            | State::Version(_)
            | State::Minor
            | State::BeforeStatus
            | State::Status(..)
            | State::AfterStatus(_)
            | State::Head(..) => ProxyState::Waiting,
        }
    }

    pub(super) const fn has_output(&self) -> bool {
        matches!(self.state, State::Say)
    }

    pub(super) fn output(&mut self, credentials: Option<(&[u8], &[u8])>, target: &Target<'_>, buf: &mut [u8]) -> usize {
        if !self.has_output() {
            return 0;
        }
        self.state = State::Version(0);
        request(credentials, target, buf)
    }

    pub(super) fn take(&mut self, byte: u8) {
        self.read = self.read.saturating_add(1);
        let next = self.after(byte);
        let too_long = self.read >= HEAD_MAX && next != State::Ready;
        self.state = if too_long { State::Failed(ProxyTrouble::NotAProxy) } else { next };
    }

    fn after(&self, byte: u8) -> State {
        const NOT_A_PROXY: State = State::Failed(ProxyTrouble::NotAProxy);
        match (self.state, byte) {
            (State::Version(at), byte) if VERSION.get(usize::from(at)) == Some(&byte) => {
                if usize::from(at) + 1 == VERSION.len() { State::Minor } else { State::Version(at + 1) }
            }
            (State::Minor, b'0'..=b'9') => State::BeforeStatus,
            (State::BeforeStatus, b' ') => State::Status(0, 0),
            (State::Status(digits, number), b'0'..=b'9') => {
                let number = number * 10 + u16::from(byte - b'0');
                if digits == 2 { State::AfterStatus(number) } else { State::Status(digits + 1, number) }
            }
            (State::AfterStatus(status), b' ' | b'\r' | b'\n') => {
                self.judge(status, if byte == b'\n' { Line::Start } else { Line::Text })
            }
            (State::Head(answer, Line::Start | Line::Return), b'\n') => match answer {
                Answer::Interim => State::Version(0),
                Answer::Success => State::Ready,
            },
            (State::Head(answer, Line::Start), b'\r') => State::Head(answer, Line::Return),
            (State::Head(answer, Line::Text), b'\n') => State::Head(answer, Line::Start),
            (State::Head(answer, Line::Start | Line::Return | Line::Text), _) => State::Head(answer, Line::Text),
            (
                State::Say
                | State::Version(_)
                | State::Minor
                | State::BeforeStatus
                | State::Status(..)
                | State::AfterStatus(_),
                _,
            ) => NOT_A_PROXY,
            (state @ (State::Ready | State::Failed(_)), _) => state,
        }
    }

    const fn judge(&self, status: u16, line: Line) -> State {
        match (status, self.has_credentials) {
            (0..=99, _) => State::Failed(ProxyTrouble::NotAProxy),
            (100 | 102..=199, _) => State::Head(Answer::Interim, line),
            (200..=299, _) => State::Head(Answer::Success, line),
            // Tinyproxy says 401 to credentials that are wrong.
            (401 | 407, true) => State::Failed(ProxyTrouble::BadCredentials),
            (401 | 407, false) => State::Failed(ProxyTrouble::NeedsCredentials),
            (status, _) => State::Failed(ProxyTrouble::Refused(Refusal::Http(status))),
        }
    }

    pub(super) const fn ended(&self) -> ProxyTrouble {
        match self.state {
            State::Failed(trouble) => trouble,
            State::Say
            | State::Version(_)
            | State::Minor
            | State::BeforeStatus
            | State::Status(..)
            | State::AfterStatus(_)
            | State::Head(..)
            | State::Ready => ProxyTrouble::Refused(Refusal::Closed),
        }
    }

    pub(super) const fn timed_out(&self) -> ProxyTrouble {
        match self.state {
            State::Failed(trouble) => trouble,
            State::Say => ProxyTrouble::Down,
            // It may be busy with the relay, or wait for a request of another language.
            State::Version(_)
            | State::Minor
            | State::BeforeStatus
            | State::Status(..)
            | State::AfterStatus(_)
            | State::Head(..)
            | State::Ready => ProxyTrouble::Refused(Refusal::Expired),
        }
    }
}

fn request(credentials: Option<(&[u8], &[u8])>, target: &Target<'_>, buf: &mut [u8]) -> usize {
    let mut w = Writer::new(buf);
    // A `Text` never fails.
    let _ = write!(Text(&mut w), "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    let mut len = w.len();
    if let Some((user, password)) = credentials {
        w.bytes(b"Proxy-Authorization: Basic ");
        len = w.len();
        len += basic(user, password, &mut buf[len..]);
        len += Writer::new(&mut buf[len..]).bytes(b"\r\n").len();
    }
    len + Writer::new(&mut buf[len..]).bytes(b"\r\n").len()
}

/// The length of `user:password` in base64.
fn basic(user: &[u8], password: &[u8], buf: &mut [u8]) -> usize {
    let encode = |buf: &mut [u8]| {
        let mut encoder = Encoder::<Base64>::new(buf)?;
        encoder.encode(user)?;
        encoder.encode(b":")?;
        encoder.encode(password)?;
        encoder.finish().map(str::len)
    };
    encode(buf).expect("OUTPUT_MAX holds the longest")
}

/// Writes text behind what a writer holds.
struct Text<'w, 'b>(&'w mut Writer<'b>);

impl Write for Text<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.bytes(text.as_bytes());
        Ok(())
    }
}

//! One client's socket and channel. It has buffers only while a frame is half received, or the kernel takes no more.

use super::hub::Hub;
use crate::{HostSuite, streams};
use bluering_core::crypto::SecretKey;
use bluering_core::relay::StreamId;
use bluering_core::relay::channel::{Channel, Received, answer, greeter};
use bluering_core::relay::server::CloseReason;
use bluering_core::time::Instant;
use bluering_core::wire::relay::CLIENT_HELLO_LEN;
use mio::net::TcpStream;
use rand_core::CryptoRng;
use std::io::{self, ErrorKind, Read};

/// A client's socket.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    socket: TcpStream,
    /// None before the handshake.
    channel: Option<Channel>,
    /// The beginning of a frame.
    rest: Vec<u8>,
    /// What the kernel has not taken, from `sent` on.
    unsent: Vec<u8>,
    sent: usize,
    /// It stands among those that have more to be read.
    pub(super) busy: bool,
}

/// What reading brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// So many bytes stand in the buffer, the beginning of a frame included.
    Bytes {
        len: usize,
        /// There may be more in the kernel.
        more: bool,
    },
    Nothing,
    /// The connection is at its end.
    End,
}

impl Stream {
    pub(super) const fn new(id: StreamId, socket: TcpStream) -> Self {
        Self { id, socket, channel: None, rest: Vec::new(), unsent: Vec::new(), sent: 0, busy: false }
    }

    pub(super) const fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Reads into `buf`, behind what is left of the last time.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> Arrival {
        let kept = self.rest.len();
        buf[..kept].copy_from_slice(&self.rest);
        loop {
            return match self.socket.read(&mut buf[kept..]) {
                Ok(0) => Arrival::End,
                // A short read has emptied the kernel's buffer; Windows wants to hear "would block" all the same.
                Ok(n) => Arrival::Bytes { len: kept + n, more: kept + n == buf.len() || cfg!(windows) },
                Err(error) if error.kind() == ErrorKind::WouldBlock => Arrival::Nothing,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => Arrival::End,
            };
        }
    }

    /// Keeps the beginning of a frame. Nothing is kept of nothing, not even memory.
    pub(super) fn keep(&mut self, rest: &[u8]) {
        self.rest.clear();
        if rest.is_empty() {
            self.rest = Vec::new();
        } else {
            self.rest.extend_from_slice(rest);
        }
    }

    /// Answers the handshake, if it is at the front: how many bytes of it are done with.
    pub(super) fn greet(
        &mut self,
        hub: &Hub,
        now: Instant,
        (suite, rng, secret): (&HostSuite, &mut impl CryptoRng, &SecretKey),
        bytes: &mut [u8],
    ) -> Result<usize, CloseReason> {
        let Some(hello) = bytes.first_chunk_mut().filter(|_| self.channel.is_none()) else { return Ok(0) };
        if !hub.welcomes(&greeter(hello)) {
            return Err(CloseReason::NoRoom);
        }
        let answered = answer(suite, rng, secret, hello).ok_or(CloseReason::BadHandshake)?;
        self.channel = Some(answered.channel);
        // A connection that has ended meanwhile needs no answer.
        if hub.greeted(now, self.id, answered.client) {
            self.write(&answered.hello).map_err(|_| CloseReason::Gone)?;
        }
        Ok(CLIENT_HELLO_LEN)
    }

    /// Opens all whole frames in place: where they end, and whether the next one can never be opened.
    pub(super) fn open(&mut self, suite: &HostSuite, bytes: &mut [u8]) -> (usize, bool) {
        let Some(channel) = &mut self.channel else { return (0, false) };
        let mut end = 0;
        loop {
            match channel.open(suite, &mut bytes[end..]) {
                Received::Frame { used, .. } => end += used,
                Received::Part => return (end, false),
                Received::Broken => return (end, true),
            }
        }
    }

    /// Whether earlier bytes wait for the kernel.
    pub(super) const fn is_blocked(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends what waits; false when the kernel does not take it all.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        self.sent += streams::send(&mut self.socket, &self.unsent[self.sent..])?;
        if self.sent < self.unsent.len() {
            return Ok(false);
        }
        (self.unsent, self.sent) = (Vec::new(), 0);
        Ok(true)
    }

    /// Seals frames and sends them.
    pub(super) fn seal_and_write(&mut self, suite: &HostSuite, frames: &mut [u8]) -> io::Result<()> {
        if let Some(channel) = &mut self.channel {
            channel.seal_all(suite, frames);
        }
        self.write(frames)
    }

    /// Sends bytes; what the kernel does not take waits.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = streams::send(&mut self.socket, bytes)?;
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }
}

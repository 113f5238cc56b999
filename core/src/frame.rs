//! Datagrams on their way in and out. Buffers belong to the caller and have room for the largest packet by type.

use crate::{DropReason, Endpoint};

/// Room for the largest datagram that Tox knows (`network.h`, MAX_UDP_PACKET_SIZE).
pub const DATAGRAM_MAX: usize = 2048;

/// A received datagram. It is decrypted in place, and an answer is written over it.
#[derive(Debug)]
pub struct Frame<'b> {
    /// The caller's buffer.
    pub buf: &'b mut [u8; DATAGRAM_MAX],
    /// How many bytes of it were received.
    pub len: usize,
    /// Who sent it.
    pub from: Endpoint,
}

impl<'b> Frame<'b> {
    /// A datagram of `len` bytes in `buf`; longer than the buffer is cut.
    #[must_use]
    pub fn new(buf: &'b mut [u8; DATAGRAM_MAX], len: usize, from: Endpoint) -> Self {
        Self { buf, len: len.min(DATAGRAM_MAX), from }
    }

    /// The received bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buf[..self.len]
    }

    /// The received bytes, to be changed in place.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buf[..self.len]
    }
}

/// What became of one datagram. At most one packet answers it at once, so amplification is bounded by type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Disposition {
    /// It changed something in the node, or confirmed what was known.
    Consumed,
    /// Send the first `len` bytes of the same buffer to `to`. Dropping it is allowed: everything here is repeated by
    /// someone.
    Reply {
        /// Where to.
        to: Endpoint,
        /// How many bytes.
        len: usize,
    },
    /// Not for us, not valid, or not wanted now. Counted in [`Stats`](crate::Stats).
    Dropped(DropReason),
}

/// A packet to be sent, borrowed from the buffer given to `poll_transmit`.
#[derive(Clone, Copy, Debug)]
pub struct Transmit<'b> {
    /// Where to.
    pub to: Endpoint,
    /// The datagram.
    pub bytes: &'b [u8],
}

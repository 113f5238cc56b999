//! Packets as bytes: layouts and nothing else. No state, no keys, no copies.
//!
//! One file per family. A packet type borrows from the slice that it was parsed from and writes itself to a slice;
//! `emit(parse(x)) == x` holds for all of them and is tested as a property. Integers are big-endian unless said
//! otherwise.
//! `parse` never panics; it returns `None` for what does not have exactly the right form.

pub mod announcements;
pub mod dht;
pub mod forwarding;
pub mod messenger;
mod nodes;
pub mod onion;
pub mod relay;
pub mod session;

pub use nodes::{ADDRESS_LEN_MAX, NODE_LEN_MAX, NodeInfo, NodeList, PackedNodes, emit_address, parse_address};

use crate::crypto::{NONCE_LEN, Nonce, PUBLIC_KEY_LEN, PublicKey};

/// First byte of each datagram (`network.h`).
pub mod kind {
    #![allow(missing_docs, reason = "the names are the protocol's own")]
    pub const PING_REQUEST: u8 = 0x00;
    pub const PING_RESPONSE: u8 = 0x01;
    pub const NODES_REQUEST: u8 = 0x02;
    pub const NODES_RESPONSE: u8 = 0x04;
    pub const COOKIE_REQUEST: u8 = 0x18;
    pub const COOKIE_RESPONSE: u8 = 0x19;
    pub const CRYPTO_HANDSHAKE: u8 = 0x1a;
    pub const CRYPTO_DATA: u8 = 0x1b;
    pub const DHT_REQUEST: u8 = 0x20;
    pub const LAN_DISCOVERY: u8 = 0x21;
    pub const ONION_REQUEST_0: u8 = 0x80;
    pub const ONION_REQUEST_1: u8 = 0x81;
    pub const ONION_REQUEST_2: u8 = 0x82;
    pub const ANNOUNCE_REQUEST: u8 = 0x83;
    pub const ANNOUNCE_RESPONSE: u8 = 0x84;
    pub const ONION_DATA_REQUEST: u8 = 0x85;
    pub const ONION_DATA_RESPONSE: u8 = 0x86;
    pub const GROUP_ANNOUNCE_REQUEST: u8 = 0x87;
    pub const GROUP_ANNOUNCE_RESPONSE: u8 = 0x88;
    pub const ONION_RESPONSE_3: u8 = 0x8c;
    pub const ONION_RESPONSE_2: u8 = 0x8d;
    pub const ONION_RESPONSE_1: u8 = 0x8e;
    pub const FORWARD_REQUEST: u8 = 0x90;
    pub const FORWARDING: u8 = 0x91;
    pub const FORWARD_REPLY: u8 = 0x92;
    pub const DATA_SEARCH_REQUEST: u8 = 0x93;
    pub const DATA_SEARCH_RESPONSE: u8 = 0x94;
    pub const DATA_RETRIEVE_REQUEST: u8 = 0x95;
    pub const DATA_RETRIEVE_RESPONSE: u8 = 0x96;
    pub const STORE_ANNOUNCE_REQUEST: u8 = 0x97;
    pub const STORE_ANNOUNCE_RESPONSE: u8 = 0x98;
    pub const BOOTSTRAP_INFO: u8 = 0xf0;
}

/// Reads a packet front to back; every step is `None` when too little is left.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// A reader over `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    /// The next bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (head, tail) = self.0.split_first_chunk()?;
        self.0 = tail;
        Some(head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| *byte)
    }

    /// A big-endian number.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(|bytes| u16::from_be_bytes(*bytes))
    }

    /// A big-endian number.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// A big-endian number.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(|bytes| u64::from_be_bytes(*bytes))
    }

    /// A public key.
    pub fn key(&mut self) -> Option<PublicKey> {
        self.array::<PUBLIC_KEY_LEN>().map(|bytes| PublicKey(*bytes))
    }

    /// A nonce.
    pub fn nonce(&mut self) -> Option<Nonce> {
        self.array::<NONCE_LEN>().map(|bytes| Nonce(*bytes))
    }

    /// All that is left.
    pub const fn rest(&mut self) -> &'a [u8] {
        let rest = self.0;
        self.0 = &[];
        rest
    }

    /// How many bytes are left.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.0.len()
    }

    /// `Some` when nothing is left.
    #[must_use]
    pub const fn end(&self) -> Option<()> {
        if self.0.is_empty() { Some(()) } else { None }
    }
}

/// Writes a packet front to back. Packets are bounded and buffers large enough by type, so running over is a broken
/// invariant and panics.
#[derive(Debug)]
pub struct Writer<'a> {
    buf: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// A writer at the start of `buf`.
    pub const fn new(buf: &'a mut [u8]) -> Self {
        Self { buf, len: 0 }
    }

    /// Appends bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.buf[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
        self
    }

    /// Appends a byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    /// Appends a big-endian number.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends a big-endian number.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends a big-endian number.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Leaves `n` bytes as they are (room for an authenticator).
    pub const fn skip(&mut self, n: usize) -> &mut Self {
        self.len += n;
        self
    }

    /// Bytes written so far.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing has been written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

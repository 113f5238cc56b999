//! Packets of `net_crypto`: cookies (0x18, 0x19), the handshake (0x1a) and crypto data (0x1b).
//!
//! Each packet is a clear head and one box; the `*Text` types are what stands in the box. Constants ending in `_BOX`
//! tell where the box (authenticator first) begins, `_TEXT` where its plaintext stands once it is opened in place. All
//! lengths but that of crypto data are exact. Spec: "Crypto"; wire-facts 2.6.

use super::{Reader, Writer, kind};
use crate::crypto::{MAC_LEN, NONCE_LEN, Nonce, PUBLIC_KEY_LEN, PublicKey};

/// Length of a cookie: nonce, authenticator, time, two keys. Only its maker looks inside.
pub const COOKIE_LEN: usize = NONCE_LEN + COOKIE_TEXT_LEN + MAC_LEN;
/// What is sealed in a cookie.
pub const COOKIE_TEXT_LEN: usize = 8 + 2 * PUBLIC_KEY_LEN;

/// Where the box of a cookie request begins.
pub const COOKIE_REQUEST_BOX: usize = 1 + PUBLIC_KEY_LEN + NONCE_LEN;
/// Where its plaintext stands.
pub const COOKIE_REQUEST_TEXT: usize = COOKIE_REQUEST_BOX + MAC_LEN;
/// Length of a cookie request.
pub const COOKIE_REQUEST_LEN: usize = COOKIE_REQUEST_TEXT + 2 * PUBLIC_KEY_LEN + 8;

/// Where the box of a cookie response begins.
pub const COOKIE_RESPONSE_BOX: usize = 1 + NONCE_LEN;
/// Where its plaintext stands.
pub const COOKIE_RESPONSE_TEXT: usize = COOKIE_RESPONSE_BOX + MAC_LEN;
/// Length of a cookie response.
pub const COOKIE_RESPONSE_LEN: usize = COOKIE_RESPONSE_TEXT + COOKIE_LEN + 8;

/// Where the box of a handshake begins.
pub const HANDSHAKE_BOX: usize = 1 + COOKIE_LEN + NONCE_LEN;
/// Where its plaintext stands.
pub const HANDSHAKE_TEXT: usize = HANDSHAKE_BOX + MAC_LEN;
/// Length of a handshake.
pub const HANDSHAKE_LEN: usize = HANDSHAKE_TEXT + NONCE_LEN + PUBLIC_KEY_LEN + COOKIE_HASH_LEN + COOKIE_LEN;
/// Length of the SHA-512 hash that binds a handshake to its cookie.
pub const COOKIE_HASH_LEN: usize = 64;

/// Where the box of a crypto data packet begins: after the kind and two bytes of the nonce.
pub const DATA_BOX: usize = 1 + 2;
/// Where its plaintext stands.
pub const DATA_TEXT: usize = DATA_BOX + MAC_LEN;
/// Where its padding and then its content begin.
pub const DATA_CONTENT: usize = DATA_TEXT + 8;
/// The longest crypto data packet (`net_crypto.h`, MAX_CRYPTO_PACKET_SIZE).
pub const DATA_LEN_MAX: usize = 1400;
/// The longest content: packet id and data (`net_crypto.h`, MAX_CRYPTO_DATA_SIZE).
pub const CONTENT_LEN_MAX: usize = DATA_LEN_MAX - DATA_CONTENT;
/// Contents are padded with zeros in front to a length of this modulus (`net_crypto.h`, CRYPTO_MAX_PADDING).
const PADDING: usize = 8;

/// First byte of a content: what kind of content it is.
pub mod content {
    use core::ops::RangeInclusive;

    /// Asks for missing packets and acknowledges others.
    pub const REQUEST: u8 = 1;
    /// Ends the session.
    pub const KILL: u8 = 2;
    /// Delivered exactly once and in order.
    pub const LOSSLESS: RangeInclusive<u8> = 16..=191;
    /// Delivered at most once.
    pub const LOSSY: RangeInclusive<u8> = 192..=254;
}

/// Head of a cookie request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookieRequest {
    /// The sender's DHT key.
    pub dht: PublicKey,
    /// Nonce of the box between both DHT keys.
    pub nonce: Nonce,
}

impl CookieRequest {
    /// Reads the head of a packet of the exact length.
    #[must_use]
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let mut r = body(packet, kind::COOKIE_REQUEST, COOKIE_REQUEST_LEN)?;
        Some(Self { dht: r.key()?, nonce: r.nonce()? })
    }

    /// Writes the head.
    pub fn emit(&self, out: &mut [u8]) {
        Writer::new(out).u8(kind::COOKIE_REQUEST).bytes(&self.dht.0).bytes(&self.nonce.0);
    }
}

/// What a cookie request asks. 32 bytes of padding stand between the key and the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookieRequestText {
    /// The sender's long-term key. Nothing proves it yet.
    pub peer: PublicKey,
    /// To be sent back.
    pub echo: u64,
}

impl CookieRequestText {
    /// Reads the 72 bytes.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut r = Reader::new(text);
        let peer = r.key()?;
        r.take(PUBLIC_KEY_LEN)?;
        let echo = r.u64()?;
        r.end().map(|()| Self { peer, echo })
    }

    /// Writes the 72 bytes.
    pub fn emit(&self, out: &mut [u8]) {
        Writer::new(out).bytes(&self.peer.0).bytes(&[0; PUBLIC_KEY_LEN]).u64(self.echo);
    }
}

/// Head of a cookie response: the nonce of a box between both DHT keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookieResponse {
    /// Nonce of the box.
    pub nonce: Nonce,
}

impl CookieResponse {
    /// Reads the head of a packet of the exact length.
    #[must_use]
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let mut r = body(packet, kind::COOKIE_RESPONSE, COOKIE_RESPONSE_LEN)?;
        Some(Self { nonce: r.nonce()? })
    }

    /// Writes the head.
    pub fn emit(&self, out: &mut [u8]) {
        Writer::new(out).u8(kind::COOKIE_RESPONSE).bytes(&self.nonce.0);
    }
}

/// What a cookie response brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookieResponseText {
    /// To be put into the handshake.
    pub cookie: [u8; COOKIE_LEN],
    /// From the request.
    pub echo: u64,
}

impl CookieResponseText {
    /// Reads the 120 bytes.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut r = Reader::new(text);
        let this = Self { cookie: *r.array()?, echo: r.u64()? };
        r.end().map(|()| this)
    }

    /// Writes the 120 bytes.
    pub fn emit(&self, out: &mut [u8]) {
        Writer::new(out).bytes(&self.cookie).u64(self.echo);
    }
}

/// What is sealed in a cookie of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookieText {
    /// When it was made, in microseconds of our own clock.
    pub made: u64,
    /// The long-term key of the peer it was made for.
    pub peer: PublicKey,
    /// The DHT key of that peer.
    pub dht: PublicKey,
}

impl CookieText {
    /// Reads the 72 bytes.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut r = Reader::new(text);
        let this = Self { made: r.u64()?, peer: r.key()?, dht: r.key()? };
        r.end().map(|()| this)
    }

    /// Writes the 72 bytes.
    pub fn emit(&self, out: &mut [u8]) {
        Writer::new(out).u64(self.made).bytes(&self.peer.0).bytes(&self.dht.0);
    }
}

/// Head of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The receiver's cookie: proves that the sender can be reached where it says, and names its keys.
    pub cookie: [u8; COOKIE_LEN],
    /// Nonce of the box between both long-term keys.
    pub nonce: Nonce,
}

impl Handshake {
    /// Reads the head of a packet of the exact length.
    #[must_use]
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let mut r = body(packet, kind::CRYPTO_HANDSHAKE, HANDSHAKE_LEN)?;
        Some(Self { cookie: *r.array()?, nonce: r.nonce()? })
    }

    /// Writes the head.
    pub fn emit(&self, out: &mut [u8]) {
        Writer::new(out).u8(kind::CRYPTO_HANDSHAKE).bytes(&self.cookie).bytes(&self.nonce.0);
    }
}

/// What a handshake agrees on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeText {
    /// Nonce of the first data packet that the sender of this handshake sends (the spec says the opposite; wire-facts
    /// E1).
    pub base_nonce: Nonce,
    /// The sender's session key.
    pub session: PublicKey,
    /// SHA-512 of the cookie in the head.
    pub cookie_hash: [u8; COOKIE_HASH_LEN],
    /// A cookie of the sender, for a handshake in return.
    pub cookie: [u8; COOKIE_LEN],
}

impl HandshakeText {
    /// Reads the 232 bytes.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut r = Reader::new(text);
        let this = Self { base_nonce: r.nonce()?, session: r.key()?, cookie_hash: *r.array()?, cookie: *r.array()? };
        r.end().map(|()| this)
    }

    /// Writes the 232 bytes.
    pub fn emit(&self, out: &mut [u8]) {
        let mut w = Writer::new(out);
        w.bytes(&self.base_nonce.0).bytes(&self.session.0).bytes(&self.cookie_hash).bytes(&self.cookie);
    }
}

/// Reads the two nonce bytes of a crypto data packet, whose length must allow at least one byte of content.
#[must_use]
pub fn data_nonce(packet: &[u8]) -> Option<u16> {
    if packet.len() <= DATA_CONTENT || packet.len() > DATA_LEN_MAX {
        return None;
    }
    let mut r = Reader::new(packet);
    if r.u8()? != kind::CRYPTO_DATA {
        return None;
    }
    r.u16()
}

/// The plaintext of a crypto data packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataText<'a> {
    /// The number of the first packet that the sender has not received: all before it are acknowledged.
    pub recv_start: u32,
    /// The packet's number; in lossy, request and kill packets the number of the sender's next lossless packet.
    pub number: u32,
    /// Packet id and data, 1 to 1373 bytes; never begins with a zero.
    pub content: &'a [u8],
}

impl<'a> DataText<'a> {
    /// Reads a plaintext; zeros before the content are padding. `None` when nothing else follows.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(text);
        let (recv_start, number, padded) = (r.u32()?, r.u32()?, r.rest());
        let first = padded.iter().position(|byte| *byte != 0)?;
        Some(Self { recv_start, number, content: &padded[first..] })
    }

    /// Writes a plaintext with its padding and gives its length.
    pub fn emit(&self, out: &mut [u8]) -> usize {
        let padding = (CONTENT_LEN_MAX - self.content.len()) % PADDING;
        let mut w = Writer::new(out);
        w.u32(self.recv_start).u32(self.number).bytes(&[0; PADDING][..padding]).bytes(self.content);
        w.len()
    }
}

/// A reader behind the first byte of a packet with exactly this kind and length.
fn body(packet: &[u8], kind: u8, len: usize) -> Option<Reader<'_>> {
    let mut r = Reader::new(packet);
    (packet.len() == len && r.u8()? == kind).then_some(r)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::vec::Vec;

    #[test]
    fn lengths_are_those_of_toxcore() {
        assert_eq!((COOKIE_LEN, COOKIE_REQUEST_LEN, COOKIE_RESPONSE_LEN, HANDSHAKE_LEN), (112, 145, 161, 385));
        assert_eq!((CONTENT_LEN_MAX, DATA_CONTENT), (crate::storage::BLOCK_LEN, 27));
    }

    #[test]
    fn only_exact_lengths_and_kinds_are_read() {
        let mut packet = [0; HANDSHAKE_LEN + 1];
        packet[0] = kind::CRYPTO_HANDSHAKE;
        assert!(Handshake::parse(&packet[..HANDSHAKE_LEN]).is_some());
        assert!(Handshake::parse(&packet).is_none());
        assert!(Handshake::parse(&packet[..HANDSHAKE_LEN - 1]).is_none());
        assert!(CookieRequest::parse(&packet[..COOKIE_REQUEST_LEN]).is_none());
        assert!(data_nonce(&[kind::CRYPTO_DATA; DATA_CONTENT]).is_none());
        assert!(data_nonce(&[kind::CRYPTO_DATA; DATA_CONTENT + 1]).is_some());
        assert!(data_nonce(&[kind::CRYPTO_DATA; DATA_LEN_MAX + 1]).is_none());
    }

    quickcheck! {
        /// What is written is read back, and the padded length is 5 modulo 8 behind the numbers.
        fn data_survives(recv_start: u32, number: u32, id: u8, data: Vec<u8>) -> bool {
            let content: Vec<u8> = [id.max(1)].into_iter().chain(data).take(CONTENT_LEN_MAX).collect();
            let text = DataText { recv_start, number, content: &content };
            let mut out = [7; DATA_LEN_MAX];
            let len = text.emit(&mut out);
            (len - 8) % 8 == 5 && DataText::parse(&out[..len]) == Some(text)
        }

        /// Reading never panics, and what is read is written as it was.
        fn texts_survive(seed: Vec<u8>) -> bool {
            let bytes = |len: usize| seed.iter().copied().chain(0..).take(len).collect::<Vec<u8>>();
            let same = |len: usize, again: &dyn Fn(&[u8], &mut [u8])| {
                let (text, mut out) = (bytes(len), std::vec![0; len]);
                again(&text, &mut out);
                text == out
            };
            let _ = DataText::parse(&seed);
            same(120, &|text, out| CookieResponseText::parse(text).unwrap().emit(out))
                && same(72, &|text, out| CookieText::parse(text).unwrap().emit(out))
                && same(232, &|text, out| HandshakeText::parse(text).unwrap().emit(out))
                && CookieText::parse(&bytes(71)).is_none()
                && HandshakeText::parse(&bytes(233)).is_none()
        }
    }
}

//! Forwarding: reaching a DHT node through others.
//!
//! ```text
//! 0x90  kind | next node's DHT key | data                 client, or the inside of a packet 0x91
//! 0x91  kind | sendback length 1 | sendback | data        forwarder to the next node; without sendback, to the client
//! 0x92  kind | sendback length 1 | sendback | data        the node's reply to the forwarder
//! ```
//! A forwarder is named by address, the nodes behind it by key. Data that is a packet 0x90 again makes the next node a
//! forwarder too, so a client can have a chain of four. The sendback is opaque to everybody but who made it: the reply
//! brings it back, and it tells where the reply goes. Nothing here is encrypted. Sources: `forwarding.h`; wire-facts
//! 2.12.

use super::{Reader, Writer, kind};
use crate::crypto::{PUBLIC_KEY_LEN, PublicKey};

/// Longest sendback (`forwarding.h`, MAX_SENDBACK_SIZE).
pub const SENDBACK_LEN_MAX: usize = 254;
/// Longest data of each packet (MAX_FORWARD_DATA_SIZE).
pub const FORWARD_LEN_MAX: usize = 2048 - 256;
/// Nodes in a chain at most (MAX_FORWARD_CHAIN_LENGTH).
pub const CHAIN_MAX: usize = 4;
/// What each node of a chain adds to a request: kind and key.
pub const CHAIN_STEP: usize = 1 + PUBLIC_KEY_LEN;
/// Where the sendback of 0x91 and 0x92 stands.
pub const SENDBACK_AT: usize = 2;

/// 0x90: pass this on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardRequest<'a> {
    /// DHT key of the node that shall get the data.
    pub next: PublicKey,
    /// What it shall get.
    pub data: &'a [u8],
}

impl<'a> ForwardRequest<'a> {
    /// Reads a packet.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        (r.u8()? == kind::FORWARD_REQUEST).then_some(())?;
        let this = Self { next: r.key()?, data: r.rest() };
        (this.data.len() <= FORWARD_LEN_MAX).then_some(this)
    }

    /// Writes the packet.
    pub fn emit(&self, w: &mut Writer<'_>) {
        w.u8(kind::FORWARD_REQUEST).bytes(&self.next.0).bytes(self.data);
    }

    /// How many nodes the packet is to be passed on to, one after the other, as far as it tells.
    #[must_use]
    pub fn chain(&self) -> usize {
        1 + self.data.chunks_exact(CHAIN_STEP).take_while(|step| step[0] == kind::FORWARD_REQUEST).count()
    }
}

/// 0x91 and 0x92, which differ in their first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded<'a> {
    /// [`kind::FORWARDING`] or [`kind::FORWARD_REPLY`].
    pub kind: u8,
    /// For the forwarder; empty in what reaches the client.
    pub sendback: &'a [u8],
    /// What is forwarded.
    pub data: &'a [u8],
}

impl<'a> Forwarded<'a> {
    /// Reads a packet. A reply without sendback has nowhere to go and is none.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let (kind, len) = (r.u8()?, usize::from(r.u8()?));
        let this = Self { kind, sendback: r.take(len)?, data: r.rest() };
        let good = match kind {
            kind::FORWARDING => true,
            kind::FORWARD_REPLY => len > 0,
            _ => false,
        };
        (good && len <= SENDBACK_LEN_MAX && this.data.len() <= FORWARD_LEN_MAX).then_some(this)
    }

    /// Writes the packet.
    pub fn emit(&self, w: &mut Writer<'_>) {
        w.u8(self.kind).u8(self.sendback.len() as u8).bytes(self.sendback).bytes(self.data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DATAGRAM_MAX;
    use quickcheck::quickcheck;
    use std::vec::Vec;

    fn emitted(emit: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut buf = [0; DATAGRAM_MAX];
        let mut w = Writer::new(&mut buf);
        emit(&mut w);
        let len = w.len();
        buf[..len].to_vec()
    }

    #[test]
    fn sizes_are_those_of_toxcore() {
        assert_eq!((SENDBACK_LEN_MAX, FORWARD_LEN_MAX, CHAIN_MAX, CHAIN_STEP), (254, 1792, 4, 33));
        assert_eq!(SENDBACK_AT + SENDBACK_LEN_MAX + FORWARD_LEN_MAX, DATAGRAM_MAX);
        for (len, good) in [(32, false), (33, true), (33 + 1792, true), (34 + 1792, false)] {
            let mut bytes = std::vec![7; len];
            bytes[0] = kind::FORWARD_REQUEST;
            assert_eq!(ForwardRequest::parse(&bytes).is_some(), good, "{len}");
        }
        for (first, sendback, data, good) in [
            (0x91, 0, 0, true),
            (0x92, 0, 1, false),
            (0x92, 1, 0, true),
            (0x91, 254, 1792, true),
            (0x91, 254, 1793, false),
            (0x91, 255, 0, false),
            (0x93, 1, 1, false),
        ] {
            let mut bytes = std::vec![7; 2 + sendback + data];
            (bytes[0], bytes[1]) = (first, sendback as u8);
            assert_eq!(Forwarded::parse(&bytes).is_some(), good, "{first:#x} {sendback} {data}");
        }
        assert_eq!(Forwarded::parse(&[0x91, 3, 1, 2]), None, "the sendback is cut off");
    }

    #[test]
    fn a_chain_is_counted() {
        let mut bytes = Vec::new();
        for n in 1..=6_u8 {
            bytes.splice(0..0, [kind::FORWARD_REQUEST].into_iter().chain([n; 32]));
            let request = ForwardRequest::parse(&bytes).unwrap();
            assert_eq!((request.next, request.chain()), (PublicKey([n; 32]), usize::from(n)));
        }
    }

    quickcheck! {
        fn emit_after_parse_is_identity(reply: bool, sendback: Vec<u8>, data: Vec<u8>) -> bool {
            let mut bytes = std::vec![if reply { 0x92 } else { 0x91 }, sendback.len() as u8];
            bytes.extend(&sendback);
            bytes.extend(&data);
            let parsed = Forwarded::parse(&bytes);
            let forwarded = parsed.is_some_and(|p| p.sendback == sendback && emitted(|w| p.emit(w)) == bytes);
            let mut bytes = std::vec![0x90; 33];
            bytes.extend(&data);
            let request = ForwardRequest::parse(&bytes).is_some_and(|p| emitted(|w| p.emit(w)) == bytes);
            request && forwarded != (reply && sendback.is_empty())
        }

        fn arbitrary_bytes_do_no_harm(bytes: Vec<u8>) -> bool {
            ForwardRequest::parse(&bytes).is_none_or(|p| p.chain() > 0 && emitted(|w| p.emit(w)) == bytes)
                && Forwarded::parse(&bytes).is_none_or(|p| emitted(|w| p.emit(w)) == bytes)
        }
    }
}

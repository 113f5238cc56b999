//! DHT packets: ping, nodes, DHT request, LAN discovery, bootstrap info.
//!
//! Ping and nodes packets share one shape, `kind | sender's DHT key | nonce | box`; the box of a request is echoed in
//! part by its response (`id`, eight bytes that only their maker reads). Source: `DHT.c`, `ping.c`, wire-facts 2.2 and
//! 2.19.

use super::announcements::{
    ANSWER_LEN_MIN, RETRIEVE_LEN, RETRIEVE_RESPONSE_LEN_MAX, SEARCH_LENS, SEARCH_RESPONSE_LEN_MAX, STORE_LEN_MAX,
    STORE_LEN_MIN, STORE_RESPONSE_LEN,
};
use super::{NODE_LEN_MAX, NodeInfo, PackedNodes, Reader, Writer, kind};
use crate::crypto::{MAC_LEN, NONCE_LEN, Nonce, PUBLIC_KEY_LEN, PublicKey};

/// Where the box of a ping or nodes packet begins.
pub const BOX_AT: usize = 1 + PUBLIC_KEY_LEN + NONCE_LEN;
/// Where the plaintext of a ping or nodes packet stands once its box was opened in place.
pub const TEXT_AT: usize = BOX_AT + MAC_LEN;
/// Exact length of a ping request or response.
pub const PING_LEN: usize = TEXT_AT + PING_TEXT_LEN;
/// Exact length of a nodes request.
pub const NODES_REQUEST_LEN: usize = TEXT_AT + NODES_REQUEST_TEXT_LEN;
/// Nodes in a nodes response at most.
pub const NODES_MAX: usize = 4;
/// Length of the longest nodes response.
pub const NODES_RESPONSE_LEN_MAX: usize = TEXT_AT + 1 + NODES_MAX * NODE_LEN_MAX + ID_LEN;
/// Where the box of a DHT request begins.
pub const DHT_REQUEST_BOX_AT: usize = 1 + 2 * PUBLIC_KEY_LEN + NONCE_LEN;
/// Where the plaintext of a DHT request stands once its box was opened in place.
pub const DHT_REQUEST_TEXT_AT: usize = DHT_REQUEST_BOX_AT + MAC_LEN;
/// Length of the longest DHT request that we send (`DHT.h`, MAX_CRYPTO_REQUEST_SIZE).
pub const DHT_REQUEST_LEN_MAX: usize = 1024;
/// Length of the longest DHT request that is forwarded: one authenticator more.
pub const DHT_REQUEST_RELAYED_MAX: usize = DHT_REQUEST_LEN_MAX + MAC_LEN;
/// Exact length of a bootstrap info request; only its first byte has a meaning.
pub const INFO_REQUEST_LEN: usize = 78;
/// Length of the longest message of the day.
pub const MOTD_LEN_MAX: usize = 256;

/// First byte in a DHT request that is a NAT ping (`DHT.h`, CRYPTO_PACKET_NAT_PING).
pub const NAT_PING: u8 = 0xfe;

const ID_LEN: usize = 8;
const PING_TEXT_LEN: usize = 1 + ID_LEN;
const NODES_REQUEST_TEXT_LEN: usize = PUBLIC_KEY_LEN + ID_LEN;

/// `kind | sender | nonce | box`: 0x00, 0x01, 0x02, 0x04, and 0x93 to 0x98.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outer<'a> {
    /// The first byte.
    pub kind: u8,
    /// The sender's DHT public key.
    pub sender: PublicKey,
    /// The nonce of the box.
    pub nonce: Nonce,
    /// Authenticator and ciphertext.
    pub boxed: &'a [u8],
}

impl<'a> Outer<'a> {
    /// Splits a packet whose length suits its kind.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let kind = r.u8()?;
        let good_len = match kind {
            kind::PING_REQUEST | kind::PING_RESPONSE => bytes.len() == PING_LEN,
            kind::NODES_REQUEST => bytes.len() == NODES_REQUEST_LEN,
            kind::NODES_RESPONSE => (TEXT_AT + 1 + ID_LEN..=NODES_RESPONSE_LEN_MAX).contains(&bytes.len()),
            kind::DATA_SEARCH_REQUEST => SEARCH_LENS.contains(&bytes.len()),
            kind::DATA_SEARCH_RESPONSE => (ANSWER_LEN_MIN..=SEARCH_RESPONSE_LEN_MAX).contains(&bytes.len()),
            kind::DATA_RETRIEVE_REQUEST => bytes.len() == RETRIEVE_LEN,
            kind::DATA_RETRIEVE_RESPONSE => (ANSWER_LEN_MIN + 1..=RETRIEVE_RESPONSE_LEN_MAX).contains(&bytes.len()),
            kind::STORE_ANNOUNCE_REQUEST => (STORE_LEN_MIN..=STORE_LEN_MAX).contains(&bytes.len()),
            kind::STORE_ANNOUNCE_RESPONSE => bytes.len() == STORE_RESPONSE_LEN,
            _ => false,
        };
        let outer = Self { kind, sender: r.key()?, nonce: r.nonce()?, boxed: r.rest() };
        good_len.then_some(outer)
    }

    /// Writes the packet.
    pub fn emit(&self, w: &mut Writer<'_>) {
        Self::emit_header(w, self.kind, &self.sender, &self.nonce);
        w.bytes(self.boxed);
    }

    /// Writes all but the box.
    pub fn emit_header(w: &mut Writer<'_>, kind: u8, sender: &PublicKey, nonce: &Nonce) {
        w.u8(kind).bytes(&sender.0).bytes(&nonce.0);
    }
}

/// Plaintext of 0x00 and 0x01: `kind | id`. The kind is repeated, so that a request cannot be played back as its
/// response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// [`kind::PING_REQUEST`] or [`kind::PING_RESPONSE`].
    pub kind: u8,
    /// Echoed by the response.
    pub id: u64,
}

impl Ping {
    /// Reads exactly nine bytes.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut r = Reader::new(text);
        let kind = r.u8()?;
        let ping = Self { kind, id: r.u64()? };
        r.end()?;
        (kind == kind::PING_REQUEST || kind == kind::PING_RESPONSE).then_some(ping)
    }

    /// Writes nine bytes.
    pub fn emit(&self, w: &mut Writer<'_>) {
        w.u8(self.kind).u64(self.id);
    }
}

/// Plaintext of 0x02: `target | id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodesRequest {
    /// Nodes close to this key are wanted.
    pub target: PublicKey,
    /// Echoed by the response.
    pub id: u64,
}

impl NodesRequest {
    /// Reads exactly 40 bytes.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut r = Reader::new(text);
        let request = Self { target: r.key()?, id: r.u64()? };
        r.end()?;
        Some(request)
    }

    /// Writes 40 bytes.
    pub fn emit(&self, w: &mut Writer<'_>) {
        w.bytes(&self.target.0).u64(self.id);
    }
}

/// Plaintext of 0x04: `count | packed nodes | id`. No nodes at all are a valid answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodesResponse<'a> {
    /// Up to four UDP nodes.
    pub nodes: PackedNodes<'a>,
    /// From the request.
    pub id: u64,
}

impl<'a> NodesResponse<'a> {
    /// Reads a response: the count must be right and every byte belong to a node.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(text);
        let count = usize::from(r.u8()?);
        let nodes = PackedNodes::parse_udp(r.take(r.left().checked_sub(ID_LEN)?)?, NODES_MAX)?;
        let id = r.u64()?;
        (nodes.count() == count).then_some(Self { nodes, id })
    }

    /// Writes the response.
    pub fn emit(&self, w: &mut Writer<'_>) {
        w.u8(self.nodes.count() as u8).bytes(self.nodes.as_bytes()).u64(self.id);
    }

    /// Writes a response with the first four of `nodes`.
    pub fn emit_list(w: &mut Writer<'_>, nodes: &[NodeInfo], id: u64) {
        let nodes = &nodes[..nodes.len().min(NODES_MAX)];
        w.u8(nodes.len() as u8);
        nodes.iter().for_each(|node| node.emit(w));
        w.u64(id);
    }
}

/// 0x20, `kind | receiver | sender | nonce | box`: forwarded by nodes that know the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DhtRequest<'a> {
    /// DHT public key of the one who shall get it.
    pub receiver: PublicKey,
    /// DHT public key of the one who made it.
    pub sender: PublicKey,
    /// The nonce of the box.
    pub nonce: Nonce,
    /// Authenticator and ciphertext of `request id | data`.
    pub boxed: &'a [u8],
}

impl<'a> DhtRequest<'a> {
    /// Splits a packet of 106 to 1040 bytes.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let kind = r.u8()?;
        let request = Self { receiver: r.key()?, sender: r.key()?, nonce: r.nonce()?, boxed: r.rest() };
        let good =
            kind == kind::DHT_REQUEST && (DHT_REQUEST_TEXT_AT + 1..=DHT_REQUEST_RELAYED_MAX).contains(&bytes.len());
        good.then_some(request)
    }

    /// Writes the packet.
    pub fn emit(&self, w: &mut Writer<'_>) {
        Self::emit_header(w, &self.receiver, &self.sender, &self.nonce);
        w.bytes(self.boxed);
    }

    /// Writes all but the box.
    pub fn emit_header(w: &mut Writer<'_>, receiver: &PublicKey, sender: &PublicKey, nonce: &Nonce) {
        w.u8(kind::DHT_REQUEST).bytes(&receiver.0).bytes(&sender.0).bytes(&nonce.0);
    }
}

/// In a DHT request, behind [`NAT_PING`]: `0 or 1 | id`. Friends who both send it know that both look for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatPing {
    /// 1: the answer, with the id of the request.
    pub is_answer: bool,
    /// Echoed by the answer.
    pub id: u64,
}

impl NatPing {
    /// Its length, exactly.
    pub const LEN: usize = 1 + ID_LEN;

    /// Reads exactly nine bytes.
    #[must_use]
    pub fn parse(data: &[u8]) -> Option<Self> {
        let mut r = Reader::new(data);
        let kind = r.u8()?;
        let ping = Self { is_answer: kind == 1, id: r.u64()? };
        r.end()?;
        (kind <= 1).then_some(ping)
    }

    /// Writes nine bytes.
    pub fn emit(&self, w: &mut Writer<'_>) {
        w.u8(self.is_answer.into()).u64(self.id);
    }
}

/// 0x21, `kind | sender's DHT key`: here I am, to everybody in the local network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LanDiscovery {
    /// The sender's DHT public key.
    pub sender: PublicKey,
}

impl LanDiscovery {
    /// Its length.
    pub const LEN: usize = 1 + PUBLIC_KEY_LEN;

    /// Reads exactly 33 bytes.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        (r.u8()? == kind::LAN_DISCOVERY).then_some(())?;
        let this = Self { sender: r.key()? };
        r.end().map(|()| this)
    }

    /// Writes 33 bytes.
    pub fn emit(&self, w: &mut Writer<'_>) {
        w.u8(kind::LAN_DISCOVERY).bytes(&self.sender.0);
    }
}

/// The answer to a bootstrap info request: `0xf0 | version | message of the day`, as long as the message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InfoResponse<'a> {
    /// 1000000000 + major * 1000000 + minor * 1000 + patch for tox-bootstrapd.
    pub version: u32,
    /// Text for people.
    pub motd: &'a [u8],
}

impl<'a> InfoResponse<'a> {
    /// Reads an answer.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let kind = r.u8()?;
        let info = Self { version: r.u32()?, motd: r.rest() };
        (kind == kind::BOOTSTRAP_INFO && info.motd.len() <= MOTD_LEN_MAX).then_some(info)
    }

    /// Writes an answer; a message that is too long is cut.
    pub fn emit(&self, w: &mut Writer<'_>) {
        w.u8(kind::BOOTSTRAP_INFO).u32(self.version).bytes(&self.motd[..self.motd.len().min(MOTD_LEN_MAX)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Endpoint;
    use quickcheck::quickcheck;
    use std::vec::Vec;

    fn emitted(emit: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut buf = std::vec![0; 4096];
        let mut w = Writer::new(&mut buf);
        emit(&mut w);
        let len = w.len();
        buf.truncate(len);
        buf
    }

    /// Bytes of a given length that begin with `kind`.
    fn packet(kind: u8, len: usize, seed: u8) -> Vec<u8> {
        (0..len).map(|i| if i == 0 { kind } else { (i as u8).wrapping_mul(31).wrapping_add(seed) }).collect()
    }

    #[test]
    fn sizes_are_those_of_toxcore() {
        assert_eq!((PING_LEN, NODES_REQUEST_LEN, NODES_RESPONSE_LEN_MAX), (82, 113, 286));
        assert_eq!((BOX_AT, TEXT_AT, DHT_REQUEST_TEXT_AT), (57, 73, 105));
        let others = [(0x94, 113, 384), (0x95, 146, 146), (0x96, 114, 626), (0x97, 190, 702), (0x98, 125, 125)];
        for (kind, least, most) in [(0, 82, 82), (1, 82, 82), (2, 113, 113), (4, 82, 286)].into_iter().chain(others) {
            for len in 0..800 {
                let good = (least..=most).contains(&len);
                assert_eq!(Outer::parse(&packet(kind, len, 7)).is_some(), good, "kind {kind}, {len} bytes");
            }
        }
        for len in 0..800 {
            assert_eq!(Outer::parse(&packet(0x93, len, 7)).is_some(), len == 113 || len == 145, "{len}");
            assert_eq!(LanDiscovery::parse(&packet(0x21, len, 7)).is_some(), len == 33, "{len}");
        }
        for len in [0, 1, 105, 106, 1024, 1040, 1041] {
            assert_eq!(DhtRequest::parse(&packet(0x20, len, 7)).is_some(), (106..=1040).contains(&len), "{len}");
        }
    }

    /// Vectors written out by hand from wire-facts 2.2.
    #[test]
    fn plaintexts_have_the_documented_layout() {
        let ping = Ping { kind: 1, id: 0x0102_0304_0506_0708 };
        assert_eq!(emitted(|w| ping.emit(w)), [1, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(Ping::parse(&[2, 1, 2, 3, 4, 5, 6, 7, 8]), None);
        let node = NodeInfo { key: PublicKey([9; 32]), at: Endpoint::v4([1, 2, 3, 4], 0x8265) };
        let mut expected = std::vec![1, 2, 1, 2, 3, 4, 0x82, 0x65];
        expected.extend([9; 32]);
        expected.extend([0, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(emitted(|w| NodesResponse::emit_list(w, &[node], 5)), expected);
        assert_eq!(NodesResponse::parse(&expected).unwrap().nodes.udp().next(), Some(node));
        expected[0] = 2;
        assert_eq!(NodesResponse::parse(&expected), None, "the count must be right");
        assert_eq!(NodesResponse::parse(&[0, 0, 0, 0, 0, 0, 0, 0, 5]).map(|r| r.nodes.count()), Some(0));
        let info = InfoResponse { version: 1_000_002_023, motd: b"hi" };
        assert_eq!(emitted(|w| info.emit(w)), [0xf0, 0x3b, 0x9a, 0xd1, 0xe7, b'h', b'i']);
    }

    quickcheck! {
        fn emit_after_parse_is_identity(seed: u8, len: u16, nodes: Vec<(bool, u128, u16, u8)>, id: u64) -> bool {
            let outer = [(0, 82), (1, 82), (2, 113), (4, 82 + usize::from(len) % 205)].iter().all(|&(kind, len)| {
                let bytes = packet(kind, len, seed);
                Outer::parse(&bytes).is_some_and(|p| emitted(|w| p.emit(w)) == bytes)
            });
            let bytes = packet(0x20, 106 + usize::from(len) % 935, seed);
            let request = DhtRequest::parse(&bytes).is_some_and(|p| emitted(|w| p.emit(w)) == bytes);
            let bytes = packet(0xf0, 5 + usize::from(len) % 257, seed);
            let info = InfoResponse::parse(&bytes).is_some_and(|p| emitted(|w| p.emit(w)) == bytes);
            let bytes = packet(0x21, 33, seed);
            let lan = LanDiscovery::parse(&bytes).is_some_and(|p| emitted(|w| p.emit(w)) == bytes);
            let bytes = packet(seed % 2, 9, seed);
            let ping = Ping::parse(&bytes).is_some_and(|p| emitted(|w| p.emit(w)) == bytes);
            let bytes = packet(seed, 40, seed);
            let target = NodesRequest::parse(&bytes).is_some_and(|p| emitted(|w| p.emit(w)) == bytes);
            let nodes: Vec<_> = nodes.iter().take(4).map(|&(v6, ip, port, key)| {
                let ip = if v6 { core::net::IpAddr::V6(ip.into()) } else { core::net::IpAddr::V4((ip as u32).into()) };
                NodeInfo { key: PublicKey([key; 32]), at: Endpoint::new(ip, port) }
            }).collect();
            let bytes = emitted(|w| NodesResponse::emit_list(w, &nodes, id));
            let response = NodesResponse::parse(&bytes).is_some_and(|p| {
                p.id == id && p.nodes.udp().eq(nodes.iter().copied()) && emitted(|w| p.emit(w)) == bytes
            });
            outer && request && info && lan && ping && target && response
        }

        fn arbitrary_bytes_do_no_harm(bytes: Vec<u8>) -> bool {
            let again = |copy: Vec<u8>| copy == bytes;
            Outer::parse(&bytes).is_none_or(|p| again(emitted(|w| p.emit(w))))
                && Ping::parse(&bytes).is_none_or(|p| again(emitted(|w| p.emit(w))))
                && NodesRequest::parse(&bytes).is_none_or(|p| again(emitted(|w| p.emit(w))))
                && NodesResponse::parse(&bytes).is_none_or(|p| again(emitted(|w| p.emit(w))))
                && DhtRequest::parse(&bytes).is_none_or(|p| again(emitted(|w| p.emit(w))))
                && LanDiscovery::parse(&bytes).is_none_or(|p| again(emitted(|w| p.emit(w))))
                && InfoResponse::parse(&bytes).is_none_or(|p| again(emitted(|w| p.emit(w))))
                && NatPing::parse(&bytes).is_none_or(|p| again(emitted(|w| p.emit(w))))
        }
    }
}

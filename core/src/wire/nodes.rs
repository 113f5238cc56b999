//! Packed nodes: `family(1) | ip(4 or 16) | port(2) | public key(32)`, 39 or 51 bytes.

use super::{Reader, Writer};
use crate::Endpoint;
use crate::crypto::PublicKey;
use core::net::IpAddr;

/// Length of the longer (IPv6) form.
pub const NODE_LEN_MAX: usize = 51;

const UDP_V4: u8 = 2;
const UDP_V6: u8 = 10;
const TCP_V4: u8 = 130;
const TCP_V6: u8 = 138;

/// Length of the longer (IPv6) form of an address alone.
pub const ADDRESS_LEN_MAX: usize = 19;

/// Writes an address alone: `family(1) | ip(4 or 16) | port(2)`, UDP.
pub fn emit_address(at: Endpoint, w: &mut Writer<'_>) {
    match at.ip() {
        IpAddr::V4(ip) => w.u8(UDP_V4).bytes(&ip.octets()),
        IpAddr::V6(ip) => w.u8(UDP_V6).bytes(&ip.octets()),
    };
    w.u16(at.port());
}

/// Reads an address alone, UDP only.
pub fn parse_address(r: &mut Reader<'_>) -> Option<Endpoint> {
    let ip: IpAddr = match r.u8()? {
        UDP_V4 => (*r.array::<4>()?).into(),
        UDP_V6 => (*r.array::<16>()?).into(),
        _ => return None,
    };
    Some(Endpoint::new(ip, r.u16()?))
}

/// A DHT node: its key and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its DHT public key.
    pub key: PublicKey,
    /// Its address.
    pub at: Endpoint,
}

/// A few nodes on the stack.
pub type NodeList = heapless::Vec<NodeInfo, 4>;

impl NodeInfo {
    /// Writes the packed form of a UDP node.
    pub fn emit(&self, w: &mut Writer<'_>) {
        self.emit_as(w, UDP_V4, UDP_V6);
    }

    /// Writes the packed form of a TCP relay.
    pub fn emit_tcp(&self, w: &mut Writer<'_>) {
        self.emit_as(w, TCP_V4, TCP_V6);
    }

    /// Length of the packed form.
    #[must_use]
    pub const fn packed_len(&self) -> usize {
        match self.at.ip() {
            IpAddr::V4(_) => 39,
            IpAddr::V6(_) => NODE_LEN_MAX,
        }
    }

    fn emit_as(&self, w: &mut Writer<'_>, v4: u8, v6: u8) {
        match self.at.ip() {
            IpAddr::V4(ip) => w.u8(v4).bytes(&ip.octets()),
            IpAddr::V6(ip) => w.u8(v6).bytes(&ip.octets()),
        };
        w.u16(self.at.port()).bytes(&self.key.0);
    }

    /// Reads one packed node; true beside it when it is a TCP relay.
    pub(crate) fn parse(r: &mut Reader<'_>) -> Option<(Self, bool)> {
        let family = r.u8()?;
        let ip: IpAddr = match family {
            UDP_V4 | TCP_V4 => (*r.array::<4>()?).into(),
            UDP_V6 | TCP_V6 => (*r.array::<16>()?).into(),
            _ => return None,
        };
        let port = r.u16()?;
        let key = r.key()?;
        Some((Self { key, at: Endpoint::new(ip, port) }, family == TCP_V4 || family == TCP_V6))
    }
}

/// A run of packed nodes that has been checked: every byte of it belongs to a well-formed node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedNodes<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> PackedNodes<'a> {
    /// No nodes.
    pub const EMPTY: Self = Self { bytes: &[], count: 0 };

    /// Checks a run of UDP nodes that fills `bytes`; `max` nodes at most. TCP relays are refused, as toxcore does in
    /// nodes and announce responses.
    #[must_use]
    pub fn parse_udp(bytes: &'a [u8], max: usize) -> Option<Self> {
        Self::parse(bytes, max, false)
    }

    /// Checks a run of UDP nodes and TCP relays that fills `bytes`; `max` at most.
    #[must_use]
    pub fn parse_any(bytes: &'a [u8], max: usize) -> Option<Self> {
        Self::parse(bytes, max, true)
    }

    fn parse(bytes: &'a [u8], max: usize, tcp_allowed: bool) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let mut count = 0;
        while r.left() > 0 {
            let (_, tcp) = NodeInfo::parse(&mut r)?;
            count += 1;
            if count > max || tcp && !tcp_allowed {
                return None;
            }
        }
        Some(Self { bytes, count })
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The packed form.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The UDP nodes among them.
    pub fn udp(&self) -> impl Iterator<Item = NodeInfo> + Clone + use<'a> {
        self.all().filter_map(|(node, tcp)| (!tcp).then_some(node))
    }

    /// The TCP relays among them.
    pub fn tcp(&self) -> impl Iterator<Item = NodeInfo> + Clone + use<'a> {
        self.all().filter_map(|(node, tcp)| tcp.then_some(node))
    }

    fn all(&self) -> impl Iterator<Item = (NodeInfo, bool)> + Clone + use<'a> {
        let mut r = Reader::new(self.bytes);
        core::iter::from_fn(move || NodeInfo::parse(&mut r))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::vec::Vec;

    quickcheck! {
        fn emit_after_parse_is_identity(nodes: Vec<(bool, bool, u128, u16, u8)>) -> bool {
            let mut buf = std::vec![0; nodes.len() * NODE_LEN_MAX];
            let mut w = Writer::new(&mut buf);
            for &(v6, tcp, ip, port, key) in &nodes {
                // An IPv4-mapped IPv6 address is normalised and so changes its packed form.
                let ip = if v6 { IpAddr::V6((ip | 1 << 127).into()) } else { IpAddr::V4((ip as u32).into()) };
                let node = NodeInfo { key: PublicKey([key; 32]), at: Endpoint::new(ip, port) };
                if tcp { node.emit_tcp(&mut w) } else { node.emit(&mut w) }
            }
            let len = w.len();
            let bytes = &buf[..len];
            let Some(packed) = PackedNodes::parse_any(bytes, nodes.len()) else { return false };
            let mut again = std::vec![0; len];
            let mut w = Writer::new(&mut again);
            for (node, tcp) in packed.all() {
                if tcp { node.emit_tcp(&mut w) } else { node.emit(&mut w) }
            }
            let udp_only = nodes.iter().all(|n| !n.1);
            w.len() == len && again == bytes && packed.count() == nodes.len()
                && PackedNodes::parse_udp(bytes, nodes.len()).is_some() == udp_only
                && (nodes.is_empty() || PackedNodes::parse_any(bytes, nodes.len() - 1).is_none())
        }

        fn arbitrary_bytes_do_no_harm(bytes: Vec<u8>) -> bool {
            PackedNodes::parse_any(&bytes, 8).is_none_or(|p| p.udp().count() + p.tcp().count() == p.count())
        }
    }
}

//! Onion packets: how a request travels through three relays to a node, and what it asks there.
//!
//! A client wraps a request in three boxes (0x80). Each relay opens one, sends the rest on (0x81, 0x82, then the bare
//! request), and appends a *return header* that only it can open. The node answers with 0x8c, which carries the three
//! return headers back; each relay opens its own (0x8d, 0x8e), and the first hands the bare answer to the client.
//! [`path`] has these layers, [`announce`], [`data`] and [`group`] what is inside. Sources: `onion.h`,
//! `onion_announce.h`; wire-facts 2.4, 2.5.

pub mod announce;
pub mod data;
pub mod group;
pub mod path;
#[cfg(test)]
mod tests;

pub use announce::{ANNOUNCE_REQUEST_LEN, AnnounceHeader, AnnounceRequest, AnnounceResponse, ResponseHeader, Stored};
pub use data::{DATA_MAX, DataHeader, DataKeys, DataRequestHeader, DhtKeyAnnounce, FriendRequest};
pub use group::{ChatId, GroupAnnounce, GroupAnnounces, PublicAnnounce};
pub use path::{Hop, PAYLOAD_AT, RELAYED_AT, RETURN_1, RETURN_2, RETURN_3, wrap, wrap_relayed};

use super::{Reader, Writer, kind};
use crate::Endpoint;
use core::net::IpAddr;

/// Longest packet between client, relays and node.
pub const PACKET_MAX: usize = 1400;

/// Length of an address in onion layers.
pub const ONION_ADDR_LEN: usize = 19;

const FAMILY_V4: u8 = 2;
const FAMILY_V6: u8 = 10;

/// Writes an address: family 1, ip 16 (IPv4 in the first four, then zeros), port 2.
pub fn emit_addr(at: Endpoint, w: &mut Writer<'_>) {
    match at.ip() {
        IpAddr::V4(ip) => w.u8(FAMILY_V4).bytes(&ip.octets()).bytes(&[0; 12]),
        IpAddr::V6(ip) => w.u8(FAMILY_V6).bytes(&ip.octets()),
    };
    w.u16(at.port());
}

/// Reads an address. `None` for families other than UDP over IPv4 and IPv6, which relays refuse.
pub fn parse_addr(r: &mut Reader<'_>) -> Option<Endpoint> {
    let family = r.u8()?;
    let ip = r.array::<16>()?;
    let port = r.u16()?;
    let ip: IpAddr = match family {
        FAMILY_V4 => [ip[0], ip[1], ip[2], ip[3]].into(),
        FAMILY_V6 => (*ip).into(),
        _ => return None,
    };
    Some(Endpoint::new(ip, port))
}

/// What the last relay may hand to a node (`onion.c`: nothing else, or relays could be used to hide any traffic).
#[must_use]
pub const fn is_request(kind: u8) -> bool {
    matches!(kind, kind::ANNOUNCE_REQUEST | kind::GROUP_ANNOUNCE_REQUEST | kind::ONION_DATA_REQUEST)
}

/// What relays carry back to a client.
#[must_use]
pub const fn is_response(kind: u8) -> bool {
    matches!(kind, kind::ANNOUNCE_RESPONSE | kind::GROUP_ANNOUNCE_RESPONSE | kind::ONION_DATA_RESPONSE)
}

//! TCP relays: the handshake of a connection, and the packets in its frames.
//!
//! ```text
//! client  key 32 | nonce 24 | box{ temporary key 32 | base nonce 24 }     128 bytes, box to the relay's DHT key
//! relay             nonce 24 | box{ temporary key 32 | base nonce 24 }      96 bytes, box to the client's key
//! then    length 2 | box{ packet }                                       and so on, both ways
//! ```
//! A frame's box is of the two temporary keys; its nonce is the base nonce *of its sender*, counted up by one for each
//! frame. The length counts the box. Sources: `TCP_common.h`; wire-facts 2.0 (E2), 2.11, 2.12.

use super::forwarding::FORWARD_LEN_MAX;
use super::{Reader, Writer, emit_address, parse_address};
use crate::Endpoint;
use crate::crypto::{MAC_LEN, NONCE_LEN, Nonce, PUBLIC_KEY_LEN, PublicKey};

/// Where the box of a client's handshake begins.
pub const CLIENT_HELLO_BOX: usize = PUBLIC_KEY_LEN + NONCE_LEN;
/// Length of a client's handshake.
pub const CLIENT_HELLO_LEN: usize = CLIENT_HELLO_BOX + MAC_LEN + HelloText::LEN;
/// Where the box of a relay's handshake begins.
pub const RELAY_HELLO_BOX: usize = NONCE_LEN;
/// Length of a relay's handshake.
pub const RELAY_HELLO_LEN: usize = RELAY_HELLO_BOX + MAC_LEN + HelloText::LEN;

/// Length of what stands before a frame's box.
pub const FRAME_HEAD: usize = 2;
/// Where the packet of a frame stands once its box is open.
pub const FRAME_TEXT: usize = FRAME_HEAD + MAC_LEN;
/// The largest box (`TCP_common.h`, MAX_PACKET_SIZE).
pub const FRAME_BOX_MAX: usize = 2048;
/// The longest frame.
pub const FRAME_LEN_MAX: usize = FRAME_HEAD + FRAME_BOX_MAX;
/// The longest packet.
pub const PACKET_LEN_MAX: usize = FRAME_BOX_MAX - MAC_LEN;

/// The first of the ids that stand for a peer.
pub const ROUTE_FIRST: u8 = 16;
/// How many ids there are: with so many peers at once a client can speak through one connection.
pub const ROUTES: usize = 256 - ROUTE_FIRST as usize;
/// Longest data of an out-of-band packet.
pub const OOB_LEN_MAX: usize = 1024;

/// The first byte of a packet. From 16 on it is the id of the peer whose data follows.
pub mod packet {
    #![allow(missing_docs, reason = "the names are the protocol's own")]
    pub const ROUTING_REQUEST: u8 = 0;
    pub const ROUTING_RESPONSE: u8 = 1;
    pub const CONNECTION_NOTIFICATION: u8 = 2;
    pub const DISCONNECT_NOTIFICATION: u8 = 3;
    pub const PING: u8 = 4;
    pub const PONG: u8 = 5;
    pub const OOB_SEND: u8 = 6;
    pub const OOB_RECV: u8 = 7;
    pub const ONION_REQUEST: u8 = 8;
    pub const ONION_RESPONSE: u8 = 9;
    pub const FORWARD_REQUEST: u8 = 10;
    pub const FORWARDING: u8 = 11;
}

/// What is in the box of both handshakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelloText {
    /// The sender's temporary key of this connection.
    pub temporary: PublicKey,
    /// The nonce of the first frame that the sender of this seals.
    pub base: Nonce,
}

impl HelloText {
    /// Its length.
    pub const LEN: usize = PUBLIC_KEY_LEN + NONCE_LEN;

    /// Reads the 56 bytes.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut r = Reader::new(text);
        let this = Self { temporary: r.key()?, base: r.nonce()? };
        r.end().map(|()| this)
    }

    /// Writes the 56 bytes.
    pub fn emit(&self, out: &mut [u8]) {
        Writer::new(out).bytes(&self.temporary.0).bytes(&self.base.0);
    }
}

/// A packet in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayPacket<'a> {
    /// Client: let me speak with this peer, when it asks for me too.
    RoutingRequest(PublicKey),
    /// Relay: the peer has this id from now on. An id below 16 says no.
    RoutingResponse {
        /// The id.
        id: u8,
        /// The peer.
        peer: PublicKey,
    },
    /// Relay: both sides have asked for each other, data may flow.
    ConnectionNotification(u8),
    /// Relay: the peer has left. Client: this id is free again.
    DisconnectNotification(u8),
    /// Are you there?
    Ping(u64),
    /// Yes.
    Pong(u64),
    /// Client: to somebody who has not asked for us.
    OobSend {
        /// To whom.
        to: PublicKey,
        /// 1 to 1024 bytes.
        data: &'a [u8],
    },
    /// Relay: from somebody whom we perhaps have not asked for.
    OobRecv {
        /// From whom.
        from: PublicKey,
        /// 1 to 1024 bytes.
        data: &'a [u8],
    },
    /// Client: an onion packet without its first layer, which the frame is: nonce, address, then what stands behind the
    /// nonce of a packet 0x81.
    OnionRequest(&'a [u8]),
    /// Relay: the answer, beginning with its kind.
    OnionResponse(&'a [u8]),
    /// Client: to be sent to this node as forwarding (0x91).
    ForwardRequest {
        /// Where the node is.
        to: Endpoint,
        /// At most 1792 bytes.
        data: &'a [u8],
    },
    /// Relay: what that node replied.
    Forwarding(&'a [u8]),
    /// To or from the peer with this id, 16 to 255.
    Data {
        /// Which peer.
        id: u8,
        /// What, perhaps nothing.
        data: &'a [u8],
    },
}

impl<'a> RelayPacket<'a> {
    /// Reads a packet. `None` for any length or kind that is not the protocol's: such a connection is closed.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(text);
        let this = match r.u8()? {
            packet::ROUTING_REQUEST => Self::RoutingRequest(r.key()?),
            packet::ROUTING_RESPONSE => Self::RoutingResponse { id: r.u8()?, peer: r.key()? },
            packet::CONNECTION_NOTIFICATION => Self::ConnectionNotification(r.u8()?),
            packet::DISCONNECT_NOTIFICATION => Self::DisconnectNotification(r.u8()?),
            packet::PING => Self::Ping(r.u64()?),
            packet::PONG => Self::Pong(r.u64()?),
            packet::OOB_SEND => Self::OobSend { to: r.key()?, data: oob(r.rest())? },
            packet::OOB_RECV => Self::OobRecv { from: r.key()?, data: oob(r.rest())? },
            packet::ONION_REQUEST => Self::OnionRequest(r.rest()),
            packet::ONION_RESPONSE => Self::OnionResponse(r.rest()),
            packet::FORWARD_REQUEST => Self::ForwardRequest { to: parse_address(&mut r)?, data: forward(r.rest())? },
            packet::FORWARDING => Self::Forwarding(r.rest()),
            id @ ROUTE_FIRST.. => Self::Data { id, data: r.rest() },
            _ => return None,
        };
        r.end().map(|()| this)
    }

    /// Writes the packet. It must fit: [`PACKET_LEN_MAX`] at most.
    pub fn emit(&self, w: &mut Writer<'_>) {
        match *self {
            Self::RoutingRequest(peer) => w.u8(packet::ROUTING_REQUEST).bytes(&peer.0),
            Self::RoutingResponse { id, peer } => w.u8(packet::ROUTING_RESPONSE).u8(id).bytes(&peer.0),
            Self::ConnectionNotification(id) => w.u8(packet::CONNECTION_NOTIFICATION).u8(id),
            Self::DisconnectNotification(id) => w.u8(packet::DISCONNECT_NOTIFICATION).u8(id),
            Self::Ping(id) => w.u8(packet::PING).u64(id),
            Self::Pong(id) => w.u8(packet::PONG).u64(id),
            Self::OobSend { to, data } => w.u8(packet::OOB_SEND).bytes(&to.0).bytes(data),
            Self::OobRecv { from, data } => w.u8(packet::OOB_RECV).bytes(&from.0).bytes(data),
            Self::OnionRequest(rest) => w.u8(packet::ONION_REQUEST).bytes(rest),
            Self::OnionResponse(rest) => w.u8(packet::ONION_RESPONSE).bytes(rest),
            Self::ForwardRequest { to, data } => {
                emit_address(to, w.u8(packet::FORWARD_REQUEST));
                w.bytes(data)
            }
            Self::Forwarding(data) => w.u8(packet::FORWARDING).bytes(data),
            Self::Data { id, data } => w.u8(id).bytes(data),
        };
    }
}

/// The place of an id among the 240; `None` for those that stand for no peer.
#[must_use]
pub fn route_place(id: u8) -> Option<usize> {
    id.checked_sub(ROUTE_FIRST).map(usize::from)
}

/// Length of a frame, told by its first two bytes: `Ok(None)` when they are not there yet.
///
/// # Errors
/// A length that no frame has: no packet, or more than 2048 bytes of box.
pub fn frame_len(bytes: &[u8]) -> Result<Option<usize>, BadLength> {
    let Some(head) = bytes.first_chunk::<FRAME_HEAD>() else { return Ok(None) };
    let boxed = usize::from(u16::from_be_bytes(*head));
    if (MAC_LEN + 1..=FRAME_BOX_MAX).contains(&boxed) { Ok(Some(FRAME_HEAD + boxed)) } else { Err(BadLength) }
}

/// A frame that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLength;

fn oob(data: &[u8]) -> Option<&[u8]> {
    (1..=OOB_LEN_MAX).contains(&data.len()).then_some(data)
}

fn forward(data: &[u8]) -> Option<&[u8]> {
    (data.len() <= FORWARD_LEN_MAX).then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::vec;
    use std::vec::Vec;

    fn emitted(packet: &RelayPacket<'_>) -> Vec<u8> {
        let mut buf = [0; PACKET_LEN_MAX];
        let mut w = Writer::new(&mut buf);
        packet.emit(&mut w);
        let len = w.len();
        buf[..len].to_vec()
    }

    #[test]
    fn sizes_are_those_of_toxcore() {
        assert_eq!((CLIENT_HELLO_LEN, RELAY_HELLO_LEN), (128, 96));
        assert_eq!((FRAME_LEN_MAX, PACKET_LEN_MAX, ROUTES), (2050, 2032, 240));
        assert_eq!((route_place(15), route_place(16), route_place(255)), (None, Some(0), Some(239)));
    }

    #[test]
    fn lengths_of_frames() {
        assert_eq!((frame_len(&[]), frame_len(&[8])), (Ok(None), Ok(None)));
        assert_eq!((frame_len(&[0, 17]), frame_len(&[8, 0, 1])), (Ok(Some(19)), Ok(Some(2050))));
        for bad in [[0, 0], [0, 1], [0, 16], [8, 1], [255, 255]] {
            assert_eq!(frame_len(&bad), Err(BadLength));
        }
    }

    #[test]
    fn every_kind_is_read_as_it_is_written() {
        let (peer, at) = (PublicKey([7; 32]), Endpoint::v4([192, 0, 2, 1], 33445));
        let v6 = Endpoint::new("2001:db8::1".parse().unwrap(), 1);
        let packets = [
            RelayPacket::RoutingRequest(peer),
            RelayPacket::RoutingResponse { id: 16, peer },
            RelayPacket::RoutingResponse { id: 0, peer },
            RelayPacket::ConnectionNotification(255),
            RelayPacket::DisconnectNotification(16),
            RelayPacket::Ping(1 << 60),
            RelayPacket::Pong(3),
            RelayPacket::OobSend { to: peer, data: &[1; OOB_LEN_MAX] },
            RelayPacket::OobRecv { from: peer, data: b"x" },
            RelayPacket::OnionRequest(b"onion"),
            RelayPacket::OnionResponse(b"\x84 answer"),
            RelayPacket::ForwardRequest { to: at, data: &[2; FORWARD_LEN_MAX] },
            RelayPacket::ForwardRequest { to: v6, data: b"" },
            RelayPacket::Forwarding(b"reply"),
            RelayPacket::Data { id: 16, data: b"" },
            RelayPacket::Data { id: 255, data: &[3; PACKET_LEN_MAX - 1] },
        ];
        for packet in &packets {
            assert_eq!(RelayPacket::parse(&emitted(packet)), Some(*packet));
        }
    }

    #[test]
    fn other_lengths_and_kinds_are_not_read() {
        let mut bad = vec![vec![], vec![packet::OOB_SEND; 33], vec![packet::OOB_RECV; 34 + OOB_LEN_MAX]];
        for (kind, len) in [(0, 33), (1, 34), (2, 2), (3, 2), (4, 9), (5, 9)] {
            bad.extend([vec![kind; len - 1], vec![kind; len + 1]]);
        }
        bad.extend((12..16).map(|kind| vec![kind; 40]));
        bad.push([&[10, 130, 1, 2, 3, 4, 0, 1][..], b"TCP is no family to forward to"].concat());
        bad.push([&[10, 2, 1, 2, 3, 4, 0, 1][..], &[0; FORWARD_LEN_MAX + 1]].concat());
        for text in bad {
            assert_eq!(RelayPacket::parse(&text), None, "{text:?}");
        }
    }

    quickcheck! {
        /// What is read is written as it was, but for addresses, which are normalised.
        fn written_as_read(kind: u8, rest: Vec<u8>) -> bool {
            let text = [&[kind][..], &rest].concat();
            match RelayPacket::parse(&text) {
                Some(packet @ RelayPacket::ForwardRequest { .. }) => {
                    RelayPacket::parse(&emitted(&packet)) == Some(packet)
                }
                Some(packet) => emitted(&packet) == text,
                None => true,
            }
        }

        fn hellos_are_written_as_read(temporary: u8, base: u8) -> bool {
            let text = HelloText { temporary: PublicKey([temporary; 32]), base: Nonce([base; 24]) };
            let mut buf = [0; HelloText::LEN];
            text.emit(&mut buf);
            HelloText::parse(&buf) == Some(text) && HelloText::parse(&buf[1..]).is_none()
        }
    }
}

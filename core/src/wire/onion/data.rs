//! Data for somebody whose announcement a node holds: the node sends it on along the announcement's return path.
//!
//! ```text
//! 0x85  kind | receiver's long-term key | nonce | temporary key | box
//! 0x86  kind | nonce | temporary key | box
//! box   { sender's long-term key | box{ data } }     outer: temporary key to data key; inner: between long-term keys
//! data  0x20 | nospam 4 | message                                        friend request
//!       0x9c | no replay 8 | sender's DHT key | packed nodes, at most 4  DHT key announce
//! ```
//! Both boxes have the same nonce and different keys.

use super::super::{PackedNodes, Reader, Writer, kind};
use crate::crypto::{MAC_LEN, NONCE_LEN, NOSPAM_LEN, Nonce, Nospam, PUBLIC_KEY_LEN, PublicKey, SharedKey, Suite};

/// Most data that toxcore's receivers accept (`onion_client.c` compares the whole packet with the sender's limit).
pub const DATA_MAX: usize = 948;

/// Where the data stands in 0x85 before it is sealed.
pub const REQUEST_DATA_AT: usize = REQUEST_BOX_AT + BOX_DATA_AT;
/// Shortest 0x85 that a node must see *exceeded*, without the return header.
pub const REQUEST_OVER: usize = REQUEST_BOX_AT + MAC_LEN;
/// Where the box starts in 0x86.
pub const RESPONSE_BOX_AT: usize = 1 + NONCE_LEN + PUBLIC_KEY_LEN;
/// Where the sender's long-term key stands in 0x86 once the outer box is open.
pub const RESPONSE_SENDER_AT: usize = RESPONSE_BOX_AT + MAC_LEN;
/// Where the inner box starts in 0x86 once the outer is open.
pub const RESPONSE_INNER_AT: usize = RESPONSE_SENDER_AT + PUBLIC_KEY_LEN;
/// Where the data stands in 0x86 once both boxes are open.
pub const RESPONSE_DATA_AT: usize = RESPONSE_BOX_AT + BOX_DATA_AT;
/// Longest 0x86 that is accepted.
pub const RESPONSE_LEN_MAX: usize = RESPONSE_DATA_AT + DATA_MAX;

/// Where the outer box starts in 0x85.
const REQUEST_BOX_AT: usize = 1 + PUBLIC_KEY_LEN + NONCE_LEN + PUBLIC_KEY_LEN;
/// Where the data stands in the outer box.
const BOX_DATA_AT: usize = MAC_LEN + PUBLIC_KEY_LEN + MAC_LEN;

/// First byte of data that is a friend request.
pub const FRIEND_REQUEST: u8 = 0x20;
/// First byte of data that announces a DHT key.
pub const DHT_KEY_ANNOUNCE: u8 = 0x9c;
/// Longest message of a friend request (`tox.h`).
pub const FRIEND_MESSAGE_MAX: usize = 921;
/// Most nodes in a DHT key announce.
pub const DHT_KEY_NODES_MAX: usize = 4;

/// Keys of one piece of data.
#[derive(Clone, Copy, Debug)]
pub struct DataKeys<'a> {
    /// The receiver's long-term key.
    pub receiver: &'a PublicKey,
    /// Our long-term key.
    pub sender: &'a PublicKey,
    /// A key made for this packet alone.
    pub temporary: &'a PublicKey,
    /// Our long-term secret with the receiver's long-term key.
    pub inner: &'a SharedKey,
    /// The temporary secret with the receiver's announced data key.
    pub outer: &'a SharedKey,
}

impl DataKeys<'_> {
    /// Seals the `len` bytes (at most [`DATA_MAX`]) at `buf[REQUEST_DATA_AT..]` in place into a packet (0x85); returns
    /// its length.
    pub fn seal(&self, suite: &impl Suite, nonce: &Nonce, buf: &mut [u8], len: usize) -> usize {
        debug_assert!(len > 0 && len <= DATA_MAX);
        let end = REQUEST_DATA_AT + len;
        suite.seal(self.inner, nonce, &mut buf[REQUEST_DATA_AT - MAC_LEN..end]);
        let mut w = Writer::new(buf);
        w.u8(kind::ONION_DATA_REQUEST).bytes(&self.receiver.0).bytes(&nonce.0).bytes(&self.temporary.0);
        w.skip(MAC_LEN).bytes(&self.sender.0);
        suite.seal(self.outer, nonce, &mut buf[REQUEST_BOX_AT..end]);
        end
    }
}

/// The readable front of 0x85.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataRequestHeader {
    /// For whom it is, by long-term key. The rest is the packet (0x86) for them without its first byte.
    pub receiver: PublicKey,
}

impl DataRequestHeader {
    /// Where that rest starts.
    pub const REST_AT: usize = 1 + PUBLIC_KEY_LEN;

    /// Reads the front of a packet.
    #[must_use]
    pub fn parse(packet: &[u8]) -> Option<Self> {
        Some(Self { receiver: Reader::new(packet.get(1..)?).key()? })
    }
}

/// The readable front of 0x86.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataHeader {
    /// Nonce of both boxes.
    pub nonce: Nonce,
    /// The key of the outer box.
    pub temporary: PublicKey,
}

impl DataHeader {
    /// Reads the front of a packet and checks its length. The outer box, for our onion data key, starts at
    /// [`RESPONSE_BOX_AT`]; then the sender stands at [`RESPONSE_SENDER_AT`], and the inner box, for our long-term key,
    /// starts at [`RESPONSE_INNER_AT`]; then the data stands at [`RESPONSE_DATA_AT`] and is not empty.
    #[must_use]
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let fits = packet.len() > RESPONSE_DATA_AT && packet.len() <= RESPONSE_LEN_MAX;
        let mut r = Reader::new(packet.get(1..)?);
        if fits { Some(Self { nonce: r.nonce()?, temporary: r.key()? }) } else { None }
    }
}

/// Data that tells a friend where to find us in the DHT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DhtKeyAnnounce<'a> {
    /// Must grow from announce to announce: unix time in seconds. Smaller ones are ignored by the receiver.
    pub no_replay: u64,
    /// The sender's DHT key.
    pub dht_key: PublicKey,
    /// TCP relays and DHT nodes near the sender.
    pub nodes: PackedNodes<'a>,
}

impl<'a> DhtKeyAnnounce<'a> {
    /// Reads the data, first byte included.
    #[must_use]
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(data);
        if r.u8()? != DHT_KEY_ANNOUNCE {
            return None;
        }
        let (no_replay, dht_key) = (r.u64()?, r.key()?);
        Some(Self { no_replay, dht_key, nodes: PackedNodes::parse_any(r.rest(), DHT_KEY_NODES_MAX)? })
    }

    /// Writes the data, first byte included.
    pub fn emit(&self, w: &mut Writer<'_>) {
        w.u8(DHT_KEY_ANNOUNCE).u64(self.no_replay).bytes(&self.dht_key.0).bytes(self.nodes.as_bytes());
    }
}

/// Data that asks somebody to become a friend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FriendRequest<'a> {
    /// The nospam of the receiver's Tox ID.
    pub nospam: Nospam,
    /// 1 to [`FRIEND_MESSAGE_MAX`] bytes, by convention UTF-8.
    pub message: &'a [u8],
}

impl<'a> FriendRequest<'a> {
    /// Reads the data, first byte included.
    #[must_use]
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(data);
        if r.u8()? != FRIEND_REQUEST {
            return None;
        }
        let nospam = Nospam(*r.array::<NOSPAM_LEN>()?);
        let message = r.rest();
        (1..=FRIEND_MESSAGE_MAX).contains(&message.len()).then_some(Self { nospam, message })
    }

    /// Writes the data, first byte included.
    pub fn emit(&self, w: &mut Writer<'_>) {
        w.u8(FRIEND_REQUEST).bytes(&self.nospam.0).bytes(self.message);
    }
}

//! Announcing oneself at a node, and searching for somebody there; one request does both.
//!
//! ```text
//! 0x83  kind | nonce | sender key | box{ ping id 32 | search key | data key | sendback 8 }                  177 bytes
//! 0x87  the same, and a group announcement of up to 136 bytes at the end of the box                    177..=313
//! 0x84  kind | sendback 8 | nonce | box{ stored 1 | ping id or data key 32 | nodes }                     82..=286
//! 0x88  kind | sendback 8 | nonce | box{ stored 1 | ping id or data key 32 | count 1 | nodes | group announcements }
//! ```
//! With a ping id that the node gave before, the request announces; without one it searches. Sendback is opaque to the
//! node.

use super::super::{NODE_LEN_MAX, PackedNodes, Reader, Writer, kind};
use super::group::{ANNOUNCE_LEN_MAX, ANNOUNCES_MAX, CHAT_ID_LEN};
use super::{FAMILY_V4, FAMILY_V6};
use crate::crypto::{MAC_LEN, NONCE_LEN, Nonce, PUBLIC_KEY_LEN, PublicKey, SharedKey, Suite};

/// Length of a ping id.
pub const PING_ID_LEN: usize = 32;
/// Length of the sendback.
pub const SENDBACK_LEN: usize = 8;
/// Most nodes in a response.
pub const RESPONSE_NODES_MAX: usize = 4;

/// Where the box of 0x83 and 0x87 starts.
pub const REQUEST_BOX_AT: usize = 1 + NONCE_LEN + PUBLIC_KEY_LEN;
/// Length of a request's plaintext without a group announcement.
pub const REQUEST_PLAIN_LEN: usize = PING_ID_LEN + 2 * PUBLIC_KEY_LEN + SENDBACK_LEN;
/// Length of a request without a group announcement.
pub const ANNOUNCE_REQUEST_LEN: usize = REQUEST_BOX_AT + MAC_LEN + REQUEST_PLAIN_LEN;
/// Longest group announcement in a request (0x87).
pub const GROUP_EXTRA_MAX: usize = CHAT_ID_LEN + ANNOUNCE_LEN_MAX;

/// Where the box of 0x84 and 0x88 starts.
pub const RESPONSE_BOX_AT: usize = 1 + SENDBACK_LEN + NONCE_LEN;
/// Where the plaintext of 0x84 and 0x88 stands once the box is open.
pub const RESPONSE_PLAIN_AT: usize = RESPONSE_BOX_AT + MAC_LEN;
/// Shortest 0x84.
pub const RESPONSE_LEN_MIN: usize = RESPONSE_PLAIN_AT + 1 + PING_ID_LEN;
/// Longest 0x84.
pub const RESPONSE_LEN_MAX: usize = RESPONSE_LEN_MIN + RESPONSE_NODES_MAX * NODE_LEN_MAX;
/// Longest 0x88: four nodes and four announcements.
pub const GROUP_RESPONSE_LEN_MAX: usize = RESPONSE_LEN_MAX + 1 + ANNOUNCES_MAX * ANNOUNCE_LEN_MAX;

/// The readable front of 0x83 and 0x87.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnnounceHeader {
    /// Nonce of the box.
    pub nonce: Nonce,
    /// The sender's long-term key when it announces itself, a temporary one when it searches.
    pub sender: PublicKey,
}

impl AnnounceHeader {
    /// Reads the front of a packet; the box starts at [`REQUEST_BOX_AT`].
    #[must_use]
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let mut r = Reader::new(packet.get(1..)?);
        Some(Self { nonce: r.nonce()?, sender: r.key()? })
    }
}

/// The inside of 0x83 and 0x87.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnnounceRequest {
    /// From the node's last response; zeros at first.
    pub ping_id: [u8; PING_ID_LEN],
    /// Whom we search: ourselves or a friend, by long-term key.
    pub search: PublicKey,
    /// The key that others shall encrypt onion data to; zeros when only searching.
    pub data_key: PublicKey,
    /// Comes back in the response.
    pub sendback: [u8; SENDBACK_LEN],
}

impl AnnounceRequest {
    /// Reads the plaintext; what follows it is a group announcement.
    #[must_use]
    pub fn parse(plain: &[u8]) -> Option<(Self, &[u8])> {
        let mut r = Reader::new(plain);
        let request = Self { ping_id: *r.array()?, search: r.key()?, data_key: r.key()?, sendback: *r.array()? };
        Some((request, r.rest()))
    }

    /// Writes the plaintext.
    pub fn emit(&self, w: &mut Writer<'_>) {
        w.bytes(&self.ping_id).bytes(&self.search.0).bytes(&self.data_key.0).bytes(&self.sendback);
    }

    /// Writes the whole packet (0x83) to `buf`; `key` is the secret half of `sender` with the node's DHT key. Returns
    /// its length, always [`ANNOUNCE_REQUEST_LEN`].
    pub fn seal(
        &self,
        suite: &impl Suite,
        key: &SharedKey,
        nonce: &Nonce,
        sender: &PublicKey,
        buf: &mut [u8],
    ) -> usize {
        let mut w = Writer::new(buf);
        w.u8(kind::ANNOUNCE_REQUEST).bytes(&nonce.0).bytes(&sender.0).skip(MAC_LEN);
        self.emit(&mut w);
        suite.seal(key, nonce, &mut buf[REQUEST_BOX_AT..ANNOUNCE_REQUEST_LEN]);
        ANNOUNCE_REQUEST_LEN
    }
}

/// What a node answers about the key that was searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is not stored here, or with another data key than the request's. The ping id lets the sender announce itself.
    No {
        /// For the next request.
        ping_id: [u8; PING_ID_LEN],
    },
    /// Somebody else's announcement is stored here.
    Found {
        /// The key to encrypt onion data to.
        data_key: PublicKey,
    },
    /// The sender itself is announced here.
    Announced {
        /// For the next request.
        ping_id: [u8; PING_ID_LEN],
    },
}

/// The readable front of 0x84 and 0x88.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHeader {
    /// Whether it is the second form (0x88).
    pub group: bool,
    /// The request's sendback.
    pub sendback: [u8; SENDBACK_LEN],
    /// Nonce of the box.
    pub nonce: Nonce,
}

impl ResponseHeader {
    /// Reads the front of a packet and checks its length; the box starts at [`RESPONSE_BOX_AT`], its plaintext at
    /// [`RESPONSE_PLAIN_AT`].
    #[must_use]
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let mut r = Reader::new(packet);
        let (group, lens) = match r.u8()? {
            kind::ANNOUNCE_RESPONSE => (false, RESPONSE_LEN_MIN..=RESPONSE_LEN_MAX),
            kind::GROUP_ANNOUNCE_RESPONSE => (true, RESPONSE_LEN_MIN + 1..=GROUP_RESPONSE_LEN_MAX),
            _ => return None,
        };
        if !lens.contains(&packet.len()) {
            return None;
        }
        Some(Self { group, sendback: *r.array()?, nonce: r.nonce()? })
    }

    /// Writes the front of a packet.
    pub fn emit(&self, w: &mut Writer<'_>) {
        w.u8(if self.group { kind::GROUP_ANNOUNCE_RESPONSE } else { kind::ANNOUNCE_RESPONSE });
        w.bytes(&self.sendback).bytes(&self.nonce.0);
    }
}

/// The inside of 0x84 and 0x88, but for the group announcements that may follow in 0x88 (see [`super::group`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnnounceResponse<'a> {
    /// The answer.
    pub stored: Stored,
    /// At most four nodes nearer to the key.
    pub nodes: PackedNodes<'a>,
}

impl<'a> AnnounceResponse<'a> {
    /// Reads the plaintext; `group` as in the header.
    #[must_use]
    pub fn parse(plain: &'a [u8], group: bool) -> Option<Self> {
        let mut r = Reader::new(plain);
        let (stored, bytes) = (r.u8()?, *r.array::<PING_ID_LEN>()?);
        let stored = match stored {
            0 => Stored::No { ping_id: bytes },
            1 => Stored::Found { data_key: PublicKey(bytes) },
            2 => Stored::Announced { ping_id: bytes },
            _ => return None,
        };
        let nodes = if group { counted_nodes(r)? } else { PackedNodes::parse_udp(r.rest(), RESPONSE_NODES_MAX)? };
        Some(Self { stored, nodes })
    }

    /// Where the group announcements of 0x88 stand in the plaintext.
    #[must_use]
    pub const fn groups_at(&self) -> usize {
        1 + PING_ID_LEN + 1 + self.nodes.as_bytes().len()
    }

    /// Writes the plaintext.
    pub fn emit(&self, group: bool, w: &mut Writer<'_>) {
        let (byte, bytes) = match &self.stored {
            Stored::No { ping_id } => (0, ping_id),
            Stored::Found { data_key } => (1, &data_key.0),
            Stored::Announced { ping_id } => (2, ping_id),
        };
        w.u8(byte).bytes(bytes);
        if group {
            w.u8(self.nodes.count() as u8);
        }
        w.bytes(self.nodes.as_bytes());
    }
}

/// A count, then so many nodes, then something that is not ours.
fn counted_nodes(mut r: Reader<'_>) -> Option<PackedNodes<'_>> {
    let count = usize::from(r.u8()?);
    let bytes = r.rest();
    let mut len = 0;
    for _ in 0..count.min(RESPONSE_NODES_MAX + 1) {
        len += match *bytes.get(len)? {
            FAMILY_V4 => NODE_LEN_MAX - 12,
            FAMILY_V6 => NODE_LEN_MAX,
            _ => return None,
        };
    }
    PackedNodes::parse_udp(bytes.get(..len)?, RESPONSE_NODES_MAX).filter(|nodes| nodes.count() == count)
}

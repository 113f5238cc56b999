//! Packets inside a friend's session: `id(1) | content`, lossless (wire-facts 2.7 to 2.9; `net_crypto.h`, packet ids).

use super::{PackedNodes, Reader, Writer};
use crate::crypto::Nospam;

/// Longest name in bytes.
pub const NAME_LEN_MAX: usize = 128;
/// Longest status message in bytes.
pub const STATUS_MESSAGE_LEN_MAX: usize = 1007;
/// Longest message in bytes.
pub const MESSAGE_LEN_MAX: usize = 1372;
/// Most relays in one share-relays packet.
pub const SHARED_RELAYS_MAX: usize = 3;

/// First bytes of lossless packets that applications define (`tox.h`).
pub const CUSTOM_LOSSLESS: core::ops::RangeInclusive<u8> = 160..=191;
/// First bytes of lossy packets that applications define; 192 to 199 are audio and video.
pub const CUSTOM_LOSSY: core::ops::RangeInclusive<u8> = 200..=254;

/// First byte of each packet.
pub mod id {
    #![allow(missing_docs, reason = "the names are the protocol's own")]
    pub const ALIVE: u8 = 16;
    pub const SHARE_RELAYS: u8 = 17;
    pub const FRIEND_REQUEST: u8 = 18;
    pub const ONLINE: u8 = 24;
    pub const OFFLINE: u8 = 25;
    pub const NAME: u8 = 48;
    pub const STATUS_MESSAGE: u8 = 49;
    pub const STATUS: u8 = 50;
    pub const TYPING: u8 = 51;
    pub const MESSAGE: u8 = 64;
    pub const ACTION: u8 = 65;
}

/// A packet of the friend connection or the messenger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// The friend connection lives.
    Alive,
    /// TCP relays at which the friend can also be reached.
    ShareRelays(PackedNodes<'a>),
    /// A friend request over a connection that stands already.
    FriendRequest {
        /// The nospam that the sender knows.
        nospam: Nospam,
        /// The sender's words.
        message: &'a [u8],
    },
    /// The messenger at the other end is there.
    Online,
    /// It leaves, though the connection may stay for groups.
    Offline,
    /// 0 to 128 bytes.
    Name(&'a [u8]),
    /// 0 to 1007 bytes.
    StatusMessage(&'a [u8]),
    /// 0 none, 1 away, 2 busy; others are not valid.
    Status(u8),
    /// Anything but zero means typing.
    Typing(u8),
    /// 1 to 1372 bytes of text.
    Message(&'a [u8]),
    /// 1 to 1372 bytes of what the sender does.
    Action(&'a [u8]),
    /// What applications define, first byte included.
    Custom(&'a [u8]),
}

impl<'a> Packet<'a> {
    /// Parses the plaintext of a lossless packet. `None` for other features' packets and for wrong lengths.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let id = r.u8()?;
        let fits = |text: &'a [u8], min: usize, max: usize| (min..=max).contains(&text.len()).then_some(text);
        let packet = match id {
            id::ALIVE => Self::Alive,
            id::SHARE_RELAYS => {
                let relays = PackedNodes::parse_any(r.rest(), SHARED_RELAYS_MAX)?;
                if relays.udp().next().is_some() {
                    return None;
                }
                Self::ShareRelays(relays)
            }
            id::FRIEND_REQUEST => {
                let nospam = Nospam(*r.array()?);
                Self::FriendRequest { nospam, message: fits(r.rest(), 1, MESSAGE_LEN_MAX)? }
            }
            id::ONLINE => Self::Online,
            id::OFFLINE => Self::Offline,
            id::NAME => Self::Name(fits(r.rest(), 0, NAME_LEN_MAX)?),
            id::STATUS_MESSAGE => Self::StatusMessage(fits(r.rest(), 0, STATUS_MESSAGE_LEN_MAX)?),
            id::STATUS => Self::Status(r.u8().filter(|status| *status <= 2)?),
            id::TYPING => Self::Typing(r.u8()?),
            id::MESSAGE => Self::Message(fits(r.rest(), 1, MESSAGE_LEN_MAX)?),
            id::ACTION => Self::Action(fits(r.rest(), 1, MESSAGE_LEN_MAX)?),
            id if CUSTOM_LOSSLESS.contains(&id) => {
                r.rest();
                Self::Custom(bytes)
            }
            _ => return None,
        };
        r.end()?;
        Some(packet)
    }

    /// Writes the packet; returns its length.
    pub fn emit(&self, buf: &mut [u8]) -> usize {
        let mut w = Writer::new(buf);
        match self {
            Self::Alive => w.u8(id::ALIVE),
            Self::ShareRelays(relays) => w.u8(id::SHARE_RELAYS).bytes(relays.as_bytes()),
            Self::FriendRequest { nospam, message } => w.u8(id::FRIEND_REQUEST).bytes(&nospam.0).bytes(message),
            Self::Online => w.u8(id::ONLINE),
            Self::Offline => w.u8(id::OFFLINE),
            Self::Name(text) => w.u8(id::NAME).bytes(text),
            Self::StatusMessage(text) => w.u8(id::STATUS_MESSAGE).bytes(text),
            Self::Status(status) => w.u8(id::STATUS).u8(*status),
            Self::Typing(typing) => w.u8(id::TYPING).u8(*typing),
            Self::Message(text) => w.u8(id::MESSAGE).bytes(text),
            Self::Action(text) => w.u8(id::ACTION).bytes(text),
            Self::Custom(bytes) => w.bytes(bytes),
        };
        w.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::vec::Vec;

    quickcheck! {
        fn emit_after_parse_is_identity(id: u8, content: Vec<u8>) -> bool {
            let ids = [16, 17, 18, 24, 25, 48, 49, 50, 51, 64, 65, 160, 191, id];
            ids.iter().all(|id| {
                let bytes: Vec<u8> = core::iter::once(*id).chain(content.iter().copied()).collect();
                let mut out = [0; 1500];
                Packet::parse(&bytes).is_none_or(|packet| {
                    let len = packet.emit(&mut out);
                    out[..len] == bytes[..]
                })
            })
        }
    }

    #[test]
    fn lengths_are_checked() {
        let packet = |id: u8, len: usize| {
            let bytes: Vec<u8> = core::iter::once(id).chain(core::iter::repeat_n(1, len)).collect();
            Packet::parse(&bytes).is_some()
        };
        for (id, good, bad) in [
            (id::ALIVE, 0, 1),
            (id::ONLINE, 0, 1),
            (id::OFFLINE, 0, 1),
            (id::NAME, 128, 129),
            (id::STATUS_MESSAGE, 1007, 1008),
            (id::STATUS, 1, 2),
            (id::TYPING, 1, 0),
            (id::MESSAGE, 1372, 1373),
            (id::ACTION, 1, 0),
            (id::FRIEND_REQUEST, 5, 4),
        ] {
            assert!(packet(id, good) && !packet(id, bad), "{id}");
        }
        assert_eq!(Packet::parse(&[id::STATUS, 3]), None);
        assert_eq!(Packet::parse(&[]), None);
    }
}

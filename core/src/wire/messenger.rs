//! What friends say to each other inside a session: one id byte, then the content; all of these are lossless.
//!
//! | id | content |
//! |---|---|
//! | 16 | alive, every 8 s |
//! | 17 | share relays: at most 3 packed TCP relays |
//! | 18 | friend request over a live session: nospam 4, message |
//! | 24, 25 | online, offline: nothing |
//! | 48 | name |
//! | 49 | status message |
//! | 50 | status 1 |
//! | 51 | typing 1 |
//! | 64, 65 | message, action |
//!
//! Sources: `friend_connection.c`, `friend_requests.c`, `Messenger.c`; wire-facts 2.7 to 2.9. Anything else, files and
//! groups among it, is `None` and to be ignored: unknown ids are no errors.

use super::onion::data::FRIEND_MESSAGE_MAX;
use super::{PackedNodes, Reader, Writer};
use crate::crypto::{NOSPAM_LEN, Nospam};
use crate::{MessageKind, UserStatus};

/// First byte of a packet.
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

/// Longest name in bytes (`tox.h`).
pub const NAME_MAX: usize = 128;
/// Longest status message in bytes (`tox.h`).
pub const STATUS_MESSAGE_MAX: usize = 1007;
/// Longest message in bytes (`tox.h`).
pub const MESSAGE_MAX: usize = 1372;
/// Most relays in one packet (`friend_connection.h`, MAX_SHARED_RELAYS).
pub const SHARED_RELAYS_MAX: usize = 3;

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// The friend is still there.
    Alive,
    /// TCP relays over which the friend can be reached.
    ShareRelays(PackedNodes<'a>),
    /// From somebody who has a session with us but is no friend at our side.
    FriendRequest {
        /// Ours.
        nospam: Nospam,
        /// 1 to 921 bytes.
        message: &'a [u8],
    },
    /// We are friends. The first packet of a session; each side sends it, and again on receiving it.
    Online,
    /// We are friends no more, or going.
    Offline,
    /// At most [`NAME_MAX`] bytes.
    Name(&'a [u8]),
    /// At most [`STATUS_MESSAGE_MAX`] bytes.
    StatusMessage(&'a [u8]),
    /// Available, away, busy.
    Status(UserStatus),
    /// Whether the friend is typing.
    Typing(bool),
    /// 1 to [`MESSAGE_MAX`] bytes.
    Message {
        /// Text or action.
        kind: MessageKind,
        /// The bytes.
        text: &'a [u8],
    },
}

impl<'a> Packet<'a> {
    /// Reads a packet, id byte first. `None` for one that toxcore would ignore.
    #[must_use]
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(packet);
        let id = r.u8()?;
        match id {
            id::ALIVE => Some(Self::Alive),
            id::SHARE_RELAYS => PackedNodes::parse_any(r.rest(), SHARED_RELAYS_MAX).map(Self::ShareRelays),
            id::FRIEND_REQUEST => {
                let nospam = Nospam(*r.array::<NOSPAM_LEN>()?);
                let message = some_up_to(r, FRIEND_MESSAGE_MAX)?;
                Some(Self::FriendRequest { nospam, message })
            }
            id::ONLINE => r.end().map(|()| Self::Online),
            id::OFFLINE => r.end().map(|()| Self::Offline),
            id::NAME => up_to(r, NAME_MAX).map(Self::Name),
            id::STATUS_MESSAGE => up_to(r, STATUS_MESSAGE_MAX).map(Self::StatusMessage),
            id::STATUS => one(r).and_then(UserStatus::from_byte).map(Self::Status),
            id::TYPING => one(r).map(|byte| Self::Typing(byte != 0)),
            id::MESSAGE => some_up_to(r, MESSAGE_MAX).map(|text| Self::Message { kind: MessageKind::Normal, text }),
            id::ACTION => some_up_to(r, MESSAGE_MAX).map(|text| Self::Message { kind: MessageKind::Action, text }),
            _ => None,
        }
    }

    /// Its first byte.
    #[must_use]
    pub const fn id(&self) -> u8 {
        match self {
            Self::Alive => id::ALIVE,
            Self::ShareRelays(_) => id::SHARE_RELAYS,
            Self::FriendRequest { .. } => id::FRIEND_REQUEST,
            Self::Online => id::ONLINE,
            Self::Offline => id::OFFLINE,
            Self::Name(_) => id::NAME,
            Self::StatusMessage(_) => id::STATUS_MESSAGE,
            Self::Status(_) => id::STATUS,
            Self::Typing(_) => id::TYPING,
            Self::Message { kind: MessageKind::Normal, .. } => id::MESSAGE,
            Self::Message { kind: MessageKind::Action, .. } => id::ACTION,
        }
    }

    /// Writes the packet, id byte first: at most 1 + [`MESSAGE_MAX`] bytes.
    pub fn emit(&self, w: &mut Writer<'_>) {
        w.u8(self.id());
        match self {
            Self::Alive | Self::Online | Self::Offline => w,
            Self::ShareRelays(nodes) => w.bytes(nodes.as_bytes()),
            Self::FriendRequest { nospam, message } => w.bytes(&nospam.0).bytes(message),
            Self::Status(status) => w.u8(*status as u8),
            Self::Typing(typing) => w.u8(u8::from(*typing)),
            Self::Name(text) | Self::StatusMessage(text) | Self::Message { text, .. } => w.bytes(text),
        };
    }
}

fn up_to(mut r: Reader<'_>, max: usize) -> Option<&[u8]> {
    (r.left() <= max).then(|| r.rest())
}

fn some_up_to(r: Reader<'_>, max: usize) -> Option<&[u8]> {
    up_to(r, max).filter(|bytes| !bytes.is_empty())
}

fn one(mut r: Reader<'_>) -> Option<u8> {
    let byte = r.u8()?;
    r.end().map(|()| byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::vec;
    use std::vec::Vec;

    fn emitted(packet: Packet<'_>) -> Vec<u8> {
        let mut buf = [0; 1 + MESSAGE_MAX];
        let mut w = Writer::new(&mut buf);
        packet.emit(&mut w);
        let len = w.len();
        buf[..len].to_vec()
    }

    #[test]
    fn examples() {
        let (normal, action) = (MessageKind::Normal, MessageKind::Action);
        let cases: [(&[u8], Packet<'_>); 11] = [
            (&[16], Packet::Alive),
            (&[17], Packet::ShareRelays(PackedNodes::EMPTY)),
            (b"\x12abcdhi", Packet::FriendRequest { nospam: Nospam(*b"abcd"), message: b"hi" }),
            (&[24], Packet::Online),
            (&[25], Packet::Offline),
            (b"0Bob", Packet::Name(b"Bob")),
            (b"1", Packet::StatusMessage(b"")),
            (&[50, 2], Packet::Status(UserStatus::Busy)),
            (&[51, 1], Packet::Typing(true)),
            (b"@hi", Packet::Message { kind: normal, text: b"hi" }),
            (b"Ahi", Packet::Message { kind: action, text: b"hi" }),
        ];
        for (bytes, packet) in cases {
            assert_eq!(Packet::parse(bytes), Some(packet));
            assert_eq!(emitted(packet), bytes);
        }
        assert_eq!(Packet::parse(&[51, 7]), Some(Packet::Typing(true)));
        assert_eq!(Packet::parse(&[16, 0]), Some(Packet::Alive), "toxcore looks at the id only");
    }

    #[test]
    fn what_toxcore_ignores_is_none() {
        for bytes in [&[][..], &[24, 0], &[25, 0], &[50], &[50, 3], &[50, 1, 1], &[51], &[64], &[65], &[0], &[160, 1]] {
            assert_eq!(Packet::parse(bytes), None, "{bytes:?}");
        }
        for (id, max) in [(48, 128), (49, 1007), (64, 1372), (65, 1372), (18, 4 + 921)] {
            let mut bytes = vec![7; 2 + max];
            bytes[0] = id;
            assert_eq!(Packet::parse(&bytes), None, "{id}");
            assert!(Packet::parse(&bytes[..=max]).is_some(), "{id}");
        }
        assert_eq!(Packet::parse(b"\x12abcd"), None, "a request without words");
        let relays = |n: usize| [17].into_iter().chain([[130; 39]; 4].concat()).take(1 + 39 * n).collect::<Vec<u8>>();
        assert!(Packet::parse(&relays(3)).is_some());
        assert_eq!(Packet::parse(&relays(4)), None);
    }

    quickcheck! {
        /// What parses is written as it was read, but for the value of a set typing flag and what follows an alive.
        fn emit_after_parse_is_identity(id: u8, content: Vec<u8>) -> bool {
            [id, 16, 17, 18, 24, 25, 48, 49, 50, 51, 64, 65].into_iter().all(|id| {
                let mut bytes = vec![id];
                bytes.extend(&content);
                match Packet::parse(&bytes) {
                    None => true,
                    Some(Packet::Alive) => id == id::ALIVE,
                    Some(Packet::Typing(typing)) => typing == (content[0] != 0) && content.len() == 1,
                    Some(packet) => emitted(packet) == bytes,
                }
            })
        }
    }
}

//! Group announcements: where peers of a public group are found.
//!
//! ```text
//! in 0x87  chat id 32 | announcement                                                                    to 136 bytes
//! in 0x88  up to four announcements of that group
//! each     peer's key 32 | address follows 1 | relays 1 | [address 7 or 19] | [TCP relay 39 or 51]      to 104 bytes
//! ```
//! There is an address, one relay, or both. The two integers are 0 or 1. Sources: `group_announce.h`; wire-facts 2.15.

use super::super::{ADDRESS_LEN_MAX, NODE_LEN_MAX, NodeInfo, Reader, Writer, parse_address};
use crate::Endpoint;
use crate::crypto::{PUBLIC_KEY_LEN, PublicKey};

/// Length of a chat id.
pub const CHAT_ID_LEN: usize = 32;
/// Longest announcement.
pub const ANNOUNCE_LEN_MAX: usize = PUBLIC_KEY_LEN + 2 + ADDRESS_LEN_MAX + NODE_LEN_MAX;
/// Announcements in a response at most (`group_announce.h`, GCA_MAX_SENT_ANNOUNCES).
pub const ANNOUNCES_MAX: usize = 4;

/// Which group: its Ed25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChatId(pub [u8; CHAT_ID_LEN]);

/// An announcement that has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupAnnounce<'a> {
    bytes: &'a [u8],
    /// The key that the peer has in this group.
    pub peer: PublicKey,
    /// Where it is.
    pub at: Option<Endpoint>,
    /// A TCP relay that it is connected to.
    pub relay: Option<NodeInfo>,
}

impl<'a> GroupAnnounce<'a> {
    /// Reads an announcement that fills `bytes`.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let this = Self::read(&mut r)?;
        r.end().map(|()| this)
    }

    /// Reads one of several announcements.
    pub fn read(r: &mut Reader<'a>) -> Option<Self> {
        let mut whole = *r;
        let (peer, has_address, relays) = (r.key()?, r.u8()?, r.u8()?);
        if has_address > 1 || relays > 1 || has_address + relays == 0 {
            return None;
        }
        let at = if has_address == 1 { Some(parse_address(r)?) } else { None };
        let relay = if relays == 1 { Some(NodeInfo::parse(r)?.0) } else { None };
        Some(Self { bytes: whole.take(whole.left() - r.left())?, peer, at, relay })
    }

    /// The packed form, [`ANNOUNCE_LEN_MAX`] at most.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Writes an announcement.
    pub fn emit(w: &mut Writer<'_>, peer: &PublicKey, at: Option<Endpoint>, relay: Option<&NodeInfo>) {
        w.bytes(&peer.0).u8(u8::from(at.is_some())).u8(u8::from(relay.is_some()));
        if let Some(at) = at {
            super::super::emit_address(at, w);
        }
        if let Some(relay) = relay {
            relay.emit_tcp(w);
        }
    }
}

/// What stands at the end of the box of 0x87.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicAnnounce<'a> {
    /// The group.
    pub chat: ChatId,
    /// Who is in it.
    pub announce: GroupAnnounce<'a>,
}

impl<'a> PublicAnnounce<'a> {
    /// Reads what follows the request.
    #[must_use]
    pub fn parse(extra: &'a [u8]) -> Option<Self> {
        let (chat, rest) = extra.split_first_chunk()?;
        Some(Self { chat: ChatId(*chat), announce: GroupAnnounce::parse(rest)? })
    }

    /// Writes it.
    pub fn emit(&self, w: &mut Writer<'_>) {
        w.bytes(&self.chat.0).bytes(self.announce.as_bytes());
    }
}

/// What stands at the end of the box of 0x88.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupAnnounces<'a> {
    bytes: &'a [u8],
}

impl<'a> GroupAnnounces<'a> {
    /// Checks a run of at most four announcements that fills `bytes`.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        for _ in 0..ANNOUNCES_MAX {
            if r.left() == 0 {
                break;
            }
            GroupAnnounce::read(&mut r)?;
        }
        r.end().map(|()| Self { bytes })
    }

    /// The announcements.
    pub fn iter(&self) -> impl Iterator<Item = GroupAnnounce<'a>> + use<'a> {
        let mut r = Reader::new(self.bytes);
        core::iter::from_fn(move || GroupAnnounce::read(&mut r))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::vec::Vec;

    fn announce(peer: u8, at: Option<Endpoint>, relay: Option<Endpoint>) -> Vec<u8> {
        let mut buf = [0; ANNOUNCE_LEN_MAX];
        let mut w = Writer::new(&mut buf);
        let relay = relay.map(|at| NodeInfo { key: PublicKey([8; 32]), at });
        GroupAnnounce::emit(&mut w, &PublicKey([peer; 32]), at, relay.as_ref());
        let len = w.len();
        buf[..len].to_vec()
    }

    fn v6(ip: u128, port: u16) -> Endpoint {
        Endpoint::new(core::net::IpAddr::V6((ip | 1 << 127).into()), port)
    }

    #[test]
    fn sizes_are_those_of_toxcore() {
        let (v4, v6) = (Endpoint::v4([1, 2, 3, 4], 5), v6(1, 5));
        for (at, relay, len) in [
            (Some(v4), None, 41),
            (Some(v6), None, 53),
            (None, Some(v4), 73),
            (None, Some(v6), 85),
            (Some(v4), Some(v4), 80),
            (Some(v6), Some(v6), 104),
        ] {
            let bytes = announce(7, at, relay);
            let parsed = GroupAnnounce::parse(&bytes).unwrap();
            assert_eq!((bytes.len(), parsed.at, parsed.relay.map(|relay| relay.at)), (len, at, relay));
            assert_eq!(parsed.as_bytes(), bytes);
            for cut in 0..len {
                assert_eq!(GroupAnnounce::parse(&bytes[..cut]), None, "{cut} of {len}");
            }
        }
    }

    #[test]
    fn an_announcement_of_nothing_is_none() {
        let bytes = announce(7, None, None);
        assert_eq!(GroupAnnounce::parse(&bytes), None);
        let mut bytes = announce(7, Some(Endpoint::v4([1, 2, 3, 4], 5)), None);
        bytes[32] = 2;
        assert_eq!(GroupAnnounce::parse(&bytes), None);
        bytes[32] = 1;
        bytes.push(0);
        assert_eq!(GroupAnnounce::parse(&bytes), None, "more than an announcement");
        bytes[33] = 2;
        assert_eq!(GroupAnnounce::parse(&bytes), None, "two relays");
    }

    quickcheck! {
        fn emit_after_parse_is_identity(chat: u8, peers: Vec<(u8, bool, bool, u128, u16)>) -> bool {
            let packed: Vec<_> = peers.iter().take(5).map(|&(peer, direct, long, ip, port)| {
                let at = if long { v6(ip, port) } else { Endpoint::v4((ip as u32).to_be_bytes(), port) };
                announce(peer, direct.then_some(at), (!direct || long).then_some(at))
            }).collect();
            let list = packed.concat();
            let read = GroupAnnounces::parse(&list);
            let listed = read.is_some_and(|read| read.iter().map(|a| a.as_bytes().to_vec()).eq(packed.iter().cloned()));
            let public = packed.first().is_none_or(|first| {
                let extra = [&[chat; 32][..], first].concat();
                let mut buf = [0; 200];
                let mut w = Writer::new(&mut buf);
                let parsed = PublicAnnounce::parse(&extra).unwrap();
                parsed.emit(&mut w);
                let len = w.len();
                buf[..len] == extra[..] && parsed.chat == ChatId([chat; 32])
            });
            public && listed == (packed.len() <= ANNOUNCES_MAX)
        }

        fn arbitrary_bytes_do_no_harm(bytes: Vec<u8>) -> bool {
            GroupAnnounces::parse(&bytes)
                .is_none_or(|list| list.iter().map(|a| a.as_bytes().len()).sum::<usize>() == bytes.len())
                && PublicAnnounce::parse(&bytes)
                    .is_none_or(|public| public.announce.as_bytes().len() + 32 == bytes.len())
        }
    }
}

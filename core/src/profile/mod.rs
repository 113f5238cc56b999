//! The Tox save format: what clients keep of a user between two runs, and exchange with each other.
//!
//! ```text
//! u32 0 | u32 0x15ed1b1f | sections                   every header is little-endian
//! section  length u32 | type u16 | 0x01ce | content
//! ```
//! Sections are keys (1), DHT nodes (2), friends (3), name (4), status message (5), status (6), groups (7), TCP relays
//! (10), path nodes (11), conferences (20), end (255), and one of our own: where friends were last. [`Profile`] reads
//! one from a slice without copying; [`ProfileWriter`] appends sections to a [`Sink`]. Sections that we do not
//! understand are carried from one to the other byte for byte, so that another client finds its groups again. Sources:
//! `state.c`, `Messenger.c`; wire-facts 2.17.

mod friend;
#[cfg(test)]
mod tests;
mod whereabouts;
mod write;

pub use friend::{FRIEND_RECORD_LEN, FriendRecord, FriendState, REQUEST_MESSAGE_MAX};
pub use whereabouts::{FRIEND_RELAYS_MAX, Whereabouts};
pub use write::{ProfileWriter, Sink, SliceSink};

use crate::UserStatus;
use crate::crypto::{Nospam, PublicKey, SecretKey};
use crate::wire::messenger::{NAME_LEN_MAX, STATUS_MESSAGE_LEN_MAX};
use crate::wire::{NODE_LEN_MAX, NodeInfo, PackedNodes, Reader};
use core::fmt;

/// Types of sections.
pub mod section {
    #![allow(missing_docs, reason = "the names are the format's own")]
    pub const KEYS: u16 = 1;
    pub const DHT: u16 = 2;
    pub const FRIENDS: u16 = 3;
    pub const NAME: u16 = 4;
    pub const STATUS_MESSAGE: u16 = 5;
    pub const STATUS: u16 = 6;
    pub const GROUPS: u16 = 7;
    pub const TCP_RELAYS: u16 = 10;
    pub const PATH_NODES: u16 = 11;
    pub const CONFERENCES: u16 = 20;
    pub const END: u16 = 255;
    pub const WHEREABOUTS: u16 = u16::from_be_bytes(*b"BR");
}

/// What an encrypted profile starts with (`toxencryptsave.h`).
const ENCRYPTED_MAGIC: &[u8; 8] = b"toxEsave";
/// Zero, then STATE_COOKIE_GLOBAL.
const MAGIC: [u8; 8] = [0, 0, 0, 0, 0x1f, 0x1b, 0xed, 0x15];
/// STATE_COOKIE_TYPE: in the header of each section.
const COOKIE: u16 = 0x01ce;
/// DHT_STATE_COOKIE_GLOBAL: starts the DHT section.
const DHT_MAGIC: [u8; 4] = 0x0159_000d_u32.to_le_bytes();
/// DHT_STATE_COOKIE_TYPE: in the headers inside the DHT section.
const DHT_COOKIE: u16 = 0x11ce;
/// DHT_STATE_TYPE_NODES: the only section inside the DHT section.
const DHT_NODES: u16 = 4;
/// Length of a section header.
const HEADER_LEN: usize = 8;
/// Length of the keys section: nospam, public key, secret key.
const KEYS_LEN: usize = 68;

/// Why bytes are not a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileError {
    /// Something else altogether.
    Foreign,
    /// Encrypted with a password.
    Encrypted,
    /// It ends in the middle of something that starts at this offset.
    Truncated {
        /// In bytes.
        at: usize,
    },
    /// No section starts at this offset, where one should: damaged.
    Cookie {
        /// In bytes.
        at: usize,
    },
    /// It has no keys section.
    NoKeys,
    /// Its keys section has this length instead of 68.
    KeysLength(usize),
    /// The public key in it is not that of its secret key.
    KeyMismatch,
    /// Its friends section has this length, which is not a whole number of records.
    FriendsLength(usize),
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("this is not a Tox profile"),
            Self::Encrypted => f.write_str("the profile is encrypted with a password"),
            Self::Truncated { at } => write!(f, "the profile is cut off: what starts at byte {at} is not complete"),
            Self::Cookie { at } => write!(f, "the profile is damaged: there is no section at byte {at}"),
            Self::NoKeys => f.write_str("the profile has no keys"),
            Self::KeysLength(len) => write!(f, "the profile's keys have {len} bytes instead of {KEYS_LEN}"),
            Self::KeyMismatch => f.write_str("the public key in the profile does not belong to its secret key"),
            Self::FriendsLength(len) => {
                write!(f, "the profile's friends have {len} bytes, no multiple of {FRIEND_RECORD_LEN}")
            }
        }
    }
}

impl core::error::Error for ProfileError {}

/// One section of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// Its type, see [`section`].
    pub kind: u16,
    /// What follows its header.
    pub content: &'a [u8],
}

/// A profile that has been checked. Where a section occurs twice, the later one counts, but friends of both do.
#[derive(Clone, Copy)]
pub struct Profile<'a> {
    keys: &'a [u8; KEYS_LEN],
    /// Well-formed sections, without the end.
    sections: &'a [u8],
}

impl<'a> Profile<'a> {
    /// Checks that `bytes` are a profile. What follows its end section is not looked at.
    ///
    /// # Errors
    /// One for each way in which they are not: see [`ProfileError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ProfileError> {
        if bytes.starts_with(ENCRYPTED_MAGIC) {
            return Err(ProfileError::Encrypted);
        }
        let Some(body) = bytes.strip_prefix(&MAGIC) else {
            return Err(if MAGIC.starts_with(bytes) {
                ProfileError::Truncated { at: 0 }
            } else {
                ProfileError::Foreign
            });
        };
        let (mut keys, mut rest) = (None, body);
        let len = loop {
            let at = bytes.len() - rest.len();
            let end = body.len() - rest.len();
            let Some((section, next)) = split_section(rest, COOKIE).map_err(|fault| fault.at(at))? else { break end };
            match section.kind {
                section::END => break end,
                section::KEYS => keys = Some(check_keys(section.content)?),
                section::FRIENDS if section.content.len() % FRIEND_RECORD_LEN != 0 => {
                    return Err(ProfileError::FriendsLength(section.content.len()));
                }
                _ => {}
            }
            rest = next;
        };
        Ok(Self { keys: keys.ok_or(ProfileError::NoKeys)?, sections: &body[..len] })
    }

    /// The nospam of the Tox ID.
    #[must_use]
    pub const fn nospam(&self) -> Nospam {
        let [a, b, c, d, ..] = *self.keys;
        Nospam([a, b, c, d])
    }

    /// The long-term public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(core::array::from_fn(|i| self.keys[4 + i]))
    }

    /// The long-term secret key.
    #[must_use]
    pub fn secret_key(&self) -> SecretKey {
        SecretKey::from_bytes(core::array::from_fn(|i| self.keys[36 + i]))
    }

    /// The user's name, empty when there is none or one that is too long.
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        self.last(section::NAME).filter(|text| text.len() <= NAME_LEN_MAX).unwrap_or_default()
    }

    /// The user's status message, empty when there is none or one that is too long.
    #[must_use]
    pub fn status_message(&self) -> &'a [u8] {
        self.last(section::STATUS_MESSAGE).filter(|text| text.len() <= STATUS_MESSAGE_LEN_MAX).unwrap_or_default()
    }

    /// The user's status.
    #[must_use]
    pub fn status(&self) -> UserStatus {
        match self.last(section::STATUS) {
            Some(&[byte]) => UserStatus::from_byte(byte).unwrap_or_default(),
            Some(_) | None => UserStatus::None,
        }
    }

    /// The friends.
    pub fn friends(&self) -> impl Iterator<Item = FriendRecord<'a>> + Clone + use<'a> {
        self.sections()
            .filter(|section| section.kind == section::FRIENDS)
            .flat_map(|section| section.content.chunks_exact(FRIEND_RECORD_LEN))
            .filter_map(FriendRecord::parse)
    }

    /// DHT nodes that were alive.
    pub fn nodes(&self) -> impl Iterator<Item = NodeInfo> + Clone + use<'a> {
        let inner = self.last(section::DHT).and_then(|content| content.strip_prefix(&DHT_MAGIC)).unwrap_or_default();
        let nodes = split_section(inner, DHT_COOKIE).ok().flatten().filter(|(section, _)| section.kind == DHT_NODES);
        packed(nodes.map(|(section, _)| section.content)).udp()
    }

    /// TCP relays that were connected.
    pub fn relays(&self) -> impl Iterator<Item = NodeInfo> + Clone + use<'a> {
        packed(self.last(section::TCP_RELAYS)).tcp()
    }

    /// Nodes that served in onion paths.
    pub fn path_nodes(&self) -> impl Iterator<Item = NodeInfo> + Clone + use<'a> {
        packed(self.last(section::PATH_NODES)).udp()
    }

    /// Where friends were when the profile was written.
    pub fn whereabouts(&self) -> impl Iterator<Item = Whereabouts> + Clone + use<'a> {
        let mut r = Reader::new(self.last(section::WHEREABOUTS).unwrap_or_default());
        core::iter::from_fn(move || Whereabouts::parse(&mut r))
    }

    /// All sections but the end.
    pub fn sections(&self) -> impl Iterator<Item = Section<'a>> + Clone + use<'a> {
        let mut rest = self.sections;
        core::iter::from_fn(move || {
            let (section, next) = split_section(rest, COOKIE).ok()??;
            rest = next;
            Some(section)
        })
    }

    /// The sections that nothing here understands, for [`ProfileWriter::other`].
    pub fn others(&self) -> impl Iterator<Item = Section<'a>> + Clone + use<'a> {
        self.sections().filter(|section| {
            !matches!(
                section.kind,
                section::KEYS
                    | section::DHT
                    | section::FRIENDS
                    | section::NAME
                    | section::STATUS_MESSAGE
                    | section::STATUS
                    | section::TCP_RELAYS
                    | section::PATH_NODES
                    | section::WHEREABOUTS
            )
        })
    }

    fn last(&self, kind: u16) -> Option<&'a [u8]> {
        self.sections().filter(|section| section.kind == kind).last().map(|section| section.content)
    }
}

impl fmt::Debug for Profile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile").field("public_key", &self.public_key()).finish_non_exhaustive()
    }
}

/// What can be wrong where a section should start.
enum Fault {
    Truncated,
    Cookie,
}

impl Fault {
    const fn at(self, at: usize) -> ProfileError {
        match self {
            Self::Truncated => ProfileError::Truncated { at },
            Self::Cookie => ProfileError::Cookie { at },
        }
    }
}

/// The first section of `bytes` and what follows it; `None` when there are no bytes.
fn split_section(bytes: &[u8], cookie: u16) -> Result<Option<(Section<'_>, &[u8])>, Fault> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let (header, rest) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(Fault::Truncated)?;
    let [l0, l1, l2, l3, k0, k1, c0, c1] = *header;
    if u16::from_le_bytes([c0, c1]) != cookie {
        return Err(Fault::Cookie);
    }
    let len = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    let (content, rest) = rest.split_at_checked(len).ok_or(Fault::Truncated)?;
    Ok(Some((Section { kind: u16::from_le_bytes([k0, k1]), content }, rest)))
}

fn check_keys(content: &[u8]) -> Result<&[u8; KEYS_LEN], ProfileError> {
    let keys: &[u8; KEYS_LEN] = content.try_into().map_err(|_| ProfileError::KeysLength(content.len()))?;
    let (_, pair) = keys.split_at(4);
    let (public, secret) = pair.split_at(32);
    let secret = secret.try_into().map(SecretKey::from_bytes).map_err(|_| ProfileError::KeysLength(content.len()))?;
    if secret.public_key().as_bytes()[..] == *public { Ok(keys) } else { Err(ProfileError::KeyMismatch) }
}

/// The packed nodes up to the first that is none: toxcore ignores the rest.
fn packed(content: Option<&[u8]>) -> PackedNodes<'_> {
    let bytes = content.unwrap_or_default();
    let mut r = Reader::new(bytes);
    let mut len = 0;
    loop {
        let node_len = match r.u8() {
            Some(2 | 130) => NODE_LEN_MAX - 12,
            Some(10 | 138) => NODE_LEN_MAX,
            Some(_) | None => break,
        };
        if r.take(node_len - 1).is_none() {
            break;
        }
        len += node_len;
    }
    PackedNodes::parse_any(&bytes[..len], usize::MAX).unwrap_or(PackedNodes::EMPTY)
}

//! The messenger: what we tell friends about ourselves, and what their packets mean to us.
//!
//! A session alone does not make a friend online: both clients say ONLINE in it, and answer the other's with their own
//! again. After that name, status message, status and typing follow, and messages flow. What a friend has still to be
//! told is a set of flags in the friend table; nothing queues here.

use crate::cx::{Cx, Env};
use crate::event::{Event, MessageKind, UserStatus};
use crate::friend::{Friend, FriendId, tell};
use crate::session::Sessions;
use crate::storage::{Full, Mem};
use crate::wire::messenger::{NAME_LEN_MAX, Packet, STATUS_MESSAGE_LEN_MAX, id};

/// Our name and status message; a table of one, because a node must stay small.
#[derive(Debug)]
pub(crate) struct SelfText {
    name: heapless::Vec<u8, NAME_LEN_MAX>,
    status_message: heapless::Vec<u8, STATUS_MESSAGE_LEN_MAX>,
}

impl SelfText {
    /// What static storage is filled with.
    pub(crate) const EMPTY: Self = Self { name: heapless::Vec::new(), status_message: heapless::Vec::new() };
}

/// In place: no copy of the text on the stack.
fn replace<const MAX: usize>(text: &mut heapless::Vec<u8, MAX>, with: &[u8]) -> Result<(), Full> {
    if with.len() > MAX {
        return Err(Full);
    }
    text.clear();
    text.extend_from_slice(with).map_err(|_| Full)
}

/// A text is longer than the protocol allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// The most bytes that it may have.
    pub max: usize,
}

impl core::fmt::Display for TooLong {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "longer than {} bytes", self.max)
    }
}

impl core::error::Error for TooLong {}

/// Why a message cannot be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// No such friend.
    NoFriend,
    /// The friend is offline.
    NotConnected,
    /// A message has at least one byte.
    Empty,
    /// A message has at most 1372 bytes.
    TooLong,
    /// The send window is full; an [`Event::Writable`] follows when there is room.
    Full,
    /// The first byte of a custom packet is not one that applications may use.
    BadId,
}

impl core::fmt::Display for SendError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NoFriend => "no such friend",
            Self::NotConnected => "the friend is not online",
            Self::Empty => "a message needs at least one byte",
            Self::TooLong => "a message has at most 1372 bytes",
            Self::Full => "too much is waiting to be sent to this friend",
            Self::BadId => "a custom packet begins with A0 to BF (lossless) or C8 to FE (lossy)",
        })
    }
}

impl core::error::Error for SendError {}

/// What we say about ourselves.
#[derive(Debug)]
pub(crate) struct Messenger<'s> {
    text: Mem<'s, SelfText>,
    pub(crate) status: UserStatus,
}

impl<'s> Messenger<'s> {
    pub(crate) const fn new(text: Mem<'s, SelfText>) -> Self {
        Self { text, status: UserStatus::None }
    }

    pub(crate) fn name(&self) -> &[u8] {
        self.text.first().map_or(&[], |text| &text.name)
    }

    pub(crate) fn status_message(&self) -> &[u8] {
        self.text.first().map_or(&[], |text| &text.status_message)
    }

    pub(crate) fn set_name(&mut self, name: &[u8]) -> Result<(), TooLong> {
        let too_long = TooLong { max: NAME_LEN_MAX };
        let text = self.text.first_mut().ok_or(too_long)?;
        replace(&mut text.name, name).map_err(|_| too_long)
    }

    pub(crate) fn set_status_message(&mut self, message: &[u8]) -> Result<(), TooLong> {
        let too_long = TooLong { max: STATUS_MESSAGE_LEN_MAX };
        let text = self.text.first_mut().ok_or(too_long)?;
        replace(&mut text.status_message, message).map_err(|_| too_long)
    }

    /// Queues what `friend` has still to be told; what finds no room stays flagged.
    pub(crate) fn tell<'s2, E: Env>(&self, cx: &mut Cx<'_, 's2, E>, sessions: &mut Sessions<'s2>, friend: &mut Friend) {
        let Some(session) = friend.session else { return };
        let typing = [id::TYPING, u8::from(friend.typing_to_friend)];
        let status = [id::STATUS, self.status as u8];
        let packets: [(u8, [&[u8]; 2]); 6] = [
            (tell::ONLINE, [&[id::ONLINE], &[]]),
            (tell::NAME, [&[id::NAME], self.name()]),
            (tell::STATUS_MESSAGE, [&[id::STATUS_MESSAGE], self.status_message()]),
            (tell::STATUS, [&status, &[]]),
            (tell::TYPING, [&typing, &[]]),
            (tell::ALIVE, [&[id::ALIVE], &[]]),
        ];
        for (flag, parts) in packets {
            if friend.tell & flag != 0 {
                if sessions.send(cx, session, &parts, 0).is_err() {
                    return;
                }
                friend.tell &= !flag;
            }
        }
    }
}

/// Whether [`receive`] would return an event.
pub(crate) fn is_for_application(friend: &Friend, bytes: &[u8]) -> bool {
    friend.online
        && match Packet::parse(bytes) {
            None
            | Some(
                Packet::Alive
                | Packet::ShareRelays(_)
                | Packet::FriendRequest { .. }
                | Packet::Online
                | Packet::Offline,
            ) => false,
            Some(
                Packet::Name(_)
                | Packet::StatusMessage(_)
                | Packet::Status(_)
                | Packet::Typing(_)
                | Packet::Message(_)
                | Packet::Action(_)
                | Packet::Custom(_),
            ) => true,
        }
}

/// Takes one packet of a friend; an event when the application should know. Packets before ONLINE, of other features
/// and with wrong lengths say nothing to us.
pub(crate) fn receive<'a>(friend: &mut Friend, who: FriendId, bytes: &'a [u8]) -> Option<Event<'a>> {
    let packet = Packet::parse(bytes)?;
    if packet == Packet::Online {
        if !friend.online {
            friend.came_online();
        }
        return None;
    }
    if !friend.online {
        return None;
    }
    match packet {
        Packet::Alive | Packet::Online | Packet::ShareRelays(_) | Packet::FriendRequest { .. } => None,
        Packet::Offline => {
            friend.online = false;
            None
        }
        Packet::Name(name) => Some(Event::FriendName { friend: who, name }),
        Packet::StatusMessage(text) => Some(Event::FriendStatusMessage { friend: who, text }),
        Packet::Status(byte) => {
            friend.status = UserStatus::from_byte(byte)?;
            Some(Event::FriendStatus { friend: who, status: friend.status })
        }
        Packet::Typing(byte) => {
            friend.typing = byte != 0;
            Some(Event::FriendTyping { friend: who, typing: friend.typing })
        }
        Packet::Message(text) => Some(Event::Message { friend: who, kind: MessageKind::Normal, text }),
        Packet::Action(text) => Some(Event::Message { friend: who, kind: MessageKind::Action, text }),
        Packet::Custom(data) => Some(Event::LosslessPacket { friend: who, data }),
    }
}

//! What the core does not keep about friends, and of a profile, because a microcontroller could not: names, status
//! messages, when they were last seen, and sections that only other clients understand.

use bluering_core::Event;
use bluering_core::crypto::PublicKey;
use bluering_core::wire::NodeInfo;
use bluering_core::{Connection, FriendId, FriendTexts, UserStatus};

/// Texts about one friend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contact {
    /// At most 128 bytes.
    pub(crate) name: Vec<u8>,
    /// At most 1007 bytes.
    pub(crate) status_message: Vec<u8>,
    /// As last told.
    pub(crate) status: UserStatus,
    /// Seconds since 1970; 0 for never.
    pub(crate) last_seen: u64,
}

impl Contact {
    /// For the profile.
    pub(crate) fn texts(&self) -> FriendTexts<'_> {
        let Self { name, status_message, status, last_seen } = self;
        FriendTexts { name, status_message, status: *status, last_seen: *last_seen }
    }
}

/// Beside the friend table, by friend number.
#[derive(Debug, Default)]
pub(crate) struct Contacts {
    friends: Vec<Contact>,
    /// Sections of the profile that we do not understand: type and content, in order.
    pub(crate) foreign: Vec<(u16, Vec<u8>)>,
    /// TCP relays of the profile: kept for the time when relays are supported.
    pub(crate) relays: Vec<NodeInfo>,
}

impl Contacts {
    /// The texts about a friend.
    pub(crate) fn get(&self, friend: FriendId) -> Option<&Contact> {
        self.friends.get(friend.index())
    }

    /// A friend was added with these texts, or removed with none.
    pub(crate) fn put(&mut self, friend: FriendId, contact: Contact) {
        *self.entry(friend) = contact;
    }

    /// Takes in what an event tells; true when a profile should hold it.
    pub(crate) fn learn(&mut self, event: &Event<'_>) -> bool {
        match *event {
            Event::FriendName { friend, name } => replace(&mut self.entry(friend).name, name),
            Event::FriendStatusMessage { friend, text } => replace(&mut self.entry(friend).status_message, text),
            Event::FriendStatus { friend, status } => {
                let known = &mut self.entry(friend).status;
                let changed = *known != status;
                *known = status;
                changed
            }
            Event::FriendConnection { friend, connection } => {
                let seen = crate::env::unix_now().0;
                self.entry(friend).last_seen = seen;
                connection == Connection::None
            }
            Event::SelfConnection(_)
            | Event::FriendRequest { .. }
            | Event::FriendTyping { .. }
            | Event::Message { .. }
            | Event::LosslessPacket { .. }
            | Event::LossyPacket { .. }
            | Event::ReadReceipt { .. }
            | Event::Undelivered { .. }
            | Event::Writable { .. }
            | Event::Proxy(_) => false,
            _ => false,
        }
    }

    fn entry(&mut self, friend: FriendId) -> &mut Contact {
        let index = friend.index();
        if index >= self.friends.len() {
            self.friends.resize(index + 1, Contact::default());
        }
        &mut self.friends[index]
    }
}

fn replace(known: &mut Vec<u8>, told: &[u8]) -> bool {
    let changed = known != told;
    if changed {
        known.clear();
        known.extend_from_slice(told);
    }
    changed
}

/// A friend, as an application shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Friend {
    /// Handle for commands; its index is the friend number.
    pub id: FriendId,
    /// The long-term key.
    pub key: PublicKey,
    /// How they are reached.
    pub connection: Connection,
    /// As last told.
    pub status: UserStatus,
    /// Whether they are typing.
    pub typing: bool,
    /// Our friend request to them is unanswered.
    pub requested: bool,
    /// As last told, at most 128 bytes.
    pub name: Vec<u8>,
    /// As last told, at most 1007 bytes.
    pub status_message: Vec<u8>,
    /// Seconds since 1970, 0 for never.
    pub last_seen: u64,
}

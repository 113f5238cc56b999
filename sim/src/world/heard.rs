//! Events, owned: what a test looks at afterwards.

use bluering_core::crypto::PublicKey;
use bluering_core::{Connection, Event, FriendId, MessageId, MessageKind, UserStatus};

/// An event that a node gave to its application, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the same as bluering_core::Event")]
pub enum Heard {
    SelfConnection(Connection),
    FriendRequest { key: PublicKey, message: Vec<u8> },
    FriendConnection { friend: FriendId, connection: Connection },
    FriendName { friend: FriendId, name: Vec<u8> },
    FriendStatusMessage { friend: FriendId, text: Vec<u8> },
    FriendStatus { friend: FriendId, status: UserStatus },
    FriendTyping { friend: FriendId, typing: bool },
    Message { friend: FriendId, kind: MessageKind, text: Vec<u8> },
    LosslessPacket { friend: FriendId, data: Vec<u8> },
    LossyPacket { friend: FriendId, data: Vec<u8> },
    ReadReceipt { friend: FriendId, message: MessageId },
    Undelivered { friend: FriendId, first: MessageId, last: MessageId },
    Writable { friend: FriendId },
}

impl Heard {
    pub(super) fn of(event: &Event<'_>) -> Option<Self> {
        Some(match *event {
            Event::SelfConnection(connection) => Self::SelfConnection(connection),
            Event::FriendRequest { key, message } => Self::FriendRequest { key, message: message.to_vec() },
            Event::FriendConnection { friend, connection } => Self::FriendConnection { friend, connection },
            Event::FriendName { friend, name } => Self::FriendName { friend, name: name.to_vec() },
            Event::FriendStatusMessage { friend, text } => Self::FriendStatusMessage { friend, text: text.to_vec() },
            Event::FriendStatus { friend, status } => Self::FriendStatus { friend, status },
            Event::FriendTyping { friend, typing } => Self::FriendTyping { friend, typing },
            Event::Message { friend, kind, text } => Self::Message { friend, kind, text: text.to_vec() },
            Event::LosslessPacket { friend, data } => Self::LosslessPacket { friend, data: data.to_vec() },
            Event::LossyPacket { friend, data } => Self::LossyPacket { friend, data: data.to_vec() },
            Event::ReadReceipt { friend, message } => Self::ReadReceipt { friend, message },
            Event::Undelivered { friend, first, last } => Self::Undelivered { friend, first, last },
            Event::Writable { friend } => Self::Writable { friend },
            _ => return None,
        })
    }
}

/// The friend that an event is about.
pub(super) fn friend_of(event: &Event<'_>) -> Option<FriendId> {
    match event {
        Event::FriendConnection { friend, .. }
        | Event::FriendName { friend, .. }
        | Event::FriendStatusMessage { friend, .. }
        | Event::FriendStatus { friend, .. }
        | Event::FriendTyping { friend, .. }
        | Event::Message { friend, .. }
        | Event::LosslessPacket { friend, .. }
        | Event::LossyPacket { friend, .. }
        | Event::ReadReceipt { friend, .. }
        | Event::Undelivered { friend, .. }
        | Event::Writable { friend } => Some(*friend),
        // The enum may grow in core; what is not about a friend has none.
        Event::SelfConnection(_) | Event::FriendRequest { .. } | _ => None,
    }
}

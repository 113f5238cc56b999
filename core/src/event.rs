//! What the node tells its application.

use crate::crypto::PublicKey;
use crate::node::{FriendId, MessageId};
use crate::relay::proxy::ProxyTrouble;

/// How somebody can be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Connection {
    /// Not at all.
    #[default]
    None,
    /// Through a TCP relay.
    Tcp,
    /// Directly.
    Udp,
}

/// A user's status, as shown to friends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum UserStatus {
    /// Available.
    #[default]
    None = 0,
    /// Away.
    Away = 1,
    /// Busy.
    Busy = 2,
}

impl UserStatus {
    /// From the byte on the wire or in a profile.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::None),
            1 => Some(Self::Away),
            2 => Some(Self::Busy),
            _ => None,
        }
    }
}

/// The two kinds of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// Text.
    Normal,
    /// Something that the sender does (`/me waves`).
    Action,
}

/// An event as [`Node::poll_event`](crate::Node::poll_event) lends it.
pub type Event<'a> = EventOf<&'a [u8]>;

/// An event that owns its texts: to be kept, or given to another thread.
#[cfg(feature = "alloc")]
pub type OwnedEvent = EventOf<alloc::vec::Vec<u8>>;

/// Something that the application may want to know; [`Event`] and `OwnedEvent` are its forms. Texts (`B`) are bytes as
/// the friend sent them: UTF-8 by convention only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventOf<B> {
    /// Whether friends can find us. `Udp` is first given when an onion path has carried an announce answer.
    SelfConnection(Connection),
    /// Somebody who knows our Tox ID wants to be a friend. Accept with [`Node::accept`](crate::Node::accept), or do
    /// nothing.
    FriendRequest {
        /// Their long-term key.
        key: PublicKey,
        /// Their words.
        message: B,
    },
    /// A friend comes online or goes offline.
    FriendConnection {
        /// Who.
        friend: FriendId,
        /// How they are reached now.
        connection: Connection,
    },
    /// A friend's name.
    FriendName {
        /// Who.
        friend: FriendId,
        /// At most 128 bytes.
        name: B,
    },
    /// A friend's status message.
    FriendStatusMessage {
        /// Who.
        friend: FriendId,
        /// At most 1007 bytes.
        text: B,
    },
    /// A friend's status.
    FriendStatus {
        /// Who.
        friend: FriendId,
        /// The status.
        status: UserStatus,
    },
    /// A friend starts or stops typing.
    FriendTyping {
        /// Who.
        friend: FriendId,
        /// Whether they are typing now.
        typing: bool,
    },
    /// A message.
    Message {
        /// From whom.
        friend: FriendId,
        /// Text or action.
        kind: MessageKind,
        /// 1 to 1372 bytes.
        text: B,
    },
    /// A lossless packet that applications define.
    LosslessPacket {
        /// From whom.
        friend: FriendId,
        /// 1 to 1373 bytes, the first of them 160 to 191.
        data: B,
    },
    /// A lossy packet that applications define.
    LossyPacket {
        /// From whom.
        friend: FriendId,
        /// 1 to 1373 bytes, the first of them 200 to 254.
        data: B,
    },
    /// A message has arrived at the friend's client.
    ReadReceipt {
        /// At whom.
        friend: FriendId,
        /// As returned when it was sent.
        message: MessageId,
    },
    /// The friend went offline before these messages were acknowledged; they may or may not have arrived.
    Undelivered {
        /// For whom.
        friend: FriendId,
        /// The first of them.
        first: MessageId,
        /// The last of them.
        last: MessageId,
    },
    /// After a send was refused with `Full`: there is room again.
    Writable {
        /// For whom.
        friend: FriendId,
    },
    /// Nobody is reached through the proxy. Told once for each change; it is tried again and again.
    Proxy(ProxyTrouble),
}

impl<B> EventOf<B> {
    /// The same event with its text, if it has one, changed by `f`.
    pub fn map<C>(self, f: impl FnOnce(B) -> C) -> EventOf<C> {
        match self {
            Self::SelfConnection(connection) => EventOf::SelfConnection(connection),
            Self::FriendRequest { key, message } => EventOf::FriendRequest { key, message: f(message) },
            Self::FriendConnection { friend, connection } => EventOf::FriendConnection { friend, connection },
            Self::FriendName { friend, name } => EventOf::FriendName { friend, name: f(name) },
            Self::FriendStatusMessage { friend, text } => EventOf::FriendStatusMessage { friend, text: f(text) },
            Self::FriendStatus { friend, status } => EventOf::FriendStatus { friend, status },
            Self::FriendTyping { friend, typing } => EventOf::FriendTyping { friend, typing },
            Self::Message { friend, kind, text } => EventOf::Message { friend, kind, text: f(text) },
            Self::LosslessPacket { friend, data } => EventOf::LosslessPacket { friend, data: f(data) },
            Self::LossyPacket { friend, data } => EventOf::LossyPacket { friend, data: f(data) },
            Self::ReadReceipt { friend, message } => EventOf::ReadReceipt { friend, message },
            Self::Undelivered { friend, first, last } => EventOf::Undelivered { friend, first, last },
            Self::Writable { friend } => EventOf::Writable { friend },
            Self::Proxy(trouble) => EventOf::Proxy(trouble),
        }
    }
}

#[cfg(feature = "alloc")]
impl Event<'_> {
    /// A copy that owns its texts.
    #[must_use]
    pub fn to_owned(&self) -> OwnedEvent {
        self.map(<[u8]>::to_vec)
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;

    #[test]
    fn an_owned_event_says_the_same() {
        let (key, text) = (PublicKey([7; 32]), b"hi".to_vec());
        let request = Event::FriendRequest { key, message: &text }.to_owned();
        assert_eq!(request, OwnedEvent::FriendRequest { key, message: text });
        assert_eq!(Event::SelfConnection(Connection::Udp).to_owned(), EventOf::SelfConnection(Connection::Udp));
    }
}

//! What the node tells its application.

use crate::crypto::PublicKey;
use crate::node::{FriendId, MessageId};

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

/// Something that the application may want to know. Texts are bytes as the friend sent them: UTF-8 by convention only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Whether friends can find us. `Udp` is first given when an onion path has carried an announce answer.
    SelfConnection(Connection),
    /// Somebody who knows our Tox ID wants to be a friend. Accept with [`Node::accept`](crate::Node::accept), or do
    /// nothing.
    FriendRequest {
        /// Their long-term key.
        key: PublicKey,
        /// Their words.
        message: &'a [u8],
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
        name: &'a [u8],
    },
    /// A friend's status message.
    FriendStatusMessage {
        /// Who.
        friend: FriendId,
        /// At most 1007 bytes.
        text: &'a [u8],
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
        text: &'a [u8],
    },
    /// A lossless packet that applications define.
    LosslessPacket {
        /// From whom.
        friend: FriendId,
        /// 1 to 1373 bytes, the first of them 160 to 191.
        data: &'a [u8],
    },
    /// A lossy packet that applications define.
    LossyPacket {
        /// From whom.
        friend: FriendId,
        /// 1 to 1373 bytes, the first of them 200 to 254.
        data: &'a [u8],
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
}

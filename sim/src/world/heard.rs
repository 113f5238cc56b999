//! Whom an event is about.

use bluering_core::{Event, FriendId};

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

//! Events that own what they carry, and the bounded way from the node to its application.
//!
//! When the application does not read, the channel fills, [`EventSender::has_room`] says so, the core keeps its events, and
//! the windows towards friends close: back-pressure from end to end, and nothing is lost.

use bluering_core::crypto::PublicKey;
use bluering_core::{Connection, Event, FriendId, MessageId, MessageKind, UserStatus};
use smol::channel::{self, Receiver, Sender};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Something that the application may want to know. Texts are bytes as the friend sent them: UTF-8 by convention only.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToxEvent {
    /// Whether friends can find us.
    SelfConnection(Connection),
    /// Somebody who knows our Tox ID wants to be a friend. Accept with [`Tox::accept`](crate::Tox::accept), or do nothing.
    FriendRequest {
        /// Their long-term key.
        key: PublicKey,
        /// Their words.
        message: Vec<u8>,
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
        name: Vec<u8>,
    },
    /// A friend's status message.
    FriendStatusMessage {
        /// Who.
        friend: FriendId,
        /// At most 1007 bytes.
        text: Vec<u8>,
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
        text: Vec<u8>,
    },
    /// A lossless packet that applications define.
    LosslessPacket {
        /// From whom.
        friend: FriendId,
        /// 1 to 1373 bytes, the first of them 160 to 191.
        data: Vec<u8>,
    },
    /// A lossy packet that applications define.
    LossyPacket {
        /// From whom.
        friend: FriendId,
        /// 1 to 1373 bytes, the first of them 200 to 254.
        data: Vec<u8>,
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
    /// After a send was refused because the window was full: there is room again.
    Writable {
        /// For whom.
        friend: FriendId,
    },
    /// The profile could not be written. What is on disk is the last profile that could be.
    ProfileNotSaved {
        /// File and cause.
        reason: String,
    },
}

impl ToxEvent {
    /// `None` for an event that this runtime is too old to know.
    pub(crate) fn from_core(event: Event<'_>) -> Option<Self> {
        Some(match event {
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

/// The application's end: what happened, in order. Drop it to have all events discarded.
#[derive(Debug)]
pub struct Events {
    events: Receiver<ToxEvent>,
    read: Sender<()>,
}

impl Events {
    /// The next event; `None` after the node has shut down.
    pub async fn next(&mut self) -> Option<ToxEvent> {
        let event = self.events.recv().await.ok();
        self.tell_read();
        event
    }

    /// The next event if one is already there.
    pub fn try_next(&mut self) -> Option<ToxEvent> {
        let event = self.events.try_recv().ok()?;
        self.tell_read();
        Some(event)
    }

    /// A full channel already holds the same news.
    fn tell_read(&self) {
        let _ = self.read.try_send(());
    }
}

/// The node's end.
#[derive(Debug)]
pub(crate) struct EventSender {
    events: Sender<ToxEvent>,
    read: Pin<Box<Receiver<()>>>,
}

impl EventSender {
    /// Whether one more event can be given. True when nobody listens any more: then events vanish.
    pub(crate) fn has_room(&self) -> bool {
        !self.events.is_full() || self.events.is_closed()
    }

    /// Gives an event; the caller has asked for room.
    pub(crate) fn give(&self, event: ToxEvent) {
        let _ = self.events.try_send(event);
    }

    /// Ready when the application has read something since the last call, or stopped listening.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        smol::stream::Stream::poll_next(self.read.as_mut(), cx).map(|_| ())
    }
}

/// A way for at most `capacity` events.
pub(crate) fn event_channel(capacity: usize) -> (EventSender, Events) {
    let (events, receiver) = channel::bounded(capacity.max(1));
    let (read, was_read) = channel::bounded(1);
    (EventSender { events, read: Box::pin(was_read) }, Events { events: receiver, read })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_tells_a_full_node_that_there_is_room() {
        let (mut node, mut app) = event_channel(1);
        node.give(ToxEvent::SelfConnection(Connection::Udp));
        assert!(!node.has_room());
        assert_eq!(app.try_next(), Some(ToxEvent::SelfConnection(Connection::Udp)));
        smol::block_on(std::future::poll_fn(|cx| node.poll_read(cx)));
        assert!(node.has_room());
    }

    #[test]
    fn nobody_listening_never_blocks_the_node() {
        let (mut node, app) = event_channel(1);
        node.give(ToxEvent::SelfConnection(Connection::Udp));
        drop(app);
        assert!(node.has_room());
        smol::block_on(std::future::poll_fn(|cx| node.poll_read(cx)));
    }
}

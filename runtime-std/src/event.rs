//! Events that own what they carry, and the bounded way from the node to its application.
//!
//! When the application does not read, the channel fills, [`EventSender::has_room`] says so, the core keeps its events,
//! and the windows towards friends close: back-pressure from end to end, and nothing is lost.

use bluering_core::crypto::PublicKey;
use bluering_core::relay::proxy::ProxyTrouble;
use bluering_core::{Connection, Event, FriendId, MessageId, MessageKind, UserStatus};
use smol::channel::{self, Receiver, Sender};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// Something that the application may want to know. Texts are bytes as the friend sent them: UTF-8 by convention only.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToxEvent {
    /// Whether friends can find us.
    SelfConnection(Connection),
    /// Somebody who knows our Tox ID wants to be a friend. Accept with [`Tox::accept`](crate::Tox::accept), or do
    /// nothing.
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
    /// Nobody is reached through the proxy. It is tried again and again.
    Proxy(ProxyTrouble),
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
            Event::Proxy(trouble) => Self::Proxy(trouble),
            _ => return None,
        })
    }
}

/// The application's end: what happened, in order. Drop it to have all events discarded.
#[derive(Debug)]
pub struct Events {
    /// Taken from the queue, not read yet.
    taken: VecDeque<ToxEvent>,
    queue: Arc<Queue>,
    filled: Receiver<()>,
    read: Sender<()>,
}

/// What both ends share. Events change hands in batches, so that neither end waits for the other's lock or wakes it for
/// each.
#[derive(Debug)]
struct Queue {
    events: Mutex<VecDeque<ToxEvent>>,
    /// Given and not read yet, wherever they are.
    unread: AtomicUsize,
    capacity: usize,
    /// The node waits until half of them are read.
    wanted: AtomicBool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, VecDeque<ToxEvent>> {
        // Moving events cannot panic half-way.
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_full(&self) -> bool {
        self.unread.load(SeqCst) >= self.capacity
    }
}

impl Events {
    /// The next event; `None` after the node has shut down.
    pub async fn next(&mut self) -> Option<ToxEvent> {
        loop {
            if let Some(event) = self.try_next() {
                return Some(event);
            }
            if self.filled.recv().await.is_err() {
                return self.try_next();
            }
        }
    }

    /// The next event if one is already there.
    pub fn try_next(&mut self) -> Option<ToxEvent> {
        if self.taken.is_empty() {
            std::mem::swap(&mut *self.queue.lock(), &mut self.taken);
        }
        let event = self.taken.pop_front()?;
        let left = self.queue.unread.fetch_sub(1, SeqCst) - 1;
        if left <= self.queue.capacity / 2 && self.queue.wanted.load(SeqCst) {
            self.queue.wanted.store(false, SeqCst);
            // A full channel already holds the same news.
            let _ = self.read.try_send(());
        }
        Some(event)
    }
}

/// The node's end.
#[derive(Debug)]
pub(crate) struct EventSender {
    /// Given since the last [`deliver`](Self::deliver).
    given: Vec<ToxEvent>,
    queue: Arc<Queue>,
    filled: Sender<()>,
    read: Pin<Box<Receiver<()>>>,
}

impl EventSender {
    /// Whether one more event can be given. True when nobody listens any more: then events vanish.
    pub(crate) fn has_room(&self) -> bool {
        if !self.queue.is_full() || self.filled.is_closed() {
            return true;
        }
        self.queue.wanted.store(true, SeqCst);
        // The application may have read before it could see the wish.
        !self.queue.is_full()
    }

    /// Gives an event; the caller has asked for room, and calls [`deliver`](Self::deliver) when it has given all.
    pub(crate) fn give(&mut self, event: ToxEvent) {
        if !self.filled.is_closed() {
            self.queue.unread.fetch_add(1, SeqCst);
            self.given.push(event);
        }
    }

    /// Lets the application see what was given.
    pub(crate) fn deliver(&mut self) {
        if !self.given.is_empty() {
            self.queue.lock().extend(self.given.drain(..));
            let _ = self.filled.try_send(());
        }
    }

    /// Ready when the application has read much since room was found missing, or stopped listening.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        smol::stream::Stream::poll_next(self.read.as_mut(), cx).map(|_| ())
    }
}

/// A way for at most `capacity` events.
pub(crate) fn event_channel(capacity: usize) -> (EventSender, Events) {
    let ((filled, was_filled), (read, was_read)) = (channel::bounded(1), channel::bounded(1));
    let queue = Arc::new(Queue {
        events: Mutex::default(),
        unread: AtomicUsize::new(0),
        capacity: capacity.max(1),
        wanted: AtomicBool::new(false),
    });
    let sender = EventSender { given: Vec::new(), queue: queue.clone(), filled, read: Box::pin(was_read) };
    (sender, Events { taken: VecDeque::new(), queue, filled: was_filled, read })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: ToxEvent = ToxEvent::SelfConnection(Connection::Udp);

    #[test]
    fn reading_tells_a_full_node_that_there_is_room() {
        let (mut node, mut app) = event_channel(1);
        node.give(EVENT);
        assert!(!node.has_room());
        node.deliver();
        assert_eq!(app.try_next(), Some(EVENT));
        smol::block_on(std::future::poll_fn(|cx| node.poll_read(cx)));
        assert!(node.has_room());
    }

    #[test]
    fn nobody_listening_never_blocks_the_node() {
        let (mut node, app) = event_channel(1);
        node.give(EVENT);
        assert!(!node.has_room());
        drop(app);
        assert!(node.has_room());
        smol::block_on(std::future::poll_fn(|cx| node.poll_read(cx)));
    }

    #[test]
    fn a_slow_reader_gets_everything_in_order_and_then_the_end() {
        const COUNT: u32 = 2_000;
        let (mut node, mut app) = event_channel(7);
        let writer = std::thread::spawn(move || {
            for number in 0..COUNT {
                while !node.has_room() {
                    node.deliver();
                    smol::future::block_on(std::future::poll_fn(|cx| node.poll_read(cx)));
                }
                node.give(ToxEvent::ProfileNotSaved { reason: number.to_string() });
            }
            node.deliver();
        });
        for number in 0..COUNT {
            let event = smol::future::block_on(app.next());
            assert_eq!(event, Some(ToxEvent::ProfileNotSaved { reason: number.to_string() }));
        }
        assert_eq!(smol::future::block_on(app.next()), None);
        writer.join().expect("the writer ends");
    }
}

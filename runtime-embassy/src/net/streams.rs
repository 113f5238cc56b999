//! TCP connections to relays.
//!
//! Sockets and their buffers are there from the start, as many as the core has connections at a time. When the core
//! closes a connection, its socket is free at once: what was written still goes out, unless the socket is needed
//! before that is done.
//!
//! A frame is written only where the longest has room in one piece, straight into the socket's buffer; so nothing
//! waits outside of it. What has arrived of a frame waits beside the socket, because the socket's buffer is a ring.

use crate::tox::DeviceEnv;
use bluering_core::relay::{StreamEnd, StreamId};
use bluering_core::time::Instant;
use bluering_core::wire::relay::FRAME_LEN_MAX;
use bluering_core::{Endpoint, Node, RELAY_STREAMS};
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll};
use core::time::Duration;
use embassy_net::tcp::{ConnectError, State, TcpSocket};
use embassy_net::{IpEndpoint, Stack};

/// Bytes of a connection that may wait to be read: a full segment.
const RECEIVE_BYTES: usize = 1536;
/// Bytes that may wait until the relay has them: a frame with a message, and then there is room for the longest.
const SEND_BYTES: usize = 1440 + FRAME_LEN_MAX;
/// Reads of a connection before others have their turn.
const READS: usize = 4;
/// How long the last words may take until the relays have them.
const FAREWELL: Duration = Duration::from_secs(1);

/// The memory of all connections.
pub(crate) struct StreamBuffers([Buffers; RELAY_STREAMS]);

struct Buffers {
    receive: [u8; RECEIVE_BYTES],
    send: [u8; SEND_BYTES],
    frame: [u8; FRAME_LEN_MAX],
}

impl StreamBuffers {
    pub(crate) const fn new() -> Self {
        const EMPTY: Buffers = Buffers { receive: [0; _], send: [0; _], frame: [0; _] };
        Self([EMPTY; RELAY_STREAMS])
    }
}

/// All connections.
pub(crate) struct Streams<'d> {
    table: [Stream<'d>; RELAY_STREAMS],
    /// When the last words are late.
    late_at: Option<Instant>,
}

impl<'d> Streams<'d> {
    /// Sockets.
    pub(crate) const COUNT: usize = RELAY_STREAMS;

    /// Without connections.
    pub(crate) fn new(stack: Stack<'d>, buffers: &'d mut StreamBuffers) -> Self {
        Self { table: buffers.0.each_mut().map(|buffers| Stream::new(stack, buffers)), late_at: None }
    }

    /// Begins to connect; how that ends is told by [`serve`](Self::serve).
    pub(crate) fn open(&mut self, id: StreamId, to: Endpoint, cx: &mut Context<'_>) {
        let free = self.table.iter_mut().filter(|stream| matches!(stream.stage, Stage::Free));
        // There is one: the core has no more connections than we have sockets. The one that has nothing to send.
        if let Some(stream) = free.min_by_key(|stream| stream.socket.state() != State::Closed) {
            stream.open(id, to, cx);
        }
    }

    /// Ends a connection.
    pub(crate) fn close(&mut self, id: StreamId) {
        if let Some(stream) = self.find(id) {
            stream.free();
        }
    }

    /// Takes what the node has to send, until there is no more or the buffer is full. Whether there was anything.
    pub(crate) fn fill(
        &mut self,
        id: StreamId,
        cx: &mut Context<'_>,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> bool {
        self.find(id).is_some_and(|stream| stream.fill(cx, fill))
    }

    /// Gives the node what has come. True when there may be more at once.
    pub(crate) fn serve(
        &mut self,
        node: &mut Node<'_, DeviceEnv>,
        now: Instant,
        cx: &mut Context<'_>,
        changed: &mut bool,
    ) -> bool {
        let mut desk = Desk { node, now, changed };
        let mut more = false;
        for stream in &mut self.table {
            more |= stream.serve(&mut desk, cx);
        }
        more
    }

    /// Whether [`serve`](Self::serve) has something to tell, though no socket calls.
    pub(crate) fn has_ended(&self) -> bool {
        self.table.iter().any(|stream| matches!(stream.stage, Stage::Ended(..)))
    }

    /// Until when to wait for the last words; `None` when the relays have them, or are too late.
    pub(crate) fn farewell(&mut self, now: Instant, cx: &mut Context<'_>) -> Option<Instant> {
        let late_at = *self.late_at.get_or_insert(now + FAREWELL);
        let waits = self.table.iter_mut().any(|stream| stream.has_unsent(cx));
        (waits && now < late_at).then_some(late_at)
    }

    fn find(&mut self, id: StreamId) -> Option<&mut Stream<'d>> {
        self.table.iter_mut().find(|stream| stream.stage.id() == Some(id))
    }
}

/// How far a connection is.
#[derive(Clone, Copy)]
enum Stage {
    /// There is none.
    Free,
    Connecting(StreamId),
    Open(StreamId),
    /// It has ended, and the node does not know yet.
    Ended(StreamId, StreamEnd),
}

impl Stage {
    const fn id(self) -> Option<StreamId> {
        match self {
            Self::Free => None,
            Self::Connecting(id) | Self::Open(id) | Self::Ended(id, _) => Some(id),
        }
    }
}

/// One connection.
struct Stream<'d> {
    socket: TcpSocket<'d>,
    stage: Stage,
    /// The node has more to say than there is room for.
    blocked: bool,
    /// The beginning of a frame, and how much there is of it.
    frame: &'d mut [u8; FRAME_LEN_MAX],
    len: usize,
}

/// Whom a connection serves.
struct Desk<'a, 'd> {
    node: &'a mut Node<'d, DeviceEnv>,
    now: Instant,
    changed: &'a mut bool,
}

impl<'d> Stream<'d> {
    fn new(stack: Stack<'d>, buffers: &'d mut Buffers) -> Self {
        let Buffers { receive, send, frame } = buffers;
        let mut socket = TcpSocket::new(stack, receive, send);
        // Frames are whole when they are written; nothing more is to be waited for.
        socket.set_nagle_enabled(false);
        Self { socket, stage: Stage::Free, blocked: false, frame, len: 0 }
    }

    fn open(&mut self, id: StreamId, to: Endpoint, cx: &mut Context<'_>) {
        if self.socket.state() != State::Closed {
            self.socket.abort();
        }
        (self.blocked, self.len) = (false, 0);
        // The socket goes on connecting when the future is gone, and wakes us.
        let opened = pin!(self.socket.connect(IpEndpoint::new(to.ip().into(), to.port()))).poll(cx);
        self.stage = match opened {
            Poll::Pending | Poll::Ready(Ok(())) => Stage::Connecting(id),
            Poll::Ready(Err(ConnectError::NoRoute)) => Stage::Ended(id, StreamEnd::Unreachable),
            Poll::Ready(Err(ConnectError::InvalidState | ConnectError::ConnectionReset | ConnectError::TimedOut)) => {
                Stage::Ended(id, StreamEnd::Refused)
            }
        };
    }

    /// The connection is over for the node.
    fn free(&mut self) {
        self.socket.close();
        self.stage = Stage::Free;
    }

    fn fill(&mut self, cx: &mut Context<'_>, fill: &mut dyn FnMut(&mut [u8]) -> usize) -> bool {
        let Stage::Open(id) = self.stage else { return false };
        let mut any = false;
        while !self.blocked {
            let into = |room: &mut [u8]| {
                let len = (room.len() >= FRAME_LEN_MAX).then(|| fill(room));
                (len.unwrap_or(0), len)
            };
            match pin!(self.socket.write_with(into)).poll(cx) {
                Poll::Ready(Ok(Some(0))) => break,
                Poll::Ready(Ok(Some(_))) => any = true,
                Poll::Ready(Ok(None)) | Poll::Pending => self.blocked = true,
                Poll::Ready(Err(_)) => {
                    self.stage = Stage::Ended(id, StreamEnd::Ended);
                    break;
                }
            }
        }
        if self.blocked {
            self.has_unsent(cx);
        }
        any
    }

    /// Whether the relay has not acknowledged everything yet; when it does, we are woken.
    fn has_unsent(&mut self, cx: &mut Context<'_>) -> bool {
        matches!(self.stage, Stage::Open(_)) && pin!(self.socket.flush()).poll(cx).is_pending()
    }

    /// True when there may be more at once.
    fn serve(&mut self, desk: &mut Desk<'_, '_>, cx: &mut Context<'_>) -> bool {
        match self.stage {
            Stage::Free => false,
            Stage::Ended(_, why) => self.end(desk, why),
            Stage::Connecting(id) => {
                if pin!(self.socket.wait_write_ready()).poll(cx).is_ready() {
                    self.stage = Stage::Open(id);
                    *desk.changed = true;
                    desk.node.stream_opened(desk.now, id);
                    return self.read(id, desk, cx);
                }
                self.socket.state() == State::Closed && self.end(desk, StreamEnd::Refused)
            }
            Stage::Open(id) => {
                // An empty buffer is one piece again.
                if self.blocked && !self.has_unsent(cx) {
                    self.blocked = false;
                    desk.node.stream_ready(desk.now, id);
                }
                self.read(id, desk, cx)
            }
        }
    }

    fn read(&mut self, id: StreamId, desk: &mut Desk<'_, '_>, cx: &mut Context<'_>) -> bool {
        for _ in 0..READS {
            let read = pin!(self.socket.read(&mut self.frame[self.len..])).poll(cx);
            let len = match read {
                Poll::Pending => return false,
                Poll::Ready(Ok(0) | Err(_)) => return self.end(desk, StreamEnd::Ended),
                Poll::Ready(Ok(more)) => self.len + more,
            };
            *desk.changed = true;
            let used = desk.node.handle_stream(desk.now, id, &mut self.frame[..len]);
            self.frame.copy_within(used..len, 0);
            self.len = len - used;
        }
        true
    }

    /// Tells the node that the connection has ended. False: nothing more comes of it.
    fn end(&mut self, desk: &mut Desk<'_, '_>, why: StreamEnd) -> bool {
        if let Some(id) = self.stage.id() {
            *desk.changed = true;
            desk.node.stream_closed(desk.now, id, why);
        }
        self.free();
        false
    }
}

//! The loop that every runtime shares: [`pump`] drains a node into its [`Ports`].
//!
//! An adapter receives datagrams and hands them to [`Node::handle_datagram`], calls [`Node::handle_timeout`] when the
//! deadline has come, runs commands, and after any of these calls [`pump`]. Then it sleeps on the returned [`Idle`]:
//! until the deadline, the next datagram, a command, or, when something was blocked, until that is free again. It never
//! polls.

use crate::Endpoint;
use crate::cx::Env;
use crate::event::Event;
use crate::frame::{DATAGRAM_MAX, Transmit};
use crate::node::{Action, Node, Output};
use crate::relay::StreamId;
use crate::time::{Deadline, Instant};

/// What a runtime provides. Nothing in here waits.
pub trait Ports {
    /// Sends a datagram, or says that it cannot now.
    fn datagram(&mut self, packet: &Transmit<'_>) -> Sent;
    /// Takes what a stream has to send: calls `fill`, with room for at least
    /// [`FRAME_LEN_MAX`](crate::wire::relay::FRAME_LEN_MAX) bytes, until it gives 0 or the socket is full. A full
    /// socket is remembered, and [`Node::stream_ready`] called when it takes bytes again. Whether there was anything.
    fn stream(&mut self, id: StreamId, fill: &mut dyn FnMut(&mut [u8]) -> usize) -> bool;
    /// Takes an action.
    fn action(&mut self, action: Action);
    /// Whether [`event`](Self::event) can take one event.
    fn event_room(&mut self) -> bool;
    /// Takes an event; only called when there is room.
    fn event(&mut self, event: Event<'_>);
}

/// Whether a datagram could be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Sent {
    /// It is on its way, or failed for good (an unreachable address): either way done.
    Ok,
    /// The socket is full; the driver keeps the datagram for the next call.
    Blocked,
}

/// A buffer for one encoded datagram; it outlives each call, because it keeps a datagram that the socket refused.
#[derive(Debug)]
pub struct Scratch {
    buf: [u8; DATAGRAM_MAX],
    held_for: Endpoint,
    /// Length of the datagram kept, 0 for none.
    held: usize,
}

impl Scratch {
    /// An empty buffer.
    #[must_use]
    pub const fn new() -> Self {
        Self { buf: [0; DATAGRAM_MAX], held_for: Endpoint::UNSPECIFIED, held: 0 }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// What to sleep on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Idle {
    /// Call `handle_timeout` and `pump` at this time.
    pub deadline: Option<Deadline>,
    /// Call `pump` when the socket can send.
    pub transmit_blocked: bool,
    /// Call `pump` when there is room for events.
    pub events_blocked: bool,
}

/// Drains actions, datagrams, streams and events of `node` into `ports`.
pub fn pump<E: Env, P: Ports>(node: &mut Node<'_, E>, now: Instant, scratch: &mut Scratch, ports: &mut P) -> Idle {
    loop {
        while let Some(action) = node.poll_action() {
            ports.action(action);
        }
        let transmit_blocked = send_all(node, now, scratch, ports);
        let any_bytes = fill_streams(node, now, ports);
        let (any_event, events_blocked) = take_events(node, ports);
        // Reading events frees blocks, which may let packets be asked for or sent.
        if !any_event && !any_bytes {
            return Idle { deadline: node.poll_timeout(), transmit_blocked, events_blocked };
        }
    }
}

/// True when the socket is full.
fn send_all<E: Env, P: Ports>(node: &mut Node<'_, E>, now: Instant, scratch: &mut Scratch, ports: &mut P) -> bool {
    if scratch.held > 0 {
        let held = Transmit { to: scratch.held_for, bytes: &scratch.buf[..scratch.held] };
        if ports.datagram(&held) == Sent::Blocked {
            node.blocked(Output::Transmit);
            return true;
        }
        scratch.held = 0;
    }
    while let Some(packet) = node.poll_transmit(now, &mut scratch.buf) {
        if ports.datagram(&packet) == Sent::Blocked {
            (scratch.held_for, scratch.held) = (packet.to, packet.bytes.len());
            node.blocked(Output::Transmit);
            return true;
        }
    }
    false
}

/// Whether any stream had something to send.
fn fill_streams<E: Env, P: Ports>(node: &mut Node<'_, E>, now: Instant, ports: &mut P) -> bool {
    let mut any = false;
    while let Some(id) = node.next_stream() {
        any |= ports.stream(id, &mut |buf| node.poll_stream(now, id, buf));
    }
    any
}

/// Whether there was any event, and whether the receiver is full. Room is asked for once per event: asking twice would
/// race with its consumer.
fn take_events<E: Env, P: Ports>(node: &mut Node<'_, E>, ports: &mut P) -> (bool, bool) {
    let mut any = false;
    loop {
        if !ports.event_room() {
            node.blocked(Output::Event);
            return (any, true);
        }
        match node.poll_event() {
            Some(event) => ports.event(event),
            None => return (any, false),
        }
        any = true;
    }
}

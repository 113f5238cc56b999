//! One connection: its two ends, and what is on the way to each.

use super::{Agenda, ConnId, Segment, Side, Step, StreamSpec, StreamWhat, What};
use crate::rng::SimRng;
use bluering_core::time::Instant;
use core::time::Duration;
use std::collections::VecDeque;

#[derive(Clone, Debug)]
pub(super) struct Conn {
    pub(super) id: ConnId,
    pub(super) spec: StreamSpec,
    rng: SimRng,
    pub(super) port: u16,
    pub(super) client: End,
    pub(super) server: End,
    /// Nothing arrives before.
    pub(super) stalled: Instant,
    /// Nothing arrives as long as this is so.
    pub(super) held: bool,
    /// Forgotten on its way: nothing arrives ever again.
    pub(super) severed: bool,
    /// When anything last arrived.
    used: Instant,
}

/// One side of a connection, and what is on the way to it.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) host: u32,
    pub(super) state: State,
    /// Towards this side.
    pub(super) pipe: Pipe,
    /// Written and not yet acknowledged.
    pub(super) unacked: u32,
    /// It will write no more.
    pub(super) closed: bool,
    /// A write was not accepted in full.
    pub(super) hungry: bool,
    /// Its program does not read.
    pub(super) paused: bool,
    /// It waits for an answer since then.
    waits: Option<Instant>,
    /// A timer is on the agenda.
    armed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Opening,
    Open,
    Gone,
}

/// Bytes on their way.
#[derive(Clone, Debug, Default)]
pub(super) struct Pipe {
    /// The handshake is complete.
    opened: Option<Instant>,
    bytes: VecDeque<u8>,
    /// How many of the bytes arrive when, after those that have.
    coming: VecDeque<(Instant, u32)>,
    arrived: u32,
    /// The end.
    fin: Option<Instant>,
    /// The end was delivered.
    finished: bool,
    /// A stall: nothing is delivered before.
    held: Instant,
    /// A delivery is on the agenda.
    scheduled: bool,
}

impl Conn {
    /// A connection of a client that has done nothing yet.
    pub(super) fn new(now: Instant, id: ConnId, spec: StreamSpec, rng: SimRng, from: u32, to: (u32, u16)) -> Self {
        let (client, server, stalled) = (End::new(from), End::new(to.0), Instant::ZERO);
        Self { id, spec, rng, port: to.1, client, server, stalled, held: false, severed: false, used: now }
    }

    pub(super) const fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    pub(super) const fn peek(&self, side: Side) -> &End {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    /// Somebody still knows of it: a client that tries, or a side that is open. Both have closed is the end, too.
    pub(super) fn is_known(&self) -> bool {
        let over = self.client.pipe.finished && self.server.pipe.finished;
        let open = self.client.state == State::Open || self.server.state == State::Open;
        !over && (open || self.client.state == State::Opening)
    }

    /// Whether a packet that would arrive now never does: the way has forgotten the connection.
    pub(super) fn is_lost(&mut self, at: Instant) -> bool {
        self.severed |= self.spec.idle.is_some_and(|idle| at.reached(self.used, idle));
        self.used = at;
        self.severed
    }

    /// Sends a packet to `side`.
    pub(super) fn send(&self, now: Instant, side: Side, what: What, agenda: &mut Agenda) {
        agenda.push(now + self.spec.latency, Step { conn: self.id, side, what });
    }

    /// The client hears that the server agrees, and tells it so.
    pub(super) fn establish(&mut self, at: Instant, agenda: &mut Agenda) -> Option<StreamWhat> {
        if self.client.state != State::Opening {
            return None;
        }
        self.client.state = State::Open;
        self.client.waits = None;
        self.server.pipe.opened = Some(at + self.spec.latency);
        self.drive(at, Side::Server, agenda);
        Some(StreamWhat::Opened { peer: self.server.host, port: self.port })
    }

    pub(super) fn transmit(&mut self, now: Instant, from: Side, bytes: &[u8], agenda: &mut Agenda) {
        let arrival = now + self.spec.latency;
        let pipe = &mut self.end(from.other()).pipe;
        pipe.bytes.extend(bytes);
        pipe.coming.push_back((arrival, bytes.len() as u32));
        self.expect_answer(now, from, agenda);
        self.drive(now, from.other(), agenda);
    }

    pub(super) fn finish(&mut self, now: Instant, from: Side, agenda: &mut Agenda) {
        if self.end(from).closed {
            return;
        }
        self.end(from).closed = true;
        let arrival = now + self.spec.latency;
        self.end(from.other()).pipe.fin = Some(arrival);
        self.expect_answer(now, from, agenda);
        self.drive(now, from.other(), agenda);
    }

    /// Puts the next delivery to `side` on the agenda.
    pub(super) fn drive(&mut self, now: Instant, side: Side, agenda: &mut Agenda) {
        let end = self.end(side);
        let (paused, pipe) = (end.paused, &mut end.pipe);
        let Some(due) = pipe.due().filter(|_| !pipe.scheduled && !paused) else { return };
        pipe.scheduled = true;
        let at = due.max(pipe.held).max(now);
        agenda.push(at, Step { conn: self.id, side, what: What::Deliver });
    }

    /// The next of what is on the way to `side` arrives; its host is up or not.
    pub(super) fn deliver(&mut self, at: Instant, side: Side, up: bool, agenda: &mut Agenda) -> Option<StreamWhat> {
        let (peer, port) = (self.peek(side.other()).host, self.port);
        let end = self.end(side);
        end.pipe.scheduled = false;
        if end.state == State::Gone {
            end.pipe.clear();
            if up {
                self.send(at, side.other(), What::Reset, agenda);
            }
            return None;
        }
        if end.paused {
            return None;
        }
        let what = if end.pipe.opened.take().is_some() {
            end.state = State::Open;
            Some(StreamWhat::Opened { peer, port })
        } else if end.pipe.arrive(at) > 0 {
            Some(self.take_segment(at, side, agenda))
        } else if end.pipe.fin.take_if(|fin| *fin <= at).is_some() {
            end.pipe.finished = true;
            self.send(at, side.other(), What::Ack(0), agenda);
            Some(StreamWhat::Closed)
        } else {
            None
        };
        self.drive(at, side, agenda);
        what
    }

    /// Some of the bytes that arrived at `side`, and perhaps a stall behind them.
    fn take_segment(&mut self, at: Instant, side: Side, agenda: &mut Agenda) -> StreamWhat {
        let most = match self.spec.segment {
            Segment::Whole => u32::MAX,
            Segment::Byte => 1,
            Segment::Random(most) => 1 + self.rng.below(u64::from(most)) as u32,
        };
        let stall = self.rng.chance(self.spec.stall).then(|| {
            let most = u64::try_from(self.spec.stall_by.as_micros()).unwrap_or(u64::MAX);
            at + Duration::from_micros(self.rng.below(most.saturating_add(1)))
        });
        let pipe = &mut self.end(side).pipe;
        pipe.held = stall.unwrap_or(pipe.held);
        let len = pipe.arrived.min(most);
        pipe.arrived -= len;
        let bytes = pipe.bytes.drain(..len as usize).collect();
        self.send(at, side.other(), What::Ack(len), agenda);
        StreamWhat::Data(bytes)
    }

    /// What `side` wrote has arrived.
    pub(super) fn acknowledged(&mut self, at: Instant, side: Side, len: u32) -> Option<StreamWhat> {
        let finished = self.peek(side.other()).pipe.finished;
        let end = self.end(side);
        end.unacked = end.unacked.saturating_sub(len);
        let pending = end.unacked > 0 || (end.closed && !finished);
        end.waits = pending.then_some(at);
        let writable = end.state == State::Open && len > 0 && core::mem::take(&mut end.hungry);
        (writable && !end.closed).then_some(StreamWhat::Writable)
    }

    /// `side` expects an answer from now on, unless it already does.
    pub(super) fn expect_answer(&mut self, now: Instant, side: Side, agenda: &mut Agenda) {
        let (conn, timeout) = (self.id, self.spec.timeout);
        let end = self.end(side);
        let since = *end.waits.get_or_insert(now);
        if !core::mem::replace(&mut end.armed, true) {
            agenda.push(since + timeout, Step { conn, side, what: What::Timer });
        }
    }

    /// The timer of `side`: it gives up, or waits on for what it expects since.
    pub(super) fn time_out(
        &mut self,
        at: Instant,
        side: Side,
        peer_up: bool,
        agenda: &mut Agenda,
    ) -> Option<StreamWhat> {
        let timeout = self.spec.timeout;
        let peer = self.peek(side.other());
        // Who does not read answers all the same, that there is no room.
        let answers = peer.paused && peer.state == State::Open && peer_up && !self.severed;
        let end = self.end(side);
        end.armed = false;
        if let Some(waits) = end.waits.as_mut().filter(|_| answers) {
            *waits = at;
        }
        let since = end.waits.filter(|_| end.state != State::Gone)?;
        if at.reached(since, timeout) {
            self.end(side.other()).pipe.clear();
            return self.end_with(side, StreamWhat::TimedOut);
        }
        self.expect_answer(since, side, agenda);
        None
    }

    /// What `side` waits for it waits for since now.
    pub(super) fn wait_anew(&mut self, now: Instant, side: Side) {
        if let Some(waits) = &mut self.end(side).waits {
            *waits = now;
        }
    }

    /// The connection is over for `side`, which hears of it if it has not left before.
    pub(super) fn end_with(&mut self, side: Side, what: StreamWhat) -> Option<StreamWhat> {
        let end = self.end(side);
        let knew = end.state != State::Gone;
        end.state = State::Gone;
        knew.then_some(what)
    }
}

impl End {
    fn new(host: u32) -> Self {
        Self {
            host,
            state: State::Opening,
            pipe: Pipe::default(),
            unacked: 0,
            closed: false,
            hungry: false,
            paused: false,
            waits: None,
            armed: false,
        }
    }
}

impl Pipe {
    /// When the next of it arrives.
    fn due(&self) -> Option<Instant> {
        let bytes = if self.arrived > 0 { Some(Instant::ZERO) } else { self.coming.front().map(|(at, _)| *at) };
        self.opened.or(bytes).or(self.fin)
    }

    /// How many bytes have arrived until `at`.
    fn arrive(&mut self, at: Instant) -> u32 {
        while let Some((_, len)) = self.coming.front().filter(|(due, _)| *due <= at) {
            self.arrived += len;
            self.coming.pop_front();
        }
        self.arrived
    }

    /// Nothing of it arrives.
    pub(super) fn clear(&mut self) {
        *self = Self { scheduled: self.scheduled, ..Self::default() };
    }
}

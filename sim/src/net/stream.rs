//! Byte streams between hosts, as TCP gives them to programs: in order, exactly once, in arbitrary pieces.
//!
//! A connection is opened by a handshake of three packets, each of which takes the latency. What one side writes
//! arrives at the other after the latency, cut or joined into segments as the [`Segment`] says, and is acknowledged a
//! latency later. No more than a window of bytes is unacknowledged: beyond it, [`Streams::write`] accepts nothing until
//! [`StreamWhat::Writable`]. What stays unacknowledged for too long ends the connection, at the side that wrote.
//!
//! Connections stall, at random or on command; end well (close, by each side on its own), badly (abort), or not at all:
//! a host that is dropped says nothing, and a side that writes nothing never learns of it. Once the host is back, it
//! resets what it no longer knows. A connection that is severed is forgotten on its way: both sides keep it and hear
//! nothing any more. A host that is frozen hears what came meanwhile when it thaws, unless the others have given up.
//!
//! Segments, acknowledgements and timers have no packets of their own here, so no loss: what a link loses, TCP repeats,
//! and all that a program sees of it is a stall.

mod conn;

use crate::rng::{Ppm, SimRng};
use bluering_core::time::Instant;
use conn::{Conn, State};
use core::time::Duration;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A connection. Numbers are not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// The two sides of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The one that connected.
    Client,
    /// The one that listened.
    Server,
}

/// How a connection behaves, in both directions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamSpec {
    /// Time on the way.
    pub latency: Duration,
    /// Bytes that may be written and not yet acknowledged, at least 1.
    pub window: u32,
    /// How the bytes arrive.
    pub segment: Segment,
    /// Segments behind which the stream stalls.
    pub stall: Ppm,
    /// How long, at most.
    pub stall_by: Duration,
    /// For how long a connection attempt, or what was written, stays without any answer until the side gives up.
    pub timeout: Duration,
    /// After so long without any packet the connection is forgotten on its way: NATs do that.
    pub idle: Option<Duration>,
}

/// How bytes arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Segment {
    /// All that has arrived, at once.
    Whole,
    /// Each alone.
    Byte,
    /// Between 1 and so many at once.
    Random(u32),
}

/// Something that a host notices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEvent {
    /// When.
    pub at: Instant,
    /// The host.
    pub host: u32,
    /// The connection.
    pub conn: ConnId,
    /// Which side of it.
    pub side: Side,
    /// What.
    pub what: StreamWhat,
}

/// What a host notices of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamWhat {
    /// It is open, and can be written to.
    Opened {
        /// The other host.
        peer: u32,
        /// The port of the server.
        port: u16,
    },
    /// Nobody listens there. The connection is gone.
    Refused,
    /// No answer. The connection is gone.
    TimedOut,
    /// Bytes arrived, at least one.
    Data(Vec<u8>),
    /// A write that was not accepted in full can go on.
    Writable,
    /// The other side will write no more. Gone once both have closed.
    Closed,
    /// The other side aborted, or does not know the connection. It is gone.
    Reset,
}

/// All byte streams of a world.
#[derive(Clone, Debug)]
pub struct Streams {
    seed: u64,
    next: u64,
    conns: BTreeMap<ConnId, Conn>,
    listeners: BTreeSet<(u32, u16)>,
    /// Hosts that were dropped.
    down: BTreeSet<u32>,
    /// Hosts that stand still.
    frozen: BTreeSet<u32>,
    /// What waits for a host to thaw, or for the way to be free again.
    parked: BTreeMap<ConnId, Vec<Step>>,
    agenda: Agenda,
}

/// What is to happen when; at the same time, in the order in which it was put down.
#[derive(Clone, Debug, Default)]
struct Agenda {
    steps: BTreeMap<(Instant, u64), Step>,
    sequence: u64,
}

/// Something on its way to a side, or to happen there.
#[derive(Clone, Copy, Debug)]
struct Step {
    conn: ConnId,
    side: Side,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Syn,
    SynAck,
    Refuse,
    Reset,
    /// The next of what the other side wrote.
    Deliver,
    /// Bytes acknowledged, or the end (0).
    Ack(u32),
    Timer,
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl StreamSpec {
    /// No latency, no stalls, a window of 64 KiB, bytes in one piece, and a patience of a minute.
    pub const PERFECT: Self = Self {
        latency: Duration::ZERO,
        window: 65_536,
        segment: Segment::Whole,
        stall: 0,
        stall_by: Duration::ZERO,
        timeout: Duration::from_secs(60),
        idle: None,
    };

    /// Perfect, but for the latency.
    #[must_use]
    pub const fn with_latency(latency: Duration) -> Self {
        Self { latency, ..Self::PERFECT }
    }
}

impl Streams {
    /// No connections, and nobody listens. Each connection forks a generator of its own.
    #[must_use]
    pub fn new(mut rng: SimRng) -> Self {
        Self {
            seed: rng.next(),
            next: 0,
            conns: BTreeMap::new(),
            listeners: BTreeSet::new(),
            down: BTreeSet::new(),
            frozen: BTreeSet::new(),
            parked: BTreeMap::new(),
            agenda: Agenda::default(),
        }
    }

    /// Accepts connections to a port from now on.
    pub fn listen(&mut self, host: u32, port: u16) {
        self.restore_host(host);
        self.listeners.insert((host, port));
    }

    /// Refuses connections to a port from now on; those that are open stay.
    pub fn unlisten(&mut self, host: u32, port: u16) {
        self.listeners.remove(&(host, port));
    }

    /// Begins a connection. The client hears [`Opened`](StreamWhat::Opened), [`Refused`](StreamWhat::Refused) or
    /// [`TimedOut`](StreamWhat::TimedOut).
    pub fn connect(&mut self, now: Instant, from: u32, to: (u32, u16), spec: StreamSpec) -> ConnId {
        self.restore_host(from);
        let id = ConnId(self.next);
        self.next += 1;
        let rng = SimRng::fork(self.seed, &[id.0]);
        let mut conn = Conn::new(now, id, spec, rng, from, to);
        conn.send(now, Side::Server, What::Syn, &mut self.agenda);
        conn.expect_answer(now, Side::Client, &mut self.agenda);
        self.conns.insert(id, conn);
        id
    }

    /// Writes; returns how many bytes were accepted: what fits into the window, nothing when the side is not open or
    /// has closed. When it is less than all, [`Writable`](StreamWhat::Writable) follows as soon as there is room.
    pub fn write(&mut self, now: Instant, conn: ConnId, side: Side, bytes: &[u8]) -> usize {
        let room = self.room(conn, side);
        let Some(conn) = self.conns.get_mut(&conn) else { return 0 };
        let accepted = &bytes[..bytes.len().min(room as usize)];
        let end = conn.end(side);
        end.hungry |= end.state == State::Open && accepted.len() < bytes.len();
        if !accepted.is_empty() {
            end.unacked += accepted.len() as u32;
            conn.transmit(now, side, accepted, &mut self.agenda);
        }
        accepted.len()
    }

    /// How many bytes a write would accept now.
    #[must_use]
    pub fn room(&self, conn: ConnId, side: Side) -> u32 {
        let Some(conn) = self.conns.get(&conn) else { return 0 };
        let end = conn.peek(side);
        let writable = end.state == State::Open && !end.closed;
        if writable { conn.spec.window.saturating_sub(end.unacked) } else { 0 }
    }

    /// Ends what a side writes: the other one hears [`Closed`](StreamWhat::Closed) behind all bytes. The side still
    /// hears what the other writes. A connection that is not open yet is given up.
    pub fn close(&mut self, now: Instant, conn: ConnId, side: Side) {
        let Some(it) = self.conns.get_mut(&conn) else { return };
        match it.end(side).state {
            State::Opening => self.abort(now, conn, side),
            State::Open => it.finish(now, side, &mut self.agenda),
            State::Gone => {}
        }
    }

    /// Gives a connection up at once. Nothing that is on its way arrives, and the other side hears
    /// [`Reset`](StreamWhat::Reset).
    pub fn abort(&mut self, now: Instant, conn: ConnId, side: Side) {
        let Some(it) = self.conns.get_mut(&conn) else { return };
        if it.end(side).state != State::Gone {
            it.end(side).state = State::Gone;
            it.end(side.other()).pipe.clear();
            it.send(now, side.other(), What::Reset, &mut self.agenda);
            self.retire(conn);
        }
    }

    /// A host vanishes without a word: it listens nowhere and has no connections. What it wrote still arrives. The
    /// other sides notice when they write, and are not answered in time.
    pub fn drop_host(&mut self, host: u32) {
        self.down.insert(host);
        self.listeners.retain(|(listener, _)| *listener != host);
        for conn in self.conns.values_mut() {
            for end in [&mut conn.client, &mut conn.server] {
                if end.host == host {
                    end.state = State::Gone;
                }
            }
        }
        self.conns.retain(|_, conn| conn.is_known());
    }

    /// A dropped host is back, without its connections, and resets them when the other side writes. To listen or to
    /// connect does this, too.
    pub fn restore_host(&mut self, host: u32) {
        self.down.remove(&host);
    }

    /// Nothing arrives on a connection, in neither direction, before `until`.
    pub fn stall(&mut self, conn: ConnId, until: Instant) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.stalled = conn.stalled.max(until);
        }
    }

    /// All connections of a host end with its process: the other sides hear [`Reset`](StreamWhat::Reset), and it
    /// listens nowhere.
    pub fn end_process(&mut self, now: Instant, host: u32) {
        self.listeners.retain(|(listener, _)| *listener != host);
        for (conn, side) in self.of(host) {
            self.abort(now, conn, side);
        }
    }

    /// A connection is forgotten on its way: nothing arrives any more, in neither direction, and nobody is told.
    pub fn sever(&mut self, conn: ConnId) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.severed = true;
        }
        self.parked.remove(&conn);
    }

    /// A host gives up what it knows of a connection, without a word: its address is gone.
    pub fn forget(&mut self, conn: ConnId, side: Side) {
        if let Some(it) = self.conns.get_mut(&conn) {
            it.end(side).state = State::Gone;
            self.retire(conn);
        }
    }

    /// A host stands still: nothing arrives there, and its timers rest.
    pub fn freeze(&mut self, host: u32) {
        self.frozen.insert(host);
    }

    /// A host goes on: what came meanwhile arrives, and what it waits for it begins to wait for.
    pub fn thaw(&mut self, now: Instant, host: u32) {
        if !self.frozen.remove(&host) {
            return;
        }
        for (conn, side) in self.of(host) {
            if let Some(conn) = self.conns.get_mut(&conn) {
                conn.wait_anew(now, side);
            }
            self.unpark(now, conn);
        }
    }

    /// Nothing arrives on a connection, in neither direction, until it is let go again.
    pub fn hold(&mut self, now: Instant, conn: ConnId, held: bool) {
        let Some(it) = self.conns.get_mut(&conn) else { return };
        if core::mem::replace(&mut it.held, held) && !held {
            self.unpark(now, conn);
        }
    }

    /// Whether the program of a side reads from now on. What it does not read stays unacknowledged, and the other side
    /// has no room to write any more; but it does not give up.
    pub fn set_reading(&mut self, now: Instant, conn: ConnId, side: Side, reading: bool) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.end(side).paused = !reading;
            conn.drive(now, side, &mut self.agenda);
        }
    }

    /// The connections that a host knows of, and on which side it is: the oldest first.
    #[must_use]
    pub fn of(&self, host: u32) -> Vec<(ConnId, Side)> {
        let sides = |(id, conn): (&ConnId, &Conn)| {
            let id = *id;
            let knows = [Side::Client, Side::Server].map(|side| {
                let end = conn.peek(side);
                (end.host == host && end.state != State::Gone).then_some((id, side))
            });
            knows.into_iter().flatten()
        };
        self.conns.iter().flat_map(sides).collect()
    }

    /// The two hosts of every connection.
    #[must_use]
    pub fn ends(&self) -> Vec<(ConnId, [u32; 2])> {
        self.conns.iter().map(|(id, conn)| (*id, [conn.client.host, conn.server.host])).collect()
    }

    /// Connections that at least one side knows of.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// When to poll next. It may be that nothing is to be heard then.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        self.agenda.steps.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next thing that a host notices, until `now`. To be called until there is none.
    pub fn poll(&mut self, now: Instant) -> Option<StreamEvent> {
        while self.next_at().is_some_and(|at| at <= now) {
            let ((at, _), step) = self.agenda.steps.pop_first()?;
            if let Some(event) = self.step(at, step) {
                return Some(event);
            }
        }
        None
    }

    fn step(&mut self, at: Instant, step: Step) -> Option<StreamEvent> {
        let Step { conn: id, side, what } = step;
        let conn = self.conns.get_mut(&id)?;
        let is_timer = matches!(what, What::Timer);
        if !is_timer && conn.is_lost(at) {
            return None;
        }
        if self.frozen.contains(&conn.end(side).host) || conn.held && !is_timer {
            self.parked.entry(id).or_default().push(step);
            return None;
        }
        let waits = !matches!(what, What::Ack(_) | What::Timer);
        if waits && at < conn.stalled {
            self.agenda.push(conn.stalled, step);
            return None;
        }
        let up = !self.down.contains(&conn.end(side).host);
        let event = match what {
            What::Syn => {
                let listens = self.listeners.contains(&(conn.server.host, conn.port));
                let answer = if listens { What::SynAck } else { What::Refuse };
                if up {
                    conn.send(at, Side::Client, answer, &mut self.agenda);
                }
                None
            }
            What::SynAck => conn.establish(at, &mut self.agenda),
            What::Refuse => conn.end_with(side, StreamWhat::Refused),
            What::Reset => conn.end_with(side, StreamWhat::Reset),
            What::Deliver => conn.deliver(at, side, up, &mut self.agenda),
            What::Ack(len) => conn.acknowledged(at, side, len),
            What::Timer => {
                let peer_up = !self.down.contains(&conn.end(side.other()).host);
                conn.time_out(at, side, peer_up, &mut self.agenda)
            }
        };
        let event = event.map(|what| StreamEvent { at, host: conn.end(side).host, conn: id, side, what });
        self.retire(id);
        event
    }

    /// Forgets a connection that nobody knows any more.
    fn retire(&mut self, conn: ConnId) {
        if self.conns.get(&conn).is_some_and(|conn| !conn.is_known()) {
            self.conns.remove(&conn);
            self.parked.remove(&conn);
        }
    }

    fn unpark(&mut self, now: Instant, conn: ConnId) {
        for step in self.parked.remove(&conn).unwrap_or_default() {
            self.agenda.push(now, step);
        }
    }
}

impl Agenda {
    fn push(&mut self, at: Instant, step: Step) {
        self.sequence += 1;
        self.steps.insert((at, self.sequence), step);
    }
}

#[cfg(test)]
mod tests;

//! The table of connections, and the lists that they stand in.
//!
//! Nothing walks through this table: it may have a hundred thousand entries. Each connection stands in exactly one
//! list, by its state; as each state lasts a fixed time at most, the front of each list is the one whose time comes
//! first. A second list has those who are to be sent something.

use super::queue::Queue;
use super::routes::RouteList;
use super::stats::CloseReason;
use crate::Endpoint;
use crate::crypto::PublicKey;
use crate::relay::StreamId;
use crate::relay::channel::Channel;
use crate::storage::{Full, Mem};
use crate::time::Instant;

/// How far a connection is. Zero when vacant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    Vacant = 0,
    /// We wait for its handshake.
    Greeting,
    /// The handshake may be a replay: we wait for its first frame.
    Proving,
    /// A client; a ping is due after a while.
    Idle,
    /// A client; we wait for a pong.
    Asked,
    /// The adapter is to be told.
    Closing,
}

/// A connection. All zeros when vacant.
#[derive(Debug)]
pub struct Conn {
    pub(super) state: State,
    pub(super) due: Outgoing,
    reason: CloseReason,
    listed: bool,
    pub(super) bucket: u32,
    pub(super) serial: u64,
    pub(super) from: Endpoint,
    /// Since when it stands in its list.
    pub(super) since: Instant,
    pub(super) key: PublicKey,
    pub(super) channel: Channel,
    /// The ping that we wait for.
    pub(super) ping: u64,
    /// The ping that is to be answered.
    pub(super) pong: u64,
    by_state: Links,
    by_output: Links,
    pub(super) queue: Queue,
    pub(super) routes: RouteList,
}

/// What is to be sent before anything that is queued.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outgoing {
    pub(super) ping: bool,
    pub(super) pong: bool,
    /// Some route has a notice.
    pub(super) notices: bool,
}

impl Outgoing {
    pub(super) const fn any(self) -> bool {
        self.ping | self.pong | self.notices
    }
}

impl Conn {
    /// What static storage is filled with.
    pub const VACANT: Self = Self {
        state: State::Vacant,
        due: Outgoing { ping: false, pong: false, notices: false },
        reason: CloseReason::Gone,
        listed: false,
        bucket: 0,
        serial: 0,
        from: Endpoint::UNSPECIFIED,
        since: Instant::ZERO,
        key: PublicKey::ZERO,
        channel: Channel::NONE,
        ping: 0,
        pong: 0,
        by_state: Links::NONE,
        by_output: Links::NONE,
        queue: Queue::EMPTY,
        routes: RouteList::EMPTY,
    };

    pub(super) const fn is_client(&self) -> bool {
        matches!(self.state, State::Idle | State::Asked)
    }

    pub(super) const fn has_output(&self) -> bool {
        self.due.any() || !self.queue.is_empty()
    }
}

/// Neighbours in a list: places + 1, 0 for none.
#[derive(Debug)]
struct Links {
    before: u32,
    after: u32,
}

impl Links {
    const NONE: Self = Self { before: 0, after: 0 };
}

/// A list through the table, first in, first out.
#[derive(Debug, Default)]
pub(super) struct List {
    head: u32,
    tail: u32,
    len: usize,
}

impl List {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The place of the first.
    pub(super) fn front(&self) -> Option<usize> {
        (self.head as usize).checked_sub(1)
    }

    fn push(&mut self, conns: &mut [Conn], at: usize, links: fn(&mut Conn) -> &mut Links) {
        *links(&mut conns[at]) = Links { before: self.tail, after: 0 };
        let here = at as u32 + 1;
        match (self.tail as usize).checked_sub(1) {
            Some(last) => links(&mut conns[last]).after = here,
            None => self.head = here,
        }
        self.tail = here;
        self.len += 1;
    }

    fn remove(&mut self, conns: &mut [Conn], at: usize, links: fn(&mut Conn) -> &mut Links) {
        let Links { before, after } = core::mem::replace(links(&mut conns[at]), Links::NONE);
        match (before as usize).checked_sub(1) {
            Some(place) => links(&mut conns[place]).after = after,
            None => self.head = after,
        }
        match (after as usize).checked_sub(1) {
            Some(place) => links(&mut conns[place]).before = before,
            None => self.tail = before,
        }
        self.len -= 1;
    }
}

/// The table.
#[derive(Debug)]
pub(super) struct Conns<'s> {
    mem: Mem<'s, Conn>,
    /// Places that were used and are free, linked by `after`.
    free: u32,
    /// Places from this one on were never used.
    fresh: usize,
    /// The serial of the last connection.
    serial: u64,
    pub(super) pending: List,
    pub(super) idle: List,
    pub(super) asked: List,
    pub(super) closing: List,
    output: List,
}

impl<'s> Conns<'s> {
    pub(super) fn new(mem: Mem<'s, Conn>) -> Self {
        let lists: [List; 5] = Default::default();
        let [pending, idle, asked, closing, output] = lists;
        Self { mem, free: 0, fresh: 0, serial: 0, pending, idle, asked, closing, output }
    }

    pub(super) fn get(&self, at: usize) -> &Conn {
        &self.mem[at]
    }

    pub(super) fn get_mut(&mut self, at: usize) -> &mut Conn {
        &mut self.mem[at]
    }

    /// The place of a connection that has not ended.
    pub(super) fn find(&self, id: StreamId) -> Option<usize> {
        let conn = self.mem.get(id.index())?;
        (conn.serial == id.serial && conn.state != State::Vacant).then_some(id.index())
    }

    pub(super) fn id(&self, at: usize) -> StreamId {
        StreamId { index: at as u32, serial: self.mem[at].serial }
    }

    pub(super) fn insert(&mut self, now: Instant, from: Endpoint, bucket: u32) -> Result<StreamId, Full> {
        let at = match (self.free as usize).checked_sub(1) {
            Some(at) => {
                self.free = self.mem[at].by_state.after;
                at
            }
            None if self.fresh < self.mem.len() => {
                self.fresh += 1;
                self.fresh - 1
            }
            None => return Err(Full),
        };
        self.serial += 1;
        let (state, since, serial) = (State::Greeting, now, self.serial);
        self.mem[at] = Conn { state, from, bucket, since, serial, ..Conn::VACANT };
        self.pending.push(&mut self.mem, at, by_state);
        Ok(self.id(at))
    }

    /// Moves a connection to the list of another state.
    pub(super) fn change(&mut self, at: usize, state: State, now: Instant) {
        let before = self.mem[at].state;
        self.mem[at].state = state;
        if (before, state) == (State::Greeting, State::Proving) {
            // Both share one list and one deadline.
            return;
        }
        if let Some(list) = list_of(&mut self.pending, &mut self.idle, &mut self.asked, &mut self.closing, before) {
            list.remove(&mut self.mem, at, by_state);
        }
        if let Some(list) = list_of(&mut self.pending, &mut self.idle, &mut self.asked, &mut self.closing, state) {
            list.push(&mut self.mem, at, by_state);
        }
        self.mem[at].since = now;
    }

    /// Marks a connection as ended. What it owns was taken from it before.
    pub(super) fn close(&mut self, at: usize, reason: CloseReason, now: Instant) {
        self.unlist(at);
        self.mem[at].reason = reason;
        self.change(at, State::Closing, now);
    }

    /// Makes the place of an ended connection vacant.
    pub(super) fn vacate(&mut self, at: usize) -> (StreamId, CloseReason) {
        let result = (self.id(at), self.mem[at].reason);
        self.closing.remove(&mut self.mem, at, by_state);
        self.mem[at] = Conn::VACANT;
        self.mem[at].by_state.after = self.free;
        self.free = at as u32 + 1;
        result
    }

    /// Puts a connection among those that are to be sent something.
    pub(super) fn list(&mut self, at: usize) {
        if !self.mem[at].listed {
            self.mem[at].listed = true;
            self.output.push(&mut self.mem, at, by_output);
        }
    }

    /// The next of them, taken out.
    pub(super) fn next_listed(&mut self) -> Option<StreamId> {
        let at = self.output.front()?;
        self.unlist(at);
        Some(self.id(at))
    }

    pub(super) const fn any_listed(&self) -> bool {
        self.output.len > 0
    }

    /// The oldest pending connection of a bucket, and how many it has.
    pub(super) fn oldest_of(&self, bucket: u32) -> (Option<usize>, usize) {
        let (mut oldest, mut count, mut at) = (None, 0, self.pending.front());
        while let Some(place) = at {
            let conn = &self.mem[place];
            if conn.bucket == bucket {
                oldest = oldest.or(Some(place));
                count += 1;
            }
            at = (conn.by_state.after as usize).checked_sub(1);
        }
        (oldest, count)
    }

    fn unlist(&mut self, at: usize) {
        if self.mem[at].listed {
            self.mem[at].listed = false;
            self.output.remove(&mut self.mem, at, by_output);
        }
    }
}

const fn list_of<'a>(
    pending: &'a mut List,
    idle: &'a mut List,
    asked: &'a mut List,
    closing: &'a mut List,
    state: State,
) -> Option<&'a mut List> {
    match state {
        State::Vacant => None,
        State::Greeting | State::Proving => Some(pending),
        State::Idle => Some(idle),
        State::Asked => Some(asked),
        State::Closing => Some(closing),
    }
}

const fn by_state(conn: &mut Conn) -> &mut Links {
    &mut conn.by_state
}

const fn by_output(conn: &mut Conn) -> &mut Links {
    &mut conn.by_output
}

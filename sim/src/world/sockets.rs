//! The connections of a program: what has come and is not done with, and what could not be written yet.

use crate::net::{ConnId, Side, Streams};
use bluering_core::relay::StreamId;
use bluering_core::time::Instant;
use bluering_core::wire::relay::FRAME_LEN_MAX;
use std::collections::{BTreeMap, HashMap};

/// What a core may write at once.
const BUFFER: usize = 2 * FRAME_LEN_MAX;

/// The connections of one program, by the network's numbers and by the core's.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    open: BTreeMap<ConnId, Socket>,
    ids: HashMap<StreamId, ConnId>,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) conn: ConnId,
    pub(super) id: StreamId,
    side: Side,
    /// The beginning of a frame.
    unread: Vec<u8>,
    /// What the stream had no room for.
    unsent: Vec<u8>,
}

impl Sockets {
    pub(super) fn insert(&mut self, conn: ConnId, side: Side, id: StreamId) {
        self.ids.insert(id, conn);
        self.open.insert(conn, Socket { conn, id, side, unread: Vec::new(), unsent: Vec::new() });
    }

    pub(super) fn get(&mut self, conn: ConnId) -> Option<&mut Socket> {
        self.open.get_mut(&conn)
    }

    pub(super) fn by_id(&mut self, id: StreamId) -> Option<&mut Socket> {
        self.open.get_mut(self.ids.get(&id)?)
    }

    pub(super) fn remove(&mut self, conn: ConnId) -> Option<StreamId> {
        let socket = self.open.remove(&conn)?;
        self.ids.remove(&socket.id);
        Some(socket.id)
    }
}

impl Socket {
    /// Bytes have come: `handle` says with how many it is done.
    pub(super) fn receive(&mut self, bytes: &[u8], handle: impl FnOnce(StreamId, &mut [u8]) -> usize) {
        self.unread.extend_from_slice(bytes);
        let used = handle(self.id, &mut self.unread);
        self.unread.drain(..used);
    }

    /// Writes what `fill` gives, until that is nothing or the stream has no room. Each piece is shown to `wrote`.
    pub(super) fn send(
        &mut self,
        now: Instant,
        streams: &mut Streams,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
        mut wrote: impl FnMut(&[u8]),
    ) {
        loop {
            if self.unsent.is_empty() {
                let mut buffer = [0; BUFFER];
                let len = fill(&mut buffer);
                self.unsent.extend_from_slice(&buffer[..len]);
            }
            let taken = streams.write(now, self.conn, self.side, &self.unsent);
            if taken > 0 {
                wrote(&self.unsent[..taken]);
            }
            self.unsent.drain(..taken);
            if taken == 0 || !self.unsent.is_empty() {
                return;
            }
        }
    }
}

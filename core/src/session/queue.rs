//! The queue of sessions that have something to send: a list through the entries themselves.

use super::{Session, SessionId};
use crate::storage::Slots;

/// First and last in the queue, as place + 1; 0 for an empty queue.
#[derive(Debug)]
pub(crate) struct Queue {
    head: u16,
    tail: u16,
}

impl Queue {
    pub(crate) const EMPTY: Self = Self { head: 0, tail: 0 };

    /// Puts a session at the end, unless it is in the queue.
    pub(crate) fn push(&mut self, table: &mut Slots<'_, Session>, id: SessionId) {
        let Some(session) = table.get_mut(id) else { return };
        if session.is_queued {
            return;
        }
        (session.is_queued, session.queue_next) = (true, 0);
        let link = id.index() as u16 + 1;
        match self.tail.checked_sub(1).and_then(|last| table.id_at(last.into())) {
            Some(last) => {
                if let Some(last) = table.get_mut(last) {
                    last.queue_next = link;
                }
            }
            None => self.head = link,
        }
        self.tail = link;
    }

    /// Takes the first session out.
    pub(crate) fn pop(&mut self, table: &mut Slots<'_, Session>) -> Option<SessionId> {
        let id = table.id_at(usize::from(self.head.checked_sub(1)?))?;
        let session = table.get_mut(id)?;
        session.is_queued = false;
        self.head = session.queue_next;
        if self.head == 0 {
            self.tail = 0;
        }
        Some(id)
    }

    /// Takes a session out wherever it stands: entries must leave the queue before they leave the table.
    pub(crate) fn remove(&mut self, table: &mut Slots<'_, Session>, id: SessionId) {
        if table.get(id).is_none_or(|session| !session.is_queued) {
            return;
        }
        // Rare: one turn through the queue keeps everyone else's order.
        let mut others = Self::EMPTY;
        while let Some(first) = self.pop(table) {
            if first != id {
                others.push(table, first);
            }
        }
        *self = others;
    }
}

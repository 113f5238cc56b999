//! The receiving half of a session: lossless packets until they are read, and when to tell the peer what arrived.
//!
//! In-order packets wait in `ready` for the reader, those behind a gap in `early`. Both keep their blocks, so a reader
//! that stops fills the pool; what then arrives is dropped unacknowledged and asked for again as soon as there is room.
//!
//! A request packet (or `recv_buffer_start` in any packet) acknowledges. One goes out after 1 to 32 packets, as many as
//! keep coming without it, or after 10 ms; promptly when a gap appears, and again and again, ever slower, while a gap
//! stays.

use super::request;
use crate::DropReason;
use crate::storage::{Blocks, Chain};
use crate::time::Instant;
use crate::wire::session::content;
use core::time::Duration;

/// Packets received before an acknowledgement is due, at most.
const ACK_PACKETS: u8 = 32;
/// Acknowledgements after which one more packet is waited for.
const ACK_PATIENCE: u8 = 16;
/// How long an acknowledgement waits for company.
const ACK_DELAY: Duration = Duration::from_millis(10);
/// Packets behind a gap that prove it to be a loss; fewer may be reordering.
const GAP_PACKETS: u8 = 3;
/// How long a gap may be reordering.
const GAP_DELAY: Duration = Duration::from_millis(4);
/// Bounds of how often missing packets are asked for.
const ASK_MIN: Duration = Duration::from_millis(2);
const ASK_MAX: Duration = Duration::from_secs(1);
/// toxcore's receive window (`net_crypto.h`, CRYPTO_PACKET_BUFFER_SIZE).
const WINDOW: u32 = 32_768;

/// What arrived and is not read, and what is missing.
#[derive(Debug)]
pub(crate) struct ReceiveWindow {
    ready: Chain,
    early: Chain,
    /// The first number that has not arrived.
    next: u32,
    /// Behind the highest number known to have been sent.
    end: u32,
    /// Packets since the last acknowledgement.
    unacked: u8,
    /// With so many an acknowledgement is due: a peer with a small window must not wait for the timer.
    ack_after: u8,
    /// Acknowledgements since that number changed.
    acks: u8,
    /// Packets since the timer last ran out.
    run: u16,
    /// Of those: behind a gap.
    behind_gap: u8,
    /// Requests in vain since the first missing packet last arrived.
    asks: u8,
    /// A packet was dropped for want of a block.
    refused: bool,
    /// When a request packet is due, `FAR` for never.
    ask_at: Instant,
    /// When the last one went out.
    asked: Instant,
}

impl ReceiveWindow {
    pub(crate) const fn new(number: u32) -> Self {
        Self {
            ready: Chain::EMPTY,
            early: Chain::EMPTY,
            next: number,
            end: number,
            unacked: 0,
            ack_after: 1,
            acks: 0,
            run: 0,
            behind_gap: 0,
            asks: 0,
            refused: false,
            ask_at: Instant::FAR,
            asked: Instant::ZERO,
        }
    }

    /// A lossless packet arrived. `rtt` is the shortest round trip seen.
    ///
    /// # Errors
    /// `Duplicate`, `OutOfWindow`, or `NoRoom` when no block is free: then it counts as lost.
    pub(crate) fn on_data(
        &mut self,
        now: Instant,
        blocks: &mut Blocks<'_>,
        number: u32,
        content: &[u8],
        rtt: Duration,
    ) -> Result<(), DropReason> {
        let ahead = number.wrapping_sub(self.next);
        if ahead >= WINDOW {
            let is_old = self.next.wrapping_sub(number) <= WINDOW;
            if is_old {
                self.ask_by(now + ACK_DELAY);
            }
            return Err(if is_old { DropReason::Duplicate } else { DropReason::OutOfWindow });
        }
        self.grow_to(number.wrapping_add(1));
        let stored =
            if ahead == 0 { self.store_next(blocks, content) } else { self.store_early(blocks, number, content) };
        if stored == Err(DropReason::NoRoom) {
            self.refused = true;
        }
        self.unacked = self.unacked.saturating_add(1);
        self.run = self.run.saturating_add(1);
        if self.next == self.end {
            self.ask_by(if self.unacked >= self.ack_after { now } else { now + ACK_DELAY });
        } else {
            self.behind_gap = self.behind_gap.saturating_add(1);
            let prompt = if self.behind_gap >= GAP_PACKETS { now } else { now + GAP_DELAY };
            let allowed = self.asked + (rtt / 2).clamp(ASK_MIN, ASK_MAX / 20);
            self.ask_by(if self.unacked >= ACK_PACKETS { now } else { prompt.max(allowed) });
        }
        stored
    }

    fn store_next(&mut self, blocks: &mut Blocks<'_>, content: &[u8]) -> Result<(), DropReason> {
        let id = blocks.take_received(0, content).map_err(|_| DropReason::NoRoom)?;
        blocks.push_back(&mut self.ready, id);
        self.next = self.next.wrapping_add(1);
        self.asks = 0;
        while blocks.front(&self.early).is_some_and(|block| block.number == self.next) {
            let Some(id) = blocks.pop_front(&mut self.early) else { break };
            blocks.push_back(&mut self.ready, id);
            self.next = self.next.wrapping_add(1);
        }
        Ok(())
    }

    /// Early packets leave a block for the next one in order, or nothing would ever be delivered, and half of the pool
    /// for others.
    fn store_early(&mut self, blocks: &mut Blocks<'_>, number: u32, content: &[u8]) -> Result<(), DropReason> {
        let known = |block: &crate::storage::Block| block.number == number;
        if blocks.back(&self.early).is_some_and(known) {
            return Err(DropReason::Duplicate);
        }
        let reserve = (blocks.capacity() / 16).max(1);
        if self.early.len() > blocks.capacity() / 2 {
            return Err(DropReason::NoRoom);
        }
        let id = blocks.take_received(reserve, content).map_err(|_| DropReason::NoRoom)?;
        blocks.get_mut(&id).number = number;
        let is_new = blocks.insert_sorted(&mut self.early, self.next, id);
        if is_new { Ok(()) } else { Err(DropReason::Duplicate) }
    }

    /// The peer's next lossless packet will have this number: all before it were sent.
    pub(crate) fn on_number(&mut self, now: Instant, number: u32, rtt: Duration) {
        if self.grow_to(number) && self.next != self.end {
            self.ask_by((now + ASK_MIN).max(self.asked + (rtt / 2).clamp(ASK_MIN, ASK_MAX / 20)));
        }
    }

    fn grow_to(&mut self, number: u32) -> bool {
        let grows = number.wrapping_sub(self.next) <= WINDOW && (1..=WINDOW).contains(&number.wrapping_sub(self.end));
        if grows {
            self.end = number;
        }
        grows
    }

    /// The next packet for the reader.
    pub(crate) fn peek<'a>(&self, blocks: &'a Blocks<'_>) -> Option<&'a [u8]> {
        blocks.front(&self.ready).map(crate::storage::Block::bytes)
    }

    /// Hands over what is not read yet.
    pub(crate) fn take_unread(&mut self) -> Chain {
        core::mem::take(&mut self.ready)
    }

    /// Drops the packet that [`Self::peek`] shows. True when there was one.
    pub(crate) fn pop(&mut self, blocks: &mut Blocks<'_>) -> bool {
        let id = blocks.pop_front(&mut self.ready);
        id.is_some_and(|id| {
            blocks.give(id);
            true
        })
    }

    /// Asks at once for what was refused, if there is room for it now.
    pub(crate) fn on_room(&mut self, now: Instant, blocks: &Blocks<'_>) {
        if self.refused && blocks.room_to_receive() > 0 {
            self.refused = false;
            self.asks = 0;
            self.ask_by(now.max(self.asked + ASK_MIN));
        }
    }

    pub(crate) const fn is_refused(&self) -> bool {
        self.refused
    }

    /// Writes the content of a request packet, of which there is room for at least one byte.
    pub(crate) fn encode_request(&mut self, now: Instant, blocks: &Blocks<'_>, out: &mut [u8], rtt: Duration) -> usize {
        out[0] = content::REQUEST;
        let present = blocks.iter(&self.early).map(|block| block.number.wrapping_sub(self.next));
        let room = if self.refused { blocks.room_to_receive() } else { usize::MAX };
        let len = request::encode(&mut out[1..], present, self.end.wrapping_sub(self.next), room);
        (self.unacked, self.behind_gap, self.asked) = (0, 0, now);
        self.ask_at = Instant::FAR;
        if self.next != self.end {
            let pause = (rtt * 2).clamp(ASK_MIN * 10, ASK_MAX / 2) * (1 << self.asks.min(6));
            self.ask_at = now + pause.min(ASK_MAX);
            self.asks = self.asks.saturating_add(1);
        }
        1 + len
    }

    /// A packet with our `recv_buffer_start` went out: as good as a request packet while nothing is missing.
    pub(crate) fn on_sent(&mut self) {
        if self.next == self.end {
            (self.unacked, self.ask_at) = (0, Instant::FAR);
        }
    }

    /// True when a request packet is due; asked once.
    pub(crate) fn take_due(&mut self, now: Instant) -> bool {
        let is_due = now >= self.ask_at;
        if is_due {
            self.ask_at = Instant::FAR;
            self.learn();
        }
        is_due
    }

    /// The timer ran out before `ack_after` packets came: the peer has no more, or its window allows no more. Otherwise
    /// it may do with fewer acknowledgements.
    fn learn(&mut self) {
        if self.unacked >= self.ack_after {
            self.acks += 1;
            if self.acks == ACK_PATIENCE {
                (self.acks, self.ack_after) = (0, (self.ack_after + 1).min(ACK_PACKETS));
            }
        } else if self.unacked > 0 {
            let quarter = (self.run / 4).clamp(1, ACK_PACKETS.into());
            (self.acks, self.run, self.ack_after) = (0, 0, quarter as u8);
        }
    }

    /// When a request packet is due.
    pub(crate) const fn deadline(&self) -> Instant {
        self.ask_at
    }

    /// What `recv_buffer_start` says.
    pub(crate) const fn start(&self) -> u32 {
        self.next
    }

    pub(crate) const fn has_unread(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Gives all blocks back.
    pub(crate) fn clear(&mut self, blocks: &mut Blocks<'_>) {
        blocks.clear(&mut self.ready);
        self.clear_early(blocks);
    }

    /// Gives back what can never be delivered.
    pub(crate) fn clear_early(&mut self, blocks: &mut Blocks<'_>) {
        blocks.clear(&mut self.early);
        self.ask_at = Instant::FAR;
    }

    fn ask_by(&mut self, at: Instant) {
        self.ask_at = self.ask_at.min(at);
    }
}

//! The sending half of a session: lossless packets until they are acknowledged, and lossy ones until they are sent.
//!
//! Three chains of blocks hold the lossless packets, numbers ascending across them: `holes` were reported missing at
//! least once, `sent` are in flight, `queued` wait for the window. A request packet tells which packets of its range
//! arrived: those leave their chain at once, the others become holes. Receipts stay in order all the same: the tag of a
//! packet that leaves from the middle goes to the packet before it that is still there.

use super::congestion::{Congestion, Rtt, WINDOW_MAX};
use super::request::{Missing, Said};
use crate::DropReason;
use crate::storage::{Block, BlockId, Blocks, Chain, Full};
use crate::time::Instant;
use core::time::Duration;

/// Flag of a hole: it is to be sent again.
const RESEND: u8 = 1;

/// What was sent and is not acknowledged, and what waits.
#[derive(Debug)]
pub(crate) struct SendWindow {
    holes: Chain,
    sent: Chain,
    queued: Chain,
    lossy: Chain,
    /// All before this number is acknowledged.
    start: u32,
    /// Number of the next new packet.
    next: u32,
    acked_tag: u32,
    /// Holes with the flag.
    resend: u32,
    /// The packet whose round trip is being measured, since `timed_at` (`ZERO`: none).
    timed: u32,
    timed_at: Instant,
    /// When silence becomes suspicious; `FAR` with nothing in flight.
    probe_at: Instant,
    /// Since when something in flight has not been acknowledged; `FAR` with nothing in flight.
    waits: Instant,
    /// When a used up burst is renewed; `FAR` while it is not used up.
    pace_at: Instant,
    probes: u8,
    /// The peer was told how far we are, since it last acknowledged something.
    nudged: bool,
    rtt: Rtt,
    congestion: Congestion,
}

/// What is to be sent now.
pub(crate) enum Outgoing<'a> {
    Lossless {
        block: &'a Block,
        /// It was sent before.
        again: bool,
    },
    Lossy(BlockId),
}

impl SendWindow {
    pub(crate) fn new(number: u32, handshake: Option<Duration>) -> Self {
        Self {
            holes: Chain::EMPTY,
            sent: Chain::EMPTY,
            queued: Chain::EMPTY,
            lossy: Chain::EMPTY,
            start: number,
            next: number,
            acked_tag: 0,
            resend: 0,
            timed: 0,
            timed_at: Instant::ZERO,
            probe_at: Instant::FAR,
            waits: Instant::FAR,
            pace_at: Instant::FAR,
            probes: 0,
            nudged: false,
            rtt: Rtt::new(handshake),
            congestion: Congestion::new(number),
        }
    }

    /// Queues a lossless packet if it holds fewer than `share` blocks.
    pub(crate) fn push(
        &mut self,
        blocks: &mut Blocks<'_>,
        share: usize,
        parts: &[&[u8]],
        tag: u32,
    ) -> Result<(), Full> {
        if !self.room(share) {
            return Err(Full);
        }
        let id = blocks.take_to_send(parts)?;
        blocks.get_mut(&id).tag = tag;
        blocks.push_back(&mut self.queued, id);
        Ok(())
    }

    /// Queues a lossy packet if no other waits.
    pub(crate) fn push_lossy(&mut self, blocks: &mut Blocks<'_>, parts: &[&[u8]]) -> Result<(), Full> {
        if !self.lossy.is_empty() {
            return Err(Full);
        }
        let id = blocks.take_to_send(parts)?;
        blocks.push_back(&mut self.lossy, id);
        Ok(())
    }

    /// What to send now, if the window allows anything. Lossy packets come first: they are worthless later.
    pub(crate) fn next_packet<'a>(&mut self, now: Instant, blocks: &'a mut Blocks<'_>) -> Option<Outgoing<'a>> {
        if let Some(id) = blocks.pop_front(&mut self.lossy) {
            return Some(Outgoing::Lossy(id));
        }
        let is_new = !self.queued.is_empty() && self.congestion.allows(self.in_flight());
        if self.resend == 0 && !is_new {
            return None;
        }
        if !self.congestion.take_burst() {
            if self.pace_at == Instant::FAR {
                self.pace_at = self.congestion.pace(now, &self.rtt);
            }
            return None;
        }
        let again = self.resend > 0;
        let block = if again { self.send_again(now, blocks) } else { self.send_new(now, blocks) };
        block.map(|block| Outgoing::Lossless { block, again })
    }

    fn send_again<'a>(&mut self, now: Instant, blocks: &'a mut Blocks<'_>) -> Option<&'a Block> {
        let mut found = None;
        blocks.for_each_mut(&self.holes, |block| {
            if block.flags & RESEND != 0 {
                block.flags &= !RESEND;
                block.sent_ms = Blocks::stamp(now);
                found = Some(block.number);
            }
            found.is_none()
        });
        self.resend = if found.is_some() { self.resend - 1 } else { 0 };
        blocks.iter(&self.holes).find(|block| Some(block.number) == found)
    }

    fn send_new<'a>(&mut self, now: Instant, blocks: &'a mut Blocks<'_>) -> Option<&'a Block> {
        let id = blocks.pop_front(&mut self.queued)?;
        let block = blocks.get_mut(&id);
        block.number = self.next;
        block.sent_ms = Blocks::stamp(now);
        if self.timed_at == Instant::ZERO {
            (self.timed, self.timed_at) = (self.next, now);
        }
        if self.probe_at == Instant::FAR {
            self.probe_at = now + self.rtt.nudge();
            self.waits = now;
        }
        self.next = self.next.wrapping_add(1);
        blocks.push_back(&mut self.sent, id);
        blocks.back(&self.sent)
    }

    /// The peer has received everything before `start`. True when that is about the window as it now is, false for an
    /// old acknowledgement.
    ///
    /// # Errors
    /// `OutOfWindow` when it acknowledges what was never sent.
    pub(crate) fn on_ack(&mut self, now: Instant, blocks: &mut Blocks<'_>, start: u32) -> Result<bool, DropReason> {
        let ahead = start.wrapping_sub(self.start);
        if ahead > self.next.wrapping_sub(self.start) {
            let behind = self.start.wrapping_sub(start);
            return if behind <= WINDOW_MAX { Ok(false) } else { Err(DropReason::OutOfWindow) };
        }
        if ahead == 0 {
            return Ok(true);
        }
        let in_flight = self.in_flight();
        let mut acked = 0;
        for from_holes in [true, false] {
            let chain = if from_holes { &mut self.holes } else { &mut self.sent };
            while blocks.front(chain).is_some_and(|block| block.number.wrapping_sub(self.start) < ahead) {
                let Some(id) = blocks.pop_front(chain) else { break };
                acked += 1;
                self.resend -= u32::from(blocks.get(&id).flags & RESEND);
                note_tag(&mut self.acked_tag, blocks.get(&id).tag);
                blocks.give(id);
            }
        }
        if self.timed_at != Instant::ZERO && self.timed.wrapping_sub(self.start) < ahead {
            self.end_timing(now);
        }
        self.start = start;
        self.on_progress(now, acked, in_flight);
        Ok(true)
    }

    /// The peer tells which packets from `start` on it has (packet id 1).
    pub(crate) fn on_request(&mut self, now: Instant, blocks: &mut Blocks<'_>, list: &[u8]) {
        if list.is_empty() {
            return;
        }
        let in_flight = self.in_flight();
        let mut said = Missing::new(list);
        let mut sieve = Sieve { kept: None, acked: 0, lost: 0, first_lost: None };
        let mut holes = Chain::EMPTY;
        while let Some(id) = blocks.pop_front(&mut self.holes) {
            let verdict = said.of(blocks.get(&id).number.wrapping_sub(self.start));
            self.sift(now, blocks, &mut sieve, &mut holes, id, verdict, self.rtt.settle());
        }
        while let Some(front) = blocks.front(&self.sent) {
            let verdict = said.of(front.number.wrapping_sub(self.start));
            let Some(id) = (verdict != Said::Nothing).then(|| blocks.pop_front(&mut self.sent)).flatten() else {
                break;
            };
            self.sift(now, blocks, &mut sieve, &mut holes, id, verdict, Duration::ZERO);
        }
        if let Some(kept) = sieve.kept.take() {
            blocks.push_back(&mut holes, kept);
        }
        self.holes = holes;
        if let Some(number) = sieve.first_lost {
            self.timed_at = Instant::ZERO;
            self.congestion.on_lost(number, self.next, sieve.lost, in_flight, &self.rtt);
        }
        if sieve.acked > 0 {
            self.on_progress(now, sieve.acked, in_flight);
        }
    }

    /// Frees one packet that arrived, or keeps it as a hole. `settle`: how long ago it must have been sent to be lost.
    #[expect(clippy::too_many_arguments, reason = "the two loops of `on_request` share it")]
    fn sift(
        &mut self,
        now: Instant,
        blocks: &mut Blocks<'_>,
        sieve: &mut Sieve,
        holes: &mut Chain,
        id: BlockId,
        verdict: Said,
        settle: Duration,
    ) {
        let block = blocks.get_mut(&id);
        let number = block.number;
        match verdict {
            Said::Received => {
                let tag = block.tag;
                self.resend -= u32::from(block.flags & RESEND);
                blocks.give(id);
                match &sieve.kept {
                    Some(kept) => note_tag(&mut blocks.get_mut(kept).tag, tag),
                    None => note_tag(&mut self.acked_tag, tag),
                }
                if self.timed == number && self.timed_at != Instant::ZERO {
                    self.end_timing(now);
                }
                sieve.acked += 1;
                return;
            }
            Said::Missing => {
                let age = u128::from(Blocks::stamp(now).wrapping_sub(block.sent_ms));
                if block.flags & RESEND == 0 && age >= settle.as_millis() {
                    block.flags |= RESEND;
                    self.resend += 1;
                    sieve.lost += 1;
                    sieve.first_lost.get_or_insert(number);
                }
            }
            Said::Nothing => {}
        }
        if let Some(kept) = sieve.kept.replace(id) {
            blocks.push_back(holes, kept);
        }
    }

    fn end_timing(&mut self, now: Instant) {
        self.rtt.sample(now.since(self.timed_at));
        self.timed_at = Instant::ZERO;
    }

    fn on_progress(&mut self, now: Instant, acked: u32, in_flight: u32) {
        (self.probes, self.nudged) = (0, false);
        self.congestion.on_acked(acked, in_flight, &self.rtt);
        if self.congestion.burst_left() {
            self.pace_at = Instant::FAR;
        }
        let idle = self.holes.is_empty() && self.sent.is_empty();
        self.probe_at = if idle { Instant::FAR } else { now + self.rtt.nudge() };
        self.waits = if idle { Instant::FAR } else { now };
    }

    /// Renews the burst, and suspects the first packet in flight to be lost after a long silence. True when the peer
    /// should be told how far we are.
    pub(crate) fn on_timeout(&mut self, now: Instant, blocks: &mut Blocks<'_>) -> bool {
        if now >= self.pace_at {
            self.congestion.refill();
            self.pace_at = Instant::FAR;
        }
        if now < self.probe_at {
            return false;
        }
        if !self.nudged {
            (self.nudged, self.probe_at) = (true, now + self.rtt.probe(0));
            return true;
        }
        self.probes = self.probes.saturating_add(1);
        self.probe_at = now + self.rtt.probe(self.probes);
        // The answer to one probe may still be to the packet itself: toxcore acknowledges late, and we must learn it.
        if self.probes > 1 {
            self.timed_at = Instant::ZERO;
            self.congestion.on_silence();
        }
        if self.resend == 0 {
            if self.holes.is_empty()
                && let Some(id) = blocks.pop_front(&mut self.sent)
            {
                blocks.push_back(&mut self.holes, id);
            }
            blocks.for_each_mut(&self.holes, |block| {
                block.flags |= RESEND;
                false
            });
            self.resend = u32::from(!self.holes.is_empty());
        }
        self.congestion.allow_probe();
        self.pace_at = Instant::FAR;
        true
    }

    /// When [`Self::on_timeout`] has something to do.
    pub(crate) fn deadline(&self) -> Instant {
        self.probe_at.min(self.pace_at)
    }

    /// Whether [`Self::next_packet`] would give something.
    pub(crate) fn has_packet(&self) -> bool {
        let is_new = !self.queued.is_empty() && self.congestion.allows(self.in_flight());
        !self.lossy.is_empty() || (self.pace_at == Instant::FAR && (self.resend > 0 || is_new))
    }

    /// Whether another packet may be queued as far as the peer's window and this session's share of blocks go.
    pub(crate) fn room(&self, share: usize) -> bool {
        let unacked = self.next.wrapping_sub(self.start) as usize + self.queued.len();
        unacked < WINDOW_MAX as usize && self.holes.len() + self.sent.len() + self.queued.len() < share
    }

    pub(crate) const fn acked_tag(&self) -> u32 {
        self.acked_tag
    }

    /// What is in flight went a way that leads nowhere: the first of it goes out again at once.
    pub(crate) const fn way_changed(&mut self, now: Instant) {
        if self.probe_at.micros() != Instant::FAR.micros() {
            (self.nudged, self.probes, self.probe_at) = (true, 0, now);
        }
    }

    /// Since when the peer has acknowledged nothing though something is in flight; `FAR` with nothing in flight.
    pub(crate) const fn waits(&self) -> Instant {
        self.waits
    }

    /// Whether packets went out again in vain.
    pub(crate) const fn is_stalled(&self) -> bool {
        self.probes > 1
    }

    /// The number that lossy, request and kill packets carry.
    pub(crate) const fn next_number(&self) -> u32 {
        self.next
    }

    pub(crate) const fn rtt(&self) -> &Rtt {
        &self.rtt
    }

    /// Gives all blocks back.
    pub(crate) fn clear(&mut self, blocks: &mut Blocks<'_>) {
        for chain in [&mut self.holes, &mut self.sent, &mut self.queued, &mut self.lossy] {
            blocks.clear(chain);
        }
        self.resend = 0;
    }

    fn in_flight(&self) -> u32 {
        (self.holes.len() + self.sent.len()) as u32 - self.resend
    }
}

/// The state of one walk over the packets in flight.
struct Sieve {
    /// The last packet that stays.
    kept: Option<BlockId>,
    acked: u32,
    lost: u32,
    first_lost: Option<u32>,
}

fn note_tag(place: &mut u32, tag: u32) {
    if tag != 0 {
        *place = tag;
    }
}

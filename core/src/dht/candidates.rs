//! Nodes that are not known yet and shall get a packet: named by others, or newcomers that asked us something.
//!
//! The table is a queue and a short memory at once. A node that was asked stays in it, so that eight neighbours who all
//! name it make us ask once; the pauses grow while it does not answer. When the table is full, who was asked longest
//! ago makes room first, then who has waited longest: in a flood of newcomers, neither a queue nor keys near ours keep
//! others out.
//!
//! A *target*, a node whose own key is searched, is sent to again by itself. Two hosts behind address translators that
//! let in only who was sent to meet when both keep sending: what the first sends is lost, but opens the way for what
//! the second sends. It ends when the target answers, or some time after anybody has named it.

use super::entry::PEER_GAP;
use crate::Endpoint;
use crate::crypto::PublicKey;
use crate::storage::{Mem, Table};
use crate::time::Instant;
use crate::wire::NodeInfo;
use core::time::Duration;

/// Pause after the first request to a node; doubled each time, up to 64 s.
const PAUSE: Duration = Duration::from_secs(1);
/// The same for a target: up to 16 s. Address translators keep a way open for 30 s at least.
const PAUSE_TARGET: Duration = Duration::from_millis(250);
const PAUSE_DOUBLINGS: u8 = 6;
/// A target that nobody names any more is sent to so often: for two minutes at the slowest pace. For as long a node may
/// name somebody whom it no longer hears.
const UNNAMED_MAX: u8 = 8;

/// What a candidate waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum State {
    Vacant = 0,
    /// To be sent now.
    Urgent,
    /// To be sent when the rate limit allows.
    Waiting,
    /// Was sent and is remembered.
    Sent,
}

/// What is sent to a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Packet {
    /// A ping request.
    Ping = 0,
    /// A nodes request for the candidate's target.
    Nodes,
}

/// A node that shall get a packet, or got one lately.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(super) node: NodeInfo,
    pub(super) target: PublicKey,
    /// When it was put here or sent to.
    at: Instant,
    state: State,
    pub(super) packet: Packet,
    /// How often it was sent to.
    tries: u8,
    /// How often it was sent to again since it was named last.
    unnamed: u8,
}

impl Candidate {
    /// What static storage is filled with.
    pub(crate) const VACANT: Self = Self {
        node: NodeInfo { key: PublicKey::ZERO, at: Endpoint::UNSPECIFIED },
        target: PublicKey::ZERO,
        at: Instant::ZERO,
        state: State::Vacant,
        packet: Packet::Ping,
        tries: 0,
        unnamed: 0,
    };

    /// Until when it is left alone after it was sent to.
    fn rests_until(&self) -> Instant {
        let first = if self.is_target() { PAUSE_TARGET } else { PAUSE };
        self.at + first * (1 << self.tries.saturating_sub(1).min(PAUSE_DOUBLINGS))
    }
}

impl Candidate {
    fn is_target(&self) -> bool {
        self.node.key == self.target
    }

    /// When it is to be sent to again without being named again.
    fn repeats_at(&self) -> Option<Instant> {
        let repeats = self.state == State::Sent && self.unnamed < UNNAMED_MAX && self.is_target();
        repeats.then(|| self.rests_until())
    }
}

#[derive(Debug)]
pub(super) struct Candidates<'s> {
    mem: Mem<'s, Candidate>,
    me: PublicKey,
    /// When the oldest urgent one was queued, how many wait, and when the first target is to be sent to again.
    urgent_since: Option<Instant>,
    waiting: usize,
    repeats_at: Option<Instant>,
}

impl<'s> Candidates<'s> {
    pub(super) fn new(mut mem: Mem<'s, Candidate>) -> Self {
        mem.fill(Candidate::VACANT);
        Self { mem, me: PublicKey::ZERO, urgent_since: None, waiting: 0, repeats_at: None }
    }

    pub(super) fn set_me(&mut self, me: PublicKey) {
        self.me = me;
    }

    pub(super) fn table(&self) -> Table {
        Table::of_mem("candidates", &self.mem, |known| known.state != State::Vacant)
    }

    /// Queues a packet to `node`, unless it got one lately or the table is full of better ones.
    pub(super) fn offer(&mut self, now: Instant, node: NodeInfo, target: PublicKey, packet: Packet, urgent: bool) {
        if node.key == PublicKey::ZERO || node.key == self.me || !node.at.is_usable() {
            return;
        }
        let state = if urgent { State::Urgent } else { State::Waiting };
        let new = Candidate { node, target, at: now, state, packet, tries: 0, unnamed: 0 };
        if let Some(known) =
            self.mem.iter_mut().find(|known| known.state != State::Vacant && known.node.key == node.key)
        {
            known.renew(new);
        } else if let Some(i) = self.place_for() {
            self.mem[i] = new;
        } else {
            return;
        }
        self.count();
    }

    /// Queues the targets that have rested, if they are still wanted.
    pub(super) fn repeat(&mut self, now: Instant, is_wanted: impl Fn(&NodeInfo) -> bool) {
        if self.repeats_at.is_none_or(|at| now < at) {
            return;
        }
        for known in self.mem.iter_mut().filter(|known| known.repeats_at().is_some_and(|at| at <= now)) {
            if is_wanted(&known.node) {
                (known.state, known.at, known.packet) = (State::Urgent, now, Packet::Nodes);
                known.unnamed += 1;
            } else {
                known.unnamed = UNNAMED_MAX;
            }
        }
        self.count();
    }

    /// When [`Self::repeat`] has something to do.
    pub(super) const fn repeats_at(&self) -> Option<Instant> {
        self.repeats_at
    }

    /// The node with `key` is known to be there: as a target it is sent to as often as one that was just named.
    pub(super) fn start_over(&mut self, key: &PublicKey) {
        let targets = self.mem.iter_mut().filter(|known| known.state != State::Vacant && known.is_target());
        targets.filter(|known| known.node.key == *key).for_each(|known| (known.tries, known.unnamed) = (0, 0));
        self.count();
    }

    /// The same for all targets.
    pub(super) fn start_all_over(&mut self) {
        let targets = self.mem.iter_mut().filter(|known| known.state != State::Vacant && known.is_target());
        targets.for_each(|known| (known.tries, known.unnamed) = (0, 0));
        self.count();
    }

    /// The next that is to be sent to, and whether it is urgent: those first; each sort only if it `may` be sent to.
    /// Marked as sent.
    pub(super) fn poll(&mut self, now: Instant, may_urgent: bool, may_waiting: bool) -> Option<(Candidate, bool)> {
        let (may_urgent, may_waiting) = (may_urgent && self.urgent_since.is_some(), may_waiting && self.waiting > 0);
        let urgent = if may_urgent { self.oldest(State::Urgent) } else { None };
        let i = urgent.or_else(|| if may_waiting { self.newest_waiting() } else { None })?;
        let candidate = &mut self.mem[i];
        let queued = *candidate;
        candidate.state = State::Sent;
        candidate.at = now;
        candidate.tries = candidate.tries.saturating_add(1);
        self.count();
        Some((queued, queued.state == State::Urgent))
    }

    /// Forgets a node, because it answered. Returns for which key it was asked, and when.
    pub(super) fn answered(&mut self, key: &PublicKey) -> Option<(PublicKey, Instant)> {
        let known = self.mem.iter_mut().find(|known| known.state != State::Vacant && known.node.key == *key)?;
        let asked = (known.state == State::Sent && known.packet == Packet::Nodes).then_some((known.target, known.at));
        *known = Candidate::VACANT;
        self.count();
        asked
    }

    /// Those that were asked.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeInfo> {
        self.mem.iter().filter(|known| known.state == State::Sent).map(|known| known.node)
    }

    /// When the oldest urgent one was queued.
    pub(super) const fn urgent_since(&self) -> Option<Instant> {
        self.urgent_since
    }

    pub(super) const fn has_waiting(&self) -> bool {
        self.waiting > 0
    }

    /// Comes after every change: whoever asks for it asks far more often.
    fn count(&mut self) {
        let earliest = |known: Option<Instant>, at: Instant| Some(known.map_or(at, |known| known.min(at)));
        (self.urgent_since, self.waiting, self.repeats_at) = (None, 0, None);
        for known in self.mem.iter() {
            match known.state {
                State::Vacant => {}
                State::Urgent => self.urgent_since = earliest(self.urgent_since, known.at),
                State::Waiting => self.waiting += 1,
                State::Sent => {
                    self.repeats_at = known.repeats_at().map_or(self.repeats_at, |at| earliest(self.repeats_at, at));
                }
            }
        }
    }

    fn oldest(&self, state: State) -> Option<usize> {
        let queued = self.mem.iter().enumerate().filter(|(_, known)| known.state == state);
        queued.min_by_key(|(_, known)| known.at).map(|(i, _)| i)
    }

    /// Who came last is served first: in a flood, whoever asks again has a chance, and no queue to stand in.
    fn newest_waiting(&self) -> Option<usize> {
        let queued = self.mem.iter().enumerate().filter(|(_, known)| known.state == State::Waiting);
        queued.max_by_key(|(_, known)| known.at).map(|(i, _)| i)
    }

    fn place_for(&self) -> Option<usize> {
        if let Some(i) = self.mem.iter().position(|known| known.state == State::Vacant) {
            return Some(i);
        }
        let sent = self.mem.iter().enumerate().filter(|(_, known)| known.state == State::Sent);
        if let Some((i, _)) = sent.min_by_key(|(_, known)| (known.repeats_at().is_some(), known.at)) {
            return Some(i);
        }
        self.oldest(State::Waiting)
    }
}

impl Candidate {
    /// The node was named again, or has asked us something again.
    fn renew(&mut self, new: Self) {
        let is_new_target = new.is_target() && !self.is_target();
        // What a target itself sends us has come through: it is answered by a ping, packet for packet.
        let has_spoken = new.is_target() && new.packet == Packet::Ping;
        let more_urgent = new.state == State::Urgent && self.state == State::Waiting;
        let again = match self.state {
            State::Vacant | State::Urgent => false,
            State::Waiting => more_urgent,
            // A new address may be tried soon, the same one after its pause.
            State::Sent if self.node.at != new.node.at || is_new_target || has_spoken => {
                new.at.reached(self.at, PEER_GAP)
            }
            State::Sent => new.at >= self.rests_until(),
        };
        if again {
            *self = Self { tries: if is_new_target { 0 } else { self.tries }, ..new };
        } else if self.node == new.node {
            self.unnamed = 0;
        }
    }
}

//! Hole punching: two hosts behind address translators open ways through them for each other.
//!
//! A translator lets in only whom its host has sent to. So both send, and what the second sends gets through; but each
//! must know where to, and that the other does the same now. *Where* is what nodes near the other's key say ([`seen`]).
//! *Now* is settled by NAT pings, DHT requests that such a node passes on: whoever has been asked by a friend, and been
//! answered by him, within the last seconds knows that both are at it, and punches. When all say the same port, one
//! packet will do. Otherwise the translator has another port for each whom its host talks to, and the one for us is
//! guessed ([`ports`]).
//!
//! We never shoot at somebody because a liar told us to: several nodes at different addresses must name the address,
//! and the friend himself must have answered. Then [`ROUND`] packets at most go out for each exchange of NAT pings, the
//! exchanges get rare after half a minute, and one bucket limits all. The table holds those who are being punched. A
//! full one gives up who has given no sign of life for some seconds.
//!
//! Source: `DHT.c`, wire-facts 2.2. Unlike toxcore we react at once to what arrives.

mod ports;
mod seen;
#[cfg(test)]
mod tests;

pub(super) use seen::Seen;

use super::SearchId;
use crate::limit::Tokens;
use crate::storage::{Mem, Table};
use crate::time::Instant;
use crate::{DropReason, Endpoint};
use core::time::Duration;

/// So many voices must name a friend's address (toxcore: 4 of 8 nodes, wherever those are).
const VOICES_MIN: usize = 3;
/// What the friend said last counts for so long (toxcore's PUNCH_INTERVAL twice).
const SIGN_LIFE: Duration = Duration::from_secs(6);
/// Guesses in one round (`DHT.c`, MAX_PUNCHING_PORTS).
const ROUND: u8 = 48;
/// From this round on half of them go the long way (MAX_NORMAL_PUNCHING_TRIES).
const LONG_WAY_AFTER: u8 = 5;
/// Guesses start over after so many: by then they are more than a thousand ports away.
const GUESSES: u16 = 24_000;
/// Packets to guessed ports, in the long run and at once, for all friends together.
const GUESS_EVERY: Duration = Duration::from_millis(20);
const GUESS_BURST: u32 = 2 * ROUND as u32;
/// Nodes that a request goes through, and an answer: some may not know the friend, or lose it.
const REQUEST_ROUTES: u8 = 3;
const ANSWER_ROUTES: u8 = 2;
/// The same request comes through several nodes. It is answered once in this time.
const ANSWER_GAP: Duration = Duration::from_millis(500);
/// Pauses after the first requests, then toxcore's PUNCH_INTERVAL, then twice as long each time up to a minute.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_secs(3);
const PAUSE_MAX: Duration = Duration::from_secs(60);
const QUICK: u8 = 3;
const STEADY: u8 = 12;
/// News of the friend starts this over at most once in this time (PUNCH_RESET_TIME).
const HEAT_AGAIN: Duration = Duration::from_secs(40);
/// Nobody loses the place within this time after it was taken, or after a sign of life.
const KEPT: Duration = Duration::from_secs(20);

/// A friend who is being punched, or may have to be.
#[derive(Debug)]
pub(crate) struct Punch {
    search: Option<SearchId>,
    seen: Seen,
    /// Since when requests go out often; [`Instant::ZERO`] for never.
    hot_since: Instant,
    ping_at: Instant,
    pinged: Instant,
    /// When the friend's last request and answer came.
    asked: Instant,
    answered: Instant,
    round_at: Instant,
    /// Nobody else gets the place before.
    kept_until: Instant,
    /// Id of the friend's last request.
    their_id: u64,
    /// The next guess near the ports named, and on the long way.
    guess: u16,
    long_way: u16,
    pings: u8,
    rounds: u8,
    /// Packets of this round that are still to be sent.
    left: u8,
    /// Routes that are still to be taken by our request, and by our answer.
    request_routes: u8,
    answer_routes: u8,
}

/// What is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// A NAT ping through the `route`th node near the friend.
    Request { search: SearchId, route: usize },
    /// The answer to one.
    Answer { search: SearchId, route: usize, id: u64 },
    /// A packet that opens a way.
    Punch { search: SearchId, at: Endpoint },
}

/// All of them.
#[derive(Debug)]
pub(super) struct Punches<'s> {
    mem: Mem<'s, Punch>,
    tokens: Tokens,
    /// Off: we only answer.
    on: bool,
}

impl Punch {
    /// What static storage is filled with: all zeros.
    pub(crate) const VACANT: Self = Self {
        search: None,
        seen: Seen::NOTHING,
        hot_since: Instant::ZERO,
        ping_at: Instant::ZERO,
        pinged: Instant::ZERO,
        asked: Instant::ZERO,
        answered: Instant::ZERO,
        round_at: Instant::ZERO,
        kept_until: Instant::ZERO,
        their_id: 0,
        guess: 0,
        long_way: 0,
        pings: 0,
        rounds: 0,
        left: 0,
        request_routes: 0,
        answer_routes: 0,
    };
}

impl<'s> Punches<'s> {
    pub(super) fn new(mut mem: Mem<'s, Punch>, on: bool) -> Self {
        mem.iter_mut().for_each(|place| *place = Punch::VACANT);
        Self { mem, tokens: Tokens::new(GUESS_EVERY, GUESS_BURST), on }
    }

    pub(super) fn table(&self) -> Table {
        Table::of_mem("punches", &self.mem, |place| place.search.is_some())
    }

    /// A node at `by` says that the friend, who does not answer us, is at `at`.
    pub(super) fn named(&mut self, now: Instant, search: SearchId, by: Endpoint, at: Endpoint) {
        if !self.on {
            return;
        }
        let Some(punch) = self.place_of(now, search) else { return };
        if punch.seen.say(now, by, at) && punch.is_seen(now) {
            punch.heat(now);
        }
    }

    /// The friend's NAT ping. True when it is news that the friend looks for us.
    pub(super) fn on_request(&mut self, now: Instant, search: SearchId, id: u64) -> Result<bool, DropReason> {
        let on = self.on;
        let punch = self.place_of(now, search).ok_or(DropReason::NoRoom)?;
        if punch.asked != Instant::ZERO && !now.reached(punch.asked, ANSWER_GAP) {
            return Err(if punch.their_id == id { DropReason::Duplicate } else { DropReason::RateLimited });
        }
        let is_news = punch.asked == Instant::ZERO || now.reached(punch.asked, HEAT_AGAIN);
        (punch.asked, punch.their_id, punch.answer_routes) = (now, id, ANSWER_ROUTES);
        punch.kept_until = punch.kept_until.max(now + KEPT);
        if on {
            if is_news {
                punch.heat(now);
            }
            // Toxcore punches only when it has been asked as well.
            punch.ping_at = punch.ping_at.min(now.max(punch.pinged + PAUSE_FIRST));
            punch.begin_round(now);
        }
        Ok(is_news)
    }

    /// The friend has answered a NAT ping of ours.
    pub(super) fn on_answer(&mut self, now: Instant, search: SearchId) -> Result<(), DropReason> {
        let punch = self.mem.iter_mut().find(|punch| punch.search == Some(search)).ok_or(DropReason::Unsolicited)?;
        punch.answered = now;
        punch.kept_until = punch.kept_until.max(now + KEPT);
        punch.begin_round(now);
        Ok(())
    }

    /// The friend answers us, or is no longer searched.
    pub(super) fn forget(&mut self, search: SearchId) {
        for punch in self.mem.iter_mut().filter(|punch| punch.search == Some(search)) {
            let (their_id, answer_routes) = (punch.their_id, punch.answer_routes);
            *punch =
                Punch { search: punch.search.filter(|_| answer_routes > 0), ping_at: Instant::FAR, ..Punch::VACANT };
            (punch.their_id, punch.answer_routes) = (their_id, answer_routes);
        }
    }

    /// Forgets everything: we are somewhere else.
    pub(super) fn clear(&mut self) {
        self.mem.iter_mut().for_each(|punch| *punch = Punch::VACANT);
    }

    /// The next thing to be sent.
    pub(super) fn next(&mut self, now: Instant) -> Option<Move> {
        let tokens = &mut self.tokens;
        self.mem.iter_mut().find_map(|punch| punch.next(now, tokens))
    }

    /// When [`Self::next`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let guess = self.tokens.ready_at();
        let taken = self.mem.iter().filter(|punch| punch.search.is_some());
        taken.map(|punch| if punch.left > 0 { punch.ping_at.min(guess) } else { punch.ping_at }).min()
    }

    fn place_of(&mut self, now: Instant, search: SearchId) -> Option<&mut Punch> {
        let known = self.mem.iter().position(|punch| punch.search == Some(search));
        let free = || {
            let gone = self.mem.iter().enumerate().filter(|(_, punch)| punch.kept_until <= now);
            gone.min_by_key(|(_, punch)| (punch.search.is_some(), punch.kept_until)).map(|(i, _)| i)
        };
        let i = known.or_else(free)?;
        if known.is_none() {
            self.mem[i] =
                Punch { search: Some(search), ping_at: Instant::FAR, kept_until: now + KEPT, ..Punch::VACANT };
        }
        self.mem.get_mut(i)
    }
}

impl Punch {
    fn is_seen(&self, now: Instant) -> bool {
        self.seen.agreed(now, VOICES_MIN, None).is_some()
    }

    fn is_asked(&self, now: Instant) -> bool {
        self.asked != Instant::ZERO && !now.reached(self.asked, SIGN_LIFE)
    }

    fn is_answered(&self, now: Instant) -> bool {
        self.answered != Instant::ZERO && !now.reached(self.answered, SIGN_LIFE)
    }

    /// There is news: requests go out often again, unless that was tried just now.
    fn heat(&mut self, now: Instant) {
        if self.hot_since == Instant::ZERO || now.reached(self.hot_since, HEAT_AGAIN) {
            (self.hot_since, self.pings, self.rounds, self.guess) = (now, 0, 0, 0);
            self.ping_at = self.ping_at.min(now.max(self.pinged + PAUSE_FIRST));
        } else if self.ping_at == Instant::FAR {
            self.ping_at = now.max(self.pinged + self.pause());
        }
    }

    /// If both are at it, packets go out.
    fn begin_round(&mut self, now: Instant) {
        let rested =
            self.rounds == 0 || now.reached(self.round_at, if self.rounds < QUICK { PAUSE_FIRST } else { PAUSE });
        if self.left > 0 || !rested || !self.is_asked(now) || !self.is_answered(now) {
            return;
        }
        if let Some(agreed) = self.seen.agreed(now, VOICES_MIN, None) {
            self.left = if agreed.ports.len() == 1 { 1 } else { ROUND };
            self.rounds = self.rounds.saturating_add(1);
            self.round_at = now;
        }
    }

    fn next(&mut self, now: Instant, tokens: &mut Tokens) -> Option<Move> {
        let search = self.search?;
        if let Some(route) = take_route(&mut self.answer_routes) {
            return Some(Move::Answer { search, route, id: self.their_id });
        }
        if self.ping_at <= now {
            if self.is_seen(now) || self.is_asked(now) {
                self.pings = self.pings.saturating_add(1);
                (self.pinged, self.request_routes) = (now, REQUEST_ROUTES);
                self.ping_at = now + self.pause();
            } else {
                self.ping_at = Instant::FAR;
            }
        }
        if let Some(route) = take_route(&mut self.request_routes) {
            return Some(Move::Request { search, route });
        }
        if self.left == 0 || !tokens.take(now) {
            return None;
        }
        self.left -= 1;
        let Some(agreed) = self.seen.agreed(now, VOICES_MIN, None) else {
            self.left = 0;
            return None;
        };
        if agreed.ports.len() == 1 {
            self.left = 0;
        }
        Some(Move::Punch { search, at: Endpoint::new(agreed.ip, self.next_port(&agreed.ports)) })
    }

    fn next_port(&mut self, named: &[u16]) -> u16 {
        if let [port] = named {
            return *port;
        }
        let goes_long_way = self.rounds > LONG_WAY_AFTER && self.left.is_multiple_of(2);
        let near = (0..GUESSES).filter(|_| !goes_long_way).find_map(|_| {
            let n = self.guess;
            self.guess = (n + 1) % GUESSES;
            ports::near(named, n.into())
        });
        near.unwrap_or_else(|| {
            self.long_way = self.long_way.wrapping_add(1);
            ports::any(self.long_way.wrapping_sub(1))
        })
    }

    fn pause(&self) -> Duration {
        match self.pings {
            0..=QUICK => PAUSE_FIRST,
            _ if self.pings <= STEADY => PAUSE,
            _ => (PAUSE * (2 << (self.pings - STEADY - 1).min(5))).min(PAUSE_MAX),
        }
    }
}

/// The next route, counted down.
fn take_route(left: &mut u8) -> Option<usize> {
    *left = left.checked_sub(1)?;
    Some(usize::from(*left))
}

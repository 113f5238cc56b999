//! Sessions: encrypted connections to friends (`net_crypto`).
//!
//! A session is opened by us when a friend's DHT key is known, or by the friend with a handshake. Both sides exchange
//! cookies and handshakes ([`handshake`]), from then on data packets ([`cipher`], [`live`]) that carry a stream of
//! lossless packets in each direction ([`send`], [`receive`]) and lossy ones beside it. Payloads wait in the blocks of
//! the shared pool.
//!
//! Packets find their session by the address they come from; only a handshake finds it by the peer's long-term key. A
//! valid handshake with a fresh cookie and another session key proves that the peer has started anew: it replaces the
//! session at once. Replayed handshakes are older than the one in use, or have its session key, and change nothing.

mod cipher;
mod congestion;
mod cookie;
mod entry;
mod handshake;
mod live;
mod queue;
mod receive;
mod relayed;
mod request;
mod send;
#[cfg(test)]
mod tests;
mod ways;

pub(crate) use cookie::Asked;
pub(crate) use entry::Session;

use crate::budget::{Standing, StandingOf};
use crate::crypto::PublicKey;
use crate::stats::count;
use crate::storage::{Blocks, Chain, Full, Id, Slots, Table};
use crate::time::{Deadline, Instant, Why};
use crate::wire::kind;
use crate::wire::session::{CONTENT_LEN_MAX, DATA_LEN_MAX, Handshake, content};
use crate::{DATAGRAM_MAX, Disposition, DropReason, Endpoint, Env, Frame, cx::Cx};
use cookie::CookieJar;
use core::ops::Range;
use core::time::Duration;
use entry::{Pending, State};
use handshake::Opening;
use live::{Heard, Live};
use queue::Queue;
use rand_core::CryptoRng;

/// Handle of a session.
pub(crate) type SessionId = Id<Session>;

/// What the owners of sessions are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SessionNote {
    /// The peer has opened a session, or its DHT key is another than the session was opened with.
    Incoming { id: SessionId, owner: usize, dht: PublicKey },
    /// Packets can be sent.
    Established { id: SessionId, owner: usize },
    /// The session is over, and all that was received is read; the handle is stale.
    Closed { id: SessionId, owner: usize },
    /// A lossy packet, id byte first, in the buffer of the frame just handled.
    Lossy { id: SessionId, owner: usize, data: Range<usize> },
    /// The peer is at another address now: where the frame just handled came from.
    Moved { id: SessionId, owner: usize },
}

/// Why nothing was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendRefused {
    /// The session is not established, or not there.
    NotEstablished,
    /// No block is free, or the window is full. Ask [`Sessions::room`] later.
    Full,
}

/// Places in the table that addresses were last found at.
const HINTS: usize = 16;

/// A packet from an unknown address is tried on sessions that were silent for so long: their peer may have moved.
const STRAY_SILENCE: Duration = Duration::from_millis(300);
/// So many tries are allowed in each span.
const STRAYS: u16 = 32;
const STRAY_SPAN: Duration = Duration::from_millis(100);

/// All sessions.
#[derive(Debug)]
pub(crate) struct Sessions<'s> {
    table: Slots<'s, Session>,
    jar: CookieJar,
    queue: Queue,
    hints: [u16; HINTS],
    /// No timer is due earlier, and the reason of the first.
    wake: Instant,
    why: Why,
    /// Notes that wait to be fetched, at least.
    notes: bool,
    /// A session has dropped a packet for want of a block.
    starved: bool,
    /// Packets from unknown addresses that may still be tried before `strays_at` + [`STRAY_SPAN`].
    strays: u16,
    strays_at: Instant,
    /// Some session may have something to say through a relay.
    relay_due: bool,
    /// Some session's way has changed.
    ways_changed: bool,
}

impl<'s> Sessions<'s> {
    /// A table of sessions, at most 65,534.
    pub(crate) fn new(table: Slots<'s, Session>, rng: &mut impl CryptoRng) -> Self {
        Self {
            table,
            jar: CookieJar::new(rng),
            queue: Queue::EMPTY,
            hints: [0; HINTS],
            wake: Instant::FAR,
            why: Why::SessionTimeout,
            notes: false,
            starved: false,
            strays: 0,
            strays_at: Instant::ZERO,
            relay_due: false,
            ways_changed: false,
        }
    }

    /// Opens a session to the peer with these keys; it begins when its address is set. A session that is there already
    /// is returned, unless it is to another DHT key and not established: then it is replaced without a note.
    ///
    /// # Errors
    /// [`Full`].
    pub(crate) fn open<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        owner: usize,
        peer: PublicKey,
        dht: PublicKey,
    ) -> Result<SessionId, Full> {
        if let Some(id) = self.find_peer(&peer) {
            let is_same = self.table.get(id).is_some_and(|s| s.dht == dht || matches!(s.state, State::Established(_)));
            if is_same {
                return Ok(id);
            }
            self.remove(cx.blocks, id);
        }
        let opening = Opening::new(cx);
        self.insert(cx.blocks, Session::outgoing(owner, peer, dht, opening))
    }

    /// Where the peer's DHT node is. Ignored while the session hears from another address.
    pub(crate) fn set_endpoint(&mut self, now: Instant, id: SessionId, endpoint: Endpoint) {
        let Some(session) = self.table.get_mut(id).filter(|session| session.endpoint != endpoint) else { return };
        match &mut session.state {
            State::CookieRequesting(opening) => opening.redirect(now),
            State::HandshakeSent(opening) if opening.is_stuck() => opening.redirect(now),
            State::HandshakeSent(_) | State::NotConfirmed { .. } if !session.endpoint.is_usable() => {}
            State::Established(live) if !session.ways.is_direct() || !live.was_heard(now) => session.ways.moved(now),
            State::HandshakeSent(_)
            | State::NotConfirmed { .. }
            | State::Established(_)
            | State::Closing(_)
            | State::Drained(_)
            | State::Gone => return,
        }
        session.endpoint = endpoint;
        self.touch(now, id);
    }

    /// We may be somewhere else: the peers of all sessions are sent something from there.
    pub(crate) fn probe_all(&mut self, now: Instant) {
        for index in 0..self.table.extent() {
            let Some(id) = self.table.id_at(index) else { continue };
            if let Some(session) = self.table.get_mut(id) {
                session.probe(now);
            }
            self.touch(now, id);
        }
    }

    /// Ends a session without a note. If it is established, the peer is told. All blocks are given back at once.
    pub(crate) fn close<E: Env>(&mut self, cx: &mut Cx<'_, 's, E>, id: SessionId) {
        let Some(session) = self.table.get_mut(id) else { return };
        session.clear(cx.blocks);
        session.pending = Pending::Nothing;
        session.state = match core::mem::replace(&mut session.state, State::Gone) {
            State::Established(live) => State::Closing(live),
            State::NotConfirmed { cipher, .. } => State::Closing(Live::new(cx.now, cipher, None)),
            State::Closing(live) => State::Closing(live),
            State::CookieRequesting(_) | State::HandshakeSent(_) | State::Drained(_) | State::Gone => State::Gone,
        };
        if matches!(session.state, State::Gone) {
            self.remove(cx.blocks, id);
        } else {
            self.touch(cx.now, id);
        }
    }

    pub(crate) fn table(&self) -> Table {
        Table::of_slots("sessions", &self.table)
    }

    /// A packet of kind 0x18, 0x19, 0x1a or 0x1b. `accept` gives the owner of a new session with a long-term key, if it
    /// is wanted; `standing` tells what a DHT key at an address is to us, apart from sessions.
    pub(crate) fn on_packet<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        frame: &mut Frame<'_>,
        accept: &mut dyn FnMut(&PublicKey) -> Option<usize>,
        standing: &StandingOf<'_>,
    ) -> (Disposition, Option<SessionNote>) {
        let result = match frame.bytes().first() {
            Some(&kind::COOKIE_REQUEST) => {
                let from = frame.from;
                let standing = |dht: &PublicKey| self.standing(dht, from).unwrap_or_else(|| standing(dht, from));
                return (self.jar.answer(cx, frame, standing), None);
            }
            Some(&kind::COOKIE_RESPONSE) => self.on_cookie_response(cx, frame).map(|()| None),
            Some(&kind::CRYPTO_HANDSHAKE) => self.on_handshake(cx, frame, accept, false),
            Some(&kind::CRYPTO_DATA) => self.on_data(cx, frame),
            Some(_) | None => Err(DropReason::UnknownKind),
        };
        match result {
            Ok(note) => (Disposition::Consumed, note.or_else(|| self.take_note())),
            Err(reason) => (Disposition::Dropped(reason), self.take_note()),
        }
    }

    /// Acts on all timers that are due.
    pub(crate) fn on_timeout<E: Env>(&mut self, cx: &mut Cx<'_, 's, E>) {
        if cx.now < self.wake {
            return;
        }
        (self.wake, self.starved) = (Instant::FAR, false);
        let is_due = |live: &Live| live.is_keepalive_due(cx.now);
        let keeping = self.table.values().any(|session| session.established().is_some_and(is_due));
        for index in 0..self.table.extent() {
            let Some(id) = self.table.id_at(index) else { continue };
            if let Some(session) = self.table.get_mut(id) {
                self.ways_changed |= session.on_timeout(cx.now, cx.blocks);
                if let State::Established(live) = &mut session.state
                    && keeping
                {
                    live.keep_alive_early(cx.now);
                }
            }
            self.touch(cx.now, id);
        }
    }

    /// Writes the next packet; to be called until it gives `None`. Sessions take turns.
    pub(crate) fn encode_next<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        buf: &mut [u8; DATAGRAM_MAX],
    ) -> Option<(Endpoint, usize)> {
        while let Some(id) = self.queue.pop(&mut self.table) {
            let Some(session) = self.table.get_mut(id) else { continue };
            let (endpoint, len) = (session.endpoint, session.encode(cx, &self.jar, buf));
            self.relay_due |= session.ways.due;
            if session.is_over() {
                self.remove(cx.blocks, id);
            } else {
                self.touch(cx.now, id);
            }
            if let Some(len) = len
                && endpoint.is_usable()
            {
                return Some((endpoint, len));
            }
        }
        None
    }

    /// When to call [`Self::on_timeout`].
    pub(crate) fn deadline(&self) -> Option<Deadline> {
        (self.wake != Instant::FAR).then_some(Deadline { at: self.wake, why: self.why })
    }

    /// The next note that waits; to be called until it gives `None` after each packet and timeout.
    pub(crate) fn take_note(&mut self) -> Option<SessionNote> {
        if !self.notes {
            return None;
        }
        let waiting = self.table.iter_mut().find(|(_, session)| session.pending != Pending::Nothing);
        let Some((id, session)) = waiting else {
            self.notes = false;
            return None;
        };
        let owner = session.owner as usize;
        match core::mem::replace(&mut session.pending, Pending::Nothing) {
            Pending::Nothing => None,
            Pending::Incoming => Some(SessionNote::Incoming { id, owner, dht: session.dht }),
            Pending::Established => Some(SessionNote::Established { id, owner }),
            Pending::Closed => {
                // Its blocks were given back when it ended.
                self.queue.remove(&mut self.table, id);
                self.table.remove(id);
                Some(SessionNote::Closed { id, owner })
            }
        }
    }

    /// Queues a lossless packet: `parts` together are its id (16 to 191) and at most 1372 bytes. `tag` grows from
    /// packet to packet and comes back from [`Self::acked_tag`]; 0 is none.
    ///
    /// # Errors
    /// [`SendRefused`].
    pub(crate) fn send<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        id: SessionId,
        parts: &[&[u8]],
        tag: u32,
    ) -> Result<(), SendRefused> {
        debug_assert!(is_content(parts, &content::LOSSLESS));
        let live = self.live_mut(id).ok_or(SendRefused::NotEstablished)?;
        live.send.push(cx.blocks, send_share(cx.blocks), parts, tag).map_err(|Full| SendRefused::Full)?;
        self.touch(cx.now, id);
        Ok(())
    }

    /// Sends a lossy packet: `parts` together are its id (192 to 254) and at most 1372 bytes.
    ///
    /// # Errors
    /// [`SendRefused`].
    pub(crate) fn send_lossy<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        id: SessionId,
        parts: &[&[u8]],
    ) -> Result<(), SendRefused> {
        debug_assert!(is_content(parts, &content::LOSSY));
        let live = self.live_mut(id).ok_or(SendRefused::NotEstablished)?;
        live.send.push_lossy(cx.blocks, parts).map_err(|Full| SendRefused::Full)?;
        self.touch(cx.now, id);
        Ok(())
    }

    /// The next lossless packet in order, id byte first. It keeps its block until [`Self::pop`].
    pub(crate) fn peek<'a>(&self, blocks: &'a Blocks<'_>, id: SessionId) -> Option<&'a [u8]> {
        match &self.table.get(id)?.state {
            State::Established(live) | State::Drained(live) => live.receive.peek(blocks),
            State::CookieRequesting(_)
            | State::HandshakeSent(_)
            | State::NotConfirmed { .. }
            | State::Closing(_)
            | State::Gone => None,
        }
    }

    /// Drops the packet that [`Self::peek`] shows.
    pub(crate) fn pop(&mut self, blocks: &mut Blocks<'_>, id: SessionId) {
        let Some(session) = self.table.get_mut(id) else { return };
        match &mut session.state {
            State::Established(live) => {
                if live.receive.pop(blocks) && self.starved {
                    self.wake = Instant::ZERO;
                }
            }
            State::Drained(live) => {
                live.receive.pop(blocks);
                session.end(blocks);
                self.notes = true;
                self.wake = Instant::ZERO;
            }
            State::CookieRequesting(_)
            | State::HandshakeSent(_)
            | State::NotConfirmed { .. }
            | State::Closing(_)
            | State::Gone => {}
        }
    }

    /// Takes over what is received and not read; the caller gives the blocks back. A session that has ended is then
    /// done.
    pub(crate) fn take_unread(&mut self, blocks: &mut Blocks<'_>, id: SessionId) -> Chain {
        let Some(session) = self.table.get_mut(id) else { return Chain::EMPTY };
        match &mut session.state {
            State::Established(live) => live.receive.take_unread(),
            State::Drained(live) => {
                let unread = live.receive.take_unread();
                session.end(blocks);
                self.notes = true;
                unread
            }
            State::CookieRequesting(_)
            | State::HandshakeSent(_)
            | State::NotConfirmed { .. }
            | State::Closing(_)
            | State::Gone => Chain::EMPTY,
        }
    }

    /// The highest tag of a packet that is acknowledged together with all before it.
    pub(crate) fn acked_tag(&self, id: SessionId) -> u32 {
        match self.table.get(id).map(|session| &session.state) {
            Some(State::Established(live) | State::Drained(live)) => live.send.acked_tag(),
            Some(
                State::CookieRequesting(_)
                | State::HandshakeSent(_)
                | State::NotConfirmed { .. }
                | State::Closing(_)
                | State::Gone,
            )
            | None => 0,
        }
    }

    /// Whether [`Self::send`] would find room.
    pub(crate) fn room(&self, blocks: &Blocks<'_>, id: SessionId) -> bool {
        blocks.may_send() && self.live(id).is_some_and(|live| live.send.room(send_share(blocks)))
    }

    /// The peer's address, once known.
    #[cfg(test)]
    pub(crate) fn endpoint(&self, id: SessionId) -> Option<Endpoint> {
        self.table.get(id).map(|session| session.endpoint).filter(Endpoint::is_usable)
    }

    /// When the last authentic packet of an established session arrived.
    #[cfg(test)]
    pub(crate) fn last_heard(&self, id: SessionId) -> Option<Instant> {
        self.live(id).map(Live::heard)
    }

    fn on_cookie_response<E: Env>(&mut self, cx: &mut Cx<'_, 's, E>, frame: &Frame<'_>) -> Result<(), DropReason> {
        let mut result = Err(DropReason::Unsolicited);
        for index in 0..self.table.extent() {
            let Some(id) = self.table.id_at(index) else { continue };
            let Some(session) = self.table.get_mut(id).filter(|session| session.endpoint == frame.from) else {
                continue;
            };
            result = session.on_cookie_response(cx, frame.bytes());
            if result.is_ok() {
                self.touch(cx.now, id);
                break;
            }
        }
        result
    }

    fn on_handshake<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        frame: &mut Frame<'_>,
        accept: &mut dyn FnMut(&PublicKey) -> Option<usize>,
        relayed: bool,
    ) -> Result<Option<SessionNote>, DropReason> {
        let from = (!relayed).then_some(frame.from);
        let head = Handshake::parse(frame.bytes()).ok_or(DropReason::Malformed)?;
        let ticket = self.jar.open(cx, &head.cookie).inspect_err(|_| count(&mut cx.stats.cookies_refused))?;
        if ticket.peer == cx.me.long_term.public {
            return Err(DropReason::OwnPacket);
        }
        let known = self.find_peer(&ticket.peer);
        let owner = match known.and_then(|id| self.table.get(id)) {
            Some(session) if entry::age_of(&ticket) <= session.cookie_made => return Err(DropReason::Duplicate),
            Some(session) => session.owner as usize,
            None => accept(&ticket.peer).ok_or(DropReason::Stranger)?,
        };
        let text = handshake::open_handshake(cx, &ticket.peer, &head, frame)?;
        let half_open = match known.and_then(|id| Some((id, self.table.get_mut(id)?))) {
            Some((_, session)) if session.peer_session == entry::fingerprint(&text) => {
                return Err(DropReason::Duplicate);
            }
            Some((id, session)) if !matches!(session.state, State::Established(_)) => Some((id, session)),
            Some(_) | None => None,
        };
        let id = if let Some((id, session)) = half_open {
            session.on_handshake(cx, &ticket, &text, from)?;
            id
        } else {
            let mut session = Session::outgoing(owner, ticket.peer, ticket.dht, Opening::new(cx));
            session.on_handshake(cx, &ticket, &text, from)?;
            session.pending = Pending::Incoming;
            if let Some(old) = known.and_then(|old| self.table.get_mut(old)) {
                old.end(cx.blocks);
                self.notes = true;
            }
            self.insert(cx.blocks, session).map_err(|Full| DropReason::NoRoom)?
        };
        if !relayed {
            self.hints[hint(&frame.from)] = id.index() as u16;
        }
        self.touch(cx.now, id);
        Ok(None)
    }

    fn on_data<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        frame: &mut Frame<'_>,
    ) -> Result<Option<SessionNote>, DropReason> {
        let hinted = usize::from(self.hints[hint(&frame.from)]);
        let mut result = Err(DropReason::Unsolicited);
        for index in core::iter::once(hinted).chain((0..self.table.extent()).filter(|index| *index != hinted)) {
            let Some(id) = self.table.id_at(index) else { continue };
            let Some(session) = self.table.get_mut(id).filter(|session| session.endpoint == frame.from) else {
                continue;
            };
            match session.on_data(cx, frame.bytes_mut()) {
                Err(reason @ (DropReason::BadCrypto | DropReason::BadState)) => result = Err(reason),
                heard => return self.after_data(cx, id, Some(frame.from), heard),
            }
        }
        if result == Err(DropReason::Unsolicited) { self.on_stray(cx, frame) } else { result }
    }

    /// A data packet from an unknown address. When it opens, the peer has a new address (its NAT forgot the old one).
    fn on_stray<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        frame: &mut Frame<'_>,
    ) -> Result<Option<SessionNote>, DropReason> {
        if cx.now.reached(self.strays_at, STRAY_SPAN) {
            (self.strays, self.strays_at) = (STRAYS, cx.now);
        }
        if frame.len > DATA_LEN_MAX {
            return Err(DropReason::Malformed);
        }
        for index in 0..self.table.extent() {
            let Some(id) = self.table.id_at(index) else { continue };
            let Some(session) = self.table.get_mut(id).filter(|session| session.is_silent(cx.now, STRAY_SILENCE))
            else {
                continue;
            };
            self.strays = self.strays.checked_sub(1).ok_or(DropReason::RateLimited)?;
            let mut copy = [0; DATA_LEN_MAX];
            let packet = &mut copy[..frame.len];
            packet.copy_from_slice(frame.bytes());
            match session.on_data(cx, packet) {
                Err(DropReason::NoRoom) => return self.after_data(cx, id, Some(frame.from), Err(DropReason::NoRoom)),
                Err(_) => {}
                Ok(heard) => {
                    frame.bytes_mut().copy_from_slice(packet);
                    return self.after_data(cx, id, Some(frame.from), Ok(heard));
                }
            }
        }
        Err(DropReason::Unsolicited)
    }

    /// A packet of this session from `from`, or through a relay, has opened.
    fn after_data<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        id: SessionId,
        from: Option<Endpoint>,
        heard: Result<Heard, DropReason>,
    ) -> Result<Option<SessionNote>, DropReason> {
        self.starved |= matches!(heard, Err(DropReason::NoRoom));
        let Some(session) = self.table.get_mut(id) else { return Ok(None) };
        // What somebody held back, or sends again, moves nobody.
        let has_moved = from.is_some_and(|from| session.endpoint != from) && session.heard_newest();
        if let Some(from) = from {
            self.hints[hint(&from)] = id.index() as u16;
            if has_moved {
                session.endpoint = from;
            }
            let is_direct = session.endpoint == from && matches!(heard, Ok(_) | Err(DropReason::NoRoom));
            if is_direct && session.heard_direct(cx.now) {
                self.ways_changed = true;
            }
        }
        let owner = session.owner as usize;
        let note = match heard {
            Ok(Heard::Nothing) if has_moved && session.pending == Pending::Nothing => {
                Ok(Some(SessionNote::Moved { id, owner }))
            }
            Ok(Heard::Nothing) => Ok(None),
            // A note of a change of state goes first; a lossy packet may be lost.
            Ok(Heard::Lossy(_)) if session.pending != Pending::Nothing => Ok(None),
            Ok(Heard::Lossy(data)) => Ok(Some(SessionNote::Lossy { id, owner, data })),
            Ok(Heard::Kill) => {
                session.end(cx.blocks);
                Ok(None)
            }
            Err(reason) => Err(reason),
        };
        self.touch(cx.now, id);
        if self.starved && cx.blocks.room_to_receive() > 0 {
            self.wake = Instant::ZERO;
        }
        note
    }

    /// After each change of a session: its timers, its place in the queue and its notes are brought up to date.
    fn touch(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.table.get_mut(id) else { return };
        if let State::Established(live) = &mut session.state {
            live.settle(now);
            self.starved |= live.receive.is_refused();
        }
        let (at, why) = session.deadline();
        if at < self.wake {
            (self.wake, self.why) = (at, why);
        }
        self.notes |= session.pending != Pending::Nothing;
        let (has_packet, is_relayed) = (session.has_packet(now), session.waits_for_relay());
        if has_packet && is_relayed {
            session.ways.due = true;
            self.relay_due = true;
        }
        if has_packet && !is_relayed || session.ways.probe {
            self.queue.push(&mut self.table, id);
        }
    }

    /// Adds a session; a full table gives up one whose kill packet is not sent yet.
    fn insert(&mut self, blocks: &mut Blocks<'_>, session: Session) -> Result<SessionId, Full> {
        if self.table.is_full() {
            let closing = self.table.iter().find(|(_, session)| matches!(session.state, State::Closing(_)));
            let id = closing.map(|(id, _)| id).ok_or(Full)?;
            self.remove(blocks, id);
        }
        self.table.insert(session)
    }

    fn remove(&mut self, blocks: &mut Blocks<'_>, id: SessionId) {
        self.queue.remove(&mut self.table, id);
        if let Some(mut session) = self.table.remove(id) {
            session.clear(blocks);
        }
    }

    /// What the sessions know of a DHT key at an address.
    fn standing(&self, dht: &PublicKey, from: Endpoint) -> Option<Standing> {
        if self.table.values().any(|session| session.dht == *dht) {
            return Some(Standing::Known);
        }
        let near = self.table.values().any(|session| session.endpoint.ip() == from.ip());
        near.then_some(Standing::Near)
    }

    fn find_peer(&self, peer: &PublicKey) -> Option<SessionId> {
        self.table.iter().find(|(_, session)| session.is_open() && session.peer == *peer).map(|(id, _)| id)
    }

    fn live(&self, id: SessionId) -> Option<&Live> {
        self.table.get(id)?.established()
    }

    fn live_mut(&mut self, id: SessionId) -> Option<&mut Live> {
        match &mut self.table.get_mut(id)?.state {
            State::Established(live) => Some(live),
            State::CookieRequesting(_)
            | State::HandshakeSent(_)
            | State::NotConfirmed { .. }
            | State::Closing(_)
            | State::Drained(_)
            | State::Gone => None,
        }
    }
}

/// How many blocks one session may hold for sending.
fn send_share(blocks: &Blocks<'_>) -> usize {
    ((blocks.capacity() - blocks.share()) * 3 / 4).max(2)
}

/// Whether `parts` are a content of this range of ids.
fn is_content(parts: &[&[u8]], ids: &core::ops::RangeInclusive<u8>) -> bool {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let id = parts.iter().find_map(|part| part.first());
    len <= CONTENT_LEN_MAX && id.is_some_and(|id| ids.contains(id))
}

/// The place of an address among the hints. A collision costs a scan, so no secret is needed.
fn hint(endpoint: &Endpoint) -> usize {
    let sum = |bytes: &[u8]| bytes.iter().fold(endpoint.port(), |sum, byte| sum.rotate_left(3) ^ u16::from(*byte));
    let sum = match endpoint.ip() {
        core::net::IpAddr::V4(ip) => sum(&ip.octets()),
        core::net::IpAddr::V6(ip) => sum(&ip.octets()),
    };
    usize::from(sum ^ sum >> 8) % HINTS
}

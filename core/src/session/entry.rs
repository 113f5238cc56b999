//! One entry of the table of sessions: a peer, and how far we are with it.

use super::cipher::Cipher;
use super::cookie::CookieJar;
use super::handshake::Opening;
use super::live::Live;
use super::ways::Ways;
use crate::crypto::PublicKey;
use crate::stats::count;
use crate::storage::Blocks;
use crate::time::{Instant, Why};
use crate::wire::session::{CookieText, DataText, HandshakeText, content};
use crate::{DropReason, Endpoint, Env, cx::Cx};
use core::time::Duration;

/// A session with one peer.
#[derive(Debug)]
pub(crate) struct Session {
    /// What the owner is to be told.
    pub(super) pending: Pending,
    /// Whether it stands in the queue of those that have something to send, and who comes after it (place + 1).
    pub(super) is_queued: bool,
    pub(super) queue_next: u16,
    pub(super) owner: u32,
    pub(super) peer: PublicKey,
    pub(super) dht: PublicKey,
    pub(super) endpoint: Endpoint,
    pub(super) ways: Ways,
    /// Time in the cookie of the peer's handshake, 0 before it: older handshakes are replays.
    pub(super) cookie_made: u64,
    /// Eight bytes of the peer's session key: the same handshake again is recognised by it.
    pub(super) peer_session: u64,
    pub(super) state: State,
}

/// A note that waits to be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    Nothing,
    Incoming,
    Established,
    Closed,
}

/// How far we are.
#[derive(Debug)]
pub(crate) enum State {
    /// We ask for a cookie, or wait for an address to ask at.
    CookieRequesting(Opening),
    /// We send our handshake and have none of the peer's.
    HandshakeSent(Opening),
    /// Both handshakes are there, but no packet has opened yet. With each handshake of ours goes a request packet, and
    /// one more when `confirm` is set.
    NotConfirmed { opening: Opening, cipher: Cipher, confirm: bool },
    /// Packets flow.
    Established(Live),
    /// We have closed it; the kill packet is still to be sent.
    Closing(Live),
    /// The peer has ended it, but not all that arrived is read.
    Drained(Live),
    /// It is over; the owner does not know yet.
    Gone,
}

impl Session {
    /// A session that we open: it waits for an address.
    pub(crate) fn outgoing(owner: usize, peer: PublicKey, dht: PublicKey, opening: Opening) -> Self {
        Self {
            pending: Pending::Nothing,
            is_queued: false,
            queue_next: 0,
            owner: owner as u32,
            peer,
            dht,
            endpoint: Endpoint::UNSPECIFIED,
            ways: Ways::NEW,
            cookie_made: 0,
            peer_session: 0,
            state: State::CookieRequesting(opening),
        }
    }

    /// A cookie came in answer to our request.
    pub(crate) fn on_cookie_response<E: Env>(
        &mut self,
        cx: &mut Cx<'_, '_, E>,
        packet: &[u8],
    ) -> Result<(), DropReason> {
        match &self.state {
            State::CookieRequesting(opening) => {
                let cookie = opening.open_cookie_response(cx, &self.dht, packet)?;
                if let State::CookieRequesting(mut opening) = core::mem::replace(&mut self.state, State::Gone) {
                    opening.use_cookie(cx.now, cookie);
                    self.state = State::HandshakeSent(opening);
                }
                Ok(())
            }
            State::HandshakeSent(_)
            | State::NotConfirmed { .. }
            | State::Established(_)
            | State::Closing(_)
            | State::Drained(_)
            | State::Gone => Err(DropReason::BadState),
        }
    }

    /// A valid handshake of the peer, new to us, from `from`, or through a relay. The owner hears of it when it changes
    /// the peer's DHT key.
    pub(crate) fn on_handshake<E: Env>(
        &mut self,
        cx: &mut Cx<'_, '_, E>,
        ticket: &CookieText,
        text: &HandshakeText,
        from: Option<Endpoint>,
    ) -> Result<(), DropReason> {
        let (State::CookieRequesting(half) | State::HandshakeSent(half) | State::NotConfirmed { opening: half, .. }) =
            &self.state
        else {
            return Err(DropReason::BadState);
        };
        let key = cx.agree(half.secret(), &text.session).ok_or(DropReason::BadCrypto)?;
        let cipher = Cipher::new(key, half.nonce(), text.base_nonce);
        let is_elsewhere = self.dht != ticket.dht || from.is_some_and(|from| self.endpoint != from);
        if self.dht != ticket.dht {
            self.pending = Pending::Incoming;
        }
        (self.dht, self.endpoint) = (ticket.dht, from.unwrap_or(self.endpoint));
        self.ways.shaken(from.is_none());
        (self.cookie_made, self.peer_session) = (age_of(ticket), fingerprint(text));
        let opening = match core::mem::replace(&mut self.state, State::Gone) {
            State::HandshakeSent(opening) if !is_elsewhere => opening,
            State::CookieRequesting(mut opening)
            | State::HandshakeSent(mut opening)
            | State::NotConfirmed { mut opening, .. } => {
                opening.use_cookie(cx.now, text.cookie);
                opening
            }
            State::Established(_) | State::Closing(_) | State::Drained(_) | State::Gone => return Ok(()),
        };
        self.state = State::NotConfirmed { opening, cipher, confirm: true };
        Ok(())
    }

    /// A data packet (0x1b), opened in place.
    pub(crate) fn on_data<E: Env>(
        &mut self,
        cx: &mut Cx<'_, '_, E>,
        packet: &mut [u8],
    ) -> Result<super::live::Heard, DropReason> {
        let age = match &mut self.state {
            State::NotConfirmed { cipher, .. } => cipher.open(cx.suite, packet)?,
            State::Established(live) => live.open(cx.suite, packet)?,
            State::CookieRequesting(_)
            | State::HandshakeSent(_)
            | State::Closing(_)
            | State::Drained(_)
            | State::Gone => return Err(DropReason::BadState),
        };
        if matches!(self.state, State::NotConfirmed { .. })
            && let State::NotConfirmed { opening, cipher, .. } = core::mem::replace(&mut self.state, State::Gone)
        {
            self.state = State::Established(Live::new(cx.now, cipher, opening.round_trip(cx.now)));
            self.pending = Pending::Established;
            count(&mut cx.stats.sessions_opened);
        }
        match &mut self.state {
            State::Established(live) => live.on_packet(cx.now, cx.blocks, age, packet),
            State::CookieRequesting(_)
            | State::HandshakeSent(_)
            | State::NotConfirmed { .. }
            | State::Closing(_)
            | State::Drained(_)
            | State::Gone => Err(DropReason::BadState),
        }
    }

    /// The session ends by the peer's will, by silence or by vain tries. What was received in order can still be read.
    pub(crate) fn end(&mut self, blocks: &mut Blocks<'_>) {
        self.state = match core::mem::replace(&mut self.state, State::Gone) {
            State::Established(mut live) => {
                live.send.clear(blocks);
                live.receive.clear_early(blocks);
                if live.receive.has_unread() { State::Drained(live) } else { State::Gone }
            }
            State::Drained(live) if live.receive.has_unread() => State::Drained(live),
            State::Closing(mut live) | State::Drained(mut live) => {
                live.clear(blocks);
                State::Gone
            }
            State::CookieRequesting(_) | State::HandshakeSent(_) | State::NotConfirmed { .. } | State::Gone => {
                State::Gone
            }
        };
        if matches!(self.state, State::Gone) {
            self.pending = Pending::Closed;
        }
    }

    /// Gives all blocks back.
    pub(crate) fn clear(&mut self, blocks: &mut Blocks<'_>) {
        match &mut self.state {
            State::Established(live) | State::Closing(live) | State::Drained(live) => live.clear(blocks),
            State::CookieRequesting(_) | State::HandshakeSent(_) | State::NotConfirmed { .. } | State::Gone => {}
        }
    }

    /// Writes the next packet to the peer's address, if there is one.
    pub(crate) fn encode<E: Env>(&mut self, cx: &mut Cx<'_, '_, E>, jar: &CookieJar, buf: &mut [u8]) -> Option<usize> {
        let keys = (self.peer, self.dht);
        let has_address = self.endpoint.is_usable();
        let is_relayed = E::RELAYS && self.is_relayed();
        match &mut self.state {
            State::CookieRequesting(opening) if opening.is_due(cx.now) => {
                self.ways.open(opening.tries(), has_address);
                opening.begin_try(cx.now, cx.stats);
                opening.encode_cookie_request(cx, &self.dht, buf)
            }
            State::HandshakeSent(opening) if opening.is_due(cx.now) => {
                self.ways.open(opening.tries(), has_address);
                opening.begin_try(cx.now, cx.stats);
                opening.encode_handshake(cx, jar, keys, opening.nonce(), buf)
            }
            State::NotConfirmed { opening, cipher, confirm } if opening.is_due(cx.now) => {
                self.ways.open(opening.tries(), has_address);
                *confirm = true;
                opening.begin_try(cx.now, cx.stats);
                opening.encode_handshake(cx, jar, keys, cipher.send_nonce(), buf)
            }
            State::NotConfirmed { opening, cipher, confirm } if *confirm => {
                *confirm = false;
                self.ways.open(opening.tries(), has_address);
                Some(seal_confirmation(cx, cipher, buf))
            }
            State::Established(live) if is_relayed => {
                core::mem::take(&mut self.ways.probe).then(|| live.encode_probe(cx, buf))
            }
            State::Established(live) => live.encode(cx, buf),
            State::Closing(_) if is_relayed => None,
            State::Closing(live) => {
                let len = live.encode_kill(cx.suite, buf);
                self.state = State::Gone;
                Some(len)
            }
            State::CookieRequesting(_)
            | State::HandshakeSent(_)
            | State::NotConfirmed { .. }
            | State::Drained(_)
            | State::Gone => None,
        }
    }

    /// Writes the next packet for a relay that has had `step` packets of this opening.
    pub(crate) fn encode_relayed<E: Env>(
        &mut self,
        cx: &mut Cx<'_, '_, E>,
        jar: &CookieJar,
        step: u8,
        oob: bool,
        buf: &mut [u8],
    ) -> Option<usize> {
        let keys = (self.peer, self.dht);
        let is_relayed = self.is_relayed() && !oob;
        match (&mut self.state, step) {
            (State::CookieRequesting(opening), 0) => opening.encode_cookie_request(cx, &self.dht, buf),
            (State::HandshakeSent(opening), 0) => opening.encode_handshake(cx, jar, keys, opening.nonce(), buf),
            (State::NotConfirmed { opening, cipher, .. }, 0) => {
                opening.encode_handshake(cx, jar, keys, cipher.send_nonce(), buf)
            }
            (State::NotConfirmed { cipher, .. }, 1) => Some(seal_confirmation(cx, cipher, buf)),
            (State::Established(live), _) if is_relayed => live.encode(cx, buf),
            (State::Closing(live), _) if is_relayed => {
                let len = live.encode_kill(cx.suite, buf);
                self.state = State::Gone;
                Some(len)
            }
            (
                State::CookieRequesting(_)
                | State::HandshakeSent(_)
                | State::NotConfirmed { .. }
                | State::Established(_)
                | State::Closing(_)
                | State::Drained(_)
                | State::Gone,
                _,
            ) => None,
        }
    }

    /// Whether packets of the session, once it is open, go through a relay.
    pub(crate) fn is_relayed(&self) -> bool {
        self.ways.is_relayed(self.endpoint.is_usable())
    }

    /// Whether what the session has to say goes through a relay alone.
    pub(crate) fn waits_for_relay(&self) -> bool {
        match self.state {
            State::Established(_) | State::Closing(_) => self.is_relayed(),
            State::CookieRequesting(_)
            | State::HandshakeSent(_)
            | State::NotConfirmed { .. }
            | State::Drained(_)
            | State::Gone => false,
        }
    }

    /// An authentic packet came directly. True when that is news: then the peer is told at once that it was heard.
    pub(crate) fn heard_direct(&mut self, now: Instant) -> bool {
        let is_news = self.ways.heard_direct(now);
        if let State::Established(live) = &mut self.state
            && is_news
        {
            live.answer();
        }
        is_news
    }

    /// An authentic packet came through a relay. True when the direct way is doubted from now on.
    pub(crate) fn heard_relayed(&mut self, now: Instant) -> bool {
        let is_news = self.ways.heard_relayed(now);
        if let State::Established(live) = &mut self.state
            && is_news
        {
            live.send.way_changed(now);
        }
        is_news
    }

    /// It is over, and nobody needs to hear of it any more.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Gone) && self.pending == Pending::Nothing
    }

    /// Whether [`Self::encode`] would give something, or [`Self::encode_relayed`] if the session is open and relayed.
    pub(crate) fn has_packet(&self, now: Instant) -> bool {
        match &self.state {
            State::CookieRequesting(opening) | State::HandshakeSent(opening) => opening.is_due(now),
            State::NotConfirmed { opening, confirm, .. } => *confirm || opening.is_due(now),
            State::Established(live) => live.has_packet(),
            State::Closing(_) => true,
            State::Drained(_) | State::Gone => false,
        }
    }

    /// Acts on timers that are due. True when the direct way is doubted from now on.
    pub(crate) fn on_timeout(&mut self, now: Instant, blocks: &mut Blocks<'_>) -> bool {
        let mut doubted = false;
        let goes_on = match &mut self.state {
            State::CookieRequesting(opening) | State::HandshakeSent(opening) | State::NotConfirmed { opening, .. } => {
                !opening.has_failed(now)
            }
            State::Established(live) => {
                doubted = self.ways.on_timeout(now, live, self.endpoint.is_usable());
                if doubted {
                    live.send.way_changed(now);
                }
                live.on_timeout(now, blocks)
            }
            State::Drained(live) => live.receive.has_unread(),
            State::Closing(_) | State::Gone => true,
        };
        if !goes_on {
            self.end(blocks);
        }
        doubted
    }

    /// When [`Self::on_timeout`] or [`Self::encode`] has something to do, apart from what it has to do now.
    pub(crate) fn deadline(&self) -> (Instant, Why) {
        match &self.state {
            State::CookieRequesting(opening) | State::HandshakeSent(opening) | State::NotConfirmed { opening, .. } => {
                (opening.deadline(), Why::SessionHandshake)
            }
            State::Established(live) => {
                let ways = (self.ways.deadline(live, self.endpoint.is_usable()), Why::SessionTimeout);
                let live = live.deadline();
                if ways.0 < live.0 { ways } else { live }
            }
            State::Closing(_) | State::Drained(_) | State::Gone => (Instant::FAR, Why::SessionTimeout),
        }
    }

    /// Keys, windows and timers while it is established.
    pub(crate) const fn established(&self) -> Option<&Live> {
        match &self.state {
            State::Established(live) => Some(live),
            State::CookieRequesting(_)
            | State::HandshakeSent(_)
            | State::NotConfirmed { .. }
            | State::Closing(_)
            | State::Drained(_)
            | State::Gone => None,
        }
    }

    /// The peer is sent something at once, and then all tries again.
    pub(crate) fn probe(&mut self, now: Instant) {
        self.ways.moved(now);
        match &mut self.state {
            State::CookieRequesting(opening) | State::HandshakeSent(opening) | State::NotConfirmed { opening, .. } => {
                // Without an address there is nobody to be sent to.
                if self.endpoint.is_usable() {
                    opening.restart(now);
                }
            }
            State::Established(live) => {
                live.probe(now);
                self.ways.set_adrift();
            }
            State::Closing(_) | State::Drained(_) | State::Gone => {}
        }
    }

    /// Whether the packet heard last was sent after all others: where it came from, the peer is now.
    pub(crate) fn heard_newest(&self) -> bool {
        self.established().is_some_and(Live::heard_newest)
    }

    /// Whether it is established, but nothing was heard directly for `span`.
    pub(crate) fn is_silent(&self, now: Instant, span: Duration) -> bool {
        self.established().is_some() && now.reached(self.ways.heard(), span)
    }

    /// Whether it stands for its peer: opening or open.
    pub(crate) const fn is_open(&self) -> bool {
        match self.state {
            State::CookieRequesting(_)
            | State::HandshakeSent(_)
            | State::NotConfirmed { .. }
            | State::Established(_) => true,
            State::Closing(_) | State::Drained(_) | State::Gone => false,
        }
    }
}

/// The packet that confirms a handshake.
fn seal_confirmation<E: Env>(cx: &Cx<'_, '_, E>, cipher: &mut Cipher, buf: &mut [u8]) -> usize {
    let text = DataText { recv_start: 0, number: 0, content: &[content::REQUEST] };
    cipher.seal(cx.suite, &text, buf)
}

/// The value of `cookie_made` for a handshake.
pub(crate) const fn age_of(ticket: &CookieText) -> u64 {
    ticket.made.saturating_add(1)
}

/// The value of `peer_session` for a handshake.
pub(crate) fn fingerprint(text: &HandshakeText) -> u64 {
    text.session.0.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

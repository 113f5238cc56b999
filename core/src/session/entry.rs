//! One entry of the table of sessions: a peer, and how far we are with it.

use super::cipher::Cipher;
use super::cookie::CookieJar;
use super::handshake::Opening;
use super::live::Live;
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

    /// A valid handshake of the peer, new to us, from `from`. The owner hears of it when it changes the peer's DHT key.
    pub(crate) fn on_handshake<E: Env>(
        &mut self,
        cx: &mut Cx<'_, '_, E>,
        ticket: &CookieText,
        text: &HandshakeText,
        from: Endpoint,
    ) -> Result<(), DropReason> {
        let (State::CookieRequesting(half) | State::HandshakeSent(half) | State::NotConfirmed { opening: half, .. }) =
            &self.state
        else {
            return Err(DropReason::BadState);
        };
        let key = cx.agree(half.secret(), &text.session).ok_or(DropReason::BadCrypto)?;
        let cipher = Cipher::new(key, half.nonce(), text.base_nonce);
        let is_elsewhere = self.dht != ticket.dht || self.endpoint != from;
        if self.dht != ticket.dht {
            self.pending = Pending::Incoming;
        }
        (self.dht, self.endpoint) = (ticket.dht, from);
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

    /// Writes the next packet, if there is one.
    pub(crate) fn encode<E: Env>(&mut self, cx: &mut Cx<'_, '_, E>, jar: &CookieJar, buf: &mut [u8]) -> Option<usize> {
        let keys = (self.peer, self.dht);
        match &mut self.state {
            State::CookieRequesting(opening) if opening.is_due(cx.now) => {
                opening.encode_cookie_request(cx, &self.dht, buf)
            }
            State::HandshakeSent(opening) if opening.is_due(cx.now) => {
                let nonce = opening.nonce();
                opening.encode_handshake(cx, jar, keys, nonce, buf)
            }
            State::NotConfirmed { opening, cipher, confirm } if opening.is_due(cx.now) => {
                *confirm = true;
                opening.encode_handshake(cx, jar, keys, cipher.send_nonce(), buf)
            }
            State::NotConfirmed { cipher, confirm, .. } if *confirm => {
                *confirm = false;
                let text = DataText { recv_start: 0, number: 0, content: &[content::REQUEST] };
                Some(cipher.seal(cx.suite, &text, buf))
            }
            State::Established(live) => live.encode(cx, buf),
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

    /// Whether [`Self::encode`] would give something.
    pub(crate) fn has_packet(&self, now: Instant) -> bool {
        match &self.state {
            State::CookieRequesting(opening) | State::HandshakeSent(opening) => opening.is_due(now),
            State::NotConfirmed { opening, confirm, .. } => *confirm || opening.is_due(now),
            State::Established(live) => live.has_packet(),
            State::Closing(_) => true,
            State::Drained(_) | State::Gone => false,
        }
    }

    /// Acts on timers that are due.
    pub(crate) fn on_timeout(&mut self, now: Instant, blocks: &mut Blocks<'_>) {
        let goes_on = match &mut self.state {
            State::CookieRequesting(opening) | State::HandshakeSent(opening) | State::NotConfirmed { opening, .. } => {
                !opening.has_failed(now)
            }
            State::Established(live) => live.on_timeout(now, blocks),
            State::Drained(live) => live.receive.has_unread(),
            State::Closing(_) | State::Gone => true,
        };
        if !goes_on {
            self.end(blocks);
        }
    }

    /// When [`Self::on_timeout`] or [`Self::encode`] has something to do, apart from what it has to do now.
    pub(crate) fn deadline(&self) -> (Instant, Why) {
        match &self.state {
            State::CookieRequesting(opening) | State::HandshakeSent(opening) | State::NotConfirmed { opening, .. } => {
                (opening.deadline(), Why::SessionHandshake)
            }
            State::Established(live) => live.deadline(),
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
        if !self.endpoint.is_usable() {
            return;
        }
        match &mut self.state {
            State::CookieRequesting(opening) | State::HandshakeSent(opening) | State::NotConfirmed { opening, .. } => {
                opening.restart(now);
            }
            State::Established(live) => live.probe(now),
            State::Closing(_) | State::Drained(_) | State::Gone => {}
        }
    }

    /// Whether the packet heard last was sent after all others: where it came from, the peer is now.
    pub(crate) fn heard_newest(&self) -> bool {
        self.established().is_some_and(Live::heard_newest)
    }

    /// Whether it is established, but nothing was heard for `span`.
    pub(crate) fn is_silent(&self, now: Instant, span: Duration) -> bool {
        self.established().is_some_and(|live| now.reached(live.heard(), span))
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

/// The value of `cookie_made` for a handshake.
pub(crate) const fn age_of(ticket: &CookieText) -> u64 {
    ticket.made.saturating_add(1)
}

/// The value of `peer_session` for a handshake.
pub(crate) fn fingerprint(text: &HandshakeText) -> u64 {
    text.session.0.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

//! Sessions whose packets go through relays. The owner knows the relays; here is what goes to them and comes from them.

use super::cookie::{Asked, CookieJar};
use super::entry::State;
use super::{Session, SessionId, SessionNote, Sessions};
use crate::budget::Standing;
use crate::crypto::PublicKey;
use crate::cx::{Cx, Env};
use crate::relay::Reach;
use crate::time::Instant;
use crate::wire::kind;
use crate::{Disposition, DropReason, Endpoint, Frame};

/// A session that has something to say through a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Relayed {
    pub(crate) owner: usize,
    /// It is not open yet: the packet is to go to all relays.
    pub(crate) opening: bool,
    /// Nothing has been acknowledged or heard for long: another relay may be better, this one may be gone.
    pub(crate) stalled: bool,
}

impl<'s> Sessions<'s> {
    /// How relays reach the peer.
    pub(crate) fn set_reach(&mut self, now: Instant, id: SessionId, reach: Reach) {
        let Some(session) = self.table.get_mut(id) else { return };
        let is_news = session.ways.set_reach(reach);
        if let State::Established(live) = &mut session.state
            && let Some(patience) = session.ways.take_adrift(live.send.rtt().min())
        {
            live.expect_sign(now, patience);
        }
        if let State::CookieRequesting(opening) = &mut session.state
            && reach != Reach::None
            && opening.is_waiting()
        {
            opening.restart(now);
        }
        if is_news {
            if session.is_relayed()
                && let State::Established(live) = &mut session.state
            {
                live.send.way_changed(now);
            }
            self.touch(now, id);
        }
    }

    /// Whether the session's packets go through a relay.
    pub(crate) fn is_relayed(&self, id: SessionId) -> bool {
        self.table.get(id).is_some_and(|session| session.established().is_some() && session.is_relayed())
    }

    /// Whether the peer was heard directly not long ago.
    pub(crate) fn is_direct(&self, id: SessionId) -> bool {
        self.table.get(id).is_some_and(|session| session.established().is_some() && session.ways.is_direct())
    }

    /// The peer's address, if it was heard there.
    pub(crate) fn address(&self, id: SessionId) -> Option<Endpoint> {
        let heard = |session: &&Session| session.endpoint.is_usable() && session.ways.heard() != Instant::ZERO;
        self.table.get(id).filter(heard).map(|session| session.endpoint)
    }

    /// Whether the ways of any session have changed since the last call.
    pub(crate) fn take_ways_changed(&mut self) -> bool {
        core::mem::take(&mut self.ways_changed)
    }

    /// A packet of kind 0x19, 0x1a or 0x1b through a relay, for this session if it is one of ours.
    pub(crate) fn on_relayed<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        frame: &mut Frame<'_>,
        id: Option<SessionId>,
        accept: &mut dyn FnMut(&PublicKey) -> Option<usize>,
    ) -> (Disposition, Option<SessionNote>) {
        let result = match (frame.bytes().first(), id) {
            (Some(&kind::CRYPTO_HANDSHAKE), _) => self.on_handshake(cx, frame, accept, true),
            (Some(&kind::COOKIE_RESPONSE), Some(id)) => self.on_relayed_cookie(cx, frame, id).map(|()| None),
            (Some(&kind::CRYPTO_DATA), Some(id)) => self.on_relayed_data(cx, frame, id),
            (Some(&(kind::COOKIE_RESPONSE | kind::CRYPTO_DATA)), None) => Err(DropReason::Unsolicited),
            (Some(_) | None, _) => Err(DropReason::UnknownKind),
        };
        match result {
            Ok(note) => (Disposition::Consumed, note),
            Err(reason) => (Disposition::Dropped(reason), None),
        }
    }

    fn on_relayed_cookie<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        frame: &Frame<'_>,
        id: SessionId,
    ) -> Result<(), DropReason> {
        let session = self.table.get_mut(id).ok_or(DropReason::Unsolicited)?;
        session.on_cookie_response(cx, frame.bytes())?;
        session.ways.shaken(true);
        self.touch(cx.now, id);
        Ok(())
    }

    fn on_relayed_data<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        frame: &mut Frame<'_>,
        id: SessionId,
    ) -> Result<Option<SessionNote>, DropReason> {
        let session = self.table.get_mut(id).ok_or(DropReason::Unsolicited)?;
        let heard = session.on_data(cx, frame.bytes_mut());
        if matches!(heard, Err(DropReason::BadCrypto | DropReason::BadState)) {
            return heard.map(|_| None);
        }
        if matches!(heard, Ok(_) | Err(DropReason::NoRoom)) {
            self.ways_changed |= session.heard_relayed(cx.now);
        }
        self.after_data(cx, id, None, heard)
    }

    /// Who asks for a cookie through a relay. It is answered with [`encode_cookie`](Self::encode_cookie).
    pub(crate) fn on_cookie_request<E: Env>(
        &self,
        cx: &mut Cx<'_, 's, E>,
        frame: &mut Frame<'_>,
    ) -> Result<Asked, DropReason> {
        let from = frame.from;
        CookieJar::open_request(cx, frame, |dht| self.standing(dht, from).unwrap_or(Standing::Near))
    }

    /// Writes the answer to a cookie request.
    pub(crate) fn encode_cookie<E: Env>(&self, cx: &mut Cx<'_, 's, E>, asked: &Asked, buf: &mut [u8]) -> Option<usize> {
        self.jar.respond(cx, asked, buf).ok()
    }

    /// The next session that has something to say through a relay, once.
    pub(crate) fn next_relayed(&mut self, now: Instant) -> Option<Relayed> {
        if !self.relay_due {
            return None;
        }
        let due = self.table.values_mut().find(|session| session.ways.due);
        self.relay_due = due.is_some();
        let session = due?;
        session.ways.due = false;
        let (opening, stalled) = match &session.state {
            State::CookieRequesting(_) | State::HandshakeSent(_) | State::NotConfirmed { .. } => (true, false),
            State::Established(live) => (false, live.send.is_stalled() || !live.was_heard(now)),
            State::Closing(_) | State::Drained(_) | State::Gone => (false, false),
        };
        Some(Relayed { owner: session.owner as usize, opening, stalled })
    }

    /// Writes the next packet of the owner's session for a relay that has had `step` packets since the session told
    /// that there is something. Out-of-band (`oob`) only a session that opens is heard.
    pub(crate) fn encode_relayed<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        owner: usize,
        open: Option<SessionId>,
        (step, oob): (u8, bool),
        buf: &mut [u8],
    ) -> Option<usize> {
        let closing = || {
            let ended = |session: &Session| matches!(session.state, State::Closing(_));
            self.table.iter().find(|(_, session)| session.owner as usize == owner && ended(session)).map(|(id, _)| id)
        };
        let id = open.or_else(closing)?;
        let session = self.table.get_mut(id)?;
        let len = session.encode_relayed(cx, &self.jar, step, oob, buf);
        if session.is_over() {
            self.remove(cx.blocks, id);
        } else {
            session.ways.due = false;
            self.touch(cx.now, id);
            // Whoever asked asks on until there is nothing.
            if let Some(session) = self.table.get_mut(id).filter(|_| len.is_some()) {
                session.ways.due = false;
            }
        }
        len
    }
}

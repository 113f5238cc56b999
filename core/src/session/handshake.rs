//! How two parties agree on the keys of a session.
//!
//! We ask the peer's DHT key for a cookie, put the cookie into a handshake, and get a handshake in return, which is
//! built from the cookie that ours carries inside. Both may begin at once: each side's session key and base nonce are
//! made once per session and stand in each handshake of it, so either pair of handshakes leads to the same keys. The
//! first data packet that opens confirms the session. What goes unanswered is repeated, quickly at first.

use super::cookie::CookieJar;
use crate::budget::Standing;
use crate::crypto::{MAC_LEN, Nonce, PublicKey, SecretKey, Suite, ct_eq, sha512};
use crate::stats::{Stats, count};
use crate::storage::Whose;
use crate::time::Instant;
use crate::wire::session::{
    COOKIE_LEN, COOKIE_REQUEST_BOX, COOKIE_REQUEST_LEN, COOKIE_REQUEST_TEXT, COOKIE_RESPONSE_BOX, COOKIE_RESPONSE_LEN,
    CookieRequest, CookieRequestText, CookieResponse, CookieResponseText, HANDSHAKE_BOX, HANDSHAKE_LEN, HANDSHAKE_TEXT,
    Handshake, HandshakeText,
};
use crate::{DropReason, Env, Frame, cx::Cx};
use core::time::Duration;
use rand_core::Rng;

/// Pauses after the first, second and each later try. toxcore answers ten cookie requests per second at most, to all.
const PAUSES: [Duration; 3] = [Duration::from_millis(150), Duration::from_millis(400), Duration::from_secs(1)];
/// After so many tries in vain the peer is not there.
const TRIES: u8 = 10;

/// What we bring to the handshakes of one session.
#[derive(Debug)]
pub(crate) struct Opening {
    secret: SecretKey,
    nonce: Nonce,
    /// The peer's cookie for our handshake; zeros until it is there.
    cookie: [u8; COOKIE_LEN],
    /// Number in our cookie requests.
    echo: u32,
    /// When the cookie request or handshake goes out again; `FAR` while there is no address.
    at: Instant,
    sent_at: Instant,
    tries: u8,
}

impl Opening {
    /// With fresh keys; nothing is sent before [`Self::restart`].
    pub(crate) fn new<E: Env>(cx: &mut Cx<'_, '_, E>) -> Self {
        Self {
            secret: SecretKey::generate(cx.rng),
            nonce: cx.nonce(),
            cookie: [0; COOKIE_LEN],
            echo: cx.rng.next_u32(),
            at: Instant::FAR,
            sent_at: Instant::ZERO,
            tries: 0,
        }
    }

    /// Sends at once, and then all tries again.
    pub(crate) const fn restart(&mut self, now: Instant) {
        (self.tries, self.at) = (0, now);
    }

    /// The same to a new address; a peer whose address flickers is not flooded.
    pub(crate) fn redirect(&mut self, now: Instant) {
        (self.tries, self.at) = (0, now.max(self.sent_at + PAUSES[0]));
    }

    /// The handshake with this cookie is the next to be sent.
    pub(crate) const fn use_cookie(&mut self, now: Instant, cookie: [u8; COOKIE_LEN]) {
        self.cookie = cookie;
        self.restart(now);
    }

    pub(crate) const fn secret(&self) -> &SecretKey {
        &self.secret
    }

    pub(crate) const fn nonce(&self) -> Nonce {
        self.nonce
    }

    pub(crate) const fn deadline(&self) -> Instant {
        self.at
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.at && self.tries < TRIES
    }

    /// The address that the cookie came from answers no more.
    pub(crate) const fn is_stuck(&self) -> bool {
        self.tries as usize >= PAUSES.len()
    }

    pub(crate) fn has_failed(&self, now: Instant) -> bool {
        now >= self.at && self.tries >= TRIES
    }

    /// How long the answer to our only handshake took.
    pub(crate) fn round_trip(&self, now: Instant) -> Option<Duration> {
        (self.tries == 1).then(|| now.since(self.sent_at))
    }

    /// What is due goes out.
    pub(crate) fn begin_try(&mut self, now: Instant, stats: &mut Stats) {
        if self.tries > 0 {
            count(&mut stats.handshakes_repeated);
        }
        let pause = PAUSES[usize::from(self.tries).min(PAUSES.len() - 1)];
        self.tries += 1;
        (self.sent_at, self.at) = (now, now + pause);
    }

    /// How often it went out.
    pub(crate) const fn tries(&self) -> u8 {
        self.tries
    }

    /// There is no address yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.at == Instant::FAR
    }

    /// Writes a cookie request (0x18) to the peer's DHT key.
    pub(crate) fn encode_cookie_request<E: Env>(
        &self,
        cx: &mut Cx<'_, '_, E>,
        dht: &PublicKey,
        buf: &mut [u8],
    ) -> Option<usize> {
        let nonce = cx.nonce();
        let packet = &mut buf[..COOKIE_REQUEST_LEN];
        CookieRequest { dht: cx.me.dht.public, nonce }.emit(packet);
        let text = CookieRequestText { peer: cx.me.long_term.public, echo: self.echo.into() };
        text.emit(&mut packet[COOKIE_REQUEST_TEXT..]);
        let sealed = cx.seal(Whose::Dht, dht, &nonce, &mut packet[COOKIE_REQUEST_BOX..]);
        sealed.is_ok().then_some(COOKIE_REQUEST_LEN)
    }

    /// Reads a cookie response (0x19) to our cookie request.
    pub(crate) fn open_cookie_response<E: Env>(
        &self,
        cx: &mut Cx<'_, '_, E>,
        dht: &PublicKey,
        packet: &[u8],
    ) -> Result<[u8; COOKIE_LEN], DropReason> {
        let head = CookieResponse::parse(packet).ok_or(DropReason::Malformed)?;
        let mut boxed = [0; COOKIE_RESPONSE_LEN - COOKIE_RESPONSE_BOX];
        boxed.copy_from_slice(&packet[COOKIE_RESPONSE_BOX..]);
        cx.open(Whose::Dht, dht, &head.nonce, &mut boxed)?;
        let text = CookieResponseText::parse(&boxed[MAC_LEN..]).ok_or(DropReason::Malformed)?;
        if text.echo == u64::from(self.echo) { Ok(text.cookie) } else { Err(DropReason::Unsolicited) }
    }

    /// Writes a handshake (0x1a) for the peer with the keys `peer` and `dht`.
    pub(crate) fn encode_handshake<E: Env>(
        &self,
        cx: &mut Cx<'_, '_, E>,
        jar: &CookieJar,
        (peer, dht): (PublicKey, PublicKey),
        base_nonce: Nonce,
        buf: &mut [u8],
    ) -> Option<usize> {
        let (nonce, cookie) = (cx.nonce(), jar.make(cx, peer, dht));
        let packet = &mut buf[..HANDSHAKE_LEN];
        Handshake { cookie: self.cookie, nonce }.emit(packet);
        let session = cx.suite.public_key(&self.secret);
        let text = HandshakeText { base_nonce, session, cookie_hash: sha512(&self.cookie), cookie };
        text.emit(&mut packet[HANDSHAKE_TEXT..]);
        let sealed = cx.seal(Whose::LongTerm, &peer, &nonce, &mut packet[HANDSHAKE_BOX..]);
        sealed.is_ok().then_some(HANDSHAKE_LEN)
    }
}

/// Opens the box of a handshake whose cookie names `peer`, and checks that the cookie belongs to it.
pub(crate) fn open_handshake<E: Env>(
    cx: &mut Cx<'_, '_, E>,
    peer: &PublicKey,
    head: &Handshake,
    frame: &mut Frame<'_>,
) -> Result<HandshakeText, DropReason> {
    // A cookie names whom it likes, but not a stranger.
    cx.admit_box(Whose::LongTerm, peer, frame.from, || Standing::Known)?;
    let packet = frame.bytes_mut();
    cx.open(Whose::LongTerm, peer, &head.nonce, &mut packet[HANDSHAKE_BOX..])?;
    let text = HandshakeText::parse(&packet[HANDSHAKE_TEXT..]).ok_or(DropReason::Malformed)?;
    if ct_eq(&text.cookie_hash, &sha512(&head.cookie)) { Ok(text) } else { Err(DropReason::BadToken) }
}

//! Cookies of ours: what a peer must fetch before its handshake costs us anything.
//!
//! A cookie is sealed with a key that only we know and names the peer's keys and the time. A cookie request costs one
//! X25519 at most, so a token bucket bounds how many are looked at; peers repeat theirs. Those of DHT keys that
//! sessions know cost nothing (their box key is cached) and are exempt: a flood from strangers keeps no friend out.

use crate::crypto::{MAC_LEN, NONCE_LEN, Nonce, PublicKey, SharedKey, Suite};
use crate::storage::Whose;
use crate::time::Instant;
use crate::wire::session::{
    COOKIE_LEN, COOKIE_REQUEST_BOX, COOKIE_REQUEST_TEXT, COOKIE_RESPONSE_BOX, COOKIE_RESPONSE_LEN,
    COOKIE_RESPONSE_TEXT, CookieRequest, CookieRequestText, CookieResponse, CookieResponseText, CookieText,
};
use crate::{Disposition, DropReason, Frame};
use crate::{Env, cx::Cx};
use core::time::Duration;
use rand_core::CryptoRng;

/// How long a cookie is valid (`net_crypto.c`, COOKIE_TIMEOUT).
pub(crate) const COOKIE_LIFE: Duration = Duration::from_secs(15);
/// Cookie requests looked at back to back (toxcore: 10).
const BURST: u32 = 64;
/// One further cookie request is looked at each so many microseconds (toxcore: 100,000).
const REFILL_US: u64 = 20_000;

/// Makes, opens and gives out cookies.
#[derive(Debug)]
pub(crate) struct CookieJar {
    key: SharedKey,
    tokens: u32,
    refilled: Instant,
}

impl CookieJar {
    pub(crate) fn new(rng: &mut impl CryptoRng) -> Self {
        Self { key: SharedKey::generate(rng), tokens: BURST, refilled: Instant::ZERO }
    }

    /// A cookie for the peer with these keys.
    pub(crate) fn make<E: Env>(&self, cx: &mut Cx<'_, '_, E>, peer: PublicKey, dht: PublicKey) -> [u8; COOKIE_LEN] {
        let nonce = cx.nonce();
        let mut cookie = [0; COOKIE_LEN];
        cookie[..NONCE_LEN].copy_from_slice(&nonce.0);
        CookieText { made: cx.now.micros(), peer, dht }.emit(&mut cookie[NONCE_LEN + MAC_LEN..]);
        cx.suite.seal(&self.key, &nonce, &mut cookie[NONCE_LEN..]);
        cookie
    }

    /// What stands in a cookie, if we made it at most 15 s ago.
    pub(crate) fn open<E: Env>(&self, cx: &Cx<'_, '_, E>, cookie: &[u8; COOKIE_LEN]) -> Result<CookieText, DropReason> {
        let mut cookie = *cookie;
        let (nonce, boxed) = cookie.split_at_mut(NONCE_LEN);
        let nonce = Nonce::from_slice(nonce).ok_or(DropReason::BadToken)?;
        if !cx.suite.open(&self.key, &nonce, boxed) {
            return Err(DropReason::BadToken);
        }
        let text = CookieText::parse(&boxed[MAC_LEN..]).ok_or(DropReason::BadToken)?;
        let made = Instant::from_micros(text.made);
        if made > cx.now || cx.now > made + COOKIE_LIFE { Err(DropReason::BadToken) } else { Ok(text) }
    }

    /// Answers a cookie request (0x18) in place. `is_known` tells whether a DHT key belongs to a session.
    pub(crate) fn answer<E: Env>(
        &mut self,
        cx: &mut Cx<'_, '_, E>,
        frame: &mut Frame<'_>,
        is_known: impl FnOnce(&PublicKey) -> bool,
    ) -> Disposition {
        match self.try_answer(cx, frame, is_known) {
            Ok(()) => Disposition::Reply { to: frame.from, len: COOKIE_RESPONSE_LEN },
            Err(reason) => Disposition::Dropped(reason),
        }
    }

    fn try_answer<E: Env>(
        &mut self,
        cx: &mut Cx<'_, '_, E>,
        frame: &mut Frame<'_>,
        is_known: impl FnOnce(&PublicKey) -> bool,
    ) -> Result<(), DropReason> {
        let head = CookieRequest::parse(frame.bytes()).ok_or(DropReason::Malformed)?;
        if head.dht == cx.me.dht.public {
            return Err(DropReason::OwnPacket);
        }
        if !is_known(&head.dht) && !self.take_token(cx.now) {
            return Err(DropReason::RateLimited);
        }
        let packet = frame.bytes_mut();
        cx.open(Whose::Dht, &head.dht, &head.nonce, &mut packet[COOKIE_REQUEST_BOX..])?;
        let asked = CookieRequestText::parse(&packet[COOKIE_REQUEST_TEXT..]).ok_or(DropReason::Malformed)?;
        let (cookie, nonce) = (self.make(cx, asked.peer, head.dht), cx.nonce());
        let answer = &mut frame.buf[..COOKIE_RESPONSE_LEN];
        CookieResponse { nonce }.emit(answer);
        CookieResponseText { cookie, echo: asked.echo }.emit(&mut answer[COOKIE_RESPONSE_TEXT..]);
        cx.seal(Whose::Dht, &head.dht, &nonce, &mut answer[COOKIE_RESPONSE_BOX..])
    }

    fn take_token(&mut self, now: Instant) -> bool {
        let new = now.since(self.refilled).as_micros() as u64 / REFILL_US;
        if new > 0 {
            let full = u64::from(BURST - self.tokens) <= new;
            self.tokens = if full { BURST } else { self.tokens + new as u32 };
            self.refilled = if full { now } else { self.refilled + Duration::from_micros(new * REFILL_US) };
        }
        let taken = self.tokens.checked_sub(1);
        self.tokens = taken.unwrap_or(0);
        taken.is_some()
    }
}

//! Cookies of ours: what a peer must fetch before its handshake costs us anything.
//!
//! A cookie is sealed with a key that only we know and names the peer's keys and the time. A cookie request costs one
//! X25519 at most, out of the node's budget for others; peers repeat theirs. DHT keys that we know have a share of it
//! for themselves: a flood from strangers keeps no friend out.

use crate::budget::Standing;
use crate::crypto::{MAC_LEN, NONCE_LEN, Nonce, PublicKey, SharedKey, Suite};
use crate::storage::{Need, Whose};
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

/// Who asks for a cookie: the keys that it is to name, and a number that comes back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) dht: PublicKey,
    pub(crate) peer: PublicKey,
    pub(crate) echo: u64,
}

/// Makes, opens and gives out cookies.
#[derive(Debug)]
pub(crate) struct CookieJar {
    key: SharedKey,
}

impl CookieJar {
    pub(crate) fn new(rng: &mut impl CryptoRng) -> Self {
        Self { key: SharedKey::generate(rng) }
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

    /// Answers a cookie request (0x18) in place. `standing` tells what the asking DHT key is to us.
    pub(crate) fn answer<E: Env>(
        &self,
        cx: &mut Cx<'_, '_, E>,
        frame: &mut Frame<'_>,
        standing: impl FnOnce(&PublicKey) -> Standing,
    ) -> Disposition {
        match self.try_answer(cx, frame, standing) {
            Ok(()) => Disposition::Reply { to: frame.from, len: COOKIE_RESPONSE_LEN },
            Err(reason) => Disposition::Dropped(reason),
        }
    }

    fn try_answer<E: Env>(
        &self,
        cx: &mut Cx<'_, '_, E>,
        frame: &mut Frame<'_>,
        standing: impl FnOnce(&PublicKey) -> Standing,
    ) -> Result<(), DropReason> {
        let asked = Self::open_request(cx, frame, standing)?;
        self.respond(cx, &asked, frame.buf).map(drop)
    }

    /// Reads a cookie request (0x18).
    pub(crate) fn open_request<E: Env>(
        cx: &mut Cx<'_, '_, E>,
        frame: &mut Frame<'_>,
        standing: impl FnOnce(&PublicKey) -> Standing,
    ) -> Result<Asked, DropReason> {
        let head = CookieRequest::parse(frame.bytes()).ok_or(DropReason::Malformed)?;
        if head.dht == cx.me.dht.public {
            return Err(DropReason::OwnPacket);
        }
        cx.admit_box(Whose::Dht, &head.dht, frame.from, || standing(&head.dht))?;
        let packet = frame.bytes_mut();
        cx.open_for(Need::Theirs, Whose::Dht, &head.dht, &head.nonce, &mut packet[COOKIE_REQUEST_BOX..])?;
        let text = CookieRequestText::parse(&packet[COOKIE_REQUEST_TEXT..]).ok_or(DropReason::Malformed)?;
        Ok(Asked { dht: head.dht, peer: text.peer, echo: text.echo })
    }

    /// Writes the answer (0x19) to the front of `buf`.
    pub(crate) fn respond<E: Env>(
        &self,
        cx: &mut Cx<'_, '_, E>,
        asked: &Asked,
        buf: &mut [u8],
    ) -> Result<usize, DropReason> {
        let (cookie, nonce) = (self.make(cx, asked.peer, asked.dht), cx.nonce());
        let answer = &mut buf[..COOKIE_RESPONSE_LEN];
        CookieResponse { nonce }.emit(answer);
        CookieResponseText { cookie, echo: asked.echo }.emit(&mut answer[COOKIE_RESPONSE_TEXT..]);
        cx.seal_for(Need::Theirs, Whose::Dht, &asked.dht, &nonce, &mut answer[COOKIE_RESPONSE_BOX..])?;
        Ok(COOKIE_RESPONSE_LEN)
    }
}

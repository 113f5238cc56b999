//! The keys of return headers: what a relay appends to a packet so that the answer finds its way back.
//!
//! Nobody but their maker opens them, so their making is free. Changing the key makes paths expire: a return header
//! opens for two hours at least, and for four at most. Each key follows from the one before it, so that all threads of
//! a node have the same ones at the same time and need not speak about it.

use crate::DropReason;
use crate::crypto::{MAC_LEN, NONCE_LEN, Nonce, SharedKey, Suite, hmac_sha256};
use crate::time::Instant;
use crate::wire::onion::RETURN_3;
use core::time::Duration;
use rand_core::CryptoRng;

/// How long one key seals return headers (`onion.c`, KEY_REFRESH_INTERVAL).
pub(crate) const KEY_LIFE: Duration = Duration::from_secs(2 * 60 * 60);

/// The key that seals, and the one before it.
#[derive(Clone, Debug)]
pub(crate) struct ReturnKeys {
    current: SharedKey,
    previous: SharedKey,
    /// Since when `current` seals; `None` until the first packet.
    since: Option<Instant>,
}

impl ReturnKeys {
    pub(crate) fn new(rng: &mut impl CryptoRng) -> Self {
        Self { current: SharedKey::generate(rng), previous: SharedKey::generate(rng), since: None }
    }

    /// Changes keys when it is time. To be called before each use.
    pub(crate) fn rotate(&mut self, now: Instant) {
        let mut since = self.since.unwrap_or(now);
        while now.reached(since, KEY_LIFE) {
            let next = SharedKey::from_bytes(hmac_sha256(self.current.as_bytes(), &[b"next"]));
            self.previous = core::mem::replace(&mut self.current, next);
            since = since + KEY_LIFE;
        }
        self.since = Some(since);
    }

    /// Seals `room`, whose text stands behind room for the nonce and the authenticator.
    pub(crate) fn seal(&self, suite: &impl Suite, nonce: &Nonce, room: &mut [u8]) {
        room[..NONCE_LEN].copy_from_slice(&nonce.0);
        suite.seal(&self.current, nonce, &mut room[NONCE_LEN..]);
    }

    /// Opens what one of the two keys has sealed, in place, and gives the text.
    pub(crate) fn open<'b>(&self, suite: &impl Suite, sealed: &'b mut [u8]) -> Result<&'b [u8], DropReason> {
        let nonce = Nonce::from_slice(&sealed[..NONCE_LEN]).ok_or(DropReason::Malformed)?;
        let boxed = &mut sealed[NONCE_LEN..];
        let mut copy = [0; RETURN_3 - NONCE_LEN];
        let copy = &mut copy[..boxed.len()];
        copy.copy_from_slice(boxed);
        if !suite.open(&self.current, &nonce, boxed) {
            boxed.copy_from_slice(copy);
            if !suite.open(&self.previous, &nonce, boxed) {
                return Err(DropReason::BadToken);
            }
        }
        Ok(&boxed[MAC_LEN..])
    }
}

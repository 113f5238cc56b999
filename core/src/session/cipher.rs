//! The keys of one session: how its data packets are sealed and opened.
//!
//! This is the boundary that another handshake stands behind: whatever agrees on keys ends in a [`Cipher`]. Each side
//! counts the nonce up from the one in its own handshake and sends only its last two bytes. A window over the last
//! packets drops replays, which toxcore does for lossless packets only.

use crate::DropReason;
use crate::crypto::{Nonce, SharedKey, Suite};
use crate::wire::kind;
use crate::wire::session::{DATA_BOX, DATA_TEXT, DataText, data_nonce};

/// A session's keys and nonces.
#[derive(Debug)]
pub(crate) struct Cipher {
    key: SharedKey,
    send_nonce: Nonce,
    receive: NonceWindow,
}

/// How a data packet that opened relates to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// Certainly not seen before.
    Fresh,
    /// Too old to tell.
    Late,
}

impl Cipher {
    /// `own` is the base nonce in our handshake, `peer` the one in the peer's.
    pub(crate) const fn new(key: SharedKey, own: Nonce, peer: Nonce) -> Self {
        Self { key, send_nonce: own, receive: NonceWindow { base: peer, top: 0, seen: 0, rose: false } }
    }

    /// The nonce of our next packet.
    pub(crate) const fn send_nonce(&self) -> Nonce {
        self.send_nonce
    }

    /// Whether the packet opened last was sent after all others that were opened.
    pub(crate) const fn is_newest(&self) -> bool {
        self.receive.rose
    }

    /// Writes a data packet into `buf` and gives its length.
    pub(crate) fn seal(&mut self, suite: &impl Suite, text: &DataText<'_>, buf: &mut [u8]) -> usize {
        let len = DATA_TEXT + text.emit(&mut buf[DATA_TEXT..]);
        buf[0] = kind::CRYPTO_DATA;
        buf[1..DATA_BOX].copy_from_slice(&self.send_nonce.low16().to_be_bytes());
        suite.seal(&self.key, &self.send_nonce, &mut buf[DATA_BOX..len]);
        self.send_nonce = self.send_nonce.plus(1);
        len
    }

    /// Opens a data packet in place: its plaintext then stands in `packet[DATA_TEXT..]`.
    pub(crate) fn open(&mut self, suite: &impl Suite, packet: &mut [u8]) -> Result<Age, DropReason> {
        let low = data_nonce(packet).ok_or(DropReason::Malformed)?;
        let age = self.receive.age(low).ok_or(DropReason::Duplicate)?;
        if !suite.open(&self.key, &self.receive.nonce(low), &mut packet[DATA_BOX..]) {
            return Err(DropReason::BadCrypto);
        }
        self.receive.accept(low);
        Ok(age)
    }
}

/// How far the base moves at once, a third of the 16 bits (`net_crypto.c`, DATA_NUM_THRESHOLD).
const STEP: u16 = 21_845;
/// How many of the last packets are remembered one by one.
const REMEMBERED: u16 = 64;

/// Which of the peer's nonces were used.
#[derive(Debug)]
struct NonceWindow {
    base: Nonce,
    /// Bit `i` stands for the packet `top - i`.
    seen: u64,
    /// The highest nonce so far, counted from `base`.
    top: u16,
    /// The last one was the highest so far.
    rose: bool,
}

impl NonceWindow {
    fn offset(&self, low: u16) -> u16 {
        low.wrapping_sub(self.base.low16())
    }

    fn nonce(&self, low: u16) -> Nonce {
        self.base.plus(u32::from(self.offset(low)))
    }

    /// `None` for a nonce that was used.
    fn age(&self, low: u16) -> Option<Age> {
        match self.top.checked_sub(self.offset(low)) {
            Some(back) if back >= REMEMBERED => Some(Age::Late),
            Some(back) if self.seen >> back & 1 == 1 => None,
            Some(_) | None => Some(Age::Fresh),
        }
    }

    fn accept(&mut self, low: u16) {
        let offset = self.offset(low);
        self.rose = offset > self.top || self.seen == 0;
        if let Some(ahead) = offset.checked_sub(self.top) {
            self.seen = self.seen.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
            self.top = offset;
        } else if self.top - offset < REMEMBERED {
            self.seen |= 1 << (self.top - offset);
        }
        if self.top > 2 * STEP {
            self.base = self.base.plus(u32::from(STEP));
            self.top -= STEP;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Nacl;
    use quickcheck::quickcheck;

    fn pair(base: Nonce) -> (Cipher, Cipher) {
        let key = SharedKey::from_bytes([5; 32]);
        (Cipher::new(key.clone(), base, Nonce::ZERO), Cipher::new(key, Nonce::ZERO, base))
    }

    fn packet(from: &mut Cipher) -> ([u8; 64], usize) {
        let mut buf = [0; 64];
        let len = from.seal(&Nacl, &DataText { recv_start: 1, number: 2, content: b"\x10abc" }, &mut buf);
        (buf, len)
    }

    #[test]
    fn a_packet_opens_once_and_only_unchanged() {
        let (mut alice, mut bob) = pair(Nonce([255; 24]));
        for _ in 0..3 {
            let (sealed, len) = packet(&mut alice);
            for i in 1..len {
                let mut bent = sealed;
                bent[i] ^= 1;
                // A bent nonce may be one that was used.
                let reason = bob.open(&Nacl, &mut bent[..len]).unwrap_err();
                assert!(reason == DropReason::BadCrypto || i < DATA_BOX && reason == DropReason::Duplicate, "{i}");
            }
            let (mut first, mut again) = (sealed, sealed);
            assert_eq!(bob.open(&Nacl, &mut first[..len]), Ok(Age::Fresh));
            assert_eq!(DataText::parse(&first[DATA_TEXT..len]).unwrap().content, b"\x10abc");
            assert_eq!(bob.open(&Nacl, &mut again[..len]), Err(DropReason::Duplicate));
        }
    }

    #[test]
    fn the_window_follows_for_ever() {
        let (mut alice, mut bob) = pair(Nonce([0xff; 24]));
        for round in 0..40 {
            alice.send_nonce = alice.send_nonce.plus(9_000);
            let (mut sealed, len) = packet(&mut alice);
            assert_eq!(bob.open(&Nacl, &mut sealed[..len]), Ok(Age::Fresh), "{round}");
        }
    }

    quickcheck! {
        /// Whatever the order, each nonce is fresh at most once, and those not seen within 64 of the highest are fresh.
        fn no_nonce_is_fresh_twice(start: u16, steps: std::vec::Vec<u8>) -> bool {
            let mut window = NonceWindow { base: Nonce::ZERO.plus(u32::from(start)), top: 0, seen: 0, rose: false };
            let mut used = std::collections::BTreeSet::new();
            let mut top = u32::from(start);
            steps.iter().all(|step| {
                let at = (top + 40).saturating_sub(u32::from(*step)).max(u32::from(start));
                let fresh = (!used.contains(&at)).then_some(Age::Fresh);
                let expected = if top >= at + 64 { Some(Age::Late) } else { fresh };
                let got = window.age(at as u16);
                if got.is_some() { window.accept(at as u16); used.insert(at); top = top.max(at); }
                got == expected
            })
        }
    }
}

//! The cache of precomputed box keys: X25519 costs thirty times what a box does.
//!
//! A set-associative table: a keyed hash of the peer's key picks a set of four, the least recently used of the four
//! makes room. Peers choose their keys, so the hash has a secret; a flood of new keys costs others at most their place.

use super::Mem;
use crate::crypto::{PublicKey, SecretKey, SharedKey, Suite};
use crate::time::Instant;
use core::hash::Hasher;
use siphasher::sip::SipHasher13;

/// Which of our secret keys a cached key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Whose {
    /// The place is vacant.
    Nobody = 0,
    /// The DHT key of this run.
    Dht,
    /// The long-term key.
    LongTerm,
    /// The key that friends encrypt onion data to.
    OnionData,
}

/// A place of the cache.
#[derive(Debug)]
pub struct KeyEntry {
    whose: Whose,
    peer: PublicKey,
    key: SharedKey,
    used: Instant,
}

impl KeyEntry {
    /// What static storage is filled with: all zeros.
    pub const VACANT: Self =
        Self { whose: Whose::Nobody, peer: PublicKey::ZERO, key: SharedKey::ZERO, used: Instant::ZERO };
}

/// Places of one set.
const WAYS: usize = 4;

/// The cache. A capacity below four still works: everything is then one set.
#[derive(Debug)]
pub struct Keys<'s> {
    mem: Mem<'s, KeyEntry>,
    seed: [u8; 16],
    /// Where the last key is put when there is no memory at all.
    spare: SharedKey,
    /// Places that are taken; none becomes vacant again.
    used: u32,
}

impl<'s> Keys<'s> {
    /// A cache over lent memory; `seed` is secret.
    #[must_use]
    pub const fn new(mem: Mem<'s, KeyEntry>, seed: [u8; 16]) -> Self {
        Self { mem, seed, spare: SharedKey::ZERO, used: 0 }
    }

    /// How many keys fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.mem.len()
    }

    /// How many are there.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.used as usize
    }

    /// Whether none is there.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// The box key of our key `whose` (`secret`) with `peer`, computed (and counted in `computed`) when it is not
    /// there. `None` when the peer's key is of small order.
    pub fn get<S: Suite>(
        &mut self,
        suite: &S,
        now: Instant,
        whose: Whose,
        secret: &SecretKey,
        peer: &PublicKey,
        computed: &mut u64,
    ) -> Option<&SharedKey> {
        let set = self.set_of(peer);
        let places = &mut self.mem[set];
        if let Some(i) = places.iter().position(|place| place.whose == whose && place.peer == *peer) {
            places[i].used = now;
            return Some(&places[i].key);
        }
        *computed += 1;
        let key = suite.agree(secret, peer)?;
        let Some(oldest) = places.iter_mut().min_by_key(|place| (place.whose != Whose::Nobody, place.used)) else {
            self.spare = key;
            return Some(&self.spare);
        };
        self.used += u32::from(oldest.whose == Whose::Nobody);
        *oldest = KeyEntry { whose, peer: *peer, key, used: now };
        Some(&oldest.key)
    }

    fn set_of(&self, peer: &PublicKey) -> core::ops::Range<usize> {
        let sets = (self.mem.len() / WAYS).max(1);
        let mut hasher = SipHasher13::new_with_key(&self.seed);
        hasher.write(&peer.0);
        let set = (hasher.finish() % sets as u64) as usize;
        let end = if set + 1 == sets { self.mem.len() } else { (set + 1) * WAYS };
        set * WAYS..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Nacl;

    #[test]
    fn a_known_key_is_not_computed_again() {
        let mut mem = [const { KeyEntry::VACANT }; 8];
        let mut keys = Keys::new(Mem::Borrowed(&mut mem), [7; 16]);
        let (secret, mut computed) = (SecretKey::from_bytes([3; 32]), 0);
        for i in 0..20 {
            let peer = SecretKey::from_bytes([i; 32]).public_key();
            let expected = Nacl.agree(&secret, &peer).unwrap();
            for _ in 0..3 {
                let got = keys.get(&Nacl, Instant::ZERO, Whose::Dht, &secret, &peer, &mut computed).unwrap();
                assert_eq!(got.as_bytes(), expected.as_bytes());
            }
        }
        assert_eq!((computed, keys.len(), keys.capacity()), (20, 8, 8));
        assert!(keys.get(&Nacl, Instant::ZERO, Whose::Dht, &secret, &PublicKey::ZERO, &mut computed).is_none());
    }

    #[test]
    fn works_without_any_memory() {
        let mut keys = Keys::new(Mem::Borrowed(&mut []), [7; 16]);
        let secret = SecretKey::from_bytes([3; 32]);
        assert!(keys.get(&Nacl, Instant::ZERO, Whose::Dht, &secret, &secret.public_key(), &mut 0).is_some());
    }
}

//! The cache of precomputed box keys: X25519 costs thirty times what a box does.
//!
//! A set-associative table: a keyed hash of the peer's key picks a set of four, in which the least recently used makes
//! room. Peers choose their keys, so the hash has a secret. Keys that we need ourselves and those that others make us
//! compute do not drive each other out: of each four, others have one place for sure and we have three. So a flood of
//! new keys costs us at most one place in four, and whoever is served through us is not forgotten at once.

use super::Mem;
use crate::crypto::{PublicKey, SharedKey};
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

/// For whose sake a key is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// We want to send, or have asked.
    Ours,
    /// Somebody has sent us something.
    Theirs,
}

/// A place of the cache.
#[derive(Debug)]
pub struct KeyEntry {
    whose: Whose,
    is_ours: bool,
    peer: PublicKey,
    key: SharedKey,
    used: Instant,
}

impl KeyEntry {
    /// What static storage is filled with: all zeros.
    pub const VACANT: Self =
        Self { whose: Whose::Nobody, is_ours: false, peer: PublicKey::ZERO, key: SharedKey::ZERO, used: Instant::ZERO };
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

    /// Whether the box key of our key `whose` with `peer` is there.
    #[must_use]
    pub fn has(&self, whose: Whose, peer: &PublicKey) -> bool {
        self.mem[self.set_of(peer)].iter().any(|place| place.is(whose, peer))
    }

    /// The box key of our key `whose` with `peer`, computed when it is not there. `None` when it cannot be: the peer's
    /// key is of small order.
    pub fn get(
        &mut self,
        now: Instant,
        need: Need,
        whose: Whose,
        peer: &PublicKey,
        compute: impl FnOnce() -> Option<SharedKey>,
    ) -> Option<&SharedKey> {
        let set = self.set_of(peer);
        let places = &mut self.mem[set];
        if let Some(i) = places.iter().position(|place| place.is(whose, peer)) {
            places[i].used = now;
            places[i].is_ours |= need == Need::Ours;
            return Some(&places[i].key);
        }
        let key = compute()?;
        let Some(i) = place_for(places, need) else {
            self.spare = key;
            return Some(&self.spare);
        };
        self.used += u32::from(places[i].whose == Whose::Nobody);
        places[i] = KeyEntry { whose, is_ours: need == Need::Ours, peer: *peer, key, used: now };
        Some(&places[i].key)
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

impl KeyEntry {
    fn is(&self, whose: Whose, peer: &PublicKey) -> bool {
        self.whose == whose && self.peer == *peer
    }
}

/// Which place of a set makes room: a vacant one, or else the oldest of the sort that has more than its share.
fn place_for(places: &[KeyEntry], need: Need) -> Option<usize> {
    let theirs = places.iter().filter(|place| place.whose != Whose::Nobody && !place.is_ours).count();
    let from_ours = match need {
        Need::Ours => theirs <= 1 && theirs < places.len(),
        Need::Theirs => theirs == 0,
    };
    let expendability = |place: &KeyEntry| (place.whose != Whose::Nobody, place.is_ours != from_ours, place.used);
    (0..places.len()).min_by_key(|i| expendability(&places[*i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{Nacl, SecretKey, Suite};

    const SECRET: [u8; 32] = [3; 32];

    fn get(keys: &mut Keys<'_>, at: u64, need: Need, peer: &PublicKey, computed: &mut u32) -> Option<SharedKey> {
        let compute = || {
            *computed += 1;
            Nacl.agree(&SecretKey::from_bytes(SECRET), peer)
        };
        keys.get(Instant::from_secs(at), need, Whose::Dht, peer, compute).cloned()
    }

    fn peer(n: u8) -> PublicKey {
        SecretKey::from_bytes([n; 32]).public_key()
    }

    #[test]
    fn a_known_key_is_not_computed_again() {
        let mut mem = [const { KeyEntry::VACANT }; 8];
        let mut keys = Keys::new(Mem::Borrowed(&mut mem), [7; 16]);
        let mut computed = 0;
        for i in 0..20 {
            let expected = Nacl.agree(&SecretKey::from_bytes(SECRET), &peer(i)).unwrap();
            for _ in 0..3 {
                let got = get(&mut keys, 0, Need::Ours, &peer(i), &mut computed).unwrap();
                assert_eq!(got.as_bytes(), expected.as_bytes());
                assert!(keys.has(Whose::Dht, &peer(i)) && !keys.has(Whose::LongTerm, &peer(i)));
            }
        }
        assert_eq!((computed, keys.len(), keys.capacity()), (20, 8, 8));
        assert!(get(&mut keys, 0, Need::Ours, &PublicKey::ZERO, &mut computed).is_none());
    }

    #[test]
    fn works_without_any_memory() {
        let mut keys = Keys::new(Mem::Borrowed(&mut []), [7; 16]);
        assert!(get(&mut keys, 0, Need::Ours, &peer(1), &mut 0).is_some());
        assert!(!keys.has(Whose::Dht, &peer(1)));
    }

    #[test]
    fn strangers_push_out_one_key_of_four() {
        let mut mem = [const { KeyEntry::VACANT }; 4];
        let mut keys = Keys::new(Mem::Borrowed(&mut mem), [7; 16]);
        for n in 1..5 {
            get(&mut keys, n.into(), Need::Ours, &peer(n), &mut 0);
        }
        for n in 50..100 {
            get(&mut keys, n.into(), Need::Theirs, &peer(n), &mut 0);
            assert!(keys.has(Whose::Dht, &peer(n)), "who asks is answered with the same key");
        }
        assert_eq!([1, 2, 3, 4].map(|n| keys.has(Whose::Dht, &peer(n))), [false, true, true, true]);
        // And we leave them that place.
        for n in 5..20 {
            get(&mut keys, n.into(), Need::Ours, &peer(n), &mut 0);
        }
        assert!(keys.has(Whose::Dht, &peer(99)) && keys.has(Whose::Dht, &peer(19)));
        // What we need then is ours.
        get(&mut keys, 200, Need::Ours, &peer(99), &mut 0);
        get(&mut keys, 201, Need::Theirs, &peer(100), &mut 0);
        assert!(keys.has(Whose::Dht, &peer(99)));
    }
}

//! The cryptography of simulated nodes: the real one, remembered, or a toy for worlds of 100,000 nodes.
//!
//! *Real* gives the bytes of NaCl, by [`HostSuite`]. All nodes of a world share a memory of agreed keys: what one side
//! has computed, the other side need not compute again. *Toy* has the shape of cryptography and none of its strength:
//! the public key gives the secret away, and boxes carry a checksum. It exists in this crate only, where no runtime can
//! reach it.
//!
//! Both can keep a ledger of every box that was sealed, for the oracle that no key meets a nonce twice.

mod ledger;
mod toy;

use bluering_core::crypto::{HostSuite, Nonce, PublicKey, SecretKey, SharedKey, Suite};
use core::cell::{Cell, RefCell};
use core::hash::{BuildHasherDefault, Hasher};
use ledger::Ledger;
use std::collections::HashMap;
use std::rc::Rc;

pub use ledger::Reuse;

/// Which cryptography a world runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strength {
    /// Curve25519, XSalsa20, Poly1305.
    #[default]
    Real,
    /// A stand-in, for scale.
    Toy,
}

/// The suite of every node of a world.
#[derive(Clone, Debug)]
pub struct SimSuite {
    strength: Strength,
    host: HostSuite,
    shared: Rc<Shared>,
    /// What it seals is noted in the ledger, when one is kept.
    honest: bool,
}

/// Agreed keys that are remembered before the older half is forgotten.
const REMEMBERED: usize = 1 << 20;

#[derive(Debug, Default)]
struct Shared {
    publics: RefCell<Memory<[u8; 32], PublicKey>>,
    agreed: RefCell<Memory<[u8; 64], [u8; 32]>>,
    ledger: RefCell<Option<Ledger>>,
    agreements: Cell<u64>,
    exempt: Cell<Option<Exempt>>,
}

/// Runs a closure without counting what it takes from the heap.
type Exempt = fn(&mut dyn FnMut());

impl SimSuite {
    /// A suite for a new world; its clones share their memory.
    #[must_use]
    pub fn new(strength: Strength) -> Self {
        Self { strength, host: HostSuite::new(), shared: Rc::default(), honest: true }
    }

    /// The same for adversaries, who may use a nonce as often as they like: their boxes are not noted.
    #[must_use]
    pub fn for_adversaries(&self) -> Self {
        Self { honest: false, ..self.clone() }
    }

    /// Notes every sealed box of a node from now on.
    pub fn keep_ledger(&self) {
        *self.shared.ledger.borrow_mut() = Some(Ledger::default());
    }

    /// A nonce that was used twice with one key for different boxes, if that ever happened.
    #[must_use]
    pub fn reuse(&self) -> Option<Reuse> {
        self.shared.ledger.borrow().as_ref().and_then(Ledger::reuse)
    }

    /// Key agreements that nodes asked for so far.
    #[must_use]
    pub fn agreements(&self) -> u64 {
        self.shared.agreements.get()
    }

    /// What this suite remembers is not the node's: it is not to be counted as the core's memory.
    pub(crate) fn exempt_memory(&self, exempt: Exempt) {
        self.shared.exempt.set(Some(exempt));
    }

    fn remembering<R>(&self, work: impl FnOnce(&Shared) -> R) -> R {
        let Some(exempt) = self.shared.exempt.get() else { return work(&self.shared) };
        let (mut work, mut result) = (Some(work), None);
        exempt(&mut || result = work.take().map(|work| work(&self.shared)));
        match result {
            Some(result) => result,
            None => unreachable!("the meter runs what it is given"),
        }
    }

    fn public_of(&self, secret: &SecretKey) -> PublicKey {
        self.remembering(|shared| {
            *shared.publics.borrow_mut().get_or(secret.as_bytes(), || self.host.public_key(secret))
        })
    }

    fn agree_real(&self, secret: &SecretKey, public: &PublicKey) -> Option<SharedKey> {
        let mine = self.public_of(secret);
        let (low, high) = if mine.0 <= public.0 { (&mine, public) } else { (public, &mine) };
        let mut pair = [0; 64];
        pair[..32].copy_from_slice(&low.0);
        pair[32..].copy_from_slice(&high.0);
        // Only good keys are remembered: a key of small order agrees with nobody.
        let make = || Some(*self.host.agree(secret, public)?.as_bytes());
        let key = self.remembering(|shared| shared.agreed.borrow_mut().get_or_try(&pair, make).copied());
        key.map(SharedKey::from_bytes)
    }
}

impl Suite for SimSuite {
    fn agree(&self, secret: &SecretKey, public: &PublicKey) -> Option<SharedKey> {
        self.shared.agreements.set(self.shared.agreements.get() + 1);
        match self.strength {
            Strength::Real => self.agree_real(secret, public),
            Strength::Toy => toy::agree(secret, public),
        }
    }

    fn public_key(&self, secret: &SecretKey) -> PublicKey {
        match self.strength {
            Strength::Real => self.public_of(secret),
            Strength::Toy => toy::public_key(secret),
        }
    }

    fn seal(&self, key: &SharedKey, nonce: &Nonce, boxed: &mut [u8]) {
        match self.strength {
            Strength::Real => self.host.seal(key, nonce, boxed),
            Strength::Toy => toy::seal(key, nonce, boxed),
        }
        if self.honest && self.shared.ledger.borrow().is_some() {
            self.remembering(|shared| {
                shared.ledger.borrow_mut().iter_mut().for_each(|ledger| ledger.note(key, nonce, boxed));
            });
        }
    }

    fn open(&self, key: &SharedKey, nonce: &Nonce, boxed: &mut [u8]) -> bool {
        match self.strength {
            Strength::Real => self.host.open(key, nonce, boxed),
            Strength::Toy => toy::open(key, nonce, boxed),
        }
    }
}

/// A map that forgets its older half when it is full.
#[derive(Debug)]
struct Memory<K, V> {
    young: Map<K, V>,
    old: Map<K, V>,
}

type Map<K, V> = HashMap<K, V, BuildHasherDefault<FirstBytes>>;

impl<K, V> Default for Memory<K, V> {
    fn default() -> Self {
        Self { young: HashMap::default(), old: HashMap::default() }
    }
}

impl<K: core::hash::Hash + Eq + Copy, V: Copy> Memory<K, V> {
    fn get_or(&mut self, key: &K, make: impl FnOnce() -> V) -> &V {
        match self.get_or_try(key, || Some(make())) {
            Some(value) => value,
            None => unreachable!("it was made"),
        }
    }

    fn get_or_try(&mut self, key: &K, make: impl FnOnce() -> Option<V>) -> Option<&V> {
        if !self.young.contains_key(key) {
            let value = match self.old.get(key) {
                Some(value) => *value,
                None => make()?,
            };
            if self.young.len() >= REMEMBERED {
                self.old = core::mem::take(&mut self.young);
            }
            self.young.insert(*key, value);
        }
        self.young.get(key)
    }
}

/// Keys are random already: mixing their words is hash enough.
#[derive(Debug, Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for word in bytes.as_chunks::<8>().0 {
            self.0 = (self.0 ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bluering_core::crypto::Nacl;

    #[test]
    fn both_sides_agree_and_boxes_open() {
        for strength in [Strength::Real, Strength::Toy] {
            let suite = SimSuite::new(strength);
            suite.keep_ledger();
            let secrets = [SecretKey::from_bytes([1; 32]), SecretKey::from_bytes([2; 32])];
            let publics = secrets.each_ref().map(|secret| suite.public_key(secret));
            let key = suite.agree(&secrets[0], &publics[1]).unwrap();
            assert_eq!(key.as_bytes(), suite.agree(&secrets[1], &publics[0]).unwrap().as_bytes());
            let mut boxed = [vec![0; 16], b"words".to_vec()].concat();
            suite.seal(&key, &Nonce([3; 24]), &mut boxed);
            assert_ne!(&boxed[16..], b"words");
            let mut bent = boxed.clone();
            bent[18] ^= 1;
            assert!(!suite.open(&key, &Nonce([3; 24]), &mut bent));
            assert!(suite.open(&key, &Nonce([3; 24]), &mut boxed));
            assert_eq!(&boxed[16..], b"words");
            assert!(suite.reuse().is_none());
        }
    }

    #[test]
    fn the_real_one_is_real() {
        let suite = SimSuite::new(Strength::Real);
        let (secret, peer) = (SecretKey::from_bytes([7; 32]), SecretKey::from_bytes([9; 32]).public_key());
        let expected = Nacl.agree(&secret, &peer).unwrap();
        for _ in 0..2 {
            assert_eq!(suite.agree(&secret, &peer).unwrap().as_bytes(), expected.as_bytes());
        }
        assert!(suite.agree(&secret, &PublicKey::ZERO).is_none());
    }

    #[test]
    fn a_nonce_used_twice_is_seen() {
        let suite = SimSuite::new(Strength::Real);
        suite.keep_ledger();
        let key = SharedKey::from_bytes([1; 32]);
        let seal = |nonce: u8, text: u8| suite.seal(&key, &Nonce([nonce; 24]), &mut [text; 40]);
        seal(1, 1);
        // The same box again: a repeated packet.
        seal(1, 1);
        seal(2, 1);
        assert!(suite.reuse().is_none());
        seal(2, 2);
        assert_eq!(suite.reuse(), Some(Reuse { nonce: Nonce([2; 24]) }));
    }
}

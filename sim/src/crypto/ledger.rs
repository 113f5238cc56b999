//! Every box that was sealed: no key may meet a nonce twice, unless for the same box.

use bluering_core::crypto::{Nonce, SharedKey};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::collections::HashMap;

/// A nonce that was used twice with one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reuse {
    /// The nonce.
    pub nonce: Nonce,
}

/// A ledger of sealed boxes.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// A hash of key and nonce, and one of the box.
    boxes: HashMap<u128, u64>,
    reuse: Option<Reuse>,
}

impl Ledger {
    /// Notes a box.
    pub(super) fn note(&mut self, key: &SharedKey, nonce: &Nonce, boxed: &[u8]) {
        let place = hash(&[key.as_bytes(), &nonce.0]);
        let content = hash(&[boxed]) as u64;
        if *self.boxes.entry(place).or_insert(content) != content {
            self.reuse.get_or_insert(Reuse { nonce: *nonce });
        }
    }

    /// The first reuse.
    pub(super) const fn reuse(&self) -> Option<Reuse> {
        self.reuse
    }
}

fn hash(parts: &[&[u8]]) -> u128 {
    use core::hash::Hasher;
    let mut hasher = SipHasher13::new();
    parts.iter().for_each(|part| hasher.write(part));
    hasher.finish128().as_u128()
}

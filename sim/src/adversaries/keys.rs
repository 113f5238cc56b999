//! Keys near a key: what an attacker needs to be where a victim is looked for.
//!
//! Nobody can choose a Curve25519 public key; secret keys are tried until one fits, 2^n of them for n bits. In a world
//! of toy cryptography any key can be had.

use crate::crypto::SimSuite;
use crate::rng::SimRng;
use bluering_core::crypto::{PublicKey, SecretKey, Suite};

/// The most bits that are searched for by trying.
const BITS_MAX: u32 = 16;

/// A secret key whose public key shares its first `bits` bits with `target`: at most 16, in a toy world any number.
pub(super) fn near(suite: &SimSuite, target: &PublicKey, bits: u32, rng: &mut SimRng) -> SecretKey {
    if let Some(secret) = toy(suite, target, bits, rng) {
        return secret;
    }
    loop {
        // Not by the suite, which would remember each try.
        let secret = SecretKey::from_bytes(rng.array());
        if secret.public_key().common_prefix(target) as u32 >= bits.min(BITS_MAX) {
            return secret;
        }
    }
}

/// The same, where a public key is its secret in a thin disguise.
fn toy(suite: &SimSuite, target: &PublicKey, bits: u32, rng: &mut SimRng) -> Option<SecretKey> {
    let mut wanted: [u8; 32] = rng.array();
    for bit in 0..bits.min(255) {
        let (byte, mask) = (bit as usize / 8, 0x80 >> (bit % 8));
        wanted[byte] = wanted[byte] & !mask | target.0[byte] & mask;
    }
    wanted[31] &= 0x7f;
    let disguise = suite.public_key(&SecretKey::from_bytes([0; 32]));
    let secret = core::array::from_fn(|i| wanted[i] ^ disguise.0[i]);
    let secret = SecretKey::from_bytes(secret);
    (suite.public_key(&secret).0 == wanted).then_some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Strength;

    #[test]
    fn keys_are_as_near_as_asked() {
        let target = PublicKey([0x5a; 32]);
        for (strength, bits) in [(Strength::Real, 0), (Strength::Real, 6), (Strength::Toy, 6), (Strength::Toy, 200)] {
            let suite = SimSuite::new(strength);
            let mut rng = SimRng::new(u64::from(bits));
            let secrets = [(); 2].map(|()| near(&suite, &target, bits, &mut rng));
            let keys = secrets.map(|secret| suite.public_key(&secret));
            assert!(keys.iter().all(|key| key.common_prefix(&target) as u32 >= bits), "{strength:?} {bits}");
            assert_ne!(keys[0], keys[1]);
        }
    }
}

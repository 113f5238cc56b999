//! The primitives behind one trait, and their portable implementation.

use super::{Nonce, PublicKey, SecretKey, SharedKey};
use crypto_secretbox::XSalsa20Poly1305;
use crypto_secretbox::aead::{AeadInPlace, KeyInit};
use curve25519_dalek::montgomery::MontgomeryPoint;
use salsa20::cipher::consts::U10;
use zeroize::Zeroize;

/// Length of a box's authenticator, which stands before the ciphertext.
pub const MAC_LEN: usize = 16;

/// What the state machines need of cryptography. Every implementation gives the same bytes.
pub trait Suite {
    /// The box key of two parties (NaCl `beforenm`): HSalsa20 of X25519. `None` for a public key of small order, whose
    /// shared secret would be zero.
    fn agree(&self, secret: &SecretKey, public: &PublicKey) -> Option<SharedKey>;

    /// The public key of `secret`.
    fn public_key(&self, secret: &SecretKey) -> PublicKey {
        secret.public_key()
    }

    /// Encrypts in place. `boxed` is 16 bytes of room for the authenticator, then the plaintext.
    fn seal(&self, key: &SharedKey, nonce: &Nonce, boxed: &mut [u8]);

    /// Decrypts in place: afterwards the plaintext stands in `boxed[16..]`. False, with the buffer as it was or in an
    /// unspecified state, when the authenticator is wrong or `boxed` too short.
    #[must_use]
    fn open(&self, key: &SharedKey, nonce: &Nonce, boxed: &mut [u8]) -> bool;
}

/// The portable suite: curve25519-dalek and the RustCrypto ciphers under crypto_box.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nacl;

impl Suite for Nacl {
    /// `crypto_box` 0.9 reduces the scalar modulo the group order, which NaCl does not, so the ladder is called here.
    fn agree(&self, secret: &SecretKey, public: &PublicKey) -> Option<SharedKey> {
        let mut point = MontgomeryPoint(public.0).mul_clamped(*secret.as_bytes());
        let key = hsalsa20_key(&point.0);
        point.zeroize();
        key
    }

    fn seal(&self, key: &SharedKey, nonce: &Nonce, boxed: &mut [u8]) {
        let (tag, text) = boxed.split_at_mut(MAC_LEN);
        let cipher = XSalsa20Poly1305::new(key.as_bytes().into());
        match cipher.encrypt_in_place_detached(&nonce.0.into(), &[], text) {
            Ok(mac) => tag.copy_from_slice(&mac),
            Err(_) => unreachable!("XSalsa20 takes any length that fits in memory"),
        }
    }

    fn open(&self, key: &SharedKey, nonce: &Nonce, boxed: &mut [u8]) -> bool {
        let Some((tag, text)) = boxed.split_at_mut_checked(MAC_LEN) else { return false };
        let tag = crypto_secretbox::Tag::clone_from_slice(tag);
        let cipher = XSalsa20Poly1305::new(key.as_bytes().into());
        cipher.decrypt_in_place_detached(&nonce.0.into(), &[], text, &tag).is_ok()
    }
}

/// The second half of [`Suite::agree`], for suites with their own X25519: `None` when the shared secret is zero.
#[must_use]
pub fn hsalsa20_key(shared_secret: &[u8; 32]) -> Option<SharedKey> {
    if super::ct_eq(shared_secret, &[0; 32]) {
        return None;
    }
    let key = salsa20::hsalsa::<U10>(shared_secret.into(), &[0; 16].into());
    Some(SharedKey::from_bytes(key.into()))
}

//! Cryptography in name only, fifty times cheaper.

use bluering_core::crypto::{MAC_LEN, Nonce, PublicKey, SecretKey, SharedKey};

/// The public key is the secret in disguise; its top bit is clear, as that of real ones is.
pub(super) fn public_key(secret: &SecretKey) -> PublicKey {
    let mut public = PublicKey::ZERO;
    for (byte, secret) in public.0.iter_mut().zip(secret.as_bytes()) {
        *byte = secret ^ 0xa5;
    }
    // Public keys have 255 bits; others are refused as friends.
    public.0[31] &= 0x7f;
    public
}

/// Both sides know both public keys: a hash of the two, in order.
pub(super) fn agree(secret: &SecretKey, public: &PublicKey) -> Option<SharedKey> {
    if *public == PublicKey::ZERO {
        return None;
    }
    let mine = public_key(secret);
    let (low, high) = if mine.0 <= public.0 { (&mine.0, &public.0) } else { (&public.0, &mine.0) };
    let mut state = absorb(absorb(1, low), high);
    let mut key = [0; 32];
    for chunk in key.as_chunks_mut::<8>().0 {
        state = mix(state);
        *chunk = state.to_le_bytes();
    }
    Some(SharedKey::from_bytes(key))
}

/// A checksum in place of the authenticator, and a keystream that anybody could guess.
pub(super) fn seal(key: &SharedKey, nonce: &Nonce, boxed: &mut [u8]) {
    let start = start(key, nonce);
    let (tag, text) = boxed.split_at_mut(MAC_LEN);
    tag[..8].copy_from_slice(&absorb(start, text).to_le_bytes());
    tag[8..].fill(0);
    scramble(start, text);
}

/// The reverse of [`seal`].
pub(super) fn open(key: &SharedKey, nonce: &Nonce, boxed: &mut [u8]) -> bool {
    let start = start(key, nonce);
    let Some((tag, text)) = boxed.split_at_mut_checked(MAC_LEN) else { return false };
    scramble(start, text);
    tag[..8] == absorb(start, text).to_le_bytes() && tag[8..] == [0; 8]
}

fn start(key: &SharedKey, nonce: &Nonce) -> u64 {
    absorb(absorb(2, key.as_bytes()), &nonce.0)
}

fn scramble(start: u64, text: &mut [u8]) {
    let mut state = mix(start);
    for chunk in text.chunks_mut(8) {
        state = mix(state);
        chunk.iter_mut().zip(state.to_le_bytes()).for_each(|(byte, key)| *byte ^= key);
    }
}

fn absorb(state: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let state = words.iter().fold(state, |state, word| mix(state ^ u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(state ^ u64::from_le_bytes(last) ^ ((bytes.len() as u64) << 56))
}

const fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    z ^ (z >> 32)
}

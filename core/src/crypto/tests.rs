//! Published vectors, and properties against crypto_box as the oracle.

use super::*;
use quickcheck::quickcheck;
use std::string::ToString;
use std::vec::Vec;

fn unhex<const N: usize>(text: &str) -> [u8; N] {
    let mut out = [0; N];
    assert!(keys::decode_hex(text, &mut out));
    out
}

/// Alice's secret key, Bob's public key and their first key in "Cryptography in NaCl", sections 2 to 5.
#[test]
fn agree_matches_the_nacl_documentation() {
    let alice = SecretKey::from_bytes(unhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
    let bob = PublicKey(unhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"));
    let first_key = unhex::<32>("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389");
    assert_eq!(Nacl.agree(&alice, &bob).unwrap().as_bytes(), &first_key);
}

quickcheck! {
    fn nonce_plus_adds_like_one_by_one(start: u64, n: u16) -> bool {
        let mut bytes = [0xff; NONCE_LEN];
        bytes[16..].copy_from_slice(&start.to_be_bytes());
        let first = Nonce(bytes);
        let mut stepped = first;
        for _ in 0..n { stepped = stepped.plus(1); }
        stepped == first.plus(u32::from(n))
    }

    fn seal_and_open(key: Vec<u8>, text: Vec<u8>, flip: usize) -> bool {
        let mut bytes = [7; 32];
        for (b, k) in bytes.iter_mut().zip(&key) { *b = *k; }
        let (key, nonce) = (SharedKey::from_bytes(bytes), Nonce([9; 24]));
        let mut boxed = std::vec![0; MAC_LEN + text.len()];
        boxed[MAC_LEN..].copy_from_slice(&text);
        Nacl.seal(&key, &nonce, &mut boxed);
        let mut bad = boxed.clone();
        let at = flip % bad.len();
        bad[at] ^= 1;
        !Nacl.open(&key, &nonce, &mut bad) && Nacl.open(&key, &nonce, &mut boxed) && boxed[MAC_LEN..] == text[..]
    }

    fn tox_id_round_trip(seed: Vec<u8>) -> bool {
        let mut key = [1; 32];
        for (b, s) in key.iter_mut().zip(&seed) { *b = *s; }
        key[31] &= 127;
        key[0] |= 1;
        let id = ToxId { public_key: PublicKey(key), nospam: Nospam([1, 2, 3, 4]) };
        id.to_string().parse() == Ok(id)
    }
}

#[test]
fn tox_id_errors_are_named() {
    let good = ToxId { public_key: PublicKey([5; 32]), nospam: Nospam([1, 2, 3, 4]) }.to_string();
    assert_eq!(good.len(), 76);
    assert_eq!(good[..75].parse::<ToxId>(), Err(ToxIdError::Length(75)));
    assert_eq!(good.replace('5', "g").parse::<ToxId>(), Err(ToxIdError::Digit(1)));
    assert_eq!(("1".to_string() + &good[1..]).parse::<ToxId>(), Err(ToxIdError::Checksum));
    let zero = ToxId { public_key: PublicKey::ZERO, nospam: Nospam([0; 4]) }.to_string();
    assert_eq!(zero.parse::<ToxId>(), Err(ToxIdError::Key));
}

#[test]
fn small_order_keys_are_refused() {
    let secret = SecretKey::from_bytes([3; 32]);
    assert!(Nacl.agree(&secret, &PublicKey::ZERO).is_none());
    let mut one = [0; 32];
    one[0] = 1;
    assert!(Nacl.agree(&secret, &PublicKey(one)).is_none());
}

//! Both suites against everyone else: the NaCl documentation, the crypto_box crate, and libsodium (`interop`).
//!
//! The documentation's example is "Cryptography in NaCl" (D. J. Bernstein, 2009), sections 2 to 10: Alice's and Bob's
//! keys, each intermediate value, one message of 131 bytes, its box.

use bluering::HostSuite;
use bluering_core::crypto::{MAC_LEN, Nacl, Nonce, PublicKey, SecretKey, SharedKey, Suite, hsalsa20_key};
use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use crypto_box::aead::AeadInPlace;
use quickcheck::quickcheck;

const ALICE_SECRET: &str = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
const ALICE_PUBLIC: &str = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
const BOB_SECRET: &str = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
const BOB_PUBLIC: &str = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
const SHARED_SECRET: &str = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
const FIRST_KEY: &str = "1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389";
const NONCE: &str = "69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37";
const MESSAGE: &str = "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffc\
                       e5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb31\
                       0e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde\
                       048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f93776384864\
                       5e0705";
const AUTHENTICATOR: &str = "f3ffc7703f9400e52a7dfb4b3d3305d9";
const CIPHERTEXT: &str = "8e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186a\
                          c0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738\
                          b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da\
                          99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74\
                          e355a5";

#[test]
fn key_pairs_of_the_nacl_documentation() {
    for suite in suites() {
        assert_eq!(suite.public_key(&secret(ALICE_SECRET)).0, unhex::<32>(ALICE_PUBLIC));
        assert_eq!(suite.public_key(&secret(BOB_SECRET)).0, unhex::<32>(BOB_PUBLIC));
    }
}

#[test]
fn agreement_of_the_nacl_documentation() {
    for suite in suites() {
        let alice = suite.agree(&secret(ALICE_SECRET), &PublicKey(unhex(BOB_PUBLIC))).expect("an honest key");
        let bob = suite.agree(&secret(BOB_SECRET), &PublicKey(unhex(ALICE_PUBLIC))).expect("an honest key");
        assert_eq!(alice.as_bytes(), &unhex::<32>(FIRST_KEY));
        assert_eq!(bob.as_bytes(), &unhex::<32>(FIRST_KEY));
    }
    let first_key = hsalsa20_key(&unhex(SHARED_SECRET)).expect("not zero");
    assert_eq!(first_key.as_bytes(), &unhex::<32>(FIRST_KEY));
}

#[test]
fn box_of_the_nacl_documentation() {
    let key = SharedKey::from_bytes(unhex(FIRST_KEY));
    let (nonce, text) = (Nonce(unhex(NONCE)), unhex::<131>(MESSAGE));
    for suite in suites() {
        let mut boxed = seal(&*suite, &key, &nonce, &text);
        assert_eq!(boxed, documented_box());
        assert!(suite.open(&key, &nonce, &mut boxed));
        assert_eq!(boxed[MAC_LEN..], text);
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let (key, nonce, whole) = (SharedKey::from_bytes(unhex(FIRST_KEY)), Nonce(unhex(NONCE)), documented_box());
    for suite in suites() {
        for bit in 0..whole.len() * 8 {
            let mut boxed = whole.clone();
            boxed[bit / 8] ^= 1 << (bit % 8);
            assert!(!suite.open(&key, &nonce, &mut boxed), "bit {bit}");
        }
        for len in 0..whole.len() {
            assert!(!suite.open(&key, &nonce, &mut whole[..len].to_vec()), "{len} bytes");
        }
    }
}

quickcheck! {
    fn agrees_with_crypto_box_on_honest_keys(seed: u64, len: u16) -> bool {
        let mut draw = Draw::new(seed);
        let (ours, theirs) = (draw.bytes::<32>(), draw.bytes::<32>());
        let their_public = crypto_box::SecretKey::from(theirs).public_key();
        let oracle = crypto_box::SalsaBox::new(&their_public, &crypto_box::SecretKey::from(ours));
        let (nonce, text) = (draw.bytes::<24>(), draw.text(len % 2048));
        let mut expected = text.clone();
        let tag = oracle.encrypt_in_place_detached(&nonce.into(), &[], &mut expected).expect("short enough");
        let expected = [tag.as_slice(), &expected].concat();
        suites().iter().all(|suite| {
            let key = suite.agree(&SecretKey::from_bytes(ours), &PublicKey(*their_public.as_bytes())).expect("honest");
            seal(&**suite, &key, &Nonce(nonce), &text) == expected
        })
    }

    fn both_sides_agree(seed: u64) -> bool {
        let mut draw = Draw::new(seed);
        let (a, b) = (SecretKey::from_bytes(draw.bytes()), SecretKey::from_bytes(draw.bytes()));
        let agree = |suite: &dyn Suite, secret, other| suite.agree(secret, &suite.public_key(other)).expect("honest");
        let [portable, host] = suites();
        *agree(&*portable, &a, &b).as_bytes() == *agree(&*host, &b, &a).as_bytes()
    }
}

#[cfg(feature = "interop")]
mod libsodium {
    use super::*;
    use bluering_tests::sodium::Sodium;
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    use curve25519_dalek::scalar::Scalar;

    const ROUNDS: u64 = 2_000;

    #[test]
    fn agrees_on_honest_keys() {
        let sodium = sodium();
        let mut draw = Draw::new(1);
        for _ in 0..ROUNDS {
            let (ours, theirs) = (draw.bytes(), draw.bytes());
            let public = sodium.public_key(&theirs);
            for suite in suites() {
                assert_eq!(suite.public_key(&SecretKey::from_bytes(theirs)).0, public);
            }
            assert_same_agreement(&sodium, &ours, &public);
        }
    }

    /// Any 32 bytes may come as a public key: half of them lie on the twist, and the top bit is ignored.
    #[test]
    fn agrees_on_random_bytes_as_public_keys() {
        let sodium = sodium();
        let mut draw = Draw::new(2);
        for _ in 0..ROUNDS {
            let (ours, public) = (draw.bytes(), draw.bytes());
            assert_same_agreement(&sodium, &ours, &public);
        }
    }

    /// An honest point plus a point of small order: what crypto_box 0.9 gets differently from NaCl.
    #[test]
    fn agrees_on_keys_with_a_small_order_component() {
        let sodium = sodium();
        let mut draw = Draw::new(3);
        for _ in 0..ROUNDS / 10 {
            let honest = ED25519_BASEPOINT_POINT * Scalar::from_bytes_mod_order(draw.bytes());
            for small in EIGHT_TORSION {
                let public = (honest + small).to_montgomery().0;
                assert_same_agreement(&sodium, &draw.bytes(), &public);
            }
        }
    }

    /// All encodings of the points of small order, each with and without the top bit, and their neighbours.
    #[test]
    fn agrees_on_small_order_keys_and_refuses_them() {
        let sodium = sodium();
        let mut draw = Draw::new(4);
        for public in small_order_keys() {
            let ours = draw.bytes();
            assert_same_agreement(&sodium, &ours, &public);
            for suite in suites() {
                assert!(suite.agree(&SecretKey::from_bytes(ours), &PublicKey(public)).is_none(), "{public:02x?}");
            }
            let mut neighbour = public;
            neighbour[0] ^= 2;
            assert_same_agreement(&sodium, &ours, &neighbour);
        }
    }

    #[test]
    fn boxes_are_the_same_and_open_there() {
        let sodium = sodium();
        let mut draw = Draw::new(5);
        for len in 0..1500 {
            let (key, nonce, text) = (draw.bytes(), draw.bytes(), draw.text(len));
            let theirs = sodium.seal(&key, &nonce, &text);
            let at = usize::from(draw.bytes::<1>()[0]) % theirs.len();
            for suite in suites() {
                let mut ours = seal(&*suite, &SharedKey::from_bytes(key), &Nonce(nonce), &text);
                assert_eq!(ours, theirs);
                assert_eq!(sodium.open(&key, &nonce, &ours).as_ref(), Some(&text));
                let mut opened = theirs.clone();
                assert!(suite.open(&SharedKey::from_bytes(key), &Nonce(nonce), &mut opened));
                assert_eq!(opened[MAC_LEN..], text);
                ours[at] ^= 0x10;
                assert!(sodium.open(&key, &nonce, &ours).is_none());
                assert!(!suite.open(&SharedKey::from_bytes(key), &Nonce(nonce), &mut ours));
            }
        }
    }

    fn sodium() -> Sodium {
        Sodium::load().unwrap_or_else(|why| panic!("{why}"))
    }

    fn assert_same_agreement(sodium: &Sodium, secret: &[u8; 32], public: &[u8; 32]) {
        let theirs = sodium.agree(secret, public);
        for suite in suites() {
            let ours = suite.agree(&SecretKey::from_bytes(*secret), &PublicKey(*public));
            assert_eq!(ours.map(|key| *key.as_bytes()), theirs, "secret {secret:02x?} public {public:02x?}");
        }
    }

    fn small_order_keys() -> Vec<[u8; 32]> {
        // p = 2^255 - 19, so that p - 1, p and p + 1 are -1, 0 and 1.
        let mut p = [0xff; 32];
        (p[0], p[31]) = (0xed, 0x7f);
        let around_p = [0xec, 0xed, 0xee].map(|low| {
            let mut key = p;
            key[0] = low;
            key
        });
        let mut keys: Vec<[u8; 32]> = EIGHT_TORSION.iter().map(|point| point.to_montgomery().0).collect();
        keys.extend(around_p);
        for mut key in keys.clone() {
            key[31] |= 0x80;
            keys.push(key);
        }
        keys
    }
}

/// What this is all about: the portable suite, and the one of hosts.
fn suites() -> [Box<dyn Suite>; 2] {
    [Box::new(Nacl), Box::new(HostSuite::new())]
}

fn seal(suite: &dyn Suite, key: &SharedKey, nonce: &Nonce, text: &[u8]) -> Vec<u8> {
    let mut boxed = [&[0; MAC_LEN][..], text].concat();
    suite.seal(key, nonce, &mut boxed);
    boxed
}

fn documented_box() -> Vec<u8> {
    [&unhex::<MAC_LEN>(AUTHENTICATOR)[..], &unhex::<131>(CIPHERTEXT)].concat()
}

/// Random bytes of a seed.
struct Draw(ChaCha8Rng);

impl Draw {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    fn text(&mut self, len: u16) -> Vec<u8> {
        let mut bytes = vec![0; len.into()];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}

fn secret(digits: &str) -> SecretKey {
    SecretKey::from_bytes(unhex(digits))
}

fn unhex<const N: usize>(digits: &str) -> [u8; N] {
    assert_eq!(digits.len(), 2 * N);
    core::array::from_fn(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).expect("hexadecimal"))
}

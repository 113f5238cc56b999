//! Keys. Secret ones are wiped when dropped and never printed.

use core::fmt;
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Length of a public key in bytes.
pub const PUBLIC_KEY_LEN: usize = 32;
/// Length of a secret key in bytes.
pub const SECRET_KEY_LEN: usize = 32;

/// An X25519 public key: a peer's long-term identity, a DHT node id, or a temporary key.
#[derive(Clone, Copy, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub struct PublicKey(pub [u8; PUBLIC_KEY_LEN]);

/// Word by word. Tables are searched by key all the time, and what a microcontroller has for comparing bytes takes six
/// instructions for each: it was a tenth of all that an idle node did.
impl PartialEq for PublicKey {
    // On small machines it is called, for the sake of their flash.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn eq(&self, other: &Self) -> bool {
        (0..4).all(|i| self.word(i) == other.word(i))
    }
}

impl core::hash::Hash for PublicKey {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PublicKey {
    /// All zeros: what vacant table entries hold. Never a valid peer.
    pub const ZERO: Self = Self([0; PUBLIC_KEY_LEN]);

    /// From a slice of exactly 32 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; PUBLIC_KEY_LEN] {
        &self.0
    }

    /// Whether toxcore would accept it as a friend's key: the top bit is clear and it is not zero.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.0[31] < 128 && *self != Self::ZERO
    }

    /// The XOR distance to `other`: a number of 256 bits in four words, the highest first, which compare like it.
    #[must_use]
    pub fn distance(&self, other: &Self) -> [u64; 4] {
        core::array::from_fn(|i| self.word(i) ^ other.word(i))
    }

    /// Whether `self` is strictly closer to `target` than `other` is.
    #[must_use]
    pub fn is_closer(&self, other: &Self, target: &Self) -> bool {
        // Random keys differ in their first words: the others are seldom looked at.
        let unequal = (0..4).find(|i| self.word(*i) != other.word(*i));
        unequal.is_some_and(|i| self.word(i) ^ target.word(i) < other.word(i) ^ target.word(i))
    }

    /// The number of leading bits shared with `other`, 0..=256: the k-bucket index.
    #[must_use]
    pub fn common_prefix(&self, other: &Self) -> usize {
        let unequal = (0..4).find(|i| self.word(*i) != other.word(*i));
        unequal.map_or(256, |i| i * 64 + (self.word(i) ^ other.word(i)).leading_zeros() as usize)
    }

    /// The `i`th eight bytes as a big-endian number.
    fn word(&self, i: usize) -> u64 {
        u64::from_be_bytes(self.0.as_chunks::<8>().0[i])
    }

    /// Parses 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut key = [0; PUBLIC_KEY_LEN];
        decode_hex(text, &mut key).then_some(Self(key))
    }
}

/// Upper-case hexadecimal, as Tox clients print keys.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02X}"))?;
        f.write_str("..")
    }
}

/// An X25519 secret key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; SECRET_KEY_LEN]);

impl SecretKey {
    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; SECRET_KEY_LEN];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// From stored bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; SECRET_KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be stored or used.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; SECRET_KEY_LEN] {
        &self.0
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        let secret = crypto_box::SecretKey::from(self.0);
        PublicKey(*secret.public_key().as_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// A precomputed box key (NaCl `beforenm`), or any symmetric XSalsa20-Poly1305 key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SharedKey([u8; 32]);

impl SharedKey {
    /// All zeros: what vacant table entries hold.
    pub const ZERO: Self = Self([0; 32]);

    /// From raw bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A random symmetric key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKey(..)")
    }
}

/// Decodes exactly `out.len()` bytes of hexadecimal; false when the length or a digit is wrong.
pub(crate) fn decode_hex(text: &str, out: &mut [u8]) -> bool {
    let digits = text.as_bytes();
    digits.len() == out.len() * 2
        && out.iter_mut().zip(digits.chunks_exact(2)).all(|(byte, pair)| {
            let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|v| u8::try_from(v).ok());
            match (nibble(pair[0]), nibble(pair[1])) {
                (Some(high), Some(low)) => {
                    *byte = high << 4 | low;
                    true
                }
                (None, _) | (_, None) => false,
            }
        })
}

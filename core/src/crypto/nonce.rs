//! Nonces: 24 bytes, drawn at random or counted up as a big-endian number.

use rand_core::CryptoRng;

/// Length of a nonce in bytes.
pub const NONCE_LEN: usize = 24;

/// A 24-byte nonce of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nonce(pub [u8; NONCE_LEN]);

impl Nonce {
    /// All zeros: what vacant table entries hold.
    pub const ZERO: Self = Self([0; NONCE_LEN]);

    /// A random nonce.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; NONCE_LEN];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// From a slice of exactly 24 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// This nonce plus `n`, as a 192-bit big-endian number that wraps.
    #[must_use]
    pub fn plus(&self, n: u32) -> Self {
        let mut out = self.0;
        let mut carry = u64::from(n);
        for byte in out.iter_mut().rev() {
            if carry == 0 {
                break;
            }
            let sum = u64::from(*byte) + (carry & 0xff);
            *byte = sum as u8;
            carry = (carry >> 8) + (sum >> 8);
        }
        Self(out)
    }

    /// The last two bytes as a big-endian number: what a crypto data packet (0x1b) carries of its nonce.
    #[must_use]
    pub const fn low16(&self) -> u16 {
        u16::from_be_bytes([self.0[NONCE_LEN - 2], self.0[NONCE_LEN - 1]])
    }
}

//! The Tox ID that people hand to each other: long-term public key, nospam, checksum; 76 hexadecimal digits.

use super::PublicKey;
use super::keys::decode_hex;
use core::fmt;
use core::str::FromStr;
use rand_core::CryptoRng;

/// Length of a nospam in bytes.
pub const NOSPAM_LEN: usize = 4;
/// Length of a Tox ID in bytes.
pub const TOX_ID_LEN: usize = 38;

/// Four bytes in the Tox ID that a friend request must repeat; changing them ends unwanted requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Nospam(pub [u8; NOSPAM_LEN]);

impl Nospam {
    /// A random nospam.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; NOSPAM_LEN];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// Parses 8 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; NOSPAM_LEN];
        decode_hex(text, &mut bytes).then_some(Self(bytes))
    }
}

impl fmt::Display for Nospam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

/// A checked Tox ID. The checksum is not stored: it follows from the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ToxId {
    /// The long-term public key.
    pub public_key: PublicKey,
    /// The nospam.
    pub nospam: Nospam,
}

/// Why a text or byte string is not a Tox ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToxIdError {
    /// Not 76 digits (or 38 bytes): the given number was found.
    Length(usize),
    /// Not a hexadecimal digit, at this position (counted from 0).
    Digit(usize),
    /// The last four digits do not match the rest: mistyped or cut.
    Checksum,
    /// The public key in it can belong to nobody.
    Key,
}

impl ToxId {
    /// Parses the binary form, checksum included.
    ///
    /// # Errors
    /// [`ToxIdError::Length`], [`ToxIdError::Checksum`], [`ToxIdError::Key`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ToxIdError> {
        let bytes: &[u8; TOX_ID_LEN] = bytes.try_into().map_err(|_| ToxIdError::Length(bytes.len()))?;
        let (body, checksum) = bytes.split_at(TOX_ID_LEN - 2);
        if checksum_of(body) != checksum {
            return Err(ToxIdError::Checksum);
        }
        let mut id = Self { public_key: PublicKey::ZERO, nospam: Nospam::default() };
        id.public_key.0.copy_from_slice(&body[..32]);
        id.nospam.0.copy_from_slice(&body[32..]);
        if id.public_key.is_valid() { Ok(id) } else { Err(ToxIdError::Key) }
    }

    /// The binary form.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; TOX_ID_LEN] {
        let mut bytes = [0; TOX_ID_LEN];
        bytes[..32].copy_from_slice(&self.public_key.0);
        bytes[32..36].copy_from_slice(&self.nospam.0);
        let checksum = checksum_of(&bytes[..36]);
        bytes[36..].copy_from_slice(&checksum);
        bytes
    }
}

impl FromStr for ToxId {
    type Err = ToxIdError;

    /// Parses 76 hexadecimal digits of either case; surrounding white space and a `tox:` prefix are allowed.
    fn from_str(text: &str) -> Result<Self, ToxIdError> {
        let text = text.trim();
        let text = text.strip_prefix("tox:").unwrap_or(text);
        if let Some(at) = text.chars().position(|c| !c.is_ascii_hexdigit()) {
            return Err(ToxIdError::Digit(at));
        }
        let mut bytes = [0; TOX_ID_LEN];
        if !decode_hex(text, &mut bytes) {
            return Err(ToxIdError::Length(text.len()));
        }
        Self::from_bytes(&bytes)
    }
}

impl fmt::Display for ToxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes().iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Display for ToxIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(found) => write!(f, "a Tox ID has 76 hexadecimal digits, this has {found}"),
            Self::Digit(at) => write!(f, "character {} is not a hexadecimal digit", at + 1),
            Self::Checksum => f.write_str("the checksum does not match: a digit is wrong or missing"),
            Self::Key => f.write_str("the public key in it is not valid"),
        }
    }
}

impl core::error::Error for ToxIdError {}

/// XOR of the bytes at even and at odd places.
fn checksum_of(body: &[u8]) -> [u8; 2] {
    body.chunks_exact(2).fold([0, 0], |[a, b], pair| [a ^ pair[0], b ^ pair[1]])
}

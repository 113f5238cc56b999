//! Cryptography: the only module that names a crypto crate.
//!
//! Tox uses NaCl's `crypto_box` everywhere: X25519, HSalsa20, XSalsa20-Poly1305. Two long-lived key pairs belong to a
//! node: the long-term pair (the identity in the Tox ID) and the DHT pair (new at every start). The machines of the
//! core reach the primitives through [`Suite`], so that a host can put faster ones in; [`Nacl`] is the portable
//! implementation and the oracle, `HostSuite` (feature `host`) the fast one for machines with an operating system.

#[cfg(feature = "host")]
mod host;
mod keys;
mod nonce;
mod suite;
#[cfg(test)]
mod tests;
mod toxid;

#[cfg(feature = "host")]
pub use host::HostSuite;
pub use keys::{PUBLIC_KEY_LEN, PublicKey, SECRET_KEY_LEN, SecretKey, SharedKey};
pub use nonce::{NONCE_LEN, Nonce};
pub use suite::{MAC_LEN, Nacl, Suite, hsalsa20_key};
pub use toxid::{NOSPAM_LEN, Nospam, TOX_ID_LEN, ToxId, ToxIdError};

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};

/// SHA-512 of `data` (the handshake binds its cookie with it).
#[must_use]
pub fn sha512(data: &[u8]) -> [u8; 64] {
    Sha512::digest(data).into()
}

/// SHA-256 of `data` (DHT announcements are compared by it).
#[must_use]
pub fn sha256(data: &[u8]) -> [u8; 32] {
    Sha256::digest(data).into()
}

/// HMAC-SHA-256 over the concatenation of `parts` (onion announce ping ids; never compared by anyone but their maker).
#[must_use]
pub fn hmac_sha256(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mut mac = <Hmac<Sha256> as Mac>::new(&block.into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Compares two secrets without telling by time where they differ.
#[must_use]
pub fn ct_eq(a: &[u8], b: &[u8]) -> bool {
    use subtle::ConstantTimeEq;
    a.ct_eq(b).into()
}

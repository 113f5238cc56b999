//! libsodium, the box that c-toxcore uses: the oracle of the crypto tests and the other side of the crypto bench.

#![allow(unsafe_code, reason = "libsodium is a C library, loaded at run time")]

use crate::{Failure, INSTALL, Outcome};
use core::ffi::{c_int, c_ulonglong};
use libloading::Library;

/// Length of an authenticator.
pub const MAC_LEN: usize = 16;

type Multiply = unsafe extern "C" fn(*mut u8, *const u8, *const u8) -> c_int;
type MultiplyBase = unsafe extern "C" fn(*mut u8, *const u8) -> c_int;
type Convert = unsafe extern "C" fn(*mut u8, *const u8, c_ulonglong, *const u8, *const u8) -> c_int;

/// The loaded library.
pub struct Sodium {
    beforenm: Multiply,
    scalarmult_base: MultiplyBase,
    easy: Convert,
    open_easy: Convert,
    _library: Library,
}

impl Sodium {
    /// Loads the system's libsodium.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn load() -> Outcome<Self> {
        // SAFETY: libsodium has no load-time code that asks anything of us.
        let library = unsafe { Library::new("libsodium.so.23") };
        let library = library.map_err(|why| Failure(format!("cannot load libsodium ({why}): {INSTALL}")))?;
        Self::bind(library).map_err(|why| Failure(format!("libsodium lacks a function: {why}")))
    }

    fn bind(library: Library) -> Result<Self, libloading::Error> {
        // SAFETY: the types are the C declarations of these names in sodium.h; they live no longer than the library,
        // which the struct owns. sodium_init may be called at any time and chooses the fastest implementation.
        unsafe {
            let init: unsafe extern "C" fn() -> c_int = *library.get(b"sodium_init\0")?;
            init();
            Ok(Self {
                beforenm: *library.get(b"crypto_box_beforenm\0")?,
                scalarmult_base: *library.get(b"crypto_scalarmult_base\0")?,
                easy: *library.get(b"crypto_box_easy_afternm\0")?,
                open_easy: *library.get(b"crypto_box_open_easy_afternm\0")?,
                _library: library,
            })
        }
    }

    /// The box key of two parties; `None` when the library refuses the public key.
    #[must_use]
    pub fn agree(&self, secret: &[u8; 32], public: &[u8; 32]) -> Option<[u8; 32]> {
        let mut key = [0; 32];
        // SAFETY: three buffers of 32 bytes.
        let refused = unsafe { (self.beforenm)(key.as_mut_ptr(), public.as_ptr(), secret.as_ptr()) };
        (refused == 0).then_some(key)
    }

    /// The public key of a secret key.
    #[must_use]
    pub fn public_key(&self, secret: &[u8; 32]) -> [u8; 32] {
        let mut key = [0; 32];
        // SAFETY: two buffers of 32 bytes.
        unsafe { (self.scalarmult_base)(key.as_mut_ptr(), secret.as_ptr()) };
        key
    }

    /// Encrypts: authenticator, then ciphertext.
    #[must_use]
    pub fn seal(&self, key: &[u8; 32], nonce: &[u8; 24], text: &[u8]) -> Vec<u8> {
        let mut boxed = vec![0; MAC_LEN + text.len()];
        self.seal_into(key, nonce, text, &mut boxed);
        boxed
    }

    /// Encrypts into `boxed`, which is 16 bytes longer than `text`.
    pub fn seal_into(&self, key: &[u8; 32], nonce: &[u8; 24], text: &[u8], boxed: &mut [u8]) {
        assert_eq!(boxed.len(), MAC_LEN + text.len());
        // SAFETY: the text and its length, room for 16 bytes more, a nonce of 24 and a key of 32 bytes.
        unsafe {
            (self.easy)(boxed.as_mut_ptr(), text.as_ptr(), text.len() as u64, nonce.as_ptr(), key.as_ptr());
        }
    }

    /// Decrypts; `None` when the authenticator is wrong.
    #[must_use]
    pub fn open(&self, key: &[u8; 32], nonce: &[u8; 24], boxed: &[u8]) -> Option<Vec<u8>> {
        let mut text = vec![0; boxed.len().checked_sub(MAC_LEN)?];
        self.open_into(key, nonce, boxed, &mut text).then_some(text)
    }

    /// Decrypts into `text`, which is 16 bytes shorter than `boxed`. False when the authenticator is wrong.
    pub fn open_into(&self, key: &[u8; 32], nonce: &[u8; 24], boxed: &[u8], text: &mut [u8]) -> bool {
        assert_eq!(boxed.len(), MAC_LEN + text.len());
        // SAFETY: the box and its length, room for 16 bytes less, a nonce of 24 and a key of 32 bytes.
        let wrong = unsafe {
            (self.open_easy)(text.as_mut_ptr(), boxed.as_ptr(), boxed.len() as u64, nonce.as_ptr(), key.as_ptr())
        };
        wrong == 0
    }
}

//! BlueRing on microcontrollers: the core with storage of static size.
//!
//! This crate keeps the core honest: it builds for targets without an allocator, and the memory of a client with 8
//! friends and 64 known nodes is a constant that a compile-time check bounds.
//!
//! ```
//! use bluering_embassy::ClientStorage;
//! static STORAGE: std::sync::Mutex<ClientStorage> = std::sync::Mutex::new(ClientStorage::new());
//! println!("{} bytes", ClientStorage::BYTES);
//! ```

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

#[cfg(test)]
extern crate std;

pub mod flash;

pub use bluering_core;
use bluering_core::StaticStorage;

/// All tables of a client with 8 friends and 64 known nodes.
pub type ClientStorage = StaticStorage<8, 11, 64, 10, 6>;

/// The most that [`ClientStorage`] may take on a 32-bit target.
pub const CLIENT_STORAGE_MAX: usize = 48 * 1024;

#[cfg(target_pointer_width = "32")]
const _: () = assert!(ClientStorage::BYTES <= CLIENT_STORAGE_MAX, "the tables of a small client have grown");

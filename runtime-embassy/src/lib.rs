//! BlueRing on microcontrollers: a Tox client over embassy-net.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

#[cfg(test)]
extern crate std;

pub mod flash;

mod neighbours;
mod net;
mod resources;
mod runner;
mod saver;
mod start;
mod tox;

pub use bluering_core;
pub use net::Addresses;
pub use resources::{CORE_BYTES_MAX, ToxResources};
pub use runner::Bootstrap;
pub use start::{Config, PORT, Runner, StartError, new};
pub use tox::{Counters, DeviceEnv, EVENT_LEN_MAX, Tox};

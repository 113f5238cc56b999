//! Tox on std hosts: BlueRing's core behind a UDP socket, a clock and a file, on smol.

mod env;
mod suite;

pub use env::{HostEnv, rng};
pub use suite::HostSuite;

//! A simulated network on virtual time: real nodes, perfect links, one seed.
//!
//! A [`World`] owns nodes and a queue of what happens when: datagrams that arrive, and timers. It jumps from one event
//! to the next, so no test of the protocol ever sleeps, and the same seed gives the same run everywhere. Each node
//! draws its randomness from a generator of its own, forked from the seed by its number, so that one more draw in one
//! node changes nothing in another.

#![forbid(unsafe_code)]

mod env;
pub mod net;
mod rng;
mod world;

pub use env::SimEnv;
pub use rng::{MILLION, Ppm, SimRng};
pub use world::{Flight, Heard, NodeId, World};

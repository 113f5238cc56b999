//! Whole Tox networks in one deterministic process: real nodes, simulated lines, faults and adversaries, one seed.
//!
//! | room | what lives there |
//! |---|---|
//! | [`rng`], [`choices`] | the generator, and the one stream of choices of a run |
//! | [`net`] | lines, NATs, byte streams, and who is where |
//! | [`crypto`] | the nodes' cryptography: real, or a toy for scale |
//! | [`world`] | hosts, virtual time, and what happens next |
//! | [`actor`], [`observe`] | hosts that are no nodes; what watchers see |
//! | [`actors`] | proxies, and clients of relays |
//! | [`adversaries`] | who means the network ill |
//! | [`oracles`] | what must hold in every run |
//! | [`output`] | what a person looks at afterwards |

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

pub mod actor;
pub mod actors;
pub mod adversaries;
pub mod choices;
pub mod crypto;
mod env;
pub mod net;
pub mod observe;
pub mod oracles;
pub mod output;
pub mod plan;
pub mod replay;
pub mod rng;
pub mod run;
pub mod scenarios;
pub mod world;

pub use env::SimEnv;
pub use observe::HostId;
pub use rng::{MILLION, Ppm, SimRng};
pub use world::{Flight, Heard, HostSpec, World};

//! What simulated nodes run with: the world's cryptography, and randomness that follows from the seed.

use crate::crypto::SimSuite;
use crate::rng::SimRng;
use bluering_core::Env;

/// The environment of simulated nodes.
#[derive(Debug)]
pub struct SimEnv;

impl Env for SimEnv {
    type Rng = SimRng;
    type Suite = SimSuite;
}

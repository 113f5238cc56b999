//! What simulated nodes run with: real cryptography, and randomness that follows from the seed.

use bluering_core::Env;
use bluering_core::crypto::Nacl;
use chacha20::ChaCha8Rng;
use rand_core::SeedableRng;

/// The environment of simulated nodes.
#[derive(Debug)]
pub struct SimEnv;

impl Env for SimEnv {
    type Rng = ChaCha8Rng;
    type Suite = Nacl;
}

/// The generator of one purpose (`label`) of one node of the world with `seed`.
pub(crate) fn fork(seed: u64, node: u64, label: u64) -> ChaCha8Rng {
    let mut bytes = [0; 32];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip([seed, node, label, 0x626c_7565_7269_6e67]) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(bytes)
}

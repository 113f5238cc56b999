//! The simulator's own generator (xoshiro256**), so that a seed means the same run for as long as this file stands.
//!
//! Generators are forked by labels: each purpose of each node has its own, and one more draw in one place changes
//! nothing elsewhere. It serves as the nodes' cryptographic generator too, which only a simulation may do.

use core::convert::Infallible;
use rand_core::{TryCryptoRng, TryRng};

/// Parts per million: probabilities without floating point, so that all machines agree.
pub type Ppm = u32;

/// Certainty.
pub const MILLION: Ppm = 1_000_000;

/// A generator: small, fast, and the same on every machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimRng([u64; 4]);

impl SimRng {
    /// The generator of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        let mut state = seed;
        let mut words = [0; 4];
        let mut i = 0;
        while i < 4 {
            (state, words[i]) = split_mix(state);
            i += 1;
        }
        Self(words)
    }

    /// The generator of one purpose: `seed`, then what names it (a node, a label).
    #[must_use]
    pub fn fork(seed: u64, labels: &[u64]) -> Self {
        Self::new(labels.iter().fold(seed, |seed, label| {
            let (state, mixed) = split_mix(seed ^ label.rotate_left(32));
            split_mix(state ^ mixed).1
        }))
    }

    /// The next 64 bits.
    pub const fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.0;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let (c, d) = (c ^ a, d ^ b);
        self.0 = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A number below `n`; 0 when `n` is 0.
    pub const fn below(&mut self, n: u64) -> u64 {
        // Multiply and shift: the bias is below n / 2^64.
        ((self.next() as u128 * n as u128) >> 64) as u64
    }

    /// True with a probability of `ppm`. A certain answer draws nothing.
    pub const fn chance(&mut self, ppm: Ppm) -> bool {
        ppm >= MILLION || (ppm > 0 && self.below(MILLION as u64) < ppm as u64)
    }

    /// Fills `out`.
    pub fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }

    /// `N` bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// Puts `items` into any order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

/// SplitMix64: the next state, and the number.
const fn split_mix(state: u64) -> (u64, u64) {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (state, z ^ (z >> 31))
}

impl TryRng for SimRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.next() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for SimRng {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published output of xoshiro256** for the state that SplitMix64 makes of seed 0. It must never change: replay
    /// files hang on it.
    #[test]
    fn the_sequence_of_a_seed_is_fixed() {
        let mut rng = SimRng::new(0);
        let got = [rng.next(), rng.next(), rng.next()];
        assert_eq!(got, [0x99ec_5f36_cb75_f2b4, 0xbf6e_1f78_4956_452a, 0x1a5f_849d_4933_e6e0]);
        assert_eq!(SimRng::fork(1, &[2, 3]).next(), SimRng::fork(1, &[2, 3]).next());
        assert_ne!(SimRng::fork(1, &[2, 3]).next(), SimRng::fork(1, &[3, 2]).next());
    }

    #[test]
    fn chances_are_as_asked() {
        let mut rng = SimRng::new(7);
        let hits = (0..100_000).filter(|_| rng.chance(250_000)).count();
        assert!((24_000..26_000).contains(&hits), "{hits}");
        assert!(rng.chance(MILLION) && !rng.chance(0));
        assert!((0..1000).all(|_| rng.below(3) < 3));
    }
}

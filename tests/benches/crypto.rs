//! The primitives, side by side with the libsodium that c-toxcore uses.

use bluering::HostSuite;
use bluering_core::crypto::{MAC_LEN, Nacl, Nonce, PublicKey, SecretKey, SharedKey, Suite};
use bluering_tests::bench::Bench;
use bluering_tests::sodium::Sodium;
use bluering_tests::table::Table;
use core::hint::black_box;
use core::time::Duration;
use std::process::ExitCode;
use std::time::Instant;

const RUNS: usize = 9;
const SIZES: [usize; 3] = [64, 512, 1400];
const COLUMNS: [&str; 3] = ["libsodium", "BlueRing", "BlueRing, portable"];

fn main() -> ExitCode {
    let bench = Bench::from_args();
    let Some(sodium) = bench.take("libsodium", Sodium::load()) else { return bench.finish() };
    let suites: [&dyn Contestant; COLUMNS.len()] = [&sodium, &Ours(HostSuite::new()), &Ours(Nacl)];
    let mut table = Table::new("Crypto, microseconds per operation on one core", &COLUMNS);
    let runs = bench.runs(RUNS);
    table.row("agree: X25519 and HSalsa20", &each(&suites, runs, |suite| suite.agree(&[7; 32], &[9; 32])));
    table.row("public key of a secret key", &each(&suites, runs, |suite| suite.public_key(&[7; 32])));
    for size in SIZES {
        let text = vec![1; size];
        table.row(&format!("seal {size} B"), &each(&suites, runs, |suite| suite.seal(&text)));
    }
    for size in SIZES {
        let boxed = sodium.seal(&[5; 32], &[6; 24], &vec![1; size]);
        table.row(&format!("open {size} B"), &each(&suites, runs, |suite| suite.open(&boxed)));
    }
    table.print();
    bench.finish()
}

/// Microseconds per call, for each contestant `runs` times, taking turns.
fn each(suites: &[&dyn Contestant], runs: usize, operation: impl Fn(&dyn Contestant)) -> Vec<Vec<f64>> {
    let mut samples = vec![Vec::new(); suites.len()];
    for _ in 0..runs {
        for (column, suite) in suites.iter().enumerate() {
            samples[column].push(time(|| operation(*suite)));
        }
    }
    samples
}

/// Microseconds per call, over about 50 ms.
fn time(operation: impl Fn()) -> f64 {
    let mut calls = 1_u32;
    loop {
        let start = Instant::now();
        (0..calls).for_each(|_| operation());
        let took = start.elapsed();
        if took > Duration::from_millis(50) {
            return took.as_secs_f64() * 1e6 / f64::from(calls);
        }
        calls *= 2;
    }
}

/// What is measured of everybody. Keys and nonces are the same for all.
trait Contestant {
    fn agree(&self, secret: &[u8; 32], public: &[u8; 32]);
    fn public_key(&self, secret: &[u8; 32]);
    fn seal(&self, text: &[u8]);
    fn open(&self, boxed: &[u8]);
}

impl Contestant for Sodium {
    fn agree(&self, secret: &[u8; 32], public: &[u8; 32]) {
        black_box(self.agree(black_box(secret), black_box(public)));
    }

    fn public_key(&self, secret: &[u8; 32]) {
        black_box(self.public_key(black_box(secret)));
    }

    fn seal(&self, text: &[u8]) {
        let mut boxed = [0; 2048];
        self.seal_into(&[5; 32], &[6; 24], black_box(text), &mut boxed[..MAC_LEN + text.len()]);
        black_box(boxed);
    }

    fn open(&self, boxed: &[u8]) {
        let mut text = [0; 2048];
        assert!(self.open_into(&[5; 32], &[6; 24], black_box(boxed), &mut text[..boxed.len() - MAC_LEN]));
        black_box(text);
    }
}

/// One of our suites.
struct Ours<S>(S);

impl<S: Suite> Contestant for Ours<S> {
    fn agree(&self, secret: &[u8; 32], public: &[u8; 32]) {
        black_box(self.0.agree(&SecretKey::from_bytes(*black_box(secret)), &PublicKey(*black_box(public))));
    }

    fn public_key(&self, secret: &[u8; 32]) {
        black_box(self.0.public_key(&SecretKey::from_bytes(*black_box(secret))));
    }

    /// In place, as the core does it; the copy of the text counts, as it does for libsodium.
    fn seal(&self, text: &[u8]) {
        let mut boxed = [0; 2048];
        let boxed = &mut boxed[..MAC_LEN + text.len()];
        boxed[MAC_LEN..].copy_from_slice(black_box(text));
        self.0.seal(&SharedKey::from_bytes([5; 32]), &Nonce([6; 24]), boxed);
        black_box(boxed);
    }

    fn open(&self, boxed: &[u8]) {
        let mut text = [0; 2048];
        let text = &mut text[..boxed.len()];
        text.copy_from_slice(black_box(boxed));
        assert!(self.0.open(&SharedKey::from_bytes([5; 32]), &Nonce([6; 24]), text));
        black_box(text);
    }
}

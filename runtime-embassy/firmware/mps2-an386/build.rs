//! Hands the board's memory to the linker. It is said here and not in `.cargo/config.toml`, which counts only where
//! cargo is called.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let memory = if env::var_os("CARGO_FEATURE_RELAYS").is_some() { "memory-relays.x" } else { "memory.x" };
    fs::copy(memory, out.join("memory.x")).expect("it can be copied");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=--nmagic");
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rerun-if-changed={memory}");
}

//! Gives the linker the memory map, and the firmware its configuration: `bot.conf`, or the example until there is one.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    copy(&package.join("memory.x"), &out.join("memory.x"));
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=--nmagic");
    println!("cargo::rustc-link-arg-bins=-Tlink.x");

    let (own, example) = (package.join("bot.conf"), package.join("bot.conf.example"));
    println!("cargo::rerun-if-changed={}", own.display());
    let chosen = if own.exists() {
        own
    } else {
        println!("cargo::warning=built with bot.conf.example: copy it to bot.conf and make it yours before you flash");
        example
    };
    copy(&chosen, &out.join("bot.conf"));
}

fn copy(from: &Path, to: &Path) {
    println!("cargo::rerun-if-changed={}", from.display());
    fs::copy(from, to).unwrap_or_else(|why| panic!("{}: {why}", from.display()));
}

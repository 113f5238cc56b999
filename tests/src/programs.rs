//! Where the programs are.

use crate::{Failure, INSTALL, Outcome};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Whose implementation a program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// c-toxcore: our `toxpeer` around libtoxcore, or `tox-bootstrapd`.
    Real,
    /// BlueRing: the program `bluering`.
    Ours,
}

impl Kind {
    /// A client that speaks JSON lines: the program, and its arguments before all others.
    pub(crate) fn client(self) -> Outcome<(PathBuf, &'static [&'static str])> {
        match self {
            Self::Real => Ok((toxpeer()?, &[])),
            Self::Ours => Ok((bluering()?, &["headless"])),
        }
    }
}

/// A program of the system.
///
/// # Errors
/// When it is missing: what to install.
pub fn in_path(program: &str) -> Outcome<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = folders.map(|folder| folder.join(program)).find(|file| file.is_file());
    found.ok_or_else(|| Failure(format!("{program} is missing: {INSTALL}")))
}

/// The system's tox-bootstrapd, or the one that `$TOX_BOOTSTRAPD` names.
pub(crate) fn bootstrapd() -> Outcome<PathBuf> {
    match std::env::var_os("TOX_BOOTSTRAPD").map(PathBuf::from) {
        Some(given) if given.is_file() => Ok(given),
        Some(given) => Err(Failure(format!("$TOX_BOOTSTRAPD names {}, which is not there", given.display()))),
        None => in_path("tox-bootstrapd"),
    }
}

/// Cargo builds it beside the tests and benches of this package.
fn toxpeer() -> Outcome<PathBuf> {
    let program = target_folder()?.join("toxpeer");
    if program.is_file() {
        return Ok(program);
    }
    Err(Failure(format!("{} is missing: run with --features interop", program.display())))
}

/// Our program, built once per process: Cargo does not know that tests of this package need it, and an old one would
/// lie.
pub(crate) fn bluering() -> Outcome<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT.get_or_init(|| build_bluering().map_err(|why| why.0)).clone().map_err(Failure)
}

fn build_bluering() -> Outcome<PathBuf> {
    if let Some(given) = std::env::var_os("BLUERING_EXE") {
        return Ok(given.into());
    }
    let folder = target_folder()?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "-p", "bluering", "--bin", "bluering"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    let output = cargo.output()?;
    if !output.status.success() {
        return Err(Failure(format!("cargo build -p bluering: {}", String::from_utf8_lossy(&output.stderr))));
    }
    Ok(folder.join("bluering"))
}

/// `target/PROFILE`: a test or bench runs from its folder `deps`.
fn target_folder() -> Outcome<PathBuf> {
    let exe = std::env::current_exe()?;
    let folder = exe.parent().ok_or_else(|| Failure::new("the test program has no folder"))?;
    Ok(if folder.ends_with("deps") { folder.parent().unwrap_or(Path::new("/")).into() } else { folder.into() })
}

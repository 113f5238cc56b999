//! What every bench program shares: its options, and an exit code that tells whether all was measured.

use crate::{Kind, Outcome};
use core::cell::RefCell;
use std::process::ExitCode;

/// How a bench was called, and what failed in it.
#[derive(Default)]
pub struct Bench {
    /// `--quick`: one short run, for seeing that it works.
    pub quick: bool,
    runs: Option<usize>,
    only: Option<String>,
    failures: RefCell<Vec<String>>,
}

impl Bench {
    /// Reads `--quick`, `--runs N` and `--only TEXT`; Cargo adds `--bench`.
    #[must_use]
    pub fn from_args() -> Self {
        let args: Vec<String> = std::env::args().collect();
        let runs = args.windows(2).find(|pair| pair[0] == "--runs").and_then(|pair| pair[1].parse().ok());
        let only = args.windows(2).find(|pair| pair[0] == "--only").map(|pair| pair[1].clone());
        Self { quick: args.iter().any(|arg| arg == "--quick"), runs, only, failures: RefCell::default() }
    }

    /// Whether this is to be measured: all is, unless `--only TEXT` says otherwise.
    #[must_use]
    pub fn wants(&self, what: &str) -> bool {
        self.only.as_ref().is_none_or(|only| what.contains(only.as_str()))
    }

    /// How often to measure everything.
    #[must_use]
    pub fn runs(&self, normal: usize) -> usize {
        self.runs.unwrap_or(if self.quick { 1 } else { normal })
    }

    /// The value, or `None` after noting and telling why there is none.
    pub fn take<T>(&self, what: &str, outcome: Outcome<T>) -> Option<T> {
        outcome
            .map_err(|why| {
                eprintln!("{what}: {why}");
                self.failures.borrow_mut().push(what.into());
            })
            .ok()
    }

    /// The end of `main`: failure when anything was not measured.
    #[must_use]
    pub fn finish(self) -> ExitCode {
        let failures = self.failures.into_inner();
        if failures.is_empty() {
            return ExitCode::SUCCESS;
        }
        eprintln!("\nnot measured: {}", failures.join(", "));
        ExitCode::FAILURE
    }
}

/// What a table calls an implementation.
#[must_use]
pub fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Real => "c-toxcore",
        Kind::Ours => "BlueRing",
    }
}

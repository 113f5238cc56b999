//! The program `bluering`.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os())
}

//! The command line. What goes wrong is one line on stderr; the exit code is 2 for a wrong command line or file, 1 for
//! a broken rule and for what goes wrong later, 130 for Ctrl-C.

mod guard;
mod list;
mod options;
mod outputs;
mod replay;
mod run;
mod show;
mod sweep;
mod wrong;

use bluering_sim::oracles::Violation;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// Whole Tox networks in one deterministic process.
#[derive(Debug, Parser)]
#[command(name = "bluering-sim", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Name the scenarios
    List,
    /// Run a scenario once
    Run(run::Options),
    /// Run a scenario with many seeds
    Sweep(sweep::Options),
    /// Run the case in a replay file again
    Replay(replay::Options),
    /// Find the smallest case that breaks the same rule as the one in a replay file
    Shrink(replay::ShrinkOptions),
}

/// Interrupted by the user.
const INTERRUPTED: u8 = 130;

/// Runs one command line.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            return Failure::usage(wrong::line(&error, &args)).report();
        }
        Err(help) => {
            print!("{help}");
            return ExitCode::SUCCESS;
        }
    };
    let result = match cli.command {
        Command::List => list::list(),
        Command::Run(options) => run::run(&options),
        Command::Sweep(options) => sweep::sweep(options),
        Command::Replay(options) => replay::replay(&options),
        Command::Shrink(options) => replay::shrink(&options),
    };
    result.unwrap_or_else(|failure| failure.report())
}

/// Why the program ends early: the exit code and one line.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

type Done = Result<ExitCode, Failure>;

impl Failure {
    /// The command line or a file is wrong.
    fn usage(message: impl ToString) -> Self {
        Self { code: 2, message: message.to_string() }
    }

    /// Something is wrong with a file.
    fn file(path: &Path, error: impl core::fmt::Display) -> Self {
        Self::usage(format!("{}: {error}", path.display()))
    }

    fn report(self) -> ExitCode {
        eprintln!("bluering-sim: {}", self.message);
        ExitCode::from(self.code)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self { code: 1, message: error.to_string() }
    }
}

/// Writes to stdout; a reader that has gone is an error, not a panic.
fn say(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// 1 when a rule was broken.
fn verdict(broken: &[Violation]) -> ExitCode {
    ExitCode::from(u8::from(!broken.is_empty()))
}

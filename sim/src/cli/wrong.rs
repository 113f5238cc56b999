//! What clap has to say about a wrong command line, on one line that names what there is instead.

use super::Cli;
use clap::CommandFactory as _;
use clap::error::ErrorKind;
use std::ffi::OsString;

/// One line of words for an error.
pub(super) fn line(error: &clap::Error, args: &[OsString]) -> String {
    let text = error.to_string();
    let ends = |line: &&str| !(line.starts_with("Usage:") || line.starts_with("For more information"));
    let mut line = String::new();
    for part in text.lines().map(str::trim).take_while(ends).filter(|part| !part.is_empty()) {
        if !line.is_empty() {
            line.push_str(if part.starts_with("tip:") { "; " } else { " " });
        }
        line.push_str(part.strip_prefix("error: ").unwrap_or(part));
    }
    let kind = error.kind();
    if kind == ErrorKind::UnknownArgument {
        line.push_str(&format!(" [options: {}]", names(args).join(", ")));
    } else if matches!(kind, ErrorKind::InvalidSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand) {
        let cli = Cli::command();
        let commands: Vec<_> = cli.get_subcommands().map(clap::Command::get_name).collect();
        line = if kind == ErrorKind::InvalidSubcommand { line } else { "a command is missing".into() };
        line.push_str(&format!(" [commands: {}]", commands.join(", ")));
    }
    line
}

/// The options of the command that `args` name.
fn names(args: &[OsString]) -> Vec<String> {
    let cli = Cli::command();
    let named = args.iter().skip(1).find_map(|arg| cli.find_subcommand(arg));
    let options = named.unwrap_or(&cli).get_arguments().filter_map(clap::Arg::get_long);
    options.map(|name| format!("--{name}")).collect()
}

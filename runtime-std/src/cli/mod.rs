//! The command line: options, and what every subcommand shares. Errors are one line on stderr that says what and where;
//! the exit code is 2 for a wrong command line, 1 for what went wrong later.

mod chat;
mod demo;
mod headless;
mod id;
mod input;
mod node;

use async_signal::{Signal, Signals};
use bluering::core::crypto::SecretKey;
use bluering::{BootstrapError, BootstrapNode, Builder, Listen, Ports, ProxyAddress, Tox};
use clap::{Args, Parser, Subcommand};
use smol::channel::{self, Receiver};
use smol::stream::StreamExt;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Tox: chat without servers.
#[derive(Debug, Parser)]
#[command(name = "bluering", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show a friend request, a chat and its receipts between two people and a node, all inside this process
    Demo,
    /// A client driven by JSON lines on stdin and stdout
    Headless(headless::Options),
    /// A client for people: one line, one message
    Chat(chat::Options),
    /// Look at Tox IDs and profiles
    Id(id::Options),
    /// A bootstrap node
    Node(node::Options),
}

/// Runs one command line.
pub(crate) fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            eprintln!("bluering: {}", one_line(&error.to_string()));
            return ExitCode::from(2);
        }
        Err(help) => {
            print!("{help}");
            return ExitCode::SUCCESS;
        }
    };
    let result = match cli.command {
        Command::Demo => smol::future::block_on(demo::run()),
        Command::Headless(options) => smol::future::block_on(headless::run(options)),
        Command::Chat(options) => smol::future::block_on(chat::run(options)),
        Command::Id(options) => id::run(options),
        Command::Node(options) => smol::future::block_on(node::run(options)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, message }) => {
            eprintln!("bluering: {message}");
            ExitCode::from(code)
        }
    }
}

/// Why the program ends early: the exit code and one line.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// The command line is wrong.
    fn usage(message: impl ToString) -> Self {
        Self { code: 2, message: message.to_string() }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { code: 1, message: error.to_string() }
    }
}

/// What clap writes over several lines, up to the usage.
fn one_line(message: &str) -> String {
    let lines = message.lines().map(str::trim).take_while(|line| !line.is_empty());
    let joined = lines.collect::<Vec<_>>().join(" ");
    match joined.strip_prefix("error: ") {
        Some(rest) => rest.to_string(),
        None => joined,
    }
}

/// Options of every client.
#[derive(Args, Debug)]
struct ClientOptions {
    /// Name to be shown to friends
    #[arg(long)]
    name: Option<String>,
    /// UDP port (default: the first free one from 33445 to 33545)
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// No UDP: TCP relays alone
    #[arg(long)]
    tcp_only: bool,
    /// Connect through a proxy, without UDP; USER:PASSWORD@ before the host if it asks for them
    #[arg(long, value_name = "socks5:HOST:PORT|http:HOST:PORT")]
    proxy: Option<ProxyAddress>,
    /// Profile in the Tox save format, loaded when it exists
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Identity without a profile: 64 hexadecimal digits
    #[arg(long, value_name = "HEX", value_parser = secret_key)]
    secret_key: Option<SecretKey>,
    /// A node to enter the network through; may be given several times
    #[arg(long, value_name = "HOST:PORT:PUBLICKEY[:TCPPORT]")]
    bootstrap: Vec<BootstrapNode>,
    /// Find nodes in the local network, and be found by them
    #[arg(long)]
    local_discovery: bool,
    /// Accept every friend request
    #[arg(long)]
    auto_accept: bool,
    /// Stop after this long
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    max_seconds: Option<std::time::Duration>,
}

impl ClientOptions {
    fn builder(&self, ipv6: bool, autosave: bool) -> Builder {
        let ports = match self.port {
            Some(0) | None => Ports::Usual,
            Some(port) => Ports::Fixed(port),
        };
        let listen = if ipv6 { Listen::Dual(ports) } else { Listen::V4(ports) };
        let mut builder = Builder::new().listen(listen).udp(!self.tcp_only).autosave(autosave);
        builder = builder.lan_discovery(self.local_discovery);
        if let Some(path) = &self.save {
            builder = builder.profile(path);
        }
        if let Some(proxy) = &self.proxy {
            builder = builder.proxy(proxy.clone());
        }
        if let Some(secret) = &self.secret_key {
            builder = builder.secret_key(secret.clone());
        }
        builder
    }

    /// What the options say about a node that runs.
    async fn apply(&self, tox: &Tox) -> Result<(), Failure> {
        if let Some(name) = &self.name {
            tox.set_name(name.as_bytes()).await.map_err(|error| Failure::usage(format!("--name: {error}")))?;
        }
        bootstrap_all(tox, &self.bootstrap).await
    }
}

async fn bootstrap_all(tox: &Tox, nodes: &[BootstrapNode]) -> Result<(), Failure> {
    for node in nodes {
        if let Some(port) = node.tcp_port {
            tox.add_relay(&node.host, port, node.key).await?;
        }
        match tox.bootstrap(&node.host, node.port, node.key).await {
            // As a relay it will do.
            Err(BootstrapError::NamePastProxy(_)) if node.tcp_port.is_some() => {}
            result => result?,
        }
    }
    Ok(())
}

fn secret_key(text: &str) -> Result<SecretKey, String> {
    // A secret key is 32 bytes of hexadecimal, just like a public one.
    let bytes = bluering::core::crypto::PublicKey::from_hex(text);
    bytes.map(|key| SecretKey::from_bytes(key.0)).ok_or_else(|| "a secret key has 64 hexadecimal digits".to_string())
}

fn seconds(text: &str) -> Result<std::time::Duration, String> {
    let seconds = text.parse().map_err(|_| "not a number of seconds".to_string())?;
    std::time::Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Something arrives when the program is asked to end (SIGINT, SIGTERM, Ctrl-C).
fn end_signal() -> Result<Receiver<()>, Failure> {
    // Windows knows the first only.
    let mut signals = Signals::new([Signal::Int, Signal::Term]).or_else(|_| Signals::new([Signal::Int]))?;
    let (tell, told) = channel::bounded(1);
    smol::spawn(async move {
        while signals.next().await.is_some() {
            let _ = tell.try_send(());
        }
    })
    .detach();
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(line: &[&str]) -> String {
        let args = ["bluering"].iter().chain(line);
        one_line(&Cli::try_parse_from(args).expect_err("a wrong command line").to_string())
    }

    #[test]
    fn wrong_options_are_named_on_one_line() {
        for (line, parts) in [
            (&["headless", "--port", "70000"][..], &["70000", "--port"][..]),
            (&["headless", "--bootstrap", "x:1"], &["x:1", "--bootstrap", "HOST:PORT:PUBLICKEY"]),
            (&["headless", "--secret-key", "AB"], &["AB", "64 hexadecimal digits"]),
            (&["headless", "--nonsense"], &["--nonsense"]),
            (&["headless", "--max-seconds=-1"], &["--max-seconds", "-1"]),
            (&["frobnicate"], &["frobnicate"]),
            (&["node"], &["--udp", "--keys"]),
            (&["id", "check"], &["<TOX_ID>"]),
        ] {
            let message = refusal(line);
            assert!(!message.contains('\n') && !message.starts_with("error"), "{message}");
            assert!(parts.iter().all(|part| message.contains(part)), "{message:?} names {parts:?}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}

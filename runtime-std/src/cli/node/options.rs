//! Options of `bluering node`, and how a file completes them.

use super::settings::{Count, Findings, Given, Place, Settings};
use super::{bootstrapd, toml_file};
use crate::cli::Failure;
use bluering::{BootstrapNode, Listen};
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Larger files are no configuration.
const FILE_LEN_MAX: u64 = 1 << 20;

/// Options of `bluering node`. Those of a configuration file have the same names; the command line wins.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(in crate::cli) struct Options {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    /// Address and port to listen on, such as 0.0.0.0:33445 or [::]:33445 (both families)
    #[arg(long, short, value_name = "ADDR:PORT", visible_alias = "udp-address", required_unless_present = "config")]
    udp: Option<SocketAddr>,
    /// Address and port of a TCP relay; may be given several times
    #[arg(long, short, value_name = "ADDR:PORT", visible_alias = "tcp-address")]
    tcp: Vec<SocketAddr>,
    /// Clients that the TCP relay takes at most [default: 16384]. Each is an open file
    #[arg(long, value_name = "COUNT")]
    tcp_clients: Option<Count>,
    /// The node's keys: 64 bytes, public and secret, as tox-bootstrapd and tox-node have them; created if missing
    #[arg(long, short, value_name = "FILE", visible_alias = "keys-file", required_unless_present = "config")]
    keys: Option<PathBuf>,
    /// Message of the day for those who ask, at most 256 bytes. Filled in are {{start_date}} {{uptime}}
    /// {{tcp_packets_in}} {{tcp_packets_out}} {{udp_packets_in}} {{udp_packets_out}} [default: bluering]
    #[arg(long, short, value_name = "TEXT")]
    motd: Option<String>,
    /// A node to enter the network through; may be given several times
    #[arg(long, short, value_name = "HOST:PORT:PUBLICKEY")]
    bootstrap: Vec<BootstrapNode>,
    /// Look for nodes in the local network, and be found by them
    #[arg(long)]
    lan_discovery: bool,
    /// Address and port where Prometheus finds /metrics over HTTP; there is no password, so a private address
    #[arg(long, value_name = "ADDR:PORT")]
    metrics: Option<SocketAddr>,
    /// Threads that receive datagrams, and as many for the clients of the TCP relay [default: 1]
    #[arg(long, value_name = "COUNT")]
    workers: Option<Count>,
    /// Key agreements that others can make each thread compute, in a second and at once: half of it for strangers, a
    /// quarter for one address prefix [default: 50000]
    #[arg(long, value_name = "COUNT")]
    agreements: Option<Count>,
    /// Write the process id here while the node runs
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Configuration: TOML with the names of these options, or tox-bootstrapd's own file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What else can be done for a node.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Read a configuration file and tell everything that is wrong with it; exit code 0 when a node would take it
    CheckConfig {
        /// TOML, or tox-bootstrapd's own
        file: PathBuf,
    },
    /// Print the public key that belongs to a keys file
    DerivePk {
        /// The 64 bytes that --keys names
        file: PathBuf,
    },
}

impl Options {
    /// What command line and file say together, and what was found wanting but not wrong.
    pub(super) fn settings(self) -> Result<(Settings, Vec<String>), Failure> {
        let file = self.config.as_deref().map(read).transpose()?.unwrap_or_default();
        let settings = self.given().or(file);
        let Findings { errors, warnings } = settings.check();
        if errors.is_empty() { Ok((settings, warnings)) } else { Err(failure(&errors)) }
    }

    fn given(self) -> Settings {
        Settings {
            udp: self.udp.map(|at| Given { value: Listen::At(at), place: Place::command_line("udp", at) }),
            tcp: self.tcp.into_iter().map(|at| given("tcp", at)).collect(),
            keys: self.keys.map(|path| given_path("keys", path)),
            motd: self
                .motd
                .map(|text| Given { place: Place::command_line("motd", format!("'{text}'")), value: Some(text) }),
            bootstrap: self.bootstrap.into_iter().map(given_node).collect(),
            lan_discovery: self
                .lan_discovery
                .then(|| Given { value: true, place: Place::command_line("lan-discovery", "") }),
            metrics: self.metrics.map(|at| given("metrics", at)),
            tcp_clients: self.tcp_clients.map(|count| given("tcp-clients", count)),
            workers: self.workers.map(|count| given("workers", count)),
            agreements: self.agreements.map(|count| given("agreements", count)),
            pid_file: self.pid_file.map(|path| given_path("pid-file", path)),
        }
    }
}

fn given<T: Display>(option: &str, value: T) -> Given<T> {
    Given { place: Place::command_line(option, &value), value }
}

fn given_path(option: &str, path: PathBuf) -> Given<PathBuf> {
    Given { place: Place::command_line(option, path.display()), value: path }
}

fn given_node(node: BootstrapNode) -> Given<BootstrapNode> {
    let BootstrapNode { host, port, key, .. } = &node;
    Given { place: Place::command_line("bootstrap", format_args!("{host}:{port}:{key}")), value: node }
}

/// Reads a configuration file of either kind.
pub(super) fn read(path: &Path) -> Result<Settings, Failure> {
    let name: Arc<str> = path.display().to_string().into();
    let failed = |why: &dyn Display| Failure { code: 1, message: format!("{name}: {why}") };
    let meta = std::fs::metadata(path).map_err(|error| failed(&error))?;
    if meta.is_dir() || meta.len() > FILE_LEN_MAX {
        return Err(failed(&"this is no configuration file"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    let read = if bootstrapd::is_bootstrapds(&text) { bootstrapd::read } else { toml_file::read };
    read(&name, &text).map_err(|errors| failure(&errors))
}

/// All errors, each on a line of its own.
fn failure(errors: &[String]) -> Failure {
    Failure { code: 1, message: errors.join("\nbluering: ") }
}

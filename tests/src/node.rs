//! A node to bootstrap from.

use crate::net::wait_bound;
use crate::programs::{bluering, bootstrapd};
use crate::{Failure, Kind, Net, Outcome, Process, TempDir};
use bluering_core::crypto::PublicKey;
use core::fmt::Write;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::mpsc::channel;
use std::thread;

const KEY_DIGITS: usize = 64;
const KEY_TIMEOUT: Duration = Duration::from_secs(20);

/// A running bootstrap node. It ends when dropped.
pub struct Node {
    kind: Kind,
    host: IpAddr,
    host6: Option<Ipv6Addr>,
    port: u16,
    tcp_port: Option<u16>,
    key: String,
    process: Process,
    folder: TempDir,
}

impl Node {
    /// Starts one without TCP relay, and waits until it listens.
    ///
    /// # Errors
    /// When the program is missing or does not start.
    pub fn start(net: &Net, kind: Kind) -> Outcome<Self> {
        match kind {
            Kind::Real => Self::start_real(net, None, None),
            Kind::Ours => Self::start_ours(net, None, None, &[]),
        }
    }

    /// One of ours that is a TCP relay too, with further options.
    ///
    /// # Errors
    /// When the program is missing or does not start.
    pub fn start_with_options(net: &Net, options: &[&str]) -> Outcome<Self> {
        Self::start_ours(net, Some(net.port()), None, options)
    }

    /// tox-bootstrapd with a TCP relay: c-toxcore 0.2.18 does not always find a friend without one.
    ///
    /// # Errors
    /// When the program is missing or does not start.
    pub fn start_with_relay(net: &Net) -> Outcome<Self> {
        Self::start_real(net, Some(net.port()), None)
    }

    /// A node of this kind that is a TCP relay too.
    ///
    /// # Errors
    /// When the program is missing or does not start.
    pub fn start_relay(net: &Net, kind: Kind) -> Outcome<Self> {
        match kind {
            Kind::Real => Self::start_real(net, Some(net.port()), None),
            Kind::Ours => Self::start_ours(net, Some(net.port()), None, &[]),
        }
    }

    /// Starts one without TCP relay that bootstraps from another.
    ///
    /// # Errors
    /// When the program is missing or does not start.
    pub fn start_from(net: &Net, kind: Kind, from: &Self) -> Outcome<Self> {
        match kind {
            Kind::Real => Self::start_real(net, None, Some(from)),
            Kind::Ours => Self::start_ours(net, None, Some(from), &[]),
        }
    }

    /// Starts one of ours that calls into its local network, and listens on all its addresses.
    ///
    /// # Errors
    /// When the program is missing or does not start.
    pub fn start_calling(net: &Net) -> Outcome<Self> {
        let (folder, port) = (TempDir::new()?, net.port());
        let mut command = net.command(&bluering()?)?;
        command.args(["node", "--lan-discovery", "--udp", &format!("0.0.0.0:{port}")]);
        command.args(["--keys", &folder.file("keys")]);
        let (process, key) = Self::run(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?, port, None)?;
        let (kind, host) = (Kind::Ours, net.address());
        Ok(Self { kind, host, host6: None, port, tcp_port: None, key, process, folder })
    }

    /// Starts `count` more of its kind that bootstrap from it, and have no relay. c-toxcore 0.2.18 needs such company:
    /// among fewer nodes and without a relay, two clients that both come back from their profiles do not meet again.
    ///
    /// # Errors
    /// When the program is missing or does not start.
    pub fn crowd(&self, net: &Net, count: usize) -> Outcome<Vec<Self>> {
        (0..count).map(|_| Self::start_from(net, self.kind, self)).collect()
    }

    /// Starts one on another host that bootstraps from `first`.
    ///
    /// # Errors
    /// When the program is missing or does not start.
    pub fn start_after(first: &Self, net: &Net, kind: Kind) -> Outcome<Self> {
        match kind {
            Kind::Real => Self::start_real(net, None, Some(first)),
            Kind::Ours => Self::start_ours(net, None, Some(first), &[]),
        }
    }

    /// Starts one that listens as its configuration file says.
    ///
    /// # Errors
    /// When the program is missing or does not start.
    pub fn start_with_config(net: &Net, kind: Kind, config: &str, port: u16) -> Outcome<Self> {
        let mut command = match kind {
            Kind::Real => net.command(&bootstrapd()?)?,
            Kind::Ours => net.command(&bluering()?)?,
        };
        match kind {
            Kind::Real => command.args(["--config", config, "--foreground", "--log-backend", "stdout"]),
            Kind::Ours => command.args(["node", "--config", config]),
        };
        let (process, key) = Self::run(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?, port, None)?;
        let host = net.address();
        Ok(Self { kind, host, host6: None, port, tcp_port: None, key, process, folder: TempDir::new()? })
    }

    /// What `--bootstrap` takes: `HOST:PORT:PK[:TCPPORT]`.
    #[must_use]
    pub fn address(&self) -> String {
        let relay = self.tcp_port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}{relay}", self.address_by(&self.host.to_string()))
    }

    /// The same over IPv6, if it has that.
    #[must_use]
    pub fn address6(&self) -> Option<String> {
        self.host6.map(|host| self.address_by(&format!("[{host}]")))
    }

    /// The same, by another name of its host.
    #[must_use]
    pub fn address_by(&self, host: &str) -> String {
        format!("{host}:{}:{}", self.port, self.key)
    }

    /// Its public key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// Where its relay is, if it has one, and its key.
    #[must_use]
    pub fn relay(&self) -> Option<(SocketAddr, PublicKey)> {
        Some((SocketAddr::new(self.host, self.tcp_port?), PublicKey::from_hex(&self.key)?))
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Asks it to end, as a service manager does, and waits for that: how long it took.
    ///
    /// # Errors
    /// When it ends otherwise than in good order.
    #[cfg(feature = "interop")]
    pub fn stop(mut self) -> Outcome<Duration> {
        use nix::sys::signal::{Signal, kill};
        let start = std::time::Instant::now();
        kill(nix::unistd::Pid::from_raw(self.pid() as i32), Signal::SIGTERM).map_err(std::io::Error::from)?;
        let status = self.process.0.wait()?;
        if status.success() { Ok(start.elapsed()) } else { Err(Failure(format!("the node ended with {status}"))) }
    }

    /// Kills it, and after a pause starts a tox-bootstrapd again with the same key and ports.
    ///
    /// # Errors
    /// When it is not tox-bootstrapd, or does not start.
    pub fn restart(&mut self, net: &Net, pause: Duration) -> Outcome {
        crate::ensure(self.kind == Kind::Real, || "only tox-bootstrapd is started again".into())?;
        self.process.0.kill()?;
        self.process.0.wait()?;
        thread::sleep(pause);
        let (process, key) = Self::run(start_bootstrapd(net, &self.folder)?, self.port, None)?;
        crate::ensure(key == self.key, || format!("it came back as {key}"))?;
        self.process = process;
        Ok(())
    }

    /// Whose implementation it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    fn start_real(net: &Net, tcp_port: Option<u16>, from: Option<&Self>) -> Outcome<Self> {
        let (folder, port) = (TempDir::new()?, net.port());
        std::fs::write(folder.file("config"), bootstrapd_config(net, &folder, port, tcp_port, from))?;
        let (process, key) = Self::run(start_bootstrapd(net, &folder)?, port, from)?;
        let (host, host6) = (net.address(), net.address6());
        Ok(Self { kind: Kind::Real, host, host6, port, tcp_port, key, process, folder })
    }

    fn start_ours(net: &Net, tcp_port: Option<u16>, from: Option<&Self>, options: &[&str]) -> Outcome<Self> {
        let (folder, port) = (TempDir::new()?, net.port());
        let mut command = net.command(&bluering()?)?;
        command.args(["node", "--udp", &format!("{}:{port}", net.address()), "--keys", &folder.file("keys")]);
        command.args(tcp_port.iter().flat_map(|port| ["--tcp".into(), format!("{}:{port}", net.address())]));
        command.args(from.iter().flat_map(|node| ["--bootstrap".into(), node.address()])).args(options);
        let (process, key) = Self::run(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?, port, from)?;
        Ok(Self { kind: Kind::Ours, host: net.address(), host6: None, port, tcp_port, key, process, folder })
    }

    /// Waits until the node has told its public key and listens. tox-bootstrapd tells that of the node which it
    /// bootstraps from too.
    fn run(mut child: Child, port: u16, from: Option<&Self>) -> Outcome<(Process, String)> {
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let process = Process(child);
        let (sender, lines) = channel();
        let streams: [Option<Box<dyn Read + Send>>; 2] =
            [stdout.map(|s| Box::new(s) as Box<dyn Read + Send>), stderr.map(|s| Box::new(s) as Box<dyn Read + Send>)];
        for stream in streams.into_iter().flatten() {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    // Nobody listens any more once the key is known; the pipe is still read empty.
                    let _ = sender.send(line);
                }
            });
        }
        drop(sender);
        let mut said = String::new();
        loop {
            let Ok(line) = lines.recv_timeout(KEY_TIMEOUT) else {
                return Err(Failure(format!("the node told no public key but:\n{said}")));
            };
            if let Some(key) = public_key_in(&line).filter(|key| from.is_none_or(|from| from.key != *key)) {
                wait_bound(process.0.id(), port)?;
                return Ok((process, key));
            }
            // Writing to a String cannot fail.
            let _ = writeln!(said, "    {line}");
        }
    }
}

/// The key in a node's start line, whatever stands around it: tox-bootstrapd's log line, or our JSON.
fn public_key_in(line: &str) -> Option<String> {
    let mut words = line.split(|c: char| !c.is_ascii_alphanumeric());
    let is_key = |word: &&str| word.len() == KEY_DIGITS && word.chars().all(|c| c.is_ascii_hexdigit());
    words.find(is_key).map(str::to_ascii_uppercase)
}

/// tox-bootstrapd with the configuration in this folder.
fn start_bootstrapd(net: &Net, folder: &TempDir) -> Outcome<Child> {
    let mut command = net.command(&bootstrapd()?)?;
    command.args(["--config", &folder.file("config"), "--foreground", "--log-backend", "stdout"]);
    Ok(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

fn bootstrapd_config(net: &Net, folder: &TempDir, port: u16, tcp_port: Option<u16>, from: Option<&Node>) -> String {
    let (keys, pid) = (folder.file("keys"), folder.file("pid"));
    let relay = match tcp_port {
        Some(tcp_port) => format!("enable_tcp_relay = true\ntcp_relay_ports = [{tcp_port}]"),
        None => "enable_tcp_relay = false".into(),
    };
    let from = from.map_or_else(String::new, |node| {
        format!("{{ address = \"{}\"; port = {}; public_key = \"{}\" }}", node.host, node.port, node.key)
    });
    let ipv6 = net.address6().is_some();
    format!(
        "port = {port}\nkeys_file_path = \"{keys}\"\npid_file_path = \"{pid}\"\nenable_ipv6 = {ipv6}\n\
         enable_ipv4_fallback = {ipv6}\nenable_lan_discovery = false\n{relay}\nenable_motd = true\n\
         motd = \"bluering-tests\"\nbootstrap_nodes = ({from})\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_key_in_both_kinds_of_line() {
        let key = "0123456789ABCDEF".repeat(4);
        assert_eq!(public_key_in(&format!("Public Key: {key}")).as_ref(), Some(&key));
        assert_eq!(public_key_in(&format!("{{\"event\":\"ready\",\"pk\":\"{}\"}}", key.to_lowercase())), Some(key));
        assert_eq!(public_key_in("no key here"), None);
    }
}

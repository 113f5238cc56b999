//! A network of its own: a namespace in which only `lo` exists, until it is wired to others (see `wire`).

use crate::programs::in_path;
use crate::{Failure, Outcome, measure, unique};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;

const PREFIX: &str = "bluering";
const PORT_FIRST: u16 = 33445;
/// How long a program may take until it listens.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(10);

/// A network namespace, gone when dropped. What runs in it reaches nothing but what it is wired to.
pub struct Net {
    name: String,
    address: IpAddr,
    address6: Option<Ipv6Addr>,
    ports: AtomicU16,
}

impl Net {
    /// Makes one in which only `lo` exists, and is up.
    ///
    /// # Errors
    /// Without iproute2, or without the right to make namespaces.
    pub fn new() -> Outcome<Self> {
        Self::at(Ipv4Addr::LOCALHOST.into(), None)
    }

    /// As [`Self::new`]; whoever wires it up gives it these addresses.
    pub(crate) fn at(address: IpAddr, address6: Option<Ipv6Addr>) -> Outcome<Self> {
        sweep();
        let net = Self { name: unique(PREFIX), address, address6, ports: AtomicU16::new(PORT_FIRST) };
        ip(&["netns", "add", &net.name])?;
        net.ip(&["link", "set", "lo", "up"])?;
        Ok(net)
    }

    /// Where programs in it are reached: 127.0.0.1 when it is wired to nothing.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Where programs in it are reached over IPv6, if they are.
    #[must_use]
    pub fn address6(&self) -> Option<Ipv6Addr> {
        self.address6
    }

    /// A command that runs `program` in here. The child is the program itself: `ip` becomes it.
    ///
    /// # Errors
    /// Without iproute2.
    pub fn command(&self, program: &Path) -> Outcome<Command> {
        let mut command = Command::new(in_path("ip")?);
        command.args(["netns", "exec", &self.name]).arg(program);
        Ok(command)
    }

    /// The same, for a program that sees other files in place of those of the system: pairs of the file, and what it
    /// lies over. Nobody else sees them.
    ///
    /// # Errors
    /// Without iproute2.
    pub fn command_with(&self, program: &Path, files: &[(String, &str)]) -> Outcome<Command> {
        if files.is_empty() {
            return self.command(program);
        }
        // `ip netns exec` gives each program mounts of its own.
        const OVERLAY: &str = "while [ \"$1\" != -- ]; do mount --bind \"$1\" \"$2\" || exit 1; shift 2; done\n\
                               shift; exec \"$@\"";
        let mut command = self.command(&in_path("sh")?)?;
        command.args(["-c", OVERLAY, "sh"]);
        command.args(files.iter().flat_map(|(file, over)| [file.as_str(), over])).arg("--").arg(program);
        Ok(command)
    }

    /// Does something in here, on a thread of its own.
    ///
    /// # Errors
    /// What it fails with, or when the system lets nobody in.
    #[cfg(feature = "interop")]
    pub fn within<T: Send + 'static>(&self, what: impl FnOnce() -> Outcome<T> + Send + 'static) -> Outcome<T> {
        use nix::sched::{CloneFlags, setns};
        let namespace = std::fs::File::open(Path::new("/run/netns").join(&self.name))?;
        let thread = std::thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).map_err(|why| Failure(format!("setns: {why}")))?;
            what()
        });
        thread.join().unwrap_or_else(|_| Err(Failure::new("it panicked")))
    }

    /// A port that nobody else in here was given.
    pub fn port(&self) -> u16 {
        self.ports.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// `ip` about this namespace.
    pub(crate) fn ip(&self, args: &[&str]) -> Outcome {
        ip(&[&["-n", &self.name], args].concat())
    }

    /// From now on all UDP that is sent or forwarded in here is lost, without a word; or it is not any more.
    ///
    /// # Errors
    /// Without nftables.
    pub fn block_udp(&self, on: bool) -> Outcome {
        const RULES: &str = "table inet no_udp {
            chain out { type filter hook output priority 0; meta l4proto udp drop; };
            chain through { type filter hook forward priority 0; meta l4proto udp drop; };
        }";
        self.pipe("nft", &["-f", "-"], if on { RULES } else { "delete table inet no_udp" })
    }

    /// Sets kernel parameters: paths below /proc/sys and their values.
    pub(crate) fn set(&self, parameters: &[(&str, &str)]) -> Outcome {
        let script: String =
            parameters.iter().map(|(path, value)| format!("echo {value} > /proc/sys/{path} || exit 1\n")).collect();
        self.pipe("sh", &[], &script)
    }

    /// What a program in here prints.
    pub(crate) fn output(&self, program: &str, args: &[&str]) -> Outcome<String> {
        let output = self.command(&in_path(program)?)?.args(args).output()?;
        check(&format!("{program} {}", args.join(" ")), &output)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a program in here to its end, with this input.
    pub(crate) fn pipe(&self, program: &str, args: &[&str], input: &str) -> Outcome {
        let mut command = self.command(&in_path(program)?)?;
        let mut child = command.args(args).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        check(&format!("{program} {}", args.join(" ")), &child.wait_with_output()?)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        // The next `sweep` tries again.
        let _ = ip(&["netns", "del", &self.name]);
    }
}

/// Waits until the process listens on this UDP port.
///
/// # Errors
/// When it does not within 10 seconds.
pub(crate) fn wait_bound(pid: u32, port: u16) -> Outcome {
    let start = Instant::now();
    while !measure::udp_bound(pid, port) {
        if start.elapsed() > LISTEN_TIMEOUT {
            return Err(Failure(format!("process {pid} does not listen on UDP port {port}")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Removes the namespaces of harnesses that were killed.
fn sweep() {
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return };
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('-')).and_then(|r| r.split('-').next());
        if owner.is_some_and(|pid| pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists()) {
            // Another harness may be faster.
            let _ = ip(&["netns", "del", &name]);
        }
    }
}

fn ip(args: &[&str]) -> Outcome {
    check(&format!("ip {}", args.join(" ")), &Command::new(in_path("ip")?).args(args).output()?)
}

fn check(what: &str, output: &Output) -> Outcome {
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(Failure(format!("{what}: {} (network namespaces need root)", why.trim())))
}

//! What a home router does besides routing: it gives out addresses, and answers for names.

use crate::log::Log;
use crate::programs::in_path;
use crate::wire::Wire;
use crate::{Failure, Net, Outcome, Process, TempDir};
use core::net::IpAddr;
use core::time::Duration;
use serde_json::json;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

const START_TIMEOUT: Duration = Duration::from_secs(10);

/// dnsmasq, e.g. on the router of a home. It ends when dropped.
pub struct NameServer {
    _process: Process,
    folder: TempDir,
}

impl NameServer {
    /// Gives out addresses from .100 on to who is on `wire`, and resolves `name`.
    ///
    /// # Errors
    /// When dnsmasq is missing or does not start.
    pub fn start(wire: &Wire, name: &str, address: IpAddr) -> Outcome<Self> {
        let (folder, router) = (TempDir::new()?, wire.router());
        let [a, b, c, _] = router.octets();
        let dhcp = [
            "--dhcp-authoritative".into(),
            "--no-ping".into(),
            format!("--dhcp-range={a}.{b}.{c}.100,{a}.{b}.{c}.150,255.255.255.0,1h"),
            format!("--dhcp-leasefile={}", folder.file("leases")),
        ];
        Self::run(wire.net(), folder, &dhcp, &[(name, address)])
    }

    /// Resolves these names for who is in a network; what it does not know it denies.
    ///
    /// # Errors
    /// When dnsmasq is missing or does not start.
    pub fn for_names(net: &Net, names: &[(&str, IpAddr)]) -> Outcome<Self> {
        let (folder, here) = (TempDir::new()?, format!("--listen-address={}", net.address()));
        std::fs::write(folder.file("resolv.conf"), format!("nameserver {}\n", net.address()))?;
        Self::run(net, folder, &[here, "--bind-interfaces".into()], names)
    }

    /// What makes a program ask this one (see [`Net::command_with`]), if it was started for that.
    #[must_use]
    pub fn files(&self) -> [(String, &'static str); 1] {
        [(self.folder.file("resolv.conf"), "/etc/resolv.conf")]
    }

    fn run(net: &Net, folder: TempDir, args: &[String], names: &[(&str, IpAddr)]) -> Outcome<Self> {
        let mut command = net.command(&in_path("dnsmasq")?)?;
        command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root"]);
        command.args(["--log-facility=-", "--pid-file="]).args(args);
        command.args(names.iter().map(|(name, address)| format!("--host-record={name},{address}")));
        let start = Instant::now();
        let mut process = Process(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?);
        let log = Arc::new(Log::default());
        if let Some(stderr) = process.0.stderr.take() {
            log.follow(stderr, |line| json!({"event": "text", "text": line}));
        }
        let failure = |what: &str| {
            let said = log.quote(start, |heard| heard.text("text").to_string());
            Failure(format!("dnsmasq does not start, {what}:{said}"))
        };
        log.expect(0, "text", START_TIMEOUT, |heard| heard.text("text").contains("started"), failure)?;
        Ok(Self { _process: process, folder })
    }
}

//! Real proxies, and how a stream is opened through one: what a runtime does, with sockets that wait.

use crate::log::Log;
use crate::programs::in_path;
use crate::{Failure, Net, Outcome, Process, TempDir, ensure, measure};
use bluering_core::Endpoint;
use bluering_core::relay::proxy::{OUTPUT_MAX, Proxy, ProxyClient, ProxyKind, ProxyState, ProxyTrouble, Target};
use core::net::IpAddr;
use core::time::Duration;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

/// The user that proxies which ask know.
pub const USER: &str = "bluering";
/// The user's password.
pub const PASSWORD: &str = "open-sesame";
/// Its hash, as dante finds it in a shadow file: `openssl passwd -6 -salt bluering 'open-sesame'`.
const PASSWORD_HASH: &str =
    "$6$bluering$/x1i0Hy/YKCwhk8verk4VF.bcBt7kInFoJIomF8MNad5Wc6HVnqWIThybN3sJjTKnI8co8aShWm0SC7FQrwLB.";
/// The only port to which a strict proxy connects.
pub const STRICT_PORT: u16 = 443;

const START_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a proxy may think.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a proxy may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A proxy of Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProgram {
    /// A small SOCKS5 proxy, as people run it at home.
    Microsocks,
    /// A SOCKS5 proxy with rules, as companies have it.
    Dante,
    /// An HTTP proxy.
    Tinyproxy,
}

/// Whom a proxy serves, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Everybody, anything.
    Open,
    /// [`USER`] with [`PASSWORD`], anything.
    Users,
    /// Everybody, [`STRICT_PORT`] only. Microsocks cannot do that.
    Strict,
}

/// A running proxy. It ends when dropped.
pub struct ProxyServer {
    program: ProxyProgram,
    at: Endpoint,
    started: Instant,
    log: Arc<Log>,
    process: Process,
    _folder: TempDir,
}

impl ProxyServer {
    /// Starts one, and waits until it listens. It looks names up as the files say that lie, in here, over those of
    /// the system (see [`Net::command_with`]).
    ///
    /// # Errors
    /// When the program is missing or does not start.
    pub fn start(net: &Net, program: ProxyProgram, rules: Rules, files: &[(String, &str)]) -> Outcome<Self> {
        Self::start_at(net, net.port(), program, rules, files)
    }

    /// The same, at this port.
    ///
    /// # Errors
    /// When the program is missing or does not start.
    pub fn start_at(
        net: &Net,
        port: u16,
        program: ProxyProgram,
        rules: Rules,
        files: &[(String, &str)],
    ) -> Outcome<Self> {
        let (folder, host) = (TempDir::new()?, net.address());
        let (config, mut files) = (folder.file("config"), files.to_vec());
        let (name, args) = match program {
            ProxyProgram::Microsocks => ("microsocks", microsocks(host, port, rules)?),
            ProxyProgram::Tinyproxy => {
                std::fs::write(&config, tinyproxy(host, port, rules))?;
                ("tinyproxy", vec!["-d".into(), "-c".into(), config])
            }
            ProxyProgram::Dante => {
                std::fs::write(&config, dante(host, port, rules))?;
                files.extend(users(&folder)?);
                ("danted", vec!["-f".into(), config, "-p".into(), folder.file("pid")])
            }
        };
        let mut command = net.command_with(&in_path(name)?, &files)?;
        command.args(&args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut process = Process(command.spawn()?);
        let log = Arc::new(Log::default());
        if let (Some(stdout), Some(stderr)) = (process.0.stdout.take(), process.0.stderr.take()) {
            log.follow(stdout, |line| json!({"event": "text", "text": line}));
            log.follow(stderr, |line| json!({"event": "text", "text": line}));
        }
        let at = Endpoint::new(host, port);
        let this = Self { program, at, started, log, process, _folder: folder };
        this.wait()?;
        Ok(this)
    }

    fn wait(&self) -> Outcome {
        while !measure::tcp_listening(self.process.0.id(), self.at.port()) {
            ensure(self.started.elapsed() < START_TIMEOUT, || self.quote("does not listen"))?;
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Where it is.
    #[must_use]
    pub fn at(&self) -> Endpoint {
        self.at
    }

    /// Its language.
    #[must_use]
    pub fn kind(&self) -> ProxyKind {
        self.program.kind()
    }

    /// As the core knows it, for somebody who has no name.
    #[must_use]
    pub fn proxy(&self) -> Proxy<'static> {
        Proxy::new(self.kind(), self.at, None).expect("no credentials")
    }

    /// As the core knows it, for [`USER`] with this password.
    #[must_use]
    pub fn proxy_with<'p>(&self, password: &'p str) -> Proxy<'p> {
        Proxy::new(self.kind(), self.at, Some((USER.as_bytes(), password.as_bytes()))).expect("good credentials")
    }

    /// As the command line of a client takes it, with this before the host: nothing, or `USER:PASSWORD@`.
    #[must_use]
    pub fn url(&self, who: &str) -> String {
        let kind = match self.kind() {
            ProxyKind::Socks5 => "socks5",
            ProxyKind::Http => "http",
        };
        format!("{kind}://{who}{}", self.at)
    }

    /// What happened to it, with what it said last.
    #[must_use]
    pub fn quote(&self, what: &str) -> String {
        let said = self.log.quote(self.started, |heard| heard.text("text").to_string());
        format!("{:?} {what}; its last lines:{said}", self.program)
    }
}

impl Drop for ProxyServer {
    /// Ends it and its children: those of dante serve open streams to their end, and listen, after dante itself has
    /// ended.
    fn drop(&mut self) {
        let pid = self.process.0.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let children: Vec<i32> = children.split_whitespace().filter_map(|child| child.parse().ok()).collect();
        let tell = |pid, signal| {
            // Whoever cannot be told has ended already.
            let _ = kill(Pid::from_raw(pid), signal);
        };
        tell(pid.cast_signed(), Signal::SIGTERM);
        let start = Instant::now();
        while matches!(self.process.0.try_wait(), Ok(None)) && start.elapsed() < STOP_TIMEOUT {
            thread::sleep(Duration::from_millis(5));
        }
        children.into_iter().for_each(|child| tell(child, Signal::SIGKILL));
    }
}

impl ProxyProgram {
    /// Its language.
    #[must_use]
    pub const fn kind(self) -> ProxyKind {
        match self {
            Self::Microsocks | Self::Dante => ProxyKind::Socks5,
            Self::Tinyproxy => ProxyKind::Http,
        }
    }
}

/// Opens a stream through a proxy. The stream has given nothing yet that is not the proxy's.
///
/// # Errors
/// When a socket fails in a way that is not the proxy's doing.
pub fn dial(proxy: &Proxy<'_>, target: &Target<'_>) -> Outcome<Result<TcpStream, ProxyTrouble>> {
    let Ok(mut socket) = TcpStream::connect_timeout(&proxy.at().into(), PATIENCE) else {
        return Ok(Err(ProxyTrouble::Down));
    };
    socket.set_read_timeout(Some(PATIENCE))?;
    let (mut client, mut buf) = (ProxyClient::new(proxy), [0; OUTPUT_MAX]);
    loop {
        let len = client.output(proxy, target, &mut buf);
        // When it has closed already, the answer may still be there.
        let _ = socket.write_all(&buf[..len]);
        match client.state() {
            ProxyState::Ready => return Ok(Ok(socket)),
            ProxyState::Failed(trouble) => return Ok(Err(trouble)),
            ProxyState::Waiting => {}
        }
        // Only what was the proxy's is taken out of the socket.
        match socket.peek(&mut buf) {
            Ok(0) => return Ok(Err(client.ended())),
            Ok(len) => {
                let used = client.input(&buf[..len]).used;
                socket.read_exact(&mut buf[..used])?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(Err(client.timed_out())),
            Err(_) => return Ok(Err(client.ended())),
        }
    }
}

fn microsocks(host: IpAddr, port: u16, rules: Rules) -> Outcome<Vec<String>> {
    let mut args = vec!["-i".into(), host.to_string(), "-p".into(), port.to_string()];
    match rules {
        Rules::Open => {}
        Rules::Users => args.extend(["-u", USER, "-P", PASSWORD].map(String::from)),
        Rules::Strict => return Err(Failure::new("microsocks has no such rules")),
    }
    Ok(args)
}

fn tinyproxy(host: IpAddr, port: u16, rules: Rules) -> String {
    let rules = match rules {
        Rules::Open => String::new(),
        Rules::Users => format!("BasicAuth {USER} {PASSWORD}\n"),
        Rules::Strict => format!("ConnectPort {STRICT_PORT}\n"),
    };
    format!("Listen {host}\nPort {port}\nTimeout 600\nMaxClients 100\nLogLevel Info\n{rules}")
}

fn dante(host: IpAddr, port: u16, rules: Rules) -> String {
    let method = if rules == Rules::Users { "username" } else { "none" };
    let to_port = if rules == Rules::Strict { format!(" port = {STRICT_PORT}") } else { String::new() };
    format!(
        "logoutput: stderr\ninternal: {host} port = {port}\nexternal: {host}\nexternal.rotation: none\n\
         clientmethod: none\nsocksmethod: {method}\n\
         user.privileged: root\nuser.unprivileged: nobody\n\
         client pass {{\n from: 0/0 to: 0/0\n log: error\n}}\n\
         socks pass {{\n from: 0/0 to: 0/0{to_port}\n protocol: tcp\n command: connect\n log: error\n}}\n"
    )
}

/// Files of a system on which [`USER`] has an account: what dante asks.
fn users(folder: &TempDir) -> Outcome<[(String, &'static str); 2]> {
    let add = |name: &str, over: &'static str, line: String| -> Outcome<_> {
        let path = folder.file(name);
        std::fs::write(&path, format!("{}\n{line}\n", std::fs::read_to_string(over)?.trim_end()))?;
        Ok((path, over))
    };
    let account = format!("{USER}:x:65533:65534::/nonexistent:/usr/sbin/nologin");
    let secret = format!("{USER}:{PASSWORD_HASH}:20000:0:99999:7:::");
    Ok([add("passwd", "/etc/passwd", account)?, add("shadow", "/etc/shadow", secret)?])
}

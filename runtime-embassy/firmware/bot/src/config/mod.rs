//! The configuration: `key = value` lines, read in place.
//!
//! ```text
//! # Lines that begin with # are comments.
//! name = Porch light
//! bootstrap = tox.example.org:33445:F404ABAA1C99A9D37D61AB54898F56793E1DEF8BD46B1038B9D822E8460FAB67
//! accept = 56A1ADE4B65B86BCD51CC73E2CD4E542179F47959FE3E0E21B4B0ACDADE5185520B3E6FA1BE6
//! ipv4 = dhcp
//! ```
//!
//! With the feature `relays`, a node that is a TCP relay too is named with that port: `HOST:PORT:KEY:TCPPORT`.
//!
//! Nothing is guessed: what is unknown, given twice, out of range or mistyped is an [`Error`] that names the line, what
//! stands there, and what should.

mod error;
#[cfg(test)]
mod tests;

pub use error::{Error, Why};

use bluering_core::crypto::{PublicKey, ToxId};
use bluering_core::wire::messenger::{NAME_LEN_MAX, STATUS_MESSAGE_LEN_MAX};
pub use bluering_embassy::Bootstrap;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::num::NonZeroU16;
use heapless::Vec;

/// How many `bootstrap` lines there may be.
pub const BOOTSTRAP_MAX: usize = 4;
/// How many `accept` lines there may be.
pub const ACCEPT_MAX: usize = 8;
/// How many `dns` lines there may be.
pub const DNS_MAX: usize = 3;
/// The port when there is no `port` line.
pub const DEFAULT_PORT: u16 = 33445;
/// A number that is longer than this is meant to be a key and not a port.
const PORT_LEN_MAX: usize = 9;
/// The longest name that the domain name system knows.
const HOST_LEN_MAX: usize = 253;

/// A checked configuration. Texts are borrowed from where it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config<'t> {
    /// The bot's name, at most 128 bytes.
    pub name: &'t str,
    /// Its status message, at most 1007 bytes.
    pub status_message: &'t str,
    /// Nodes to enter the network through, at least one.
    pub bootstrap: Vec<Bootstrap<'t>, BOOTSTRAP_MAX>,
    /// Who becomes a friend without a question.
    pub accept: Vec<PublicKey, ACCEPT_MAX>,
    /// How the board gets its IPv4 address.
    pub ipv4: Ipv4,
    /// Its fixed IPv6 address, if it shall have one.
    pub ipv6: Option<Ipv6>,
    /// Name servers, when DHCP does not tell them.
    pub dns: Vec<IpAddr, DNS_MAX>,
    /// The UDP port.
    pub port: u16,
    /// Whether each message is shown on the console.
    pub verbose: bool,
}

/// How the board gets its IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipv4 {
    /// From the network.
    Dhcp,
    /// It is fixed.
    Static {
        /// The board's own.
        address: Ipv4Addr,
        /// How many bits of it name the network, 1 to 32.
        prefix: u8,
        /// The way out of that network.
        gateway: Option<Ipv4Addr>,
    },
}

/// A fixed IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6 {
    /// The board's own.
    pub address: Ipv6Addr,
    /// How many bits of it name the network, 1 to 128.
    pub prefix: u8,
    /// The way out of that network.
    pub gateway: Option<Ipv6Addr>,
}

impl<'t> Config<'t> {
    /// Reads a configuration. A byte-order mark, `\r\n` and blank lines do no harm.
    ///
    /// # Errors
    /// The first line that is wrong, or, when each is right by itself, what is missing.
    pub fn parse(text: &'t [u8]) -> Result<Self, Error<'t>> {
        let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        let mut draft = Draft::default();
        let mut last = 1;
        for (i, bytes) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = i + 1;
            let bytes = bytes.trim_ascii();
            if bytes.is_empty() || bytes.starts_with(b"#") {
                continue;
            }
            last = line;
            let at_line = |why| Error { line, why };
            let text = core::str::from_utf8(bytes).map_err(|_| at_line(Why::NotText))?;
            draft.line(line, text).map_err(at_line)?;
        }
        draft.finish(last)
    }
}

/// The keys, as they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
enum Key {
    Name,
    StatusMessage,
    Bootstrap,
    Accept,
    Ipv4,
    Gateway,
    Dns,
    Ipv6,
    Gateway6,
    Port,
    Verbose,
}

impl Key {
    const ALL: [(&'static str, Self); 11] = [
        ("name", Self::Name),
        ("status_message", Self::StatusMessage),
        ("bootstrap", Self::Bootstrap),
        ("accept", Self::Accept),
        ("ipv4", Self::Ipv4),
        ("gateway", Self::Gateway),
        ("dns", Self::Dns),
        ("ipv6", Self::Ipv6),
        ("gateway6", Self::Gateway6),
        ("port", Self::Port),
        ("verbose", Self::Verbose),
    ];

    /// Whether there may be more than one line of it.
    const fn repeats(self) -> bool {
        matches!(self, Self::Bootstrap | Self::Accept | Self::Dns)
    }
}

/// A configuration of which some lines are read.
struct Draft<'t> {
    config: Config<'t>,
    gateway: Option<Ipv4Addr>,
    gateway6: Option<Ipv6Addr>,
    /// Where each key was given last, 0 for not at all.
    lines: [usize; Key::ALL.len()],
}

impl Default for Draft<'_> {
    fn default() -> Self {
        let config = Config {
            name: "BlueRing bot",
            status_message: "",
            bootstrap: Vec::new(),
            accept: Vec::new(),
            ipv4: Ipv4::Dhcp,
            ipv6: None,
            dns: Vec::new(),
            port: DEFAULT_PORT,
            verbose: false,
        };
        Self { config, gateway: None, gateway6: None, lines: [0; Key::ALL.len()] }
    }
}

impl<'t> Draft<'t> {
    fn line(&mut self, line: usize, text: &'t str) -> Result<(), Why<'t>> {
        let (name, value) = text.split_once('=').ok_or(Why::NoEquals(text))?;
        let (name, value) = (name.trim(), value.trim());
        let Some((name, key)) = Key::ALL.into_iter().find(|(known, _)| *known == name) else {
            return Err(Why::UnknownKey(name));
        };
        let before = core::mem::replace(&mut self.lines[key as usize], line);
        if before != 0 && !key.repeats() {
            return Err(Why::Duplicate { key: name, before });
        }
        if value.is_empty() && key != Key::StatusMessage {
            return Err(Why::NoValue(name));
        }
        self.set(key, value)
    }

    fn set(&mut self, key: Key, value: &'t str) -> Result<(), Why<'t>> {
        let config = &mut self.config;
        match key {
            Key::Name => config.name = text(value, NAME_LEN_MAX)?,
            Key::StatusMessage => config.status_message = text(value, STATUS_MESSAGE_LEN_MAX)?,
            Key::Bootstrap => add(&mut config.bootstrap, bootstrap(value)?)?,
            Key::Accept => add(&mut config.accept, friend(value)?)?,
            Key::Ipv4 => config.ipv4 = ipv4(value)?,
            Key::Gateway => self.gateway = Some(value.parse().map_err(|_| Why::Ipv4(value))?),
            Key::Dns => add(&mut config.dns, value.parse().map_err(|_| Why::Ip(value))?)?,
            Key::Ipv6 => config.ipv6 = Some(ipv6(value)?),
            Key::Gateway6 => self.gateway6 = Some(value.parse().map_err(|_| Why::Ipv6(value))?),
            Key::Port => config.port = port(value)?,
            Key::Verbose => config.verbose = yes_or_no(value)?,
        }
        Ok(())
    }

    /// What only all lines together can tell.
    fn finish(mut self, last: usize) -> Result<Config<'t>, Error<'t>> {
        let at = |key: Key, why| Error { line: self.lines[key as usize], why };
        let config = &mut self.config;
        if config.bootstrap.is_empty() {
            return Err(Error { line: last, why: Why::NoBootstrap });
        }
        match (&mut config.ipv4, self.gateway) {
            (_, None) => {}
            (Ipv4::Dhcp, Some(_)) => return Err(at(Key::Gateway, Why::NeedsAddress("ipv4 = ADDRESS/LENGTH"))),
            (Ipv4::Static { gateway, .. }, Some(found)) => *gateway = Some(found),
        }
        match (&mut config.ipv6, self.gateway6) {
            (_, None) => {}
            (None, Some(_)) => return Err(at(Key::Gateway6, Why::NeedsAddress("ipv6 = ADDRESS/LENGTH"))),
            (Some(ipv6), Some(found)) => ipv6.gateway = Some(found),
        }
        for server in &config.dns {
            let is_reachable = match server {
                IpAddr::V4(_) => config.ipv4 != Ipv4::Dhcp,
                IpAddr::V6(_) => config.ipv6.is_some(),
            };
            if !is_reachable {
                return Err(at(Key::Dns, Why::DnsOfDhcp(*server)));
            }
        }
        Ok(self.config)
    }
}

fn add<'t, T, const N: usize>(list: &mut Vec<T, N>, value: T) -> Result<(), Why<'t>> {
    list.push(value).map_err(|_| Why::TooMany(N))
}

fn text(value: &str, max: usize) -> Result<&str, Why<'_>> {
    if value.len() > max {
        return Err(Why::TooLong { found: value.len(), max });
    }
    if value.contains(char::is_control) { Err(Why::Control) } else { Ok(value) }
}

fn port(value: &str) -> Result<u16, Why<'_>> {
    // Rust would take `+1` too.
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|port| digits && *port != 0).ok_or(Why::Port(value))
}

fn yes_or_no(value: &str) -> Result<bool, Why<'_>> {
    match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(Why::YesOrNo(value)),
    }
}

/// `HOST:PORT:KEY`, taken apart from its end, for addresses have colons too.
fn bootstrap(value: &str) -> Result<Bootstrap<'_>, Why<'_>> {
    let (node, tcp_port) = if cfg!(feature = "relays") { relay(value)? } else { (value, None) };
    let (rest, digits) = node.rsplit_once(':').ok_or(Why::Bootstrap(value))?;
    let (name, number) = rest.rsplit_once(':').ok_or(Why::Bootstrap(value))?;
    Ok(Bootstrap { host: host(name)?, port: port(number)?, tcp_port, key: key(digits)? })
}

/// What stands before a TCP port, and the port if there is one: a key is much longer.
fn relay(value: &str) -> Result<(&str, Option<NonZeroU16>), Why<'_>> {
    let is_port = |digits: &str| digits.len() <= PORT_LEN_MAX && digits.bytes().all(|byte| byte.is_ascii_digit());
    match value.rsplit_once(':') {
        Some((node, digits)) if is_port(digits) && node.contains(':') => Ok((node, NonZeroU16::new(port(digits)?))),
        Some(_) | None => Ok((value, None)),
    }
}

fn host(written: &str) -> Result<&str, Why<'_>> {
    if let Some(inner) = written.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return if inner.parse::<Ipv6Addr>().is_ok() { Ok(inner) } else { Err(Why::Ipv6(inner)) };
    }
    let is_label = |label: &str| (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-');
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let all_digits = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    if written.parse::<Ipv4Addr>().is_ok() {
        return Ok(written);
    }
    let fits = written.len() <= HOST_LEN_MAX && written.bytes().all(is_known) && written.split('.').all(is_label);
    if fits && !written.bytes().all(all_digits) { Ok(written) } else { Err(Why::Host(written)) }
}

fn key(digits: &str) -> Result<PublicKey, Why<'_>> {
    PublicKey::from_hex(digits).filter(PublicKey::is_valid).ok_or(Why::Key(digits))
}

/// A friend by key or by Tox ID: what has the length of neither is told so.
fn friend(value: &str) -> Result<PublicKey, Why<'_>> {
    if value.len() == 64 {
        return key(value);
    }
    match value.parse::<ToxId>() {
        Ok(id) => Ok(id.public_key),
        Err(why) => Err(Why::Friend(value, why)),
    }
}

fn ipv4(value: &str) -> Result<Ipv4, Why<'_>> {
    if value == "dhcp" {
        return Ok(Ipv4::Dhcp);
    }
    let (address, prefix) = network(value, 32).ok_or(Why::Network4(value))?;
    Ok(Ipv4::Static { address, prefix, gateway: None })
}

fn ipv6(value: &str) -> Result<Ipv6, Why<'_>> {
    let (address, prefix) = network(value, 128).ok_or(Why::Network6(value))?;
    Ok(Ipv6 { address, prefix, gateway: None })
}

/// `ADDRESS/LENGTH`.
fn network<A: core::str::FromStr>(value: &str, longest: u16) -> Option<(A, u8)> {
    let (address, length) = value.split_once('/')?;
    let length = port(length).ok().filter(|length| *length <= longest)?;
    Some((address.parse().ok()?, u8::try_from(length).ok()?))
}

/// The text of the configuration: reading it gives the same again.
impl fmt::Display for Config<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "name = {}\nstatus_message = {}", self.name, self.status_message)?;
        for Bootstrap { host, port, tcp_port, key } in &self.bootstrap {
            match host.contains(':') {
                true => write!(f, "bootstrap = [{host}]:{port}:{key}")?,
                false => write!(f, "bootstrap = {host}:{port}:{key}")?,
            }
            tcp_port.iter().try_for_each(|port| write!(f, ":{port}"))?;
            writeln!(f)?;
        }
        self.accept.iter().try_for_each(|key| writeln!(f, "accept = {key}"))?;
        match self.ipv4 {
            Ipv4::Dhcp => writeln!(f, "ipv4 = dhcp")?,
            Ipv4::Static { address, prefix, gateway } => {
                writeln!(f, "ipv4 = {address}/{prefix}")?;
                gateway.iter().try_for_each(|gateway| writeln!(f, "gateway = {gateway}"))?;
            }
        }
        if let Some(Ipv6 { address, prefix, gateway }) = self.ipv6 {
            writeln!(f, "ipv6 = {address}/{prefix}")?;
            gateway.iter().try_for_each(|gateway| writeln!(f, "gateway6 = {gateway}"))?;
        }
        self.dns.iter().try_for_each(|server| writeln!(f, "dns = {server}"))?;
        writeln!(f, "port = {}\nverbose = {}", self.port, if self.verbose { "yes" } else { "no" })
    }
}

//! Bootstrap nodes as people write them, and their names looked up.

use bluering_core::crypto::PublicKey;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// A way into the network: `HOST:PORT:PUBLICKEY`, with an optional `:TCPPORT` of its relay behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootstrapNode {
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// UDP port.
    pub port: u16,
    /// The node's DHT key.
    pub key: PublicKey,
    /// TCP port of its relay.
    pub tcp_port: Option<u16>,
}

/// What is wrong with a bootstrap line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootstrapLineError {
    /// A part is missing.
    Parts,
    /// Nothing before the port.
    Host,
    /// Not a number from 1 to 65535: this text.
    Port(String),
    /// Not 64 hexadecimal digits: this text.
    Key(String),
}

impl fmt::Display for BootstrapLineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parts => f.write_str("expected HOST:PORT:PUBLICKEY or HOST:PORT:PUBLICKEY:TCPPORT"),
            Self::Host => f.write_str("the host is missing before the port"),
            Self::Port(found) => write!(f, "'{found}' is not a port (1 to 65535)"),
            Self::Key(found) => write!(f, "'{found}' is not a public key (64 hexadecimal digits)"),
        }
    }
}

impl std::error::Error for BootstrapLineError {}

impl FromStr for BootstrapNode {
    type Err = BootstrapLineError;

    /// Read from the right, so that an IPv6 address needs no brackets (they are allowed).
    fn from_str(line: &str) -> Result<Self, BootstrapLineError> {
        let (mut rest, mut last) = line.trim().rsplit_once(':').ok_or(BootstrapLineError::Parts)?;
        let mut tcp_port = None;
        if last.len() != 2 * KEY_LEN && rest.rsplit(':').next().is_some_and(|text| text.len() == 2 * KEY_LEN) {
            tcp_port = Some(parse_port(last)?);
            (rest, last) = rest.rsplit_once(':').ok_or(BootstrapLineError::Parts)?;
        }
        let (host, port) = rest.rsplit_once(':').ok_or(BootstrapLineError::Parts)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err(BootstrapLineError::Host);
        }
        let port = parse_port(port)?;
        let key = PublicKey::from_hex(last).ok_or_else(|| BootstrapLineError::Key(last.to_string()))?;
        Ok(Self { host: host.to_string(), port, key, tcp_port })
    }
}

const KEY_LEN: usize = bluering_core::crypto::PUBLIC_KEY_LEN;

fn parse_port(text: &str) -> Result<u16, BootstrapLineError> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        Ok(_) | Err(_) => Err(BootstrapLineError::Port(text.to_string())),
    }
}

/// A host name that leads nowhere.
#[derive(Debug)]
pub struct ResolveError {
    host: String,
    source: Option<io::Error>,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "cannot find the host '{}': {source}", self.host),
            None => write!(f, "the host '{}' has no usable address", self.host),
        }
    }
}

impl std::error::Error for ResolveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| -> &(dyn std::error::Error + 'static) { source })
    }
}

/// The first address of each family behind `host`. An address written as such needs no lookup; a lookup runs on smol's
/// thread pool and takes as long as the system's resolver takes.
///
/// # Errors
/// [`ResolveError`]: no such host, or no answer.
pub async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let asked = (host.to_string(), port);
    let found = smol::unblock(move || asked.to_socket_addrs().map(Vec::from_iter)).await;
    let found = found.map_err(|source| ResolveError { host: host.to_string(), source: Some(source) })?;
    let v4 = found.iter().find(|at| at.is_ipv4());
    let v6 = found.iter().find(|at| at.is_ipv6());
    let chosen: Vec<_> = v4.into_iter().chain(v6).copied().collect();
    if chosen.is_empty() { Err(ResolveError { host: host.to_string(), source: None }) } else { Ok(chosen) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "F404ABAA1C99A9D37D61AB54898F56793E1DEF8BD46B1038B9D822E8460FAB67";

    #[test]
    fn lines_are_read_from_the_right() {
        for (line, host, tcp_port) in [
            (format!("node.example:33445:{KEY}"), "node.example", None),
            (format!("127.0.0.1:33445:{KEY}:3389"), "127.0.0.1", Some(3389)),
            (format!("[2001:db8::1]:33445:{KEY}"), "2001:db8::1", None),
            (format!("::1:33445:{KEY}:443"), "::1", Some(443)),
        ] {
            let node: BootstrapNode = line.parse().expect(&line);
            assert_eq!((node.host.as_str(), node.port, node.tcp_port), (host, 33445, tcp_port));
            assert_eq!(node.key.to_string(), KEY);
        }
    }

    #[test]
    fn errors_name_the_part() {
        let error = |line: &str| line.parse::<BootstrapNode>().expect_err(line);
        assert_eq!(error("nonsense"), BootstrapLineError::Parts);
        assert_eq!(error(&format!("host:{KEY}")), BootstrapLineError::Parts);
        assert_eq!(error(&format!(":1:{KEY}")), BootstrapLineError::Host);
        assert_eq!(error(&format!("host:0:{KEY}")), BootstrapLineError::Port("0".into()));
        assert_eq!(error(&format!("host:1:{KEY}:99999")), BootstrapLineError::Port("99999".into()));
        assert_eq!(error("host:33445:ABCD"), BootstrapLineError::Key("ABCD".into()));
        let not_hex = KEY.replace('F', "x");
        assert_eq!(error(&format!("host:33445:{not_hex}")), BootstrapLineError::Key(not_hex));
    }

    #[test]
    fn addresses_need_no_lookup_and_bad_names_are_named() {
        let at = smol::block_on(resolve("::1", 7)).expect("an address");
        assert_eq!(at, ["[::1]:7".parse().expect("an address")]);
        let error = smol::block_on(resolve("two..dots", 7)).expect_err("not a name");
        assert!(error.to_string().contains("'two..dots'"), "{error}");
    }
}

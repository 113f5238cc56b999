//! What is wrong with a configuration, in words for the person who wrote it.

use super::{BOOTSTRAP_MAX, Key};
use crate::console::Shown;
use bluering_core::crypto::ToxIdError;
use core::fmt;
use core::net::IpAddr;

/// What stands in a line `bootstrap`.
const BOOTSTRAP: &str =
    if cfg!(feature = "relays") { "HOST:PORT:KEY or HOST:PORT:KEY:TCPPORT" } else { "HOST:PORT:KEY" };

/// A configuration that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error<'t> {
    /// Where, counted from 1.
    pub line: usize,
    /// What.
    pub why: Why<'t>,
}

/// What is wrong with a line. The texts are quoted from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why<'t> {
    /// It is not UTF-8.
    NotText,
    /// It is no `key = value`.
    NoEquals(&'t str),
    /// There is no such key.
    UnknownKey(&'t str),
    /// Nothing stands behind the `=`.
    NoValue(&'static str),
    /// The key may stand there once, and did before.
    Duplicate {
        /// Which.
        key: &'static str,
        /// The line before.
        before: usize,
    },
    /// More lines of this key than so many.
    TooMany(usize),
    /// A text of more bytes than there may be.
    TooLong {
        /// How many there are.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// A text with control characters in it.
    Control,
    /// No port.
    Port(&'t str),
    /// Neither `yes` nor `no`.
    YesOrNo(&'t str),
    /// No `HOST:PORT:KEY`, with a TCP port or without.
    Bootstrap(&'t str),
    /// No host name, and no address.
    Host(&'t str),
    /// No public key.
    Key(&'t str),
    /// Neither a public key nor a Tox ID.
    Friend(&'t str, ToxIdError),
    /// No address of either kind.
    Ip(&'t str),
    /// No IPv4 address.
    Ipv4(&'t str),
    /// No IPv6 address.
    Ipv6(&'t str),
    /// Neither `dhcp` nor `ADDRESS/LENGTH`.
    Network4(&'t str),
    /// No `ADDRESS/LENGTH`.
    Network6(&'t str),
    /// A gateway, but no such fixed address.
    NeedsAddress(&'static str),
    /// A name server without a fixed address of its kind.
    DnsOfDhcp(IpAddr),
    /// No way into the network.
    NoBootstrap,
}

impl fmt::Display for Error<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotText => f.write_str("it is not UTF-8 text"),
            Self::NoEquals(line) => write!(f, "expected `key = value`, found `{}`", Shown(line)),
            Self::UnknownKey(key) => {
                write!(f, "unknown key `{}`, expected one of", Shown(key))?;
                Key::ALL.iter().try_for_each(|(known, _)| write!(f, " {known}"))
            }
            Self::NoValue(key) => write!(f, "`{key}` has no value"),
            Self::Duplicate { key, before } => write!(f, "`{key}` stands in line {before} already"),
            Self::TooMany(max) => write!(f, "at most {max} lines of this key are possible"),
            Self::TooLong { found, max } => write!(f, "the text has {found} bytes, at most {max} are possible"),
            Self::Control => f.write_str("the text has control characters in it"),
            Self::Port(found) => write!(f, "expected a port from 1 to 65535, found `{}`", Shown(found)),
            Self::YesOrNo(found) => write!(f, "expected `yes` or `no`, found `{}`", Shown(found)),
            Self::Bootstrap(found) => write!(f, "expected {BOOTSTRAP}, found `{}`", Shown(found)),
            Self::Host(found) => {
                write!(f, "expected a host name, an IPv4 address or [an IPv6 address], found `{}`", Shown(found))
            }
            Self::Key(found) => explain_key(found, f),
            Self::Friend(found, why) => explain_friend(found, why, f),
            Self::Ip(found) => write!(f, "expected an IP address, found `{}`", Shown(found)),
            Self::Ipv4(found) => write!(f, "expected an IPv4 address, found `{}`", Shown(found)),
            Self::Ipv6(found) => write!(f, "expected an IPv6 address, found `{}`", Shown(found)),
            Self::Network4(found) => {
                write!(f, "expected `dhcp` or ADDRESS/LENGTH like 192.0.2.7/24, found `{}`", Shown(found))
            }
            Self::Network6(found) => {
                write!(f, "expected ADDRESS/LENGTH like 2001:db8::7/64, found `{}`", Shown(found))
            }
            Self::NeedsAddress(line) => write!(f, "a gateway needs a fixed address: `{line}`"),
            Self::DnsOfDhcp(server) => {
                write!(f, "name server {server} needs a fixed address of its kind; DHCP names its own")
            }
            Self::NoBootstrap => {
                write!(f, "expected 1 to {BOOTSTRAP_MAX} lines `bootstrap = HOST:PORT:KEY`, found none")
            }
        }
    }
}

/// Why `found` is no key: what a person can see and mend.
fn explain_key(found: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let digits = found.chars().count();
    match found.chars().position(|c| !c.is_ascii_hexdigit()) {
        Some(at) => write!(f, "character {} of the key `{}` is not a hexadecimal digit", at + 1, Shown(found)),
        None if digits != 64 => write!(f, "a key has 64 hexadecimal digits, this has {digits}: `{}`", Shown(found)),
        None => write!(f, "no node or person can have the key `{}`", Shown(found)),
    }
}

fn explain_friend(found: &str, why: ToxIdError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match why {
        ToxIdError::Length(digits) => {
            write!(f, "a key has 64 hexadecimal digits and a Tox ID 76, this has {digits}: `{}`", Shown(found))
        }
        ToxIdError::Digit(_) | ToxIdError::Checksum | ToxIdError::Key => {
            write!(f, "expected a key or a Tox ID, found `{}`: {why}", Shown(found))
        }
    }
}

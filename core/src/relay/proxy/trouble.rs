//! What can be wrong with a proxy, told so that a person knows what to do.

use core::fmt;

/// Why nobody is reached through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyTrouble {
    /// Nothing answers there.
    Down,
    /// It answers, and does not connect us.
    Refused(Refusal),
    /// It wants a user name and a password, and we have none.
    NeedsCredentials,
    /// It does not accept our user name and password.
    BadCredentials,
    /// What answers there does not speak the language that we expect.
    NotAProxy,
}

/// The reason why a proxy refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// SOCKS5 reply 1: something else. Tor and others say so when a name cannot be found.
    General,
    /// SOCKS5 reply 2: its rules forbid it.
    NotAllowed,
    /// SOCKS5 reply 3.
    NetworkUnreachable,
    /// SOCKS5 reply 4.
    HostUnreachable,
    /// SOCKS5 reply 5: by the relay, not by the proxy.
    ConnectionRefused,
    /// SOCKS5 reply 6, or no answer at all in time.
    Expired,
    /// SOCKS5 reply 7: it does not make connections for others.
    NoConnect,
    /// SOCKS5 reply 8: no IPv6, or no names.
    AddressType,
    /// SOCKS5: another reply, which has no meaning yet.
    Reply(u8),
    /// SOCKS5: it accepts neither no proof of who we are, nor user name and password.
    Methods,
    /// An HTTP status that is neither success nor about credentials.
    Http(u16),
    /// It closed the connection instead of an answer.
    Closed,
}

impl ProxyTrouble {
    /// Whether the proxy did its part and it is the relay that cannot be reached: another relay may well be.
    #[must_use]
    pub const fn is_of_target(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.is_of_target(),
            Self::Down | Self::NeedsCredentials | Self::BadCredentials | Self::NotAProxy => false,
        }
    }
}

impl Refusal {
    /// From a SOCKS5 reply that is not success.
    pub(super) const fn of_reply(reply: u8) -> Self {
        match reply {
            1 => Self::General,
            2 => Self::NotAllowed,
            3 => Self::NetworkUnreachable,
            4 => Self::HostUnreachable,
            5 => Self::ConnectionRefused,
            6 => Self::Expired,
            7 => Self::NoConnect,
            8 => Self::AddressType,
            reply => Self::Reply(reply),
        }
    }

    const fn is_of_target(self) -> bool {
        match self {
            Self::General
            | Self::NetworkUnreachable
            | Self::HostUnreachable
            | Self::ConnectionRefused
            | Self::Expired
            | Self::AddressType => true,
            // Not implemented, and versions: these are about CONNECT.
            Self::Http(status) => matches!(status, 404 | 410 | 500 | 502..=504 | 506..=599),
            Self::NotAllowed | Self::NoConnect | Self::Reply(_) | Self::Methods | Self::Closed => false,
        }
    }
}

impl fmt::Display for ProxyTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down => f.write_str("the proxy does not answer: check that it runs, and its address and port"),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::NeedsCredentials => f.write_str("the proxy asks for a user name and a password: give it both"),
            Self::BadCredentials => f.write_str("the proxy does not accept the user name and password: check both"),
            Self::NotAProxy => {
                f.write_str("what answers is no proxy of this kind: check its kind (socks5 or http) and its port")
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::General => "the proxy cannot reach the relay, and does not say why: try other relays",
            Self::NotAllowed => {
                "the rules of the proxy forbid this relay or its port: try relays on port 443, or ask who runs it"
            }
            Self::NetworkUnreachable => {
                "the proxy has no way to the network of the relay: try other relays, with IPv4 addresses"
            }
            Self::HostUnreachable => "the proxy does not find the relay: check its name, or try other relays",
            Self::ConnectionRefused => "nothing listens at the relay's port: check it, or try other relays",
            Self::Expired => "the relay does not answer through the proxy: try others, and check the kind of the proxy",
            Self::NoConnect => "the proxy makes no connections: use another",
            Self::AddressType => "the proxy knows no addresses of this kind: try relays with IPv4 addresses",
            Self::Reply(reply) => return write!(f, "the proxy refuses with an unknown SOCKS5 reply ({reply})"),
            Self::Methods => "the proxy wants another proof than a user name and a password: use another proxy",
            Self::Http(status) => return http(f, *status),
            Self::Closed => {
                "the proxy closed the connection without an answer: check its kind (socks5 or http), and whether it \
                 serves this computer"
            }
        })
    }
}

fn http(f: &mut fmt::Formatter<'_>, status: u16) -> fmt::Result {
    let text = match status {
        300..=399 => "it wants to show a page first: open one in a browser, and log in",
        403 => "its rules forbid this relay or its port: try relays on port 443, or ask who runs it",
        400 | 405 | 426 | 501 | 505 => "it makes no connections by CONNECT: check its port, or use another",
        408 | 429 => "it is too busy: it is tried again later",
        404 | 410 | 500 | 502..=504 | 506..=599 => "it cannot reach the relay: try other relays",
        _ => "ask who runs it",
    };
    write!(f, "the proxy refuses (HTTP {status}): {text}")
}

impl core::error::Error for ProxyTrouble {}
impl core::error::Error for Refusal {}

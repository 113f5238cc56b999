//! Proxies: how a stream to a relay is opened through a SOCKS5 proxy (RFC 1928, 1929) or an HTTP proxy (CONNECT,
//! RFC 9110), for those whom nothing else lets out, and for those who must not be seen.
//!
//! The adapter connects to the proxy. Then a [`ProxyClient`] speaks first on the stream: it tells the proxy, when that
//! wants to know, who we are, and where the stream shall lead, by address or by a name that the proxy looks up itself.
//! When it is [`ProxyState::Ready`] the stream is the relay's, from the very next byte on. Answers are read byte by
//! byte and not kept, so they may come in any pieces, and nothing behind them is touched.

mod http;
mod socks5;
#[cfg(test)]
mod tests;
mod trouble;

pub use trouble::{ProxyTrouble, Refusal};

use crate::Endpoint;
use core::fmt;
use http::Http;
use socks5::Socks5;

/// The longest user name and the longest password (RFC 1929).
pub const CREDENTIAL_LEN_MAX: usize = 255;
/// The longest host name (RFC 1928).
pub const HOST_LEN_MAX: usize = 255;
/// What a buffer for [`ProxyClient::output`] must hold.
pub const OUTPUT_MAX: usize = 1400;

/// The language of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyKind {
    /// SOCKS, version 5. Tor speaks it.
    Socks5,
    /// HTTP with the method CONNECT.
    Http,
}

/// A proxy, and who we are to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Proxy<'s> {
    kind: ProxyKind,
    at: Endpoint,
    credentials: Option<(&'s [u8], &'s [u8])>,
}

/// Why a user name and a password cannot be sent to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialsError {
    /// The user name is empty.
    NoUser,
    /// The user name is longer than [`CREDENTIAL_LEN_MAX`].
    UserTooLong,
    /// The password is longer than [`CREDENTIAL_LEN_MAX`].
    PasswordTooLong,
    /// A colon in the user name: HTTP cannot carry it.
    Colon,
    /// A control character: HTTP cannot carry it.
    Control,
}

impl<'s> Proxy<'s> {
    /// The proxy at this address. User name and password are sent only when it asks for them, or with every request
    /// if it is an HTTP proxy; neither hides them from who is on the way.
    ///
    /// # Errors
    /// [`CredentialsError`]: it would never understand them.
    pub fn new(
        kind: ProxyKind,
        at: Endpoint,
        credentials: Option<(&'s [u8], &'s [u8])>,
    ) -> Result<Self, CredentialsError> {
        if let Some((user, password)) = credentials {
            check_credentials(kind, user, password)?;
        }
        Ok(Self { kind, at, credentials })
    }

    /// Its language.
    #[must_use]
    pub const fn kind(&self) -> ProxyKind {
        self.kind
    }

    /// Where it is.
    #[must_use]
    pub const fn at(&self) -> Endpoint {
        self.at
    }

    /// User name and password, if there are any.
    #[must_use]
    pub const fn credentials(&self) -> Option<(&'s [u8], &'s [u8])> {
        self.credentials
    }
}

/// Whether [`Proxy::new`] takes them.
///
/// # Errors
/// [`CredentialsError`]
pub fn check_credentials(kind: ProxyKind, user: &[u8], password: &[u8]) -> Result<(), CredentialsError> {
    let http = kind == ProxyKind::Http;
    match (user.len(), password.len()) {
        (0, _) => Err(CredentialsError::NoUser),
        (len, _) if len > CREDENTIAL_LEN_MAX => Err(CredentialsError::UserTooLong),
        (_, len) if len > CREDENTIAL_LEN_MAX => Err(CredentialsError::PasswordTooLong),
        (_, _) if http && user.contains(&b':') => Err(CredentialsError::Colon),
        (_, _) if http && user.iter().chain(password).any(u8::is_ascii_control) => Err(CredentialsError::Control),
        (_, _) => Ok(()),
    }
}

impl fmt::Debug for Proxy<'_> {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({:?} at {}", self.kind, self.at)?;
        f.write_str(if self.credentials.is_some() { ", with credentials)" } else { ")" })
    }
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoUser => "the user name for the proxy is empty",
            Self::UserTooLong => "the user name for the proxy is longer than 255 bytes",
            Self::PasswordTooLong => "the password for the proxy is longer than 255 bytes",
            Self::Colon => "a user name for an HTTP proxy cannot have a colon in it",
            Self::Control => "user name and password for an HTTP proxy cannot have control characters in them",
        })
    }
}

impl core::error::Error for CredentialsError {}

/// The name of a host as it may be given to a proxy: letters, digits, hyphens, underscores and dots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostName<'a>(&'a str);

impl<'a> HostName<'a> {
    /// `None` when it is empty, longer than [`HOST_LEN_MAX`], or has other characters. Names in other scripts must be
    /// in their `xn--` form.
    #[must_use]
    pub fn new(name: &'a str) -> Option<Self> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let right = !name.is_empty() && name.len() <= HOST_LEN_MAX && name.bytes().all(good);
        right.then_some(Self(name))
    }

    /// The name.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        self.0
    }
}

/// Where a stream shall lead behind the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target<'a> {
    /// To an address.
    At(Endpoint),
    /// To a port of a host that the proxy looks up.
    Name(HostName<'a>, u16),
}

impl fmt::Display for Target<'_> {
    /// As in `CONNECT`: IPv6 addresses in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(at) => at.fmt(f),
            Self::Name(host, port) => write!(f, "{}:{port}", host.0),
        }
    }
}

/// How far a [`ProxyClient`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyState {
    /// It has something to say, or waits for an answer.
    Waiting,
    /// The stream is the relay's now.
    Ready,
    /// The stream leads nowhere: close it.
    Failed(ProxyTrouble),
}

/// What [`ProxyClient::input`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// So many bytes were the proxy's. When it is ready, those behind them are the relay's.
    pub used: usize,
    /// How far it is.
    pub state: ProxyState,
}

/// Opens one stream through a proxy. It keeps neither the proxy nor the target; the caller has them.
#[derive(Debug, PartialEq, Eq)]
pub struct ProxyClient(Machine);

#[derive(Debug, PartialEq, Eq)]
enum Machine {
    Socks5(Socks5),
    Http(Http),
}

impl ProxyClient {
    /// At the beginning of a stream to this proxy.
    #[must_use]
    pub const fn new(proxy: &Proxy<'_>) -> Self {
        let has_credentials = proxy.credentials.is_some();
        Self(match proxy.kind {
            ProxyKind::Socks5 => Machine::Socks5(Socks5::new(has_credentials)),
            ProxyKind::Http => Machine::Http(Http::new(has_credentials)),
        })
    }

    /// How far it is.
    #[must_use]
    pub const fn state(&self) -> ProxyState {
        match &self.0 {
            Machine::Socks5(machine) => machine.state(),
            Machine::Http(machine) => machine.state(),
        }
    }

    /// Whether [`Self::output`] has something: at the beginning, and after some answers.
    #[must_use]
    pub const fn has_output(&self) -> bool {
        match &self.0 {
            Machine::Socks5(machine) => machine.has_output(),
            Machine::Http(machine) => machine.has_output(),
        }
    }

    /// Writes what is to be sent now, whole, and says how long it is: 0 for nothing. It is given once.
    ///
    /// `proxy` must be the one given to [`Self::new`].
    ///
    /// # Panics
    /// When `buf` is shorter than [`OUTPUT_MAX`].
    pub fn output(&mut self, proxy: &Proxy<'_>, target: &Target<'_>, buf: &mut [u8]) -> usize {
        match &mut self.0 {
            Machine::Socks5(machine) => machine.output(proxy.credentials, target, buf),
            Machine::Http(machine) => machine.output(proxy.credentials, target, buf),
        }
    }

    /// Reads what has come. Bytes behind the last answer are left alone; bytes before we have asked are no answer.
    pub fn input(&mut self, bytes: &[u8]) -> Progress {
        let mut used = 0;
        while used < bytes.len() && self.state() == ProxyState::Waiting {
            match &mut self.0 {
                Machine::Socks5(machine) => machine.take(bytes[used]),
                Machine::Http(machine) => machine.take(bytes[used]),
            }
            used += 1;
        }
        Progress { used, state: self.state() }
    }

    /// What it means when the stream ends while this is waiting.
    #[must_use]
    pub const fn ended(&self) -> ProxyTrouble {
        match &self.0 {
            Machine::Socks5(machine) => machine.ended(),
            Machine::Http(machine) => machine.ended(),
        }
    }

    /// What it means when the stream is open and this has been waiting for longer than anybody should.
    #[must_use]
    pub const fn timed_out(&self) -> ProxyTrouble {
        match &self.0 {
            Machine::Socks5(machine) => machine.timed_out(),
            Machine::Http(machine) => machine.timed_out(),
        }
    }
}

//! Proxies as people write them: `socks5:HOST:PORT`, or `http://USER:PASSWORD@HOST:PORT`.

use bluering_core::Endpoint;
use bluering_core::relay::proxy::{CredentialsError, HostName, Proxy, ProxyKind, check_credentials};
use percent_encoding::percent_decode_str;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use zeroize::Zeroizing;

/// A proxy through which all connections go. As text: `socks5:HOST:PORT` or `http:HOST:PORT`, or with `//` and a user
/// name and a password, in which `%40` stands for `@`, `%3A` for `:` and `%25` for `%`.
///
/// The name of the proxy itself is looked up by the system; all other names are looked up by the proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyAddress {
    kind: ProxyKind,
    host: String,
    port: u16,
    credentials: Option<Credentials>,
}

type Credentials = (Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>);

/// What is wrong with how a proxy is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyAddressError {
    /// Neither socks5 nor http: this text.
    Kind(String),
    /// Nothing before the port.
    NoHost,
    /// Neither an address nor a host name: this text.
    Host(String),
    /// Nothing behind the host.
    NoPort,
    /// Not a number from 1 to 65535: this text.
    Port(String),
    /// User name and password cannot be sent.
    Credentials(CredentialsError),
}

impl ProxyAddress {
    /// A proxy that does not ask who we are; an IPv6 address needs no brackets.
    ///
    /// # Errors
    /// [`ProxyAddressError`]
    pub fn new(kind: ProxyKind, host: &str, port: u16) -> Result<Self, ProxyAddressError> {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err(ProxyAddressError::NoHost);
        }
        if host.parse::<IpAddr>().is_err() && HostName::new(host).is_none() {
            return Err(ProxyAddressError::Host(host.to_string()));
        }
        if port == 0 {
            return Err(ProxyAddressError::Port(port.to_string()));
        }
        Ok(Self { kind, host: host.to_string(), port, credentials: None })
    }

    /// The same, and who we are to it.
    ///
    /// # Errors
    /// [`ProxyAddressError::Credentials`]
    pub fn with_credentials(
        self,
        user: impl Into<Vec<u8>>,
        password: impl Into<Vec<u8>>,
    ) -> Result<Self, ProxyAddressError> {
        let (user, password) = (Zeroizing::new(user.into()), Zeroizing::new(password.into()));
        check_credentials(self.kind, &user, &password).map_err(ProxyAddressError::Credentials)?;
        Ok(Self { credentials: Some((user, password)), ..self })
    }

    /// Its language.
    #[must_use]
    pub const fn kind(&self) -> ProxyKind {
        self.kind
    }

    /// Its name or address, the latter without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What the core needs, once the name is looked up.
    #[must_use]
    pub fn found_at(&self, at: Endpoint) -> Proxy<'_> {
        let credentials = self.credentials.as_ref().map(|(user, password)| (user.as_slice(), password.as_slice()));
        Proxy::new(self.kind, at, credentials).expect("checked before")
    }
}

impl FromStr for ProxyAddress {
    type Err = ProxyAddressError;

    fn from_str(text: &str) -> Result<Self, ProxyAddressError> {
        let text = text.trim();
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        let kind = match scheme.to_ascii_lowercase().as_str() {
            // "socks5h" is curl's word for names that the proxy looks up.
            "socks5" | "socks5h" => ProxyKind::Socks5,
            "http" => ProxyKind::Http,
            _ => return Err(ProxyAddressError::Kind(scheme.to_string())),
        };
        let rest = rest.strip_prefix("//").map_or(rest, |url| url.strip_suffix('/').unwrap_or(url));
        // A password may have an @ in it; a host has none.
        let (who, place) = rest.rsplit_once('@').map_or((None, rest), |(who, place)| (Some(who), place));
        let this = at_place(kind, place)?;
        let Some(who) = who else { return Ok(this) };
        let (user, password) = who.split_once(':').unwrap_or((who, ""));
        this.with_credentials(Vec::from_iter(percent_decode_str(user)), Vec::from_iter(percent_decode_str(password)))
    }
}

/// Read from the right, as bootstrap lines are.
fn at_place(kind: ProxyKind, place: &str) -> Result<ProxyAddress, ProxyAddressError> {
    if place.is_empty() {
        return Err(ProxyAddressError::NoHost);
    }
    if place.ends_with(']') {
        return Err(ProxyAddressError::NoPort);
    }
    let (host, port) = place.rsplit_once(':').ok_or(ProxyAddressError::NoPort)?;
    if port.is_empty() {
        return Err(ProxyAddressError::NoPort);
    }
    let number = port.parse().map_err(|_| ProxyAddressError::Port(port.to_string()))?;
    ProxyAddress::new(kind, host, number)
}

impl fmt::Display for ProxyAddress {
    /// Without user name and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ProxyKind::Socks5 => "socks5",
            ProxyKind::Http => "http",
        };
        match self.host.contains(':') {
            true => write!(f, "{kind}://[{}]:{}", self.host, self.port),
            false => write!(f, "{kind}://{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = if self.credentials.is_some() { ", with credentials" } else { "" };
        write!(f, "ProxyAddress({self}{with})")
    }
}

impl fmt::Display for ProxyAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(found) => {
                write!(f, "'{found}' is no kind of proxy: write socks5:HOST:PORT or http:HOST:PORT")
            }
            Self::NoHost => f.write_str("the proxy's host is missing before the port"),
            Self::Host(found) => write!(f, "'{found}' is neither an address nor a host name"),
            Self::NoPort => f.write_str("the proxy's port is missing behind its host (often 1080, 8080 or 9050)"),
            Self::Port(found) => write!(f, "'{found}' is not a port (1 to 65535)"),
            Self::Credentials(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ProxyAddressError {}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    const AT: Endpoint = Endpoint::v4([127, 0, 0, 1], 1);

    fn parse(text: &str) -> ProxyAddress {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn all_forms() {
        use ProxyKind::{Http, Socks5};
        for (text, kind, host, port) in [
            ("socks5:127.0.0.1:9050", Socks5, "127.0.0.1", 9050),
            ("socks5://localhost:1080", Socks5, "localhost", 1080),
            (" SOCKS5h://proxy.example:1080/ ", Socks5, "proxy.example", 1080),
            ("http:proxy:8080", Http, "proxy", 8080),
            ("http://[2001:db8::1]:3128/", Http, "2001:db8::1", 3128),
            ("socks5:::1:1080", Socks5, "::1", 1080),
            ("socks5://me:secret@proxy:1", Socks5, "proxy", 1),
        ] {
            let proxy = parse(text);
            assert_eq!((proxy.kind(), proxy.host(), proxy.port()), (kind, host, port), "{text}");
            assert_eq!(proxy.found_at(AT).kind(), kind);
        }
    }

    #[test]
    fn credentials_are_decoded_and_not_shown() {
        for (text, user, password) in [
            ("socks5://me:secret@proxy:1", "me", "secret"),
            ("http://me@proxy:1", "me", ""),
            ("http://me:@proxy:1", "me", ""),
            ("http://a%40b:p%3A%25:q@r@[::1]:1", "a@b", "p:%:q@r"),
        ] {
            let proxy = parse(text);
            let wanted = Some((user.as_bytes(), password.as_bytes()));
            assert_eq!(proxy.found_at(AT).credentials(), wanted, "{text}");
            let shown = format!("{proxy} {proxy:?}");
            assert!(!shown.contains("secret") && shown.contains("with credentials"), "{shown}");
        }
        assert_eq!(parse("http://u:p@[::1]:1").to_string(), "http://[::1]:1");
    }

    #[test]
    fn errors_name_the_part() {
        use ProxyAddressError::{Credentials, Host, Kind, NoHost, NoPort, Port};
        let long = "x".repeat(256);
        for (text, error) in [
            ("", Kind(String::new())),
            ("proxy:8080", Kind("proxy".into())),
            ("https://proxy:8080", Kind("https".into())),
            ("socks4:proxy:8080", Kind("socks4".into())),
            ("socks5:", NoHost),
            ("http://:8080", NoHost),
            ("http://[]:8080", NoHost),
            ("http://u:p@", NoHost),
            ("http://u:p@proxy", NoPort),
            ("socks5:proxy:", NoPort),
            ("socks5:[::1]", NoPort),
            ("socks5:proxy:0", Port("0".into())),
            ("socks5:proxy:65536", Port("65536".into())),
            ("socks5:proxy:http", Port("http".into())),
            ("http://proxy:80/path", Port("80/path".into())),
            ("http:a b:1", Host("a b".into())),
            (&format!("http:{long}:1"), Host(long.clone())),
            ("http://:p@proxy:1", Credentials(CredentialsError::NoUser)),
            ("http://u%3A:p@proxy:1", Credentials(CredentialsError::Colon)),
            ("http://u:%0A@proxy:1", Credentials(CredentialsError::Control)),
            (&format!("socks5://{long}:p@proxy:1"), Credentials(CredentialsError::UserTooLong)),
            (&format!("socks5://u:{long}@proxy:1"), Credentials(CredentialsError::PasswordTooLong)),
        ] {
            assert_eq!(text.parse::<ProxyAddress>(), Err(error.clone()), "{text}");
            assert!(!error.to_string().contains('\n'));
        }
    }

    quickcheck! {
        fn any_text_is_read_or_refused(text: String, kind: u8) -> bool {
            let text = match kind % 3 {
                0 => text,
                1 => format!("socks5:{text}"),
                _ => format!("http://{text}:80"),
            };
            match text.parse::<ProxyAddress>() {
                Ok(proxy) => parse(&proxy.to_string()).host() == proxy.host(),
                Err(error) => !error.to_string().is_empty(),
            }
        }
    }
}

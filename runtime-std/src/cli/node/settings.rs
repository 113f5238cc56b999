//! What a node shall be, as a command line or a file says it. Every value knows its place, so that whatever turns out
//! to be wrong with it, even when the node has long been started, is told with file, line and value.

use super::motd::Template;
use bluering::{BootstrapNode, Listen, MOTD_LEN_MAX};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// More clients than a relay can number, more threads than any machine runs.
const COUNT_MAX: usize = 1_000_000;

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// File and line; none for the command line.
    pub(super) file: Option<(Arc<str>, usize)>,
    /// What it is called there, and the value as it stands there.
    pub(super) text: String,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// All that can be said about a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) udp: Option<Given<Listen>>,
    pub(super) tcp: Vec<Given<SocketAddr>>,
    pub(super) tcp_clients: Option<Given<Count>>,
    pub(super) workers: Option<Given<Count>>,
    pub(super) agreements: Option<Given<Count>>,
    pub(super) keys: Option<Given<PathBuf>>,
    /// An inner `None` answers no bootstrap info requests.
    pub(super) motd: Option<Given<Option<String>>>,
    pub(super) bootstrap: Vec<Given<BootstrapNode>>,
    pub(super) lan_discovery: Option<Given<bool>>,
    pub(super) metrics: Option<Given<SocketAddr>>,
    pub(super) pid_file: Option<Given<PathBuf>>,
}

/// How many of something that a machine could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count(pub(super) usize);

/// What must be mended, and what is only to be known, one line each.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    pub(super) errors: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let count = text.parse().ok().filter(|count| (1..=COUNT_MAX).contains(count));
        count.map(Self).ok_or_else(|| format!("'{text}' is not a number from 1 to {COUNT_MAX}"))
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Place {
    pub(super) fn command_line(option: &str, value: impl fmt::Display) -> Self {
        Self { file: None, text: format!("--{option} {value}") }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some((file, line)) => write!(f, "{file}:{line}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

impl<T> Given<T> {
    /// One line about what is wrong.
    pub(super) fn wrong(&self, why: impl fmt::Display) -> String {
        format!("{}: {why}", self.place)
    }
}

impl Settings {
    /// What `self` says counts; what it does not say is as `other` says. A list counts as a whole.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            udp: self.udp.or(other.udp),
            tcp: if self.tcp.is_empty() { other.tcp } else { self.tcp },
            tcp_clients: self.tcp_clients.or(other.tcp_clients),
            workers: self.workers.or(other.workers),
            agreements: self.agreements.or(other.agreements),
            keys: self.keys.or(other.keys),
            motd: self.motd.or(other.motd),
            bootstrap: if self.bootstrap.is_empty() { other.bootstrap } else { self.bootstrap },
            lan_discovery: self.lan_discovery.or(other.lan_discovery),
            metrics: self.metrics.or(other.metrics),
            pid_file: self.pid_file.or(other.pid_file),
        }
    }

    /// What can be told without starting.
    pub(super) fn check(&self) -> Findings {
        let mut findings = Findings::default();
        if let Some(given) = self.workers.as_ref().filter(|given| given.value.0 > 1)
            && !cfg!(any(target_os = "linux", target_os = "android"))
        {
            findings.warnings.push(given.wrong("only Linux deals out datagrams; here one thread receives them"));
        }
        if let Some(given) = &self.motd
            && let Some(text) = &given.value
        {
            findings.errors.extend(check_motd(text).err().map(|why| given.wrong(why)));
        }
        findings
    }
}

fn check_motd(text: &str) -> Result<(), String> {
    let template = Template::parse(text)?;
    match template.is_fixed() && text.len() > MOTD_LEN_MAX {
        true => Err(format!("{} bytes, at most {MOTD_LEN_MAX} fit", text.len())),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given<T>(value: T) -> Given<T> {
        Given { value, place: Place { file: Some(("f".into(), 3)), text: "name = value".to_string() } }
    }

    #[test]
    fn the_first_says_more_than_the_second() {
        let first = Settings {
            udp: Some(given(Listen::At("127.0.0.1:1".parse().expect("an address")))),
            ..Settings::default()
        };
        let second = Settings {
            udp: Some(given(Listen::At("127.0.0.1:2".parse().expect("an address")))),
            keys: Some(given("keys".into())),
            tcp: vec![given("127.0.0.1:3".parse().expect("an address"))],
            ..Settings::default()
        };
        let both = first.clone().or(second.clone());
        assert_eq!((both.udp, both.keys, both.tcp), (first.udp, second.keys, second.tcp));
    }

    #[test]
    fn messages_of_the_day_are_checked() {
        let errors =
            |text: &str| Settings { motd: Some(given(Some(text.to_string()))), ..Settings::default() }.check().errors;
        assert!(errors(&"x".repeat(256)).is_empty() && errors("up {{uptime}}").is_empty());
        assert!(errors(&"x".repeat(257))[0].contains("257 bytes"));
        assert!(errors("{{wrong}}")[0].starts_with("f:3: name = value: "));
    }
}

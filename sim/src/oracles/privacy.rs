//! Who has no UDP never sends a datagram, and who has a proxy connects nowhere else.
//!
//! A leak around the proxy shows an address that somebody wanted hidden, so the attempt alone breaks the rule, whether
//! or not anything would have come of it.

use super::{Findings, Oracle, PerHost, Rule};
use crate::observe::{HostId, Observation, StreamSeen};
use bluering_core::time::Instant;

/// What a host keeps to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Private {
    /// Who.
    pub host: HostId,
    /// Its proxy, if it has one.
    pub proxy: Option<HostId>,
}

/// Watches hosts that have no UDP, or a proxy.
#[derive(Clone, Debug, Default)]
pub struct Privacy {
    /// Outside: anything is allowed. Inside: only this proxy.
    hosts: PerHost<Option<Option<HostId>>>,
}

impl Privacy {
    /// Watches these hosts.
    #[must_use]
    pub fn new(hosts: &[Private]) -> Self {
        let mut this = Self::default();
        hosts.iter().for_each(|private| *this.hosts.at(private.host) = Some(private.proxy));
        this
    }
}

impl Oracle for Privacy {
    fn rule(&self) -> Rule {
        Rule::Privacy
    }

    fn observe(&mut self, at: Instant, seen: &Observation<'_>, findings: &mut Findings) {
        match seen {
            Observation::Sent { packet, .. } if self.hosts.get(packet.from).is_some_and(Option::is_some) => {
                let what = format!("a datagram to {} leaves a host that has no UDP", packet.to);
                findings.report(Rule::Privacy, at, Some(packet.from), what);
            }
            Observation::Stream { host, what: StreamSeen::Connects { to, host: there }, .. } => {
                let proxy = self.hosts.get(*host).copied().flatten().flatten();
                if proxy.is_some_and(|proxy| *there != Some(proxy)) {
                    findings.report(Rule::Privacy, at, Some(*host), format!("it connects to {to}, not to its proxy"));
                }
            }
            Observation::Sent { .. }
            | Observation::Stream { .. }
            | Observation::Joined { .. }
            | Observation::Started { .. }
            | Observation::Changed { .. }
            | Observation::Lost { .. }
            | Observation::Handled { .. }
            | Observation::Heard { .. }
            | Observation::Said { .. }
            | Observation::Sleeps { .. }
            | Observation::Allocated { .. }
            | Observation::ForRelay { .. }
            | Observation::Mark { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Feed, address, packet};
    use super::*;
    use crate::net::{ConnId, Side};

    fn feed() -> Feed<Privacy> {
        Feed::new(Privacy::new(&[Private { host: 3, proxy: None }, Private { host: 4, proxy: Some(7) }]))
    }

    fn connects(host: HostId, there: Option<HostId>) -> Observation<'static> {
        let what = StreamSeen::Connects { to: address(there.unwrap_or(99)), host: there };
        Observation::Stream { host, conn: ConnId(1), side: Side::Client, what }
    }

    #[test]
    fn a_datagram_of_a_host_without_udp_is_seen() {
        for (host, expected) in [(2, false), (3, true), (4, true), (5, false)] {
            let mut feed = feed();
            feed.see(&Observation::Sent { packet: packet(host, 1, b"x"), answers: None });
            assert_eq!(!feed.found().is_empty(), expected, "{host}");
        }
    }

    #[test]
    fn a_connection_around_a_proxy_is_seen() {
        let cases =
            [(2, Some(1), false), (3, Some(1), false), (4, Some(7), false), (4, Some(1), true), (4, None, true)];
        for (host, there, expected) in cases {
            let mut feed = feed();
            feed.see(&connects(host, there));
            assert_eq!(!feed.found().is_empty(), expected, "{host} to {there:?}");
        }
    }
}

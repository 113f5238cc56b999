//! A watch at the door of a host: whatever its programs send to anybody but one is counted by kind.

use crate::{Failure, Net, Outcome, ensure};
use bluering_core::Endpoint;
use core::net::IpAddr;

/// Neighbour discovery and multicast memberships are the kernel's own talk; no program asks for them.
const RULES: &str = "
table inet watch {
    counter to_proxy {}
    counter to_dns {}
    counter to_udp {}
    counter to_tcp {}
    counter to_other {}
    chain out {
        type filter hook output priority 0
        FAMILY daddr ADDRESS tcp dport PORT counter name to_proxy accept
        icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld2-listener-report } accept
        meta l4proto { tcp, udp } th dport 53 counter name to_dns accept
        meta l4proto udp counter name to_udp accept
        meta l4proto tcp counter name to_tcp accept
        counter name to_other
    }
}
";

/// Packets that have left a host so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// To the one who is allowed.
    pub proxy: u64,
    /// Questions for names, to anybody else.
    pub dns: u64,
    /// Other datagrams.
    pub udp: u64,
    /// Other packets of TCP.
    pub tcp: u64,
    /// Anything else.
    pub other: u64,
}

impl Seen {
    /// Packets that went around the proxy.
    #[must_use]
    pub const fn leaks(&self) -> u64 {
        self.dns + self.udp + self.tcp + self.other
    }
}

/// Counts from now on, for as long as the network exists, whatever goes out and not to `proxy`.
///
/// # Errors
/// Without nftables.
pub fn watch(net: &Net, proxy: Endpoint) -> Outcome {
    let family = match proxy.ip() {
        IpAddr::V4(_) => "ip",
        IpAddr::V6(_) => "ip6",
    };
    let rules = RULES.replace("FAMILY", family).replace("ADDRESS", &proxy.ip().to_string());
    net.pipe("nft", &["-f", "-"], &rules.replace("PORT", &proxy.port().to_string()))
}

/// What a watched host has sent.
///
/// # Errors
/// When it is not watched.
pub fn seen(net: &Net) -> Outcome<Seen> {
    let text = net.output("nft", &["list", "counters", "table", "inet", "watch"])?;
    let count = |name: &str| -> Outcome<u64> {
        let behind = text.split_once(&format!("counter to_{name} {{")).map(|(_, behind)| behind);
        let number = behind.and_then(|text| text.split_whitespace().nth(1)?.parse().ok());
        number.ok_or_else(|| Failure(format!("no counter {name} in {text}")))
    };
    let seen = Seen {
        proxy: count("proxy")?,
        dns: count("dns")?,
        udp: count("udp")?,
        tcp: count("tcp")?,
        other: count("other")?,
    };
    Ok(seen)
}

/// Fails when anything went around the proxy, or nothing through it.
///
/// # Errors
/// That.
pub fn nothing_leaked(net: &Net) -> Outcome {
    let seen = seen(net)?;
    ensure(seen.leaks() == 0 && seen.proxy > 0, || format!("around the proxy: {seen:?}"))
}

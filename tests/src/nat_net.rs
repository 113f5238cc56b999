//! Address translators as nftables can play them, and hosts behind them.
//!
//! What Linux itself does is "masquerade": it keeps the port where it can, so that a single host behind it has the same
//! one towards everybody, and lets in only whom it has sent to, address and port: port-restricted. The other kinds are
//! made of that:
//!
//! | kind | how |
//! |---|---|
//! | full cone | a forwarded port: everything to it goes to the host inside |
//! | restricted | the same, from addresses in a set; each packet out puts its destination there, for two minutes |
//! | port-restricted | `masquerade`, which keeps ports |
//! | symmetric | `masquerade fully-random`: another random port for each flow |
//! | blocked | UDP from inside is dropped |
//!
//! So full cone and restricted have one host and one port inside; and two hosts behind one of these that use the same
//! port would not be told apart as a real translator does. Sequential ports cannot be had from nftables.

/// The only host inside, as far as ports are forwarded to it.
pub(crate) const INSIDE: [u8; 4] = [192, 168, 1, 5];

/// How a home's router treats UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Translator {
    /// Anybody may send in.
    FullCone,
    /// Addresses that were sent to may.
    Restricted,
    /// Addresses and ports that were sent to may.
    PortRestricted,
    /// The same, and each of them sees another port.
    Symmetric,
    /// Nothing gets out.
    Blocked,
}

impl Translator {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::FullCone, Self::Restricted, Self::PortRestricted, Self::Symmetric, Self::Blocked];

    /// Its name, as the simulator has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FullCone => "full cone",
            Self::Restricted => "restricted",
            Self::PortRestricted => "port-restricted",
            Self::Symmetric => "symmetric",
            Self::Blocked => "UDP blocked",
        }
    }

    /// What `nft -f` takes. What nobody inside has asked for is dropped: a reject would leave an entry in the table
    /// that takes the port away from whom it belongs to.
    pub(crate) fn rules(self) -> String {
        let [a, b, c, d] = INSIDE;
        let inside = format!("{a}.{b}.{c}.{d}");
        let forward = match self {
            Self::FullCone => format!("iifname eth0 udp dport 33445-33545 dnat to {inside}"),
            Self::Restricted => format!("iifname eth0 ip saddr @talked udp dport 33445-33545 dnat to {inside}"),
            Self::PortRestricted | Self::Symmetric | Self::Blocked => String::new(),
        };
        let masquerade = if self == Self::Symmetric { "masquerade fully-random" } else { "masquerade persistent" };
        let remember = if self == Self::Restricted { "oifname eth0 update @talked { ip daddr }" } else { "" };
        let block = if self == Self::Blocked { "oifname eth0 meta l4proto udp drop" } else { "" };
        format!(
            "
table ip nat {{
    set talked {{
        type ipv4_addr
        flags dynamic,timeout
        timeout 2m
    }}
    chain in {{
        type nat hook prerouting priority -100
        {forward}
    }}
    chain out {{
        type nat hook postrouting priority 100
        oifname eth0 {masquerade}
    }}
    chain remember {{
        type filter hook forward priority -10
        {remember}
    }}
}}
table ip filter {{
    chain in {{
        type filter hook input priority 0
        iifname eth0 ct state new drop
    }}
    chain through {{
        type filter hook forward priority 0
        {block}
        iifname eth0 ct state new ct status dnat accept
        iifname eth0 ct state new drop
    }}
}}
"
        )
    }
}

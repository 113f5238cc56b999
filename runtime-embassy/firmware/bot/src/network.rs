//! What the configuration says about the network, in embassy-net's words.

use crate::config::{Config, Ipv4, Ipv6};
use core::net::IpAddr;
use embassy_net::{ConfigV4, ConfigV6, Ipv4Cidr, Ipv6Cidr, StaticConfigV4, StaticConfigV6};

/// The configuration of the board's stack.
#[must_use]
pub fn stack_config(config: &Config<'_>) -> embassy_net::Config {
    let mut stack = embassy_net::Config::default();
    stack.ipv4 = match config.ipv4 {
        Ipv4::Dhcp => ConfigV4::Dhcp(embassy_net::DhcpConfig::default()),
        Ipv4::Static { address, prefix, gateway } => ConfigV4::Static(StaticConfigV4 {
            address: Ipv4Cidr::new(address, prefix),
            gateway,
            dns_servers: config.dns.iter().filter_map(v4).collect(),
        }),
    };
    stack.ipv6 = match config.ipv6 {
        None => ConfigV6::None,
        Some(Ipv6 { address, prefix, gateway }) => ConfigV6::Static(StaticConfigV6 {
            address: Ipv6Cidr::new(address, prefix),
            gateway,
            dns_servers: config.dns.iter().filter_map(v6).collect(),
        }),
    };
    stack
}

fn v4(server: &IpAddr) -> Option<core::net::Ipv4Addr> {
    match server {
        IpAddr::V4(ip) => Some(*ip),
        IpAddr::V6(_) => None,
    }
}

fn v6(server: &IpAddr) -> Option<core::net::Ipv6Addr> {
    match server {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => Some(*ip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOTSTRAP: &str =
        "bootstrap = tox.example.org:1:F404ABAA1C99A9D37D61AB54898F56793E1DEF8BD46B1038B9D822E8460FAB67\n";

    fn stack(lines: &str) -> embassy_net::Config {
        stack_config(&Config::parse([BOOTSTRAP, lines].concat().as_bytes()).unwrap())
    }

    #[test]
    fn addresses_and_name_servers_go_where_they_belong() {
        let lines =
            "ipv4 = 192.0.2.7/24\ngateway = 192.0.2.1\ndns = 2001:db8::1\ndns = 192.0.2.2\nipv6 = 2001:db8::7/64";
        let stack = stack(lines);
        let ConfigV4::Static(four) = stack.ipv4 else { panic!("a fixed address") };
        assert_eq!(four.address, "192.0.2.7/24".parse().unwrap());
        assert_eq!(four.gateway, Some("192.0.2.1".parse().unwrap()));
        assert_eq!(four.dns_servers[..], ["192.0.2.2".parse::<core::net::Ipv4Addr>().unwrap()]);
        let ConfigV6::Static(six) = stack.ipv6 else { panic!("a fixed address") };
        assert_eq!((six.address, six.gateway), ("2001:db8::7/64".parse().unwrap(), None));
        assert_eq!(six.dns_servers[..], ["2001:db8::1".parse::<core::net::Ipv6Addr>().unwrap()]);
    }

    #[test]
    fn what_is_not_configured_is_dhcp_and_no_ipv6() {
        let stack = stack("");
        assert!(matches!((stack.ipv4, stack.ipv6), (ConfigV4::Dhcp(_), ConfigV6::None)));
    }
}

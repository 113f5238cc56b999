//! Addresses: an IP address and a port, and which of them Tox treats as local.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where a datagram comes from or goes to. IPv4-mapped IPv6 addresses never stand here: constructors normalise them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    ip: IpAddr,
    port: u16,
}

impl Endpoint {
    /// `0.0.0.0:0`, the value of vacant table entries.
    pub const UNSPECIFIED: Self = Self { ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port: 0 };

    /// An endpoint; `::ffff:a.b.c.d` becomes `a.b.c.d`.
    #[must_use]
    pub const fn new(ip: IpAddr, port: u16) -> Self {
        Self { ip: ip.to_canonical(), port }
    }

    /// An IPv4 endpoint.
    #[must_use]
    pub const fn v4(octets: [u8; 4], port: u16) -> Self {
        let [a, b, c, d] = octets;
        Self { ip: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port }
    }

    /// The address.
    #[must_use]
    pub const fn ip(&self) -> IpAddr {
        self.ip
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether a datagram can be sent there at all.
    #[must_use]
    pub const fn is_usable(&self) -> bool {
        self.port != 0 && !self.ip.is_unspecified()
    }

    /// Whether Tox treats the address as local (`LAN_discovery.c`; wire-facts 2.1): loopback, private, link-local,
    /// carrier-grade NAT. Unique local IPv6 (`fc00::/7`) is not.
    #[must_use]
    pub fn is_lan(&self) -> bool {
        match self.ip {
            IpAddr::V4(ip) => is_lan_v4(ip),
            IpAddr::V6(ip) => is_lan_v6(ip),
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Self {
        Self::new(addr.ip(), addr.port())
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(endpoint: Endpoint) -> Self {
        Self::new(endpoint.ip, endpoint.port)
    }
}

impl core::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        SocketAddr::from(*self).fmt(f)
    }
}

fn is_lan_v4(ip: Ipv4Addr) -> bool {
    match ip.octets() {
        [127 | 10, ..] | [192, 168, ..] => true,
        [172, b, ..] => (16..32).contains(&b),
        [169, 254, c, _] => c != 0 && c != 255,
        [100, b, ..] => (64..128).contains(&b),
        _ => false,
    }
}

fn is_lan_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.octets();
    ip.is_loopback() || (a == 0xfe && b & 0xc0 == 0x80) || (a == 0xff && b < 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn lan_is_what_toxcore_calls_lan() {
        for ip in ["127.0.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.1", "192.168.7.7", "169.254.1.0", "100.64.0.1"] {
            assert!(Endpoint::new(ip.parse().unwrap(), 1).is_lan(), "{ip}");
        }
        for ip in ["::1", "fe80::1", "::ffff:10.0.0.1", "ff02::1"] {
            assert!(Endpoint::new(ip.parse().unwrap(), 1).is_lan(), "{ip}");
        }
        for ip in ["8.8.8.8", "172.32.0.1", "169.254.0.1", "100.128.0.1", "fc00::1", "2001:db8::1", "203.0.113.1"] {
            assert!(!Endpoint::new(ip.parse().unwrap(), 1).is_lan(), "{ip}");
        }
    }

    #[test]
    fn mapped_addresses_are_normalised() {
        let mapped = Endpoint::new("::ffff:1.2.3.4".parse().unwrap(), 5);
        assert_eq!(mapped, Endpoint::v4([1, 2, 3, 4], 5));
        assert_eq!(mapped.to_string(), "1.2.3.4:5");
    }
}

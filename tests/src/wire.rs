//! Networks with more than one host: an internet with addresses that look public, and homes behind NATs.
//!
//! Tox keeps nodes of local networks from others. So that nothing here is local, an [`Internet`] has the three networks
//! that are kept for documentation, 192.0.2.0/24, 198.51.100.0/24 and 203.0.113.0/24, and hosts in different ones are
//! strangers. Everything lies in namespaces: nothing leaves the machine.

use crate::nat_net::INSIDE;
use crate::{Kind, Net, Node, Outcome, Translator};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The bridge of a namespace, to which hosts and taps are plugged.
const BRIDGE: &str = "wire";
/// The link of a host.
const LINK: &str = "eth0";
/// The networks of an internet; the router is .1 in each.
const NETWORKS: [[u8; 3]; 3] = [[192, 0, 2], [198, 51, 100], [203, 0, 113]];
/// The network of a [`Lan`].
const LAN: [u8; 4] = [192, 168, 7, 0];
/// The router, over IPv6.
const ROUTER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// The router of a home.
const HOME: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
const FORWARD: [(&str, &str); 3] =
    [("net/ipv4/ip_forward", "1"), ("net/ipv6/conf/all/forwarding", "1"), ("net/ipv4/conf/all/send_redirects", "0")];
/// A network segment to which devices can be plugged.
pub struct Wire {
    net: Arc<Net>,
    router: Ipv4Addr,
    plugs: AtomicU32,
}

impl Wire {
    fn new(net: Net, router: Ipv4Addr) -> Outcome<Self> {
        net.ip(&["link", "add", BRIDGE, "type", "bridge", "mcast_snooping", "0"])?;
        net.set(&FORWARD)?;
        net.set(&[("net/ipv4/conf/wire/send_redirects", "0")])?;
        net.ip(&["link", "set", BRIDGE, "up"])?;
        Ok(Self { net: Arc::new(net), router, plugs: AtomicU32::new(0) })
    }

    /// The namespace of its router, in which what uses a tap must run.
    #[must_use]
    pub fn net(&self) -> &Net {
        &self.net
    }

    pub(crate) fn shared_net(&self) -> Arc<Net> {
        Arc::clone(&self.net)
    }

    /// The router's address.
    #[must_use]
    pub fn router(&self) -> Ipv4Addr {
        self.router
    }

    /// A new tap on the bridge: its name.
    ///
    /// # Errors
    /// Without /dev/net/tun, or the right to use it.
    pub fn tap(&self) -> Outcome<String> {
        let name = format!("tap{}", self.plug());
        self.net.ip(&["tuntap", "add", &name, "mode", "tap"])?;
        self.net.ip(&["link", "set", &name, "master", BRIDGE, "up"])?;
        Ok(name)
    }

    /// The one host of a home, to which its router forwards ports if it does; without IPv6.
    ///
    /// # Errors
    /// When the namespace cannot be made.
    pub fn inside(&self) -> Outcome<Net> {
        let address = Ipv4Addr::from(INSIDE);
        let net = Net::at(IpAddr::V4(address), None)?;
        self.join(&net)?;
        net.ip(&["address", "add", &format!("{address}/24"), "dev", LINK])?;
        net.ip(&["route", "add", "default", "via", &self.router.to_string()])?;
        Ok(net)
    }

    /// Plugs a namespace in, with a link called `eth0`.
    fn join(&self, host: &Net) -> Outcome {
        let plug = format!("plug{}", self.plug());
        self.net.ip(&["link", "add", &plug, "type", "veth", "peer", "name", LINK, "netns", host.name()])?;
        self.net.ip(&["link", "set", &plug, "master", BRIDGE, "up"])?;
        host.ip(&["link", "set", LINK, "up"])
    }

    fn plug(&self) -> u32 {
        self.plugs.fetch_add(1, Ordering::Relaxed)
    }
}

/// A local network without a way out: 192.168.7.0/24, and IPv6 addresses that only it knows.
pub struct Lan(Wire);

impl Lan {
    /// Makes one without hosts.
    ///
    /// # Errors
    /// Without iproute2, or without the right to make namespaces.
    pub fn new() -> Outcome<Self> {
        Ok(Self(Wire::new(Net::new()?, router_of(Ipv4Addr::from(LAN)))?))
    }

    /// The host 192.168.7.NUMBER.
    ///
    /// # Errors
    /// When the namespace cannot be made.
    pub fn host(&self, number: u8) -> Outcome<Net> {
        let [a, b, c, _] = LAN;
        let address = Ipv4Addr::from([a, b, c, number]);
        let net = Net::at(IpAddr::V4(address), None)?;
        net.set(&[("net/ipv6/conf/default/accept_dad", "0")])?;
        self.0.join(&net)?;
        net.ip(&["address", "add", &format!("{address}/24"), "broadcast", "+", "dev", LINK])?;
        Ok(net)
    }
}

/// A router with three networks on one wire.
pub struct Internet(Wire);

impl Internet {
    /// Makes one without hosts.
    ///
    /// # Errors
    /// Without iproute2, or without the right to make namespaces.
    pub fn new() -> Outcome<Self> {
        let router = router_of(Ipv4Addr::from([203, 0, 113, 1]));
        let wire = Wire::new(Net::at(router.into(), Some(ROUTER6))?, router)?;
        for [a, b, c] in NETWORKS {
            wire.net.ip(&["address", "add", &format!("{a}.{b}.{c}.1/24"), "dev", BRIDGE])?;
        }
        wire.net.ip(&["address", "add", &format!("{ROUTER6}/64"), "dev", BRIDGE, "nodad"])?;
        Ok(Self(wire))
    }

    /// Its wire, for devices with an address in one of its networks.
    #[must_use]
    pub fn wire(&self) -> &Wire {
        &self.0
    }

    /// A host with this address in one of the networks, and with [`address6`].
    ///
    /// # Errors
    /// When the namespace cannot be made.
    pub fn host(&self, address: [u8; 4]) -> Outcome<Net> {
        let (address, six) = (Ipv4Addr::from(address), address6(address.into()));
        let net = Net::at(IpAddr::V4(address), Some(six))?;
        self.0.join(&net)?;
        net.ip(&["address", "add", &format!("{address}/24"), "dev", LINK])?;
        net.ip(&["route", "add", "default", "via", &router_of(address).to_string()])?;
        net.ip(&["address", "add", &format!("{six}/64"), "dev", LINK, "nodad"])?;
        Ok(net)
    }

    /// Nodes, in each of the networks in turn, so that as many voices tell where somebody is. The first is a relay.
    ///
    /// # Errors
    /// When one does not start.
    pub fn nodes(&self, kinds: &[Kind]) -> Outcome<Vec<(Net, Node)>> {
        let mut nodes: Vec<(Net, Node)> = Vec::new();
        for ((kind, number), [a, b, c]) in kinds.iter().zip(10..).zip(NETWORKS.into_iter().cycle()) {
            let net = self.host([a, b, c, number])?;
            let node = match nodes.first() {
                None => Node::start_relay(&net, *kind)?,
                Some((_, first)) => Node::start_after(first, &net, *kind)?,
            };
            nodes.push((net, node));
        }
        Ok(nodes)
    }

    /// A host to which a whole network leads, so that it can speak as anybody there.
    ///
    /// # Errors
    /// When the namespace cannot be made.
    pub fn host_of_network(&self, address: [u8; 4], network: &str) -> Outcome<Net> {
        let host = self.host(address)?;
        host.ip(&["route", "add", "local", network, "dev", "lo"])?;
        self.0.net.ip(&["route", "add", network, "via", &host.address().to_string()])?;
        Ok(host)
    }

    /// A home behind a NAT that has this address outside: a wire with 192.168.1.0/24.
    ///
    /// # Errors
    /// Without nftables, or when the namespace cannot be made.
    pub fn home(&self, outside: [u8; 4]) -> Outcome<Wire> {
        self.home_behind(outside, Translator::PortRestricted)
    }

    /// A home behind a router of this kind.
    ///
    /// # Errors
    /// Without nftables, or when the namespace cannot be made.
    pub fn home_behind(&self, outside: [u8; 4], translator: Translator) -> Outcome<Wire> {
        let wire = Wire::new(self.host(outside)?, HOME)?;
        wire.net.ip(&["address", "add", &format!("{HOME}/24"), "dev", BRIDGE])?;
        wire.net.pipe("nft", &["-f", "-"], &translator.rules())?;
        Ok(wire)
    }

    /// Gives a host another address, as a laptop gets that is carried elsewhere. All at once the old one is gone.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn move_host(&self, host: &Net, address: [u8; 4]) -> Outcome {
        let address = Ipv4Addr::from(address);
        host.ip(&["address", "flush", "dev", LINK])?;
        host.ip(&["address", "add", &format!("{address}/24"), "dev", LINK])?;
        host.ip(&["route", "add", "default", "via", &router_of(address).to_string()])
    }
}

/// The router of the network in which this address is.
#[must_use]
pub fn router_of(address: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, _] = address.octets();
    Ipv4Addr::new(a, b, c, 1)
}

/// The IPv6 address that goes with an address of an internet: 2001:db8::113:7 for 203.0.113.7.
#[must_use]
pub fn address6(address: Ipv4Addr) -> Ipv6Addr {
    let [_, _, network, host] = address.octets();
    let as_written = |number: u8| u16::from_str_radix(&number.to_string(), 16).unwrap_or_default();
    let mut segments = ROUTER6.segments();
    (segments[6], segments[7]) = (as_written(network), as_written(host));
    segments.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_look_alike() {
        assert_eq!(address6(Ipv4Addr::new(203, 0, 113, 77)).to_string(), "2001:db8::113:77");
        assert_eq!(router_of(Ipv4Addr::new(198, 51, 100, 9)).to_string(), "198.51.100.1");
    }
}

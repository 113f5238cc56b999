//! Where the local network is told of us: all broadcast addresses of this host, looked up anew for each call.

use crate::socket::UdpPort;
use bluering_core::LanCall;
use if_addrs::{IfAddr, Interface, get_if_addrs};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// All hosts of a link (RFC 4291).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Addresses that are called at most: some hosts have an interface for each of their hundred containers.
const ADDRESSES_MAX: usize = 32;

/// Sends the packet of a call; returns how often. What the kernel does not take is not sent again.
pub(crate) fn tell(socket: &UdpPort, call: &LanCall) -> usize {
    let packet = call.packet();
    // Without a list of interfaces there is still the network of the default route.
    let places = places(&get_if_addrs().unwrap_or_default());
    let targets = places.iter().flat_map(|place| {
        call.ports().map(move |port| {
            let mut target = *place;
            target.set_port(port);
            target
        })
    });
    targets.filter(|target| socket.call(&packet, *target)).count()
}

/// Where everybody is reached, port 0.
fn places(interfaces: &[Interface]) -> Vec<SocketAddr> {
    let mut places = vec![SocketAddr::from((Ipv4Addr::BROADCAST, 0))];
    for place in interfaces.iter().filter_map(place) {
        if !places.contains(&place) && places.len() < ADDRESSES_MAX {
            places.push(place);
        }
    }
    places
}

/// Where everybody behind an interface is reached. On the loopback interface those are the others on this host.
fn place(interface: &Interface) -> Option<SocketAddr> {
    match &interface.addr {
        IfAddr::V4(addr) if addr.ip.is_loopback() => Some((addr.ip, 0).into()),
        IfAddr::V4(addr) => addr.broadcast.filter(|ip| !ip.is_unspecified()).map(|ip| (ip, 0).into()),
        IfAddr::V6(addr) if addr.ip.is_loopback() => None,
        IfAddr::V6(_) => interface.index.map(|index| SocketAddrV6::new(ALL_NODES, 0, 0, index).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use if_addrs::{IfOperStatus, Ifv4Addr, Ifv6Addr};

    fn interface(index: u32, addr: IfAddr) -> Interface {
        let name = format!("if{index}");
        Interface {
            name,
            addr,
            index: Some(index),
            oper_status: IfOperStatus::Up,
            is_p2p: false,
            #[cfg(windows)]
            adapter_name: String::new(),
        }
    }

    fn v4(ip: [u8; 4], broadcast: Option<[u8; 4]>) -> IfAddr {
        let (netmask, prefixlen) = (Ipv4Addr::new(255, 255, 255, 0), 24);
        IfAddr::V4(Ifv4Addr { ip: ip.into(), netmask, prefixlen, broadcast: broadcast.map(Into::into) })
    }

    fn v6(ip: Ipv6Addr) -> IfAddr {
        IfAddr::V6(Ifv6Addr { ip, netmask: Ipv6Addr::UNSPECIFIED, prefixlen: 64, broadcast: None })
    }

    #[test]
    fn every_link_is_called_once() {
        let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
        let interfaces = [
            interface(1, v4([127, 0, 0, 1], None)),
            interface(1, v6(Ipv6Addr::LOCALHOST)),
            interface(2, v4([192, 168, 7, 9], Some([192, 168, 7, 255]))),
            interface(2, v4([192, 168, 7, 10], Some([192, 168, 7, 255]))),
            interface(2, v6(link_local)),
            interface(2, v6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))),
            interface(3, v6(link_local)),
            interface(4, v4([10, 0, 0, 1], None)),
        ];
        let expected = [
            SocketAddr::from(([255, 255, 255, 255], 0)),
            SocketAddr::from(([127, 0, 0, 1], 0)),
            SocketAddr::from(([192, 168, 7, 255], 0)),
            SocketAddrV6::new(ALL_NODES, 0, 0, 2).into(),
            SocketAddrV6::new(ALL_NODES, 0, 0, 3).into(),
        ];
        assert_eq!(places(&interfaces), expected);
        let many: Vec<_> = (0..200).map(|i| interface(5, v4([10, i, 0, 1], Some([10, i, 0, 255])))).collect();
        assert_eq!(places(&many).len(), ADDRESSES_MAX);
        assert_eq!(places(&[]).len(), 1, "without a list there is the default route");
    }
}

//! The node's UDP socket: one for both families where the host has IPv6, never blocking.

use crate::offload::{self, Hall};
use bluering_core::Endpoint;
use bluering_core::driver::Sent;
use smol::Async;
use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

/// First port that toxcore tries (`TOX_DEFAULT_START_PORT`).
pub const PORT_FIRST: u16 = 33445;
/// Last port that toxcore tries (`TOX_DEFAULT_END_PORT`).
pub const PORT_LAST: u16 = 33545;

/// Room for bursts in the kernel, each way, in bytes (`sock_set_buffers` of toxcore asks for as much). Best effort.
const KERNEL_BUFFER: usize = 2 << 20;

/// Where a node listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// All addresses of both families, or of IPv4 alone where the host has no IPv6.
    Dual(Ports),
    /// All IPv4 addresses.
    V4(Ports),
    /// This address and port only; port 0 lets the system choose.
    At(SocketAddr),
}

/// Which port to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ports {
    /// The first free one of 33445 to 33545.
    #[default]
    Usual,
    /// This one or none; 0 lets the system choose.
    Fixed(u16),
}

/// No socket could be opened.
#[derive(Debug)]
pub struct BindError {
    protocol: &'static str,
    tried: String,
    source: io::Error,
}

impl BindError {
    /// A TCP address cannot be listened on.
    pub(crate) fn tcp(at: SocketAddr, source: io::Error) -> Self {
        Self { protocol: "TCP", tried: at.to_string(), source }
    }

    /// Whether it is this TCP address that cannot be listened on.
    #[must_use]
    pub fn is_tcp(&self, at: SocketAddr) -> bool {
        self.protocol == "TCP" && self.tried == at.to_string()
    }

    fn udp(tried: String, source: io::Error) -> Self {
        Self { protocol: "UDP", tried, source }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {} {}: {}", self.protocol, self.tried, self.source)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// An open socket. Endpoints that go in and out are in their own family: IPv4-mapped addresses exist only inside.
#[derive(Debug)]
pub(crate) struct UdpPort {
    io: Async<UdpSocket>,
    local: Endpoint,
    v6: bool,
    /// The kernel has not refused a train yet.
    trains: AtomicBool,
    #[cfg(test)]
    full: AtomicBool,
}

impl UdpPort {
    /// Opens a socket.
    pub(crate) fn bind(listen: Listen) -> Result<Self, BindError> {
        match listen {
            Listen::Dual(ports) => match Self::first_free(Ipv6Addr::UNSPECIFIED.into(), ports) {
                Ok(port) => Ok(port),
                Err(error) if error.source.kind() == ErrorKind::AddrInUse => Err(error),
                Err(_) => Self::bind(Listen::V4(ports)),
            },
            Listen::V4(ports) => Self::first_free(Ipv4Addr::UNSPECIFIED.into(), ports),
            Listen::At(at) => open(at, false).map_err(|source| BindError::udp(at.to_string(), source)),
        }
    }

    /// Opens so many sockets at one address, among which the system deals out what arrives.
    pub(crate) fn bind_several(listen: Listen, count: usize) -> Result<Vec<Self>, BindError> {
        // Sockets that share an address share it with any process of the same user. The first does not share: it sees
        // whether somebody is there.
        let first = Self::bind(listen)?;
        if count <= 1 {
            return Ok(vec![first]);
        }
        let local = first.io.get_ref().local_addr();
        drop(first);
        let share = |at: SocketAddr| (0..count).map(|_| open(at, true)).collect::<io::Result<_>>();
        let at = local.map_err(|source| BindError::udp("its address".to_string(), source))?;
        share(at).map_err(|source| BindError::udp(at.to_string(), source))
    }

    fn first_free(ip: IpAddr, ports: Ports) -> Result<Self, BindError> {
        let (first, last) = match ports {
            Ports::Usual => (PORT_FIRST, PORT_LAST),
            Ports::Fixed(port) => (port, port),
        };
        let mut port = first;
        let mut result = open(SocketAddr::new(ip, port), false);
        while port < last && result.as_ref().is_err_and(|error| error.kind() == ErrorKind::AddrInUse) {
            port += 1;
            result = open(SocketAddr::new(ip, port), false);
        }
        let tried = if first == last { format!("port {first}") } else { format!("ports {first} to {last}") };
        result.map_err(|source| BindError::udp(tried, source))
    }

    /// The address and port that it is bound to.
    pub(crate) const fn local(&self) -> Endpoint {
        self.local
    }

    /// Takes datagrams that have already arrived: whether there may be more; `None` when there are none.
    pub(crate) fn receive(&self, hall: &mut Hall) -> Option<bool> {
        // Errors other than "nothing there" report, once each, what became of an earlier datagram.
        for _ in 0..RECEIVE_TRIES {
            match hall.receive(self.io.get_ref()) {
                Ok(more) => return Some(more),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(_) => {}
            }
        }
        None
    }

    /// Hands a datagram to the kernel. What it refuses for good (no route, wrong family) is lost, as on the network.
    pub(crate) fn send(&self, bytes: &[u8], to: Endpoint) -> Sent {
        let Some(to) = self.address(to) else { return Sent::Ok };
        #[cfg(test)]
        if self.full.load(Ordering::Relaxed) {
            return Sent::Blocked;
        }
        for _ in 0..SEND_TRIES {
            match self.io.get_ref().send_to(bytes, to) {
                Ok(_) => return Sent::Ok,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Sent::Blocked,
                Err(_) => {}
            }
        }
        Sent::Ok
    }

    /// Hands datagrams of `stride` bytes each to the kernel, the last one may be shorter: how many bytes are done with,
    /// or
    /// `None` when the socket is full.
    pub(crate) fn send_train(&self, bytes: &[u8], stride: usize, to: Endpoint) -> Option<usize> {
        if bytes.len() > stride
            && self.trains.load(Ordering::Relaxed)
            && let (Ok(stride), Some(to)) = (u16::try_from(stride), self.address(to))
        {
            match offload::send(self.io.get_ref(), bytes, stride, to) {
                Ok(()) => return Some(bytes.len()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) if offload::is_refusal(&error) => self.trains.store(false, Ordering::Relaxed),
                Err(_) => {}
            }
        }
        let first = &bytes[..bytes.len().min(stride)];
        (self.send(first, to) == Sent::Ok).then_some(first.len())
    }

    /// Sends to everybody at an address, if the kernel takes it at once.
    pub(crate) fn call(&self, bytes: &[u8], to: SocketAddr) -> bool {
        let to = match (to, self.v6) {
            (SocketAddr::V4(at), true) => SocketAddrV6::new(at.ip().to_ipv6_mapped(), at.port(), 0, 0).into(),
            (SocketAddr::V6(_), false) => return false,
            (SocketAddr::V4(_), false) | (SocketAddr::V6(_), true) => to,
        };
        self.io.get_ref().send_to(bytes, to).is_ok()
    }

    /// The address in the socket's family.
    pub(crate) fn address(&self, to: Endpoint) -> Option<SocketAddr> {
        address_in(to, self.v6)
    }

    /// A second way to send, for another thread.
    pub(crate) fn sender(&self) -> io::Result<UdpSender> {
        Ok(UdpSender { socket: self.io.get_ref().try_clone()?, v6: self.v6 })
    }

    /// The socket itself.
    pub(crate) fn socket(&self) -> &UdpSocket {
        self.io.get_ref()
    }

    #[cfg(test)]
    pub(crate) fn forbid_trains(&self) {
        self.trains.store(false, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn pretend_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
        self.trains.store(!full, Ordering::Relaxed);
    }

    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_readable(cx)
    }

    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_writable(cx)
    }
}

/// Sends from the node's socket, on another thread.
#[derive(Debug)]
pub(crate) struct UdpSender {
    socket: UdpSocket,
    v6: bool,
}

impl UdpSender {
    pub(crate) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// The address in the socket's family.
    pub(crate) fn address(&self, to: Endpoint) -> Option<SocketAddr> {
        address_in(to, self.v6)
    }
}

/// The address as a socket of this family knows it.
fn address_in(to: Endpoint, v6: bool) -> Option<SocketAddr> {
    match (to.ip(), v6) {
        (IpAddr::V4(ip), true) => Some(SocketAddrV6::new(ip.to_ipv6_mapped(), to.port(), 0, 0).into()),
        (IpAddr::V6(ip), true) if ip.is_unicast_link_local() => Some(with_zone(ip, to.port())),
        (IpAddr::V4(_), false) | (IpAddr::V6(_), true) => Some(SocketAddr::from(to)),
        (IpAddr::V6(_), false) => None,
    }
}

/// An endpoint for where a datagram came from. A link-local address is one only together with its link, so the link's
/// number goes into the address, behind the prefix, where it has zeros.
pub(crate) fn endpoint_of(from: SocketAddr) -> Endpoint {
    match from {
        SocketAddr::V6(at) if at.ip().is_unicast_link_local() && u16::try_from(at.scope_id()).is_ok() => {
            let mut parts = at.ip().segments();
            parts[1] = at.scope_id() as u16;
            Endpoint::new(Ipv6Addr::from(parts).into(), at.port())
        }
        SocketAddr::V4(_) | SocketAddr::V6(_) => Endpoint::from(from),
    }
}

/// The way back.
fn with_zone(ip: Ipv6Addr, port: u16) -> SocketAddr {
    let mut parts = ip.segments();
    let zone = std::mem::take(&mut parts[1]);
    SocketAddrV6::new(parts.into(), port, 0, zone.into()).into()
}

/// A call may report the fate of an earlier datagram instead of doing its own work.
pub(crate) const SEND_TRIES: usize = 2;
const RECEIVE_TRIES: usize = 8;

fn open(at: SocketAddr, shared: bool) -> io::Result<UdpPort> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    if shared {
        offload::share(&socket)?;
    }
    if at.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // The kernel may allow less, which costs packets in bursts and nothing else.
    let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
    let _ = socket.set_send_buffer_size(KERNEL_BUFFER);
    // For LAN discovery: everybody in the network is called. Where it is not allowed, nobody hears us.
    let _ = socket.set_broadcast(true);
    socket.bind(&at.into())?;
    let io = Async::new(UdpSocket::from(socket))?;
    let local = Endpoint::from(io.get_ref().local_addr()?);
    offload::prepare(io.get_ref());
    Ok(UdpPort {
        io,
        local,
        v6: at.is_ipv6(),
        trains: AtomicBool::new(true),
        #[cfg(test)]
        full: AtomicBool::new(false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(port: &UdpPort) -> (Vec<u8>, Endpoint) {
        let mut hall = Hall::new();
        smol::block_on(std::future::poll_fn(|cx| port.poll_readable(cx))).expect("readable");
        port.receive(&mut hall).expect("a datagram");
        let train = hall.trains.front().expect("a datagram");
        (hall.bytes[..train.len].to_vec(), train.from.into())
    }

    fn loopback() -> Listen {
        Listen::At(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    #[test]
    fn both_families_speak_plain_ipv4() {
        let (dual, v4) =
            (UdpPort::bind(Listen::Dual(Ports::Fixed(0))).expect("dual"), UdpPort::bind(loopback()).expect("v4"));
        assert_eq!(v4.send(b"ping", Endpoint::v4([127, 0, 0, 1], dual.local().port())), Sent::Ok);
        let (bytes, from) = receive(&dual);
        assert_eq!((bytes.as_slice(), from), (b"ping".as_slice(), v4.local()));
        assert_eq!(dual.send(b"pong", from), Sent::Ok);
        assert_eq!(receive(&v4).0, b"pong");
    }

    #[test]
    fn link_local_addresses_keep_their_link() {
        let ip: Ipv6Addr = "fe80::1:2:3:4".parse().expect("an address");
        let from = SocketAddr::from(SocketAddrV6::new(ip, 33445, 0, 7));
        let endpoint = endpoint_of(from);
        assert_eq!(endpoint.to_string(), "[fe80:7::1:2:3:4]:33445");
        assert!(endpoint.is_lan());
        assert_eq!(address_in(endpoint, true), Some(from));
        assert_eq!(address_in(endpoint, false), None);
        let plain = SocketAddr::from(([192, 168, 1, 2], 5));
        assert_eq!(endpoint_of(plain), Endpoint::from(plain));
    }

    #[test]
    fn a_taken_port_is_passed_over_or_named() {
        let first = UdpPort::bind(Listen::V4(Ports::Usual)).expect("one of 101 ports");
        let second = UdpPort::bind(Listen::V4(Ports::Usual)).expect("one of 100 ports");
        assert!(second.local().port() > first.local().port());
        assert!((PORT_FIRST..=PORT_LAST).contains(&second.local().port()));
        let port = first.local().port();
        let error = UdpPort::bind(Listen::V4(Ports::Fixed(port))).expect_err("taken");
        assert!(error.to_string().starts_with(&format!("cannot listen on UDP port {port}: ")), "{error}");
    }

    #[test]
    fn what_cannot_be_sent_is_lost_not_blocked() {
        let v4 = UdpPort::bind(loopback()).expect("v4");
        assert_eq!(v4.send(b"x", Endpoint::new(Ipv6Addr::LOCALHOST.into(), 9)), Sent::Ok);
        assert_eq!(v4.send(&[0; 70_000], v4.local()), Sent::Ok);
        assert!(v4.receive(&mut Hall::new()).is_none());
    }
}

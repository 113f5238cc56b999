//! All that is said to embassy-net, whose interface changes with each release: the socket, the name service, the state
//! of the network; and, with the feature `relays`, TCP connections.

#[cfg(not(feature = "relays"))]
mod no_streams;
#[cfg(feature = "relays")]
mod streams;

#[cfg(not(feature = "relays"))]
pub(crate) use no_streams::{StreamBuffers, Streams};
#[cfg(feature = "relays")]
pub(crate) use streams::{StreamBuffers, Streams};

use crate::neighbours::{Leave, Neighbours};
use bluering_core::Endpoint;
use bluering_core::driver::Sent;
use bluering_core::time::Instant;
use core::future::{Future, poll_fn};
use core::mem::MaybeUninit;
use core::net::IpAddr;
use core::pin::pin;
use core::task::{Context, Poll};
use embassy_net::dns::DnsQueryType;
use embassy_net::udp::{BindError, PacketMetadata, UdpSocket};
use embassy_net::{IpAddress, IpEndpoint, Stack};

/// Sockets of the network stack that a client takes: for `StackResources`. DHCP and names take one more each.
pub const SOCKETS: usize = 1 + Streams::COUNT;

/// Bytes that may wait to be handled: a burst, as a controller with its own buffer hands it over.
const RECEIVE_BYTES: usize = 7 * 1024;
const RECEIVE_PACKETS: usize = 24;
/// Bytes that may wait for the line.
const SEND_BYTES: usize = 3 * 1024;
const SEND_PACKETS: usize = 8;

/// The buffers of the UDP socket. What tells where packets lie is not made of zeros when empty, and would put the
/// whole static that holds it into the flash: so it is made when the socket is.
pub(crate) struct UdpBuffers {
    receive: [u8; RECEIVE_BYTES],
    receive_meta: MaybeUninit<[PacketMetadata; RECEIVE_PACKETS]>,
    send: [u8; SEND_BYTES],
    send_meta: MaybeUninit<[PacketMetadata; SEND_PACKETS]>,
    neighbours: MaybeUninit<Neighbours>,
}

impl UdpBuffers {
    pub(crate) const fn new() -> Self {
        Self {
            receive: [0; RECEIVE_BYTES],
            receive_meta: MaybeUninit::uninit(),
            send: [0; SEND_BYTES],
            send_meta: MaybeUninit::uninit(),
            neighbours: MaybeUninit::uninit(),
        }
    }
}

/// The node's socket, for both families.
pub(crate) struct UdpPort<'d> {
    network: Network<'d>,
    socket: UdpSocket<'d>,
    number: u16,
    neighbours: &'d mut Neighbours,
}

impl<'d> UdpPort<'d> {
    /// A socket bound to `number` on all addresses.
    pub(crate) fn open(stack: Stack<'d>, buffers: &'d mut UdpBuffers, number: u16) -> Result<Self, BindError> {
        let UdpBuffers { receive, receive_meta, send, send_meta, neighbours } = buffers;
        let receive_meta = receive_meta.write([PacketMetadata::EMPTY; RECEIVE_PACKETS]);
        let send_meta = send_meta.write([PacketMetadata::EMPTY; SEND_PACKETS]);
        let neighbours = neighbours.write(Neighbours::new());
        let mut socket = UdpSocket::new(stack, receive_meta, receive, send_meta, send);
        socket.bind(number)?;
        Ok(Self { network: Network::new(stack), socket, number, neighbours })
    }

    /// Its number.
    pub(crate) const fn number(&self) -> u16 {
        self.number
    }

    /// The next datagram that has arrived: its length and sender. One that is longer than any of Tox's is passed over.
    pub(crate) fn poll_receive(
        &mut self,
        now: Instant,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<(usize, Endpoint)> {
        loop {
            match self.socket.poll_recv_from(buf, cx) {
                Poll::Ready(Ok((len, meta))) => {
                    let from = endpoint(meta.endpoint);
                    if self.network.is_neighbour(from.ip()) {
                        self.neighbours.hear(now, from.ip());
                    }
                    return Poll::Ready((len, from));
                }
                Poll::Ready(Err(_)) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Hands a datagram to the stack. One that it refuses for good (no route, nobody there) is lost, as on the line.
    /// When its buffer is full, the task is woken when there is room.
    pub(crate) fn send(&mut self, now: Instant, cx: &mut Context<'_>, bytes: &[u8], to: Endpoint) -> Sent {
        let near = self.network.is_neighbour(to.ip());
        match self.neighbours.leave(now, to.ip()) {
            Leave::Wait if near => return Sent::Blocked,
            Leave::Lose if near => return Sent::Ok,
            Leave::Send | Leave::Wait | Leave::Lose => {}
        }
        match self.socket.poll_send_to(bytes, IpEndpoint::new(to.ip().into(), to.port()), cx) {
            Poll::Ready(_) if near => self.neighbours.sent(now, to.ip()),
            Poll::Ready(_) => {}
            Poll::Pending => return Sent::Blocked,
        }
        Sent::Ok
    }

    /// Empties a socket that waits for a neighbour who is not there. To be called before and after sending; returns
    /// when to come back.
    pub(crate) fn unblock(&mut self, now: Instant, cx: &mut Context<'_>) -> Option<Instant> {
        let due = self.neighbours.deadline()?;
        if pin!(self.socket.flush()).poll(cx).is_ready() {
            self.neighbours.all_sent();
            return None;
        }
        if now < due {
            return Some(due);
        }
        self.neighbours.give_up(now);
        self.socket.close();
        // It was bound to this port before.
        let _ = self.socket.bind(self.number);
        None
    }
}

fn endpoint(at: IpEndpoint) -> Endpoint {
    Endpoint::new(at.addr.into(), at.port)
}

/// Our addresses, when the link is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// From the configuration or by DHCP.
    pub v4: Option<core::net::Ipv4Addr>,
    /// From the configuration.
    pub v6: Option<core::net::Ipv6Addr>,
}

impl Addresses {
    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.v4.is_none() && self.v6.is_none()
    }
}

/// The stack's state and names.
#[derive(Clone, Copy)]
pub(crate) struct Network<'d> {
    stack: Stack<'d>,
}

impl<'d> Network<'d> {
    pub(crate) const fn new(stack: Stack<'d>) -> Self {
        Self { stack }
    }

    /// Our addresses now; none while the link is down.
    pub(crate) fn addresses(&self) -> Addresses {
        if !self.stack.is_link_up() {
            return Addresses::default();
        }
        Addresses {
            v4: self.stack.config_v4().map(|config| config.address.address()),
            v6: self.stack.config_v6().map(|config| config.address.address()),
        }
    }

    /// Whether a host is reached without a router.
    fn is_neighbour(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.stack.config_v4().is_some_and(|config| config.address.contains_addr(&ip)),
            IpAddr::V6(ip) => {
                ip.is_unicast_link_local()
                    || self.stack.config_v6().is_some_and(|config| config.address.contains_addr(&ip))
            }
        }
    }

    /// Waits until the link is up and there is an address.
    pub(crate) async fn wait_up(&self) {
        self.stack.wait_link_up().await;
        self.stack.wait_config_up().await;
    }

    /// Waits until the addresses are other ones than `known`. Nobody is woken for it: it is looked at whenever the task
    /// that waits is polled, because the stack has room for one waiting task only, and that may be the application.
    pub(crate) async fn wait_other(&self, known: Addresses) {
        poll_fn(|_| if self.addresses() == known { Poll::Pending } else { Poll::Ready(()) }).await;
    }

    /// The first address of a host in each family that we have; `None` when there is none now.
    pub(crate) async fn resolve(&self, host: &str) -> [Option<IpAddr>; 2] {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return [Some(ip), None];
        }
        let ours = self.addresses();
        let mut found = [None; 2];
        if ours.v4.is_some() {
            found[0] = self.query(host, DnsQueryType::A).await;
        }
        if ours.v6.is_some() {
            found[1] = self.query(host, DnsQueryType::Aaaa).await;
        }
        found
    }

    async fn query(&self, host: &str, kind: DnsQueryType) -> Option<IpAddr> {
        let found = self.stack.dns_query(host, kind).await.ok()?;
        found.first().map(|ip: &IpAddress| IpAddr::from(*ip))
    }
}

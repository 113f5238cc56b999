//! The runner: one future that drives the node. It sleeps until a datagram, a stream, a command, the node's next
//! deadline or the network wakes it, and never polls on a tick.

use crate::net::{Addresses, Network, Streams, UdpPort};
use crate::resources::Work;
use crate::tox::{DeviceEnv, Inner, embassy_time_at, now};
use bluering_core::crypto::PublicKey;
use bluering_core::driver::{Ports, Sent, pump};
use bluering_core::relay::StreamId;
use bluering_core::time::{Deadline, Instant};
use bluering_core::wire::NodeInfo;
use bluering_core::{Action, DATAGRAM_MAX, Disposition, Endpoint, Env, Event, Frame, Node, RelayHost, Transmit};
use core::cell::RefCell;
use core::future::{Future, poll_fn};
use core::net::IpAddr;
use core::num::NonZeroU16;
use core::pin::pin;
use core::task::{Context, Poll};
use embassy_time::{Duration, Timer};

/// Datagrams handled before other tasks have their turn: each may cost a key agreement.
const DATAGRAMS_AT_ONCE: usize = 8;

/// How soon the node's timers are looked at again while the socket takes nothing.
const BLOCKED_LOOK: core::time::Duration = core::time::Duration::from_millis(50);

/// The node's driver, for [`Runner::run`](crate::Runner::run).
pub(crate) struct Driver<'d> {
    pub(crate) inner: &'d RefCell<Inner<'d>>,
    pub(crate) port: UdpPort<'d>,
    pub(crate) streams: Streams<'d>,
    pub(crate) work: &'d mut Work,
    pub(crate) deadline: Option<Deadline>,
}

impl Driver<'_> {
    /// Turns for ever.
    pub(crate) async fn run(&mut self) -> ! {
        poll_fn(|cx| {
            if self.turn(cx) {
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        })
        .await;
        unreachable!("pending for ever")
    }

    /// Handles what has come in and sends what follows; true when there may be more at once.
    fn turn(&mut self, cx: &mut Context<'_>) -> bool {
        let inner = &mut *self.inner.borrow_mut();
        let Work { arrived, own, scratch } = self.work;
        inner.runner.register(cx.waker());
        self.port.unblock(now(), cx);
        let line = Line { cx, port: &mut self.port, addresses: inner.addresses };
        let mut outlet = Outlet { line, streams: &mut self.streams, arrived, own, unsaved: &mut inner.unsaved };
        let more = take_datagrams(inner.node, &mut outlet, &mut inner.changed);
        let more = outlet.streams.serve(inner.node, now(), outlet.line.cx, &mut inner.changed) || more;
        if self.deadline.is_some_and(|deadline| deadline.at <= now()) {
            inner.changed = true;
            inner.node.handle_timeout(now());
        }
        let idle = pump(inner.node, now(), scratch, &mut outlet);
        let more = more || outlet.own.0 > 0 || self.streams.has_ended();
        self.deadline = idle.deadline;
        let farewell = if inner.closing { self.streams.farewell(now(), cx) } else { None };
        let sent = !idle.transmit_blocked && farewell.is_none();
        inner.changed |= DeviceEnv::RELAYS && sent && !inner.sent;
        inner.sent = sent;
        // Who waits looks again, but only after a change: the application may share the runner's task.
        if core::mem::take(&mut inner.changed) {
            inner.tasks.wake();
        }
        let unblock = self.port.unblock(now(), cx);
        // What is overdue waits for the socket, which calls; what else may be due behind it is looked at now and then.
        let soonest = if idle.transmit_blocked { now() + BLOCKED_LOOK } else { Instant::ZERO };
        let node = idle.deadline.map(|deadline| deadline.at.max(soonest));
        more || [node, unblock, farewell].into_iter().any(|at| is_due(cx, at))
    }
}

/// Sets the timer; true when the time has passed already.
fn is_due(cx: &mut Context<'_>, at: Option<Instant>) -> bool {
    // A timer that is dropped has still told the time driver when to wake this task.
    at.is_some_and(|at| pin!(Timer::at(embassy_time_at(at))).poll(cx).is_ready())
}

/// Handles what has arrived; true when there may be more.
fn take_datagrams(node: &mut Node<'_, DeviceEnv>, outlet: &mut Outlet<'_, '_, '_>, changed: &mut bool) -> bool {
    for _ in 0..DATAGRAMS_AT_ONCE {
        let Poll::Ready((len, from)) = outlet.poll_arrived() else { return false };
        *changed = true;
        match node.handle_datagram(now(), &mut Frame::new(outlet.arrived, len, from)) {
            Disposition::Reply { to, len } => outlet.reply(to, len),
            Disposition::Consumed | Disposition::Dropped(_) => {}
        }
    }
    true
}

/// Where datagrams leave from.
struct Line<'a, 'b, 'd> {
    cx: &'a mut Context<'b>,
    port: &'a mut UdpPort<'d>,
    addresses: Addresses,
}

impl Line<'_, '_, '_> {
    /// Our own endpoint, if that is where `to` leads: the stack does not deliver there, but onion paths may.
    fn own(&self, to: Endpoint) -> Option<Endpoint> {
        let is_ours = match to.ip() {
            IpAddr::V4(ip) => self.addresses.v4 == Some(ip),
            IpAddr::V6(ip) => self.addresses.v6 == Some(ip),
        };
        (is_ours && to.port() == self.port.number()).then_some(to)
    }
}

/// What the node says during a turn.
struct Outlet<'a, 'b, 'd> {
    line: Line<'a, 'b, 'd>,
    streams: &'a mut Streams<'d>,
    arrived: &'a mut [u8; DATAGRAM_MAX],
    /// Length of the datagram in `arrived` that came from ourselves, 0 for none, and where it went.
    own: &'a mut (usize, Endpoint),
    unsaved: &'a mut bool,
}

impl Outlet<'_, '_, '_> {
    /// The next datagram, in `arrived`.
    fn poll_arrived(&mut self) -> Poll<(usize, Endpoint)> {
        match core::mem::take(&mut self.own.0) {
            0 => self.line.port.poll_receive(now(), self.line.cx, self.arrived),
            len => Poll::Ready((len, self.own.1)),
        }
    }

    /// Sends the answer in `arrived`. When there is no room for it, it is dropped: everything answered like this is
    /// asked again.
    fn reply(&mut self, to: Endpoint, len: usize) {
        match self.line.own(to) {
            Some(at) => *self.own = (len, at),
            None => drop(self.line.port.send(now(), self.line.cx, &self.arrived[..len], to)),
        }
    }
}

impl Ports for Outlet<'_, '_, '_> {
    fn datagram(&mut self, packet: &Transmit<'_>) -> Sent {
        let Some(at) = self.line.own(packet.to) else {
            return self.line.port.send(now(), self.line.cx, packet.bytes, packet.to);
        };
        // One at a time; the next is lost, as on a full line.
        if self.own.0 == 0 {
            self.arrived[..packet.bytes.len()].copy_from_slice(packet.bytes);
            *self.own = (packet.bytes.len(), at);
        }
        Sent::Ok
    }

    fn stream(&mut self, id: StreamId, fill: &mut dyn FnMut(&mut [u8]) -> usize) -> bool {
        self.streams.fill(id, self.line.cx, fill)
    }

    fn action(&mut self, action: Action) {
        match action {
            Action::Persist => *self.unsaved = true,
            Action::Open { id, to } => self.streams.open(id, to, self.line.cx),
            Action::Close { id } => self.streams.close(id),
            // There is no LAN discovery on devices.
            Action::LanDiscovery(_) => {}
            _ => {}
        }
    }

    /// The application takes events from the node itself, so they are never copied twice.
    fn event_room(&mut self) -> bool {
        false
    }

    fn event(&mut self, _: Event<'_>) {}
}

const NAME_AGAIN_FIRST: Duration = Duration::from_secs(1);
const NAME_AGAIN_SLOWEST: Duration = Duration::from_secs(60);

/// A node that everybody can enter the network through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bootstrap<'d> {
    /// A name or an IP address.
    pub host: &'d str,
    /// UDP port.
    pub port: u16,
    /// TCP port, if it is a relay too: for devices with the feature `relays`.
    pub tcp_port: Option<NonZeroU16>,
    /// Its DHT key.
    pub key: PublicKey,
}

/// Looks after the network for ever: when there is an address, the bootstrap nodes are asked; when it changes, again.
pub(crate) async fn mind_network(
    inner: &RefCell<Inner<'_>>,
    network: Network<'_>,
    nodes: &[Bootstrap<'_>],
    port: u16,
) -> ! {
    loop {
        network.wait_up().await;
        let addresses = network.addresses();
        show(inner, addresses, port);
        let stay = pin!(async {
            enter(inner, network, nodes).await;
            core::future::pending::<()>().await;
        });
        embassy_futures::select::select(stay, network.wait_other(addresses)).await;
        if network.addresses().is_empty() {
            show(inner, Addresses::default(), port);
        }
    }
}

/// Tells the application and the node where we are.
fn show(inner: &RefCell<Inner<'_>>, addresses: Addresses, port: u16) {
    let inner = &mut *inner.borrow_mut();
    if inner.addresses != addresses {
        inner.addresses = addresses;
        inner.counters.address_changes = inner.counters.address_changes.saturating_add(1);
        inner.node.set_local_endpoint(addresses.v4.map(|ip| Endpoint::new(ip.into(), port)));
        if !addresses.is_empty() {
            inner.node.handle_network_change(now());
        }
        inner.touch();
    }
}

/// Asks all bootstrap nodes; those whose names are not found are looked up again, ever more slowly.
async fn enter(inner: &RefCell<Inner<'_>>, network: Network<'_>, nodes: &[Bootstrap<'_>]) {
    // A node that is asked twice does no harm: all are, as long as one is missing.
    let mut pause = NAME_AGAIN_FIRST;
    loop {
        let mut missing = 0;
        for node in nodes {
            let found = network.resolve(node.host).await;
            let inner = &mut *inner.borrow_mut();
            missing += u32::from(found == [None; 2]);
            for ip in found.into_iter().flatten() {
                inner.node.bootstrap(now(), NodeInfo { key: node.key, at: Endpoint::new(ip, node.port) });
                if let Some(port) = node.tcp_port.filter(|_| DeviceEnv::RELAYS) {
                    // When there is no room for it, there are others.
                    inner.node.add_relay(now(), node.key, RelayHost::At(Endpoint::new(ip, port.get())));
                }
                inner.touch();
            }
        }
        if missing == 0 {
            return;
        }
        not_found(inner, missing);
        Timer::after(pause).await;
        pause = (pause * 2).min(NAME_AGAIN_SLOWEST);
    }
}

fn not_found(inner: &RefCell<Inner<'_>>, names: u32) {
    let counter = &mut inner.borrow_mut().counters.names_not_found;
    *counter = counter.saturating_add(names);
}

//! A node that all know, which is a TCP relay too: the core's, both on one UDP socket.

use crate::wire::{Hub, PORT, Plug};
use bluering_embassy::Bootstrap;
use bluering_embassy::bluering_core::crypto::{Nacl, Nospam, PublicKey, SecretKey};
use bluering_embassy::bluering_core::driver::{Ports, Scratch, Sent, pump};
use bluering_embassy::bluering_core::relay::StreamId;
use bluering_embassy::bluering_core::relay::server::{RelayAction, RelayServer, StaticRelayStorage};
use bluering_embassy::bluering_core::time::{Deadline, Instant};
use bluering_embassy::bluering_core::wire::relay::FRAME_LEN_MAX;
use bluering_embassy::bluering_core::{
    Action, Config, DATAGRAM_MAX, Disposition, Endpoint, Env, Event, Frame, Node, Parts, StaticStorage, Transmit,
};
use chacha20::ChaCha12Rng;
use core::future::{Future, poll_fn};
use core::num::NonZeroU16;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use embassy_net::IpEndpoint;
use embassy_net::tcp::{State, TcpSocket};
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net_driver_channel::driver::LinkState;
use embassy_time::Timer;
use rand_core::SeedableRng;
use smol::Task;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

pub(crate) const TCP_PORT: NonZeroU16 = NonZeroU16::new(3389).unwrap();
/// Connections, open or about to be.
const SOCKETS: usize = 8;
const PENDING: usize = 4;
const BUFFER: usize = 8192;
/// It is no microcontroller: onion paths of all devices lead through it.
const AGREEMENTS: u32 = 10_000;

struct EntryEnv;

impl Env for EntryEnv {
    type Rng = ChaCha12Rng;
    type Suite = Nacl;
    const RELAYS: bool = false;
}

type Tables = StaticStorage<1, 4, 32, 8, 16>;
type RelayTables = StaticRelayStorage<28, 32, 16, 64>;

/// The node, until it is dropped.
pub(crate) struct Entry {
    pub(crate) key: PublicKey,
    switch: Rc<RefCell<Switch>>,
    _tasks: [Task<()>; 2],
}

/// Whether the relay works.
#[derive(Default)]
struct Switch {
    off: bool,
    server: Option<Waker>,
    /// Who is connected, and who waits until nobody is.
    clients: usize,
    waiting: Option<Waker>,
}

impl Hub {
    /// Starts it at 203.0.113.`host`.
    pub(crate) fn entry(&self, host: u8) -> Entry {
        let Plug { stack, link, task: network, .. } = self.plug(host);
        link.set_link_state(LinkState::Up);
        let secret = SecretKey::from_bytes([host; 32]);
        let key = secret.public_key();
        let switch = Rc::new(RefCell::new(Switch::default()));
        let mut server = Server::new(stack, secret, Endpoint::v4([203, 0, 113, host], PORT), Rc::clone(&switch));
        let run = poll_fn(move |cx| {
            while server.turn(cx) {}
            Poll::Pending
        });
        Entry { key, switch, _tasks: [network, self.executor.spawn(run)] }
    }
}

impl Entry {
    /// How a device finds it: by UDP, and by TCP.
    pub(crate) fn line(&self) -> Bootstrap<'static> {
        Bootstrap { host: "203.0.113.1", port: PORT, tcp_port: Some(TCP_PORT), key: self.key }
    }

    /// Switches the relay off, or on again. Whoever was connected is no more.
    pub(crate) fn set_relay(&self, works: bool) {
        let mut switch = self.switch.borrow_mut();
        switch.off = !works;
        switch.server.take().into_iter().for_each(Waker::wake);
    }

    /// Waits until nobody is connected to it.
    pub(crate) async fn is_deserted(&self) {
        poll_fn(|cx| {
            let mut switch = self.switch.borrow_mut();
            switch.waiting = Some(cx.waker().clone());
            if switch.clients == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

struct Server {
    at: Endpoint,
    udp: UdpSocket<'static>,
    lines: Vec<Line>,
    node: Node<'static, EntryEnv>,
    relay: RelayServer<'static, EntryEnv>,
    scratch: Scratch,
    deadline: Option<Deadline>,
    /// Datagrams to ourselves: the stack does not deliver them.
    own: VecDeque<Vec<u8>>,
    switch: Rc<RefCell<Switch>>,
}

fn now() -> Instant {
    Instant::from_micros(embassy_time::Instant::now().as_micros() + 1_000_000)
}

fn leak<T>(value: T) -> &'static mut T {
    Box::leak(Box::new(value))
}

impl Server {
    fn new(stack: embassy_net::Stack<'static>, secret: SecretKey, at: Endpoint, switch: Rc<RefCell<Switch>>) -> Self {
        let meta = || leak([PacketMetadata::EMPTY; 64]);
        let bytes = || leak([0; 64 * 1024]);
        let mut udp = UdpSocket::new(stack, meta(), bytes(), meta(), bytes());
        udp.bind(PORT).expect("a port");
        let parts = |seed| Parts { rng: ChaCha12Rng::from_seed([seed; 32]), suite: Nacl };
        let config =
            Config { dht_secret: Some(secret.clone()), ..Config::new(SecretKey::from_bytes([77; 32]), Nospam([0; 4])) };
        let node = Node::new(config, leak(Tables::new()).storage().with_agreements(AGREEMENTS), parts(1), now())
            .expect("room");
        let tables = leak(RelayTables::new()).storage(PENDING, SOCKETS);
        let relay = RelayServer::new(secret, tables, parts(2), now()).expect("room");
        let lines = (0..SOCKETS).map(|_| Line::new(stack)).collect();
        Self { at, udp, lines, node, relay, scratch: Scratch::new(), deadline: None, own: VecDeque::new(), switch }
    }

    /// True when there is more at once.
    fn turn(&mut self, cx: &mut Context<'_>) -> bool {
        let off = self.switch.borrow().off;
        let mut out = Out::default();
        self.hear(cx, &mut out);
        for line in &mut self.lines {
            line.serve(&mut self.relay, off, cx);
        }
        self.tell(cx);
        if self.deadline.is_some_and(|deadline| deadline.at <= now()) {
            self.node.handle_timeout(now());
            self.relay.handle_timeout(now());
        }
        let idle = pump(&mut self.node, now(), &mut self.scratch, &mut out);
        self.drain_relay(&mut out, cx);
        for (to, bytes) in out.0 {
            if to == self.at {
                self.own.push_back(bytes);
            } else {
                // What there is no room for is lost, as on a line.
                let _ = self.udp.poll_send_to(&bytes, IpEndpoint::new(to.ip().into(), to.port()), cx);
            }
        }
        self.deadline = Deadline::earliest(idle.deadline, self.relay.poll_timeout());
        let timer = self.deadline.map(|deadline| Timer::at(host_time(deadline.at)));
        !self.own.is_empty() || timer.is_some_and(|timer| pin!(timer).poll(cx).is_ready())
    }

    /// Tells whoever waits how many clients there are.
    fn tell(&mut self, cx: &mut Context<'_>) {
        let mut switch = self.switch.borrow_mut();
        switch.server = Some(cx.waker().clone());
        switch.clients = self.lines.iter().filter(|line| line.id.is_some()).count();
        switch.waiting.take().into_iter().for_each(Waker::wake);
    }

    fn hear(&mut self, cx: &mut Context<'_>, out: &mut Out) {
        let mut buf = [0; DATAGRAM_MAX];
        loop {
            let (len, from) = match self.own.pop_front() {
                Some(bytes) => {
                    buf[..bytes.len()].copy_from_slice(&bytes);
                    (bytes.len(), self.at)
                }
                None => match self.udp.poll_recv_from(&mut buf, cx) {
                    Poll::Ready(Ok((len, meta))) => (len, Endpoint::new(meta.endpoint.addr.into(), meta.endpoint.port)),
                    Poll::Ready(Err(_)) => continue,
                    Poll::Pending => return,
                },
            };
            let is_ours = self.relay.mark().owns(&buf[..len]);
            let mut frame = Frame::new(&mut buf, len, from);
            let disposition = if is_ours {
                self.relay.handle_datagram(now(), &mut frame)
            } else {
                self.node.handle_datagram(now(), &mut frame)
            };
            if let Disposition::Reply { to, len } = disposition {
                out.0.push((to, buf[..len].to_vec()));
            }
        }
    }

    fn drain_relay(&mut self, out: &mut Out, cx: &mut Context<'_>) {
        while let Some(RelayAction::Close { id, .. }) = self.relay.poll_action() {
            self.lines.iter_mut().filter(|line| line.id == Some(id)).for_each(Line::close);
        }
        let mut buf = [0; FRAME_LEN_MAX];
        while let Some(id) = self.relay.next_stream() {
            let Some(line) = self.lines.iter_mut().find(|line| line.id == Some(id)) else { continue };
            loop {
                match self.relay.poll_stream(now(), id, &mut buf) {
                    0 => break,
                    len => line.unsent.extend(&buf[..len]),
                }
            }
            line.write(cx);
        }
        let mut buf = [0; DATAGRAM_MAX];
        while let Some(packet) = self.relay.poll_transmit(now(), &mut buf) {
            out.0.push((packet.to, packet.bytes.to_vec()));
        }
    }
}

fn host_time(at: Instant) -> embassy_time::Instant {
    embassy_time::Instant::from_micros(at.since(Instant::from_secs(1)).as_micros() as u64)
}

/// Datagrams that want to go out.
#[derive(Default)]
struct Out(Vec<(Endpoint, Vec<u8>)>);

impl Ports for Out {
    fn datagram(&mut self, packet: &Transmit<'_>) -> Sent {
        self.0.push((packet.to, packet.bytes.to_vec()));
        Sent::Ok
    }

    fn stream(&mut self, _: StreamId, _: &mut dyn FnMut(&mut [u8]) -> usize) -> bool {
        false
    }

    fn action(&mut self, _: Action) {}

    fn event_room(&mut self) -> bool {
        true
    }

    fn event(&mut self, _: Event<'_>) {}
}

/// A connection, or a socket that waits for one.
struct Line {
    socket: TcpSocket<'static>,
    id: Option<StreamId>,
    rest: Vec<u8>,
    unsent: VecDeque<u8>,
}

impl Line {
    fn new(stack: embassy_net::Stack<'static>) -> Self {
        let socket = TcpSocket::new(stack, leak([0; BUFFER]), leak([0; BUFFER]));
        Self { socket, id: None, rest: Vec::new(), unsent: VecDeque::new() }
    }

    fn close(&mut self) {
        self.socket.abort();
        self.id = None;
        self.rest.clear();
        self.unsent.clear();
    }

    fn serve(&mut self, relay: &mut RelayServer<'static, EntryEnv>, off: bool, cx: &mut Context<'_>) {
        if off {
            if let Some(id) = self.id {
                relay.closed(now(), id);
            }
            if self.socket.state() != State::Closed {
                self.close();
            }
            return;
        }
        if self.id.is_none() {
            self.accept(relay, cx);
        }
        self.write(cx);
        let Some(id) = self.id else { return };
        let mut buf = [0; BUFFER];
        loop {
            let read = pin!(self.socket.read(&mut buf)).poll(cx);
            match read {
                Poll::Pending => return,
                Poll::Ready(Ok(0) | Err(_)) => {
                    relay.closed(now(), id);
                    return self.close();
                }
                Poll::Ready(Ok(len)) => self.rest.extend(&buf[..len]),
            }
            let used = relay.handle_stream(now(), id, &mut self.rest);
            self.rest.drain(..used);
        }
    }

    fn accept(&mut self, relay: &mut RelayServer<'static, EntryEnv>, cx: &mut Context<'_>) {
        match self.socket.state() {
            State::Closed | State::Listen => {
                // It listens from now on, and wakes us.
                let _ = pin!(self.socket.accept(TCP_PORT.get())).poll(cx);
            }
            State::Established | State::CloseWait => {
                let from = self.socket.remote_endpoint().expect("connected");
                self.id = relay.opened(now(), Endpoint::new(from.addr.into(), from.port)).ok();
                if self.id.is_none() {
                    self.close();
                }
            }
            _ => drop(pin!(self.socket.wait_write_ready()).poll(cx)),
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) {
        while self.id.is_some() && !self.unsent.is_empty() {
            let (front, _) = self.unsent.as_slices();
            let written = pin!(self.socket.write(front)).poll(cx);
            match written {
                Poll::Ready(Ok(len)) => drop(self.unsent.drain(..len)),
                Poll::Ready(Err(_)) | Poll::Pending => return,
            }
        }
    }
}

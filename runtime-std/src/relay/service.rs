//! A thread of the relay: its sockets and channels, and the one wait for all of them.

use super::hub::{Hub, Orders};
use super::inbox::split_first;
use super::stream::{Arrival, Stream};
use crate::env::Clock;
use crate::socket::UdpSender;
use crate::trains::Replies;
use crate::{HostEnv, HostSuite};
use bluering_core::crypto::SecretKey;
use bluering_core::relay::StreamId;
use bluering_core::relay::server::CloseReason;
use bluering_core::wire::relay::FRAME_LEN_MAX;
use bluering_core::{DATAGRAM_MAX, Endpoint, Env, Frame};
use mio::event::Event;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Tokens: clients have the place of their connection, listeners and the waker count down from the end.
pub(super) const WAKER: Token = Token(usize::MAX >> 1);
const FIRST_LISTENER: usize = WAKER.0 - 1;

/// Bytes read from a client at once, and sent to one.
const AT_ONCE: usize = 64 * 1024;
/// Reads from one client before others have their turn.
const READS: usize = 4;
/// Connections accepted from a listener before clients have their turn. It is few, so that of a crowd those who have
/// sent their handshake are read before others displace them.
const ACCEPTS: usize = 16;
const EVENTS: usize = 1024;
/// What concerns one connection that came, and not the listener.
const PASSING: [ErrorKind; 3] = [ErrorKind::Interrupted, ErrorKind::ConnectionAborted, ErrorKind::ConnectionReset];
/// How long to wait when the system gives no more sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// What threads are made of.
pub(super) struct Making {
    pub(super) hub: Arc<Hub>,
    pub(super) secret: SecretKey,
    pub(super) udp: UdpSender,
    pub(super) clock: Clock,
}

/// The thread. The first one accepts, keeps the server's time and takes datagrams.
pub(super) struct Service {
    hub: Arc<Hub>,
    orders: Orders,
    poll: Poll,
    listeners: Vec<TcpListener>,
    /// By place of the connection.
    streams: Vec<Option<Box<Stream>>>,
    /// Clients that have more to be read.
    busy: Vec<StreamId>,
    /// Listeners that have more to be accepted.
    waiting: Vec<usize>,
    /// When to accept again after the system had no more sockets.
    accept_at: Option<Instant>,
    taken: Vec<u8>,
    udp: UdpSender,
    replies: Replies,
    clock: Clock,
    secret: SecretKey,
    suite: HostSuite,
    rng: <HostEnv as Env>::Rng,
    input: Box<[u8]>,
    output: Box<[u8]>,
    datagram: Box<[u8; DATAGRAM_MAX]>,
}

impl Service {
    pub(super) fn new(
        making: Making,
        me: usize,
        poll: Poll,
        mut listeners: Vec<TcpListener>,
        rng: <HostEnv as Env>::Rng,
    ) -> io::Result<Self> {
        for (i, listener) in listeners.iter_mut().enumerate() {
            poll.registry().register(listener, Token(FIRST_LISTENER - i), Interest::READABLE)?;
        }
        let Making { hub, secret, udp, clock } = making;
        Ok(Self {
            hub,
            orders: Orders::new(me),
            poll,
            listeners,
            streams: Vec::new(),
            busy: Vec::new(),
            waiting: Vec::new(),
            accept_at: None,
            taken: Vec::new(),
            udp,
            replies: Replies::new(),
            clock,
            secret,
            suite: HostSuite::new(),
            rng,
            input: vec![0; AT_ONCE + FRAME_LEN_MAX].into_boxed_slice(),
            output: vec![0; AT_ONCE].into_boxed_slice(),
            datagram: Box::new([0; DATAGRAM_MAX]),
        })
    }

    /// Serves until the gate is dropped.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while !self.hub.has_ended() {
            let span = self.sleep_span();
            // An interrupted sleep is a short sleep.
            if self.poll.poll(&mut events, span).is_err() {
                events.clear();
            }
            for event in &events {
                self.on_event(event);
            }
            self.continue_reading();
            self.continue_accepting();
            if self.is_first() {
                let now = self.clock.now();
                self.hub.with(now, &mut self.orders, |server| server.handle_timeout(now));
            }
            self.follow_orders();
        }
    }

    fn is_first(&self) -> bool {
        self.orders.me == 0
    }

    fn sleep_span(&self) -> Option<Duration> {
        if !self.busy.is_empty() || !self.waiting.is_empty() {
            return Some(Duration::ZERO);
        }
        // What the other threads do in the meantime is due later: each span of the server is as long as this or longer.
        let deadline = if self.is_first() { self.hub.poll_timeout() } else { None };
        let timer = deadline.and_then(|deadline| self.clock.to_host(deadline.at));
        let first = timer.into_iter().chain(self.accept_at).min()?;
        Some(first.saturating_duration_since(Instant::now()))
    }

    fn on_event(&mut self, event: &Event) {
        let token = event.token();
        if token == WAKER {
            self.hub.collect(&mut self.orders);
            if self.is_first() {
                self.take_datagrams();
            }
            self.follow_orders();
        } else if let Some(i) = FIRST_LISTENER.checked_sub(token.0).filter(|i| *i < self.listeners.len()) {
            if !self.waiting.contains(&i) {
                self.waiting.push(i);
            }
        } else {
            if event.is_writable() {
                self.flush(token.0);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.read(token.0, event.is_read_closed() || event.is_error());
            }
        }
    }

    /// Answers to onion packets of clients.
    fn take_datagrams(&mut self) {
        let mut taken = std::mem::take(&mut self.taken);
        self.hub.take_datagrams(&mut taken);
        let mut left = &taken[..];
        while let Some((datagram, rest)) = split_first(left) {
            let len = datagram.len().min(DATAGRAM_MAX);
            self.datagram[..len].copy_from_slice(&datagram[..len]);
            let now = self.clock.now();
            let frame = &mut Frame::new(&mut self.datagram, len, Endpoint::UNSPECIFIED);
            // It counts what it drops.
            let _ = self.hub.with(now, &mut self.orders, |server| server.handle_datagram(now, frame));
            left = rest;
        }
        taken.clear();
        self.taken = taken;
    }

    fn accept(&mut self, i: usize) {
        for _ in 0..ACCEPTS {
            let (socket, from) = match self.listeners[i].accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if PASSING.contains(&error.kind()) => continue,
                // No descriptors left: nobody would tell when there are some again.
                Err(_) => {
                    self.accept_at = Some(Instant::now() + ACCEPT_PAUSE);
                    return;
                }
            };
            // Frames are sent in groups; nothing more is to be waited for.
            let _ = socket.set_nodelay(true);
            self.hub.accept(self.clock.now(), Endpoint::from(from), socket, &mut self.orders);
            self.follow_orders();
        }
        self.waiting.push(i);
    }

    fn continue_accepting(&mut self) {
        if self.accept_at.is_some_and(|at| at <= Instant::now()) {
            self.accept_at = None;
            self.waiting = (0..self.listeners.len()).collect();
        }
        for i in std::mem::take(&mut self.waiting) {
            self.accept(i);
        }
    }

    fn continue_reading(&mut self) {
        for id in std::mem::take(&mut self.busy) {
            let stream = self.streams.get_mut(id.index()).and_then(Option::as_mut);
            if let Some(stream) = stream.filter(|stream| stream.id == id) {
                stream.busy = false;
                self.read(id.index(), false);
            }
        }
    }

    /// Reads what has come, some of it at once; `to_end` when the other side has said that nothing more comes.
    fn read(&mut self, at: usize, to_end: bool) {
        for _ in 0..READS {
            let Some(Some(stream)) = self.streams.get_mut(at) else { return };
            let (len, more) = match stream.read(&mut self.input) {
                Arrival::Bytes { len, more } => (len, more),
                Arrival::Nothing => return,
                Arrival::End => return self.lose(at),
            };
            self.handle(at, len);
            self.follow_orders();
            if !more && !to_end {
                return;
            }
        }
        if let Some(Some(stream)) = self.streams.get_mut(at)
            && !stream.busy
        {
            stream.busy = true;
            self.busy.push(stream.id);
        }
    }

    /// Opens what has been read, and hands it to the server.
    fn handle(&mut self, at: usize, len: usize) {
        let Some(Some(stream)) = self.streams.get_mut(at) else { return };
        let (id, now, bytes) = (stream.id, self.clock.now(), &mut self.input[..len]);
        let start = match stream.greet(&self.hub, now, (&self.suite, &mut self.rng, &self.secret), bytes) {
            Ok(start) => start,
            Err(reason) => {
                return self.hub.with(now, &mut self.orders, |server| server.refuse(now, id, reason));
            }
        };
        let (end, broken) = stream.open(&self.suite, &mut bytes[start..]);
        let (frames, rest) = bytes[start..].split_at_mut(end);
        stream.keep(if broken { &[] } else { rest });
        if frames.is_empty() && !broken {
            return;
        }
        self.hub.with(now, &mut self.orders, |server| {
            let used = server.handle_stream(now, id, frames);
            debug_assert_eq!(used, frames.len(), "whole frames");
            if broken {
                server.refuse(now, id, CloseReason::BadFrame);
            }
        });
    }

    /// Whatever follows from what the server was told, by us or by others.
    fn follow_orders(&mut self) {
        self.send_datagrams();
        while !self.orders.mail.is_empty() {
            let mail = &mut self.orders.mail;
            if let Some((id, socket)) = mail.accepted.pop() {
                self.keep(Stream::new(id, socket));
            } else if let Some(id) = mail.closed.pop() {
                if let Some(place) = self.streams.get_mut(id.index())
                    && place.as_ref().is_some_and(|stream| stream.id == id)
                {
                    *place = None;
                }
            } else if let Some(id) = mail.due.pop() {
                self.write(id.index());
            }
        }
    }

    fn send_datagrams(&mut self) {
        let mut start = 0;
        for (to, len) in self.orders.datagrams.drain(..) {
            if let Some(to) = self.udp.address(to)
                && self.replies.push(&self.orders.bytes[start..start + len], to)
            {
                self.replies.depart(self.udp.socket(), |_| {});
            }
            start += len;
        }
        self.orders.bytes.clear();
        self.replies.depart(self.udp.socket(), |_| {});
    }

    /// A new connection of ours.
    fn keep(&mut self, mut stream: Stream) {
        let at = stream.id.index();
        if self.streams.len() <= at {
            self.streams.resize_with(at + 1, || None);
        }
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = self.poll.registry().register(stream.socket(), Token(at), interest);
        self.streams[at] = Some(Box::new(stream));
        if registered.is_err() {
            self.lose(at);
        }
    }

    /// The kernel takes bytes again.
    fn flush(&mut self, at: usize) {
        let Some(Some(stream)) = self.streams.get_mut(at) else { return };
        if !stream.is_blocked() {
            return;
        }
        match stream.flush() {
            Ok(true) => self.write(at),
            Ok(false) => {}
            Err(_) => self.lose(at),
        }
    }

    fn write(&mut self, at: usize) {
        let now = self.clock.now();
        loop {
            let Some(Some(stream)) = self.streams.get_mut(at) else { return };
            if stream.is_blocked() {
                return;
            }
            let len = self.hub.poll_stream(now, stream.id, &mut self.output);
            if len == 0 {
                return;
            }
            if stream.seal_and_write(&self.suite, &mut self.output[..len]).is_err() {
                return self.lose(at);
            }
        }
    }

    /// A connection has ended by itself.
    fn lose(&mut self, at: usize) {
        if let Some(mut stream) = self.streams[at].take() {
            let _ = self.poll.registry().deregister(stream.socket());
            let now = self.clock.now();
            self.hub.with(now, &mut self.orders, |server| server.closed(now, stream.id));
        }
    }
}

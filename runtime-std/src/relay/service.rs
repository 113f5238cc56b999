//! The relay's loop: sockets, the server, and the one wait for all of them.

use super::RelayReport;
use super::inbox::{Inbox, split_first};
use super::stream::{Arrival, Stream};
use crate::HostEnv;
use crate::env::Clock;
use crate::socket::UdpSender;
use bluering_core::relay::StreamId;
use bluering_core::relay::server::{RelayAction, RelayServer};
use bluering_core::wire::relay::FRAME_LEN_MAX;
use bluering_core::{DATAGRAM_MAX, Endpoint, Frame};
use mio::event::Event;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};
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

/// The relay and its sockets.
#[derive(Debug)]
pub(super) struct Service {
    server: Box<RelayServer<'static, HostEnv>>,
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
    inbox: Arc<Inbox>,
    taken: Vec<u8>,
    udp: UdpSender,
    clock: Clock,
    report: Arc<Mutex<RelayReport>>,
    input: Box<[u8]>,
    output: Box<[u8]>,
    datagram: Box<[u8; DATAGRAM_MAX]>,
}

impl Service {
    pub(super) fn new(
        server: Box<RelayServer<'static, HostEnv>>,
        poll: Poll,
        mut listeners: Vec<TcpListener>,
        inbox: Arc<Inbox>,
        udp: UdpSender,
        clock: Clock,
        report: Arc<Mutex<RelayReport>>,
    ) -> io::Result<Self> {
        for (i, listener) in listeners.iter_mut().enumerate() {
            poll.registry().register(listener, Token(FIRST_LISTENER - i), Interest::READABLE)?;
        }
        Ok(Self {
            server,
            poll,
            listeners,
            streams: Vec::new(),
            busy: Vec::new(),
            waiting: Vec::new(),
            accept_at: None,
            inbox,
            taken: Vec::new(),
            udp,
            clock,
            report,
            input: vec![0; AT_ONCE + FRAME_LEN_MAX].into_boxed_slice(),
            output: vec![0; AT_ONCE].into_boxed_slice(),
            datagram: Box::new([0; DATAGRAM_MAX]),
        })
    }

    /// Serves until the gate is dropped.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while !self.inbox.has_ended() {
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
            self.server.handle_timeout(self.clock.now());
            self.drain();
            self.publish();
        }
    }

    fn sleep_span(&self) -> Option<Duration> {
        if !self.busy.is_empty() || !self.waiting.is_empty() {
            return Some(Duration::ZERO);
        }
        let timer = self.server.poll_timeout().and_then(|deadline| self.clock.to_host(deadline.at));
        let first = timer.into_iter().chain(self.accept_at).min()?;
        Some(first.saturating_duration_since(Instant::now()))
    }

    fn on_event(&mut self, event: &Event) {
        let token = event.token();
        if token == WAKER {
            self.take_datagrams();
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
        self.inbox.take(&mut taken);
        let mut left = &taken[..];
        while let Some((datagram, rest)) = split_first(left) {
            let len = datagram.len().min(DATAGRAM_MAX);
            self.datagram[..len].copy_from_slice(&datagram[..len]);
            let now = self.clock.now();
            let frame = &mut Frame::new(&mut self.datagram, len, Endpoint::UNSPECIFIED);
            // It counts what it drops.
            let _ = self.server.handle_datagram(now, frame);
            left = rest;
        }
        taken.clear();
        self.taken = taken;
        self.drain();
    }

    fn accept(&mut self, i: usize) {
        for _ in 0..ACCEPTS {
            let (mut socket, from) = match self.listeners[i].accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if PASSING.contains(&error.kind()) => continue,
                // No descriptors left: nobody would tell when there are some again.
                Err(_) => {
                    self.accept_at = Some(Instant::now() + ACCEPT_PAUSE);
                    return;
                }
            };
            if let Ok(id) = self.server.opened(self.clock.now(), Endpoint::from(from)) {
                // Frames are sent in groups; nothing more is to be waited for.
                let _ = socket.set_nodelay(true);
                let interest = Interest::READABLE | Interest::WRITABLE;
                let registered = self.poll.registry().register(&mut socket, Token(id.index()), interest);
                self.keep(Stream::new(id, socket));
                if registered.is_err() {
                    self.lose(id.index());
                }
            }
            self.drain();
        }
        self.waiting.push(i);
    }

    fn keep(&mut self, stream: Stream) {
        let at = stream.id.index();
        if self.streams.len() <= at {
            self.streams.resize_with(at + 1, || None);
        }
        self.streams[at] = Some(Box::new(stream));
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
            let used = self.server.handle_stream(self.clock.now(), stream.id, &mut self.input[..len]);
            stream.keep(&self.input[used..len]);
            self.drain();
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

    /// Whatever the server has to say.
    fn drain(&mut self) {
        let now = self.clock.now();
        while let Some(id) = self.server.next_stream() {
            self.write(id.index());
        }
        while let Some(packet) = self.server.poll_transmit(now, &mut self.datagram) {
            self.udp.send(packet.bytes, packet.to);
        }
        while let Some(RelayAction::Close { id, .. }) = self.server.poll_action() {
            self.streams[id.index()] = None;
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
            let len = self.server.poll_stream(now, stream.id, &mut self.output);
            if len == 0 {
                return;
            }
            if stream.write(&self.output[..len]).is_err() {
                return self.lose(at);
            }
        }
    }

    /// A connection has ended by itself.
    fn lose(&mut self, at: usize) {
        if let Some(mut stream) = self.streams[at].take() {
            let _ = self.poll.registry().deregister(stream.socket());
            self.server.closed(self.clock.now(), stream.id);
        }
    }

    fn publish(&self) {
        let report = RelayReport { stats: self.server.stats().clone(), tables: self.server.tables() };
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }
}

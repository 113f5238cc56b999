//! What the relay's threads share: the server behind a lock, and a mailbox for each of them.
//!
//! Every connection belongs to one thread, which has its socket and its channel. The server, which knows who speaks
//! with whom, is one for all; it is locked only while packets are passed from queue to queue. Whoever has it sorts what
//! follows from his call: what concerns connections of other threads goes into their mailboxes.

use super::RelayReport;
use super::inbox::Inbox;
use crate::HostEnv;
use bluering_core::crypto::PublicKey;
use bluering_core::relay::StreamId;
use bluering_core::relay::server::{RelayAction, RelayServer};
use bluering_core::time::{Deadline, Instant};
use bluering_core::{DATAGRAM_MAX, Endpoint};
use mio::Waker;
use mio::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the threads share.
#[derive(Debug)]
pub(super) struct Hub {
    state: Mutex<State>,
    mailboxes: Box<[Mailbox]>,
    inbox: Inbox,
    ended: AtomicBool,
}

#[derive(Debug)]
struct State {
    server: Box<RelayServer<'static, HostEnv>>,
    /// By place of the connection: the thread that has it.
    owners: Vec<usize>,
    /// Who gets the next one.
    next: usize,
}

#[derive(Debug)]
struct Mailbox {
    mail: Mutex<Mail>,
    waker: Waker,
}

/// What a thread is to do for others. In this order: an id is used again after its end.
#[derive(Debug, Default)]
pub(super) struct Mail {
    pub(super) accepted: Vec<(StreamId, TcpStream)>,
    pub(super) closed: Vec<StreamId>,
    /// They have something to be sent.
    pub(super) due: Vec<StreamId>,
}

impl Mail {
    pub(super) fn is_empty(&self) -> bool {
        self.accepted.is_empty() && self.closed.is_empty() && self.due.is_empty()
    }
}

/// What a thread is to do after it had the server, and datagrams that it is to send.
#[derive(Debug)]
pub(super) struct Orders {
    /// Its place among the threads.
    pub(super) me: usize,
    pub(super) mail: Mail,
    pub(super) datagrams: Vec<(Endpoint, usize)>,
    pub(super) bytes: Vec<u8>,
    datagram: Box<[u8; DATAGRAM_MAX]>,
}

impl Orders {
    pub(super) fn new(me: usize) -> Self {
        Self {
            me,
            mail: Mail::default(),
            datagrams: Vec::new(),
            bytes: Vec::new(),
            datagram: Box::new([0; DATAGRAM_MAX]),
        }
    }
}

impl Hub {
    /// A thread for each waker.
    pub(super) fn new(server: Box<RelayServer<'static, HostEnv>>, wakers: Vec<Waker>) -> Self {
        let mailboxes = wakers.into_iter().map(|waker| Mailbox { mail: Mutex::default(), waker }).collect();
        let state = Mutex::new(State { server, owners: Vec::new(), next: 0 });
        Self { state, mailboxes, inbox: Inbox::default(), ended: AtomicBool::new(false) }
    }

    /// Does something with the server, and sorts what follows from it.
    pub(super) fn with<T>(
        &self,
        now: Instant,
        orders: &mut Orders,
        what: impl FnOnce(&mut RelayServer<'static, HostEnv>) -> T,
    ) -> T {
        let mut state = self.lock();
        let result = what(&mut state.server);
        self.sort(&mut state, now, orders);
        result
    }

    /// Only writes: nothing else follows.
    pub(super) fn poll_stream(&self, now: Instant, id: StreamId, buf: &mut [u8]) -> usize {
        self.lock().server.poll_stream(now, id, buf)
    }

    /// Whether there is room for this client.
    pub(super) fn welcomes(&self, client: &PublicKey) -> bool {
        self.lock().server.welcomes(client)
    }

    /// The handshake of a connection was right; false when it has ended meanwhile.
    pub(super) fn greeted(&self, now: Instant, id: StreamId, client: PublicKey) -> bool {
        self.lock().server.greeted(now, id, client)
    }

    /// When the server wants to be called.
    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        self.lock().server.poll_timeout()
    }

    /// Gives a new connection to a thread; none when the server does not take it.
    pub(super) fn accept(&self, now: Instant, from: Endpoint, socket: TcpStream, orders: &mut Orders) {
        let mut state = self.lock();
        if let Ok(id) = state.server.opened(now, from) {
            let owner = state.next;
            state.next = (owner + 1) % self.mailboxes.len();
            if state.owners.len() <= id.index() {
                state.owners.resize(id.index() + 1, 0);
            }
            state.owners[id.index()] = owner;
            // While the server is locked: its end must not be told before its beginning.
            self.tell(owner, orders, |mail| mail.accepted.push((id, socket)));
        }
        self.sort(&mut state, now, orders);
    }

    /// What others want from this thread.
    pub(super) fn collect(&self, orders: &mut Orders) {
        let mut mail = lock(&self.mailboxes[orders.me].mail);
        orders.mail.accepted.append(&mut mail.accepted);
        orders.mail.closed.append(&mut mail.closed);
        orders.mail.due.append(&mut mail.due);
    }

    /// Lays a datagram in for clients. The first thread takes it.
    pub(super) fn put(&self, datagram: &[u8]) {
        if self.inbox.put(datagram) {
            self.wake(0);
        }
    }

    /// All datagrams, in exchange for an empty list.
    pub(super) fn take_datagrams(&self, empty: &mut Vec<u8>) {
        self.inbox.take(empty);
    }

    pub(super) fn report(&self) -> RelayReport {
        let state = self.lock();
        RelayReport { stats: state.server.stats().clone(), tables: state.server.tables() }
    }

    /// All threads shall end.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        (0..self.mailboxes.len()).for_each(|thread| self.wake(thread));
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn sort(&self, state: &mut State, now: Instant, orders: &mut Orders) {
        while let Some(id) = state.server.next_stream() {
            self.tell(state.owners[id.index()], orders, |mail| mail.due.push(id));
        }
        while let Some(RelayAction::Close { id, .. }) = state.server.poll_action() {
            self.tell(state.owners[id.index()], orders, |mail| mail.closed.push(id));
        }
        while let Some(packet) = state.server.poll_transmit(now, &mut orders.datagram) {
            orders.datagrams.push((packet.to, packet.bytes.len()));
            orders.bytes.extend_from_slice(packet.bytes);
        }
    }

    fn tell(&self, thread: usize, orders: &mut Orders, what: impl FnOnce(&mut Mail)) {
        if thread == orders.me {
            return what(&mut orders.mail);
        }
        let mut mail = lock(&self.mailboxes[thread].mail);
        let was_empty = mail.is_empty();
        what(&mut mail);
        drop(mail);
        if was_empty {
            self.wake(thread);
        }
    }

    /// It fails only when the system is out of everything; then the thread sees it when it wakes for another reason.
    fn wake(&self, thread: usize) {
        let _ = self.mailboxes[thread].waker.wake();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Where a thread has panicked, the others go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The TCP relay, on a thread of its own beside the node's.
//!
//! The two hardly speak with each other. What the relay sends to nodes goes out of the node's UDP socket directly; what
//! comes back is told apart by the runner, without opening it, and laid into the relay's [`Inbox`](inbox::Inbox).

mod inbox;
mod service;
mod stream;

use crate::HostEnv;
use crate::builder::StartError;
use crate::env::Clock;
use crate::socket::{BindError, UdpPort};
use bluering_core::crypto::SecretKey;
use bluering_core::relay::server::{RelayLimits, RelayMark, RelayServer, RelayStats, RelayStorage};
use bluering_core::storage::Table;
use bluering_core::{Endpoint, Parts};
use inbox::Inbox;
use mio::net::TcpListener;
use service::{Service, WAKER};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;

/// The runner's side: where datagrams for the relay go. The relay ends when this is dropped.
#[derive(Debug)]
pub(crate) struct RelayGate {
    mark: RelayMark,
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
}

impl RelayGate {
    /// Takes a datagram if it is for the relay.
    pub(crate) fn takes(&self, datagram: &[u8]) -> bool {
        let ours = self.mark.owns(datagram);
        if ours {
            self.inbox.put(datagram);
        }
        ours
    }
}

impl Drop for RelayGate {
    fn drop(&mut self) {
        self.inbox.end();
        if let Some(thread) = self.thread.take() {
            // A panic there was printed there.
            let _ = thread.join();
        }
    }
}

/// What handles see of a relay.
#[derive(Clone, Debug)]
pub(crate) struct RelayView {
    pub(crate) at: Arc<[Endpoint]>,
    report: Arc<Mutex<RelayReport>>,
}

impl RelayView {
    pub(crate) fn report(&self) -> RelayReport {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a relay does.
#[derive(Clone, Debug)]
pub struct RelayReport {
    /// Counters since the start.
    pub stats: RelayStats,
    /// How full its tables are: clients, pending handshakes, pages of routes, blocks.
    pub tables: [Table; 4],
}

/// A relay that runs.
pub(crate) type Started = (RelayGate, RelayView);

/// Opens the sockets to listen on.
pub(crate) fn bind(at: &[SocketAddr]) -> Result<Vec<TcpListener>, BindError> {
    at.iter().map(|at| open(*at).map_err(|source| BindError::tcp(*at, source))).collect()
}

fn open(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    if at.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // A restarted node takes its port back at once.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Starts the relay's thread.
pub(crate) fn start(
    listeners: Vec<TcpListener>,
    secret: SecretKey,
    limits: &RelayLimits,
    clock: Clock,
    udp: &UdpPort,
) -> Result<Started, StartError> {
    allow_many_files();
    let parts: Parts<HostEnv> = HostEnv::parts().map_err(StartError::Random)?;
    let server = RelayServer::new(secret, RelayStorage::heap(limits), parts, clock.now()).map_err(StartError::Build)?;
    let thread_failed = StartError::Thread;
    let poll = mio::Poll::new().map_err(thread_failed)?;
    let waker = mio::Waker::new(poll.registry(), WAKER).map_err(thread_failed)?;
    let inbox = Arc::new(Inbox::new(waker));
    let at = listeners.iter().map(|listener| listener.local_addr().map(Endpoint::from)).collect::<io::Result<_>>();
    let at = at.map_err(thread_failed)?;
    let mark = server.mark();
    let report = Arc::new(Mutex::new(RelayReport { stats: server.stats().clone(), tables: server.tables() }));
    let sender = udp.sender().map_err(thread_failed)?;
    let service = Service::new(Box::new(server), poll, listeners, inbox.clone(), sender, clock, report.clone());
    let service = service.map_err(thread_failed)?;
    let thread = std::thread::Builder::new().name("bluering-relay".to_string());
    let thread = thread.spawn(move || service.run()).map_err(thread_failed)?;
    Ok((RelayGate { mark, inbox, thread: Some(thread) }, RelayView { at, report }))
}

/// Each client takes a file descriptor, and shells allow 1024 by default although the system allows more.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn allow_many_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Without it there is room for fewer clients.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn allow_many_files() {}

//! The TCP relay, on threads of its own beside the node's.
//!
//! Relay and node hardly speak with each other. What the relay sends to nodes goes out of the node's UDP socket
//! directly; what comes back is told apart by the runner, without opening it, and laid into the relay's
//! [`Inbox`](inbox::Inbox). Its own threads share the [`Hub`].

mod hub;
mod inbox;
mod service;
mod stream;

use crate::HostEnv;
use crate::builder::StartError;
use crate::env::{Clock, rng};
use crate::socket::{BindError, UdpPort};
use bluering_core::crypto::SecretKey;
use bluering_core::relay::server::{RelayLimits, RelayMark, RelayServer, RelayStats, RelayStorage};
use bluering_core::storage::Table;
use bluering_core::{Endpoint, Parts};
use hub::Hub;
use mio::net::TcpListener;
use mio::{Poll, Waker};
use service::{Making, Service, WAKER};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;

/// Where datagrams for the relay go.
#[derive(Clone, Debug)]
pub(crate) struct RelayDoor {
    mark: RelayMark,
    hub: Arc<Hub>,
}

impl RelayDoor {
    /// Takes a datagram if it is for the relay.
    pub(crate) fn takes(&self, datagram: &[u8]) -> bool {
        let ours = self.mark.owns(datagram);
        if ours {
            self.hub.put(datagram);
        }
        ours
    }
}

/// The runner's side. The relay ends when this is dropped.
#[derive(Debug)]
pub(crate) struct RelayGate {
    pub(crate) door: RelayDoor,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for RelayGate {
    fn drop(&mut self) {
        self.door.hub.end();
        for thread in self.threads.drain(..) {
            // A panic there was printed there.
            let _ = thread.join();
        }
    }
}

/// What handles see of a relay.
#[derive(Clone, Debug)]
pub(crate) struct RelayView {
    pub(crate) at: Arc<[Endpoint]>,
    hub: Arc<Hub>,
}

impl RelayView {
    pub(crate) fn report(&self) -> RelayReport {
        self.hub.report()
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

/// Starts the relay, on so many threads.
pub(crate) fn start(
    mut listeners: Vec<TcpListener>,
    secret: SecretKey,
    limits: &RelayLimits,
    clock: Clock,
    udp: &UdpPort,
    threads: usize,
) -> Result<Started, StartError> {
    allow_many_files();
    let parts: Parts<HostEnv> = HostEnv::parts().map_err(StartError::Random)?;
    let server = RelayServer::new(secret.clone(), RelayStorage::heap(limits), parts, clock.now());
    let server = server.map_err(StartError::Build)?.with_channels_outside();
    let at = listeners.iter().map(|listener| listener.local_addr().map(Endpoint::from)).collect::<io::Result<_>>();
    let at = at.map_err(StartError::Thread)?;
    let mark = server.mark();
    let (polls, wakers) = wakers(threads).map_err(StartError::Thread)?;
    let hub = Arc::new(Hub::new(Box::new(server), wakers));
    let mut gate = RelayGate { door: RelayDoor { mark, hub: hub.clone() }, threads: Vec::new() };
    for (me, poll) in polls.into_iter().enumerate() {
        let rng = rng().map_err(StartError::Random)?;
        let udp = udp.sender().map_err(StartError::Thread)?;
        let making = Making { hub: hub.clone(), secret: secret.clone(), udp, clock };
        let service =
            Service::new(making, me, poll, std::mem::take(&mut listeners), rng).map_err(StartError::Thread)?;
        let thread = std::thread::Builder::new().name("bluering-relay".to_string());
        gate.threads.push(thread.spawn(move || service.run()).map_err(StartError::Thread)?);
    }
    Ok((gate, RelayView { at, hub }))
}

/// What each thread waits with, and how others wake it.
fn wakers(threads: usize) -> io::Result<(Vec<Poll>, Vec<Waker>)> {
    let polls: Vec<_> = (0..threads.max(1)).map(|_| Poll::new()).collect::<io::Result<_>>()?;
    let wakers = polls.iter().map(|poll| Waker::new(poll.registry(), WAKER)).collect::<io::Result<_>>()?;
    Ok((polls, wakers))
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

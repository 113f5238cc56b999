//! More threads for a node that has outgrown one core.
//!
//! Each has a socket at the node's own address (`SO_REUSEPORT`: the system deals out datagrams by where they come from)
//! and a [`Shard`] of the node. Onion packets come and go without the node's thread. Everything else is laid into the
//! [`Post`] for it, with the key that opens it already agreed upon, for that is the dear part; the node, which alone
//! has the DHT and the announcements, answers from its own socket.
//!
//! Only Linux deals out datagrams in this way; elsewhere a node has one thread.

mod post;

pub(crate) use post::{Parcel, Post};

use crate::HostEnv;
use crate::env::Clock;
use crate::relay::RelayDoor;
use crate::socket::UdpPort;
use crate::trains::{Arrivals, Replies};
use crate::vitals::Traffic;
use bluering_core::{DATAGRAM_MAX, Disposition, Frame, Shard, Sorted, Stats};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Datagrams between two looks at the post.
const DATAGRAMS_AT_ONCE: usize = 64;

/// What a worker works with, and what it has done.
#[derive(Debug)]
struct Desk {
    shard: Shard<HostEnv>,
    traffic: Traffic,
}

/// A worker, seen from outside.
#[derive(Clone, Debug)]
pub(crate) struct Worker(Arc<Mutex<Desk>>);

impl Worker {
    pub(crate) fn new(shard: Shard<HostEnv>) -> Self {
        Self(Arc::new(Mutex::new(Desk { shard, traffic: Traffic::default() })))
    }

    /// Adds what it has done.
    pub(crate) fn add_to(&self, stats: &mut Stats, traffic: &mut Traffic) {
        let desk = self.desk();
        stats.add(desk.shard.stats());
        traffic.add(&desk.traffic);
    }

    /// A panic of the worker was printed there; its counters are whole.
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All of them, and the way to the node. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Workers {
    pub(crate) post: Arc<Post>,
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Puts each worker on a thread of its own, with a socket of its own.
    pub(crate) fn start(
        places: Vec<(Worker, UdpPort)>,
        post: Post,
        door: Option<&RelayDoor>,
        clock: Clock,
    ) -> io::Result<Self> {
        let (post, stop) = (Arc::new(post), Arc::new(Stop::new()?));
        let mut workers = Self { post: post.clone(), stop: stop.clone(), threads: Vec::new() };
        for (worker, port) in places {
            let shift = Shift {
                worker,
                port,
                door: door.cloned(),
                post: post.clone(),
                stop: stop.clone(),
                clock,
                arrivals: Arrivals::new(),
                replies: Replies::new(),
                parcel: Parcel::default(),
                buf: Box::new([0; DATAGRAM_MAX]),
            };
            let thread = std::thread::Builder::new().name("bluering-worker".to_string());
            workers.threads.push(thread.spawn(move || shift.work())?);
        }
        Ok(workers)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.call();
        for thread in self.threads.drain(..) {
            // A panic there was printed there.
            let _ = thread.join();
        }
    }
}

/// A worker at work.
struct Shift {
    worker: Worker,
    port: UdpPort,
    door: Option<RelayDoor>,
    post: Arc<Post>,
    stop: Arc<Stop>,
    clock: Clock,
    arrivals: Arrivals,
    replies: Replies,
    parcel: Parcel,
    buf: Box<[u8; DATAGRAM_MAX]>,
}

impl Shift {
    fn work(mut self) {
        while !self.stop.is_called() {
            if !self.take_datagrams() {
                self.stop.or_readable(&self.port);
            }
        }
    }

    /// Handles what has arrived; true when there may be more.
    fn take_datagrams(&mut self) -> bool {
        let mut desk = self.worker.desk();
        let mut more = true;
        for _ in 0..DATAGRAMS_AT_ONCE {
            let Some((len, from)) = self.arrivals.next(&self.port, &mut self.buf) else {
                more = false;
                break;
            };
            if self.door.as_ref().is_some_and(|door| door.takes(&self.buf[..len])) {
                continue;
            }
            desk.traffic.count_received(&self.buf[..len]);
            match desk.shard.handle_datagram(self.clock.now(), &mut Frame::new(&mut self.buf, len, from)) {
                Sorted::Done(Disposition::Reply { to, len }) => {
                    if let Some(to) = self.port.address(to)
                        && self.replies.push(&self.buf[..len], to)
                    {
                        self.replies.depart(self.port.socket(), |datagram| desk.traffic.count_sent(datagram));
                    }
                }
                Sorted::Done(Disposition::Consumed | Disposition::Dropped(_)) => {}
                Sorted::ForNode(key) => self.parcel.put(from, &self.buf[..len], key),
            }
        }
        self.replies.depart(self.port.socket(), |datagram| desk.traffic.count_sent(datagram));
        drop(desk);
        self.post.send(&mut self.parcel);
        more
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod stop {
    use crate::socket::UdpPort;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::eventfd::{EfdFlags, EventFd};
    use std::io;
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Tells all workers that their time is over.
    #[derive(Debug)]
    pub(super) struct Stop {
        called: AtomicBool,
        /// Readable from then on.
        fd: EventFd,
    }

    impl Stop {
        pub(super) fn new() -> io::Result<Self> {
            let fd = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
            Ok(Self { called: AtomicBool::new(false), fd })
        }

        pub(super) fn call(&self) {
            self.called.store(true, Ordering::Release);
            // It is written to once, so it is not full.
            let _ = self.fd.write(1);
        }

        pub(super) fn is_called(&self) -> bool {
            self.called.load(Ordering::Acquire)
        }

        /// Sleeps until a datagram or the end comes.
        pub(super) fn or_readable(&self, port: &UdpPort) {
            let fds = [port.socket().as_fd(), self.fd.as_fd()];
            let mut fds = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            // An interrupted sleep is a short sleep.
            let _ = poll(&mut fds, PollTimeout::NONE);
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod stop {
    use crate::socket::UdpPort;
    use std::io;

    /// There are no workers.
    #[derive(Debug)]
    pub(super) struct Stop;

    impl Stop {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self)
        }

        pub(super) fn call(&self) {}

        pub(super) fn is_called(&self) -> bool {
            true
        }

        pub(super) fn or_readable(&self, _: &UdpPort) {}
    }
}

use stop::Stop;

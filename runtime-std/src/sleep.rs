//! A runner on a thread of its own waits for its socket and for other threads in one system call, without a reactor:
//! each wake-up is one wake-up of one thread.

use crate::Runner;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use super::Runner;
    use crate::outside::Outside;
    use crate::runner::Turn;
    use crate::socket::UdpPort;
    use crate::streams::Streams;
    use nix::poll::{PollFd, PollFlags, ppoll};
    use nix::sys::eventfd::{EfdFlags, EventFd};
    use nix::sys::time::TimeSpec;
    use std::os::fd::AsFd;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::task::{Context, Poll, Wake, Waker};
    use std::time::{Duration, Instant};

    /// Rung by other threads. The descriptor is written to only when the runner sleeps.
    struct Bell {
        fd: EventFd,
        rung: AtomicBool,
        sleeping: AtomicBool,
    }

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.wake_by_ref();
        }

        fn wake_by_ref(self: &Arc<Self>) {
            self.rung.store(true, SeqCst);
            if self.sleeping.swap(false, SeqCst) {
                // It cannot be full: each sleep is ended at most once. Late, it ends the next sleep, which does no
                // harm.
                let _ = self.fd.write(1);
            }
        }
    }

    impl Bell {
        fn new() -> nix::Result<Self> {
            let fd = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
            Ok(Self { fd, rung: AtomicBool::new(false), sleeping: AtomicBool::new(false) })
        }

        /// Sleeps until it is rung, a socket is ready, the outside has something to tell (true), or `until`.
        fn sleep(
            &self,
            socket: Option<&UdpPort>,
            streams: &mut Streams,
            outside: &Outside,
            writable: bool,
            until: Option<Instant>,
        ) -> bool {
            self.sleeping.store(true, SeqCst);
            let mut told = false;
            if !self.rung.load(SeqCst) {
                let mut fds = Vec::with_capacity(FDS);
                fds.push(PollFd::new(self.fd.as_fd(), PollFlags::POLLIN));
                fds.extend(streams.sockets().map(|(socket, writable)| PollFd::new(socket.as_fd(), wanted(writable))));
                let streams_end = fds.len();
                fds.extend(outside.fds().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
                let outside_end = fds.len();
                fds.extend(socket.map(|socket| PollFd::new(socket.socket().as_fd(), wanted(writable))));
                let time = until.map(|at| TimeSpec::from_duration(until_then(at)));
                // An interrupted sleep is a short sleep.
                let _ = ppoll(&mut fds, time, None);
                if fds[0].any() == Some(true) {
                    let _ = self.fd.read();
                }
                told = fds[streams_end..outside_end].iter().any(|fd| fd.any() == Some(true));
                let found: Vec<_> = fds[1..streams_end].iter().map(is_ready).collect();
                streams.found(found.into_iter());
            }
            self.sleeping.store(false, SeqCst);
            told
        }
    }

    /// Descriptors that are waited for in most nodes.
    const FDS: usize = 8;

    fn wanted(writable: bool) -> PollFlags {
        if writable { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN }
    }

    /// Whether it can be read and written; errors are found by either.
    fn is_ready(fd: &PollFd<'_>) -> (bool, bool) {
        let found = fd.revents().unwrap_or(PollFlags::empty());
        let failed = found.intersects(PollFlags::POLLERR | PollFlags::POLLHUP);
        (failed || found.contains(PollFlags::POLLIN), failed || found.contains(PollFlags::POLLOUT))
    }

    fn until_then(at: Instant) -> Duration {
        at.saturating_duration_since(Instant::now())
    }

    impl Runner {
        /// As [`run`](Self::run), on the calling thread.
        pub(crate) fn run_alone(mut self) {
            let Ok(bell) = Bell::new().map(Arc::new) else { return smol::block_on(self.run()) };
            let waker = Waker::from(bell.clone());
            let mut cx = Context::from_waker(&waker);
            while let Some(turn) = self.turn() {
                let Turn::Sleep(idle) = turn else { continue };
                bell.rung.store(false, SeqCst);
                match self.poll_told(&mut cx, idle) {
                    Poll::Ready(wake) => self.woken(wake),
                    Poll::Pending => {
                        let alarm = self.alarm(idle);
                        let (socket, streams) = (self.socket.as_ref(), &mut self.streams);
                        if bell.sleep(socket, streams, &self.outside, idle.transmit_blocked, alarm) {
                            self.look_outside();
                        }
                    }
                }
            }
            smol::block_on(self.finish());
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Runner {
    /// As [`run`](Self::run), on the calling thread.
    pub(crate) fn run_alone(self) {
        smol::block_on(self.run());
    }
}

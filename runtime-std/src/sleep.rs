//! A runner on a thread of its own waits for its socket and for other threads in one system call, without a reactor:
//! each wake-up is one wake-up of one thread.

use crate::Runner;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use super::Runner;
    use crate::runner::Turn;
    use nix::poll::{PollFd, PollFlags, ppoll};
    use nix::sys::eventfd::{EfdFlags, EventFd};
    use nix::sys::time::TimeSpec;
    use std::os::fd::{AsFd, BorrowedFd};
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

        /// Sleeps until it is rung, the socket is ready, one of the others can be read (true), or `until`.
        fn sleep<'f>(
            &'f self,
            socket: &'f impl AsFd,
            writable: bool,
            others: impl Iterator<Item = BorrowedFd<'f>>,
            until: Option<Instant>,
        ) -> bool {
            self.sleeping.store(true, SeqCst);
            let mut told = false;
            if !self.rung.load(SeqCst) {
                let wanted = if writable { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN };
                let bell = PollFd::new(self.fd.as_fd(), PollFlags::POLLIN);
                let mut fds = [bell.clone(), PollFd::new(socket.as_fd(), wanted), bell.clone(), bell];
                let mut count = 2;
                for other in others.take(2) {
                    fds[count] = PollFd::new(other, PollFlags::POLLIN);
                    count += 1;
                }
                let fds = &mut fds[..count];
                let time = until.map(|at| TimeSpec::from_duration(until_then(at)));
                // An interrupted sleep is a short sleep.
                let _ = ppoll(fds, time, None);
                if fds[0].any() == Some(true) {
                    let _ = self.fd.read();
                }
                told = fds[2..].iter().any(|fd| fd.any() == Some(true));
            }
            self.sleeping.store(false, SeqCst);
            told
        }
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
                        let (socket, others) = (self.socket.socket(), self.outside.fds());
                        if bell.sleep(socket, idle.transmit_blocked, others, self.alarm(idle)) {
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

//! Datagrams on their way from the runner's thread to the relay's. Nothing is allocated per datagram, and the relay is
//! woken once for all that it has not seen.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes that may wait: more than a socket's buffer brings at once.
const ROOM: usize = 1 << 20;
/// Length of what stands before each datagram.
const HEAD: usize = 2;

/// Where they are laid.
#[derive(Debug)]
pub(super) struct Inbox {
    bytes: Mutex<Vec<u8>>,
    waker: mio::Waker,
    lost: AtomicU64,
    ended: AtomicBool,
}

impl Inbox {
    pub(super) fn new(waker: mio::Waker) -> Self {
        Self { bytes: Mutex::default(), waker, lost: AtomicU64::new(0), ended: AtomicBool::new(false) }
    }

    /// Lays a datagram in. When the relay cannot keep up, it is lost, as on the network.
    pub(super) fn put(&self, datagram: &[u8]) {
        let Ok(len) = u16::try_from(datagram.len()) else { return };
        let mut bytes = self.lock();
        if bytes.len() + HEAD + datagram.len() > ROOM {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let was_empty = bytes.is_empty();
        bytes.extend_from_slice(&len.to_ne_bytes());
        bytes.extend_from_slice(datagram);
        drop(bytes);
        if was_empty {
            self.wake();
        }
    }

    /// Takes all, in exchange for an empty list.
    pub(super) fn take(&self, empty: &mut Vec<u8>) {
        std::mem::swap(&mut *self.lock(), empty);
    }

    /// The relay shall end.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// It fails only when the system is out of everything; then the relay sees it when it wakes for another reason.
    fn wake(&self) {
        let _ = self.waker.wake();
    }

    /// A panic elsewhere leaves the bytes whole.
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first datagram of what was taken, and the others.
pub(super) fn split_first(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_ne_bytes(*len)))
}

//! Datagrams on their way from the runner's thread to the relay's. Nothing is allocated per datagram, and the relay is
//! woken once for all that it has not seen.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes that may wait: more than a socket's buffer brings at once.
const ROOM: usize = 1 << 20;
/// Length of what stands before each datagram.
const HEAD: usize = 2;

/// Where they are laid.
#[derive(Debug, Default)]
pub(super) struct Inbox(Mutex<Vec<u8>>);

impl Inbox {
    /// Lays a datagram in; true when it is the first. When the relay cannot keep up, it is lost, as on the network.
    pub(super) fn put(&self, datagram: &[u8]) -> bool {
        let Ok(len) = u16::try_from(datagram.len()) else { return false };
        let mut bytes = self.lock();
        if bytes.len() + HEAD + datagram.len() > ROOM {
            return false;
        }
        let was_empty = bytes.is_empty();
        bytes.extend_from_slice(&len.to_ne_bytes());
        bytes.extend_from_slice(datagram);
        was_empty
    }

    /// Takes all, in exchange for an empty list.
    pub(super) fn take(&self, empty: &mut Vec<u8>) {
        std::mem::swap(&mut *self.lock(), empty);
    }

    /// A panic elsewhere leaves the bytes whole.
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first datagram of what was taken, and the others.
pub(super) fn split_first(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_ne_bytes(*len)))
}

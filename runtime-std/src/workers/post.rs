//! Datagrams on their way from workers to the node's thread. Nothing is allocated per datagram, and the node is woken
//! once for all that it has not seen.

use crate::room::Job;
use bluering_core::{AgreedKey, Endpoint};
use smol::channel::WeakSender;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes that may wait: more than a socket's buffer brings at once.
const ROOM: usize = 1 << 20;

/// Several datagrams.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    bytes: Vec<u8>,
    letters: Vec<Letter>,
}

/// A datagram: where it ends in the bytes, who sent it, and the key that opens it.
#[derive(Debug)]
struct Letter {
    end: usize,
    from: Endpoint,
    key: Option<AgreedKey>,
}

impl Parcel {
    /// Adds a datagram.
    pub(crate) fn put(&mut self, from: Endpoint, datagram: &[u8], key: Option<AgreedKey>) {
        self.bytes.extend_from_slice(datagram);
        self.letters.push(Letter { end: self.bytes.len(), from, key });
    }

    /// Takes all datagrams out, one after the other.
    pub(crate) fn open(&mut self, mut handle: impl FnMut(Endpoint, &[u8], Option<AgreedKey>)) {
        let mut start = 0;
        for Letter { end, from, key } in self.letters.drain(..) {
            handle(from, &self.bytes[start..end], key);
            start = end;
        }
        self.bytes.clear();
    }

    fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    fn append(&mut self, other: &mut Self) {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.letters.extend(other.letters.drain(..).map(|letter| Letter { end: before + letter.end, ..letter }));
        other.bytes.clear();
    }
}

/// Where parcels wait.
#[derive(Debug)]
pub(crate) struct Post {
    waiting: Mutex<Parcel>,
    node: WeakSender<Job>,
}

impl Post {
    /// The way to the node that does these jobs.
    pub(crate) fn new(node: WeakSender<Job>) -> Self {
        Self { waiting: Mutex::default(), node }
    }

    /// Sends a parcel, which is empty then. When the node cannot keep up, it is lost, as on the network.
    pub(crate) fn send(&self, parcel: &mut Parcel) {
        if parcel.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        let was_empty = waiting.is_empty();
        if waiting.bytes.len() + parcel.bytes.len() <= ROOM {
            waiting.append(parcel);
        }
        drop(waiting);
        parcel.bytes.clear();
        parcel.letters.clear();
        if was_empty && let Some(node) = self.node.upgrade() {
            // It only wakes; when there is no room for it, the node is awake.
            let _ = node.try_send(Box::new(|_| {}));
        }
    }

    /// Takes all, in exchange for an empty parcel.
    pub(crate) fn take(&self, empty: &mut Parcel) {
        std::mem::swap(&mut *self.lock(), empty);
    }

    /// A panic elsewhere leaves whole datagrams.
    fn lock(&self) -> MutexGuard<'_, Parcel> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol::channel;

    fn opened(parcel: &mut Parcel) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        parcel.open(|_, datagram, _| datagrams.push(datagram.to_vec()));
        datagrams
    }

    #[test]
    fn parcels_keep_datagrams_and_their_order_and_wake_once() {
        let (jobs, waiting) = channel::bounded(8);
        let post = Post::new(jobs.downgrade());
        let (mut parcel, from) = (Parcel::default(), Endpoint::v4([192, 0, 2, 1], 5));
        post.send(&mut parcel);
        assert!(waiting.is_empty());
        for datagrams in [vec![b"one".as_slice(), b""], vec![b"three"]] {
            datagrams.iter().for_each(|datagram| parcel.put(from, datagram, None));
            post.send(&mut parcel);
        }
        assert_eq!(waiting.len(), 1);
        post.take(&mut parcel);
        assert_eq!(opened(&mut parcel), [b"one".to_vec(), b"".to_vec(), b"three".to_vec()]);
        post.take(&mut parcel);
        assert!(parcel.is_empty());
    }

    #[test]
    fn a_node_that_cannot_keep_up_loses_what_comes_last() {
        let (jobs, _waiting) = channel::bounded(8);
        let (post, mut parcel) = (Post::new(jobs.downgrade()), Parcel::default());
        let from = Endpoint::v4([192, 0, 2, 1], 5);
        for n in 0..=(ROOM / 1000) as u32 {
            parcel.put(from, &[n as u8; 1000], None);
            post.send(&mut parcel);
            assert!(parcel.is_empty());
        }
        post.take(&mut parcel);
        let datagrams = opened(&mut parcel);
        assert_eq!(datagrams.len(), ROOM / 1000);
        assert!(datagrams.iter().enumerate().all(|(n, datagram)| datagram[0] == n as u8));
    }
}

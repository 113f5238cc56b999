//! What operators of a node look at: its traffic by kind of packet, its counters and how full its tables are.

use crate::{Stopped, Tox};
use bluering_core::{Occupancy, Stats};

/// First bytes that a datagram can have.
const KINDS: usize = 256;

/// Datagrams since the start, told apart by their first byte, which says what a packet is
/// ([`kind`](bluering_core::wire::kind)). The core does not count them by kind: on a microcontroller it would cost more
/// memory than it is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    received: [u64; KINDS],
    sent: [u64; KINDS],
    /// Bytes of all received datagrams.
    pub bytes_received: u64,
    /// Bytes of all sent datagrams.
    pub bytes_sent: u64,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { received: [0; KINDS], sent: [0; KINDS], bytes_received: 0, bytes_sent: 0 }
    }
}

impl Traffic {
    /// Datagrams that came with this first byte.
    #[must_use]
    pub const fn received(&self, kind: u8) -> u64 {
        self.received[kind as usize]
    }

    /// Datagrams that went out with this first byte.
    #[must_use]
    pub const fn sent(&self, kind: u8) -> u64 {
        self.sent[kind as usize]
    }

    /// Empty datagrams have no kind and are not counted.
    pub(crate) fn count_received(&mut self, datagram: &[u8]) {
        if let Some(kind) = datagram.first() {
            self.received[usize::from(*kind)] += 1;
            self.bytes_received += datagram.len() as u64;
        }
    }

    /// Adds what another thread has counted.
    pub(crate) fn add(&mut self, other: &Self) {
        let add = |all: &mut [u64; KINDS], more: &[u64; KINDS]| all.iter_mut().zip(more).for_each(|(a, b)| *a += b);
        add(&mut self.received, &other.received);
        add(&mut self.sent, &other.sent);
        self.bytes_received += other.bytes_received;
        self.bytes_sent += other.bytes_sent;
    }

    pub(crate) fn count_sent(&mut self, datagram: &[u8]) {
        if let Some(kind) = datagram.first() {
            self.sent[usize::from(*kind)] += 1;
            self.bytes_sent += datagram.len() as u64;
        }
    }
}

/// A node's counters and tables at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vitals {
    /// What the core counts.
    pub stats: Stats,
    /// How full its tables are.
    pub occupancy: Occupancy,
    /// Datagrams by kind.
    pub traffic: Traffic,
}

/// For those who operate a node.
impl Tox {
    /// Counters and tables as of now.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn vitals(&self) -> Result<Vitals, Stopped> {
        self.call(|room| {
            let (mut stats, mut traffic) = (room.node.stats().clone(), (*room.traffic).clone());
            room.workers.iter().for_each(|worker| worker.add_to(&mut stats, &mut traffic));
            Vitals { stats, occupancy: room.node.occupancy(), traffic }
        })
        .await
    }

    /// Changes the message of the day, cut at 256 bytes. False on a node without bootstrap info.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn set_motd(&self, motd: impl Into<Vec<u8>>) -> Result<bool, Stopped> {
        let motd = motd.into();
        self.call(move |room| room.node.set_motd(&motd)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_counted_by_their_first_byte() {
        let mut traffic = Traffic::default();
        traffic.count_received(&[0xf0; 78]);
        traffic.count_received(&[]);
        traffic.count_sent(&[2, 0, 0]);
        traffic.count_sent(&[2]);
        assert_eq!((traffic.received(0xf0), traffic.received(0), traffic.bytes_received), (1, 0, 78));
        assert_eq!((traffic.sent(2), traffic.sent(0xf0), traffic.bytes_sent), (2, 0, 4));
    }
}

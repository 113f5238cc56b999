//! What happens when: a heap of times, and the datagrams that are on their way.

use crate::net::{Gate, Leg};
use crate::observe::HostId;
use crate::rng::SimRng;
use bluering_core::Endpoint;
use bluering_core::time::Instant;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Something that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A host's timer.
    Timer(HostId),
    /// The timer of the relay on a host.
    Relay(HostId),
    /// A datagram in this place arrives.
    Arrival(u32),
    /// Something happens to a byte stream.
    Streams,
}

/// A datagram on its way.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) id: u64,
    pub(super) from: HostId,
    pub(super) source: Endpoint,
    pub(super) to: Endpoint,
    pub(super) gate: Gate,
    /// It has only reached another line.
    pub(super) leg: Option<Leg>,
    pub(super) bytes: Vec<u8>,
}

/// When, in which order among those of the same time, and what, packed: the heap is what a run spends most of its own
/// time in.
type Entry = (Instant, u64, u32);

/// Marks a timer in the last part of an [`Entry`].
const TIMER: u32 = 1 << 31;
/// Marks the timer of a relay there: no flight has so high a place, and no host so high a number.
const RELAY: u32 = 1 << 30;
/// Stands there for the streams.
const STREAMS: u32 = u32::MAX;

/// The queue. What is due at the same microsecond comes in the order of its making, or in any order (`ties`).
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    made: u64,
    flights: Vec<Option<InFlight>>,
    vacant: Vec<u32>,
    spare: Vec<Vec<u8>>,
    pub(super) ties: Option<SimRng>,
}

impl Queue {
    pub(super) fn push(&mut self, at: Instant, due: Due) {
        self.made += 1;
        let order = match &mut self.ties {
            None => self.made,
            Some(rng) => rng.below(1 << 32) << 32 | self.made & 0xffff_ffff,
        };
        let due = match due {
            Due::Timer(host) => host | TIMER,
            Due::Relay(host) => host | RELAY,
            Due::Arrival(place) => place,
            Due::Streams => STREAMS,
        };
        self.heap.push(Reverse((at, order, due)));
    }

    pub(super) fn push_flight(&mut self, at: Instant, flight: InFlight) {
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.flights.push(None);
            self.flights.len() as u32 - 1
        });
        self.flights[place as usize] = Some(flight);
        self.push(at, Due::Arrival(place));
    }

    /// When the next thing is due.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    pub(super) fn pop(&mut self) -> Option<(Instant, Due)> {
        let Reverse((at, _, due)) = self.heap.pop()?;
        let due = match due {
            STREAMS => Due::Streams,
            timer if timer & TIMER != 0 => Due::Timer(timer & !TIMER),
            timer if timer & RELAY != 0 => Due::Relay(timer & !RELAY),
            place => Due::Arrival(place),
        };
        Some((at, due))
    }

    pub(super) fn land(&mut self, place: u32) -> Option<InFlight> {
        self.vacant.push(place);
        self.flights[place as usize].take()
    }

    /// A buffer with `bytes`, made of one that was used before.
    pub(super) fn buffer(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(bytes);
        buffer
    }

    pub(super) fn give_back(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < 1024 {
            self.spare.push(buffer);
        }
    }
}

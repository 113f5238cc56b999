//! Parties with a DHT machine each, who pass datagrams to each other by hand, at once.

use crate::cx::test_env::Bench;
use crate::dht::{BootstrapInfo, Candidate, Dht, DhtNote, NodeEntry, Punch, Search};
use crate::storage::{Mem, Slot, Slots};
use crate::time::Instant;
use crate::wire::NodeInfo;
use crate::{DATAGRAM_MAX, Disposition, Endpoint, Frame};
use core::time::Duration;
use std::boxed::Box;
use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

pub(super) fn dht(nodes: usize, searches: usize, candidates: usize, seed: u8) -> Dht<'static> {
    let slots = core::iter::repeat_with(|| Slot::<Search>::VACANT).take(searches).collect::<Vec<_>>();
    Dht::new(
        Mem::Borrowed(vec![NodeEntry::VACANT; nodes].leak()),
        Slots::new(slots.leak()),
        Mem::Borrowed(vec![Candidate::VACANT; candidates].leak()),
        (Mem::Borrowed(core::iter::repeat_with(|| Punch::VACANT).take(4).collect::<Vec<_>>().leak()), true),
        Some(BootstrapInfo { version: 1_000_002_023, motd: b"hello" }),
        [seed; 16],
    )
}

pub(super) struct Party {
    pub(super) bench: Bench,
    pub(super) dht: Dht<'static>,
    pub(super) at: Endpoint,
    pub(super) notes: Vec<(DhtNote, Vec<u8>)>,
}

/// A datagram that was sent: when, to whom, its first byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) when: Instant,
    pub(super) to: Endpoint,
    pub(super) kind: u8,
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) parties: Vec<Party>,
    pub(super) log: Vec<Sent>,
    post: VecDeque<(Endpoint, Endpoint, Vec<u8>)>,
}

impl World {
    pub(super) fn new() -> Self {
        Self { now: Instant::from_secs(1000), parties: Vec::new(), log: Vec::new(), post: VecDeque::new() }
    }

    /// Adds a started party at 203.0.113.N with 64 places, 16 searches and 32 candidates.
    pub(super) fn add(&mut self) -> usize {
        let n = self.parties.len();
        let at = Endpoint::v4([203, 0, 113, n as u8 + 1], 33445);
        let mut party = Party { bench: Bench::new(n as u8 + 1), dht: dht(64, 16, 32, n as u8), at, notes: Vec::new() };
        party.bench.now = self.now;
        party.dht.start(&mut party.bench.cx());
        self.parties.push(party);
        n
    }

    pub(super) fn info(&self, i: usize) -> NodeInfo {
        NodeInfo { key: self.parties[i].bench.me.dht.public, at: self.parties[i].at }
    }

    pub(super) fn bootstrap(&mut self, i: usize, from: usize) {
        let (now, node) = (self.now, self.info(from));
        self.parties[i].dht.bootstrap(now, node);
    }

    /// Lets time pass, with everything that happens in it.
    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        (0..self.parties.len()).for_each(|i| self.drain(i));
        loop {
            while let Some((from, to, bytes)) = self.post.pop_front() {
                self.deliver(from, to, &bytes);
            }
            let timers = self.parties.iter().filter_map(|party| party.dht.deadline());
            let next = timers.map(|deadline| deadline.at).min().unwrap_or(Instant::FAR).max(self.now);
            if next > end {
                self.now = end;
                return;
            }
            self.now = next;
            self.fire();
        }
    }

    /// Hands a datagram to whoever is at `to`, and checks that at most one packet comes back at once.
    pub(super) fn deliver(&mut self, from: Endpoint, to: Endpoint, bytes: &[u8]) -> Option<Disposition> {
        let i = self.parties.iter().position(|party| party.at == to)?;
        let mut buf = Box::new([0; DATAGRAM_MAX]);
        buf[..bytes.len()].copy_from_slice(bytes);
        let mut frame = Frame::new(&mut buf, bytes.len(), from);
        let party = &mut self.parties[i];
        party.bench.now = self.now;
        let (disposition, note) = party.dht.on_packet(&mut party.bench.cx(), &mut frame);
        if let Some(note) = note {
            let data = match &note {
                DhtNote::Request { data, .. } => frame.buf[data.clone()].to_vec(),
                DhtNote::Alive(_) | DhtNote::Greeted => Vec::new(),
            };
            party.notes.push((note, data));
        }
        if let Disposition::Reply { to, len } = disposition {
            self.send(i, to, &buf[..len]);
        }
        self.drain(i);
        Some(disposition)
    }

    fn fire(&mut self) {
        for i in 0..self.parties.len() {
            let party = &mut self.parties[i];
            if party.dht.deadline().is_none_or(|deadline| deadline.at > self.now) {
                continue;
            }
            party.bench.now = self.now;
            party.dht.on_timeout(&mut party.bench.cx());
            self.drain(i);
            let left = self.parties[i].dht.deadline();
            assert!(left.is_none_or(|left| left.at > self.now), "a deadline in the past stays: {left:?}");
        }
    }

    fn drain(&mut self, i: usize) {
        let mut buf = Box::new([0; DATAGRAM_MAX]);
        for count in 0.. {
            assert!(count < 1000, "one input, a thousand packets");
            let party = &mut self.parties[i];
            party.bench.now = self.now;
            let Some((to, len)) = party.dht.encode_next(&mut party.bench.cx(), &mut buf) else { break };
            self.send(i, to, &buf[..len]);
        }
    }

    fn send(&mut self, by: usize, to: Endpoint, bytes: &[u8]) {
        self.log.push(Sent { when: self.now, to, kind: bytes[0] });
        self.post.push_back((self.parties[by].at, to, bytes.to_vec()));
    }
}

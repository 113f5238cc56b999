//! A little network in virtual time: parties with a DHT machine each, and datagrams under way between them.

use crate::cx::test_env::Bench;
use crate::dht::{BootstrapInfo, Candidate, Dht, DhtNote, NodeEntry, Search};
use crate::storage::{Mem, Slot, Slots};
use crate::time::Instant;
use crate::wire::NodeInfo;
use crate::{DATAGRAM_MAX, Disposition, Endpoint, Frame};
use core::time::Duration;
use std::boxed::Box;
use std::collections::{BTreeMap, HashMap};
use std::vec;
use std::vec::Vec;

/// Time that a datagram is under way.
pub(super) const LATENCY: Duration = Duration::from_millis(20);

/// Time for which a NAT lets in answers.
const NAT_LIFE: Duration = Duration::from_secs(30);

pub(super) fn dht(nodes: usize, searches: usize, candidates: usize, seed: u8) -> Dht<'static> {
    let slots = core::iter::repeat_with(|| Slot::<Search>::VACANT).take(searches).collect::<Vec<_>>();
    Dht::new(
        Mem::Borrowed(vec![NodeEntry::VACANT; nodes].leak()),
        Slots::new(slots.leak()),
        Mem::Borrowed(vec![Candidate::VACANT; candidates].leak()),
        Some(BootstrapInfo { version: 1_000_002_023, motd: b"hello" }),
        [seed; 16],
    )
}

pub(super) struct Party {
    pub(super) bench: Bench,
    pub(super) dht: Dht<'static>,
    pub(super) at: Endpoint,
    pub(super) online: bool,
    /// Behind a NAT that keeps its port, and lets in who was sent to within [`NAT_LIFE`]: when that was, for each.
    pub(super) nat: Option<HashMap<Endpoint, Instant>>,
    pub(super) notes: Vec<(DhtNote, Vec<u8>)>,
}

impl Party {
    pub(super) fn info(&self) -> NodeInfo {
        NodeInfo { key: self.bench.me.dht.public, at: self.at }
    }
}

/// A datagram that was sent: who, when, to whom, its first byte, whether it was a reply in place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) by: usize,
    pub(super) when: Instant,
    pub(super) to: Endpoint,
    pub(super) kind: u8,
    pub(super) reply: bool,
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) parties: Vec<Party>,
    pub(super) log: Vec<Sent>,
    /// Of 256 datagrams this many are lost.
    pub(super) loss: u8,
    dice: u64,
    wire: BTreeMap<(Instant, u64), (Endpoint, Endpoint, Vec<u8>)>,
    serial: u64,
}

impl World {
    pub(super) fn new() -> Self {
        let now = Instant::from_secs(1000);
        let (parties, log) = (Vec::new(), Vec::new());
        Self { now, parties, log, loss: 0, dice: 1, wire: BTreeMap::new(), serial: 0 }
    }

    /// Adds a started party at 203.0.113.N with 64 places, 16 searches and 32 candidates.
    pub(super) fn add(&mut self) -> usize {
        let n = self.parties.len() as u8;
        self.add_with(Endpoint::v4([203, 0, 113, n + 1], 33445), dht(64, 16, 32, n))
    }

    pub(super) fn add_with(&mut self, at: Endpoint, dht: Dht<'static>) -> usize {
        let n = self.parties.len();
        let mut party = Party { bench: Bench::new(n as u8 + 1), dht, at, online: true, nat: None, notes: Vec::new() };
        party.bench.now = self.now;
        party.dht.start(&mut party.bench.cx());
        self.parties.push(party);
        n
    }

    pub(super) fn info(&self, i: usize) -> NodeInfo {
        self.parties[i].info()
    }

    pub(super) fn bootstrap(&mut self, i: usize, from: usize) {
        let (now, node) = (self.now, self.info(from));
        self.parties[i].dht.bootstrap(now, node);
    }

    /// Lets time pass, with everything that happens in it.
    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        self.run_until(end, |_| false);
    }

    /// Runs until `done` or the end; returns whether it was done.
    pub(super) fn run_until(&mut self, end: Instant, done: impl Fn(&Self) -> bool) -> bool {
        (0..self.parties.len()).for_each(|i| self.drain(i));
        loop {
            if done(self) {
                return true;
            }
            let arrival = self.wire.keys().next().map(|(at, _)| *at);
            let timer = self.parties.iter().filter(|p| p.online).filter_map(|p| p.dht.deadline()).map(|d| d.at).min();
            let next = [arrival, timer].into_iter().flatten().min().unwrap_or(Instant::FAR).max(self.now);
            if next > end {
                self.now = end;
                return done(self);
            }
            self.now = next;
            if let Some((key, _)) = self.wire.first_key_value().filter(|((at, _), _)| *at <= next) {
                let key = *key;
                let (from, to, bytes) = self.wire.remove(&key).unwrap();
                self.deliver(from, to, &bytes);
            } else {
                self.fire();
            }
        }
    }

    /// Hands a datagram to whoever is at `to`, and checks that at most one packet comes back at once.
    pub(super) fn deliver(&mut self, from: Endpoint, to: Endpoint, bytes: &[u8]) -> Option<Disposition> {
        let i = self.parties.iter().position(|p| p.online && p.at == to)?;
        if let Some(nat) = &self.parties[i].nat
            && nat.get(&from).is_none_or(|sent| self.now >= *sent + NAT_LIFE)
        {
            return None;
        }
        let mut buf = Box::new([0; DATAGRAM_MAX]);
        buf[..bytes.len()].copy_from_slice(bytes);
        let mut frame = Frame::new(&mut buf, bytes.len(), from);
        let party = &mut self.parties[i];
        party.bench.now = self.now;
        let (disposition, note) = party.dht.on_packet(&mut party.bench.cx(), &mut frame);
        if let Some(note) = note {
            let data = match &note {
                DhtNote::Request { data, .. } => frame.buf[data.clone()].to_vec(),
                DhtNote::Alive(_) => Vec::new(),
            };
            party.notes.push((note, data));
        }
        if let Disposition::Reply { to, len } = disposition {
            self.send(i, to, &buf[..len], true);
        }
        self.drain(i);
        Some(disposition)
    }

    /// Requests (not replies) that `by` has sent since `since`.
    pub(super) fn requests(&self, by: usize, since: Instant) -> usize {
        self.log.iter().filter(|sent| sent.by == by && sent.when >= since && !sent.reply).count()
    }

    /// The most datagrams that any party has sent by itself to any one address within one second.
    pub(super) fn busiest_second(&self) -> usize {
        let mut most = 0;
        for (i, first) in self.log.iter().enumerate().filter(|(_, sent)| !sent.reply) {
            let until = first.when + Duration::from_secs(1);
            let same = self.log[i..].iter().take_while(|sent| sent.when < until);
            most = most.max(same.filter(|s| s.by == first.by && s.to == first.to && !s.reply).count());
        }
        most
    }

    fn fire(&mut self) {
        for i in 0..self.parties.len() {
            let party = &mut self.parties[i];
            if !party.online || party.dht.deadline().is_none_or(|deadline| deadline.at > self.now) {
                continue;
            }
            party.bench.now = self.now;
            party.dht.on_timeout(&mut party.bench.cx());
            self.drain(i);
            let left = self.parties[i].dht.deadline();
            assert!(left.is_none_or(|left| left.at > self.now), "a deadline in the past stays: {left:?}");
        }
    }

    pub(super) fn drain(&mut self, i: usize) {
        if !self.parties[i].online {
            return;
        }
        let mut buf = Box::new([0; DATAGRAM_MAX]);
        for count in 0.. {
            assert!(count < 1000, "one input, a thousand packets");
            let party = &mut self.parties[i];
            party.bench.now = self.now;
            let Some((to, len)) = party.dht.encode_next(&mut party.bench.cx(), &mut buf) else { break };
            self.send(i, to, &buf[..len], false);
        }
    }

    fn send(&mut self, by: usize, to: Endpoint, bytes: &[u8], reply: bool) {
        if let Some(nat) = &mut self.parties[by].nat {
            nat.insert(to, self.now);
        }
        self.log.push(Sent { by, when: self.now, to, kind: bytes[0], reply });
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if (self.dice >> 56) as u8 >= self.loss {
            self.serial += 1;
            self.wire.insert((self.now + LATENCY, self.serial), (self.parties[by].at, to, bytes.to_vec()));
        }
    }
}

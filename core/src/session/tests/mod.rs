//! Sessions against each other over an in-memory link with virtual time: what is to be seen inside of them. Sessions of
//! whole nodes are in the simulator's tests.

mod attack;
mod opening;
mod stream;

use super::*;
use crate::Stats;
use crate::cx::test_env::Bench;
use crate::storage::{Block, Slot};
use std::boxed::Box;
use std::vec;
use std::vec::Vec;

/// One end of the link.
pub(super) struct Party {
    pub(super) bench: Bench,
    pub(super) sessions: Sessions<'static>,
    pub(super) endpoint: Endpoint,
    /// Whose handshakes are accepted, the owner being the place in the list.
    pub(super) friends: Vec<PublicKey>,
    pub(super) notes: Vec<SessionNote>,
    pub(super) inbox: Vec<Vec<u8>>,
    pub(super) lossy: Vec<Vec<u8>>,
    pub(super) drops: Vec<DropReason>,
    /// Whether arrived packets are read.
    pub(super) reads: bool,
    /// Datagrams sent so far.
    pub(super) sent: usize,
}

impl Party {
    pub(super) fn new(seed: u8, blocks: usize) -> Self {
        let mut bench = Bench::new(seed);
        bench.blocks = Blocks::new(Box::leak(vec![Block::ZERO; blocks].into_boxed_slice()));
        let table = Box::leak((0..4).map(|_| Slot::VACANT).collect::<Vec<_>>().into_boxed_slice());
        let sessions = Sessions::new(Slots::new(table), &mut bench.rng);
        Self {
            bench,
            sessions,
            endpoint: Endpoint::v4([10, 0, 0, seed], 33_445),
            friends: Vec::new(),
            notes: Vec::new(),
            inbox: Vec::new(),
            lossy: Vec::new(),
            drops: Vec::new(),
            reads: true,
            sent: 0,
        }
    }

    pub(super) fn key(&self) -> PublicKey {
        self.bench.me.long_term.public
    }

    /// The handle of the only open session.
    pub(super) fn id(&self) -> SessionId {
        let mut open = self.sessions.table.iter().filter(|(_, session)| session.is_open());
        let (id, _) = open.next().expect("a session");
        assert!(open.next().is_none(), "only one session");
        id
    }

    pub(super) fn stats(&self) -> &Stats {
        &self.bench.stats
    }

    pub(super) fn is_established(&self) -> bool {
        self.sessions.table.values().any(|session| matches!(session.state, State::Established(_)))
    }

    pub(super) fn open_to(&mut self, other: &Self) -> SessionId {
        let (peer, dht) = (other.key(), other.bench.me.dht.public);
        let id = self.sessions.open(&mut self.bench.cx(), 0, peer, dht).unwrap();
        self.sessions.set_endpoint(self.bench.now, id, other.endpoint);
        id
    }

    pub(super) fn send(&mut self, content: &[u8], tag: u32) -> Result<(), SendRefused> {
        let id = self.id();
        self.sessions.send(&mut self.bench.cx(), id, &[&content[..1], &content[1..]], tag)
    }

    pub(super) fn acked(&self) -> u32 {
        self.sessions.acked_tag(self.id())
    }

    /// Handles a datagram and gives the immediate reply.
    pub(super) fn receive(&mut self, bytes: &[u8], from: Endpoint) -> Option<Vec<u8>> {
        let mut buf = [0; DATAGRAM_MAX];
        buf[..bytes.len()].copy_from_slice(bytes);
        let mut frame = Frame::new(&mut buf, bytes.len(), from);
        let friends = &self.friends;
        let mut accept = |key: &PublicKey| friends.iter().position(|friend| friend == key);
        let (disposition, note) =
            self.sessions.on_packet(&mut self.bench.cx(), &mut frame, &mut accept, &|_, _| Standing::Stranger);
        if let Some(SessionNote::Lossy { data, .. }) = &note {
            self.lossy.push(frame.buf[data.clone()].to_vec());
        }
        self.notes.extend(note);
        self.take_notes();
        match disposition {
            Disposition::Consumed => None,
            Disposition::Reply { to, len } => {
                assert_eq!(to, from);
                Some(buf[..len].to_vec())
            }
            Disposition::Dropped(reason) => {
                self.drops.push(reason);
                None
            }
        }
    }

    pub(super) fn take_notes(&mut self) {
        while let Some(note) = self.sessions.take_note() {
            self.notes.push(note);
        }
    }

    pub(super) fn next_packet(&mut self) -> Option<(Endpoint, Vec<u8>)> {
        let mut buf = [0; DATAGRAM_MAX];
        let (to, len) = self.sessions.encode_next(&mut self.bench.cx(), &mut buf)?;
        self.sent += 1;
        Some((to, buf[..len].to_vec()))
    }

    pub(super) fn read_all(&mut self) {
        let ids: Vec<_> = self.sessions.table.iter().map(|(id, _)| id).collect();
        for id in ids {
            while let Some(content) = self.sessions.peek(&self.bench.blocks, id).map(<[u8]>::to_vec) {
                self.inbox.push(content);
                self.sessions.pop(&mut self.bench.blocks, id);
            }
        }
    }

    /// Drains all outputs as a driver does, and checks that nothing is due afterwards.
    fn pump(&mut self, now: Instant) -> Vec<(Endpoint, Vec<u8>)> {
        self.bench.now = now;
        let mut out = Vec::new();
        for _ in 0..5 {
            if self.reads {
                self.read_all();
            }
            out.extend(core::iter::from_fn(|| self.next_packet()));
            match self.sessions.deadline() {
                Some(deadline) if deadline.at <= now => self.sessions.on_timeout(&mut self.bench.cx()),
                Some(_) | None => return out,
            }
            self.take_notes();
        }
        panic!("busy: {:?} at {now:?}", self.sessions.deadline());
    }

    pub(super) fn blocks_used(&self) -> usize {
        self.bench.blocks.capacity() - self.bench.blocks.available()
    }
}

/// A datagram under way.
#[derive(Clone)]
pub(super) struct Flight {
    pub(super) at: Instant,
    pub(super) from: Endpoint,
    pub(super) to: Endpoint,
    pub(super) bytes: Vec<u8>,
}

/// Parties, a link between them, and the time.
pub(super) struct World {
    pub(super) parties: Vec<Party>,
    pub(super) now: Instant,
    pub(super) flights: Vec<Flight>,
    /// All that was sent.
    pub(super) log: Vec<Flight>,
    /// In percent.
    pub(super) loss: u64,
    pub(super) duplicates: u64,
    pub(super) delay: Duration,
    /// Up to so much is added to the delay, so that packets overtake each other.
    pub(super) jitter: Duration,
    random: u64,
}

use core::time::Duration;

impl World {
    /// Two friends that do not know each other's address yet.
    pub(super) fn new(seed: u64, blocks: [usize; 2]) -> Self {
        let mut parties = vec![Party::new(1, blocks[0]), Party::new(2, blocks[1])];
        let keys: Vec<_> = parties.iter().map(Party::key).collect();
        parties[0].friends = vec![keys[1]];
        parties[1].friends = vec![keys[0]];
        Self {
            parties,
            now: Instant::from_secs(1000),
            flights: Vec::new(),
            log: Vec::new(),
            loss: 0,
            duplicates: 0,
            delay: Duration::from_millis(20),
            jitter: Duration::ZERO,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        }
    }

    /// Two friends with an idle session.
    pub(super) fn connected(seed: u64, blocks: [usize; 2]) -> Self {
        let mut world = Self::new(seed, blocks);
        world.open(0);
        assert!(world.run_until(5_000, |w| w.parties.iter().all(Party::is_established)));
        world.run(500);
        world
    }

    pub(super) fn open(&mut self, from: usize) -> SessionId {
        let (left, right) = self.parties.split_at_mut(1);
        let (from, to) = if from == 0 { (&mut left[0], &right[0]) } else { (&mut right[0], &left[0]) };
        from.bench.now = self.now;
        from.open_to(to)
    }

    pub(super) fn percent(&mut self, chance: u64) -> bool {
        self.draw() % 100 < chance
    }

    pub(super) fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn launch(&mut self, from: Endpoint, to: Endpoint, bytes: &[u8]) {
        let jitter = self.draw() % (self.jitter.as_micros() as u64 + 1);
        let at = self.now + self.delay + Duration::from_micros(jitter);
        let flight = Flight { at, from, to, bytes: bytes.to_vec() };
        self.log.push(flight.clone());
        if !self.percent(self.loss) {
            self.flights.push(flight.clone());
        }
        if self.percent(self.duplicates) {
            self.flights.push(Flight { at: at + Duration::from_millis(1), ..flight });
        }
    }

    fn pump_all(&mut self) {
        for index in 0..self.parties.len() {
            let from = self.parties[index].endpoint;
            for (to, bytes) in self.parties[index].pump(self.now) {
                self.launch(from, to, &bytes);
            }
        }
    }

    fn deliver(&mut self) {
        let mut due: Vec<_> = self.flights.extract_if(.., |flight| flight.at <= self.now).collect();
        due.sort_by_key(|flight| flight.at);
        for flight in due {
            let Some(to) = self.parties.iter_mut().find(|party| party.endpoint == flight.to) else { continue };
            to.bench.now = self.now;
            if let Some(reply) = to.receive(&flight.bytes, flight.from) {
                self.launch(flight.to, flight.from, &reply);
            }
            self.pump_all();
        }
    }

    /// Runs until `done`, at most so many milliseconds. False when it never was.
    pub(super) fn run_until(&mut self, millis: u64, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + Duration::from_millis(millis);
        loop {
            self.pump_all();
            if done(self) {
                return true;
            }
            let timers = self.parties.iter().filter_map(|party| party.sessions.deadline()).map(|deadline| deadline.at);
            let next = timers.chain(self.flights.iter().map(|flight| flight.at)).min().unwrap_or(Instant::FAR);
            if next > end {
                self.now = end;
                self.pump_all();
                return done(self);
            }
            self.now = self.now.max(next);
            self.deliver();
        }
    }

    pub(super) fn run(&mut self, millis: u64) {
        self.run_until(millis, |_| false);
    }

    pub(super) fn alice(&mut self) -> &mut Party {
        self.parties[0].bench.now = self.now;
        &mut self.parties[0]
    }

    pub(super) fn bob(&mut self) -> &mut Party {
        self.parties[1].bench.now = self.now;
        &mut self.parties[1]
    }
}

#[test]
fn an_entry_is_small() {
    let size = size_of::<Slot<Session>>();
    assert!(size <= 448, "{size}");
    assert!(size_of::<Sessions<'_>>() <= 176);
}

//! What takes datagrams from hosts: counts them, hashes them, shows them to the watcher, and gives them to the network.

use super::queue::{Due, InFlight, Queue};
use crate::net::{Flight, Net, NetDrop};
use crate::observe::{HostId, Observation, Packet, Tap};
use crate::rng::{Ppm, SimRng};
use bluering_core::Endpoint;
use bluering_core::time::Instant;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

/// What a dishonest relay does to the onion packets that it should pass on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tamper {
    /// Drops them, with this probability.
    Drop(Ppm),
    /// Flips a bit, with this probability.
    Flip(Ppm),
    /// Holds them back for so long.
    Delay(Duration),
}

/// The way out of every host.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) net: Net,
    pub(super) queue: Queue,
    pub(super) datagrams: u64,
    pub(super) digest: Digest,
    /// Whether each of the next datagrams of a host is lost.
    pub(super) fates: BTreeMap<HostId, VecDeque<bool>>,
    /// Datagrams that dishonest hops dropped, changed or held back.
    pub(super) tampered: u64,
    pub(super) tampering: BTreeMap<HostId, (Tamper, SimRng)>,
    /// Datagrams that actors who tap the network have not seen yet.
    pub(super) overheard: Option<Vec<InFlightCopy>>,
    /// Datagrams to addresses where nobody is, when a test asked for them.
    pub(super) strays: Option<Vec<(HostId, Endpoint, Vec<u8>)>>,
}

/// A datagram as it left its sender.
#[derive(Clone, Debug)]
pub(super) struct InFlightCopy {
    pub(super) id: u64,
    pub(super) from: HostId,
    pub(super) source: Endpoint,
    pub(super) to: Endpoint,
    pub(super) bytes: Vec<u8>,
}

/// A datagram to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing<'a> {
    pub(super) from: HostId,
    pub(super) spoofed: Option<Endpoint>,
    pub(super) to: Endpoint,
    pub(super) bytes: &'a [u8],
    pub(super) answers: Option<u64>,
}

impl Wire {
    pub(super) fn new(seed: u64) -> Self {
        let mut net = Net::new(seed);
        net.backbone = Duration::from_millis(10);
        Self {
            net,
            queue: Queue::default(),
            datagrams: 0,
            digest: Digest::NEW,
            fates: BTreeMap::new(),
            tampered: 0,
            tampering: BTreeMap::new(),
            overheard: None,
            strays: None,
        }
    }

    pub(super) fn send<T: Tap>(&mut self, tap: &mut T, now: Instant, out: Outgoing<'_>) {
        self.datagrams += 1;
        let Outgoing { from, spoofed, to, bytes, answers } = out;
        let id = self.datagrams;
        self.digest.add(&[now.micros(), u64::from(from), u64::from(to.port())]);
        self.digest.add_bytes(bytes);
        let source = spoofed.unwrap_or_else(|| self.net.address(from));
        let packet = Packet { id, from, source, to, bytes };
        tap.observe(now, &Observation::Sent { packet, answers });
        if let Some(overheard) = &mut self.overheard {
            overheard.push(InFlightCopy { id, from, source, to, bytes: bytes.to_vec() });
        }
        if self.fates.get_mut(&from).and_then(VecDeque::pop_front) == Some(true) {
            return self.lost(tap, now, packet, NetDrop::Loss);
        }
        let (mut buffer, mut held) = (self.queue.buffer(bytes), Duration::ZERO);
        if let Some((tamper, rng)) = self.tampering.get_mut(&from) {
            let fate = meddle(*tamper, rng, &mut buffer);
            self.tampered += u64::from(fate != Some(Duration::ZERO) || buffer != bytes);
            match fate {
                Some(wait) => held = wait,
                None => return self.lost(tap, now, packet, NetDrop::Loss),
            }
        }
        match self.net.send(now, from, spoofed, to, bytes.len() as u32) {
            Err(why) => {
                self.strays.iter_mut().for_each(|strays| strays.push((from, to, bytes.to_vec())));
                self.lost(tap, now, packet, why);
            }
            Ok(flight) => {
                let packet = InFlight { id, from, source, to, gate: flight.gate(), leg: None, bytes: buffer };
                self.fly(flight, held, packet);
            }
        }
    }

    /// A datagram has reached another line on its way.
    pub(super) fn onward<T: Tap>(&mut self, tap: &mut T, now: Instant, packet: InFlight) {
        let Some(leg) = packet.leg else { return };
        let mut flight = Flight::resumed(now, packet.source, packet.gate, leg);
        match self.net.onward(&mut flight, packet.bytes.len() as u32) {
            Ok(()) => self.fly(flight, Duration::ZERO, packet),
            Err(why) => {
                let InFlight { id, from, source, to, ref bytes, .. } = packet;
                self.lost(tap, now, Packet { id, from, source, to, bytes }, why);
                self.queue.give_back(packet.bytes);
            }
        }
    }

    fn fly(&mut self, flight: Flight, held: Duration, mut packet: InFlight) {
        let twin = flight.twin.map(|at| (at, self.queue.buffer(&packet.bytes)));
        if let Some(damage) = flight.damage {
            damage.apply(&mut packet.bytes);
        }
        (packet.source, packet.leg) = (flight.source, flight.leg);
        let InFlight { id, from, source, to, gate, leg, .. } = packet;
        self.queue.push_flight(flight.at + held, packet);
        // The second copy is intact.
        if let Some((at, bytes)) = twin {
            self.queue.push_flight(at + held, InFlight { id, from, source, to, gate, leg, bytes });
        }
    }

    pub(super) fn lost<T: Tap>(&mut self, tap: &mut T, now: Instant, packet: Packet<'_>, why: NetDrop) {
        self.digest.add(&[now.micros(), why as u64]);
        tap.observe(now, &Observation::Lost { packet, why });
    }

    pub(super) fn set_timer(&mut self, at: Instant, host: HostId) {
        self.queue.push(at, Due::Timer(host));
    }
}

/// How long to hold the packet back; `None` drops it. Only what is passed on for others is meddled with.
fn meddle(tamper: Tamper, rng: &mut SimRng, bytes: &mut [u8]) -> Option<Duration> {
    if !bytes.first().is_some_and(|kind| (0x80..=0x8e).contains(kind)) {
        return Some(Duration::ZERO);
    }
    match tamper {
        Tamper::Drop(ppm) => (!rng.chance(ppm)).then_some(Duration::ZERO),
        Tamper::Flip(ppm) => {
            if rng.chance(ppm) {
                let bit = rng.below(bytes.len() as u64 * 8) as usize;
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            Some(Duration::ZERO)
        }
        Tamper::Delay(by) => Some(by),
    }
}

/// A hash over all that happens, the same on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest(pub(super) u64);

impl Digest {
    pub(super) const NEW: Self = Self(0xcbf2_9ce4_8422_2325);

    pub(super) fn add(&mut self, words: &[u64]) {
        for word in words {
            self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
    }

    pub(super) fn add_bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.add(&[u64::from_le_bytes(*word)]));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.add(&[u64::from_le_bytes(last), bytes.len() as u64]);
    }
}

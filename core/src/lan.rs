//! LAN discovery: finding nodes in the local network without knowing any.
//!
//! Now and then everybody in the local network is told our DHT key (packet 0x21); whoever hears it sends us a nodes
//! request. The core decides when, and to which ports; it does not know what a network looks like. So it hands out an
//! [`Action::LanDiscovery`](crate::Action::LanDiscovery), and the runtime sends its packet, from the socket that the
//! node listens on, to each of its ports at every broadcast address it has. Nothing follows from how that goes.
//!
//! Nodes listen on the first free of the ports 33445 to 33545, nearly always on 33445: it is called every time, of the
//! others ten at a time, in turns, as toxcore does (wire-facts 2.3). In the first second there are three calls, since
//! the first ones may be lost while an interface comes up.

use crate::crypto::PublicKey;
use crate::time::{Deadline, Instant, Why};
use crate::wire::Writer;
use crate::wire::dht::LanDiscovery;
use core::time::Duration;

/// A call in this time (`LAN_discovery.h`, LAN_DISCOVERY_INTERVAL).
const CALL_EVERY: Duration = Duration::from_secs(10);
/// Pauses after the first calls.
const FIRST_PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_millis(750)];
/// The usual port of nodes.
const PORT: u16 = 33445;
/// Ports besides it in one call, and how many such groups there are.
const PORTS: u16 = 10;
const GROUPS: u32 = 10;

/// What is to be told to the local network, and at which ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LanCall {
    key: PublicKey,
    /// The first port besides the usual one.
    first: u16,
}

impl LanCall {
    /// Length of the packet.
    pub const LEN: usize = LanDiscovery::LEN;

    /// The packet.
    #[must_use]
    pub fn packet(&self) -> [u8; Self::LEN] {
        let mut packet = [0; Self::LEN];
        LanDiscovery { sender: self.key }.emit(&mut Writer::new(&mut packet));
        packet
    }

    /// The ports that it is to be sent to.
    pub fn ports(&self) -> impl Iterator<Item = u16> + Clone + use<> {
        core::iter::once(PORT).chain(self.first..self.first + PORTS)
    }
}

/// Says when to call.
#[derive(Debug)]
pub(crate) struct LanCaller {
    next: Option<Instant>,
    calls: u32,
}

impl LanCaller {
    pub(crate) fn new(now: Instant, enabled: bool) -> Self {
        Self { next: enabled.then_some(now), calls: 0 }
    }

    pub(crate) const fn is_enabled(&self) -> bool {
        self.next.is_some()
    }

    /// A call, if it is time.
    pub(crate) fn poll(&mut self, now: Instant, key: PublicKey) -> Option<LanCall> {
        if self.next.is_none_or(|next| now < next) {
            return None;
        }
        let pause = FIRST_PAUSES.get(self.calls as usize).copied().unwrap_or(CALL_EVERY);
        let first = PORT + 1 + (self.calls % GROUPS) as u16 * PORTS;
        self.next = Some(now + pause);
        self.calls = self.calls.wrapping_add(1);
        Some(LanCall { key, first })
    }

    pub(crate) fn deadline(&self) -> Option<Deadline> {
        self.next.map(|at| Deadline { at, why: Why::LanDiscovery })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn calls_are_eager_at_first_and_reach_every_port() {
        let (start, key) = (Instant::from_secs(5), PublicKey([7; 32]));
        let mut caller = LanCaller::new(start, true);
        let (mut times, mut ports) = (Vec::new(), Vec::new());
        for _ in 0..11 {
            let Some(Deadline { at, why: Why::LanDiscovery }) = caller.deadline() else { panic!("it calls for ever") };
            let before = Instant::from_millis(at.millis() - 1);
            assert_eq!(caller.poll(before, key), None);
            let call = caller.poll(at, key).unwrap();
            assert_eq!(caller.poll(at, key), None, "one call at a time");
            assert_eq!((call.packet()[0], &call.packet()[1..]), (0x21, &[7; 32][..]));
            times.push(at.since(start).as_millis());
            assert_eq!((call.ports().next(), call.ports().count()), (Some(PORT), 11));
            ports.extend(call.ports().skip(1));
        }
        assert_eq!(times[..5], [0, 250, 1000, 11_000, 21_000]);
        assert_eq!(ports[..100], (33446..=33545).collect::<Vec<_>>());
        assert_eq!(ports[100], 33446);
    }

    #[test]
    fn whoever_did_not_ask_for_it_is_silent() {
        let mut caller = LanCaller::new(Instant::ZERO, false);
        assert!(!caller.is_enabled());
        assert_eq!((caller.poll(Instant::FAR, PublicKey::ZERO), caller.deadline()), (None, None));
    }
}

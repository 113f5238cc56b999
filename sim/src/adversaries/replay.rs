//! Replay: datagrams that were overheard come again, unchanged.
//!
//! Whoever sits on a shared line sees datagrams pass and can send them once more: at once, so that they overtake the
//! first; minutes later, in another order, when sessions and keys have changed; with the true source spoofed, or from
//! an address of its own; to their receiver, or to somebody else.
//!
//! What must hold: a box opens as often as it is sent, so nonces, request ids, ping ids, cookies and windows have to
//! tell what is stale. No message is delivered twice, no session ends or begins, no address of a friend or node moves
//! to the replayer for longer than a ping takes, and each replayed request costs one bounded answer.

use super::pace::Pace;
use crate::actor::{Actor, ActorCx};
use crate::adversaries::craft::index;
use crate::observe::Packet;
use crate::rng::Ppm;
use bluering_core::Endpoint;
use serde::{Deserialize, Serialize};

/// Sends overheard datagrams again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// Datagrams that it sends in a second, at most.
    pub per_second: u32,
    /// Datagrams that it remembers: once full, each new one takes the place of any other, so that some get old.
    pub memory: u32,
    /// How likely it remembers one that it overhears.
    pub sample: Ppm,
    /// How likely it sends one at once that it has just remembered; all others come again at any later time.
    pub at_once: Ppm,
    /// How likely it spoofs the true source.
    pub spoofed: Ppm,
    /// How likely it sends one to another receiver than the first.
    pub astray: Ppm,
}

impl Default for Replay {
    fn default() -> Self {
        Self { per_second: 20, memory: 512, sample: 250_000, at_once: 100_000, spoofed: 500_000, astray: 200_000 }
    }
}

#[derive(Debug)]
struct Recorded {
    source: Endpoint,
    to: Endpoint,
    bytes: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Replayer {
    plan: Replay,
    pace: Pace,
    log: Vec<Recorded>,
}

impl Replayer {
    pub(super) fn new(plan: &Replay) -> Self {
        Self { plan: plan.clone(), pace: Pace::even(plan.per_second), log: Vec::new() }
    }

    /// Remembers a datagram, if there is any memory at all; where.
    fn remember(&mut self, cx: &mut ActorCx<'_>, packet: &Packet<'_>) -> Option<usize> {
        let Packet { source, to, bytes, .. } = *packet;
        let place = if self.log.len() < self.plan.memory as usize {
            self.log.push(Recorded { source, to, bytes: Vec::new() });
            self.log.len() - 1
        } else {
            index(cx.rng, self.log.len())
        };
        let recorded = self.log.get_mut(place)?;
        (recorded.source, recorded.to) = (source, to);
        recorded.bytes.clear();
        recorded.bytes.extend_from_slice(bytes);
        Some(place)
    }

    fn send(&self, cx: &mut ActorCx<'_>, place: usize) {
        let recorded = &self.log[place];
        let to = if cx.rng.chance(self.plan.astray) { self.log[index(cx.rng, self.log.len())].to } else { recorded.to };
        if cx.rng.chance(self.plan.spoofed) {
            cx.send_as(recorded.source, to, recorded.bytes.clone());
        } else {
            cx.send(to, recorded.bytes.clone());
        }
    }
}

impl Actor for Replayer {
    fn start(&mut self, cx: &mut ActorCx<'_>) {
        cx.wake_at(self.pace.ready_at());
    }

    fn on_datagram(&mut self, _: &mut ActorCx<'_>, _: Endpoint, _: &[u8]) {}

    fn on_timer(&mut self, cx: &mut ActorCx<'_>) {
        if self.pace.take(cx.now) && !self.log.is_empty() {
            let place = index(cx.rng, self.log.len());
            self.send(cx, place);
        }
        cx.wake_at(self.pace.ready_at());
    }

    fn overhears(&self) -> bool {
        true
    }

    fn on_overheard(&mut self, cx: &mut ActorCx<'_>, packet: &Packet<'_>) {
        if !cx.rng.chance(self.plan.sample) {
            return;
        }
        let Some(place) = self.remember(cx, packet) else { return };
        if cx.rng.chance(self.plan.at_once) && self.pace.take(cx.now) {
            self.send(cx, place);
        }
    }
}

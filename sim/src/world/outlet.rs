//! The node's `Ports`, and pumping through them.

use super::heard::friend_of;
use super::host::NodeHost;
use super::wire::{Outgoing, Wire};
use super::{BUSY, Heard, World};
use crate::observe::{HostId, Observation, Tap};
use bluering_core::driver::{Ports, Sent, pump};
use bluering_core::relay::StreamId;
use bluering_core::time::{Deadline, Instant};
use bluering_core::{Action, Event, Transmit};

/// Counts what is taken from the heap. A program with a counting allocator provides it; this crate has none.
#[derive(Clone, Copy, Debug)]
pub struct AllocationMeter {
    /// Runs a closure, and tells how often it took memory from the heap.
    pub measure: fn(&mut dyn FnMut()) -> u64,
    /// Runs a closure within a measured one, uncounted.
    pub exempt: fn(&mut dyn FnMut()),
}

/// Runs `work`; how often it took memory from the heap.
pub(super) fn metered(meter: Option<&AllocationMeter>, mut work: impl FnMut()) -> u64 {
    match meter {
        Some(meter) => (meter.measure)(&mut work),
        None => {
            work();
            0
        }
    }
}

/// Shows the watcher what [`metered`] found.
pub(super) fn report<T: Tap>(tap: &mut T, now: Instant, host: HostId, times: u64) {
    if times > 0 {
        tap.observe(now, &Observation::Allocated { host, times });
    }
}

/// What a node sends and tells while it is pumped.
struct Outlet<'a, T> {
    host: HostId,
    now: Instant,
    tap: &'a mut T,
    wire: &'a mut Wire,
    sent: &'a mut (u64, u64),
    peers: &'a [Option<HostId>],
    heard: Option<&'a mut Vec<(Instant, Heard)>>,
    persists: &'a mut u32,
    reading: bool,
    progress: bool,
    meter: Option<&'a AllocationMeter>,
}

impl<T: Tap> Outlet<'_, T> {
    /// Ours, not the core's: what it takes from the heap does not count.
    fn exempt(&mut self, mut work: impl FnMut(&mut Self)) {
        self.progress = true;
        match self.meter {
            Some(meter) => (meter.exempt)(&mut || work(self)),
            None => work(self),
        }
    }
}

impl<T: Tap> Ports for Outlet<'_, T> {
    fn datagram(&mut self, packet: &Transmit<'_>) -> Sent {
        self.exempt(|this| {
            *this.sent = (this.sent.0 + 1, this.sent.1 + packet.bytes.len() as u64);
            let out = Outgoing { from: this.host, spoofed: None, to: packet.to, bytes: packet.bytes, answers: None };
            this.wire.send(this.tap, this.now, out);
        });
        Sent::Ok
    }

    fn stream(&mut self, _: StreamId, _: &mut dyn FnMut(&mut [u8]) -> usize) -> bool {
        false
    }

    fn action(&mut self, action: Action) {
        *self.persists += u32::from(action == Action::Persist);
    }

    fn event_room(&mut self) -> bool {
        self.reading
    }

    fn event(&mut self, event: Event<'_>) {
        self.exempt(|this| {
            let peer = friend_of(&event).and_then(|friend| this.peers.get(friend.index()).copied().flatten());
            let seen = Observation::Heard { host: this.host, peer, event: &event };
            this.tap.observe(this.now, &seen);
            this.wire.digest.add(&[this.now.micros(), u64::from(this.host), peer.map_or(0, u64::from)]);
            if let Some(heard) = &mut this.heard {
                heard.push((this.now, event.to_owned()));
            }
        });
    }
}

impl<T: Tap> World<T> {
    /// Drains a node, and sets its timer. `fed` when it was given anything since the last time.
    pub(super) fn pump(&mut self, id: HostId, fed: bool) {
        let host = &mut self.hosts[id as usize];
        if host.power != super::Power::On {
            return;
        }
        let super::Kind::Node(node) = &mut host.kind else { return };
        node.refresh_peers(&self.keys);
        let NodeHost { node, running, peers, heard, persists, reading, .. } = &mut **node;
        let mut outlet = Outlet {
            host: id,
            now: self.now,
            tap: &mut self.tap,
            wire: &mut self.wire,
            sent: &mut host.sent,
            peers,
            heard: self.keep_heard.then_some(heard),
            persists,
            reading: *reading,
            progress: fed,
            meter: self.meter.as_ref(),
        };
        let (local, scratch) = (running.local(self.now), &mut self.scratch);
        let mut deadline = None;
        let taken = metered(self.meter.as_ref(), || {
            deadline = pump(node, local, scratch, &mut outlet).deadline;
        });
        let progress = outlet.progress;
        let deadline = deadline.map(|due| Deadline { at: running.world(due.at), why: due.why });
        report(&mut self.tap, self.now, id, taken);
        self.tap.observe(self.now, &Observation::Sleeps { host: id, deadline, progress });
        let late = deadline.is_some_and(|due| due.at <= self.now);
        // Whatever else arrives at the same microsecond comes before the timer.
        host.strikes = if late { host.strikes + u32::from(!fed) } else { 0 };
        assert!(host.strikes < BUSY, "host {id} is busy with {deadline:?}");
        host.deadline = deadline.map_or(Instant::FAR, |due| due.at.max(self.now));
        self.arm(id);
    }
}

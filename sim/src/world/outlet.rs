//! The node's `Ports`, and pumping through them.

use super::heard::friend_of;
use super::host::NodeHost;
use super::sockets::Sockets;
use super::wire::{Outgoing, Wire};
use super::{BUSY, Heard, StreamDesk, World};
use crate::net::{ConnId, Side};
use crate::observe::{HostId, Observation, StreamSeen, Tap};
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
    desk: &'a mut StreamDesk,
    sockets: &'a mut Sockets,
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

    fn stream(&mut self, id: StreamId, fill: &mut dyn FnMut(&mut [u8]) -> usize) -> bool {
        let mut any = false;
        let Some(socket) = self.sockets.by_id(id) else { return false };
        let (now, host, conn) = (self.now, self.host, socket.conn);
        let (streams, tap, digest) = (&mut self.desk.streams, &mut *self.tap, &mut self.wire.digest);
        let mut send = || {
            any = socket.send(now, streams, fill, |bytes| {
                digest.add(&[now.micros(), u64::from(host), conn.0]);
                see(tap, now, host, conn, StreamSeen::Writes(bytes));
            });
        };
        match self.meter {
            Some(meter) => (meter.exempt)(&mut send),
            None => send(),
        }
        self.progress |= any;
        any
    }

    fn action(&mut self, action: Action) {
        self.exempt(|this| match action {
            Action::Persist => *this.persists += 1,
            Action::Open { id, to } => {
                let conn = this.desk.connect(this.now, &this.wire.net, this.host, to);
                this.sockets.insert(conn, Side::Client, id);
                see(
                    this.tap,
                    this.now,
                    this.host,
                    conn,
                    StreamSeen::Connects { to, host: this.wire.net.host_at(to.ip()) },
                );
            }
            Action::Close { id } => {
                if let Some(conn) = this.sockets.by_id(id).map(|socket| socket.conn) {
                    this.sockets.remove(conn);
                    this.desk.streams.close(this.now, conn, Side::Client);
                    see(this.tap, this.now, this.host, conn, StreamSeen::Closes);
                }
            }
            // The enum may grow in core.
            Action::LanDiscovery(_) | _ => {}
        });
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

fn see<T: Tap>(tap: &mut T, now: Instant, host: HostId, conn: ConnId, what: StreamSeen<'_>) {
    tap.observe(now, &Observation::Stream { host, conn, side: Side::Client, what });
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
        let NodeHost { node, running, peers, heard, persists, reading, sockets, .. } = &mut **node;
        let mut outlet = Outlet {
            host: id,
            now: self.now,
            tap: &mut self.tap,
            wire: &mut self.wire,
            desk: &mut self.desk,
            sockets,
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
        self.arm_streams();
    }
}

//! What should be reached sometimes, and plain counts of packets and drops.
//!
//! A run in which nothing was ever filtered, refused or repeated proves little. A sweep adds up the probes of its runs,
//! and one that nothing hits means that the scenario, or the probe, is broken.

use super::{Audited, PerHost};
use crate::net::NetDrop;
use crate::observe::{Change, HostId, Observation, Packet, Tap};
use bluering_core::time::Instant;
use bluering_core::wire::kind;
use bluering_core::{Connection, Disposition, DropReason, Event};
use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet, HashSet};

macro_rules! probes {
    ($($(#[$doc:meta])* $probe:ident = $name:literal,)+) => {
        /// Something that should be reached sometimes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Probe { $($(#[$doc])* $probe,)+ }

        impl Probe {
            /// All of them.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$probe),+];

            /// Its name in reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$probe => $name),+ }
            }
        }
    };
}

probes! {
    /// A packet passes a NAT or firewall that refused the same sender before.
    HolePunched = "hole punched",
    /// A NAT or firewall refused a packet from outside.
    NatRefused = "NAT refused",
    /// A NAT had no port left.
    NatFull = "NAT full",
    /// A queue before a slow line was full.
    QueueFull = "queue full",
    /// A partition stopped a packet.
    Cut = "cut",
    /// A packet was for a host that was down or asleep.
    HostDown = "host down",
    /// A packet arrived twice.
    Duplicate = "duplicate arrived",
    /// A box did not open: damaged on the way, or forged.
    BadBox = "box refused",
    /// A handshake with a cookie that was not ours, or too old.
    CookieRefused = "cookie refused",
    /// A packet from outside a session's window.
    OutOfWindow = "out of window",
    /// A packet that was seen before was refused.
    ReplayRefused = "replay refused",
    /// A rate limit dropped something.
    RateLimited = "rate limited",
    /// A table or the block pool was full.
    NoRoom = "no room",
    /// A message was refused: the friend is offline or the window full.
    SendRefused = "send refused",
    /// The window was full, and has room again.
    WindowReopened = "window reopened",
    /// A message was reported as failed.
    Undelivered = "message undelivered",
    /// A friend went offline.
    WentOffline = "friend went offline",
    /// A friend came online again.
    CameBack = "friend came back",
    /// A friend request arrived.
    FriendRequest = "friend request",
    /// An announcement gave its place to one that is nearer.
    AnnounceEvicted = "announce evicted",
    /// An announcement found no place.
    AnnounceRefused = "announce refused",
    /// A cookie request or handshake went out again.
    HandshakeRepeated = "handshake repeated",
    /// A lossless packet went out again.
    PacketResent = "packet resent",
    /// A process crashed.
    Crashed = "crashed",
    /// A process ended in good order.
    Stopped = "stopped",
    /// A node started again.
    Restarted = "restarted",
    /// A host woke.
    Resumed = "resumed",
    /// A host is somewhere else.
    Moved = "moved",
    /// A wall clock was set.
    ClockSet = "clock set",
    /// An application stopped reading.
    Deaf = "deaf",
    /// A saved state could not be read.
    ProfileRefused = "profile refused",
    /// A dishonest hop changed or dropped a packet; counted by whoever makes it do so.
    Tampered = "tampered",
}

/// Packets of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many were sent.
    pub packets: u64,
    /// With how many bytes.
    pub bytes: u64,
}

const KINDS: usize = 256;
const REASONS: usize = DropReason::ALL.len();
/// Datagrams that are remembered, to know their duplicates.
const REMEMBERED: usize = 1 << 16;

/// Counts what a run reaches.
#[derive(Clone, Debug)]
pub struct Probes {
    hits: [u64; Probe::ALL.len()],
    sent: Vec<Count>,
    dropped: Vec<[u64; REASONS]>,
    lost: [u64; NetDrop::ALL.len()],
    /// Numbers of datagrams that arrived, each at its number's place.
    arrived: Vec<u64>,
    /// Who was refused where.
    refused: PerHost<BTreeSet<(IpAddr, u16)>>,
    started: PerHost<bool>,
    /// Who was told that whom is online, ever.
    met: HashSet<(HostId, HostId)>,
}

impl Default for Probes {
    fn default() -> Self {
        Self {
            hits: [0; Probe::ALL.len()],
            sent: vec![Count::default(); KINDS],
            dropped: vec![[0; REASONS]; KINDS],
            lost: [0; NetDrop::ALL.len()],
            arrived: vec![0; REMEMBERED],
            refused: PerHost::default(),
            started: PerHost::default(),
            met: HashSet::default(),
        }
    }
}

impl Probes {
    /// Counts a hit that no observation shows.
    pub const fn hit(&mut self, probe: Probe) {
        self.hits[probe as usize] += 1;
    }

    /// How often a probe was hit.
    #[must_use]
    pub const fn get(&self, probe: Probe) -> u64 {
        self.hits[probe as usize]
    }

    /// All probes, those that were never hit too.
    #[must_use]
    pub fn by_name(&self) -> BTreeMap<&'static str, u64> {
        Probe::ALL.into_iter().map(|probe| (probe.name(), self.get(probe))).collect()
    }

    /// What was sent, by the first byte.
    pub fn sent(&self) -> impl Iterator<Item = (u8, Count)> {
        (0..=u8::MAX).zip(self.sent.iter().copied()).filter(|(_, count)| count.packets > 0)
    }

    /// Datagrams that nodes dropped, by the first byte and the reason.
    pub fn dropped(&self) -> impl Iterator<Item = (u8, DropReason, u64)> {
        let rows = (0..=u8::MAX).zip(&self.dropped);
        rows.flat_map(|(kind, row)| DropReason::ALL.into_iter().zip(row).map(move |(why, n)| (kind, why, *n)))
            .filter(|(_, _, n)| *n > 0)
    }

    /// Datagrams that the network did not deliver, by the reason.
    pub fn lost(&self) -> impl Iterator<Item = (NetDrop, u64)> {
        NetDrop::ALL.into_iter().zip(self.lost).filter(|(_, n)| *n > 0)
    }

    /// Datagrams sent in all.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.sent.iter().map(|count| count.packets).sum()
    }

    /// The run has ended: adds what the nodes have counted since their last start.
    pub fn audit(&mut self, world: &dyn Audited) {
        for stats in (0..world.len()).filter_map(|host| world.try_node(host)).map(|node| node.stats()) {
            for (probe, n) in [
                (Probe::AnnounceEvicted, stats.announces_evicted.into()),
                (Probe::AnnounceRefused, stats.announces_refused.into()),
                (Probe::HandshakeRepeated, stats.handshakes_repeated.into()),
                (Probe::PacketResent, stats.packets_resent),
            ] {
                self.hits[probe as usize] += n;
            }
        }
    }

    fn handled(&mut self, packet: &Packet<'_>, disposition: Disposition) {
        let place = &mut self.arrived[packet.id as usize % REMEMBERED];
        if core::mem::replace(place, packet.id) == packet.id && packet.id > 0 {
            self.hit(Probe::Duplicate);
        }
        let to = (packet.to.ip(), packet.to.port());
        if self.refused.get(packet.from).is_some_and(|refused| !refused.is_empty())
            && self.refused.at(packet.from).remove(&to)
        {
            self.hit(Probe::HolePunched);
        }
        let Disposition::Dropped(why) = disposition else { return };
        let kind = packet.bytes.first().copied().unwrap_or_default();
        self.dropped[usize::from(kind)][why as usize] += 1;
        match why {
            DropReason::BadCrypto => self.hit(Probe::BadBox),
            DropReason::BadToken if kind == kind::CRYPTO_HANDSHAKE => self.hit(Probe::CookieRefused),
            DropReason::OutOfWindow => self.hit(Probe::OutOfWindow),
            DropReason::Duplicate => self.hit(Probe::ReplayRefused),
            DropReason::RateLimited => self.hit(Probe::RateLimited),
            DropReason::NoRoom => self.hit(Probe::NoRoom),
            DropReason::BadToken
            | DropReason::UnknownKind
            | DropReason::Malformed
            | DropReason::OwnPacket
            | DropReason::Unsolicited
            | DropReason::NoRoute
            | DropReason::Forbidden
            | DropReason::BadAddress
            | DropReason::Stranger
            | DropReason::BadState
            | DropReason::WrongNospam
            | DropReason::Disabled => {}
        }
    }

    fn went_lost(&mut self, packet: &Packet<'_>, why: NetDrop) {
        self.lost[why as usize] += 1;
        match why {
            NetDrop::NoMapping | NetDrop::Filtered => {
                self.hit(Probe::NatRefused);
                self.refused.at(packet.from).insert((packet.to.ip(), packet.to.port()));
            }
            NetDrop::NoPort => self.hit(Probe::NatFull),
            NetDrop::QueueFull => self.hit(Probe::QueueFull),
            NetDrop::Cut => self.hit(Probe::Cut),
            NetDrop::HostDown => self.hit(Probe::HostDown),
            NetDrop::Loss | NetDrop::TooLong | NetDrop::NoRoute | NetDrop::Blocked => {}
        }
    }

    fn heard(&mut self, host: HostId, peer: Option<HostId>, event: &Event<'_>) {
        if let Event::FriendConnection { connection, .. } = event {
            if *connection == Connection::None {
                self.hit(Probe::WentOffline);
            } else if peer.is_some_and(|peer| !self.met.insert((host, peer))) {
                self.hit(Probe::CameBack);
            }
        } else if let Event::Undelivered { first, last, .. } = event {
            self.hits[Probe::Undelivered as usize] += u64::from(last.saturating_sub(*first)) + 1;
        } else if let Event::Writable { .. } = event {
            self.hit(Probe::WindowReopened);
        } else if let Event::FriendRequest { .. } = event {
            self.hit(Probe::FriendRequest);
        }
    }

    const fn changed(&mut self, how: Change) {
        match how {
            Change::Crashed => self.hit(Probe::Crashed),
            Change::Stopped => self.hit(Probe::Stopped),
            Change::Resumed => self.hit(Probe::Resumed),
            Change::Moved => self.hit(Probe::Moved),
            Change::ClockSet => self.hit(Probe::ClockSet),
            Change::Deaf => self.hit(Probe::Deaf),
            Change::ProfileRefused => self.hit(Probe::ProfileRefused),
            Change::Suspended | Change::Hearing => {}
        }
    }
}

impl Tap for Probes {
    fn observe(&mut self, _: Instant, seen: &Observation<'_>) {
        match seen {
            Observation::Sent { packet, .. } => {
                let kind = packet.bytes.first().copied().unwrap_or_default();
                let count = &mut self.sent[usize::from(kind)];
                *count = Count { packets: count.packets + 1, bytes: count.bytes + packet.bytes.len() as u64 };
            }
            Observation::Handled { packet, disposition, .. } => self.handled(packet, *disposition),
            Observation::Lost { packet, why } => self.went_lost(packet, *why),
            Observation::Heard { host, peer, event } => self.heard(*host, *peer, event),
            Observation::Said { message: None, .. } => self.hit(Probe::SendRefused),
            Observation::Changed { how, .. } => self.changed(*how),
            Observation::Started { host, .. } => {
                if core::mem::replace(self.started.at(*host), true) {
                    self.hit(Probe::Restarted);
                }
            }
            Observation::Said { .. }
            | Observation::Joined { .. }
            | Observation::Sleeps { .. }
            | Observation::Allocated { .. }
            | Observation::ForRelay { .. }
            | Observation::Stream { .. }
            | Observation::Mark { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{any_friend, chat, packet, truth, watched};
    use super::*;

    fn hits(seen: &[Observation<'_>]) -> Vec<(&'static str, u64)> {
        let mut probes = Probes::default();
        seen.iter().for_each(|seen| probes.observe(Instant::from_secs(1), seen));
        probes.by_name().into_iter().filter(|(_, n)| *n > 0).collect()
    }

    fn dropped(bytes: &[u8], why: DropReason) -> Observation<'_> {
        let disposition = Disposition::Dropped(why);
        Observation::Handled { host: 2, packet: packet(1, 2, bytes), disposition, reply: None }
    }

    #[test]
    fn a_punched_hole_is_one_that_was_closed() {
        let lost = |why| Observation::Lost { packet: packet(1, 2, b"x"), why };
        let arrives = |id| Observation::Handled {
            host: 2,
            packet: Packet { id, ..packet(1, 2, b"x") },
            disposition: Disposition::Consumed,
            reply: None,
        };
        assert_eq!(hits(&[arrives(1)]), []);
        assert_eq!(hits(&[lost(NetDrop::Loss), arrives(1)]), []);
        let refused = hits(&[lost(NetDrop::Filtered), lost(NetDrop::NoMapping), arrives(1), arrives(2)]);
        assert_eq!(refused, [("NAT refused", 2), ("hole punched", 1)]);
        assert_eq!(hits(&[arrives(1), arrives(1), arrives(0), arrives(0)]), [("duplicate arrived", 1)]);
    }

    #[test]
    fn drops_are_counted_by_kind_and_reason() {
        let mut probes = Probes::default();
        let drops = [dropped(b"\x1a", DropReason::BadToken), dropped(b"\x83", DropReason::BadToken)];
        drops.iter().for_each(|seen| probes.observe(Instant::ZERO, seen));
        let counted: Vec<_> = probes.dropped().collect();
        assert_eq!(counted, [(0x1a, DropReason::BadToken, 1), (0x83, DropReason::BadToken, 1)]);
        assert_eq!(probes.get(Probe::CookieRefused), 1);
    }

    #[test]
    fn friends_and_hosts_come_back() {
        let friend = any_friend();
        let online = Event::FriendConnection { friend, connection: Connection::Udp };
        let offline = Event::FriendConnection { friend, connection: Connection::None };
        let heard = |event| Observation::Heard { host: 1, peer: Some(2), event };
        let seen = hits(&[heard(&online), heard(&offline), heard(&online)]);
        assert_eq!(seen, [("friend came back", 1), ("friend went offline", 1)]);
        let (first, truth) = (4, truth(1));
        let failed = Event::Undelivered { friend, first, last: 6 };
        let started = || Observation::Started { host: 1, truth: &truth };
        assert_eq!(hits(&[heard(&failed), started(), started()]), [("message undelivered", 3), ("restarted", 1)]);
    }

    #[test]
    fn a_run_is_counted() {
        let mut world = watched(Vec::new());
        chat(&mut world);
        let probes = &world.tap.probes;
        assert_eq!(probes.packets(), world.datagrams());
        assert_eq!(probes.lost().count(), 0);
        assert!(probes.sent().any(|(kind, count)| kind == kind::CRYPTO_DATA && count.bytes > count.packets));
        assert_eq!(probes.by_name().len(), Probe::ALL.len(), "names differ");
    }
}

//! Faults begin and end.

use super::Run;
use crate::net::{LinkSpec, StreamSpec};
use crate::observe::HostId;
use crate::plan::FaultKind;
use crate::world::SavedState;

/// How to end a fault.
#[derive(Debug)]
pub(super) enum Undo {
    Lines(Vec<(HostId, LinkSpec, LinkSpec)>),
    Cuts(Vec<u32>),
    Udp(Vec<HostId>),
    Wake(HostId, bool),
    Start(HostId, SavedState),
    Honest(HostId),
    Read(HostId),
    Streams,
    Nothing,
}

impl Run<'_> {
    pub(super) fn begin(&mut self, i: u32) {
        let what = &self.plan.faults[i as usize].what;
        self.world.mark(&format!("begins: {}", name(what)));
        let undo = match what {
            FaultKind::Lines { hosts, up, down } => Undo::Lines(self.change_lines(hosts, up, down)),
            FaultKind::Cuts(cuts) => Undo::Cuts(cuts.iter().map(|cut| self.world.cut(cut.clone())).collect()),
            FaultKind::NoUdp(hosts) => {
                let hosts: Vec<_> = hosts.iter().copied().filter(|host| self.is_here(*host)).collect();
                hosts.iter().for_each(|host| self.world.net_mut().set_udp(*host, false));
                Undo::Udp(hosts)
            }
            FaultKind::Asleep(host, counted) if self.runs(*host) => {
                self.world.suspend(*host);
                Undo::Wake(*host, *counted)
            }
            FaultKind::Down(host, state) if self.runs(*host) => {
                self.world.crash(*host);
                Undo::Start(*host, *state)
            }
            FaultKind::Stopped(host) if self.runs(*host) => {
                self.world.stop(*host);
                Undo::Start(*host, SavedState::Current)
            }
            FaultKind::Dishonest(host, tamper) => {
                self.world.tamper(*host, Some(*tamper));
                Undo::Honest(*host)
            }
            FaultKind::Deaf(host) if self.runs(*host) => {
                self.world.set_reading(*host, false);
                Undo::Read(*host)
            }
            FaultKind::Moved(host, place) if self.is_here(*host) => {
                self.world.move_to(*host, place);
                Undo::Nothing
            }
            FaultKind::MovedUnnoticed(host, place) if self.is_here(*host) => {
                self.world.move_unnoticed(*host, place);
                Undo::Nothing
            }
            FaultKind::Streams(spec) => {
                self.world.set_streams(spec.clone());
                Undo::Streams
            }
            FaultKind::Severed(hosts) => {
                hosts.iter().for_each(|host| self.world.sever_streams(*host));
                Undo::Nothing
            }
            FaultKind::Reset(hosts) => {
                hosts.iter().for_each(|host| self.world.reset_streams(*host));
                Undo::Nothing
            }
            FaultKind::NatReboot(nat) => {
                self.world.reboot_nat(*nat);
                Undo::Nothing
            }
            FaultKind::Fates(host, lost) => {
                self.world.lose_next(*host, lost);
                Undo::Nothing
            }
            FaultKind::WallClock(host, ahead) if self.runs(*host) => {
                self.world.set_wall_clock(*host, *ahead);
                Undo::Nothing
            }
            // The host is not there, or something else has taken it down already.
            FaultKind::Asleep(..)
            | FaultKind::Down(..)
            | FaultKind::Stopped(_)
            | FaultKind::Deaf(_)
            | FaultKind::Moved(..)
            | FaultKind::MovedUnnoticed(..)
            | FaultKind::WallClock(..) => Undo::Nothing,
        };
        self.undo.insert(i, undo);
    }

    pub(super) fn end(&mut self, i: u32) {
        let Some(undo) = self.undo.remove(&i) else { return };
        self.world.mark(&format!("ends: {}", name(&self.plan.faults[i as usize].what)));
        match undo {
            Undo::Lines(before) => {
                before.into_iter().for_each(|(host, up, down)| self.world.net_mut().set_access(host, up, down));
            }
            Undo::Cuts(cuts) => cuts.into_iter().for_each(|cut| self.world.mend(cut)),
            Undo::Udp(hosts) => hosts.into_iter().for_each(|host| self.world.net_mut().set_udp(host, true)),
            Undo::Wake(host, counted) => self.world.resume(host, counted),
            Undo::Start(host, state) => {
                let through = self.ways_in(host);
                self.world.restart(host, state, &through);
            }
            Undo::Honest(host) => self.world.tamper(host, None),
            Undo::Read(host) => self.world.set_reading(host, true),
            Undo::Streams => self.world.set_streams(StreamSpec::PERFECT),
            Undo::Nothing => {}
        }
    }

    /// Gives hosts other access lines. What is put back later is the plan's, so that overlapping faults do not keep
    /// each other's.
    fn change_lines(&mut self, hosts: &[HostId], up: &LinkSpec, down: &LinkSpec) -> Vec<(HostId, LinkSpec, LinkSpec)> {
        let here: Vec<_> = hosts.iter().copied().filter(|host| self.is_here(*host)).collect();
        let mut before = Vec::with_capacity(here.len());
        for host in here {
            let own = self.plan.hosts[host as usize].place.access.clone();
            self.world.net_mut().set_access(host, up.clone(), down.clone());
            before.push((host, own.clone(), own));
        }
        before
    }

    fn is_here(&self, host: HostId) -> bool {
        self.present[host as usize]
    }

    fn runs(&self, host: HostId) -> bool {
        self.is_here(host) && self.world.try_node(host).is_some() && self.world.is_awake(host)
    }
}

/// A fault in words, for timelines.
pub(crate) fn name(what: &FaultKind) -> String {
    match what {
        FaultKind::Lines { hosts, up, .. } => format!("bad lines at {} hosts: {up:?}", hosts.len()),
        FaultKind::Cuts(cuts) => format!("partition {cuts:?}"),
        FaultKind::NoUdp(hosts) => format!("no UDP at {hosts:?}"),
        FaultKind::Asleep(host, _) => format!("host {host} asleep"),
        FaultKind::Down(host, state) => format!("host {host} crashed, profile {state:?}"),
        FaultKind::Stopped(host) => format!("host {host} stopped"),
        FaultKind::Dishonest(host, tamper) => format!("host {host} is dishonest: {tamper:?}"),
        FaultKind::Deaf(host) => format!("host {host} does not read"),
        FaultKind::Moved(host, _) => format!("host {host} moved"),
        FaultKind::MovedUnnoticed(host, _) => format!("host {host} moved and did not notice"),
        FaultKind::Streams(spec) => format!("new streams are {spec:?}"),
        FaultKind::Severed(hosts) => format!("streams of {hosts:?} hang"),
        FaultKind::Reset(hosts) => format!("streams of {hosts:?} reset"),
        FaultKind::NatReboot(nat) => format!("NAT {nat} forgets"),
        FaultKind::Fates(host, lost) => format!("next datagrams of host {host} lost: {lost:?}"),
        FaultKind::WallClock(host, ahead) => format!("wall clock of host {host} {ahead} s ahead"),
    }
}

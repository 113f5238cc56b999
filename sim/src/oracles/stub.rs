#![allow(missing_docs, dead_code, missing_debug_implementations)]
use super::*;
use crate::plan::Plan;
use bluering_core::{Connection, Event};
use std::collections::BTreeMap;
pub const QUIET_BEGINS: &str = "quiet begins";
pub const QUIET_ENDS: &str = "quiet ends";
pub struct Settings {
    pub pairs: Vec<(HostId, HostId)>,
}
impl Settings {
    pub fn of(plan: &Plan) -> Self {
        Self { pairs: plan.reachable_pairs() }
    }
}
#[derive(Default)]
pub struct Probes(BTreeMap<&'static str, u64>);
impl Probes {
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.clone()
    }
}
#[derive(Default)]
pub struct Online {
    pairs: Vec<(HostId, HostId)>,
    sees: std::collections::BTreeSet<(HostId, HostId)>,
    first: BTreeMap<(HostId, HostId), u64>,
}
impl Online {
    pub fn all_online(&self) -> bool {
        self.missing().is_empty()
    }
    pub fn missing(&self) -> Vec<(HostId, HostId)> {
        self.pairs
            .iter()
            .copied()
            .filter(|(a, b)| !(self.sees.contains(&(*a, *b)) && self.sees.contains(&(*b, *a))))
            .collect()
    }
    pub fn times(&self) -> crate::run::OnlineTimes {
        let mut t: Vec<u64> = self.first.values().copied().collect();
        t.sort_unstable();
        if t.is_empty() {
            return Default::default();
        }
        crate::run::OnlineTimes {
            pairs: t.len() as u32,
            p50: t[t.len() / 2],
            p95: t[t.len() * 95 / 100],
            max: t[t.len() - 1],
        }
    }
}
#[derive(Default)]
pub struct Watch {
    pub findings: Findings,
    pub online: Online,
    pub probes: Probes,
    sinks: Vec<Box<dyn Tap>>,
}
impl Watch {
    pub fn blind(sinks: Vec<Box<dyn Tap>>) -> Self {
        Self { sinks, ..Default::default() }
    }
    pub fn new(s: &Settings, sinks: Vec<Box<dyn Tap>>) -> Self {
        Self { sinks, online: Online { pairs: s.pairs.clone(), ..Default::default() }, ..Default::default() }
    }
    pub fn audit<T: Tap>(&mut self, _w: &World<T>) {}
}
impl Tap for Watch {
    fn observe(&mut self, at: Instant, seen: &Observation<'_>) {
        if let Observation::Heard { host, peer: Some(p), event: Event::FriendConnection { connection, .. } } = seen {
            if *connection == Connection::None {
                self.online.sees.remove(&(*host, *p));
            } else {
                self.online.sees.insert((*host, *p));
                if self.online.sees.contains(&(*p, *host)) {
                    self.online.first.entry((*host.min(p), *host.max(p))).or_insert(at.millis() - 1000);
                }
            }
        }
        for s in &mut self.sinks {
            s.observe(at, seen);
        }
    }
}

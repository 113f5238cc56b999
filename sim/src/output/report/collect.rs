//! What a report remembers of a run: who is there, who sees whom, how long datagrams took.

use super::super::Kind;
use crate::observe::HostId;
use bluering_core::time::Instant;
use hdrhistogram::Histogram;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A host, as the drawing shows it.
#[derive(Clone, Debug, Default)]
pub(super) struct Guest {
    /// Its NATs, by number.
    pub(super) place: u16,
    pub(super) node: bool,
    /// Whether its process runs, awake.
    pub(super) up: bool,
}

/// All hosts.
#[derive(Debug, Default)]
pub(super) struct Guests {
    pub(super) all: Vec<Guest>,
    /// Names of places, by number.
    pub(super) places: Vec<String>,
}

impl Guests {
    pub(super) fn join(&mut self, host: HostId, place: &str, node: bool) {
        let known = self.places.iter().position(|known| known == place);
        let number = known.unwrap_or_else(|| {
            self.places.push(place.to_owned());
            self.places.len() - 1
        });
        *self.get(host) = Guest { place: number as u16, node, up: true };
    }

    pub(super) fn get(&mut self, host: HostId) -> &mut Guest {
        let place = host as usize;
        if self.all.len() <= place {
            self.all.resize_with(place + 1, Guest::default);
        }
        &mut self.all[place]
    }
}

/// Who sees whom online.
#[derive(Debug, Default)]
pub(super) struct Sight {
    sees: BTreeSet<(HostId, HostId)>,
    ever: BTreeSet<(HostId, HostId)>,
    mutual: u32,
}

impl Sight {
    /// `host` sees `peer` online, or not any more. True when a pair came or went by that.
    pub(super) fn set(&mut self, host: HostId, peer: HostId, online: bool) -> bool {
        let changed = if online { self.sees.insert((host, peer)) } else { self.sees.remove(&(host, peer)) };
        if !changed || !self.sees.contains(&(peer, host)) {
            return false;
        }
        if online {
            self.mutual += 1;
            self.ever.insert((host.min(peer), host.max(peer)));
        } else {
            self.mutual -= 1;
        }
        true
    }

    /// The node of `host` ended.
    pub(super) fn forget(&mut self, host: HostId) {
        let seen: Vec<HostId> = self.sees.range((host, 0)..=(host, HostId::MAX)).map(|(_, peer)| *peer).collect();
        for peer in seen {
            self.set(host, peer, false);
        }
    }

    /// Pairs that see each other, and pairs that ever did.
    pub(super) fn count(&self) -> (u32, u32) {
        (self.mutual, self.ever.len() as u32)
    }

    pub(super) fn is_online(&self, a: HostId, b: HostId) -> bool {
        self.sees.contains(&(a, b)) && self.sees.contains(&(b, a))
    }

    pub(super) fn ever_online(&self, a: HostId, b: HostId) -> bool {
        self.ever.contains(&(a.min(b), a.max(b)))
    }
}

/// As many datagrams are remembered that have not arrived.
const FLYING: usize = 262_144;
/// The longest time that is told from longer ones, in microseconds.
const LONGEST: u64 = 600_000_000;

/// How long datagrams took from sending to handling.
pub(super) struct Latency {
    /// Times of sending of consecutive datagrams, and the number of the first.
    sent: VecDeque<u64>,
    first: u64,
    kinds: BTreeMap<Kind, Histogram<u64>>,
}

impl Latency {
    pub(super) const fn new() -> Self {
        Self { sent: VecDeque::new(), first: 0, kinds: BTreeMap::new() }
    }

    pub(super) fn sent(&mut self, at: Instant, id: u64) {
        if id != self.first + self.sent.len() as u64 {
            self.sent.clear();
            self.first = id;
        }
        if self.sent.len() == FLYING {
            self.sent.pop_front();
            self.first += 1;
        }
        self.sent.push_back(at.micros());
    }

    pub(super) fn handled(&mut self, at: Instant, id: u64, kind: Kind) {
        let Some(sent) = id.checked_sub(self.first).and_then(|place| self.sent.get(place as usize)) else { return };
        let took = at.micros().saturating_sub(*sent);
        if !self.kinds.contains_key(&kind) {
            // Two digits are enough to look at.
            let Ok(histogram) = Histogram::new_with_bounds(1, LONGEST, 2) else { return };
            self.kinds.insert(kind, histogram);
        }
        if let Some(histogram) = self.kinds.get_mut(&kind) {
            histogram.saturating_record(took);
        }
    }

    /// Half of the datagrams of a kind took at most so many microseconds, 19 of 20, and all.
    pub(super) fn of(&self, kind: Kind) -> Option<[u64; 3]> {
        let histogram = self.kinds.get(&kind)?;
        Some([histogram.value_at_quantile(0.5), histogram.value_at_quantile(0.95), histogram.max()])
    }
}

/// Counts by reason and kind.
#[derive(Debug, Default)]
pub(super) struct Reasons(BTreeMap<&'static str, [u64; Kind::COUNT]>);

impl Reasons {
    pub(super) fn count(&mut self, reason: &'static str, kind: Kind) {
        self.0.entry(reason).or_insert([0; Kind::COUNT])[kind.index()] += 1;
    }

    /// The number of a kind for any reason.
    pub(super) fn of(&self, kind: Kind) -> u64 {
        self.0.values().map(|counts| counts[kind.index()]).sum()
    }

    /// Reason, number, the kind that it met most often, and the number of those; the most frequent first.
    pub(super) fn sorted(&self) -> Vec<(&'static str, u64, Kind, u64)> {
        let mut all: Vec<_> = self
            .0
            .iter()
            .map(|(reason, counts)| {
                let most = Kind::all().max_by_key(|kind| counts[kind.index()]).unwrap_or(Kind::UNKNOWN);
                (*reason, counts.iter().sum(), most, counts[most.index()])
            })
            .collect();
        all.sort_by_key(|(_, count, ..)| core::cmp::Reverse(*count));
        all
    }
}

/// A fault, from its two marks.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) from: f64,
    /// `None` while it lasts.
    pub(super) to: Option<f64>,
}

/// Faults and phases, from the marks of a run.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) faults: Vec<Bar>,
    /// Faults of which there was no room for.
    pub(super) more: u64,
    /// Begin and name of each phase.
    pub(super) phases: Vec<(f64, String)>,
}

const FAULTS: usize = 2_000;
const PHASES: usize = 16;

impl Marks {
    pub(super) fn add(&mut self, at: Instant, text: &str) {
        let at = at.micros() as f64 / 1e6;
        if let Some(name) = text.strip_prefix("begins: ") {
            if self.faults.len() < FAULTS {
                self.faults.push(Bar { name: name.to_owned(), from: at, to: None });
            } else {
                self.more += 1;
            }
        } else if let Some(name) = text.strip_prefix("ends: ") {
            let open = self.faults.iter_mut().find(|bar| bar.to.is_none() && bar.name == name);
            if let Some(bar) = open {
                bar.to = Some(at);
            }
        } else if self.phases.len() < PHASES {
            self.phases.push((at, text.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_online_when_both_see_it() {
        let mut sight = Sight::default();
        assert!(!sight.set(1, 2, true));
        assert!(sight.set(2, 1, true));
        assert!(!sight.set(2, 1, true), "nothing new");
        assert!(!sight.set(1, 3, true));
        assert_eq!((sight.count(), sight.is_online(1, 2)), ((1, 1), true));
        sight.forget(1);
        assert_eq!((sight.count(), sight.is_online(1, 2), sight.ever_online(2, 1)), ((0, 1), false, true));
        assert!(!sight.set(2, 1, false));
        assert_eq!(sight.count(), (0, 1));
    }

    #[test]
    fn latency_by_kind() {
        let (mut latency, kind) = (Latency::new(), Kind::of(&[2]));
        for i in 0..100 {
            latency.sent(Instant::from_secs(1), 7 + i);
        }
        for i in 0..100 {
            let took = core::time::Duration::from_millis(if i < 94 { 10 } else { 300 });
            latency.handled(Instant::from_secs(1) + took, 7 + i, kind);
        }
        latency.handled(Instant::from_secs(9), 3, kind);
        let [p50, p95, max] = latency.of(kind).unwrap();
        assert!((9_900..10_100).contains(&p50) && (297_000..303_000).contains(&p95) && max >= p95, "{p50} {p95} {max}");
        assert_eq!(latency.of(Kind::UNKNOWN), None);
    }

    #[test]
    fn marks_become_faults_and_phases() {
        let mut marks = Marks::default();
        for (at, text) in [(1, "chaos"), (2, "begins: host 1 asleep"), (3, "begins: cut"), (4, "ends: host 1 asleep")] {
            marks.add(Instant::from_secs(at), text);
        }
        assert_eq!(marks.phases, [(1.0, "chaos".to_owned())]);
        assert_eq!((marks.faults[0].from, marks.faults[0].to, marks.faults[1].to), (2.0, Some(4.0), None));
    }
}

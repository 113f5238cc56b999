//! Paths of three relays. Half of them carry what concerns ourselves, the other half what concerns friends, so that no
//! relay sees both.
//!
//! A path is built when it is first needed and lives until it is worn out: unanswered once before anything ever came
//! back, [`FAILURES_MAX`] times in a row afterwards, [`LIFE`] in any case, or made of fewer than three distinct nodes
//! although three are known by now. Its keys are computed when it is built: three agreements, whatever it carries.

use super::nodes::{HOPS, PathNodes};
use crate::crypto::{PublicKey, SharedKey};
use crate::cx::{Cx, KeyPair};
use crate::storage::{Mem, Need, Table, Whose};
use crate::time::Instant;
use crate::wire::NodeInfo;
use crate::wire::onion::{Hop, wrap, wrap_relayed};
use crate::{DATAGRAM_MAX, Endpoint, Env};
use core::ops::Range;
use core::time::Duration;
use rand_core::CryptoRng;

/// Longest life of a path (`onion_client.h`, ONION_PATH_MAX_LIFETIME).
const LIFE: Duration = Duration::from_secs(1200);
/// Unanswered requests in a row that end a path which has worked before.
const FAILURES_MAX: u8 = 3;
/// From this age on a path that works counts as stable (`onion_client.c`, TIME_TO_STABLE).
const STABLE: Duration = Duration::from_secs(90);

/// Names a path for as long as it lives. Numbers come again after 65,535 paths, hours later at the earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PathId(u16);

impl PathId {
    /// No path.
    pub(super) const NONE: Self = Self(0);
}

/// Whose business a path carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Ourselves,
    Friends,
}

/// A path.
#[derive(Debug)]
pub(crate) struct Path {
    id: PathId,
    failures: u8,
    /// Something came back through it.
    confirmed: bool,
    /// Its hops are three different nodes.
    distinct: bool,
    at: [Endpoint; HOPS],
    /// The keys that the second and the third hop see; the first sees our DHT key.
    publics: [PublicKey; HOPS - 1],
    keys: [SharedKey; HOPS],
    built: Instant,
}

impl Path {
    /// What static storage is filled with: all zeros.
    pub(crate) const VACANT: Self = Self {
        id: PathId::NONE,
        failures: 0,
        confirmed: false,
        distinct: false,
        at: [Endpoint::UNSPECIFIED; HOPS],
        publics: [PublicKey::ZERO; HOPS - 1],
        keys: [SharedKey::ZERO; HOPS],
        built: Instant::ZERO,
    };

    /// It begins at a TCP relay, whichever is the best when a packet goes.
    const fn is_relayed(&self) -> bool {
        self.at[0].port() == 0
    }

    fn is_alive(&self, now: Instant, enough: bool) -> bool {
        let failures_max = if self.confirmed { FAILURES_MAX } else { 1 };
        self.id != PathId::NONE
            && self.failures < failures_max
            && !now.reached(self.built, LIFE)
            && (self.distinct || !enough)
    }
}

/// The paths of both groups.
#[derive(Debug)]
pub(super) struct Paths<'s> {
    mem: Mem<'s, Path>,
    last_id: u16,
    /// New paths begin at a TCP relay.
    relayed: bool,
}

impl<'s> Paths<'s> {
    /// Half of the places of `mem` serve each group.
    pub(super) const fn new(mem: Mem<'s, Path>) -> Self {
        Self { mem, last_id: 0, relayed: false }
    }

    pub(super) fn table(&self) -> Table {
        Table::of_mem("onion paths", &self.mem, |path| path.id != PathId::NONE)
    }

    /// Whether a path begins at that address, or did when it was last used.
    pub(super) fn begins_at(&self, from: Endpoint) -> bool {
        self.mem.iter().any(|path| path.id != PathId::NONE && path.at[0].ip() == from.ip())
    }

    /// The path `wanted` if it lives. Otherwise a random one of the group that does not end at `target`, built if need
    /// be.
    /// `None` while no relay is known.
    pub(super) fn pick<E: Env>(
        &mut self,
        cx: &mut Cx<'_, '_, E>,
        nodes: &PathNodes<'_>,
        group: Group,
        target: &Endpoint,
        wanted: PathId,
    ) -> Option<PathId> {
        if self.is_alive(cx.now, nodes, wanted) {
            return Some(wanted);
        }
        let (places, enough) = (self.places(group), nodes.enough());
        let first = random_below(cx.rng, places.len())?;
        for place in rotated(places.clone(), first) {
            let path = &self.mem[place];
            if !path.is_alive(cx.now, enough) {
                return self.build(cx, nodes, place, target);
            }
            if path.at[HOPS - 1] != *target {
                return Some(path.id);
            }
        }
        let place = places.start + first;
        if nodes.has_other(target) { self.build(cx, nodes, place, target) } else { Some(self.mem[place].id) }
    }

    /// For data, which nobody acknowledges: `wanted` if it lives, otherwise a path that has worked, otherwise any.
    pub(super) fn pick_proven<E: Env>(
        &mut self,
        cx: &mut Cx<'_, '_, E>,
        nodes: &PathNodes<'_>,
        target: &Endpoint,
        wanted: PathId,
    ) -> Option<PathId> {
        if self.is_alive(cx.now, nodes, wanted) {
            return Some(wanted);
        }
        let (places, enough) = (self.places(Group::Friends), nodes.enough());
        let first = random_below(cx.rng, places.len())?;
        let proven = |path: &&Path| path.confirmed && path.failures == 0 && path.is_alive(cx.now, enough);
        let fitting = rotated(places, first).map(|place| &self.mem[place]).filter(proven);
        match fitting.min_by_key(|path| path.at[HOPS - 1] == *target).map(|path| path.id) {
            Some(id) => Some(id),
            None => self.pick(cx, nodes, Group::Friends, target, PathId::NONE),
        }
    }

    pub(super) fn is_alive(&self, now: Instant, nodes: &PathNodes<'_>, id: PathId) -> bool {
        self.get(id).is_some_and(|path| path.is_alive(now, nodes.enough()))
    }

    /// Whether the path has worked for long and does so still.
    pub(super) fn is_stable(&self, now: Instant, id: PathId) -> bool {
        self.get(id).is_some_and(|path| path.confirmed && path.failures == 0 && now.reached(path.built, STABLE))
    }

    /// An answer came back.
    pub(super) fn succeeded(&mut self, now: Instant, nodes: &mut PathNodes<'_>, id: PathId) {
        if let Some(path) = self.get_mut(id) {
            (path.confirmed, path.failures) = (true, 0);
            path.at.iter().for_each(|at| nodes.clear(now, at));
        }
    }

    /// An answer has not come back in time. Only a path that never worked lays the blame on its relays.
    pub(super) fn failed(&mut self, nodes: &mut PathNodes<'_>, id: PathId) {
        if let Some(path) = self.get_mut(id) {
            path.failures = path.failures.saturating_add(1);
            if !path.confirmed {
                nodes.blame(&path.at);
            }
        }
    }

    /// Ends all paths; new ones begin at a TCP relay if `relayed`.
    pub(super) fn begin_anew(&mut self, relayed: bool) {
        self.mem.fill_with(|| Path::VACANT);
        self.relayed = relayed;
    }

    /// Ends all paths through this address.
    pub(super) fn give_up(&mut self, at: &Endpoint) {
        for path in self.mem.iter_mut().filter(|path| path.at.contains(at)) {
            *path = Path::VACANT;
        }
    }

    /// Wraps the `len` bytes of payload in `buf` for `dest`; returns where to send how much.
    pub(super) fn wrap<E: Env>(
        &self,
        cx: &mut Cx<'_, '_, E>,
        id: PathId,
        dest: Endpoint,
        buf: &mut [u8; DATAGRAM_MAX],
        len: usize,
    ) -> Option<(Endpoint, usize)> {
        let path = self.get(id)?;
        if E::RELAYS && path.is_relayed() {
            let hop = |i: usize| Hop { at: path.at[i], public: &path.publics[i - 1], key: &path.keys[i] };
            let nonce = cx.nonce();
            let len = wrap_relayed(cx.suite, &[hop(1), hop(2)], dest, &nonce, buf, len);
            return Some((Endpoint::UNSPECIFIED, len));
        }
        let publics = [&cx.me.dht.public, &path.publics[0], &path.publics[1]];
        let hops: [Hop<'_>; HOPS] =
            core::array::from_fn(|i| Hop { at: path.at[i], public: publics[i], key: &path.keys[i] });
        let nonce = cx.nonce();
        let len = wrap(cx.suite, &hops, dest, &nonce, buf, len);
        Some((path.at[0], len))
    }

    fn get(&self, id: PathId) -> Option<&Path> {
        self.mem.iter().find(|path| path.id == id && id != PathId::NONE)
    }

    fn get_mut(&mut self, id: PathId) -> Option<&mut Path> {
        self.mem.iter_mut().find(|path| path.id == id && id != PathId::NONE)
    }

    fn places(&self, group: Group) -> Range<usize> {
        let half = self.mem.len() / 2;
        match group {
            Group::Ourselves => 0..half,
            Group::Friends => half..self.mem.len(),
        }
    }

    fn build<E: Env>(
        &mut self,
        cx: &mut Cx<'_, '_, E>,
        nodes: &PathNodes<'_>,
        place: usize,
        target: &Endpoint,
    ) -> Option<PathId> {
        let (hops, distinct, first) = if E::RELAYS && self.relayed {
            let [second, third] = nodes.draw_two(cx.rng, target)?;
            let first = NodeInfo { key: PublicKey::ZERO, at: Endpoint::UNSPECIFIED };
            ([first, second, third], second.at != third.at || nodes.enough(), SharedKey::ZERO)
        } else {
            let (hops, distinct) = nodes.draw(cx.rng, target)?;
            let first = cx.box_key(Need::Ours, Whose::Dht, &hops[0].key)?.clone();
            (hops, distinct, first)
        };
        let (second_public, second) = layer(cx, &hops[1].key)?;
        let (third_public, third) = layer(cx, &hops[2].key)?;
        self.last_id = self.last_id.wrapping_add(1).max(1);
        self.mem[place] = Path {
            id: PathId(self.last_id),
            failures: 0,
            confirmed: false,
            distinct,
            at: hops.map(|hop| hop.at),
            publics: [second_public, third_public],
            keys: [first, second, third],
            built: cx.now,
        };
        Some(PathId(self.last_id))
    }
}

/// A fresh key for one hop, so that hops which compare notes do not find the same one.
fn layer<E: Env>(cx: &mut Cx<'_, '_, E>, hop: &PublicKey) -> Option<(PublicKey, SharedKey)> {
    let pair = KeyPair::generate(cx.suite, cx.rng);
    Some((pair.public, cx.agree(&pair.secret, hop)?))
}

fn rotated(places: Range<usize>, by: usize) -> impl Iterator<Item = usize> {
    (places.start + by..places.end).chain(places.start..places.start + by)
}

/// A number below `n`; `None` when there is none.
pub(super) fn random_below(rng: &mut impl CryptoRng, n: usize) -> Option<usize> {
    (rng.next_u32() as usize).checked_rem(n)
}

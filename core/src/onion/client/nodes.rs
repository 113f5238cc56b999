//! The nodes that paths are drawn from: live DHT nodes, and behind them the bootstrap nodes of the configuration.
//!
//! A node is blamed when a path through it, or a request to it, stays unanswered, and is cleared when one succeeds.
//! Blamed nodes are drawn only when nothing better is known, and at [`BLAME_MAX`] not at all until the DHT hears them
//! again.

use crate::Endpoint;
use crate::crypto::PublicKey;
use crate::storage::{Mem, Table};
use crate::time::Instant;
use crate::wire::NodeInfo;
use core::time::Duration;
use rand_core::CryptoRng;

/// Hops of a path (`onion.h`, ONION_PATH_LENGTH).
pub(super) const HOPS: usize = 3;
/// With fewer than three distinct nodes we wait this long after the last newcomer for another.
const SETTLE: Duration = Duration::from_millis(100);
/// Unanswered uses in a row after which a node is left out.
const BLAME_MAX: u8 = 6;
/// From here on a node makes room for a newcomer.
const BLAME_EXPENDABLE: u8 = 4;
/// A node heard after a silence this long may have been away, seconds. The DHT asks each node once a minute.
const SILENT_S: u32 = 90;
/// A node that nobody has heard for this long makes room for a newcomer, seconds.
const STALE_S: u32 = 600;

/// A node that may serve in paths.
#[derive(Debug)]
pub(crate) struct PathNode {
    blame: u8,
    bootstrap: bool,
    at: Endpoint,
    /// Seconds of [`Instant`], last sign of life.
    heard_s: u32,
    key: PublicKey,
}

impl PathNode {
    /// What static storage is filled with: all zeros.
    pub(crate) const VACANT: Self =
        Self { blame: 0, bootstrap: false, at: Endpoint::UNSPECIFIED, heard_s: 0, key: PublicKey::ZERO };

    const fn is_vacant(&self) -> bool {
        self.at.port() == 0
    }

    const fn info(&self) -> NodeInfo {
        NodeInfo { key: self.key, at: self.at }
    }
}

/// The table of path nodes. Full: a newcomer replaces a blamed or stale node, or is left out.
#[derive(Debug)]
pub(super) struct PathNodes<'s> {
    mem: Mem<'s, PathNode>,
    /// When the last newcomer came.
    newest: Instant,
    /// The best tier that any node is of, and how many are.
    usable: (u8, usize),
}

impl<'s> PathNodes<'s> {
    pub(super) const fn new(mem: Mem<'s, PathNode>) -> Self {
        Self { mem, newest: Instant::ZERO, usable: (0, 0) }
    }

    pub(super) fn table(&self) -> Table {
        Table::of_mem("path nodes", &self.mem, |node| !node.is_vacant())
    }

    /// A node that answered. True when that is news: it was unknown, only configured, blamed, or long silent.
    pub(super) fn add(&mut self, now: Instant, node: NodeInfo) -> bool {
        if !node.at.is_usable() {
            return false;
        }
        let heard_s = seconds(now);
        if let Some(known) = self.mem.iter_mut().find(|known| !known.is_vacant() && known.key == node.key) {
            let promoted = core::mem::take(&mut known.bootstrap);
            let back = known.blame > 0 || heard_s.saturating_sub(known.heard_s) > SILENT_S;
            (known.at, known.heard_s) = (node.at, heard_s);
            if promoted || known.blame > 0 {
                known.blame /= 2;
                self.count_usable();
            }
            if promoted {
                self.newest = now;
            }
            return promoted || back;
        }
        let Some(place) = self.mem.iter_mut().max_by_key(|place| place.expendability(heard_s)) else { return false };
        if place.expendability(heard_s).0 == 0 {
            return false;
        }
        *place = PathNode { blame: 0, bootstrap: false, at: node.at, heard_s, key: node.key };
        self.newest = now;
        self.count_usable();
        true
    }

    /// Takes a node out; where it was.
    pub(super) fn forget(&mut self, key: &PublicKey) -> Option<Endpoint> {
        let known = self.mem.iter_mut().find(|known| !known.is_vacant() && !known.bootstrap && known.key == *key)?;
        let at = core::mem::replace(known, PathNode::VACANT).at;
        self.count_usable();
        Some(at)
    }

    /// A configured node, used while no live one is known. A full table refuses it.
    pub(super) fn add_bootstrap(&mut self, node: NodeInfo) {
        if !node.at.is_usable() || self.mem.iter().any(|known| !known.is_vacant() && known.key == node.key) {
            return;
        }
        if let Some(place) = self.mem.iter_mut().find(|place| place.is_vacant()) {
            *place = PathNode { blame: 0, bootstrap: true, at: node.at, heard_s: 0, key: node.key };
            self.count_usable();
        }
    }

    /// When a path may be built: at once with three distinct nodes, else after [`SETTLE`]. `None` without any node.
    pub(super) fn ready_at(&self) -> Option<Instant> {
        match self.usable.1 {
            0 => None,
            1 | 2 => Some(self.newest + SETTLE),
            _ => Some(Instant::ZERO),
        }
    }

    /// Whether three distinct hops can be had.
    pub(super) const fn enough(&self) -> bool {
        self.usable.1 >= HOPS
    }

    /// Whether a node other than the one at this address is known.
    pub(super) fn has_other(&self, at: &Endpoint) -> bool {
        self.usable().any(|node| node.at != *at)
    }

    /// Three hops, distinct as far as possible; `target` is not the last one if another node is known, and no hop at
    /// all if enough others are. True beside them when they are distinct.
    pub(super) fn draw(&self, rng: &mut impl CryptoRng, target: &Endpoint) -> Option<([NodeInfo; HOPS], bool)> {
        let last = self.pick(rng, &[*target]).or_else(|| self.pick(rng, &[]))?;
        let middle = self.pick_avoiding(rng, &[last.at], target)?;
        let first = self.pick_avoiding(rng, &[last.at, middle.at], target)?;
        let distinct = last.at != middle.at && last.at != first.at && middle.at != first.at;
        Some(([first, middle, last], distinct))
    }

    /// The second and the third hop of a path that begins at a TCP relay. Distinct, and not `target`, as long as nodes
    /// are known that answer. Without UDP nobody knows that beforehand: then one node may have to do for both.
    pub(super) fn draw_two(&self, rng: &mut impl CryptoRng, target: &Endpoint) -> Option<[NodeInfo; 2]> {
        let proven = |node: &NodeInfo| self.mem.iter().any(|known| known.at == node.at && known.blame == 0);
        let mut last = self.pick(rng, &[*target]).or_else(|| self.pick(rng, &[]))?;
        if !proven(&last) && rng.next_u32().is_multiple_of(2) {
            last = self.pick(rng, &[])?;
        }
        let second = self.pick_avoiding(rng, &[last.at], target)?;
        let alone = !proven(&second) && rng.next_u32().is_multiple_of(2);
        Some([if alone { last } else { second }, last])
    }

    /// Who was blamed may have been blamed for a way that led nowhere.
    pub(super) fn forgive(&mut self) {
        self.mem.iter_mut().for_each(|node| node.blame = 0);
        self.count_usable();
    }

    /// The known node closest to `key` that `wanted` accepts; little blamed ones first.
    pub(super) fn closest(&self, key: &PublicKey, wanted: impl Fn(&NodeInfo) -> bool) -> Option<NodeInfo> {
        let candidates = self.usable().filter(|node| wanted(&node.info()));
        candidates.min_by_key(|node| (node.blame, node.key.distance(key))).map(PathNode::info)
    }

    /// Something came back through, or from, the node at this address.
    pub(super) fn clear(&mut self, now: Instant, at: &Endpoint) {
        let mut blamed = false;
        for node in self.mem.iter_mut().filter(|node| node.at == *at && !node.is_vacant()) {
            blamed |= node.blame > 0;
            node.blame = 0;
            node.heard_s = seconds(now);
        }
        if blamed {
            self.count_usable();
        }
    }

    /// Nothing came back from these.
    pub(super) fn blame(&mut self, at: &[Endpoint]) {
        for node in self.mem.iter_mut().filter(|node| at.contains(&node.at) && !node.is_vacant()) {
            node.blame = node.blame.saturating_add(1).min(BLAME_MAX);
        }
        self.count_usable();
    }

    /// All of them, the live ones first.
    pub(super) fn iter(&self) -> impl Iterator<Item = NodeInfo> + Clone {
        let of = |bootstrap| {
            self.mem.iter().filter(move |node| !node.is_vacant() && node.bootstrap == bootstrap).map(PathNode::info)
        };
        of(false).chain(of(true))
    }

    /// Live nodes that are not given up; without any, the bootstrap nodes; without these, whatever there is.
    fn usable(&self) -> impl Iterator<Item = &PathNode> {
        let (tier, _) = self.usable;
        self.mem.iter().filter(move |node| tier > 0 && node.tier() == tier)
    }

    /// Comes after every change of a node's tier.
    fn count_usable(&mut self) {
        let tier = self.mem.iter().map(PathNode::tier).max().unwrap_or(0);
        self.usable = (tier, 0);
        self.usable.1 = self.usable().count();
    }

    fn pick_avoiding(&self, rng: &mut impl CryptoRng, taken: &[Endpoint], target: &Endpoint) -> Option<NodeInfo> {
        let mut avoid = heapless::Vec::<Endpoint, HOPS>::from_slice(taken).unwrap_or_default();
        let _ = avoid.push(*target);
        self.pick(rng, &avoid).or_else(|| self.pick(rng, taken)).or_else(|| self.pick(rng, &[]))
    }

    /// A random one of the least blamed.
    fn pick(&self, rng: &mut impl CryptoRng, avoid: &[Endpoint]) -> Option<NodeInfo> {
        let candidates = self.usable().filter(|node| !avoid.contains(&node.at));
        candidates.min_by_key(|node| (node.blame, rng.next_u32())).map(PathNode::info)
    }
}

impl PathNode {
    const fn tier(&self) -> u8 {
        match (self.is_vacant(), self.bootstrap, self.blame < BLAME_MAX) {
            (true, _, _) => 0,
            (false, _, false) => 1,
            (false, true, true) => 2,
            (false, false, true) => 3,
        }
    }

    /// Who goes first when room is needed; class 0 stays.
    fn expendability(&self, now_s: u32) -> (u8, u32) {
        let silent = now_s.saturating_sub(self.heard_s);
        let class = if self.is_vacant() {
            3
        } else if self.blame >= BLAME_EXPENDABLE {
            2
        } else {
            u8::from(!self.bootstrap && silent > STALE_S)
        };
        (class, silent)
    }
}

fn seconds(now: Instant) -> u32 {
    u32::try_from(now.micros() / 1_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use rand_core::SeedableRng;

    fn node(n: u8) -> NodeInfo {
        NodeInfo { key: PublicKey([n; 32]), at: Endpoint::v4([10, 0, 0, n], 33445) }
    }

    quickcheck! {
        fn hops_are_distinct_when_possible(known: u8, target: u8, seed: u8) -> bool {
            let known = known % 9;
            let mut mem = [const { PathNode::VACANT }; 8];
            let mut nodes = PathNodes::new(Mem::Borrowed(&mut mem));
            for n in 1..=known { nodes.add(Instant::from_secs(1), node(n)); }
            let mut rng = chacha20::ChaCha12Rng::from_seed([seed; 32]);
            let target = node(1 + target % 8).at;
            let Some((hops, distinct)) = nodes.draw(&mut rng, &target) else { return known == 0 };
            let spread = hops[0].at != hops[1].at && hops[1].at != hops[2].at && hops[0].at != hops[2].at;
            let targeted = hops.iter().any(|hop| hop.at == target);
            distinct == spread && spread == (known >= 3)
                && (known < 2 || hops[2].at != target) && (known < 4 || !targeted)
        }
    }

    #[test]
    fn full_tables_keep_good_nodes_and_replace_bad_ones() {
        let mut mem = [const { PathNode::VACANT }; 2];
        let mut nodes = PathNodes::new(Mem::Borrowed(&mut mem));
        let now = Instant::from_secs(1);
        assert!(nodes.add(now, node(1)) && nodes.add(now, node(2)));
        assert!(!nodes.add(now, node(3)), "two good ones stay");
        for _ in 0..BLAME_EXPENDABLE {
            nodes.blame(&[node(1).at]);
        }
        assert!(nodes.add(now, node(3)));
        assert!(nodes.iter().all(|n| n != node(1)));
        assert!(nodes.add(Instant::from_secs(1000), node(4)), "stale ones go");
    }

    #[test]
    fn bootstrap_nodes_serve_until_a_live_one_is_known() {
        let mut mem = [const { PathNode::VACANT }; 4];
        let mut nodes = PathNodes::new(Mem::Borrowed(&mut mem));
        let mut rng = chacha20::ChaCha12Rng::from_seed([1; 32]);
        nodes.add_bootstrap(node(1));
        assert_eq!(nodes.draw(&mut rng, &node(9).at).unwrap().0[0], node(1));
        assert!(nodes.add(Instant::from_secs(1), node(2)));
        assert_eq!(nodes.draw(&mut rng, &node(9).at).unwrap().0, [node(2); 3]);
        assert!(nodes.add(Instant::from_secs(1), node(1)), "promoted");
        assert!(!nodes.add(Instant::from_secs(1), node(1)));
    }

    #[test]
    fn a_dead_one_of_three_is_left_out_in_the_end() {
        let mut mem = [const { PathNode::VACANT }; 4];
        let mut nodes = PathNodes::new(Mem::Borrowed(&mut mem));
        for n in 1..=3 {
            nodes.add(Instant::from_secs(1), node(n));
        }
        assert!(nodes.enough());
        for _ in 0..BLAME_MAX {
            nodes.blame(&[node(2).at]);
        }
        assert!(!nodes.enough());
        nodes.add(Instant::from_secs(2), node(2));
        assert!(nodes.enough(), "heard again: tried again");
    }
}

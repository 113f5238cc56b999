//! The tables: what enters, what makes room, what stays.

use super::world::dht;
use crate::Endpoint;
use crate::crypto::PublicKey;
use crate::dht::bootstrap::Bootstraps;
use crate::dht::candidates::{Candidates, Packet};
use crate::dht::closelist::CloseList;
use crate::dht::{Candidate, NodeEntry, Search};
use crate::storage::{Full, Mem};
use crate::time::Instant;
use crate::wire::{NodeInfo, NodeList};
use core::ops::Range;
use core::time::Duration;
use quickcheck::quickcheck;
use std::vec;
use std::vec::Vec;

const START: Instant = Instant::from_secs(1000);

fn key(n: u64) -> PublicKey {
    // A mixing step of splitmix64, four times over.
    let mut out = [0; 32];
    let mut x = n.wrapping_add(1);
    for chunk in out.chunks_exact_mut(8) {
        x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = x;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        chunk.copy_from_slice(&(z ^ (z >> 31)).to_be_bytes());
    }
    PublicKey(out)
}

fn node(n: u64) -> NodeInfo {
    let [.., b, c, d] = n.to_be_bytes();
    NodeInfo { key: key(n), at: Endpoint::v4([1, b, c, d], 33445) }
}

fn close(capacity: usize, me: &PublicKey) -> CloseList<'static> {
    let mut list = CloseList::new(Mem::Borrowed(vec![NodeEntry::VACANT; capacity].leak()));
    list.set_me(*me);
    list
}

/// Locks the sizes of what the tables hold: on a microcontroller they decide how many friends it can have.
#[test]
#[cfg_attr(target_arch = "x86", ignore = "a u64 is aligned to four bytes there, and entries are smaller")]
fn sizes_are_locked() {
    assert_eq!(size_of::<NodeEntry>(), 72);
    assert_eq!(size_of::<Candidate>(), 96);
    assert_eq!(size_of::<Search>(), 704);
    let size = size_of::<crate::dht::Dht<'_>>();
    assert!(size <= 1180, "{size}, with and without tables on the heap");
    assert_eq!(size_of::<crate::dht::Punch>(), 256);
}

#[test]
fn empty_tables_make_a_machine_that_does_nothing() {
    let mut party = dht(0, 0, 0, 1);
    let mut bench = crate::cx::test_env::Bench::new(1);
    party.start(&mut bench.cx());
    party.ask(bench.now, node(1), key(1));
    party.hear(bench.now, &node(1));
    assert_eq!(party.search(bench.now, key(1)), Err(Full));
    assert_eq!(party.closest(bench.now, &key(1), true).len(), 0);
    assert_eq!(party.deadline(), None);
}

quickcheck! {
    /// `closest` is what sorting everybody gives, with buckets and without.
    fn closest_is_the_closest(large: bool, count: u16, target: u64) -> bool {
        let me = key(u64::MAX);
        let mut list = close(if large { 1024 } else { 300 }, &me);
        for n in 0..u64::from(count % 800) { list.hear(&node(n), START); }
        let target = key(target);
        let mut got = NodeList::new();
        list.closest(START, &target, true, &mut got);
        let mut all: Vec<_> = list.entries_live(START).map(NodeEntry::info).collect();
        all.sort_by_key(|n| n.key.distance(&target));
        all.truncate(4);
        got[..] == all[..]
    }

    /// No node is there twice, no address is, and nobody appears who was not heard.
    fn nobody_is_there_twice(capacity: u8, heard: Vec<(u8, u8, u8)>) -> bool {
        let me = key(0);
        let mut list = close(usize::from(capacity % 20), &me);
        let mut now = START;
        for &(k, at, secs) in &heard {
            now = now + Duration::from_secs(u64::from(secs));
            list.hear(&NodeInfo { key: key(u64::from(k % 32) + 1), at: Endpoint::v4([1, 1, 1, at % 32], 7) }, now);
            while list.poll(now, true).is_some() {}
            if list.due() <= now { return false; }
        }
        let entries: Vec<_> = list.entries_live(now).map(NodeEntry::info).collect();
        entries.iter().enumerate().all(|(i, a)| entries[..i].iter().all(|b| a.key != b.key && a.at != b.at))
    }
}

/// A bucket with live nodes takes nobody, whoever comes; a bad node's place is free again.
#[test]
fn full_buckets_keep_their_live_nodes() {
    let me = key(u64::MAX);
    let mut list = close(1024, &me);
    let far: Vec<_> = (0..).map(node).filter(|n| me.common_prefix(&n.key) == 0).take(100).collect();
    far.iter().for_each(|n| list.hear(n, START));
    let known: Vec<_> = list.entries_live(START).map(NodeEntry::info).collect();
    assert_eq!(known, far[..8]);
    let later = START + Duration::from_secs(123);
    far[1..8].iter().for_each(|n| list.hear(n, later));
    assert!(list.wants(&far[50], later) && !list.wants(&far[3], later));
    list.hear(&far[50], later);
    assert!(!list.wants(&far[51], later));
    assert!(list.get(&far[50].key).is_some() && list.get(&far[0].key).is_none());
}

/// In a small list a nearer node may take a place from a crowd of farther ones, never the other way round.
#[test]
fn a_flood_of_strangers_does_not_evict_nearer_nodes() {
    let me = key(u64::MAX);
    let mut list = close(64, &me);
    let near: Vec<_> = (0..).map(node).filter(|n| me.common_prefix(&n.key) >= 6).take(20).collect();
    near.iter().for_each(|n| list.hear(n, START));
    (1_000_000..1_010_000).map(node).for_each(|n| list.hear(&n, START));
    assert_eq!(list.entries_live(START).count(), 64);
    // Each bucket keeps its share: those of 20 near nodes that remain are at least what balance gives them.
    let kept = near.iter().filter(|n| list.get(&n.key).is_some()).count();
    assert!(kept >= 12, "{kept} of 20");
    let mut per_bucket = [0; 20];
    list.entries_live(START).for_each(|e| per_bucket[me.common_prefix(&e.key).min(19)] += 1);
    assert!(per_bucket[..8].iter().all(|n| (3..=8).contains(n)), "{per_bucket:?}");
    // The nearest are always welcome.
    let nearest = (2_000_000..4_000_000).map(node).find(|n| me.common_prefix(&n.key) >= 18).unwrap();
    assert!(list.wants(&nearest, START));
}

/// Who named the same node eight times makes us ask it once; the pauses grow.
#[test]
fn a_candidate_is_asked_once_and_then_ever_more_rarely() {
    let mut table = Candidates::new(Mem::Borrowed(vec![Candidate::VACANT; 4].leak()));
    let mut sent = Vec::new();
    for ms in 0..60_000 {
        let now = START + Duration::from_millis(ms);
        table.offer(now, node(1), key(5), Packet::Nodes, true);
        while table.poll(now, true, true).is_some() {
            sent.push(ms);
        }
    }
    assert_eq!(sent, [0, 1000, 3000, 7000, 15_000, 31_000]);
    let later = START + Duration::from_secs(60);
    assert_eq!(table.answered(&node(1).key), Some((key(5), START + Duration::from_secs(31))));
    table.offer(later, node(1), key(5), Packet::Nodes, true);
    assert!(table.poll(later, true, false).is_some(), "forgotten when it answers");
}

/// When `table` sends to a target while time passes; `at` each millisecond something may happen to it.
fn sends(table: &mut Candidates<'_>, ms: Range<u64>, at: impl Fn(u64, Instant, &mut Candidates<'_>)) -> Vec<u64> {
    ms.filter(|ms| {
        let now = START + Duration::from_millis(*ms);
        at(*ms, now, table);
        table.repeat(now, |node| node.key != key(9));
        let sent = table.poll(now, true, true).is_some();
        assert!(table.repeats_at().is_none_or(|at| at > now), "a deadline that stays");
        sent
    })
    .collect()
}

/// A node whose own key is searched is sent to again without being named again, for a while.
#[test]
fn a_target_is_sent_to_by_itself() {
    let mut table = Candidates::new(Mem::Borrowed(vec![Candidate::VACANT; 2].leak()));
    let offer = |n: u64, packet| move |table: &mut Candidates<'_>, now| table.offer(now, node(n), key(n), packet, true);
    let name = offer(5, Packet::Nodes);
    let once = sends(&mut table, 0..300_000, |ms, now, table| {
        if ms == 0 {
            name(table, now)
        }
    });
    assert_eq!(once, [0, 250, 750, 1750, 3750, 7750, 15_750, 31_750, 47_750]);
    // Named now and then it goes on at the slowest pace; no liar makes it faster.
    let named = sends(&mut table, 300_000..700_000, |ms, now, table| {
        if ms < 500_000 {
            name(table, now)
        }
    });
    assert_eq!(named[..3], [300_000, 316_000, 332_000]);
    assert_eq!((named.len(), named[20]), (21, 620_000));
    // News from the target itself start it over, what it sends us is answered at once.
    table.start_over(&key(5));
    let news = sends(&mut table, 700_000..703_000, |_, _, _| {});
    assert_eq!(news, [700_000, 700_250, 700_750, 701_750]);
    let spoken = sends(&mut table, 703_000..705_000, |ms, now, table| {
        if ms == 703_000 || ms == 703_010 {
            offer(5, Packet::Ping)(table, now);
        }
    });
    assert_eq!(spoken, [703_000]);
    assert!(table.answered(&key(5)).is_none() && table.repeats_at().is_none(), "over when it answers");
    // The same for one that was asked for another key before, and not at all for one that is not searched.
    table.offer(START + Duration::from_secs(800), node(6), key(5), Packet::Nodes, true);
    let turned = sends(&mut table, 800_000..802_000, |ms, now, table| {
        if ms == 800_100 {
            offer(6, Packet::Nodes)(table, now);
        }
    });
    assert_eq!(turned, [800_000, 800_100, 800_350, 800_850, 801_850]);
    let unwanted = sends(&mut table, 802_000..900_000, |ms, now, table| {
        if ms == 802_000 {
            table.answered(&key(6));
            offer(9, Packet::Nodes)(table, now);
        }
    });
    assert_eq!(unwanted, [802_000]);
}

#[test]
fn a_full_table_of_candidates_prefers_the_urgent_and_the_new() {
    let mut table = Candidates::new(Mem::Borrowed(vec![Candidate::VACANT; 4].leak()));
    let me = key(u64::MAX);
    table.set_me(me);
    let at = |n| START + Duration::from_millis(n);
    (0..8).for_each(|n| table.offer(at(n), node(n), me, Packet::Ping, false));
    let urgent = node(100);
    table.offer(at(8), urgent, me, Packet::Nodes, true);
    assert_eq!(table.poll(at(8), true, false).map(|(c, urgent)| (c.node, urgent)), Some((urgent, true)));
    assert!(table.poll(at(8), true, false).is_none());
    let waiting: Vec<_> = core::iter::from_fn(|| table.poll(at(8), true, true)).map(|(c, _)| c.node).collect();
    assert_eq!(waiting, [node(7), node(6), node(5)]);
    // Those that were sent to make room again.
    (200..204).for_each(|n| table.offer(START, node(n), me, Packet::Nodes, true));
    assert_eq!(core::iter::from_fn(|| table.poll(START, true, false)).count(), 4);
}

#[test]
fn a_ninth_bootstrap_node_replaces_one_that_answered_or_was_asked_most() {
    let mut list = Bootstraps::new();
    (0..8).for_each(|n| list.add(START, node(n)));
    list.add(START, node(3));
    list.answered(START, &node(3));
    list.add(START, node(8));
    let asked: Vec<_> = core::iter::from_fn(|| list.poll(START, false)).collect();
    assert!(asked.len() == 8 && asked.contains(&node(8)) && !asked.contains(&node(3)));
    assert!(!list.any_parked());
    for _ in 0..2 {
        let again = list.entry_of(&node(5)).unwrap();
        again.at = START;
        assert_eq!(list.poll(START, false), Some(node(5)));
    }
    list.add(START, node(9));
    assert!(list.entry_of(&node(5)).is_none() && list.entry_of(&node(9)).is_some());
    list.answered(START, &node(9));
    assert!(list.any_parked());
}

/// While others answer, a dead bootstrap node is given up in half a minute.
#[test]
fn a_dead_bootstrap_node_is_given_up_when_others_live() {
    let mut list = Bootstraps::new();
    list.add(START, node(1));
    let mut asked = 0;
    while !list.any_parked() {
        let at = list.due().unwrap();
        assert!(list.poll(at, true).is_some() && at <= START + Duration::from_secs(32));
        asked += 1;
    }
    assert_eq!(asked, 8);
    let rest = list.due().unwrap().since(START).as_secs();
    assert!((600..640).contains(&rest), "asked again, but rarely: {rest}");
}

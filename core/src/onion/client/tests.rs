//! The onion client alone. Whole networks are in the simulator's tests.

use super::dhtkey::Mail;
use super::*;
use crate::Endpoint;
use crate::cx::test_env::Bench;
use crate::{DATAGRAM_MAX, wire};
use std::boxed::Box;
use std::vec::Vec;

pub(super) fn leak<T>(count: usize, make: impl Fn() -> T) -> Mem<'static, T> {
    Mem::Borrowed(Box::leak((0..count).map(|_| make()).collect::<Vec<_>>().into_boxed_slice()))
}

/// A client with tables of so many entries each, or a little less.
fn client(entries: usize) -> (Bench, OnionClient<'static>) {
    let tables = OnionTables {
        path_nodes: leak(entries, || PathNode::VACANT),
        paths: leak(entries.min(12), || Path::VACANT),
        friends: leak(entries.min(12), || OnionFriend::VACANT),
        self_nodes: leak(entries.min(12), || SelfNode::VACANT),
        pending: leak(entries * 2, || Pending::VACANT),
    };
    (Bench::new(0x85), OnionClient::new(tables))
}

#[test]
fn answers_cannot_make_us_ask_without_end() {
    let (mut bench, mut onion) = client(32);
    let asked = || {
        let mut pending = Pending::VACANT;
        pending.set_node(PublicKey([9; 32]), Endpoint::v4([8, 8, 8, 8], 1));
        pending
    };
    let mut wanted = 0;
    for round in 0..100_u8 {
        let mut bytes = [0; 4 * 39];
        let mut w = wire::Writer::new(&mut bytes);
        for n in 0..4 {
            let key = PublicKey([(round.wrapping_mul(4) + n) | 1; 32]);
            NodeInfo { key, at: Endpoint::v4([9, 9, round, n], 1) }.emit(&mut w);
        }
        let nodes = wire::PackedNodes::parse_udp(&bytes, 4).unwrap();
        onion.ask_further(&bench.cx(), &asked(), nodes, &Endpoint::v4([8, 8, 8, 8], 1));
        wanted += std::iter::from_fn(|| onion.requests.take_wanted()).count();
    }
    assert!((1..=SEARCH_BURST as usize).contains(&wanted), "{wanted}");
}

#[test]
fn local_nodes_count_only_from_local_relays() {
    for (from, counts) in [([8, 8, 8, 8], false), ([192, 168, 1, 1], true)] {
        let (mut bench, mut onion) = client(32);
        let mut bytes = [0; 39];
        let local = NodeInfo { key: PublicKey([3; 32]), at: Endpoint::v4([10, 0, 0, 1], 1) };
        local.emit(&mut wire::Writer::new(&mut bytes));
        let nodes = wire::PackedNodes::parse_udp(&bytes, 4).unwrap();
        onion.ask_further(&bench.cx(), &Pending::VACANT, nodes, &Endpoint::v4(from, 1));
        assert_eq!(onion.requests.has_wanted(), counts);
    }
}

#[test]
fn a_client_without_tables_does_nothing() {
    let (mut bench, mut onion) = client(0);
    let node = NodeInfo { key: PublicKey([9; 32]), at: Endpoint::v4([8, 8, 8, 8], 1) };
    onion.add_bootstrap(node);
    onion.add_node(bench.now, node);
    for _ in 0..100 {
        bench.now = bench.now + Duration::from_millis(100);
        onion.on_timeout(&mut bench.cx());
        let mut content = |_: &Blocks<'_>, _: usize, _: OnionSend, _: &mut [u8]| 1;
        while onion.encode_next(&mut bench.cx(), &mut content, &mut [0; DATAGRAM_MAX]).is_some() {}
        assert!(onion.deadline(true).is_none_or(|deadline| deadline.at > bench.now));
    }
    assert!(!onion.is_connected(bench.now));
}

#[test]
fn that_a_request_has_gone_out_is_told_once() {
    let mut mail = Mail::NONE;
    mail.want_request(0);
    assert!(!mail.take_done());
    mail.found(Instant::from_secs(1), 2);
    assert_eq!(mail.next(), Some((2, OnionSend::FriendRequest)));
    mail.sent(2, OnionSend::FriendRequest, true, 1);
    assert!(mail.take_done() && !mail.take_done());
    assert_eq!(mail.next(), Some((2, OnionSend::DhtKey)));
}

/// Memory of the tables: what a microcontroller pays per entry.
#[test]
#[cfg_attr(target_arch = "x86", ignore = "a u64 is aligned to four bytes there, and entries are smaller")]
fn entries_stay_small() {
    let sizes = [
        size_of::<PathNode>(),
        size_of::<Path>(),
        size_of::<SelfNode>(),
        size_of::<Pending>(),
        size_of::<OnionFriend>(),
    ];
    assert_eq!(sizes, [60, 240, 128, 112, 664]);
}

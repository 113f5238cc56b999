//! Peers: asked for, found, reached and left.

use super::*;
use crate::wire::relay::ROUTE_FIRST;
use quickcheck::quickcheck;

const PEER: PublicKey = PublicKey([9; 32]);
const OTHER: PublicKey = PublicKey([8; 32]);

/// The relay tells an id, and that the peer is there.
fn connect(desk: &mut Desk, relay: usize, id: u8, peer: PublicKey) {
    desk.relays[relay].say(&RelayPacket::RoutingResponse { id, peer });
    desk.relays[relay].say(&RelayPacket::ConnectionNotification(id));
    desk.run();
}

#[test]
fn a_peer_is_asked_for_at_our_relays_and_at_its_own() {
    let mut desk = Desk::new(5, 8);
    (0..3).for_each(|i| assert!(desk.add(i)));
    desk.run();
    desk.client.set_peer(desk.bench.now, 0, PEER);
    desk.client.peer_relay(desk.bench.now, 0, desk.node(4));
    desk.run();
    assert!(desk.is_up(4) && !desk.is_up(3));
    for i in [0, 1, 2, 4] {
        assert_eq!(desk.relays[i].routes_asked(), [PEER], "{i}");
    }
    assert_eq!((desk.client.reach(0), desk.client.take_news()), (Reach::Perhaps, Some(0)));
    connect(&mut desk, 4, 16, PEER);
    assert_eq!((desk.client.reach(0), desk.client.take_news()), (Reach::Online, Some(0)));
    desk.relays[4].say(&RelayPacket::DisconnectNotification(16));
    desk.run();
    assert_eq!((desk.client.reach(0), desk.client.take_news()), (Reach::Perhaps, Some(0)));
}

#[test]
fn a_relay_that_comes_later_is_asked_too() {
    let mut desk = Desk::new(1, 4);
    desk.client.set_peer(desk.bench.now, 2, PEER);
    assert_eq!(desk.client.reach(2), Reach::None);
    desk.add(0);
    desk.run();
    assert_eq!((desk.relays[0].routes_asked(), desk.client.reach(2)), (vec![PEER], Reach::Perhaps));
    connect(&mut desk, 0, 16, PEER);
    desk.hang_up(0);
    desk.run();
    assert_eq!(desk.client.reach(2), Reach::None);
    desk.relays[0].texts.clear();
    desk.pass(Duration::from_secs(2));
    assert_eq!((desk.relays[0].routes_asked(), desk.client.reach(2)), (vec![PEER], Reach::Perhaps));
}

#[test]
fn an_id_is_given_back_once() {
    let mut desk = Desk::connected(1);
    desk.client.set_peer(desk.bench.now, 0, PEER);
    desk.run();
    connect(&mut desk, 0, 16, PEER);
    // Another key: the old peer is wanted no more.
    desk.client.set_peer(desk.bench.now, 0, OTHER);
    desk.run();
    assert_eq!((desk.relays[0].left(), desk.relays[0].routes_asked()), (vec![16], vec![PEER, OTHER]));
    // The answer comes when nobody wants it any more.
    desk.client.remove_peer(0);
    desk.relays[0].say(&RelayPacket::RoutingResponse { id: 17, peer: OTHER });
    desk.run();
    desk.client.remove_peer(0);
    desk.pass(Duration::from_secs(60));
    assert_eq!(desk.relays[0].left(), [16, 17]);
}

#[test]
fn a_refusal_is_taken() {
    let mut desk = Desk::connected(1);
    desk.client.set_peer(desk.bench.now, 0, PEER);
    desk.run();
    desk.relays[0].say(&RelayPacket::RoutingResponse { id: 0, peer: PEER });
    desk.pass(Duration::from_secs(60));
    assert_eq!((desk.client.reach(0), desk.relays[0].routes_asked().len()), (Reach::Perhaps, 1));
    assert!(desk.is_up(0));
}

#[test]
fn relays_of_a_peer_go_when_it_is_reached_directly() {
    let mut desk = Desk::new(6, 8);
    (0..3).for_each(|i| assert!(desk.add(i)));
    desk.client.set_peer(desk.bench.now, 0, PEER);
    (3..6).for_each(|i| desk.client.peer_relay(desk.bench.now, 0, desk.node(i)));
    desk.run();
    assert_eq!(desk.up(), 6);
    connect(&mut desk, 4, 16, PEER);
    desk.client.set_awake(desk.bench.now, 0, false);
    desk.pass(Duration::from_secs(30));
    assert_eq!((desk.up(), desk.is_up(4)), (4, true), "one is kept warm");
    assert_eq!(desk.client.reach(0), Reach::Online);
    desk.client.set_awake(desk.bench.now, 0, true);
    desk.run();
    assert_eq!(desk.up(), 6, "all are back at once");
}

/// An adapter with few sockets, as on a microcontroller: two streams of three are ours, and those who wait for the
/// third have it one after the other.
#[test]
fn a_few_streams_are_shared() {
    let mut desk = Desk::new(6, 6);
    desk.client.streams = 3;
    (0..3).for_each(|i| assert!(desk.add(i)));
    desk.run();
    assert_eq!(desk.up(), 2);
    desk.client.set_peer(desk.bench.now, 0, PEER);
    (3..6).for_each(|i| desk.client.peer_relay(desk.bench.now, 0, desk.node(i)));
    desk.run();
    assert_eq!((desk.up(), desk.is_up(3)), (3, true));
    desk.relays[3].works = false;
    desk.hang_up(3);
    desk.run();
    assert_eq!((desk.up(), desk.is_up(4)), (3, true), "the next has its turn");
    let start = desk.bench.now;
    desk.client.start_over(start);
    desk.pass(Duration::from_secs(60));
    assert_eq!(desk.up(), 3);
    // Nobody needs the third; it goes, and another peer's relay may come at once.
    desk.client.set_awake(desk.bench.now, 0, false);
    desk.client.set_peer(desk.bench.now, 1, OTHER);
    desk.client.peer_relay(desk.bench.now, 1, desk.node(5));
    desk.pass(Duration::from_secs(11));
    assert_eq!((desk.up(), desk.is_up(5)), (3, true));
    assert!(desk.client.relays.iter().filter(|relay| relay.base).count() == 2);
}

#[test]
fn packets_find_their_peer() {
    let mut desk = Desk::connected(2);
    desk.client.set_peer(desk.bench.now, 3, PEER);
    desk.run();
    connect(&mut desk, 1, ROUTE_FIRST, PEER);
    desk.relays[1].say(&RelayPacket::Data { id: ROUTE_FIRST, data: b"data" });
    desk.relays[0].say(&RelayPacket::OobRecv { from: PEER, data: b"oob" });
    desk.relays[0].say(&RelayPacket::OobRecv { from: OTHER, data: b"who?" });
    desk.relays[0].say(&RelayPacket::OnionResponse(b"\x84onion"));
    desk.run();
    let mut found: Vec<_> = desk
        .contents
        .iter()
        .map(|(relay, content, data)| {
            let peer = match content {
                Content::Session { peer, from, .. } => Some((*peer, *from)),
                Content::Onion(_) => None,
            };
            (*relay, peer, data.as_slice())
        })
        .collect();
    found.sort_by_key(|(relay, _, data)| (*relay, data.to_vec()));
    let expected = [
        (0, Some((Some(3), PEER)), &b"oob"[..]),
        (0, Some((None, OTHER)), b"who?"),
        (0, None, b"\x84onion"),
        (1, Some((Some(3), PEER)), b"data"),
    ];
    assert_eq!(found, expected);
}

/// What a relay makes up as an answer does not speak for it; only what the onion has found to be genuine does.
#[test]
fn a_relay_that_forges_answers_loses_the_onion() {
    let mut desk = Desk::connected(2);
    let ids = [0, 1].map(|i| desk.relays[i].stream.unwrap());
    for _ in 0..100 {
        for id in ids {
            desk.client.onion_sent(id);
        }
        desk.relays[0].say(&RelayPacket::OnionResponse(b"\x84forged"));
        desk.run();
        desk.client.onion_answered(ids[1]);
    }
    assert_eq!(ids.map(|id| desk.client.carries_onion(id)), [false, true]);
}

#[test]
fn opening_goes_everywhere_and_data_to_one() {
    let mut desk = Desk::connected(3);
    let streams = [0, 1, 2].map(|i| desk.relays[i].stream.expect("connected"));
    desk.client.set_peer(desk.bench.now, 0, PEER);
    desk.run();
    let due = |desk: &mut Desk| streams.map(|id| desk.client.next_due(id).map(|due| due.is_oob()));
    desk.client.spread(desk.bench.now, 0, true, false);
    assert_eq!(due(&mut desk), [Some(true); 3]);
    for id in streams {
        let due = desk.client.next_due(id).expect("due");
        desk.client.served(id, &due, true);
        assert_eq!(desk.client.next_due(id).map(|due| due.step), Some(1));
        desk.client.served(id, &due, false);
    }
    assert_eq!(due(&mut desk), [None; 3]);
    desk.client.spread(desk.bench.now, 0, false, false);
    assert_eq!(due(&mut desk), [None; 3], "data waits until the peer is there");
    connect(&mut desk, 0, 16, PEER);
    connect(&mut desk, 2, 16, PEER);
    desk.client.spread(desk.bench.now, 0, false, false);
    let first = due(&mut desk);
    assert_eq!(first.iter().flatten().collect::<Vec<_>>(), [&false]);
    desk.client.spread(desk.bench.now, 0, false, true);
    assert_ne!(due(&mut desk), first, "a relay that carries nothing is not the only one");
}

quickcheck! {
    /// Bytes may come in any pieces.
    fn any_segmentation(pieces: Vec<u8>, data: Vec<Vec<u8>>) -> bool {
        let mut desk = Desk::new(2, 2);
        desk.pieces = pieces.iter().map(|piece| usize::from(*piece % 200) + 1).chain([1]).collect();
        (0..2).for_each(|i| assert!(desk.add(i)));
        desk.client.set_peer(desk.bench.now, 0, PEER);
        desk.run();
        connect(&mut desk, 0, 200, PEER);
        let data: Vec<_> = data.into_iter().take(10).collect();
        data.iter().for_each(|data| desk.relays[0].say(&RelayPacket::Data { id: 200, data }));
        desk.run();
        desk.up() == 2 && desk.contents.iter().map(|(_, _, data)| data).eq(&data)
    }
}

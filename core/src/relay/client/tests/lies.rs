//! Relays that say what they cannot: the connection ends, or nothing happens; the others are not disturbed.

use super::*;
use crate::wire::relay::packet;
use quickcheck::quickcheck;

const PEER: PublicKey = PublicKey([9; 32]);

/// Two relays; the peer is online at both, as 16.
fn desk() -> Desk {
    let mut desk = Desk::connected(2);
    desk.client.set_peer(desk.bench.now, 0, PEER);
    desk.run();
    for i in 0..2 {
        desk.relays[i].say(&RelayPacket::RoutingResponse { id: 16, peer: PEER });
        desk.relays[i].say(&RelayPacket::ConnectionNotification(16));
    }
    desk.run();
    assert_eq!((desk.up(), desk.client.reach(0)), (2, Reach::Online));
    desk
}

#[test]
fn what_only_clients_say_ends_the_connection() {
    let texts: [&[u8]; 10] = [
        &[packet::ROUTING_REQUEST; 33],
        &[packet::OOB_SEND; 40],
        &[packet::ONION_REQUEST; 200],
        &[packet::FORWARD_REQUEST, 2, 1, 2, 3, 4, 0, 1],
        &[packet::PING, 0, 0, 0, 0, 0, 0, 0, 0],
        &[packet::PING; 8],
        &[packet::OOB_RECV; 33],
        &[12; 3],
        &[15],
        &[packet::ROUTING_RESPONSE, 16],
    ];
    for text in texts {
        let mut desk = desk();
        desk.relays[0].say_text(text);
        desk.run();
        assert_eq!([desk.is_up(0), desk.is_up(1)], [false, true], "{text:?}");
        assert_eq!(desk.client.reach(0), Reach::Online, "at the other");
        assert!(desk.relays[0].stream.is_none(), "it was closed");
        desk.relays[0].texts.clear();
        desk.pass(Duration::from_secs(1));
        assert_eq!(desk.relays[0].routes_asked(), [PEER], "a new beginning");
    }
}

#[test]
fn ids_are_not_given_twice() {
    let mut desk = desk();
    desk.client.set_peer(desk.bench.now, 1, PublicKey([7; 32]));
    desk.run();
    desk.relays[0].say(&RelayPacket::RoutingResponse { id: 16, peer: PublicKey([7; 32]) });
    desk.run();
    assert_eq!([desk.is_up(0), desk.is_up(1)], [false, true]);
}

#[test]
fn ids_that_were_never_given_say_nothing() {
    let mut desk = desk();
    for id in [17, 100, 255] {
        desk.relays[0].say(&RelayPacket::Data { id, data: b"?" });
        desk.relays[0].say(&RelayPacket::ConnectionNotification(id));
        desk.relays[0].say(&RelayPacket::DisconnectNotification(id));
    }
    for id in [0, 15] {
        desk.relays[0].say(&RelayPacket::ConnectionNotification(id));
        desk.relays[0].say(&RelayPacket::RoutingResponse { id, peer: PEER });
    }
    desk.run();
    assert_eq!((desk.up(), desk.contents.len(), desk.client.reach(0)), (2, 0, Reach::Online));
}

#[test]
fn a_stranger_cannot_be_put_in_the_place_of_a_peer() {
    let mut desk = desk();
    desk.relays[0].say(&RelayPacket::RoutingResponse { id: 30, peer: PublicKey([66; 32]) });
    desk.relays[0].say(&RelayPacket::ConnectionNotification(30));
    desk.relays[0].say(&RelayPacket::Data { id: 30, data: b"I am nobody" });
    desk.run();
    assert_eq!((desk.up(), desk.contents.len()), (2, 0));
    assert_eq!(desk.relays[0].left(), [30], "we did not ask");
}

#[test]
fn a_bent_or_repeated_frame_ends_the_connection() {
    let mut desk = desk();
    desk.relays[0].say_bytes(&[0, 40]);
    desk.relays[0].say_bytes(&[7; 40]);
    desk.run();
    assert_eq!([desk.is_up(0), desk.is_up(1)], [false, true]);
    let mut desk = self::desk();
    desk.relays[1].say_bytes(&[0, 3, 1, 2, 3]);
    desk.run();
    assert_eq!([desk.is_up(0), desk.is_up(1)], [true, false], "no frame is so short");
}

#[test]
fn a_relay_with_another_key_is_not_believed() {
    let mut desk = Desk::new(2, 2);
    let node = NodeInfo { key: desk.relays[1].key(), at: desk.node(0).at };
    desk.relays[0].works = true;
    assert!(desk.client.add_own(desk.bench.now, node));
    let Some(StreamAction::Open { id, .. }) = desk.client.poll_action() else { panic!("it is opened") };
    desk.client.opened(desk.bench.now, id);
    let mut buf = [0; FRAME_LEN_MAX];
    assert_eq!(desk.client.encode_own(&mut desk.bench.cx(), id, &mut buf), CLIENT_HELLO_LEN);
    let (used, content) = desk.client.receive(&mut desk.bench.cx(), id, &mut [5; 96]);
    assert_eq!((used, content, desk.up()), (96, None, 0));
    assert_eq!(desk.client.poll_action(), Some(StreamAction::Close { id }));
    assert_eq!(desk.client.receive(&mut desk.bench.cx(), id, &mut [5; 96]).0, 96, "a stale id finds nothing");
}

#[test]
fn cookies_that_are_owed_are_few() {
    let mut desk = desk();
    let id = desk.relays[0].stream.expect("connected");
    for n in 0..100 {
        desk.client.owe_cookie(id, OwedCookie { dht: PublicKey([n; 32]), peer: PublicKey([n; 32]), echo: 1 });
    }
    let owed = core::iter::from_fn(|| desk.client.take_cookie(id)).count();
    assert_eq!(owed, 4);
}

quickcheck! {
    /// Whatever a relay says, nothing panics, the other relay stays, and the tables stay whole.
    fn nothing_that_one_says_disturbs_another(texts: Vec<(u8, u8, Vec<u8>)>) -> bool {
        let mut desk = desk();
        for (kind, id, rest) in texts {
            if desk.relays[0].stream.is_none() {
                desk.pass(Duration::from_secs(400));
            }
            if desk.relays[0].stream.is_some() {
                let kind = if kind % 3 == 0 { kind } else { kind % 20 };
                let mut text = vec![kind, id % 24];
                text.extend(&rest);
                desk.relays[0].say_text(&text);
            }
            desk.run();
        }
        desk.relays[1].say(&RelayPacket::Data { id: 16, data: b"undisturbed" });
        desk.contents.clear();
        desk.run();
        desk.is_up(1) && desk.contents.len() == 1 && desk.client.reach(0) == Reach::Online
    }
}

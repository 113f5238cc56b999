//! Every row of the table of misuse (wire-facts 2.11): what closes, and what does not.

use super::*;
use crate::wire::relay::{OOB_LEN_MAX, packet as kind};

/// Whether a client that says this, alone on the relay, is closed for it.
fn closes(text: &[u8]) -> bool {
    let mut relay = Relay::new();
    let mut client = relay.join(1);
    relay.say_raw(&mut client, text);
    match relay.why_closed(client.id) {
        None => {
            relay.say(&mut client, &RelayPacket::Ping(5));
            assert!(relay.hear(&mut client).contains(&packet(&RelayPacket::Pong(5))), "still served");
            false
        }
        Some(reason) => {
            assert_eq!(reason, CloseReason::Misuse);
            assert!(relay.is_clean());
            true
        }
    }
}

fn with(head: &[u8], len: usize) -> Vec<u8> {
    let mut text = head.to_vec();
    text.resize(len, 7);
    text
}

#[test]
fn our_own_key_is_refused_and_nothing_closes() {
    let mut relay = Relay::new();
    let mut client = relay.join(1);
    let peer = client.key;
    relay.say(&mut client, &RelayPacket::RoutingRequest(peer));
    assert_eq!(relay.hear(&mut client), [packet(&RelayPacket::RoutingResponse { id: 0, peer })]);
    assert_eq!((relay.why_closed(client.id), relay.table(2)), (None, 0));
}

#[test]
fn without_a_free_place_the_answer_is_no() {
    let mut relay = Relay::new();
    let mut client = relay.join(1);
    // 16 pages, of which a quarter is kept.
    for n in 0..100 {
        let peer = PublicKey([n; 32]);
        relay.say(&mut client, &RelayPacket::RoutingRequest(peer));
        let id = if n < 96 { 16 + n } else { 0 };
        assert_eq!(relay.hear(&mut client), [packet(&RelayPacket::RoutingResponse { id, peer })]);
    }
    assert_eq!(relay.why_closed(client.id), None);
}

#[test]
fn a_repeated_request_gets_the_same_id() {
    let mut relay = Relay::new();
    let mut client = relay.join(1);
    for n in [1, 2, 1, 2, 3, 1] {
        let peer = PublicKey([n; 32]);
        relay.say(&mut client, &RelayPacket::RoutingRequest(peer));
        assert_eq!(relay.hear(&mut client), [packet(&RelayPacket::RoutingResponse { id: 15 + n, peer })]);
    }
}

#[test]
fn leaving_nobody_closes() {
    for id in [0, 15, 16, 255] {
        assert!(closes(&[kind::DISCONNECT_NOTIFICATION, id]));
    }
    let mut relay = Relay::new();
    let mut client = relay.join(1);
    relay.say(&mut client, &RelayPacket::RoutingRequest(PublicKey([1; 32])));
    relay.say(&mut client, &RelayPacket::DisconnectNotification(16));
    assert_eq!((relay.why_closed(client.id), relay.table(2)), (None, 0));
    relay.say(&mut client, &RelayPacket::DisconnectNotification(16));
    assert_eq!(relay.why_closed(client.id), Some(CloseReason::Misuse), "twice");
}

#[test]
fn data_to_nobody_closes_and_to_somebody_absent_is_dropped() {
    assert!(closes(&[16]) && closes(&[255, 1, 2, 3]));
    let mut relay = Relay::new();
    let mut client = relay.join(1);
    relay.say(&mut client, &RelayPacket::RoutingRequest(PublicKey([1; 32])));
    relay.say(&mut client, &RelayPacket::Data { id: 16, data: b"hello?" });
    assert_eq!(relay.why_closed(client.id), None);
    assert_eq!(relay.server.stats().dropped(DropReason::NoRoute), 1);
}

#[test]
fn out_of_band_packets_have_1_to_1024_bytes() {
    let head = [kind::OOB_SEND];
    assert!(closes(&with(&head, 33)) && closes(&with(&head, 34 + OOB_LEN_MAX)));
    assert!(!closes(&with(&head, 34)) && !closes(&with(&head, 33 + OOB_LEN_MAX)));
}

#[test]
fn pings_and_pongs_have_9_bytes_and_no_pong_is_zero() {
    for kind in [kind::PING, kind::PONG] {
        assert!(closes(&with(&[kind], 8)) && closes(&with(&[kind], 10)));
        assert!(!closes(&with(&[kind], 9)));
    }
    assert!(closes(&[kind::PONG, 0, 0, 0, 0, 0, 0, 0, 0]));
}

#[test]
fn what_only_relays_say_closes() {
    for text in [with(&[kind::ONION_RESPONSE], 100), with(&[kind::FORWARDING], 100), with(&[kind::OOB_RECV], 100)] {
        assert!(closes(&text));
    }
    assert!(closes(&with(&[kind::ROUTING_RESPONSE], 34)));
    assert!(!closes(&[kind::CONNECTION_NOTIFICATION, 16]) && closes(&[kind::CONNECTION_NOTIFICATION, 16, 0]));
}

#[test]
fn what_nobody_says_closes() {
    for kind in 12..16 {
        assert!(closes(&[kind]) && closes(&with(&[kind], 33)));
    }
    for len in [1, 32, 34] {
        assert!(closes(&with(&[kind::ROUTING_REQUEST], len)));
    }
    assert!(closes(&[kind::FORWARD_REQUEST, 3, 1, 2, 3, 4, 0, 1]) && closes(&[kind::FORWARD_REQUEST]));
}

#[test]
fn short_onion_packets_close() {
    assert!(closes(&with(&[kind::ONION_REQUEST], 1 + 24 + 134)));
    // No address, but long enough.
    assert!(!closes(&with(&[kind::ONION_REQUEST], 2 + 24 + 134)));
}

#[test]
fn frames_that_cannot_be_close() {
    for bytes in [&[0, 0][..], &[0, 16], &[8, 1], &[0, 17, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]] {
        let mut relay = Relay::new();
        let client = relay.join(1);
        relay.give(client.id, bytes);
        assert_eq!(relay.why_closed(client.id), Some(CloseReason::BadFrame));
    }
}

#[test]
fn handshakes_for_others_close() {
    let mut relay = Relay::new();
    let (secret, stranger) = (relay.secret(), relay.secret().public_key());
    let me = (&secret, &secret.public_key());
    let (_, hello) = Greeting::new(&Nacl, &mut relay.rng, me, &stranger).unwrap();
    for hello in [hello, [0; 128], [255; 128]] {
        let id = relay.open(1);
        relay.give(id, &hello);
        assert_eq!(relay.why_closed(id), Some(CloseReason::BadHandshake));
    }
    assert!(relay.is_clean());
}

#[test]
fn a_recorded_handshake_proves_nothing() {
    let mut relay = Relay::new();
    let client = relay.join(1);
    let replay = {
        let me = (&client.secret, &client.key);
        let relay_key = relay.server.key();
        Greeting::new(&Nacl, &mut relay.rng, me, &relay_key).unwrap().1
    };
    let id = relay.open(2);
    relay.give(id, &replay);
    assert_eq!((relay.server.client(id), relay.server.client(client.id)), (None, Some(client.key)));
    relay.pass(Duration::from_secs(10));
    assert_eq!(relay.why_closed(id), Some(CloseReason::HandshakeTimeout));
    assert_eq!(relay.why_closed(client.id), None);
}

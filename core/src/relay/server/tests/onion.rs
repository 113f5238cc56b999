//! The onion and forwarding for clients without UDP.

use super::*;
use crate::budget::Standing;
use crate::crypto::SharedKey;
use crate::cx::test_env::Bench;
use crate::onion::OnionRelay;
use crate::wire::onion::{Hop, PAYLOAD_AT, wrap};
use crate::wire::{Writer, kind};
use crate::{DATAGRAM_MAX, Disposition, Frame};

const NODE: Endpoint = Endpoint::v4([12, 0, 0, 1], 33445);

/// A request as a client sends it (type 8) to `to`, and its length.
fn request(to: Endpoint, layer: usize) -> Vec<u8> {
    let mut data = vec![5; 24];
    let mut addr = [0; 19];
    crate::wire::onion::emit_addr(to, &mut Writer::new(&mut addr));
    data.extend_from_slice(&addr);
    data.resize(data.len() + layer, 6);
    data
}

/// The answer to what the relay sent to a node, as that node's relay would send it.
fn answer(datagram: &[u8], payload: &[u8]) -> Vec<u8> {
    let header = &datagram[datagram.len() - 59..];
    [&[kind::ONION_RESPONSE_1], header, payload].concat()
}

fn handle(relay: &mut Relay, bytes: &[u8]) -> Disposition {
    let mut buf = [0; DATAGRAM_MAX];
    buf[..bytes.len()].copy_from_slice(bytes);
    let disposition = relay.server.handle_datagram(relay.now, &mut Frame::new(&mut buf, bytes.len(), NODE));
    relay.drain();
    disposition
}

#[test]
fn a_request_goes_out_and_its_answer_comes_back() {
    let mut relay = Relay::new();
    let mut client = relay.join(1);
    relay.say(&mut client, &RelayPacket::OnionRequest(&request(NODE, 300)));
    let (to, datagram) = relay.datagrams.pop().unwrap();
    assert_eq!((to, datagram[0], datagram.len()), (NODE, kind::ONION_REQUEST_1, 1 + 24 + 300 + 59));
    assert_eq!((&datagram[1..25], &datagram[25..325]), (&[5; 24][..], &[6; 300][..]));
    let response = answer(&datagram, b"\x84 found");
    let mark = relay.server.mark();
    assert!(mark.owns(&response));
    assert_eq!(handle(&mut relay, &response), Disposition::Consumed);
    assert_eq!(relay.hear(&mut client), [packet(&RelayPacket::OnionResponse(b"\x84 found"))]);
    let stats = relay.server.stats();
    assert_eq!((stats.onion_requests, stats.onion_responses), (1, 1));
}

/// The node that serves as first hop over TCP is, for the second hop, like any other.
#[test]
fn the_whole_path_works_with_onion_relays() {
    let mut relay = Relay::new();
    let mut client = relay.join(1);
    let mut nodes = [Bench::new(1), Bench::new(2)];
    let mut relays = nodes.each_mut().map(|node| OnionRelay::new(&mut node.rng));
    let places = [NODE, Endpoint::v4([12, 0, 0, 2], 33445)];
    let dest = Endpoint::v4([12, 0, 0, 3], 33445);
    let temporary = [relay.secret(), relay.secret()];
    let public = temporary.each_ref().map(SecretKey::public_key);
    let keys = [0, 1].map(|i| crate::crypto::Suite::agree(&Nacl, &temporary[i], &nodes[i].me.dht.public).unwrap());
    // The first layer is opened by nobody: the client cuts it off, for its frames are that layer.
    let none = SharedKey::from_bytes([1; 32]);
    let hops = [
        Hop { at: dest, public: &client.key, key: &none },
        Hop { at: places[0], public: &public[0], key: &keys[0] },
        Hop { at: places[1], public: &public[1], key: &keys[1] },
    ];
    let mut buf = [0; DATAGRAM_MAX];
    buf[PAYLOAD_AT..PAYLOAD_AT + 3].copy_from_slice(b"\x83ab");
    let nonce = crate::crypto::Nonce([4; 24]);
    let len = wrap(&Nacl, &hops, dest, &nonce, &mut buf, 3);
    let box_at = 1 + 24 + 32;
    assert!(crate::crypto::Suite::open(&Nacl, &none, &nonce, &mut buf[box_at..len]));
    let text = [&nonce.0, &buf[box_at + 16..len]].concat();
    relay.say(&mut client, &RelayPacket::OnionRequest(&text));

    let (mut at, mut bytes) = relay.datagrams.pop().unwrap();
    let us = Endpoint::v4([10, 0, 0, 1], 33445);
    let mut from = us;
    for i in 0..2 {
        assert_eq!(at, places[i]);
        let mut buf = [0; DATAGRAM_MAX];
        buf[..bytes.len()].copy_from_slice(&bytes);
        let frame = &mut Frame::new(&mut buf, bytes.len(), from);
        let Disposition::Reply { to, len } = relays[i].on_packet(&mut nodes[i].cx(), frame, &|_, _| Standing::Stranger)
        else {
            panic!("hop {i}")
        };
        (from, at, bytes) = (places[i], to, buf[..len].to_vec());
    }
    assert_eq!((at, &bytes[..3]), (dest, &b"\x83ab"[..]));
    bytes = [&[kind::ONION_RESPONSE_3], &bytes[3..], b"\x84yes"].concat();
    for i in [1, 0] {
        let mut buf = [0; DATAGRAM_MAX];
        buf[..bytes.len()].copy_from_slice(&bytes);
        let frame = &mut Frame::new(&mut buf, bytes.len(), dest);
        let Disposition::Reply { to, len } = relays[i].on_packet(&mut nodes[i].cx(), frame, &|_, _| Standing::Stranger)
        else {
            panic!("hop {i}")
        };
        (at, bytes) = (to, buf[..len].to_vec());
    }
    assert_eq!((at, handle(&mut relay, &bytes)), (us, Disposition::Consumed));
    assert_eq!(relay.hear(&mut client), [packet(&RelayPacket::OnionResponse(b"\x84yes"))]);
}

#[test]
fn an_answer_never_reaches_the_next_in_the_same_slot() {
    let mut relay = Relay::new();
    let mut client = relay.join(1);
    relay.say(&mut client, &RelayPacket::OnionRequest(&request(NODE, 300)));
    let (_, datagram) = relay.datagrams.pop().unwrap();
    relay.server.closed(relay.now, client.id);
    let mut next = relay.join(2);
    assert_eq!(next.id.index(), client.id.index());
    let response = answer(&datagram, b"\x84 for somebody else");
    assert_eq!(handle(&mut relay, &response), Disposition::Dropped(DropReason::NoRoute));
    assert!(relay.hear(&mut next).is_empty());
}

#[test]
fn only_answers_come_back_and_only_of_this_relay() {
    let mut relay = Relay::new();
    let mut client = relay.join(1);
    relay.say(&mut client, &RelayPacket::OnionRequest(&request(NODE, 300)));
    let (_, datagram) = relay.datagrams.pop().unwrap();
    for payload in [&b"\x00ping"[..], b"\x20nat", b""] {
        let response = answer(&datagram, payload);
        assert_eq!(handle(&mut relay, &response), Disposition::Dropped(DropReason::Forbidden));
    }
    let mark = relay.server.mark();
    let good = answer(&datagram, b"\x84x");
    for i in 1..60 {
        let mut bent = good.clone();
        bent[i] ^= 1;
        assert_eq!(mark.owns(&bent), i > 24);
        assert_eq!(handle(&mut relay, &bent), Disposition::Dropped(DropReason::BadToken));
    }
    assert!(!mark.owns(&good[..24]) && !mark.owns(&[]) && !mark.owns(&datagram));
}

/// The auths of DHT announcements are bound to the sendback: it is the same each time, and for each client another.
#[test]
fn a_sendback_is_stable_and_proved() {
    let mut relay = Relay::new();
    let mut clients = [relay.join(1), relay.join(2)];
    let [first, again, other] = [0, 0, 1].map(|i| {
        relay.say(&mut clients[i], &RelayPacket::ForwardRequest { to: NODE, data: b"x" });
        relay.datagrams.pop().unwrap().1
    });
    assert!(first == again && first != other);
    assert_eq!((first.len(), first[1]), (2 + 37 + 1, 37));
    let reply = [&[kind::FORWARD_REPLY], &first[1..39], b"answer"].concat();
    let mark = relay.server.mark();
    for i in 1..39 {
        let mut bent = reply.clone();
        bent[i] ^= 1;
        assert!(!mark.owns(&bent), "byte {i}");
        // Whoever hands it to us all the same: only the mark itself is not proved.
        let refused = matches!(handle(&mut relay, &bent), Disposition::Dropped(_));
        assert_eq!(refused, !(2..10).contains(&i), "byte {i}");
    }
    relay.server.closed(relay.now, clients[0].id);
    assert_eq!(handle(&mut relay, &reply), Disposition::Dropped(DropReason::NoRoute));
}

#[test]
fn forwarding_has_its_rate() {
    let mut relay = Relay::new();
    let mut client = relay.join(1);
    for _ in 0..600 {
        relay.say(&mut client, &RelayPacket::ForwardRequest { to: NODE, data: b"x" });
    }
    let stats = relay.server.stats();
    assert_eq!((stats.forwarded, stats.dropped(DropReason::RateLimited)), (512, 88));
}

#[test]
fn strange_addresses_and_lengths_are_dropped() {
    let mut relay = Relay::new();
    let mut client = relay.join(1);
    let bad = [Endpoint::v4([10, 0, 0, 1], 1), Endpoint::v4([224, 0, 0, 1], 1), Endpoint::v4([12, 0, 0, 1], 0)];
    for to in bad {
        relay.say(&mut client, &RelayPacket::OnionRequest(&request(to, 300)));
        relay.say(&mut client, &RelayPacket::ForwardRequest { to, data: b"x" });
    }
    assert_eq!(relay.server.stats().dropped(DropReason::BadAddress), 6);
    for layer in [134, 1317] {
        relay.say(&mut client, &RelayPacket::OnionRequest(&request(NODE, layer)));
    }
    assert_eq!(relay.server.stats().dropped(DropReason::Malformed), 2);
    assert!(relay.datagrams.is_empty() && relay.closed.is_empty());
    relay.say(&mut client, &RelayPacket::OnionRequest(&request(NODE, 1316)));
    assert_eq!(relay.datagrams.pop().unwrap().1.len(), 1400);
}

#[test]
fn a_packet_is_forwarded_and_its_reply_comes_back() {
    let mut relay = Relay::new();
    let mut client = relay.join(1);
    for data in [&b"question"[..], &[8; 1792], b""] {
        relay.say(&mut client, &RelayPacket::ForwardRequest { to: NODE, data });
        let (to, datagram) = relay.datagrams.pop().unwrap();
        let len = usize::from(datagram[1]);
        assert_eq!((to, datagram[0], &datagram[2 + len..]), (NODE, kind::FORWARDING, data));
        let reply = [&[kind::FORWARD_REPLY], &datagram[1..2 + len], b"answer"].concat();
        assert!(relay.server.mark().owns(&reply));
        assert_eq!(handle(&mut relay, &reply), Disposition::Consumed);
        assert_eq!(relay.hear(&mut client), [packet(&RelayPacket::Forwarding(b"answer"))]);
    }
}

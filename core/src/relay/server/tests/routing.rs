//! Clients that name each other, speak, and leave.

use super::*;

fn response(id: u8, peer: PublicKey) -> Packet {
    packet(&RelayPacket::RoutingResponse { id, peer })
}

#[test]
fn two_that_name_each_other_speak() {
    let mut relay = Relay::new();
    let (mut a, mut b) = (relay.join(1), relay.join(2));
    // So that the ids differ.
    relay.say(&mut b, &RelayPacket::RoutingRequest(PublicKey([5; 32])));
    relay.say(&mut a, &RelayPacket::RoutingRequest(b.key));
    assert_eq!(relay.hear(&mut a), [response(16, b.key)]);
    relay.say(&mut b, &RelayPacket::RoutingRequest(a.key));
    let connected = |id| packet(&RelayPacket::ConnectionNotification(id));
    assert_eq!(relay.hear(&mut b), [response(16, PublicKey([5; 32])), response(17, a.key), connected(17)]);
    assert_eq!(relay.hear(&mut a), [connected(16)]);
    for data in [&b"hello"[..], b"", &[3; 2031]] {
        relay.say(&mut a, &RelayPacket::Data { id: 16, data });
        assert_eq!(relay.hear(&mut b), [packet(&RelayPacket::Data { id: 17, data })]);
        relay.say(&mut b, &RelayPacket::Data { id: 17, data });
        assert_eq!(relay.hear(&mut a), [packet(&RelayPacket::Data { id: 16, data })]);
    }
    assert_eq!(relay.server.stats().relayed, 6);
}

#[test]
fn one_leaves_the_route_and_comes_back() {
    let mut relay = Relay::new();
    let (mut a, mut b) = (relay.join(1), relay.join(2));
    relay.route(&mut a, &mut b);
    relay.say(&mut a, &RelayPacket::DisconnectNotification(16));
    assert_eq!(relay.hear(&mut b), [packet(&RelayPacket::DisconnectNotification(16))]);
    relay.say(&mut b, &RelayPacket::Data { id: 16, data: b"gone" });
    assert!(relay.hear(&mut a).is_empty() && relay.closed.is_empty());
    relay.say(&mut a, &RelayPacket::RoutingRequest(b.key));
    assert_eq!(relay.hear(&mut b), [packet(&RelayPacket::ConnectionNotification(16))]);
}

#[test]
fn one_goes_and_its_peers_are_told() {
    let mut relay = Relay::new();
    let (mut a, mut b) = (relay.join(1), relay.join(2));
    relay.route(&mut a, &mut b);
    relay.server.closed(relay.now, a.id);
    relay.drain();
    assert_eq!(relay.hear(&mut b), [packet(&RelayPacket::DisconnectNotification(16))]);
    assert_eq!(relay.why_closed(a.id), None, "the adapter knows");
    assert_eq!(relay.server.stats().closed(CloseReason::Gone), 1);
    let mut again = relay.join_as(1, a.secret);
    relay.say(&mut again, &RelayPacket::RoutingRequest(b.key));
    assert_eq!(relay.hear(&mut b), [packet(&RelayPacket::ConnectionNotification(16))]);
}

#[test]
fn a_new_connection_of_the_same_key_replaces_the_old() {
    let mut relay = Relay::new();
    let (mut a, mut b) = (relay.join(1), relay.join(2));
    relay.route(&mut a, &mut b);
    let again = relay.greet(3, a.secret.clone());
    assert_eq!(relay.why_closed(a.id), None, "nothing is proved yet");
    let mut again = Client { secret: a.secret, ..again };
    relay.say(&mut again, &RelayPacket::RoutingRequest(b.key));
    assert_eq!(relay.why_closed(a.id), Some(CloseReason::Replaced));
    let [gone, there] = [RelayPacket::DisconnectNotification(16), RelayPacket::ConnectionNotification(16)];
    assert_eq!(relay.hear(&mut b), [packet(&gone), packet(&there)], "in this order");
    assert_eq!(relay.table(0), 2);
}

#[test]
fn who_does_not_know_of_a_visit_is_not_told_of_its_end() {
    let mut relay = Relay::new();
    let (mut a, mut b) = (relay.join(1), relay.join(2));
    relay.say(&mut a, &RelayPacket::RoutingRequest(b.key));
    assert_eq!(relay.hear(&mut a), [response(16, b.key)]);
    relay.stuck.push(a.id);
    relay.say(&mut b, &RelayPacket::RoutingRequest(a.key));
    relay.say(&mut b, &RelayPacket::DisconnectNotification(16));
    relay.stuck.clear();
    let mut buf = [0; FRAME_LEN_MAX];
    assert_eq!(relay.server.poll_stream(relay.now, a.id, &mut buf), 0);
}

#[test]
fn out_of_band_reaches_who_has_not_asked() {
    let mut relay = Relay::new();
    let (mut a, mut b) = (relay.join(1), relay.join(2));
    relay.say(&mut a, &RelayPacket::OobSend { to: b.key, data: b"psst" });
    assert_eq!(relay.hear(&mut b), [packet(&RelayPacket::OobRecv { from: a.key, data: b"psst" })]);
    relay.say(&mut a, &RelayPacket::OobSend { to: PublicKey([1; 32]), data: b"psst" });
    assert_eq!((relay.closed.len(), relay.server.stats().dropped(DropReason::NoRoute)), (0, 1));
    let greeted = {
        let secret = relay.secret();
        relay.greet(3, secret)
    };
    relay.say(&mut a, &RelayPacket::OobSend { to: greeted.key, data: b"psst" });
    assert_eq!(relay.server.stats().dropped(DropReason::NoRoute), 2, "who has proved nothing is not there");
}

#[test]
fn pings_every_30_seconds_and_10_to_answer() {
    let mut relay = Relay::new();
    let (mut alive, mut dead) = (relay.join(1), relay.join(2));
    for round in 0..3 {
        relay.pass(Duration::from_secs(29));
        assert!(relay.hear(&mut alive).is_empty());
        relay.pass(Duration::from_secs(1));
        let [ping] = &relay.hear(&mut alive)[..] else { panic!("one ping") };
        let Some(RelayPacket::Ping(id)) = RelayPacket::parse(ping) else { panic!("{ping:?}") };
        relay.say(&mut alive, &RelayPacket::Pong(id.wrapping_add(1).max(1)));
        relay.say(&mut alive, &RelayPacket::Pong(id));
        if round == 0 {
            // Anything but the pong is no answer.
            relay.pass(Duration::from_secs(9));
            relay.say(&mut dead, &RelayPacket::Ping(3));
            assert_eq!(relay.why_closed(dead.id), None);
            relay.pass(Duration::from_secs(1));
            assert_eq!(relay.why_closed(dead.id), Some(CloseReason::PingTimeout));
            relay.pass(Duration::from_secs(20));
            let [ping] = &relay.hear(&mut alive)[..] else { panic!("one ping") };
            let Some(RelayPacket::Ping(id)) = RelayPacket::parse(ping) else { panic!("{ping:?}") };
            relay.say(&mut alive, &RelayPacket::Pong(id));
        }
    }
    assert_eq!((relay.why_closed(alive.id), relay.table(0)), (None, 1));
}

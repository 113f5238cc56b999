//! Clients with one node only, which relays TCP: clients and node are c-toxcore's, which proves the harness, or ours.
//!
//! And what a relay does with those who misuse it, asked of both.

#![cfg(feature = "interop")]

use bluering::core::crypto::PublicKey;
use bluering::core::wire::relay::{OOB_LEN_MAX, RelayPacket, packet};
use bluering_tests::Kind::{self, Ours, Real};
use bluering_tests::relay::RelayClient;
use bluering_tests::{Failure, Net, Node, Outcome, Pair, Peer, TempDir, ensure};
use chacha20::ChaCha20Rng;
use rand_core::SeedableRng;
use std::time::{Duration, Instant};

const TCP: &[&str] = &["--tcp-only"];
const UDP: &[&str] = &[];

fn chat(node: Kind, a: (Kind, &[&str]), b: (Kind, &[&str]), by: &str) -> Outcome {
    let net = Net::new()?;
    let node = Node::start_relay(&net, node)?;
    let pair = Pair::friends_with(&net, &node, a, b)?;
    pair.a.wait("friend_connection", |heard| heard.text("status") == by)?;
    pair.b.wait("friend_connection", |heard| heard.text("status") == by)?;
    for turn in 0..2 {
        pair.say("normal", &format!("Grüße {turn}"))?;
        pair.say("action", &"x".repeat(1372))?;
    }
    pair.turned().say("normal", "and back").map(drop)
}

#[test]
fn tcp_only_by_their_node() -> Outcome {
    chat(Real, (Real, TCP), (Real, TCP), "tcp")
}

#[test]
fn tcp_only_by_our_node() -> Outcome {
    chat(Ours, (Real, TCP), (Real, TCP), "tcp")
}

#[test]
fn tcp_only_with_udp_by_our_node() -> Outcome {
    chat(Ours, (Real, TCP), (Real, UDP), "tcp")
}

#[test]
fn udp_by_our_node() -> Outcome {
    chat(Ours, (Real, UDP), (Real, UDP), "udp")
}

#[test]
fn udp_with_ours_by_our_node() -> Outcome {
    chat(Ours, (Real, UDP), (Ours, UDP), "udp")
}

#[test]
fn ours_tcp_only_by_their_node() -> Outcome {
    chat(Real, (Ours, TCP), (Ours, TCP), "tcp")
}

#[test]
fn ours_tcp_only_by_our_node() -> Outcome {
    chat(Ours, (Ours, TCP), (Ours, TCP), "tcp")
}

#[test]
fn ours_with_theirs_tcp_only_by_their_node() -> Outcome {
    chat(Real, (Ours, TCP), (Real, TCP), "tcp")
}

#[test]
fn theirs_with_ours_tcp_only_by_their_node() -> Outcome {
    chat(Real, (Real, TCP), (Ours, TCP), "tcp")
}

#[test]
fn ours_with_theirs_tcp_only_by_our_node() -> Outcome {
    chat(Ours, (Ours, TCP), (Real, TCP), "tcp")
}

#[test]
fn ours_tcp_only_with_theirs_that_has_udp() -> Outcome {
    chat(Real, (Ours, TCP), (Real, UDP), "tcp")
}

#[test]
fn ours_with_udp_and_theirs_tcp_only() -> Outcome {
    chat(Real, (Ours, UDP), (Real, TCP), "tcp")
}

#[test]
fn ours_with_udp_and_ours_tcp_only() -> Outcome {
    chat(Real, (Ours, UDP), (Ours, TCP), "tcp")
}

/// Nothing but the relay is known from the last run, and the friend.
#[test]
fn ours_tcp_only_meet_again() -> Outcome {
    let (net, folder) = (Net::new()?, TempDir::new()?);
    let node = Node::start_relay(&net, Real)?;
    let (alice, bob, way_in) = (folder.file("alice"), folder.file("bob"), node.address());
    let later = [&alice, &bob].map(|file| ["--tcp-only", "--save", file.as_str()]);
    let first = later.map(|args| [&args[..], &["--bootstrap", &way_in]].concat());
    let pair = Pair::friends_apart((&net, Ours, &first[0]), (&net, Ours, &first[1]))?;
    pair.say("normal", "before")?;
    let Pair { a: alice, b: bob, .. } = pair;
    alice.save_and_close()?;
    bob.save_and_close()?;
    let alice = Peer::start(&net, Ours, "alice", &later[0])?;
    let bob = Peer::start(&net, Ours, "bob", &later[1])?;
    let met = alice.friend_online(0, 0)?.at.max(bob.friend_online(0, 0)?.at);
    let took = met.duration_since(bob.started());
    ensure(took < Duration::from_millis(3_000), || format!("they took {took:?} to meet again"))
}

/// UDP dies while they chat, and comes back.
fn udp_dies(a: Kind, b: Kind, gap: Duration) -> Outcome {
    let net = Net::new()?;
    let node = Node::start_relay(&net, Real)?;
    let pair = Pair::friends_with(&net, &node, (a, UDP), (b, UDP))?;
    for peer in [&pair.a, &pair.b] {
        peer.wait("friend_connection", |heard| heard.text("status") == "udp")?;
    }
    std::thread::sleep(Duration::from_secs(2));
    pair.say("normal", "by UDP")?;
    net.block_udp(true)?;
    let (marks, begin) = ([pair.a.mark(), pair.b.mark()], Instant::now());
    pair.say("normal", "by TCP")?;
    let took = begin.elapsed();
    ensure(took < gap, || format!("nothing arrived for {took:?}"))?;
    pair.a.wait_after(marks[0], "friend_connection", |heard| heard.text("status") == "tcp")?;
    pair.b.wait_after(marks[1], "friend_connection", |heard| heard.text("status") == "tcp")?;
    let marks = [pair.a.mark(), pair.b.mark()];
    net.block_udp(false)?;
    pair.a.wait_after(marks[0], "friend_connection", |heard| heard.text("status") == "udp")?;
    pair.b.wait_after(marks[1], "friend_connection", |heard| heard.text("status") == "udp")?;
    pair.turned().say("normal", "by UDP again").map(drop)
}

#[test]
fn ours_go_on_when_udp_dies() -> Outcome {
    udp_dies(Ours, Ours, Duration::from_millis(2_500))
}

/// c-toxcore believes in UDP for 8 s.
#[test]
fn ours_and_theirs_go_on_when_udp_dies() -> Outcome {
    udp_dies(Ours, Real, Duration::from_secs(14))
}

#[test]
fn theirs_and_ours_go_on_when_udp_dies() -> Outcome {
    udp_dies(Real, Ours, Duration::from_secs(14))
}

fn with(head: &[u8], len: usize) -> Vec<u8> {
    let mut text = head.to_vec();
    text.resize(len, 7);
    text
}

/// Each text, and whether a relay closes the connection of a client that says it first.
fn misuses() -> Vec<(Vec<u8>, bool)> {
    vec![
        (vec![packet::DISCONNECT_NOTIFICATION, 0], true),
        (vec![packet::DISCONNECT_NOTIFICATION, 15], true),
        (vec![packet::DISCONNECT_NOTIFICATION, 16], true),
        (vec![16], true),
        (vec![255, 1, 2], true),
        (with(&[packet::OOB_SEND], 33), true),
        (with(&[packet::OOB_SEND], 34), false),
        (with(&[packet::OOB_SEND], 33 + OOB_LEN_MAX), false),
        (with(&[packet::OOB_SEND], 34 + OOB_LEN_MAX), true),
        (with(&[packet::PING], 8), true),
        (with(&[packet::PING], 10), true),
        (with(&[packet::PONG], 8), true),
        (with(&[packet::PONG], 9), false),
        (vec![packet::PONG, 0, 0, 0, 0, 0, 0, 0, 0], true),
        (with(&[packet::ROUTING_RESPONSE], 34), true),
        (vec![packet::CONNECTION_NOTIFICATION, 16], false),
        (vec![packet::CONNECTION_NOTIFICATION, 16, 0], true),
        (with(&[packet::OOB_RECV], 100), true),
        (with(&[packet::ONION_RESPONSE], 100), true),
        (with(&[packet::FORWARDING], 100), true),
        (with(&[12], 33), true),
        (with(&[15], 2), true),
        (with(&[packet::ROUTING_REQUEST], 32), true),
        (with(&[packet::ONION_REQUEST], 1 + 24 + 134), true),
        (with(&[packet::ONION_REQUEST], 2 + 24 + 134), false),
    ]
}

fn misuse(kind: Kind) -> Outcome {
    let net = Net::new()?;
    let node = Node::start_relay(&net, kind)?;
    net.within(move || {
        let (at, key) = node.relay().ok_or_else(|| Failure::new("it has a relay"))?;
        let mut rng = ChaCha20Rng::from_seed([5; 32]);
        let mut wrong = Vec::new();
        for (text, closes) in misuses() {
            let connected = RelayClient::connect(at, &key, &mut rng);
            let mut client = connected.map_err(|why| Failure(format!("before {:?}: {why}", text.first())))?;
            client.send_text(&text)?;
            let closed = client.is_closed();
            if closed.as_ref().ok() != Some(&closes) {
                wrong.push(format!("{:?}... of {} bytes: {closed:?}", &text[..text.len().min(3)], text.len()));
            }
        }
        ensure(wrong.is_empty(), || wrong.join("\n"))?;
        routes(at, &key, &mut rng)
    })
}

/// What does not close: our own key, the same peer again, data to somebody absent.
fn routes(at: std::net::SocketAddr, key: &PublicKey, rng: &mut ChaCha20Rng) -> Outcome {
    let mut client = RelayClient::connect(at, key, rng)?;
    let (own, peer) = (client.key, PublicKey([3; 32]));
    for (asked, wanted) in [(own, 0), (peer, 16), (peer, 16), (PublicKey([4; 32]), 17)] {
        client.send(&RelayPacket::RoutingRequest(asked))?;
        let id = client.route_to(&asked).map_err(|why| Failure(format!("no answer for {asked}: {why}")))?;
        ensure(id == wanted, || format!("{asked}: {id}, not {wanted}"))?;
    }
    client.send(&RelayPacket::Data { id: 16, data: b"nobody there" })?;
    client.send(&RelayPacket::DisconnectNotification(16))?;
    let closed = client.is_closed().map_err(|why| Failure(format!("after data and leaving: {why}")))?;
    ensure(!closed, || "closed for nothing".into())?;
    client.send(&RelayPacket::DisconnectNotification(16))?;
    ensure(client.is_closed()?, || "it may leave twice".into())?;
    let (mut a, mut b) = (RelayClient::connect(at, key, rng)?, RelayClient::connect(at, key, rng)?);
    let [to_b, to_a] = a.meet(&mut b)?;
    a.send(&RelayPacket::Data { id: to_b, data: b"hello" })?;
    b.expect(&RelayPacket::Data { id: to_a, data: b"hello" })?;
    // c-toxcore notices the end of a connection only by a ping without answer.
    a.send(&RelayPacket::DisconnectNotification(to_b))?;
    let told = b.expect(&RelayPacket::DisconnectNotification(to_a));
    told.map_err(|why| Failure(format!("not told that the peer left: {why}")))
}

#[test]
fn misuse_of_their_relay() -> Outcome {
    misuse(Real)
}

#[test]
fn misuse_of_our_relay() -> Outcome {
    misuse(Ours)
}

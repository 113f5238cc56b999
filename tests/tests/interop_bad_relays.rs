//! Our client among relays that mean ill and lines that spoil: with one good relay it meets its friend and chats, it
//! does not run hot, does not grow, and does not come back to the bad ones all the time.

#![cfg(feature = "interop")]

use bluering_tests::Kind::{Ours, Real};
use bluering_tests::bad_relays::{BadRelay, Misdeed, Spoiling};
use bluering_tests::{Failure, Net, Node, Outcome, Peer, ensure, measure};
use core::time::Duration;
use serde_json::json;
use std::time::Instant;

/// How much of a core a client may use among those who flood it.
const CPU_MAX: f64 = 0.5;
const MEMORY_MAX: u64 = 64 << 20;
/// How long a client is watched.
const WATCHED: Duration = Duration::from_secs(30);
/// How often a bad relay may be tried in the first half minute: twice as long a pause after each time.
const VISITS_MAX: usize = 12;

/// Two that are friends.
struct Friends {
    alice: Peer,
    bob: Peer,
    bob_at_alice: u64,
    alice_at_bob: u64,
}

impl Friends {
    /// Alice asks Bob, a real libtoxcore, who knows only the good relay.
    fn meet(net: &Net, node: &Node, alice: Peer) -> Outcome<Self> {
        let bob = Peer::start(net, Real, "bob", &["--tcp-only", "--bootstrap", &node.address()])?;
        alice.online()?;
        bob.online()?;
        let add = json!({"address": bob.address(), "message": "hello"});
        let bob_at_alice = alice.cmd("add_friend", add)?.number("friend")?;
        bob.wait("friend_request", |heard| heard.text("pk") == alice.pk())?;
        let alice_at_bob = bob.cmd("accept", json!({"pk": alice.pk()}))?.number("friend")?;
        alice.friend_online(0, bob_at_alice)?;
        bob.friend_online(0, alice_at_bob)?;
        Ok(Self { alice, bob, bob_at_alice, alice_at_bob })
    }

    fn chat(&self, turn: u32) -> Outcome {
        say(&self.alice, self.bob_at_alice, &self.bob, &format!("there {turn} {}", "x".repeat(1000)))?;
        say(&self.bob, self.alice_at_bob, &self.alice, &format!("back {turn}"))
    }
}

/// Alice gets to know the bad relays, and then the good one.
fn chat_among(bad: &[BadRelay], net: &Net, node: &Node) -> Outcome {
    let alice = Peer::start(net, Ours, "alice", &["--tcp-only"])?;
    let start = Instant::now();
    for relay in bad {
        let (at, key) = relay.relay();
        alice.cmd("add_tcp_relay", json!({"host": at.ip().to_string(), "port": at.port(), "pk": key.to_string()}))?;
    }
    std::thread::sleep(Duration::from_secs(1));
    let (at, udp) = (node.relay().ok_or_else(|| Failure::new("it has a relay"))?.0, node.endpoint());
    let good = json!({"host": udp.ip().to_string(), "port": udp.port(), "pk": node.key(), "tcp_port": at.port()});
    alice.cmd("bootstrap", good)?;
    let friends = Friends::meet(net, node, alice)?;
    for turn in 0.. {
        friends.chat(turn)?;
        if start.elapsed() > WATCHED {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    let (alice, seconds) = (&friends.alice, start.elapsed().as_secs_f64());
    let (cpu, memory) = (measure::cpu_seconds(alice.pid()) / seconds, measure::resident_bytes(alice.pid()));
    ensure(cpu < CPU_MAX && memory < MEMORY_MAX, || alice.quote(&format!("uses {cpu:.2} cores, {memory} bytes")))?;
    for relay in bad {
        let visits = relay.visits();
        ensure(visits <= VISITS_MAX, || alice.quote(&format!("came {visits} times to {:?}", relay.relay())))?;
    }
    Ok(())
}

fn among(misdeeds: &[Misdeed]) -> Outcome {
    let net = Net::new()?;
    let node = Node::start_relay(&net, Ours)?;
    let bad: Vec<BadRelay> =
        misdeeds.iter().map(|misdeed| BadRelay::start(&net, *misdeed)).collect::<Outcome<Vec<_>>>()?;
    chat_among(&bad, &net, &node)?;
    let seen = bad.iter().filter(|relay| relay.visits() > 0).count();
    ensure(seen > 0, || "no bad relay was ever tried".into())
}

#[test]
fn among_the_silent() -> Outcome {
    among(&[Misdeed::Silent, Misdeed::Closes, Misdeed::WrongKey, Misdeed::Drips])
}

#[test]
fn among_the_noisy() -> Outcome {
    among(&[Misdeed::Noise, Misdeed::TooLong, Misdeed::Fickle])
}

#[test]
fn among_the_useless() -> Outcome {
    among(&[Misdeed::Deaf, Misdeed::SaysNo])
}

#[test]
fn among_liars() -> Outcome {
    among(&[Misdeed::Echo, Misdeed::Forges])
}

/// Two friends whose only way leads through a line that spoils what the relay says.
fn spoilt(spoiling: Spoiling) -> Outcome {
    let net = Net::new()?;
    let node = Node::start_relay(&net, Ours)?;
    let relay = node.relay().ok_or_else(|| Failure::new("it has a relay"))?;
    let line = BadRelay::spoil(&net, spoiling, relay)?;
    let good = node.address();
    let (host, _) = good.split_once(':').unwrap_or_default();
    let spoilt = format!("{}:{}", node.address_by(host), line.relay().0.port());
    let alice = Peer::start(&net, Ours, "alice", &["--tcp-only", "--bootstrap", &spoilt])?;
    let friends = Friends::meet(&net, &node, alice)?;
    // Messages get through in both directions, however often the connection breaks.
    (0..20).try_for_each(|turn| friends.chat(turn))
}

/// Sends until it is accepted: a friend may be away for a moment.
fn say(from: &Peer, friend: u64, to: &Peer, text: &str) -> Outcome {
    let (mark, start) = (to.mark(), Instant::now());
    let send = || from.cmd("send_message", json!({"friend": friend, "text": text, "type": "normal"}));
    while let Err(why) = send() {
        ensure(start.elapsed() < Duration::from_secs(90), || why.0)?;
        std::thread::sleep(Duration::from_millis(100));
    }
    to.wait_after(mark, "message", |heard| heard.text("text") == text).map(drop)
}

#[test]
fn a_line_that_delays() -> Outcome {
    spoilt(Spoiling::Delays(Duration::from_millis(200)))
}

#[test]
fn a_line_that_tampers() -> Outcome {
    spoilt(Spoiling::Tampers(20_000))
}

#[test]
fn a_line_that_drops() -> Outcome {
    spoilt(Spoiling::Drops(20_000))
}

#[test]
fn a_line_that_is_cut() -> Outcome {
    spoilt(Spoiling::Cuts(15_000))
}

#[test]
fn a_line_that_stalls() -> Outcome {
    spoilt(Spoiling::Stalls(15_000))
}

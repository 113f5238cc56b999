//! Real programs behind real address translators, in namespaces: who meets whom directly, as the simulator says, and
//! who through a relay; and people who move while they chat.

#![cfg(feature = "interop")]

use bluering_sim::net::{NatSpec, Reach, reach};
use bluering_tests::Kind::{self, Ours, Real};
use bluering_tests::{Internet, Net, Outcome, Peer, Translator, Wire, ensure};
use core::time::Duration;
use serde_json::json;
use std::fmt::Write;
use std::thread::sleep;
use std::time::Instant;

/// How long all who can meet may take: c-toxcore repeats a search every 20 s.
const MEET: Duration = Duration::from_secs(60);
/// So long we watch whether those meet directly who cannot.
const WATCH: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(500);

/// Where somebody lives.
struct Home {
    /// `None` is a host on the internet.
    kind: Option<Translator>,
    net: Net,
    _wire: Option<Wire>,
}

impl Home {
    fn new(internet: &Internet, kind: Option<Translator>, outside: [u8; 4]) -> Outcome<Self> {
        let Some(translator) = kind else {
            return Ok(Self { kind, net: internet.host(outside)?, _wire: None });
        };
        let wire = internet.home_behind(outside, translator)?;
        Ok(Self { kind, net: wire.inside()?, _wire: Some(wire) })
    }

    fn name(&self) -> &'static str {
        self.kind.map_or("public", Translator::name)
    }

    /// What the simulator calls it; the outer `None` has no UDP.
    fn spec(&self) -> Option<Option<NatSpec>> {
        match self.kind {
            None => Some(None),
            Some(Translator::FullCone) => Some(Some(NatSpec::FULL_CONE)),
            Some(Translator::Restricted) => Some(Some(NatSpec::RESTRICTED)),
            Some(Translator::PortRestricted) => Some(Some(NatSpec::PORT_RESTRICTED)),
            Some(Translator::Symmetric) => Some(Some(NatSpec::SYMMETRIC)),
            Some(Translator::Blocked) => None,
        }
    }
}

fn expected(a: &Home, b: &Home) -> Reach {
    match (a.spec(), b.spec()) {
        (Some(a), Some(b)) => reach(a.as_ref(), b.as_ref()),
        (None, _) | (_, None) => Reach::Unreachable,
    }
}

/// How the two are to be connected.
fn way(a: &Home, b: &Home) -> &'static str {
    if expected(a, b) == Reach::Unreachable { "tcp" } else { "udp" }
}

/// Makes two who are awake friends, without a request; the number that `a` has for `b`.
fn befriend(a: &Peer, b: &Peer) -> Outcome<u64> {
    b.cmd("accept", json!({"pk": a.pk()}))?;
    a.cmd("accept", json!({"pk": b.pk()}))?.number("friend")
}

/// How `a` reaches its friend now.
fn connection(a: &Peer, friend: u64) -> Outcome<String> {
    let friends = a.cmd("friends", json!({}))?;
    let of = friends.line["friends"].as_array().and_then(|all| all.iter().find(|one| one["friend"] == friend));
    Ok(of.and_then(|one| one["connection"].as_str()).unwrap_or("none").to_string())
}

/// All kinds of homes against all: every pair that the simulator lets meet does so directly, all others by the relay.
#[test]
fn the_matrix_is_the_simulated_one() -> Outcome {
    let internet = Internet::new()?;
    let nodes = internet.nodes(&[Ours; 6])?;
    let way_in = nodes[0].1.address();
    let kinds: Vec<Option<Translator>> = [None].into_iter().chain(Translator::ALL.map(Some)).collect();
    let street = |network: [u8; 3]| -> Outcome<Vec<(Home, Peer)>> {
        let settle = |(n, kind): (u8, &Option<Translator>)| {
            let [a, b, c] = network;
            let home = Home::new(&internet, *kind, [a, b, c, 100 + n])?;
            let peer = Peer::start(&home.net, Ours, home.name(), &["--bootstrap", &way_in])?;
            Ok((home, peer))
        };
        (0..).zip(&kinds).map(settle).collect()
    };
    let (left, right) = (street([198, 51, 100])?, street([203, 0, 113])?);
    let mut pairs = Vec::new();
    for (i, (a_home, a)) in left.iter().enumerate() {
        for (b_home, b) in &right[i..] {
            pairs.push((a_home, a, b_home, befriend(a, b)?));
        }
    }
    let start = Instant::now();
    let mut met: Vec<Option<Duration>> = vec![None; pairs.len()];
    while start.elapsed() < WATCH || met.contains(&None) && start.elapsed() < MEET {
        for ((a_home, a, b_home, friend), met) in pairs.iter().zip(&mut met).filter(|(_, met)| met.is_none()) {
            *met = (connection(a, *friend)? == way(a_home, b_home)).then(|| start.elapsed());
        }
        sleep(STEP);
    }
    let mut wrong = String::new();
    for ((a, peer, b, friend), met) in pairs.iter().zip(&met) {
        let (promised, now) = (way(a, b), connection(peer, *friend)?);
        println!("{:15} {:15} {:?}: {promised} after {met:?}, now {now}", a.name(), b.name(), expected(a, b));
        if now != promised {
            // Writing to a String cannot fail.
            let _ = writeln!(wrong, "{} and {}: {promised} is expected, but it is {now}", a.name(), b.name());
        }
    }
    ensure(wrong.is_empty(), || wrong)
}

/// Ours and c-toxcore, each behind a port-restricted translator.
#[test]
fn ours_and_theirs_punch() -> Outcome {
    let internet = Internet::new()?;
    let nodes = internet.nodes(&[Real, Ours, Real, Ours, Real, Ours])?;
    let way_in = nodes[0].1.address();
    let home = |outside| Home::new(&internet, Some(Translator::PortRestricted), outside);
    let (ours, theirs) = (home([198, 51, 100, 100])?, home([203, 0, 113, 100])?);
    let a = Peer::start(&ours.net, Ours, "alice", &["--bootstrap", &way_in])?;
    let b = Peer::start(&theirs.net, Real, "bob", &["--bootstrap", &way_in])?;
    a.online()?;
    b.online()?;
    let start = Instant::now();
    let friend = befriend(&a, &b)?;
    a.friend_online(0, friend)?;
    println!("met after {:?}", start.elapsed());
    // Through a relay at first, if that is quicker.
    while connection(&a, friend)? != "udp" {
        ensure(start.elapsed() < MEET, || "not over UDP".into())?;
        sleep(STEP);
    }
    Ok(())
}

/// Two friends on public hosts, of which one gets another address. Only what tells a program of that, netlink, lets
/// ours be heard before it has something to say; c-toxcore does not look, so it writes as well.
fn chat_on_the_move(stays: Kind, moves: Kind) -> Outcome {
    let internet = Internet::new()?;
    let nodes = internet.nodes(&[Ours; 6])?;
    let way_in = nodes[0].1.address();
    let (house, laptop) = (internet.host([198, 51, 100, 100])?, internet.host([203, 0, 113, 100])?);
    let a = Peer::start(&house, stays, "stays", &["--bootstrap", &way_in])?;
    let b = Peer::start(&laptop, moves, "moves", &["--bootstrap", &way_in])?;
    a.online()?;
    b.online()?;
    let b_at_a = befriend(&a, &b)?;
    a.friend_online(0, b_at_a)?;
    let a_at_b = b.wait_after(0, "friend_connection", |heard| heard.text("status") != "none")?.number("friend")?;
    sleep(Duration::from_secs(5));

    let (at_a, at_b) = (a.mark(), b.mark());
    internet.move_host(&laptop, [192, 0, 2, 100])?;
    let start = Instant::now();
    let mut told = (false, false);
    for n in 0.. {
        let text = format!("number {n}");
        // Refused while it thinks that the other is offline.
        if moves == Real || told.1 {
            let _ = b.cmd("send_message", json!({"friend": a_at_b, "text": text}));
        }
        let _ = a.cmd("send_message", json!({"friend": b_at_a, "text": text}));
        let hears = |peer: &Peer, mark| peer.wait_since(mark, "message", Duration::from_millis(50), |_| true).is_ok();
        told = (told.0 || hears(&a, at_a), told.1 || hears(&b, at_b));
        if told == (true, true) {
            break;
        }
        ensure(start.elapsed() < Duration::from_secs(60), || format!("not heard within a minute: {told:?}"))?;
    }
    let took = start.elapsed();
    println!("{stays:?} stays, {moves:?} moves: {took:?}");
    let offline = a.wait_since(at_a, "friend_connection", Duration::ZERO, |heard| heard.text("status") == "none");
    ensure(offline.is_err(), || "the friend went offline meanwhile".into())?;
    ensure(took <= Duration::from_secs(3), || format!("it took {took:?}"))
}

#[test]
fn ours_moves() -> Outcome {
    chat_on_the_move(Ours, Ours)
}

#[test]
fn theirs_moves() -> Outcome {
    chat_on_the_move(Ours, Real)
}

//! A local network without any node that somebody would know: those who call into it find each other.

#![cfg(feature = "interop")]

use bluering_tests::Kind::{self, Ours, Real};
use bluering_tests::{Lan, Node, Outcome, Pair, Peer, ensure};
use core::time::Duration;
use serde_json::json;

const CALLS: &[&str] = &["--local-discovery"];
const CALLS_OVER_IPV6: &[&str] = &["--local-discovery", "--ipv6"];
const SILENT: &[&str] = &[];

/// Two hosts, each with a client and nothing else.
fn chat(a: (Kind, &[&str]), b: (Kind, &[&str])) -> Outcome {
    let lan = Lan::new()?;
    let hosts = [lan.host(1)?, lan.host(2)?];
    let pair = Pair::friends_apart((&hosts[0], a.0, a.1), (&hosts[1], b.0, b.1))?;
    pair.say("normal", "found you")?;
    pair.turned().say("normal", "and I you").map(drop)
}

#[test]
fn theirs_with_theirs() -> Outcome {
    chat((Real, CALLS), (Real, CALLS))
}

#[test]
fn ours_with_theirs() -> Outcome {
    chat((Ours, CALLS), (Real, CALLS))
}

#[test]
fn theirs_with_ours() -> Outcome {
    chat((Real, CALLS), (Ours, CALLS))
}

#[test]
fn ours_with_ours() -> Outcome {
    chat((Ours, CALLS), (Ours, CALLS))
}

#[test]
fn ours_with_ours_over_both_families() -> Outcome {
    chat((Ours, CALLS_OVER_IPV6), (Ours, CALLS_OVER_IPV6))
}

/// A node of ours in the network is what clients of both kinds begin with, if they call; who does not stays alone.
#[test]
fn a_node_that_calls_is_found() -> Outcome {
    let lan = Lan::new()?;
    let hosts = [lan.host(1)?, lan.host(2)?, lan.host(3)?, lan.host(4)?];
    let _node = Node::start_calling(&hosts[0])?;
    let ours = Peer::start(&hosts[1], Ours, "alice", CALLS)?;
    let theirs = Peer::start(&hosts[2], Real, "bob", CALLS)?;
    let silent = Peer::start(&hosts[3], Ours, "carol", SILENT)?;
    ours.online()?;
    theirs.online()?;
    std::thread::sleep(Duration::from_secs(12));
    let heard = silent.cmd("self", json!({}))?;
    ensure(heard.text("connection") == "none", || "who does not call was found".into())
}

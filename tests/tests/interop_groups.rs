//! Groups of c-toxcore whose peers know no node but ours: they find each other through the announcements that it keeps.
//!
//! Debian's libtoxcore has no groups yet. `$TOXPEER_LIB_NEW` names a libtoxcore.so of 0.2.19 or newer: build it from
//! <https://github.com/TokTok/c-toxcore> (cmake, libsodium-dev), then
//! `TOXPEER_LIB_NEW=... cargo test -p bluering-tests --features interop-groups --test interop_groups`.

#![cfg(feature = "interop-groups")]

use bluering_tests::Kind::{self, Ours, Real};
use bluering_tests::{Failure, Net, Node, Outcome, Peer};
use serde_json::json;

fn library() -> Outcome<String> {
    std::env::var("TOXPEER_LIB_NEW").map_err(|_| {
        Failure::new(
            "TOXPEER_LIB_NEW is not set: it names a libtoxcore.so, 0.2.19 or newer, of github.com/TokTok/c-toxcore",
        )
    })
}

/// `--tcp-only` where the peers have no UDP.
fn peers(net: &Net, node: &Node, args: &[&str]) -> Outcome<[Peer; 2]> {
    let (library, node) = (library()?, node.address());
    let args = [&["--bootstrap", &node], args].concat();
    let start = |name| Peer::start_with_library(net, &library, name, &args);
    let peers = [start("alice")?, start("bob")?];
    peers.iter().try_for_each(|peer| peer.online().map(drop))?;
    Ok(peers)
}

/// Both are in the group and read what the other writes.
fn talk([a, b]: &[Peer; 2], [at_a, at_b]: [u64; 2]) -> Outcome {
    b.wait("group_joined", |heard| heard.line["group"] == at_b)?;
    a.wait("group_peer", |heard| heard.line["group"] == at_a)?;
    b.wait("group_peer", |heard| heard.line["group"] == at_b)?;
    for (from, group, to, text) in [(a, at_a, b, "hello"), (b, at_b, a, "hello yourself")] {
        from.cmd("group_message", json!({"group": group, "text": text}))?;
        to.wait("group_message", |heard| heard.text("text") == text)?;
    }
    Ok(())
}

/// A public group: whoever knows its chat id finds its peers by the announcements that nodes keep.
fn public(node: Kind, args: &[&str]) -> Outcome {
    let net = Net::new()?;
    let node = Node::start_relay(&net, node)?;
    let peers = peers(&net, &node, args)?;
    let new = peers[0].cmd("group_new", json!({"public": true}))?;
    let joined = peers[1].cmd("group_join", json!({"chat_id": new.text("chat_id")}))?;
    talk(&peers, [new.number("group")?, joined.number("group")?])
}

/// A private group: a friend is invited.
fn private(node: Kind, args: &[&str]) -> Outcome {
    let net = Net::new()?;
    let node = Node::start_relay(&net, node)?;
    let peers = peers(&net, &node, args)?;
    let [a, b] = &peers;
    let friend = a.cmd("add_friend", json!({"address": b.address(), "message": "hi"}))?.number("friend")?;
    b.wait("friend_request", |heard| heard.text("pk") == a.pk())?;
    b.cmd("accept", json!({"pk": a.pk()}))?;
    a.friend_online(0, friend)?;
    let group = a.cmd("group_new", json!({"public": false}))?.number("group")?;
    a.cmd("group_invite", json!({"group": group, "friend": friend}))?;
    let invite = b.wait("group_invite", |_| true)?;
    let data = json!({"friend": invite.line["friend"], "data": invite.text("data")});
    let joined = b.cmd("group_accept", data)?.number("group")?;
    talk(&peers, [group, joined])
}

#[test]
fn public_by_their_node() -> Outcome {
    public(Real, &[])
}

#[test]
fn public_by_our_node() -> Outcome {
    public(Ours, &[])
}

#[test]
fn public_over_tcp_by_our_node() -> Outcome {
    public(Ours, &["--tcp-only"])
}

#[test]
fn private_by_our_node() -> Outcome {
    private(Ours, &[])
}

//! Chats with c-toxcore: every scenario runs with each mix of implementations.
//!
//! The mix real/real proves the harness itself: what fails there is no fault of ours. Each test has a network of its
//! own. Where both peers are c-toxcore the node also relays TCP, without which c-toxcore 0.2.18 does not always find a
//! friend.

#![cfg(feature = "interop")]

use bluering_tests::Kind::{self, Ours, Real};
use bluering_tests::{Net, Node, Outcome, Pair, Peer, ensure};
use core::time::Duration;
use serde_json::json;
use std::thread::sleep;

/// The longest message, in bytes.
const MESSAGE_MAX: usize = 1372;
/// How many nodes besides the first a network has in which c-toxcore finds its way without a relay.
const CROWD: usize = 10;
const SETTLE: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(120);
/// c-toxcore sends a friend request again within seconds; a refused one must not arrive in this time.
const REFUSED: Duration = Duration::from_secs(25);

macro_rules! mixes {
    ($scenario:ident: $($name:ident($a:expr, $b:expr, node $node:expr);)*) => {
        mod $scenario {
            use super::*;
            $(#[test]
            fn $name() -> Outcome {
                super::$scenario($a, $b, $node)
            })*
        }
    };
}

mixes! { chat:
    real_with_real(Real, Real, node Real);
    ours_with_real(Ours, Real, node Real);
    real_with_ours(Real, Ours, node Real);
    ours_with_ours(Ours, Ours, node Real);
    ours_with_real_by_our_node(Ours, Real, node Ours);
    real_with_ours_by_our_node(Real, Ours, node Ours);
    ours_with_ours_by_our_node(Ours, Ours, node Ours);
    real_with_real_by_our_node(Real, Real, node Ours);
}

mixes! { messages:
    real_with_real(Real, Real, node Real);
    ours_with_real(Ours, Real, node Real);
    real_with_ours(Real, Ours, node Real);
    ours_with_ours(Ours, Ours, node Ours);
}

mixes! { restart:
    real_with_real(Real, Real, node Real);
    ours_with_real(Ours, Real, node Real);
    real_with_ours(Real, Ours, node Real);
    ours_with_ours(Ours, Ours, node Ours);
}

mixes! { other_program:
    real_then_ours(Real, Ours, node Real);
    ours_then_real(Ours, Real, node Real);
}

mixes! { restart_both:
    real_with_real(Real, Real, node Real);
    ours_with_real(Ours, Real, node Real);
    ours_with_ours(Ours, Ours, node Ours);
}

mixes! { wrong_nospam:
    real_with_real(Real, Real, node Real);
    ours_with_real(Ours, Real, node Real);
    real_with_ours(Real, Ours, node Real);
    ours_with_ours(Ours, Ours, node Ours);
}

mixes! { idle:
    real_with_real(Real, Real, node Real);
    ours_with_real(Ours, Real, node Real);
    ours_with_ours(Ours, Ours, node Ours);
}

mixes! { deleted_friend:
    real_with_real(Real, Real, node Real);
    ours_with_real(Ours, Real, node Real);
    real_with_ours(Real, Ours, node Real);
}

mixes! { refusals:
    real_with_real(Real, Real, node Real);
    ours_with_ours(Ours, Ours, node Ours);
}

fn start_node(net: &Net, a: Kind, b: Kind, node: Kind) -> Outcome<Node> {
    if (a, b, node) == (Real, Real, Real) { Node::start_with_relay(net) } else { Node::start(net, node) }
}

/// Request, accept, messages and receipts, names, statuses, typing.
fn chat(a: Kind, b: Kind, node: Kind) -> Outcome {
    let net = Net::new()?;
    let node = start_node(&net, a, b, node)?;
    let pair = Pair::friends(&net, &node, a, b)?;
    knows_name(&pair.a, pair.b_at_a, "bob")?;
    knows_name(&pair.b, pair.a_at_b, "alice")?;
    chat_scenario(&pair)?;
    chat_scenario(&pair.turned())
}

fn knows_name(peer: &Peer, friend: u64, name: &str) -> Outcome {
    peer.wait("friend_name", |heard| heard.line["friend"] == friend && heard.text("name") == name)?;
    let friends = peer.cmd("friends", json!({}))?;
    ensure(friends.line["friends"][0]["name"] == name, || format!("friends says {}", friends.line))
}

/// What two friends do; `a` begins.
fn chat_scenario(pair: &Pair) -> Outcome {
    let Pair { a, b, b_at_a, a_at_b, .. } = pair;
    pair.say("normal", "Grüße aus Köln 🐧")?;
    pair.say("action", "waves")?;

    let mark = b.mark();
    a.cmd("set_name", json!({"name": "Ada Łovelace"}))?;
    a.cmd("set_status_message", json!({"text": "out for a walk"}))?;
    a.cmd("set_status", json!({"status": "busy"}))?;
    a.cmd("set_typing", json!({"friend": b_at_a, "typing": true}))?;
    b.wait_after(mark, "friend_name", |heard| heard.text("name") == "Ada Łovelace")?;
    b.wait_after(mark, "friend_status_message", |heard| heard.text("text") == "out for a walk")?;
    b.wait_after(mark, "friend_status", |heard| heard.text("status") == "busy")?;
    b.wait_after(mark, "friend_typing", |heard| heard.line["typing"] == true && heard.line["friend"] == *a_at_b)?;

    let mark = b.mark();
    a.cmd("set_status", json!({"status": "none"}))?;
    a.cmd("set_typing", json!({"friend": b_at_a, "typing": false}))?;
    a.cmd("set_name", json!({"name": ""}))?;
    b.wait_after(mark, "friend_status", |heard| heard.text("status") == "none")?;
    b.wait_after(mark, "friend_typing", |heard| heard.line["typing"] == false)?;
    b.wait_after(mark, "friend_name", |heard| heard.text("name").is_empty())?;
    Ok(())
}

/// Messages of many lengths both ways, and many at once in order.
fn messages(a: Kind, b: Kind, node: Kind) -> Outcome {
    let net = Net::new()?;
    let node = start_node(&net, a, b, node)?;
    let pair = Pair::friends(&net, &node, a, b)?;
    every_length(&pair)?;
    many_at_once(&pair)?;
    let pair = pair.turned();
    every_length(&pair)?;
    many_at_once(&pair)
}

fn every_length(pair: &Pair) -> Outcome {
    let lengths = [1, 2, 15, 16, 17, 255, 256, 257, 1023, 1024, MESSAGE_MAX - 1, MESSAGE_MAX];
    for len in lengths {
        let text: String = (0..len).map(|i| char::from(b'a' + (i % 26) as u8)).collect();
        let heard = pair.say("normal", &text)?;
        ensure(heard.number("bytes")? == len as u64, || format!("{len} bytes became {}", heard.line))?;
    }
    Ok(())
}

fn many_at_once(pair: &Pair) -> Outcome {
    const COUNT: usize = 200;
    let (mark_a, mark_b) = (pair.a.mark(), pair.b.mark());
    let mut last_id = 0;
    for i in 0..COUNT {
        let text = format!("{i:05}{}", "x".repeat(500));
        let sent = pair.a.cmd("send_message", json!({"friend": pair.b_at_a, "text": text}))?;
        last_id = sent.number("message_id")?;
    }
    pair.a.wait_after(mark_a, "read_receipt", |heard| heard.line["message_id"] == last_id)?;
    let mut mark = mark_b;
    for i in 0..COUNT {
        let wanted = format!("{i:05}");
        let heard = pair.b.wait_after(mark, "message", |_| true)?;
        ensure(heard.text("text").starts_with(&wanted), || format!("wanted {wanted}, got {}", heard.line))?;
        mark = heard.next;
    }
    Ok(())
}

/// `a` ends and comes back from its profile: still the same person, still the same friend.
fn restart(a: Kind, b: Kind, node: Kind) -> Outcome {
    let net = Net::new()?;
    let node = start_node(&net, a, b, node)?;
    let pair = Pair::friends(&net, &node, a, b)?;
    knows_name(&pair.a, pair.b_at_a, "bob")?;
    let (address, mark) = (pair.a.address().to_string(), pair.b.mark());
    let pair = pair.restart_a(&net)?;
    ensure(pair.a.address() == address, || format!("{} after the restart", pair.a.address()))?;
    let friend = pair.a.cmd("friends", json!({}))?.line["friends"][0].clone();
    ensure(friend["pk"] == pair.b.pk() && friend["name"] == "bob", || format!("the profile has {friend}"))?;
    // `b` sees `a` leave, by its farewell or by silence, before it sees it come back.
    let gone = pair.b.wait_after(mark, "friend_connection", |heard| heard.text("status") == "none")?;
    pair.meet(0, gone.next)?;
    pair.say("normal", "back again")?;
    pair.turned().say("normal", "welcome back").map(drop)
}

/// Somebody changes from `before` to `after` and keeps the profile, and changes back.
fn other_program(before: Kind, after: Kind, node: Kind) -> Outcome {
    let net = Net::new()?;
    let node = Node::start(&net, node)?;
    let mut pair = Pair::friends(&net, &node, before, Ours)?;
    knows_name(&pair.a, pair.b_at_a, "bob")?;
    let address = pair.a.address().to_string();
    for kind in [after, before] {
        let mark = pair.b.mark();
        pair = pair.restart_a_as(&net, kind)?;
        ensure(pair.a.address() == address, || format!("{} with the other program", pair.a.address()))?;
        let friend = pair.a.cmd("friends", json!({}))?.line["friends"][0].clone();
        ensure(friend["pk"] == pair.b.pk() && friend["name"] == "bob", || format!("the profile has {friend}"))?;
        let gone = pair.b.wait_after(mark, "friend_connection", |heard| heard.text("status") == "none")?;
        pair.meet(0, gone.next)?;
        pair.say("normal", "with another program")?;
    }
    Ok(())
}

/// Both end and come back: each finds the other with nothing but its profile.
fn restart_both(a: Kind, b: Kind, node: Kind) -> Outcome {
    let net = Net::new()?;
    let node = start_node(&net, a, b, node)?;
    let _crowd = node.crowd(&net, CROWD)?;
    let pair = Pair::friends(&net, &node, a, b)?;
    // Until both know the whole crowd, so that the profiles are full of nodes.
    sleep(SETTLE);
    let pair = pair.restart_both(&net)?;
    pair.meet(0, 0)?;
    pair.say("normal", "back again")?;
    pair.turned().say("normal", "me too").map(drop)
}

/// A request to an address whose nospam is not the current one is never shown, one to the current one is.
fn wrong_nospam(a: Kind, b: Kind, node: Kind) -> Outcome {
    let net = Net::new()?;
    let node = start_node(&net, a, b, node)?;
    let pair = Pair::online(&net, &node, a, b)?;
    let old_address = pair.b.address().to_string();
    let new_address = pair.b.cmd("set_nospam", json!({"nospam": "0BADF00D"}))?;
    let new_address = new_address.text("address");
    ensure(new_address.get(64..72) == Some("0BADF00D"), || format!("the new address is {new_address}"))?;
    let friend = pair.a.cmd("add_friend", json!({"address": old_address, "message": "wrong"}))?.number("friend")?;
    pair.b.stays_without(0, "friend_request", REFUSED, |_| true)?;
    pair.a.cmd("delete_friend", json!({"friend": friend}))?;
    pair.a.cmd("add_friend", json!({"address": new_address, "message": "right"}))?;
    pair.b.wait("friend_request", |heard| heard.text("message") == "right").map(drop)
}

/// Two quiet minutes, after which both still see each other.
fn idle(a: Kind, b: Kind, node: Kind) -> Outcome {
    let net = Net::new()?;
    let node = start_node(&net, a, b, node)?;
    let pair = Pair::friends(&net, &node, a, b)?;
    let lost = |heard: &bluering_tests::Heard| heard.text("status") == "none";
    let (mark_a, mark_b) = (pair.a.mark(), pair.b.mark());
    pair.a.stays_without(mark_a, "friend_connection", IDLE, lost)?;
    pair.b.stays_without(mark_b, "friend_connection", Duration::ZERO, lost)?;
    pair.a.stays_without(mark_a, "self_connection", Duration::ZERO, lost)?;
    pair.b.stays_without(mark_b, "self_connection", Duration::ZERO, lost)?;
    pair.say("normal", "still there?")?;
    pair.turned().say("normal", "still here").map(drop)
}

/// `a` deletes `b`: `b` sees it go, and messages are refused on both sides.
fn deleted_friend(a: Kind, b: Kind, node: Kind) -> Outcome {
    let net = Net::new()?;
    let node = start_node(&net, a, b, node)?;
    let pair = Pair::friends(&net, &node, a, b)?;
    let mark = pair.b.mark();
    pair.a.cmd("delete_friend", json!({"friend": pair.b_at_a}))?;
    pair.b.wait_after(mark, "friend_connection", |heard| heard.text("status") == "none")?;
    for (peer, friend) in [(&pair.a, pair.b_at_a), (&pair.b, pair.a_at_b)] {
        let sent = peer.cmd("send_message", json!({"friend": friend, "text": "hello?"}));
        ensure(sent.is_err(), || format!("{} sent to a friend that is gone", peer.name()))?;
    }
    let friends = pair.a.cmd("friends", json!({}))?;
    ensure(friends.line["friends"] == json!([]), || format!("still there: {}", friends.line))
}

/// What both implementations refuse: a mistyped address, ourselves, too long and empty messages.
fn refusals(a: Kind, b: Kind, node: Kind) -> Outcome {
    let net = Net::new()?;
    let node = start_node(&net, a, b, node)?;
    let pair = Pair::friends(&net, &node, a, b)?;
    let mut mistyped = pair.b.address().to_string();
    let last = if mistyped.ends_with('0') { '1' } else { '0' };
    mistyped.pop();
    mistyped.push(last);
    let refused = [
        ("add_friend", json!({"address": mistyped})),
        ("add_friend", json!({"address": pair.a.address()})),
        ("add_friend", json!({"address": pair.b.address()})),
        ("send_message", json!({"friend": pair.b_at_a, "text": ""})),
        ("send_message", json!({"friend": pair.b_at_a, "text": "x".repeat(MESSAGE_MAX + 1)})),
        ("send_message", json!({"friend": 77, "text": "x"})),
        ("set_name", json!({"name": "x".repeat(129)})),
        ("no_such_command", json!({})),
    ];
    for (command, args) in refused {
        ensure(pair.a.cmd(command, args.clone()).is_err(), || format!("{command} {args} was not refused"))?;
    }
    pair.say("normal", "all well").map(drop)
}

//! Our client, TCP-only and through each proxy, with real libtoxcore and with itself; what it says about a proxy that
//! does not serve it, and that nothing ever goes around one.

#![cfg(feature = "interop")]

use bluering_tests::Kind::{self, Ours, Real};
use bluering_tests::proxies::ProxyProgram::{self, Dante, Microsocks, Tinyproxy};
use bluering_tests::proxies::{PASSWORD, ProxyServer, Rules, USER};
use bluering_tests::watch::{nothing_leaked, seen, watch};
use bluering_tests::{Failure, Internet, NameServer, Net, Node, Outcome, Pair, Peer, ensure};
use core::time::Duration;
use serde_json::json;

const TCP: &[&str] = &["--tcp-only"];
const NODE: &str = "node.test";
/// How long a client may take to try a proxy again.
const RETRY: Duration = Duration::from_secs(60);

fn user() -> String {
    format!("{USER}:{PASSWORD}@")
}

fn chat(pair: &Pair) -> Outcome {
    for turn in 0..3 {
        pair.say("normal", &format!("Grüße {turn}"))?;
        pair.say("action", &"x".repeat(1372))?;
    }
    Ok(())
}

/// All in one network: each is a friend of the other, whoever has a proxy.
fn through(program: ProxyProgram, rules: Rules, relay: Kind, other: Kind) -> Outcome {
    let net = Net::new()?;
    let node = Node::start_relay(&net, relay)?;
    let server = ProxyServer::start(&net, program, rules, &[])?;
    let url = server.url(if rules == Rules::Users { user() } else { String::new() }.as_str());
    let proxied: &[&str] = &["--proxy", &url];
    let theirs = if other == Ours { proxied } else { TCP };
    let pair = Pair::friends_with(&net, &node, (Ours, proxied), (other, theirs));
    let pair = pair.map_err(|why| Failure(format!("{why}\n{}", server.quote("ran"))))?;
    pair.a.wait("friend_connection", |heard| heard.text("status") == "tcp")?;
    chat(&pair)?;
    chat(&pair.turned())
}

#[test]
fn microsocks_with_libtoxcore() -> Outcome {
    through(Microsocks, Rules::Open, Real, Real)
}

#[test]
fn microsocks_with_credentials_among_ours() -> Outcome {
    through(Microsocks, Rules::Users, Ours, Ours)
}

#[test]
fn dante_with_libtoxcore() -> Outcome {
    through(Dante, Rules::Users, Ours, Real)
}

#[test]
fn dante_among_ours() -> Outcome {
    through(Dante, Rules::Open, Real, Ours)
}

#[test]
fn tinyproxy_with_libtoxcore() -> Outcome {
    through(Tinyproxy, Rules::Users, Real, Real)
}

#[test]
fn tinyproxy_among_ours() -> Outcome {
    through(Tinyproxy, Rules::Open, Ours, Ours)
}

/// Starts a client behind `url` and waits until it says this about its proxy.
fn told(net: &Net, node: &Node, url: &str, trouble: &str) -> Outcome<Peer> {
    let peer = Peer::start(net, Ours, "alice", &["--bootstrap", &node.address(), "--proxy", url])?;
    let heard = peer.wait("proxy", |_| true)?;
    ensure(heard.text("trouble") == trouble, || peer.quote(&format!("is told {}, not {trouble}", heard.line)))?;
    ensure(heard.text("error").contains("proxy"), || peer.quote("says what to do"))?;
    Ok(peer)
}

#[test]
fn a_proxy_that_comes_up_later_is_found() -> Outcome {
    for program in [Microsocks, Tinyproxy] {
        let net = Net::new()?;
        let node = Node::start_relay(&net, Ours)?;
        let port = net.port();
        let kind = if program == Microsocks { "socks5" } else { "http" };
        let peer = told(&net, &node, &format!("{kind}:127.0.0.1:{port}"), "down")?;
        peer.stays_without(0, "self_connection", Duration::from_secs(2), |heard| heard.text("status") != "none")?;
        let mark = peer.mark();
        let server = ProxyServer::start_at(&net, port, program, Rules::Open, &[])?;
        peer.wait_since(mark, "self_connection", RETRY, |heard| heard.text("status") == "tcp")?;
        // And it goes and comes again.
        let mark = peer.mark();
        drop(server);
        peer.wait_since(mark, "proxy", RETRY, |heard| heard.text("trouble") == "down")?;
        peer.wait_since(mark, "self_connection", RETRY, |heard| heard.text("status") == "none")?;
        let _server = ProxyServer::start_at(&net, port, program, Rules::Open, &[])?;
        peer.wait_since(mark, "self_connection", RETRY, |heard| heard.text("status") == "tcp")?;
    }
    Ok(())
}

#[test]
fn what_is_wrong_is_told() -> Outcome {
    let net = Net::new()?;
    let node = Node::start_relay(&net, Ours)?;
    for program in [Microsocks, Dante, Tinyproxy] {
        let server = ProxyServer::start(&net, program, Rules::Users, &[])?;
        told(&net, &node, &server.url(""), "needs_credentials")?;
        told(&net, &node, &server.url(&format!("{USER}:wrong@")), "bad_credentials")?;
    }
    for program in [Dante, Tinyproxy] {
        let server = ProxyServer::start(&net, program, Rules::Strict, &[])?;
        told(&net, &node, &server.url(""), "refused")?;
    }
    let server = ProxyServer::start(&net, Tinyproxy, Rules::Open, &[])?;
    let wrong_kind = server.url("").replace("http", "socks5");
    let peer = Peer::start(&net, Ours, "alice", &["--bootstrap", &node.address(), "--proxy", &wrong_kind])?;
    let heard = peer.wait("proxy", |_| true)?;
    ensure(["refused", "not_a_proxy"].contains(&heard.text("trouble")), || heard.line.to_string())
}

/// A home from which everything that goes not to the proxy is counted, and an internet in which everything would be
/// answered: a node that speaks UDP, a name server, a friend.
struct Stage {
    home: Net,
    proxies: Net,
    far: Net,
    decoy: NameServer,
    names: NameServer,
    node: Node,
    _internet: Internet,
}

impl Stage {
    fn new() -> Outcome<Self> {
        let internet = Internet::new()?;
        let (home, proxies, far) =
            (internet.host([192, 0, 2, 7])?, internet.host([198, 51, 100, 7])?, internet.host([203, 0, 113, 7])?);
        let decoy = NameServer::for_names(&far, &[(NODE, far.address())])?;
        let names = NameServer::for_names(&proxies, &[(NODE, far.address())])?;
        let node = Node::start_relay(&far, Ours)?;
        Ok(Self { home, proxies, far, decoy, names, node, _internet: internet })
    }

    /// The node by its name, with its relay.
    fn node_by_name(&self) -> Outcome<String> {
        let (at, _) = self.node.relay().ok_or_else(|| Failure::new("it has a relay"))?;
        Ok(format!("{}:{}", self.node.address_by(NODE), at.port()))
    }

    /// A client at home that would ask the name server outside.
    fn client(&self, args: &[&str]) -> Outcome<Peer> {
        Peer::start_with(&self.home, &self.decoy.files(), Ours, "alice", args)
    }
}

/// Alice, behind the proxy, and Bob, outside: they become friends, chat, part, and meet again; then the proxy goes, and
/// she does not look for another way.
fn no_leak(program: ProxyProgram, other: Kind) -> Outcome {
    let stage = Stage::new()?;
    let server = ProxyServer::start(&stage.proxies, program, Rules::Users, &stage.names.files())?;
    watch(&stage.home, server.at())?;
    let (by_name, by_address) = (stage.node_by_name()?, stage.node.address());
    let folder = bluering_tests::TempDir::new()?;
    let (save, url) = (folder.file("alice.tox"), server.url(&user()));
    let args = ["--bootstrap", &by_name, "--bootstrap", &by_address, "--proxy", &url, "--save", &save];
    let alice = stage.client(&args)?;
    let bob = Peer::start(&stage.far, other, "bob", &["--bootstrap", &by_address])?;
    alice.online()?;
    bob.online()?;
    let friend = alice.cmd("add_friend", json!({"address": bob.address(), "message": "hello"}))?.number("friend")?;
    bob.wait("friend_request", |heard| heard.text("pk") == alice.pk())?;
    let from = bob.cmd("accept", json!({"pk": alice.pk()}))?.number("friend")?;
    alice.friend_online(0, friend)?;
    bob.friend_online(0, from)?;
    alice.cmd("send_message", json!({"friend": friend, "text": "through", "type": "normal"}))?;
    bob.wait("message", |heard| heard.text("text") == "through")?;
    nothing_leaked(&stage.home)?;
    let mark = bob.mark();
    alice.save_and_close()?;
    let alice = stage.client(&args)?;
    alice.friend_online(0, friend)?;
    bob.friend_online(mark, from)?;
    nothing_leaked(&stage.home)?;
    let mark = alice.mark();
    drop(server);
    alice.wait_since(mark, "proxy", RETRY, |_| true)?;
    // A name that is not known yet, and a new friend: nothing of it goes another way.
    // Refused, if she has noticed already that nobody is there.
    let _ = alice.cmd("send_message", json!({"friend": friend, "text": "lost?", "type": "normal"}));
    alice.stays_without(mark, "message", Duration::from_secs(15), |_| true)?;
    nothing_leaked(&stage.home)
}

#[test]
fn nothing_goes_around_microsocks() -> Outcome {
    no_leak(Microsocks, Real)
}

#[test]
fn nothing_goes_around_dante() -> Outcome {
    no_leak(Dante, Ours)
}

#[test]
fn nothing_goes_around_tinyproxy() -> Outcome {
    no_leak(Tinyproxy, Real)
}

/// The watch sees what it should see: without a proxy there are datagrams and questions for names.
#[test]
fn the_watch_sees_who_has_no_proxy() -> Outcome {
    let stage = Stage::new()?;
    let server = ProxyServer::start(&stage.proxies, Microsocks, Rules::Open, &stage.names.files())?;
    watch(&stage.home, server.at())?;
    let by_name = stage.node_by_name()?;
    let alice = stage.client(&["--bootstrap", &by_name])?;
    alice.online()?;
    alice.close()?;
    let found = seen(&stage.home)?;
    ensure(found.dns > 0 && found.udp > 0, || format!("{found:?}"))?;
    let alice = stage.client(&["--bootstrap", &by_name, "--tcp-only"])?;
    alice.online()?;
    let again = seen(&stage.home)?;
    ensure(again.tcp > 0 && again.udp == found.udp, || format!("{found:?}, then TCP-only: {again:?}"))
}

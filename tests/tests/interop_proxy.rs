//! Real proxies, and streams to real relays through them: by address and by name, with and without credentials; and
//! what each proxy does when it cannot or does not want to.

#![cfg(feature = "interop")]

use bluering::core::Endpoint;
use bluering::core::crypto::{PublicKey, SecretKey};
use bluering::core::relay::proxy::{HostName, Proxy, ProxyKind, ProxyTrouble, Refusal, Target};
use bluering::core::wire::relay::RelayPacket;
use bluering_tests::Kind::{Ours, Real};
use bluering_tests::proxies::ProxyProgram::{self, Dante, Microsocks, Tinyproxy};
use bluering_tests::proxies::{PASSWORD, ProxyServer, Rules, dial};
use bluering_tests::relay::RelayClient;
use bluering_tests::{Failure, Internet, NameServer, Net, Node, Outcome, ensure};
use chacha20::ChaCha20Rng;
use rand_core::SeedableRng;
use std::net::SocketAddr;

/// A name that only the name server of the test knows.
const RELAY: &str = "relay.test";
/// What nobody knows.
const NOBODY: &str = "nobody.test";

fn name(host: &'static str, port: u16) -> Target<'static> {
    Target::Name(HostName::new(host).expect("a name"), port)
}

/// A client whose stream leads through a proxy.
fn join(proxy: &Proxy<'_>, target: &Target<'_>, key: &PublicKey, rng: &mut ChaCha20Rng) -> Outcome<RelayClient> {
    let stream = dial(proxy, target)?.map_err(|why| Failure(format!("{target}: {why:?}: {why}")))?;
    let secret = SecretKey::generate(rng);
    RelayClient::over(stream, &secret, key, rng)
}

/// Two clients meet, one through the proxy by address and one by name, and much goes through.
fn chat(proxy: &Proxy<'_>, at: SocketAddr, key: &PublicKey) -> Outcome {
    let mut rng = ChaCha20Rng::from_seed([7; 32]);
    let mut a = join(proxy, &Target::At(at.into()), key, &mut rng)?;
    let mut b = join(proxy, &name(RELAY, at.port()), key, &mut rng)?;
    let [to_b, to_a] = a.meet(&mut b)?;
    for round in 0..200 {
        let data = vec![round; 1400];
        a.send(&RelayPacket::Data { id: to_b, data: &data })?;
        b.expect(&RelayPacket::Data { id: to_a, data: &data })?;
    }
    b.send(&RelayPacket::Data { id: to_a, data: b"and back" })?;
    a.expect(&RelayPacket::Data { id: to_b, data: b"and back" })
}

fn both_relays(program: ProxyProgram) -> Outcome {
    let net = Net::new()?;
    let names = NameServer::for_names(&net, &[(RELAY, net.address())])?;
    let relays = [Node::start_relay(&net, Real)?, Node::start_relay(&net, Ours)?];
    for rules in [Rules::Open, Rules::Users] {
        let server = ProxyServer::start(&net, program, rules, &names.files())?;
        // Who need not say who they are may have a name all the same.
        let proxies = match rules {
            Rules::Open => vec![server.proxy(), server.proxy_with(PASSWORD)],
            Rules::Users | Rules::Strict => vec![server.proxy_with(PASSWORD)],
        };
        for (relay, proxy) in relays.iter().flat_map(|relay| proxies.iter().map(move |proxy| (relay, *proxy))) {
            let (at, key) = relay.relay().ok_or_else(|| Failure::new("it has a relay"))?;
            let done = net.within(move || chat(&proxy, at, &key));
            done.map_err(|why| Failure(format!("{:?}, {proxy:?}: {why}\n{}", relay.kind(), server.quote("ran"))))?;
        }
    }
    Ok(())
}

#[test]
fn both_relays_through_microsocks() -> Outcome {
    both_relays(Microsocks)
}

#[test]
fn both_relays_through_dante() -> Outcome {
    both_relays(Dante)
}

#[test]
fn both_relays_through_tinyproxy() -> Outcome {
    both_relays(Tinyproxy)
}

/// How opening a stream fails, seen from inside of the network.
fn trouble(net: &Net, proxy: Proxy<'static>, target: Target<'static>) -> Outcome<ProxyTrouble> {
    net.within(move || match dial(&proxy, &target)? {
        Ok(_) => Err(Failure(format!("{proxy:?} leads to {target}"))),
        Err(trouble) => Ok(trouble),
    })
}

/// Fails unless it fails like that.
fn expect(net: &Net, server: &ProxyServer, who: Proxy<'static>, to: Target<'static>, wanted: ProxyTrouble) -> Outcome {
    let found = trouble(net, who, to)?;
    ensure(found == wanted, || server.quote(&format!("to {to}: {found:?}, not {wanted:?};")))
}

#[test]
fn credentials_are_asked_for_and_checked() -> Outcome {
    let net = Net::new()?;
    let relay = Node::start_relay(&net, Ours)?;
    let (at, _) = relay.relay().ok_or_else(|| Failure::new("it has a relay"))?;
    let to = Target::At(at.into());
    for program in [Microsocks, Dante, Tinyproxy] {
        let server = ProxyServer::start(&net, program, Rules::Users, &[])?;
        expect(&net, &server, server.proxy(), to, ProxyTrouble::NeedsCredentials)?;
        for wrong in ["", "wrong", "open-sesame!"] {
            expect(&net, &server, server.proxy_with(wrong), to, ProxyTrouble::BadCredentials)?;
        }
        let stranger = Proxy::new(server.kind(), server.at(), Some((b"nobody", PASSWORD.as_bytes())));
        let stranger = stranger.map_err(|why| Failure(why.to_string()))?;
        expect(&net, &server, stranger, to, ProxyTrouble::BadCredentials)?;
    }
    Ok(())
}

#[test]
fn a_relay_that_is_not_there_is_no_fault_of_the_proxy() -> Outcome {
    let net = Net::new()?;
    let names = NameServer::for_names(&net, &[(RELAY, net.address())])?;
    let nothing = Target::At(Endpoint::new(net.address(), net.port()));
    for (program, refused, unknown) in [
        (Microsocks, Refusal::ConnectionRefused, Refusal::General),
        (Dante, Refusal::ConnectionRefused, Refusal::HostUnreachable),
        (Tinyproxy, Refusal::Http(500), Refusal::Http(500)),
    ] {
        let server = ProxyServer::start(&net, program, Rules::Open, &names.files())?;
        for (target, refusal) in [(nothing, refused), (name(RELAY, 9), refused), (name(NOBODY, 9), unknown)] {
            let wanted = ProxyTrouble::Refused(refusal);
            ensure(wanted.is_of_target(), || format!("{wanted:?} is about the relay"))?;
            expect(&net, &server, server.proxy(), target, wanted)?;
        }
    }
    Ok(())
}

#[test]
fn rules_of_a_proxy_are_told() -> Outcome {
    let net = Net::new()?;
    let relay = Node::start_relay(&net, Ours)?;
    let (at, _) = relay.relay().ok_or_else(|| Failure::new("it has a relay"))?;
    for (program, refusal) in [(Dante, Refusal::NotAllowed), (Tinyproxy, Refusal::Http(403))] {
        let server = ProxyServer::start(&net, program, Rules::Strict, &[])?;
        let wanted = ProxyTrouble::Refused(refusal);
        expect(&net, &server, server.proxy(), Target::At(at.into()), wanted)?;
        ensure(wanted.to_string().contains("port 443"), || wanted.to_string())?;
    }
    Ok(())
}

#[test]
fn a_proxy_that_is_down_and_one_of_another_kind() -> Outcome {
    let net = Net::new()?;
    let to = name(RELAY, 443);
    let other = |server: &ProxyServer| {
        let kind = match server.kind() {
            ProxyKind::Socks5 => ProxyKind::Http,
            ProxyKind::Http => ProxyKind::Socks5,
        };
        Proxy::new(kind, server.at(), None).expect("no credentials")
    };
    for program in [Microsocks, Dante, Tinyproxy] {
        let server = ProxyServer::start(&net, program, Rules::Open, &[])?;
        let found = trouble(&net, other(&server), to)?;
        let told = [ProxyTrouble::NotAProxy, ProxyTrouble::Refused(Refusal::Closed)].contains(&found);
        ensure(told && found.to_string().contains("check its kind"), || server.quote(&format!("says {found:?}")))?;
        let gone = server.proxy();
        drop(server);
        let found = trouble(&net, gone, to)?;
        ensure(found == ProxyTrouble::Down, || format!("{program:?} is down, not {found:?}"))?;
    }
    Ok(())
}

#[test]
fn over_ipv6_behind_the_proxy() -> Outcome {
    let internet = Internet::new()?;
    let (home, proxy_host, far) =
        (internet.host([192, 0, 2, 7])?, internet.host([198, 51, 100, 7])?, internet.host([203, 0, 113, 7])?);
    let six = far.address6().ok_or_else(|| Failure::new("it has IPv6"))?;
    let names = NameServer::for_names(&proxy_host, &[(RELAY, six.into())])?;
    let relay = Node::start_relay(&far, Real)?;
    let (at, key) = relay.relay().ok_or_else(|| Failure::new("it has a relay"))?;
    for program in [Microsocks, Tinyproxy] {
        let server = ProxyServer::start(&proxy_host, program, Rules::Open, &names.files())?;
        let proxy = server.proxy();
        let done = home.within(move || chat(&proxy, SocketAddr::new(six.into(), at.port()), &key));
        done.map_err(|why| Failure(server.quote(&why.to_string())))?;
    }
    Ok(())
}

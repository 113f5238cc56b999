//! DHT announcements and forwarding: a client made by hand asks c-toxcore's node and ours the same, directly, through
//! forwarders and through TCP relays, and both are to say the same.

#![cfg(feature = "interop")]

use bluering_core::crypto::{MAC_LEN, Nacl, Nonce, PublicKey, SecretKey, Suite, sha256};
use bluering_core::wire::announcements::{
    RetrieveRequest, RetrieveResponse, SearchRequest, SearchResponse, StoreRequest, StoreResponse, StoreText, Stored,
};
use bluering_core::wire::dht::{BOX_AT, Outer, TEXT_AT};
use bluering_core::wire::forwarding::{ForwardRequest, Forwarded};
use bluering_core::wire::relay::RelayPacket;
use bluering_core::wire::{Writer, kind};
use bluering_core::{DATAGRAM_MAX, Endpoint};
use bluering_tests::Kind::{self, Ours, Real};
use bluering_tests::relay::RelayClient;
use bluering_tests::{Failure, Net, Node, Outcome, ensure};
use chacha20::ChaCha20Rng;
use core::time::Duration;
use rand_core::SeedableRng;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Instant;

const ANSWER_TIME: Duration = Duration::from_secs(2);
/// What is refused is not answered: so long nothing may come.
const SILENCE: Duration = Duration::from_millis(700);
/// A forwarder must know the node first.
const ACQUAINTANCE: Duration = Duration::from_secs(60);
const ID: u64 = 0x0102_0304_0506_0708;
const SOME_DATA: &[u8] = b"some data";

/// How requests reach the node.
enum Way {
    Direct(SocketAddr),
    /// Through a forwarder, which is told to use these nodes one after the other.
    Forwarded(SocketAddr, Vec<PublicKey>),
    /// Through a relay, to the node at an address.
    Relayed(Box<RelayClient>, Endpoint),
}

/// Somebody who asks.
struct Client {
    way: Way,
    socket: UdpSocket,
    secret: SecretKey,
    node: PublicKey,
    rng: ChaCha20Rng,
}

impl Client {
    fn new(way: Way, node: PublicKey) -> Outcome<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let mut rng = ChaCha20Rng::from_seed([7; 32]);
        Ok(Self { way, socket, secret: SecretKey::generate(&mut rng), node, rng })
    }

    /// The plaintext of the answer without its id; `None` when there is no answer in time.
    fn ask(&mut self, kind: u8, patience: Duration, text: impl FnOnce(&mut Writer<'_>)) -> Outcome<Option<Vec<u8>>> {
        let Some(key) = Nacl.agree(&self.secret, &self.node) else { return Err(Failure::new("a node's key")) };
        let (mut buf, nonce) = ([0; DATAGRAM_MAX], Nonce::generate(&mut self.rng));
        let mut w = Writer::new(&mut buf);
        Outer::emit_header(&mut w, kind, &self.secret.public_key(), &nonce);
        w.skip(MAC_LEN);
        text(&mut w);
        let len = w.len();
        Nacl.seal(&key, &nonce, &mut buf[BOX_AT..len]);
        let end = Instant::now() + patience;
        self.send(&buf[..len])?;
        while let Some(mut answer) = self.receive(end)? {
            let Some(outer) = Outer::parse(&answer).filter(|outer| outer.kind == kind + 1) else { continue };
            let (sender, nonce) = (outer.sender, outer.nonce);
            if sender == self.node && Nacl.open(&key, &nonce, &mut answer[BOX_AT..]) {
                let text = answer.split_off(TEXT_AT);
                let (text, id) = text.split_last_chunk().ok_or_else(|| Failure::new("an answer without id"))?;
                ensure(u64::from_be_bytes(*id) == ID, || format!("the id {id:?} is not ours"))?;
                return Ok(Some(text.to_vec()));
            }
        }
        Ok(None)
    }

    fn send(&mut self, request: &[u8]) -> Outcome {
        match &mut self.way {
            Way::Direct(at) => self.socket.send_to(request, *at).map(drop)?,
            Way::Forwarded(at, chain) => {
                let mut packet = request.to_vec();
                for next in chain.iter().rev() {
                    let mut buf = [0; DATAGRAM_MAX];
                    let mut w = Writer::new(&mut buf);
                    ForwardRequest { next: *next, data: &packet }.emit(&mut w);
                    let len = w.len();
                    packet = buf[..len].to_vec();
                }
                self.socket.send_to(&packet, *at).map(drop)?;
            }
            Way::Relayed(relay, to) => relay.send(&RelayPacket::ForwardRequest { to: *to, data: request })?,
        }
        Ok(())
    }

    /// The next answer that comes our way.
    fn receive(&mut self, end: Instant) -> Outcome<Option<Vec<u8>>> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let bytes = match &mut self.way {
                Way::Relayed(relay, _) => {
                    relay.socket().set_read_timeout(Some(left))?;
                    // Nothing in time is an error there.
                    let Ok(text) = relay.receive() else { return Ok(None) };
                    let text = text.ok_or_else(|| Failure::new("the relay closed"))?;
                    match RelayPacket::parse(&text) {
                        Some(RelayPacket::Forwarding(data)) => return Ok(Some(data.to_vec())),
                        _ => continue,
                    }
                }
                Way::Direct(_) | Way::Forwarded(..) => {
                    self.socket.set_read_timeout(Some(left))?;
                    let mut buf = [0; DATAGRAM_MAX];
                    let Ok(len) = self.socket.recv(&mut buf) else { return Ok(None) };
                    buf[..len].to_vec()
                }
            };
            if !matches!(self.way, Way::Forwarded(..)) {
                return Ok(Some(bytes));
            }
            match Forwarded::parse(&bytes) {
                Some(Forwarded { kind: kind::FORWARDING, sendback: [], data }) => return Ok(Some(data.to_vec())),
                other => return Err(Failure(format!("not what a forwarder sends back: {other:?}"))),
            }
        }
    }

    /// What is found, the auth, whether the node would store something.
    fn search(&mut self, key: PublicKey) -> Outcome<(Option<[u8; 32]>, [u8; 32], bool)> {
        let answer = self.search_for(key, None, ANSWER_TIME)?.ok_or_else(|| Failure::new("no answer to a search"))?;
        let response = SearchResponse::parse(&answer).ok_or_else(|| Failure::new("an answer to a search is odd"))?;
        ensure(response.key == key, || "the answer is about another key".into())?;
        Ok((response.found, response.auth, response.accepts))
    }

    fn search_for(&mut self, key: PublicKey, known: Option<[u8; 32]>, patience: Duration) -> Outcome<Option<Vec<u8>>> {
        self.ask(kind::DATA_SEARCH_REQUEST, patience, |w| SearchRequest { key, known, id: ID }.emit(w))
    }

    fn retrieve(&mut self, key: PublicKey, auth: [u8; 32], patience: Duration) -> Outcome<Option<Vec<u8>>> {
        let request = RetrieveRequest { key, auth, id: ID };
        let Some(mut text) = self.ask(kind::DATA_RETRIEVE_REQUEST, patience, |w| request.emit(w))? else {
            return Ok(None);
        };
        text.extend(ID.to_be_bytes());
        let response = RetrieveResponse::parse(&text).ok_or_else(|| Failure::new("retrieved something odd"))?;
        Ok(Some(response.data.to_vec()))
    }

    /// For how long the node keeps it; `None` without an answer.
    fn store(&mut self, data: &SecretKey, text: &StoreText<'_>, patience: Duration) -> Outcome<Option<u32>> {
        let Some(key) = Nacl.agree(data, &self.node) else { return Err(Failure::new("a node's key")) };
        let (mut buf, nonce) = ([0; 1024], Nonce::generate(&mut self.rng));
        let mut w = Writer::new(&mut buf);
        w.skip(MAC_LEN);
        text.emit(&mut w);
        let len = w.len();
        Nacl.seal(&key, &nonce, &mut buf[..len]);
        let request = StoreRequest { key: data.public_key(), nonce, boxed: &buf[..len], id: ID };
        let Some(mut text) = self.ask(kind::STORE_ANNOUNCE_REQUEST, patience, |w| request.emit(w))? else {
            return Ok(None);
        };
        text.extend(ID.to_be_bytes());
        let response = StoreResponse::parse(&text).ok_or_else(|| Failure::new("stored something odd"))?;
        ensure(response.key == data.public_key(), || "the answer is about another key".into())?;
        Ok(Some(response.seconds))
    }
}

/// Everything that can be done about a key, through whichever way.
fn use_announcements(client: &mut Client) -> Outcome {
    let data = SecretKey::generate(&mut client.rng);
    let key = data.public_key();
    let (found, auth, accepts) = client.search(key)?;
    ensure(found.is_none() && accepts, || format!("found {found:?}, accepts {accepts} at first"))?;
    ensure(client.retrieve(key, auth, SILENCE)?.is_none(), || "there is nothing to be retrieved".into())?;
    let text = |auth, what| StoreText { auth, seconds: 600, what };
    let wrong = client.store(&data, &text([1; 32], Stored::Data(SOME_DATA)), SILENCE)?;
    ensure(wrong.is_none(), || "stored without auth".into())?;
    let stored = client.store(&data, &text(auth, Stored::Data(SOME_DATA)), ANSWER_TIME)?;
    // The node has just been started, so it promises little.
    ensure(stored.is_some_and(|seconds| (10..60).contains(&seconds)), || format!("stored for {stored:?}"))?;

    let (found, auth, _) = client.search(key)?;
    ensure(found == Some(sha256(SOME_DATA)), || format!("found {found:?}"))?;
    let got = client.retrieve(key, auth, ANSWER_TIME)?;
    ensure(got.as_deref() == Some(SOME_DATA), || format!("retrieved {got:?}"))?;
    ensure(client.retrieve(key, [1; 32], SILENCE)?.is_none(), || "retrieved without auth".into())?;
    let renewed = client.store(&data, &text(auth, Stored::Same(sha256(SOME_DATA))), ANSWER_TIME)?;
    ensure(renewed.is_some(), || "not renewed".into())?;
    let most = [9; 512];
    let stored = client.store(&data, &text(auth, Stored::Data(&most)), ANSWER_TIME)?;
    ensure(stored.is_some(), || "the largest data is not stored".into())?;
    let got = client.retrieve(key, auth, ANSWER_TIME)?;
    ensure(got.as_deref() == Some(&most), || format!("retrieved {got:?}"))?;
    // Whoever renews something else does not want it to be there any more.
    let other = client.store(&data, &text(auth, Stored::Same(sha256(SOME_DATA))), SILENCE)?;
    ensure(other.is_none(), || "renewed what is not there".into())?;
    let (found, ..) = client.search(key)?;
    ensure(found.is_none(), || format!("found {found:?} at last"))?;

    let first = client.search_for(key, None, ANSWER_TIME)?.ok_or_else(|| Failure::new("no answer to a search"))?;
    let again = client.search_for(key, Some(sha256(&first)), ANSWER_TIME)?;
    ensure(again.as_ref().is_some_and(|again| *again == key.0 || again.len() == first.len()), || format!("{again:?}"))
}

fn directly(kind: Kind) -> Outcome {
    let net = Net::new()?;
    let node = Node::start(&net, kind)?;
    let (at, key) = (node.endpoint(), key_of(&node)?);
    net.within(move || use_announcements(&mut Client::new(Way::Direct(at), key)?))
}

fn key_of(node: &Node) -> Outcome<PublicKey> {
    PublicKey::from_hex(node.key()).ok_or_else(|| Failure::new("a node has a key"))
}

/// Through `forwarder` to `keeper`: by one hop, by a chain that goes forth and back, and over the forwarder's relay.
fn forwarded(forwarder: Kind, keeper: Kind) -> Outcome {
    let net = Net::new()?;
    let forwarder = Node::start_relay(&net, forwarder)?;
    let keeper = Node::start_from(&net, keeper, &forwarder)?;
    let (via, at) = ([key_of(&forwarder)?, key_of(&keeper)?], [forwarder.endpoint(), keeper.endpoint()]);
    let relay = forwarder.relay().ok_or_else(|| Failure::new("it has a relay"))?;
    net.within(move || {
        let mut client = Client::new(Way::Forwarded(at[0], vec![via[1]]), via[1])?;
        let end = Instant::now() + ACQUAINTANCE;
        while client.search_for(PublicKey([3; 32]), None, SILENCE)?.is_none() {
            ensure(Instant::now() < end, || "the forwarder never got to know the node".into())?;
        }
        let what = |name: &'static str| move |why: Failure| Failure(format!("{name}: {why}"));
        use_announcements(&mut client).map_err(what("one hop"))?;
        let chain = vec![via[1], via[0], via[1]];
        let mut client = Client::new(Way::Forwarded(at[0], chain), via[1])?;
        use_announcements(&mut client).map_err(what("three hops"))?;
        let mut rng = ChaCha20Rng::from_seed([5; 32]);
        let relay = RelayClient::connect(relay.0, &relay.1, &mut rng)?;
        let mut client = Client::new(Way::Relayed(Box::new(relay), at[1].into()), via[1])?;
        use_announcements(&mut client).map_err(what("TCP"))
    })
}

#[test]
fn theirs_keeps_announcements() -> Outcome {
    directly(Real)
}

#[test]
fn ours_keeps_announcements() -> Outcome {
    directly(Ours)
}

#[test]
fn theirs_through_theirs() -> Outcome {
    forwarded(Real, Real)
}

#[test]
fn ours_through_theirs() -> Outcome {
    forwarded(Real, Ours)
}

#[test]
fn theirs_through_ours() -> Outcome {
    forwarded(Ours, Real)
}

#[test]
fn ours_through_ours() -> Outcome {
    forwarded(Ours, Ours)
}

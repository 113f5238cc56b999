//! Somebody on the network who has keys and real encoders, but no node: makes packets one by one, true or false.
//!
//! What an [`Attacker`] makes is sealed as a node would seal it. What it says is another matter: the parameters of each
//! packet are the caller's, and [`Attacker::packet`] seals any plaintext at all.

use crate::crypto::SimSuite;
use crate::rng::SimRng;
use bluering_core::crypto::{MAC_LEN, Nonce, PublicKey, SecretKey, SharedKey, Suite};
use bluering_core::wire::dht::{BOX_AT, NodesRequest, NodesResponse, Outer, Ping};
use bluering_core::wire::onion::announce::{PING_ID_LEN, REQUEST_BOX_AT, RESPONSE_BOX_AT, SENDBACK_LEN};
use bluering_core::wire::onion::{
    ANNOUNCE_REQUEST_LEN, AnnounceHeader, AnnounceRequest, AnnounceResponse, DataKeys, DhtKeyAnnounce, Hop, PAYLOAD_AT,
    RETURN_3, ResponseHeader, Stored, data, wrap,
};
use bluering_core::wire::session::{
    COOKIE_LEN, COOKIE_REQUEST_BOX, COOKIE_REQUEST_LEN, COOKIE_RESPONSE_BOX, COOKIE_RESPONSE_LEN, CookieRequest,
    CookieRequestText, CookieResponse, CookieResponseText, HANDSHAKE_BOX, HANDSHAKE_LEN, Handshake, HandshakeText,
};
use bluering_core::wire::{NODE_LEN_MAX, NodeInfo, PackedNodes, Writer, kind};
use bluering_core::{DATAGRAM_MAX, Endpoint};
use core::cell::Cell;

/// The number that requests carry when nobody cares for the answer.
const ECHO: u64 = 7;
/// What a relay of no path at all would append to a request: as long as three return headers.
const NO_RETURN: [u8; RETURN_3] = [0; RETURN_3];

/// A key pair and an address.
#[derive(Debug)]
pub struct Attacker {
    suite: SimSuite,
    secret: SecretKey,
    /// Its public key: DHT key and long-term key in one.
    pub key: PublicKey,
    /// An address at which no host of a world is, for packets with a false source.
    pub at: Endpoint,
    /// The nonce of its first box; each further box has the next.
    nonce: Nonce,
    boxes: Cell<u32>,
}

/// What somebody asks of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Whether it is there.
    Ping {
        /// To be echoed.
        id: u64,
    },
    /// For nodes near a key.
    Nodes {
        /// The key.
        target: PublicKey,
        /// To be echoed.
        id: u64,
    },
}

impl Attacker {
    /// Somebody new.
    #[must_use]
    pub fn new(suite: &SimSuite, rng: &mut SimRng) -> Self {
        Self::with_secret(suite, SecretKey::from_bytes(rng.array()), rng)
    }

    /// Somebody with this secret key.
    #[must_use]
    pub fn with_secret(suite: &SimSuite, secret: SecretKey, rng: &mut SimRng) -> Self {
        let key = suite.public_key(&secret);
        Self { suite: suite.clone(), secret, key, at: address(rng), nonce: Nonce(rng.array()), boxes: Cell::new(0) }
    }

    /// A ping request.
    #[must_use]
    pub fn ping_request(&self, to: &PublicKey) -> Vec<u8> {
        self.ping(kind::PING_REQUEST, to, ECHO)
    }

    /// A ping request or response.
    #[must_use]
    pub fn ping(&self, kind: u8, to: &PublicKey, id: u64) -> Vec<u8> {
        self.packet(kind, to, &written(|w| Ping { kind, id }.emit(w)))
    }

    /// A nodes request.
    #[must_use]
    pub fn nodes_request(&self, to: &PublicKey, target: PublicKey) -> Vec<u8> {
        self.packet(kind::NODES_REQUEST, to, &written(|w| NodesRequest { target, id: ECHO }.emit(w)))
    }

    /// A nodes response that names the first four of `nodes`.
    #[must_use]
    pub fn nodes_response(&self, to: &PublicKey, nodes: &[NodeInfo], id: u64) -> Vec<u8> {
        self.packet(kind::NODES_RESPONSE, to, &written(|w| NodesResponse::emit_list(w, nodes, id)))
    }

    /// What a ping or nodes request from `from` asks, if it is for us.
    #[must_use]
    pub fn asked(&self, request: &[u8]) -> Option<(PublicKey, Asked)> {
        let outer = Outer::parse(request)?;
        let wanted = outer.kind == kind::PING_REQUEST || outer.kind == kind::NODES_REQUEST;
        let text = wanted.then(|| self.open(&outer.sender, &outer.nonce, outer.boxed)).flatten()?;
        let asked = if outer.kind == kind::PING_REQUEST {
            Ping::parse(&text).map(|ping| Asked::Ping { id: ping.id })
        } else {
            NodesRequest::parse(&text).map(|NodesRequest { target, id }| Asked::Nodes { target, id })
        };
        Some((outer.sender, asked?))
    }

    /// The nodes that a nodes response to us names, and who sent it.
    #[must_use]
    pub fn named(&self, response: &[u8]) -> Option<(PublicKey, Vec<NodeInfo>)> {
        let outer = Outer::parse(response).filter(|outer| outer.kind == kind::NODES_RESPONSE)?;
        let text = self.open(&outer.sender, &outer.nonce, outer.boxed)?;
        Some((outer.sender, NodesResponse::parse(&text)?.nodes.udp().collect()))
    }

    /// An honest answer to a ping; to a nodes request of the node `to` one that names `victim` four times, as nodes
    /// next to what is searched.
    pub fn answer(&self, to: &PublicKey, request: &[u8], victim: Endpoint, rng: &mut SimRng) -> Option<Vec<u8>> {
        let (_, asked) = self.asked_by(to, request)?;
        Some(match asked {
            Asked::Ping { id } => self.ping(kind::PING_RESPONSE, to, id),
            Asked::Nodes { target, id } => {
                let nodes: [NodeInfo; 4] = core::array::from_fn(|_| near(&target, victim, rng));
                self.nodes_response(to, &nodes, id)
            }
        })
    }

    fn asked_by(&self, from: &PublicKey, request: &[u8]) -> Option<(PublicKey, Asked)> {
        self.asked(request).filter(|(sender, _)| sender == from)
    }

    /// A cookie request that claims a long-term key.
    #[must_use]
    pub fn cookie_request(&self, to: &PublicKey, claimed: PublicKey) -> Vec<u8> {
        let mut packet = vec![0; COOKIE_REQUEST_LEN];
        let nonce = self.next_nonce();
        CookieRequest { dht: self.key, nonce }.emit(&mut packet);
        CookieRequestText { peer: claimed, echo: ECHO }.emit(&mut packet[COOKIE_REQUEST_BOX + MAC_LEN..]);
        self.seal(to, &nonce, &mut packet[COOKIE_REQUEST_BOX..]);
        packet
    }

    /// The cookie in an answer to our cookie request.
    #[must_use]
    pub fn cookie(&self, from: &PublicKey, response: &[u8]) -> Option<[u8; COOKIE_LEN]> {
        let head = CookieResponse::parse(response)?;
        let text = self.open(from, &head.nonce, response.get(COOKIE_RESPONSE_BOX..COOKIE_RESPONSE_LEN)?)?;
        Some(CookieResponseText::parse(&text)?.cookie)
    }

    /// A handshake with that cookie, sealed from us to the long-term key `to`.
    #[must_use]
    pub fn handshake(&self, to: &PublicKey, cookie: [u8; COOKIE_LEN], rng: &mut SimRng) -> Vec<u8> {
        let mut packet = vec![0; HANDSHAKE_LEN];
        let nonce = self.next_nonce();
        Handshake { cookie, nonce }.emit(&mut packet);
        let text = HandshakeText {
            base_nonce: Nonce(rng.array()),
            session: PublicKey(rng.array()),
            cookie_hash: bluering_core::crypto::sha512(&cookie),
            cookie: rng.array(),
        };
        text.emit(&mut packet[HANDSHAKE_BOX + MAC_LEN..]);
        self.seal(to, &nonce, &mut packet[HANDSHAKE_BOX..]);
        packet
    }

    /// A search for `search`, as a node gets it from the last relay, with a return header that nobody understands.
    #[must_use]
    pub fn announce_request(&self, to: &PublicKey, search: PublicKey) -> Vec<u8> {
        let (ping_id, sendback) = ([0; PING_ID_LEN], [9; SENDBACK_LEN]);
        self.request(to, &AnnounceRequest { ping_id, search, data_key: PublicKey::ZERO, sendback })
    }

    /// The same to be found oneself.
    #[must_use]
    pub fn announce(&self, to: &PublicKey, ping_id: [u8; PING_ID_LEN], sendback: [u8; SENDBACK_LEN]) -> Vec<u8> {
        self.request(to, &AnnounceRequest { ping_id, search: self.key, data_key: self.key, sendback })
    }

    fn request(&self, to: &PublicKey, request: &AnnounceRequest) -> Vec<u8> {
        [self.bare_request(to, request).as_slice(), &NO_RETURN].concat()
    }

    /// An announce request without return headers: what travels inside an onion packet.
    #[must_use]
    pub fn bare_request(&self, to: &PublicKey, request: &AnnounceRequest) -> Vec<u8> {
        let mut packet = vec![0; ANNOUNCE_REQUEST_LEN];
        request.seal(&self.suite, &self.agree(to), &self.next_nonce(), &self.key, &mut packet);
        packet
    }

    /// Wraps a payload into an onion packet (0x80) that goes through three relays to `dest`; it is to be sent to the
    /// first of them.
    #[must_use]
    pub fn onion(&self, hops: &[NodeInfo; 3], dest: Endpoint, payload: &[u8]) -> Vec<u8> {
        let keys = hops.map(|hop| self.agree(&hop.key));
        let layers: [Hop<'_>; 3] = core::array::from_fn(|i| Hop { at: hops[i].at, public: &self.key, key: &keys[i] });
        let mut buf = [0; DATAGRAM_MAX];
        buf[PAYLOAD_AT..PAYLOAD_AT + payload.len()].copy_from_slice(payload);
        let len = wrap(&self.suite, &layers, dest, &self.next_nonce(), &mut buf, payload.len());
        buf[..len].to_vec()
    }

    /// The announce request that a node gets from the last relay, if it is for us, and the return headers behind it.
    #[must_use]
    pub fn announced(&self, packet: &[u8]) -> Option<Announcing> {
        let (request, path) = packet.split_last_chunk::<RETURN_3>()?;
        if request.len() != ANNOUNCE_REQUEST_LEN || request[0] != kind::ANNOUNCE_REQUEST {
            return None;
        }
        let header = AnnounceHeader::parse(request)?;
        let text = self.open(&header.sender, &header.nonce, &request[REQUEST_BOX_AT..])?;
        let (request, _) = AnnounceRequest::parse(&text)?;
        Some(Announcing { sender: header.sender, request, path: *path })
    }

    /// The answer to an announce request, to be sent to the last relay.
    #[must_use]
    pub fn announce_response(&self, to: &Announcing, stored: Stored, nodes: &[NodeInfo]) -> Vec<u8> {
        let packed = written(|w| nodes.iter().take(4).for_each(|node| node.emit(w)));
        debug_assert!(packed.len() <= 4 * NODE_LEN_MAX);
        let nodes = PackedNodes::parse_udp(&packed, 4).unwrap_or(PackedNodes::EMPTY);
        let nonce = self.next_nonce();
        let header = ResponseHeader { group: false, sendback: to.request.sendback, nonce };
        let mut answer = written(|w| {
            header.emit(w);
            w.bytes(&[0; MAC_LEN]);
            AnnounceResponse { stored, nodes }.emit(false, w);
        });
        self.seal(&to.sender, &nonce, &mut answer[RESPONSE_BOX_AT..]);
        [&[kind::ONION_RESPONSE_3], to.path.as_slice(), &answer].concat()
    }

    /// What a node answered to a search of ours: the key for onion data of whom we searched.
    #[must_use]
    pub fn data_key(&self, from: &PublicKey, packet: &[u8]) -> Option<PublicKey> {
        match self.stored(from, packet)? {
            Stored::Found { data_key } => Some(data_key),
            Stored::No { .. } | Stored::Announced { .. } => None,
        }
    }

    /// What a node answered to an announcement of ours: the next ping id, and whether we are announced.
    #[must_use]
    pub fn ping_id(&self, from: &PublicKey, packet: &[u8]) -> Option<([u8; PING_ID_LEN], bool)> {
        match self.stored(from, packet)? {
            Stored::No { ping_id } => Some((ping_id, false)),
            Stored::Announced { ping_id } => Some((ping_id, true)),
            Stored::Found { .. } => None,
        }
    }

    fn stored(&self, from: &PublicKey, packet: &[u8]) -> Option<Stored> {
        let answer = packet.get(1 + RETURN_3..)?;
        let header = ResponseHeader::parse(answer)?;
        let text = self.open(from, &header.nonce, &answer[RESPONSE_BOX_AT..])?;
        Some(AnnounceResponse::parse(&text, false)?.stored)
    }

    /// Onion data (0x86) from us: "my DHT key is `claimed`".
    #[must_use]
    pub fn dht_key_announce(&self, receiver: &PublicKey, data_key: &PublicKey, claimed: PublicKey) -> Vec<u8> {
        let mut buf = vec![0; 1400];
        let mut w = Writer::new(&mut buf[data::REQUEST_DATA_AT..]);
        DhtKeyAnnounce { no_replay: 1, dht_key: claimed, nodes: PackedNodes::EMPTY }.emit(&mut w);
        let len = w.len();
        // The temporary key may as well be ours.
        let (inner, outer) = (self.agree(receiver), self.agree(data_key));
        let keys = DataKeys { receiver, sender: &self.key, temporary: &self.key, inner: &inner, outer: &outer };
        let len = keys.seal(&self.suite, &self.next_nonce(), &mut buf, len);
        let mut packet = vec![kind::ONION_DATA_RESPONSE];
        packet.extend_from_slice(&buf[33..len]);
        packet
    }

    /// A packet of the shape that ping and nodes packets share, with any kind and any plaintext.
    #[must_use]
    pub fn packet(&self, kind: u8, to: &PublicKey, text: &[u8]) -> Vec<u8> {
        let nonce = self.next_nonce();
        let mut packet = written(|w| {
            Outer::emit_header(w, kind, &self.key, &nonce);
            w.bytes(&[0; MAC_LEN]).bytes(text);
        });
        self.seal(to, &nonce, &mut packet[BOX_AT..]);
        packet
    }

    /// The box key with somebody. A key of small order agrees with nobody, and opens nothing.
    fn agree(&self, with: &PublicKey) -> SharedKey {
        self.suite.agree(&self.secret, with).unwrap_or(SharedKey::ZERO)
    }

    fn seal(&self, to: &PublicKey, nonce: &Nonce, boxed: &mut [u8]) {
        self.suite.seal(&self.agree(to), nonce, boxed);
    }

    /// Opens a box from somebody: its plaintext.
    #[must_use]
    pub fn open(&self, from: &PublicKey, nonce: &Nonce, boxed: &[u8]) -> Option<Vec<u8>> {
        let mut boxed = boxed.to_vec();
        self.suite.open(&self.suite.agree(&self.secret, from)?, nonce, &mut boxed).then(|| boxed.split_off(MAC_LEN))
    }

    fn next_nonce(&self) -> Nonce {
        self.boxes.set(self.boxes.get().wrapping_add(1));
        self.nonce.plus(self.boxes.get())
    }
}

/// An announce request, opened.
#[derive(Clone, Copy, Debug)]
pub struct Announcing {
    /// Who sends it.
    pub sender: PublicKey,
    /// What it asks.
    pub request: AnnounceRequest,
    /// The way back.
    pub path: [u8; RETURN_3],
}

/// A node at `at` whose key shares its first half with `target`. Nobody has its secret key.
pub fn near(target: &PublicKey, at: Endpoint, rng: &mut SimRng) -> NodeInfo {
    let mut key = *target;
    rng.fill(&mut key.0[16..]);
    NodeInfo { key, at }
}

/// A public address at which no host of a world is.
pub fn address(rng: &mut SimRng) -> Endpoint {
    let [a, b, c, port] = rng.array();
    Endpoint::v4([51, a, b, c], 1000 + u16::from(port))
}

/// So many bytes of noise.
pub fn noise(rng: &mut SimRng, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes);
    bytes
}

/// An index below `len`; 0 when `len` is 0.
pub const fn index(rng: &mut SimRng, len: usize) -> usize {
    rng.below(len as u64) as usize
}

fn written(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buf = [0; DATAGRAM_MAX];
    let mut w = Writer::new(&mut buf);
    write(&mut w);
    let len = w.len();
    buf[..len].to_vec()
}

//! Somebody on the network who has keys and real encoders, but no node: makes packets one by one, true or false.

#![allow(dead_code, reason = "each test program uses a part of it")]

use bluering_core::Endpoint;
use bluering_core::crypto::{Nacl, Nonce, PublicKey, SecretKey, Suite};
use bluering_core::wire::dht::{BOX_AT, NodesRequest, NodesResponse, Outer, Ping, TEXT_AT};
use bluering_core::wire::onion::announce::RESPONSE_BOX_AT;
use bluering_core::wire::onion::{
    AnnounceRequest, AnnounceResponse, DataKeys, DhtKeyAnnounce, RETURN_3, ResponseHeader, Stored, data,
};
use bluering_core::wire::session::{COOKIE_REQUEST_BOX, COOKIE_REQUEST_LEN, CookieRequest, CookieRequestText};
use bluering_core::wire::{NodeInfo, PackedNodes, Writer, kind};
use chacha20::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Room for an authenticator.
const MAC: usize = 16;

/// Deterministic randomness.
pub(crate) struct Noise(ChaCha8Rng);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0.next_u32() as usize % n.max(1)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// A public address at which no node of a world is.
    pub(crate) fn address(&mut self) -> Endpoint {
        let [a, b, c, port] = self.array();
        Endpoint::v4([51, a, b, c], 1000 + u16::from(port))
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// A key pair and an address.
pub(crate) struct Attacker {
    secret: SecretKey,
    pub(crate) key: PublicKey,
    pub(crate) at: Endpoint,
    nonce: Nonce,
}

impl Attacker {
    pub(crate) fn new(noise: &mut Noise) -> Self {
        let secret = SecretKey::from_bytes(noise.array());
        let (key, at) = (secret.public_key(), noise.address());
        Self { secret, key, at, nonce: Nonce(noise.array()) }
    }

    pub(crate) fn ping_request(&self, to: &PublicKey) -> Vec<u8> {
        self.packet(kind::PING_REQUEST, to, |w| Ping { kind: kind::PING_REQUEST, id: 7 }.emit(w))
    }

    pub(crate) fn nodes_request(&self, to: &PublicKey, target: PublicKey) -> Vec<u8> {
        self.packet(kind::NODES_REQUEST, to, |w| NodesRequest { target, id: 7 }.emit(w))
    }

    /// An honest answer to a ping; to a nodes request one that names `victim` four times, as nodes next to what is
    /// searched.
    pub(crate) fn answer(
        &self,
        to: &PublicKey,
        request: &[u8],
        victim: Endpoint,
        noise: &mut Noise,
    ) -> Option<Vec<u8>> {
        let outer = Outer::parse(request)?;
        let text = self.open(to, &outer.nonce, outer.boxed)?;
        if let Some(ping) = Ping::parse(&text).filter(|ping| ping.kind == kind::PING_REQUEST) {
            let answer = Ping { kind: kind::PING_RESPONSE, id: ping.id };
            return Some(self.packet(kind::PING_RESPONSE, to, |w| answer.emit(w)));
        }
        let NodesRequest { target, id } = NodesRequest::parse(&text)?;
        let nodes = core::array::from_fn::<_, 4, _>(|_| {
            let mut key = target;
            key.0[16..].copy_from_slice(&noise.array::<16>());
            NodeInfo { key, at: victim }
        });
        Some(self.packet(kind::NODES_RESPONSE, to, |w| NodesResponse::emit_list(w, &nodes, id)))
    }

    pub(crate) fn cookie_request(&self, to: &PublicKey, claimed: PublicKey) -> Vec<u8> {
        let mut packet = vec![0; COOKIE_REQUEST_LEN];
        CookieRequest { dht: self.key, nonce: self.nonce }.emit(&mut packet);
        CookieRequestText { peer: claimed, echo: 7 }.emit(&mut packet[COOKIE_REQUEST_BOX + MAC..]);
        self.seal(to, &mut packet[COOKIE_REQUEST_BOX..]);
        packet
    }

    /// As a node gets it from the last relay, with a return header that only that relay understands.
    pub(crate) fn announce_request(&self, to: &PublicKey, search: PublicKey) -> Vec<u8> {
        self.request(to, AnnounceRequest { ping_id: [0; 32], search, data_key: PublicKey::ZERO, sendback: [9; 8] })
    }

    /// The same to be found oneself.
    pub(crate) fn announce(&self, to: &PublicKey, ping_id: [u8; 32]) -> Vec<u8> {
        self.request(to, AnnounceRequest { ping_id, search: self.key, data_key: self.key, sendback: [9; 8] })
    }

    fn request(&self, to: &PublicKey, request: AnnounceRequest) -> Vec<u8> {
        let mut packet = vec![0; 1024];
        let key = Nacl.agree(&self.secret, to).expect("a good key");
        let len = request.seal(&Nacl, &key, &self.nonce, &self.key, &mut packet);
        packet.truncate(len + RETURN_3);
        packet
    }

    /// What a node answered to a search of ours: the key for onion data of whom we searched.
    pub(crate) fn data_key(&self, from: &PublicKey, packet: &[u8]) -> Option<PublicKey> {
        match self.stored(from, packet)? {
            Stored::Found { data_key } => Some(data_key),
            Stored::No { .. } | Stored::Announced { .. } => None,
        }
    }

    /// What a node answered to an announcement of ours: the next ping id, and whether we are announced.
    pub(crate) fn ping_id(&self, from: &PublicKey, packet: &[u8]) -> Option<([u8; 32], bool)> {
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
    pub(crate) fn dht_key_announce(&self, receiver: &PublicKey, data_key: &PublicKey, claimed: PublicKey) -> Vec<u8> {
        let mut buf = vec![0; 1400];
        let mut w = Writer::new(&mut buf[data::REQUEST_DATA_AT..]);
        DhtKeyAnnounce { no_replay: 1, dht_key: claimed, nodes: PackedNodes::EMPTY }.emit(&mut w);
        let len = w.len();
        let inner = Nacl.agree(&self.secret, receiver).expect("a good key");
        // The temporary key may as well be ours.
        let outer = Nacl.agree(&self.secret, data_key).expect("a good key");
        let keys = DataKeys { receiver, sender: &self.key, temporary: &self.key, inner: &inner, outer: &outer };
        let len = keys.seal(&Nacl, &self.nonce, &mut buf, len);
        let mut packet = vec![kind::ONION_DATA_RESPONSE];
        packet.extend_from_slice(&buf[33..len]);
        packet
    }

    fn packet(&self, kind: u8, to: &PublicKey, text: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut packet = vec![0; 512];
        let mut w = Writer::new(&mut packet);
        Outer::emit_header(&mut w, kind, &self.key, &self.nonce);
        w.skip(MAC);
        assert_eq!(w.len(), TEXT_AT);
        text(&mut w);
        let len = w.len();
        packet.truncate(len);
        self.seal(to, &mut packet[BOX_AT..]);
        packet
    }

    fn seal(&self, to: &PublicKey, boxed: &mut [u8]) {
        let key = Nacl.agree(&self.secret, to).expect("a good key");
        Nacl.seal(&key, &self.nonce, boxed);
    }

    fn open(&self, from: &PublicKey, nonce: &Nonce, boxed: &[u8]) -> Option<Vec<u8>> {
        let mut boxed = boxed.to_vec();
        Nacl.open(&Nacl.agree(&self.secret, from)?, nonce, &mut boxed).then(|| boxed.split_off(MAC))
    }
}

//! Hostile datagrams, one after the other: well made ones that cost a key agreement, true kinds cut short or spoilt,
//! noise.

use bluering_core::crypto::{MAC_LEN, NONCE_LEN, Nacl, Nonce, PUBLIC_KEY_LEN, PublicKey, SecretKey, Suite};
use bluering_core::wire::dht::{BOX_AT, NodesRequest, NodesResponse, Outer, Ping};
use bluering_core::wire::session::{
    COOKIE_REQUEST_BOX, COOKIE_REQUEST_LEN, CookieRequest, CookieRequestText, HANDSHAKE_LEN,
};
use bluering_core::wire::{NodeInfo, Writer, kind};
use rand_core::CryptoRng;

/// Where they come from.
pub(crate) const NETWORK: &str = "198.18.0.0/15";
const LEN_MAX: usize = 1500;
/// What nodes know, each a fair target for noise behind it.
const KINDS: [u8; 12] = [
    kind::PING_REQUEST,
    kind::PING_RESPONSE,
    kind::NODES_REQUEST,
    kind::NODES_RESPONSE,
    kind::COOKIE_REQUEST,
    kind::CRYPTO_HANDSHAKE,
    kind::CRYPTO_DATA,
    kind::DHT_REQUEST,
    kind::ONION_REQUEST_0,
    kind::ANNOUNCE_REQUEST,
    kind::ONION_DATA_REQUEST,
    kind::BOOTSTRAP_INFO,
];

/// The next datagram. Half are well made, from a new key each.
pub(crate) fn hostile(to: &PublicKey, rng: &mut impl CryptoRng) -> Vec<u8> {
    let sender = Sender::new(rng);
    match rng.next_u32() % 10 {
        0..2 => sender.cookie_request(to, rng),
        2..4 => sender.ping_request(to, rng),
        4 => sender.nodes_request(to, PublicKey(array(rng)), rng),
        5 => {
            let mut bytes = sender.ping_request(to, rng);
            spoil(&mut bytes, rng);
            bytes
        }
        6 => {
            let mut bytes = sender.cookie_request(to, rng);
            bytes.truncate(below(rng, bytes.len()));
            bytes
        }
        7 => {
            let mut bytes = noise(rng, HANDSHAKE_LEN);
            bytes[0] = kind::CRYPTO_HANDSHAKE;
            bytes
        }
        8 => {
            let len = 1 + below(rng, LEN_MAX);
            let mut bytes = noise(rng, len);
            bytes[0] = KINDS[below(rng, KINDS.len())];
            bytes
        }
        _ => {
            let len = below(rng, LEN_MAX);
            noise(rng, len)
        }
    }
}

/// Somebody with a new key.
pub(crate) struct Sender {
    secret: SecretKey,
    key: PublicKey,
}

impl Sender {
    pub(crate) fn new(rng: &mut impl CryptoRng) -> Self {
        let secret = SecretKey::generate(rng);
        Self { key: secret.public_key(), secret }
    }

    /// Asks for nodes near `target`.
    pub(crate) fn nodes_request(&self, to: &PublicKey, target: PublicKey, rng: &mut impl CryptoRng) -> Vec<u8> {
        let request = NodesRequest { target, id: rng.next_u64() };
        self.packet(kind::NODES_REQUEST, to, &written(|w| request.emit(w)), rng)
    }

    /// The nodes that an answer to us names.
    pub(crate) fn named(&self, response: &[u8]) -> Option<Vec<NodeInfo>> {
        let outer = Outer::parse(response).filter(|outer| outer.kind == kind::NODES_RESPONSE)?;
        let mut text = outer.boxed.to_vec();
        let opened = Nacl.open(&Nacl.agree(&self.secret, &outer.sender)?, &outer.nonce, &mut text);
        let text = opened.then(|| &text[MAC_LEN..])?;
        Some(NodesResponse::parse(text)?.nodes.udp().collect())
    }

    fn ping_request(&self, to: &PublicKey, rng: &mut impl CryptoRng) -> Vec<u8> {
        let ping = Ping { kind: kind::PING_REQUEST, id: rng.next_u64() };
        self.packet(kind::PING_REQUEST, to, &written(|w| ping.emit(w)), rng)
    }

    fn cookie_request(&self, to: &PublicKey, rng: &mut impl CryptoRng) -> Vec<u8> {
        let mut packet = vec![0; COOKIE_REQUEST_LEN];
        let nonce = Nonce(array(rng));
        CookieRequest { dht: self.key, nonce }.emit(&mut packet);
        let text = CookieRequestText { peer: self.key, echo: rng.next_u64() };
        text.emit(&mut packet[COOKIE_REQUEST_BOX + MAC_LEN..]);
        self.seal(to, &nonce, &mut packet[COOKIE_REQUEST_BOX..]);
        packet
    }

    fn packet(&self, kind: u8, to: &PublicKey, text: &[u8], rng: &mut impl CryptoRng) -> Vec<u8> {
        let nonce = Nonce(array(rng));
        let mut packet = written(|w| Outer::emit_header(w, kind, &self.key, &nonce));
        packet.extend([0; MAC_LEN]);
        packet.extend(text);
        self.seal(to, &nonce, &mut packet[BOX_AT..]);
        packet
    }

    /// Who has a key that agrees with nothing gets zeros, which are noise too.
    fn seal(&self, to: &PublicKey, nonce: &Nonce, boxed: &mut [u8]) {
        if let Some(shared) = Nacl.agree(&self.secret, to) {
            Nacl.seal(&shared, nonce, boxed);
        }
    }
}

fn written(emit: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buffer = [0; LEN_MAX];
    let mut writer = Writer::new(&mut buffer);
    emit(&mut writer);
    let len = writer.len();
    buffer[..len].to_vec()
}

/// Flips a few bits behind the header, so that the agreement is paid for and the box does not open.
fn spoil(bytes: &mut [u8], rng: &mut impl CryptoRng) {
    let start = 1 + PUBLIC_KEY_LEN + NONCE_LEN;
    for _ in 0..3 {
        let at = start + below(rng, bytes.len() - start);
        bytes[at] ^= 1 << below(rng, 8);
    }
}

fn noise(rng: &mut impl CryptoRng, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn array<const N: usize>(rng: &mut impl CryptoRng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn below(rng: &mut impl CryptoRng, end: usize) -> usize {
    rng.next_u32() as usize % end
}

#[cfg(test)]
mod tests {
    use super::*;
    use chacha20::ChaCha8Rng;
    use rand_core::SeedableRng;

    #[test]
    fn well_made_packets_open_and_spoilt_ones_do_not() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (a, b) = (Sender::new(&mut rng), Sender::new(&mut rng));
        let opens = |packet: &[u8]| {
            let outer = Outer::parse(packet).expect("it has a header");
            let shared = Nacl.agree(&b.secret, &outer.sender).expect("keys agree");
            Nacl.open(&shared, &outer.nonce, &mut outer.boxed.to_vec())
        };
        for _ in 0..50 {
            let mut packet = a.ping_request(&b.key, &mut rng);
            assert!(opens(&packet) && opens(&a.nodes_request(&b.key, a.key, &mut rng)));
            let whole = packet.clone();
            spoil(&mut packet, &mut rng);
            assert_eq!(opens(&packet), packet == whole);
        }
    }

    #[test]
    fn a_flood_has_many_kinds_and_senders() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let key = Sender::new(&mut rng).key;
        let packets: Vec<Vec<u8>> = (0..500).map(|_| hostile(&key, &mut rng)).collect();
        assert!(packets.iter().all(|packet| packet.len() <= LEN_MAX));
        for wanted in [kind::PING_REQUEST, kind::NODES_REQUEST, kind::COOKIE_REQUEST, kind::CRYPTO_HANDSHAKE] {
            assert!(packets.iter().filter(|packet| packet.first() == Some(&wanted)).count() > 20);
        }
    }
}

//! The encrypted stream of one TCP connection between a client and a relay, seen from both ends.
//!
//! Both send a handshake, which agrees on temporary keys, and then frames. Each side seals with the base nonce that
//! *it* announced (the specification has it the other way round in one place; wire-facts E2), counted up once per
//! frame. Nothing is repeated and nothing may be missing: whatever does not open ends the connection.
//!
//! The bytes received lie in the adapter's buffer, are opened there, and may arrive in any pieces.

use crate::crypto::{MAC_LEN, Nonce, PUBLIC_KEY_LEN, PublicKey, SecretKey, SharedKey, Suite};
use crate::wire::Writer;
use crate::wire::relay::{
    CLIENT_HELLO_BOX, CLIENT_HELLO_LEN, FRAME_HEAD, FRAME_TEXT, HelloText, RELAY_HELLO_BOX, RELAY_HELLO_LEN,
    RelayPacket, frame_len,
};
use rand_core::CryptoRng;

/// An established stream: the key and the nonces of the next frames.
#[derive(Debug)]
pub struct Channel {
    key: SharedKey,
    send: Nonce,
    receive: Nonce,
}

/// What stands at the front of the received bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'b> {
    /// The beginning of a frame.
    Part,
    /// A frame of `used` bytes, and the packet in it.
    Frame {
        /// Bytes that are done with.
        used: usize,
        /// The packet, opened in place.
        text: &'b mut [u8],
    },
    /// No frame of this connection, ever.
    Broken,
}

impl Channel {
    /// All zeros: what vacant table entries hold.
    pub(crate) const NONE: Self = Self { key: SharedKey::ZERO, send: Nonce::ZERO, receive: Nonce::ZERO };

    /// Opens the first frame of `bytes` in place, if it is whole. A part is left as it is.
    pub fn open<'b>(&mut self, suite: &impl Suite, bytes: &'b mut [u8]) -> Received<'b> {
        let used = match opened(bytes) {
            Received::Frame { used, .. } => used,
            Received::Part => return Received::Part,
            Received::Broken => return Received::Broken,
        };
        if !suite.open(&self.key, &self.receive, &mut bytes[FRAME_HEAD..used]) {
            return Received::Broken;
        }
        self.receive = self.receive.plus(1);
        Received::Frame { used, text: &mut bytes[FRAME_TEXT..used] }
    }

    /// Makes a frame of the packet that stands in `buf[FRAME_TEXT..len]`, in place: `len` bytes are to be sent.
    pub fn seal(&mut self, suite: &impl Suite, buf: &mut [u8], len: usize) {
        suite.seal(&self.key, &self.send, &mut buf[FRAME_HEAD..len]);
        leave_open(buf, len);
        self.send = self.send.plus(1);
    }

    /// Seals all frames of `bytes`, which [`leave_open`] has made.
    pub fn seal_all(&mut self, suite: &impl Suite, mut bytes: &mut [u8]) {
        while let Received::Frame { used, .. } = opened(bytes) {
            let (frame, rest) = bytes.split_at_mut(used);
            self.seal(suite, frame, used);
            bytes = rest;
        }
    }

    /// Writes a packet as a frame and gives its length.
    pub fn seal_packet(&mut self, suite: &impl Suite, packet: &RelayPacket<'_>, buf: &mut [u8]) -> usize {
        let mut w = Writer::new(&mut buf[FRAME_TEXT..]);
        packet.emit(&mut w);
        let len = FRAME_TEXT + w.len();
        self.seal(suite, buf, len);
        len
    }
}

/// The first frame of `bytes`, which was opened before.
pub fn opened(bytes: &mut [u8]) -> Received<'_> {
    match frame_len(bytes) {
        Ok(Some(used)) if used <= bytes.len() => Received::Frame { used, text: &mut bytes[FRAME_TEXT..used] },
        Ok(_) => Received::Part,
        Err(_) => Received::Broken,
    }
}

/// Writes in front of the packet that stands in `buf[FRAME_TEXT..len]` how long it is, so that it is a frame that only
/// wants to be sealed.
pub fn leave_open(buf: &mut [u8], len: usize) {
    buf[..FRAME_HEAD].copy_from_slice(&((len - FRAME_HEAD) as u16).to_be_bytes());
}

/// A client that waits for the relay's handshake.
#[derive(Debug)]
pub struct Greeting {
    long_term: SharedKey,
    temporary: SecretKey,
    base: Nonce,
}

impl Greeting {
    /// Greets the relay with this DHT key as the client `me`: these bytes are the first to be sent. `None` when the
    /// relay's key is of small order.
    #[must_use]
    pub fn new(
        suite: &impl Suite,
        rng: &mut impl CryptoRng,
        me: (&SecretKey, &PublicKey),
        relay: &PublicKey,
    ) -> Option<(Self, [u8; CLIENT_HELLO_LEN])> {
        let this = Self {
            long_term: suite.agree(me.0, relay)?,
            temporary: SecretKey::generate(rng),
            base: Nonce::generate(rng),
        };
        let nonce = Nonce::generate(rng);
        let mut hello = [0; CLIENT_HELLO_LEN];
        Writer::new(&mut hello).bytes(&me.1.0).bytes(&nonce.0);
        let text = HelloText { temporary: suite.public_key(&this.temporary), base: this.base };
        seal_hello(suite, &this.long_term, &nonce, &text, &mut hello[CLIENT_HELLO_BOX..]);
        Some((this, hello))
    }

    /// Reads the relay's handshake. `None` when it is not from that relay: the connection is of no use.
    #[must_use]
    pub fn finish(&self, suite: &impl Suite, hello: &mut [u8; RELAY_HELLO_LEN]) -> Option<Channel> {
        let nonce = Nonce::from_slice(&hello[..RELAY_HELLO_BOX])?;
        let text = open_hello(suite, &self.long_term, &nonce, &mut hello[RELAY_HELLO_BOX..])?;
        let key = suite.agree(&self.temporary, &text.temporary)?;
        Some(Channel { key, send: self.base, receive: text.base })
    }
}

/// A client's handshake that was right: who it is, the stream, and what to answer.
#[derive(Debug)]
pub struct Answered {
    /// The client's key. It may be a replay until a frame has come.
    pub client: PublicKey,
    /// The stream.
    pub channel: Channel,
    /// What to send first.
    pub hello: [u8; RELAY_HELLO_LEN],
}

/// The client's key in its handshake, before anything is known to be true.
#[must_use]
pub fn greeter(hello: &[u8; CLIENT_HELLO_LEN]) -> PublicKey {
    let mut key = [0; PUBLIC_KEY_LEN];
    key.copy_from_slice(&hello[..PUBLIC_KEY_LEN]);
    PublicKey(key)
}

/// A relay reads the handshake of a client. `None` when it was not made for our key.
#[must_use]
pub fn answer(
    suite: &impl Suite,
    rng: &mut impl CryptoRng,
    secret: &SecretKey,
    hello: &mut [u8; CLIENT_HELLO_LEN],
) -> Option<Answered> {
    let client = greeter(hello);
    let nonce = Nonce::from_slice(&hello[PUBLIC_KEY_LEN..CLIENT_HELLO_BOX])?;
    let long_term = suite.agree(secret, &client)?;
    let theirs = open_hello(suite, &long_term, &nonce, &mut hello[CLIENT_HELLO_BOX..])?;
    let temporary = SecretKey::generate(rng);
    let key = suite.agree(&temporary, &theirs.temporary)?;
    let (base, nonce) = (Nonce::generate(rng), Nonce::generate(rng));
    let mut hello = [0; RELAY_HELLO_LEN];
    Writer::new(&mut hello).bytes(&nonce.0);
    let ours = HelloText { temporary: suite.public_key(&temporary), base };
    seal_hello(suite, &long_term, &nonce, &ours, &mut hello[RELAY_HELLO_BOX..]);
    Some(Answered { client, channel: Channel { key, send: base, receive: theirs.base }, hello })
}

fn seal_hello(suite: &impl Suite, key: &SharedKey, nonce: &Nonce, text: &HelloText, boxed: &mut [u8]) {
    text.emit(&mut boxed[MAC_LEN..]);
    suite.seal(key, nonce, boxed);
}

fn open_hello(suite: &impl Suite, key: &SharedKey, nonce: &Nonce, boxed: &mut [u8]) -> Option<HelloText> {
    if suite.open(key, nonce, boxed) { HelloText::parse(&boxed[MAC_LEN..]) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Nacl;
    use crate::wire::relay::FRAME_LEN_MAX;
    use chacha20::ChaCha12Rng;
    use quickcheck::quickcheck;
    use rand_core::SeedableRng;
    use std::vec::Vec;

    /// The client's end and the relay's.
    fn pair(seed: u64) -> (Channel, Channel) {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let [relay, client] = [(); 2].map(|()| SecretKey::generate(&mut rng));
        let (relay_key, client_key) = (relay.public_key(), client.public_key());
        let (greeting, mut hello) = Greeting::new(&Nacl, &mut rng, (&client, &client_key), &relay_key).unwrap();
        let mut answered = answer(&Nacl, &mut rng, &relay, &mut hello).unwrap();
        assert_eq!((greeter(&hello), answered.client), (client_key, client_key));
        (greeting.finish(&Nacl, &mut answered.hello).unwrap(), answered.channel)
    }

    #[test]
    fn a_bent_handshake_is_refused() {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let [relay, client] = [(); 2].map(|()| SecretKey::generate(&mut rng));
        let (relay_key, client_key) = (relay.public_key(), client.public_key());
        let (greeting, hello) = Greeting::new(&Nacl, &mut rng, (&client, &client_key), &relay_key).unwrap();
        for i in (0..CLIENT_HELLO_LEN).filter(|i| *i != 31) {
            let mut bent = hello;
            bent[i] ^= 1;
            assert!(answer(&Nacl, &mut rng, &relay, &mut bent).is_none(), "{i}");
        }
        let answered = answer(&Nacl, &mut rng, &relay, &mut hello.clone()).unwrap();
        for i in 0..RELAY_HELLO_LEN {
            let mut bent = answered.hello;
            bent[i] ^= 1;
            assert!(greeting.finish(&Nacl, &mut bent).is_none(), "{i}");
        }
        assert!(Greeting::new(&Nacl, &mut rng, (&client, &client_key), &PublicKey::ZERO).is_none());
    }

    #[test]
    fn frames_open_once_in_order_and_unchanged() {
        let (mut client, mut relay) = pair(2);
        let (mut buf, mut copy) = ([0; FRAME_LEN_MAX], [0; FRAME_LEN_MAX]);
        for round in 0..3 {
            let len = client.seal_packet(&Nacl, &RelayPacket::Ping(round), &mut buf);
            for cut in 0..len {
                copy[..len].copy_from_slice(&buf[..len]);
                assert_eq!(relay.open(&Nacl, &mut copy[..cut]), Received::Part);
            }
            let Received::Frame { used, text } = relay.open(&Nacl, &mut copy[..len]) else { panic!("a frame") };
            assert_eq!((used, RelayPacket::parse(text)), (len, Some(RelayPacket::Ping(round))));
            assert_eq!(relay.open(&Nacl, &mut buf[..len]), Received::Broken, "a replay");
        }
        let len = relay.seal_packet(&Nacl, &RelayPacket::Pong(1), &mut buf);
        buf[len - 1] ^= 1;
        assert_eq!(client.open(&Nacl, &mut buf[..len]), Received::Broken);
    }

    #[test]
    fn frames_that_were_left_open_are_sealed_together() {
        let (mut client, mut relay) = pair(3);
        let mut bytes = std::vec![0; 3 * (FRAME_TEXT + 5)];
        for (i, frame) in bytes.chunks_exact_mut(FRAME_TEXT + 5).enumerate() {
            frame[FRAME_TEXT..].fill(i as u8);
            leave_open(frame, FRAME_TEXT + 5);
        }
        let plain = bytes.clone();
        relay.seal_all(&Nacl, &mut bytes);
        let mut left = &mut bytes[..];
        for i in 0..3 {
            let Received::Frame { used, text } = client.open(&Nacl, left) else { panic!("frame {i}") };
            assert_eq!(text, [i; 5]);
            left = &mut left[used..];
        }
        assert!(left.is_empty() && plain != bytes);
    }

    quickcheck! {
        /// Both directions carry anything of any length, each with its own nonces.
        fn both_ways(seed: u64, packets: Vec<(bool, Vec<u8>)>) -> bool {
            let (mut client, mut relay) = pair(seed);
            packets.iter().all(|(to_relay, data)| {
                let (from, to) = if *to_relay { (&mut client, &mut relay) } else { (&mut relay, &mut client) };
                let mut buf = [0; FRAME_LEN_MAX];
                let packet = RelayPacket::Data { id: 16, data };
                let len = from.seal_packet(&Nacl, &packet, &mut buf);
                matches!(to.open(&Nacl, &mut buf), Received::Frame { used, text }
                    if used == len && RelayPacket::parse(text) == Some(packet))
            })
        }
    }
}

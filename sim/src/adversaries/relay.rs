//! An onion relay that is no node: it passes packets on as the protocol has it, when it is told to.

use super::craft::Attacker;
use crate::crypto::SimSuite;
use crate::rng::SimRng;
use bluering_core::Endpoint;
use bluering_core::crypto::{MAC_LEN, NONCE_LEN, Nonce, SharedKey, Suite};
use bluering_core::wire::onion::path::{LAYER_BOX_AT, RETURN_STEP};
use bluering_core::wire::onion::{AnnounceHeader, ONION_ADDR_LEN, RETURN_1, RETURN_2, RETURN_3, emit_addr, parse_addr};
use bluering_core::wire::{Reader, Writer, kind};

/// Seals return headers, and opens them again.
#[derive(Debug)]
pub(super) struct Relay {
    suite: SimSuite,
    key: SharedKey,
}

impl Relay {
    pub(super) fn new(suite: &SimSuite, seed: u64) -> Self {
        Self { suite: suite.clone(), key: SharedKey::from_bytes(SimRng::fork(seed, &[u64::MAX]).array()) }
    }

    /// The packet for the next hop, and where that is. The layer is for one of `us`.
    pub(super) fn pass_on(
        &self,
        us: &[Attacker],
        from: Endpoint,
        bytes: &[u8],
        rng: &mut SimRng,
    ) -> Option<(Endpoint, Vec<u8>)> {
        match *bytes.first()? {
            kind::ONION_REQUEST_0 => self.forward(us, from, bytes, 0, Some(kind::ONION_REQUEST_1), rng),
            kind::ONION_REQUEST_1 => self.forward(us, from, bytes, RETURN_1, Some(kind::ONION_REQUEST_2), rng),
            kind::ONION_REQUEST_2 => self.forward(us, from, bytes, RETURN_2, None, rng),
            kind::ONION_RESPONSE_3 => self.hand_back(bytes, RETURN_3, Some(kind::ONION_RESPONSE_2)),
            kind::ONION_RESPONSE_2 => self.hand_back(bytes, RETURN_2, Some(kind::ONION_RESPONSE_1)),
            kind::ONION_RESPONSE_1 => self.hand_back(bytes, RETURN_1, None),
            _ => None,
        }
    }

    fn forward(
        &self,
        us: &[Attacker],
        from: Endpoint,
        bytes: &[u8],
        inner: usize,
        next: Option<u8>,
        rng: &mut SimRng,
    ) -> Option<(Endpoint, Vec<u8>)> {
        let AnnounceHeader { nonce, sender } = AnnounceHeader::parse(bytes)?;
        let (layer, path) = bytes.split_at_checked(bytes.len().checked_sub(inner)?)?;
        let boxed = layer.get(LAYER_BOX_AT..)?;
        let text = us.iter().find_map(|me| me.open(&sender, &nonce, boxed))?;
        let mut reader = Reader::new(&text);
        let to = parse_addr(&mut reader)?;
        let mut packet = match next {
            Some(kind) => [&[kind], nonce.0.as_slice()].concat(),
            None => Vec::new(),
        };
        packet.extend_from_slice(reader.rest());
        let start = packet.len();
        let mut sealed = [0; NONCE_LEN + MAC_LEN + ONION_ADDR_LEN];
        let fresh = Nonce(rng.array());
        let mut w = Writer::new(&mut sealed);
        w.bytes(&fresh.0).skip(MAC_LEN);
        emit_addr(from, &mut w);
        packet.extend_from_slice(&sealed);
        packet.extend_from_slice(path);
        self.suite.seal(&self.key, &fresh, &mut packet[start + NONCE_LEN..]);
        Some((to, packet))
    }

    fn hand_back(&self, bytes: &[u8], outer: usize, next: Option<u8>) -> Option<(Endpoint, Vec<u8>)> {
        let (header, rest) = bytes[1..].split_at_checked(outer)?;
        let (nonce, boxed) = header.split_at(NONCE_LEN);
        let mut boxed = boxed.to_vec();
        if !self.suite.open(&self.key, &Nonce::from_slice(nonce)?, &mut boxed) {
            return None;
        }
        let text = &boxed[MAC_LEN..];
        let to = parse_addr(&mut Reader::new(text))?;
        debug_assert_eq!(text.len(), ONION_ADDR_LEN + outer - RETURN_STEP);
        Some((to, [next.as_slice(), &text[ONION_ADDR_LEN..], rest].concat()))
    }
}

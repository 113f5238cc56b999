//! Mutation: datagrams that look right but for one field.
//!
//! Whoever overhears a datagram knows where its fields lie, though not what its boxes hold. It changes one thing: a
//! key, a nonce, a cookie or a return header of another datagram in place of its own, a bit, the kind, a nonce one
//! higher, a cut at a field's border, bytes too many. With keys of its own it also makes boxes that open, whose
//! plaintext is wrong in the same ways. It sends them from its own address or with the true source spoofed.
//!
//! What must hold: everything that was overheard and changed is dropped, for its form or because its box does not open.
//! Nothing ends a session, moves an address, uses up a window or makes a node panic; and what opens but is malformed
//! inside counts for nothing.

use super::craft::{Attacker, index, noise};
use super::pace::Pace;
use super::scout::Scout;
use crate::actor::{Actor, ActorCx};
use crate::crypto::SimSuite;
use crate::observe::Packet;
use crate::rng::{Ppm, SimRng};
use bluering_core::Endpoint;
use bluering_core::crypto::{MAC_LEN, NONCE_LEN, Nonce, PUBLIC_KEY_LEN};
use bluering_core::wire::onion::announce::SENDBACK_LEN;
use bluering_core::wire::onion::{RETURN_1, RETURN_2, RETURN_3};
use bluering_core::wire::session::COOKIE_LEN;
use bluering_core::wire::{NodeInfo, kind};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Sends overheard datagrams with one thing changed, and well-sealed nonsense.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mutate {
    /// Datagrams that it sends in a second, at most.
    pub per_second: u32,
    /// How likely it takes up a datagram that it overhears.
    pub sample: Ppm,
    /// How likely it sends nonsense in a box of its own instead.
    pub sealed: Ppm,
    /// How likely it spoofs the true source.
    pub spoofed: Ppm,
}

impl Default for Mutate {
    fn default() -> Self {
        Self { per_second: 50, sample: 300_000, sealed: 200_000, spoofed: 500_000 }
    }
}

/// Datagrams that are kept for their fields.
const POOL: usize = 64;
/// The longest datagram that Tox knows.
const LEN_MAX: usize = 2048;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Kind,
    Key,
    Nonce,
    /// The last two bytes of a session's nonce.
    NonceTail,
    Cookie,
    Sendback,
    /// Return headers of one, two or three relays.
    Return,
    Mac,
    /// All that stands in boxes, and the packet that an onion response brings back.
    Text,
}

/// One way to change a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Flip,
    Swap,
    Kind,
    Plus,
    Fill,
    Cut,
    Lengthen,
    Double,
    Join,
}

const CHANGES: [Change; 9] = [
    Change::Flip,
    Change::Swap,
    Change::Kind,
    Change::Plus,
    Change::Fill,
    Change::Cut,
    Change::Lengthen,
    Change::Double,
    Change::Join,
];

const KINDS: [u8; 31] = [
    kind::PING_REQUEST,
    kind::PING_RESPONSE,
    kind::NODES_REQUEST,
    kind::NODES_RESPONSE,
    kind::COOKIE_REQUEST,
    kind::COOKIE_RESPONSE,
    kind::CRYPTO_HANDSHAKE,
    kind::CRYPTO_DATA,
    kind::DHT_REQUEST,
    kind::LAN_DISCOVERY,
    kind::ONION_REQUEST_0,
    kind::ONION_REQUEST_1,
    kind::ONION_REQUEST_2,
    kind::ANNOUNCE_REQUEST,
    kind::ANNOUNCE_RESPONSE,
    kind::ONION_DATA_REQUEST,
    kind::ONION_DATA_RESPONSE,
    kind::GROUP_ANNOUNCE_REQUEST,
    kind::GROUP_ANNOUNCE_RESPONSE,
    kind::ONION_RESPONSE_3,
    kind::ONION_RESPONSE_2,
    kind::ONION_RESPONSE_1,
    kind::FORWARD_REQUEST,
    kind::FORWARDING,
    kind::FORWARD_REPLY,
    kind::DATA_SEARCH_REQUEST,
    kind::DATA_SEARCH_RESPONSE,
    kind::DATA_RETRIEVE_REQUEST,
    kind::DATA_RETRIEVE_RESPONSE,
    kind::STORE_ANNOUNCE_REQUEST,
    kind::STORE_ANNOUNCE_RESPONSE,
];

/// A field and where it lies.
type Span = (Field, core::ops::Range<usize>);

/// The fields of a datagram, front to back; of one that is too short as many as it has.
fn fields(bytes: &[u8]) -> Vec<Span> {
    use Field::{Cookie, Kind, Mac, NonceTail, Return, Sendback, Text};
    let (key, nonce, mac) = ((Field::Key, PUBLIC_KEY_LEN), (Field::Nonce, NONCE_LEN), (Mac, MAC_LEN));
    let (front, back): (&[(Field, usize)], usize) = match bytes.first() {
        Some(&(kind::PING_REQUEST | kind::PING_RESPONSE | kind::NODES_REQUEST | kind::NODES_RESPONSE)) => {
            (&[key, nonce, mac], 0)
        }
        Some(&kind::COOKIE_REQUEST) => (&[key, nonce, mac], 0),
        Some(&kind::COOKIE_RESPONSE) => (&[nonce, mac], 0),
        Some(&kind::CRYPTO_HANDSHAKE) => (&[(Cookie, COOKIE_LEN), nonce, mac], 0),
        Some(&kind::CRYPTO_DATA) => (&[(NonceTail, 2), mac], 0),
        Some(&kind::DHT_REQUEST) => (&[key, key, nonce, mac], 0),
        Some(&kind::ONION_REQUEST_0) => (&[nonce, key, mac], 0),
        Some(&kind::ONION_REQUEST_1) => (&[nonce, key, mac], RETURN_1),
        Some(&kind::ONION_REQUEST_2) => (&[nonce, key, mac], RETURN_2),
        Some(&(kind::ANNOUNCE_REQUEST | kind::GROUP_ANNOUNCE_REQUEST)) => (&[nonce, key, mac], RETURN_3),
        Some(&kind::ONION_DATA_REQUEST) => (&[key, nonce, key, mac], RETURN_3),
        Some(&(kind::ANNOUNCE_RESPONSE | kind::GROUP_ANNOUNCE_RESPONSE)) => {
            (&[(Sendback, SENDBACK_LEN), nonce, mac], 0)
        }
        Some(&kind::ONION_DATA_RESPONSE) => (&[nonce, key, mac], 0),
        Some(&kind::ONION_RESPONSE_3) => (&[(Return, RETURN_3)], 0),
        Some(&kind::ONION_RESPONSE_2) => (&[(Return, RETURN_2)], 0),
        Some(&kind::ONION_RESPONSE_1) => (&[(Return, RETURN_1)], 0),
        Some(_) | None => (&[], 0),
    };
    let mut spans = Vec::with_capacity(7);
    let mut at = 0;
    for (field, len) in core::iter::once(&(Kind, 1)).chain(front) {
        if at + len <= bytes.len() {
            spans.push((*field, at..at + len));
            at += len;
        }
    }
    let end = bytes.len().saturating_sub(back).max(at);
    let rest = [(Text, at..end), (Return, end..bytes.len())];
    spans.extend(rest.into_iter().filter(|(_, range)| !range.is_empty()));
    spans
}

/// Changes `bytes` in one way; `pool` has other datagrams to take fields from.
fn change(bytes: &mut Vec<u8>, pool: &VecDeque<Vec<u8>>, rng: &mut SimRng) {
    let spans = fields(bytes);
    let Some((field, range)) = spans.get(index(rng, spans.len())).cloned() else { return };
    match CHANGES[index(rng, CHANGES.len())] {
        Change::Flip => bytes[range.start + index(rng, range.len())] ^= 1 << rng.below(8),
        Change::Swap => swap(bytes, pool, field, range, rng),
        Change::Kind => bytes[0] = KINDS[index(rng, KINDS.len())],
        Change::Plus => plus_one(bytes, &spans),
        Change::Fill => bytes[range].fill(if rng.below(2) == 0 { 0 } else { 0xff }),
        Change::Cut => bytes.truncate(range.start + index(rng, 2) * range.len().saturating_sub(1)),
        Change::Lengthen => {
            let more = [1, 8, MAC_LEN, 39, RETURN_1][index(rng, 5)];
            bytes.extend(noise(rng, more));
        }
        Change::Double => {
            let twice = bytes[range.clone()].to_vec();
            bytes.splice(range.end..range.end, twice).for_each(drop);
        }
        Change::Join => bytes.extend(pool.get(index(rng, pool.len())).into_iter().flatten()),
    }
    bytes.truncate(LEN_MAX);
}

/// Puts the same field of another datagram in place of one; noise, when none has it.
fn swap(bytes: &mut [u8], pool: &VecDeque<Vec<u8>>, field: Field, range: core::ops::Range<usize>, rng: &mut SimRng) {
    let first = index(rng, pool.len());
    let others = pool.iter().skip(first).chain(pool.iter().take(first));
    let found = others.filter(|other| other.get(range.clone()) != Some(&bytes[range.clone()])).find_map(|other| {
        let (_, theirs) = fields(other).into_iter().find(|(theirs, at)| *theirs == field && at.len() == range.len())?;
        Some(other[theirs].to_vec())
    });
    let new = found.unwrap_or_else(|| noise(rng, range.len()));
    bytes[range].copy_from_slice(&new);
}

/// The nonce one higher, or its tail; the last byte, where there is none.
fn plus_one(bytes: &mut [u8], spans: &[Span]) {
    let nonce = spans.iter().find(|(field, _)| *field == Field::Nonce || *field == Field::NonceTail);
    match nonce.map(|(_, range)| &mut bytes[range.clone()]) {
        Some([high, low]) => [*high, *low] = u16::from_be_bytes([*high, *low]).wrapping_add(1).to_be_bytes(),
        Some(nonce) => {
            if let Some(next) = Nonce::from_slice(nonce) {
                nonce.copy_from_slice(&next.plus(1).0);
            }
        }
        None => bytes.last_mut().into_iter().for_each(|last| *last = last.wrapping_add(1)),
    }
}

#[derive(Debug)]
pub(super) struct Mutator {
    plan: Mutate,
    pace: Pace,
    suite: SimSuite,
    scout: Scout,
    pool: VecDeque<Vec<u8>>,
}

impl Mutator {
    pub(super) fn new(plan: &Mutate, targets: &[NodeInfo], suite: &SimSuite) -> Self {
        let pace = Pace::bursts(plan.per_second);
        Self { plan: plan.clone(), pace, suite: suite.clone(), scout: Scout::new(targets), pool: VecDeque::new() }
    }

    /// A box that opens, with nonsense inside.
    fn nonsense(&self, rng: &mut SimRng) -> Option<(Endpoint, Vec<u8>)> {
        let node = self.scout.any(rng)?;
        let me = Attacker::new(&self.suite, rng);
        let len = [0, 1, 8, 9, 40, 48, 209, 400][index(rng, 8)];
        let text = match rng.below(4) {
            0 => vec![KINDS[index(rng, KINDS.len())]; len],
            1 => vec![0; len],
            2 => [[2, 2].as_slice(), noise(rng, len).as_slice()].concat(),
            _ => noise(rng, len),
        };
        let packet = match rng.below(3) {
            0 => me.packet(KINDS[index(rng, 4)], &node.key, &text),
            1 => me.packet([kind::PING_REQUEST, kind::NODES_REQUEST][index(rng, 2)], &node.key, &text),
            _ => {
                let mut request = me.cookie_request(&node.key, me.key);
                change(&mut request, &self.pool, rng);
                request
            }
        };
        Some((node.at, packet))
    }
}

impl Actor for Mutator {
    fn on_datagram(&mut self, _: &mut ActorCx<'_>, _: Endpoint, _: &[u8]) {}

    fn overhears(&self) -> bool {
        true
    }

    fn on_overheard(&mut self, cx: &mut ActorCx<'_>, packet: &Packet<'_>) {
        if !cx.rng.chance(self.plan.sample) {
            return;
        }
        self.scout.overhear(packet, cx.rng);
        if self.pace.take(cx.now) {
            let sealed = cx.rng.chance(self.plan.sealed).then(|| self.nonsense(cx.rng)).flatten();
            let (to, bytes) = sealed.unwrap_or_else(|| {
                let mut bytes = packet.bytes.to_vec();
                change(&mut bytes, &self.pool, cx.rng);
                (packet.to, bytes)
            });
            if cx.rng.chance(self.plan.spoofed) {
                cx.send_as(packet.source, to, bytes);
            } else {
                cx.send(to, bytes);
            }
        }
        let mut kept = if self.pool.len() < POOL { Vec::new() } else { self.pool.pop_front().unwrap_or_default() };
        kept.clear();
        kept.extend_from_slice(packet.bytes);
        self.pool.push_back(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn pool() -> VecDeque<Vec<u8>> {
        KINDS.iter().map(|kind| [&[*kind], [*kind; 400].as_slice()].concat()).collect()
    }

    #[test]
    fn fields_are_where_the_encoders_put_them() {
        let suite = SimSuite::new(crate::crypto::Strength::Toy);
        let mut rng = SimRng::new(1);
        let [me, other] = [Attacker::new(&suite, &mut rng), Attacker::new(&suite, &mut rng)];
        let packet = me.announce_request(&other.key, me.key);
        let spans = fields(&packet);
        let named: Vec<Field> = spans.iter().map(|(field, _)| *field).collect();
        assert_eq!(named, [Field::Kind, Field::Nonce, Field::Key, Field::Mac, Field::Text, Field::Return]);
        assert_eq!(packet[spans[2].1.clone()], me.key.0);
        assert_eq!((spans[5].1.len(), spans[4].1.len()), (RETURN_3, 104));
        let packet = me.ping_request(&other.key);
        assert_eq!(packet[fields(&packet)[1].1.clone()], me.key.0);
    }

    quickcheck! {
        /// The fields are the whole datagram, without a gap or an overlap.
        fn fields_cover_everything(kind: u8, rest: Vec<u8>) -> bool {
            let bytes = [&[KINDS[usize::from(kind) % KINDS.len()]], rest.as_slice()].concat();
            let spans = fields(&bytes);
            spans.iter().fold(0, |at, (_, range)| if range.start == at { range.end } else { usize::MAX }) == bytes.len()
        }

        /// Any datagram can be changed, and nearly always is.
        fn changes_change(seed: u64, rest: Vec<u8>) -> bool {
            let mut rng = SimRng::new(seed);
            let changed = KINDS.iter().filter(|kind| {
                let before = [&[**kind], rest.as_slice(), &[7; 60]].concat();
                let mut bytes = before.clone();
                change(&mut bytes, &pool(), &mut rng);
                bytes != before && bytes.len() <= LEN_MAX
            });
            changed.count() >= KINDS.len() - 6
        }

        fn bytes_do_no_harm(seed: u64, bytes: Vec<u8>) -> bool {
            let mut changed = bytes;
            change(&mut changed, &VecDeque::new(), &mut SimRng::new(seed));
            changed.len() <= LEN_MAX
        }
    }
}

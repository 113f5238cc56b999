//! Flood: requests without end from senders that nobody has seen before.
//!
//! Each request is well made and from a new key, so that no cached key helps its receiver: cookie requests, nodes and
//! ping requests, announcements that are carried through to the second step, onion packets through three nodes,
//! handshakes, garbage. Spoofed ones come from addresses at which nobody is, and their answers would hit whoever is.
//!
//! What must hold: a datagram costs a bounded amount of work and at most one answer in place, the answer is hardly
//! longer than the request, and newcomers are pinged at a limited rate. Sessions go on as if nothing were, friends
//! still meet, tables stay within their capacity and keep who was there first or is near.

use super::craft::{Attacker, address, index, noise};
use super::pace::Pace;
use super::scout::Scout;
use crate::actor::{Actor, ActorCx};
use crate::crypto::SimSuite;
use crate::observe::Packet;
use crate::rng::{Ppm, SimRng};
use bluering_core::Endpoint;
use bluering_core::crypto::PublicKey;
use bluering_core::time::Instant;
use bluering_core::wire::onion::announce::{PING_ID_LEN, SENDBACK_LEN};
use bluering_core::wire::onion::{AnnounceRequest, RETURN_3};
use bluering_core::wire::session::{COOKIE_LEN, HANDSHAKE_LEN};
use bluering_core::wire::{NodeInfo, kind};
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Sends requests of one kind without end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flood {
    /// What it sends.
    pub kind: FloodKind,
    /// Datagrams that it sends in a second, at most.
    pub per_second: u32,
    /// How likely it spoofs the source: an address at which no host is. Nothing that takes two steps works then.
    pub spoofed: Ppm,
    /// Besides the nodes that it is told of, it floods those that it finds: by asking, and by overhearing.
    pub finds: bool,
    /// The long-term key that its cookie requests and handshakes claim, and that it searches for; its own when `None`.
    pub claims: Option<[u8; 32]>,
}

/// What a flood is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FloodKind {
    /// Cookie requests (0x18).
    Cookie,
    /// Nodes requests (0x02).
    Nodes,
    /// Announcements (0x83), each of another key: first step, and when it is answered the second.
    Announce,
    /// Ping requests (0x00).
    Ping,
    /// Onion packets (0x80) through three of the nodes to a fourth.
    OnionLayers,
    /// Handshakes (0x1a) with a cookie that was fetched honestly, if the answer to that came, and else with noise.
    Handshake,
    /// Any length of noise behind any kind.
    Garbage,
}

impl FloodKind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Cookie, Self::Nodes, Self::Announce, Self::Ping, Self::OnionLayers, Self::Handshake, Self::Garbage];
}

impl Default for Flood {
    fn default() -> Self {
        Self { kind: FloodKind::Cookie, per_second: 200, spoofed: 500_000, finds: true, claims: None }
    }
}

/// It looks for further nodes this often.
const FIND_EVERY: Duration = Duration::from_secs(1);
/// One in so many datagrams that it overhears tells it of a node.
const OVERHEAR: Ppm = 50_000;
/// Of its handshakes, one in so many is a request for a fresh cookie instead.
const COOKIE_EVERY: u64 = 16;

#[derive(Debug)]
pub(super) struct Flooder {
    plan: Flood,
    pace: Pace,
    suite: SimSuite,
    scout: Scout,
    /// Who asks for nodes and cookies.
    front: Option<Attacker>,
    /// What the keys of the senders follow from, with their number.
    seed: u64,
    senders: u64,
    cookie: Option<(NodeInfo, [u8; COOKIE_LEN])>,
    asked: Option<NodeInfo>,
    find_at: Instant,
}

impl Flooder {
    pub(super) fn new(plan: &Flood, targets: &[NodeInfo], suite: &SimSuite) -> Self {
        Self {
            plan: plan.clone(),
            pace: Pace::even(plan.per_second),
            suite: suite.clone(),
            scout: Scout::new(targets),
            front: None,
            seed: 0,
            senders: 0,
            cookie: None,
            asked: None,
            find_at: Instant::ZERO,
        }
    }

    /// The sender with this number: it need not be remembered.
    fn sender(&self, number: u64) -> Attacker {
        Attacker::new(&self.suite, &mut SimRng::fork(self.seed, &[number]))
    }

    fn claimed(&self, sender: &Attacker) -> PublicKey {
        self.plan.claims.map_or(sender.key, PublicKey)
    }

    fn flood(&mut self, cx: &mut ActorCx<'_>) {
        let Some(node) = self.scout.next() else { return };
        self.senders += 1;
        let (to, number) = (node.key, self.senders);
        let bytes = match self.plan.kind {
            FloodKind::Cookie => {
                let sender = self.sender(number);
                sender.cookie_request(&to, self.claimed(&sender))
            }
            FloodKind::Nodes => {
                let sender = self.sender(number);
                sender.nodes_request(&to, self.claimed(&sender))
            }
            FloodKind::Announce => self.sender(number).announce(&to, [0; PING_ID_LEN], number.to_be_bytes()),
            FloodKind::Ping => self.sender(number).ping_request(&to),
            FloodKind::OnionLayers => self.onion(cx.rng, &node, number),
            FloodKind::Handshake => return self.handshake(cx, node),
            FloodKind::Garbage => garbage(cx.rng),
        };
        self.send(cx, node.at, bytes);
    }

    fn send(&self, cx: &mut ActorCx<'_>, to: Endpoint, bytes: Vec<u8>) {
        if cx.rng.chance(self.plan.spoofed) {
            let source = address(cx.rng);
            cx.send_as(source, to, bytes);
        } else {
            cx.send(to, bytes);
        }
    }

    /// An onion packet by way of `first`: a search at any node that it knows.
    fn onion(&self, rng: &mut SimRng, first: &NodeInfo, number: u64) -> Vec<u8> {
        let sender = self.sender(number);
        let any = |rng: &mut SimRng| self.scout.any(rng).unwrap_or(*first);
        let (hops, dest) = ([*first, any(rng), any(rng)], any(rng));
        let (ping_id, sendback) = ([0; PING_ID_LEN], [0; SENDBACK_LEN]);
        let search = self.claimed(&sender);
        let request = AnnounceRequest { ping_id, search, data_key: PublicKey::ZERO, sendback };
        sender.onion(&hops, dest.at, &sender.bare_request(&dest.key, &request))
    }

    /// A handshake at the node whose cookie it has; else at `node`, with noise for a cookie.
    fn handshake(&mut self, cx: &mut ActorCx<'_>, node: NodeInfo) {
        let Some(front) = &self.front else { return };
        if self.senders % COOKIE_EVERY == 1 {
            self.asked = Some(node);
            return cx.send(node.at, front.cookie_request(&node.key, self.claimed(front)));
        }
        match self.cookie {
            Some((node, cookie)) => {
                let bytes = front.handshake(&node.key, cookie, cx.rng);
                cx.send(node.at, bytes);
            }
            None => {
                let mut bytes = noise(cx.rng, HANDSHAKE_LEN);
                bytes[0] = kind::CRYPTO_HANDSHAKE;
                self.send(cx, node.at, bytes);
            }
        }
    }

    /// The second step of an announcement, with the ping id that the first one brought.
    fn announce_on(&mut self, cx: &mut ActorCx<'_>, from: Endpoint, bytes: &[u8]) {
        let Some(number) = bytes.get(2 + RETURN_3..).and_then(<[u8]>::first_chunk::<SENDBACK_LEN>) else { return };
        let number = u64::from_be_bytes(*number);
        let Some(node) = self.scout.at(from) else { return };
        let sender = self.sender(number);
        if let Some((ping_id, false)) = sender.ping_id(&node.key, bytes)
            && self.pace.take(cx.now)
        {
            cx.send(from, sender.announce(&node.key, ping_id, number.to_be_bytes()));
        }
    }
}

/// A kind that nodes know, and noise.
fn garbage(rng: &mut SimRng) -> Vec<u8> {
    let len = 1 + index(rng, 1500);
    let mut bytes = noise(rng, len);
    bytes[0] = match rng.below(4) {
        0 => rng.below(5) as u8,
        1 => 0x18 + rng.below(10) as u8,
        2 => 0x80 + rng.below(16) as u8,
        _ => bytes[0],
    };
    bytes
}

impl Actor for Flooder {
    fn start(&mut self, cx: &mut ActorCx<'_>) {
        self.seed = cx.rng.next();
        self.front = Some(Attacker::new(&self.suite, cx.rng));
        cx.wake_at(self.pace.ready_at());
    }

    fn on_datagram(&mut self, cx: &mut ActorCx<'_>, from: Endpoint, bytes: &[u8]) {
        let Some(front) = &self.front else { return };
        match bytes.first() {
            Some(&kind::NODES_RESPONSE) if self.plan.finds => {
                let (_, named) = front.named(bytes).unwrap_or((PublicKey::ZERO, Vec::new()));
                named.into_iter().for_each(|node| self.scout.learn(node, cx.rng));
            }
            Some(&kind::COOKIE_RESPONSE) => {
                let asked = self.asked.filter(|node| node.at == from);
                let cookie = asked.and_then(|node| Some((node, front.cookie(&node.key, bytes)?)));
                self.cookie = cookie.or(self.cookie);
            }
            Some(&kind::ONION_RESPONSE_3) => self.announce_on(cx, from, bytes),
            Some(_) | None => {}
        }
    }

    fn on_timer(&mut self, cx: &mut ActorCx<'_>) {
        if self.pace.take(cx.now) {
            match &self.front {
                Some(front) if self.plan.finds && cx.now >= self.find_at => {
                    self.find_at = cx.now + FIND_EVERY;
                    let near = PublicKey(cx.rng.array());
                    self.scout.ask(cx, front, near);
                }
                Some(_) | None => self.flood(cx),
            }
        }
        cx.wake_at(self.pace.ready_at());
    }

    fn overhears(&self) -> bool {
        self.plan.finds
    }

    fn on_overheard(&mut self, cx: &mut ActorCx<'_>, packet: &Packet<'_>) {
        if cx.rng.chance(OVERHEAR) {
            self.scout.overhear(packet, cx.rng);
        }
    }
}

//! Sybil and eclipse: one machine that is many nodes, all near one key.
//!
//! Whoever is among the nodes nearest to a key decides what is found there. The machine makes identities near the key,
//! introduces them to everybody it hears of, answers pings and nodes requests as it should, but names only its own. It
//! takes announcements and denies or forgets them, and as an onion relay it drops what it should pass on, or some of
//! it. Lists hold one node of an address, so a strong attacker has many machines: hosts with the same seed share the
//! identities, each presents its part of them, and they name each other.
//!
//! What must hold: nobody enters a list who does not answer from its address; searches keep nodes that live and go on
//! asking; announcements are made at several nodes and paths go through several relays, and those that fail are
//! replaced. So with a minority of the nodes an attacker delays friends, and with a few it does not do even that. (One
//! that holds all eight nodes around a key hides it; the protocol has no remedy.)

use super::craft::{Announcing, Asked, Attacker};
use super::keys;
use super::pace::Pace;
use super::relay::Relay;
use super::scout::Scout;
use crate::actor::{Actor, ActorCx};
use crate::crypto::SimSuite;
use crate::rng::{Ppm, SimRng};
use bluering_core::Endpoint;
use bluering_core::crypto::PublicKey;
use bluering_core::time::Instant;
use bluering_core::wire::onion::Stored;
use bluering_core::wire::{NodeInfo, kind};
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Is many nodes near a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sybil {
    /// What the identities follow from: hosts with the same seed share them.
    pub seed: u64,
    /// How many identities there are, on all hosts together.
    pub identities: u32,
    /// Which of the hosts this is, and how many there are: it presents the identities `part.0`, `part.0 + part.1`, ...
    pub part: (u32, u32),
    /// The key: a DHT key to eclipse a node, a long-term key to hide whoever announces itself there.
    pub target: [u8; 32],
    /// The first bits that the identities share with it: at most 16 (each bit doubles the work), in a toy world any.
    pub bits: u32,
    /// What it does with announcements.
    pub announces: Announces,
    /// How likely it passes on an onion packet.
    pub forwards: Ppm,
    /// Datagrams that it sends in a second, at most.
    pub per_second: u32,
}

/// What becomes of announcements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Announces {
    /// "You are not stored here", whatever is asked.
    Deny,
    /// "You are stored"; but nobody else finds it.
    Forget,
    /// Whoever searches is told that it is found, with a key that leads nowhere.
    Misdirect,
    /// No answer at all.
    Ignore,
}

impl Default for Sybil {
    fn default() -> Self {
        Self {
            seed: 0,
            identities: 16,
            part: (0, 1),
            target: [0; 32],
            bits: 0,
            announces: Announces::Forget,
            forwards: 0,
            per_second: 200,
        }
    }
}

/// The most identities.
const IDENTITIES_MAX: u32 = 256;
/// Identities introduce themselves this often, one after the other.
const INTRODUCE_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Sybils {
    plan: Sybil,
    pace: Pace,
    scout: Scout,
    /// Those of this host.
    mine: Vec<Attacker>,
    /// Those of the other hosts, and where they are, once that is known.
    others: Vec<(PublicKey, Option<Endpoint>)>,
    turn: usize,
    introduce_at: Instant,
    relay: Relay,
}

impl Sybils {
    pub(super) fn new(plan: &Sybil, targets: &[NodeInfo], suite: &SimSuite) -> Self {
        let (mut mine, mut others) = (Vec::new(), Vec::new());
        let (part, parts) = (plan.part.0, plan.part.1.max(1));
        for number in 0..plan.identities.min(IDENTITIES_MAX) {
            let mut rng = SimRng::fork(plan.seed, &[u64::from(number)]);
            let secret = keys::near(suite, &PublicKey(plan.target), plan.bits, &mut rng);
            let identity = Attacker::with_secret(suite, secret, &mut rng);
            if number % parts == part % parts {
                mine.push(identity);
            } else {
                others.push((identity.key, None));
            }
        }
        Self {
            plan: plan.clone(),
            pace: Pace::bursts(plan.per_second),
            scout: Scout::new(targets),
            mine,
            others,
            turn: 0,
            introduce_at: Instant::ZERO,
            relay: Relay::new(suite, plan.seed),
        }
    }

    /// The next identity asks the next known node for nodes near the key, and so gets known there.
    fn introduce(&mut self, cx: &mut ActorCx<'_>) {
        self.turn = (self.turn + 1) % self.mine.len().max(1);
        if let Some(me) = self.mine.get(self.turn) {
            self.scout.ask(cx, me, PublicKey(self.plan.target));
        }
    }

    /// The identities nearest to a key, where they are.
    fn nearest(&self, target: &PublicKey, at: Endpoint) -> Vec<NodeInfo> {
        let mine = self.mine.iter().map(|me| NodeInfo { key: me.key, at });
        let others = self.others.iter().filter_map(|(key, at)| at.map(|at| NodeInfo { key: *key, at }));
        let mut nodes: Vec<NodeInfo> = mine.chain(others).collect();
        nodes.sort_by_key(|node| node.key.distance(target));
        nodes.truncate(4);
        nodes
    }

    fn learn(&mut self, node: NodeInfo, rng: &mut SimRng) {
        if let Some((_, at)) = self.others.iter_mut().find(|(key, _)| *key == node.key) {
            *at = Some(node.at);
        } else if !self.mine.iter().any(|me| me.key == node.key) {
            self.scout.learn(node, rng);
        }
    }

    /// A ping or nodes request: the right answer, but for the nodes that are named.
    fn answer(&mut self, cx: &mut ActorCx<'_>, from: Endpoint, bytes: &[u8]) {
        let asked = self.mine.iter().find_map(|me| Some((me, me.asked(bytes)?)));
        let Some((me, (sender, asked))) = asked else { return };
        let answer = match asked {
            Asked::Ping { id } => me.ping(kind::PING_RESPONSE, &sender, id),
            Asked::Nodes { target, id } => me.nodes_response(&sender, &self.nearest(&target, cx.at), id),
        };
        self.learn(NodeInfo { key: sender, at: from }, cx.rng);
        cx.send(from, answer);
    }

    fn on_announce(&self, cx: &mut ActorCx<'_>, from: Endpoint, bytes: &[u8]) {
        let opened = self.mine.iter().find_map(|me| Some((me, me.announced(bytes)?)));
        let Some((me, announcing)) = opened else { return };
        let Some(stored) = self.verdict(&announcing) else { return };
        let nodes = self.nearest(&announcing.request.search, cx.at);
        cx.send(from, me.announce_response(&announcing, stored, &nodes));
    }

    /// What it says about the key that is searched.
    fn verdict(&self, Announcing { sender, request, .. }: &Announcing) -> Option<Stored> {
        let ping_id = [0x5b; 32];
        let own = request.search == *sender;
        match self.plan.announces {
            Announces::Ignore => None,
            Announces::Misdirect if !own => Some(Stored::Found { data_key: self.mine.first()?.key }),
            Announces::Forget | Announces::Misdirect if own && request.ping_id == ping_id => {
                Some(Stored::Announced { ping_id })
            }
            Announces::Deny | Announces::Forget | Announces::Misdirect => Some(Stored::No { ping_id }),
        }
    }

    fn pass_on(&mut self, cx: &mut ActorCx<'_>, from: Endpoint, bytes: &[u8]) {
        if !cx.rng.chance(self.plan.forwards) {
            return;
        }
        if let Some((to, bytes)) = self.relay.pass_on(&self.mine, from, bytes, cx.rng) {
            cx.send(to, bytes);
        }
    }
}

impl Actor for Sybils {
    fn start(&mut self, cx: &mut ActorCx<'_>) {
        self.introduce_at = cx.now;
        cx.wake_at(cx.now);
    }

    fn on_datagram(&mut self, cx: &mut ActorCx<'_>, from: Endpoint, bytes: &[u8]) {
        if !self.pace.take(cx.now) {
            return;
        }
        match bytes.first() {
            Some(&(kind::PING_REQUEST | kind::NODES_REQUEST)) => self.answer(cx, from, bytes),
            Some(&kind::NODES_RESPONSE) => {
                let named = self.mine.iter().find_map(|me| me.named(bytes));
                named.into_iter().flat_map(|(_, named)| named).for_each(|node| self.learn(node, cx.rng));
            }
            Some(&kind::ANNOUNCE_REQUEST) => self.on_announce(cx, from, bytes),
            Some(kind::ONION_REQUEST_0..=kind::ONION_REQUEST_2 | kind::ONION_RESPONSE_3..=kind::ONION_RESPONSE_1) => {
                self.pass_on(cx, from, bytes);
            }
            Some(_) | None => {}
        }
    }

    fn on_timer(&mut self, cx: &mut ActorCx<'_>) {
        if cx.now >= self.introduce_at {
            self.introduce_at = cx.now + INTRODUCE_EVERY;
            if self.pace.take(cx.now) {
                self.introduce(cx);
            }
        }
        cx.wake_at(self.introduce_at);
    }
}

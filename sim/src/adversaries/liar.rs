//! Lies: a node that works, but for what it says about others.
//!
//! It relays onion packets and answers pings, and nodes requests with nodes next to what is searched: at the address of
//! a victim that never asked to be in any DHT, at addresses that cannot be sent to, under wrong keys at the true
//! addresses of others. Or its answers carry wrong request ids. One request can get several answers, each with other
//! names.
//!
//! What must hold: an answer that was not asked for counts for nothing. What is named is asked before it is believed,
//! at a limited rate, so a victim gets a bounded number of packets whatever the liar says, and wrong names keep nobody
//! from finding the right ones.

use super::craft::{Asked, Attacker, index, near};
use super::pace::Pace;
use super::relay::Relay;
use super::scout::Scout;
use crate::actor::{Actor, ActorCx};
use crate::crypto::SimSuite;
use crate::rng::SimRng;
use bluering_core::Endpoint;
use bluering_core::crypto::PublicKey;
use bluering_core::time::Instant;
use bluering_core::wire::{NodeInfo, kind};
use core::net::SocketAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Names nodes that are not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Liar {
    /// The lies that it tells, any one each time. Without any it tells nothing: no node is near anything.
    pub lies: Vec<Lie>,
    /// How many answers a request gets: the further ones have other names.
    pub answers: u32,
    /// Datagrams that it sends in a second, at most.
    pub per_second: u32,
}

/// What is wrong in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Lie {
    /// Four nodes next to what is searched are all at this address.
    Victim(SocketAddr),
    /// They are at addresses that are nobody's, or nobody's to send to: broadcast, loopback, port 0, ...
    Unroutable,
    /// They are at the addresses of true nodes, under keys that these do not have.
    WrongKey,
    /// Its answer carries another number than the request.
    WrongId,
}

impl Default for Liar {
    fn default() -> Self {
        let lies = vec![Lie::Unroutable, Lie::WrongKey, Lie::WrongId];
        Self { lies, answers: 2, per_second: 200 }
    }
}

/// It introduces itself this often, to one node after the other.
const INTRODUCE_EVERY: Duration = Duration::from_millis(250);

/// Addresses that cannot be sent to, or at which nobody can be.
const UNROUTABLE: [([u8; 4], u16); 8] = [
    ([0, 0, 0, 0], 33445),
    ([127, 0, 0, 1], 33445),
    ([255, 255, 255, 255], 33445),
    ([224, 0, 0, 1], 33445),
    ([10, 0, 0, 1], 33445),
    ([192, 168, 1, 1], 33445),
    ([169, 254, 7, 7], 33445),
    ([203, 0, 113, 9], 0),
];

#[derive(Debug)]
pub(super) struct Liars {
    plan: Liar,
    pace: Pace,
    suite: SimSuite,
    scout: Scout,
    me: Option<Attacker>,
    relay: Relay,
    introduce_at: Instant,
}

impl Liars {
    pub(super) fn new(plan: &Liar, targets: &[NodeInfo], suite: &SimSuite) -> Self {
        Self {
            plan: plan.clone(),
            pace: Pace::bursts(plan.per_second),
            suite: suite.clone(),
            scout: Scout::new(targets),
            me: None,
            relay: Relay::new(suite, 0),
            introduce_at: Instant::ZERO,
        }
    }

    fn answer(&self, me: &Attacker, rng: &mut SimRng, sender: &PublicKey, asked: Asked) -> Vec<u8> {
        let lie = self.plan.lies.get(index(rng, self.plan.lies.len())).copied();
        let wrong = if lie == Some(Lie::WrongId) { 1 << rng.below(64) } else { 0 };
        match asked {
            Asked::Ping { id } => me.ping(kind::PING_RESPONSE, sender, id ^ wrong),
            Asked::Nodes { target, id } => {
                let nodes = (0..4).filter_map(|_| Some(near(&target, self.place(lie?, rng)?, rng)));
                me.nodes_response(sender, &nodes.collect::<Vec<_>>(), id ^ wrong)
            }
        }
    }

    /// Where it says that a node is.
    fn place(&self, lie: Lie, rng: &mut SimRng) -> Option<Endpoint> {
        match lie {
            Lie::Victim(at) => Some(at.into()),
            Lie::Unroutable => {
                let (ip, port) = UNROUTABLE[index(rng, UNROUTABLE.len())];
                Some(Endpoint::v4(ip, port))
            }
            Lie::WrongKey | Lie::WrongId => self.scout.any(rng).map(|node| node.at),
        }
    }
}

impl Actor for Liars {
    fn start(&mut self, cx: &mut ActorCx<'_>) {
        self.me = Some(Attacker::new(&self.suite, cx.rng));
        cx.wake_at(cx.now);
    }

    fn on_datagram(&mut self, cx: &mut ActorCx<'_>, from: Endpoint, bytes: &[u8]) {
        let Some(me) = &self.me else { return };
        if let Some((_, named)) = me.named(bytes) {
            named.into_iter().for_each(|node| self.scout.learn(node, cx.rng));
        } else if let Some((sender, asked)) = me.asked(bytes) {
            self.scout.learn(NodeInfo { key: sender, at: from }, cx.rng);
            for _ in 0..self.plan.answers {
                if self.pace.take(cx.now) {
                    let answer = self.answer(me, cx.rng, &sender, asked);
                    cx.send(from, answer);
                }
            }
        } else if self.pace.take(cx.now)
            && let Some((to, bytes)) = self.relay.pass_on(core::slice::from_ref(me), from, bytes, cx.rng)
        {
            cx.send(to, bytes);
        }
    }

    fn on_timer(&mut self, cx: &mut ActorCx<'_>) {
        if let (Some(me), true) = (&self.me, cx.now >= self.introduce_at) {
            self.introduce_at = cx.now + INTRODUCE_EVERY;
            if self.pace.take(cx.now) {
                let near = PublicKey(cx.rng.array());
                self.scout.ask(cx, me, near);
            }
        }
        cx.wake_at(self.introduce_at);
    }
}

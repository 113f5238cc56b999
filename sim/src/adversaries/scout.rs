//! What an adversary knows of the network: the nodes that it was told of, and those that it found out about.

use super::craft::{Attacker, index};
use crate::actor::ActorCx;
use crate::observe::Packet;
use crate::rng::SimRng;
use bluering_core::Endpoint;
use bluering_core::crypto::PublicKey;
use bluering_core::wire::NodeInfo;
use bluering_core::wire::dht::Outer;

/// As many nodes are known at once.
const KNOWN_MAX: usize = 128;

/// Known nodes: the first ones stay, the others make room for newer ones.
#[derive(Debug)]
pub(super) struct Scout {
    known: Vec<NodeInfo>,
    told: usize,
    turn: usize,
}

impl Scout {
    /// Knows `told`, to begin with.
    pub(super) fn new(told: &[NodeInfo]) -> Self {
        let known = told[..told.len().min(KNOWN_MAX / 2)].to_vec();
        Self { told: known.len(), known, turn: 0 }
    }

    /// Asks the next known node, as `me`, for nodes near `near`.
    pub(super) fn ask(&mut self, cx: &mut ActorCx<'_>, me: &Attacker, near: PublicKey) {
        let Some(node) = self.next() else { return };
        cx.send(node.at, me.nodes_request(&node.key, near));
    }

    /// The known nodes in turn.
    pub(super) fn next(&mut self) -> Option<NodeInfo> {
        self.turn = (self.turn + 1) % self.known.len().max(1);
        self.known.get(self.turn).copied()
    }

    /// Any of the known nodes.
    pub(super) fn any(&self, rng: &mut SimRng) -> Option<NodeInfo> {
        self.known.get(index(rng, self.known.len())).copied()
    }

    /// The known node at an address.
    pub(super) fn at(&self, at: Endpoint) -> Option<NodeInfo> {
        self.known.iter().find(|node| node.at == at).copied()
    }

    /// Learns from an overheard datagram: ping and nodes packets show their sender's key and address.
    pub(super) fn overhear(&mut self, packet: &Packet<'_>, rng: &mut SimRng) {
        if let Some(outer) = Outer::parse(packet.bytes) {
            self.learn(NodeInfo { key: outer.sender, at: packet.source }, rng);
        }
    }

    /// Learns of a node.
    pub(super) fn learn(&mut self, node: NodeInfo, rng: &mut SimRng) {
        if let Some(known) = self.known.iter_mut().find(|known| known.key == node.key) {
            known.at = node.at;
        } else if self.known.len() < KNOWN_MAX {
            self.known.push(node);
        } else {
            let place = self.told + index(rng, KNOWN_MAX - self.told);
            self.known[place] = node;
        }
    }
}

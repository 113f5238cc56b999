//! What the DHT sends by itself, encoded late.

use super::Dht;
use super::candidates::Packet;
use super::punch::Move;
use super::search::{Goal, Search};
use crate::crypto::{MAC_LEN, PublicKey};
use crate::cx::{Cx, Env};
use crate::storage::{Need, Whose};
use crate::time::Instant;
use crate::wire::dht::{
    BOX_AT, DHT_REQUEST_BOX_AT, DHT_REQUEST_LEN_MAX, DHT_REQUEST_TEXT_AT, DhtRequest, NAT_PING, NatPing, NodesRequest,
    Outer, Ping,
};
use crate::wire::{NodeInfo, Writer, kind};
use crate::{DATAGRAM_MAX, Endpoint};

/// Writes a DHT request (0x20) to the node with DHT key `to` into `buf`; to be sent to nodes that know it. Its length,
/// or
/// `None` when `data` is too long (918 bytes at most) or `to` is no valid key.
pub(crate) fn emit_dht_request<E: Env>(
    cx: &mut Cx<'_, '_, E>,
    to: &PublicKey,
    request: u8,
    data: &[u8],
    buf: &mut [u8; DATAGRAM_MAX],
) -> Option<usize> {
    if data.len() > DHT_REQUEST_LEN_MAX - DHT_REQUEST_TEXT_AT - 1 {
        return None;
    }
    let nonce = cx.nonce();
    let mut w = Writer::new(buf);
    DhtRequest::emit_header(&mut w, to, &cx.me.dht.public, &nonce);
    w.skip(MAC_LEN).u8(request).bytes(data);
    let len = w.len();
    cx.seal(Whose::Dht, to, &nonce, &mut buf[DHT_REQUEST_BOX_AT..len]).ok()?;
    Some(len)
}

/// Writes a ping or nodes packet into `buf`: the header, and the box of what `text` writes. `None` when `to` is no
/// valid key.
pub(super) fn seal_packet<E: Env>(
    cx: &mut Cx<'_, '_, E>,
    need: Need,
    kind: u8,
    to: &PublicKey,
    buf: &mut [u8; DATAGRAM_MAX],
    text: impl FnOnce(&mut Writer<'_>),
) -> Option<usize> {
    let nonce = cx.nonce();
    let mut w = Writer::new(buf);
    Outer::emit_header(&mut w, kind, &cx.me.dht.public, &nonce);
    w.skip(MAC_LEN);
    text(&mut w);
    let len = w.len();
    cx.seal_for(need, Whose::Dht, to, &nonce, &mut buf[BOX_AT..len]).ok()?;
    Some(len)
}

/// What is to be sent to whom.
enum Intent {
    Ping(NodeInfo),
    Nodes(NodeInfo, PublicKey),
    /// To a friend, through the node.
    NatPing(NodeInfo, PublicKey, NatPing),
}

impl<'s> Dht<'s> {
    /// The next packet to be sent.
    pub(crate) fn encode_next<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        buf: &mut [u8; DATAGRAM_MAX],
    ) -> Option<(Endpoint, usize)> {
        // An intent whose key turns out to be invalid is skipped; it has been marked as sent.
        while let Some(intent) = self.next_intent(cx) {
            let (node, len) = match intent {
                Intent::Ping(node) => {
                    let id = self.ids.make(cx.now, kind::PING_REQUEST, &node);
                    let ping = Ping { kind: kind::PING_REQUEST, id };
                    // Newcomers come unasked: their keys push no others out.
                    (node, seal_packet(cx, Need::Theirs, kind::PING_REQUEST, &node.key, buf, |w| ping.emit(w)))
                }
                Intent::Nodes(node, target) => {
                    let id = self.ids.make(cx.now, kind::NODES_REQUEST, &node);
                    let request = NodesRequest { target, id };
                    (node, seal_packet(cx, Need::Ours, kind::NODES_REQUEST, &node.key, buf, |w| request.emit(w)))
                }
                Intent::NatPing(via, friend, ping) => {
                    let mut data = [0; NatPing::LEN];
                    ping.emit(&mut Writer::new(&mut data));
                    let len = emit_dht_request(cx, &friend, NAT_PING, &data, buf);
                    if let Some(len) = len {
                        return Some((via.at, len));
                    }
                    continue;
                }
            };
            self.mark_asked(cx, &node.key);
            if let Some(len) = len {
                return Some((node.at, len));
            }
        }
        None
    }

    fn next_intent<E: Env>(&mut self, cx: &Cx<'_, 's, E>) -> Option<Intent> {
        let now = cx.now;
        let connected = self.is_connected(now);
        if let Some(node) = self.bootstraps.poll(now, connected) {
            return Some(Intent::Nodes(node, self.me));
        }
        if let Some(intent) = self.next_candidate(cx) {
            return Some(intent);
        }
        if let Some(intent) = self.next_punch(now) {
            return Some(intent);
        }
        // Friends first: a node that has just joined several lists is asked for one key at a time.
        let friends = self.searches.values_mut().filter(|search| search.goal() == Goal::Friend);
        if let Some(asked) = first_due(friends, now, connected) {
            return Some(asked);
        }
        if let Some(asked) = first_due(self.searches.values_mut(), now, connected) {
            return Some(asked);
        }
        self.close.poll(now, connected).map(|node| Intent::Nodes(node, self.me))
    }

    fn next_candidate<E: Env>(&mut self, cx: &Cx<'_, 's, E>) -> Option<Intent> {
        let searches = &self.searches;
        let is_wanted =
            |node: &NodeInfo| searches.values().any(|search| search.key == node.key && search.wants(node, cx.now));
        self.candidates.repeat(cx.now, is_wanted);
        let (named, newcomer) = (self.named_tokens.ready_at() <= cx.now, self.newcomer_tokens.ready_at() <= cx.now);
        let (candidate, urgent) = self.candidates.poll(cx.now, named, newcomer)?;
        let tokens = if urgent { &mut self.named_tokens } else { &mut self.newcomer_tokens };
        tokens.take(cx.now);
        Some(match candidate.packet {
            Packet::Ping => Intent::Ping(candidate.node),
            Packet::Nodes => Intent::Nodes(candidate.node, candidate.target),
        })
    }

    fn next_punch(&mut self, now: Instant) -> Option<Intent> {
        loop {
            let (search, route, id) = match self.punches.next(now)? {
                Move::Request { search, route } => (search, route, None),
                Move::Answer { search, route, id } => (search, route, Some(id)),
                Move::Punch { search, at } => match self.searches.get(search) {
                    Some(search) => return Some(Intent::Ping(NodeInfo { key: search.key, at })),
                    None => continue,
                },
            };
            // There may be fewer nodes near the friend than routes.
            let Some((via, friend)) = self.route(now, search, route).zip(self.searches.get(search)) else { continue };
            let own_id = || self.ids.make(now, kind::DHT_REQUEST, &nat_pinged(&friend.key));
            let ping = NatPing { is_answer: id.is_some(), id: id.unwrap_or_else(own_id) };
            return Some(Intent::NatPing(via, friend.key, ping));
        }
    }

    /// Remembers in all lists that a node was just sent a request.
    fn mark_asked<E: Env>(&mut self, cx: &Cx<'_, 's, E>, key: &PublicKey) {
        self.close.mark_asked(key, cx.now);
        self.searches.values_mut().for_each(|search| search.mark_asked(key, cx.now));
    }
}

/// Whom the id of a NAT ping is made for: wherever he is.
pub(super) const fn nat_pinged(friend: &PublicKey) -> NodeInfo {
    NodeInfo { key: *friend, at: Endpoint::UNSPECIFIED }
}

fn first_due<'a>(searches: impl Iterator<Item = &'a mut Search>, now: Instant, connected: bool) -> Option<Intent> {
    let mut searches = searches;
    searches.find_map(|search| search.poll(now, connected).map(|node| Intent::Nodes(node, search.key)))
}

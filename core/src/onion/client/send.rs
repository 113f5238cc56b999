//! Writing packets: what matters most goes first. Data for friends, then our own announcement, then nodes that we heard
//! of, then the searches.

use super::paths::{Group, PathId};
use super::pending::{Asking, Owner};
use super::search::{bit, first};
use super::{Content, OnionClient, OnionSend, PATHLESS, owner};
use crate::crypto::{PublicKey, SharedKey};
use crate::cx::{Cx, KeyPair};
use crate::storage::{Need, Whose};
use crate::wire::NodeInfo;
use crate::wire::onion::data::REQUEST_DATA_AT;
use crate::wire::onion::{AnnounceRequest, DATA_MAX, DataKeys, PAYLOAD_AT};
use crate::{DATAGRAM_MAX, Endpoint, Env};

/// A packet in the caller's buffer: where to, and how long.
type Packet = Option<(Endpoint, usize)>;

impl<'s> OnionClient<'s> {
    /// The next packet that is due, if any.
    pub(crate) fn encode_next<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        content: &mut Content<'_>,
        buf: &mut [u8; DATAGRAM_MAX],
    ) -> Packet {
        if !self.is_open(cx.now) {
            return None;
        }
        while let Some((index, node, what)) = self.next_mail() {
            let packet = self.encode_mail(cx, content, buf, index, node, what);
            let friend = &mut self.friends[index];
            let nodes = friend.len();
            friend.mail.sent(node, what, packet.is_some(), nodes);
            if packet.is_some() {
                return packet;
            }
        }
        while let Some(request) = self.next_request(cx) {
            let packet = self.encode_request(cx, buf, request);
            if packet.is_some() {
                return packet;
            }
            if !self.is_open(cx.now) {
                return None;
            }
        }
        None
    }

    fn next_mail(&mut self) -> Option<(usize, usize, OnionSend)> {
        if !self.mail_due {
            return None;
        }
        let next = self.friends.iter().enumerate().find_map(|(index, friend)| {
            let (node, what) = friend.mail.next().filter(|_| friend.is_searched())?;
            Some((index, node, what))
        });
        self.mail_due = next.is_some();
        next
    }

    fn next_request<E: Env>(&mut self, cx: &Cx<'_, 's, E>) -> Option<Request> {
        let due = self.announcement.due(cx.now).filter(|_| self.requests.has_room(Owner::Ourselves));
        if let Some(place) = due {
            self.announcement.sent(cx.now, place);
            let node = self.announcement.get(place);
            let (ping_id, path) = node.ping_id();
            return Some(Request { owner: Owner::Ourselves, node: node.info(), ping_id: *ping_id, path });
        }
        if let Some((owner, node)) = self.requests.take_wanted() {
            return Some(Request { owner, node, ping_id: [0; 32], path: PathId::NONE });
        }
        self.next_ask(cx)
    }

    /// The next node of a search's round. Friends take turns.
    fn next_ask<E: Env>(&mut self, cx: &Cx<'_, 's, E>) -> Option<Request> {
        if !self.ask_due || !self.requests.has_room(Owner::Friend(0)) || self.pace.ready_at() > cx.now {
            return None;
        }
        let count = self.friends.len();
        let turns = (1..=count).map(|step| (self.turn + step) % count);
        let next = turns.into_iter().find_map(|index| Some((index, first(self.friends[index].ask)?)));
        self.ask_due = next.is_some();
        let (index, place) = next?;
        self.turn = index;
        let friend = &mut self.friends[index];
        friend.ask &= !bit(place);
        self.pace.take(cx.now);
        Some(Request { owner: owner(index), node: friend.nodes[place].info(), ping_id: [0; 32], path: PathId::NONE })
    }

    fn encode_request<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        buf: &mut [u8; DATAGRAM_MAX],
        request: Request,
    ) -> Packet {
        let (sender, search, data_key, group) = match request.owner {
            Owner::Ourselves => {
                let me = cx.me.long_term.public;
                (me, me, cx.me.onion_data.public, Group::Ourselves)
            }
            Owner::Friend(index) => {
                let friend = &self.friends[usize::from(index)];
                (friend.public, friend.key, PublicKey::ZERO, Group::Friends)
            }
        };
        let NodeInfo { key, at } = request.node;
        let Some(path) = self.paths.pick(cx, &self.nodes, group, &at, request.path) else {
            self.pathless_until = cx.now + PATHLESS;
            return None;
        };
        let shared = self.request_key(cx, request.owner, &key)?;
        let sendback = rand_core::Rng::next_u64(cx.rng);
        let nonce = cx.nonce();
        let plain = AnnounceRequest { ping_id: request.ping_id, search, data_key, sendback: sendback.to_be_bytes() };
        let len = plain.seal(cx.suite, &shared, &nonce, &sender, &mut buf[PAYLOAD_AT..]);
        let packet = self.paths.wrap(cx, path, at, buf, len)?;
        let earned = path == request.path && request.ping_id != [0; 32];
        let asking = Asking { owner: request.owner, node: request.node, path, earned, sendback, shared };
        self.requests.sent(cx.now, asking).then_some(packet)
    }

    /// The box key between a node and the key that we ask with.
    fn request_key<E: Env>(&self, cx: &mut Cx<'_, 's, E>, whose: Owner, node: &PublicKey) -> Option<SharedKey> {
        match whose {
            Owner::Ourselves => cx.box_key(Need::Ours, Whose::LongTerm, node).cloned(),
            Owner::Friend(index) => cx.agree(&self.friends[usize::from(index)].secret, node),
        }
    }

    /// Data for a friend through the node that holds them.
    fn encode_mail<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        content: &mut Content<'_>,
        buf: &mut [u8; DATAGRAM_MAX],
        index: usize,
        node: usize,
        what: OnionSend,
    ) -> Packet {
        const DATA_AT: usize = PAYLOAD_AT + REQUEST_DATA_AT;
        let friend = &self.friends[index];
        let (at, path) = (friend.nodes[node].at, friend.nodes[node].path);
        let data_key = friend.data_key(node)?;
        let len = content(cx.blocks, index, what, &mut buf[DATA_AT..DATA_AT + DATA_MAX]).min(DATA_MAX);
        if len == 0 {
            return None;
        }
        let temporary = KeyPair::generate(cx.suite, cx.rng);
        let outer = cx.agree(&temporary.secret, data_key)?;
        let nonce = cx.nonce();
        let (suite, me) = (cx.suite, cx.me);
        let inner = cx.box_key(Need::Ours, Whose::LongTerm, &friend.key)?;
        let keys = DataKeys {
            receiver: &friend.key,
            sender: &me.long_term.public,
            temporary: &temporary.public,
            inner,
            outer: &outer,
        };
        let len = keys.seal(suite, &nonce, &mut buf[PAYLOAD_AT..], len);
        let path = self.paths.pick_proven(cx, &self.nodes, &at, path)?;
        self.paths.wrap(cx, path, at, buf, len)
    }
}

/// An announce request that is to go out.
#[derive(Debug)]
struct Request {
    owner: Owner,
    node: NodeInfo,
    /// Zeros when there is none.
    ping_id: [u8; 32],
    /// The path that it is good for.
    path: PathId,
}

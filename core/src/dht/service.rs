//! What the DHT does with datagrams: requests are answered in place, answers fill the lists.

use super::send::{nat_pinged, seal_packet};
use super::{Dht, DhtNote};
use crate::crypto::{Nonce, PublicKey};
use crate::cx::{Cx, Env};
use crate::storage::{Need, Whose};
use crate::wire::dht::{
    BOX_AT, DHT_REQUEST_BOX_AT, DHT_REQUEST_TEXT_AT, DhtRequest, INFO_REQUEST_LEN, InfoResponse, NAT_PING, NatPing,
    NodesRequest, NodesResponse, Outer, Ping, TEXT_AT,
};
use crate::wire::{NodeInfo, NodeList, Writer, kind};
use crate::{Disposition, DropReason, Frame};

type Handled = Result<(Disposition, Option<DhtNote>), DropReason>;

impl<'s> Dht<'s> {
    /// Serves the packets 0x00, 0x01, 0x02, 0x04, 0x20 and 0xf0.
    pub(crate) fn on_packet<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        frame: &mut Frame<'_>,
    ) -> (Disposition, Option<DhtNote>) {
        if !frame.from.is_usable() {
            return (Disposition::Dropped(DropReason::BadAddress), None);
        }
        let handled = match frame.bytes().first() {
            Some(&kind::PING_REQUEST) => self.on_ping_request(cx, frame),
            Some(&kind::PING_RESPONSE) => self.on_ping_response(cx, frame),
            Some(&kind::NODES_REQUEST) => self.on_nodes_request(cx, frame),
            Some(&kind::NODES_RESPONSE) => self.on_nodes_response(cx, frame),
            Some(&kind::DHT_REQUEST) => self.on_dht_request(cx, frame),
            Some(&kind::BOOTSTRAP_INFO) => self.on_info_request(cx, frame),
            Some(_) | None => Err(DropReason::UnknownKind),
        };
        handled.unwrap_or_else(|reason| (Disposition::Dropped(reason), None))
    }

    fn on_ping_request<E: Env>(&mut self, cx: &mut Cx<'_, 's, E>, frame: &mut Frame<'_>) -> Handled {
        let node = self.open(cx, frame)?;
        let ping = Ping::parse(&frame.bytes()[TEXT_AT..]).filter(|ping| ping.kind == kind::PING_REQUEST);
        let id = ping.ok_or(DropReason::Malformed)?.id;
        let note = self.greet(cx.now, &node);
        let answer = Ping { kind: kind::PING_RESPONSE, id };
        let len = seal_packet(cx, Need::Theirs, kind::PING_RESPONSE, &node.key, frame.buf, |w| answer.emit(w));
        Ok((reply(frame, len.ok_or(DropReason::BadCrypto)?), note))
    }

    fn on_ping_response<E: Env>(&mut self, cx: &mut Cx<'_, 's, E>, frame: &mut Frame<'_>) -> Handled {
        let node = self.open(cx, frame)?;
        let ping = Ping::parse(&frame.bytes()[TEXT_AT..]).filter(|ping| ping.kind == kind::PING_RESPONSE);
        let id = ping.ok_or(DropReason::Malformed)?.id;
        if !self.ids.check(cx.now, kind::PING_REQUEST, &node, id) {
            return Err(DropReason::Unsolicited);
        }
        self.hear(cx.now, &node);
        Ok((Disposition::Consumed, Some(DhtNote::Alive(node))))
    }

    fn on_nodes_request<E: Env>(&mut self, cx: &mut Cx<'_, 's, E>, frame: &mut Frame<'_>) -> Handled {
        let node = self.open(cx, frame)?;
        let request = NodesRequest::parse(&frame.bytes()[TEXT_AT..]).ok_or(DropReason::Malformed)?;
        let note = self.greet(cx.now, &node);
        let nodes = self.closest(cx.now, &request.target, frame.from.is_lan());
        let text = |w: &mut Writer<'_>| NodesResponse::emit_list(w, &nodes, request.id);
        let len = seal_packet(cx, Need::Theirs, kind::NODES_RESPONSE, &node.key, frame.buf, text);
        Ok((reply(frame, len.ok_or(DropReason::BadCrypto)?), note))
    }

    fn on_nodes_response<E: Env>(&mut self, cx: &mut Cx<'_, 's, E>, frame: &mut Frame<'_>) -> Handled {
        let node = self.open(cx, frame)?;
        let response = NodesResponse::parse(&frame.bytes()[TEXT_AT..]).ok_or(DropReason::Malformed)?;
        if !self.ids.check(cx.now, kind::NODES_REQUEST, &node, response.id) {
            return Err(DropReason::Unsolicited);
        }
        let named: NodeList = response.nodes.udp().collect();
        self.hear(cx.now, &node);
        // Nobody outside has business to make us send to our own machine.
        let wanted = |named: &&NodeInfo| frame.from.is_lan() || !named.at.ip().is_loopback();
        for named in named.iter().filter(wanted).copied().collect::<NodeList>() {
            self.consider(cx.now, &named, frame.from);
        }
        Ok((Disposition::Consumed, Some(DhtNote::Alive(node))))
    }

    /// A DHT request is for us, or goes on as it is to the node of our close list that it is for.
    fn on_dht_request<E: Env>(&mut self, cx: &mut Cx<'_, 's, E>, frame: &mut Frame<'_>) -> Handled {
        let request = DhtRequest::parse(frame.bytes()).ok_or(DropReason::Malformed)?;
        let (receiver, sender, nonce) = (request.receiver, request.sender, request.nonce);
        if receiver != cx.me.dht.public {
            let to = self.close.get(&receiver).ok_or(DropReason::NoRoute)?.at;
            return Ok((Disposition::Reply { to, len: frame.len }, None));
        }
        if sender == cx.me.dht.public {
            return Err(DropReason::OwnPacket);
        }
        // It comes through a node that knows us, from whoever wants to reach us.
        let via = NodeInfo { key: sender, at: frame.from };
        self.open_box(cx, &via, &nonce, &mut frame.bytes_mut()[DHT_REQUEST_BOX_AT..])?;
        let request = frame.bytes()[DHT_REQUEST_TEXT_AT];
        if request == NAT_PING {
            self.on_nat_ping(cx, &sender, &frame.bytes()[DHT_REQUEST_TEXT_AT + 1..])?;
            return Ok((Disposition::Consumed, None));
        }
        let note = DhtNote::Request { sender, request, data: DHT_REQUEST_TEXT_AT + 1..frame.len };
        Ok((Disposition::Consumed, Some(note)))
    }

    /// A friend's NAT ping, or the answer to ours.
    fn on_nat_ping<E: Env>(&mut self, cx: &Cx<'_, 's, E>, sender: &PublicKey, data: &[u8]) -> Result<(), DropReason> {
        let ping = NatPing::parse(data).ok_or(DropReason::Malformed)?;
        let id = self.search_of_friend(sender).ok_or(DropReason::Stranger)?;
        if ping.is_answer {
            if !self.ids.check(cx.now, kind::DHT_REQUEST, &nat_pinged(sender), ping.id) {
                return Err(DropReason::Unsolicited);
            }
            return self.punches.on_answer(cx.now, id);
        }
        let is_news = self.punches.on_request(cx.now, id, ping.id)?;
        if is_news && self.searches.get(id).is_some_and(|search| !search.is_fresh(cx.now)) {
            self.reheat(cx.now, id);
        }
        Ok(())
    }

    fn on_info_request<E: Env>(&mut self, cx: &mut Cx<'_, 's, E>, frame: &mut Frame<'_>) -> Handled {
        let info = self.info.ok_or(DropReason::Disabled)?;
        if frame.len != INFO_REQUEST_LEN {
            return Err(DropReason::Malformed);
        }
        if !self.info_tokens.take(cx.now) {
            return Err(DropReason::RateLimited);
        }
        let mut w = Writer::new(frame.buf);
        let motd = self.motd.as_ref().map_or(info.motd, |motd| &motd.buf[..motd.len]);
        InfoResponse { version: info.version, motd }.emit(&mut w);
        // An answer as long as a request would make two bootstrap nodes answer each other for ever.
        let len = if w.len() == INFO_REQUEST_LEN { INFO_REQUEST_LEN - 1 } else { w.len() };
        Ok((reply(frame, len), None))
    }

    /// Opens a ping or nodes packet in place; its plaintext then stands at [`TEXT_AT`]. Returns who sent it.
    fn open<E: Env>(&self, cx: &mut Cx<'_, 's, E>, frame: &mut Frame<'_>) -> Result<NodeInfo, DropReason> {
        let outer = Outer::parse(frame.bytes()).ok_or(DropReason::Malformed)?;
        let (key, nonce): (PublicKey, _) = (outer.sender, outer.nonce);
        if key == cx.me.dht.public {
            return Err(DropReason::OwnPacket);
        }
        let node = NodeInfo { key, at: frame.from };
        self.open_box(cx, &node, &nonce, &mut frame.bytes_mut()[BOX_AT..])?;
        Ok(node)
    }

    fn open_box<E: Env>(
        &self,
        cx: &mut Cx<'_, 's, E>,
        node: &NodeInfo,
        nonce: &Nonce,
        boxed: &mut [u8],
    ) -> Result<(), DropReason> {
        cx.admit_box(Whose::Dht, &node.key, node.at, || self.standing(&node.key, node.at))?;
        cx.open_for(Need::Theirs, Whose::Dht, &node.key, nonce, boxed)
    }
}

const fn reply(frame: &Frame<'_>, len: usize) -> Disposition {
    Disposition::Reply { to: frame.from, len }
}

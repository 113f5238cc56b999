//! Answers to our announce requests, and data from friends and strangers.

use super::pending::{Owner, Pending};
use super::{OnionClient, OnionNote, OnionWay};
use crate::budget::Standing;
use crate::crypto::{PublicKey, Suite};
use crate::cx::Cx;
use crate::storage::{Need, Whose};
use crate::wire::onion::announce::{RESPONSE_BOX_AT, RESPONSE_PLAIN_AT};
use crate::wire::onion::data::{
    DHT_KEY_ANNOUNCE, FRIEND_REQUEST, RESPONSE_BOX_AT as DATA_BOX_AT, RESPONSE_DATA_AT, RESPONSE_INNER_AT,
    RESPONSE_SENDER_AT,
};
use crate::wire::onion::{AnnounceResponse, DataHeader, ResponseHeader, Stored};
use crate::wire::{PackedNodes, kind};
use crate::{Disposition, DropReason, Endpoint, Env, Frame};

type Outcome = Result<Option<OnionNote>, DropReason>;

impl<'s> OnionClient<'s> {
    /// Serves 0x84, 0x86 and 0x88.
    pub(crate) fn on_packet<E: Env>(
        &mut self,
        cx: &mut Cx<'_, 's, E>,
        frame: &mut Frame<'_>,
    ) -> (Disposition, Option<OnionNote>) {
        let outcome = match frame.bytes().first() {
            Some(&(kind::ANNOUNCE_RESPONSE | kind::GROUP_ANNOUNCE_RESPONSE)) => self.on_response(cx, frame),
            Some(&kind::ONION_DATA_RESPONSE) => self.on_data(cx, frame),
            Some(_) | None => Err(DropReason::UnknownKind),
        };
        match outcome {
            Ok(note) => (Disposition::Consumed, note),
            Err(reason) => (Disposition::Dropped(reason), None),
        }
    }

    /// An answer counts only with a sendback that is open, and once. A forged one leaves the request open.
    fn on_response<E: Env>(&mut self, cx: &mut Cx<'_, 's, E>, frame: &mut Frame<'_>) -> Outcome {
        let header = ResponseHeader::parse(frame.bytes()).ok_or(DropReason::Malformed)?;
        let place = self.requests.find(u64::from_be_bytes(header.sendback)).ok_or(DropReason::Unsolicited)?;
        let (len, from) = (frame.len, frame.from);
        let shared = self.requests.get(place).shared();
        if !cx.suite.open(shared, &header.nonce, &mut frame.buf[RESPONSE_BOX_AT..len]) {
            return Err(DropReason::BadCrypto);
        }
        let plain = &frame.buf[RESPONSE_PLAIN_AT..len];
        let response = AnnounceResponse::parse(plain, header.group).ok_or(DropReason::Malformed)?;
        let asked = self.requests.take(place);
        self.on_alive(cx, &asked);
        match asked.owner() {
            Owner::Ourselves => self.on_own(cx, &asked, response.stored),
            Owner::Friend(index) => self.on_friend(cx, usize::from(index), &asked, response.stored)?,
        }
        self.ask_further(cx, &asked, response.nodes, &from);
        Ok(None)
    }

    /// The path works, and so does the node.
    fn on_alive<E: Env>(&mut self, cx: &Cx<'_, 's, E>, asked: &Pending) {
        self.heard = cx.now;
        self.trip.sample(cx.now.since(asked.since()));
        self.paths.succeeded(cx.now, &mut self.nodes, asked.path);
        self.nodes.clear(cx.now, &asked.node().at);
        if asked.node().key != cx.me.dht.public {
            self.nodes.add(cx.now, asked.node());
        }
    }

    fn on_own<E: Env>(&mut self, cx: &Cx<'_, 's, E>, asked: &Pending, stored: Stored) {
        let was_connected = self.is_connected(cx.now);
        self.announcement.answered(cx.now, &cx.me.long_term.public, &self.paths, asked, stored);
        if !was_connected && self.is_connected(cx.now) {
            for friend in self.friends.iter_mut().filter(|friend| friend.is_searched()) {
                friend.start_over(cx.now);
                self.round_wake = cx.now;
            }
        }
    }

    fn on_friend<E: Env>(
        &mut self,
        cx: &Cx<'_, 's, E>,
        index: usize,
        asked: &Pending,
        stored: Stored,
    ) -> Result<(), DropReason> {
        let data_key = match &stored {
            Stored::No { .. } => None,
            Stored::Found { data_key } => Some(data_key),
            Stored::Announced { .. } => return Err(DropReason::BadState),
        };
        let friend = self.friends.get_mut(index).filter(|friend| friend.is_searched()).ok_or(DropReason::BadState)?;
        if let Some(place) = friend.answered(cx.now, asked, data_key) {
            friend.mail.found(cx.now, place);
            self.mail_due = true;
            self.mail_wake = self.mail_wake.min(friend.mail.deadline());
        }
        self.round_wake = self.round_wake.min(friend.round_at);
        Ok(())
    }

    /// Nodes that the answer names are asked if they improve the list, as far as the pace allows. Local ones count only
    /// when they come from a local relay. In a network of two it is our own node that holds a friend's announcement:
    /// there it is asked too, through the other.
    pub(super) fn ask_further<E: Env>(
        &mut self,
        cx: &Cx<'_, 's, E>,
        asked: &Pending,
        nodes: PackedNodes<'_>,
        from: &Endpoint,
    ) {
        let friend_of_two = asked.owner() != Owner::Ourselves && !self.nodes.has_other(&asked.node().at);
        for node in nodes.udp() {
            let reachable = node.at.is_usable() && (from.is_lan() || !node.at.is_lan());
            let excluded = node.key == cx.me.dht.public && !friend_of_two;
            if !reachable || excluded || self.requests.is_known(asked.owner(), &node.key) {
                continue;
            }
            if self.wants(&cx.me.long_term.public, asked.owner(), &node.key)
                && self.requests.has_room(asked.owner())
                && self.pace.take(cx.now)
            {
                self.requests.want(cx.now, asked.owner(), node);
            }
        }
    }

    fn wants(&self, me: &PublicKey, whose: Owner, key: &PublicKey) -> bool {
        match whose {
            Owner::Ourselves => self.announcement.wants(me, key),
            Owner::Friend(index) => self.friends[usize::from(index)].wants(key),
        }
    }

    /// Data that came along our announced path: opened with our data key, then between the long-term keys. Everybody
    /// who knows our Tox ID can send it, and both keys may be new; but it comes from where one of our paths begins.
    fn on_data<E: Env>(&self, cx: &mut Cx<'_, 's, E>, frame: &mut Frame<'_>) -> Outcome {
        let len = frame.len;
        let standing = || self.standing(frame.from);
        let DataHeader { nonce, temporary } = DataHeader::parse(frame.bytes()).ok_or(DropReason::Malformed)?;
        cx.admit(frame.from, standing)?;
        // The temporary key is used once: it must not push useful keys out of the cache.
        let me = cx.me;
        let outer = cx.agree(&me.onion_data.secret, &temporary).ok_or(DropReason::BadCrypto)?;
        if !cx.suite.open(&outer, &nonce, &mut frame.buf[DATA_BOX_AT..len]) {
            return Err(DropReason::BadCrypto);
        }
        let from = PublicKey::from_slice(&frame.buf[RESPONSE_SENDER_AT..RESPONSE_INNER_AT]);
        let from = from.ok_or(DropReason::Malformed)?;
        if from == me.long_term.public {
            return Err(DropReason::OwnPacket);
        }
        let is_friend = self.friends.iter().any(|friend| friend.key == from);
        let standing = || if is_friend { Standing::Known } else { self.standing(frame.from) };
        cx.admit_box(Whose::LongTerm, &from, frame.from, standing)?;
        let need = if is_friend { Need::Ours } else { Need::Theirs };
        cx.open_for(need, Whose::LongTerm, &from, &nonce, &mut frame.buf[RESPONSE_INNER_AT..len])?;
        match frame.buf[RESPONSE_DATA_AT] {
            FRIEND_REQUEST | DHT_KEY_ANNOUNCE => Ok(Some(OnionNote::Data { from, data: RESPONSE_DATA_AT..len })),
            _ => Err(DropReason::UnknownKind),
        }
    }

    fn standing(&self, from: Endpoint) -> Standing {
        let ours = self.way == OnionWay::Relays || self.paths.begins_at(from);
        if ours { Standing::Near } else { Standing::Stranger }
    }
}

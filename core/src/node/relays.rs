//! Relays: the node's streams, what goes through them, and what follows from how friends are reached.

use super::{Node, Output};
use crate::crypto::PublicKey;
use crate::cx::Env;
use crate::event::Connection;
use crate::frame::{DATAGRAM_MAX, Disposition, Frame};
use crate::friend::{Friend, tell};
use crate::onion::OnionWay;
use crate::relay::client::{Content, OwedCookie, StreamAction};
use crate::relay::{Reach, StreamEnd, StreamId};
use crate::session::{Asked, SessionNote};
use crate::stats::DropReason;
use crate::storage::Id;
use crate::time::{Deadline, Instant, Why};
use crate::wire::messenger::{Packet, SHARED_RELAYS_MAX};
use crate::wire::onion::RELAYED_AT;
use crate::wire::relay::{FRAME_LEN_MAX, FRAME_TEXT, packet};
use crate::wire::{self, NODE_LEN_MAX, NodeInfo, PackedNodes, kind};
use crate::{Action, Endpoint};
use core::time::Duration;

/// A friend who may be found directly is not met through relays before.
const HEAD_START: Duration = Duration::from_millis(500);
/// With a relay at hand, the onion waits so long for the DHT.
const DHT_TIME: Duration = Duration::from_millis(600);

/// Where a relay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayHost<'a> {
    /// At this address and TCP port.
    At(Endpoint),
    /// At a host that the proxy finds by its name; without a proxy the runtime must find it.
    Name {
        /// The name.
        host: &'a str,
        /// The TCP port.
        port: u16,
    },
}

/// Streams. Their adapter opens and closes them as [`Action`] says.
impl<E: Env> Node<'_, E> {
    /// A TCP relay that we may use, by its DHT key. False when there is no room for another, or it cannot be one.
    pub fn add_relay(&mut self, now: Instant, key: PublicKey, host: RelayHost<'_>) -> bool {
        if !E::RELAYS {
            return false;
        }
        self.input(now);
        let now = self.shared.now;
        let is_valid = key != PublicKey::ZERO && key != self.shared.me.dht.public;
        let added = is_valid
            && match host {
                RelayHost::At(at) => at.is_usable() && self.relays.add_own(now, NodeInfo { key, at }),
                RelayHost::Name { host, port } => port != 0 && self.relays.add_named(now, key, host, port),
            };
        self.after_relays();
        added
    }

    /// Relays worth remembering, for the profile.
    pub fn known_relays(&self) -> impl Iterator<Item = NodeInfo> + Clone {
        self.relays.known()
    }

    /// The stream is open.
    pub fn stream_opened(&mut self, now: Instant, id: StreamId) {
        if E::RELAYS {
            self.input(now);
            self.relays.opened(self.shared.now, id);
        }
    }

    /// The stream could not be opened, or has ended by itself. No action follows, and the id is stale.
    pub fn stream_closed(&mut self, now: Instant, id: StreamId, why: StreamEnd) {
        if E::RELAYS {
            self.input(now);
            self.relays.closed(self.shared.now, id, why);
            self.after_relays();
        }
    }

    /// Handles received bytes: opened in place. How many are done with; the rest is the beginning of a frame, which
    /// comes first the next time.
    pub fn handle_stream(&mut self, now: Instant, id: StreamId, bytes: &mut [u8]) -> usize {
        if !E::RELAYS {
            return bytes.len();
        }
        self.input(now);
        let mut buf = [0; DATAGRAM_MAX];
        let mut done = 0;
        while done < bytes.len() {
            let rest = &mut bytes[done..];
            let (used, content) = self.relays.receive(&mut self.shared.cx(), id, rest);
            if used == 0 {
                break;
            }
            if let Some(content) = content {
                self.relay_content(id, &content, rest, &mut buf);
            }
            done += used;
        }
        self.after_relays();
        done
    }

    /// The next stream that has something to be sent; ask it with [`poll_stream`](Self::poll_stream).
    pub fn next_stream(&mut self) -> Option<StreamId> {
        if !E::RELAYS {
            return None;
        }
        let now = self.shared.now;
        while let Some(due) = self.sessions.next_relayed(now) {
            self.relays.spread(now, due.owner, due.opening, due.stalled);
        }
        if core::mem::take(&mut self.onion_looks) {
            self.relays.list_onion();
        }
        let next = self.relays.next_stream();
        if next.is_none() {
            self.law.drained(Output::Stream);
        }
        next
    }

    /// Writes what the stream has to send, as whole frames, to `buf`, which has room for at least
    /// [`FRAME_LEN_MAX`] bytes. To be called until it gives 0, or the stream takes no more: then tell when it does
    /// again with [`stream_ready`](Self::stream_ready).
    pub fn poll_stream(&mut self, now: Instant, id: StreamId, buf: &mut [u8]) -> usize {
        if !E::RELAYS {
            return 0;
        }
        self.shared.advance(now);
        let mut len = 0;
        while buf.len() - len >= FRAME_LEN_MAX {
            match self.next_frame(id, &mut buf[len..]) {
                0 => break,
                more => len += more,
            }
        }
        if len == 0 {
            self.relays.drained(id);
        } else {
            self.law.input();
        }
        len
    }

    /// The stream, which had been full, takes bytes again.
    pub fn stream_ready(&mut self, now: Instant, id: StreamId) {
        if E::RELAYS {
            self.input(now);
            self.relays.ready(id);
        }
    }

    fn next_frame(&mut self, id: StreamId, buf: &mut [u8]) -> usize {
        let own = self.relays.encode_own(&mut self.shared.cx(), id, buf);
        if own > 0 {
            return own;
        }
        while let Some(owed) = self.relays.take_cookie(id) {
            let asked = Asked { dht: owed.dht, peer: owed.peer, echo: owed.echo };
            let Some(due) = self.relays.answer_to(id, &owed.dht) else { continue };
            if let Some(len) = self.sessions.encode_cookie(&mut self.shared.cx(), &asked, &mut buf[due.at..]) {
                return self.relays.seal_due(&mut self.shared.cx(), id, &due, len, buf);
            }
        }
        while let Some(due) = self.relays.next_due(id) {
            let session = self.friends.at_mut(due.peer).and_then(|friend| friend.session);
            let step = (due.step, due.is_oob());
            let sessions = &mut self.sessions;
            let len = sessions.encode_relayed(&mut self.shared.cx(), due.peer, session, step, &mut buf[due.at..]);
            self.relays.served(id, &due, len.is_some());
            if let Some(len) = len {
                return self.relays.seal_due(&mut self.shared.cx(), id, &due, len, buf);
            }
        }
        if self.onion.way() == OnionWay::Relays && self.relays.carries_onion(id) {
            self.onion_frame(id, buf)
        } else {
            0
        }
    }

    fn onion_frame(&mut self, id: StreamId, buf: &mut [u8]) -> usize {
        let Some(room) = buf.first_chunk_mut() else { return 0 };
        let Some((_, len)) = self.encode_onion(room) else { return 0 };
        self.relays.onion_sent(id);
        buf.copy_within(RELAYED_AT..len, FRAME_TEXT + 1);
        buf[FRAME_TEXT] = packet::ONION_REQUEST;
        self.relays.seal_text(&mut self.shared.cx(), id, FRAME_TEXT + 1 + len - RELAYED_AT, buf)
    }

    /// What came through a relay for other machines.
    fn relay_content(&mut self, id: StreamId, content: &Content, bytes: &[u8], buf: &mut [u8; DATAGRAM_MAX]) {
        let (Content::Onion(range) | Content::Session { packet: range, .. }) = content;
        let packet = &bytes[range.clone()];
        let from = self.relays.endpoint(id).unwrap_or(Endpoint::UNSPECIFIED);
        buf[..packet.len()].copy_from_slice(packet);
        let mut frame = Frame::new(buf, packet.len(), from);
        let disposition = match content {
            Content::Onion(_) => {
                let disposition = self.on_onion(&mut frame);
                if disposition == Disposition::Consumed {
                    self.relays.onion_answered(id);
                }
                disposition
            }
            Content::Session { peer, from, .. } => self.on_relayed(id, *peer, from, &mut frame),
        };
        if let Disposition::Dropped(reason) = disposition {
            self.shared.stats.count_drop(reason);
        }
    }

    fn on_relayed(&mut self, id: StreamId, peer: Option<usize>, dht: &PublicKey, frame: &mut Frame<'_>) -> Disposition {
        if frame.bytes().first() == Some(&kind::COOKIE_REQUEST) {
            return match self.sessions.on_cookie_request(&mut self.shared.cx(), frame) {
                Ok(asked) if asked.dht == *dht => {
                    let Asked { dht, peer, echo } = asked;
                    self.relays.owe_cookie(id, OwedCookie { dht, peer, echo });
                    Disposition::Consumed
                }
                Ok(_) => Disposition::Dropped(DropReason::BadToken),
                Err(reason) => Disposition::Dropped(reason),
            };
        }
        let is_handshake = frame.bytes().first() == Some(&kind::CRYPTO_HANDSHAKE);
        let session = peer.and_then(|index| self.friends.at_mut(index)).and_then(|friend| friend.session);
        let (friends, closing) = (&self.friends, self.closing);
        let mut accept = |key: &PublicKey| friends.find(key).filter(|_| !closing).map(Id::index);
        let (disposition, note) = self.sessions.on_relayed(&mut self.shared.cx(), frame, session, &mut accept);
        match note {
            Some(SessionNote::Lossy { id, owner, data }) => self.keep_lossy(frame, id, owner, data),
            Some(note) => self.session_note(note, None),
            None => {}
        }
        self.drain_session_notes();
        if is_handshake && disposition == Disposition::Consumed {
            self.relays.met_at(id, dht);
        }
        disposition
    }

    /// The next thing to be done with a stream.
    pub(super) fn poll_stream_action(&mut self) -> Option<Action> {
        self.relays.poll_action().map(|action| match action {
            StreamAction::Open { id, to } => Action::Open { id, to },
            StreamAction::Close { id } => Action::Close { id },
        })
    }

    /// Comes after everything that may have changed how friends are reached.
    pub(super) fn after_relays(&mut self) {
        if !E::RELAYS || !self.relays.is_on() {
            return;
        }
        if self.sessions.take_ways_changed() {
            for index in 0..self.friends.table.extent() {
                self.look_at_way(index);
            }
        }
        self.persist |= self.relays.take_learned();
        let mut opens = false;
        while let Some(index) = self.relays.take_news() {
            opens |= self.reach_changed(index);
        }
        if opens {
            self.friends_on_timeout();
        }
        self.choose_onion_way();
    }

    /// How relays reach a friend has changed. True when a session may be opened now.
    fn reach_changed(&mut self, index: usize) -> bool {
        let (now, reach) = (self.shared.now, self.relays.reach(index));
        let head_start = if self.udp && self.dht.is_connected(now) { HEAD_START } else { Duration::ZERO };
        let Some(friend) = self.friends.at_mut(index) else { return false };
        friend.reached(now, reach, head_start);
        let opens = friend.session.is_none() && reach != Reach::None;
        if let Some(session) = friend.session {
            self.sessions.set_reach(now, session, reach);
        }
        self.look_at_way(index);
        opens
    }

    /// A friend who is reached directly needs no relays.
    fn look_at_way(&mut self, index: usize) {
        let Some(friend) = self.friends.at_mut(index) else { return };
        let is_direct = friend.session.is_some_and(|session| self.sessions.is_direct(session));
        self.relays.set_awake(self.shared.now, index, !is_direct);
    }

    /// The onion goes the way that works.
    fn choose_onion_way(&mut self) {
        let now = self.shared.now;
        let way = if self.udp && self.dht.is_connected(now) {
            OnionWay::Udp
        } else {
            match self.relays.connected_since() {
                Some(since) if !self.udp || now.reached(since, DHT_TIME) => OnionWay::Relays,
                Some(_) | None if self.udp => OnionWay::Udp,
                Some(_) | None => OnionWay::None,
            }
        };
        self.onion.set_way(now, way);
    }

    /// Whether the onion cannot send before a stream takes bytes again.
    pub(super) fn onion_is_held_up(&self) -> bool {
        self.onion.way() == OnionWay::Relays && self.relays.holds_onion_up()
    }

    /// When to look at the onion's way again.
    pub(super) fn onion_way_deadline(&self) -> Option<Deadline> {
        if !E::RELAYS || !self.udp || self.onion.way() == OnionWay::Relays || self.dht.is_connected(self.shared.now) {
            return None;
        }
        self.relays.connected_since().map(|since| Deadline { at: since + DHT_TIME, why: Why::Relay })
    }

    /// Whether a friend is online, and how.
    pub(super) fn connection_of(&self, friend: &Friend) -> Connection {
        friend.connection(friend.session.map(|session| self.sessions.is_relayed(session)))
    }

    /// Our relays for friends who have not been told lately.
    pub(super) fn share_relays(&mut self) {
        if !E::RELAYS {
            return;
        }
        let mut packed = [0; SHARED_RELAYS_MAX * NODE_LEN_MAX];
        let mut w = wire::Writer::new(&mut packed);
        for relay in self.relays.connected().take(SHARED_RELAYS_MAX) {
            relay.emit_tcp(&mut w);
        }
        let len = w.len();
        let nodes = PackedNodes::parse_any(&packed[..len], SHARED_RELAYS_MAX).unwrap_or(PackedNodes::EMPTY);
        let mut text = [0; 1 + SHARED_RELAYS_MAX * NODE_LEN_MAX];
        let text_len = Packet::ShareRelays(nodes).emit(&mut text);
        for friend in self.friends.table.values_mut().filter(|friend| friend.tell & tell::RELAYS != 0) {
            let Some(session) = friend.session else { continue };
            if len == 0 || self.sessions.send(&mut self.shared.cx(), session, &[&text[..text_len]], 0).is_ok() {
                friend.tell &= !tell::RELAYS;
            }
        }
    }

    /// A friend tells relays; those on the friend's own host, which are named by a loopback address, are at the
    /// friend's.
    pub(super) fn friend_relays(&mut self, index: usize, relays: PackedNodes<'_>) {
        if !E::RELAYS {
            return;
        }
        let now = self.shared.now;
        let Some(friend) = self.friends.at_mut(index) else { return };
        let (dht_key, session, search) = (friend.dht_key, friend.session, friend.search);
        for mut relay in relays.tcp() {
            if relay.at.ip().is_loopback() && relay.key == dht_key {
                let direct = session.and_then(|session| self.sessions.address(session));
                let found = direct.or_else(|| self.dht.found(now, search?));
                relay.at = found.map_or(relay.at, |at| Endpoint::new(at.ip(), relay.at.port()));
            }
            if relay.key != self.shared.me.dht.public {
                self.relays.peer_relay(now, index, relay);
            }
        }
    }
}

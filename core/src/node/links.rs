//! The one place where the machines' notes are drained and carried on: how friends are met.

use super::{Lent, Node};
use crate::budget::Standing;
use crate::crypto::PublicKey;
use crate::cx::Env;
use crate::dht::{Dht, DhtNote};
use crate::event::Event;
use crate::frame::{DATAGRAM_MAX, Disposition, Frame};
use crate::friend::{Fate, Friend, FriendId, Friends, Verdict};
use crate::messenger;
use crate::onion::{OnionNote, OnionSend};
use crate::relay::Reach;
use crate::session::{SessionId, SessionNote};
use crate::stats::DropReason;
use crate::storage::{BlockId, Blocks, Chain, Id, Whose};
use crate::time::{Instant, UnixTime};
use crate::wire::NodeInfo;
use crate::wire::messenger::id::SHARE_RELAYS;
use crate::wire::messenger::{CUSTOM_LOSSY, Packet, SHARED_RELAYS_MAX};
use crate::wire::onion::data::DHT_KEY_NODES_MAX;
use crate::wire::onion::{DhtKeyAnnounce, FriendRequest};
use crate::{Endpoint, wire};
use core::ops::Range;
use core::time::Duration;

impl<'s, E: Env> Node<'s, E> {
    /// Somebody in the local network says that it is there: it is asked, unless it is known.
    pub(super) fn on_lan_discovery(&mut self, frame: &Frame<'_>) -> Disposition {
        let heard = match wire::dht::LanDiscovery::parse(frame.bytes()) {
            _ if !self.lan.is_enabled() => Err(DropReason::Disabled),
            None => Err(DropReason::Malformed),
            Some(wire::dht::LanDiscovery { sender }) if frame.from.is_lan() && frame.from.is_usable() => {
                self.dht.called(self.shared.now, NodeInfo { key: sender, at: frame.from })
            }
            Some(_) => Err(DropReason::BadAddress),
        };
        match heard {
            Ok(()) => {
                self.law.input();
                Disposition::Consumed
            }
            Err(reason) => Disposition::Dropped(reason),
        }
    }

    pub(super) fn on_dht(&mut self, frame: &mut Frame<'_>) -> Disposition {
        let (disposition, note) = self.dht.on_packet(&mut self.shared.cx(), frame);
        if note.is_some() || disposition == Disposition::Consumed {
            self.law.input();
        }
        match note {
            Some(DhtNote::Alive(node)) => {
                self.onion.add_node(self.shared.now, node);
                self.dht_node_answered(node);
                disposition
            }
            Some(DhtNote::Request { sender, request, data }) => self.on_dht_request(frame, sender, request, data),
            Some(DhtNote::Greeted) | None => disposition,
        }
    }

    pub(super) fn on_onion(&mut self, frame: &mut Frame<'_>) -> Disposition {
        let (disposition, note) = self.onion.on_packet(&mut self.shared.cx(), frame);
        let Some(OnionNote::Data { from, data }) = note else { return disposition };
        let Some(bytes) = frame.buf.get(data) else { return Disposition::Dropped(DropReason::Malformed) };
        if let Some(request) = FriendRequest::parse(bytes) {
            self.friend_request(from, &request)
        } else if let Some(announce) = DhtKeyAnnounce::parse(bytes) {
            self.friend_dht_key(from, &announce)
        } else {
            Disposition::Dropped(DropReason::Malformed)
        }
    }

    pub(super) fn on_session(&mut self, frame: &mut Frame<'_>) -> Disposition {
        let friends = &self.friends;
        let closing = self.closing;
        let mut accept = |key: &PublicKey| friends.find(key).filter(|_| !closing).map(Id::index);
        let dht = &self.dht;
        let standing = |key: &PublicKey, at| dht.standing(key, at);
        let (disposition, note) = self.sessions.on_packet(&mut self.shared.cx(), frame, &mut accept, &standing);
        let from = frame.from;
        match note {
            Some(SessionNote::Lossy { id, owner, data }) => self.keep_lossy(frame, id, owner, data),
            Some(note) => self.session_note(note, Some(from)),
            None => {}
        }
        self.drain_session_notes();
        disposition
    }

    pub(super) fn drain_session_notes(&mut self) {
        while let Some(note) = self.sessions.take_note() {
            self.session_note(note, None);
        }
    }

    /// Timers of the friend table.
    pub(super) fn friends_on_timeout(&mut self) {
        let now = self.shared.now;
        let awake = self.friends.table.values().any(|friend| friend.is_alive_due(now));
        for (id, friend) in self.friends.table.iter_mut() {
            friend.on_timeout(now, awake);
            self.telling |= friend.tell != 0;
            if friend.request_due(now) {
                self.onion.send_request(now, id.index());
            }
            // The note is only for whoever wants to wait for it.
            let _ = self.onion.take_request_sent(id.index());
            if friend.is_dht_key_stale(now)
                && let Some(search) = friend.search.take()
            {
                self.dht.stop_search(search);
                friend.dht_key = PublicKey::ZERO;
                if E::RELAYS {
                    self.relays.remove_peer(id.index());
                }
                self.onion.set_friend_dht_key(id.index(), None);
            }
            if friend.reopen_due(now) {
                let found = friend.search.and_then(|search| self.dht.found(now, search));
                if found.is_none() {
                    friend.lost_sight();
                }
                if !self.closing && (found.is_some() || friend.is_relayed()) {
                    open_session(&mut self.sessions, &mut self.shared, id, friend, found);
                    if E::RELAYS {
                        self.relays.tell_peer(id.index());
                    }
                }
            }
        }
    }

    pub(super) fn tell_friends(&mut self) {
        self.telling = false;
        self.share_relays();
        for friend in self.friends.table.values_mut().filter(|friend| friend.tell != 0) {
            self.messenger.tell(&mut self.shared.cx(), &mut self.sessions, friend);
            self.telling |= friend.tell != 0 && friend.session.is_some();
        }
    }

    pub(super) fn encode_onion(&mut self, buf: &mut [u8; DATAGRAM_MAX]) -> Option<(Endpoint, usize)> {
        let (friends, dht, now) = (&self.friends, &self.dht, self.shared.now);
        let unix = self.shared.cx().unix;
        let own = self.own();
        let mut content = |blocks: &Blocks<'_>, index: usize, what: OnionSend, out: &mut [u8]| match what {
            OnionSend::FriendRequest => write_request(friends, blocks, index, out),
            OnionSend::DhtKey => write_dht_key(dht, now, unix, &own, out),
        };
        self.onion.encode_next(&mut self.shared.cx(), &mut content, buf)
    }

    /// Our DHT key for a friend whose DHT key we know, through a node near that key.
    pub(super) fn encode_dht_announce(&mut self, buf: &mut [u8; DATAGRAM_MAX]) -> Option<(Endpoint, usize)> {
        let (now, own) = (self.shared.now, self.own());
        for friend in self.friends.table.values_mut() {
            let Some(search) = friend.search else { continue };
            while let Some(route) = friend.next_dht_announce() {
                let Some(via) = self.dht.route(now, search, route) else { continue };
                let mut cx = self.shared.cx();
                let mut plain = [0; DHT_KEY_ANNOUNCE_MAX];
                let len = write_dht_key(&self.dht, now, cx.unix, &own, &mut plain);
                let mut data = [0; 32 + 24 + 16 + DHT_KEY_ANNOUNCE_MAX];
                let nonce = cx.nonce();
                data[..32].copy_from_slice(&cx.me.long_term.public.0);
                data[32..56].copy_from_slice(&nonce.0);
                data[72..72 + len].copy_from_slice(&plain[..len]);
                if cx.seal(Whose::LongTerm, &friend.key, &nonce, &mut data[56..72 + len]).is_err() {
                    continue;
                }
                let data = &data[..72 + len];
                let request = DHT_KEY_REQUEST;
                if let Some(len) = crate::dht::emit_dht_request(&mut cx, &friend.dht_key, request, data, buf) {
                    return Some((via.at, len));
                }
            }
        }
        None
    }

    fn own(&self) -> Own {
        let relays = if E::RELAYS { self.relays.connected().take(RELAYS_TOLD).collect() } else { heapless::Vec::new() };
        Own { key: self.shared.me.dht.public, local: self.local, relays }
    }

    /// Takes back what the last event lent.
    pub(super) fn take_back(&mut self) {
        match core::mem::replace(&mut self.lent, Lent::Nothing) {
            Lent::Nothing => {}
            Lent::Packet(session) => self.sessions.pop(&mut self.shared.blocks, session),
            Lent::Block(block) => self.shared.blocks.give(block),
        }
    }

    pub(super) fn poll_friend_event(&mut self) -> Option<Event<'_>> {
        // Whoever had the last event probably has the next one.
        let (extent, first) = (self.friends.table.extent(), self.event_turn);
        let turns = (first.min(extent)..extent).chain(0..first.min(extent));
        let step = turns.into_iter().find_map(|index| self.friend_step(index));
        let Some((id, step)) = step else {
            self.law.drained(super::Output::Event);
            return None;
        };
        self.event_turn = id.index();
        let bytes: &[u8] = match step {
            Step::Plain(event) => return Some(event),
            Step::Packet(session) => {
                self.lent = Lent::Packet(session);
                self.sessions.peek(&self.shared.blocks, session).unwrap_or_default()
            }
            Step::Unread(block) => {
                self.lent = Lent::Block(block);
                let Lent::Block(block) = &self.lent else { unreachable!("set above") };
                self.shared.blocks.get(block).bytes()
            }
            Step::Lossy(block) => {
                self.lent = Lent::Block(block);
                let Lent::Block(block) = &self.lent else { unreachable!("set above") };
                return Some(Event::LossyPacket { friend: id, data: self.shared.blocks.get(block).bytes() });
            }
        };
        let friend = self.friends.get_mut(id)?;
        messenger::receive(friend, id, bytes)
    }

    /// Finds what the friend at `index` has for the application; packets that are not for it are taken on the way.
    fn friend_step(&mut self, index: usize) -> Option<(FriendId, Step)> {
        let id = self.friends.table.id_at(index)?;
        loop {
            let friend = self.friends.get_mut(id)?;
            friend.read_up();
            if let Some(event) = plain_event(id, friend, &self.sessions, &self.shared.blocks) {
                return Some((id, Step::Plain(event)));
            }
            if let Some(block) = self.shared.blocks.pop_front(&mut friend.lossy) {
                return Some((id, Step::Lossy(block)));
            }
            if let Some(block) = self.shared.blocks.pop_front(&mut friend.unread) {
                if messenger::is_for_application(friend, self.shared.blocks.get(&block).bytes()) {
                    return Some((id, Step::Unread(block)));
                }
                let _ = messenger::receive(friend, id, self.shared.blocks.get(&block).bytes());
                self.shared.blocks.give(block);
                continue;
            }
            let session = friend.session?;
            let bytes = self.sessions.peek(&self.shared.blocks, session)?;
            if E::RELAYS && bytes.first() == Some(&SHARE_RELAYS) {
                let mut copy = [0; SHARED_RELAYS_LEN_MAX];
                let len = bytes.len().min(SHARED_RELAYS_LEN_MAX);
                copy[..len].copy_from_slice(&bytes[..len]);
                if let Some(Packet::ShareRelays(relays)) = Packet::parse(&copy[..len]) {
                    self.friend_relays(index, relays);
                }
                self.sessions.pop(&mut self.shared.blocks, session);
                continue;
            }
            if messenger::is_for_application(friend, bytes) {
                return Some((id, Step::Packet(session)));
            }
            let _ = messenger::receive(friend, id, bytes);
            self.telling |= friend.tell != 0;
            self.sessions.pop(&mut self.shared.blocks, session);
        }
    }

    fn on_dht_request(
        &mut self,
        frame: &mut Frame<'_>,
        sender: PublicKey,
        request: u8,
        data: Range<usize>,
    ) -> Disposition {
        if request != DHT_KEY_REQUEST {
            return Disposition::Dropped(DropReason::UnknownKind);
        }
        let malformed = Disposition::Dropped(DropReason::Malformed);
        let Some((head, boxed)) = frame.buf.get_mut(data).and_then(|data| data.split_at_mut_checked(56)) else {
            return malformed;
        };
        let mut r = wire::Reader::new(head);
        let (Some(from), Some(nonce)) = (r.key(), r.nonce()) else { return malformed };
        if self.friends.find(&from).is_none() {
            return Disposition::Dropped(DropReason::Stranger);
        }
        let mut cx = self.shared.cx();
        let admitted = cx.admit_box(Whose::LongTerm, &from, frame.from, || Standing::Known);
        if let Err(reason) = admitted.and_then(|()| cx.open(Whose::LongTerm, &from, &nonce, boxed)) {
            return Disposition::Dropped(reason);
        }
        match boxed.get(16..).and_then(DhtKeyAnnounce::parse) {
            Some(announce) if announce.dht_key == sender => self.friend_dht_key(from, &announce),
            Some(_) | None => malformed,
        }
    }

    fn friend_request(&mut self, from: PublicKey, request: &FriendRequest<'_>) -> Disposition {
        if self.friends.find(&from).is_some() {
            return Disposition::Dropped(DropReason::Duplicate);
        }
        let ours = self.shared.me.nospam;
        match self.requests.receive(&mut self.shared.blocks, from, request.nospam, ours, request.message) {
            Verdict::Kept => Disposition::Consumed,
            Verdict::Dropped(reason) => Disposition::Dropped(reason),
        }
    }

    /// A friend tells the DHT key of this run, and nodes near it.
    fn friend_dht_key(&mut self, from: PublicKey, announce: &DhtKeyAnnounce<'_>) -> Disposition {
        let now = self.shared.now;
        let Some(id) = self.friends.find(&from) else { return Disposition::Dropped(DropReason::Stranger) };
        let Some(friend) = self.friends.get_mut(id) else { return Disposition::Dropped(DropReason::Stranger) };
        if !friend.is_fresh_announce(announce.no_replay, &announce.dht_key) {
            return Disposition::Dropped(DropReason::Duplicate);
        }
        for node in announce.nodes.udp().filter(|_| self.udp) {
            self.dht.ask(now, node, announce.dht_key);
        }
        self.set_friend_dht_key(id, announce.dht_key, true);
        self.friend_relays(id.index(), announce.nodes);
        Disposition::Consumed
    }

    /// From now on the friend is looked for under `dht_key`. A session with another key (`outdates_session`) belongs to
    /// a run of the friend's client that is over.
    pub(super) fn set_friend_dht_key(&mut self, id: FriendId, dht_key: PublicKey, outdates_session: bool) {
        let now = self.shared.now;
        let Some(friend) = self.friends.get_mut(id) else { return };
        friend.told_dht_key(now);
        if friend.dht_key == dht_key
            && let Some(search) = friend.search
        {
            // A friend who tells it again does not hear us, whatever we think of the session.
            self.dht.reheat(now, search);
            if friend.session.is_none() {
                friend.reached(now, Reach::None, Duration::ZERO);
                if E::RELAYS {
                    self.relays.tell_peer(id.index());
                }
            }
            return;
        }
        if let Some(search) = friend.search.take() {
            self.dht.stop_search(search);
        }
        if let Some(session) = friend.session.filter(|_| outdates_session) {
            let acked = self.sessions.acked_tag(session);
            let unread = self.sessions.take_unread(&mut self.shared.blocks, session);
            self.sessions.close(&mut self.shared.cx(), session);
            end_session(&mut self.shared.blocks, now, friend, unread, acked);
            self.onion.set_friend_online(now, id.index(), false);
        }
        self.onion.node_left(now, &friend.dht_key);
        friend.dht_key = dht_key;
        friend.reached(now, Reach::None, Duration::ZERO);
        if E::RELAYS {
            self.relays.set_peer(now, id.index(), dht_key);
        }
        friend.search = self.dht.search(now, dht_key).ok();
        self.onion.set_friend_dht_key(id.index(), Some(dht_key));
        self.persist = true;
    }

    /// A DHT node answered; if it is a friend's, the way to the friend is known. Its box proves the key, but not whose
    /// it is: all who claim it are tried.
    fn dht_node_answered(&mut self, node: NodeInfo) {
        let now = self.shared.now;
        if self.closing {
            return;
        }
        for (id, friend) in self.friends.with_dht_key(&node.key) {
            friend.in_sight();
            match friend.session {
                Some(session) => self.sessions.set_endpoint(now, session, node.at),
                None => {
                    if friend.may_open(now) {
                        open_session(&mut self.sessions, &mut self.shared, id, friend, Some(node.at));
                        if E::RELAYS {
                            self.relays.tell_peer(id.index());
                        }
                    }
                }
            }
        }
    }

    /// A lossy packet waits for the application if there is room beyond the needs of the sessions.
    pub(super) fn keep_lossy(&mut self, frame: &Frame<'_>, id: SessionId, owner: usize, data: Range<usize>) {
        let Some(friend) = self.friends.at_mut(owner).filter(|friend| friend.session == Some(id) && friend.online)
        else {
            return;
        };
        let Some(data) = frame.buf.get(data) else { return };
        let custom = data.first().is_some_and(|id| CUSTOM_LOSSY.contains(id));
        let blocks = &mut self.shared.blocks;
        if custom && let Ok(block) = blocks.take(blocks.capacity() / 2, &[data]) {
            blocks.push_back(&mut friend.lossy, block);
        }
    }

    pub(super) fn session_note(&mut self, note: SessionNote, from: Option<Endpoint>) {
        let now = self.shared.now;
        match note {
            SessionNote::Incoming { id, owner, dht } => {
                let Some(friend_id) = self.friends.table.id_at(owner) else { return };
                let Some(friend) = self.friends.get_mut(friend_id) else { return };
                if let Some(old) = friend.session.filter(|old| *old != id) {
                    let acked = self.sessions.acked_tag(old);
                    let unread = self.sessions.take_unread(&mut self.shared.blocks, old);
                    end_session(&mut self.shared.blocks, now, friend, unread, acked);
                    self.onion.set_friend_online(now, owner, false);
                }
                friend.session_opened(id);
                self.set_friend_dht_key(friend_id, dht, false);
                if E::RELAYS {
                    self.relays.tell_peer(owner);
                }
                if let Some(at) = from {
                    self.dht.ask(now, NodeInfo { key: dht, at }, dht);
                }
            }
            SessionNote::Established { id, owner } => {
                let Some(friend) = self.friends.at_mut(owner).filter(|friend| friend.session == Some(id)) else {
                    return;
                };
                friend.established(now);
                if E::RELAYS && self.relays.is_on() {
                    friend.share_relays(now);
                    self.relays.tell_peer(owner);
                    if let Some(at) = friend.search.and_then(|search| self.dht.found(now, search)) {
                        self.sessions.set_endpoint(now, id, at);
                    }
                }
                if let Some(words) = friend.request.take() {
                    self.shared.blocks.give(words);
                    self.persist = true;
                }
                self.telling = true;
                self.onion.set_friend_online(now, owner, true);
            }
            SessionNote::Closed { id, owner } => {
                if let Some(friend) = self.friends.at_mut(owner).filter(|friend| friend.session == Some(id)) {
                    end_session(&mut self.shared.blocks, now, friend, Chain::EMPTY, 0);
                    if E::RELAYS {
                        self.relays.tell_peer(owner);
                    }
                    self.onion.node_left(now, &friend.dht_key);
                    self.onion.set_friend_online(now, owner, false);
                }
            }
            SessionNote::Moved { id, owner } => {
                let friend = self.friends.at_mut(owner).filter(|friend| friend.session == Some(id));
                if let Some((friend, at)) = friend.zip(from) {
                    self.dht.ask(now, NodeInfo { key: friend.dht_key, at }, friend.dht_key);
                }
            }
            SessionNote::Lossy { .. } => unreachable!("only a frame brings one, and it is kept there"),
        }
    }
}

/// Where the next event of a friend is.
enum Step {
    Plain(Event<'static>),
    Packet(SessionId),
    Unread(BlockId),
    Lossy(BlockId),
}

/// Id of a DHT request that carries a DHT key announce (`DHT.h`, CRYPTO_PACKET_DHTPK).
const DHT_KEY_REQUEST: u8 = 0x9c;
const SHARED_RELAYS_LEN_MAX: usize = 1 + SHARED_RELAYS_MAX * wire::NODE_LEN_MAX;
const DHT_KEY_ANNOUNCE_MAX: usize = 1 + 8 + 32 + DHT_KEY_NODES_MAX * wire::NODE_LEN_MAX;

/// Events that carry no payload, found in the table.
fn plain_event(
    id: FriendId,
    friend: &mut Friend,
    sessions: &crate::session::Sessions<'_>,
    blocks: &Blocks<'_>,
) -> Option<Event<'static>> {
    if let Some(session) = friend.session {
        friend.outbox.acknowledged(sessions.acked_tag(session));
    }
    match friend.outbox.report() {
        Some(Fate::Arrived(message)) => return Some(Event::ReadReceipt { friend: id, message }),
        Some(Fate::Lost(first, last)) => return Some(Event::Undelivered { friend: id, first, last }),
        None => {}
    }
    let connection = friend.connection(friend.session.map(|session| sessions.is_relayed(session)));
    if friend.shown != connection {
        friend.shown = connection;
        return Some(Event::FriendConnection { friend: id, connection });
    }
    let session = friend.session?;
    if friend.outbox.wants_room && sessions.room(blocks, session) {
        friend.outbox.wants_room = false;
        return Some(Event::Writable { friend: id });
    }
    None
}

/// What the friend said before the session ended is still to be read; what we said and is not acknowledged stays so.
pub(super) fn end_session(blocks: &mut Blocks<'_>, now: Instant, friend: &mut Friend, mut unread: Chain, acked: u32) {
    blocks.append(&mut friend.unread, &mut unread);
    friend.outbox.acknowledged(acked);
    friend.session_ended(now);
}

fn open_session<'s, E: Env>(
    sessions: &mut crate::session::Sessions<'s>,
    shared: &mut super::Shared<'s, E>,
    id: FriendId,
    friend: &mut Friend,
    at: Option<Endpoint>,
) {
    let now = shared.now;
    // A full session table is tried again when the friend's node answers next.
    if let Ok(session) = sessions.open(&mut shared.cx(), id.index(), friend.key, friend.dht_key) {
        if let Some(at) = at {
            sessions.set_endpoint(now, session, at);
        }
        friend.session_opened(session);
    }
}

fn write_request(friends: &Friends<'_>, blocks: &Blocks<'_>, index: usize, out: &mut [u8]) -> usize {
    let friend = friends.table.id_at(index).and_then(|id| friends.table.get(id));
    friend.and_then(|friend| Some((friend, friend.request.as_ref()?))).map_or(0, |(friend, words)| {
        let mut w = wire::Writer::new(out);
        FriendRequest { nospam: friend.nospam, message: blocks.get(words).bytes() }.emit(&mut w);
        w.len()
    })
}

/// How we are found: our DHT key, and our address in the local network.
struct Own {
    key: PublicKey,
    local: Option<Endpoint>,
    relays: heapless::Vec<NodeInfo, RELAYS_TOLD>,
}

/// Relays of ours that friends are told with our DHT key (`onion_client.c`: half of the nodes).
const RELAYS_TOLD: usize = 2;

fn write_dht_key(dht: &Dht<'_>, now: Instant, unix: UnixTime, own: &Own, out: &mut [u8]) -> usize {
    let near = dht.closest(now, &own.key, true);
    let local_only = near.iter().all(|node| node.at.is_lan());
    let ourselves = own.local.filter(|_| local_only).map(|at| NodeInfo { key: own.key, at });
    let mut packed = [0; DHT_KEY_NODES_MAX * wire::NODE_LEN_MAX];
    let mut w = wire::Writer::new(&mut packed);
    own.relays.iter().for_each(|relay| relay.emit_tcp(&mut w));
    for node in ourselves.iter().chain(&near).take(DHT_KEY_NODES_MAX - own.relays.len()) {
        node.emit(&mut w);
    }
    let len = w.len();
    let nodes = wire::PackedNodes::parse_any(&packed[..len], DHT_KEY_NODES_MAX).unwrap_or(wire::PackedNodes::EMPTY);
    let mut w = wire::Writer::new(out);
    DhtKeyAnnounce { no_replay: unix.0, dht_key: own.key, nodes }.emit(&mut w);
    w.len()
}

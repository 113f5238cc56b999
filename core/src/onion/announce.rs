//! Keeping other people's announcements.
//!
//! Somebody whose key is near our DHT key asks through an onion path to be found here. The first answer holds a ping
//! id, which proves that answers reach the asker; the request that brings it back is stored, together with its return
//! path. Whoever asks for that key then gets its data key, and data for it goes out along the stored path. We never
//! learn who asks, where they are, or what the data says.
//!
//! A request may also carry the announcement of a group's peer, which `groups` keeps.
//!
//! Nothing is kept for a ping id: it is a keyed hash of the asker's key, the last relay's address and the time.

use super::groups::{GroupPeer, GroupStore};
use crate::budget::StandingOf;
use crate::crypto::{MAC_LEN, PublicKey, SharedKey, ct_eq, hmac_sha256};
use crate::cx::Cx;
use crate::stats::{Stats, count};
use crate::storage::{Need, Slots, Table, Whose};
use crate::time::Instant;
use crate::wire::onion::announce::{GROUP_EXTRA_MAX, PING_ID_LEN, REQUEST_BOX_AT, RESPONSE_NODES_MAX, SENDBACK_LEN};
use crate::wire::onion::data::REQUEST_OVER;
use crate::wire::onion::group::{ANNOUNCE_LEN_MAX, ANNOUNCES_MAX};
use crate::wire::onion::{
    ANNOUNCE_REQUEST_LEN, AnnounceHeader, AnnounceRequest, AnnounceResponse, DataRequestHeader, ONION_ADDR_LEN,
    PACKET_MAX, PublicAnnounce, RETURN_3, ResponseHeader, Stored, emit_addr,
};
use crate::wire::{NODE_LEN_MAX, NodeList, PackedNodes, Writer, kind};
use crate::{Disposition, DropReason, Endpoint, Env, Frame};
use core::time::Duration;
use rand_core::CryptoRng;

/// How long an announcement is kept, and the length of one ping id window (`onion_announce.h`, ONION_ANNOUNCE_TIMEOUT).
/// A ping id is good in its window and the next.
pub(crate) const ANNOUNCE_LIFE: Duration = Duration::from_secs(300);

/// Where the payload of a 0x8c packet starts.
const PAYLOAD_AT: usize = 1 + RETURN_3;

/// An announcement.
#[derive(Debug)]
pub(crate) struct Announced {
    /// Who, by long-term key.
    key: PublicKey,
    /// What data for them is encrypted to.
    data_key: PublicKey,
    /// The way back: three return headers in one another.
    path: [u8; RETURN_3],
    /// The last relay, which opens the outermost.
    relay: Endpoint,
    at: Instant,
}

/// The table of announcements. Full, it keeps those nearest to our DHT key.
#[derive(Debug)]
pub(crate) struct AnnounceStore<'s> {
    entries: Slots<'s, Announced>,
    groups: GroupStore<'s>,
    /// Makes ping ids.
    secret: SharedKey,
}

impl<'s> AnnounceStore<'s> {
    /// A store over `entries` and `groups`; with no room for entries it serves nothing.
    pub(crate) fn new(entries: Slots<'s, Announced>, groups: Slots<'s, GroupPeer>, rng: &mut impl CryptoRng) -> Self {
        Self { entries, groups: GroupStore::new(groups), secret: SharedKey::generate(rng) }
    }

    /// Its tables.
    pub(crate) fn tables(&self) -> [Table; 2] {
        [Table::of_slots("announced", &self.entries), self.groups.table()]
    }

    /// Serves 0x83, 0x85 and 0x87. `closest` gives up to four live nodes near a key; local ones only if its
    /// flag is set. `standing` tells what a DHT key at an address is to us.
    pub(crate) fn on_packet<E: Env>(
        &mut self,
        cx: &mut Cx<'_, '_, E>,
        frame: &mut Frame<'_>,
        standing: &StandingOf<'_>,
        closest: impl FnOnce(&PublicKey, bool) -> NodeList,
    ) -> Disposition {
        const PLAIN: usize = ANNOUNCE_REQUEST_LEN + RETURN_3;
        const GROUP: usize = PLAIN + GROUP_EXTRA_MAX;
        const DATA: usize = REQUEST_OVER + RETURN_3 + 1;
        if self.entries.capacity() == 0 {
            return Disposition::Dropped(DropReason::Disabled);
        }
        let result = match (frame.bytes().first(), frame.len) {
            (Some(&kind::ANNOUNCE_REQUEST), PLAIN) => self.on_request(cx, frame, false, standing, closest),
            (Some(&kind::GROUP_ANNOUNCE_REQUEST), PLAIN..=GROUP) => self.on_request(cx, frame, true, standing, closest),
            (Some(&kind::ONION_DATA_REQUEST), DATA..=PACKET_MAX) => self.on_data(cx.now, frame),
            (Some(&(kind::ANNOUNCE_REQUEST | kind::GROUP_ANNOUNCE_REQUEST | kind::ONION_DATA_REQUEST)), _) => {
                Err(DropReason::Malformed)
            }
            (Some(_) | None, _) => Err(DropReason::UnknownKind),
        };
        result.unwrap_or_else(Disposition::Dropped)
    }

    fn on_request<E: Env>(
        &mut self,
        cx: &mut Cx<'_, '_, E>,
        frame: &mut Frame<'_>,
        group: bool,
        standing: &StandingOf<'_>,
        closest: impl FnOnce(&PublicKey, bool) -> NodeList,
    ) -> Result<Disposition, DropReason> {
        let from = frame.from;
        let (packet, path) = frame.bytes_mut().split_last_chunk_mut::<RETURN_3>().ok_or(DropReason::Malformed)?;
        let path = *path;
        let AnnounceHeader { nonce, sender } = AnnounceHeader::parse(packet).ok_or(DropReason::Malformed)?;
        let boxed = &mut packet[REQUEST_BOX_AT..];
        cx.admit_box(Whose::Dht, &sender, from, || standing(&sender, from))?;
        cx.open_for(Need::Theirs, Whose::Dht, &sender, &nonce, boxed)?;
        let (request, extra) = AnnounceRequest::parse(&boxed[MAC_LEN..]).ok_or(DropReason::Malformed)?;
        let mut packed = [0; ANNOUNCES_MAX * ANNOUNCE_LEN_MAX];
        let mut found = Writer::new(&mut packed);
        if E::SERVES && !extra.is_empty() {
            let public = PublicAnnounce::parse(extra).ok_or(DropReason::Malformed)?;
            self.groups.put(cx.now, &public);
            self.groups.answer(cx.now, &public, &mut found);
        }
        let found = found.len();

        let window = cx.now.since(Instant::ZERO).as_secs() / ANNOUNCE_LIFE.as_secs();
        // Groups search for their chat id under another key. They are not stored, and must not be told that they are.
        if request.search == sender && self.knows(window, &sender, frame.from, &request.ping_id) {
            let AnnounceRequest { data_key, .. } = request;
            let new = Announced { key: sender, data_key, path, relay: frame.from, at: cx.now };
            self.store(&cx.me.dht.public, new, cx.stats);
        }
        let ping_id = self.ping_id(window, &sender, frame.from);
        let stored = self.answer(cx.now, &sender, &request, ping_id);
        let nodes = closest(&request.search, frame.from.is_lan());
        let asker = Asker { sender, path, sendback: request.sendback, group };
        asker.respond(cx, frame, stored, &nodes, &packed[..found])
    }

    /// Data for somebody who is announced here: the rest of the packet goes along their path unchanged.
    fn on_data(&self, now: Instant, frame: &mut Frame<'_>) -> Result<Disposition, DropReason> {
        let DataRequestHeader { receiver } = DataRequestHeader::parse(frame.bytes()).ok_or(DropReason::Malformed)?;
        let entry = self.find(now, &receiver).ok_or(DropReason::NoRoute)?;
        let rest = DataRequestHeader::REST_AT..frame.len - RETURN_3;
        let len = PAYLOAD_AT + 1 + rest.len();
        frame.buf.copy_within(rest, PAYLOAD_AT + 1);
        Writer::new(frame.buf).u8(kind::ONION_RESPONSE_3).bytes(&entry.path).u8(kind::ONION_DATA_RESPONSE);
        Ok(Disposition::Reply { to: entry.relay, len })
    }

    /// What the sender learns about the key that it searches.
    fn answer(
        &self,
        now: Instant,
        sender: &PublicKey,
        request: &AnnounceRequest,
        ping_id: [u8; PING_ID_LEN],
    ) -> Stored {
        match self.find(now, &request.search) {
            Some(entry) if entry.key != *sender => Stored::Found { data_key: entry.data_key },
            Some(entry) if entry.data_key == request.data_key => Stored::Announced { ping_id },
            Some(_) | None => Stored::No { ping_id },
        }
    }

    fn find(&self, now: Instant, key: &PublicKey) -> Option<&Announced> {
        self.entries.values().find(|entry| entry.key == *key && !entry.is_over(now))
    }

    /// Puts an announcement in place of the sender's last one, in a free place, or in place of one that is over or
    /// farther from `me`; if all are nearer, it is not stored.
    fn store(&mut self, me: &PublicKey, new: Announced, stats: &mut Stats) {
        let now = new.at;
        if let Some(own) = self.entries.values_mut().find(|entry| entry.key == new.key) {
            *own = new;
            return;
        }
        if self.entries.is_full() {
            let worst = self.entries.values_mut().max_by_key(|entry| (entry.is_over(now), entry.key.distance(me)));
            match worst {
                Some(worst) if worst.is_over(now) => *worst = new,
                Some(worst) if new.key.is_closer(&worst.key, me) => {
                    count(&mut stats.announces_evicted);
                    *worst = new;
                }
                Some(_) | None => count(&mut stats.announces_refused),
            }
            return;
        }
        let inserted = self.entries.insert(new);
        debug_assert!(inserted.is_ok(), "a table that is not full takes an entry");
    }

    fn knows(&self, window: u64, sender: &PublicKey, relay: Endpoint, ping_id: &[u8; PING_ID_LEN]) -> bool {
        [window, window.wrapping_sub(1)].iter().any(|w| ct_eq(&self.ping_id(*w, sender, relay), ping_id))
    }

    fn ping_id(&self, window: u64, sender: &PublicKey, relay: Endpoint) -> [u8; PING_ID_LEN] {
        let mut addr = [0; ONION_ADDR_LEN];
        emit_addr(relay, &mut Writer::new(&mut addr));
        hmac_sha256(self.secret.as_bytes(), &[&window.to_be_bytes(), &sender.0, &addr])
    }
}

impl Announced {
    fn is_over(&self, now: Instant) -> bool {
        now.reached(self.at, ANNOUNCE_LIFE)
    }
}

/// Who gets an announce response, and how.
struct Asker {
    sender: PublicKey,
    path: [u8; RETURN_3],
    sendback: [u8; SENDBACK_LEN],
    group: bool,
}

impl Asker {
    /// Writes the response, at the start of its way back, over the request; `found` are announcements of a group.
    fn respond<E: Env>(
        &self,
        cx: &mut Cx<'_, '_, E>,
        frame: &mut Frame<'_>,
        stored: Stored,
        nodes: &NodeList,
        found: &[u8],
    ) -> Result<Disposition, DropReason> {
        let mut packed = [0; RESPONSE_NODES_MAX * NODE_LEN_MAX];
        let mut w = Writer::new(&mut packed);
        nodes.iter().for_each(|node| node.emit(&mut w));
        let packed_len = w.len();
        let nodes = PackedNodes::parse_udp(&packed[..packed_len], RESPONSE_NODES_MAX).unwrap_or(PackedNodes::EMPTY);

        let header = ResponseHeader { group: self.group, sendback: self.sendback, nonce: cx.nonce() };
        let mut w = Writer::new(frame.buf);
        w.u8(kind::ONION_RESPONSE_3).bytes(&self.path);
        header.emit(&mut w);
        let box_at = w.len();
        w.skip(MAC_LEN);
        AnnounceResponse { stored, nodes }.emit(self.group, &mut w);
        w.bytes(found);
        let len = w.len();
        cx.seal_for(Need::Theirs, Whose::Dht, &self.sender, &header.nonce, &mut frame.buf[box_at..len])?;
        Ok(Disposition::Reply { to: frame.from, len })
    }
}

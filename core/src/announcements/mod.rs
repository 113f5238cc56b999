//! DHT announcements: keeping a little data of others near its key.
//!
//! Whoever knows a key can search it, and gets from us: whether there is data under it, whether we would take some,
//! nodes nearer to it, and an *auth*, which proves that our answers reach the asker. With it they retrieve the data, or
//! store some, for which they need the key's secret half: the request holds a box from it to our DHT key. Requests may
//! come through [forwarders](crate::forwarding); the auth then holds for that way only. Groups of c-toxcore are to use
//! this; today its nodes search random keys to see who can answer (wire-facts 2.2), and call us capable when we do.
//!
//! Nothing is kept for an auth: it is a keyed hash of the key, the asker, its address, the way and the time.

mod store;
#[cfg(test)]
mod tests;

pub(crate) use store::Announcement;

use crate::budget::StandingOf;
use crate::crypto::{MAC_LEN, PublicKey, SharedKey, ct_eq, hmac_sha256, sha256};
use crate::cx::Cx;
use crate::storage::{Need, Slots, Table, Whose};
use crate::time::Instant;
use crate::wire::announcements::{
    AUTH_LEN, NODES_MAX, RetrieveRequest, RetrieveResponse, STORE_BOX_AT, SearchRequest, SearchResponse, StoreRequest,
    StoreResponse, StoreText, Stored,
};
use crate::wire::dht::{BOX_AT, Outer, TEXT_AT};
use crate::wire::{ADDRESS_LEN_MAX, NODE_LEN_MAX, NodeList, PackedNodes, Writer, emit_address, kind};
use crate::{Disposition, DropReason, Endpoint, Env, Frame};
use core::time::Duration;
use rand_core::CryptoRng;
use store::Store;

/// Length of one window of auths (`announce.c`, DATA_SEARCH_TIMEOUT). An auth is good in its window and in the next.
pub(crate) const AUTH_LIFE: Duration = Duration::from_secs(60);
/// Data is kept no longer than this (`announce.h`, MAX_MAX_ANNOUNCEMENT_TIMEOUT).
const SECONDS_MAX: u64 = 900;
/// But may be kept so long by any node (MIN_MAX_ANNOUNCEMENT_TIMEOUT).
const SECONDS_MIN: u64 = 10;
/// And no longer than this part of the time that the node has been up: who has just come may soon be gone.
const UPTIME_PART: u64 = 4;

/// Who asks, and how its request came.
struct Asker<'a> {
    key: PublicKey,
    from: Endpoint,
    /// The sendback of a forwarder; empty without one.
    via: &'a [u8],
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Announcements<'s> {
    store: Store<'s>,
    /// Makes auths.
    secret: SharedKey,
    since: Instant,
}

impl<'s> Announcements<'s> {
    /// Over `entries`; with capacity 0 it answers nobody, so that others do not take us for capable.
    pub(crate) fn new(now: Instant, entries: Slots<'s, Announcement>, rng: &mut impl CryptoRng) -> Self {
        Self { store: Store::new(entries), secret: SharedKey::generate(rng), since: now }
    }

    pub(crate) fn table(&self) -> Table {
        self.store.table()
    }

    /// Serves 0x93, 0x95 and 0x97, directly or forwarded with the sendback `via`. `closest` gives up to four live nodes
    /// near a key, local ones only if its flag is set; `standing` tells what a DHT key at an address is to us.
    pub(crate) fn on_packet<E: Env>(
        &mut self,
        cx: &mut Cx<'_, '_, E>,
        frame: &mut Frame<'_>,
        via: &[u8],
        standing: &StandingOf<'_>,
        closest: impl FnOnce(&PublicKey, bool) -> NodeList,
    ) -> Disposition {
        if self.store.capacity() == 0 {
            return Disposition::Dropped(DropReason::Disabled);
        }
        let handled = Self::open(cx, frame, standing).and_then(|key| {
            let asker = Asker { key, from: frame.from, via };
            match frame.bytes().first() {
                Some(&kind::DATA_SEARCH_REQUEST) => self.on_search(cx, frame, &asker, closest),
                Some(&kind::DATA_RETRIEVE_REQUEST) => self.on_retrieve(cx, frame, &asker),
                Some(&kind::STORE_ANNOUNCE_REQUEST) => self.on_store(cx, frame, &asker, standing),
                // We search nothing.
                Some(_) | None => Err(DropReason::Unsolicited),
            }
        });
        handled.unwrap_or_else(Disposition::Dropped)
    }

    fn on_search<E: Env>(
        &self,
        cx: &mut Cx<'_, '_, E>,
        frame: &mut Frame<'_>,
        asker: &Asker<'_>,
        closest: impl FnOnce(&PublicKey, bool) -> NodeList,
    ) -> Result<Disposition, DropReason> {
        let SearchRequest { key, known, id } =
            SearchRequest::parse(&frame.bytes()[TEXT_AT..]).ok_or(DropReason::Malformed)?;
        let mut packed = [0; NODES_MAX * NODE_LEN_MAX];
        let mut w = Writer::new(&mut packed);
        closest(&key, asker.from.is_lan()).iter().for_each(|node| node.emit(&mut w));
        let len = w.len();
        let response = SearchResponse {
            key,
            found: self.store.find(cx.now, &key).map(|entry| sha256(entry.data())),
            auth: self.auth(window(cx.now), &key, asker),
            accepts: self.store.accepts(cx.now, &cx.me.dht.public, &key),
            nodes: PackedNodes::parse_udp(&packed[..len], NODES_MAX).unwrap_or(PackedNodes::EMPTY),
        };
        respond(cx, frame, asker, kind::DATA_SEARCH_RESPONSE, |text| {
            let mut w = Writer::new(text);
            response.emit(&mut w);
            let mut len = w.len();
            if known.is_some_and(|known| known == sha256(&text[..len])) {
                len = key.0.len();
            }
            Writer::new(&mut text[len..]).u64(id);
            len + size_of::<u64>()
        })
    }

    fn on_retrieve<E: Env>(
        &self,
        cx: &mut Cx<'_, '_, E>,
        frame: &mut Frame<'_>,
        asker: &Asker<'_>,
    ) -> Result<Disposition, DropReason> {
        let RetrieveRequest { key, auth, id } =
            RetrieveRequest::parse(&frame.bytes()[TEXT_AT..]).ok_or(DropReason::Malformed)?;
        self.check(cx.now, &key, asker, &auth)?;
        let data = self.store.find(cx.now, &key).ok_or(DropReason::NoRoute)?.data();
        respond(cx, frame, asker, kind::DATA_RETRIEVE_RESPONSE, |text| {
            let mut w = Writer::new(text);
            RetrieveResponse { key, data, id }.emit(&mut w);
            w.len()
        })
    }

    fn on_store<E: Env>(
        &mut self,
        cx: &mut Cx<'_, '_, E>,
        frame: &mut Frame<'_>,
        asker: &Asker<'_>,
        standing: &StandingOf<'_>,
    ) -> Result<Disposition, DropReason> {
        let StoreRequest { key, nonce, boxed, id } =
            StoreRequest::parse(&frame.bytes()[TEXT_AT..]).ok_or(DropReason::Malformed)?;
        let box_at = TEXT_AT + STORE_BOX_AT;
        let boxed = box_at..box_at + boxed.len();
        cx.admit_box(Whose::Dht, &key, asker.from, || standing(&asker.key, asker.from))?;
        cx.open_for(Need::Theirs, Whose::Dht, &key, &nonce, &mut frame.buf[boxed.clone()])?;
        let text = StoreText::parse(&frame.buf[box_at + MAC_LEN..boxed.end]).ok_or(DropReason::Malformed)?;
        self.check(cx.now, &key, asker, &text.auth)?;

        let seconds = self.seconds(cx.now, text.seconds);
        let until = cx.now + Duration::from_secs(seconds.into());
        match text.what {
            Stored::Data(data) => {
                if !self.store.put(cx.now, &cx.me.dht.public, key, until, data) {
                    return Err(DropReason::NoRoom);
                }
            }
            Stored::Same(hash) => {
                let same = self.store.find(cx.now, &key).map(|entry| sha256(entry.data()) == hash);
                match same {
                    Some(true) => self.store.renew(&key, until),
                    // Its owner wants something else to be there.
                    Some(false) => {
                        self.store.renew(&key, cx.now);
                        return Err(DropReason::NoRoute);
                    }
                    None => return Err(DropReason::NoRoute),
                }
            }
        }
        let response = StoreResponse { key, seconds, unix: cx.unix.0, id };
        respond(cx, frame, asker, kind::STORE_ANNOUNCE_RESPONSE, |text| {
            let mut w = Writer::new(text);
            response.emit(&mut w);
            w.len()
        })
    }

    /// Opens the box in place; its plaintext then stands at [`TEXT_AT`]. Gives the asker's key.
    fn open<E: Env>(
        cx: &mut Cx<'_, '_, E>,
        frame: &mut Frame<'_>,
        standing: &StandingOf<'_>,
    ) -> Result<PublicKey, DropReason> {
        let outer = Outer::parse(frame.bytes()).ok_or(DropReason::Malformed)?;
        let (key, nonce) = (outer.sender, outer.nonce);
        if key == cx.me.dht.public {
            return Err(DropReason::OwnPacket);
        }
        if !frame.from.is_usable() {
            return Err(DropReason::BadAddress);
        }
        cx.admit_box(Whose::Dht, &key, frame.from, || standing(&key, frame.from))?;
        cx.open_for(Need::Theirs, Whose::Dht, &key, &nonce, &mut frame.bytes_mut()[BOX_AT..])?;
        Ok(key)
    }

    /// For how long we keep what is to be kept so long.
    fn seconds(&self, now: Instant, wanted: u32) -> u32 {
        let up = now.since(self.since).as_secs() / UPTIME_PART;
        wanted.min(up.clamp(SECONDS_MIN, SECONDS_MAX) as u32)
    }

    fn check(&self, now: Instant, key: &PublicKey, asker: &Asker<'_>, auth: &[u8]) -> Result<(), DropReason> {
        let window = window(now);
        let good = [window, window.wrapping_sub(1)].iter().any(|window| ct_eq(&self.auth(*window, key, asker), auth));
        if good { Ok(()) } else { Err(DropReason::BadToken) }
    }

    fn auth(&self, window: u64, key: &PublicKey, asker: &Asker<'_>) -> [u8; AUTH_LEN] {
        let mut addr = [0; ADDRESS_LEN_MAX];
        emit_address(asker.from, &mut Writer::new(&mut addr));
        let parts: [&[u8]; 5] = [&window.to_be_bytes(), &key.0, &asker.key.0, &addr, asker.via];
        hmac_sha256(self.secret.as_bytes(), &parts)
    }
}

fn window(now: Instant) -> u64 {
    now.since(Instant::ZERO).as_secs() / AUTH_LIFE.as_secs()
}

/// Writes a response over the request: `text` writes what is in its box and tells the length.
fn respond<E: Env>(
    cx: &mut Cx<'_, '_, E>,
    frame: &mut Frame<'_>,
    asker: &Asker<'_>,
    kind: u8,
    text: impl FnOnce(&mut [u8]) -> usize,
) -> Result<Disposition, DropReason> {
    let nonce = cx.nonce();
    let len = TEXT_AT + text(&mut frame.buf[TEXT_AT..]);
    Outer::emit_header(&mut Writer::new(frame.buf), kind, &cx.me.dht.public, &nonce);
    cx.seal_for(Need::Theirs, Whose::Dht, &asker.key, &nonce, &mut frame.buf[BOX_AT..len])?;
    Ok(Disposition::Reply { to: frame.from, len })
}

//! The DHT: who is near.
//!
//! Each node has a DHT key; the distance of two keys is their XOR. The *close list* remembers nodes that have answered
//! us, many near our own key and some far away. A *search* holds the eight nodes closest to one key: a friend's, our
//! own, or one of two random keys that keep nodes of the whole network at hand. Who knows a node near a key is asked
//! with a nodes request; the nodes that it names become *candidates*, and those that answer enter the lists. Nobody
//! else does: to be listed, a node must have answered from its address. Newcomers who ask us something are answered at
//! once and pinged, at a limited rate. *Bootstrap nodes* are the way in.
//!
//! Source: `DHT.c`, `ping.c`, wire-facts 2.2. Request ids are stateless, and one entry of a list is one address.

mod bootstrap;
mod candidates;
mod closelist;
mod entry;
mod punch;
mod request_id;
mod search;
mod send;
mod service;
#[cfg(test)]
mod tests;

pub(crate) use candidates::Candidate;
pub(crate) use entry::NodeEntry;
pub(crate) use punch::Punch;
pub(crate) use search::Search;
pub(crate) use send::emit_dht_request;

use crate::budget::Standing;
use crate::crypto::PublicKey;
use crate::cx::{Cx, Env};
use crate::limit::Tokens;
use crate::storage::{Full, Id, Mem, Slots, Table};
use crate::time::{Deadline, Instant, Why};
use crate::wire::dht::MOTD_LEN_MAX;
use crate::wire::{NodeInfo, NodeList};
use crate::{DropReason, Endpoint};
use bootstrap::Bootstraps;
use candidates::{Candidates, Packet};
use closelist::CloseList;
use core::ops::Range;
use core::time::Duration;
use entry::{BAD_AFTER, RENAMED_AFTER, insert_closest};
use punch::{Punches, Seen};
use rand_core::Rng;
use request_id::RequestIds;
use search::Goal;

/// Newcomers, and candidates for the close list only, get one packet in this time (toxcore: 32 in 2 s).
const NEWCOMER_EVERY: Duration = Duration::from_micros(62_500);
/// And this many at once.
const NEWCOMER_BURST: u32 = 32;
/// Nodes that others named, or that are hinted at, get one packet in this time on average: liars can name whom they
/// like, and each name costs a key agreement.
const NAMED_EVERY: Duration = Duration::from_millis(10);
/// And this many at once: enough for every search of many friends to start at full speed.
const NAMED_BURST: u32 = 128;
/// Bootstrap info is answered once in this time: the request proves no address.
const INFO_EVERY: Duration = Duration::from_millis(50);
/// And this many at once.
const INFO_BURST: u32 = 64;
/// So many nodes at different addresses must agree on ours.
const OWN_VOICES: usize = 2;

/// Handle of a search.
pub(crate) type SearchId = Id<Search>;

/// What the DHT has to tell the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DhtNote {
    /// A node answered a ping or nodes request of ours.
    Alive(NodeInfo),
    /// A node asked us something and is to be asked back.
    Greeted,
    /// A DHT request for us.
    Request {
        /// DHT public key of the one who made it.
        sender: PublicKey,
        /// What it is: 156 is a DHT key announce. (NAT pings stay here.)
        request: u8,
        /// Its plaintext in the frame's buffer.
        data: Range<usize>,
    },
}

/// What a bootstrap node tells everybody who asks (packet 0xf0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootstrapInfo<'s> {
    /// Version of the node's software.
    pub version: u32,
    /// Message of the day, 256 bytes at most.
    pub motd: &'s [u8],
}

/// Our address, as the nodes that we ask see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnAddress {
    /// The address, with the port that was seen last.
    pub at: Endpoint,
    /// All see the same port. If not, an address translator gives us another one for each whom we talk to.
    pub same_for_all: bool,
}

/// A message of the day that changes while the node runs, in lent memory.
#[derive(Debug)]
struct Motd<'s> {
    buf: &'s mut [u8; MOTD_LEN_MAX],
    len: usize,
}

/// The DHT machine.
#[derive(Debug)]
pub(crate) struct Dht<'s> {
    close: CloseList<'s>,
    searches: Slots<'s, Search>,
    candidates: Candidates<'s>,
    punches: Punches<'s>,
    /// Where others see us.
    own: Seen,
    bootstraps: Bootstraps,
    info: Option<BootstrapInfo<'s>>,
    /// Takes the place of the message in `info`.
    motd: Option<Motd<'s>>,
    ids: RequestIds,
    newcomer_tokens: Tokens,
    named_tokens: Tokens,
    info_tokens: Tokens,
    /// Our DHT key, known from [`Dht::start`] on.
    me: PublicKey,
    /// The last answer is bad news from here on.
    connected_until: Instant,
}

impl<'s> Dht<'s> {
    /// A machine over lent tables; `seed` is secret. Three of the searches are its own. Beside the table of punches
    /// stands whether to punch.
    pub(crate) fn new(
        close: Mem<'s, NodeEntry>,
        searches: Slots<'s, Search>,
        candidates: Mem<'s, Candidate>,
        punches: (Mem<'s, Punch>, bool),
        info: Option<BootstrapInfo<'s>>,
        seed: [u8; 16],
    ) -> Self {
        Self {
            close: CloseList::new(close),
            searches,
            candidates: Candidates::new(candidates),
            punches: Punches::new(punches.0, punches.1),
            own: Seen::NOTHING,
            bootstraps: Bootstraps::new(),
            info,
            motd: None,
            ids: RequestIds::new(seed),
            newcomer_tokens: Tokens::new(NEWCOMER_EVERY, NEWCOMER_BURST),
            named_tokens: Tokens::new(NAMED_EVERY, NAMED_BURST),
            info_tokens: Tokens::new(INFO_EVERY, INFO_BURST),
            me: PublicKey::ZERO,
            connected_until: Instant::ZERO,
        }
    }

    /// Starts the searches for our own key and for two random ones, as far as the table has room. Comes before all
    /// else.
    pub(crate) fn start<E: Env>(&mut self, cx: &mut Cx<'_, 's, E>) {
        self.me = cx.me.dht.public;
        self.close.set_me(self.me);
        self.candidates.set_me(self.me);
        // Whom others name, and who asks us, makes us compute as well: that must fit a slow machine.
        let every = cx.budget.every();
        self.named_tokens = Tokens::new(NAMED_EVERY.max(every), NAMED_BURST.min(2 * cx.budget.burst()));
        self.newcomer_tokens = Tokens::new(NEWCOMER_EVERY.max(2 * every), NEWCOMER_BURST.min(cx.budget.burst()));
        // Without room for them the close list alone must do.
        let _ = self.searches.insert(Search::new(self.me, Goal::Own, cx.now));
        for _ in 0..2 {
            let mut key = PublicKey::ZERO;
            cx.rng.fill_bytes(&mut key.0);
            let _ = self.searches.insert(Search::new(key, Goal::Random, cx.now));
        }
    }

    /// Lends memory to a message of the day that can change; it starts as the one given at construction.
    pub(crate) fn lend_motd(&mut self, buf: &'s mut [u8; MOTD_LEN_MAX]) {
        self.motd = Some(Motd { buf, len: 0 });
        if let Some(info) = self.info {
            self.set_motd(info.motd);
        }
    }

    /// Changes the message of the day, cut where it is too long; false without memory for it.
    pub(crate) fn set_motd(&mut self, text: &[u8]) -> bool {
        let Some(motd) = &mut self.motd else { return false };
        motd.len = text.len().min(MOTD_LEN_MAX);
        motd.buf[..motd.len].copy_from_slice(&text[..motd.len]);
        true
    }

    /// Adds a bootstrap node, which is asked for our own key at once, and again until it answers.
    pub(crate) fn bootstrap(&mut self, now: Instant, node: NodeInfo) {
        if node.key != self.me && node.at.is_usable() {
            self.bootstraps.add(now, node);
        }
    }

    /// A hint: `node` may know `target`. It gets a nodes request, unless it got one lately.
    pub(crate) fn ask(&mut self, now: Instant, node: NodeInfo, target: PublicKey) {
        self.candidates.offer(now, node, target, Packet::Nodes, true);
    }

    /// A node of the local network says that it is there. It gets a nodes request, unless we know it.
    ///
    /// # Errors
    /// [`DropReason::OwnPacket`] when it is ourselves.
    pub(crate) fn called(&mut self, now: Instant, node: NodeInfo) -> Result<(), DropReason> {
        if node.key == self.me {
            return Err(DropReason::OwnPacket);
        }
        // Whoever is known is not asked again because it calls at another of its addresses.
        let close = self.close.get(&node.key).filter(|known| known.is_live(now));
        let target = self.searches.values().find(|search| search.key == node.key).and_then(Search::target);
        if close.is_none() && target.is_none_or(|target| !target.is_live(now)) {
            self.meet(now, &node, Packet::Nodes);
        }
        Ok(())
    }

    /// Searches for the node with `key`. Each call is a search of its own.
    ///
    /// # Errors
    /// [`Full`] when the table is.
    pub(crate) fn search(&mut self, now: Instant, key: PublicKey) -> Result<SearchId, Full> {
        if self.searches.is_full() {
            return Err(Full);
        }
        let mut search = Search::new(key, Goal::Friend, now);
        let known = self.close.entries_live(now);
        known.for_each(|entry| search.hear_entry(entry, now, None));
        let known = self.searches.values().flat_map(|other| other.live(now));
        known.for_each(|entry| search.hear_entry(entry, now, None));
        self.searches.insert(search)
    }

    /// The search for a friend with that DHT key.
    fn search_of_friend(&self, key: &PublicKey) -> Option<SearchId> {
        let is_it = |search: &Search| search.key == *key && search.goal() == Goal::Friend;
        self.searches.iter().find(|(_, search)| is_it(search)).map(|(id, _)| id)
    }

    /// Ends a search.
    pub(crate) fn stop_search(&mut self, id: SearchId) {
        self.searches.remove(id);
        self.punches.forget(id);
    }

    /// Makes a search as hot as a new one: there is news of its key.
    pub(crate) fn reheat(&mut self, now: Instant, id: SearchId) {
        if let Some(search) = self.searches.get_mut(id) {
            search.reheat(now);
            self.candidates.start_over(&search.key);
        }
    }

    /// Where the node with exactly the searched key is, when it has answered us lately.
    pub(crate) fn found(&self, now: Instant, id: SearchId) -> Option<Endpoint> {
        self.searches.get(id)?.target().filter(|target| target.is_live(now)).map(|target| target.at)
    }

    /// The `nth` live node near the searched key, other than the node with that key: DHT requests to it go through
    /// them.
    pub(crate) fn route(&self, now: Instant, id: SearchId, nth: usize) -> Option<NodeInfo> {
        let search = self.searches.get(id)?;
        search.live(now).filter(|entry| entry.key != search.key).nth(nth).map(NodeEntry::info)
    }

    /// Up to four live nodes closest to `target`, in order of distance; LAN addresses only with `lan_ok`.
    pub(crate) fn closest(&self, now: Instant, target: &PublicKey, lan_ok: bool) -> NodeList {
        let mut list = NodeList::new();
        self.close.closest(now, target, lan_ok, &mut list);
        for entry in self.searches.values().flat_map(|search| search.live(now)) {
            if lan_ok || !entry.at.is_lan() {
                insert_closest(&mut list, target, entry.info());
            }
        }
        list
    }

    /// Where the node with `key` of the close list is.
    pub(crate) fn listed(&self, key: &PublicKey) -> Option<Endpoint> {
        self.close.get(key).map(|entry| entry.at)
    }

    /// The live nodes of the close list.
    pub(crate) fn nodes(&self, now: Instant) -> impl Iterator<Item = NodeInfo> + Clone {
        self.close.entries_live(now).map(NodeEntry::info)
    }

    /// What the node with `key` at `at` is to us: known when its key is in a list (it has answered, was asked, or is
    /// searched), a neighbour when only its address does.
    pub(crate) fn standing(&self, key: &PublicKey, at: Endpoint) -> Standing {
        let listed = self.close.entries().chain(self.searches.values().flat_map(Search::entries)).map(NodeEntry::info);
        let asked = self.candidates.nodes().chain(self.bootstraps.nodes());
        let mut near = false;
        for node in listed.chain(asked) {
            if node.key == *key {
                return Standing::Known;
            }
            near |= node.at.ip() == at.ip();
        }
        if self.searches.values().any(|search| search.key == *key) {
            return Standing::Known;
        }
        if near { Standing::Near } else { Standing::Stranger }
    }

    /// Where others see us, of either family.
    pub(crate) fn own_address(&self, now: Instant, is_v4: bool) -> Option<OwnAddress> {
        let agreed = self.own.agreed(now, OWN_VOICES, Some(is_v4))?;
        let port = *agreed.ports.first()?;
        Some(OwnAddress { at: Endpoint::new(agreed.ip, port), same_for_all: agreed.ports.len() == 1 })
    }

    /// We may have another address, or have slept: everybody known is asked anew, and what others said of our address
    /// and of friends' is forgotten.
    pub(crate) fn start_over(&mut self, now: Instant) {
        self.own = Seen::NOTHING;
        self.punches.clear();
        self.bootstraps.rearm(now);
        self.close.ask_all(now);
        self.candidates.start_all_over();
        self.searches.values_mut().for_each(|search| search.reheat(now));
    }

    /// Its tables.
    pub(crate) fn tables(&self) -> [Table; 4] {
        let (used, capacity) = self.close.occupancy();
        let close = Table { name: "close list", used, capacity };
        [close, Table::of_slots("searches", &self.searches), self.candidates.table(), self.punches.table()]
    }

    /// Whether somebody has answered us within 122 s.
    pub(crate) fn is_connected(&self, now: Instant) -> bool {
        now < self.connected_until
    }

    /// Timers without a packet: starts over with the bootstrap nodes when nobody has answered for too long.
    pub(crate) fn on_timeout<E: Env>(&mut self, cx: &mut Cx<'_, 's, E>) {
        if !self.is_connected(cx.now) {
            self.bootstraps.rearm(cx.now);
        }
    }

    /// The earliest time at which [`Self::on_timeout`] or [`Self::encode_next`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Deadline> {
        let lost = self.bootstraps.any_parked().then_some(self.connected_until);
        let waiting = self.candidates.has_waiting().then(|| self.newcomer_tokens.ready_at());
        let urgent = self.candidates.urgent_since().map(|at| at.max(self.named_tokens.ready_at()));
        let searches = self.searches.values().map(Search::due).min();
        [
            (self.bootstraps.due(), Why::Bootstrap),
            (lost, Why::Bootstrap),
            (urgent, Why::DhtSearch),
            (self.candidates.repeats_at(), Why::DhtSearch),
            (waiting, Why::DhtPingAdd),
            (searches, Why::DhtSearch),
            (self.punches.deadline(), Why::HolePunch),
            (Some(self.close.due()), Why::DhtPing),
        ]
        .into_iter()
        .filter_map(|(at, why)| at.filter(|at| *at != Instant::FAR).map(|at| Deadline { at, why }))
        .min_by_key(|deadline| deadline.at)
    }

    /// A node answered a request of ours.
    fn hear(&mut self, now: Instant, node: &NodeInfo) {
        self.connected_until = now + BAD_AFTER;
        self.bootstraps.answered(now, node);
        let asked = self.candidates.answered(&node.key);
        self.close.hear(node, now);
        for (id, search) in self.searches.iter_mut() {
            let asked_key = asked.filter(|(target, _)| *target == search.key).map(|(_, at)| at);
            search.hear(node, now, asked_key);
            if search.key == node.key {
                self.punches.forget(id);
            }
        }
    }

    /// A node at `by`, which answered us, named `node`.
    fn consider(&mut self, now: Instant, node: &NodeInfo, by: Endpoint) {
        if node.key == self.me {
            self.own.say(now, by, node.at);
            return;
        }
        let wants = |search: &&Search| search.wants(node, now);
        let exact = self.searches.iter().find(|(_, search)| search.key == node.key);
        if let Some((id, search)) = exact.filter(|(_, search)| search.goal() == Goal::Friend)
            && search.is_missing(now)
        {
            self.punches.named(now, id, by, node.at);
        }
        let exact = exact.map(|(_, search)| search);
        if let Some(search) = exact.filter(wants) {
            self.candidates.offer(now, *node, search.key, Packet::Nodes, true);
        } else if self.is_taken(now, node) {
            // Whoever is there has a name already.
        } else if let Some(search) = self.searches.values().find(wants) {
            self.candidates.offer(now, *node, search.key, Packet::Nodes, true);
        } else if self.close.wants(node, now) {
            self.candidates.offer(now, *node, self.me, Packet::Nodes, false);
        }
    }

    /// Whether somebody with another key answered from the address of `node` just now. Many names of one address would
    /// push each other out of the lists, and be asked again and again.
    fn is_taken(&self, now: Instant, node: &NodeInfo) -> bool {
        let same = |entry: &NodeEntry| entry.at == node.at && entry.key != node.key;
        let mut all = self.searches.values().flat_map(|search| search.live(now)).chain(self.close.entries_live(now));
        all.any(|entry| same(entry) && !now.reached(entry.heard, RENAMED_AFTER))
    }

    /// A node that may be new to us, or new at its address, asked us something.
    fn greet(&mut self, now: Instant, node: &NodeInfo) -> Option<DhtNote> {
        self.meet(now, node, Packet::Ping)
    }

    /// A node that may be new is there: it gets a packet, at a limited rate.
    fn meet(&mut self, now: Instant, node: &NodeInfo, packet: Packet) -> Option<DhtNote> {
        let exact = self.searches.values().find(|search| search.key == node.key);
        let moved = |entry: &NodeEntry| entry.would_move(node.at);
        if let Some(search) = exact {
            if search.wants(node, now) || search.target().is_some_and(moved) {
                self.candidates.offer(now, *node, search.key, packet, true);
                return Some(DhtNote::Greeted);
            }
        } else if self.close.wants(node, now)
            || self.close.get(&node.key).is_some_and(moved)
            || self.searches.values().any(|search| search.wants(node, now))
        {
            self.candidates.offer(now, *node, self.me, packet, false);
            return Some(DhtNote::Greeted);
        }
        None
    }
}

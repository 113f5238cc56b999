//! A small network in virtual time: relays that also hold announcements, and clients.

use super::*;
use crate::cx::test_env::Bench;
use crate::onion::announce::{AnnounceStore, Announced};
use crate::onion::relay::OnionRelay;
use crate::storage::{Slot, Slots};
use crate::wire::{NodeList, kind};
use crate::{DATAGRAM_MAX, Disposition, DropReason, Endpoint, Frame};
use rand_core::{Rng, SeedableRng};
use std::boxed::Box;
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

/// A relay and announce node.
pub(super) struct Server {
    pub(super) bench: Bench,
    relay: OnionRelay,
    store: AnnounceStore<'static>,
    pub(super) at: Endpoint,
    pub(super) up: bool,
    /// Addresses that announce requests came from.
    pub(super) last_hops: Vec<Endpoint>,
}

/// A client under test, with what it received and sent.
pub(super) struct Client {
    pub(super) bench: Bench,
    pub(super) onion: OnionClient<'static>,
    pub(super) at: Endpoint,
    pub(super) up: bool,
    /// When, from whom, first byte.
    pub(super) inbox: Vec<(Instant, PublicKey, u8)>,
    /// When something went out.
    pub(super) sent: Vec<Instant>,
    pub(super) drops: Vec<DropReason>,
    busy: usize,
}

/// How often the DHT hears a node.
const DHT_INTERVAL: Duration = Duration::from_secs(45);

/// How many entries the tables of a client have.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) path_nodes: usize,
    pub(super) paths: usize,
    pub(super) friends: usize,
    pub(super) self_nodes: usize,
    pub(super) pending: usize,
}

pub(super) const DESKTOP: Sizes = Sizes { path_nodes: 32, paths: 12, friends: 12, self_nodes: 12, pending: 64 };
pub(super) const TINY: Sizes = Sizes { path_nodes: 1, paths: 2, friends: 1, self_nodes: 1, pending: 4 };

impl Sizes {
    pub(super) fn tables(self) -> OnionTables<'static> {
        OnionTables {
            path_nodes: leak(self.path_nodes, || PathNode::VACANT),
            paths: leak(self.paths, || Path::VACANT),
            friends: leak(self.friends, || OnionFriend::VACANT),
            self_nodes: leak(self.self_nodes, || SelfNode::VACANT),
            pending: leak(self.pending, || Pending::VACANT),
        }
    }
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) servers: Vec<Server>,
    pub(super) clients: Vec<Client>,
    queue: BTreeMap<(Instant, u64), (Endpoint, Endpoint, Vec<u8>)>,
    count: u64,
    rng: chacha20::ChaCha12Rng,
    refresh_at: Instant,
    /// One datagram of so many is lost, at random; 0 for none.
    pub(super) drop_every: u64,
    pub(super) latency_max_ms: u64,
    /// What travelled last towards a client, for replays.
    pub(super) last_to_client: Option<(Endpoint, Vec<u8>)>,
}

pub(super) fn leak<T>(count: usize, make: impl Fn() -> T) -> Mem<'static, T> {
    Mem::Borrowed(Box::leak((0..count).map(|_| make()).collect::<Vec<_>>().into_boxed_slice()))
}

impl World {
    pub(super) fn new(seed: u8, servers: u8) -> Self {
        let servers = (1..=servers).map(|n| Server::new(n, Endpoint::v4([127, 0, 1, n], 33445))).collect();
        Self {
            now: Instant::from_secs(1000),
            servers,
            clients: Vec::new(),
            queue: BTreeMap::new(),
            count: 0,
            rng: chacha20::ChaCha12Rng::from_seed([seed; 32]),
            refresh_at: Instant::from_secs(1000) + DHT_INTERVAL,
            drop_every: 0,
            latency_max_ms: 30,
            last_to_client: None,
        }
    }

    /// A client whose DHT answers after 20 ms, with all servers.
    pub(super) fn client(&mut self, sizes: Sizes) -> usize {
        let n = self.clients.len() as u8;
        let client = Client::new(self.rng.next_u32() as u8, Endpoint::v4([127, 0, 0, 2 + n], 33445), sizes);
        self.clients.push(client);
        self.run_ms(20);
        for server in 0..self.servers.len() {
            self.introduce(self.clients.len() - 1, server);
        }
        self.clients.len() - 1
    }

    /// The client's DHT hears that server.
    pub(super) fn introduce(&mut self, client: usize, server: usize) {
        let node = self.servers[server].info();
        let now = self.now;
        self.with(client, |client| client.onion.add_node(now, node));
    }

    /// Does something with a client and lets it send what follows.
    pub(super) fn with<R>(&mut self, client: usize, act: impl FnOnce(&mut Client) -> R) -> R {
        self.clients[client].bench.now = self.now;
        let result = act(&mut self.clients[client]);
        self.drain(client);
        result
    }

    pub(super) fn befriend(&mut self, client: usize, index: usize, other: usize) {
        let (now, key) = (self.now, self.clients[other].key());
        self.with(client, |client| client.onion.add_friend(now, index, key));
    }

    /// The client dies and comes back with new keys, except for its long-term key.
    pub(super) fn restart(&mut self, client: usize, sizes: Sizes) {
        let old = &self.clients[client];
        let secret = old.bench.me.long_term.secret.clone();
        let mut new = Client::new(self.rng.next_u32() as u8, old.at, sizes);
        new.bench.me.long_term = KeyPair::new(&crate::crypto::Nacl, secret);
        self.clients[client] = new;
        self.queue.retain(|_, (_, to, _)| *to != self.clients[client].at);
        for server in 0..self.servers.len() {
            self.introduce(client, server);
        }
    }

    pub(super) fn run_ms(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        self.run_until(end, |_| false);
    }

    /// The DHT hears all living servers again.
    fn refresh(&mut self) {
        self.refresh_at = self.now + DHT_INTERVAL;
        for client in (0..self.clients.len()).filter(|client| self.clients[*client].up).collect::<Vec<_>>() {
            for server in 0..self.servers.len() {
                if self.servers[server].up {
                    self.introduce(client, server);
                }
            }
        }
    }

    /// Runs until the condition holds, at most for `limit` ms; tells how long it took, in ms.
    pub(super) fn time_until(&mut self, limit: u64, holds: impl Fn(&Self) -> bool) -> Option<u64> {
        let start = self.now;
        self.run_until(start + Duration::from_millis(limit), &holds);
        holds(self).then(|| self.now.since(start).as_millis() as u64)
    }

    pub(super) fn connect(&mut self, client: usize, limit: u64) -> Option<u64> {
        self.time_until(limit, |world| world.clients[client].onion.is_connected(world.now))
    }

    /// When the client first got data with this first byte from that other client.
    pub(super) fn time_of_mail(&mut self, limit: u64, client: usize, from: usize, byte: u8) -> Option<u64> {
        let (key, already) = (self.clients[from].key(), self.clients[client].inbox.len());
        let is_it = move |(_, sender, first): &(Instant, PublicKey, u8)| *sender == key && *first == byte;
        self.time_until(limit, move |world| world.clients[client].inbox[already..].iter().any(is_it))
    }

    fn run_until(&mut self, end: Instant, stop: impl Fn(&Self) -> bool) {
        while !stop(self) {
            if self.refresh_at <= self.now {
                self.refresh();
            }
            let timers = self.clients.iter().filter(|client| client.up).filter_map(|client| client.onion.deadline());
            let timer = timers.map(|deadline| deadline.at.max(self.now)).min().unwrap_or(Instant::FAR);
            let packet = self.queue.first_key_value().map_or(Instant::FAR, |((at, _), _)| *at);
            let timer = timer.min(self.refresh_at);
            if timer.min(packet) > end {
                self.now = end;
                return;
            }
            if packet <= timer {
                self.now = packet;
                self.deliver();
            } else {
                self.now = timer;
                self.ring();
            }
        }
    }

    fn ring(&mut self) {
        for client in 0..self.clients.len() {
            let due = self.clients[client].onion.deadline().is_some_and(|deadline| deadline.at <= self.now);
            if due && self.clients[client].up {
                self.with(client, |client| client.onion.on_timeout(&mut client.bench.cx()));
                let client = &mut self.clients[client];
                let stuck = client.onion.deadline().filter(|deadline| deadline.at <= self.now);
                client.busy = if stuck.is_some() { client.busy + 1 } else { 0 };
                assert!(client.busy < 3, "busy loop: {stuck:?} at {:?}", self.now);
            }
        }
    }

    fn deliver(&mut self) {
        let Some((_, (from, to, bytes))) = self.queue.pop_first() else { return };
        let mut buf = Box::new([0; DATAGRAM_MAX]);
        buf[..bytes.len()].copy_from_slice(&bytes);
        let mut frame = Frame::new(&mut buf, bytes.len(), from);
        if let Some(server) = self.servers.iter().position(|server| server.at == to && server.up) {
            let infos: Vec<_> = self.servers.iter().filter(|server| server.up).map(Server::info).collect();
            let server = &mut self.servers[server];
            server.bench.now = self.now;
            if let Disposition::Reply { to, len } = server.handle(&mut frame, &infos) {
                let (from, bytes) = (server.at, frame.buf[..len].to_vec());
                self.send(from, to, bytes);
            }
        } else if let Some(client) = self.clients.iter().position(|client| client.at == to && client.up) {
            self.last_to_client = Some((from, bytes));
            let _ = self.with(client, |client| client.handle(&mut frame));
        }
    }

    /// Hands a datagram to a client at once.
    pub(super) fn inject(&mut self, client: usize, from: Endpoint, bytes: &[u8]) -> Disposition {
        let mut buf = Box::new([0; DATAGRAM_MAX]);
        buf[..bytes.len()].copy_from_slice(bytes);
        let mut frame = Frame::new(&mut buf, bytes.len(), from);
        self.with(client, |client| client.handle(&mut frame))
    }

    fn drain(&mut self, client: usize) {
        let mut buf = [0; DATAGRAM_MAX];
        loop {
            let it = &mut self.clients[client];
            let mut content = |_: &Blocks<'_>, index: usize, what: OnionSend, room: &mut [u8]| {
                assert_eq!(room.len(), crate::wire::onion::DATA_MAX);
                room[0] = match what {
                    OnionSend::FriendRequest => 0x20,
                    OnionSend::DhtKey => 0x9c,
                };
                room[1] = index as u8;
                41
            };
            let Some((to, len)) = it.onion.encode_next(&mut it.bench.cx(), &mut content, &mut buf) else { return };
            it.sent.push(self.now);
            let from = it.at;
            self.send(from, to, buf[..len].to_vec());
        }
    }

    fn send(&mut self, from: Endpoint, to: Endpoint, bytes: Vec<u8>) {
        assert!(bytes.len() <= 1400);
        self.count += 1;
        if self.drop_every > 0 && self.rng.next_u64().is_multiple_of(self.drop_every) {
            return;
        }
        let latency = self.rng.next_u64() % (self.latency_max_ms * 1000 + 1);
        let at = self.now + Duration::from_micros(latency);
        self.queue.insert((at, self.count), (from, to, bytes));
    }
}

impl Server {
    fn new(n: u8, at: Endpoint) -> Self {
        let mut bench = Bench::new(n);
        let entries = Box::leak((0..160).map(|_| Slot::<Announced>::VACANT).collect::<Vec<_>>().into_boxed_slice());
        let relay = OnionRelay::new(&mut bench.rng);
        let store = AnnounceStore::new(Slots::new(entries), &mut bench.rng);
        Self { bench, relay, store, at, up: true, last_hops: vec![] }
    }

    pub(super) fn info(&self) -> NodeInfo {
        NodeInfo { key: self.bench.me.dht.public, at: self.at }
    }

    fn handle(&mut self, frame: &mut Frame<'_>, known: &[NodeInfo]) -> Disposition {
        match frame.buf[0] {
            kind::ANNOUNCE_REQUEST | kind::ONION_DATA_REQUEST => {
                if frame.buf[0] == kind::ANNOUNCE_REQUEST {
                    self.last_hops.push(frame.from);
                }
                let me = self.info();
                self.store.on_packet(&mut self.bench.cx(), frame, |target, _| {
                    let mut near: Vec<_> = known.iter().filter(|node| node.key != me.key).collect();
                    near.sort_by_key(|node| node.key.distance(target));
                    near.into_iter().take(4).copied().collect::<NodeList>()
                })
            }
            _ => self.relay.on_packet(&mut self.bench.cx(), frame),
        }
    }
}

impl Client {
    fn new(seed: u8, at: Endpoint, sizes: Sizes) -> Self {
        let onion = OnionClient::new(sizes.tables());
        let bench = Bench::new(seed | 0x80);
        Self { bench, onion, at, up: true, inbox: vec![], sent: vec![], drops: vec![], busy: 0 }
    }

    pub(super) fn key(&self) -> PublicKey {
        self.bench.me.long_term.public
    }

    fn handle(&mut self, frame: &mut Frame<'_>) -> Disposition {
        let (disposition, note) = self.onion.on_packet(&mut self.bench.cx(), frame);
        if let Some(OnionNote::Data { from, data }) = note {
            self.inbox.push((self.bench.now, from, frame.buf[data.start]));
        }
        if let Disposition::Dropped(reason) = disposition {
            self.drops.push(reason);
        }
        disposition
    }

    /// Datagrams sent in the last `secs` before `now`.
    pub(super) fn sent_in(&self, now: Instant, secs: u64) -> usize {
        self.sent.iter().filter(|at| now.since(**at) < Duration::from_secs(secs)).count()
    }
}

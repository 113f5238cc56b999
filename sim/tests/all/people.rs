//! Networks of people and servers, and a log of all that is sent in them.

use bluering_core::crypto::PublicKey;
use bluering_core::time::Instant;
use bluering_core::{Connection, Endpoint, Event, Limits};
use bluering_sim::crypto::Strength;
use bluering_sim::net::{Jitter, LinkSpec, Loss};
use bluering_sim::observe::{Observation, Tap};
use bluering_sim::plan::{CLIENT, SERVER};
use bluering_sim::{HostId, Ppm, World};
use core::time::Duration;
use std::collections::BTreeMap;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// A datagram that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) id: u64,
    pub(crate) by: HostId,
    pub(crate) when: Instant,
    pub(crate) to: Endpoint,
    pub(crate) bytes: Vec<u8>,
    pub(crate) answers: Option<u64>,
}

impl Sent {
    pub(crate) fn kind(&self) -> u8 {
        self.bytes[0]
    }
}

/// Writes down what is sent, what reaches nodes, and what applications hear.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) sent: Vec<Sent>,
    /// When, at whom, from where, what.
    pub(crate) came: Vec<(Instant, HostId, Endpoint, Vec<u8>)>,
    /// When and whom a friend request reached.
    pub(crate) requests: Vec<(Instant, HostId)>,
    /// Texts, by who read them.
    pub(crate) read: BTreeMap<HostId, Vec<Vec<u8>>>,
    /// Numbers of the messages that arrived, by who wrote them.
    pub(crate) receipts: BTreeMap<HostId, Vec<u32>>,
    /// How often each host saw a friend come or go.
    pub(crate) changes: BTreeMap<HostId, u32>,
}

impl Tap for Log {
    fn observe(&mut self, at: Instant, seen: &Observation<'_>) {
        if let Observation::Sent { packet, answers } = seen {
            let (by, bytes) = (packet.from, packet.bytes.to_vec());
            self.sent.push(Sent { id: packet.id, by, when: at, to: packet.to, bytes, answers: *answers });
        }
        if let Observation::Handled { host, packet, .. } = seen {
            self.came.push((at, *host, packet.source, packet.bytes.to_vec()));
        }
        let Observation::Heard { host, event, .. } = seen else { return };
        if let Event::FriendRequest { .. } = **event {
            self.requests.push((at, *host));
        } else if let Event::FriendConnection { .. } = **event {
            *self.changes.entry(*host).or_default() += 1;
        } else if let Event::Message { text, .. } = **event {
            self.read.entry(*host).or_default().push(text.to_vec());
        } else if let Event::ReadReceipt { message, .. } = **event {
            self.receipts.entry(*host).or_default().push(message);
        }
    }
}

impl Log {
    /// Datagrams of some kinds that `by` sent by itself, not as answers, since `since`.
    pub(crate) fn asked(&self, by: HostId, since: Instant, kinds: &[u8]) -> usize {
        let is_it = |sent: &&Sent| sent.by == by && sent.when >= since && sent.answers.is_none();
        self.sent.iter().filter(is_it).filter(|sent| kinds.contains(&sent.kind())).count()
    }

    /// The most DHT packets that any host sent by itself to any one address within one second.
    pub(crate) fn busiest_second(&self) -> usize {
        let mut times: BTreeMap<(HostId, String), Vec<Instant>> = BTreeMap::new();
        let own = self.sent.iter().filter(|sent| sent.answers.is_none() && DHT.contains(&sent.kind()));
        own.for_each(|sent| times.entry((sent.by, sent.to.to_string())).or_default().push(sent.when));
        let busiest = |times: &Vec<Instant>| {
            let within = |from: usize| times[from..].iter().take_while(|at| at.since(times[from]) < SECOND).count();
            (0..times.len()).map(within).max().unwrap_or(0)
        };
        times.values().map(busiest).max().unwrap_or(0)
    }

    /// When datagrams of a kind came to `host`.
    pub(crate) fn times(&self, host: HostId, kind: u8) -> Vec<Instant> {
        let is_it = |came: &&(Instant, HostId, Endpoint, Vec<u8>)| came.1 == host && came.3[0] == kind;
        self.came.iter().filter(is_it).map(|came| came.0).collect()
    }
}

/// Ping and nodes requests.
pub(crate) const DHT: &[u8] = &[0, 2];
/// What a client gives to the first hop of a path.
pub(crate) const ONION: &[u8] = &[0x80];

pub(crate) type Net = World<Log>;

/// Servers (0 is the first) that know each other, after a while; then `people`, who know the first server.
pub(crate) fn network(seed: u64, servers: u32, people: u32) -> Net {
    network_of(seed, servers, people, &CLIENT)
}

pub(crate) fn network_of(seed: u64, servers: u32, people: u32, limits: &Limits) -> Net {
    let mut world = World::watched(seed, Strength::Real, Log::default());
    world.net_mut().backbone = Duration::from_millis(15);
    for server in 0..servers {
        world.add(&SERVER);
        if server > 0 {
            world.bootstrap(server, 0);
        }
    }
    if servers > 1 {
        world.run_for(2 * SECOND);
    }
    for _ in 0..people {
        come(&mut world, limits);
    }
    world
}

/// One more person.
pub(crate) fn come(world: &mut Net, limits: &Limits) -> HostId {
    let id = world.add(limits);
    world.bootstrap(id, 0);
    id
}

/// So much of what anybody sends is lost from now on, doubled, and delayed by up to `jitter`.
pub(crate) fn weather(world: &mut Net, loss: Ppm, duplicate: Ppm, jitter: Duration) {
    for host in 0..world.len() {
        let jitter = if jitter.is_zero() { Jitter::None } else { Jitter::Uniform(jitter) };
        let loss = if loss == 0 { Loss::None } else { Loss::Bernoulli(loss) };
        let reorder = if duplicate > 0 { 100_000 } else { 0 };
        let reorder_by = Duration::from_millis(15);
        let up = LinkSpec { jitter, loss, duplicate, reorder, reorder_by, ..LinkSpec::PERFECT };
        world.net_mut().set_access(host, up, LinkSpec::PERFECT);
    }
}

pub(crate) fn knows(world: &Net, a: HostId, b: HostId) -> bool {
    let info = world.info(b);
    world.node(a).known_nodes().any(|node| node == info)
}

/// Whether friends can find it.
pub(crate) fn is_connected(world: &Net, id: HostId) -> bool {
    world.node(id).connection() == Connection::Udp
}

/// How long it takes until `done`, in ms; `None` when it takes longer than `limit`.
pub(crate) fn time_until(world: &mut Net, limit: Duration, done: impl FnMut(&Net) -> bool) -> Option<u128> {
    let start = world.now();
    world.run_until(limit, done).then(|| world.now().since(start).as_millis())
}

/// Makes `a` and `b` friends.
pub(crate) fn befriend(world: &mut Net, a: HostId, b: HostId) {
    let _ = world.befriend(a, b);
}

/// Lets `a` accept somebody who may never come.
pub(crate) fn accept(world: &mut Net, a: HostId, key: PublicKey) {
    world.with(a, |node, now| node.accept(now, key)).expect("room for a friend");
}

/// How many entries a table of a node has.
pub(crate) fn used(world: &Net, id: HostId, table: &str) -> usize {
    world.node(id).occupancy().get(table).expect("a table").used
}

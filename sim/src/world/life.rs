//! Hosts come, sleep, crash, come back, and move.

use super::clock::{Clock, Running};
use super::host::{Host, HostSpec, Kind, NodeHost, Power, ProxyLine, Saved};
use super::sockets::Sockets;
use super::{LABEL_DHT, LABEL_IDENTITY, LABEL_NODE, LABEL_TAMPER, Tamper, World};
use crate::actors::Speech;
use crate::net::Place;
use crate::observe::{Change, HostId, Observation, Tap, Truth};
use crate::rng::SimRng;
use bluering_core::crypto::{Nospam, PublicKey, SecretKey};
use bluering_core::profile::Profile;
use bluering_core::relay::proxy::{Proxy, ProxyKind};
use bluering_core::time::{Instant, UnixTime};
use bluering_core::wire::NodeInfo;
use bluering_core::{BootstrapInfo, Config, FriendTexts, Limits, Node, Parts, Storage};
use std::collections::HashMap;

/// Wall-clock time at the start of every world.
const EPOCH: i64 = 1_700_000_000;

/// In which condition a host's saved state is when its node starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavedState {
    /// As of the end of the last run.
    Current,
    /// As of the last checkpoint.
    Stale,
    /// Only so many of the first bytes are left.
    Truncated(u32),
    /// This bit is wrong; counted from the first, around again past the last.
    Flipped(u32),
}

impl<T: Tap> World<T> {
    pub(super) fn add_as(&mut self, spec: HostSpec, secret: SecretKey, nospam: Nospam) -> HostId {
        let id = self.wire.net.attach(&spec.place);
        let mut host = Host::new(Kind::Nothing, spec.limits, spec.clock);
        (host.fixed_dht, host.relay) = (spec.fixed_dht || spec.relay.is_some(), spec.relay);
        (host.udp, host.proxy) = (spec.udp, spec.proxy);
        self.hosts.push(host);
        self.joined(id, true);
        self.start(id, secret, nospam, |_, _| {});
        id
    }

    /// Adds a host that has no node yet; [`settle`](Self::settle) gives it one.
    pub fn reserve(&mut self, place: &Place) -> HostId {
        let id = self.wire.net.attach(place);
        self.hosts.push(Host::new(Kind::Nothing, Limits::MICRO, Clock::default()));
        id
    }

    /// Starts a node of a fresh identity on a reserved host.
    ///
    /// # Panics
    /// When the storage is too small for a node: a mistake of the test.
    pub fn settle(&mut self, id: HostId, spec: &HostSpec) {
        let host = &mut self.hosts[id as usize];
        (host.limits, host.clock, host.relay, host.udp) = (spec.limits, spec.clock, spec.relay, spec.udp);
        host.proxy.clone_from(&spec.proxy);
        host.fixed_dht = spec.fixed_dht || spec.relay.is_some();
        let (secret, nospam) = self.fresh_identity(id);
        self.joined(id, true);
        self.start(id, secret, nospam, |_, _| {});
    }

    pub(super) fn fresh_identity(&self, id: HostId) -> (SecretKey, Nospam) {
        let secret = SecretKey::generate(&mut SimRng::fork(self.seed, &[LABEL_IDENTITY, u64::from(id)]));
        (secret, Nospam([0, 0, (id >> 8) as u8, id as u8]))
    }

    pub(super) fn joined(&mut self, host: HostId, node: bool) {
        let nats: Vec<String> = self.wire.net.nats_of(host).map(|nat| nat.name()).collect();
        let place = if nats.is_empty() { "public".to_string() } else { nats.join(" in ") };
        self.tap.observe(self.now, &Observation::Joined { host, place, node });
    }

    /// Starts a node on a host that has none.
    fn start(
        &mut self,
        id: HostId,
        secret: SecretKey,
        nospam: Nospam,
        restore: impl FnOnce(&mut Node<'static, crate::SimEnv>, Instant),
    ) {
        let host = &mut self.hosts[id as usize];
        host.starts += 1;
        let info = Some(BootstrapInfo { version: 4_000_001_000, motd: b"simulated" });
        let rng = SimRng::fork(self.seed, &[LABEL_NODE, u64::from(id), host.starts]);
        let parts = Parts { rng, suite: self.suite.clone() };
        let (seed, relay) = (self.seed, host.relay);
        let fixed = || SecretKey::generate(&mut SimRng::fork(seed, &[LABEL_DHT, u64::from(id)]));
        let dht_secret = host.fixed_dht.then(fixed);
        let proxy = host.proxy.as_ref().map(proxy);
        let config = Config { dht_secret, info, udp: host.udp, proxy, ..Config::new(secret, nospam) };
        let running = Running::new(self.now, host.clock.drift);
        let local = running.local(self.now);
        let Ok(mut node) = Node::new(config, Storage::heap(&host.limits), parts, local) else {
            panic!("the limits are too small for a node");
        };
        node.handle_clock(local, unix(self.now, host.clock));
        let at = self.wire.net.address(id);
        node.set_local_endpoint(at.is_lan().then_some(at));
        restore(&mut node, local);
        let key = node.tox_id().public_key;
        let truth = Truth {
            public: key,
            secret: SecretKey::from_bytes(*node.secret_key().as_bytes()),
            dht: node.dht_key(),
            limits: host.limits,
        };
        self.tap.observe(self.now, &Observation::Started { host: id, truth: &truth });
        self.keys.insert(key, id);
        host.identity = Some(key);
        host.power = Power::On;
        host.kind = Kind::Node(Box::new(NodeHost {
            node,
            running,
            peers: Vec::new(),
            peers_stale: true,
            heard: Vec::new(),
            persists: 0,
            reading: true,
            sockets: Sockets::default(),
            moved: false,
            relay: None,
        }));
        if let Some(limits) = relay {
            self.start_relay(id, fixed(), &limits, local);
        }
        self.pump(id, true);
    }

    /// Saves a host's profile aside: what [`SavedState::Stale`] is later.
    pub fn checkpoint(&mut self, id: HostId) {
        if let Some(profile) = self.profile(id) {
            self.hosts[id as usize].saved.older = profile;
        }
    }

    /// Ends a node without a word. Its profile is as of now.
    pub fn crash(&mut self, id: HostId) {
        self.end(id, Change::Crashed);
    }

    /// Ends a node in good order.
    pub fn stop(&mut self, id: HostId) {
        let now = self.now;
        if let Some(node) = self.hosts[id as usize].node_mut() {
            node.node.shutdown(node.running.local(now));
            self.pump(id, true);
            self.end(id, Change::Stopped);
        }
    }

    /// Starts a node again on a host whose node has ended, with its profile in some condition. A profile that cannot be
    /// read is refused, and its owner fetches the backup: the profile as it was.
    pub fn restart(&mut self, id: HostId, state: SavedState, through: &[NodeInfo]) {
        if !matches!(self.hosts[id as usize].kind, Kind::Nothing) {
            return;
        }
        let intact = self.hosts[id as usize].saved.current.clone();
        let found = state.of(&self.hosts[id as usize].saved);
        let bytes = if Profile::parse(&found).is_ok() {
            found
        } else {
            self.changed(id, Change::ProfileRefused);
            intact
        };
        let Ok(profile) = Profile::parse(&bytes) else { return };
        self.start(id, profile.secret_key(), profile.nospam(), |node, now| {
            node.restore(now, &profile, |_, _| {});
            through.iter().for_each(|info| node.bootstrap(now, *info));
        });
    }

    /// The profile of a host's node as of now.
    #[must_use]
    pub fn profile(&self, id: HostId) -> Option<Vec<u8>> {
        let node = self.try_node(id)?;
        let clock = self.hosts[id as usize].clock;
        let texts = |_| FriendTexts::default();
        node.save(unix(self.now, clock), Vec::new(), texts, node.known_relays(), core::iter::empty()).ok()
    }

    fn end(&mut self, id: HostId, how: Change) {
        if let Some(profile) = self.profile(id) {
            let host = &mut self.hosts[id as usize];
            host.saved.current = profile;
            host.kind = Kind::Nothing;
            host.deadline = Instant::FAR;
            self.desk.streams.end_process(self.now, id);
            self.arm_streams();
            self.changed(id, how);
        }
    }

    /// Takes a host off the network without a word, or puts it back: a pulled cable, or a process that hangs.
    pub fn set_up(&mut self, id: HostId, up: bool) {
        let was_up = self.hosts[id as usize].power != Power::Off;
        self.hosts[id as usize].power = if up { Power::On } else { Power::Off };
        match (up, &self.hosts[id as usize].kind) {
            (false, Kind::Actor(..)) => self.desk.streams.drop_host(id),
            (false, Kind::Node(_) | Kind::Nothing) => self.desk.streams.freeze(id),
            (true, _) => self.thaw_streams(id),
        }
        self.awake(id);
        if up && !was_up {
            self.start_again(id);
        }
    }

    /// Puts a host to sleep.
    pub fn suspend(&mut self, id: HostId) {
        if self.hosts[id as usize].power == Power::On {
            self.hosts[id as usize].power = Power::Asleep(self.now);
            self.desk.streams.freeze(id);
            self.changed(id, Change::Suspended);
        }
    }

    /// Wakes a host. Its clock has stood still in the meantime, as Linux's monotonic clock does, unless `counted`.
    pub fn resume(&mut self, id: HostId, counted: bool) {
        let Power::Asleep(since) = self.hosts[id as usize].power else { return };
        self.hosts[id as usize].power = Power::On;
        let (now, slept) = (self.now, self.now.since(since));
        let clock = self.hosts[id as usize].clock;
        if let Some(node) = self.hosts[id as usize].node_mut() {
            if !counted {
                node.running.stand_still(now, slept);
            }
            let local = node.running.local(now);
            node.node.handle_clock(local, unix(now, clock));
            // A sleep that the clock has counted is noticed by the node, but not a move in a short one.
            if !counted || node.moved {
                node.moved = false;
                node.node.handle_network_change(local);
            }
        }
        self.changed(id, Change::Resumed);
        self.thaw_streams(id);
        self.awake(id);
        self.hear_of_lost_streams(id);
    }

    fn thaw_streams(&mut self, id: HostId) {
        self.desk.streams.thaw(self.now, id);
        self.arm_streams();
    }

    fn awake(&mut self, id: HostId) {
        if self.hosts[id as usize].power == Power::On {
            let host = &mut self.hosts[id as usize];
            host.armed = Instant::FAR;
            if let Some(node) = host.node_mut() {
                let local = node.running.local(self.now);
                node.node.handle_timeout(local);
            }
            self.pump(id, true);
            self.arm(id);
            self.wake_relay(id);
        }
    }

    /// Sets a host's wall clock to so many seconds ahead of the world's.
    pub fn set_wall_clock(&mut self, id: HostId, ahead: i64) {
        let now = self.now;
        let host = &mut self.hosts[id as usize];
        host.clock.wall = ahead;
        let clock = host.clock;
        if let Some(node) = host.node_mut() {
            let local = node.running.local(now);
            node.node.handle_clock(local, unix(now, clock));
        }
        self.changed(id, Change::ClockSet);
        self.pump(id, true);
    }

    /// Moves a host to another place: new addresses. Its node is told, as an operating system does, and its streams
    /// end, as with an interface that goes down; nobody else is told.
    pub fn move_to(&mut self, id: HostId, place: &Place) {
        self.relocate(id, place);
        self.lose_streams(id);
        self.tell_of_move(id);
        self.start_again(id);
    }

    /// Moves a host to another place, and it does not notice: its streams hang, as when a router takes another address.
    pub fn move_unnoticed(&mut self, id: HostId, place: &Place) {
        self.relocate(id, place);
        self.sever_streams(id);
        self.start_again(id);
    }

    fn relocate(&mut self, id: HostId, place: &Place) {
        self.wire.net.move_to(id, place);
        let at = self.wire.net.address(id);
        if let Some(node) = self.hosts[id as usize].node_mut() {
            node.node.set_local_endpoint(at.is_lan().then_some(at));
        }
        self.changed(id, Change::Moved);
        self.pump(id, true);
    }

    /// The operating system tells a node that its address is new, or will when it wakes.
    fn tell_of_move(&mut self, id: HostId) {
        let (now, is_awake) = (self.now, self.is_awake(id));
        let Some(node) = self.hosts[id as usize].node_mut() else { return };
        node.moved = !is_awake;
        if is_awake {
            node.node.handle_network_change(node.running.local(now));
            self.pump(id, true);
        }
    }

    /// Lets a host meddle with what it passes on for others, or stops it.
    pub fn tamper(&mut self, id: HostId, tamper: Option<Tamper>) {
        let rng = SimRng::fork(self.seed, &[LABEL_TAMPER, u64::from(id)]);
        match tamper {
            Some(tamper) => self.wire.tampering.insert(id, (tamper, rng)),
            None => self.wire.tampering.remove(&id),
        };
    }

    /// Datagrams that dishonest hosts have dropped, changed or held back so far.
    #[must_use]
    pub const fn tampered(&self) -> u64 {
        self.wire.tampered
    }

    /// Of the next datagrams that a host sends, those that are marked are lost.
    pub fn lose_next(&mut self, id: HostId, lost: &[bool]) {
        self.wire.fates.insert(id, lost.iter().copied().collect());
    }

    pub(super) fn changed(&mut self, host: HostId, how: Change) {
        self.tap.observe(self.now, &Observation::Changed { host, how });
    }
}

impl SavedState {
    fn of(self, saved: &Saved) -> Vec<u8> {
        let mut bytes = saved.current.clone();
        match self {
            Self::Current => {}
            Self::Stale if saved.older.is_empty() => {}
            Self::Stale => bytes.clone_from(&saved.older),
            Self::Truncated(len) => bytes.truncate(len as usize),
            Self::Flipped(_) if bytes.is_empty() => {}
            Self::Flipped(bit) => {
                let bit = bit as usize % (bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
        bytes
    }
}

/// A proxy as nodes have it: lent for as long as the program runs, like all that their configuration lends.
fn proxy(line: &ProxyLine) -> &'static Proxy<'static> {
    let kind = match line.speech {
        Speech::Socks5 => ProxyKind::Socks5,
        Speech::Http => ProxyKind::Http,
    };
    let lent = |bytes: &[u8]| -> &'static [u8] { bytes.to_vec().leak() };
    let credentials = line.credentials.as_ref().map(|(user, password)| (lent(user), lent(password)));
    match Proxy::new(kind, line.at, credentials) {
        Ok(proxy) => Box::leak(Box::new(proxy)),
        Err(error) => panic!("no such proxy: {error:?}"),
    }
}

fn unix(now: Instant, clock: Clock) -> UnixTime {
    let seconds = EPOCH + (now.millis() / 1000) as i64 + clock.wall;
    UnixTime(u64::try_from(seconds).unwrap_or(0))
}

impl Host {
    pub(super) fn new(kind: Kind, limits: Limits, clock: Clock) -> Self {
        Self {
            kind,
            power: Power::On,
            limits,
            clock,
            identity: None,
            fixed_dht: false,
            relay: None,
            udp: true,
            proxy: None,
            starts: 0,
            deadline: Instant::FAR,
            armed: Instant::FAR,
            strikes: 0,
            sent: (0, 0),
            saved: Saved::default(),
        }
    }

    pub(super) const fn count_sent(&mut self, len: usize) {
        self.sent = (self.sent.0 + 1, self.sent.1 + len as u64);
    }
}

impl NodeHost {
    /// Learns which host each friend is, after a command.
    pub(super) fn refresh_peers(&mut self, keys: &HashMap<PublicKey, HostId>) {
        if !core::mem::take(&mut self.peers_stale) {
            return;
        }
        self.peers.clear();
        for friend in self.node.friends() {
            let peer = self.node.friend(friend).and_then(|info| keys.get(&info.key).copied());
            self.peers.resize(self.peers.len().max(friend.index() + 1), None);
            self.peers[friend.index()] = peer;
        }
    }
}

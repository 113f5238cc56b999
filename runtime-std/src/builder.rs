//! How a node is started.

use crate::contacts::Contacts;
use crate::env::{Clock, rng};
use crate::event::event_channel;
use crate::outside::Outside;
use crate::profile_store::{LoadError, ProfileStore};
use crate::proxy::ProxyAddress;
use crate::relay::{self, RelayGate};
use crate::resolve::{ResolveError, resolve};
use crate::room::Room;
use crate::saver::Saver;
use crate::snapshot::{friends_in, restore};
use crate::socket::{BindError, Listen, Ports, UdpPort};
use crate::streams::Streams;
use crate::trains::{Arrivals, Departures, Replies};
use crate::workers::{Parcel, Post, Worker, Workers};
use crate::{Events, HostEnv, Runner, Tox};
use bluering_core::crypto::{Nospam, SecretKey};
use bluering_core::driver::Scratch;
use bluering_core::profile::Profile;
use bluering_core::relay::proxy::Proxy;
use bluering_core::relay::server::RelayLimits;
use bluering_core::{BootstrapInfo, BuildError, Config, DATAGRAM_MAX, Endpoint, Limits, Node, Storage};
use smol::{Timer, channel};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Commands that may wait for the node; more wait for room.
const JOBS_WAITING: usize = 256;
/// Events that may wait for the application, unless asked otherwise.
const EVENTS_WAITING: usize = 1024;
/// More threads than any machine has cores are a mistake.
const WORKERS_MAX: usize = 1024;
/// The longest message of the day that a bootstrap info response holds (`bootstrap_node_packets.h`).
pub const MOTD_LEN_MAX: usize = 256;

/// Collects what a node shall be, and starts it.
#[derive(Debug)]
pub struct Builder {
    listen: Listen,
    udp: bool,
    proxy: Option<ProxyAddress>,
    profile: Option<PathBuf>,
    autosave: bool,
    secret: Option<SecretKey>,
    dht_secret: Option<SecretKey>,
    limits: Limits,
    relay_at: Vec<SocketAddr>,
    relay_limits: RelayLimits,
    info: Option<(u32, Vec<u8>)>,
    hole_punching: bool,
    events_waiting: usize,
    lan_discovery: bool,
    workers: usize,
}

/// Why a node cannot start.
#[derive(Debug)]
pub enum StartError {
    /// No socket.
    Bind(BindError),
    /// The host of the proxy cannot be found.
    Proxy(ResolveError),
    /// A relay of our own needs UDP.
    RelayWithoutUdp,
    /// The profile's file cannot serve.
    Load(LoadError),
    /// The limits are too small.
    Build(BuildError),
    /// The operating system gives no randomness.
    Random(getrandom::Error),
    /// The operating system gives no thread.
    Thread(io::Error),
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            listen: Listen::Dual(Ports::Usual),
            udp: true,
            proxy: None,
            profile: None,
            autosave: true,
            secret: None,
            dht_secret: None,
            limits: Limits::DESKTOP,
            relay_at: Vec::new(),
            relay_limits: RelayLimits::SERVER,
            info: None,
            hole_punching: true,
            events_waiting: EVENTS_WAITING,
            lan_discovery: false,
            workers: 1,
        }
    }
}

impl Builder {
    /// A client with a new identity, on the first free of the usual ports, both families, nothing saved.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where to listen.
    #[must_use]
    pub fn listen(mut self, listen: Listen) -> Self {
        self.listen = listen;
        self
    }

    /// Whether to use UDP (default: yes). Without it the node lives by TCP relays alone, and opens no UDP socket.
    #[must_use]
    pub fn udp(mut self, on: bool) -> Self {
        self.udp = on;
        self
    }

    /// All connections go through this proxy, and there is no UDP. Nothing goes past it, not even the look-up of a
    /// name.
    #[must_use]
    pub fn proxy(mut self, proxy: ProxyAddress) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Loads the profile if the file exists, and saves to it: soon after each change, and at the end.
    #[must_use]
    pub fn profile(mut self, path: impl Into<PathBuf>) -> Self {
        self.profile = Some(path.into());
        self
    }

    /// Whether to save to the profile unasked (default: yes).
    #[must_use]
    pub fn autosave(mut self, on: bool) -> Self {
        self.autosave = on;
        self
    }

    /// The identity, when no profile gives another (default: a new one).
    #[must_use]
    pub fn secret_key(mut self, secret: SecretKey) -> Self {
        self.secret = Some(secret);
        self
    }

    /// The DHT key, which bootstrap lines name: for nodes that others enter through (default: a new one at each start).
    #[must_use]
    pub fn dht_secret_key(mut self, secret: SecretKey) -> Self {
        self.dht_secret = Some(secret);
        self
    }

    /// Capacities. Room for friends grows to what the profile holds.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Whether to find nodes in the local network, and be found by them, without knowing any (default: no).
    #[must_use]
    pub fn lan_discovery(mut self, on: bool) -> Self {
        self.lan_discovery = on;
        self
    }

    /// Serves as a TCP relay, with the DHT key as its key, at this address and port too; port 0 lets the system choose.
    #[must_use]
    pub fn relay(mut self, at: SocketAddr) -> Self {
        self.relay_at.push(at);
        self
    }

    /// Capacities of the relay.
    #[must_use]
    pub fn relay_limits(mut self, limits: RelayLimits) -> Self {
        self.relay_limits = limits;
        self
    }

    /// Answers bootstrap info requests with a version and a message of the day, which is cut at 256 bytes.
    #[must_use]
    pub fn info(mut self, version: u32, motd: impl Into<Vec<u8>>) -> Self {
        let mut motd = motd.into();
        motd.truncate(MOTD_LEN_MAX);
        self.info = Some((version, motd));
        self
    }

    /// Whether to punch holes into address translators towards friends (default: yes).
    #[must_use]
    pub fn hole_punching(mut self, on: bool) -> Self {
        self.hole_punching = on;
        self
    }

    /// How many events may wait for the application before friends are slowed down.
    #[must_use]
    pub fn events_waiting(mut self, count: usize) -> Self {
        self.events_waiting = count;
        self
    }

    /// How many threads receive datagrams, and how many serve clients of the relay (default: one). On systems other
    /// than Linux one receives, whatever is said here.
    #[must_use]
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count.clamp(1, WORKERS_MAX);
        self
    }

    /// Starts the node on a thread of its own.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(self) -> Result<(Tox, Events), StartError> {
        let (tox, events, runner) = self.build()?;
        let thread = std::thread::Builder::new().name("bluering".to_string());
        thread.spawn(move || runner.run_alone()).map_err(StartError::Thread)?;
        Ok((tox, events))
    }

    /// Opens the socket and the profile; the node lives as long as the returned [`Runner`] is run.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn build(mut self) -> Result<(Tox, Events, Runner), StartError> {
        let (store, bytes) = match self.profile.take().map(|path| ProfileStore::open(&path)).transpose() {
            Ok(opened) => opened.unzip(),
            Err(error) => return Err(StartError::Load(error)),
        };
        let bytes = bytes.flatten();
        let profile = bytes.as_ref().and_then(|bytes| Profile::parse(bytes).ok());
        let proxy = self.proxy.take().map(find_proxy).transpose()?;
        self.udp &= proxy.is_none();
        let sharing = if cfg!(any(target_os = "linux", target_os = "android")) { self.workers } else { 1 };
        let sockets = if self.udp { UdpPort::bind_several(self.listen, sharing) } else { Ok(Vec::new()) };
        let mut sockets = sockets.map_err(StartError::Bind)?;
        let socket = (!sockets.is_empty()).then(|| sockets.swap_remove(0));
        let clock = Clock::start();
        let relay = self.start_relay(clock, socket.as_ref())?;
        let (mut node, contacts) = self.build_node(clock, profile.as_ref(), proxy)?;
        let mut saver = Saver::new(store.filter(|_| self.autosave));
        if profile.is_none() {
            saver.changed();
        }
        let (jobs, waiting_jobs) = channel::bounded(JOBS_WAITING);
        let (ended, end) = channel::bounded(1);
        let (event_sender, events) = event_channel(self.events_waiting);
        let (dht_key, public_key) = (node.dht_key(), node.tox_id().public_key);
        let (relay, relay_view) = relay.unzip();
        let post = Post::new(jobs.downgrade());
        let places = self.hire(&mut node, clock, sockets)?;
        let workers = places.iter().map(|(worker, _)| worker.clone()).collect();
        let door = relay.as_ref().map(|relay: &RelayGate| &relay.door);
        let hired = (!places.is_empty()).then(|| Workers::start(places, post, door, clock)).transpose();
        let hired = hired.map_err(StartError::Thread)?;
        let local = socket.as_ref().map_or(Endpoint::UNSPECIFIED, UdpPort::local);
        let is_proxied = proxy.is_some();
        let tox = Tox { jobs, ended: end, local, is_proxied, dht_key, public_key, relay: relay_view };
        let runner = Runner {
            room: Room { node, contacts, saver, clock, traffic: Box::default(), workers, stopping: false },
            socket,
            streams: Streams::default(),
            jobs: Box::pin(waiting_jobs),
            events: event_sender,
            ended,
            scratch: Box::new(Scratch::new()),
            arrivals: Arrivals::new(),
            departures: Departures::new(),
            replies: Replies::new(),
            buf: Box::new([0; DATAGRAM_MAX]),
            timer: Timer::never(),
            deadline: None,
            clock_at: None,
            outside: Outside::listen(),
            relay,
            workers: hired,
            parcel: Parcel::default(),
        };
        Ok((tox, events, runner))
    }

    /// A worker for each socket.
    fn hire(
        &self,
        node: &mut Node<'static, HostEnv>,
        clock: Clock,
        sockets: Vec<UdpPort>,
    ) -> Result<Vec<(Worker, UdpPort)>, StartError> {
        let place = |socket| {
            let parts = HostEnv::parts().map_err(StartError::Random)?;
            Ok((Worker::new(node.shard(clock.now(), self.limits.keys, parts)), socket))
        };
        sockets.into_iter().map(place).collect()
    }

    /// The relay's key is the node's DHT key, so that is decided here.
    fn start_relay(&mut self, clock: Clock, udp: Option<&UdpPort>) -> Result<Option<relay::Started>, StartError> {
        if self.relay_at.is_empty() {
            return Ok(None);
        }
        let udp = udp.ok_or(StartError::RelayWithoutUdp)?;
        let secret = match self.dht_secret.take() {
            Some(secret) => secret,
            None => SecretKey::generate(&mut rng().map_err(StartError::Random)?),
        };
        self.dht_secret = Some(secret.clone());
        let listeners = relay::bind(&self.relay_at).map_err(StartError::Bind)?;
        relay::start(listeners, secret, &self.relay_limits, clock, udp, self.workers).map(Some)
    }

    fn build_node(
        &mut self,
        clock: Clock,
        profile: Option<&Profile<'_>>,
        proxy: Option<&'static Proxy<'static>>,
    ) -> Result<(Box<Node<'static, HostEnv>>, Contacts), StartError> {
        let mut rng = rng().map_err(StartError::Random)?;
        let (secret, nospam) = match profile {
            Some(profile) => (profile.secret_key(), profile.nospam()),
            None => {
                let secret = self.secret.take().unwrap_or_else(|| SecretKey::generate(&mut rng));
                (secret, Nospam::generate(&mut rng))
            }
        };
        let mut limits = self.limits;
        limits.friends = limits.friends.max(profile.map_or(0, friends_in));
        // The node borrows it for as long as it lives, which is as long as the process, but for tests.
        let info = self.info.take().map(|(version, motd)| BootstrapInfo { version, motd: Box::leak(motd.into()) });
        let has_info = info.is_some();
        let parts = HostEnv::parts().map_err(StartError::Random)?;
        let now = clock.now();
        let config = Config {
            dht_secret: self.dht_secret.take(),
            info,
            udp: self.udp,
            lan_discovery: self.lan_discovery,
            proxy,
            hole_punching: self.hole_punching,
            ..Config::new(secret, nospam)
        };
        let node = Node::new(config, Storage::heap(&limits), parts, now).map_err(StartError::Build)?;
        let mut node = Box::new(node);
        if has_info {
            node.lend_motd(Box::leak(Box::new([0; MOTD_LEN_MAX])));
        }
        let contacts = profile.map(|profile| restore(&mut node, now, profile)).unwrap_or_default();
        Ok((node, contacts))
    }
}

/// Looks the proxy's host up. The node borrows what it needs for as long as the process lives.
fn find_proxy(address: ProxyAddress) -> Result<&'static Proxy<'static>, StartError> {
    let found = smol::block_on(resolve(address.host(), address.port())).map_err(StartError::Proxy)?;
    let at = found.first().copied().map_or(Endpoint::UNSPECIFIED, Endpoint::from);
    let address: &'static ProxyAddress = Box::leak(Box::new(address));
    Ok(Box::leak(Box::new(address.found_at(at))))
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Proxy(error) => write!(f, "the proxy: {error}"),
            Self::RelayWithoutUdp => f.write_str("a TCP relay needs UDP, which is turned off"),
            Self::Load(error) => error.fmt(f),
            Self::Build(error) => error.fmt(f),
            Self::Random(error) => write!(f, "the system gives no randomness: {error}"),
            Self::Thread(error) => write!(f, "the system gives no thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

//! How a client starts: from its flash, over a network stack, in the memory of its resources.

use crate::flash::{
    LoadError, Loaded, NoReplayClock, ReadError, Snapshot, Store, WORDS_MAX, WithWords, copy_words, set_reservation,
};
use crate::net::{Addresses, Network, Streams, UdpPort};
use crate::resources::{ToxResources, Work};
use crate::runner::{Bootstrap, Driver, mind_network};
use crate::saver::keep_saved;
use crate::tox::{Counters, DeviceEnv, Inner, Tox, now};
use bluering_core::crypto::{Nacl, Nospam, SecretKey};
use bluering_core::{BuildError, Config as NodeConfig, Node, Parts, Storage};
use chacha20::ChaCha12Rng;
use core::cell::RefCell;
use core::fmt;
use core::mem::MaybeUninit;
use embassy_futures::join::join3;
use embassy_net::Stack;
use embassy_sync::waitqueue::{MultiWakerRegistration, WakerRegistration};
use embedded_storage_async::nor_flash::NorFlash;
use rand_core::{CryptoRng, SeedableRng};

/// The first UDP port that toxcore tries.
pub const PORT: u16 = 33445;

/// What a client shall be.
#[derive(Clone, Copy, Debug)]
pub struct Config<'d> {
    /// UDP port.
    pub port: u16,
    /// Where to enter the network. Names are looked up whenever the network comes up.
    pub bootstrap: &'d [Bootstrap<'d>],
}

impl Default for Config<'_> {
    fn default() -> Self {
        Self { port: PORT, bootstrap: &[] }
    }
}

/// Why a client cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The flash holds something that cannot be used. It stays as it is; [`Store::format`] makes the device a new one.
    Load(LoadError),
    /// The flash has failed between two looks at it.
    Read,
    /// The tables are too small.
    Build(BuildError),
    /// The port is 0.
    Port,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Read => f.write_str("the flash cannot be read any more"),
            Self::Build(error) => error.fmt(f),
            Self::Port => f.write_str("the UDP port must not be 0"),
        }
    }
}

impl core::error::Error for StartError {}

/// Starts a client: who it is and whom it knows comes from `store`; a store that is empty makes it somebody new. `rng`,
/// on most boards a hardware generator, gives a seed and is not needed afterwards.
///
/// # Errors
/// [`StartError`]. The store is consumed, so nothing is overwritten.
pub async fn new<
    'd,
    F: NorFlash,
    const FRIENDS: usize,
    const SEARCHES: usize,
    const NODES: usize,
    const BLOCKS: usize,
    const ANNOUNCES: usize,
    const SNAPSHOT: usize,
>(
    stack: Stack<'d>,
    resources: &'d mut ToxResources<'d, FRIENDS, SEARCHES, NODES, BLOCKS, ANNOUNCES, SNAPSHOT>,
    rng: &mut impl CryptoRng,
    mut store: Store<F>,
    config: Config<'d>,
) -> Result<(Tox<'d>, Runner<'d, F>), StartError> {
    let ToxResources { storage, node, inner: slot, udp, streams, work, snapshot } = resources;
    let port = UdpPort::open(stack, udp, config.port).map_err(|_| StartError::Port)?;
    let loaded = store.load(snapshot).await.map_err(StartError::Load)?;
    let known = match loaded {
        Loaded::New => None,
        Loaded::Newest { len, .. } | Loaded::Older { len, .. } => Some(&mut snapshot[..len]),
    };
    let identity = known.as_deref().map(Identity::of).transpose()?;
    let reservation = identity.as_ref().map_or(0, |identity| identity.reservation);
    let mut inner = Inner {
        node: place(node, storage.storage(), ChaCha12Rng::from_rng(rng), identity)?,
        runner: WakerRegistration::new(),
        tasks: MultiWakerRegistration::new(),
        addresses: Addresses::default(),
        clock: NoReplayClock::new(reservation, now()),
        // Somebody new is saved at once.
        unsaved: known.is_none(),
        loaded,
        changed: true,
        sent: false,
        closing: false,
        counters: Counters::default(),
    };
    if let Some(bytes) = known {
        restore(&mut inner, &mut store, work, bytes).await?;
    }
    inner.tell_clock();
    let inner: &'d RefCell<Inner<'d>> = slot.write(RefCell::new(inner));
    let driver = Driver { inner, port, streams: Streams::new(stack, streams), work, deadline: None };
    Ok((Tox { inner }, Runner { driver, network: Network::new(stack), store, snapshot, config }))
}

/// The node's task: one future for the whole life of the device.
pub struct Runner<'d, F> {
    driver: Driver<'d>,
    network: Network<'d>,
    store: Store<F>,
    snapshot: &'d mut [u8],
    config: Config<'d>,
}

impl<F: NorFlash> Runner<'_, F> {
    /// Drives the node for ever: the socket, the flash, the network.
    pub async fn run(&mut self) -> ! {
        let (inner, Config { port, bootstrap }) = (self.driver.inner, self.config);
        let network = mind_network(inner, self.network, bootstrap, port);
        let saver = keep_saved(inner, &mut self.store, self.snapshot);
        join3(self.driver.run(), network, saver).await;
        unreachable!("all go on for ever")
    }
}

/// What a node is built with.
struct Identity {
    secret: SecretKey,
    nospam: Nospam,
    reservation: u64,
}

impl Identity {
    fn of(snapshot: &[u8]) -> Result<Self, StartError> {
        let found = Snapshot::parse(snapshot).map_err(|_| StartError::Load(LoadError::Unreadable))?;
        Ok(Self { secret: found.secret_key(), nospam: found.nospam(), reservation: found.reservation() })
    }
}

/// Builds the node in its place. Not inlined: its copies on the stack are gone before anything else is called.
#[inline(never)]
fn place<'d>(
    slot: &'d mut MaybeUninit<Node<'d, DeviceEnv>>,
    storage: Storage<'d>,
    mut rng: ChaCha12Rng,
    known: Option<Identity>,
) -> Result<&'d mut Node<'d, DeviceEnv>, StartError> {
    let (secret, nospam) = match known {
        Some(Identity { secret, nospam, .. }) => (secret, nospam),
        None => (SecretKey::generate(&mut rng), Nospam::generate(&mut rng)),
    };
    let identity = NodeConfig::new(secret, nospam);
    let node = Node::new(identity, storage, Parts { rng, suite: Nacl }, now());
    Ok(slot.write(node.map_err(StartError::Build)?))
}

/// Brings back what the snapshot holds. Before the node may use any no-replay number, those that follow are reserved on
/// flash.
async fn restore<F: NorFlash>(
    inner: &mut Inner<'_>,
    store: &mut Store<F>,
    work: &mut Work,
    bytes: &mut [u8],
) -> Result<(), StartError> {
    let damaged = StartError::Load(LoadError::Unreadable);
    let snapshot = Snapshot::parse(bytes).map_err(|_| damaged)?;
    let words = work.arrived.first_chunk_mut::<WORDS_MAX>().ok_or(damaged)?;
    let restored = snapshot.restore(inner.node, now(), store, words).await;
    restored.map_err(|ReadError| StartError::Read)?;
    let reservation = inner.clock.reservation(now());
    set_reservation(bytes, reservation);
    let words = |key: &_, at, to: &mut [u8]| copy_words(inner.node, key, at, to);
    // Without it the node has no numbers yet; the saver tries again.
    if let Ok(source) = WithWords::new(bytes, words)
        && store.save(source).await.is_ok()
    {
        inner.clock.saved(reservation);
    }
    Ok(())
}

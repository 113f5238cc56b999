//! How a client is started.

use crate::net::{Addresses, Network, UdpPort};
use crate::resources::ToxResources;
use crate::runner::{Bootstrap, Driver, mind_network};
use crate::tox::{Counters, DeviceEnv, Inner, Tox, now};
use bluering_core::crypto::{Nacl, Nospam, SecretKey};
use bluering_core::{BuildError, Config as NodeConfig, Node, Parts};
use chacha20::ChaCha12Rng;
use core::cell::RefCell;
use core::fmt;
use embassy_futures::join::join;
use embassy_net::Stack;
use embassy_sync::waitqueue::{MultiWakerRegistration, WakerRegistration};
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
    /// The storage is too small.
    Build(BuildError),
    /// The port is 0, or the stack's socket is in use.
    Bind,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build(error) => error.fmt(f),
            Self::Bind => f.write_str("the UDP port must not be 0"),
        }
    }
}

impl core::error::Error for StartError {}

pub fn new<'d, const F: usize, const S: usize, const N: usize, const B: usize, const A: usize>(
    stack: Stack<'d>,
    resources: &'d mut ToxResources<'d, F, S, N, B, A>,
    rng: &mut impl CryptoRng,
    config: Config<'d>,
) -> Result<(Tox<'d>, Runner<'d>), StartError> {
    let ToxResources { storage, inner, udp, work } = resources;
    let mut rng = ChaCha12Rng::from_rng(rng);
    let identity = NodeConfig {
        secret: SecretKey::generate(&mut rng),
        nospam: Nospam::generate(&mut rng),
        dht_secret: None,
        info: None,
    };
    let port = UdpPort::open(stack, udp, config.port).map_err(|_| StartError::Bind)?;
    let node = Node::new(identity, storage.storage(), Parts { rng, suite: Nacl }, now()).map_err(StartError::Build)?;
    let inner: &'d RefCell<Inner<'d>> = inner.write(RefCell::new(Inner {
        node,
        runner: WakerRegistration::new(),
        tasks: MultiWakerRegistration::new(),
        addresses: Addresses::default(),
        clock: None,
        unsaved: false,
        changed: true,
        sent: false,
        counters: Counters::default(),
    }));
    let runner = Runner { driver: Driver { inner, port, work, deadline: None }, network: Network::new(stack), config };
    Ok((Tox { inner }, runner))
}

pub struct Runner<'d> {
    driver: Driver<'d>,
    network: Network<'d>,
    config: Config<'d>,
}

impl Runner<'_> {
    /// Drives the node for ever.
    pub async fn run(&mut self) -> ! {
        let (inner, Config { port, bootstrap }) = (self.driver.inner, self.config);
        join(self.driver.run(), mind_network(inner, self.network, bootstrap, port)).await;
        unreachable!("both go on for ever")
    }
}

//! The harness: real programs that talk over a network of their own, driven line by line.
//!
//! A [`Net`] is a network namespace with nothing but `lo`, so that no packet of a test leaves the machine. In it run a
//! [`Node`] to bootstrap from and [`Peer`]s that chat; each is either c-toxcore or ours ([`Kind`]), and no scenario
//! knows which. [`Pair`] is where most scenarios begin: two peers, online and friends. An [`Internet`] joins many
//! namespaces by routers and NATs; a [`Device`] on one of its wires is firmware in QEMU, which `run-qemu` tests.
//!
//! Nothing here skips: what is missing is an error that says what to install. Run with
//!
//! ```text
//! apt-get install iproute2 libtoxcore2 toxcore-utils libsodium23 chromium tshark prometheus python3 \
//!     dnsmasq-base nftables microsocks dante-server tinyproxy              # and as root
//! cargo test  -p bluering-tests                                       # what needs none of that
//! cargo test  -p bluering-tests --features interop
//! cargo bench -p bluering-tests --features interop --no-fail-fast -- --quick    # without --quick: minutes, medians
//! ```

#[cfg(feature = "interop")]
pub mod bad_relays;
pub mod bench;
#[cfg(feature = "interop")]
pub mod crowd;
mod device;
#[cfg(feature = "interop")]
pub mod load;
mod log;
pub mod measure;
mod name_server;
mod nat_net;
mod net;
mod node;
mod pair;
mod peer;
mod programs;
#[cfg(feature = "interop")]
pub mod proxies;
mod qmp;
pub mod relay;
#[cfg(feature = "interop")]
pub mod sodium;
pub mod table;
#[cfg(feature = "interop")]
pub mod visitors;
pub mod watch;
mod wire;

pub use device::{Board, Clock, Device, Status, is_friend};
pub use log::Heard;
pub use name_server::NameServer;
pub use nat_net::Translator;
pub use net::Net;
pub use node::Node;
pub use pair::{Pair, TALK};
pub use peer::Peer;
pub use programs::{Kind, in_path};
pub use wire::{Internet, Lan, Wire, address6, router_of};

use core::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};

/// What to install when something is missing.
pub const INSTALL: &str = "apt-get install iproute2 libtoxcore2 toxcore-utils libsodium23 chromium tshark prometheus \
                           python3 dnsmasq-base nftables microsocks dante-server tinyproxy (and for run-qemu: \
                           qemu-system-arm)";

/// Why a scenario ended early, told for a person.
pub struct Failure(pub String);

/// The result of a scenario or of one of its steps.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure that says this.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<io::Error> for Failure {
    fn from(why: io::Error) -> Self {
        Self(why.to_string())
    }
}

/// Fails with `text` unless `truth`.
///
/// # Errors
/// The text.
pub fn ensure(truth: bool, text: impl FnOnce() -> String) -> Outcome {
    if truth { Ok(()) } else { Err(Failure(text())) }
}

/// A child process that ends with its owner. Only this very process is killed, by its id.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A new directory, removed when dropped.
pub struct TempDir(PathBuf);

impl TempDir {
    /// Makes one.
    ///
    /// # Errors
    /// When the system's directory for temporary files cannot be written.
    pub fn new() -> Outcome<Self> {
        let path = std::env::temp_dir().join(unique("bluering"));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file in it, as text for a command line.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // Left behind at worst.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A name that no other process and no other call has: `prefix-PID-COUNT`.
fn unique(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

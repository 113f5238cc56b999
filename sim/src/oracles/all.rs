//! All oracles of a run.

use super::{Allocations, Amplification, Conservation, Delivery, Idle, Nonces, OnionPrivacy, Oracle, Secrecy};
use super::{Privacy, Private, Tables, Timers};

/// What the oracles of a run must know of it.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What no datagram may show: markers of 8 bytes or more that stand in every text, name and status message.
    pub needles: Vec<Vec<u8>>,
    /// What a node may send in the quiet phase; `None` demands nothing.
    pub idle: Option<IdleBudget>,
    /// Hosts that have no UDP, or a proxy.
    pub private: Vec<Private>,
}

/// Datagrams per second that an idle node may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleBudget {
    /// On its own.
    pub own: u32,
    /// As immediate answers, or passed on for others.
    pub answers: u32,
}

/// All oracles that see every run. Liveness is judged by [`Online`](super::Online), determinism and panics by whoever
/// runs the world.
#[must_use]
pub fn all(settings: &Settings) -> Vec<Box<dyn Oracle>> {
    let mut oracles: Vec<Box<dyn Oracle>> = vec![
        Box::new(Delivery::default()),
        Box::new(Secrecy::new(&settings.needles)),
        Box::new(OnionPrivacy::default()),
        Box::new(Nonces::default()),
        Box::new(Amplification::default()),
        Box::new(Tables::default()),
        Box::new(Allocations),
        Box::new(Timers::default()),
        Box::new(Conservation::default()),
    ];
    if !settings.private.is_empty() {
        oracles.push(Box::new(Privacy::new(&settings.private)));
    }
    if let Some(budget) = settings.idle {
        oracles.push(Box::new(Idle::new(budget)));
    }
    oracles
}

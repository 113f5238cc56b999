//! All oracles of a run.

use super::{Allocations, Amplification, Conservation, Delivery, Idle, Nonces, OnionPrivacy, Oracle, Secrecy};
use super::{Tables, Timers};
use crate::observe::HostId;
use crate::plan::Plan;

/// What the oracles of a run must know of it.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Hosts that can meet, and must.
    pub pairs: Vec<(HostId, HostId)>,
    /// What no datagram may show: markers of 8 bytes or more that stand in every text, name and status message.
    pub needles: Vec<Vec<u8>>,
    /// Datagrams per second that a node may send on its own in the quiet phase; `None` demands nothing.
    pub idle: Option<u32>,
}

impl Settings {
    /// Those of a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        Self { pairs: plan.reachable_pairs(), needles: vec![plan.marker().to_vec()], idle: plan.demands.idle }
    }
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
    if let Some(budget) = settings.idle {
        oracles.push(Box::new(Idle::new(budget)));
    }
    oracles
}

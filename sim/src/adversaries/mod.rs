//! Who means the network ill: adversaries in the field's own order, from the eavesdropper to the eclipse.
//!
//! Each is an [`Actor`] of bounded rate, made from a plain description, a [`Strategy`]. They know the protocol and no
//! more of the world than a machine at their place would: the nodes that they are told of, what passes by when they
//! tap the network, and what is answered to them. Relays that drop, delay or damage what they carry are not here: that
//! is [`Tamper`](crate::world::Tamper), on a host whose node is otherwise honest.
//!
//! | file | attack |
//! |---|---|
//! | [`Replay`] | overheard datagrams come again |
//! | [`Mutate`] | overheard datagrams come with one thing changed |
//! | [`Flood`] | requests without end from ever new senders |
//! | [`Sybil`] | many nodes in one around a key: eclipse, and announcements forgotten |
//! | [`Liar`] | a node that names nodes that are not there |
//! | [`FalseRelay`] | a TCP relay that lies, tampers, delays or drops |
//! | [`RelayAbuse`] | clients that misuse TCP relays: slow loris, half-open handshakes, floods |

pub mod craft;
mod false_relay;
mod flood;
mod keys;
mod liar;
mod mutate;
mod pace;
mod relay;
mod relay_abuse;
mod replay;
mod scout;
mod sybil;

pub use false_relay::{FalseRelay, RelayLie};
pub use flood::{Flood, FloodKind};
pub use liar::{Liar, Lie};
pub use mutate::Mutate;
pub use relay_abuse::{AbuseKind, RelayAbuse};
pub use replay::Replay;
pub use sybil::{Announces, Sybil};

use crate::actor::Actor;
use crate::crypto::SimSuite;
use bluering_core::wire::NodeInfo;
use serde::{Deserialize, Serialize};

/// What an adversary does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// Overheard datagrams again.
    Replay(Replay),
    /// Overheard datagrams, changed.
    Mutate(Mutate),
    /// Requests without end.
    Flood(Flood),
    /// Many nodes near a key.
    Sybil(Sybil),
    /// False names.
    Liar(Liar),
    /// A false relay.
    FalseRelay(FalseRelay),
    /// Misuse of relays.
    RelayAbuse(RelayAbuse),
}

impl Strategy {
    /// The adversary. `targets` are the nodes that it knows to begin with; `suite` is its world's cryptography.
    #[must_use]
    pub fn actor(&self, targets: &[NodeInfo], suite: &SimSuite) -> Box<dyn Actor> {
        match self {
            Self::Replay(plan) => Box::new(replay::Replayer::new(plan)),
            Self::Mutate(plan) => Box::new(mutate::Mutator::new(plan, targets, suite)),
            Self::Flood(plan) => Box::new(flood::Flooder::new(plan, targets, suite)),
            Self::Sybil(plan) => Box::new(sybil::Sybils::new(plan, targets, suite)),
            Self::Liar(plan) => Box::new(liar::Liars::new(plan, targets, suite)),
            Self::FalseRelay(plan) => Box::new(false_relay::FalseRelays::new(plan, suite)),
            Self::RelayAbuse(plan) => Box::new(relay_abuse::Abusers::new(plan, targets, suite)),
        }
    }
}

//! The network between simulated hosts: links, NATs and firewalls, byte streams.
//!
//! Each is a pure model without a world: time and packets go in, what becomes of them comes out.

mod link;
mod nat;
mod stream;

pub use link::{Damage, Fate, Jitter, Link, LinkLoss, LinkSpec, Loss};
pub use nat::{Dependence, Firewall, Nat, NatDrop, NatSpec, PortPolicy, Reach, reach};
pub use stream::{ConnId, Segment, Side, StreamEvent, StreamSpec, StreamWhat, Streams};

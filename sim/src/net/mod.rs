//! The network between hosts: [lines](link), [NATs and firewalls](nat), [byte streams](stream), and
//! [who is where](topology).

pub mod link;
pub mod nat;
pub mod stream;
pub mod topology;

pub use link::{Damage, Fate, Jitter, Link, LinkLoss, LinkSpec, Loss};
pub use nat::{Dependence, NatSpec, PortPolicy, Reach, reach};
pub use stream::{ConnId, Segment, Side, StreamEvent, StreamSpec, StreamWhat, Streams};
pub use topology::{Cut, Flight, Gate, Leg, NatId, Net, NetDrop, PORT, Part, Place, Region, Tcp, V4, V6, Way};

//! BlueRing's core: the whole Tox protocol as one state machine that does no I/O.
//!
//! Datagrams and timer calls go in; packets, actions and events come out. There is no clock, no socket, no thread, no
//! allocator and no unsafe code in here. [`Node`] is the machine, [`driver`] the loop that every runtime shares. The
//! rooms, from the bottom up (each knows only those before it):
//!
//! | room | what lives there |
//! |---|---|
//! | [`crypto`], [`wire`], [`storage`], [`time`] | primitives, packet layouts, bounded tables |
//! | `dht` | who is near: close list, searches, ping, nodes, bootstrap info |
//! | `forwarding`, `announcements` | what DHT nodes do for others' groups: passing packets on, keeping a little data |
//! | `onion` | relays, the announce store, and the client that finds friends by their long-term key |
//! | `session` | `net_crypto`: encrypted connections to friends, lossless and lossy |
//! | [`relay`] | TCP relays: the stream, and the server, which can stand alone |
//! | `friend`, `messenger` | friend connections and requests; names, statuses, messages, receipts |
//! | [`profile`] | the Tox save format |
//! | `node` | composes them all; nobody else does |

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "host"))]
extern crate std;

mod announcements;
mod budget;
pub mod crypto;
mod cx;
mod dht;
pub mod driver;
mod endpoint;
mod event;
mod forwarding;
mod frame;
mod friend;
mod lan;
mod limit;
mod messenger;
mod node;
mod onion;
pub mod profile;
pub mod relay;
mod session;
mod stats;
pub mod storage;
pub mod time;
pub mod wire;

pub use cx::{Env, Parts};
pub use endpoint::Endpoint;
#[cfg(feature = "alloc")]
pub use event::OwnedEvent;
pub use event::{Connection, Event, EventOf, MessageKind, UserStatus};
pub use frame::{DATAGRAM_MAX, Disposition, Frame, Transmit};
pub use lan::LanCall;
pub use node::*;
pub use stats::{DropReason, Stats};

//! Tox on std hosts: BlueRing's core behind a UDP socket, a clock and a file, on smol.
//!
//! One task, the [`Runner`], owns the node. Applications hold a [`Tox`] to command it and [`Events`] to hear from it:
//!
//! ```no_run
//! use bluering::{Builder, ToxEvent};
//!
//! smol::block_on(async {
//!     let (tox, mut events) = Builder::new().profile("me.tox").start()?;
//!     println!("my Tox ID is {}", tox.me().await?.tox_id);
//!     while let Some(event) = events.next().await {
//!         if let ToxEvent::FriendRequest { key, .. } = event {
//!             println!("{key} wants to be a friend");
//!         }
//!     }
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! });
//! ```
//!
//! | file | what lives there |
//! |---|---|
//! | `builder`, `handle`, `event`, `contacts` | what an application sees |
//! | `runner`, `sleep`, `room`, `env` | the task, how it sleeps, clock and randomness |
//! | `outside` | when the network changes, and when the machine has slept |
//! | `socket`, `trains`, `offload` | datagrams, many of them in one system call |
//! | `streams` | connections to TCP relays |
//! | `relay` | the TCP relay, on threads of its own |
//! | `workers` | more threads for the datagrams of a busy node |
//! | `profile_store`, `saver`, `snapshot` | the profile: its file, when it is written, what is in it |
//! | `vitals` | counters for those who operate a node |
//! | `resolve`, `proxy` | bootstrap lines, host names and proxies, as people write them |

mod builder;
mod contacts;
mod env;
mod event;
mod handle;
mod lan;
mod offload;
mod outside;
mod profile_store;
mod proxy;
mod relay;
mod resolve;
mod room;
mod runner;
mod saver;
mod sleep;
mod snapshot;
mod socket;
mod streams;
mod trains;
mod vitals;
mod workers;

pub use bluering_core::crypto::HostSuite;
pub use builder::{Builder, MOTD_LEN_MAX, StartError};
pub use contacts::Friend;
pub use env::{HostEnv, rng};
pub use event::{Events, ToxEvent};
pub use handle::{BootstrapError, CommandError, Me, SentMessages, Stopped, Tox};
pub use profile_store::{LoadError, ProfileBytes, ProfileStore, SaveError, Unusable, private_file};
pub use proxy::{ProxyAddress, ProxyAddressError};
pub use relay::RelayReport;
pub use resolve::{BootstrapLineError, BootstrapNode, ResolveError, resolve};
pub use runner::Runner;
pub use socket::{BindError, Listen, PORT_FIRST, PORT_LAST, Ports};
pub use vitals::{Traffic, Vitals};

pub use bluering_core as core;

use event::EventSender;

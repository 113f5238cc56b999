//! BlueRing on microcontrollers: a Tox client over embassy-net, in memory that is known before it is flashed.
//!
//! It is shaped like embassy-net itself. [`ToxResources`] is a static with all the memory. [`new`] reads the flash and
//! gives a handle and a [`Runner`]; the runner is a task, and [`Tox`] is `Copy`, like a `Stack`:
//!
//! ```no_run
//! use bluering_embassy::bluering_core::Event;
//! use bluering_embassy::flash::Store;
//! use bluering_embassy::{Config, EVENT_LEN_MAX, StartError, ToxResources, new};
//! # use embedded_storage_async::nor_flash::NorFlash;
//! use static_cell::ConstStaticCell;
//!
//! static RESOURCES: ConstStaticCell<ToxResources<'static>> = ConstStaticCell::new(ToxResources::new());
//!
//! # async fn life(
//! #     stack: embassy_net::Stack<'static>, flash: impl NorFlash, rng: &mut impl rand_core::CryptoRng,
//! # ) -> Result<(), StartError> {
//! let store = Store::new(flash, 0..64 * 1024, 8).expect("six pages of 4 KiB or more");
//! let (tox, mut runner) = new(stack, RESOURCES.take(), rng, store, Config::default()).await?;
//! # let echo = async {
//! // In a task of its own: `runner.run().await`. Meanwhile:
//! let mut text = [0; EVENT_LEN_MAX];
//! loop {
//!     if let Event::Message { friend, kind, text } = tox.event(&mut text).await {
//!         let _ = tox.send_message(friend, kind, text).await;
//!     }
//! }
//! # };
//! # embassy_futures::select::select(runner.run(), echo).await;
//! # Ok(())
//! # }
//! ```
//!
//! | room | what lives there |
//! |---|---|
//! | `tox` | the handle: commands, events, who waits |
//! | `runner`, `saver` | the task: socket and timers; when to write to the flash |
//! | `net`, `neighbours` | all that is said to embassy-net; hosts of our own network that may not exist |
//! | [`flash`] | snapshots, the store, numbers that are never used twice |
//! | `start`, `resources` | how it begins, and in what memory |
//!
//! embassy-net's own runner must be a task of its own: every call to a socket wakes it.
//!
//! Everything is bounded, and what is full pushes back: an application that does not read its events stops its friends'
//! windows, a sender waits for room. There is no allocator. With the feature `relays`, friends are reached through TCP
//! relays where UDP does not lead, for 30 KiB more of RAM. With the feature `defmt`, counters, what the flash held, and
//! the network stack speak to a probe.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

#[cfg(test)]
extern crate std;

pub mod flash;

mod neighbours;
mod net;
mod resources;
mod runner;
mod saver;
mod start;
mod tox;

pub use bluering_core;
pub use net::{Addresses, SOCKETS};
pub use resources::{CORE_BYTES_MAX, ToxResources};
pub use runner::Bootstrap;
pub use start::{Config, PORT, Runner, StartError, new};
pub use tox::{Counters, DeviceEnv, EVENT_LEN_MAX, Tox};

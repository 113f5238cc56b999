//! A bot for any board: echoes what friends write, answers `status`, asks on the console before it makes friends.
//!
//! A board brings up its network, its flash, its console and its randomness, and gives them to the bot together with a
//! text of configuration. Everything that boards have in common stands here: [`config`] reads that text, [`console`]
//! the lines that a person types, [`bot`](mod@bot) does the talking.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

#[cfg(test)]
extern crate std;

pub mod boot;
pub mod bot;
pub mod config;
pub mod console;
pub mod network;
pub mod requests;
pub mod status;

pub use bluering_embassy;

use core::fmt;

/// What differs between boards.
pub trait Board {
    /// Its name, one word.
    const NAME: &'static str;

    /// Adds its own values to the status line, each as ` key=value`.
    ///
    /// # Errors
    /// Those of `out`.
    fn status(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let _ = out;
        Ok(())
    }
}

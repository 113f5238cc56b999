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

pub mod config;
pub mod console;

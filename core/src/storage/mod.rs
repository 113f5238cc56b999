//! Bounded memory: tables over storage that the caller gives, or boxed once at start (feature `alloc`).
//!
//! Sizes are run-time values, so one compiled core serves a microcontroller and a large node, and the simulator can
//! draw every capacity at random. Nothing here grows. Three kinds of storage exist: [`Slots`], tables of entries behind
//! generational handles; [`Blocks`], packet-sized payload buffers in one pool; and [`Keys`], the cache of box keys.

mod blocks;
mod keys;
mod slots;
mod table;

pub use blocks::{BLOCK_LEN, Block, BlockId, Blocks, Chain};
pub use keys::{KeyEntry, Keys, Need, Whose};
pub use slots::{Id, Mem, Slot, Slots};
pub use table::Table;

/// A table has no room left, or no block is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl core::fmt::Display for Full {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("no room left")
    }
}

impl core::error::Error for Full {}

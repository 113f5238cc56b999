//! State on flash: what a device must not forget when its power goes, at whatever moment.
//!
//! A [`Snapshot`] is the node's state as bytes: identity, friends, nodes, and the [`NoReplayClock`]'s reservation. A
//! [`Store`] keeps such bytes in a range of flash, always twice, and writes the older of the two copies anew, so that
//! the younger one is out of danger. [`Snapshot::write`] needs the node but does not wait, [`Store::save`] waits but
//! needs only bytes: a runtime borrows the node for the one and not for the other.
//!
//! At boot: [`Store::load`], build the node with the snapshot's keys, [`Snapshot::restore`], then
//! [`set_reservation`] in the bytes and save them before the first [`NoReplayClock::hand_over`]. Afterwards: on
//! [`Action::Persist`](bluering_core::Action::Persist), and when [`NoReplayClock::is_save_due`] says so, write, save.

mod bank;
mod clock;
mod guard;
mod snapshot;
mod store;
#[cfg(test)]
mod tests;

pub use clock::NoReplayClock;
pub use snapshot::{
    Restored, SNAPSHOT_MAX, SavedFriend, SavedRequest, Snapshot, SnapshotError, WORDS_MAX, WithWords, copy_words,
    set_reservation, snapshot_max,
};
pub use store::{LoadError, Loaded, RangeError, ReadError, SaveError, Saved, Source, Store};

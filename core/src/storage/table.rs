//! How full a table is, whichever kind it is.

use super::{Mem, Slots};

/// How full one table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// What lives in it, in lower case.
    pub name: &'static str,
    /// Places taken.
    pub used: usize,
    /// All places.
    pub capacity: usize,
}

impl Table {
    pub(crate) fn of_slots<T>(name: &'static str, slots: &Slots<'_, T>) -> Self {
        Self { name, used: slots.len(), capacity: slots.capacity() }
    }

    /// For small tables: it walks through all places.
    pub(crate) fn of_mem<T>(name: &'static str, mem: &Mem<'_, T>, is_taken: impl Fn(&T) -> bool) -> Self {
        Self { name, used: mem.iter().filter(|place| is_taken(place)).count(), capacity: mem.len() }
    }
}

//! A table by host: dense, and growing as hosts come.

use crate::observe::HostId;

/// A table with an entry for each host; those that were never touched have the default.
#[derive(Clone, Debug, Default)]
pub struct PerHost<T>(Vec<T>);

impl<T: Default> PerHost<T> {
    /// An empty table.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The entry of a host, if it was ever touched.
    #[must_use]
    pub fn get(&self, host: HostId) -> Option<&T> {
        self.0.get(host as usize)
    }

    /// The entry of a host.
    pub fn at(&mut self, host: HostId) -> &mut T {
        let index = host as usize;
        if index >= self.0.len() {
            self.0.resize_with(index + 1, T::default);
        }
        &mut self.0[index]
    }

    /// All entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = (HostId, &T)> {
        (0..).zip(&self.0)
    }

    /// All entries, in order, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (HostId, &mut T)> {
        (0..).zip(&mut self.0)
    }
}

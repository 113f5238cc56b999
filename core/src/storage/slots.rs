//! Slots with generational handles.

use super::Full;
use core::marker::PhantomData;

/// Memory of a table: lent by the caller, or (feature `alloc`) boxed once at start.
#[derive(Debug)]
pub enum Mem<'s, T> {
    /// Lent for the life of the node, `&'static mut` on a microcontroller.
    Borrowed(&'s mut [T]),
    /// On the heap.
    #[cfg(feature = "alloc")]
    Owned(alloc::boxed::Box<[T]>),
}

impl<T> core::ops::Deref for Mem<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Borrowed(mem) => mem,
            #[cfg(feature = "alloc")]
            Self::Owned(mem) => mem,
        }
    }
}

impl<T> core::ops::DerefMut for Mem<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::Borrowed(mem) => mem,
            #[cfg(feature = "alloc")]
            Self::Owned(mem) => mem,
        }
    }
}

/// One place of a table. `Vacant` comes first and the tag is a `u8`, so that an empty static table is all zeros and
/// lands in `.bss` (a plain enum hides its tag in a niche of `T` and moves the whole table into `.data`).
#[derive(Debug)]
#[repr(u8)]
pub enum Slot<T> {
    /// Nobody lives here.
    Vacant {
        /// Counts the tenants so far.
        generation: u16,
    },
    /// An entry.
    Occupied {
        /// Which tenant this is.
        generation: u16,
        /// The entry.
        value: T,
    },
}

impl<T> Slot<T> {
    /// What static storage is filled with.
    pub const VACANT: Self = Self::Vacant { generation: 0 };
}

/// Handle of an entry: a stale one finds nothing, never another entry.
pub struct Id<T> {
    index: u32,
    generation: u16,
    table: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// The place in the table: a small number, reused after removal. Parallel tables and user interfaces may show it.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && self.generation == other.generation
    }
}

impl<T> Eq for Id<T> {}

impl<T> core::hash::Hash for Id<T> {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        (self.index, self.generation).hash(state);
    }
}

impl<T> core::fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "#{}.{}", self.index, self.generation)
    }
}

/// A table of bounded capacity.
#[derive(Debug)]
pub struct Slots<'s, T> {
    mem: Mem<'s, Slot<T>>,
    used: u32,
    /// Places from here on are vacant: walks through a large table with few entries end here.
    extent: u32,
}

impl<'s, T> Slots<'s, T> {
    /// A table over lent memory, which is emptied. Its length is the capacity; 0 turns the feature behind it off.
    #[must_use]
    pub fn new(mem: &'s mut [Slot<T>]) -> Self {
        for slot in mem.iter_mut() {
            if matches!(slot, Slot::Occupied { .. }) {
                *slot = Slot::VACANT;
            }
        }
        Self { mem: Mem::Borrowed(mem), used: 0, extent: 0 }
    }

    /// A table on the heap.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn boxed(capacity: usize) -> Slots<'static, T> {
        let mem = core::iter::repeat_with(|| Slot::VACANT).take(capacity).collect();
        Slots { mem: Mem::Owned(mem), used: 0, extent: 0 }
    }

    /// How many entries fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.mem.len()
    }

    /// All entries are at places below this one: where a walk by place ends.
    #[must_use]
    pub const fn extent(&self) -> usize {
        self.extent as usize
    }

    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.used as usize
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Whether no further entry fits.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len() == self.mem.len()
    }

    /// Adds an entry at the lowest free place.
    ///
    /// # Errors
    /// [`Full`]; the caller's policy for a full table applies before this call.
    pub fn insert(&mut self, value: T) -> Result<Id<T>, Full> {
        if self.is_full() {
            return Err(Full);
        }
        let place = self.mem.iter_mut().enumerate().find_map(|(index, slot)| match slot {
            Slot::Vacant { generation } => Some((index, *generation, slot)),
            Slot::Occupied { .. } => None,
        });
        let Some((index, generation, slot)) = place else { return Err(Full) };
        *slot = Slot::Occupied { generation, value };
        self.used += 1;
        self.extent = self.extent.max(index as u32 + 1);
        Ok(Id { index: index as u32, generation, table: PhantomData })
    }

    /// Takes an entry out, so that what it owns can be given back.
    pub fn remove(&mut self, id: Id<T>) -> Option<T> {
        self.get(id)?;
        let slot = &mut self.mem[id.index()];
        self.used -= 1;
        let slot = core::mem::replace(slot, Slot::Vacant { generation: id.generation.wrapping_add(1) });
        while self.extent.checked_sub(1).is_some_and(|last| matches!(self.mem[last as usize], Slot::Vacant { .. })) {
            self.extent -= 1;
        }
        match slot {
            Slot::Occupied { value, .. } => Some(value),
            Slot::Vacant { .. } => None,
        }
    }

    /// The entry behind a handle, `None` for a stale one.
    #[must_use]
    pub fn get(&self, id: Id<T>) -> Option<&T> {
        match self.mem.get(id.index())? {
            Slot::Occupied { generation, value } if *generation == id.generation => Some(value),
            Slot::Occupied { .. } | Slot::Vacant { .. } => None,
        }
    }

    /// The entry behind a handle, `None` for a stale one.
    #[must_use]
    pub fn get_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        match self.mem.get_mut(id.index())? {
            Slot::Occupied { generation, value } if *generation == id.generation => Some(value),
            Slot::Occupied { .. } | Slot::Vacant { .. } => None,
        }
    }

    /// The handle of the entry at a place.
    #[must_use]
    pub fn id_at(&self, index: usize) -> Option<Id<T>> {
        match self.mem.get(index)? {
            Slot::Occupied { generation, .. } => {
                Some(Id { index: index as u32, generation: *generation, table: PhantomData })
            }
            Slot::Vacant { .. } => None,
        }
    }

    /// All entries, in order of place.
    pub fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> + Clone {
        self.mem[..self.extent as usize].iter().enumerate().filter_map(|(index, slot)| match slot {
            Slot::Occupied { generation, value } => {
                Some((Id { index: index as u32, generation: *generation, table: PhantomData }, value))
            }
            Slot::Vacant { .. } => None,
        })
    }

    /// All entries, in order of place.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Id<T>, &mut T)> {
        self.mem[..self.extent as usize].iter_mut().enumerate().filter_map(|(index, slot)| match slot {
            Slot::Occupied { generation, value } => {
                Some((Id { index: index as u32, generation: *generation, table: PhantomData }, value))
            }
            Slot::Vacant { .. } => None,
        })
    }

    /// All entries without their handles.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.iter().map(|(_, value)| value)
    }

    /// All entries without their handles.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.iter_mut().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::vec::Vec;

    #[test]
    fn vacant_is_all_zeros_and_stale_handles_find_nothing() {
        let mut mem = [const { Slot::<bool>::VACANT }; 2];
        let mut table = Slots::new(&mut mem);
        let first = table.insert(true).unwrap();
        assert_eq!(table.remove(first), Some(true));
        let second = table.insert(false).unwrap();
        assert_eq!(first.index(), second.index());
        assert_eq!(table.remove(first), None);
        assert_eq!((table.get(first), table.get(second)), (None, Some(&false)));
    }

    quickcheck! {
        /// Whatever is inserted and removed, the table agrees with a plain list.
        fn behaves_like_a_list(actions: Vec<(bool, u8)>) -> bool {
            let mut mem = [const { Slot::<u8>::VACANT }; 5];
            let (mut table, mut model) = (Slots::new(&mut mem), Vec::<(Id<u8>, u8)>::new());
            actions.iter().all(|&(add, v)| {
                if add {
                    match table.insert(v) {
                        Ok(id) => model.push((id, v)),
                        Err(Full) => return model.len() == 5,
                    }
                } else if !model.is_empty() {
                    let (id, value) = model.swap_remove(usize::from(v) % model.len());
                    if table.remove(id) != Some(value) { return false; }
                }
                let places = model.iter().map(|(id, _)| id.index() + 1);
                table.extent() == places.max().unwrap_or(0)
                    && table.iter().count() == model.len()
                    && table.len() == model.len() && model.iter().all(|(id, v)| table.get(*id) == Some(v))
            })
        }
    }
}

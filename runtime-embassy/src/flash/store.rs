//! The store: two banks that take turns.
//!
//! A save writes into the bank that does not hold the newest snapshot, reads it back, and then puts a mark into the
//! other bank: "this generation is complete over there". So at every moment one bank holds a complete snapshot that
//! nothing is being done to, and when the newest cannot be read any more, the mark tells that it was there. The first
//! save, and the first after damage, writes both banks: from then on a damaged page costs at most the last save.
//!
//! A bank is filled from its beginning to its end and then erased as a whole, so its pages wear evenly, and both banks
//! do. What was saved last is not written again.

use super::bank::{self, CHUNK, Inventory, ItemBuffer, PushError, Record, WORD_MAX, is_blank, take_inventory};
use super::snapshot::{Snapshot, SnapshotError, WORDS_MAX, snapshot_max};
use core::fmt;
use core::ops::Range;
use embedded_storage_async::nor_flash::NorFlash;

/// Bytes to be saved, read piece by piece.
pub trait Source {
    /// Their number.
    fn len(&self) -> usize;

    /// Copies those from `at` on. False when they are not there any more: nothing is saved then.
    fn read(&mut self, at: usize, to: &mut [u8]) -> bool;

    /// Whether there is nothing to save.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Source for &[u8] {
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    fn read(&mut self, at: usize, to: &mut [u8]) -> bool {
        let part = self.get(at..at + to.len());
        part.map(|part| to.copy_from_slice(part)).is_some()
    }
}

/// Why a range of flash cannot be a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeError {
    /// It does not begin and end between pages, or reaches beyond the flash.
    NotPages,
    /// It has fewer bytes than this.
    TooSmall(u64),
    /// The pages are too small, or the words too large, for an item.
    BadGeometry,
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPages => f.write_str("the flash range is not made of whole pages of the flash"),
            Self::TooSmall(needed) => write!(f, "the flash range is too small: {needed} bytes are needed"),
            Self::BadGeometry => f.write_str("the pages of the flash are too small, or its words too large"),
        }
    }
}

impl core::error::Error for RangeError {}

/// What the flash held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// Nothing: a new device.
    New,
    /// The newest snapshot, with its generation. So many bytes are in the buffer.
    Newest {
        /// Its number.
        generation: u32,
        /// Bytes in the buffer.
        len: usize,
    },
    /// The newest snapshot is damaged; an older one is in the buffer.
    Older {
        /// Its number.
        generation: u32,
        /// The number of the damaged one.
        damaged: u32,
        /// Bytes in the buffer.
        len: usize,
    },
}

/// Why nothing was loaded. The flash is as it was, and stays so until [`Store::format`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// Something is there, but no complete snapshot.
    Unreadable,
    /// The snapshot is of a version that this program does not know: of a later program, or no snapshot.
    Version(u8),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("the flash holds something, but no snapshot that can be read"),
            Self::Version(version) => write!(f, "the flash holds a snapshot of unknown version {version}"),
        }
    }
}

impl core::error::Error for LoadError {}

/// What a save did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// Nothing: the flash holds these bytes already.
    Unchanged,
    /// The snapshot is on flash, as this generation, and an older one too.
    Written(u32),
    /// The snapshot is on flash, as this generation, but the other bank takes nothing: no older one is left.
    Alone(u32),
}

/// Why nothing was saved. What was there before is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveError<E> {
    /// [`Store::load`] has not succeeded yet.
    NotLoaded,
    /// More bytes than the store was made for.
    TooLong,
    /// The source changed meanwhile: take a new snapshot and save that.
    Changed,
    /// What was written does not read back: the flash is worn out.
    Worn,
    /// The flash failed.
    Flash(E),
}

/// [`Store::read`] found less than was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadError;

/// Snapshots in a range of flash.
pub struct Store<F> {
    flash: F,
    banks: [Range<u32>; 2],
    len_max: u32,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Not looked at yet, or not understood.
    Unknown,
    Known(Known),
}

#[derive(Clone, Copy, Debug)]
struct Known {
    /// The newest snapshot, and its bank.
    newest: Option<(usize, Record)>,
    /// Whether a bank holds a complete snapshot.
    complete: [bool; 2],
    /// The highest generation seen.
    seen: u32,
}

impl<F: NorFlash> Store<F> {
    /// A store over `range` for the snapshots of a node with at most so many friends. At least two pages, and enough
    /// for two snapshots, with the words of a request to each friend. More pages make fewer erasures.
    ///
    /// # Errors
    /// [`RangeError`].
    pub fn new(flash: F, range: Range<u32>, friends: usize) -> Result<Self, RangeError> {
        let len_max = snapshot_max(friends) + friends * WORDS_MAX;
        let word = F::WRITE_SIZE.max(F::READ_SIZE);
        if !WORD_MAX.is_multiple_of(word) || F::ERASE_SIZE > u32::MAX as usize / 2 {
            return Err(RangeError::BadGeometry);
        }
        let needed = bank::pages_for::<F>(len_max).ok_or(RangeError::BadGeometry)?;
        let page = F::ERASE_SIZE as u32;
        let whole = range.start.is_multiple_of(page) && range.end.is_multiple_of(page) && range.start <= range.end;
        if !whole || range.end as usize > flash.capacity() {
            return Err(RangeError::NotPages);
        }
        let in_bank = (range.end - range.start) / page / 2;
        if (in_bank as usize) < needed {
            return Err(RangeError::TooSmall(2 * needed as u64 * u64::from(page)));
        }
        let bank = |index: u32| range.start + index * in_bank * page..range.start + (index + 1) * in_bank * page;
        Ok(Self { flash, banks: [bank(0), bank(1)], len_max: len_max as u32, state: State::Unknown })
    }

    /// Finds the newest snapshot and fills `buffer` with its bytes, as far as they fit. Changes nothing on flash.
    ///
    /// # Errors
    /// [`LoadError`]: nothing can be saved either, before [`format`](Self::format).
    pub async fn load(&mut self, buffer: &mut [u8]) -> Result<Loaded, LoadError> {
        self.state = State::Unknown;
        let mut item = ItemBuffer::new();
        let mut found = [Inventory::default(); 2];
        for (found, range) in found.iter_mut().zip(&self.banks) {
            *found = take_inventory(&mut self.flash, range, &mut item).await;
        }
        let marked = found.iter().filter_map(|found| found.mark).max();
        let known = Known {
            newest: newest_of(&found),
            complete: found.map(|found| found.newest.is_some() && !found.unsound),
            seen: found.iter().map(|found| found.seen).max().unwrap_or_default(),
        };
        let Some((bank, record)) = known.newest else {
            if marked.is_none_or(|marked| marked > 0) && !self.is_untouched(&mut item).await {
                return Err(LoadError::Unreadable);
            }
            self.state = State::Known(known);
            return Ok(Loaded::New);
        };
        let len = buffer.len().min(record.len as usize);
        let range = &self.banks[bank];
        let got = bank::read(&mut self.flash, range, record.generation, 0, &mut buffer[..len], &mut item).await;
        if got < len {
            return Err(LoadError::Unreadable);
        }
        match Snapshot::parse(&buffer[..len]) {
            Err(SnapshotError::Version(version)) => return Err(LoadError::Version(version)),
            Err(SnapshotError::Damaged) => return Err(LoadError::Unreadable),
            Ok(_) => self.state = State::Known(known),
        }
        let generation = record.generation;
        Ok(match marked.filter(|marked| *marked > generation) {
            None => Loaded::Newest { generation, len },
            Some(damaged) => Loaded::Older { generation, damaged, len },
        })
    }

    /// Bytes of the newest snapshot, from `at` on.
    ///
    /// # Errors
    /// [`ReadError`]: there are not so many.
    pub async fn read(&mut self, at: usize, to: &mut [u8]) -> Result<(), ReadError> {
        let State::Known(Known { newest: Some((bank, record)), .. }) = self.state else { return Err(ReadError) };
        let mut item = ItemBuffer::new();
        let got = bank::read(&mut self.flash, &self.banks[bank], record.generation, at, to, &mut item).await;
        if got == to.len() { Ok(()) } else { Err(ReadError) }
    }

    /// Writes a snapshot, unless it is what was saved last. Power may go at any time: then it is either there or, as if
    /// nothing had happened, the one before.
    ///
    /// # Errors
    /// [`SaveError`].
    pub async fn save(&mut self, mut source: impl Source) -> Result<Saved, SaveError<F::Error>> {
        self.save_from(&mut source).await
    }

    /// One code for all sources: flash for code is dear.
    async fn save_from(&mut self, source: &mut dyn Source) -> Result<Saved, SaveError<F::Error>> {
        let State::Known(known) = self.state else { return Err(SaveError::NotLoaded) };
        let len = u32::try_from(source.len()).ok().filter(|len| *len <= self.len_max).ok_or(SaveError::TooLong)?;
        let mut item = ItemBuffer::new();
        let digest = bank::digest_of(source, &mut item).ok_or(SaveError::Changed)?;
        let is_same = |(_, newest): (usize, Record)| (newest.len, newest.digest) == (len, digest);
        if known.newest.is_some_and(is_same) && known.complete == [true; 2] {
            return Ok(Saved::Unchanged);
        }
        if known.newest.is_none() {
            self.stamp(&mut item).await?;
        }
        let bank = known.newest.map_or(0, |(bank, _)| 1 - bank);
        let record = Record { generation: known.seen.saturating_add(1), len, digest };
        self.write(bank, record, source, &mut item).await?;
        if self.is_complete(1 - bank) && self.mark(1 - bank, record.generation).await {
            return Ok(Saved::Written(record.generation));
        }
        let again = Record { generation: record.generation.saturating_add(1), ..record };
        if self.write(1 - bank, again, source, &mut item).await.is_err() {
            return Ok(Saved::Alone(record.generation));
        }
        // A mark that does not get there spoils that bank, and the next save mends it.
        Ok(if self.mark(bank, again.generation).await {
            Saved::Written(again.generation)
        } else {
            Saved::Alone(again.generation)
        })
    }

    /// Erases everything: the device is new.
    ///
    /// # Errors
    /// Those of the flash; it has to be called again then.
    pub async fn format(&mut self) -> Result<(), F::Error> {
        self.state = State::Unknown;
        for bank in &self.banks {
            self.flash.erase(bank.start, bank.end).await?;
        }
        self.state = State::Known(Known { newest: None, complete: [false; 2], seen: 0 });
        Ok(())
    }

    /// The flash, to look at.
    pub const fn flash(&self) -> &F {
        &self.flash
    }

    /// The flash, given back.
    pub fn into_flash(self) -> F {
        self.flash
    }

    #[cfg(test)]
    pub(super) const fn flash_mut(&mut self) -> &mut F {
        &mut self.flash
    }

    /// Before the first snapshot, the second bank says that there is none yet: what then lies in the first bank when
    /// power goes is known to be nobody's loss.
    async fn stamp(&mut self, item: &mut ItemBuffer) -> Result<(), SaveError<F::Error>> {
        let range = self.banks[1].clone();
        if take_inventory(&mut self.flash, &range, item).await.mark == Some(0) {
            return Ok(());
        }
        if !is_blank(&mut self.flash, range.clone(), item).await {
            self.flash.erase(range.start, range.end).await.map_err(SaveError::Flash)?;
        }
        bank::push_mark(&mut self.flash, &range, 0).await.map_err(SaveError::of)
    }

    /// Nothing has ever been written here, or no more than a part of the stamp.
    async fn is_untouched(&mut self, item: &mut ItemBuffer) -> bool {
        // The word that opens the page, and the words of the item.
        let word = F::WRITE_SIZE.max(F::READ_SIZE) as u32;
        let stamp = word + 2 * 8u32.next_multiple_of(word);
        let [first, second] = self.banks.clone();
        is_blank(&mut self.flash, first, item).await
            && is_blank(&mut self.flash, second.start + stamp..second.end, item).await
    }

    /// Writes a snapshot into a bank and reads it back; erases the bank before, if need be.
    async fn write(
        &mut self,
        bank: usize,
        record: Record,
        source: &mut dyn Source,
        item: &mut ItemBuffer,
    ) -> Result<(), SaveError<F::Error>> {
        let range = self.banks[bank].clone();
        let mut error = SaveError::Worn;
        for is_last in [false, true] {
            if is_last || !self.is_complete(bank) {
                self.set_incomplete(bank);
                if !is_blank(&mut self.flash, range.clone(), item).await {
                    self.flash.erase(range.start, range.end).await.map_err(SaveError::Flash)?;
                }
            }
            match bank::push_record(&mut self.flash, &range, record, source, item).await {
                Err(PushError::Changed) => return Err(SaveError::Changed),
                Err(why) => error = SaveError::of(why),
                Ok(()) => {
                    let found = take_inventory(&mut self.flash, &range, item).await;
                    if found.newest == Some(record) && !found.unsound {
                        self.wrote(bank, record);
                        return Ok(());
                    }
                    error = SaveError::Worn;
                }
            }
        }
        self.set_incomplete(bank);
        Err(error)
    }

    /// Marks in a bank that the other holds a generation.
    async fn mark(&mut self, bank: usize, generation: u32) -> bool {
        let marked = bank::push_mark(&mut self.flash, &self.banks[bank], generation).await.is_ok();
        if !marked {
            self.set_incomplete(bank);
        }
        marked
    }

    const fn is_complete(&self, bank: usize) -> bool {
        match self.state {
            State::Known(known) => known.complete[bank],
            State::Unknown => false,
        }
    }

    const fn set_incomplete(&mut self, bank: usize) {
        if let State::Known(known) = &mut self.state {
            known.complete[bank] = false;
        }
    }

    const fn wrote(&mut self, bank: usize, record: Record) {
        if let State::Known(known) = &mut self.state {
            (known.newest, known.complete[bank]) = (Some((bank, record)), true);
            known.seen = record.generation;
        }
    }
}

impl<E> SaveError<E> {
    fn of(error: PushError<E>) -> Self {
        match error {
            PushError::Flash(error) => Self::Flash(error),
            PushError::Changed => Self::Changed,
            PushError::Full | PushError::Unsound => Self::Worn,
        }
    }
}

impl<F> fmt::Debug for Store<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("banks", &self.banks).field("state", &self.state).finish_non_exhaustive()
    }
}

fn newest_of(found: &[Inventory; 2]) -> Option<(usize, Record)> {
    let records = found.iter().enumerate().filter_map(|(bank, found)| Some((bank, found.newest?)));
    records.max_by_key(|(_, record)| record.generation)
}

const _: () = assert!(CHUNK < u16::MAX as usize);

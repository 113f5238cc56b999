//! A bank: one half of a store's range, a `sequential-storage` queue of items.
//!
//! | item | content |
//! |---|---|
//! | head | `1`, generation, length, digest: a snapshot follows |
//! | chunk | `2`, generation, index, bytes |
//! | mark | `3`, generation: the other bank holds this one completely |
//!
//! A snapshot counts once all its chunks are there and the digest is right: whatever interrupts its writing, it is as
//! if it had not begun. Nothing in a bank is changed but by erasing the whole bank, and each snapshot leaves room for
//! one mark behind it.

use super::guard::ReadOnly;
use super::store::Source;
use core::hash::Hasher;
use core::ops::Range;
use embedded_storage_async::nor_flash::NorFlash;
use sequential_storage::Error as QueueError;
use sequential_storage::cache::{Cache, Uncached};
use sequential_storage::queue::{QueueConfig, QueueStorage};
use siphasher::sip::SipHasher13;
use zeroize::Zeroize;

/// The longest item. A multiple of every word size.
const ITEM_MAX: usize = 256;
const CHUNK_HEAD: usize = 1 + 4 + 2;
/// Bytes of a snapshot in a chunk.
pub(super) const CHUNK: usize = ITEM_MAX - CHUNK_HEAD;
const HEAD_LEN: usize = 1 + 4 + 4 + 8;
const MARK_LEN: usize = 1 + 4;
/// The largest word size that `sequential-storage` takes.
pub(super) const WORD_MAX: usize = 32;

const HEAD: u8 = 1;
const CHUNK_OF: u8 = 2;
const MARK: u8 = 3;

type Queue<F> = QueueStorage<F, Cache<Uncached, Uncached, Uncached>>;

/// Some flash drivers want words aligned in RAM too.
#[repr(align(4))]
pub(super) struct ItemBuffer([u8; ITEM_MAX]);

/// The items hold pieces of a secret key.
impl Drop for ItemBuffer {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ItemBuffer {
    pub(super) const fn new() -> Self {
        Self([0; ITEM_MAX])
    }
}

/// A complete snapshot in a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) generation: u32,
    pub(super) len: u32,
    pub(super) digest: u64,
}

/// What a bank holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Inventory {
    /// The newest complete snapshot.
    pub(super) newest: Option<Record>,
    /// The highest mark.
    pub(super) mark: Option<u32>,
    /// The highest generation that anything is of.
    pub(super) seen: u32,
    /// Some of it could not be read.
    pub(super) unsound: bool,
}

/// Why nothing was written, or too little.
#[derive(Debug)]
pub(super) enum PushError<E> {
    /// No room left: erase first.
    Full,
    /// The source is not what it was.
    Changed,
    /// It is no queue any more: erase first.
    Unsound,
    /// The flash failed.
    Flash(E),
}

impl<E> PushError<E> {
    fn of(error: QueueError<E>) -> Self {
        if let QueueError::Storage { value, .. } = error {
            return Self::Flash(value);
        }
        if matches!(error, QueueError::FullStorage | QueueError::ItemTooBig) { Self::Full } else { Self::Unsound }
    }
}

/// Bytes that a bank needs so that a snapshot of `len` bytes, and the mark behind it, fit after erasing. `None` when
/// its pages are too small for an item.
pub(super) const fn pages_for<F: NorFlash>(len: usize) -> Option<usize> {
    let word = if F::WRITE_SIZE > F::READ_SIZE { F::WRITE_SIZE } else { F::READ_SIZE };
    let item = 8usize.next_multiple_of(word) + ITEM_MAX;
    match F::ERASE_SIZE.saturating_sub(2 * word) / item {
        0 => None,
        in_page => Some((2 + len.div_ceil(CHUNK)).div_ceil(in_page)),
    }
}

/// The digest of a source; `None` when it fails.
pub(super) fn digest_of(source: &mut dyn Source, item: &mut ItemBuffer) -> Option<u64> {
    let len = source.len();
    let mut digest = SipHasher13::new();
    for at in (0..len).step_by(CHUNK) {
        let chunk = &mut item.0[..CHUNK.min(len - at)];
        if !source.read(at, chunk) {
            return None;
        }
        digest.write(chunk);
    }
    Some(digest.finish())
}

/// Looks through a bank, without touching it.
pub(super) async fn take_inventory<F: NorFlash>(flash: &mut F, range: &Range<u32>, item: &mut ItemBuffer) -> Inventory {
    let mut found = Inventory::default();
    let mut parts = Parts::default();
    let Some(mut queue) = open(ReadOnly(flash), range) else { return Inventory { unsound: true, ..found } };
    let Ok(mut items) = queue.iter().await else { return Inventory { unsound: true, ..found } };
    loop {
        match items.next(&mut item.0).await {
            Ok(Some(entry)) => parts.add(&entry, &mut found),
            Ok(None) => return found,
            Err(_) => return Inventory { unsound: true, ..found },
        }
    }
}

/// Whether every byte of a range is erased.
pub(super) async fn is_blank<F: NorFlash>(flash: &mut F, range: Range<u32>, item: &mut ItemBuffer) -> bool {
    for at in range.clone().step_by(ITEM_MAX) {
        let part = &mut item.0[..ITEM_MAX.min((range.end - at) as usize)];
        if flash.read(at, part).await.is_err() || part.iter().any(|byte| *byte != 0xff) {
            return false;
        }
    }
    true
}

/// Copies from a complete snapshot, beginning at `from`. Returns how many bytes were there.
pub(super) async fn read<F: NorFlash>(
    flash: &mut F,
    range: &Range<u32>,
    generation: u32,
    from: usize,
    to: &mut [u8],
    item: &mut ItemBuffer,
) -> usize {
    let Some(mut queue) = open(ReadOnly(flash), range) else { return 0 };
    let Ok(mut items) = queue.iter().await else { return 0 };
    let mut copied = 0;
    while let Ok(Some(entry)) = items.next(&mut item.0).await {
        match Item::parse(&entry) {
            // The same generation anew: its first try did not count.
            Some(Item::Head(head)) if head.generation == generation => copied = 0,
            Some(Item::Chunk { generation: of, index, bytes }) if of == generation => {
                let at = usize::from(index) * CHUNK;
                let (first, last) = (at.max(from), (at + bytes.len()).min(from + to.len()));
                if first < last {
                    to[first - from..last - from].copy_from_slice(&bytes[first - at..last - at]);
                    copied += last - first;
                }
            }
            Some(Item::Head(_) | Item::Chunk { .. } | Item::Mark(_)) | None => {}
        }
    }
    copied
}

/// Writes a snapshot behind what is there.
pub(super) async fn push_record<F: NorFlash>(
    flash: &mut F,
    range: &Range<u32>,
    record: Record,
    source: &mut dyn Source,
    item: &mut ItemBuffer,
) -> Result<(), PushError<F::Error>> {
    let mut queue = open(flash, range).ok_or(PushError::Unsound)?;
    let len = record.len as usize;
    push(&mut queue, record.emit(item)).await?;
    let mut digest = SipHasher13::new();
    for (index, at) in (0..len).step_by(CHUNK).enumerate() {
        item.0[0] = CHUNK_OF;
        item.0[1..5].copy_from_slice(&record.generation.to_le_bytes());
        item.0[5..7].copy_from_slice(&(index as u16).to_le_bytes());
        let end = CHUNK_HEAD + CHUNK.min(len - at);
        let bytes = &mut item.0[CHUNK_HEAD..end];
        if source.len() != len || !source.read(at, bytes) {
            return Err(PushError::Changed);
        }
        digest.write(bytes);
        push(&mut queue, &item.0[..end]).await?;
    }
    if digest.finish() != record.digest {
        return Err(PushError::Changed);
    }
    let word = if F::WRITE_SIZE > F::READ_SIZE { F::WRITE_SIZE } else { F::READ_SIZE };
    let mark = Queue::<&mut F>::item_overhead_size() as usize + MARK_LEN.next_multiple_of(word);
    let left = queue.space_left().await.map_err(PushError::of)?;
    if (left as usize) < mark { Err(PushError::Full) } else { Ok(()) }
}

/// Writes that the other bank holds a generation completely.
pub(super) async fn push_mark<F: NorFlash>(
    flash: &mut F,
    range: &Range<u32>,
    generation: u32,
) -> Result<(), PushError<F::Error>> {
    let mut queue = open(flash, range).ok_or(PushError::Unsound)?;
    let mut mark = [MARK; MARK_LEN];
    mark[1..].copy_from_slice(&generation.to_le_bytes());
    push(&mut queue, &mark).await
}

async fn push<F: NorFlash>(queue: &mut Queue<F>, item: &[u8]) -> Result<(), PushError<F::Error>> {
    queue.push(item, false).await.map_err(PushError::of)
}

fn open<F: NorFlash>(flash: F, range: &Range<u32>) -> Option<Queue<F>> {
    let config = QueueConfig::try_new(range.clone()).ok()?;
    Some(QueueStorage::new(flash, config, Cache::new_uncached()))
}

impl Record {
    fn emit(self, item: &mut ItemBuffer) -> &[u8] {
        item.0[0] = HEAD;
        item.0[1..5].copy_from_slice(&self.generation.to_le_bytes());
        item.0[5..9].copy_from_slice(&self.len.to_le_bytes());
        item.0[9..HEAD_LEN].copy_from_slice(&self.digest.to_le_bytes());
        &item.0[..HEAD_LEN]
    }
}

enum Item<'a> {
    Head(Record),
    Chunk { generation: u32, index: u16, bytes: &'a [u8] },
    Mark(u32),
}

impl<'a> Item<'a> {
    fn parse(item: &'a [u8]) -> Option<Self> {
        let (kind, rest) = item.split_first()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let generation = u32::from_le_bytes(*generation);
        match *kind {
            HEAD => {
                let (len, rest) = rest.split_first_chunk()?;
                let digest = rest.try_into().ok()?;
                let (len, digest) = (u32::from_le_bytes(*len), u64::from_le_bytes(digest));
                Some(Self::Head(Record { generation, len, digest }))
            }
            CHUNK_OF => {
                let (index, bytes) = rest.split_first_chunk()?;
                Some(Self::Chunk { generation, index: u16::from_le_bytes(*index), bytes })
            }
            MARK => Some(Self::Mark(generation)),
            _ => None,
        }
    }
}

/// Puts snapshots together from items that come in order.
#[derive(Default)]
struct Parts {
    head: Option<Record>,
    next: usize,
    len: usize,
    digest: SipHasher13,
}

impl Parts {
    fn add(&mut self, item: &[u8], found: &mut Inventory) {
        match Item::parse(item) {
            Some(Item::Head(head)) => {
                *self = Self { head: Some(head), ..Self::default() };
                found.seen = found.seen.max(head.generation);
            }
            Some(Item::Chunk { generation, index, bytes }) => {
                found.seen = found.seen.max(generation);
                let Some(head) = self.head.filter(|head| head.generation == generation) else { return };
                if usize::from(index) != self.next {
                    self.head = None;
                    return;
                }
                self.next += 1;
                self.len += bytes.len();
                self.digest.write(bytes);
                let complete = self.len == head.len as usize && self.digest.finish() == head.digest;
                if complete && found.newest.is_none_or(|newest| newest.generation < generation) {
                    found.newest = Some(head);
                }
            }
            Some(Item::Mark(generation)) => {
                found.seen = found.seen.max(generation);
                found.mark = found.mark.max(Some(generation));
            }
            None => found.unsound = true,
        }
    }
}

//! What waits to be sent: bytes in a pool of blocks, shared by all connections.
//!
//! A queue is a chain of blocks that holds records, each with its length before it; records run over the ends of
//! blocks, so no room is lost. An empty queue has no block: only a client to whom something is being sent costs
//! anything.
//!
//! Nobody can use the pool up: a queue may grow to a quarter of what is free, so the more is taken, the less each may
//! have, and one more queue always finds room for something.

use crate::storage::{Full, Mem};

/// Bytes of a block.
pub const QUEUE_BLOCK_LEN: usize = 2048;

/// A block of the pool.
pub type QueueBlock = [u8; QUEUE_BLOCK_LEN];

/// Length of what stands before each record.
const HEAD: usize = 2;
/// In a record's head: it goes out as it is, not in a frame.
const RAW: u16 = 1 << 15;
/// A queue may have this part of what is free.
const SHARE: u32 = 4;

/// A chain of blocks. All zeros when empty.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Places + 1; 0 is none.
    head: u32,
    tail: u32,
    blocks: u32,
    /// Where reading goes on in the first block.
    read: u16,
    /// Where writing goes on in the last block.
    write: u16,
}

impl Queue {
    pub(super) const EMPTY: Self = Self { head: 0, tail: 0, blocks: 0, read: 0, write: 0 };

    pub(super) const fn is_empty(&self) -> bool {
        self.head == 0
    }
}

/// The front of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) len: usize,
    pub(super) raw: bool,
}

/// All blocks.
#[derive(Debug)]
pub(super) struct Pool<'s> {
    bytes: Mem<'s, QueueBlock>,
    /// For each block the one behind it in its chain or in the list of free ones, + 1.
    next: Mem<'s, u32>,
    free: u32,
    /// Blocks from this place on were never used.
    fresh: u32,
    used: u32,
}

impl<'s> Pool<'s> {
    pub(super) const fn new(bytes: Mem<'s, QueueBlock>, next: Mem<'s, u32>) -> Self {
        Self { bytes, next, free: 0, fresh: 0, used: 0 }
    }

    pub(super) fn capacity(&self) -> u32 {
        self.bytes.len().min(self.next.len()) as u32
    }

    pub(super) const fn used(&self) -> u32 {
        self.used
    }

    /// Appends the concatenation of `parts` as one record, if the queue then has at most `quota` blocks, and its share.
    pub(super) fn push(&mut self, queue: &mut Queue, quota: u32, raw: bool, parts: &[&[u8]]) -> Result<(), Full> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let room = if queue.tail == 0 { 0 } else { QUEUE_BLOCK_LEN - usize::from(queue.write) };
        let more = (HEAD + len).saturating_sub(room).div_ceil(QUEUE_BLOCK_LEN) as u32;
        let free = self.capacity() - self.used;
        let share = quota.min((free / SHARE).max(1));
        if more > free || more > 0 && queue.blocks + more > share {
            return Err(Full);
        }
        let head = len as u16 | if raw { RAW } else { 0 };
        self.write(queue, &head.to_be_bytes());
        parts.iter().for_each(|part| self.write(queue, part));
        Ok(())
    }

    /// The record at the front.
    pub(super) fn front(&self, queue: &Queue) -> Option<Record> {
        if queue.is_empty() {
            return None;
        }
        let mut head = [0; HEAD];
        let (mut block, mut at) = (queue.head, usize::from(queue.read));
        for byte in &mut head {
            if at == QUEUE_BLOCK_LEN {
                (block, at) = (self.next[block as usize - 1], 0);
            }
            *byte = self.bytes[block as usize - 1][at];
            at += 1;
        }
        let head = u16::from_be_bytes(head);
        Some(Record { len: usize::from(head & !RAW), raw: head & RAW != 0 })
    }

    /// Moves the record at the front into `out`, which has exactly its length.
    pub(super) fn pop(&mut self, queue: &mut Queue, out: &mut [u8]) {
        let mut head = [0; HEAD];
        self.read(queue, &mut head);
        debug_assert_eq!(usize::from(u16::from_be_bytes(head) & !RAW), out.len());
        self.read(queue, out);
        if queue.head == queue.tail && queue.read == queue.write {
            self.clear(queue);
        }
    }

    /// Gives all blocks of a queue back.
    pub(super) fn clear(&mut self, queue: &mut Queue) {
        if queue.tail != 0 {
            self.next[queue.tail as usize - 1] = self.free;
            self.free = queue.head;
            self.used -= queue.blocks;
        }
        *queue = Queue::EMPTY;
    }

    fn write(&mut self, queue: &mut Queue, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if queue.tail == 0 || usize::from(queue.write) == QUEUE_BLOCK_LEN {
                self.grow(queue);
            }
            let at = usize::from(queue.write);
            let (now, later) = bytes.split_at(bytes.len().min(QUEUE_BLOCK_LEN - at));
            self.bytes[queue.tail as usize - 1][at..at + now.len()].copy_from_slice(now);
            queue.write += now.len() as u16;
            bytes = later;
        }
    }

    fn read(&mut self, queue: &mut Queue, mut out: &mut [u8]) {
        while !out.is_empty() {
            if usize::from(queue.read) == QUEUE_BLOCK_LEN {
                let first = queue.head;
                queue.head = core::mem::replace(&mut self.next[first as usize - 1], self.free);
                self.free = first;
                self.used -= 1;
                queue.blocks -= 1;
                queue.read = 0;
            }
            let at = usize::from(queue.read);
            let (now, later) = out.split_at_mut(out.len().min(QUEUE_BLOCK_LEN - at));
            now.copy_from_slice(&self.bytes[queue.head as usize - 1][at..at + now.len()]);
            queue.read += now.len() as u16;
            out = later;
        }
    }

    /// Adds a block, which [`push`](Self::push) has made sure of.
    fn grow(&mut self, queue: &mut Queue) {
        let block = if self.free != 0 {
            let block = self.free;
            self.free = self.next[block as usize - 1];
            block
        } else {
            self.fresh += 1;
            self.fresh
        };
        self.next[block as usize - 1] = 0;
        if queue.tail == 0 {
            queue.head = block;
        } else {
            self.next[queue.tail as usize - 1] = block;
        }
        queue.tail = block;
        queue.write = 0;
        queue.blocks += 1;
        self.used += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::boxed::Box;
    use std::collections::VecDeque;
    use std::vec;
    use std::vec::Vec;

    fn pool(blocks: usize) -> Pool<'static> {
        let bytes = Box::leak(vec![[0; QUEUE_BLOCK_LEN]; blocks].into_boxed_slice());
        Pool::new(Mem::Borrowed(bytes), Mem::Borrowed(Box::leak(vec![0; blocks].into_boxed_slice())))
    }

    #[test]
    fn nobody_takes_all() {
        let mut pool = pool(64);
        let mut queues: [Queue; 16] = core::array::from_fn(|_| Queue::EMPTY);
        for queue in &mut queues {
            while pool.push(queue, u32::MAX, false, &[&[1; 1400]]).is_ok() {}
            assert!(!queue.is_empty() && queue.blocks <= 16);
        }
        assert!(queues[0].blocks > queues[15].blocks && pool.used() < 64);
        let mut other = Queue::EMPTY;
        assert!(pool.push(&mut other, 1, false, &[&[2; 2032]]).is_ok());
        assert_eq!(pool.push(&mut other, 1, false, &[&[2; 2032]]), Err(Full), "more than its quota");
        queues.iter_mut().for_each(|queue| pool.clear(queue));
        pool.clear(&mut other);
        assert_eq!(pool.used(), 0);
    }

    quickcheck! {
        /// Several queues keep their records, in order, whatever happens in the others, and give all blocks back.
        fn queues_keep_records(steps: Vec<(u8, u16, bool)>) -> bool {
            let mut pool = pool(24);
            let mut queues: [Queue; 3] = core::array::from_fn(|_| Queue::EMPTY);
            let mut model: [VecDeque<(Vec<u8>, bool)>; 3] = Default::default();
            for (i, (step, len, raw)) in steps.into_iter().enumerate() {
                let q = usize::from(step) % 3;
                if step & 128 == 0 {
                    let record = vec![i as u8; usize::from(len % 2033)];
                    let (a, b) = record.split_at(record.len() / 2);
                    if pool.push(&mut queues[q], 20, raw, &[a, b]).is_ok() {
                        model[q].push_back((record, raw));
                    }
                } else {
                    let front = pool.front(&queues[q]);
                    let expected = model[q].pop_front();
                    if front != expected.as_ref().map(|(r, raw)| Record { len: r.len(), raw: *raw }) { return false; }
                    let Some((record, _)) = expected else { continue };
                    let mut out = vec![0; record.len()];
                    pool.pop(&mut queues[q], &mut out);
                    if out != record { return false; }
                }
                if (0..3).any(|q| queues[q].is_empty() != model[q].is_empty()) { return false; }
                if queues.iter().map(|queue| queue.blocks).sum::<u32>() != pool.used() { return false; }
            }
            queues.iter_mut().for_each(|queue| pool.clear(queue));
            pool.used() == 0
        }
    }
}

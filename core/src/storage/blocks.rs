//! The pool of payload blocks, and chains of them.
//!
//! A block holds the content of one crypto data packet (1373 bytes at most): what waits to be sent or acknowledged,
//! what arrived early or is not read yet, the text of a pending friend request. Blocks are lent by [`BlockId`], which
//! can be neither copied nor dropped without the pool noticing in its books. A quarter of the pool is kept for
//! receiving and a quarter for sending: without the one, two nodes whose senders fill their pools never deliver
//! anything again; without the other, an application that answers each message before it reads the next never answers again.

use super::{Full, Mem};
use crate::time::Instant;

/// Payload bytes of a block: the largest content of a crypto data packet.
pub const BLOCK_LEN: usize = 1373;

/// A block of the pool. All zeros when new.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Index + 1 of the next block of a chain or of the free list; 0 ends it.
    next: u16,
    len: u16,
    /// The packet number in a session's window.
    pub number: u32,
    /// What the owner wants to know when the block is done with: a message id, 0 for none.
    pub tag: u32,
    /// Last transmission in milliseconds since the node's start, 0 for never.
    pub sent_ms: u32,
    /// Flags of the owner.
    pub flags: u8,
    /// It holds what was received.
    received: bool,
    bytes: [u8; BLOCK_LEN],
}

impl Block {
    /// What static storage is filled with.
    pub const ZERO: Self =
        Self { next: 0, len: 0, number: 0, tag: 0, sent_ms: 0, flags: 0, received: false, bytes: [0; BLOCK_LEN] };

    /// The content.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The right to one block. Given back with [`Blocks::give`]; neither `Clone` nor `Copy`.
#[derive(Debug, PartialEq, Eq)]
pub struct BlockId(u16);

/// A singly linked list of blocks in FIFO order.
#[derive(Debug, Default)]
pub struct Chain {
    head: u16,
    tail: u16,
    len: u16,
}

impl Chain {
    /// An empty chain.
    pub const EMPTY: Self = Self { head: 0, tail: 0, len: 0 };

    /// Number of blocks in it.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The pool.
#[derive(Debug)]
pub struct Blocks<'s> {
    mem: Mem<'s, Block>,
    free: u16,
    /// Blocks at and beyond this place were never used: the free list needs no initialisation.
    fresh: u16,
    used: u16,
    /// Of those in use: taken for what was received.
    received: u16,
}

impl<'s> Blocks<'s> {
    /// A pool over lent memory; at most 65,534 blocks are used.
    #[must_use]
    pub const fn new(mem: &'s mut [Block]) -> Self {
        Self { mem: Mem::Borrowed(mem), free: 0, fresh: 0, used: 0, received: 0 }
    }

    /// A pool on the heap.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn boxed(capacity: usize) -> Blocks<'static> {
        let mem = alloc::vec![Block::ZERO; capacity].into_boxed_slice();
        Blocks { mem: Mem::Owned(mem), free: 0, fresh: 0, used: 0, received: 0 }
    }

    /// How many blocks there are.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.mem.len().min(usize::from(u16::MAX) - 1)
    }

    /// How many are free.
    #[must_use]
    pub fn available(&self) -> usize {
        self.capacity() - usize::from(self.used)
    }

    /// How many are kept for receiving, and as many for sending.
    #[must_use]
    pub fn share(&self) -> usize {
        (self.capacity() / 4).max(1)
    }

    /// Whether there is a block for sending.
    #[must_use]
    pub fn may_send(&self) -> bool {
        self.available() > 0 && usize::from(self.used - self.received) + self.share() < self.capacity()
    }

    /// How many blocks there are for what is received.
    #[must_use]
    pub fn room_to_receive(&self) -> usize {
        self.available().min(self.capacity().saturating_sub(usize::from(self.received) + self.share()))
    }

    /// As [`take`](Self::take), for what is sent: those kept for receiving stay free for that.
    ///
    /// # Errors
    /// [`Full`].
    pub fn take_to_send(&mut self, parts: &[&[u8]]) -> Result<BlockId, Full> {
        if self.may_send() { self.take(0, parts) } else { Err(Full) }
    }

    /// As [`take`](Self::take), for what was received: those kept for sending stay free for that, and `keep` besides.
    ///
    /// # Errors
    /// [`Full`].
    pub fn take_received(&mut self, keep: usize, content: &[u8]) -> Result<BlockId, Full> {
        if self.room_to_receive() <= keep {
            return Err(Full);
        }
        let id = self.take(keep, &[content])?;
        self.received += 1;
        self.get_mut(&id).received = true;
        Ok(id)
    }

    /// Takes a block and fills it with the concatenation of `parts` (1373 bytes at most), if `keep` blocks stay free.
    ///
    /// # Errors
    /// [`Full`].
    ///
    /// # Panics
    /// When `parts` are longer than a block: callers check lengths first.
    pub fn take(&mut self, keep: usize, parts: &[&[u8]]) -> Result<BlockId, Full> {
        if self.available() <= keep {
            return Err(Full);
        }
        let place = if self.free != 0 {
            let place = self.free;
            self.free = self.mem[usize::from(place) - 1].next;
            place
        } else {
            self.fresh += 1;
            self.fresh
        };
        self.used += 1;
        let block = &mut self.mem[usize::from(place) - 1];
        let mut len = 0;
        for part in parts {
            block.bytes[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        }
        (block.next, block.len, block.number, block.tag, block.sent_ms, block.flags) = (0, len as u16, 0, 0, 0, 0);
        block.received = false;
        Ok(BlockId(place))
    }

    /// Gives a block back.
    pub fn give(&mut self, id: BlockId) {
        let block = &mut self.mem[usize::from(id.0) - 1];
        block.next = self.free;
        self.free = id.0;
        self.used -= 1;
        self.received -= u16::from(block.received);
    }

    /// A block.
    #[must_use]
    pub fn get(&self, id: &BlockId) -> &Block {
        &self.mem[usize::from(id.0) - 1]
    }

    /// A block, to change what stands beside its content.
    #[must_use]
    pub fn get_mut(&mut self, id: &BlockId) -> &mut Block {
        &mut self.mem[usize::from(id.0) - 1]
    }

    /// Appends a block to a chain.
    pub fn push_back(&mut self, chain: &mut Chain, id: BlockId) {
        if chain.tail == 0 {
            chain.head = id.0;
        } else {
            self.mem[usize::from(chain.tail) - 1].next = id.0;
        }
        chain.tail = id.0;
        chain.len += 1;
        self.mem[usize::from(id.0) - 1].next = 0;
    }

    /// Puts a block into a chain sorted by `number` (compared relative to `base`, so that numbers may wrap). False, and
    /// the block is given back, when that number is there already.
    pub fn insert_sorted(&mut self, chain: &mut Chain, base: u32, id: BlockId) -> bool {
        let offset = |block: &Block| block.number.wrapping_sub(base);
        let new = offset(self.get(&id));
        if chain.tail == 0 || offset(&self.mem[usize::from(chain.tail) - 1]) < new {
            self.push_back(chain, id);
            return true;
        }
        let (mut before, mut at) = (0, chain.head);
        while at != 0 && offset(&self.mem[usize::from(at) - 1]) < new {
            (before, at) = (at, self.mem[usize::from(at) - 1].next);
        }
        if at != 0 && offset(&self.mem[usize::from(at) - 1]) == new {
            self.give(id);
            return false;
        }
        self.mem[usize::from(id.0) - 1].next = at;
        if before == 0 {
            chain.head = id.0;
        } else {
            self.mem[usize::from(before) - 1].next = id.0;
        }
        chain.len += 1;
        true
    }

    /// The first block of a chain.
    #[must_use]
    pub fn front(&self, chain: &Chain) -> Option<&Block> {
        self.mem.get(usize::from(chain.head).checked_sub(1)?)
    }

    /// The last block of a chain.
    #[must_use]
    pub fn back(&self, chain: &Chain) -> Option<&Block> {
        self.mem.get(usize::from(chain.tail).checked_sub(1)?)
    }

    /// Takes the first block out of a chain.
    pub fn pop_front(&mut self, chain: &mut Chain) -> Option<BlockId> {
        let place = chain.head;
        let next = self.mem.get(usize::from(place).checked_sub(1)?)?.next;
        chain.head = next;
        if next == 0 {
            chain.tail = 0;
        }
        chain.len -= 1;
        Some(BlockId(place))
    }

    /// Moves all blocks of `more` to the end of `chain`.
    pub fn append(&mut self, chain: &mut Chain, more: &mut Chain) {
        while let Some(id) = self.pop_front(more) {
            self.push_back(chain, id);
        }
    }

    /// Gives all blocks of a chain back.
    pub fn clear(&mut self, chain: &mut Chain) {
        while let Some(id) = self.pop_front(chain) {
            self.give(id);
        }
    }

    /// The blocks of a chain, first to last.
    pub fn iter<'a>(&'a self, chain: &Chain) -> impl Iterator<Item = &'a Block> + use<'a, 's> {
        let mut at = chain.head;
        core::iter::from_fn(move || {
            let block = self.mem.get(usize::from(at).checked_sub(1)?)?;
            at = block.next;
            Some(block)
        })
    }

    /// Calls `visit` with each block of a chain, first to last, until it returns false.
    pub fn for_each_mut(&mut self, chain: &Chain, mut visit: impl FnMut(&mut Block) -> bool) {
        let mut at = chain.head;
        while at != 0 {
            let block = &mut self.mem[usize::from(at) - 1];
            at = block.next;
            if !visit(block) {
                break;
            }
        }
    }

    /// The time that `sent_ms` stores.
    #[must_use]
    pub fn stamp(now: Instant) -> u32 {
        (now.millis() as u32).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::vec::Vec;

    #[test]
    fn the_reserve_is_kept() {
        let mut mem = [Block::ZERO; 3];
        let mut pool = Blocks::new(&mut mem);
        let first = pool.take(1, &[b"ab", b"c"]).unwrap();
        assert_eq!(pool.get(&first).bytes(), b"abc");
        let _second = pool.take(1, &[]).unwrap();
        assert_eq!(pool.take(1, &[]), Err(Full));
        assert!(pool.take(0, &[]).is_ok());
        pool.give(first);
        assert_eq!(pool.available(), 1);
    }

    #[test]
    fn who_receives_and_who_sends_leave_each_other_a_share() {
        let mut mem = [Block::ZERO; 8];
        let mut pool = Blocks::new(&mut mem);
        let received: Vec<_> = core::iter::from_fn(|| pool.take_received(0, b"in").ok()).collect();
        assert_eq!((received.len(), pool.take_received(0, b"in")), (6, Err(Full)));
        let sent: Vec<_> = core::iter::from_fn(|| pool.take_to_send(&[b"out"]).ok()).collect();
        assert_eq!((sent.len(), pool.available()), (2, 0));
        received.into_iter().for_each(|id| pool.give(id));
        let more: Vec<_> = core::iter::from_fn(|| pool.take_to_send(&[b"out"]).ok()).collect();
        assert_eq!((more.len(), pool.may_send()), (4, false));
        assert!(pool.take_received(0, b"in").is_ok());
        assert_eq!(pool.take_received(1, b"in"), Err(Full));
    }

    quickcheck! {
        /// Sorted insertion keeps order, refuses doubles, and loses no block.
        fn chains_sort_and_balance(numbers: Vec<u8>, base: u32) -> bool {
            let mut mem = std::vec![Block::ZERO; 300];
            let mut pool = Blocks::new(&mut mem);
            let mut chain = Chain::EMPTY;
            let mut model = Vec::new();
            for n in &numbers {
                let id = pool.take(0, &[&[*n]]).unwrap();
                pool.get_mut(&id).number = base.wrapping_add(u32::from(*n));
                let fresh = !model.contains(n);
                if pool.insert_sorted(&mut chain, base, id) != fresh { return false; }
                if fresh { model.push(*n); }
            }
            model.sort_unstable();
            let in_order: Vec<u8> = pool.iter(&chain).map(|b| b.bytes()[0]).collect();
            let balanced = pool.available() == 300 - model.len();
            pool.clear(&mut chain);
            in_order == model && balanced && pool.available() == 300 && chain.is_empty()
        }
    }
}

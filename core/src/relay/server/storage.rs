//! All the memory of a relay, in one place.

use super::conns::Conn;
use super::queue::{QUEUE_BLOCK_LEN, QueueBlock};
use super::routes::RoutePage;
use crate::storage::Mem;

/// Connections that have ended and that the adapter has not heard of yet.
const CLOSING: usize = 16;

/// The tables that a relay works in. Each has a policy for when it is full:
///
/// | table | when full |
/// |---|---|
/// | clients | a new client is turned away; one that comes again takes its own place |
/// | pending handshakes | the oldest makes room, that of the same address first if it has a quarter of all |
/// | an address's share | the oldest pending of that address makes room, else the newcomer is refused |
/// | routes | the answer is a refusal; a quarter is kept for those who have none |
/// | blocks | data is dropped; a queue may have a quarter of what is free |
#[derive(Debug)]
pub struct RelayStorage<'s> {
    pub(super) limits: RelayLimits,
    pub(super) conns: Mem<'s, Conn>,
    pub(super) index: Mem<'s, u32>,
    pub(super) shares: Mem<'s, u16>,
    pub(super) pages: Mem<'s, RoutePage>,
    pub(super) blocks: Mem<'s, QueueBlock>,
    pub(super) links: Mem<'s, u32>,
}

/// Capacities of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayLimits {
    /// Clients.
    pub clients: usize,
    /// Connections whose handshake is not done.
    pub pending: usize,
    /// Connections of one address, pending or not; 65,535 at most.
    pub per_address: usize,
    /// Pages of eight routes. A client needs one for its first eight friends.
    pub pages: usize,
    /// Blocks of 2 KiB for what waits to be sent.
    pub blocks: usize,
}

impl RelayLimits {
    /// A node in the open: 6 MB of tables when nobody is there, and at most 8 MiB of waiting data.
    pub const SERVER: Self = Self { clients: 16_384, pending: 1024, per_address: 1024, pages: 24_576, blocks: 4096 };

    /// Enough for `clients`, in the proportions of [`SERVER`](Self::SERVER).
    #[must_use]
    pub fn for_clients(clients: usize) -> Self {
        let pages = clients + clients / 2;
        Self { clients, pages, per_address: (clients / 16).max(64), ..Self::SERVER }
    }

    const fn conns(&self) -> usize {
        self.clients + self.pending + CLOSING
    }

    /// Half of the places stay empty.
    const fn index(&self) -> usize {
        (2 * self.clients + 2).next_power_of_two()
    }
}

impl RelayStorage<'_> {
    pub(super) fn suffices(&self) -> bool {
        let RelayLimits { clients, pending, .. } = self.limits;
        clients > 0
            && pending > 0
            && self.conns.len() >= self.limits.conns()
            && self.index.len() >= self.limits.index()
            && !self.shares.is_empty()
            && !self.blocks.is_empty()
            && self.links.len() >= self.blocks.len()
    }
}

#[cfg(feature = "alloc")]
impl RelayStorage<'static> {
    /// Storage on the heap: allocated here, and never again.
    #[must_use]
    pub fn heap(limits: &RelayLimits) -> Self {
        fn filled<T>(count: usize, vacant: impl Fn() -> T) -> Mem<'static, T> {
            Mem::Owned(core::iter::repeat_with(vacant).take(count).collect())
        }
        // What the allocator hands out as zeros takes no memory until it is used.
        Self {
            limits: *limits,
            conns: filled(limits.conns(), || Conn::VACANT),
            index: Mem::Owned(alloc::vec![0; limits.index()].into_boxed_slice()),
            shares: Mem::Owned(alloc::vec![0; limits.index()].into_boxed_slice()),
            pages: filled(limits.pages, || RoutePage::VACANT),
            blocks: Mem::Owned(alloc::vec![[0; QUEUE_BLOCK_LEN]; limits.blocks].into_boxed_slice()),
            links: Mem::Owned(alloc::vec![0; limits.blocks].into_boxed_slice()),
        }
    }
}

/// Storage of a size that is known when the program is linked. All zeros when new, so a `static` lands in `.bss`.
///
/// `CONNS` must be 16 more than clients and pending handshakes, `INDEX` twice the clients, plus two, up to the next
/// power of two.
#[derive(Debug)]
pub struct StaticRelayStorage<const CONNS: usize, const INDEX: usize, const PAGES: usize, const BLOCKS: usize> {
    conns: [Conn; CONNS],
    index: [u32; INDEX],
    shares: [u16; INDEX],
    pages: [RoutePage; PAGES],
    blocks: [QueueBlock; BLOCKS],
    links: [u32; BLOCKS],
}

impl<const CONNS: usize, const INDEX: usize, const PAGES: usize, const BLOCKS: usize>
    StaticRelayStorage<CONNS, INDEX, PAGES, BLOCKS>
{
    /// Its size in bytes.
    pub const BYTES: usize = size_of::<Self>();

    /// Empty tables.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default of this size would be built on the stack")]
    pub const fn new() -> Self {
        Self {
            conns: [const { Conn::VACANT }; CONNS],
            index: [0; INDEX],
            shares: [0; INDEX],
            pages: [const { RoutePage::VACANT }; PAGES],
            blocks: [[0; QUEUE_BLOCK_LEN]; BLOCKS],
            links: [0; BLOCKS],
        }
    }

    /// Lends the tables to a relay with room for `pending` handshakes, the rest for clients, `per_address` of either
    /// for each address. What an earlier relay left in them is forgotten.
    pub fn storage(&mut self, pending: usize, per_address: usize) -> RelayStorage<'_> {
        let clients = CONNS.saturating_sub(pending + CLOSING);
        self.conns.fill_with(|| Conn::VACANT);
        RelayStorage {
            limits: RelayLimits { clients, pending, per_address, pages: PAGES, blocks: BLOCKS },
            conns: Mem::Borrowed(&mut self.conns),
            index: Mem::Borrowed(&mut self.index),
            shares: Mem::Borrowed(&mut self.shares),
            pages: Mem::Borrowed(&mut self.pages),
            blocks: Mem::Borrowed(&mut self.blocks),
            links: Mem::Borrowed(&mut self.links),
        }
    }
}

// 100,000 idle clients must fit in 100 MiB, with a page of routes each.
const _: () = assert!(size_of::<Conn>() <= 352 && size_of::<RoutePage>() <= 400);

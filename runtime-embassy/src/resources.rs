//! All the memory of a client in one static.

use crate::flash::{SNAPSHOT_MAX, snapshot_max};
use crate::net::{StreamBuffers, UdpBuffers};
use crate::tox::{DeviceEnv, Inner};
use bluering_core::driver::Scratch;
use bluering_core::{DATAGRAM_MAX, Endpoint, Node, StaticStorage};
use core::cell::RefCell;
use core::mem::MaybeUninit;

/// The memory of a client: the core's tables, the sockets' buffers, the buffers of the driver. All zeros when new, so a
/// `static` lands in `.bss`:
///
/// ```
/// use bluering_embassy::ToxResources;
/// use static_cell::ConstStaticCell;
/// static RESOURCES: ConstStaticCell<ToxResources<'static>> = ConstStaticCell::new(ToxResources::new());
/// let resources = RESOURCES.take();
/// ```
///
/// The capacities are those of [`StaticStorage`]: friends, searches (three more than friends), DHT nodes, blocks of
/// 1.4 KB, announcements kept for others; and the bytes of a snapshot, [`snapshot_max`] of the friends.
pub struct ToxResources<
    'd,
    const FRIENDS: usize = 8,
    const SEARCHES: usize = 11,
    const NODES: usize = 64,
    const BLOCKS: usize = 8,
    const ANNOUNCES: usize = 6,
    const SNAPSHOT: usize = SNAPSHOT_MAX,
> {
    pub(crate) storage: StaticStorage<FRIENDS, SEARCHES, NODES, BLOCKS, ANNOUNCES>,
    pub(crate) node: MaybeUninit<Node<'d, DeviceEnv>>,
    pub(crate) inner: MaybeUninit<RefCell<Inner<'d>>>,
    pub(crate) udp: UdpBuffers,
    pub(crate) streams: StreamBuffers,
    pub(crate) work: Work,
    /// What was loaded or is being saved.
    pub(crate) snapshot: [u8; SNAPSHOT],
}

/// What the driver works in.
pub(crate) struct Work {
    /// The datagram that is being handled.
    pub(crate) arrived: [u8; DATAGRAM_MAX],
    /// Length of the datagram in `arrived` that we sent to ourselves, 0 for none, and where it went.
    pub(crate) own: (usize, Endpoint),
    /// The datagram that is being sent.
    pub(crate) scratch: Scratch,
}

impl<
    const FRIENDS: usize,
    const SEARCHES: usize,
    const NODES: usize,
    const BLOCKS: usize,
    const ANNOUNCES: usize,
    const SNAPSHOT: usize,
> ToxResources<'_, FRIENDS, SEARCHES, NODES, BLOCKS, ANNOUNCES, SNAPSHOT>
{
    /// Of it: the core's tables.
    pub const CORE_BYTES: usize = StaticStorage::<FRIENDS, SEARCHES, NODES, BLOCKS, ANNOUNCES>::BYTES;

    /// Empty.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default of this size would be built on the stack")]
    pub const fn new() -> Self {
        const { assert!(SNAPSHOT >= snapshot_max(FRIENDS), "SNAPSHOT must be at least snapshot_max(FRIENDS)") };
        Self {
            storage: StaticStorage::new(),
            node: MaybeUninit::uninit(),
            inner: MaybeUninit::uninit(),
            udp: UdpBuffers::new(),
            streams: StreamBuffers::new(),
            work: Work { arrived: [0; DATAGRAM_MAX], own: (0, Endpoint::UNSPECIFIED), scratch: Scratch::new() },
            snapshot: [0; SNAPSHOT],
        }
    }
}

/// The most that the core's tables of the default capacities may take on a 32-bit target.
pub const CORE_BYTES_MAX: usize = if cfg!(feature = "relays") { 56 } else { 48 } * 1024;

#[cfg(target_pointer_width = "32")]
const _: () = assert!(<ToxResources<'static>>::CORE_BYTES <= CORE_BYTES_MAX, "the tables of a small client have grown");

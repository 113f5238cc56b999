//! `Tox`: what an application holds, as `Stack` is in embassy-net. It is small and `Copy`; all copies are one node.

use crate::flash::{Loaded, NoReplayClock};
use crate::net::Addresses;
use bluering_core::crypto::{Nacl, Nospam, PublicKey, ToxId};
use bluering_core::storage::{BLOCK_LEN, Full};
use bluering_core::time::{Instant, UnixTime};
use bluering_core::{
    AddFriendError, Connection, Env, Event, FriendId, FriendInfo, MessageId, MessageKind, Node, Occupancy, SendError,
    Stats, TooLong, UserStatus,
};
use chacha20::ChaCha12Rng;
use core::cell::RefCell;
use core::future::poll_fn;
use core::task::Poll;
use embassy_sync::waitqueue::{MultiWakerRegistration, WakerRegistration};

/// Room for the longest text that an event carries.
pub const EVENT_LEN_MAX: usize = BLOCK_LEN;

/// Tasks of the application that can wait at once without waking one another.
const WAITING: usize = 4;

/// The environment of a node on a microcontroller: a generator seeded at the start, portable primitives.
#[derive(Debug)]
pub struct DeviceEnv;

impl Env for DeviceEnv {
    type Rng = ChaCha12Rng;
    type Suite = Nacl;
    /// The memory is there with the feature only.
    const RELAYS: bool = cfg!(feature = "relays");
    /// There is no room for them.
    const SERVES: bool = false;
    const PROXIES: bool = false;
    const LAN_DISCOVERY: bool = false;
}

/// The node, and who is to be woken. It is borrowed for the length of a call, never across an `await`.
pub(crate) struct Inner<'d> {
    pub(crate) node: &'d mut Node<'d, DeviceEnv>,
    /// The runner, when there is something for it to do.
    pub(crate) runner: WakerRegistration,
    /// Tasks of the application, after each turn of the runner.
    pub(crate) tasks: MultiWakerRegistration<WAITING>,
    pub(crate) addresses: Addresses,
    pub(crate) clock: NoReplayClock,
    pub(crate) loaded: Loaded,
    /// What a snapshot holds has changed since the last one.
    pub(crate) unsaved: bool,
    /// Something has come in or was commanded since the runner's last turn.
    pub(crate) changed: bool,
    /// Nothing waits to be sent.
    pub(crate) sent: bool,
    /// Shut down.
    pub(crate) closing: bool,
    pub(crate) counters: Counters,
}

impl Inner<'_> {
    /// There is something for the runner to do.
    pub(crate) fn touch(&mut self) {
        (self.changed, self.sent) = (true, false);
        self.runner.wake();
    }

    /// Tells the node the time, when there is something new and it may be used.
    pub(crate) fn tell_clock(&mut self) {
        let now = now();
        if let Some(unix) = self.clock.hand_over(now) {
            self.node.handle_clock(now, unix);
            self.touch();
        }
    }
}

/// Counters of the runtime since its start.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Snapshots written to flash.
    pub snapshots: u32,
    /// Snapshots that could not be written; each is tried again.
    pub snapshots_failed: u32,
    /// Addresses of ours that came, went or changed.
    pub address_changes: u32,
    /// Names of bootstrap hosts that were not found; each is asked for again.
    pub names_not_found: u32,
}

/// A handle of the node. It belongs to one executor, as embassy-net's `Stack` does.
#[derive(Clone, Copy)]
pub struct Tox<'d> {
    pub(crate) inner: &'d RefCell<Inner<'d>>,
}

/// The core's time: that of embassy, but its first second is 1, so that [`Instant::ZERO`] stays "never".
pub(crate) fn now() -> Instant {
    const OFFSET: u64 = 1_000_000;
    Instant::from_micros(embassy_time::Instant::now().as_micros() + OFFSET)
}

/// What embassy's clock shows at `at`.
pub(crate) fn embassy_time_at(at: Instant) -> embassy_time::Instant {
    embassy_time::Instant::from_micros(at.since(Instant::from_secs(1)).as_micros().try_into().unwrap_or(u64::MAX / 2))
}

/// Ourselves and the network.
impl<'d> Tox<'d> {
    /// To be given to people who shall add us.
    #[must_use]
    pub fn tox_id(self) -> ToxId {
        self.with(|node| node.tox_id())
    }

    /// Our DHT key of this run: what bootstrap lines name.
    #[must_use]
    pub fn dht_key(self) -> PublicKey {
        self.with(|node| node.dht_key())
    }

    /// Whether friends can find us.
    #[must_use]
    pub fn connection(self) -> Connection {
        self.with(|node| node.connection())
    }

    /// Sets our name, at most 128 bytes, and tells it to friends.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn set_name(self, name: &[u8]) -> Result<(), TooLong> {
        self.command(|node, _| node.set_name(name))
    }

    /// Sets our status message, at most 1007 bytes, and tells it to friends.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn set_status_message(self, text: &[u8]) -> Result<(), TooLong> {
        self.command(|node, _| node.set_status_message(text))
    }

    /// Sets our status and tells it to friends.
    pub fn set_status(self, status: UserStatus) {
        self.command(|node, _| node.set_status(status));
    }

    /// Changes the nospam: friend requests to the old Tox ID are dropped from now on.
    pub fn set_nospam(self, nospam: Nospam) {
        self.command(|node, _| node.set_nospam(nospam));
    }

    /// The wall clock, when the application has one (a real-time clock, a time server). Without one, numbers from flash
    /// serve; with one, friends find us even after the flash was lost. False when it is behind what was used already.
    pub fn set_clock(self, unix: UnixTime) -> bool {
        let mut inner = self.inner.borrow_mut();
        let forward = inner.clock.set(now(), unix);
        // It is told to the node when the numbers up to it are reserved on flash.
        inner.touch();
        forward
    }

    /// What the flash held at the start: nothing, the newest snapshot, or, because that one is damaged, an older one.
    #[must_use]
    pub fn loaded(self) -> Loaded {
        self.inner.borrow().loaded
    }

    /// Our addresses, none while the link is down.
    #[must_use]
    pub fn addresses(self) -> Addresses {
        self.inner.borrow().addresses
    }

    /// Waits until our addresses are other ones than `known`.
    pub async fn other_addresses(self, known: Addresses) -> Addresses {
        self.wait(|inner| Some(inner.addresses).filter(|addresses| *addresses != known)).await
    }

    /// The node's counters.
    #[must_use]
    pub fn stats(self) -> Stats {
        self.with(|node| node.stats().clone())
    }

    /// The runtime's counters.
    #[must_use]
    pub fn counters(self) -> Counters {
        self.inner.borrow().counters
    }

    /// How full the node's tables are.
    #[must_use]
    pub fn occupancy(self) -> Occupancy {
        self.with(Node::occupancy)
    }

    /// Ends all sessions in good order, so that friends see us go offline at once, and waits until that is sent and all
    /// is saved. Then the device may be reset or switched off.
    pub async fn shutdown(self) {
        self.command(|node, now| node.shutdown(now));
        self.inner.borrow_mut().closing = true;
        self.wait(|inner| (inner.sent && !inner.unsaved).then_some(())).await;
    }
}

/// Friends and messages.
impl<'d> Tox<'d> {
    /// Sends a friend request with 1 to 921 bytes of words; it goes out again until answered.
    ///
    /// # Errors
    /// [`AddFriendError`].
    pub fn add_friend(self, to: &ToxId, message: &[u8]) -> Result<FriendId, AddFriendError> {
        self.command(|node, now| node.add_friend(now, to, message))
    }

    /// Accepts a friend request, or adds a friend who is known to have added us.
    ///
    /// # Errors
    /// [`AddFriendError`].
    pub fn accept(self, key: PublicKey) -> Result<FriendId, AddFriendError> {
        self.command(|node, now| node.accept(now, key))
    }

    /// Ends the friendship on our side. False when there is no such friend.
    pub fn remove_friend(self, friend: FriendId) -> bool {
        self.command(|node, now| node.remove_friend(now, friend))
    }

    /// Friend requests from `key` are dropped from now on.
    ///
    /// # Errors
    /// [`Full`]: the table of blocked keys has no room.
    pub fn block(self, key: PublicKey) -> Result<(), Full> {
        self.command(|node, _| node.block(key))
    }

    /// What is known about a friend.
    #[must_use]
    pub fn friend(self, id: FriendId) -> Option<FriendInfo> {
        self.with(|node| node.friend(id))
    }

    /// The friend with a key.
    #[must_use]
    pub fn friend_by_key(self, key: &PublicKey) -> Option<FriendId> {
        self.with(|node| node.friend_by_key(key))
    }

    /// The friend with a number ([`Id::index`](bluering_core::storage::Id::index)).
    #[must_use]
    pub fn friend_by_index(self, index: usize) -> Option<FriendId> {
        self.with(|node| node.friend_by_index(index))
    }

    /// The first friend after `last` by number, or the first of all: walks the table without borrowing it.
    #[must_use]
    pub fn next_friend(self, last: Option<FriendId>) -> Option<FriendId> {
        let first = last.map_or(0, |last| last.index() + 1);
        self.with(|node| node.friends().find(|id| id.index() >= first))
    }

    /// Sends a message of 1 to 1372 bytes to an online friend, and waits for room if there is none. A receipt with the
    /// returned number follows when it arrived.
    ///
    /// # Errors
    /// [`SendError`], but not `Full`.
    pub async fn send_message(self, to: FriendId, kind: MessageKind, text: &[u8]) -> Result<MessageId, SendError> {
        poll_fn(|cx| match self.try_send_message(to, kind, text) {
            Err(SendError::Full) => {
                self.inner.borrow_mut().tasks.register(cx.waker());
                Poll::Pending
            }
            sent => Poll::Ready(sent),
        })
        .await
    }

    /// Sends a message if there is room for it now.
    ///
    /// # Errors
    /// [`SendError`]; after `Full` an [`Event::Writable`] follows when there is room.
    pub fn try_send_message(self, to: FriendId, kind: MessageKind, text: &[u8]) -> Result<MessageId, SendError> {
        let mut inner = self.inner.borrow_mut();
        let sent = inner.node.send_message(now(), to, kind, text);
        // Who waits for room tries again after each turn of the runner: that alone is no reason for another.
        if sent != Err(SendError::Full) {
            inner.touch();
        }
        sent
    }

    /// Sends a packet of the application's own to an online friend, lossless or lossy: 1 to 1373 bytes, the first of
    /// them 160 to 191 or 200 to 254.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn try_send_custom(self, to: FriendId, data: &[u8], lossless: bool) -> Result<(), SendError> {
        self.command(
            |node, now| {
                if lossless { node.send_lossless(now, to, data) } else { node.send_lossy(now, to, data) }
            },
        )
    }

    /// Tells a friend whether we are typing.
    ///
    /// # Errors
    /// [`SendError::NoFriend`].
    pub fn set_typing(self, to: FriendId, typing: bool) -> Result<(), SendError> {
        self.command(|node, now| node.set_typing(now, to, typing))
    }

    /// Waits for the next event; its text, if it has one, is copied to `buf`. Events that are not read hold the core's
    /// blocks, so a friend who sends to an application that does not read is stopped, and nothing is lost.
    pub async fn event<'b>(self, buf: &'b mut [u8; EVENT_LEN_MAX]) -> Event<'b> {
        let mut buf = Some(buf);
        self.wait(|inner| {
            let event = inner.node.poll_event()?;
            let buf = buf.take()?;
            let event = event.map(|text| {
                let len = text.len().min(buf.len());
                buf[..len].copy_from_slice(&text[..len]);
                &buf[..len]
            });
            // Blocks are free again, which may let packets be asked for or sent.
            inner.touch();
            Some(event)
        })
        .await
    }

    fn with<T>(self, look: impl FnOnce(&Node<'d, DeviceEnv>) -> T) -> T {
        look(self.inner.borrow().node)
    }

    fn command<T>(self, act: impl FnOnce(&mut Node<'d, DeviceEnv>, Instant) -> T) -> T {
        let mut inner = self.inner.borrow_mut();
        inner.touch();
        act(inner.node, now())
    }

    async fn wait<T>(self, mut done: impl FnMut(&mut Inner<'d>) -> Option<T>) -> T {
        poll_fn(|cx| {
            let mut inner = self.inner.borrow_mut();
            match done(&mut inner) {
                Some(value) => Poll::Ready(value),
                None => {
                    inner.tasks.register(cx.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

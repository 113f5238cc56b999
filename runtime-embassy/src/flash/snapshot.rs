//! What of a node is kept, as bytes.
//!
//! A byte of version, then values in postcard's format, one after another: ourselves, friends, nodes. The words of
//! unanswered friend requests are long and rare, so they do not stand in here but follow behind ([`WithWords`]); the
//! snapshot itself stays small enough for a buffer of its own, [`SNAPSHOT_MAX`].

use super::store::{ReadError, Source, Store};
use bluering_core::crypto::{Nospam, PublicKey, SecretKey, ToxId};
use bluering_core::storage::Full;
use bluering_core::time::Instant;
use bluering_core::wire::NodeInfo;
use bluering_core::{Endpoint, Env, FriendId, Node, RelayHost, UserStatus};
use core::net::SocketAddr;
use core::ops::Range;
use embedded_storage_async::nor_flash::NorFlash;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// The longest snapshot of a node with 8 friends, without the words of requests.
pub const SNAPSHOT_MAX: usize = snapshot_max(8);
/// The longest words of a friend request.
pub const WORDS_MAX: usize = 921;

const VERSION: u8 = 1;
/// Nodes of a kind.
const NODES_MAX: usize = 8;
const RELAYS_MAX: usize = 4;
/// Those of a configuration shall have room beside them.
const RELAYS_RESTORED: usize = 2;
/// Where the reservation stands: behind the version, at a fixed length.
const RESERVATION: Range<usize> = 1..9;

const NAME_MAX: usize = 128;
const STATUS_MESSAGE_MAX: usize = 1007;
const HEAD_MAX: usize = 8 + 32 + 4 + 1 + (2 + NAME_MAX) + (2 + STATUS_MESSAGE_MAX);
const FRIEND_MAX: usize = 32 + 1 + 4 + 1 + 3;
const NODE_MAX: usize = 32 + 1 + 16 + 3;

/// The longest snapshot of a node with so many friends, without the words of requests.
#[must_use]
pub const fn snapshot_max(friends: usize) -> usize {
    1 + HEAD_MAX + (2 + friends * FRIEND_MAX) + (1 + NODES_MAX * NODE_MAX) * 2 + (1 + RELAYS_MAX * NODE_MAX)
}

/// Why bytes are no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// Of a version that this program does not know.
    Version(u8),
    /// Cut short, or not written by this program.
    Damaged,
}

#[derive(Serialize, Deserialize)]
struct Head<'a> {
    reservation: [u8; 8],
    secret: [u8; 32],
    nospam: [u8; 4],
    status: u8,
    name: &'a [u8],
    status_message: &'a [u8],
}

impl Drop for Head<'_> {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

#[derive(Serialize, Deserialize)]
struct FriendItem {
    key: [u8; 32],
    request: Option<RequestItem>,
}

#[derive(Serialize, Deserialize)]
struct RequestItem {
    nospam: [u8; 4],
    tries: u8,
    words: u16,
}

#[derive(Serialize, Deserialize)]
struct NodeItem {
    key: [u8; 32],
    at: SocketAddr,
}

/// A friend in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedFriend {
    /// The long-term key.
    pub key: PublicKey,
    /// Our friend request, while it is unanswered.
    pub request: Option<SavedRequest>,
}

/// An unanswered friend request in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedRequest {
    /// To whom.
    pub nospam: Nospam,
    /// How often it went out.
    pub tries: u8,
    /// Where its words stand in what was saved.
    pub words: Range<usize>,
}

/// What [`Snapshot::restore`] could bring back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Friends.
    pub friends: usize,
    /// Friends that the node refused: it has room for fewer, or they are nobody.
    pub refused: usize,
    /// Friends whose request could not be resumed: they are kept, but are not asked any more.
    pub unasked: usize,
}

/// A snapshot, read from bytes.
#[derive(Clone, Copy)]
pub struct Snapshot<'a> {
    bytes: &'a [u8],
    name: &'a [u8],
    status_message: &'a [u8],
    status: UserStatus,
    nospam: Nospam,
    friends: List<'a>,
    nodes: List<'a>,
    path_nodes: List<'a>,
    relays: List<'a>,
}

/// Items of a kind, not read yet.
#[derive(Clone, Copy)]
struct List<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Snapshot<'a> {
    /// Writes the snapshot of a node, with the [reservation](super::NoReplayClock::reservation) of its clock. Returns
    /// the number of bytes.
    ///
    /// # Errors
    /// [`Full`]: the buffer is too small; [`snapshot_max`] bytes are enough.
    pub fn write<E: Env>(node: &Node<'_, E>, reservation: u64, buffer: &mut [u8]) -> Result<usize, Full> {
        let mut sink = Sink { buffer, len: 0 };
        sink.put(&VERSION)?;
        sink.put(&Head {
            reservation: reservation.to_le_bytes(),
            secret: *node.secret_key().as_bytes(),
            nospam: node.tox_id().nospam.0,
            status: node.status() as u8,
            name: node.name(),
            status_message: node.status_message(),
        })?;
        sink.put_all(node.friends().filter_map(|id| friend_item(node, id)))?;
        sink.put_all(node.known_nodes().take(NODES_MAX).map(NodeItem::from))?;
        sink.put_all(node.path_nodes().take(NODES_MAX).map(NodeItem::from))?;
        if E::RELAYS {
            sink.put_all(node.known_relays().take(RELAYS_MAX).map(NodeItem::from))?;
        } else {
            sink.put_all(core::iter::empty::<NodeItem>())?;
        }
        Ok(sink.len)
    }

    /// Reads a snapshot; what follows behind it does not matter.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SnapshotError> {
        let (version, rest) = bytes.split_first().ok_or(SnapshotError::Damaged)?;
        if *version != VERSION {
            return Err(SnapshotError::Version(*version));
        }
        let (head, rest) = take::<Head<'a>>(rest).ok_or(SnapshotError::Damaged)?;
        let (friends, rest) = List::take::<FriendItem>(rest)?;
        let (nodes, rest) = List::take::<NodeItem>(rest)?;
        let (path_nodes, rest) = List::take::<NodeItem>(rest)?;
        let (relays, rest) = List::take::<NodeItem>(rest)?;
        Ok(Self {
            bytes: &bytes[..bytes.len() - rest.len()],
            name: head.name,
            status_message: head.status_message,
            status: UserStatus::from_byte(head.status).ok_or(SnapshotError::Damaged)?,
            nospam: Nospam(head.nospam),
            friends,
            nodes,
            path_nodes,
            relays,
        })
    }

    /// The long-term secret key.
    #[must_use]
    pub fn secret_key(&self) -> SecretKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(&self.bytes[RESERVATION.end..RESERVATION.end + 32]);
        SecretKey::from_bytes(bytes)
    }

    /// The nospam of the Tox ID.
    #[must_use]
    pub const fn nospam(&self) -> Nospam {
        self.nospam
    }

    /// For [`NoReplayClock::new`](super::NoReplayClock::new).
    #[must_use]
    pub fn reservation(&self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.bytes[RESERVATION]);
        u64::from_le_bytes(bytes)
    }

    /// Our name.
    #[must_use]
    pub const fn name(&self) -> &'a [u8] {
        self.name
    }

    /// Our status message.
    #[must_use]
    pub const fn status_message(&self) -> &'a [u8] {
        self.status_message
    }

    /// Our status.
    #[must_use]
    pub const fn status(&self) -> UserStatus {
        self.status
    }

    /// The friends.
    pub fn friends(&self) -> impl Iterator<Item = SavedFriend> + Clone + use<'a> {
        self.friends.items::<FriendItem>().scan(self.bytes.len(), |words_at, item| {
            let request = item.request.map(|request| {
                let words = *words_at..*words_at + usize::from(request.words);
                *words_at = words.end;
                SavedRequest { nospam: Nospam(request.nospam), tries: request.tries, words }
            });
            Some(SavedFriend { key: PublicKey(item.key), request })
        })
    }

    /// DHT nodes.
    pub fn nodes(&self) -> impl Iterator<Item = NodeInfo> + Clone + use<'a> {
        self.nodes.items::<NodeItem>().map(NodeInfo::from)
    }

    /// Nodes of onion paths.
    pub fn path_nodes(&self) -> impl Iterator<Item = NodeInfo> + Clone + use<'a> {
        self.path_nodes.items::<NodeItem>().map(NodeInfo::from)
    }

    /// TCP relays.
    pub fn relays(&self) -> impl Iterator<Item = NodeInfo> + Clone + use<'a> {
        self.relays.items::<NodeItem>().map(NodeInfo::from)
    }

    /// The number of bytes, without the words of requests, which follow.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Brings everything back into a node that has just been built with the snapshot's keys. Words of requests are read
    /// from the store that the snapshot was loaded from.
    ///
    /// # Errors
    /// [`ReadError`]: words are not there. The flash failed since the snapshot was loaded.
    pub async fn restore<E: Env, F: NorFlash>(
        &self,
        node: &mut Node<'_, E>,
        now: Instant,
        store: &mut Store<F>,
        scratch: &mut [u8; WORDS_MAX],
    ) -> Result<Restored, ReadError> {
        // Longer ones than the node takes were never written.
        let _ = node.set_name(self.name);
        let _ = node.set_status_message(self.status_message);
        node.set_status(self.status);
        let mut restored = Restored::default();
        for friend in self.friends() {
            let id = match friend.request {
                None => node.accept(now, friend.key),
                Some(request) => {
                    let words = scratch.get_mut(..request.words.len()).ok_or(ReadError)?;
                    store.read(request.words.start, words).await?;
                    let to = ToxId { public_key: friend.key, nospam: request.nospam };
                    let asked = node.add_friend(now, &to, words);
                    if let Ok(id) = asked {
                        node.resume_request(id, request.tries);
                    }
                    asked.or_else(|_| node.accept(now, friend.key).inspect(|_| restored.unasked += 1))
                }
            };
            match id {
                Ok(_) => restored.friends += 1,
                Err(_) => restored.refused += 1,
            }
        }
        node.restore_nodes(now, self.nodes().chain(self.path_nodes()));
        if E::RELAYS {
            for relay in self.relays().take(RELAYS_RESTORED) {
                node.add_relay(now, relay.key, RelayHost::At(relay.at));
            }
        }
        Ok(restored)
    }
}

impl core::fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Snapshot").field("friends", &self.friends.count).finish_non_exhaustive()
    }
}

/// Puts another reservation into a snapshot's bytes: at boot nothing else has changed yet.
pub fn set_reservation(snapshot: &mut [u8], reservation: u64) {
    if let Some(bytes) = snapshot.get_mut(RESERVATION) {
        bytes.copy_from_slice(&reservation.to_le_bytes());
    }
}

/// For [`WithWords`]: copies from the words of our request to a friend. False when they are not there any more.
pub fn copy_words<E: Env>(node: &Node<'_, E>, key: &PublicKey, at: usize, to: &mut [u8]) -> bool {
    let words = node.friend_by_key(key).and_then(|id| node.request_message(id));
    let part = words.and_then(|words| words.get(at..at + to.len()));
    part.map(|part| to.copy_from_slice(part)).is_some()
}

/// A snapshot and the words of its requests, to be saved. `words` copies from the words of the request to a friend,
/// with [`copy_words`], from the node: it is called while the store writes.
pub struct WithWords<'a, W> {
    snapshot: Snapshot<'a>,
    words: W,
}

impl<'a, W: FnMut(&PublicKey, usize, &mut [u8]) -> bool> WithWords<'a, W> {
    /// From bytes that [`Snapshot::write`] wrote.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn new(snapshot: &'a [u8], words: W) -> Result<Self, SnapshotError> {
        Ok(Self { snapshot: Snapshot::parse(snapshot)?, words })
    }
}

impl<W: FnMut(&PublicKey, usize, &mut [u8]) -> bool> Source for WithWords<'_, W> {
    fn len(&self) -> usize {
        let ends = self.snapshot.friends().filter_map(|friend| Some(friend.request?.words.end));
        ends.last().unwrap_or(self.snapshot.len())
    }

    fn read(&mut self, at: usize, to: &mut [u8]) -> bool {
        let wanted = at..at + to.len();
        let parts = |part: Range<usize>| part.start.max(wanted.start)..part.end.min(wanted.end);
        let own = parts(0..self.snapshot.len());
        if !own.is_empty() {
            to[own.start - at..own.end - at].copy_from_slice(&self.snapshot.bytes[own]);
        }
        let mut requests = self.snapshot.friends().filter_map(|friend| Some((friend.key, friend.request?.words)));
        requests.all(|(key, words)| {
            let part = parts(words.clone());
            part.is_empty() || (self.words)(&key, part.start - words.start, &mut to[part.start - at..part.end - at])
        })
    }
}

impl<W> core::fmt::Debug for WithWords<'_, W> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.snapshot.fmt(f)
    }
}

fn friend_item<E: Env>(node: &Node<'_, E>, id: FriendId) -> Option<FriendItem> {
    let friend = node.friend(id)?;
    let request = friend.requested.map(|nospam| RequestItem {
        nospam: nospam.0,
        tries: friend.request_tries,
        words: node.request_message(id).unwrap_or_default().len() as u16,
    });
    Some(FriendItem { key: friend.key.0, request })
}

impl From<NodeInfo> for NodeItem {
    fn from(node: NodeInfo) -> Self {
        Self { key: node.key.0, at: node.at.into() }
    }
}

impl From<NodeItem> for NodeInfo {
    fn from(node: NodeItem) -> Self {
        Self { key: PublicKey(node.key), at: Endpoint::from(node.at) }
    }
}

struct Sink<'b> {
    buffer: &'b mut [u8],
    len: usize,
}

impl Sink<'_> {
    fn put<T: Serialize>(&mut self, value: &T) -> Result<(), Full> {
        let room = self.buffer.get_mut(self.len..).ok_or(Full)?;
        self.len += postcard::to_slice(value, room).map_err(|_| Full)?.len();
        Ok(())
    }

    fn put_all<T: Serialize>(&mut self, items: impl Iterator<Item = T> + Clone) -> Result<(), Full> {
        self.put(&(items.clone().count() as u16))?;
        items.into_iter().try_for_each(|item| self.put(&item))
    }
}

impl<'a> List<'a> {
    /// The next list in `bytes`, and what follows. All of its items can be read.
    fn take<T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), SnapshotError> {
        let (count, bytes) = take::<u16>(bytes).ok_or(SnapshotError::Damaged)?;
        let mut rest = bytes;
        for _ in 0..count {
            (_, rest) = take::<T>(rest).ok_or(SnapshotError::Damaged)?;
        }
        Ok((Self { count: usize::from(count), bytes: &bytes[..bytes.len() - rest.len()] }, rest))
    }

    fn items<T: Deserialize<'a>>(self) -> impl Iterator<Item = T> + Clone + use<'a, T> {
        (0..self.count).scan(self.bytes, |rest, _| {
            let (item, after) = take::<T>(rest)?;
            *rest = after;
            Some(item)
        })
    }
}

fn take<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<(T, &'a [u8])> {
    postcard::take_from_bytes(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{Ipv6Addr, SocketAddrV6};

    /// Every field at its longest, in as many items as there may be.
    fn longest(friends: u16) -> usize {
        let mut buffer = std::vec![0; 2 * snapshot_max(friends.into())];
        let mut sink = Sink { buffer: &mut buffer, len: 0 };
        let (name, status_message) = (&[1; NAME_MAX][..], &[2; STATUS_MESSAGE_MAX][..]);
        let head = Head { reservation: [255; 8], secret: [255; 32], nospam: [255; 4], status: 2, name, status_message };
        let request = || RequestItem { nospam: [255; 4], tries: 255, words: WORDS_MAX as u16 };
        let at = SocketAddrV6::new(Ipv6Addr::from([255; 16]), 65535, 0, 0).into();
        let nodes = |count| (0..count).map(|_| NodeItem { key: [255; 32], at });
        sink.put(&VERSION).unwrap();
        sink.put(&head).unwrap();
        sink.put_all((0..friends).map(|_| FriendItem { key: [255; 32], request: Some(request()) })).unwrap();
        sink.put_all(nodes(NODES_MAX)).unwrap();
        sink.put_all(nodes(NODES_MAX)).unwrap();
        sink.put_all(nodes(RELAYS_MAX)).unwrap();
        let len = sink.len;
        let snapshot = Snapshot::parse(&buffer).unwrap();
        assert_eq!((snapshot.len(), snapshot.name(), snapshot.status_message()), (len, name, status_message));
        assert_eq!(
            snapshot.friends().last().unwrap().request.unwrap().words.end,
            len + usize::from(friends) * WORDS_MAX
        );
        assert_eq!((snapshot.nodes().count(), snapshot.path_nodes().count(), snapshot.relays().count()), (8, 8, 4));
        len
    }

    #[test]
    fn the_bound_holds_for_the_longest() {
        for friends in [1, 8, 127, 128, 500] {
            let (len, bound) = (longest(friends), snapshot_max(friends.into()));
            assert!(len <= bound && bound <= len + 64 + usize::from(friends), "{friends}: {len}, {bound}");
        }
        assert!(longest(8) <= SNAPSHOT_MAX);
    }
}

//! `Tox`: what an application holds. Every method sends a command to the node's task and waits for its answer.

use crate::contacts::{Contact, Friend};
use crate::profile_store::{ProfileBytes, SaveError};
use crate::relay::{RelayReport, RelayView};
use crate::resolve::{ResolveError, resolve};
use crate::room::{Job, Room};
use crate::snapshot::snapshot;
use bluering_core::crypto::{Nospam, PublicKey, ToxId};
use bluering_core::wire::NodeInfo;
use bluering_core::{
    AddFriendError, Connection, Endpoint, FriendId, MessageId, MessageKind, OwnAddress, RelayHost, SendError, Stats,
    TooLong, UserStatus,
};
use smol::channel::{self, Receiver, Sender};
use std::fmt;
use std::net::IpAddr;

/// A running Tox node. Clones command the same node; when the last one is dropped, it says goodbye and ends.
#[derive(Clone, Debug)]
pub struct Tox {
    pub(crate) jobs: Sender<Job>,
    pub(crate) ended: Receiver<Result<(), SaveError>>,
    pub(crate) local: Endpoint,
    /// All connections go through a proxy, which looks names up.
    pub(crate) is_proxied: bool,
    pub(crate) dht_key: PublicKey,
    pub(crate) public_key: PublicKey,
    pub(crate) relay: Option<RelayView>,
}

/// The node has shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// Why a command did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError<E> {
    /// The node has shut down.
    Stopped,
    /// The node refused.
    Refused(E),
}

/// Why a bootstrap node was not taken.
#[derive(Debug)]
pub enum BootstrapError {
    /// Its host cannot be found.
    Resolve(ResolveError),
    /// This name would have to be looked up past the proxy: only an address will do.
    NamePastProxy(String),
    /// The node has shut down.
    Stopped,
}

/// Ourselves, as of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    /// To be given to people who shall add us.
    pub tox_id: ToxId,
    /// Our name.
    pub name: Vec<u8>,
    /// Our status message.
    pub status_message: Vec<u8>,
    /// Our status.
    pub status: UserStatus,
    /// Whether friends can find us.
    pub connection: Connection,
    /// Where several nodes see us, IPv4 first.
    pub addresses: Vec<OwnAddress>,
}

/// How far a group of messages got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentMessages {
    /// How many were taken, from the front.
    pub taken: usize,
    /// The number of the last of them; the others precede it. 0 when none was taken.
    pub last: MessageId,
    /// Why the next was not.
    pub refused: Option<SendError>,
}

/// Ourselves and the network.
impl Tox {
    /// The address and port of the UDP socket; port 0 without UDP.
    #[must_use]
    pub const fn local(&self) -> Endpoint {
        self.local
    }

    /// Where our TCP relay listens, if we are one.
    #[must_use]
    pub fn relay_at(&self) -> &[Endpoint] {
        self.relay.as_ref().map_or(&[], |relay| &relay.at)
    }

    /// What our TCP relay does, as of now.
    #[must_use]
    pub fn relay_report(&self) -> Option<RelayReport> {
        self.relay.as_ref().map(RelayView::report)
    }

    /// Our DHT key of this run: what bootstrap lines name.
    #[must_use]
    pub const fn dht_key(&self) -> PublicKey {
        self.dht_key
    }

    /// Our long-term key.
    #[must_use]
    pub const fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// Our Tox ID, name and status.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn me(&self) -> Result<Me, Stopped> {
        self.call(|room| Me {
            tox_id: room.node.tox_id(),
            name: room.node.name().to_vec(),
            status_message: room.node.status_message().to_vec(),
            status: room.node.status(),
            connection: room.node.connection(),
            addresses: room.node.own_addresses().collect(),
        })
        .await
    }

    /// Enters the network through a node. Returns when its host is found; what follows comes as events.
    ///
    /// # Errors
    /// [`BootstrapError`].
    pub async fn bootstrap(&self, host: &str, port: u16, key: PublicKey) -> Result<(), BootstrapError> {
        if self.is_proxied && host.parse::<IpAddr>().is_err() {
            return Err(BootstrapError::NamePastProxy(host.to_string()));
        }
        let found = resolve(host, port).await.map_err(BootstrapError::Resolve)?;
        let nodes: Vec<_> = found.into_iter().map(|at| NodeInfo { key, at: at.into() }).collect();
        let port = self.local.port();
        let local = nodes.iter().filter(|_| port != 0).find_map(|node| local_endpoint(node.at, port));
        let taken = self.call(move |room| {
            room.node.set_local_endpoint(local);
            nodes.iter().for_each(|node| room.node.bootstrap(room.clock.now(), *node));
        });
        taken.await.map_err(|Stopped| BootstrapError::Stopped)
    }

    /// A TCP relay that may be used. Returns when its host is found; a proxy finds it itself. False when there is no
    /// room for another.
    ///
    /// # Errors
    /// [`BootstrapError`].
    pub async fn add_relay(&self, host: &str, port: u16, key: PublicKey) -> Result<bool, BootstrapError> {
        let host = host.to_string();
        if self.is_proxied && host.parse::<IpAddr>().is_err() {
            let named = move |room: &mut Room| {
                room.node.add_relay(room.clock.now(), key, RelayHost::Name { host: &host, port })
            };
            return self.call(named).await.map_err(|Stopped| BootstrapError::Stopped);
        }
        let found = resolve(&host, port).await.map_err(BootstrapError::Resolve)?;
        let at = found.first().copied().map_or(Endpoint::UNSPECIFIED, Endpoint::from);
        let taken = self.call(move |room| room.node.add_relay(room.clock.now(), key, RelayHost::At(at)));
        taken.await.map_err(|Stopped| BootstrapError::Stopped)
    }

    /// Sets our name, at most 128 bytes, and tells it to friends.
    ///
    /// # Errors
    /// [`TooLong`], [`Stopped`].
    pub async fn set_name(&self, name: impl Into<Vec<u8>>) -> Result<(), CommandError<TooLong>> {
        let name = name.into();
        self.ask(move |room| room.node.set_name(&name)).await
    }

    /// Sets our status message, at most 1007 bytes, and tells it to friends.
    ///
    /// # Errors
    /// [`TooLong`], [`Stopped`].
    pub async fn set_status_message(&self, text: impl Into<Vec<u8>>) -> Result<(), CommandError<TooLong>> {
        let text = text.into();
        self.ask(move |room| room.node.set_status_message(&text)).await
    }

    /// Sets our status and tells it to friends.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn set_status(&self, status: UserStatus) -> Result<(), Stopped> {
        self.call(move |room| room.node.set_status(status)).await
    }

    /// Changes the nospam: friend requests to the old Tox ID are dropped from now on.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn set_nospam(&self, nospam: Nospam) -> Result<(), Stopped> {
        self.call(move |room| room.node.set_nospam(nospam)).await
    }

    /// The node's counters.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn stats(&self) -> Result<Stats, Stopped> {
        self.call(|room| room.node.stats().clone()).await
    }

    /// The profile as of now, in the Tox save format.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn profile(&self) -> Result<ProfileBytes, Stopped> {
        self.call(|room| snapshot(room)).await
    }

    /// Keeps the node from doing anything for a while: to its friends it looks like a stalled peer. For tests.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn freeze(&self, time: std::time::Duration) -> Result<(), Stopped> {
        self.call(move |_| std::thread::sleep(time)).await
    }

    /// Says goodbye to friends, saves the profile, and ends the node. Returns when that is done; later calls return at
    /// once.
    ///
    /// # Errors
    /// [`SaveError`]: the profile on disk is older than this.
    pub async fn shutdown(&self) -> Result<(), SaveError> {
        let _ = self.jobs.send(Box::new(|room| room.stopping = true)).await;
        self.ended.recv().await.unwrap_or(Ok(()))
    }
}

/// Friends and messages.
impl Tox {
    /// Sends a friend request with 1 to 921 bytes of words.
    ///
    /// # Errors
    /// [`AddFriendError`], [`Stopped`].
    pub async fn add_friend(
        &self,
        to: ToxId,
        message: impl Into<Vec<u8>>,
    ) -> Result<FriendId, CommandError<AddFriendError>> {
        let message = message.into();
        self.ask(move |room| {
            let id = room.node.add_friend(room.clock.now(), &to, &message)?;
            room.contacts.put(id, Contact::default());
            Ok(id)
        })
        .await
    }

    /// Accepts a friend request, or adds a friend who is known to have added us.
    ///
    /// # Errors
    /// [`AddFriendError`], [`Stopped`].
    pub async fn accept(&self, key: PublicKey) -> Result<FriendId, CommandError<AddFriendError>> {
        self.ask(move |room| {
            let id = room.node.accept(room.clock.now(), key)?;
            room.contacts.put(id, Contact::default());
            Ok(id)
        })
        .await
    }

    /// Ends the friendship on our side. False when there is no such friend.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn remove_friend(&self, friend: FriendId) -> Result<bool, Stopped> {
        self.call(move |room| room.node.remove_friend(room.clock.now(), friend)).await
    }

    /// All friends, by number.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn friends(&self) -> Result<Vec<Friend>, Stopped> {
        self.call(|room| room.node.friends().filter_map(|id| describe(room, id)).collect()).await
    }

    /// A friend.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn friend(&self, id: FriendId) -> Result<Option<Friend>, Stopped> {
        self.call(move |room| describe(room, id)).await
    }

    /// The friend with a number.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn friend_by_index(&self, index: usize) -> Result<Option<FriendId>, Stopped> {
        self.call(move |room| room.node.friend_by_index(index)).await
    }

    /// Sends a message of 1 to 1372 bytes to an online friend. A receipt with the returned number follows when it
    /// arrived.
    ///
    /// # Errors
    /// [`SendError`], [`Stopped`]. After `Full`, [`ToxEvent::Writable`](crate::ToxEvent::Writable) follows.
    pub async fn send_message(
        &self,
        to: FriendId,
        kind: MessageKind,
        text: impl Into<Vec<u8>>,
    ) -> Result<MessageId, CommandError<SendError>> {
        let text = text.into();
        self.ask(move |room| room.node.send_message(room.clock.now(), to, kind, &text)).await
    }

    /// Sends several messages in one step, as many as are taken now. The texts are made on the node's task, one by one.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn send_messages<T: AsRef<[u8]>>(
        &self,
        to: FriendId,
        kind: MessageKind,
        texts: impl IntoIterator<Item = T> + Send + 'static,
    ) -> Result<SentMessages, Stopped> {
        self.call(move |room| {
            let (mut sent, now) = (SentMessages { taken: 0, last: 0, refused: None }, room.clock.now());
            for text in texts {
                match room.node.send_message(now, to, kind, text.as_ref()) {
                    Ok(number) => (sent.taken, sent.last) = (sent.taken + 1, number),
                    Err(error) => {
                        sent.refused = Some(error);
                        break;
                    }
                }
            }
            sent
        })
        .await
    }

    /// Sends a packet of the application's own to an online friend, lossless or lossy: 1 to 1373 bytes, the first of
    /// them 160 to 191 or 200 to 254.
    ///
    /// # Errors
    /// [`SendError`], [`Stopped`].
    pub async fn send_custom(
        &self,
        to: FriendId,
        data: Vec<u8>,
        lossless: bool,
    ) -> Result<(), CommandError<SendError>> {
        self.ask(move |room| {
            let now = room.clock.now();
            if lossless { room.node.send_lossless(now, to, &data) } else { room.node.send_lossy(now, to, &data) }
        })
        .await
    }

    /// Tells a friend whether we are typing.
    ///
    /// # Errors
    /// [`SendError::NoFriend`], [`Stopped`].
    pub async fn set_typing(&self, to: FriendId, typing: bool) -> Result<(), CommandError<SendError>> {
        self.ask(move |room| room.node.set_typing(room.clock.now(), to, typing)).await
    }

    /// Runs `job` on the node's task and brings back its result.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Room) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (reply, answer) = channel::bounded(1);
        let job: Job = Box::new(move |room| drop(reply.try_send(job(room))));
        self.jobs.send(job).await.map_err(|_| Stopped)?;
        answer.recv().await.map_err(|_| Stopped)
    }

    async fn ask<T: Send + 'static, E: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Room) -> Result<T, E> + Send + 'static,
    ) -> Result<T, CommandError<E>> {
        self.call(job).await.map_err(|Stopped| CommandError::Stopped)?.map_err(CommandError::Refused)
    }
}

fn describe(room: &Room, id: FriendId) -> Option<Friend> {
    let (info, texts) = (room.node.friend(id)?, room.contacts.get(id).cloned().unwrap_or_default());
    Some(Friend {
        id,
        key: info.key,
        connection: info.connection,
        status: if info.connection == Connection::None { texts.status } else { info.status },
        typing: info.typing,
        requested: info.requested.is_some(),
        name: texts.name,
        status_message: texts.status_message,
        last_seen: texts.last_seen,
    })
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the node has shut down")
    }
}

impl std::error::Error for Stopped {}

impl<E: fmt::Display> fmt::Display for CommandError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => Stopped.fmt(f),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error> std::error::Error for CommandError<E> {}

impl fmt::Display for BootstrapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(error) => error.fmt(f),
            Self::NamePastProxy(host) => {
                write!(f, "'{host}' would be looked up past the proxy: give its address")
            }
            Self::Stopped => Stopped.fmt(f),
        }
    }
}

impl std::error::Error for BootstrapError {}

/// Where a node in the same local network as `peer` reaches our socket: the address that packets to `peer` leave from.
/// Connecting a UDP socket asks the routing table and sends nothing.
fn local_endpoint(peer: Endpoint, port: u16) -> Option<Endpoint> {
    let any: IpAddr = match peer.ip() {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
    socket.connect(std::net::SocketAddr::from(peer)).ok()?;
    Some(Endpoint::new(socket.local_addr().ok()?.ip(), port)).filter(|_| peer.is_lan())
}

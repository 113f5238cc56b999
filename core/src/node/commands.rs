//! Commands and getters: ourselves, friends, messages, nodes.

use super::{MessageId, Node};
use crate::Endpoint;
use crate::crypto::{Nospam, PublicKey, SecretKey, ToxId};
use crate::cx::Env;
use crate::event::{Connection, MessageKind, UserStatus};
use crate::friend::{AddFriendError, FriendId, tell};
use crate::messenger::{SendError, TooLong};
use crate::onion::OnionWay;
use crate::session::{SendRefused, SessionId};
use crate::storage::{BLOCK_LEN, Full};
use crate::time::Instant;
use crate::wire::NodeInfo;
use crate::wire::dht::MOTD_LEN_MAX;
use crate::wire::messenger::{CUSTOM_LOSSLESS, CUSTOM_LOSSY, MESSAGE_LEN_MAX, id};

/// What is known about a friend. Names and status messages come as events; applications keep them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FriendInfo {
    /// The long-term key.
    pub key: PublicKey,
    /// How the friend is reached.
    pub connection: Connection,
    /// The status, as long as the friend is online.
    pub status: UserStatus,
    /// Whether the friend is typing.
    pub typing: bool,
    /// The nospam of our friend request, while it is unanswered.
    pub requested: Option<Nospam>,
    /// How often that request went out; it does so ever more slowly.
    pub request_tries: u8,
}

/// What everybody may ask for.
impl<'s, E: Env> Node<'s, E> {
    /// Lends memory to a message of the day that changes while the node runs; until
    /// [`set_motd`](Self::set_motd) it stays the one of the configuration.
    pub fn lend_motd(&mut self, buf: &'s mut [u8; MOTD_LEN_MAX]) {
        self.dht.lend_motd(buf);
    }

    /// Changes the message of the day, which is cut at 256 bytes. False when no memory was lent.
    pub fn set_motd(&mut self, motd: &[u8]) -> bool {
        self.dht.set_motd(motd)
    }
}

/// Ourselves.
impl<E: Env> Node<'_, E> {
    /// Our Tox ID, to be given to people who shall add us.
    #[must_use]
    pub const fn tox_id(&self) -> ToxId {
        ToxId { public_key: self.shared.me.long_term.public, nospam: self.shared.me.nospam }
    }

    /// The long-term secret key, for the profile.
    #[must_use]
    pub const fn secret_key(&self) -> &SecretKey {
        &self.shared.me.long_term.secret
    }

    /// Our DHT key of this run: what bootstrap lines name.
    #[must_use]
    pub const fn dht_key(&self) -> PublicKey {
        self.shared.me.dht.public
    }

    /// Changes the nospam: requests to the old Tox ID are dropped from now on.
    pub fn set_nospam(&mut self, nospam: Nospam) {
        self.shared.me.nospam = nospam;
        self.changed();
    }

    /// Whether friends can find us.
    #[must_use]
    pub fn connection(&self) -> Connection {
        match (self.onion.is_connected(self.shared.now), self.onion.way()) {
            // Without UDP, and the last relay is gone.
            (false, _) | (true, OnionWay::None) => Connection::None,
            (true, OnionWay::Relays) => Connection::Tcp,
            (true, OnionWay::Udp) => Connection::Udp,
        }
    }

    /// Our name.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.messenger.name()
    }

    /// Our status message.
    #[must_use]
    pub fn status_message(&self) -> &[u8] {
        self.messenger.status_message()
    }

    /// Our status.
    #[must_use]
    pub const fn status(&self) -> UserStatus {
        self.messenger.status
    }

    /// Sets our name and tells it to friends.
    ///
    /// # Errors
    /// [`TooLong`]: more than 128 bytes.
    pub fn set_name(&mut self, name: &[u8]) -> Result<(), TooLong> {
        self.messenger.set_name(name)?;
        self.tell_all(tell::NAME);
        Ok(())
    }

    /// Sets our status message and tells it to friends.
    ///
    /// # Errors
    /// [`TooLong`]: more than 1007 bytes.
    pub fn set_status_message(&mut self, message: &[u8]) -> Result<(), TooLong> {
        self.messenger.set_status_message(message)?;
        self.tell_all(tell::STATUS_MESSAGE);
        Ok(())
    }

    /// Sets our status and tells it to friends.
    pub fn set_status(&mut self, status: UserStatus) {
        self.messenger.status = status;
        self.tell_all(tell::STATUS);
    }

    fn tell_all(&mut self, what: u8) {
        for friend in self.friends.table.values_mut().filter(|friend| friend.online) {
            friend.tell |= what;
        }
        self.changed();
    }

    /// Something that the profile holds has changed, and friends may have to be told.
    fn changed(&mut self) {
        self.law.input();
        self.persist = true;
        self.telling = true;
    }
}

/// The network.
impl<E: Env> Node<'_, E> {
    /// Enters the network through `node`: it is asked until it answers, and again when everybody else is gone. Of more
    /// than eight, those that have not answered for longest are given up.
    pub fn bootstrap(&mut self, now: Instant, node: NodeInfo) {
        self.input(now);
        self.onion.add_bootstrap(node);
        if self.udp {
            self.dht.bootstrap(self.shared.now, node);
        }
    }

    /// A node that was known in an earlier run, from the profile: it is asked once.
    pub fn add_known_node(&mut self, now: Instant, node: NodeInfo) {
        self.input(now);
        if self.udp {
            self.dht.ask(self.shared.now, node, self.shared.me.dht.public);
        } else {
            self.onion.add_bootstrap(node);
        }
    }

    /// Where nodes in our own local network reach us. Friends are told it, and only while every DHT node that we know
    /// is in a local network too: then they are as well, and need nobody who already knows us.
    pub fn set_local_endpoint(&mut self, local: Option<Endpoint>) {
        self.local = local.filter(|local| local.is_usable() && local.is_lan());
    }

    /// DHT nodes that answered not long ago, for the profile.
    pub fn known_nodes(&self) -> impl Iterator<Item = NodeInfo> + Clone {
        self.dht.nodes(self.shared.now)
    }

    /// Nodes that onion paths went through, for the profile.
    pub fn path_nodes(&self) -> impl Iterator<Item = NodeInfo> + Clone {
        self.onion.path_nodes()
    }
}

/// Friends and messages.
impl<E: Env> Node<'_, E> {
    /// Sends a friend request to the owner of `to`; it goes out again until answered. 1 to 921 bytes of `message`.
    ///
    /// # Errors
    /// [`AddFriendError`].
    pub fn add_friend(&mut self, now: Instant, to: &ToxId, message: &[u8]) -> Result<FriendId, AddFriendError> {
        self.input(now);
        let me = self.shared.me.long_term.public;
        let added = self.friends.request(&mut self.shared.blocks, &me, to, message);
        if added.is_ok() || added == Err(AddFriendError::NewNospam) {
            self.changed();
        }
        let id = added?;
        self.look_for(id, to.public_key);
        Ok(id)
    }

    /// Accepts a friend request, or adds a friend who is known to have added us.
    ///
    /// # Errors
    /// [`AddFriendError`].
    pub fn accept(&mut self, now: Instant, key: PublicKey) -> Result<FriendId, AddFriendError> {
        self.input(now);
        let added = self.friends.accept(&self.shared.me.long_term.public, key)?;
        self.changed();
        self.look_for(added, key);
        Ok(added)
    }

    /// Ends the friendship on our side. False when there is no such friend.
    pub fn remove_friend(&mut self, now: Instant, id: FriendId) -> bool {
        self.input(now);
        self.take_back();
        let Some(mut friend) = self.friends.remove(id) else { return false };
        let blocks = &mut self.shared.blocks;
        blocks.clear(&mut friend.unread);
        blocks.clear(&mut friend.lossy);
        if let Some(words) = friend.request.take() {
            blocks.give(words);
        }
        if let Some(search) = friend.search {
            self.dht.stop_search(search);
        }
        if let Some(session) = friend.session {
            self.sessions.close(&mut self.shared.cx(), session);
        }
        self.onion.remove_friend(id.index());
        if E::RELAYS {
            self.relays.retire_peer(id.index());
        }
        self.requests.forget(&friend.key);
        self.changed();
        true
    }

    /// Friend requests from `key` are dropped from now on.
    ///
    /// # Errors
    /// [`Full`]: the table of blocked keys has no room.
    pub fn block(&mut self, key: PublicKey) -> Result<(), Full> {
        if self.requests.block(key) { Ok(()) } else { Err(Full) }
    }

    /// Friend requests from `key` are shown again.
    pub fn unblock(&mut self, key: &PublicKey) {
        self.requests.unblock(key);
        self.requests.forget(key);
    }

    /// All friends, in order of their numbers.
    pub fn friends(&self) -> impl Iterator<Item = FriendId> + Clone {
        self.friends.table.iter().map(|(id, _)| id)
    }

    /// The friend with a number ([`Id::index`](crate::storage::Id::index)).
    #[must_use]
    pub fn friend_by_index(&self, index: usize) -> Option<FriendId> {
        self.friends.table.id_at(index)
    }

    /// The friend with a key.
    #[must_use]
    pub fn friend_by_key(&self, key: &PublicKey) -> Option<FriendId> {
        self.friends.find(key)
    }

    /// What is known about a friend.
    #[must_use]
    pub fn friend(&self, id: FriendId) -> Option<FriendInfo> {
        let friend = self.friends.table.get(id)?;
        Some(FriendInfo {
            key: friend.key,
            connection: self.connection_of(friend),
            status: friend.status,
            typing: friend.typing,
            requested: friend.request.as_ref().map(|_| friend.nospam),
            request_tries: friend.request_tries(),
        })
    }

    /// A request that went out `tries` times in earlier runs goes on at its slow pace.
    pub fn resume_request(&mut self, id: FriendId, tries: u8) {
        if let Some(friend) = self.friends.get_mut(id) {
            friend.resume_request(tries);
        }
    }

    /// The words of our unanswered request to a friend.
    #[must_use]
    pub fn request_message(&self, id: FriendId) -> Option<&[u8]> {
        let words = self.friends.table.get(id)?.request.as_ref()?;
        Some(self.shared.blocks.get(words).bytes())
    }

    /// Sends a message of 1 to 1372 bytes to an online friend. A receipt with the returned number follows when it
    /// arrived.
    ///
    /// # Errors
    /// [`SendError`]; after `Full` an [`Event::Writable`](crate::Event::Writable) follows when there is room.
    pub fn send_message(
        &mut self,
        now: Instant,
        to: FriendId,
        kind: MessageKind,
        text: &[u8],
    ) -> Result<MessageId, SendError> {
        self.input(now);
        let friend = self.friends.get_mut(to).ok_or(SendError::NoFriend)?;
        let session = friend.session.filter(|_| friend.online).ok_or(SendError::NotConnected)?;
        match text.len() {
            0 => return Err(SendError::Empty),
            1..=MESSAGE_LEN_MAX => {}
            _ => return Err(SendError::TooLong),
        }
        let kind = match kind {
            MessageKind::Normal => id::MESSAGE,
            MessageKind::Action => id::ACTION,
        };
        let number = friend.outbox.next();
        if self.sessions.send(&mut self.shared.cx(), session, &[&[kind], text], number).is_err() {
            friend.outbox.wants_room = true;
            self.shared.stats.sends_refused += 1;
            return Err(SendError::Full);
        }
        friend.outbox.sent();
        Ok(number)
    }

    /// Sends a lossless packet of an application's own: 1 to 1373 bytes, the first of them 160 to 191.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send_lossless(&mut self, now: Instant, to: FriendId, data: &[u8]) -> Result<(), SendError> {
        let session = self.custom_session(now, to, data, &CUSTOM_LOSSLESS)?;
        let sent = self.sessions.send(&mut self.shared.cx(), session, &[data], 0);
        self.custom_sent(to, sent)
    }

    /// Sends a lossy packet of an application's own: 1 to 1373 bytes, the first of them 200 to 254.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send_lossy(&mut self, now: Instant, to: FriendId, data: &[u8]) -> Result<(), SendError> {
        let session = self.custom_session(now, to, data, &CUSTOM_LOSSY)?;
        let sent = self.sessions.send_lossy(&mut self.shared.cx(), session, &[data]);
        self.custom_sent(to, sent)
    }

    fn custom_session(
        &mut self,
        now: Instant,
        to: FriendId,
        data: &[u8],
        ids: &core::ops::RangeInclusive<u8>,
    ) -> Result<SessionId, SendError> {
        self.input(now);
        let friend = self.friends.get_mut(to).ok_or(SendError::NoFriend)?;
        let session = friend.session.filter(|_| friend.online).ok_or(SendError::NotConnected)?;
        let id = data.first().ok_or(SendError::Empty)?;
        if data.len() > BLOCK_LEN {
            return Err(SendError::TooLong);
        }
        if ids.contains(id) { Ok(session) } else { Err(SendError::BadId) }
    }

    fn custom_sent(&mut self, to: FriendId, sent: Result<(), SendRefused>) -> Result<(), SendError> {
        let Err(refused) = sent else { return Ok(()) };
        match refused {
            SendRefused::NotEstablished => Err(SendError::NotConnected),
            SendRefused::Full => {
                if let Some(friend) = self.friends.get_mut(to) {
                    friend.outbox.wants_room = true;
                }
                self.shared.stats.sends_refused += 1;
                Err(SendError::Full)
            }
        }
    }

    /// Tells an online friend whether we are typing.
    ///
    /// # Errors
    /// [`SendError::NoFriend`].
    pub fn set_typing(&mut self, now: Instant, to: FriendId, typing: bool) -> Result<(), SendError> {
        self.input(now);
        let friend = self.friends.get_mut(to).ok_or(SendError::NoFriend)?;
        if friend.typing_to_friend != typing {
            friend.typing_to_friend = typing;
            if friend.online {
                friend.tell |= tell::TYPING;
                self.telling = true;
            }
        }
        Ok(())
    }

    fn look_for(&mut self, id: FriendId, key: PublicKey) {
        self.onion.add_friend(self.shared.now, id.index(), key);
        self.friends_on_timeout();
    }
}

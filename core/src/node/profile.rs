//! Between a node and its profile: what is written, and how a node comes back from it.
//!
//! The core keeps no texts of friends and no sections of other clients, and only as many relays as there is room for;
//! whoever does hands them in here.

use super::{Node, RelayHost};
use crate::crypto::{PublicKey, ToxId};
use crate::cx::Env;
use crate::event::{Connection, UserStatus};
use crate::friend::FriendId;
use crate::profile::{
    FRIEND_RELAYS_MAX, FriendRecord, FriendState, Profile, ProfileWriter, Section, Sink, Whereabouts,
};
use crate::storage::Full;
use crate::time::{Instant, UnixTime};
use crate::wire::NodeInfo;
use core::net::{IpAddr, Ipv4Addr};

/// Nodes of a kind in a profile: toxcore reads as many.
const NODES_MAX: usize = 8;
/// Nodes of a profile that are treated like bootstrap nodes; the others are asked once.
const PERSISTENT: usize = 4;

/// What an application knows about a friend and the core does not keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FriendTexts<'a> {
    /// At most 128 bytes.
    pub name: &'a [u8],
    /// At most 1007 bytes.
    pub status_message: &'a [u8],
    /// As last told.
    pub status: UserStatus,
    /// Unix time in seconds, 0 for never. Not asked for while the friend is online.
    pub last_seen: u64,
}

impl<E: Env> Node<'_, E> {
    /// Writes a profile as of `unix`: ourselves, the friends with their `texts`, nodes, TCP relays of ours and then
    /// those of `relays`, and sections of `others`, as [`Profile::relays`] and [`Profile::others`] gave them. Returns
    /// the sink.
    ///
    /// # Errors
    /// [`Full`] when the sink is; what it holds is then no profile.
    pub fn save<'t, S: Sink>(
        &self,
        unix: UnixTime,
        sink: S,
        texts: impl Fn(FriendId) -> FriendTexts<'t>,
        relays: impl Iterator<Item = NodeInfo> + Clone,
        others: impl IntoIterator<Item = Section<'t>>,
    ) -> Result<S, Full> {
        let mut writer = ProfileWriter::new(sink, self.tox_id().nospam, self.secret_key())?;
        writer.nodes(self.known_nodes().take(NODES_MAX))?;
        writer.friends(self.friends().filter_map(|id| self.friend_record(id, unix, texts(id))))?;
        writer.name(self.name())?;
        writer.status_message(self.status_message())?;
        writer.status(self.status())?;
        let known = self.known_relays();
        let other = relays.filter(|relay| known.clone().all(|known| known.key != relay.key));
        writer.relays(known.clone().chain(other).take(NODES_MAX))?;
        writer.path_nodes(self.path_nodes().take(NODES_MAX))?;
        writer.whereabouts(self.friends().filter_map(|id| self.whereabouts(id)))?;
        others.into_iter().try_for_each(|section| writer.other(section))?;
        writer.finish()
    }

    /// Brings ourselves, friends and nodes back into a node that has just been built with the profile's keys. What it
    /// refuses (a duplicate, our own key, more friends than fit) is left out; `on_friend` gets what is kept.
    pub fn restore(
        &mut self,
        now: Instant,
        profile: &Profile<'_>,
        mut on_friend: impl FnMut(FriendId, &FriendRecord<'_>),
    ) {
        // Texts in a profile are checked for their length by its reader.
        let _ = self.set_name(profile.name());
        let _ = self.set_status_message(profile.status_message());
        self.set_status(profile.status());
        for friend in profile.friends() {
            if let Some(id) = self.restore_friend(now, &friend) {
                on_friend(id, &friend);
            }
        }
        for relay in profile.relays() {
            // What finds no room stays in the profile.
            self.add_relay(now, relay.key, RelayHost::At(relay.at));
        }
        for last in profile.whereabouts() {
            self.return_to(now, &last);
        }
        self.restore_nodes(now, profile.nodes().chain(profile.path_nodes()));
    }

    /// Asks nodes that an earlier run knew, the best first.
    pub fn restore_nodes(&mut self, now: Instant, known: impl Iterator<Item = NodeInfo> + Clone) {
        let known = || known.clone().filter(is_usable);
        // Some are asked until they answer: nobody may be there yet when a laptop wakes.
        known().take(PERSISTENT).for_each(|at| self.bootstrap(now, at));
        known().skip(PERSISTENT).for_each(|at| self.add_known_node(now, at));
    }

    /// Where a friend is, as far as that is known.
    fn whereabouts(&self, id: FriendId) -> Option<Whereabouts> {
        let friend = self.friends.table.get(id).filter(|friend| friend.dht_key != PublicKey::ZERO)?;
        let heard = friend.session.and_then(|session| self.sessions.address(session));
        let at = heard.or_else(|| self.dht.found(self.shared.now, friend.search?));
        let relays = self.relays.relays_of(id.index()).take(FRIEND_RELAYS_MAX).collect();
        Some(Whereabouts { key: friend.key, dht_key: friend.dht_key, at, relays })
    }

    /// Looks for a friend where it was last; if its client has ended since, the search ends after two minutes.
    fn return_to(&mut self, now: Instant, last: &Whereabouts) {
        self.input(now);
        let Some(id) = self.friend_by_key(&last.key).filter(|_| last.dht_key.is_valid()) else { return };
        if let Some(at) = last.at.filter(|_| self.udp) {
            self.dht.ask(now, NodeInfo { key: last.dht_key, at }, last.dht_key);
        }
        self.set_friend_dht_key(id, last.dht_key, false);
        if E::RELAYS {
            last.relays.iter().for_each(|relay| self.relays.peer_relay(now, id.index(), *relay));
            self.after_relays();
        }
    }

    fn friend_record<'a>(&'a self, id: FriendId, unix: UnixTime, texts: FriendTexts<'a>) -> Option<FriendRecord<'a>> {
        let info = self.friend(id)?;
        Some(FriendRecord {
            state: if info.requested.is_some() { FriendState::Requested } else { FriendState::Confirmed },
            key: info.key,
            request_message: self.request_message(id).unwrap_or_default(),
            nospam: info.requested.unwrap_or_default(),
            name: texts.name,
            status_message: texts.status_message,
            status: texts.status,
            last_seen: if info.connection == Connection::None { texts.last_seen } else { unix.0 },
        })
    }

    fn restore_friend(&mut self, now: Instant, friend: &FriendRecord<'_>) -> Option<FriendId> {
        if self.friend_by_key(&friend.key).is_some() {
            return None;
        }
        match friend.state {
            FriendState::Confirmed => self.accept(now, friend.key).ok(),
            FriendState::Added | FriendState::Requested => {
                let to = ToxId { public_key: friend.key, nospam: friend.nospam };
                // Words that cannot be sent again are no reason to lose the friend.
                self.add_friend(now, &to, friend.request_message).or_else(|_| self.accept(now, friend.key)).ok()
            }
        }
    }
}

fn is_usable(node: &NodeInfo) -> bool {
    node.at.is_usable() && node.at.ip() != IpAddr::V4(Ipv4Addr::BROADCAST)
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::Endpoint;
    use crate::crypto::{Nacl, Nospam, PublicKey, SecretKey};
    use crate::cx::{Parts, test_env::TestEnv};
    use crate::node::{Config, Limits, Storage};
    use crate::profile::SliceSink;
    use quickcheck::{Arbitrary, Gen, quickcheck};
    use rand_core::SeedableRng;
    use std::vec;
    use std::vec::Vec;

    /// Without relays: whatever the node knows of them is in the profile.
    const LIMITS: Limits = Limits { friends: 4, nodes: 16, blocks: 16, announces: 4, ..Limits::MICRO };

    /// A profile as some client may have written it.
    #[derive(Clone, Debug)]
    struct Saved(Vec<u8>);

    /// Keys below `KEYS` are friends, nodes and ourselves, so that duplicates occur.
    const KEYS: u8 = 12;

    fn key(seed: u8) -> PublicKey {
        SecretKey::from_bytes([seed + 1; 32]).public_key()
    }

    impl Arbitrary for Saved {
        fn arbitrary(g: &mut Gen) -> Self {
            let number = |g: &mut Gen, end: u8| u8::arbitrary(g) % end;
            let text = |g: &mut Gen, max: usize| vec![u8::arbitrary(g); *g.choose(&[0, 1, 9, max]).unwrap()];
            let friends: Vec<_> = (0..number(g, 7))
                .map(|_| {
                    (number(g, 3), number(g, KEYS), [text(g, 1024), text(g, 128), text(g, 1007)], u64::arbitrary(g))
                })
                .collect();
            let friends = friends.iter().map(|(state, seed, [words, name, status_message], number)| FriendRecord {
                state: [FriendState::Added, FriendState::Requested, FriendState::Confirmed][usize::from(*state)],
                key: key(*seed),
                request_message: words,
                nospam: Nospam((*number as u32).to_be_bytes()),
                name,
                status_message,
                status: UserStatus::from_byte(state ^ 1).unwrap_or_default(),
                last_seen: *number,
            });
            let node = |g: &mut Gen| {
                let ip = *g.choose(&[[0, 0, 0, 0], [255; 4], [192, 0, 2, 1], [192, 0, 2, 2], [10, 0, 0, 1]]).unwrap();
                NodeInfo { key: key(number(g, KEYS)), at: Endpoint::v4(ip, u16::from(number(g, 5))) }
            };
            let nodes: [Vec<_>; 3] = core::array::from_fn(|_| (0..number(g, 9)).map(|_| node(g)).collect());
            let secret = SecretKey::from_bytes([number(g, KEYS) + 1; 32]);
            let mut buf = vec![0; 20_000];
            let mut w = ProfileWriter::new(SliceSink::new(&mut buf), Nospam([number(g, 255); 4]), &secret).unwrap();
            w.friends(friends).unwrap();
            w.nodes(nodes[0].iter().copied()).unwrap();
            w.relays(nodes[1].iter().copied()).unwrap();
            w.path_nodes(nodes[2].iter().copied()).unwrap();
            w.name(&text(g, 128)).unwrap();
            w.status_message(&text(g, 1007)).unwrap();
            w.status(UserStatus::from_byte(number(g, 3)).unwrap()).unwrap();
            w.other(Section { kind: 4711, content: &text(g, 99) }).unwrap();
            Self(w.finish().unwrap().written().to_vec())
        }
    }

    /// What a fresh node with the profile's keys saves after it was restored from it.
    fn restored(saved: &[u8], seed: u8) -> Vec<u8> {
        let profile = Profile::parse(saved).unwrap();
        let config = Config::new(profile.secret_key(), profile.nospam());
        let parts = Parts::<TestEnv> { rng: chacha20::ChaCha12Rng::from_seed([seed; 32]), suite: Nacl };
        let now = Instant::from_secs(5);
        let mut node = Node::new(config, Storage::heap(&LIMITS), parts, now).unwrap();
        let mut texts = Vec::new();
        node.restore(now, &profile, |id, friend| {
            let FriendRecord { name, status_message, status, last_seen, .. } = *friend;
            texts.retain(|(other, _)| *other != id);
            texts.push((id, (name.to_vec(), status_message.to_vec(), status, last_seen)));
        });
        let of = |id| {
            let (name, status_message, status, last_seen) = &texts.iter().find(|(other, _)| *other == id).unwrap().1;
            FriendTexts { name, status_message, status: *status, last_seen: *last_seen }
        };
        let mut buf = vec![0; 20_000];
        let sink = SliceSink::new(&mut buf);
        let sink = node.save(UnixTime(7), sink, of, profile.relays(), profile.others()).unwrap();
        sink.written().to_vec()
    }

    /// The first friend with each key, as far as there is room for them; who cannot be asked again counts as a friend.
    fn friends_kept<'a>(profile: &Profile<'a>) -> Vec<FriendRecord<'a>> {
        let mut kept: Vec<FriendRecord<'a>> = Vec::new();
        for friend in profile.friends().filter(|friend| friend.key != profile.public_key()) {
            if kept.len() < 4 && kept.iter().all(|other| other.key != friend.key) {
                kept.push(friend);
            }
        }
        kept
    }

    /// A friend's node is asked in the first moment, where it was last, under the DHT key that it had.
    #[test]
    fn a_friend_is_looked_for_where_he_was() {
        let (friend, dht_key, at) = (key(1), key(2), Endpoint::v4([192, 0, 2, 9], 33445));
        let secret = SecretKey::from_bytes([9; 32]);
        let mut buf = vec![0; 4000];
        let mut w = ProfileWriter::new(SliceSink::new(&mut buf), Nospam::default(), &secret).unwrap();
        let whereabouts = Whereabouts { key: friend, dht_key, at: Some(at), relays: heapless::Vec::new() };
        let stranger =
            Whereabouts { key: key(3), at: Some(Endpoint::v4([192, 0, 2, 8], 33445)), ..whereabouts.clone() };
        let record = FriendRecord {
            state: FriendState::Confirmed,
            key: friend,
            request_message: &[],
            nospam: Nospam::default(),
            name: &[],
            status_message: &[],
            status: UserStatus::None,
            last_seen: 0,
        };
        w.friends([record].into_iter()).unwrap();
        w.whereabouts([whereabouts, stranger].into_iter()).unwrap();
        let saved = w.finish().unwrap().written().to_vec();

        let profile = Profile::parse(&saved).unwrap();
        let config = Config::new(profile.secret_key(), profile.nospam());
        let parts = Parts::<TestEnv> { rng: chacha20::ChaCha12Rng::from_seed([1; 32]), suite: Nacl };
        let now = Instant::from_secs(5);
        let mut node = Node::new(config, Storage::heap(&LIMITS), parts, now).unwrap();
        node.restore(now, &profile, |_, _| {});
        let mut sent = Vec::new();
        let mut buf = [0; crate::DATAGRAM_MAX];
        while let Some(packet) = node.poll_transmit(now, &mut buf) {
            sent.push((packet.to, packet.bytes[0]));
        }
        assert_eq!(sent, [(at, crate::wire::kind::NODES_REQUEST)]);
    }

    quickcheck! {
        fn a_profile_survives_a_node(saved: Saved) -> bool {
            let again = restored(&saved.0, 1);
            let (old, new) = (Profile::parse(&saved.0).unwrap(), Profile::parse(&again).unwrap());
            let friends = friends_kept(&old);
            let mut usable: Vec<NodeInfo> = old.nodes().chain(old.path_nodes()).filter(is_usable).take(4).collect();
            let mut seen = Vec::new();
            usable.retain(|node| !seen.contains(&node.key) && { seen.push(node.key); true });
            assert_eq!(new.secret_key().as_bytes(), old.secret_key().as_bytes());
            assert_eq!(new.nospam(), old.nospam());
            assert_eq!((new.name(), new.status_message()), (old.name(), old.status_message()));
            assert_eq!(new.status(), old.status());
            assert!(new.relays().eq(old.relays()) && new.others().eq(old.others()));
            assert_eq!(new.path_nodes().collect::<Vec<_>>(), usable);
            let keys = |friends: Vec<FriendRecord<'_>>| friends.iter().map(|friend| friend.key).collect::<Vec<_>>();
            assert_eq!(keys(new.friends().collect()), keys(friends.clone()));
            for (new, old) in new.friends().zip(&friends) {
                let waits = old.state != FriendState::Confirmed && (1..=921).contains(&old.request_message.len());
                let texts = |friend: &FriendRecord<'_>| (friend.name.to_vec(), friend.status_message.to_vec());
                assert_eq!((texts(&new), new.status, new.last_seen), (texts(old), old.status, old.last_seen));
                assert_eq!(new.state == FriendState::Requested, waits);
                assert!(!waits || (new.request_message, new.nospam) == (old.request_message, old.nospam));
            }
            restored(&again, 2) == again
        }
    }
}

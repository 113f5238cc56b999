//! From a node to its snapshot, through the flash, and into the next node.

use super::mock::{Mock, run};
use crate::flash::{
    Loaded, Restored, SNAPSHOT_MAX, SaveError, Saved, Snapshot, SnapshotError, Store, WORDS_MAX, WithWords, copy_words,
    set_reservation,
};
use bluering_core::crypto::{Nacl, Nospam, PublicKey, SecretKey, ToxId};
use bluering_core::time::Instant;
use bluering_core::wire::NodeInfo;
use bluering_core::{Config, Endpoint, Env, FriendInfo, Node, Parts, RelayHost, StaticStorage, UserStatus};
use quickcheck::{Arbitrary, Gen, quickcheck};
use rand_core::SeedableRng;
use std::boxed::Box;
use std::vec;
use std::vec::Vec;

const NOW: Instant = Instant::from_secs(7);
const RESERVED: u64 = 1_777_000_000;

pub(super) struct TestEnv;

impl Env for TestEnv {
    type Rng = chacha20::ChaCha12Rng;
    type Suite = Nacl;
}

type Flash = Mock<4, 1, 4096>;

fn with_node<T>(secret: SecretKey, nospam: Nospam, test: impl FnOnce(&mut Node<'_, TestEnv>) -> T) -> T {
    let mut memory = Box::new(StaticStorage::<8, 11, 64, 10, 6>::new());
    let parts = Parts { rng: chacha20::ChaCha12Rng::from_seed([3; 32]), suite: Nacl };
    let config = Config::new(secret, nospam);
    test(&mut Node::new(config, memory.storage(), parts, NOW).unwrap())
}

fn key(seed: u8) -> PublicKey {
    SecretKey::from_bytes([seed; 32]).public_key()
}

/// Bytes of a small snapshot, for tests that only need some.
pub(super) fn small_snapshot() -> Vec<u8> {
    with_node(SecretKey::from_bytes([9; 32]), Nospam([1, 2, 3, 4]), |node| {
        node.set_name(b"Bot").unwrap();
        node.accept(NOW, key(1)).unwrap();
        written(node)
    })
}

fn written(node: &Node<'_, TestEnv>) -> Vec<u8> {
    let mut buffer = vec![0; SNAPSHOT_MAX];
    let len = Snapshot::write(node, RESERVED, &mut buffer).unwrap();
    buffer.truncate(len);
    buffer
}

fn store(flash: Flash) -> Store<Flash> {
    let end = flash.end();
    Store::new(flash, 0..end, 8).unwrap()
}

fn save(store: &mut Store<Flash>, node: &Node<'_, TestEnv>) -> Result<Saved, SaveError<super::mock::MockError>> {
    let bytes = written(node);
    run(store.save(WithWords::new(&bytes, |key, at, to| copy_words(node, key, at, to)).unwrap()))
}

/// What a user has done to a node.
#[derive(Clone, Debug)]
struct Life {
    secret: [u8; 32],
    name: Vec<u8>,
    status_message: Vec<u8>,
    status: u8,
    /// The words of a request, or a confirmed friend; and the number of tries.
    friends: Vec<(Option<Vec<u8>>, u8)>,
    nodes: Vec<Endpoint>,
}

impl Arbitrary for Life {
    fn arbitrary(g: &mut Gen) -> Self {
        let text = |g: &mut Gen, least: usize, max: usize| vec![u8::arbitrary(g); *g.choose(&[least, 9, max]).unwrap()];
        let friends = u8::arbitrary(g) % 9;
        let friends = (0..friends).map(|_| (bool::arbitrary(g).then(|| text(g, 1, WORDS_MAX)), u8::arbitrary(g)));
        Self {
            friends: friends.collect(),
            secret: [200 + u8::arbitrary(g) % 50; 32],
            name: text(g, 0, 128),
            status_message: text(g, 0, 1007),
            status: u8::arbitrary(g) % 3,
            nodes: (0..u8::arbitrary(g) % 9)
                .map(|i| {
                    if bool::arbitrary(g) {
                        Endpoint::v4([192, 0, 2, i], u16::arbitrary(g) | 1)
                    } else {
                        Endpoint::new(core::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 1, 2, 3, i.into()).into(), 33445)
                    }
                })
                .collect(),
        }
    }
}

impl Life {
    fn max() -> Self {
        Self {
            secret: [0xee; 32],
            name: vec![b'n'; 128],
            status_message: vec![b's'; 1007],
            status: 2,
            friends: (0..8).map(|i| (Some(vec![i; WORDS_MAX]), 255)).collect(),
            nodes: (0..8).map(|i| Endpoint::new(core::net::Ipv6Addr::from([0xee + i; 16]).into(), 65535)).collect(),
        }
    }

    fn secret(&self) -> SecretKey {
        SecretKey::from_bytes(self.secret)
    }

    fn live(&self, node: &mut Node<'_, TestEnv>) {
        node.set_name(&self.name).unwrap();
        node.set_status_message(&self.status_message).unwrap();
        node.set_status(UserStatus::from_byte(self.status).unwrap());
        for (seed, (words, tries)) in (100..).zip(&self.friends) {
            let Some(words) = words else {
                node.accept(NOW, key(seed)).unwrap();
                continue;
            };
            let to = ToxId { public_key: key(seed), nospam: Nospam([seed; 4]) };
            // The pool has fewer blocks than friends may have long words.
            if let Ok(id) = node.add_friend(NOW, &to, words) {
                node.resume_request(id, *tries);
            }
        }
        for (seed, at) in (50..).zip(&self.nodes) {
            node.bootstrap(NOW, NodeInfo { key: key(seed), at: *at });
        }
    }
}

/// Everything of a node that a snapshot is to keep.
#[derive(Debug, PartialEq)]
struct Told {
    id: ToxId,
    secret: [u8; 32],
    texts: (Vec<u8>, Vec<u8>, UserStatus),
    friends: Vec<(Option<FriendInfo>, Option<Vec<u8>>)>,
}

impl Told {
    fn of(node: &Node<'_, TestEnv>) -> Self {
        let friends = node.friends().map(|id| (node.friend(id), node.request_message(id).map(<[u8]>::to_vec)));
        Self {
            id: node.tox_id(),
            secret: *node.secret_key().as_bytes(),
            texts: (node.name().to_vec(), node.status_message().to_vec(), node.status()),
            friends: friends.collect(),
        }
    }
}

/// Saves a node and brings it back into the next one. Returns the number of unanswered requests.
fn next_run(life: &Life) -> usize {
    let (old, paths, flash) = with_node(life.secret(), Nospam([4, 3, 2, 1]), |node| {
        life.live(node);
        let mut store = store(Flash::new(8));
        assert_eq!(run(store.load(&mut [])), Ok(Loaded::New));
        assert!(matches!(save(&mut store, node), Ok(Saved::Written(_))));
        assert_eq!(save(&mut store, node), Ok(Saved::Unchanged));
        (Told::of(node), node.path_nodes().take(8).collect::<Vec<_>>(), store.into_flash())
    });
    let mut store = store(flash);
    let mut buffer = [0; SNAPSHOT_MAX];
    assert!(matches!(run(store.load(&mut buffer)), Ok(Loaded::Newest { .. })));
    let snapshot = Snapshot::parse(&buffer).unwrap();
    assert_eq!(snapshot.reservation(), RESERVED);
    assert_eq!(snapshot.path_nodes().collect::<Vec<_>>(), paths);
    assert_eq!((snapshot.nodes().count(), snapshot.relays().count()), (0, 0));
    with_node(snapshot.secret_key(), snapshot.nospam(), |node| {
        let restored = run(snapshot.restore(node, NOW, &mut store, &mut [0; WORDS_MAX])).unwrap();
        assert_eq!(restored, Restored { friends: node.friends().count(), refused: 0, unasked: 0 });
        assert_eq!(Told::of(node), old);
        // All that is new is what the clock has reserved: written with the words out of the node.
        let mut bytes = buffer[..snapshot.len()].to_vec();
        set_reservation(&mut bytes, RESERVED + 1);
        let words = |key: &PublicKey, at: usize, to: &mut [u8]| copy_words(node, key, at, to);
        assert!(matches!(run(store.save(WithWords::new(&bytes, words).unwrap())), Ok(Saved::Written(_))));
        let mut again = [0; SNAPSHOT_MAX];
        assert!(run(store.load(&mut again)).is_ok());
        assert_eq!(Snapshot::parse(&again).unwrap().reservation(), RESERVED + 1);
    });
    snapshot.friends().filter(|friend| friend.request.is_some()).count()
}

quickcheck! {
    fn a_node_survives_a_reset(life: Life) -> bool {
        next_run(&life);
        true
    }

    fn no_bytes_are_too_strange(bytes: Vec<u8>, at: usize, flip: u8, cut: usize) -> bool {
        let mut good = small_snapshot();
        let _ = Snapshot::parse(&bytes);
        let index = at % good.len();
        good[index] ^= flip;
        good.truncate(cut % (good.len() + 1));
        if let Ok(snapshot) = Snapshot::parse(&good) {
            let _ = (snapshot.secret_key(), snapshot.reservation(), snapshot.friends().count());
            let _ = snapshot.nodes().chain(snapshot.path_nodes()).chain(snapshot.relays()).count();
        }
        true
    }
}

#[test]
fn the_longest_state_survives_a_reset() {
    assert_eq!(next_run(&Life::max()), 8);
}

#[test]
fn every_friend_is_restored_or_counted() {
    let life = Life { friends: (0..8).map(|i| (Some(vec![i; 3]), i)).collect(), ..Life::max() };
    let (bytes, flash) = with_node(life.secret(), Nospam([0; 4]), |node| {
        life.live(node);
        let mut store = store(Flash::new(8));
        run(store.load(&mut [])).unwrap();
        save(&mut store, node).unwrap();
        (written(node), store.into_flash())
    });
    let snapshot = Snapshot::parse(&bytes).unwrap();
    let mut store = store(flash);
    run(store.load(&mut [0; SNAPSHOT_MAX])).unwrap();
    with_node(snapshot.secret_key(), snapshot.nospam(), |node| {
        // Another identity's friends are there already, and take the room.
        (0..6).for_each(|seed| assert!(node.accept(NOW, key(seed + 20)).is_ok()));
        let restored = run(snapshot.restore(node, NOW, &mut store, &mut [0; WORDS_MAX])).unwrap();
        let asked = snapshot.friends().filter(|friend| friend.request.is_some()).count();
        assert!(asked >= 2);
        assert_eq!(restored, Restored { friends: 2, refused: snapshot.friends().count() - 2, unasked: 0 });
    });
}

/// The first two relays come back; a node without room for any takes none.
#[test]
fn relays_survive_a_reset() {
    let at = |host| Endpoint::v4([192, 0, 2, host], 3389);
    let secret = || SecretKey::from_bytes([9; 32]);
    let (bytes, known) = with_node(secret(), Nospam([0; 4]), |node| {
        for host in 1..=3 {
            node.add_relay(NOW, key(host), RelayHost::At(at(host)));
        }
        (written(node), node.known_relays().collect::<Vec<_>>())
    });
    assert_eq!(known.len(), if cfg!(feature = "relays") { 3 } else { 0 });
    let snapshot = Snapshot::parse(&bytes).unwrap();
    assert!(snapshot.relays().eq(known.iter().copied()));
    let mut store = store(Flash::new(8));
    with_node(secret(), Nospam([0; 4]), |node| {
        run(snapshot.restore(node, NOW, &mut store, &mut [0; WORDS_MAX])).unwrap();
        let best = &known[..known.len().min(2)];
        assert!(node.known_relays().count() == best.len() && node.known_relays().all(|relay| best.contains(&relay)));
    });
}

#[test]
fn words_that_are_gone_stop_the_save() {
    with_node(SecretKey::from_bytes([1; 32]), Nospam([0; 4]), |node| {
        let to = ToxId { public_key: key(2), nospam: Nospam([5; 4]) };
        let id = node.add_friend(NOW, &to, b"Hello").unwrap();
        let bytes = written(node);
        node.remove_friend(NOW, id);
        let mut store = store(Flash::new(8));
        run(store.load(&mut [])).unwrap();
        let words = |key: &PublicKey, at: usize, to: &mut [u8]| copy_words(node, key, at, to);
        assert_eq!(run(store.save(WithWords::new(&bytes, words).unwrap())), Err(SaveError::Changed));
        assert!(matches!(save(&mut store, node), Ok(Saved::Written(_))));
    });
}

#[test]
fn another_version_is_told_and_left_alone() {
    let mut bytes = small_snapshot();
    bytes[0] = 2;
    assert_eq!(Snapshot::parse(&bytes).err(), Some(SnapshotError::Version(2)));
    let mut first = store(Flash::new(8));
    run(first.load(&mut [])).unwrap();
    assert!(run(first.save(&bytes[..])).is_ok());
    let before = first.into_flash();
    let mut store = store(before.clone());
    let mut buffer = [0; SNAPSHOT_MAX];
    assert_eq!(run(store.load(&mut buffer)), Err(crate::flash::LoadError::Version(2)));
    assert_eq!(run(store.save(&small_snapshot()[..])), Err(SaveError::NotLoaded));
    assert_eq!(store.into_flash().bytes, before.bytes);
}

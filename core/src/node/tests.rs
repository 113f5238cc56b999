//! The node as a whole: sizes, and arbitrary input.

use super::*;
use crate::Endpoint;
use crate::crypto::PublicKey;
use crate::cx::test_env::TestEnv;
use crate::wire::NodeInfo;
use quickcheck::{Arbitrary, Gen, quickcheck};
use rand_core::SeedableRng;
use std::boxed::Box;
use std::vec::Vec;

type Micro = StaticStorage<4, 7, 16, 8, 4>;

fn with_node<T>(seed: u8, test: impl FnOnce(&mut Node<'_, TestEnv>) -> T) -> T {
    let mut memory = Box::new(Micro::new());
    test(&mut start(seed, memory.storage()))
}

fn start(seed: u8, storage: Storage<'_>) -> Node<'_, TestEnv> {
    let parts = Parts { rng: chacha20::ChaCha12Rng::from_seed([seed; 32]), suite: crate::crypto::Nacl };
    let config = Config {
        secret: SecretKey::from_bytes([seed; 32]),
        nospam: Nospam([1, 2, 3, 4]),
        dht_secret: None,
        info: Some(BootstrapInfo { version: 7, motd: b"hello" }),
    };
    Node::new(config, storage, parts, Instant::from_secs(1)).unwrap()
}

#[test]
fn the_node_itself_is_small() {
    let size = size_of::<Node<'static, TestEnv>>() - size_of::<chacha20::ChaCha12Rng>();
    assert!(size <= 2568, "{size} bytes: constructors copy it through the stack");
}

#[test]
fn too_little_storage_is_an_error() {
    let mut memory = Box::new(StaticStorage::<1, 4, 4, 2, 0>::new());
    let parts = Parts::<TestEnv> { rng: chacha20::ChaCha12Rng::from_seed([1; 32]), suite: crate::crypto::Nacl };
    let config =
        Config { secret: SecretKey::from_bytes([1; 32]), nospam: Nospam([0; 4]), dht_secret: None, info: None };
    assert_eq!(Node::new(config, memory.storage(), parts, Instant::ZERO).err(), Some(BuildError::StorageTooSmall));
}

fn used(node: &Node<'_, TestEnv>, name: &str) -> usize {
    node.occupancy().get(name).unwrap().used
}

fn capacities(node: &Node<'_, TestEnv>) -> Vec<usize> {
    node.occupancy().tables().iter().map(|table| table.capacity).collect()
}

#[test]
fn occupancy_tells_the_capacities() {
    with_node(1, |node| {
        assert_eq!(capacities(node), [16, 7, 16, 4, 16, 8, 4, 6, 16, 4, 4, 4, 4, 60, 8]);
        let names: Vec<_> = node.occupancy().tables().iter().map(|table| table.name).collect();
        assert_eq!((names[0], names[7], names[14]), ("close list", "onion self nodes", "blocks"));
        assert!(names.iter().all(|name| names.iter().filter(|other| *other == name).count() == 1), "{names:?}");
    });
}

#[cfg(feature = "alloc")]
#[test]
fn occupancy_tells_the_limits() {
    for limits in [Limits::DESKTOP, Limits::SERVER, Limits::MICRO] {
        let node = start(2, Storage::heap(&limits));
        let of = |name| node.occupancy().get(name).unwrap().capacity;
        let told = [of("friends"), of("close list"), of("announced"), of("blocks"), of("keys"), of("blocked keys")];
        let Limits { friends, nodes, announces, blocks, keys, blocked, .. } = limits;
        assert_eq!(told, [friends, nodes, announces, blocks, keys, blocked]);
        assert_eq!((of("searches"), of("onion friends")), (friends + 3, friends));
    }
}

#[test]
fn occupancy_follows_what_happens() {
    let mut memory = Box::new(Micro::new());
    let now = Instant::from_secs(1);
    let empty = |node: &Node<'_, TestEnv>| {
        let taken = node.occupancy().tables().iter().filter(|table| table.used > 0).map(|t| t.name).collect::<Vec<_>>();
        assert_eq!((taken, used(node, "searches")), (std::vec!["searches"], 3));
    };
    let mut node = start(1, memory.storage());
    empty(&node);
    let key = |byte| SecretKey::from_bytes([byte; 32]).public_key();
    let friend = node.add_friend(now, &crate::crypto::ToxId { public_key: key(7), nospam: Nospam([0; 4]) }, b"hi");
    assert_eq!(["friends", "onion friends", "blocks"].map(|name| used(&node, name)), [1, 1, 1]);
    node.accept(now, key(8)).unwrap();
    assert_eq!(["friends", "onion friends", "blocks"].map(|name| used(&node, name)), [2, 2, 1]);
    assert!(node.remove_friend(now, friend.unwrap()));
    assert_eq!(["friends", "onion friends", "blocks"].map(|name| used(&node, name)), [1, 1, 0]);

    for byte in [3, 3, 4] {
        node.block(key(byte)).unwrap();
    }
    node.block(PublicKey::ZERO).unwrap();
    assert_eq!(used(&node, "blocked keys"), 2);
    node.unblock(&key(3));
    node.unblock(&PublicKey::ZERO);
    assert_eq!(used(&node, "blocked keys"), 1);

    node.bootstrap(now, NodeInfo { key: key(9), at: Endpoint::v4([192, 0, 2, 9], 33445) });
    assert!(node.poll_transmit(now, &mut [0; DATAGRAM_MAX]).is_some());
    assert_eq!(["path nodes", "keys"].map(|name| used(&node, name)), [1, 1]);
    assert_eq!(node.stats().keys_computed, 1);
    drop(node);
    empty(&start(1, memory.storage()));
}

/// What happens to a node in a fuzzed run.
#[derive(Clone, Debug)]
enum Input {
    Datagram { kind: u8, from: u8, bytes: Vec<u8> },
    Later(u32),
    AddFriend(u8),
    RemoveFriend(u8),
    Bootstrap(u8),
    Shutdown,
}

impl Arbitrary for Input {
    fn arbitrary(g: &mut Gen) -> Self {
        const KINDS: [u8; 24] = [
            0, 1, 2, 4, 0x18, 0x19, 0x1a, 0x1b, 0x20, 0x21, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x8c,
            0x8d, 0x8e, 0xf0, 0xff,
        ];
        const LENGTHS: [usize; 12] = [1, 78, 82, 113, 145, 161, 177, 286, 354, 385, 1400, 2048];
        match u8::arbitrary(g) % 16 {
            0 => Self::AddFriend(u8::arbitrary(g) % 8),
            1 => Self::RemoveFriend(u8::arbitrary(g) % 8),
            2 => Self::Bootstrap(u8::arbitrary(g) % 8),
            3 => Self::Shutdown,
            4..8 => Self::Later(u32::arbitrary(g) % 100_000),
            _ => {
                let len = *g.choose(&LENGTHS).unwrap_or(&0);
                let bytes = (0..len).map(|_| u8::arbitrary(g)).collect();
                Self::Datagram { kind: *g.choose(&KINDS).unwrap_or(&0), from: u8::arbitrary(g) % 8, bytes }
            }
        }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        match self {
            Self::Datagram { kind, from, bytes } => {
                let (kind, from) = (*kind, *from);
                Box::new(bytes.shrink().map(move |bytes| Self::Datagram { kind, from, bytes }))
            }
            Self::Later(ms) => Box::new(ms.shrink().map(Self::Later)),
            Self::AddFriend(_) | Self::RemoveFriend(_) | Self::Bootstrap(_) | Self::Shutdown => {
                Box::new(core::iter::empty())
            }
        }
    }
}

/// Runs a node over inputs; false when a bound is broken. Panics are what the caller looks for.
fn survives(inputs: &[Input]) -> bool {
    with_node(9, |node| {
        let (mut now, mut buf) = (Instant::from_secs(1), [0; DATAGRAM_MAX]);
        inputs.iter().all(|input| {
            match input {
                Input::Datagram { kind, from, bytes } => {
                    buf[..bytes.len()].copy_from_slice(bytes);
                    buf[0] = *kind;
                    let from = Endpoint::v4([192, 0, 2, *from], 33445);
                    let _ = node.handle_datagram(now, &mut Frame::new(&mut buf, bytes.len(), from));
                }
                Input::Later(ms) => {
                    now = now + core::time::Duration::from_millis(u64::from(*ms));
                    node.handle_timeout(now);
                }
                Input::AddFriend(byte) => {
                    let public_key = SecretKey::from_bytes([*byte; 32]).public_key();
                    let id = crate::crypto::ToxId { public_key, nospam: Nospam([*byte; 4]) };
                    let _ = node.add_friend(now, &id, b"hi");
                }
                Input::RemoveFriend(index) => {
                    if let Some(id) = node.friend_by_index(usize::from(*index)) {
                        node.remove_friend(now, id);
                    }
                }
                Input::Bootstrap(byte) => {
                    let key = SecretKey::from_bytes([*byte; 32]).public_key();
                    node.bootstrap(now, NodeInfo { key, at: Endpoint::v4([192, 0, 2, *byte], 33445) });
                }
                Input::Shutdown => node.shutdown(now),
            }
            let fits = node.occupancy().tables().iter().all(|table| table.used <= table.capacity);
            fits && drains(node, now)
        })
    })
}

/// All outputs run dry within a bounded number of steps, and the next deadline is not behind us twice in a row.
fn drains(node: &mut Node<'_, TestEnv>, now: Instant) -> bool {
    let mut buf = [0; DATAGRAM_MAX];
    for _ in 0..3 {
        let mut steps = 0;
        while node.poll_action().is_some() || node.poll_transmit(now, &mut buf).is_some() || node.poll_event().is_some()
        {
            steps += 1;
            if steps > 200 {
                return false;
            }
        }
        while node.poll_event().is_some() {}
        match node.poll_timeout() {
            Some(deadline) if deadline.at <= now => node.handle_timeout(now),
            Some(_) | None => return true,
        }
    }
    false
}

quickcheck! {
    fn arbitrary_input_breaks_nothing(inputs: Vec<Input>) -> bool {
        survives(&inputs)
    }
}

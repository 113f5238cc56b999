//! The node as a whole: sizes, and arbitrary input.

#[cfg(feature = "alloc")]
mod relays;

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
        info: Some(BootstrapInfo { version: 7, motd: b"hello" }),
        lan_discovery: true,
        ..Config::new(SecretKey::from_bytes([seed; 32]), Nospam([1, 2, 3, 4]))
    };
    Node::new(config, storage, parts, Instant::from_secs(1)).unwrap()
}

#[test]
fn the_node_itself_is_small() {
    let size = size_of::<Node<'static, TestEnv>>() - size_of::<chacha20::ChaCha12Rng>();
    assert!(size <= 3260, "{size} bytes: constructors copy it through the stack");
}

#[test]
fn too_little_storage_is_an_error() {
    let mut memory = Box::new(StaticStorage::<1, 4, 4, 2, 0>::new());
    let parts = Parts::<TestEnv> { rng: chacha20::ChaCha12Rng::from_seed([1; 32]), suite: crate::crypto::Nacl };
    let config = Config::new(SecretKey::from_bytes([1; 32]), Nospam([0; 4]));
    assert_eq!(Node::new(config, memory.storage(), parts, Instant::ZERO).err(), Some(BuildError::StorageTooSmall));
}

/// Hands a datagram to the node; what becomes of it, and the buffer.
fn hand(node: &mut Node<'_, TestEnv>, from: Endpoint, bytes: &[u8]) -> (Disposition, [u8; DATAGRAM_MAX]) {
    let mut buf = [0; DATAGRAM_MAX];
    buf[..bytes.len()].copy_from_slice(bytes);
    let disposition = node.handle_datagram(Instant::from_secs(1), &mut Frame::new(&mut buf, bytes.len(), from));
    (disposition, buf)
}

#[test]
fn calls_go_out_and_are_answered_in_the_local_network() {
    let (now, lan) = (Instant::from_secs(1), Endpoint::v4([192, 168, 1, 9], 33445));
    with_node(1, |node| {
        node.handle_timeout(now);
        let Some(Action::LanDiscovery(call)) = node.poll_action() else { panic!("a call is due at once") };
        assert_eq!(node.poll_action(), None);
        let own = call.packet();
        assert_eq!(hand(node, lan, &own).0, Disposition::Dropped(DropReason::OwnPacket));
        let mut other = own;
        other[1] ^= 1;
        let outside = Endpoint::v4([198, 51, 100, 1], 33445);
        assert_eq!(hand(node, outside, &other).0, Disposition::Dropped(DropReason::BadAddress));
        assert_eq!(hand(node, lan, &other[..32]).0, Disposition::Dropped(DropReason::Malformed));
        assert_eq!(hand(node, lan, &other).0, Disposition::Consumed);
        let mut buf = [0; DATAGRAM_MAX];
        let sent = node.poll_transmit(now, &mut buf).map(|sent| (sent.to, sent.bytes[0]));
        assert_eq!(sent, Some((lan, kind::NODES_REQUEST)));
    });
}

/// A search for a DHT announcement, directly and through a forwarder; the node has a table for them, or has none.
#[cfg(feature = "alloc")]
#[test]
fn announcements_are_served_directly_and_forwarded() {
    use crate::crypto::{Nacl, Nonce, Suite};
    use crate::wire::Writer;
    use crate::wire::announcements::SearchRequest;
    use crate::wire::dht::{BOX_AT, Outer, TEXT_AT};
    use crate::wire::forwarding::Forwarded;

    for announcements in [0, 4] {
        let mut node = start(2, Storage::heap(&Limits { announcements, ..Limits::MICRO }));
        let (secret, client) = (SecretKey::from_bytes([5; 32]), Endpoint::v4([198, 51, 100, 1], 33445));
        let key = Nacl.agree(&secret, &node.dht_key()).unwrap();
        let mut request = [0; 113];
        let mut w = Writer::new(&mut request);
        Outer::emit_header(&mut w, kind::DATA_SEARCH_REQUEST, &secret.public_key(), &Nonce([6; 24]));
        w.skip(TEXT_AT - BOX_AT);
        SearchRequest { key: PublicKey([9; 32]), known: None, id: 77 }.emit(&mut w);
        Nacl.seal(&key, &Nonce([6; 24]), &mut request[BOX_AT..]);
        let is_answer = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let nonce = Outer::parse(&bytes).unwrap().nonce;
            assert!(Nacl.open(&key, &nonce, &mut bytes[BOX_AT..]));
            bytes[0] == kind::DATA_SEARCH_RESPONSE && bytes.ends_with(&77_u64.to_be_bytes())
        };

        let (direct, buf) = hand(&mut node, client, &request);
        let forwarded = [&[kind::FORWARDING, 5][..], b"token", &request].concat();
        let (reply, reply_buf) = hand(&mut node, client, &forwarded);
        match (announcements, direct, reply) {
            (0, Disposition::Dropped(DropReason::Disabled), Disposition::Dropped(DropReason::Disabled)) => {}
            (4, Disposition::Reply { to, len }, Disposition::Reply { to: via, len: reply_len }) => {
                let reply = Forwarded::parse(&reply_buf[..reply_len]).unwrap();
                assert_eq!((to, via, reply.kind, reply.sendback), (client, client, kind::FORWARD_REPLY, &b"token"[..]));
                assert!(is_answer(&buf[..len]) && is_answer(reply.data));
            }
            other => panic!("{other:?}"),
        }
        let (unasked, _) =
            hand(&mut node, client, &[[kind::DATA_SEARCH_RESPONSE; 1].as_slice(), &request[1..]].concat());
        assert!(matches!(unasked, Disposition::Dropped(_)));
    }
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
        let relays = if cfg!(feature = "relays") { 6 } else { 0 };
        assert_eq!(capacities(node), [16, 7, 16, 4, 16, 8, 4, 6, 16, 4, 4, 4, 4, 56, 8, 0, 0, relays, 1]);
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
        let Limits { group_peers, announcements, .. } = limits;
        assert_eq!((of("group announcements"), of("DHT announcements")), (group_peers, announcements));
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
        while let Some(id) = node.next_stream() {
            assert_eq!(node.poll_stream(now, id, &mut buf), 0, "nobody opens any");
        }
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

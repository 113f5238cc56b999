//! Relays and stores against each other: whole paths in memory, and what must not get through.

use super::announce::ANNOUNCE_LIFE;
use super::groups::{GROUP_LIFE, PER_GROUP};
use super::returns::KEY_LIFE;
use super::{AnnounceStore, Announced, GroupPeer, OnionRelay};
use crate::budget::Standing;
use crate::crypto::{Nacl, Nonce, PublicKey, SharedKey, Suite};
use crate::cx::KeyPair;
use crate::cx::test_env::Bench;
use crate::storage::{Slot, Slots};
use crate::wire::onion::announce::{RESPONSE_BOX_AT, RESPONSE_PLAIN_AT};
use crate::wire::onion::{
    self, AnnounceRequest, AnnounceResponse, DataHeader, DataKeys, GroupAnnounce, GroupAnnounces, Hop, PACKET_MAX,
    PAYLOAD_AT, RETURN_3, ResponseHeader, Stored, data,
};
use crate::wire::{NodeInfo, NodeList, Writer, kind};
use crate::{DATAGRAM_MAX, Disposition, DropReason, Endpoint, Frame, Stats};
use core::time::Duration;
use quickcheck::quickcheck;
use std::vec;
use std::vec::Vec;

/// A full node as far as the onion is concerned.
struct Node {
    bench: Bench,
    relay: OnionRelay,
    store: AnnounceStore<'static>,
    /// What the DHT knows.
    near: NodeList,
}

/// Nodes 1.. at 203.0.113.1.., clients anywhere else.
struct Net {
    nodes: Vec<Node>,
}

type Packet = ([u8; DATAGRAM_MAX], usize);

fn address(i: usize) -> Endpoint {
    Endpoint::v4([203, 0, 113, i as u8 + 1], 33445)
}

const CLIENT: Endpoint = Endpoint::v4([198, 51, 100, 7], 40000);

impl Net {
    /// Three relays and a node, each with a store of `capacity`.
    fn new(capacity: usize) -> Self {
        let nodes = (1..=4)
            .map(|seed| {
                let mut bench = Bench::new(seed);
                let mem = (0..capacity).map(|_| Slot::VACANT).collect::<Vec<Slot<Announced>>>();
                let groups = (0..capacity * 8).map(|_| Slot::VACANT).collect::<Vec<Slot<GroupPeer>>>();
                let store = AnnounceStore::new(Slots::new(mem.leak()), Slots::new(groups.leak()), &mut bench.rng);
                let relay = OnionRelay::new(&mut bench.rng);
                Node { bench, relay, store, near: NodeList::new() }
            })
            .collect();
        Self { nodes }
    }

    fn key(&self, i: usize) -> PublicKey {
        self.nodes[i].bench.me.dht.public
    }

    fn later(&mut self, span: Duration) {
        for node in &mut self.nodes {
            node.bench.now = node.bench.now + span;
        }
    }

    /// Hands one packet to node `i`.
    fn handle(&mut self, i: usize, from: Endpoint, (buf, len): &mut Packet) -> Disposition {
        let Node { bench, relay, store, near } = &mut self.nodes[i];
        let mut frame = Frame::new(buf, *len, from);
        match frame.buf[0] {
            kind::ANNOUNCE_REQUEST | kind::GROUP_ANNOUNCE_REQUEST | kind::ONION_DATA_REQUEST => {
                store.on_packet(&mut bench.cx(), &mut frame, &|_, _| Standing::Stranger, |_, _| near.clone())
            }
            _ => relay.on_packet(&mut bench.cx(), &mut frame, &|_, _| Standing::Stranger),
        }
    }

    /// Carries a packet from node to node until it leaves them; the last relay, the packet, and the lengths on its way.
    fn carry(&mut self, mut to: Endpoint, mut packet: Packet) -> Result<(Endpoint, Packet, Vec<usize>), DropReason> {
        let (mut from, mut lens) = (CLIENT, vec![packet.1]);
        loop {
            let Some(i) = (0..self.nodes.len()).find(|i| address(*i) == to) else { return Ok((to, packet, lens)) };
            match self.handle(i, from, &mut packet) {
                Disposition::Reply { to: next, len } => {
                    packet.1 = len;
                    lens.push(len);
                    (from, to) = (to, next);
                }
                Disposition::Dropped(reason) => return Err(reason),
                Disposition::Consumed => panic!("the onion answers or drops"),
            }
        }
    }
}

/// A client with a path through nodes 0, 1, 2.
struct Client {
    bench: Bench,
    temporary: [KeyPair; 2],
}

impl Client {
    fn new(seed: u8) -> Self {
        let mut bench = Bench::new(seed);
        let temporary = [0, 0].map(|_: u8| KeyPair::generate(&Nacl, &mut bench.rng));
        Self { bench, temporary }
    }

    /// Sends what `content` writes to node 3; the answer that arrives, at whom, and the lengths on the way.
    fn send(
        &mut self,
        net: &mut Net,
        content: impl FnOnce(&mut Bench, &mut [u8]) -> usize,
    ) -> Result<(Endpoint, Packet, Vec<usize>), DropReason> {
        let packet = self.packet(net, content);
        net.carry(address(0), packet)
    }

    fn packet(&mut self, net: &Net, content: impl FnOnce(&mut Bench, &mut [u8]) -> usize) -> Packet {
        let mut buf = [0; DATAGRAM_MAX];
        let len = content(&mut self.bench, &mut buf[PAYLOAD_AT..]);
        let pairs = [&self.bench.me.dht, &self.temporary[0], &self.temporary[1]];
        let keys: [SharedKey; 3] = core::array::from_fn(|i| Nacl.agree(&pairs[i].secret, &net.key(i)).unwrap());
        let hops = core::array::from_fn(|i| Hop { at: address(i), public: &pairs[i].public, key: &keys[i] });
        let nonce = Nonce::generate(&mut self.bench.rng);
        let len = onion::wrap(&Nacl, &hops, address(3), &nonce, &mut buf, len);
        (buf, len)
    }

    /// One announce request under our long-term key to node 3 and what it answers.
    fn ask(
        &mut self,
        net: &mut Net,
        search: PublicKey,
        ping_id: [u8; 32],
    ) -> Result<(Stored, usize, Vec<usize>), DropReason> {
        let node = net.key(3);
        let (to, (mut buf, len), lens) = self.send(net, |bench, buf| {
            let data_key =
                if search == bench.me.long_term.public { bench.me.onion_data.public } else { PublicKey::ZERO };
            let request = AnnounceRequest { ping_id, search, data_key, sendback: *b"sendback" };
            let key = Nacl.agree(&bench.me.long_term.secret, &node).unwrap();
            request.seal(&Nacl, &key, &Nonce::generate(&mut bench.rng), &bench.me.long_term.public, buf)
        })?;
        assert_eq!(to, CLIENT);
        let header = ResponseHeader::parse(&buf[..len]).unwrap();
        assert_eq!((header.group, header.sendback), (false, *b"sendback"));
        let key = Nacl.agree(&self.bench.me.long_term.secret, &node).unwrap();
        assert!(Nacl.open(&key, &header.nonce, &mut buf[RESPONSE_BOX_AT..len]));
        let response = AnnounceResponse::parse(&buf[RESPONSE_PLAIN_AT..len], false).unwrap();
        Ok((response.stored, response.nodes.count(), lens))
    }

    fn ask_ping_id(&mut self, net: &mut Net) -> [u8; 32] {
        let me = self.bench.me.long_term.public;
        match self.ask(net, me, [0; 32]).unwrap().0 {
            Stored::No { ping_id } | Stored::Announced { ping_id } => ping_id,
            Stored::Found { .. } => panic!("found ourselves as somebody else"),
        }
    }

    fn announce(&mut self, net: &mut Net) {
        let me = self.bench.me.long_term.public;
        let ping_id = self.ask_ping_id(net);
        assert!(matches!(self.ask(net, me, ping_id).unwrap().0, Stored::Announced { .. }));
    }

    /// Sends data to `receiver` through node 3.
    fn send_data(
        &mut self,
        net: &mut Net,
        receiver: &PublicKey,
        data_key: &PublicKey,
        text: &[u8],
    ) -> Result<(Endpoint, Packet, Vec<usize>), DropReason> {
        self.send(net, |bench, buf| {
            let temporary = KeyPair::generate(&Nacl, &mut bench.rng);
            let keys = DataKeys {
                receiver,
                sender: &bench.me.long_term.public,
                temporary: &temporary.public,
                inner: &Nacl.agree(&bench.me.long_term.secret, receiver).unwrap(),
                outer: &Nacl.agree(&temporary.secret, data_key).unwrap(),
            };
            buf[data::REQUEST_DATA_AT..][..text.len()].copy_from_slice(text);
            keys.seal(&Nacl, &Nonce::generate(&mut bench.rng), buf, text.len())
        })
    }
}

#[test]
fn announce_search_and_send_data() {
    let (mut net, mut alice, mut bob) = (Net::new(4), Client::new(50), Client::new(51));
    let bob_key = bob.bench.me.long_term.public;
    let near = NodeInfo { key: net.key(1), at: address(1) };
    net.nodes[3].near.push(near).unwrap();

    let (stored, nodes, lens) = bob.ask(&mut net, bob_key, [0; 32]).unwrap();
    let Stored::No { ping_id } = stored else { panic!("{stored:?}") };
    assert_eq!(nodes, 1);
    // 177 of request; one node of 39 in the answer; 1 + 177, 118, 59 in front of it on its way back.
    let answer = 82 + 39;
    assert_eq!(lens, [226 + 177, 395, 387, 354, 178 + answer, 119 + answer, 60 + answer, answer]);
    assert!(matches!(alice.ask(&mut net, bob_key, [0; 32]).unwrap().0, Stored::No { .. }));

    assert!(matches!(bob.ask(&mut net, bob_key, ping_id).unwrap().0, Stored::Announced { .. }));
    let (stored, _, _) = alice.ask(&mut net, bob_key, [0; 32]).unwrap();
    assert_eq!(stored, Stored::Found { data_key: bob.bench.me.onion_data.public });

    let data_key = bob.bench.me.onion_data.public;
    let (to, (mut buf, len), lens) = alice.send_data(&mut net, &bob_key, &data_key, b"hello").unwrap();
    assert_eq!((to, len), (CLIENT, 1 + 24 + 32 + 16 + 32 + 16 + 5));
    assert!(lens.windows(2).skip(4).all(|w| w[0] == w[1] + 59 || w[0] == w[1] + 60));
    let header = DataHeader::parse(&buf[..len]).unwrap();
    let key = Nacl.agree(&bob.bench.me.onion_data.secret, &header.temporary).unwrap();
    assert!(Nacl.open(&key, &header.nonce, &mut buf[data::RESPONSE_BOX_AT..len]));
    let sender = PublicKey::from_slice(&buf[data::RESPONSE_SENDER_AT..data::RESPONSE_INNER_AT]).unwrap();
    assert_eq!(sender, alice.bench.me.long_term.public);
    let key = Nacl.agree(&bob.bench.me.long_term.secret, &sender).unwrap();
    assert!(Nacl.open(&key, &header.nonce, &mut buf[data::RESPONSE_INNER_AT..len]));
    assert_eq!(buf[data::RESPONSE_DATA_AT..len], *b"hello");
}

#[test]
fn the_largest_data_fits_through() {
    let (mut net, mut alice, mut bob) = (Net::new(4), Client::new(50), Client::new(51));
    bob.announce(&mut net);
    let me = &bob.bench.me;
    let (_, (_, len), lens) =
        alice.send_data(&mut net, &me.long_term.public, &me.onion_data.public, &[7; onion::DATA_MAX]).unwrap();
    assert_eq!(len, data::RESPONSE_LEN_MAX);
    assert!(lens.iter().all(|len| *len <= PACKET_MAX));
}

#[test]
fn announcements_and_ping_ids_end() {
    let (mut net, mut alice, mut bob) = (Net::new(4), Client::new(50), Client::new(51));
    let bob_key = bob.bench.me.long_term.public;
    bob.announce(&mut net);
    net.later(ANNOUNCE_LIFE - Duration::from_secs(1));
    assert!(matches!(alice.ask(&mut net, bob_key, [0; 32]).unwrap().0, Stored::Found { .. }));
    net.later(Duration::from_secs(1));
    assert!(matches!(alice.ask(&mut net, bob_key, [0; 32]).unwrap().0, Stored::No { .. }));
    let refused = alice.send_data(&mut net, &bob_key, &bob_key, b"x").map(|_| ());
    assert_eq!(refused, Err(DropReason::NoRoute));

    let ping_id = bob.ask_ping_id(&mut net);
    net.later(ANNOUNCE_LIFE);
    assert!(matches!(bob.ask(&mut net, bob_key, ping_id).unwrap().0, Stored::Announced { .. }));
    let ping_id = bob.ask_ping_id(&mut net);
    net.later(2 * ANNOUNCE_LIFE);
    assert!(matches!(bob.ask(&mut net, bob_key, ping_id).unwrap().0, Stored::No { .. }));
}

#[test]
fn a_ping_id_serves_only_its_owner() {
    let (mut net, mut alice, mut bob) = (Net::new(4), Client::new(50), Client::new(51));
    let ping_id = bob.ask_ping_id(&mut net);
    let alice_key = alice.bench.me.long_term.public;
    assert!(matches!(alice.ask(&mut net, alice_key, ping_id).unwrap().0, Stored::No { .. }));
}

#[test]
fn a_new_data_key_is_only_known_after_announcing_it() {
    let (mut net, mut bob) = (Net::new(4), Client::new(51));
    let bob_key = bob.bench.me.long_term.public;
    bob.announce(&mut net);
    bob.bench.me.onion_data = KeyPair::generate(&Nacl, &mut bob.bench.rng);
    assert!(matches!(bob.ask(&mut net, bob_key, [0; 32]).unwrap().0, Stored::No { .. }));
    bob.announce(&mut net);
}

#[test]
fn a_full_store_keeps_the_nearest() {
    let mut net = Net::new(3);
    let me = net.key(3);
    let mut clients: Vec<Client> = (100..110).map(Client::new).collect();
    for client in &mut clients {
        let ping_id = client.ask_ping_id(&mut net);
        let key = client.bench.me.long_term.public;
        let _ = client.ask(&mut net, key, ping_id);
    }
    let Stats { announces_evicted, announces_refused, .. } = net.nodes[3].bench.stats;
    assert_eq!((announces_evicted + announces_refused, announces_evicted > 0, announces_refused > 0), (7, true, true));
    clients.sort_by_key(|client| client.bench.me.long_term.public.distance(&me));
    let mut seeker = Client::new(50);
    for (rank, client) in clients.iter().enumerate() {
        let (stored, _, _) = seeker.ask(&mut net, client.bench.me.long_term.public, [0; 32]).unwrap();
        assert_eq!(matches!(stored, Stored::Found { .. }), rank < 3, "rank {rank}");
    }
    // When they are over, anybody gets in again.
    net.later(ANNOUNCE_LIFE);
    clients[9].announce(&mut net);
    assert_eq!(net.nodes[3].bench.stats.announces_evicted, announces_evicted, "who is over was not driven out");
}

#[test]
fn a_store_without_room_is_turned_off() {
    let (mut net, mut bob) = (Net::new(0), Client::new(51));
    let key = bob.bench.me.long_term.public;
    assert_eq!(bob.ask(&mut net, key, [0; 32]).map(|_| ()), Err(DropReason::Disabled));
}

/// A group announcement of `peer`, in its packed form.
fn packed_peer(peer: u8, direct: bool) -> Vec<u8> {
    let (mut buf, at) = ([0; onion::group::ANNOUNCE_LEN_MAX], address(usize::from(peer)));
    let mut w = Writer::new(&mut buf);
    let relay = NodeInfo { key: PublicKey([3; 32]), at };
    GroupAnnounce::emit(&mut w, &PublicKey([peer; 32]), direct.then_some(at), Some(&relay));
    let len = w.len();
    buf[..len].to_vec()
}

impl Client {
    /// The second form of a request (0x87) with `extra` at its end; what comes back behind the nodes, and its length.
    fn ask_group(&mut self, net: &mut Net, extra: &[u8]) -> Result<(Vec<Vec<u8>>, usize), DropReason> {
        let node = net.key(3);
        let (_, (mut buf, len), _) = self.send(net, |bench, buf| {
            let request = AnnounceRequest {
                ping_id: [0; 32],
                search: PublicKey([8; 32]),
                data_key: PublicKey::ZERO,
                sendback: [1; 8],
            };
            let key = Nacl.agree(&bench.me.long_term.secret, &node).unwrap();
            let nonce = Nonce::generate(&mut bench.rng);
            let len = request.seal(&Nacl, &key, &nonce, &bench.me.long_term.public, buf);
            buf[0] = kind::GROUP_ANNOUNCE_REQUEST;
            // Sealed once more, longer: the box is opened, extended and closed.
            buf[len..len + extra.len()].copy_from_slice(extra);
            let boxed = &mut buf[onion::announce::REQUEST_BOX_AT..len + extra.len()];
            assert!(Nacl.open(&key, &nonce, &mut boxed[..120]));
            Nacl.seal(&key, &nonce, boxed);
            len + extra.len()
        })?;
        let header = ResponseHeader::parse(&buf[..len]).unwrap();
        assert!(header.group);
        let key = Nacl.agree(&self.bench.me.long_term.secret, &node).unwrap();
        assert!(Nacl.open(&key, &header.nonce, &mut buf[RESPONSE_BOX_AT..len]));
        let plain = &buf[RESPONSE_PLAIN_AT..len];
        let response = AnnounceResponse::parse(plain, true).unwrap();
        assert!(matches!(response.stored, Stored::No { .. }), "groups store no announcement of a person");
        assert_eq!(response.nodes.count(), net.nodes[3].near.len());
        let peers = GroupAnnounces::parse(&plain[response.groups_at()..]).unwrap();
        Ok((peers.iter().map(|peer| peer.as_bytes().to_vec()).collect(), len))
    }

    /// Announces `peer` in `chat`; who else is there.
    fn join_group(&mut self, net: &mut Net, chat: u8, peer: u8) -> Vec<u8> {
        let extra = [&[chat; 32][..], &packed_peer(peer, true)].concat();
        let (found, _) = self.ask_group(net, &extra).unwrap();
        found.iter().map(|announce| announce[0]).collect()
    }
}

#[test]
fn peers_of_a_group_find_each_other() {
    let (mut net, mut client) = (Net::new(4), Client::new(51));
    let near = NodeInfo { key: net.key(1), at: address(1) };
    net.nodes[3].near.push(near).unwrap();
    let extra = |chat: u8, peer, direct| [&[chat; 32][..], &packed_peer(peer, direct)].concat();
    // Without an announcement nothing is asked.
    assert_eq!(client.ask_group(&mut net, &[]), Ok((vec![], 83 + 39)));
    assert_eq!(client.ask_group(&mut net, &extra(1, 10, true)), Ok((vec![], 83 + 39)));
    let found = client.ask_group(&mut net, &extra(1, 11, false));
    assert_eq!(found, Ok((vec![packed_peer(10, true)], 83 + 39 + 80)));
    let found = client.ask_group(&mut net, &extra(1, 10, true));
    assert_eq!(found, Ok((vec![packed_peer(11, false)], 83 + 39 + 73)), "not the asker itself");
    assert_eq!(client.ask_group(&mut net, &extra(2, 12, true)), Ok((vec![], 83 + 39)), "another group");
    for bad in [&extra(1, 10, true)[..70], &[0; 136], &[1]] {
        assert_eq!(client.ask_group(&mut net, bad).map(|_| ()), Err(DropReason::Malformed));
    }
    assert_eq!(client.ask_group(&mut net, &[0; 137]).map(|_| ()), Err(DropReason::Malformed));
}

#[test]
fn the_newest_four_are_told_until_they_are_over() {
    let (mut net, mut client) = (Net::new(4), Client::new(51));
    for peer in 1..=6 {
        client.join_group(&mut net, 1, peer);
        net.later(Duration::from_secs(1));
    }
    assert_eq!(client.join_group(&mut net, 1, 2), [6, 5, 4, 3]);
    net.later(Duration::from_secs(1));
    assert_eq!(client.join_group(&mut net, 1, 6), [2, 5, 4, 3], "2 is the newest now, and there once");
    net.later(GROUP_LIFE - Duration::from_secs(1));
    assert_eq!(client.join_group(&mut net, 1, 7), [6]);
    net.later(GROUP_LIFE);
    assert!(client.join_group(&mut net, 1, 8).is_empty());
}

/// However many announcements come, of one group or of many: the table has its size, and a group its share of it.
#[test]
fn a_flood_of_group_announcements_stays_in_its_bounds() {
    let (mut net, mut client) = (Net::new(4), Client::new(51));
    let used = |net: &Net| net.nodes[3].store.tables()[1].used;
    for peer in 0..40 {
        client.join_group(&mut net, 1, peer);
        net.later(Duration::from_millis(1));
        assert_eq!(used(&net), (usize::from(peer) + 1).min(PER_GROUP));
    }
    for chat in 2..60 {
        client.join_group(&mut net, chat, 1);
        net.later(Duration::from_millis(1));
    }
    assert_eq!(used(&net), 32, "the table is full");
    assert!(client.join_group(&mut net, 1, 50).is_empty(), "the oldest made room");
    assert_eq!(client.join_group(&mut net, 59, 2), [1]);
    assert_eq!(used(&net), 32);
}

#[test]
fn return_headers_open_for_one_more_period() {
    let opens = |waits: &[Duration]| {
        let (mut net, mut alice, mut bob) = (Net::new(4), Client::new(50), Client::new(51));
        bob.announce(&mut net);
        let (bob_key, data_key) = (bob.bench.me.long_term.public, bob.bench.me.onion_data.public);
        let mut result = Ok(());
        for wait in waits {
            // The store keeps its clock, so that its entry lives on.
            net.nodes[..3].iter_mut().for_each(|node| node.bench.now = node.bench.now + *wait);
            result = alice.send_data(&mut net, &bob_key, &data_key, b"x").map(|_| ());
        }
        result
    };
    assert_eq!(opens(&[KEY_LIFE]), Ok(()));
    assert_eq!(opens(&[KEY_LIFE, KEY_LIFE - Duration::from_secs(1)]), Ok(()));
    assert_eq!(opens(&[KEY_LIFE, KEY_LIFE]), Err(DropReason::BadToken));
    assert_eq!(opens(&[KEY_LIFE * 2]), Err(DropReason::BadToken));
}

#[test]
fn relays_carry_only_what_belongs_to_the_onion() {
    let (mut net, mut bob) = (Net::new(4), Client::new(51));
    for byte in [kind::PING_REQUEST, kind::CRYPTO_DATA, kind::ONION_REQUEST_0, kind::ANNOUNCE_RESPONSE, 0xff] {
        let result = bob.send(&mut net, |_, buf| {
            buf[0] = byte;
            100
        });
        assert_eq!(result.map(|_| ()), Err(DropReason::Forbidden));
    }
}

#[test]
fn relays_send_to_single_hosts_and_not_into_their_own_network() {
    let mut net = Net::new(4);
    let lan = Endpoint::v4([192, 168, 1, 2], 33445);
    let cases = [
        (CLIENT, Endpoint::v4([255, 255, 255, 255], 1), false),
        (CLIENT, Endpoint::v4([224, 0, 0, 1], 1), false),
        (CLIENT, Endpoint::v4([1, 2, 3, 4], 0), false),
        (CLIENT, Endpoint::UNSPECIFIED, false),
        (CLIENT, lan, false),
        (lan, lan, true),
        (lan, CLIENT, true),
        (CLIENT, Endpoint::new("2001:db8::9".parse().unwrap(), 1), true),
    ];
    for (from, to, sent) in cases {
        let client = Client::new(51);
        let dht = &client.bench.me.dht;
        let key = Nacl.agree(&dht.secret, &net.key(0)).unwrap();
        let hops = [(); 3].map(|()| Hop { at: to, public: &dht.public, key: &key });
        let mut buf = [0; DATAGRAM_MAX];
        let len = onion::wrap(&Nacl, &hops, to, &Nonce::ZERO, &mut buf, 50);
        let got = net.handle(0, from, &mut (buf, len));
        let wanted =
            if sent { Disposition::Reply { to, len: len - 8 } } else { Disposition::Dropped(DropReason::BadAddress) };
        assert_eq!(got, wanted, "from {from} to {to}");
    }
}

#[test]
fn lengths_are_strict() {
    let (mut net, mut bob) = (Net::new(4), Client::new(51));
    let (mut buf, _) = bob.packet(&net, |_, _| 1174);
    for (byte, over) in [(0x80, 226), (0x81, 218), (0x82, 210), (0x8c, 178), (0x8d, 119), (0x8e, 60)] {
        buf[0] = byte;
        for len in [1, over - 1, over, PACKET_MAX + 1, DATAGRAM_MAX] {
            assert_eq!(net.handle(0, CLIENT, &mut (buf, len)), Disposition::Dropped(DropReason::Malformed));
        }
        let reason = net.handle(0, CLIENT, &mut (buf, over + 1));
        assert_ne!(reason, Disposition::Dropped(DropReason::Malformed), "{byte:#x}");
    }
    for (byte, lens) in [
        (kind::ANNOUNCE_REQUEST, [353, 355, 0]),
        (kind::GROUP_ANNOUNCE_REQUEST, [353, 491, 0]),
        (kind::ONION_DATA_REQUEST, [105 + RETURN_3, PACKET_MAX + 1, 2]),
    ] {
        buf[0] = byte;
        for len in lens {
            let got = net.handle(0, CLIENT, &mut (buf, len));
            assert!(matches!(got, Disposition::Dropped(DropReason::Malformed | DropReason::UnknownKind)), "{got:?}");
        }
    }
}

quickcheck! {
    /// A packet that is cut, or changed in one byte that concerns the hop, goes no further. A return header concerns
    /// only who made it, an answer's payload only the client; the kind of a request is in no box.
    fn damaged_packets_are_dropped(at: usize, flip: u8, stop: usize, cut: bool) -> bool {
        let (mut net, mut bob) = (Net::new(4), Client::new(51));
        let key = bob.bench.me.long_term.public;
        let packet = bob.packet(&net, |bench, buf| {
            let request = AnnounceRequest { ping_id: [0; 32], search: key, data_key: key, sendback: [1; 8] };
            let node = Nacl.agree(&bench.me.long_term.secret, &Bench::new(4).me.dht.public).unwrap();
            request.seal(&Nacl, &node, &Nonce([9; 24]), &key, buf)
        });
        let (mut packet, mut from, mut to) = (packet, CLIENT, address(0));
        for step in 0..7 {
            let i = (0..4).find(|i| address(*i) == to).unwrap();
            if step == stop % 7 {
                let at = at % packet.1;
                let tail = |len| packet.1.saturating_sub(len);
                let checked = [tail(0), tail(59), tail(118), tail(177), 178, 119, 60][step];
                let harmless = if cut { step > 3 && at > checked } else { at >= checked || step == 3 && at == 0 };
                if cut { packet.1 = at; } else { packet.0[at] ^= flip.max(1); }
                let got = net.handle(i, from, &mut packet);
                return harmless || matches!(got, Disposition::Dropped(_));
            }
            let Disposition::Reply { to: next, len } = net.handle(i, from, &mut packet) else { return false };
            packet.1 = len;
            (from, to) = (to, next);
        }
        false
    }

    fn arbitrary_packets_do_no_harm(first: u8, bytes: Vec<u8>, len: usize) -> bool {
        let mut net = Net::new(2);
        let mut buf = [0; DATAGRAM_MAX];
        for (to, from) in buf.iter_mut().zip(bytes.iter().cycle()) { *to = *from; }
        let kinds = [0x80, 0x81, 0x82, 0x83, 0x85, 0x87, 0x8c, 0x8d, 0x8e, first];
        kinds.iter().all(|byte| {
            buf[0] = *byte;
            matches!(net.handle(0, CLIENT, &mut (buf, len % (DATAGRAM_MAX + 1))), Disposition::Dropped(_))
        })
    }
}

#[test]
#[cfg_attr(target_arch = "x86", ignore = "a u64 is aligned to four bytes there, and entries are smaller")]
fn an_entry_is_small() {
    assert_eq!(size_of::<Slot<Announced>>(), 280);
}

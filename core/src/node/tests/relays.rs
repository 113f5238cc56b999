//! Two friends, a bootstrap node and its relay: what relays are good for. Virtual time; every byte takes 10 ms.

use super::*;
use crate::crypto::{Nacl, ToxId};
use crate::driver::{Ports, Scratch, Sent, pump};
use crate::event::EventOf;
use crate::relay::server::{RelayAction, RelayLimits, RelayServer, RelayStorage};
use crate::relay::{StreamEnd, StreamId};
use crate::wire::relay::FRAME_LEN_MAX;
use core::time::Duration;
use std::collections::BTreeMap;

const DELAY: Duration = Duration::from_millis(10);
/// Who is who: the node that all know, and two people.
const SERVER: usize = 0;
const ALICE: usize = 1;
const BOB: usize = 2;

type Rng = chacha20::ChaCha12Rng;

/// What is under way.
enum Flight {
    Datagram { from: Endpoint, to: Endpoint, bytes: Vec<u8> },
    Opened { node: usize, id: StreamId },
    ToRelay { node: usize, id: StreamId, bytes: Vec<u8> },
    ToNode { node: usize, id: StreamId, bytes: Vec<u8> },
    Closed { node: usize, id: StreamId },
}

/// A client's stream, and what the relay calls it.
struct Wire {
    node: usize,
    id: StreamId,
    at_relay: StreamId,
    rest: Vec<u8>,
    rest_at_relay: Vec<u8>,
}

struct World {
    now: Instant,
    nodes: Vec<(Node<'static, TestEnv>, Box<Scratch>, Option<Instant>)>,
    relay: RelayServer<'static, TestEnv>,
    relay_works: bool,
    udp_works: bool,
    wires: Vec<Wire>,
    flights: BTreeMap<(Instant, u64), Flight>,
    count: u64,
    /// Datagrams that each has sent.
    datagrams: [usize; 3],
    heard: Vec<(Instant, usize, crate::OwnedEvent)>,
}

/// The ports of one node; what it says is sorted out afterwards.
#[derive(Default)]
struct Mouth {
    datagrams: Vec<(Endpoint, Vec<u8>)>,
    bytes: Vec<(StreamId, Vec<u8>)>,
    actions: Vec<Action>,
    events: Vec<crate::OwnedEvent>,
}

impl Ports for Mouth {
    fn datagram(&mut self, packet: &Transmit<'_>) -> Sent {
        self.datagrams.push((packet.to, packet.bytes.to_vec()));
        Sent::Ok
    }

    fn stream(&mut self, id: StreamId, fill: &mut dyn FnMut(&mut [u8]) -> usize) -> bool {
        let mut buf = std::vec![0; FRAME_LEN_MAX];
        let before = self.bytes.len();
        loop {
            match fill(&mut buf) {
                0 => return self.bytes.len() > before,
                len => self.bytes.push((id, buf[..len].to_vec())),
            }
        }
    }

    fn action(&mut self, action: Action) {
        self.actions.push(action);
    }

    fn event_room(&mut self) -> bool {
        true
    }

    fn event(&mut self, event: Event<'_>) {
        self.events.push(event.to_owned());
    }
}

fn address(node: usize) -> Endpoint {
    Endpoint::v4([11, 0, 0, node as u8 + 1], 33445)
}

impl World {
    fn new(udp: [bool; 2]) -> Self {
        let now = Instant::from_secs(10);
        let parts = |seed| Parts { rng: Rng::from_seed([seed; 32]), suite: Nacl };
        let dht = SecretKey::from_bytes([99; 32]);
        let nodes = (0..3).map(|i: usize| {
            let secret = SecretKey::from_bytes([i as u8 + 1; 32]);
            let config = Config {
                dht_secret: (i == SERVER).then(|| dht.clone()),
                udp: i == SERVER || udp[i - 1],
                ..Config::new(secret, Nospam([i as u8; 4]))
            };
            let limits =
                if i == SERVER { Limits::SERVER } else { Limits { friends: 4, blocks: 64, ..Limits::DESKTOP } };
            let mut node = Node::new(config, Storage::heap(&limits), parts(i as u8 + 1), now).unwrap();
            node.handle_clock(now, UnixTime(1_700_000_000));
            (node, Box::new(Scratch::new()), None)
        });
        let limits = RelayLimits { clients: 8, pending: 8, per_address: 16, pages: 16, blocks: 256 };
        let relay = RelayServer::new(dht.clone(), RelayStorage::heap(&limits), parts(77), now).unwrap();
        let mut world = Self {
            now,
            nodes: nodes.collect(),
            relay,
            relay_works: true,
            udp_works: true,
            wires: Vec::new(),
            flights: BTreeMap::new(),
            count: 0,
            datagrams: [0; 3],
            heard: Vec::new(),
        };
        for person in [ALICE, BOB] {
            world.with(person, |node, now| {
                let info = NodeInfo { key: dht.public_key(), at: address(SERVER) };
                assert!(node.add_relay(now, info.key, RelayHost::At(info.at)));
                node.bootstrap(now, info);
            });
        }
        world.pump(SERVER);
        world
    }

    fn with<T>(&mut self, i: usize, work: impl FnOnce(&mut Node<'static, TestEnv>, Instant) -> T) -> T {
        let result = work(&mut self.nodes[i].0, self.now);
        self.pump(i);
        result
    }

    fn fly(&mut self, flight: Flight) {
        self.count += 1;
        self.flights.insert((self.now + DELAY, self.count), flight);
    }

    fn pump(&mut self, i: usize) {
        let mut mouth = Mouth::default();
        let (node, scratch, deadline) = &mut self.nodes[i];
        *deadline = pump(node, self.now, scratch, &mut mouth).deadline.map(|deadline| deadline.at);
        self.heard.extend(mouth.events.into_iter().map(|event| (self.now, i, event)));
        self.datagrams[i] += mouth.datagrams.len();
        for (to, bytes) in mouth.datagrams {
            self.fly(Flight::Datagram { from: address(i), to, bytes });
        }
        for action in mouth.actions {
            match action {
                Action::Persist | Action::LanDiscovery(_) => {}
                Action::Open { id, to } => {
                    assert_eq!(to, address(SERVER));
                    self.fly(Flight::Opened { node: i, id });
                }
                Action::Close { id } => {
                    if let Some(place) = self.wires.iter().position(|wire| (wire.node, wire.id) == (i, id)) {
                        let wire = self.wires.remove(place);
                        self.relay.closed(self.now, wire.at_relay);
                    }
                }
            }
        }
        for (id, bytes) in mouth.bytes {
            self.fly(Flight::ToRelay { node: i, id, bytes });
        }
        self.pump_relay();
    }

    fn pump_relay(&mut self) {
        let mut buf = [0; FRAME_LEN_MAX];
        while let Some(id) = self.relay.next_stream() {
            loop {
                let len = self.relay.poll_stream(self.now, id, &mut buf);
                let Some(wire) = self.wires.iter().find(|wire| wire.at_relay == id).filter(|_| len > 0) else { break };
                let (node, id, bytes) = (wire.node, wire.id, buf[..len].to_vec());
                self.fly(Flight::ToNode { node, id, bytes });
            }
        }
        let mut buf = [0; DATAGRAM_MAX];
        while let Some(packet) = self.relay.poll_transmit(self.now, &mut buf) {
            let (to, bytes) = (packet.to, packet.bytes.to_vec());
            self.fly(Flight::Datagram { from: address(SERVER), to, bytes });
        }
        while let Some(RelayAction::Close { id, .. }) = self.relay.poll_action() {
            self.drop_wires(|wire| wire.at_relay == id);
        }
    }

    fn drop_wires(&mut self, which: impl Fn(&Wire) -> bool) {
        let gone: Vec<Wire> = self.wires.extract_if(.., |wire| which(wire)).collect();
        for wire in gone {
            self.fly(Flight::Closed { node: wire.node, id: wire.id });
        }
    }

    fn arrive(&mut self, flight: Flight) {
        let now = self.now;
        match flight {
            Flight::Datagram { from, to, bytes } => self.on_datagram(from, to, &bytes),
            Flight::Opened { node, id } => {
                let opened = if self.relay_works { self.relay.opened(now, address(node)).ok() } else { None };
                match opened {
                    Some(at_relay) => {
                        self.wires.push(Wire { node, id, at_relay, rest: Vec::new(), rest_at_relay: Vec::new() });
                        self.with(node, |node, now| node.stream_opened(now, id));
                    }
                    None => self.with(node, |node, now| node.stream_closed(now, id, StreamEnd::Refused)),
                }
            }
            Flight::ToRelay { node, id, bytes } => {
                let Some(wire) = self.wires.iter_mut().find(|wire| (wire.node, wire.id) == (node, id)) else { return };
                wire.rest_at_relay.extend(bytes);
                let used = self.relay.handle_stream(now, wire.at_relay, &mut wire.rest_at_relay);
                wire.rest_at_relay.drain(..used);
                self.pump_relay();
            }
            Flight::ToNode { node, id, bytes } => {
                let Some(wire) = self.wires.iter_mut().find(|wire| (wire.node, wire.id) == (node, id)) else { return };
                wire.rest.extend(bytes);
                let used = self.nodes[node].0.handle_stream(now, id, &mut wire.rest);
                wire.rest.drain(..used);
                self.pump(node);
            }
            Flight::Closed { node, id } => {
                self.with(node, |node, now| node.stream_closed(now, id, StreamEnd::Ended));
            }
        }
    }

    fn on_datagram(&mut self, from: Endpoint, to: Endpoint, bytes: &[u8]) {
        let Some(i) = (0..3).find(|i| address(*i) == to).filter(|_| self.udp_works || to == from) else { return };
        let mut buf = [0; DATAGRAM_MAX];
        buf[..bytes.len()].copy_from_slice(bytes);
        let mut frame = Frame::new(&mut buf, bytes.len(), from);
        let disposition = if i == SERVER && self.relay.mark().owns(bytes) {
            self.relay.handle_datagram(self.now, &mut frame)
        } else {
            self.nodes[i].0.handle_datagram(self.now, &mut frame)
        };
        if let Disposition::Reply { to, len } = disposition {
            self.datagrams[i] += 1;
            self.fly(Flight::Datagram { from: address(i), to, bytes: buf[..len].to_vec() });
        }
        self.pump(i);
    }

    /// Lets `span` pass.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let flight = self.flights.keys().next().copied();
            let timer = (0..3).filter_map(|i| Some((self.nodes[i].2?, i))).min();
            let relay = self.relay.poll_timeout().map(|deadline| deadline.at);
            let next = [flight.map(|(at, _)| at), timer.map(|(at, _)| at), relay].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if let Some(key) = flight.filter(|(at, _)| *at <= self.now) {
                let flight = self.flights.remove(&key).unwrap();
                self.arrive(flight);
            } else if let Some((_, i)) = timer.filter(|(at, _)| *at <= self.now) {
                self.with(i, |node, now| node.handle_timeout(now));
            } else {
                self.relay.handle_timeout(self.now);
                self.pump_relay();
            }
        }
        self.now = end;
    }

    /// Makes them friends; how long that took.
    fn befriend(&mut self) -> Duration {
        let (key, begin) = (self.nodes[ALICE].0.tox_id().public_key, self.now);
        let bob: ToxId = self.nodes[BOB].0.tox_id();
        self.with(ALICE, |node, now| node.add_friend(now, &bob, b"hi")).unwrap();
        self.until(|world| world.heard.iter().any(|(_, _, event)| matches!(event, EventOf::FriendRequest { .. })));
        self.with(BOB, |node, now| node.accept(now, key)).unwrap();
        self.until(|world| [ALICE, BOB].iter().all(|i| world.connection(*i) != Connection::None));
        self.now.since(begin)
    }

    fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let begin = self.now;
        while !done(self) {
            self.pass(Duration::from_millis(5));
            assert!(self.now.since(begin) < Duration::from_secs(200), "it does not happen");
        }
    }

    fn connection(&self, i: usize) -> Connection {
        let node = &self.nodes[i].0;
        node.friend_by_index(0).and_then(|id| node.friend(id)).map_or(Connection::None, |friend| friend.connection)
    }

    /// Alice says something; how long it takes to get to Bob, and the receipt back.
    fn say(&mut self, text: &[u8]) -> [Duration; 2] {
        let (begin, mark) = (self.now, self.heard.len());
        let id = self.nodes[ALICE].0.friend_by_index(0).unwrap();
        self.with(ALICE, |node, now| node.send_message(now, id, crate::MessageKind::Normal, text)).unwrap();
        let is_it = |event: &crate::OwnedEvent| matches!(event, EventOf::Message { text: heard, .. } if heard == text);
        let at = |world: &Self, wanted: &dyn Fn(&crate::OwnedEvent) -> bool| {
            world.heard[mark..].iter().find(|(_, _, event)| wanted(event)).map(|(at, ..)| at.since(begin))
        };
        let receipt = |event: &crate::OwnedEvent| matches!(event, EventOf::ReadReceipt { .. });
        self.until(|world| at(world, &receipt).is_some());
        [at(self, &is_it).unwrap(), at(self, &receipt).unwrap()]
    }
}

#[test]
fn two_without_udp_meet_at_once() {
    let mut world = World::new([false, false]);
    world.until(|world| [ALICE, BOB].iter().all(|i| world.nodes[*i].0.connection() == Connection::Tcp));
    let took = world.befriend();
    assert!(took < Duration::from_millis(1_500), "{took:?}");
    assert_eq!([ALICE, BOB].map(|i| world.connection(i)), [Connection::Tcp; 2]);
    let [there, back] = world.say(b"hello");
    assert!(there <= 4 * DELAY && back < Duration::from_millis(200), "{there:?} {back:?}");
    world.pass(Duration::from_secs(300));
    assert_eq!(world.datagrams[1..], [0, 0], "not one datagram");
    assert_eq!([ALICE, BOB].map(|i| world.connection(i)), [Connection::Tcp; 2]);
}

#[test]
fn one_without_udp_meets_one_with_it() {
    for udp in [[true, false], [false, true]] {
        let mut world = World::new(udp);
        world.pass(Duration::from_secs(2));
        let took = world.befriend();
        assert!(took < Duration::from_millis(2_000), "{took:?}");
        assert_eq!([ALICE, BOB].map(|i| world.connection(i)), [Connection::Tcp; 2]);
        world.say(b"hello");
    }
}

#[test]
fn a_chat_goes_on_when_udp_dies_and_comes_back() {
    let mut world = World::new([true, true]);
    world.pass(Duration::from_secs(2));
    world.befriend();
    world.pass(Duration::from_secs(60));
    assert_eq!([ALICE, BOB].map(|i| world.connection(i)), [Connection::Udp; 2]);
    let [there, _] = world.say(b"direct");
    assert!(there <= 2 * DELAY, "{there:?}");
    world.udp_works = false;
    let [there, _] = world.say(b"relayed");
    assert!(there < Duration::from_millis(1_500), "{there:?}");
    assert_eq!([ALICE, BOB].map(|i| world.connection(i)), [Connection::Tcp; 2]);
    for _ in 0..50 {
        let [there, _] = world.say(b"again");
        assert!(there < Duration::from_millis(200), "{there:?}");
        world.pass(Duration::from_millis(200));
    }
    world.udp_works = true;
    world.pass(Duration::from_secs(6));
    assert_eq!([ALICE, BOB].map(|i| world.connection(i)), [Connection::Udp; 2]);
}

#[test]
fn friends_are_not_lost_when_udp_dies_in_silence() {
    let mut world = World::new([true, true]);
    world.pass(Duration::from_secs(2));
    world.befriend();
    world.pass(Duration::from_secs(20));
    world.udp_works = false;
    let mark = world.heard.len();
    world.pass(Duration::from_secs(400));
    let lost =
        |event: &crate::OwnedEvent| matches!(event, EventOf::FriendConnection { connection: Connection::None, .. });
    assert!(!world.heard[mark..].iter().any(|(_, _, event)| lost(event)));
    assert_eq!([ALICE, BOB].map(|i| world.nodes[i].0.connection()), [Connection::Tcp; 2], "and others find us");
    world.say(b"still here");
}

#[test]
fn a_relay_that_falls_over_is_found_again() {
    let mut world = World::new([false, false]);
    world.pass(Duration::from_secs(1));
    world.befriend();
    world.relay_works = false;
    world.drop_wires(|_| true);
    world.pass(Duration::from_secs(10));
    world.relay_works = true;
    let [there, _] = world.say(b"are you there?");
    assert!(there < Duration::from_secs(20), "{there:?}");
}

#[test]
fn who_leaves_says_goodbye_through_the_relay() {
    let mut world = World::new([false, false]);
    world.pass(Duration::from_secs(1));
    world.befriend();
    world.with(ALICE, Node::shutdown);
    world.pass(Duration::from_millis(200));
    assert_eq!(world.connection(BOB), Connection::None);
    let mut world = World::new([false, false]);
    world.pass(Duration::from_secs(1));
    world.befriend();
    let id = world.nodes[ALICE].0.friend_by_index(0).unwrap();
    assert!(world.with(ALICE, |node, now| node.remove_friend(now, id)));
    world.pass(Duration::from_millis(200));
    assert_eq!(world.connection(BOB), Connection::None);
}

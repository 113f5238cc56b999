//! The relay client against relays that are right, and relays that lie.

mod lies;
mod routing;

use super::*;
use crate::crypto::{Nacl, PublicKey, SecretKey};
use crate::cx::test_env::Bench;
use crate::relay::channel::{Channel, Received, answer};
use crate::wire::relay::{CLIENT_HELLO_LEN, FRAME_LEN_MAX, RelayPacket};
use core::time::Duration;
use std::boxed::Box;
use std::vec;
use std::vec::Vec;

/// Memory of the tables per entry.
#[test]
#[cfg_attr(target_arch = "x86", ignore = "a u64 is aligned to four bytes there, and entries are smaller")]
fn entries_stay_small() {
    assert!(size_of::<Relay>() <= 1200, "{}", size_of::<Relay>());
    assert!(size_of::<RelayPeer>() <= 256, "{}", size_of::<RelayPeer>());
}

/// A relay of the test: what it has heard, and what it is about to say.
pub(super) struct FakeRelay {
    pub(super) secret: SecretKey,
    pub(super) works: bool,
    pub(super) stream: Option<StreamId>,
    pub(super) channel: Option<Channel>,
    heard: Vec<u8>,
    pub(super) texts: Vec<Vec<u8>>,
    says: Vec<u8>,
    pub(super) opened: u32,
}

impl FakeRelay {
    pub(super) fn key(&self) -> PublicKey {
        self.secret.public_key()
    }

    pub(super) fn say(&mut self, packet: &RelayPacket<'_>) {
        let mut buf = [0; FRAME_LEN_MAX];
        let len = self.channel.as_mut().expect("connected").seal_packet(&Nacl, packet, &mut buf);
        self.says.extend_from_slice(&buf[..len]);
    }

    /// A packet of any form.
    pub(super) fn say_text(&mut self, text: &[u8]) {
        let mut frame = vec![0; crate::wire::relay::FRAME_TEXT];
        frame.extend_from_slice(text);
        let len = frame.len();
        self.channel.as_mut().expect("connected").seal(&Nacl, &mut frame, len);
        self.says.extend_from_slice(&frame);
    }

    pub(super) fn say_bytes(&mut self, bytes: &[u8]) {
        self.says.extend_from_slice(bytes);
    }

    /// Packets heard so far.
    pub(super) fn packets(&self) -> Vec<RelayPacket<'_>> {
        self.texts.iter().map(|text| RelayPacket::parse(text).expect("a packet")).collect()
    }

    pub(super) fn routes_asked(&self) -> Vec<PublicKey> {
        let asked = |packet: RelayPacket<'_>| {
            if let RelayPacket::RoutingRequest(key) = packet { Some(key) } else { None }
        };
        self.packets().into_iter().filter_map(asked).collect()
    }

    pub(super) fn left(&self) -> Vec<u8> {
        let left = |packet: RelayPacket<'_>| {
            if let RelayPacket::DisconnectNotification(id) = packet { Some(id) } else { None }
        };
        self.packets().into_iter().filter_map(left).collect()
    }

    fn hear(&mut self, bytes: &[u8], rng: &mut chacha20::ChaCha12Rng) {
        self.heard.extend_from_slice(bytes);
        if self.channel.is_none() {
            let Some(hello) = self.heard.first_chunk::<CLIENT_HELLO_LEN>() else { return };
            let answered = answer(&Nacl, rng, &self.secret, &mut { *hello }).expect("a handshake for this relay");
            self.says.extend_from_slice(&answered.hello);
            self.channel = Some(answered.channel);
            self.heard.drain(..CLIENT_HELLO_LEN);
        }
        let channel = self.channel.as_mut().expect("just made");
        while let Received::Frame { used, text } = channel.open(&Nacl, &mut self.heard) {
            let text = text.to_vec();
            self.heard.drain(..used);
            if let Some(RelayPacket::Ping(id)) = RelayPacket::parse(&text) {
                let mut buf = [0; FRAME_LEN_MAX];
                let len = channel.seal_packet(&Nacl, &RelayPacket::Pong(id), &mut buf);
                self.says.extend_from_slice(&buf[..len]);
            }
            self.texts.push(text);
        }
    }
}

/// A client, and the relays that it may know.
pub(super) struct Desk {
    pub(super) bench: Bench,
    pub(super) client: RelayClient<'static>,
    pub(super) relays: Vec<FakeRelay>,
    rests: Vec<Vec<u8>>,
    /// Sizes of the pieces that bytes come in, in turns.
    pub(super) pieces: Vec<usize>,
    piece: usize,
    pub(super) contents: Vec<(usize, Content, Vec<u8>)>,
}

fn leak<T>(count: usize, make: impl Fn() -> T) -> Mem<'static, T> {
    Mem::Borrowed(Box::leak((0..count).map(|_| make()).collect::<Vec<_>>().into_boxed_slice()))
}

impl Desk {
    /// With so many relays around, and room for `room` of them.
    pub(super) fn new(count: usize, room: usize) -> Self {
        let relays = (0..count).map(|i| FakeRelay {
            secret: SecretKey::from_bytes([i as u8 + 50; 32]),
            works: true,
            stream: None,
            channel: None,
            heard: Vec::new(),
            texts: Vec::new(),
            says: Vec::new(),
            opened: 0,
        });
        let client = RelayClient::new(
            (leak(room, || Relay::VACANT), usize::MAX),
            leak(4, || RelayPeer::VACANT),
            leak(0, || RelayName::VACANT),
            None,
        );
        let (relays, rests) = (relays.collect(), vec![Vec::new(); count]);
        Self { bench: Bench::new(7), client, relays, rests, pieces: vec![4096], piece: 0, contents: Vec::new() }
    }

    /// The same, with all relays configured and connected as far as wanted.
    pub(super) fn connected(count: usize) -> Self {
        let mut desk = Self::new(count, count);
        for i in 0..count {
            desk.add(i);
        }
        desk.run();
        desk
    }

    pub(super) fn node(&self, i: usize) -> NodeInfo {
        NodeInfo { key: self.relays[i].key(), at: Endpoint::v4([10, 0, 0, i as u8 + 1], 443) }
    }

    pub(super) fn add(&mut self, i: usize) -> bool {
        let (now, node) = (self.bench.now, self.node(i));
        self.client.add_own(now, node)
    }

    pub(super) fn is_up(&self, i: usize) -> bool {
        let key = self.relays[i].key();
        self.client.connected().any(|node| node.key == key)
    }

    pub(super) fn up(&self) -> usize {
        self.client.connected().count()
    }

    /// Until nobody has anything to say.
    pub(super) fn run(&mut self) {
        for _ in 0..100_000 {
            if !self.step() {
                return;
            }
        }
        panic!("it never ends");
    }

    fn step(&mut self) -> bool {
        let mut any = false;
        while let Some(action) = self.client.poll_action() {
            any = true;
            self.act(action);
        }
        let mut buf = [0; FRAME_LEN_MAX];
        while let Some(id) = self.client.next_stream() {
            loop {
                let len = self.client.encode_own(&mut self.bench.cx(), id, &mut buf);
                if len == 0 {
                    break;
                }
                any = true;
                if let Some(relay) = self.relays.iter_mut().find(|relay| relay.stream == Some(id)) {
                    relay.hear(&buf[..len], &mut self.bench.rng);
                }
            }
            self.client.drained(id);
        }
        for i in 0..self.relays.len() {
            any |= self.deliver(i);
        }
        any
    }

    fn act(&mut self, action: StreamAction) {
        match action {
            StreamAction::Open { id, to } => {
                let i = (0..self.relays.len()).find(|i| self.node(*i).at == to).expect("a relay");
                let streams = self.relays.iter().filter(|relay| relay.stream.is_some()).count();
                assert!(streams < self.client.streams, "there is no room for another");
                let relay = &mut self.relays[i];
                relay.opened += 1;
                if relay.works {
                    (relay.stream, relay.channel) = (Some(id), None);
                    relay.heard.clear();
                    relay.says.clear();
                    self.rests[i].clear();
                    self.client.opened(self.bench.now, id);
                } else {
                    self.client.closed(self.bench.now, id, StreamEnd::Refused);
                }
            }
            StreamAction::Close { id } => {
                for relay in self.relays.iter_mut().filter(|relay| relay.stream == Some(id)) {
                    relay.stream = None;
                    relay.says.clear();
                }
            }
        }
    }

    /// Gives the client a piece of what a relay says.
    fn deliver(&mut self, i: usize) -> bool {
        let relay = &mut self.relays[i];
        let Some(id) = relay.stream.filter(|_| !relay.says.is_empty()) else { return false };
        self.piece += 1;
        let piece = self.pieces[self.piece % self.pieces.len()].clamp(1, relay.says.len());
        self.rests[i].extend(relay.says.drain(..piece));
        let mut bytes = core::mem::take(&mut self.rests[i]);
        let mut done = 0;
        while done < bytes.len() {
            let (used, content) = self.client.receive(&mut self.bench.cx(), id, &mut bytes[done..]);
            if used == 0 {
                break;
            }
            if let Some(content) = content {
                let (Content::Onion(range) | Content::Session { packet: range, .. }) = &content;
                let data = bytes[done..][range.clone()].to_vec();
                self.contents.push((i, content, data));
            }
            done += used;
        }
        bytes.drain(..done);
        self.rests[i] = bytes;
        true
    }

    /// Lets time pass, with all that is due.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.bench.now + span;
        self.run();
        while let Some(deadline) = self.client.deadline().filter(|deadline| deadline.at <= end) {
            self.bench.now = self.bench.now.max(deadline.at);
            self.client.on_timeout(&mut self.bench.cx());
            self.run();
            assert!(self.client.deadline().is_none_or(|next| next.at > self.bench.now), "busy");
        }
        self.bench.now = end;
    }

    /// A relay hangs up.
    pub(super) fn hang_up(&mut self, i: usize) {
        if let Some(id) = self.relays[i].stream.take() {
            self.client.closed(self.bench.now, id, StreamEnd::Ended);
        }
    }
}

#[test]
fn three_of_many_are_connected_at_once() {
    let mut desk = Desk::new(5, 8);
    for i in 0..5 {
        assert!(desk.add(i));
    }
    let opens = core::iter::from_fn(|| desk.client.poll_action()).collect::<Vec<_>>();
    assert_eq!(opens.len(), 3, "all before the first is open");
    opens.into_iter().for_each(|action| desk.act(action));
    desk.run();
    assert_eq!(desk.up(), 3);
    assert!(desk.relays.iter().filter(|relay| relay.stream.is_some()).all(|relay| relay.texts.len() == 1), "a ping");
    desk.pass(Duration::from_secs(100));
    assert_eq!(desk.up(), 3);
    let pings = desk.relays.iter().map(|relay| relay.texts.len()).collect::<Vec<_>>();
    assert_eq!(pings.iter().filter(|pings| **pings == 4).count(), 3, "{pings:?}");
}

#[test]
fn another_takes_the_place_of_one_that_fails() {
    let mut desk = Desk::new(5, 8);
    desk.relays[1].works = false;
    for i in 0..5 {
        desk.add(i);
    }
    desk.run();
    assert_eq!((desk.up(), desk.is_up(1), desk.relays[1].opened), (3, false, 1));
    let lost = (0..5).find(|i| desk.is_up(*i)).expect("one of three");
    desk.hang_up(lost);
    desk.run();
    assert_eq!((desk.up(), desk.is_up(lost)), (3, false));
}

#[test]
fn the_only_one_is_tried_ever_more_slowly() {
    let mut desk = Desk::new(1, 2);
    desk.relays[0].works = false;
    desk.add(0);
    desk.pass(Duration::from_secs(60));
    let minute = desk.relays[0].opened;
    assert!((5..=9).contains(&minute), "{minute}");
    desk.pass(Duration::from_secs(3600));
    let hour = desk.relays[0].opened - minute;
    assert!((55..=60).contains(&hour), "{hour}");
    desk.relays[0].works = true;
    desk.pass(Duration::from_secs(61));
    assert!(desk.is_up(0));
}

/// When a session is stalled, the relay must answer in 3 s.
#[test]
fn a_doubted_relay_shows_that_it_is_there_or_is_given_up() {
    let mut desk = Desk::connected(1);
    let peer = PublicKey([9; 32]);
    desk.client.set_peer(desk.bench.now, 0, peer);
    desk.run();
    desk.relays[0].say(&RelayPacket::RoutingResponse { id: 16, peer });
    desk.relays[0].say(&RelayPacket::ConnectionNotification(16));
    desk.pass(Duration::from_secs(5));
    let pings = |desk: &Desk| {
        desk.relays[0].packets().into_iter().filter(|packet| matches!(packet, RelayPacket::Ping(_))).count()
    };
    let before = pings(&desk);
    for stalled in [false, true] {
        desk.client.spread(desk.bench.now, 0, false, stalled);
        desk.pass(Duration::from_millis(100));
        assert_eq!(pings(&desk) - before, usize::from(stalled));
    }
    desk.pass(Duration::from_secs(5));
    assert!(desk.is_up(0), "it has answered");
    desk.relays[0].works = false;
    desk.relays[0].stream = None;
    desk.client.spread(desk.bench.now, 0, false, true);
    desk.pass(Duration::from_millis(2900));
    assert!(desk.is_up(0));
    desk.client.spread(desk.bench.now, 0, false, true);
    desk.pass(Duration::from_millis(200));
    assert!(!desk.is_up(0), "more packets give it no more time");
}

#[test]
fn a_silent_relay_is_given_up() {
    let mut desk = Desk::connected(1);
    desk.relays[0].works = false;
    let stream = desk.relays[0].stream.take();
    assert!(stream.is_some() && desk.is_up(0));
    desk.pass(Duration::from_secs(41));
    assert!(!desk.is_up(0), "a ping was not answered");
}

#[test]
fn a_full_table_keeps_what_is_configured_and_connected() {
    let mut desk = Desk::new(4, 2);
    assert!(desk.add(0) && desk.add(1));
    desk.run();
    assert!(!desk.add(2), "both are connected");
    desk.client.set_peer(desk.bench.now, 0, PublicKey([9; 32]));
    desk.client.peer_relay(desk.bench.now, 0, desk.node(3));
    desk.run();
    assert_eq!((desk.up(), desk.relays[3].opened), (2, 0));
    assert_eq!(desk.client.table().used, 2);
}

/// One relay listens at several ports, and a friend names one that is closed to us.
#[test]
fn what_is_configured_counts_more_than_what_a_friend_says() {
    let mut desk = Desk::new(2, 2);
    let wrong = NodeInfo { key: desk.node(0).key, at: desk.node(1).at };
    desk.relays[1].works = false;
    desk.client.set_peer(desk.bench.now, 0, PublicKey([9; 32]));
    desk.client.peer_relay(desk.bench.now, 0, wrong);
    assert!(desk.add(0));
    desk.run();
    assert_eq!((desk.is_up(0), desk.relays[0].opened, desk.relays[1].opened), (true, 1, 0));
    desk.client.peer_relay(desk.bench.now, 0, wrong);
    desk.pass(Duration::from_secs(100));
    assert_eq!((desk.relays[0].opened, desk.relays[1].opened), (1, 0), "it is left as it is");
}

#[test]
fn without_room_nothing_happens() {
    let mut desk = Desk::new(1, 0);
    assert!(!desk.client.is_on() && !desk.add(0));
    desk.client.set_peer(desk.bench.now, 0, PublicKey([9; 32]));
    desk.client.peer_relay(desk.bench.now, 0, desk.node(0));
    assert_eq!((desk.client.reach(0), desk.client.poll_action(), desk.client.deadline()), (Reach::None, None, None));
    assert!(!desk.client.add_named(desk.bench.now, PublicKey([3; 32]), "relay.example", 443), "there is no proxy");
}

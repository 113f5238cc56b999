//! Relay abuse: clients that misuse a TCP relay, or use it more than is decent.
//!
//! What must hold: whatever they do, the relay's tables stay within their capacity, and others get their connections
//! and their data through.

use crate::actor::{Actor, ActorCx};
use crate::actors::{RelayClient, RelayNews};
use crate::crypto::SimSuite;
use crate::net::{ConnId, Side, StreamEvent, StreamWhat};
use bluering_core::Endpoint;
use bluering_core::crypto::{PublicKey, SecretKey};
use bluering_core::wire::NodeInfo;
use bluering_core::wire::relay::{OOB_LEN_MAX, ROUTE_FIRST, RelayPacket};
use core::time::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Misuses the relays that it is told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayAbuse {
    /// How.
    pub kind: AbuseKind,
    /// Connections that it keeps to each relay.
    pub conns: u32,
    /// Packets in a second, where the kind sends packets.
    pub per_second: u32,
    /// The DHT key of the client that it is after.
    pub victim: Option<[u8; 32]>,
}

/// How a relay is misused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AbuseKind {
    /// Handshakes of a byte a second (slow loris).
    Crawl,
    /// Handshakes that are made, and no frame behind them.
    HalfOpen,
    /// Out-of-band packets to one client, as long as can be.
    FloodPeer,
    /// Two of its own who know each other: one sends without end, the other reads nothing.
    Deaf,
    /// Frames of any kind, length and sense; and it comes again whenever it is thrown out.
    Nonsense,
}

impl AbuseKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Crawl, Self::HalfOpen, Self::FloodPeer, Self::Deaf, Self::Nonsense];
}

/// Between two rounds of what it does.
const ROUND: Duration = Duration::from_millis(100);
/// A crawler sends its next byte so seldom.
const CRAWL_ROUNDS: u64 = 10;
/// Who was thrown out comes again so seldom.
const RETURN_ROUNDS: u64 = 150;

#[derive(Debug)]
pub(super) struct Abusers {
    plan: RelayAbuse,
    suite: SimSuite,
    relays: Vec<NodeInfo>,
    clients: Vec<(NodeInfo, RelayClient)>,
    /// Connections that crawl, to where, and whether they are open.
    crawling: BTreeMap<ConnId, (Endpoint, bool)>,
    rounds: u64,
}

impl Abusers {
    pub(super) fn new(plan: &RelayAbuse, relays: &[NodeInfo], suite: &SimSuite) -> Self {
        let (clients, crawling) = (Vec::new(), BTreeMap::new());
        Self { plan: plan.clone(), suite: suite.clone(), relays: relays.to_vec(), clients, crawling, rounds: 0 }
    }

    /// Whoever was thrown out comes again.
    fn reconnect(&mut self, cx: &mut ActorCx<'_>) {
        let gone = self.clients.iter_mut().filter(|(_, client)| client.conn().is_none());
        gone.for_each(|(relay, client)| client.connect(cx, relay.at));
        if self.plan.kind == AbuseKind::Crawl {
            for relay in &self.relays {
                let there = self.crawling.values().filter(|(at, _)| *at == relay.at).count();
                for _ in there..self.plan.conns as usize {
                    self.crawling.insert(cx.connect(relay.at), (relay.at, false));
                }
            }
        }
    }

    fn act(&mut self, cx: &mut ActorCx<'_>) {
        // Of a fraction the rest is made up for in later rounds.
        let share = |rounds: u64| u64::from(self.plan.per_second) * rounds / 10;
        let count = share(self.rounds + 1) - share(self.rounds);
        self.rounds += 1;
        match self.plan.kind {
            AbuseKind::HalfOpen => {}
            AbuseKind::Crawl if self.rounds.is_multiple_of(CRAWL_ROUNDS) => {
                for (conn, _) in self.crawling.iter().filter(|(_, (_, open))| *open) {
                    cx.write(*conn, Side::Client, &[7]);
                }
            }
            AbuseKind::Crawl => {}
            AbuseKind::FloodPeer => {
                let to = self.plan.victim.map_or(PublicKey::ZERO, PublicKey);
                let packet = RelayPacket::OobSend { to, data: &[0x5a; OOB_LEN_MAX] };
                self.flood(cx, count, |_| true, &packet);
            }
            AbuseKind::Deaf => {
                let packet = RelayPacket::Data { id: ROUTE_FIRST, data: &[0x5a; 1300] };
                self.flood(cx, count, |place| place % 2 == 0, &packet);
            }
            AbuseKind::Nonsense => self.babble(cx, count),
        }
    }

    fn flood(&mut self, cx: &mut ActorCx<'_>, count: u64, who: impl Fn(usize) -> bool, packet: &RelayPacket<'_>) {
        let senders = self.clients.iter_mut().enumerate().filter(|(place, _)| who(*place));
        for (_, (_, client)) in senders {
            for _ in 0..count {
                // What the stream does not take now is not made.
                if client.waiting() == 0 {
                    client.say(cx, packet);
                }
            }
        }
    }

    fn babble(&mut self, cx: &mut ActorCx<'_>, count: u64) {
        for (_, client) in &mut self.clients {
            for _ in 0..count {
                let mut text = vec![0; 1 + cx.rng.below(300) as usize];
                cx.rng.fill(&mut text);
                text[0] = if cx.rng.chance(700_000) { cx.rng.below(20) as u8 } else { text[0] };
                if client.waiting() == 0 {
                    client.say_raw(cx, &text);
                }
            }
        }
    }

    /// A client has shown who it is, or is shown who is there.
    fn news(&mut self, cx: &mut ActorCx<'_>, place: usize, news: &RelayNews) {
        let peer = self.clients.get(place ^ 1).map(|(_, client)| client.key);
        let Some((_, client)) = self.clients.get_mut(place) else { return };
        match (self.plan.kind, news) {
            (AbuseKind::Deaf, RelayNews::Open) => {
                if let Some(peer) = peer {
                    client.say(cx, &RelayPacket::RoutingRequest(peer));
                }
            }
            (AbuseKind::Deaf, RelayNews::Packet(text)) if place % 2 == 1 => {
                if matches!(RelayPacket::parse(text), Some(RelayPacket::ConnectionNotification(_)))
                    && let Some(conn) = client.conn()
                {
                    cx.set_reading(conn, Side::Client, false);
                }
            }
            (_, RelayNews::Packet(text)) => {
                if let Some(RelayPacket::Ping(id)) = RelayPacket::parse(text) {
                    client.say(cx, &RelayPacket::Pong(id));
                }
            }
            (AbuseKind::FloodPeer | AbuseKind::Nonsense, RelayNews::Open) => {
                client.say(cx, &RelayPacket::Ping(1));
            }
            (AbuseKind::Crawl | AbuseKind::HalfOpen, RelayNews::Open) | (_, RelayNews::Gone) => {}
        }
    }

    fn crawls(&mut self, cx: &mut ActorCx<'_>, event: &StreamEvent) {
        match &event.what {
            StreamWhat::Opened { .. } => {
                if let Some((_, open)) = self.crawling.get_mut(&event.conn) {
                    *open = true;
                }
            }
            StreamWhat::Data(_) | StreamWhat::Writable => {}
            StreamWhat::Closed | StreamWhat::Reset | StreamWhat::TimedOut | StreamWhat::Refused => {
                cx.close(event.conn, Side::Client);
                self.crawling.remove(&event.conn);
            }
        }
    }
}

impl Actor for Abusers {
    fn start(&mut self, cx: &mut ActorCx<'_>) {
        self.clients.clear();
        self.crawling.clear();
        if self.plan.kind != AbuseKind::Crawl {
            for relay in &self.relays {
                // The deaf need company.
                let conns = self.plan.conns.max(1 + u32::from(self.plan.kind == AbuseKind::Deaf));
                for _ in 0..conns {
                    let secret = SecretKey::from_bytes(cx.rng.array());
                    self.clients.push((*relay, RelayClient::new(&self.suite, secret, relay.key)));
                }
            }
        }
        cx.wake_at(cx.now);
    }

    fn on_datagram(&mut self, _: &mut ActorCx<'_>, _: Endpoint, _: &[u8]) {}

    fn on_timer(&mut self, cx: &mut ActorCx<'_>) {
        if self.rounds.is_multiple_of(RETURN_ROUNDS) {
            self.reconnect(cx);
        }
        self.act(cx);
        cx.wake_at(cx.now + ROUND);
    }

    fn on_stream(&mut self, cx: &mut ActorCx<'_>, event: &StreamEvent) {
        if self.crawling.contains_key(&event.conn) {
            return self.crawls(cx, event);
        }
        let Some(place) = self.clients.iter().position(|(_, client)| client.conn() == Some(event.conn)) else { return };
        for news in self.clients[place].1.hear(cx, event) {
            self.news(cx, place, &news);
        }
    }
}

//! Relays beside nodes: real servers of the core, reached over simulated streams by scripted clients.

use bluering_core::crypto::SecretKey;
use bluering_core::relay::server::{CloseReason, RelayLimits};
use bluering_core::time::Instant;
use bluering_core::wire::NodeInfo;
use bluering_core::wire::relay::{ROUTE_FIRST, RelayPacket};
use bluering_core::{DropReason, Endpoint};
use bluering_sim::actor::{Actor, ActorCx};
use bluering_sim::actors::{Mood, Proxy, ProxySpec, RelayClient, RelayNews, Speech};
use bluering_sim::adversaries::{AbuseKind, RelayAbuse, Strategy};
use bluering_sim::net::{Cut, NatSpec, Part, Place, Segment, Side, StreamEvent, StreamSpec, StreamWhat, Tcp};
use bluering_sim::plan::{RELAY, SERVER};
use bluering_sim::{HostId, HostSpec, World};
use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// What a person has heard and shall do; the test holds the other end.
#[derive(Default)]
struct Desk {
    heard: Vec<(Instant, RelayNews)>,
    todo: Vec<Todo>,
}

enum Todo {
    Connect(Endpoint),
    Say(Vec<u8>),
    Read(bool),
}

/// A relay client that does what the test says.
struct Person {
    client: RelayClient,
    desk: Rc<RefCell<Desk>>,
}

impl Actor for Person {
    fn start(&mut self, cx: &mut ActorCx<'_>) {
        cx.wake_at(cx.now);
    }

    fn on_datagram(&mut self, _: &mut ActorCx<'_>, _: Endpoint, _: &[u8]) {}

    fn on_timer(&mut self, cx: &mut ActorCx<'_>) {
        for todo in core::mem::take(&mut self.desk.borrow_mut().todo) {
            match todo {
                Todo::Connect(at) => self.client.connect(cx, at),
                Todo::Say(text) => self.client.say_raw(cx, &text),
                Todo::Read(reads) => cx.set_reading(self.client.conn().expect("a connection"), Side::Client, reads),
            }
        }
        cx.wake_at(cx.now + MILLI);
    }

    fn on_stream(&mut self, cx: &mut ActorCx<'_>, event: &StreamEvent) {
        let news = self.client.hear(cx, event);
        for news in &news {
            if let RelayNews::Packet(text) = news
                && let Some(RelayPacket::Ping(id)) = RelayPacket::parse(text)
            {
                self.client.say(cx, &RelayPacket::Pong(id));
            }
        }
        self.desk.borrow_mut().heard.extend(news.into_iter().map(|news| (cx.now, news)));
    }
}

/// A world with a relay (host 0), and people.
struct Town {
    world: World,
    relay: NodeInfo,
    people: Vec<(HostId, SecretKey, Rc<RefCell<Desk>>)>,
}

impl Town {
    fn new(limits: RelayLimits) -> Self {
        let mut world = World::new(3);
        let host = world.add_host(HostSpec { relay: Some(limits), ..HostSpec::public(SERVER) });
        let relay = world.info(host);
        Self { world, relay, people: Vec::new() }
    }

    fn person(&mut self, place: &Place) -> usize {
        let n = self.people.len();
        let secret = || SecretKey::from_bytes([n as u8 + 1; 32]);
        let desk = Rc::new(RefCell::new(Desk::default()));
        let client = RelayClient::new(self.world.suite(), secret(), self.relay.key);
        let host = self.world.add_actor(place, Box::new(Person { client, desk: Rc::clone(&desk) }));
        self.people.push((host, secret(), desk));
        n
    }

    fn tell(&mut self, who: usize, todo: Todo) {
        self.people[who].2.borrow_mut().todo.push(todo);
    }

    fn say(&mut self, who: usize, packet: &RelayPacket<'_>) {
        let mut buf = [0; 2100];
        let mut w = bluering_core::wire::Writer::new(&mut buf);
        packet.emit(&mut w);
        let len = w.len();
        self.tell(who, Todo::Say(buf[..len].to_vec()));
    }

    /// Somebody who is at the relay.
    fn member(&mut self, place: &Place) -> usize {
        let who = self.person(place);
        self.enter(who);
        who
    }

    fn enter(&mut self, who: usize) {
        let at = self.relay.at;
        self.tell(who, Todo::Connect(at));
        assert!(self.until(2 * SECOND, who, &RelayNews::Open), "{who} gets in");
        self.say(who, &RelayPacket::Ping(7));
        assert!(self.until(2 * SECOND, who, &packet(&RelayPacket::Pong(7))));
    }

    fn heard(&self, who: usize, news: &RelayNews) -> bool {
        self.people[who].2.borrow().heard.iter().any(|(_, heard)| heard == news)
    }

    fn until(&mut self, limit: Duration, who: usize, news: &RelayNews) -> bool {
        let desk = Rc::clone(&self.people[who].2);
        self.world.run_until(limit, |_| desk.borrow().heard.iter().any(|(_, heard)| heard == news))
    }

    fn route(&mut self, a: usize, b: usize) {
        let keys = [a, b].map(|who| self.people[who].1.public_key());
        self.say(a, &RelayPacket::RoutingRequest(keys[1]));
        self.say(b, &RelayPacket::RoutingRequest(keys[0]));
        let connected = packet(&RelayPacket::ConnectionNotification(ROUTE_FIRST));
        assert!(self.until(2 * SECOND, a, &connected) && self.until(2 * SECOND, b, &connected));
    }

    /// How long something takes from one to the other.
    fn pass(&mut self, a: usize, b: usize, word: &[u8]) -> Option<Duration> {
        let start = self.world.now();
        let data = RelayPacket::Data { id: ROUTE_FIRST, data: word };
        self.say(a, &data);
        self.until(20 * SECOND, b, &packet(&data)).then(|| self.world.now().since(start))
    }

    fn table(&self, name: &str) -> (usize, usize) {
        let tables = self.world.relay(0).expect("a relay").tables();
        tables.iter().find(|table| table.name == name).map(|table| (table.used, table.capacity)).expect("a table")
    }

    fn within_bounds(&self) -> bool {
        self.world.relay(0).expect("a relay").tables().iter().all(|table| table.used <= table.capacity)
    }
}

fn packet(packet: &RelayPacket<'_>) -> RelayNews {
    let mut buf = [0; 2100];
    let mut w = bluering_core::wire::Writer::new(&mut buf);
    packet.emit(&mut w);
    let len = w.len();
    RelayNews::Packet(buf[..len].to_vec())
}

/// Behind NATs of any kind and firewalls that let only one port out, in segments of any size.
#[test]
fn people_behind_anything_talk_through_a_relay() {
    for (segment, window) in [(Segment::Whole, 65_536), (Segment::Random(40), 3000), (Segment::Byte, 100)] {
        let mut town = Town::new(RELAY);
        town.world.set_streams(StreamSpec { segment, window, ..StreamSpec::PERFECT });
        let nat = town.world.net_mut().add_nat(NatSpec::SYMMETRIC, &Place::PUBLIC, None);
        let a = town.member(&Place { udp: false, ..Place::behind(nat) });
        let b = town.member(&Place { tcp: Tcp::Port(town.relay.at.port()), ..Place::TCP_ONLY });
        town.route(a, b);
        for n in 0..20 {
            let word = vec![n; 1 + 60 * usize::from(n)];
            assert!(town.pass(a, b, &word).is_some() && town.pass(b, a, &word).is_some(), "{segment:?}, {n}");
        }
        let stats = town.world.relay(0).expect("a relay").stats();
        assert_eq!((stats.clients, stats.relayed), (2, 40));
    }
}

#[test]
fn what_a_firewall_does_not_let_out_times_out() {
    let mut town = Town::new(RELAY);
    let at = town.relay.at;
    for tcp in [Tcp::Port(443), Tcp::Host(99), Tcp::Blocked] {
        let who = town.person(&Place { tcp, ..Place::TCP_ONLY });
        town.tell(who, Todo::Connect(at));
        assert!(!town.until(59 * SECOND, who, &RelayNews::Gone) && town.until(2 * SECOND, who, &RelayNews::Gone));
    }
    let who = town.person(&Place { tcp: Tcp::Port(443), ..Place::TCP_ONLY });
    town.tell(who, Todo::Connect(Endpoint::new(at.ip(), 443)));
    assert!(town.until(SECOND, who, &RelayNews::Open));
}

/// The relay keeps those who answer its pings, and only those.
#[test]
fn a_relay_lets_go_who_sleeps() {
    let mut town = Town::new(RELAY);
    let (a, b) = (town.member(&Place::PUBLIC), town.member(&Place::PUBLIC));
    town.route(a, b);
    town.world.run_for(5 * MINUTE);
    assert_eq!(town.table("relay clients").0, 2);
    let sleeper = town.people[a].0;
    town.world.suspend(sleeper);
    let left = packet(&RelayPacket::DisconnectNotification(ROUTE_FIRST));
    assert!(!town.heard(b, &left) && town.until(41 * SECOND, b, &left));
    assert_eq!(town.table("relay clients").0, 1);
    town.world.run_for(10 * MINUTE);
    town.world.resume(sleeper, true);
    town.say(a, &RelayPacket::Ping(1));
    assert!(town.until(SECOND, a, &RelayNews::Gone), "it learns as soon as it says something");
    town.enter(a);
}

#[test]
fn a_nap_is_no_harm() {
    let mut town = Town::new(RELAY);
    let (a, b) = (town.member(&Place::PUBLIC), town.member(&Place::PUBLIC));
    town.route(a, b);
    let sleeper = town.people[b].0;
    town.world.suspend(sleeper);
    town.say(a, &RelayPacket::Data { id: ROUTE_FIRST, data: b"wake up" });
    town.world.run_for(8 * SECOND);
    let word = packet(&RelayPacket::Data { id: ROUTE_FIRST, data: b"wake up" });
    assert!(!town.heard(b, &word));
    town.world.resume(sleeper, true);
    assert!(town.until(SECOND, b, &word) && town.pass(b, a, b"good morning").is_some());
}

/// A relay that crashes resets everybody; one that starts again has the same key and nobody in it.
#[test]
fn a_relay_that_dies_resets_its_clients() {
    let mut town = Town::new(RELAY);
    let a = town.member(&Place::PUBLIC);
    town.world.crash(0);
    assert!(town.until(SECOND, a, &RelayNews::Gone));
    town.people[a].2.borrow_mut().heard.clear();
    let at = town.relay.at;
    town.tell(a, Todo::Connect(at));
    assert!(town.until(SECOND, a, &RelayNews::Gone), "nobody listens");
    town.world.restart(0, bluering_sim::world::SavedState::Current, &[]);
    assert_eq!(town.world.info(0), town.relay);
    assert_eq!(town.table("relay clients").0, 0);
    town.enter(a);
}

/// Half-open streams: both sides find out by themselves.
#[test]
fn a_severed_stream_is_noticed_by_those_who_use_it() {
    for how in 0..3 {
        let mut town = Town::new(RELAY);
        let nat = town.world.net_mut().add_nat(NatSpec::PORT_RESTRICTED, &Place::PUBLIC, None);
        let (a, b) = (town.member(&Place::behind(nat)), town.member(&Place::PUBLIC));
        town.route(a, b);
        match how {
            0 => town.world.reboot_nat(nat),
            1 => town.world.sever_streams(town.people[a].0),
            _ => drop(town.world.cut(Cut { from: Part::Hosts(vec![town.people[a].0]), to: Part::Hosts(vec![0]) })),
        }
        assert!(town.pass(a, b, b"lost").is_none() && town.pass(b, a, b"lost too").is_none());
        let left = packet(&RelayPacket::DisconnectNotification(ROUTE_FIRST));
        assert!(town.until(MINUTE, b, &left), "the relay's ping was not answered");
        assert!(town.until(MINUTE, a, &RelayNews::Gone), "{how}: what it said was not acknowledged");
    }
}

/// A partition that ends soon enough was a pause.
#[test]
fn a_short_partition_only_delays() {
    let mut town = Town::new(RELAY);
    let (a, b) = (town.member(&Place::PUBLIC), town.member(&Place::PUBLIC));
    town.route(a, b);
    let cut = town.world.cut(Cut { from: Part::All, to: Part::Hosts(vec![town.people[a].0]) });
    town.say(a, &RelayPacket::Data { id: ROUTE_FIRST, data: b"late" });
    town.world.run_for(8 * SECOND);
    town.world.mend(cut);
    assert!(town.until(SECOND, b, &packet(&RelayPacket::Data { id: ROUTE_FIRST, data: b"late" })));
}

/// A NAT forgets streams that nobody uses: with a relay that pings every 30 s that takes a hasty NAT.
#[test]
fn a_hasty_nat_forgets_streams() {
    for (expiry, stays) in [(40, true), (20, false)] {
        let mut town = Town::new(RELAY);
        let spec = NatSpec { stream_expiry: Duration::from_secs(expiry), ..NatSpec::PORT_RESTRICTED };
        let nat = town.world.net_mut().add_nat(spec, &Place::PUBLIC, None);
        town.member(&Place::behind(nat));
        town.world.run_for(5 * MINUTE);
        assert_eq!(town.table("relay clients").0 == 1, stays, "{expiry} s");
    }
}

/// Who does not read fills a bounded queue, and is thrown out when a ping waits behind it for too long.
#[test]
fn a_slow_reader_harms_nobody() {
    let mut town = Town::new(RELAY);
    let (a, slow, b) = (town.member(&Place::PUBLIC), town.member(&Place::PUBLIC), town.member(&Place::PUBLIC));
    town.route(a, slow);
    let (key_a, key_b) = (town.people[a].1.public_key(), town.people[b].1.public_key());
    town.say(a, &RelayPacket::RoutingRequest(key_b));
    town.say(b, &RelayPacket::RoutingRequest(key_a));
    town.tell(slow, Todo::Read(false));
    for _ in 0..600 {
        town.say(a, &RelayPacket::Data { id: ROUTE_FIRST, data: &[1; 1300] });
        town.world.run_for(2 * MILLI);
        assert!(town.within_bounds());
    }
    let word = RelayPacket::Data { id: ROUTE_FIRST + 1, data: b"hi" };
    town.say(a, &word);
    assert!(town.until(SECOND, b, &packet(&RelayPacket::Data { id: ROUTE_FIRST, data: b"hi" })));
    let relay = town.world.relay(0).expect("a relay").stats();
    assert!(relay.dropped(DropReason::NoRoom) > 100, "{relay:?}");
    town.world.run_for(MINUTE);
    assert_eq!(town.world.relay(0).expect("a relay").stats().closed(CloseReason::PingTimeout), 1);
    assert_eq!(town.table("relay blocks").0, 0);
}

/// Two people at a small relay, while others misuse it from four addresses.
fn disturbed(kind: AbuseKind) -> Town {
    let limits = RelayLimits { clients: 40, pending: 32, per_address: 8, pages: 60, blocks: 64 };
    let mut town = Town::new(limits);
    let (a, b) = (town.member(&Place::PUBLIC), town.member(&Place::PUBLIC));
    town.route(a, b);
    let victim = Some(town.people[b].1.public_key().0);
    let (conns, seconds) = match kind {
        AbuseKind::Crawl | AbuseKind::HalfOpen => (250, 16),
        AbuseKind::FloodPeer | AbuseKind::Deaf | AbuseKind::Nonsense => (4, 8),
    };
    let plan = Strategy::RelayAbuse(RelayAbuse { kind, conns, per_second: 50, victim });
    for _ in 0..4 {
        let actor = plan.actor(&[town.relay], &town.world.suite().for_adversaries());
        town.world.add_actor(&Place::PUBLIC, actor);
    }
    for round in 0..seconds {
        town.world.run_for(SECOND);
        assert!(town.within_bounds(), "{kind:?}");
        for (from, to) in [(a, b), (b, a)] {
            let took = town.pass(from, to, &[round, from as u8, 9]);
            assert!(took.is_some_and(|took| took < 200 * MILLI), "{kind:?}, {round}: {took:?}");
        }
    }
    // Newcomers get in as well.
    town.member(&Place::PUBLIC);
    town
}

#[test]
fn a_thousand_crawling_handshakes_disturb_nobody() {
    let town = disturbed(AbuseKind::Crawl);
    let stats = town.world.relay(0).expect("a relay").stats();
    assert!(stats.closed(CloseReason::Displaced) > 900 && stats.closed(CloseReason::HandshakeTimeout) > 0, "{stats:?}");
}

#[test]
fn a_thousand_half_open_handshakes_disturb_nobody() {
    let town = disturbed(AbuseKind::HalfOpen);
    let stats = town.world.relay(0).expect("a relay").stats();
    assert!(stats.closed(CloseReason::Displaced) > 900 && stats.closed(CloseReason::HandshakeTimeout) > 0, "{stats:?}");
    assert_eq!(stats.clients, 3, "nobody else has shown who it is");
}

#[test]
fn clients_that_flood_or_talk_nonsense_disturb_nobody() {
    for kind in [AbuseKind::FloodPeer, AbuseKind::Deaf, AbuseKind::Nonsense] {
        let town = disturbed(kind);
        let stats = town.world.relay(0).expect("a relay").stats();
        match kind {
            AbuseKind::Nonsense => assert!(stats.closed(CloseReason::Misuse) >= 16, "{stats:?}"),
            AbuseKind::Deaf => assert!(stats.dropped(DropReason::NoRoom) > 100, "{stats:?}"),
            AbuseKind::FloodPeer | AbuseKind::Crawl | AbuseKind::HalfOpen => {
                assert!(stats.relayed > 1000, "{stats:?}");
            }
        }
    }
}

/// A client of a proxy that says fixed words and keeps the answer.
struct Asker {
    at: Endpoint,
    words: Vec<Vec<u8>>,
    answer: Rc<RefCell<(Vec<u8>, bool)>>,
}

impl Actor for Asker {
    fn start(&mut self, cx: &mut ActorCx<'_>) {
        cx.connect(self.at);
    }

    fn on_datagram(&mut self, _: &mut ActorCx<'_>, _: Endpoint, _: &[u8]) {}

    fn on_stream(&mut self, cx: &mut ActorCx<'_>, event: &StreamEvent) {
        match &event.what {
            StreamWhat::Data(bytes) => self.answer.borrow_mut().0.extend(bytes),
            StreamWhat::Closed | StreamWhat::Reset | StreamWhat::TimedOut | StreamWhat::Refused => {
                self.answer.borrow_mut().1 = true;
            }
            StreamWhat::Opened { .. } | StreamWhat::Writable => {}
        }
        if matches!(event.what, StreamWhat::Opened { .. } | StreamWhat::Data(_)) && !self.words.is_empty() {
            cx.write(event.conn, Side::Client, &self.words.remove(0));
        }
    }
}

/// An echo server.
struct Echo;

impl Actor for Echo {
    fn start(&mut self, cx: &mut ActorCx<'_>) {
        cx.listen(7);
    }

    fn on_datagram(&mut self, _: &mut ActorCx<'_>, _: Endpoint, _: &[u8]) {}

    fn on_stream(&mut self, cx: &mut ActorCx<'_>, event: &StreamEvent) {
        if let StreamWhat::Data(bytes) = &event.what {
            cx.write(event.conn, Side::Server, bytes);
        }
    }
}

/// What a client hears that says `words` to a proxy, and whether it was thrown out.
fn ask(spec: &ProxySpec, words: &[&[u8]]) -> (Vec<u8>, bool) {
    let mut world = World::new(4);
    let echo = world.add_actor(&Place::PUBLIC, Box::new(Echo));
    let mut spec = spec.clone();
    spec.names.insert("echo.sim".into(), world.net().address(echo).ip());
    let port = spec.port;
    let proxy = world.add_actor(&Place::PUBLIC, Box::new(Proxy::new(spec)));
    let at = Endpoint::new(world.net().address(proxy).ip(), port);
    let answer = Rc::default();
    let words = words.iter().map(|word| word.to_vec()).collect();
    let asker = Asker { at, words, answer: Rc::clone(&answer) };
    world.add_actor(&Place { tcp: Tcp::Host(proxy), ..Place::TCP_ONLY }, Box::new(asker));
    world.run_for(3 * SECOND);
    answer.take()
}

const SOCKS_ECHO: &[u8] = b"\x05\x01\x00\x03\x08echo.sim\x00\x07";
const SOCKS_OPEN: &[u8] = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00";

#[test]
fn a_socks_proxy_connects_and_refuses() {
    let spec = ProxySpec::new(Speech::Socks5);
    let told = ask(&spec, &[b"\x05\x01\x00", SOCKS_ECHO, b"hello"]);
    assert_eq!(told, ([b"\x05\x00", SOCKS_OPEN, b"hello"].concat(), false));
    // Fields in one piece; a name that nobody has.
    let whole = [b"\x05\x01\x00", SOCKS_ECHO, b"early"].concat();
    assert_eq!(ask(&spec, &[&whole]), ([b"\x05\x00", SOCKS_OPEN, b"early"].concat(), false));
    let nobody = ask(&spec, &[b"\x05\x01\x00", b"\x05\x01\x00\x03\x04none\x00\x07"]);
    assert_eq!(nobody, (b"\x05\x00\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00".to_vec(), true));

    let guarded = ProxySpec { credentials: Some((b"me".to_vec(), b"pw".to_vec())), ..spec.clone() };
    assert_eq!(ask(&guarded, &[b"\x05\x01\x00"]), (b"\x05\xff".to_vec(), true));
    let told = ask(&guarded, &[b"\x05\x02\x00\x02", b"\x01\x02me\x02pw", SOCKS_ECHO, b"hello"]);
    assert_eq!(told, ([b"\x05\x02\x01\x00", SOCKS_OPEN, b"hello"].concat(), false));
    let told = ask(&guarded, &[b"\x05\x02\x00\x02", b"\x01\x02me\x02no"]);
    assert_eq!(told, (b"\x05\x02\x01\x01".to_vec(), true));

    let moody = |mood| ask(&ProxySpec { mood, ..spec.clone() }, &[b"\x05\x01\x00", SOCKS_ECHO]);
    assert_eq!(moody(Mood::Silent), (vec![], false));
    assert_eq!(moody(Mood::Refuses), (b"\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00".to_vec(), true));
    assert!(moody(Mood::Stranger).0.starts_with(b"SSH"));
}

#[test]
fn an_http_proxy_connects_and_refuses() {
    let spec = ProxySpec::new(Speech::Http);
    let connect = b"CONNECT echo.sim:7 HTTP/1.1\r\nHost: echo.sim:7\r\n\r\n".as_slice();
    let told = ask(&spec, &[&connect[..9], &connect[9..]]);
    assert_eq!(told, (vec![], false), "half a request is none");
    let told = ask(&spec, &[connect, b"hello"]);
    assert_eq!(told, (b"HTTP/1.1 200 Connection established\r\n\r\nhello".to_vec(), false));
    let guarded = ProxySpec { credentials: Some((b"me".to_vec(), b"pw".to_vec())), ..spec.clone() };
    assert!(ask(&guarded, &[connect]).0.starts_with(b"HTTP/1.1 407"));
    let login = b"CONNECT echo.sim:7 HTTP/1.1\r\nproxy-authorization: Basic bWU6cHc=\r\n\r\n";
    assert!(ask(&guarded, &[login]).0.starts_with(b"HTTP/1.1 200"));
    let refuses = ask(&ProxySpec { mood: Mood::Refuses, ..spec.clone() }, &[connect]);
    assert!(refuses.0.starts_with(b"HTTP/1.1 403") && refuses.1);
    assert!(ask(&spec, &[b"GET / HTTP/1.0\r\n\r\n"]).0.starts_with(b"HTTP/1.1 400"));
}

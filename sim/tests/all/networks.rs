//! The simulator's own network: addresses, NATs, firewalls, partitions, roaming, sleep, damage, and byte streams.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may panic")]

use bluering_core::Endpoint;
use bluering_core::time::Instant;
use bluering_sim::actor::{Actor, ActorCx};
use bluering_sim::net::{
    ConnId, Cut, Dependence, LinkSpec, NatSpec, Part, Place, Reach, Segment, Side, StreamEvent, StreamSpec, StreamWhat,
    V4, V6, reach,
};
use bluering_sim::plan::CLIENT;
use bluering_sim::world::SavedState;
use bluering_sim::{HostId, HostSpec, MILLION, World};
use core::time::Duration;
use std::cell::RefCell;
use std::rc::Rc;

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const PORT: u16 = 443;

/// What a probe was asked to do, and what it noticed.
#[derive(Default)]
struct Desk {
    to_send: Vec<(Endpoint, Vec<u8>)>,
    came: Vec<(Instant, Endpoint, Vec<u8>)>,
    /// What is to be done with streams.
    deeds: Vec<Deed>,
    streams: Vec<(Instant, StreamWhat)>,
    conn: Option<(ConnId, Side)>,
    ticks: Vec<Instant>,
}

enum Deed {
    Connect(Endpoint),
    Write(Vec<u8>),
    Close,
    Abort,
}

/// Does what it finds on its desk, every millisecond. An echo sends all back, by datagram and by stream.
#[derive(Clone, Default)]
struct Probe {
    desk: Rc<RefCell<Desk>>,
    echo: bool,
}

impl Actor for Probe {
    fn start(&mut self, cx: &mut ActorCx<'_>) {
        cx.listen(PORT);
        cx.wake_at(cx.now + MILLI);
    }

    fn on_datagram(&mut self, cx: &mut ActorCx<'_>, from: Endpoint, bytes: &[u8]) {
        self.desk.borrow_mut().came.push((cx.now, from, bytes.to_vec()));
        if self.echo {
            cx.send(from, bytes.to_vec());
        }
    }

    fn on_timer(&mut self, cx: &mut ActorCx<'_>) {
        cx.wake_at(cx.now + MILLI);
        let mut desk = self.desk.borrow_mut();
        desk.ticks.push(cx.now);
        desk.to_send.drain(..).for_each(|(to, bytes)| cx.send(to, bytes));
        for deed in core::mem::take(&mut desk.deeds) {
            match (deed, desk.conn) {
                (Deed::Connect(to), _) => desk.conn = Some((cx.connect(to), Side::Client)),
                (Deed::Write(bytes), Some((conn, side))) => drop(cx.write(conn, side, &bytes)),
                (Deed::Close, Some((conn, side))) => cx.close(conn, side),
                (Deed::Abort, Some((conn, side))) => cx.abort(conn, side),
                (_, None) => panic!("no stream"),
            }
        }
    }

    fn on_stream(&mut self, cx: &mut ActorCx<'_>, event: &StreamEvent) {
        let mut desk = self.desk.borrow_mut();
        desk.streams.push((cx.now, event.what.clone()));
        desk.conn = Some((event.conn, event.side));
        match &event.what {
            StreamWhat::Data(bytes) if self.echo => drop(cx.write(event.conn, event.side, bytes)),
            StreamWhat::Closed if self.echo => cx.close(event.conn, event.side),
            _ => {}
        }
    }
}

/// A world of probes.
struct Net {
    world: World,
    probes: Vec<Probe>,
}

impl Net {
    fn new() -> Self {
        Self { world: World::new(1), probes: Vec::new() }
    }

    fn add(&mut self, place: &Place) -> HostId {
        self.add_probe(place, false)
    }

    fn add_probe(&mut self, place: &Place, echo: bool) -> HostId {
        let probe = Probe { echo, ..Probe::default() };
        let id = self.world.add_actor(place, Box::new(probe.clone()));
        self.probes.push(probe);
        id
    }

    fn nat(&mut self, spec: NatSpec) -> u32 {
        self.world.net_mut().add_nat(spec, &Place::PUBLIC, None)
    }

    fn at(&self, id: HostId) -> Endpoint {
        self.world.net().address(id)
    }

    fn desk(&self, id: HostId) -> core::cell::RefMut<'_, Desk> {
        self.probes[id as usize].desk.borrow_mut()
    }

    /// Sends one datagram; where it seemed to come from, when it arrived.
    fn send(&mut self, from: HostId, to: Endpoint, at: HostId) -> Option<Endpoint> {
        let arrived = self.send_bytes(from, to, at, b"hello");
        (arrived.len() == 1).then(|| arrived[0].0)
    }

    fn send_bytes(&mut self, from: HostId, to: Endpoint, at: HostId, bytes: &[u8]) -> Vec<(Endpoint, Vec<u8>)> {
        self.desk(at).came.clear();
        self.desk(from).to_send.push((to, bytes.to_vec()));
        self.world.run_for(SECOND);
        self.desk(at).came.iter().map(|(_, from, bytes)| (*from, bytes.clone())).collect()
    }

    fn act(&mut self, id: HostId, deed: Deed) {
        self.desk(id).deeds.push(deed);
        self.world.run_for(SECOND);
    }

    /// What a probe heard of its streams since the last call.
    fn heard(&self, id: HostId) -> Vec<StreamWhat> {
        self.desk(id).streams.drain(..).map(|(_, what)| what).collect()
    }
}

fn v6(v6: V6) -> Place {
    Place { v4: V4::None, v6, ..Place::PUBLIC }
}

#[test]
fn public_hosts_reach_each_other_after_the_latency() {
    let mut net = Net::new();
    let (a, b) = (net.add(&Place::PUBLIC), net.add(&Place::PUBLIC));
    let start = net.world.now();
    assert_eq!(net.send(a, net.at(b), b), Some(net.at(a)));
    // A millisecond until the probe looks, two lines of 5 ms, and 10 ms between.
    assert_eq!(net.desk(b).came[0].0.since(start), 21 * MILLI);
    assert_eq!(net.send(a, Endpoint::v4([99, 9, 9, 9], 1), b), None);
    assert_eq!(net.send(a, Endpoint::new(net.at(b).ip(), 1), b), None, "another port");
}

/// Two friends whom a server tells each other's external address: what gets through is what `reach` promises.
#[test]
fn each_pair_of_nats_is_as_rfc_4787_says() {
    let kinds: Vec<Option<NatSpec>> = core::iter::once(None).chain(NatSpec::ALL.map(|(_, spec)| Some(spec))).collect();
    for x in &kinds {
        for y in &kinds {
            let mut net = Net::new();
            let server = net.add(&Place::PUBLIC);
            let [a, b] = [x, y].map(|spec| match spec {
                None => net.add(&Place::PUBLIC),
                Some(spec) => {
                    let nat = net.nat(spec.clone());
                    net.add(&Place::behind(nat))
                }
            });
            let at_server = net.at(server);
            let (at_a, at_b) = (net.send(a, at_server, server).unwrap(), net.send(b, at_server, server).unwrap());
            let direct = net.send(a, at_b, b).is_some() || net.send(b, at_a, a).is_some();
            // Who has one port for all guesses that of the other.
            let is_fixed =
                |spec: &Option<NatSpec>| spec.as_ref().is_none_or(|spec| spec.mapping == Dependence::Endpoint);
            for step in 1..=4 {
                for (from, to, at, _) in [(a, b, at_b, x), (b, a, at_a, y)].into_iter().filter(|way| is_fixed(way.3)) {
                    net.send(from, Endpoint::new(at.ip(), at.port().wrapping_add(step)), to);
                }
            }
            // Both try a second time, at what they have heard from by now.
            let mut met = direct;
            for _ in 0..2 {
                let to_a = net.desk(b).came.iter().map(|(_, from, _)| *from).rfind(|from| *from != at_server);
                let to_b = net.desk(a).came.iter().map(|(_, from, _)| *from).rfind(|from| *from != at_server);
                met |= net.send(a, to_b.unwrap_or(at_b), b).is_some();
                met |= net.send(b, to_a.unwrap_or(at_a), a).is_some();
            }
            let promised = reach(x.as_ref(), y.as_ref());
            let names = [x, y].map(|spec| spec.as_ref().map(NatSpec::name));
            assert_eq!(met, promised != Reach::Unreachable, "{names:?}: {promised:?}");
        }
    }
}

#[test]
fn a_mapping_ends_when_it_is_not_used() {
    let mut net = Net::new();
    let nat = net.nat(NatSpec::FULL_CONE);
    let (server, a) = (net.add(&Place::PUBLIC), net.add(&Place::behind(nat)));
    let outside = net.send(a, net.at(server), server).unwrap();
    assert_ne!(outside.ip(), net.at(a).ip());
    assert!(net.send(server, outside, a).is_some());
    net.world.run_for(NatSpec::FULL_CONE.expiry + SECOND);
    assert!(net.send(server, outside, a).is_none());
    let outside = net.send(a, net.at(server), server).unwrap();
    net.world.net_mut().reboot_nat(nat);
    assert!(net.send(server, outside, a).is_none(), "a NAT that boots forgets");
}

#[test]
fn carrier_grade_nat_is_two_in_a_row() {
    let mut net = Net::new();
    let outer = net.nat(NatSpec::PORT_RESTRICTED);
    let homes = [0, 1].map(|_| {
        let home = net.world.net_mut().add_nat(NatSpec::FULL_CONE, &Place::PUBLIC, Some(outer));
        net.add(&Place::behind(home))
    });
    let (server, stranger) = (net.add(&Place::PUBLIC), net.add(&Place::PUBLIC));
    let seen = homes.map(|home| net.send(home, net.at(server), server).unwrap());
    assert_eq!(seen[0].ip(), seen[1].ip(), "one address for all customers");
    assert_ne!(seen[0].port(), seen[1].port());
    assert!(net.send(server, seen[0], homes[0]).is_some());
    assert!(net.send(stranger, seen[0], homes[0]).is_none(), "the outer NAT filters");
    assert!(net.send(homes[0], seen[1], homes[1]).is_none(), "and does not turn packets around");
}

#[test]
fn neighbours_talk_over_their_own_network() {
    for spec in [NatSpec::FULL_CONE, NatSpec::SYMMETRIC] {
        let mut net = Net::new();
        let nat = net.nat(spec.clone());
        let (a, b) = (net.add(&Place::behind(nat)), net.add(&Place::behind(nat)));
        let (server, other) = (net.add(&Place::PUBLIC), net.nat(spec.clone()));
        let elsewhere = net.add(&Place::behind(other));
        assert!(net.at(b).is_lan());
        assert_eq!(net.send(a, net.at(b), b), Some(net.at(a)));
        assert_eq!(net.send(server, net.at(b), b), None, "not from outside");
        // There, the same address is somebody else's.
        assert_eq!(net.at(elsewhere), net.at(a));
        assert_eq!(net.send(elsewhere, net.at(b), b), None);
        let outside = net.send(b, net.at(server), server).unwrap();
        let turned = net.send(a, outside, b);
        assert_eq!(turned.map(|from| from.ip()), spec.hairpin.then_some(outside.ip()), "hairpin");
    }
}

#[test]
fn ipv6_and_dual_stack() {
    let mut net = Net::new();
    let nat = net.nat(NatSpec::SYMMETRIC);
    let old = net.add(&Place::PUBLIC);
    let both = net.add(&Place { v6: V6::Public, ..Place::behind(nat) });
    let new = net.add(&v6(V6::Public));
    assert!(net.at(new).ip().is_ipv6());
    let seen = net.send(both, net.at(new), new).unwrap();
    assert!(seen.ip().is_ipv6() && net.send(new, seen, both).is_some());
    assert!(net.send(both, net.at(old), old).is_some_and(|from| from.ip().is_ipv4()));
    assert_eq!(net.send(old, net.at(new), new), None, "no IPv6 there");
    assert_eq!(net.send(new, net.at(old), old), None, "no IPv4 there");
}

#[test]
fn a_firewall_lets_in_answers_only() {
    for filtering in [Dependence::Address, Dependence::AddressAndPort] {
        let mut net = Net::new();
        let (inside, outside) = (net.add(&v6(V6::Firewalled(filtering))), net.add(&v6(V6::Public)));
        let stranger = net.add(&v6(V6::Public));
        assert_eq!(net.send(outside, net.at(inside), inside), None);
        assert_eq!(net.send(inside, net.at(outside), outside), Some(net.at(inside)), "addresses stay");
        assert!(net.send(outside, net.at(inside), inside).is_some());
        assert_eq!(net.send(stranger, net.at(inside), inside), None);
        net.world.run_for(6 * MINUTE);
        assert_eq!(net.send(outside, net.at(inside), inside), None, "five minutes later");
    }
}

#[test]
fn udp_can_be_blocked() {
    let mut net = Net::new();
    let (a, b) = (net.add(&Place::PUBLIC), net.add(&Place { udp: false, ..Place::PUBLIC }));
    assert_eq!((net.send(a, net.at(b), b), net.send(b, net.at(a), a)), (None, None));
    net.world.net_mut().set_udp(b, true);
    assert!(net.send(a, net.at(b), b).is_some() && net.send(b, net.at(a), a).is_some());
}

#[test]
fn partitions_by_host_and_by_region() {
    let mut net = Net::new();
    let far = Place { region: 1, ..Place::PUBLIC };
    let (a, b, c) = (net.add(&Place::PUBLIC), net.add(&Place::PUBLIC), net.add(&far));
    let passes = |net: &mut Net, from, to| net.send(from, net.at(to), to).is_some();
    let cuts = [
        (Part::Hosts(vec![a]), Part::Hosts(vec![b]), [false, true, true, true]),
        (Part::Hosts(vec![a]), Part::All, [false, true, false, true]),
        (Part::All, Part::Hosts(vec![a]), [true, false, true, false]),
        (Part::Region(0), Part::Region(1), [true, true, false, true]),
        (Part::Region(1), Part::Hosts(vec![a]), [true, true, true, false]),
    ];
    for (from, to, expected) in cuts {
        let cut = net.world.net_mut().cut(Cut { from: from.clone(), to: to.clone() });
        let got = [passes(&mut net, a, b), passes(&mut net, b, a), passes(&mut net, a, c), passes(&mut net, c, a)];
        assert_eq!(got, expected, "from {from:?} to {to:?}");
        net.world.net_mut().mend(cut);
        assert!(passes(&mut net, a, b) && passes(&mut net, c, a), "mended");
    }
    let both = [(Part::Region(0), Part::Region(1)), (Part::Region(1), Part::Region(0))]
        .map(|(from, to)| net.world.net_mut().cut(Cut { from, to }));
    assert!(!passes(&mut net, b, c) && !passes(&mut net, c, b) && passes(&mut net, a, b));
    both.into_iter().for_each(|cut| net.world.net_mut().mend(cut));
    assert!(passes(&mut net, b, c));
}

#[test]
fn a_host_that_moves_has_a_new_address_only() {
    let mut net = Net::new();
    let nat = net.nat(NatSpec::PORT_RESTRICTED);
    let (a, b) = (net.add(&Place::PUBLIC), net.add(&Place::PUBLIC));
    let old = net.at(b);
    for place in [Place::PUBLIC, Place::behind(nat), v6(V6::Public), Place::PUBLIC] {
        net.world.move_to(b, &place);
        assert_ne!(net.at(b), old);
        assert_eq!(net.send(a, old, b), None);
        let seen = net.send(b, net.at(a), a);
        assert_eq!(seen.is_some(), place.v4 != V4::None);
        if let Some(seen) = seen {
            assert!(net.send(a, seen, b).is_some());
        }
    }
    assert_eq!(net.send(a, net.at(b), b), Some(net.at(a)));
}

#[test]
fn a_host_that_sleeps_hears_nothing_and_its_timers_are_late() {
    let mut net = Net::new();
    let (a, b) = (net.add(&Place::PUBLIC), net.add(&Place::PUBLIC));
    net.world.run_for(SECOND);
    net.world.suspend(b);
    let slept = net.world.now();
    net.desk(b).ticks.clear();
    assert_eq!(net.send(a, net.at(b), b), None);
    net.world.run_for(60 * SECOND);
    assert!(net.desk(b).ticks.is_empty() && !net.world.is_awake(b));
    net.world.resume(b, true);
    net.world.run_for(2 * MILLI);
    let late = net.desk(b).ticks[0].since(slept);
    assert!(late >= 60 * SECOND && late <= 61 * SECOND + MILLI, "{late:?}");
    assert!(net.desk(b).came.is_empty() && net.send(a, net.at(b), b).is_some());
}

#[test]
fn restarts_with_each_saved_state() {
    let friends = |world: &World, id| world.node(id).friends().count();
    for (state, expected) in [
        (SavedState::Current, 2),
        (SavedState::Stale, 1),
        (SavedState::Truncated(10), 2),
        (SavedState::Truncated(0), 2),
        (SavedState::Flipped(3), 2),
        (SavedState::Flipped(100_000), 2),
    ] {
        let mut world = World::new(5);
        let ids = [0; 4].map(|_| world.add(&CLIENT));
        let me = ids[1];
        world.bootstrap(me, ids[0]);
        world.befriend(me, ids[2]);
        world.checkpoint(me);
        world.befriend(me, ids[3]);
        let (id, dht) = (world.node(me).tox_id(), world.node(me).dht_key());
        world.crash(me);
        assert!(world.try_node(me).is_none());
        world.run_for(SECOND);
        let info = world.info(ids[0]);
        world.restart(me, state, &[info]);
        assert_eq!(friends(&world, me), expected, "{state:?}");
        assert_eq!(world.node(me).tox_id().public_key, id.public_key);
        assert_ne!(world.node(me).dht_key(), dht, "a new run");
        assert!(world.run_until(5 * SECOND, |w| w.node(me).known_nodes().next().is_some()));
    }
}

#[test]
fn packets_come_doubled_bent_cut_or_not_at_all() {
    let line = |change: fn(&mut LinkSpec)| {
        let mut spec = LinkSpec::with_latency(5 * MILLI);
        change(&mut spec);
        let mut net = Net::new();
        let (a, b) = (net.add(&Place { access: spec, ..Place::PUBLIC }), net.add(&Place::PUBLIC));
        net.send_bytes(a, net.at(b), b, &[7; 100]).into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>()
    };
    let bits = |bytes: &Vec<u8>| bytes.iter().map(|byte| (byte ^ 7).count_ones()).sum::<u32>();
    assert_eq!(line(|_| {}), [[7; 100]]);
    assert_eq!(line(|spec| spec.duplicate = MILLION), [[7; 100], [7; 100]]);
    let bent = line(|spec| spec.corrupt = MILLION);
    assert_eq!(bent.iter().map(bits).collect::<Vec<_>>(), [1]);
    let cut = line(|spec| spec.truncate = MILLION);
    assert!(cut.len() == 1 && cut[0].len() < 100 && cut[0].iter().all(|byte| *byte == 7));
    let twins = line(|spec| (spec.corrupt, spec.duplicate) = (MILLION, MILLION));
    assert_eq!(twins.iter().map(bits).sum::<u32>(), 1, "the second copy is intact");
    assert_eq!(line(|spec| spec.mtu = 99).len(), 0);
    assert_eq!(line(|spec| spec.mtu = 100).len(), 1);
}

/// A slow sender does not hold up a fast one on their receiver's line.
#[test]
fn a_line_serves_packets_in_the_order_in_which_they_reach_it() {
    let mut net = Net::new();
    let slow = net.add(&Place { access: LinkSpec::with_latency(800 * MILLI), ..Place::PUBLIC });
    let fast = net.add(&Place::PUBLIC);
    let receiver = net.add(&Place { access: LinkSpec::DSL, ..Place::PUBLIC });
    let to = net.at(receiver);
    let start = net.world.now();
    net.desk(slow).to_send.push((to, vec![1]));
    net.world.run_for(2 * MILLI);
    net.desk(fast).to_send.push((to, vec![2]));
    net.world.run_for(2 * SECOND);
    let came: Vec<_> = net.desk(receiver).came.iter().map(|(at, _, bytes)| (bytes[0], at.since(start))).collect();
    assert_eq!(came.iter().map(|(who, _)| *who).collect::<Vec<_>>(), [2, 1], "{came:?}");
    assert!(came[0].1 < 60 * MILLI, "{came:?}");
}

/// A small network with people in it: its digest, and who met whom.
fn people(seed: u64, shuffle: bool, extra: bool) -> (u64, bool, Vec<[u8; 32]>) {
    let mut world = World::new(seed);
    if shuffle {
        world.shuffle_ties();
    }
    let hub = world.add(&CLIENT);
    let all = [0; 6].map(|_| world.add(&CLIENT));
    if extra {
        let more = world.add_host(HostSpec::public(CLIENT));
        world.bootstrap(more, hub);
    }
    all.iter().for_each(|id| world.bootstrap(*id, hub));
    for pair in all.chunks(2) {
        world.befriend(pair[0], pair[1]);
    }
    world.run_for(20 * SECOND);
    let met = all.chunks(2).all(|pair| world.are_connected(pair[0], pair[1]));
    let keys = all.iter().flat_map(|id| [world.node(*id).dht_key().0, world.node(*id).tox_id().public_key.0]);
    (world.digest(), met, keys.collect())
}

#[test]
fn a_seed_is_a_run_and_each_node_has_randomness_of_its_own() {
    let base = people(1, false, false);
    assert_eq!(base, people(1, false, false));
    let other = people(2, false, false);
    assert!(other.0 != base.0 && other.2 != base.2);
    let shuffled = people(1, true, false);
    assert_eq!(shuffled, people(1, true, false));
    assert_ne!(shuffled.0, base.0, "another order");
    assert_eq!((shuffled.1, &shuffled.2), (true, &base.2), "the same outcome");
    let extra = people(1, false, true);
    assert_ne!(extra.0, base.0);
    assert_eq!((extra.1, &extra.2), (true, &base.2), "one host more changes nobody's keys");
}

/// An echo server and a client that is connected to it.
fn connected(place: &Place) -> (Net, HostId, HostId) {
    let mut net = Net::new();
    let (server, client) = (net.add_probe(&Place::PUBLIC, true), net.add(place));
    let at = Endpoint::new(net.at(server).ip(), PORT);
    net.act(client, Deed::Connect(at));
    assert_eq!(net.heard(client), [StreamWhat::Opened { peer: server, port: PORT }]);
    net.desk(server).streams.clear();
    (net, server, client)
}

#[test]
fn streams_carry_bytes_both_ways() {
    let mut net = Net::new();
    let nat = net.nat(NatSpec::SYMMETRIC);
    net.world.set_streams(StreamSpec { segment: Segment::Random(9), ..StreamSpec::PERFECT });
    let (server, client) = (net.add_probe(&Place::PUBLIC, true), net.add(&Place { udp: false, ..Place::behind(nat) }));
    let at = Endpoint::new(net.at(server).ip(), PORT);
    let start = net.world.now();
    net.act(client, Deed::Connect(at));
    // A millisecond until it looks, then there and back: 20 ms each way.
    assert_eq!(net.desk(client).streams[0].0.since(start), 41 * MILLI);
    net.heard(client);
    let words: Vec<u8> = (0..200).collect();
    net.act(client, Deed::Write(words.clone()));
    let echoed = |heard: Vec<StreamWhat>| {
        heard.into_iter().fold(Vec::new(), |mut all, what| match what {
            StreamWhat::Data(bytes) => {
                assert!(bytes.len() <= 9);
                all.extend(bytes);
                all
            }
            what => panic!("{what:?}"),
        })
    };
    assert_eq!(echoed(net.heard(client)), words);
    net.act(client, Deed::Close);
    assert_eq!(net.heard(client), [StreamWhat::Closed]);
    assert_eq!(net.world.streams().connections(), 0);
}

#[test]
fn streams_to_nowhere_are_refused_or_time_out() {
    let mut net = Net::new();
    let nat = net.nat(NatSpec::FULL_CONE);
    let (a, b, hidden) = (net.add(&Place::PUBLIC), net.add(&Place::PUBLIC), net.add(&Place::behind(nat)));
    let cases = [
        (Endpoint::new(net.at(b).ip(), 1), StreamWhat::Refused),
        (Endpoint::v4([99, 9, 9, 9], PORT), StreamWhat::TimedOut),
        (Endpoint::new(net.at(hidden).ip(), PORT), StreamWhat::TimedOut),
    ];
    for (to, expected) in cases {
        net.act(a, Deed::Connect(to));
        net.world.run_for(2 * MINUTE);
        assert_eq!(net.heard(a), [expected], "{to}");
    }
    assert_eq!(net.world.streams().connections(), 0);
}

#[test]
fn a_stalled_stream_goes_on_later() {
    let (mut net, _, client) = connected(&Place::PUBLIC);
    let conn = net.desk(client).conn.unwrap().0;
    let until = net.world.now() + 10 * SECOND;
    net.world.streams_mut().stall(conn, until);
    net.act(client, Deed::Write(b"slow".to_vec()));
    net.world.run_for(5 * SECOND);
    assert_eq!(net.heard(client), []);
    net.world.run_for(6 * SECOND);
    assert_eq!(net.heard(client), [StreamWhat::Data(b"slow".to_vec())]);
}

#[test]
fn a_stream_to_a_host_that_is_gone_is_half_open() {
    let (mut net, server, client) = connected(&Place::PUBLIC);
    net.world.set_up(server, false);
    net.world.run_for(2 * MINUTE);
    assert_eq!(net.heard(client), [], "nobody says anything");
    net.act(client, Deed::Write(b"still there?".to_vec()));
    net.world.run_for(2 * MINUTE);
    assert_eq!(net.heard(client), [StreamWhat::TimedOut]);
    // It is back, and listens again.
    net.world.set_up(server, true);
    let at = Endpoint::new(net.at(server).ip(), PORT);
    net.act(client, Deed::Connect(at));
    assert_eq!(net.heard(client), [StreamWhat::Opened { peer: server, port: PORT }]);
}

#[test]
fn a_host_that_came_back_resets_what_it_does_not_know() {
    let (mut net, server, client) = connected(&Place::PUBLIC);
    net.world.set_up(server, false);
    net.world.set_up(server, true);
    assert_eq!(net.heard(client), []);
    net.act(client, Deed::Write(b"still there?".to_vec()));
    assert_eq!(net.heard(client), [StreamWhat::Reset]);
}

/// At its old address nobody is any more who could say so.
#[test]
fn a_host_that_moved_is_silent() {
    let (mut net, server, client) = connected(&Place::PUBLIC);
    net.world.move_to(server, &Place::PUBLIC);
    net.act(client, Deed::Write(b"still there?".to_vec()));
    net.world.run_for(MINUTE - SECOND);
    assert_eq!(net.heard(client), []);
    net.world.run_for(2 * SECOND);
    assert_eq!(net.heard(client), [StreamWhat::TimedOut]);
}

#[test]
fn an_abort_is_a_reset_for_the_other_side() {
    let (mut net, server, client) = connected(&Place::PUBLIC);
    net.act(client, Deed::Abort);
    assert_eq!((net.heard(server), net.heard(client)), (vec![StreamWhat::Reset], vec![]));
}

#[test]
fn who_sleeps_hears_of_its_streams_when_it_wakes() {
    let (mut net, server, client) = connected(&Place::PUBLIC);
    net.world.suspend(server);
    net.act(client, Deed::Write(b"wake up".to_vec()));
    assert_eq!((net.heard(server), net.heard(client)), (vec![], vec![]));
    net.world.resume(server, true);
    net.world.run_for(SECOND);
    let data = StreamWhat::Data(b"wake up".to_vec());
    assert_eq!((net.heard(server), net.heard(client)), (vec![data.clone()], vec![data]));
}

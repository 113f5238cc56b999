//! What is written arrives, in order and once; and what does not arrive is told.

use super::*;
use crate::rng::MILLION;
use quickcheck::{Arbitrary, Gen, quickcheck};

const LATENCY: Duration = Duration::from_millis(50);
const CLIENT: u32 = 1;
const SERVER: u32 = 2;
const PORT: u16 = 443;

fn at(millis: u64) -> Instant {
    Instant::from_millis(100_000 + millis)
}

fn spec() -> StreamSpec {
    StreamSpec::with_latency(LATENCY)
}

/// Streams with a server that listens.
fn listening() -> Streams {
    let mut streams = Streams::new(SimRng::new(5));
    streams.listen(SERVER, PORT);
    streams
}

fn connect(streams: &mut Streams, spec: StreamSpec) -> ConnId {
    streams.connect(at(0), CLIENT, (SERVER, PORT), spec)
}

/// A connection that is open on both sides, at 150 ms.
fn open(spec: StreamSpec) -> (Streams, ConnId) {
    let mut streams = listening();
    let conn = connect(&mut streams, spec);
    assert_eq!(heard(&mut streams, at(150)).len(), 2);
    (streams, conn)
}

/// All that is heard until `until`.
fn events(streams: &mut Streams, until: Instant) -> Vec<StreamEvent> {
    core::iter::from_fn(|| streams.poll(until)).collect()
}

/// The same, in short: when (ms), by whom, what.
fn heard(streams: &mut Streams, until: Instant) -> Vec<(u64, u32, StreamWhat)> {
    let events = events(streams, until);
    events.into_iter().map(|event| (event.at.since(at(0)).as_millis() as u64, event.host, event.what)).collect()
}

/// The streams have come to an end: no connection, and nothing more to happen to one.
fn is_over(streams: &mut Streams) -> bool {
    streams.connections() == 0 && events(streams, Instant::FAR).is_empty() && streams.next_at().is_none()
}

#[test]
fn a_handshake_takes_a_round_trip_and_a_half() {
    let mut streams = listening();
    let conn = connect(&mut streams, spec());
    assert_eq!(streams.write(at(99), conn, Side::Client, b"early"), 0);
    let opened = |peer| StreamWhat::Opened { peer, port: PORT };
    assert_eq!(heard(&mut streams, at(1000)), [(100, CLIENT, opened(SERVER)), (150, SERVER, opened(CLIENT))]);
}

#[test]
fn nobody_listens() {
    let mut streams = listening();
    streams.unlisten(SERVER, PORT);
    connect(&mut streams, spec());
    assert_eq!(heard(&mut streams, at(1000)), [(100, CLIENT, StreamWhat::Refused)]);
    assert!(is_over(&mut streams));
}

#[test]
fn a_host_that_is_down_does_not_answer() {
    let mut streams = listening();
    streams.drop_host(SERVER);
    connect(&mut streams, spec());
    assert_eq!(heard(&mut streams, at(90_000)), [(60_000, CLIENT, StreamWhat::TimedOut)]);
    assert!(is_over(&mut streams));
    streams.restore_host(SERVER);
    streams.connect(at(90_000), CLIENT, (SERVER, PORT), spec());
    assert_eq!(heard(&mut streams, at(95_000)), [(90_100, CLIENT, StreamWhat::Refused)], "it listens no more");
}

#[test]
fn bytes_arrive_after_the_latency_and_join() {
    let (mut streams, conn) = open(spec());
    streams.write(at(200), conn, Side::Client, b"hello ");
    streams.write(at(200), conn, Side::Client, b"world");
    streams.write(at(210), conn, Side::Client, b"!");
    let data = |bytes: &[u8]| StreamWhat::Data(bytes.to_vec());
    let expected = [(250, SERVER, data(b"hello world")), (260, SERVER, data(b"!"))];
    assert_eq!(heard(&mut streams, at(1000)), expected);
}

#[test]
fn segments_are_as_asked() {
    for (segment, most) in [(Segment::Byte, 1), (Segment::Random(7), 7), (Segment::Whole, 100)] {
        let (mut streams, conn) = open(StreamSpec { segment, ..spec() });
        streams.write(at(200), conn, Side::Server, &[3; 100]);
        let lengths: Vec<_> = heard(&mut streams, at(1000))
            .into_iter()
            .map(|(.., what)| if let StreamWhat::Data(bytes) = what { bytes.len() } else { panic!("{what:?}") })
            .collect();
        assert_eq!((lengths.iter().sum::<usize>(), lengths.iter().max()), (100, Some(&most)), "{segment:?}");
    }
}

#[test]
fn a_full_window_holds_the_writer_back() {
    let (mut streams, conn) = open(StreamSpec { window: 10, ..spec() });
    assert_eq!(streams.write(at(200), conn, Side::Client, &[1; 8]), 8);
    assert_eq!(streams.write(at(210), conn, Side::Client, &[1; 8]), 2);
    assert_eq!((streams.room(conn, Side::Client), streams.room(conn, Side::Server)), (0, 10));
    let data = |len| StreamWhat::Data(vec![1; len]);
    let expected = [(250, SERVER, data(8)), (260, SERVER, data(2)), (300, CLIENT, StreamWhat::Writable)];
    assert_eq!(heard(&mut streams, at(305)), expected);
    assert_eq!(streams.room(conn, Side::Client), 8);
    assert_eq!(heard(&mut streams, at(1000)), [], "writable once");
}

#[test]
fn each_side_closes_on_its_own() {
    let (mut streams, conn) = open(spec());
    streams.write(at(200), conn, Side::Client, b"bye");
    streams.close(at(200), conn, Side::Client);
    streams.close(at(200), conn, Side::Client);
    assert_eq!(streams.write(at(200), conn, Side::Client, b"more"), 0);
    let bye = StreamWhat::Data(b"bye".to_vec());
    assert_eq!(heard(&mut streams, at(300)), [(250, SERVER, bye.clone()), (250, SERVER, StreamWhat::Closed)]);
    assert_eq!(streams.write(at(300), conn, Side::Server, b"bye"), 3, "half-closed");
    streams.close(at(300), conn, Side::Server);
    assert_eq!(heard(&mut streams, at(400)), [(350, CLIENT, bye), (350, CLIENT, StreamWhat::Closed)]);
    assert!(is_over(&mut streams));
}

#[test]
fn an_abort_resets_the_other_side() {
    for side in [Side::Client, Side::Server] {
        let (mut streams, conn) = open(spec());
        streams.write(at(200), conn, side, b"lost");
        streams.write(at(200), conn, side.other(), b"lost, too");
        streams.abort(at(210), conn, side);
        let other = if side == Side::Client { SERVER } else { CLIENT };
        assert_eq!(heard(&mut streams, at(1000)), [(260, other, StreamWhat::Reset)]);
        assert!(is_over(&mut streams));
    }
}

#[test]
fn an_attempt_can_be_given_up() {
    for millis in [0, 60, 120] {
        let mut streams = listening();
        let conn = connect(&mut streams, spec());
        events(&mut streams, at(millis));
        streams.close(at(millis), conn, Side::Client);
        let rest = heard(&mut streams, at(100_000));
        let opened = rest.iter().filter(|(.., what)| matches!(what, StreamWhat::Opened { .. })).count();
        // Opened at the client before: then close is a close, which the server hears behind its own opening.
        assert_eq!(opened, usize::from(millis == 120), "{rest:?}");
    }
}

#[test]
fn half_open_is_noticed_by_writing_only() {
    let (mut streams, conn) = open(spec());
    streams.write(at(200), conn, Side::Server, b"last words");
    streams.drop_host(SERVER);
    assert_eq!(heard(&mut streams, at(1000)), [(250, CLIENT, StreamWhat::Data(b"last words".to_vec()))]);
    assert_eq!(heard(&mut streams, at(3_600_000)), []);
    assert_eq!(streams.write(at(3_600_000), conn, Side::Client, b"anybody?"), 8);
    assert_eq!(heard(&mut streams, at(4_000_000)), [(3_660_000, CLIENT, StreamWhat::TimedOut)]);
    assert!(is_over(&mut streams));
}

/// The patience begins anew with each answer, and does not end with it.
#[test]
fn a_host_that_vanishes_halfway_is_noticed() {
    let (mut streams, conn) = open(spec());
    streams.write(at(200), conn, Side::Client, b"heard");
    streams.write(at(240), conn, Side::Client, b"not heard");
    assert_eq!(heard(&mut streams, at(260)).len(), 1);
    streams.drop_host(SERVER);
    assert_eq!(heard(&mut streams, at(90_000)), [(60_300, CLIENT, StreamWhat::TimedOut)]);
}

#[test]
fn a_host_that_is_back_resets_what_it_does_not_know() {
    for close in [false, true] {
        let (mut streams, conn) = open(spec());
        streams.drop_host(SERVER);
        streams.listen(SERVER, PORT);
        if close {
            streams.close(at(200), conn, Side::Client);
        } else {
            streams.write(at(200), conn, Side::Client, b"still there?");
        }
        assert_eq!(heard(&mut streams, at(90_000)), [(300, CLIENT, StreamWhat::Reset)]);
        assert!(is_over(&mut streams));
    }
}

#[test]
fn a_stall_holds_all_back() {
    let mut streams = listening();
    let conn = connect(&mut streams, spec());
    streams.stall(conn, at(500));
    assert_eq!(heard(&mut streams, at(610)).iter().map(|(at, ..)| *at).collect::<Vec<_>>(), [550, 600]);
    streams.write(at(620), conn, Side::Client, b"a");
    streams.stall(conn, at(1000));
    streams.stall(conn, at(700));
    streams.write(at(950), conn, Side::Client, b"b");
    assert_eq!(heard(&mut streams, at(2000)), [(1000, SERVER, StreamWhat::Data(b"ab".to_vec()))]);
}

#[test]
fn a_long_stall_is_a_timeout_for_the_writer() {
    let (mut streams, conn) = open(spec());
    streams.write(at(200), conn, Side::Client, b"never heard");
    streams.stall(conn, at(100_000));
    assert_eq!(heard(&mut streams, at(200_000)), [(60_200, CLIENT, StreamWhat::TimedOut)]);
    streams.write(at(200_000), conn, Side::Server, b"nor this");
    assert_eq!(heard(&mut streams, at(300_000)), [(200_100, SERVER, StreamWhat::Reset)]);
    assert!(is_over(&mut streams));
}

#[test]
fn slow_progress_is_no_timeout() {
    let stalls = StreamSpec { stall: MILLION, stall_by: Duration::from_secs(30), segment: Segment::Byte, ..spec() };
    let (mut streams, conn) = open(stalls);
    streams.write(at(200), conn, Side::Client, &[0; 100]);
    let heard = heard(&mut streams, Instant::FAR);
    assert_eq!(heard.len(), 100, "{:?}", heard.last());
    assert!(heard.last().is_some_and(|(at, ..)| *at > 600_000));
}

#[test]
fn a_host_can_talk_to_itself() {
    let mut streams = listening();
    let conn = streams.connect(at(0), SERVER, (SERVER, PORT), spec());
    let sides: Vec<_> = events(&mut streams, at(1000)).into_iter().map(|event| event.side).collect();
    assert_eq!(sides, [Side::Client, Side::Server]);
    streams.write(at(1000), conn, Side::Server, b"echo");
    assert!(events(&mut streams, at(2000)).iter().all(|event| event.side == Side::Client));
}

/// What both sides do, one thing after the other.
#[derive(Clone, Debug)]
enum Deed {
    Write(Side, u16),
    Stall(u8),
    Wait(u8),
}

impl Arbitrary for Deed {
    fn arbitrary(g: &mut Gen) -> Self {
        let side = if bool::arbitrary(g) { Side::Client } else { Side::Server };
        match u8::arbitrary(g) % 6 {
            0 => Self::Stall(u8::arbitrary(g)),
            1 | 2 => Self::Wait(u8::arbitrary(g)),
            _ => Self::Write(side, u16::arbitrary(g) % 500),
        }
    }
}

/// A run of deeds: what was written and heard, by side.
struct Run {
    streams: Streams,
    conn: ConnId,
    window: u32,
    now: Instant,
    written: [Vec<u8>; 2],
    arrived: [Vec<u8>; 2],
    other: Vec<(Side, StreamWhat)>,
    log: Vec<StreamEvent>,
}

impl Run {
    fn new(segment: u8, window: u16, stall: u32) -> Self {
        let segment = match segment % 3 {
            0 => Segment::Whole,
            1 => Segment::Byte,
            _ => Segment::Random(u32::from(segment)),
        };
        let (window, stall_by) = (u32::from(window) + 1, Duration::from_millis(300));
        let (streams, conn) = open(StreamSpec { segment, window, stall: stall % MILLION, stall_by, ..spec() });
        let (written, arrived) = Default::default();
        Self { streams, conn, window, now: at(150), written, arrived, other: Vec::new(), log: Vec::new() }
    }

    fn hear(&mut self, until: Instant) {
        self.now = until;
        while let Some(event) = self.streams.poll(until) {
            self.log.push(event.clone());
            match event.what {
                StreamWhat::Data(bytes) => self.arrived[event.side as usize].extend(bytes),
                StreamWhat::Writable => {}
                what @ (StreamWhat::Opened { .. }
                | StreamWhat::Refused
                | StreamWhat::TimedOut
                | StreamWhat::Closed
                | StreamWhat::Reset) => self.other.push((event.side, what)),
            }
        }
    }

    /// Does one thing; false when the window was exceeded.
    fn act(&mut self, deed: &Deed) -> bool {
        match *deed {
            Deed::Write(side, len) => {
                let start = self.written[side as usize].len();
                let bytes: Vec<_> = (start..start + usize::from(len)).map(|i| (i * 7 % 251) as u8).collect();
                let accepted = self.streams.write(self.now, self.conn, side, &bytes);
                self.written[side as usize].extend(&bytes[..accepted]);
            }
            Deed::Stall(millis) => {
                self.streams.stall(self.conn, self.now + Duration::from_millis(u64::from(millis) * 20));
            }
            Deed::Wait(millis) => self.hear(self.now + Duration::from_millis(millis.into())),
        }
        [0, 1].iter().all(|side| self.written[*side].len() - self.arrived[1 - side].len() <= self.window as usize)
    }

    fn act_all(&mut self, deeds: &[Deed]) {
        deeds.iter().for_each(|deed| assert!(self.act(deed)));
    }

    fn end(&mut self) -> bool {
        self.streams.close(self.now, self.conn, Side::Client);
        self.streams.close(self.now, self.conn, Side::Server);
        self.hear(Instant::FAR);
        is_over(&mut self.streams)
    }
}

quickcheck! {
    fn what_is_written_arrives_in_order(deeds: Vec<Deed>, segment: u8, window: u16, stall: u32) -> bool {
        let mut run = Run::new(segment, window, stall);
        let bounded = deeds.iter().all(|deed| run.act(deed));
        let over = run.end();
        run.other.sort_by_key(|(side, _)| *side);
        let closed = run.other == [(Side::Client, StreamWhat::Closed), (Side::Server, StreamWhat::Closed)];
        let [client, server] = &run.arrived;
        bounded && over && closed && [server, client] == [&run.written[0], &run.written[1]]
    }

    fn after_an_abort_nothing_arrives(deeds: Vec<Deed>, after: Vec<Deed>, segment: u8, client: bool) -> bool {
        let (mut run, side) = (Run::new(segment, 999, 0), if client { Side::Client } else { Side::Server });
        run.act_all(&deeds);
        let arrived = run.arrived.clone();
        run.streams.abort(run.now, run.conn, side);
        run.act_all(&after);
        run.hear(Instant::FAR);
        run.arrived == arrived && run.other == [(side.other(), StreamWhat::Reset)] && is_over(&mut run.streams)
    }

    fn the_same_seed_gives_the_same_events(deeds: Vec<Deed>, segment: u8, stall: u32) -> bool {
        let log = || {
            let mut run = Run::new(segment, 999, stall);
            run.act_all(&deeds);
            run.end();
            run.log
        };
        log() == log()
    }
}

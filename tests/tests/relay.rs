//! Our TCP relay on real sockets: floods, those who do not read or do not finish, and the end of the node.

use bluering::core::crypto::PublicKey;
use bluering::core::relay::server::{CloseReason, RelayLimits};
use bluering::core::wire::relay::RelayPacket;
use bluering::core::{DropReason, Limits};
use bluering::{Builder, Listen, RelayReport, Tox};
use bluering_tests::Outcome;
use bluering_tests::relay::RelayClient;
use chacha20::ChaCha20Rng;
use rand_core::SeedableRng;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const LIMITS: RelayLimits = RelayLimits { clients: 64, pending: 32, per_address: 200, pages: 128, blocks: 256 };

/// A node with a relay on two ports.
struct Relay {
    tox: Tox,
    at: [SocketAddr; 2],
    key: PublicKey,
    rng: ChaCha20Rng,
}

impl Relay {
    fn start() -> Self {
        let builder = Builder::new().listen(Listen::At(LOOPBACK)).limits(Limits::MICRO).relay_limits(LIMITS);
        let (tox, _) = builder.relay(LOOPBACK).relay(LOOPBACK).start().expect("loopback");
        let [a, b] = tox.relay_at() else { panic!("two ports") };
        let (at, key) = ([SocketAddr::from(*a), SocketAddr::from(*b)], tox.dht_key());
        Self { tox, at, key, rng: ChaCha20Rng::from_seed([3; 32]) }
    }

    fn join(&mut self) -> Outcome<RelayClient> {
        RelayClient::connect(self.at[0], &self.key, &mut self.rng)
    }

    /// Waits until the report says so.
    fn until(&self, wanted: impl Fn(&RelayReport) -> bool) -> RelayReport {
        let start = Instant::now();
        loop {
            let report = self.tox.relay_report().expect("it is a relay");
            if wanted(&report) {
                return report;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{report:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn two_clients_on_two_ports_meet() -> Outcome {
    let mut relay = Relay::start();
    let mut a = relay.join()?;
    let mut b = RelayClient::connect(relay.at[1], &relay.key, &mut relay.rng)?;
    let [to_b, to_a] = a.meet(&mut b)?;
    for len in [0, 1, 100, 1400, 2031] {
        let data = vec![7; len];
        a.send(&RelayPacket::Data { id: to_b, data: &data })?;
        b.expect(&RelayPacket::Data { id: to_a, data: &data })?;
    }
    drop(a);
    b.expect(&RelayPacket::DisconnectNotification(to_a))?;
    let report = relay.until(|report| report.tables[0].used == 1);
    assert_eq!((report.stats.relayed, report.stats.closed(CloseReason::Gone)), (5, 1));
    Ok(())
}

/// What is sent faster than it is read is dropped; what arrives is whole and in order, and others do not feel it.
#[test]
fn a_flood_to_one_who_does_not_read() -> Outcome {
    let mut relay = Relay::start();
    let (mut flooder, mut victim, mut a, mut b) = (relay.join()?, relay.join()?, relay.join()?, relay.join()?);
    let [to_victim, from_flooder] = flooder.meet(&mut victim)?;
    let [to_b, to_a] = a.meet(&mut b)?;
    let flood = thread::spawn(move || -> Outcome<RelayClient> {
        let mut data = [0; 1400];
        for n in 0..20_000_u32 {
            data[..4].copy_from_slice(&n.to_be_bytes());
            flooder.send(&RelayPacket::Data { id: to_victim, data: &data })?;
        }
        Ok(flooder)
    });
    let mut slowest = Duration::ZERO;
    while !flood.is_finished() {
        let start = Instant::now();
        a.send(&RelayPacket::Data { id: to_b, data: b"still quick?" })?;
        b.expect(&RelayPacket::Data { id: to_a, data: b"still quick?" })?;
        slowest = slowest.max(start.elapsed());
    }
    let _flooder = flood.join().expect("no panic")?;
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let report = relay.until(|report| report.stats.dropped(DropReason::NoRoom) > 0);
    assert!(report.tables[3].used <= LIMITS.blocks, "{report:?}");
    // The victim reads at last: numbers only grow, and pings are still answered.
    victim.send(&RelayPacket::Ping(1234))?;
    let (mut last, mut pong) = (None, false);
    while !pong {
        let text = victim.receive()?.expect("open");
        match RelayPacket::parse(&text) {
            Some(RelayPacket::Data { id, data }) => {
                assert!(id == from_flooder && data.len() == 1400);
                let number = u32::from_be_bytes([data[0], data[1], data[2], data[3]]);
                assert!(last.is_none_or(|last| last < number));
                last = Some(number);
            }
            Some(RelayPacket::Pong(id)) => pong = id == 1234,
            other => panic!("{other:?}"),
        }
    }
    Ok(())
}

#[test]
fn a_thousand_half_open_connections() -> Outcome {
    let mut relay = Relay::start();
    let (mut a, mut b) = (relay.join()?, relay.join()?);
    let mut half_open = Vec::new();
    for n in 0..1000 {
        let mut socket = TcpStream::connect(relay.at[n % 2])?;
        // Displaced ones refuse it.
        let _ = socket.write_all(&vec![0; n % 128]);
        half_open.push(socket);
        if n == 500 {
            // In the midst of them: at the other port more are waiting behind it.
            let mut c = relay.join()?;
            a.meet(&mut c)?;
        }
    }
    let mut c = relay.join()?;
    a.meet(&mut b)?;
    a.meet(&mut c)?;
    let report = relay.until(|report| report.stats.opened >= 1004);
    assert!(report.tables[1].used <= LIMITS.pending && report.tables[0].used == 3, "{report:?}");
    // The last ones are closed when their time is over.
    let mut last = half_open.pop().expect("a thousand");
    last.set_read_timeout(Some(Duration::from_secs(15)))?;
    assert_eq!(last.read(&mut [0; 16])?, 0);
    relay.until(|report| report.tables[1].used == 0 && report.tables[0].used == 3);
    Ok(())
}

#[test]
fn bytes_one_by_one_are_as_good() -> Outcome {
    let mut relay = Relay::start();
    let (mut a, mut b) = (relay.join()?, relay.join()?);
    let [to_b, to_a] = a.meet(&mut b)?;
    let proxy = TcpListener::bind(LOOPBACK)?;
    let (at, relay_at) = (proxy.local_addr()?, relay.at[0]);
    let slicer = thread::spawn(move || -> Outcome {
        let (mut near, _) = proxy.accept()?;
        let mut far = TcpStream::connect(relay_at)?;
        far.set_nodelay(true)?;
        let (mut back, mut out) = (far.try_clone()?, near.try_clone()?);
        let returning = thread::spawn(move || std::io::copy(&mut back, &mut out));
        let mut byte = [0];
        while near.read(&mut byte)? > 0 {
            far.write_all(&byte)?;
        }
        far.shutdown(std::net::Shutdown::Both)?;
        let _ = returning.join();
        Ok(())
    });
    let mut sliced = RelayClient::connect(at, &relay.key, &mut relay.rng)?;
    let [to_a_sliced, _] = sliced.meet(&mut a)?;
    for n in 0..20 {
        sliced.send(&RelayPacket::Data { id: to_a_sliced, data: &[n; 300] })?;
    }
    let (key, last) = (sliced.key, [19; 300]);
    sliced.send(&RelayPacket::OobSend { to: b.key, data: &last })?;
    b.expect(&RelayPacket::OobRecv { from: key, data: &last })?;
    b.send(&RelayPacket::Data { id: to_a, data: b"x" })?;
    a.expect(&RelayPacket::Data { id: to_b, data: b"x" })?;
    drop(sliced);
    slicer.join().expect("no panic")
}

#[test]
fn the_relay_ends_with_its_node() -> Outcome {
    let mut relay = Relay::start();
    let mut a = relay.join()?;
    shut_down(&relay.tox);
    assert!(a.is_closed()?);
    assert!(TcpStream::connect(relay.at[0]).is_err());
    Ok(())
}

fn shut_down(tox: &Tox) {
    let shutdown = std::pin::pin!(tox.shutdown());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let (start, mut shutdown) = (Instant::now(), shutdown);
    while shutdown.as_mut().poll(&mut context).is_pending() {
        assert!(start.elapsed() < Duration::from_secs(10));
        thread::sleep(Duration::from_millis(5));
    }
}

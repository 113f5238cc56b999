//! The real process `bluering node` as a relay among those who mean ill: two innocents speak through it all the while,
//! and must not notice; and nothing that an attacker did stays behind.

#![cfg(feature = "interop")]

use bluering::core::crypto::{PublicKey, SecretKey};
use bluering::core::wire::relay::{OOB_LEN_MAX, RelayPacket};
use bluering_tests::Kind::Ours;
use bluering_tests::relay::RelayClient;
use bluering_tests::{Failure, Net, Node, Outcome, ensure, in_path, measure};
use chacha20::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long an innocent may wait for its peer on a machine that is busy with attackers too.
const DELAY_MAX: Duration = Duration::from_secs(2);
/// What an attack may leave behind in memory: buffers that once were in use.
const GROWTH_MAX: u64 = 24 << 20;
/// Handshakes have ten seconds.
const HANDSHAKE_TIME: Duration = Duration::from_secs(13);

/// A relay process, seen from inside of its network.
#[derive(Clone, Copy)]
struct Relay {
    pid: u32,
    at: SocketAddr,
    key: PublicKey,
}

impl Relay {
    fn join(&self, rng: &mut ChaCha20Rng) -> Outcome<RelayClient> {
        RelayClient::connect(self.at, &self.key, rng)
    }

    fn connect(&self) -> Outcome<TcpStream> {
        let socket = TcpStream::connect(self.at)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(HANDSHAKE_TIME))?;
        socket.set_write_timeout(Some(HANDSHAKE_TIME))?;
        Ok(socket)
    }

    /// Files that the process has open.
    fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid)).map_or(0, Iterator::count)
    }

    /// Waits until so many files are open at most.
    fn until_files(&self, wanted: usize) -> Outcome {
        let start = Instant::now();
        while self.files() > wanted {
            ensure(start.elapsed() < Duration::from_secs(60), || format!("{} files, not {wanted}", self.files()))?;
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// Two clients that send each other something, again and again.
struct Innocents {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Outcome<(u32, Duration)>>,
}

impl Innocents {
    fn start(relay: Relay, rng: &mut ChaCha20Rng) -> Outcome<Self> {
        let (mut a, mut b) = (relay.join(rng)?, relay.join(rng)?);
        let [to_b, to_a] = a.meet(&mut b)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let (mut rounds, mut slowest) = (0, Duration::ZERO);
            while !stopped.load(Ordering::Relaxed) {
                let start = Instant::now();
                a.send(&RelayPacket::Data { id: to_b, data: b"still there?" })?;
                b.expect(&RelayPacket::Data { id: to_a, data: b"still there?" })?;
                b.send(&RelayPacket::Data { id: to_a, data: b"yes" })?;
                a.expect(&RelayPacket::Data { id: to_b, data: b"yes" })?;
                (rounds, slowest) = (rounds + 1, slowest.max(start.elapsed()));
                thread::sleep(Duration::from_millis(5));
            }
            Ok((rounds, slowest))
        });
        Ok(Self { stop, thread })
    }

    fn finish(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.join().map_err(|_| Failure::new("an innocent panicked"))?;
        let (rounds, slowest) = ended.map_err(|why| Failure(format!("an innocent: {why}")))?;
        ensure(rounds > 5 && slowest < DELAY_MAX, || format!("{rounds} rounds, the slowest took {slowest:?}"))
    }
}

/// Runs an attack among innocents, and looks at the process afterwards.
fn attack(attack: impl FnOnce(Relay, &mut ChaCha20Rng) -> Outcome + Send + 'static) -> Outcome {
    let net = Net::new()?;
    let node = Node::start_relay(&net, Ours)?;
    let (at, key) = node.relay().ok_or_else(|| Failure::new("it has a relay"))?;
    let relay = Relay { pid: node.pid(), at, key };
    net.within(move || {
        let mut rng = ChaCha20Rng::from_seed([11; 32]);
        let innocents = Innocents::start(relay, &mut rng)?;
        let (files, memory) = (relay.files(), measure::resident_bytes(relay.pid));
        attack(relay, &mut rng)?;
        relay.until_files(files)?;
        innocents.finish()?;
        let after = measure::resident_bytes(relay.pid);
        ensure(after < memory + GROWTH_MAX, || format!("{memory} bytes before, {after} after"))?;
        // Newcomers are welcome.
        let (mut a, mut b) = (relay.join(&mut rng)?, relay.join(&mut rng)?);
        a.meet(&mut b).map(drop)
    })
}

/// Whether the relay closes, having said nothing, within the time of a handshake.
fn closes_in_silence(mut socket: TcpStream) -> Outcome {
    match socket.read(&mut [0; 512]) {
        Ok(0) => Ok(()),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        Ok(len) => Err(Failure(format!("it answers {len} bytes"))),
        Err(error) => Err(Failure(format!("it stays open: {error}"))),
    }
}

#[test]
fn those_who_speak_something_else() -> Outcome {
    attack(|relay, rng| {
        let tls = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 506]].concat();
        let mut noise = vec![0; 100_000];
        rng.fill_bytes(&mut noise);
        let sayings: [&[u8]; 6] = [
            b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n",
            b"CONNECT relay.test:443 HTTP/1.1\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            &[5, 1, 0],
            &tls,
            &noise,
        ];
        // Who is done sooner than a handshake is told at the end of its time, so they are asked together.
        let mut open = Vec::new();
        for saying in sayings {
            let mut socket = relay.connect()?;
            // It may have closed by then.
            let _ = socket.write_all(saying);
            open.push(socket);
        }
        open.into_iter().try_for_each(closes_in_silence)
    })
}

#[test]
fn slow_ones_of_every_speed() -> Outcome {
    attack(|relay, rng| {
        // 300 that say a byte now and then, some of them a true handshake but for its end.
        let mut slow: Vec<TcpStream> = (0..300).map(|_| relay.connect()).collect::<Outcome<_>>()?;
        let start = Instant::now();
        for round in 0..40 {
            for (n, socket) in slow.iter_mut().enumerate() {
                if round % (n % 7 + 1) == 0 {
                    // Who is closed already is not heard.
                    let _ = socket.write_all(&[rng.next_u32() as u8]);
                }
            }
            thread::sleep(Duration::from_millis(100));
        }
        slow.into_iter().try_for_each(closes_in_silence)?;
        ensure(start.elapsed() < Duration::from_secs(30), || format!("it took {:?}", start.elapsed()))
    })
}

#[test]
fn those_who_come_and_go() -> Outcome {
    attack(|relay, rng| {
        let secret = SecretKey::generate(rng);
        for round in 0..1500 {
            match round % 5 {
                // With a good handshake, as the same client again and again: the newest counts.
                0 => drop(RelayClient::connect_as(&secret, relay.at, &relay.key, rng)?),
                // And gone with a reset, by bytes that are never read.
                1 => {
                    let mut client = relay.join(rng)?;
                    (0..20).try_for_each(|n| client.send(&RelayPacket::Ping(n + 1)))?;
                }
                2 => relay.connect()?.write_all(&[7; 127])?,
                3 => relay.connect()?.shutdown(Shutdown::Write)?,
                _ => drop(relay.connect()?),
            }
        }
        Ok(())
    })
}

#[test]
fn those_who_ask_for_everybody() -> Outcome {
    attack(|relay, rng| {
        let mut greedy: Vec<RelayClient> = (0..20).map(|_| relay.join(rng)).collect::<Outcome<_>>()?;
        for client in &mut greedy {
            let mut ids = std::collections::BTreeSet::new();
            for n in 0..300 {
                let peer = SecretKey::generate(rng).public_key();
                client.send(&RelayPacket::RoutingRequest(peer))?;
                let id = client.route_to(&peer)?;
                let fits = if n < 240 { id >= 16 && ids.insert(id) } else { id < 16 };
                ensure(fits, || format!("request {n} gets {id}"))?;
            }
        }
        Ok(())
    })
}

#[test]
fn those_who_never_listen() -> Outcome {
    attack(|relay, rng| {
        // Each asks for answers as fast as it can, and reads none, until the relay takes no more or has closed.
        let own = SecretKey::generate(rng).public_key();
        for n in 0..6_u8 {
            let mut deaf = relay.join(rng)?;
            deaf.socket().set_write_timeout(Some(Duration::from_millis(300)))?;
            let (start, mut sent) = (Instant::now(), 0_u64);
            let say = |client: &mut RelayClient, sent: u64| match n % 3 {
                0 => client.send(&RelayPacket::Ping(sent + 1)),
                1 => client.send(&RelayPacket::RoutingRequest(own)),
                _ => client.send(&RelayPacket::RoutingRequest(PublicKey([sent as u8; 32]))),
            };
            while start.elapsed() < Duration::from_secs(3) && say(&mut deaf, sent).is_ok() {
                sent += 1;
            }
            ensure(sent > 100, || format!("only {sent} were taken"))?;
        }
        Ok(())
    })
}

#[test]
fn those_who_flood_a_stranger() -> Outcome {
    attack(|relay, rng| {
        let victim = relay.join(rng)?;
        let mut floods = Vec::new();
        for seed in 0..4 {
            let (mut flooder, to) = (relay.join(rng)?, victim.key);
            floods.push(thread::spawn(move || {
                let data = [seed; OOB_LEN_MAX];
                (0..10_000).try_for_each(|_| flooder.send(&RelayPacket::OobSend { to, data: &data }))
            }));
        }
        floods.into_iter().try_for_each(|flood| flood.join().map_err(|_| Failure::new("it panicked"))?)
    })
}

#[test]
fn more_connections_than_files() -> Outcome {
    attack(|relay, rng| {
        // Numbers are limited, and there are gaps in those that are in use.
        let numbers = std::fs::read_dir(format!("/proc/{}/fd", relay.pid))?.flatten();
        let highest = numbers.filter_map(|file| file.file_name().to_str()?.parse::<usize>().ok()).max().unwrap_or(0);
        let files = highest + 20;
        let limit = format!("--nofile={files}");
        let limited = Command::new(in_path("prlimit")?).args(["--pid", &relay.pid.to_string(), &limit]).status()?;
        ensure(limited.success(), || "prlimit fails".into())?;
        // Those beyond the limit wait in the system's queue; when some have gone, a newcomer gets in.
        let crowd: Vec<TcpStream> = (0..100).map(|_| relay.connect()).collect::<Outcome<_>>()?;
        thread::sleep(Duration::from_secs(1));
        ensure(relay.files() <= files, || format!("{} files, not {files} at most", relay.files()))?;
        drop(crowd);
        let mut newcomer = relay.join(rng)?;
        ensure(!newcomer.is_closed()?, || "a newcomer is closed".into())
    })
}

//! Load for a node: packets that are built beforehand, sent as fast as they are answered.
//!
//! Sending and counting costs little beside opening and sealing a box, so one core of load keeps another one busy. It
//! naps while the node has enough to do: two "cores" can be threads of one, and who spins on one slows the other down.

use crate::{Outcome, ensure};
use bluering_core::Endpoint;
use bluering_core::crypto::{MAC_LEN, NONCE_LEN, Nonce, PUBLIC_KEY_LEN, PublicKey, SecretKey, SharedKey, Suite};
use bluering_core::wire::onion::path::{LAYER_ADDR_AT, LAYER_BOX_AT, RETURN_1, RETURN_3};
use bluering_core::wire::onion::{ANNOUNCE_REQUEST_LEN, AnnounceRequest, ONION_ADDR_LEN, emit_addr};
use bluering_core::wire::{Writer, kind};
use core::cell::Cell;
use core::time::Duration;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg, setsockopt, sockopt};
use rand_core::CryptoRng;
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Instant;

/// Requests that wait for an answer, at most: less than a socket's buffer holds.
const WINDOW: usize = 512;
/// Sockets, so that a node that shards by address and port has something to shard.
const SOCKETS: usize = 16;
/// Datagrams in one system call.
const AT_ONCE: usize = 32;
/// What has no answer for so long was lost, where every millisecond counts.
const PATIENCE_MS: u16 = 60;
/// The same where nothing hurries, on a busy machine.
const LONG_PATIENCE_MS: u16 = 5000;
/// While so many wait, the node does not run out of work during a nap.
const ENOUGH: usize = WINDOW / 2;
const NAP: Duration = Duration::from_micros(300);
/// Between two looks at the clock.
const PAUSE: Duration = Duration::from_millis(1);
/// What the last relay of a path hands to the next hop: an announce request in its last layer.
const HOP_REST: usize = 180;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// 0x81 of 331 bytes: to be opened and sent on as 0x82.
    Hop,
    /// 0x83 of 354 bytes: a search, to be answered.
    Announce,
}

/// Somebody who asks.
pub struct Asker {
    public: PublicKey,
    shared: SharedKey,
}

impl Asker {
    /// So many, each with a key of its own.
    pub fn crowd(count: usize, node: &PublicKey, suite: &impl Suite, rng: &mut impl CryptoRng) -> Vec<Self> {
        let new = |_| {
            let secret = SecretKey::generate(rng);
            let shared = suite.agree(&secret, node).unwrap_or(SharedKey::ZERO);
            Self { public: suite.public_key(&secret), shared }
        };
        (0..count).map(new).collect()
    }
}

/// Sockets, and what goes out of them.
pub struct Load {
    sockets: Vec<UdpSocket>,
    node: SockaddrIn,
    /// Which packet is next: over the end of a run, so that none comes again sooner than all others.
    next: Cell<usize>,
}

impl Load {
    /// Sockets at this address, towards a node.
    ///
    /// # Errors
    /// When there are no ports.
    pub fn new(from: Ipv4Addr, node: SocketAddrV4) -> Outcome<Self> {
        let sockets: Vec<UdpSocket> = (0..SOCKETS).map(|_| UdpSocket::bind((from, 0))).collect::<Result<_, _>>()?;
        for socket in &sockets {
            socket.set_nonblocking(true)?;
            // As much as the system allows.
            let _ = setsockopt(socket, sockopt::RcvBuf, &(4 << 20));
        }
        Ok(Self { sockets, node: node.into(), next: Cell::new(0) })
    }

    /// One packet of each asker, ready to be sent.
    ///
    /// # Errors
    /// When a socket has no address.
    pub fn packets(
        &self,
        ask: Ask,
        askers: &[Asker],
        suite: &impl Suite,
        rng: &mut impl CryptoRng,
    ) -> Outcome<Vec<Vec<u8>>> {
        let next = Endpoint::from(self.sockets[0].local_addr()?);
        let packet = |asker: &Asker| match ask {
            Ask::Hop => hop(asker, next, suite, rng),
            Ask::Announce => announce(asker, suite, rng),
        };
        Ok(askers.iter().map(packet).collect())
    }

    /// Sends packets, over and over, for so long; how many were answered.
    ///
    /// # Errors
    /// When nothing is answered.
    pub fn run(&self, packets: &[Vec<u8>], span: Duration) -> Outcome<u64> {
        let (start, mut answered, mut waiting) = (Instant::now(), 0, 0);
        let mut buffers = vec![[0; 2048]; AT_ONCE];
        while start.elapsed() < span {
            for socket in &self.sockets {
                let next = self.next.get() % packets.len();
                let count = AT_ONCE.min(WINDOW - waiting).min(packets.len() - next);
                waiting += self.send(socket, &packets[next..next + count])?;
                self.next.set(next + count);
            }
            let more = self.receive(&mut buffers)?;
            answered += more;
            waiting = waiting.saturating_sub(more as usize);
            if more == 0 && waiting == WINDOW && !self.wait(PATIENCE_MS)? {
                waiting = 0;
            }
            if more == 0 && waiting > ENOUGH {
                std::thread::sleep(NAP);
            }
        }
        ensure(answered > 0, || "nothing was answered".into())?;
        Ok(answered)
    }

    /// Sends each packet once, few at a time, from one socket after the other; how many were answered, however slowly.
    ///
    /// # Errors
    /// When a socket fails.
    pub fn each(&self, packets: &[Vec<u8>]) -> Outcome<u64> {
        let (mut buffers, mut answered) = (vec![[0; 2048]; AT_ONCE], 0);
        for (few, socket) in packets.chunks(AT_ONCE).zip(self.sockets.iter().cycle()) {
            let due = answered + self.send(socket, few)? as u64;
            while answered < due && self.wait(LONG_PATIENCE_MS)? {
                answered += self.receive(&mut buffers)?;
            }
        }
        Ok(answered)
    }

    /// Sends so many packets in a second, over and over, for so long; how many were answered.
    ///
    /// # Errors
    /// When a socket fails.
    pub fn pace(&self, packets: &[Vec<u8>], per_second: u32, span: Duration) -> Outcome<u64> {
        let (start, mut sent, mut answered) = (Instant::now(), 0_usize, 0);
        let mut buffers = vec![[0; 2048]; AT_ONCE];
        while start.elapsed() < span {
            let due = (start.elapsed().as_secs_f64() * f64::from(per_second)) as usize;
            for socket in &self.sockets {
                let first = sent % packets.len();
                let count = AT_ONCE.min(due - sent).min(packets.len() - first);
                sent += self.send(socket, &packets[first..first + count])?;
            }
            answered += self.receive(&mut buffers)?;
            std::thread::sleep(PAUSE);
        }
        while self.wait(PATIENCE_MS)? {
            answered += self.receive(&mut buffers)?;
        }
        Ok(answered)
    }

    fn send(&self, socket: &UdpSocket, packets: &[Vec<u8>]) -> Outcome<usize> {
        if packets.is_empty() {
            return Ok(0);
        }
        let mut headers = MultiHeaders::preallocate(packets.len(), None);
        let parts: Vec<_> = packets.iter().map(|packet| [IoSlice::new(packet)]).collect();
        let to = vec![Some(self.node); packets.len()];
        match sendmmsg(socket.as_raw_fd(), &mut headers, &parts, &to, [], MsgFlags::empty()) {
            Ok(sent) => Ok(sent.count()),
            Err(Errno::EAGAIN) => Ok(0),
            Err(why) => Err(std::io::Error::from(why).into()),
        }
    }

    /// Takes some of what has come.
    fn receive(&self, buffers: &mut [[u8; 2048]]) -> Outcome<u64> {
        self.sockets.iter().map(|socket| receive(socket, buffers)).sum()
    }

    /// False when nothing comes for so long.
    fn wait(&self, milliseconds: u16) -> Outcome<bool> {
        let mut fds: Vec<_> =
            self.sockets.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
        Ok(poll(&mut fds, PollTimeout::from(milliseconds)).map_err(std::io::Error::from)? > 0)
    }
}

/// How many datagrams were there.
fn receive(socket: &UdpSocket, buffers: &mut [[u8; 2048]]) -> Outcome<u64> {
    let mut headers = MultiHeaders::<SockaddrIn>::preallocate(buffers.len(), None);
    let mut parts: Vec<_> = buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
    match recvmmsg(socket.as_raw_fd(), &mut headers, parts.iter_mut(), MsgFlags::empty(), None) {
        Ok(received) => Ok(received.count() as u64),
        Err(Errno::EAGAIN) => Ok(0),
        Err(why) => Err(std::io::Error::from(why).into()),
    }
}

fn hop(asker: &Asker, next: Endpoint, suite: &impl Suite, rng: &mut impl CryptoRng) -> Vec<u8> {
    let box_end = LAYER_ADDR_AT + ONION_ADDR_LEN + HOP_REST;
    let mut packet = start(kind::ONION_REQUEST_1, asker, box_end + RETURN_1, rng);
    emit_addr(next, &mut Writer::new(&mut packet[LAYER_ADDR_AT..]));
    seal(asker, suite, &mut packet[..box_end]);
    packet
}

fn announce(asker: &Asker, suite: &impl Suite, rng: &mut impl CryptoRng) -> Vec<u8> {
    let mut packet = start(kind::ANNOUNCE_REQUEST, asker, ANNOUNCE_REQUEST_LEN + RETURN_3, rng);
    let search = PublicKey(core::array::from_fn(|i| packet[1 + i]));
    let request = AnnounceRequest { ping_id: [0; 32], search, data_key: PublicKey::ZERO, sendback: [7; 8] };
    request.emit(&mut Writer::new(&mut packet[LAYER_BOX_AT + MAC_LEN..ANNOUNCE_REQUEST_LEN]));
    seal(asker, suite, &mut packet[..ANNOUNCE_REQUEST_LEN]);
    packet
}

/// `kind | nonce | key | ...`: random where nothing is written over it.
fn start(kind: u8, asker: &Asker, len: usize, rng: &mut impl CryptoRng) -> Vec<u8> {
    let mut packet = vec![0; len];
    rng.fill_bytes(&mut packet);
    packet[0] = kind;
    packet[1 + NONCE_LEN..LAYER_BOX_AT].copy_from_slice(&asker.public.0[..PUBLIC_KEY_LEN]);
    packet
}

fn seal(asker: &Asker, suite: &impl Suite, packet: &mut [u8]) {
    let nonce = Nonce::from_slice(&packet[1..=NONCE_LEN]).unwrap_or(Nonce::ZERO);
    suite.seal(&asker.shared, &nonce, &mut packet[LAYER_BOX_AT..]);
}

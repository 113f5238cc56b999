//! Many clients of one relay, from one thread: those who pour data into it, and those who only are there.

use crate::relay::RelayClient;
use crate::{Failure, Outcome, ensure};
use bluering_core::crypto::{PublicKey, SecretKey, Suite};
use bluering_core::relay::channel::{Channel, Greeting, Received};
use bluering_core::wire::relay::{FRAME_LEN_MAX, FRAME_TEXT, RELAY_HELLO_LEN, RelayPacket};
use core::time::Duration;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rand_core::CryptoRng;
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Instant;

/// Bytes of data in a packet: those of a long message.
pub const DATA_LEN: usize = 1372;
/// Frames that are sealed at once for one sender.
const FRAMES: usize = 16;
/// Clients that shake hands at the same time: c-toxcore takes 256.
const AT_ONCE: usize = 100;
/// Clients of one address.
const PER_ADDRESS: usize = 500;
const PATIENCE: Duration = Duration::from_secs(20);
const POLL_MS: u16 = 100;

/// From one client to another.
pub struct Line {
    from: TcpStream,
    channel: Channel,
    id: u8,
    sealed: Vec<u8>,
    sent: usize,
    to: TcpStream,
    received: u64,
}

impl Line {
    /// Two new clients that have met.
    ///
    /// # Errors
    /// When the relay does not connect them.
    pub fn new(at: SocketAddr, relay: &PublicKey, rng: &mut impl CryptoRng) -> Outcome<Self> {
        let (mut a, mut b) = (RelayClient::connect(at, relay, rng)?, RelayClient::connect(at, relay, rng)?);
        let [id, _] = a.meet(&mut b)?;
        let ((from, channel), (to, _)) = (a.into_parts(), b.into_parts());
        from.set_nonblocking(true)?;
        to.set_nonblocking(true)?;
        Ok(Self { from, channel, id, sealed: Vec::new(), sent: 0, to, received: 0 })
    }

    fn write(&mut self, suite: &impl Suite) -> Outcome {
        if self.sent == self.sealed.len() {
            (self.sealed, self.sent) = (core::mem::take(&mut self.sealed), 0);
            self.sealed.clear();
            let packet = RelayPacket::Data { id: self.id, data: &[7; DATA_LEN] };
            let mut frame = [0; FRAME_LEN_MAX];
            for _ in 0..FRAMES {
                let len = self.channel.seal_packet(suite, &packet, &mut frame);
                self.sealed.extend_from_slice(&frame[..len]);
            }
        }
        self.sent += some(self.from.write(&self.sealed[self.sent..]))?;
        Ok(())
    }
}

/// Pours data through all lines for so long; how many bytes of it arrived.
///
/// # Errors
/// When a connection ends.
pub fn pour(lines: &mut [Line], suite: &impl Suite, span: Duration) -> Outcome<u64> {
    let mut buf = vec![0; 1 << 18];
    lines.iter_mut().for_each(|line| line.received = 0);
    let start = Instant::now();
    while start.elapsed() < span {
        let fds = lines.iter().flat_map(|line| {
            let (from, to) = (line.from.as_fd(), line.to.as_fd());
            [PollFd::new(from, PollFlags::POLLOUT), PollFd::new(to, PollFlags::POLLIN)]
        });
        let mut fds: Vec<_> = fds.collect();
        poll(&mut fds, PollTimeout::from(POLL_MS)).map_err(std::io::Error::from)?;
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        for (line, ready) in lines.iter_mut().zip(ready.as_chunks::<2>().0) {
            if ready[0] {
                line.write(suite)?;
            }
            if ready[1] {
                line.received += some(line.to.read(&mut buf))? as u64;
            }
        }
    }
    let frame = (FRAME_TEXT + 1 + DATA_LEN) as u64;
    Ok(lines.iter().map(|line| line.received / frame * DATA_LEN as u64).sum())
}

/// What a call did that may not block.
fn some(result: std::io::Result<usize>) -> Outcome<usize> {
    match result {
        Ok(0) => Err(Failure::new("the relay has closed a connection")),
        Ok(len) => Ok(len),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// So many clients that have shown who they are, and say nothing more. They come from many addresses of loopback.
///
/// # Errors
/// When the relay does not take them.
pub fn visitors(
    count: usize,
    at: SocketAddr,
    relay: &PublicKey,
    suite: &impl Suite,
    rng: &mut impl CryptoRng,
) -> Outcome<Vec<TcpStream>> {
    let mut visitors = Vec::with_capacity(count);
    while visitors.len() < count {
        let first = visitors.len();
        let mut greeted = Vec::new();
        for n in first..count.min(first + AT_ONCE) {
            let mut socket = connect(n, at).map_err(|why| Failure(format!("client {n}: {why}")))?;
            let secret = SecretKey::generate(rng);
            let key = suite.public_key(&secret);
            let greeting = Greeting::new(suite, rng, (&secret, &key), relay);
            let (greeting, hello) = greeting.ok_or_else(|| Failure::new("a relay's key"))?;
            socket.write_all(&hello)?;
            greeted.push((socket, greeting));
        }
        let mut open = Vec::new();
        for (mut socket, greeting) in greeted {
            let mut hello = [0; RELAY_HELLO_LEN];
            socket.read_exact(&mut hello).map_err(|why| Failure(format!("among clients {first}..: {why}")))?;
            let channel = greeting.finish(suite, &mut hello);
            let mut channel = channel.ok_or_else(|| Failure::new("the relay has another key"))?;
            let mut frame = [0; FRAME_LEN_MAX];
            let len = channel.seal_packet(suite, &RelayPacket::Ping(1), &mut frame);
            socket.write_all(&frame[..len])?;
            open.push((socket, channel, len));
        }
        for (mut socket, mut channel, len) in open {
            let mut frame = vec![0; len];
            socket.read_exact(&mut frame)?;
            let answer = channel.open(suite, &mut frame);
            ensure(matches!(answer, Received::Frame { .. }), || "no pong".into())?;
            visitors.push(socket);
        }
    }
    Ok(visitors)
}

fn connect(n: usize, at: SocketAddr) -> std::io::Result<TcpStream> {
    let [high, low] = u16::try_from(n / PER_ADDRESS + 1).unwrap_or(u16::MAX).to_be_bytes();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 1, high, low), 0)).into())?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.connect(&at.into())?;
    Ok(socket.into())
}

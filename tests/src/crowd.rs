//! Many clients of one relay that pour data into it, from one thread.

use crate::relay::RelayClient;
use crate::{Failure, Outcome};
use bluering_core::crypto::{PublicKey, Suite};
use bluering_core::relay::channel::Channel;
use bluering_core::wire::relay::{FRAME_LEN_MAX, FRAME_TEXT, RelayPacket};
use core::time::Duration;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rand_core::CryptoRng;
use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Instant;

/// Bytes of data in a packet: those of a long message.
pub const DATA_LEN: usize = 1372;
/// Frames that are sealed at once for one sender.
const FRAMES: usize = 16;
/// Of a sender. Loopback delivers what waits in it as one segment, and c-toxcore's relay never reads a part of a
/// packet: a segment as large as its receive buffer with half a packet at its end would shut the window for good.
const SEND_BUFFER: usize = 32 << 10;
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
        SockRef::from(&from).set_send_buffer_size(SEND_BUFFER)?;
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

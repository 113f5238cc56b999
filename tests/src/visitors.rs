//! Very many clients of one relay that only are there: they have shown who they are, answer its pings, and say nothing
//! more.

use crate::{Failure, Outcome, ensure};
use bluering_core::crypto::{PublicKey, SecretKey, Suite};
use bluering_core::relay::channel::{Channel, Greeting, Received};
use bluering_core::wire::relay::{FRAME_LEN_MAX, RELAY_HELLO_LEN, RelayPacket};
use core::time::Duration;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rand_core::CryptoRng;
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Instant;

/// Clients that shake hands at the same time: c-toxcore takes 256.
const AT_ONCE: usize = 100;
/// Clients of one address.
const PER_ADDRESS: usize = 500;
const PATIENCE: Duration = Duration::from_secs(20);
/// A relay waits ten seconds for the answer to a ping.
const ANSWER_EVERY: Duration = Duration::from_secs(4);

/// How many files this process may have open: as many as the system lets it.
#[must_use]
pub fn open_files() -> usize {
    let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 0 };
    // Whoever may not have more keeps what there is.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    let allowed = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    usize::try_from(allowed).unwrap_or(usize::MAX)
}

/// The clients. They come from many addresses of loopback.
pub struct Visitors {
    at: SocketAddr,
    relay: PublicKey,
    there: Vec<(TcpStream, Channel)>,
    answered: Instant,
}

impl Visitors {
    /// None yet.
    #[must_use]
    pub fn new(at: SocketAddr, relay: PublicKey) -> Self {
        Self { at, relay, there: Vec::new(), answered: Instant::now() }
    }

    /// Lets more come, until there are so many; all that came before are still there then.
    ///
    /// # Errors
    /// When the relay does not take one, or has sent one away.
    pub fn grow(&mut self, count: usize, suite: &impl Suite, rng: &mut impl CryptoRng) -> Outcome {
        while self.there.len() < count {
            let open = self.shake_hands(count.min(self.there.len() + AT_ONCE), suite, rng)?;
            for (mut socket, mut channel, len) in open {
                let mut frame = vec![0; len];
                socket.read_exact(&mut frame)?;
                let answer = channel.open(suite, &mut frame);
                ensure(matches!(answer, Received::Frame { .. }), || "no pong".into())?;
                socket.set_nonblocking(true)?;
                self.there.push((socket, channel));
            }
            if self.answered.elapsed() > ANSWER_EVERY {
                self.answer(suite)?;
            }
        }
        self.answer(suite)
    }

    /// Those who come next: they have the relay's answer and have sent a ping, whose answer has so many bytes.
    fn shake_hands(
        &self,
        up_to: usize,
        suite: &impl Suite,
        rng: &mut impl CryptoRng,
    ) -> Outcome<Vec<(TcpStream, Channel, usize)>> {
        let first = self.there.len();
        let mut greeted = Vec::new();
        for n in first..up_to {
            let mut socket = connect(n, self.at).map_err(|why| Failure(format!("client {n}: {why}")))?;
            let secret = SecretKey::generate(rng);
            let key = suite.public_key(&secret);
            let greeting = Greeting::new(suite, rng, (&secret, &key), &self.relay);
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
        Ok(open)
    }

    /// Answers what the relay has asked.
    fn answer(&mut self, suite: &impl Suite) -> Outcome {
        for (n, (socket, channel)) in self.there.iter_mut().enumerate() {
            answer(socket, channel, suite).map_err(|why| Failure(format!("client {n}: {why}")))?;
        }
        self.answered = Instant::now();
        Ok(())
    }
}

/// Pings come seldom, and so come whole.
fn answer(socket: &mut TcpStream, channel: &mut Channel, suite: &impl Suite) -> Outcome {
    let mut buf = [0; FRAME_LEN_MAX];
    let len = match socket.read(&mut buf) {
        Ok(0) => return Err(Failure::new("the relay has sent it away")),
        Ok(len) => len,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = &mut buf[..len];
    while !bytes.is_empty() {
        let Received::Frame { used, text } = channel.open(suite, bytes) else {
            return Err(Failure::new("half a ping, or a frame that does not open"));
        };
        if let Some(RelayPacket::Ping(id)) = RelayPacket::parse(text) {
            let mut frame = [0; FRAME_LEN_MAX];
            let len = channel.seal_packet(suite, &RelayPacket::Pong(id), &mut frame);
            socket.write_all(&frame[..len])?;
        }
        bytes = &mut bytes[used..];
    }
    Ok(())
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

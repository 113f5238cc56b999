//! Relays that mean ill, and lines that spoil what a good relay says: what a client must live with.

use crate::{Net, Outcome};
use bluering_core::crypto::{Nacl, PublicKey, SecretKey};
use bluering_core::relay::channel::{self, Channel, Received};
use bluering_core::wire::relay::{CLIENT_HELLO_LEN, FRAME_LEN_MAX, RelayPacket};
use chacha20::ChaCha20Rng;
use core::time::Duration;
use rand_core::{Rng, SeedableRng};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A connection on which nothing happens for so long is forgotten.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// What a relay does to its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misdeed {
    /// Takes connections and says nothing.
    Silent,
    /// Closes at once.
    Closes,
    /// Shakes hands with another key than its own.
    WrongKey,
    /// Says its handshake byte by byte, one a second.
    Drips,
    /// Shakes hands, then sends noise.
    Noise,
    /// Shakes hands, then announces a frame that is too long.
    TooLong,
    /// Shakes hands, then answers nothing, not even pings.
    Deaf,
    /// Has no place for anybody.
    SaysNo,
    /// Says that everybody is there, and sends back whatever it gets, as if from them.
    Echo,
    /// Says things that nobody asked for, in every form, as fast as it can.
    Forges,
    /// Serves for a moment, and closes after each answer.
    Fickle,
}

/// A listener in a network, on threads of its own. It ends when dropped.
pub struct BadRelay {
    at: SocketAddr,
    key: PublicKey,
    visits: Arc<AtomicUsize>,
    listener: TcpListener,
}

impl BadRelay {
    /// Starts one.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(net: &Net, misdeed: Misdeed) -> Outcome<Self> {
        let mut rng = ChaCha20Rng::from_seed([misdeed as u8 + 1; 32]);
        let secret = SecretKey::generate(&mut rng);
        let key = secret.public_key();
        let serve = move |socket, visit: usize| {
            let rng = ChaCha20Rng::seed_from_u64(visit as u64);
            // It ends when the client has had enough.
            let _ = Session { socket, rng, misdeed }.run(&secret);
        };
        Self::listen(net, key, serve)
    }

    /// A line to a relay with this key, which is good. See [`Spoiling`].
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn spoil(net: &Net, spoiling: Spoiling, relay: (SocketAddr, PublicKey)) -> Outcome<Self> {
        Self::listen(net, relay.1, move |near, _| {
            // It ends when one of both does.
            let _ = pass_on(near, relay.0, spoiling);
        })
    }

    fn listen(
        net: &Net,
        key: PublicKey,
        serve: impl Fn(TcpStream, usize) + Clone + Send + Sync + 'static,
    ) -> Outcome<Self> {
        let place = SocketAddr::new(net.address(), net.port());
        let visits = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&visits);
        let listener = net.within(move || {
            let listener = TcpListener::bind(place)?;
            let accepting = listener.try_clone()?;
            // A thread stays in the network of the one that starts it.
            thread::spawn(move || {
                for socket in accepting.incoming().map_while(Result::ok) {
                    let (visit, serve) = (counter.fetch_add(1, Ordering::Relaxed), serve.clone());
                    thread::spawn(move || serve(socket, visit));
                }
            });
            Ok(listener)
        })?;
        Ok(Self { at: place, key, visits, listener })
    }

    /// Where it is, and its key.
    #[must_use]
    pub fn relay(&self) -> (SocketAddr, PublicKey) {
        (self.at, self.key)
    }

    /// What `--bootstrap` takes; at its UDP port is nothing.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}:{}:{}", self.at.ip(), self.at.port(), self.key, self.at.port())
    }

    /// How many connections it has seen.
    #[must_use]
    pub fn visits(&self) -> usize {
        self.visits.load(Ordering::Relaxed)
    }
}

impl Drop for BadRelay {
    fn drop(&mut self) {
        // Whoever accepts is woken by it. It fails only when that has ended already.
        let _ = nix::sys::socket::shutdown(self.listener.as_raw_fd(), nix::sys::socket::Shutdown::Both);
    }
}

/// One client of a bad relay.
struct Session {
    socket: TcpStream,
    rng: ChaCha20Rng,
    misdeed: Misdeed,
}

impl Session {
    fn run(mut self, secret: &SecretKey) -> std::io::Result<()> {
        // Those that a listener gives may be as it is.
        self.socket.set_nonblocking(false)?;
        self.socket.set_nodelay(true)?;
        self.socket.set_read_timeout(Some(IDLE_MAX))?;
        self.socket.set_write_timeout(Some(IDLE_MAX))?;
        match self.misdeed {
            Misdeed::Closes => return Ok(()),
            Misdeed::Silent => return self.swallow(),
            Misdeed::WrongKey => return self.greet(&SecretKey::from_bytes([9; 32])).map(drop),
            Misdeed::Drips
            | Misdeed::Noise
            | Misdeed::TooLong
            | Misdeed::Deaf
            | Misdeed::SaysNo
            | Misdeed::Echo
            | Misdeed::Forges
            | Misdeed::Fickle => {}
        }
        let Some(channel) = self.greet(secret)? else { return Ok(()) };
        match self.misdeed {
            Misdeed::Noise => {
                let mut noise = [0; 5000];
                self.rng.fill_bytes(&mut noise);
                self.socket.write_all(&noise)?;
                self.swallow()
            }
            Misdeed::TooLong => {
                self.socket.write_all(&[255; 4096])?;
                self.swallow()
            }
            Misdeed::Forges => self.forge(channel),
            Misdeed::SaysNo | Misdeed::Echo | Misdeed::Fickle => self.serve(channel),
            Misdeed::Silent | Misdeed::Closes | Misdeed::WrongKey | Misdeed::Drips | Misdeed::Deaf => self.swallow(),
        }
    }

    /// Reads the handshake and answers it with this key. `None` when it was not made for that.
    fn greet(&mut self, secret: &SecretKey) -> std::io::Result<Option<Channel>> {
        let mut hello = [0; CLIENT_HELLO_LEN];
        self.socket.read_exact(&mut hello)?;
        let Some(answered) = channel::answer(&Nacl, &mut self.rng, secret, &mut hello) else {
            let mut noise = [0; 96];
            self.rng.fill_bytes(&mut noise);
            self.socket.write_all(&noise)?;
            return self.swallow().map(|()| None);
        };
        if self.misdeed == Misdeed::Drips {
            self.drip(&answered.hello)?;
        } else {
            self.socket.write_all(&answered.hello)?;
        }
        Ok(Some(answered.channel))
    }

    /// A byte in a second, as long as the other side bears it.
    fn drip(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        for byte in bytes {
            self.socket.write_all(&[*byte])?;
            // Nobody speaks before the handshake is through.
            match self.socket.peek(&mut [0]) {
                Ok(0) => break,
                Ok(_) => {}
                Err(why) if why.kind() == ErrorKind::WouldBlock => {}
                Err(why) => return Err(why),
            }
        }
        self.socket.set_read_timeout(Some(IDLE_MAX))
    }

    fn swallow(&mut self) -> std::io::Result<()> {
        let mut buf = [0; 4096];
        while self.socket.read(&mut buf)? > 0 {}
        Ok(())
    }

    /// Answers in its own way.
    fn serve(&mut self, mut channel: Channel) -> std::io::Result<()> {
        let (mut bytes, mut buf, mut peers) = (Vec::new(), [0; 4096], 0_u8);
        loop {
            let len = self.socket.read(&mut buf)?;
            if len == 0 {
                return Ok(());
            }
            bytes.extend_from_slice(&buf[..len]);
            while let Received::Frame { used, text } = channel.open(&Nacl, &mut bytes) {
                let answers = self.answers(RelayPacket::parse(text), &mut peers);
                for answer in &answers {
                    let mut frame = [0; FRAME_LEN_MAX];
                    let len = channel.seal_packet(&Nacl, answer, &mut frame);
                    self.socket.write_all(&frame[..len])?;
                }
                if self.misdeed == Misdeed::Fickle && !answers.is_empty() {
                    thread::sleep(Duration::from_millis(200));
                    return self.socket.shutdown(Shutdown::Both);
                }
                bytes.drain(..used);
            }
        }
    }

    fn answers<'t>(&self, packet: Option<RelayPacket<'t>>, peers: &mut u8) -> Vec<RelayPacket<'t>> {
        let lies = self.misdeed == Misdeed::Echo;
        match packet {
            Some(RelayPacket::Ping(id)) => vec![RelayPacket::Pong(id)],
            Some(RelayPacket::RoutingRequest(peer)) if lies => {
                let id = 16 + *peers % 240;
                *peers = peers.wrapping_add(1);
                vec![RelayPacket::RoutingResponse { id, peer }, RelayPacket::ConnectionNotification(id)]
            }
            Some(RelayPacket::RoutingRequest(peer)) => vec![RelayPacket::RoutingResponse { id: 0, peer }],
            Some(RelayPacket::Data { id, data }) if lies => vec![RelayPacket::Data { id, data }],
            Some(RelayPacket::OobSend { to, data }) if lies => vec![RelayPacket::OobRecv { from: to, data }],
            Some(RelayPacket::OnionRequest(request)) if lies => vec![RelayPacket::OnionResponse(request)],
            Some(_) | None => vec![],
        }
    }

    fn forge(&mut self, mut channel: Channel) -> std::io::Result<()> {
        loop {
            let mut noise = [0; 1024];
            self.rng.fill_bytes(&mut noise);
            let [id, kind, pad, ..] = noise;
            let (peer, data) = (PublicKey([pad; 32]), &noise[..1 + usize::from(id)]);
            let packet = match kind % 10 {
                0 => RelayPacket::RoutingResponse { id, peer },
                1 => RelayPacket::ConnectionNotification(id),
                2 => RelayPacket::DisconnectNotification(id),
                3 => RelayPacket::Ping(u64::from(id)),
                4 => RelayPacket::Pong(u64::from(id)),
                5 => RelayPacket::OobRecv { from: peer, data },
                6 => RelayPacket::OnionResponse(data),
                7 => RelayPacket::Forwarding(data),
                _ => RelayPacket::Data { id: id.max(16), data },
            };
            let mut frame = [0; FRAME_LEN_MAX];
            let len = channel.seal_packet(&Nacl, &packet, &mut frame);
            self.socket.write_all(&frame[..len])?;
            thread::sleep(Duration::from_micros(500));
        }
    }
}

/// What happens to bytes between a client and a good relay. The client's own are never touched, but for the delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoiling {
    /// Every so manyth byte of the relay is another.
    Tampers(usize),
    /// Every so manyth byte of the relay is missing.
    Drops(usize),
    /// All comes so much later, both ways.
    Delays(Duration),
    /// Nothing of the relay comes any more after so many bytes.
    Stalls(usize),
    /// The connection ends after so many bytes of the relay.
    Cuts(usize),
}

fn pass_on(near: TcpStream, relay: SocketAddr, spoiling: Spoiling) -> std::io::Result<()> {
    near.set_nonblocking(false)?;
    let far = TcpStream::connect(relay)?;
    for socket in [&near, &far] {
        socket.set_nodelay(true)?;
    }
    let (from_client, to_relay) = (near.try_clone()?, far.try_clone()?);
    let delay = match spoiling {
        Spoiling::Delays(delay) => delay,
        Spoiling::Tampers(_) | Spoiling::Drops(_) | Spoiling::Stalls(_) | Spoiling::Cuts(_) => Duration::ZERO,
    };
    let there = thread::spawn(move || copy(from_client, to_relay, Spoiling::Delays(delay)));
    let back = copy(far, near, spoiling);
    // It ended by the same.
    let _ = there.join();
    back
}

fn copy(mut from: TcpStream, mut to: TcpStream, spoiling: Spoiling) -> std::io::Result<()> {
    let (mut buf, mut count) = ([0; 4096], 0);
    let end = loop {
        let len = match from.read(&mut buf) {
            Ok(0) => break Ok(()),
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => break Err(error),
        };
        let is_hit = |every: usize, at: usize| (count + at + 1).is_multiple_of(every);
        let bytes = &mut buf[..len];
        let mut out = Vec::with_capacity(len);
        match spoiling {
            Spoiling::Tampers(every) => {
                out.extend(bytes.iter().enumerate().map(|(at, byte)| byte ^ u8::from(is_hit(every, at))));
            }
            Spoiling::Drops(every) => {
                out.extend(bytes.iter().enumerate().filter(|(at, _)| !is_hit(every, *at)).map(|(_, byte)| *byte));
            }
            Spoiling::Delays(delay) => {
                thread::sleep(delay);
                out.extend_from_slice(bytes);
            }
            Spoiling::Stalls(after) | Spoiling::Cuts(after) => {
                out.extend_from_slice(&bytes[..len.min(after.saturating_sub(count))]);
            }
        }
        count += len;
        if let Err(error) = to.write_all(&out) {
            break Err(error);
        }
        if matches!(spoiling, Spoiling::Cuts(after) if count >= after) {
            break Ok(());
        }
    };
    // They are closed already, or now.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
    end
}

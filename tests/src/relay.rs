//! A client of TCP relays, and nothing more: it speaks frames to any relay, ours or c-toxcore's.

use crate::{Failure, Outcome};
use bluering_core::crypto::{Nacl, PublicKey, SecretKey};
use bluering_core::relay::channel::{Channel, Greeting, Received};
use bluering_core::wire::relay::{FRAME_LEN_MAX, FRAME_TEXT, RELAY_HELLO_LEN, RelayPacket};
use core::time::Duration;
use rand_core::CryptoRng;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// How long any step may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to a relay.
pub struct RelayClient {
    /// Its key.
    pub key: PublicKey,
    socket: TcpStream,
    channel: Channel,
    bytes: Vec<u8>,
    /// Where the bytes begin that are not read yet.
    at: usize,
}

impl RelayClient {
    /// Connects, shakes hands, and shows by a ping who it is.
    ///
    /// # Errors
    /// When the relay is not there, has another key, or is silent.
    pub fn connect(at: SocketAddr, relay: &PublicKey, rng: &mut impl CryptoRng) -> Outcome<Self> {
        let secret = SecretKey::generate(rng);
        Self::connect_as(&secret, at, relay, rng)
    }

    /// The same as somebody.
    ///
    /// # Errors
    /// When the relay is not there, has another key, or is silent.
    pub fn connect_as(
        secret: &SecretKey,
        at: SocketAddr,
        relay: &PublicKey,
        rng: &mut impl CryptoRng,
    ) -> Outcome<Self> {
        Self::over(TcpStream::connect(at)?, secret, relay, rng)
    }

    /// The same over a stream that leads to the relay, through whatever.
    ///
    /// # Errors
    /// When the relay has another key, or is silent.
    pub fn over(
        mut socket: TcpStream,
        secret: &SecretKey,
        relay: &PublicKey,
        rng: &mut impl CryptoRng,
    ) -> Outcome<Self> {
        let key = secret.public_key();
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let greeting = Greeting::new(&Nacl, rng, (secret, &key), relay);
        let (greeting, hello) = greeting.ok_or_else(|| Failure::new("a relay's key"))?;
        socket.write_all(&hello)?;
        let mut answer = [0; RELAY_HELLO_LEN];
        socket.read_exact(&mut answer)?;
        let channel = greeting.finish(&Nacl, &mut answer);
        let channel = channel.ok_or_else(|| Failure::new("the relay has another key"))?;
        let mut client = Self { key, socket, channel, bytes: Vec::new(), at: 0 };
        client.send(&RelayPacket::Ping(77))?;
        client.expect(&RelayPacket::Pong(77))?;
        Ok(client)
    }

    /// Sends a packet.
    ///
    /// # Errors
    /// When the connection has ended or takes nothing.
    pub fn send(&mut self, packet: &RelayPacket<'_>) -> Outcome {
        let mut frame = [0; FRAME_LEN_MAX];
        let len = self.channel.seal_packet(&Nacl, packet, &mut frame);
        Ok(self.socket.write_all(&frame[..len])?)
    }

    /// Sends a packet of any form.
    ///
    /// # Errors
    /// When the connection has ended or takes nothing.
    pub fn send_text(&mut self, text: &[u8]) -> Outcome {
        let mut frame = vec![0; FRAME_TEXT];
        frame.extend_from_slice(text);
        let len = frame.len();
        self.channel.seal(&Nacl, &mut frame, len);
        Ok(self.socket.write_all(&frame)?)
    }

    /// The next packet; `None` when the relay has closed.
    ///
    /// # Errors
    /// When nothing comes, or something that does not open.
    pub fn receive(&mut self) -> Outcome<Option<Vec<u8>>> {
        loop {
            match self.channel.open(&Nacl, &mut self.bytes[self.at..]) {
                Received::Frame { used, text } => {
                    let text = text.to_vec();
                    self.at += used;
                    return Ok(Some(text));
                }
                Received::Broken => return Err(Failure::new("a frame that does not open")),
                Received::Part => {}
            }
            self.bytes.drain(..self.at);
            self.at = 0;
            let mut buf = [0; 65_536];
            match self.socket.read(&mut buf) {
                Ok(0) => return Ok(None),
                Ok(n) => self.bytes.extend_from_slice(&buf[..n]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(Failure(format!("{} bytes of a packet, then: {error}", self.bytes.len()))),
            }
        }
    }

    /// Waits for this packet, and answers pings meanwhile.
    ///
    /// # Errors
    /// When the relay closes or does not send it.
    pub fn expect(&mut self, wanted: &RelayPacket<'_>) -> Outcome {
        loop {
            let text = self.receive()?.ok_or_else(|| Failure(format!("closed while we waited for {wanted:?}")))?;
            match RelayPacket::parse(&text) {
                Some(packet) if packet == *wanted => return Ok(()),
                Some(RelayPacket::Ping(id)) => self.send(&RelayPacket::Pong(id))?,
                _ => {}
            }
        }
    }

    /// Whether the relay closes the connection now: it has not answered what we sent, but for what stood there before.
    ///
    /// # Errors
    /// When neither an answer nor the end comes.
    pub fn is_closed(&mut self) -> Outcome<bool> {
        // A connection that is closed already may refuse it.
        let _ = self.send(&RelayPacket::Ping(99));
        while let Some(text) = self.receive()? {
            if RelayPacket::parse(&text) == Some(RelayPacket::Pong(99)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Both name each other and are told so; the ids by which `self` and `other` know each other.
    ///
    /// # Errors
    /// When the relay does not connect them.
    pub fn meet(&mut self, other: &mut Self) -> Outcome<[u8; 2]> {
        let (a, b) = (self.key, other.key);
        self.send(&RelayPacket::RoutingRequest(b))?;
        let own = self.route_to(&b)?;
        other.send(&RelayPacket::RoutingRequest(a))?;
        let theirs = other.route_to(&a)?;
        self.expect(&RelayPacket::ConnectionNotification(own))?;
        other.expect(&RelayPacket::ConnectionNotification(theirs))?;
        Ok([own, theirs])
    }

    /// The id in the answer to a routing request; below 16 for no.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn route_to(&mut self, wanted: &PublicKey) -> Outcome<u8> {
        loop {
            let text = self.receive()?.ok_or_else(|| Failure::new("closed instead of a routing response"))?;
            if let Some(RelayPacket::RoutingResponse { id, peer }) = RelayPacket::parse(&text)
                && peer == *wanted
            {
                return Ok(id);
            }
        }
    }

    /// The connection, for whoever speaks for himself from now on.
    #[must_use]
    pub fn into_parts(self) -> (TcpStream, Channel) {
        (self.socket, self.channel)
    }

    /// The socket.
    #[must_use]
    pub const fn socket(&self) -> &TcpStream {
        &self.socket
    }
}

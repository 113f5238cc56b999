//! A client of a TCP relay: the handshake, frames in and out, and no will of its own.

use crate::actor::ActorCx;
use crate::crypto::SimSuite;
use crate::net::{ConnId, Side, StreamEvent, StreamWhat};
use bluering_core::Endpoint;
use bluering_core::crypto::{PublicKey, SecretKey, Suite};
use bluering_core::relay::channel::{Channel, Greeting, Received};
use bluering_core::wire::relay::{FRAME_LEN_MAX, FRAME_TEXT, RELAY_HELLO_LEN, RelayPacket};

/// One connection to one relay.
#[derive(Debug)]
pub struct RelayClient {
    suite: SimSuite,
    secret: SecretKey,
    /// Its public key.
    pub key: PublicKey,
    relay: PublicKey,
    conn: Option<ConnId>,
    stage: Stage,
    unread: Vec<u8>,
    unsent: Vec<u8>,
}

#[derive(Debug)]
enum Stage {
    /// Not connected, or not greeted yet.
    Outside,
    Greets(Greeting),
    Open(Channel),
}

/// What a client hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayNews {
    /// The relay has proved who it is.
    Open,
    /// A packet of the relay.
    Packet(Vec<u8>),
    /// The connection is no more, or never was.
    Gone,
}

impl RelayClient {
    /// Somebody who will be connected to the relay with this key.
    #[must_use]
    pub fn new(suite: &SimSuite, secret: SecretKey, relay: PublicKey) -> Self {
        let key = suite.public_key(&secret);
        let (unread, unsent) = (Vec::new(), Vec::new());
        Self { suite: suite.clone(), secret, key, relay, conn: None, stage: Stage::Outside, unread, unsent }
    }

    /// Begins to connect; what there was before is forgotten.
    pub fn connect(&mut self, cx: &mut ActorCx<'_>, at: Endpoint) {
        self.leave();
        self.conn = Some(cx.connect(at));
    }

    /// Whether packets can be said.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// Its connection.
    #[must_use]
    pub const fn conn(&self) -> Option<ConnId> {
        self.conn
    }

    /// Bytes that the stream had no room for yet.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.unsent.len()
    }

    /// What a stream event tells; nothing when it is about another connection.
    pub fn hear(&mut self, cx: &mut ActorCx<'_>, event: &StreamEvent) -> Vec<RelayNews> {
        if Some(event.conn) != self.conn || event.side != Side::Client {
            return Vec::new();
        }
        match &event.what {
            StreamWhat::Opened { .. } => self.greet(cx),
            StreamWhat::Writable => self.flush(cx),
            StreamWhat::Data(bytes) => {
                self.unread.extend_from_slice(bytes);
                return self.read(cx);
            }
            StreamWhat::Closed | StreamWhat::Reset | StreamWhat::Refused | StreamWhat::TimedOut => {
                cx.close(event.conn, Side::Client);
                self.leave();
                return vec![RelayNews::Gone];
            }
        }
        Vec::new()
    }

    /// Says a packet; false when that is not possible.
    pub fn say(&mut self, cx: &mut ActorCx<'_>, packet: &RelayPacket<'_>) -> bool {
        let Stage::Open(channel) = &mut self.stage else { return false };
        let mut frame = [0; FRAME_LEN_MAX];
        let len = channel.seal_packet(&self.suite, packet, &mut frame);
        self.unsent.extend_from_slice(&frame[..len]);
        self.flush(cx);
        true
    }

    /// Says a packet of any form.
    pub fn say_raw(&mut self, cx: &mut ActorCx<'_>, text: &[u8]) {
        let Stage::Open(channel) = &mut self.stage else { return };
        let mut frame = [&[0; FRAME_TEXT], text].concat();
        let len = frame.len();
        channel.seal(&self.suite, &mut frame, len);
        self.unsent.extend_from_slice(&frame);
        self.flush(cx);
    }

    fn leave(&mut self) {
        (self.conn, self.stage) = (None, Stage::Outside);
        self.unread.clear();
        self.unsent.clear();
    }

    fn greet(&mut self, cx: &mut ActorCx<'_>) {
        let me = (&self.secret, &self.key);
        if let Some((greeting, hello)) = Greeting::new(&self.suite, &mut *cx.rng, me, &self.relay) {
            self.stage = Stage::Greets(greeting);
            self.unsent.extend_from_slice(&hello);
            self.flush(cx);
        }
    }

    fn flush(&mut self, cx: &mut ActorCx<'_>) {
        let Some(conn) = self.conn else { return };
        let taken = cx.write(conn, Side::Client, &self.unsent);
        self.unsent.drain(..taken);
    }

    fn read(&mut self, cx: &mut ActorCx<'_>) -> Vec<RelayNews> {
        let mut news = Vec::new();
        if let Stage::Greets(greeting) = &self.stage {
            let Some(hello) = self.unread.first_chunk_mut::<RELAY_HELLO_LEN>() else { return news };
            let Some(channel) = greeting.finish(&self.suite, hello) else { return self.give_up(cx) };
            self.stage = Stage::Open(channel);
            self.unread.drain(..RELAY_HELLO_LEN);
            news.push(RelayNews::Open);
        }
        let Stage::Open(channel) = &mut self.stage else { return news };
        loop {
            match channel.open(&self.suite, &mut self.unread) {
                Received::Frame { used, text } => {
                    news.push(RelayNews::Packet(text.to_vec()));
                    self.unread.drain(..used);
                }
                Received::Part => return news,
                Received::Broken => {
                    news.extend(self.give_up(cx));
                    return news;
                }
            }
        }
    }

    fn give_up(&mut self, cx: &mut ActorCx<'_>) -> Vec<RelayNews> {
        if let Some(conn) = self.conn {
            cx.abort(conn, Side::Client);
        }
        self.leave();
        vec![RelayNews::Gone]
    }
}

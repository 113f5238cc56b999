//! One relay: where it is, and the connection to it while there is one.

use super::receive::OwedCookie;
use crate::Endpoint;
use crate::crypto::PublicKey;
use crate::relay::channel::{Channel, Greeting};
use crate::relay::proxy::ProxyClient;
use crate::time::Instant;
use crate::wire::NodeInfo;
use crate::wire::relay::{ROUTE_FIRST, ROUTES, route_place};
use core::time::Duration;

/// How long a connection may take to open, and the relay to answer our handshake.
const STAGE_TIME: Duration = Duration::from_secs(10);
/// A ping goes out so long after the answer to the last one (`TCP_client.h`, TCP_PING_FREQUENCY).
const PING_EVERY: Duration = Duration::from_secs(30);
/// It must be answered in this time (TCP_PING_TIMEOUT).
const PING_TIME: Duration = Duration::from_secs(10);
/// The same when what went through the relay lately has no answer: the connection may hang.
const DOUBT_TIME: Duration = Duration::from_secs(3);
/// First pause before a relay is tried again; twice as long each time.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Cookie requests that wait for their answer.
const COOKIES: usize = 4;

/// A relay that we know. Zero keys are those of vacant places.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(super) key: PublicKey,
    pub(super) at: Endpoint,
    /// Place of its name, if the proxy is to look it up.
    pub(super) name: Option<u8>,
    /// It was configured, or served an earlier run.
    pub(super) own: bool,
    /// It is one of those that we keep for ourselves.
    pub(super) base: bool,
    /// It has been connected in this run.
    pub(super) worked: bool,
    /// Failures in a row.
    pub(super) fails: u8,
    pub(super) stage: Stage,
    /// When the stage ends, if nothing happens before.
    until: Instant,
    /// Since when it is connected.
    pub(super) up_since: Instant,
    /// Since when nobody needs it; `ZERO` while somebody does.
    pub(super) idle_since: Instant,
    /// Of its stream; 0 without one. `closing` is a stream that is to be closed.
    pub(super) serial: u64,
    pub(super) closing: u64,
    pub(super) open_due: bool,
    pub(super) mark: Mark,
    pub(super) line: Line,
    /// Number of our ping that waits for its answer, and of the relay's that waits for ours; 0 for none.
    pub(super) ping: u64,
    pub(super) pong: u64,
    pub(super) ping_due: bool,
    /// Our ping is to be answered soon.
    doubted: bool,
    /// Some route may have to be asked for.
    pub(super) asks: bool,
    /// Ids that are to be given back, a bit each.
    leaving: [u64; LEAVING],
    /// Whose ids they are: place of the peer + 1.
    ids: [u16; ROUTES],
    pub(super) cookies: heapless::Vec<OwedCookie, COOKIES>,
    /// Onion packets since the last answer.
    pub(super) onion_unanswered: u16,
}

const LEAVING: usize = ROUTES.div_ceil(64);

/// How far the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stage {
    /// There is none.
    Idle,
    /// There is none, and none is to be tried for a while.
    Waiting,
    /// The adapter opens the stream.
    Opening,
    /// The proxy opens the way.
    Proxying,
    /// We greet the relay and wait for its answer.
    Greeting,
    /// Packets flow.
    Up,
}

/// Whether the adapter is to ask for what we have to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// There was nothing the last time that it asked.
    Quiet,
    /// It will be told to ask.
    Listed,
    /// It was told, and has not taken all yet.
    Taken,
}

/// Keys of the connection. `None` comes first and the tag is a `u8`, so that an empty static table is all zeros.
#[derive(Debug)]
#[repr(u8)]
pub(super) enum Line {
    None,
    Proxy(ProxyClient),
    Greeting(Greeting),
    Channel(Channel),
}

impl Relay {
    /// What vacant places hold: all zeros.
    pub(crate) const VACANT: Self = Self {
        key: PublicKey::ZERO,
        at: Endpoint::UNSPECIFIED,
        name: None,
        own: false,
        base: false,
        worked: false,
        fails: 0,
        stage: Stage::Idle,
        until: Instant::ZERO,
        up_since: Instant::ZERO,
        idle_since: Instant::ZERO,
        serial: 0,
        closing: 0,
        open_due: false,
        mark: Mark::Quiet,
        line: Line::None,
        ping: 0,
        pong: 0,
        ping_due: false,
        doubted: false,
        asks: false,
        leaving: [0; LEAVING],
        ids: [0; ROUTES],
        cookies: heapless::Vec::new(),
        onion_unanswered: 0,
    };

    pub(super) fn new(node: &NodeInfo) -> Self {
        Self { key: node.key, at: node.at, ..Self::VACANT }
    }

    pub(super) const fn info(&self) -> NodeInfo {
        NodeInfo { key: self.key, at: self.at }
    }

    pub(super) fn is_vacant(&self) -> bool {
        self.key == PublicKey::ZERO
    }

    pub(super) const fn is_up(&self) -> bool {
        matches!(self.stage, Stage::Up)
    }

    /// Whether there is a connection, or there will be one.
    pub(super) const fn is_active(&self) -> bool {
        matches!(self.stage, Stage::Opening | Stage::Proxying | Stage::Greeting | Stage::Up)
    }

    pub(super) const fn can_send(&self) -> bool {
        matches!(self.stage, Stage::Proxying | Stage::Greeting | Stage::Up)
    }

    pub(super) fn enter(&mut self, now: Instant, stage: Stage) {
        (self.stage, self.until) = (stage, now + STAGE_TIME);
    }

    /// The relay has answered our handshake.
    pub(super) fn connected(&mut self, now: Instant, channel: Channel, ping: u64) {
        (self.stage, self.line) = (Stage::Up, Line::Channel(channel));
        (self.asks, self.up_since) = (true, now);
        self.ask(now, ping);
    }

    /// A ping is to go out.
    pub(super) fn ask(&mut self, now: Instant, ping: u64) {
        let time = if self.doubted { DOUBT_TIME } else { PING_TIME };
        (self.ping, self.ping_due, self.until) = (ping, true, now + time);
    }

    /// What went through it has no answer: it is pinged at once, if it is not yet. True when its timer has changed.
    pub(super) fn doubt(&mut self, now: Instant) -> bool {
        if !self.is_up() || core::mem::replace(&mut self.doubted, true) {
            return false;
        }
        self.until = if self.ping == 0 { now } else { self.until.min(now + DOUBT_TIME) };
        true
    }

    /// An answer to a ping. True when it is the first in this run.
    pub(super) fn answered(&mut self, now: Instant, ping: u64) -> bool {
        if self.ping != ping || ping == 0 {
            return false;
        }
        (self.ping, self.doubted, self.until) = (0, false, now + PING_EVERY);
        // One that closes again after the first answer is not soon tried again.
        if now.reached(self.up_since, PING_EVERY) {
            self.fails = 0;
        }
        !core::mem::replace(&mut self.worked, true)
    }

    /// When something is to be done if nothing happens before.
    pub(super) const fn until(&self) -> Instant {
        match self.stage {
            Stage::Idle => Instant::FAR,
            Stage::Waiting | Stage::Opening | Stage::Proxying | Stage::Greeting | Stage::Up => self.until,
        }
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.until() <= now
    }

    /// Forgets the connection, not the relay.
    pub(super) fn reset(&mut self) {
        let Self { key, at, name, own, worked, fails, serial, closing, .. } = *self;
        *self = Self { key, at, name, own, worked, fails, serial, closing, ..Self::VACANT };
    }

    /// Not to be tried for a while.
    pub(super) fn back_off(&mut self, now: Instant) {
        let pause = PAUSE_FIRST * (1 << self.fails.min(10));
        self.fails = self.fails.saturating_add(1);
        (self.stage, self.until) = (Stage::Waiting, now + pause.min(PAUSE_MAX));
    }

    /// Whose id it is.
    pub(super) fn owner(&self, id: u8) -> Option<usize> {
        usize::from(self.ids[route_place(id)?]).checked_sub(1)
    }

    pub(super) fn give(&mut self, id: u8, peer: usize) {
        if let Some(place) = route_place(id) {
            self.ids[place] = peer as u16 + 1;
        }
    }

    /// The id is needed no more.
    pub(super) fn leave(&mut self, id: u8) {
        if let Some(place) = route_place(id) {
            self.ids[place] = 0;
            self.leaving[place / 64] |= 1 << (place % 64);
        }
    }

    /// The next id to be given back, once.
    pub(super) fn take_leaving(&mut self) -> Option<u8> {
        let (word, bits) = self.leaving.iter_mut().enumerate().find(|(_, bits)| **bits != 0)?;
        let bit = bits.trailing_zeros();
        *bits &= *bits - 1;
        Some(ROUTE_FIRST + (word as u8 * 64 + bit as u8))
    }

    pub(super) fn is_leaving(&self, id: u8) -> bool {
        route_place(id).is_some_and(|place| self.leaving[place / 64] >> (place % 64) & 1 == 1)
    }
}

//! The relay client: how a node is reached, and reaches others, through TCP relays.
//!
//! A *relay* ([`relay`]) is an entry of a table, connected or not. We keep three connections for ourselves: their
//! relays we announce, and the onion may begin there. A *peer* ([`peers`]) is a friend whose DHT key is known. It is
//! asked for at the relays that we announce to it and at those that it has announced to us: a *route* for each. When
//! the peer has asked for us too, the route is online and carries data; before, packets go out-of-band to all relays of
//! the peer. Which relays are connected is decided in [`choice`].
//!
//! Nothing is queued here. What is owed to a relay (answers, requests) is a flag or an entry of a short list, what the
//! sessions have to say is encoded when the stream takes it ([`send`]). A relay is trusted with nothing: whatever it
//! says that it cannot say ends the connection or is dropped ([`receive`]).

mod choice;
mod names;
mod peers;
mod receive;
mod relay;
mod send;
#[cfg(test)]
mod tests;

pub(crate) use names::RelayName;
pub(crate) use peers::{Reach, RelayPeer};
pub(crate) use receive::{Content, OwedCookie};
pub(crate) use relay::Relay;

use super::StreamId;
use super::proxy::{Proxy, ProxyClient, ProxyTrouble};
use crate::Endpoint;
use crate::crypto::PublicKey;
use crate::cx::{Cx, Env};
use crate::storage::{Mem, Table};
use crate::time::{Deadline, Instant, Why};
use crate::wire::NodeInfo;
use names::Names;
use rand_core::Rng;
use relay::{Line, Mark, Stage};

/// Why a stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// Nobody listens there.
    Refused,
    /// No way leads there.
    Unreachable,
    /// No answer came.
    TimedOut,
    /// It was open, and has ended.
    Ended,
}

/// What is to be done with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamAction {
    Open { id: StreamId, to: Endpoint },
    Close { id: StreamId },
}

/// The machine.
#[derive(Debug)]
pub(crate) struct RelayClient<'s> {
    /// All streams go through it.
    proxy: Option<&'s Proxy<'s>>,
    /// What is wrong with it, and what was told of that.
    trouble: Option<ProxyTrouble>,
    told: Option<ProxyTrouble>,
    names: Names<'s>,
    relays: Mem<'s, Relay>,
    /// The adapter has room for so many.
    streams: usize,
    peers: Mem<'s, RelayPeer>,
    /// All peers stand at places below this one.
    extent: usize,
    /// Streams so far.
    serial: u64,
    /// No timer is due earlier.
    wake: Instant,
    /// Some stream is to be opened or closed; some relay is listed; some peer's reach has changed.
    acts: bool,
    lists: bool,
    news: bool,
    /// A relay has become worth remembering.
    learned: bool,
    /// The peer that was served last.
    turn: usize,
}

impl<'s> RelayClient<'s> {
    /// Without room for relays the client does nothing. `peers` has a place for each friend; at most so many streams
    /// are there at a time.
    pub(crate) fn new(
        (mut relays, streams): (Mem<'s, Relay>, usize),
        mut peers: Mem<'s, RelayPeer>,
        names: Mem<'s, RelayName>,
        proxy: Option<&'s Proxy<'s>>,
    ) -> Self {
        relays.iter_mut().for_each(|relay| *relay = Relay::VACANT);
        peers.iter_mut().for_each(|peer| *peer = RelayPeer::VACANT);
        Self {
            proxy,
            trouble: None,
            told: None,
            names: Names::new(names),
            relays,
            streams,
            peers,
            extent: 0,
            serial: 0,
            wake: Instant::FAR,
            acts: false,
            lists: false,
            news: false,
            learned: false,
            turn: 0,
        }
    }

    /// Whether there is room for any relay.
    pub(crate) fn is_on(&self) -> bool {
        !self.relays.is_empty()
    }

    /// A relay that was configured, or served an earlier run. False when there is no room.
    pub(crate) fn add_own(&mut self, now: Instant, node: NodeInfo) -> bool {
        let Some(place) = self.place_for(&node, true) else { return false };
        self.relays[place].own = true;
        self.choose(now);
        true
    }

    /// A relay that was configured by a name, which the proxy looks up. False when there is no room, or no proxy.
    pub(crate) fn add_named(&mut self, now: Instant, key: PublicKey, host: &str, port: u16) -> bool {
        if self.proxy.is_none() {
            return false;
        }
        let Some(place) = self.place_for(&NodeInfo { key, at: Endpoint::UNSPECIFIED }, true) else { return false };
        let relay = &mut self.relays[place];
        if !relay.is_active() {
            let Some(name) = self.names.add(host, port) else {
                if relay.name.is_none() && !relay.at.is_usable() {
                    *relay = Relay::VACANT;
                }
                return false;
            };
            relay.name = Some(name);
        }
        relay.own = true;
        self.choose(now);
        true
    }

    /// What is wrong with the proxy, once for each change.
    pub(crate) fn take_trouble(&mut self) -> Option<ProxyTrouble> {
        if self.trouble == self.told {
            return None;
        }
        self.told = self.trouble;
        self.trouble
    }

    /// The relays that are connected, those that we keep for ourselves first.
    pub(crate) fn connected(&self) -> impl Iterator<Item = NodeInfo> + Clone {
        let of = |base| {
            let fits = move |relay: &&Relay| relay.is_up() && relay.base == base && relay.at.is_usable();
            self.relays.iter().filter(fits).map(Relay::info)
        };
        of(true).chain(of(false))
    }

    /// The relays worth remembering, the best first.
    pub(crate) fn known(&self) -> impl Iterator<Item = NodeInfo> + Clone {
        let fits = |relay: &&Relay| relay.at.is_usable() && !relay.is_up() && (relay.own || relay.worked);
        self.connected().chain(self.relays.iter().filter(fits).map(Relay::info))
    }

    /// Whether a relay has become worth remembering since the last call.
    pub(crate) fn take_learned(&mut self) -> bool {
        core::mem::take(&mut self.learned)
    }

    /// Since when a relay has been connected; `None` while none is.
    pub(crate) fn connected_since(&self) -> Option<Instant> {
        self.relays.iter().filter(|relay| relay.is_up()).map(|relay| relay.up_since).min()
    }

    /// Its tables.
    pub(crate) fn table(&self) -> Table {
        Table::of_mem("relays", &self.relays, |relay| !relay.is_vacant())
    }

    /// A stream that was to be opened is open.
    pub(crate) fn opened(&mut self, now: Instant, id: StreamId) {
        let Some(place) = self.find(id) else { return };
        if self.relays[place].stage == Stage::Opening {
            match self.proxy {
                Some(proxy) => {
                    self.relays[place].enter(now, Stage::Proxying);
                    self.relays[place].line = Line::Proxy(ProxyClient::new(proxy));
                }
                None => self.relays[place].enter(now, Stage::Greeting),
            }
            self.list(place);
            self.wake = Instant::ZERO;
        }
    }

    /// A stream has ended by itself.
    pub(crate) fn closed(&mut self, now: Instant, id: StreamId, why: StreamEnd) {
        if let Some(place) = self.find(id) {
            if self.proxy.is_some() {
                let trouble = match &self.relays[place].line {
                    Line::Proxy(client) => Some(client.ended()),
                    Line::None if self.relays[place].stage == Stage::Opening => Some(ProxyTrouble::Down),
                    Line::None | Line::Greeting(_) | Line::Channel(_) => None,
                };
                self.in_trouble(trouble);
            }
            self.relays[place].serial = 0;
            if why == StreamEnd::Unreachable {
                self.relays[place].fails = self.relays[place].fails.max(2);
            }
            self.lose(now, place);
        }
    }

    /// We may be somewhere else: connections from where we were are dead, and that some failed there means nothing.
    pub(crate) fn start_over(&mut self, now: Instant) {
        for place in 0..self.relays.len() {
            self.hang_up(place);
            self.disconnect(place);
            self.relays[place].fails = 0;
        }
        self.choose(now);
    }

    /// A stream that was blocked can send again.
    pub(crate) fn ready(&mut self, id: StreamId) {
        if let Some(place) = self.find(id) {
            self.relays[place].mark = Mark::Quiet;
            self.list(place);
        }
    }

    /// The next stream that has something to be sent; it is taken out of the list.
    pub(crate) fn next_stream(&mut self) -> Option<StreamId> {
        if !self.lists {
            return None;
        }
        let listed = self.relays.iter_mut().enumerate().find(|(_, relay)| relay.mark == Mark::Listed);
        let Some((place, relay)) = listed else {
            self.lists = false;
            return None;
        };
        relay.mark = Mark::Taken;
        Some(StreamId { index: place as u32, serial: relay.serial })
    }

    /// The next thing to be done with a stream.
    pub(crate) fn poll_action(&mut self) -> Option<StreamAction> {
        if !self.acts {
            return None;
        }
        // Old streams go before new ones come: there may not be room for both.
        let mut places = self.relays.iter_mut().zip(0..);
        if let Some((relay, index)) = places.find(|(relay, _)| relay.closing != 0) {
            let serial = core::mem::take(&mut relay.closing);
            return Some(StreamAction::Close { id: StreamId { index, serial } });
        }
        let mut places = self.relays.iter_mut().zip(0..);
        if let Some((relay, index)) = places.find(|(relay, _)| relay.open_due) {
            relay.open_due = false;
            let id = StreamId { index, serial: relay.serial };
            return Some(StreamAction::Open { id, to: self.proxy.map_or(relay.at, Proxy::at) });
        }
        self.acts = false;
        None
    }

    /// When to call [`on_timeout`](Self::on_timeout).
    pub(crate) fn deadline(&self) -> Option<Deadline> {
        (self.wake != Instant::FAR).then_some(Deadline { at: self.wake, why: Why::Relay })
    }

    /// Pings, gives up, tries again.
    pub(crate) fn on_timeout<E: Env>(&mut self, cx: &mut Cx<'_, 's, E>) {
        let now = cx.now;
        if now < self.wake {
            return;
        }
        for place in 0..self.relays.len() {
            let relay = &mut self.relays[place];
            if !relay.is_late(now) {
                continue;
            }
            if relay.is_up() && relay.ping == 0 {
                relay.ask(now, cx.rng.next_u64() | 1);
                self.list(place);
            } else if relay.stage == Stage::Waiting {
                relay.stage = Stage::Idle;
            } else {
                let trouble = match &relay.line {
                    Line::Proxy(client) => Some(client.timed_out()),
                    Line::None => (self.proxy.is_some() && relay.stage == Stage::Opening).then_some(ProxyTrouble::Down),
                    Line::Greeting(_) | Line::Channel(_) => None,
                };
                self.in_trouble(trouble);
                self.fail(now, place);
            }
        }
        self.choose(now);
    }

    /// The proxy fails. That a relay is not reached is its fault only when none is.
    fn in_trouble(&mut self, trouble: Option<ProxyTrouble>) {
        let is_alone = || self.relays.iter().all(|relay| !relay.is_up());
        if trouble.is_some_and(|trouble| !trouble.is_of_target() || is_alone()) {
            self.trouble = trouble;
        }
    }

    /// The relay with a stream.
    fn find(&self, id: StreamId) -> Option<usize> {
        let relay = self.relays.get(id.index())?;
        (relay.serial == id.serial && relay.serial != 0).then_some(id.index())
    }

    /// The relay will be named by [`next_stream`](Self::next_stream), unless the adapter is busy with it.
    fn list(&mut self, place: usize) {
        let relay = &mut self.relays[place];
        if relay.mark == Mark::Quiet && relay.can_send() {
            relay.mark = Mark::Listed;
            self.lists = true;
        }
    }

    /// Our side ends the connection, which has done us no good.
    fn fail(&mut self, now: Instant, place: usize) {
        self.hang_up(place);
        self.lose(now, place);
    }

    /// Our side ends the stream.
    fn hang_up(&mut self, place: usize) {
        let relay = &mut self.relays[place];
        if relay.open_due {
            // Nobody knows it yet.
            (relay.open_due, relay.serial) = (false, 0);
        } else if relay.serial != 0 {
            (relay.closing, relay.serial) = (relay.serial, 0);
            self.acts = true;
        }
    }

    /// The connection is gone: it is tried again after a while.
    fn lose(&mut self, now: Instant, place: usize) {
        self.disconnect(place);
        self.relays[place].back_off(now);
        self.choose(now);
    }

    /// Nothing of the connection is left.
    fn disconnect(&mut self, place: usize) {
        let was_up = self.relays[place].is_up();
        self.relays[place].reset();
        if was_up {
            self.routes_down(place);
        }
    }

    /// Opens a stream to the relay.
    fn open(&mut self, now: Instant, place: usize) {
        self.serial += 1;
        let relay = &mut self.relays[place];
        debug_assert!(relay.serial == 0 && !relay.is_vacant());
        (relay.serial, relay.open_due) = (self.serial, true);
        relay.enter(now, Stage::Opening);
        self.acts = true;
    }
}

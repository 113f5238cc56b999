//! A relay that runs beside a node: the adapter between the core's [`RelayServer`] and the world's streams.

use super::host::{Host, Kind, Power};
use super::queue::Due;
use super::sockets::Sockets;
use super::wire::Outgoing;
use super::{LABEL_RELAY, World};
use crate::SimEnv;
use crate::net::{ConnId, Side, StreamEvent, StreamWhat};
use crate::observe::{HostId, Observation, Packet, StreamSeen, Tap};
use crate::rng::SimRng;
use bluering_core::crypto::SecretKey;
use bluering_core::relay::server::{RelayAction, RelayLimits, RelayServer, RelayStorage};
use bluering_core::time::Instant;
use bluering_core::{DATAGRAM_MAX, Frame, Parts};

/// The ports that every relay listens on.
pub const RELAY_PORTS: [u16; 3] = [443, 3389, 33445];

/// A relay and its connections.
pub(super) struct RelayHost {
    server: RelayServer<'static, SimEnv>,
    sockets: Sockets,
    /// The time for which the queue holds a timer.
    armed: Instant,
}

impl<T: Tap> World<T> {
    /// The relay of a host, if it has one that runs.
    #[must_use]
    pub fn relay(&self, id: HostId) -> Option<&RelayServer<'static, SimEnv>> {
        Some(&self.hosts[id as usize].node()?.relay.as_ref()?.server)
    }

    /// Makes a relay of a host's DHT key and lets it listen.
    pub(super) fn start_relay(&mut self, id: HostId, secret: SecretKey, limits: &RelayLimits, local: Instant) {
        let host = &mut self.hosts[id as usize];
        let rng = SimRng::fork(self.seed, &[LABEL_RELAY, u64::from(id), host.starts]);
        let parts = Parts { rng, suite: self.suite.clone() };
        let Ok(server) = RelayServer::new(secret, RelayStorage::heap(limits), parts, local) else {
            panic!("the limits are too small for a relay");
        };
        let relay = RelayHost { server, sockets: Sockets::default(), armed: Instant::FAR };
        if let Some(node) = host.node_mut() {
            node.relay = Some(Box::new(relay));
            RELAY_PORTS.into_iter().for_each(|port| self.desk.streams.listen(id, port));
        }
    }

    /// The time of a relay's timer has come.
    pub(super) fn relay_timer(&mut self, id: HostId, at: Instant) {
        let now = self.now;
        let Some((relay, local)) = running(&mut self.hosts[id as usize], now) else { return };
        if relay.armed == at {
            relay.armed = Instant::FAR;
            relay.server.handle_timeout(local);
            self.pump_relay(id);
        }
    }

    /// The host has slept, or is on the network again.
    pub(super) fn wake_relay(&mut self, id: HostId) {
        let now = self.now;
        let Some((relay, local)) = running(&mut self.hosts[id as usize], now) else { return };
        relay.armed = Instant::FAR;
        relay.server.handle_timeout(local);
        self.pump_relay(id);
    }

    /// Something happened to a connection of the relay.
    pub(super) fn relay_hears(&mut self, event: &StreamEvent) {
        let (now, conn) = (self.now, event.conn);
        let from = self.desk.source(conn);
        let Some((relay, local)) = running(&mut self.hosts[event.host as usize], now) else { return };
        let streams = &mut self.desk.streams;
        match &event.what {
            StreamWhat::Opened { .. } => match relay.server.opened(local, from) {
                Ok(id) => relay.sockets.insert(conn, Side::Server, id),
                Err(_) => streams.abort(now, conn, Side::Server),
            },
            StreamWhat::Data(bytes) => match relay.sockets.get(conn) {
                Some(socket) => socket.receive(bytes, |id, bytes| relay.server.handle_stream(local, id, bytes)),
                // The relay has closed it.
                None => streams.abort(now, conn, Side::Server),
            },
            StreamWhat::Writable => {
                if let Some(id) = relay.sockets.get(conn).map(|socket| socket.id) {
                    self.fill_from_relay(event.host, id);
                }
            }
            StreamWhat::Closed | StreamWhat::Reset | StreamWhat::TimedOut | StreamWhat::Refused => {
                streams.close(now, conn, Side::Server);
                if let Some(id) = relay.sockets.remove(conn) {
                    relay.server.closed(local, id);
                }
            }
        }
        self.pump_relay(event.host);
    }

    /// A connection of the relay is no more, for another reason than its other side.
    pub(super) fn relay_loses(&mut self, id: HostId, conn: ConnId) {
        let now = self.now;
        let Some((relay, local)) = running(&mut self.hosts[id as usize], now) else { return };
        if let Some(stream) = relay.sockets.remove(conn) {
            relay.server.closed(local, stream);
            self.pump_relay(id);
        }
    }

    /// Gives a datagram to the relay of a host, if it is for that; whether it was.
    pub(super) fn give_to_relay(&mut self, id: HostId, packet: Packet<'_>) -> bool {
        let now = self.now;
        let Some((relay, local)) = running(&mut self.hosts[id as usize], now) else { return false };
        if !relay.server.mark().owns(packet.bytes) {
            return false;
        }
        let len = packet.bytes.len().min(DATAGRAM_MAX);
        self.buf[..len].copy_from_slice(&packet.bytes[..len]);
        let disposition = relay.server.handle_datagram(local, &mut Frame::new(&mut self.buf, len, packet.source));
        self.tap.observe(now, &Observation::ForRelay { host: id, packet, disposition });
        self.pump_relay(id);
        true
    }

    /// Takes all that a relay has to send and to do, and sets its timer.
    fn pump_relay(&mut self, id: HostId) {
        let now = self.now;
        while let Some(stream) = running(&mut self.hosts[id as usize], now).and_then(|(it, _)| it.server.next_stream())
        {
            self.fill_from_relay(id, stream);
        }
        let Some((relay, local)) = running(&mut self.hosts[id as usize], now) else { return };
        let (mut sent, mut buf) = ((0, 0), [0; DATAGRAM_MAX]);
        while let Some(packet) = relay.server.poll_transmit(local, &mut buf) {
            sent = (sent.0 + 1, sent.1 + packet.bytes.len() as u64);
            let out = Outgoing { from: id, spoofed: None, to: packet.to, bytes: packet.bytes, answers: None };
            self.wire.send(&mut self.tap, now, out);
        }
        while let Some(RelayAction::Close { id: stream, .. }) = relay.server.poll_action() {
            if let Some(conn) = relay.sockets.by_id(stream).map(|socket| socket.conn) {
                relay.sockets.remove(conn);
                self.desk.streams.close(now, conn, Side::Server);
                let what = StreamSeen::Closes;
                self.tap.observe(now, &Observation::Stream { host: id, conn, side: Side::Server, what });
            }
        }
        let deadline = relay.server.poll_timeout().map(|due| due.at);
        let host = &mut self.hosts[id as usize];
        host.sent = (host.sent.0 + sent.0, host.sent.1 + sent.1);
        if let Some(local) = deadline {
            self.arm_relay(id, local);
        }
        self.arm_streams();
    }

    /// Writes what the relay has for a connection, as far as there is room.
    fn fill_from_relay(&mut self, id: HostId, stream: bluering_core::relay::StreamId) {
        let now = self.now;
        let Some((relay, local)) = running(&mut self.hosts[id as usize], now) else { return };
        let Some(socket) = relay.sockets.by_id(stream) else { return };
        let (tap, digest, conn) = (&mut self.tap, &mut self.wire.digest, socket.conn);
        let mut fill = |buf: &mut [u8]| relay.server.poll_stream(local, stream, buf);
        socket.send(now, &mut self.desk.streams, &mut fill, |bytes| {
            digest.add(&[now.micros(), u64::from(id), conn.0]);
            let what = StreamSeen::Writes(bytes);
            tap.observe(now, &Observation::Stream { host: id, conn, side: Side::Server, what });
        });
    }

    fn arm_relay(&mut self, id: HostId, local: Instant) {
        let now = self.now;
        let Some(node) = self.hosts[id as usize].node_mut() else { return };
        let at = node.running.world(local).max(now);
        let Some(relay) = &mut node.relay else { return };
        if at < relay.armed {
            relay.armed = at;
            self.wire.queue.push(at, Due::Relay(id));
        }
    }
}

/// The relay of a host that works, and the time there.
fn running(host: &mut Host, now: Instant) -> Option<(&mut RelayHost, Instant)> {
    let Kind::Node(node) = &mut host.kind else { return None };
    let local = node.running.local(now);
    node.relay.as_deref_mut().filter(|_| host.power == Power::On).map(|relay| (relay, local))
}

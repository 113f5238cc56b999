//! What clients are sent: notices first, then what is queued. Frames are sealed as late as possible, because their
//! nonces count.

use super::RelayServer;
use super::conns::Conn;
use super::routes::route_id;
use crate::crypto::Suite;
use crate::cx::Env;
use crate::relay::StreamId;
use crate::relay::channel::{Channel, leave_open};
use crate::time::Instant;
use crate::wire::Writer;
use crate::wire::relay::{FRAME_LEN_MAX, FRAME_TEXT, RelayPacket};

/// The longest notice as a frame: a routing response.
const NOTICE_MAX: usize = FRAME_TEXT + 34;

impl<E: Env> RelayServer<'_, E> {
    /// The next connection that has something to be sent. Then call [`poll_stream`](Self::poll_stream) for it until
    /// nothing comes, or, if it cannot send now, when it can.
    pub fn next_stream(&mut self) -> Option<StreamId> {
        self.conns.next_listed()
    }

    /// Writes what is to be sent on a connection, as much as fits, and gives its length: 0 when there is nothing.
    ///
    /// # Panics
    /// When `buf` has no room for a frame ([`FRAME_LEN_MAX`]).
    pub fn poll_stream(&mut self, now: Instant, id: StreamId, buf: &mut [u8]) -> usize {
        assert!(buf.len() >= FRAME_LEN_MAX, "a frame has {FRAME_LEN_MAX} bytes");
        self.advance(now);
        let Some(at) = self.conns.find(id) else { return 0 };
        if !self.conns.get(at).has_output() {
            return 0;
        }
        let mut len = self.write_pings(at, buf);
        len += self.write_notices(at, &mut buf[len..]);
        len += self.write_queue(at, &mut buf[len..]);
        len
    }

    fn write_pings(&mut self, at: usize, buf: &mut [u8]) -> usize {
        let Conn { due, ping, pong, channel, .. } = self.conns.get_mut(at);
        let mut sealer = Sealer { suite: &self.parts.suite, channel, outside: self.outside, frames: 0 };
        let mut len = 0;
        if core::mem::take(&mut due.pong) {
            len += sealer.packet(&RelayPacket::Pong(*pong), &mut buf[len..]);
        }
        if core::mem::take(&mut due.ping) {
            len += sealer.packet(&RelayPacket::Ping(*ping), &mut buf[len..]);
        }
        self.stats.frames_out += sealer.frames;
        len
    }

    /// Tells what has become of routes.
    fn write_notices(&mut self, at: usize, buf: &mut [u8]) -> usize {
        let Conn { due, channel, routes: list, .. } = self.conns.get_mut(at);
        if !due.notices {
            return 0;
        }
        let mut sealer = Sealer { suite: &self.parts.suite, channel, outside: self.outside, frames: 0 };
        let (mut len, mut from) = (0, 0);
        while let Some(place) = self.routes.next_due(list, from) {
            from = place + 1;
            let Some(route) = self.routes.get_mut(list, place) else { break };
            if buf.len() - len < 3 * NOTICE_MAX {
                self.stats.frames_out += sealer.frames;
                return len;
            }
            let (id, told, peer) = (route_id(place), core::mem::take(&mut route.due), route.peer);
            let notices = [
                (told.response, RelayPacket::RoutingResponse { id, peer }),
                (told.disconnected, RelayPacket::DisconnectNotification(id)),
                (told.connected, RelayPacket::ConnectionNotification(id)),
            ];
            for (_, packet) in notices.iter().filter(|(due, _)| *due) {
                len += sealer.packet(packet, &mut buf[len..]);
            }
        }
        due.notices = false;
        self.stats.frames_out += sealer.frames;
        len
    }

    fn write_queue(&mut self, at: usize, buf: &mut [u8]) -> usize {
        let Conn { due, channel, queue, .. } = self.conns.get_mut(at);
        // Data of a peer must not come before the notice that it is there.
        if due.notices {
            return 0;
        }
        let mut sealer = Sealer { suite: &self.parts.suite, channel, outside: self.outside, frames: 0 };
        let mut len = 0;
        while let Some(record) = self.pool.front(queue) {
            let text_at = if record.raw { 0 } else { FRAME_TEXT };
            let Some(out) = buf[len..].get_mut(..text_at + record.len) else { break };
            self.pool.pop(queue, &mut out[text_at..]);
            if !record.raw {
                sealer.frame(out);
            }
            len += text_at + record.len;
        }
        self.stats.frames_out += sealer.frames;
        len
    }
}

/// Makes frames of packets.
struct Sealer<'a, S> {
    suite: &'a S,
    channel: &'a mut Channel,
    /// The adapter seals them.
    outside: bool,
    frames: u64,
}

impl<S: Suite> Sealer<'_, S> {
    fn packet(&mut self, packet: &RelayPacket<'_>, buf: &mut [u8]) -> usize {
        let mut w = Writer::new(&mut buf[FRAME_TEXT..]);
        packet.emit(&mut w);
        let len = FRAME_TEXT + w.len();
        self.frame(&mut buf[..len]);
        len
    }

    /// All of `frame` is one, whose packet is there already.
    fn frame(&mut self, frame: &mut [u8]) {
        let len = frame.len();
        if self.outside {
            leave_open(frame, len);
        } else {
            self.channel.seal(self.suite, frame, len);
        }
        self.frames += 1;
    }
}

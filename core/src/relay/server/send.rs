//! What clients are sent: notices first, then what is queued. Frames are sealed as late as possible, because their
//! nonces count.

use super::RelayServer;
use super::conns::Conn;
use super::routes::route_id;
use crate::cx::Env;
use crate::relay::StreamId;
use crate::time::Instant;
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
        let suite = &self.parts.suite;
        let Conn { due, ping, pong, channel, .. } = self.conns.get_mut(at);
        let mut len = 0;
        if core::mem::take(&mut due.pong) {
            len += channel.seal_packet(suite, &RelayPacket::Pong(*pong), &mut buf[len..]);
            self.stats.frames_out += 1;
        }
        if core::mem::take(&mut due.ping) {
            len += channel.seal_packet(suite, &RelayPacket::Ping(*ping), &mut buf[len..]);
            self.stats.frames_out += 1;
        }
        len
    }

    /// Tells what has become of routes.
    fn write_notices(&mut self, at: usize, buf: &mut [u8]) -> usize {
        let suite = &self.parts.suite;
        let Conn { due, channel, routes: list, .. } = self.conns.get_mut(at);
        if !due.notices {
            return 0;
        }
        let (mut len, mut from) = (0, 0);
        while let Some(place) = self.routes.next_due(list, from) {
            from = place + 1;
            let Some(route) = self.routes.get_mut(list, place) else { break };
            if buf.len() - len < 3 * NOTICE_MAX {
                return len;
            }
            let (id, told, peer) = (route_id(place), core::mem::take(&mut route.due), route.peer);
            let notices = [
                (told.response, RelayPacket::RoutingResponse { id, peer }),
                (told.disconnected, RelayPacket::DisconnectNotification(id)),
                (told.connected, RelayPacket::ConnectionNotification(id)),
            ];
            for (_, packet) in notices.iter().filter(|(due, _)| *due) {
                len += channel.seal_packet(suite, packet, &mut buf[len..]);
                self.stats.frames_out += 1;
            }
        }
        due.notices = false;
        len
    }

    fn write_queue(&mut self, at: usize, buf: &mut [u8]) -> usize {
        let suite = &self.parts.suite;
        let Conn { due, channel, queue, .. } = self.conns.get_mut(at);
        // Data of a peer must not come before the notice that it is there.
        if due.notices {
            return 0;
        }
        let mut len = 0;
        while let Some(record) = self.pool.front(queue) {
            let text_at = if record.raw { 0 } else { FRAME_TEXT };
            let Some(out) = buf[len..].get_mut(..text_at + record.len) else { break };
            self.pool.pop(queue, &mut out[text_at..]);
            if !record.raw {
                let end = out.len();
                channel.seal(suite, out, end);
                self.stats.frames_out += 1;
            }
            len += text_at + record.len;
        }
        len
    }
}

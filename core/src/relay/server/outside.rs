//! A relay whose channels are kept by its adapter.
//!
//! Opening and sealing is most of a relay's work, and needs nothing of it. So an adapter with several threads answers
//! handshakes itself ([`answer`](crate::relay::channel::answer)), tells who has greeted, hands frames in that it has
//! opened in place, and seals those that come out. Everything else is as always, and so is what clients see.

use super::{CloseReason, RelayServer};
use crate::crypto::PublicKey;
use crate::cx::Env;
use crate::relay::StreamId;
use crate::relay::server::conns::State;
use crate::time::Instant;

impl<E: Env> RelayServer<'_, E> {
    /// From now on the adapter has the channels: [`handle_stream`](Self::handle_stream) takes frames that were opened
    /// in place, and [`poll_stream`](Self::poll_stream) writes frames that are not sealed
    /// ([`leave_open`](crate::relay::channel::leave_open)). To be called before the first connection.
    #[must_use]
    pub fn with_channels_outside(self) -> Self {
        Self { outside: true, ..self }
    }

    /// Whether there is room for this client: to be asked before its handshake is answered, which is dear.
    #[must_use]
    pub fn welcomes(&self, client: &PublicKey) -> bool {
        self.clients < self.limits.clients || self.find(client).is_some()
    }

    /// The handshake of a connection was right. False when it has ended meanwhile: then do not answer.
    pub fn greeted(&mut self, now: Instant, id: StreamId, client: PublicKey) -> bool {
        self.advance(now);
        let Some(at) = self.conns.find(id).filter(|at| self.conns.get(*at).state == State::Greeting) else {
            return false;
        };
        self.conns.get_mut(at).key = client;
        self.conns.change(at, State::Proving, self.now);
        true
    }

    /// A handshake was wrong, or a frame did not open, or there is no room: the action to close it follows.
    pub fn refuse(&mut self, now: Instant, id: StreamId, reason: CloseReason) {
        self.advance(now);
        if let Some(at) = self.conns.find(id) {
            self.shut(at, reason);
        }
    }
}

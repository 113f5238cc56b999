//! What the node does for others alone: forwarding, and keeping DHT announcements. Nothing of ours follows from it.

use super::Node;
use crate::cx::Env;
use crate::forwarding::{Forward, unwrap_request, wrap_reply};
use crate::frame::{Disposition, Frame};
use crate::wire::kind;

impl<E: Env> Node<'_, E> {
    /// Serves 0x90 to 0x98.
    pub(super) fn on_service(&mut self, frame: &mut Frame<'_>) -> Disposition {
        if frame.bytes().first().is_some_and(|first| *first > kind::FORWARD_REPLY) {
            return self.on_announcement(frame, &[]);
        }
        let dht = &self.dht;
        match self.forwarder.on_packet(&self.shared.cx(), frame, |key| dht.listed(key)) {
            Forward::Done(disposition) => disposition,
            Forward::Ours { sendback } => {
                let sendback = unwrap_request(frame, sendback);
                match self.on_announcement(frame, &sendback) {
                    Disposition::Reply { to, len } => {
                        Disposition::Reply { to, len: wrap_reply(frame.buf, len, &sendback) }
                    }
                    other @ (Disposition::Consumed | Disposition::Dropped(_)) => other,
                }
            }
        }
    }

    fn on_announcement(&mut self, frame: &mut Frame<'_>, via: &[u8]) -> Disposition {
        let (dht, now) = (&self.dht, self.shared.now);
        let closest = |key: &_, lan_ok| dht.closest(now, key, lan_ok);
        let standing = |key: &_, at| dht.standing(key, at);
        self.announcements.on_packet(&mut self.shared.cx(), frame, via, &standing, closest)
    }
}

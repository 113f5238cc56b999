//! Forwarding: passing packets of others on to nodes that we know, and their replies back.
//!
//! A client that cannot be everywhere at once (or has only TCP) asks us to pass data on to a node, whose key it names;
//! the node must be in our close list. With the data goes a sendback, which tells us where the reply is to go, so that
//! nothing is kept. What a forwarded packet says is somebody else's: mostly it asks for [DHT
//! announcements](crate::announcements).
//!
//! Nobody is to turn us against third parties. What we send is at most five bytes longer than what we got, never longer
//! over IPv4. Requests, whose source may be forged, only go to nodes that have answered us. Replies go where a request
//! came from, with a sendback of ours, and expire. Both have a rate of their own. Strangers reach nothing in our local
//! network, and a chain is no longer than the protocol's four nodes, counted where it begins; behind that, each node
//! takes a key off the packet, so that no packet runs in circles.

mod sendback;
#[cfg(test)]
mod tests;

pub(crate) use sendback::{Sendback, Sendbacks};

use crate::crypto::PublicKey;
use crate::cx::Cx;
use crate::limit::Tokens;
use crate::onion::may_send;
use crate::time::Instant;
use crate::wire::forwarding::{CHAIN_MAX, CHAIN_STEP, ForwardRequest, Forwarded, SENDBACK_AT};
use crate::wire::kind;
use crate::{DATAGRAM_MAX, Disposition, DropReason, Endpoint, Env, Frame};
use core::time::Duration;
use rand_core::CryptoRng;
use sendback::Back;

/// Packets are passed on to nodes once in this time, and replies to whoever asked.
const FORWARD_EVERY: Duration = Duration::from_millis(4);
/// And so many at once.
const FORWARD_BURST: u32 = 256;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forward {
    /// It is dealt with.
    Done(Disposition),
    /// It is for us: behind this many bytes of sendback. The reply goes back with [`wrap_reply`].
    Ours {
        /// Length of the sendback.
        sendback: usize,
    },
}

/// How fast one direction is.
#[derive(Debug)]
struct Rate {
    full_at: Instant,
}

impl Rate {
    fn take(&mut self, now: Instant) -> bool {
        let mut tokens = Tokens::full_at(self.full_at, FORWARD_EVERY, FORWARD_BURST);
        let taken = tokens.take(now);
        self.full_at = tokens.is_full_at();
        taken
    }
}

/// The forwarder.
#[derive(Debug)]
pub(crate) struct Forwarder {
    sendbacks: Sendbacks,
    requests: Rate,
    replies: Rate,
}

impl Forwarder {
    pub(crate) fn new(rng: &mut impl CryptoRng) -> Self {
        let rate = || Rate { full_at: Instant::ZERO };
        Self { sendbacks: Sendbacks::new(rng), requests: rate(), replies: rate() }
    }

    /// Serves 0x90, 0x91 and 0x92. `find` tells where a node of our close list is.
    pub(crate) fn on_packet<E: Env>(
        &mut self,
        cx: &Cx<'_, '_, E>,
        frame: &mut Frame<'_>,
        find: impl FnOnce(&PublicKey) -> Option<Endpoint>,
    ) -> Forward {
        if !frame.from.is_usable() {
            return Forward::Done(Disposition::Dropped(DropReason::BadAddress));
        }
        let handled = match frame.bytes().first() {
            Some(&kind::FORWARD_REQUEST) => self.pass_on(cx, frame, 0, Back::Client(frame.from), find),
            Some(&kind::FORWARDING) => return self.on_forwarding(cx, frame, find),
            Some(&kind::FORWARD_REPLY) => self.on_reply(cx, frame),
            Some(_) | None => Err(DropReason::UnknownKind),
        };
        Forward::Done(handled.unwrap_or_else(Disposition::Dropped))
    }

    /// Another forwarder passes something on to us: to be passed on again, or to be answered.
    fn on_forwarding<E: Env>(
        &mut self,
        cx: &Cx<'_, '_, E>,
        frame: &mut Frame<'_>,
        find: impl FnOnce(&PublicKey) -> Option<Endpoint>,
    ) -> Forward {
        let handled = match Forwarded::parse(frame.bytes()) {
            // We ask nobody to forward, so no answer is ours; and what could not be answered needs no passing on.
            Some(Forwarded { sendback: [], .. }) => Err(DropReason::Unsolicited),
            Some(Forwarded { sendback, data: [kind::FORWARD_REQUEST, ..], .. }) => {
                let inner = Sendback::from_slice(sendback).unwrap_or_default();
                let at = SENDBACK_AT + inner.len();
                self.pass_on(cx, frame, at, Back::Forwarder(frame.from, &inner), find)
            }
            Some(Forwarded { sendback, .. }) => return Forward::Ours { sendback: sendback.len() },
            None => Err(DropReason::Malformed),
        };
        Forward::Done(handled.unwrap_or_else(Disposition::Dropped))
    }

    /// Makes 0x91 of the request that starts at `at` in the frame.
    fn pass_on<E: Env>(
        &mut self,
        cx: &Cx<'_, '_, E>,
        frame: &mut Frame<'_>,
        at: usize,
        back: Back<'_>,
        find: impl FnOnce(&PublicKey) -> Option<Endpoint>,
    ) -> Result<Disposition, DropReason> {
        let request = ForwardRequest::parse(&frame.bytes()[at..]).ok_or(DropReason::Malformed)?;
        if request.chain() > CHAIN_MAX {
            return Err(DropReason::Forbidden);
        }
        let to = find(&request.next).ok_or(DropReason::NoRoute)?;
        if !may_send(frame.from, to) {
            return Err(DropReason::BadAddress);
        }
        if !self.requests.take(cx.now) {
            return Err(DropReason::RateLimited);
        }
        let sendback = back.seal(&self.sendbacks, cx.now).ok_or(DropReason::Malformed)?;
        let len = replace_head(frame.buf, at + CHAIN_STEP..frame.len, kind::FORWARDING, &sendback);
        Ok(Disposition::Reply { to, len })
    }

    /// Brings a reply to the client, or to the forwarder before us.
    fn on_reply<E: Env>(&mut self, cx: &Cx<'_, '_, E>, frame: &mut Frame<'_>) -> Result<Disposition, DropReason> {
        let reply = Forwarded::parse(frame.bytes()).ok_or(DropReason::Malformed)?;
        let data = SENDBACK_AT + reply.sendback.len()..frame.len;
        let inside = self.sendbacks.open(cx.now, reply.sendback).ok_or(DropReason::BadToken)?;
        let back = Back::parse(inside).ok_or(DropReason::BadToken)?;
        if !self.replies.take(cx.now) {
            return Err(DropReason::RateLimited);
        }
        let (to, kind, sendback) = match back {
            Back::Client(at) => (at, kind::FORWARDING, Sendback::new()),
            Back::Forwarder(at, sendback) => {
                (at, kind::FORWARD_REPLY, Sendback::from_slice(sendback).unwrap_or_default())
            }
        };
        let len = replace_head(frame.buf, data, kind, &sendback);
        Ok(Disposition::Reply { to, len })
    }
}

/// Takes what was forwarded to us out of its packet, and gives the sendback.
pub(crate) fn unwrap_request(frame: &mut Frame<'_>, sendback: usize) -> Sendback {
    let data_at = SENDBACK_AT + sendback;
    let sendback = Sendback::from_slice(&frame.buf[SENDBACK_AT..data_at]).unwrap_or_default();
    frame.buf.copy_within(data_at..frame.len, 0);
    frame.len -= data_at;
    sendback
}

/// Puts the reply of `len` bytes in `buf` into the packet that brings it back; the length of that.
pub(crate) fn wrap_reply(buf: &mut [u8; DATAGRAM_MAX], len: usize, sendback: &[u8]) -> usize {
    replace_head(buf, 0..len, kind::FORWARD_REPLY, sendback)
}

/// Writes `kind | length | sendback` and moves the data behind it. By their bounds all three fit.
fn replace_head(buf: &mut [u8; DATAGRAM_MAX], data: core::ops::Range<usize>, kind: u8, sendback: &[u8]) -> usize {
    let data_at = SENDBACK_AT + sendback.len();
    let len = data_at + data.len();
    buf.copy_within(data, data_at);
    crate::wire::Writer::new(buf).u8(kind).u8(sendback.len() as u8).bytes(sendback);
    len
}

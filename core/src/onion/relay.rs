//! Carrying other people's onion packets.
//!
//! A relay remembers nothing about a packet. It opens its layer, sends the inside one hop on, and appends where the
//! packet came from, boxed with a key that nobody else has; the answer brings that return header back. Changing the key
//! makes paths expire: a return header opens for two hours at least, and for four at most.

use super::returns::ReturnKeys;
use crate::budget::StandingOf;
use crate::crypto::{MAC_LEN, NONCE_LEN};
use crate::cx::Cx;
use crate::storage::{Need, Whose};
#[cfg(feature = "alloc")]
use crate::time::Instant;
use crate::wire::onion::path::{FORWARD_OVER, LAYER_ADDR_AT, LAYER_BOX_AT, RETURN_STEP};
use crate::wire::onion::{
    self, AnnounceHeader, ONION_ADDR_LEN, PACKET_MAX, RETURN_1, RETURN_2, RETURN_3, emit_addr, parse_addr,
};
use crate::wire::{Reader, Writer, kind};
use crate::{DATAGRAM_MAX, Disposition, DropReason, Endpoint, Env, Frame};
use core::net::IpAddr;
use rand_core::CryptoRng;

/// The relay.
#[derive(Debug)]
pub(crate) struct OnionRelay {
    returns: ReturnKeys,
}

impl OnionRelay {
    pub(crate) fn new(rng: &mut impl CryptoRng) -> Self {
        Self { returns: ReturnKeys::new(rng) }
    }

    /// The same relay for another thread: it opens what this one seals, and the other way round.
    #[cfg(feature = "alloc")]
    pub(crate) fn twin(&mut self, now: Instant) -> Self {
        self.returns.rotate(now);
        Self { returns: self.returns.clone() }
    }

    /// Serves 0x80, 0x81, 0x82 and 0x8c, 0x8d, 0x8e. The packet to be sent on is never longer than the one received.
    /// `standing` tells what a DHT key at an address is to us.
    pub(crate) fn on_packet<E: Env>(
        &mut self,
        cx: &mut Cx<'_, '_, E>,
        frame: &mut Frame<'_>,
        standing: &StandingOf<'_>,
    ) -> Disposition {
        self.returns.rotate(cx.now);
        let [over_0, over_1, over_2] = FORWARD_OVER;
        let result = match frame.bytes().first() {
            Some(&kind::ONION_REQUEST_0) => self.forward(cx, frame, standing, over_0, 0, Some(kind::ONION_REQUEST_1)),
            Some(&kind::ONION_REQUEST_1) => {
                self.forward(cx, frame, standing, over_1, RETURN_1, Some(kind::ONION_REQUEST_2))
            }
            Some(&kind::ONION_REQUEST_2) => self.forward(cx, frame, standing, over_2, RETURN_2, None),
            Some(&kind::ONION_RESPONSE_3) => self.hand_back(cx, frame, RETURN_3, Some(kind::ONION_RESPONSE_2)),
            Some(&kind::ONION_RESPONSE_2) => self.hand_back(cx, frame, RETURN_2, Some(kind::ONION_RESPONSE_1)),
            Some(&kind::ONION_RESPONSE_1) => self.hand_back(cx, frame, RETURN_1, None),
            Some(_) | None => Err(DropReason::UnknownKind),
        };
        result.unwrap_or_else(Disposition::Dropped)
    }

    /// One hop towards the node. `inner` is the length of the return header that the packet has so far; `next` the kind
    /// that it gets, `None` when the next hop is the node and gets the bare request.
    fn forward<E: Env>(
        &self,
        cx: &mut Cx<'_, '_, E>,
        frame: &mut Frame<'_>,
        standing: &StandingOf<'_>,
        over: usize,
        inner: usize,
        next: Option<u8>,
    ) -> Result<Disposition, DropReason> {
        if frame.len <= over || frame.len > PACKET_MAX {
            return Err(DropReason::Malformed);
        }
        let box_end = frame.len - inner;
        let AnnounceHeader { nonce, sender } = AnnounceHeader::parse(frame.bytes()).ok_or(DropReason::Malformed)?;
        cx.admit_box(Whose::Dht, &sender, frame.from, || standing(&sender, frame.from))?;
        cx.open_for(Need::Theirs, Whose::Dht, &sender, &nonce, &mut frame.buf[LAYER_BOX_AT..box_end])?;
        let to = parse_addr(&mut Reader::new(&frame.buf[LAYER_ADDR_AT..])).ok_or(DropReason::BadAddress)?;
        if !may_send(frame.from, to) {
            return Err(DropReason::BadAddress);
        }
        let content_at = LAYER_ADDR_AT + ONION_ADDR_LEN;
        let start = match next {
            Some(kind) => {
                frame.buf[0] = kind;
                1 + NONCE_LEN
            }
            None if onion::is_request(frame.buf[content_at]) => 0,
            None => return Err(DropReason::Forbidden),
        };
        frame.buf.copy_within(content_at..box_end, start);
        let return_at = start + box_end - content_at;
        let return_end = return_at + RETURN_STEP + inner;
        frame.buf.copy_within(box_end..frame.len, return_at + RETURN_STEP);
        self.seal_return(cx, frame.from, &mut frame.buf[return_at..return_end]);
        Ok(Disposition::Reply { to, len: return_end })
    }

    /// One hop towards the client. `outer` is the length of the packet's return header; `next` the kind that it gets,
    /// `None` when the next hop is the client and gets the bare answer.
    fn hand_back<E: Env>(
        &self,
        cx: &Cx<'_, '_, E>,
        frame: &mut Frame<'_>,
        outer: usize,
        next: Option<u8>,
    ) -> Result<Disposition, DropReason> {
        if frame.len <= 1 + outer || frame.len > PACKET_MAX {
            return Err(DropReason::Malformed);
        }
        if !onion::is_response(frame.buf[1 + outer]) {
            return Err(DropReason::Forbidden);
        }
        let to = self.open_return(cx, frame.buf, outer)?;
        let start = match next {
            Some(kind) => {
                frame.buf[RETURN_STEP] = kind;
                RETURN_STEP
            }
            None => 1 + RETURN_STEP,
        };
        frame.buf.copy_within(start..frame.len, 0);
        Ok(Disposition::Reply { to, len: frame.len - start })
    }

    /// Writes a return header over `room`, whose end already is the header of the hops before.
    fn seal_return<E: Env>(&self, cx: &mut Cx<'_, '_, E>, from: Endpoint, room: &mut [u8]) {
        let nonce = cx.nonce();
        emit_addr(from, &mut Writer::new(&mut room[NONCE_LEN + MAC_LEN..]));
        self.returns.seal(cx.suite, &nonce, room);
    }

    /// Opens the return header of `len` bytes after the first byte of `buf`, and tells where the packet goes next.
    fn open_return<E: Env>(
        &self,
        cx: &Cx<'_, '_, E>,
        buf: &mut [u8; DATAGRAM_MAX],
        len: usize,
    ) -> Result<Endpoint, DropReason> {
        let text = self.returns.open(cx.suite, &mut buf[1..=len])?;
        parse_addr(&mut Reader::new(text)).ok_or(DropReason::BadAddress)
    }
}

/// Whether a packet from `from` may go on to `to`. Strangers choose the address: it must be one host, and only local
/// requesters may reach local addresses.
pub(crate) fn may_send(from: Endpoint, to: Endpoint) -> bool {
    let one_host = match to.ip() {
        IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_multicast(),
    };
    to.is_usable() && one_host && (from.is_lan() || !to.is_lan())
}

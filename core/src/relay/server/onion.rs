//! Clients without UDP: the first hop of their onion paths, and packets to nodes on their behalf.
//!
//! The packet to a node carries a sealed header that names the connection, by its serial, which is never used again:
//! what comes back for a client that has left reaches nobody. Such headers are marked by a keyed hash in their nonces,
//! so that whoever receives datagrams can tell ours from the node's own without opening them, and nobody else can.
//!
//! What is forwarded (0x91) carries a sendback of the same use, which is not sealed but proved, and marked: it must
//! stay the same for a client (see `forwarding`). Forwarding has a rate, for all clients together.

use super::RelayServer;
use super::stats::CloseReason;
use crate::crypto::{MAC_LEN, NONCE_LEN, Nonce};
use crate::cx::Env;
use crate::forwarding::Sendback;
use crate::frame::{DATAGRAM_MAX, Disposition, Frame, Transmit};
use crate::onion::may_send;
use crate::relay::StreamId;
use crate::time::Instant;
use crate::wire::forwarding::Forwarded;
use crate::wire::onion::path::{LAYER_LEN, RETURN_STEP};
use crate::wire::onion::{ONION_ADDR_LEN, PACKET_MAX, RETURN_1, emit_addr, is_response, parse_addr};
use crate::wire::relay::packet;
use crate::wire::{Reader, Writer, kind};
use crate::{DropReason, Endpoint};
use core::hash::Hasher;
use siphasher::sip::SipHasher13;

/// Blocks of datagrams that may wait.
const DATAGRAM_BLOCKS: u32 = 64;
/// A request of this length or less is misuse (`TCP_server.c`, twice ONION_SEND_BASE).
const REQUEST_OVER: usize = NONCE_LEN + 2 * LAYER_LEN;
/// What a sealed header is for: toxcore's own family number for it.
const FOR_ONION: u8 = 11;
/// What a sendback is for: toxcore's own number for it.
const FOR_FORWARDING: u8 = 2;
/// Bytes of the mark in a nonce, and before a sendback.
const MARK_LEN: usize = 8;
/// Length of a sendback: mark, tag, purpose, place, serial.
const SENDBACK_LEN: usize = MARK_LEN + 16 + 1 + 4 + 8;

/// Tells answers to a relay's clients from other datagrams.
#[derive(Clone, Copy, Debug)]
pub struct RelayMark {
    seed: [u8; 16],
}

impl RelayMark {
    pub(super) const fn new(seed: [u8; 16]) -> Self {
        Self { seed }
    }

    /// Whether a datagram is for the relay, not for the node.
    #[must_use]
    pub fn owns(&self, datagram: &[u8]) -> bool {
        let marked = match datagram {
            [kind::ONION_RESPONSE_1, rest @ ..] => rest.get(..NONCE_LEN),
            [kind::FORWARD_REPLY, len, rest @ ..] if usize::from(*len) == SENDBACK_LEN => rest.get(..SENDBACK_LEN),
            _ => return false,
        };
        let parts = marked.and_then(<[u8]>::split_first_chunk);
        parts.is_some_and(|(mark, rest)| *mark == self.of(rest))
    }

    /// Marks a random nonce: 128 bits of it stay random.
    fn put_on(&self, nonce: &mut Nonce) {
        let (mark, rest) = nonce.0.split_at_mut(MARK_LEN);
        mark.copy_from_slice(&self.of(rest));
    }

    fn of(&self, rest: &[u8]) -> [u8; MARK_LEN] {
        let mut hasher = SipHasher13::new_with_key(&self.seed);
        hasher.write(rest);
        hasher.finish().to_le_bytes()
    }
}

impl<E: Env> RelayServer<'_, E> {
    /// The next datagram to be sent to a node. One that cannot be sent now may be dropped: clients ask again.
    pub fn poll_transmit<'b>(&mut self, now: Instant, buf: &'b mut [u8; DATAGRAM_MAX]) -> Option<Transmit<'b>> {
        self.advance(now);
        let record = self.pool.front(&self.datagrams)?;
        self.pool.pop(&mut self.datagrams, &mut buf[..record.len]);
        let (addr, bytes) = buf[..record.len].split_at(ONION_ADDR_LEN);
        let to = parse_addr(&mut Reader::new(addr))?;
        Some(Transmit { to, bytes })
    }

    /// Handles a datagram that [`RelayMark::owns`] calls ours. Nothing is ever answered at once.
    pub fn handle_datagram(&mut self, now: Instant, frame: &mut Frame<'_>) -> Disposition {
        self.advance(now);
        let handed = match frame.bytes().first() {
            Some(&kind::ONION_RESPONSE_1) => self.on_onion_response(frame.bytes_mut()),
            Some(&kind::FORWARD_REPLY) => self.on_forward_reply(frame.bytes()),
            Some(_) | None => Err(DropReason::UnknownKind),
        };
        match handed {
            Ok(()) => Disposition::Consumed,
            Err(reason) => {
                self.drop_packet(reason);
                Disposition::Dropped(reason)
            }
        }
    }

    /// `nonce | address | key | box`: goes on as 0x81.
    pub(super) fn on_onion_request(&mut self, at: usize, request: &[u8]) -> Result<(), CloseReason> {
        if request.len() <= REQUEST_OVER {
            return Err(CloseReason::Misuse);
        }
        let (nonce, rest) = request.split_at(NONCE_LEN);
        let (addr, layer) = rest.split_at(ONION_ADDR_LEN);
        let to = parse_addr(&mut Reader::new(addr));
        if 1 + NONCE_LEN + layer.len() + RETURN_1 > PACKET_MAX || layer.len() <= 2 * LAYER_LEN {
            self.drop_packet(DropReason::Malformed);
        } else if let Some(to) = to.filter(|to| may_send(self.conns.get(at).from, *to)) {
            let header = self.seal_header(at);
            if self.transmit(to, [&[kind::ONION_REQUEST_1], nonce, layer, &header]) {
                self.stats.onion_requests += 1;
            }
        } else {
            self.drop_packet(DropReason::BadAddress);
        }
        Ok(())
    }

    /// Goes on as 0x91.
    pub(super) fn on_forward_request(&mut self, at: usize, to: Endpoint, data: &[u8]) {
        if !may_send(self.conns.get(at).from, to) {
            return self.drop_packet(DropReason::BadAddress);
        }
        if !self.forwards.take(self.now) {
            return self.drop_packet(DropReason::RateLimited);
        }
        let Some(sendback) = self.sendback(at) else { return self.drop_packet(DropReason::NoRoom) };
        if self.transmit(to, [&[kind::FORWARDING, SENDBACK_LEN as u8], &sendback, data, &[]]) {
            self.stats.forwarded += 1;
        }
    }

    fn on_onion_response(&mut self, packet: &mut [u8]) -> Result<(), DropReason> {
        let (_, rest) = packet.split_first_mut().ok_or(DropReason::Malformed)?;
        let (header, payload) = rest.split_at_mut_checked(RETURN_1).ok_or(DropReason::Malformed)?;
        if !payload.first().is_some_and(|kind| is_response(*kind)) {
            return Err(DropReason::Forbidden);
        }
        let at = self.open_header(header)?;
        self.send(at, &[&[packet::ONION_RESPONSE], payload]).map_err(|_| DropReason::NoRoom)?;
        self.stats.onion_responses += 1;
        Ok(())
    }

    fn on_forward_reply(&mut self, packet: &[u8]) -> Result<(), DropReason> {
        let Forwarded { sendback, data, .. } = Forwarded::parse(packet).ok_or(DropReason::Malformed)?;
        let sendback = sendback.get(MARK_LEN..).ok_or(DropReason::Malformed)?;
        let inside = self.sendbacks.open(self.now, sendback).ok_or(DropReason::BadToken)?;
        let at = self.named(inside, FOR_FORWARDING)?;
        self.send(at, &[&[packet::FORWARDING], data]).map_err(|_| DropReason::NoRoom)
    }

    /// False, and counted, when too much waits.
    fn transmit(&mut self, to: Endpoint, parts: [&[u8]; 4]) -> bool {
        let mut addr = [0; ONION_ADDR_LEN];
        emit_addr(to, &mut Writer::new(&mut addr));
        let [a, b, c, d] = parts;
        let taken = self.pool.push(&mut self.datagrams, DATAGRAM_BLOCKS, false, &[&addr, a, b, c, d]).is_ok();
        if !taken {
            self.drop_packet(DropReason::NoRoom);
        }
        taken
    }

    /// For what is forwarded for a client.
    fn sendback(&self, at: usize) -> Option<Sendback> {
        let id = self.conns.id(at);
        let (index, serial) = (id.index.to_be_bytes(), id.serial.to_be_bytes());
        let proved = self.sendbacks.make(self.now, &[&[FOR_FORWARDING], &index, &serial])?;
        let mut sendback = Sendback::from_slice(&self.mark.of(&proved)).ok()?;
        sendback.extend_from_slice(&proved).ok()?;
        Some(sendback)
    }

    /// As long as an address in an onion layer: purpose 1, place 4, serial 8, zeros.
    fn seal_header(&mut self, at: usize) -> [u8; RETURN_STEP] {
        self.returns.rotate(self.now);
        let id = self.conns.id(at);
        let mut header = [0; RETURN_STEP];
        Writer::new(&mut header[NONCE_LEN + MAC_LEN..]).u8(FOR_ONION).u32(id.index).u64(id.serial);
        let mut nonce = Nonce::generate(&mut self.parts.rng);
        self.mark.put_on(&mut nonce);
        self.returns.seal(&self.parts.suite, &nonce, &mut header);
        header
    }

    /// The client that a header names, if it is still there.
    fn open_header(&mut self, header: &mut [u8]) -> Result<usize, DropReason> {
        self.returns.rotate(self.now);
        let text = self.returns.open(&self.parts.suite, header)?;
        self.named(text, FOR_ONION)
    }

    fn named(&self, text: &[u8], purpose: u8) -> Result<usize, DropReason> {
        let mut r = Reader::new(text);
        let (Some(found), Some(index), Some(serial)) = (r.u8(), r.u32(), r.u64()) else {
            return Err(DropReason::Malformed);
        };
        let at = self.conns.find(StreamId { index, serial }).filter(|at| self.conns.get(*at).is_client());
        at.filter(|_| found == purpose).ok_or(DropReason::NoRoute)
    }
}

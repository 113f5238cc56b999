//! Sendbacks of ours: where a reply goes, told by whoever brings it, and proved by a keyed hash.
//!
//! `tag 16 | where it goes | the sendback that it is to bring there, if any`. A sendback to one place stays the same
//! for an hour: the auths of DHT announcements, which are bound to it, would be refused otherwise. It is good in its
//! hour and in the next.

use crate::Endpoint;
use crate::crypto::{SharedKey, ct_eq, hmac_sha256};
use crate::time::Instant;
use crate::wire::forwarding::SENDBACK_LEN_MAX;
use crate::wire::{ADDRESS_LEN_MAX, Reader, Writer, emit_address, parse_address};
use core::time::Duration;
use rand_core::CryptoRng;

/// Length of one window (`forwarding.c`, SENDBACK_TIMEOUT).
pub(crate) const SENDBACK_LIFE: Duration = Duration::from_secs(3600);
const TAG_LEN: usize = 16;

/// A sendback on the stack.
pub(crate) type Sendback = heapless::Vec<u8, SENDBACK_LEN_MAX>;

/// Makes sendbacks and opens them.
#[derive(Debug)]
pub(crate) struct Sendbacks {
    secret: SharedKey,
}

impl Sendbacks {
    pub(crate) fn new(rng: &mut impl CryptoRng) -> Self {
        Self { secret: SharedKey::generate(rng) }
    }

    /// A sendback that opens to `inside`; `None` when it would be too long.
    pub(crate) fn make(&self, now: Instant, inside: &[&[u8]]) -> Option<Sendback> {
        let mut sendback = Sendback::new();
        sendback.extend_from_slice(&[0; TAG_LEN]).ok()?;
        for part in inside {
            sendback.extend_from_slice(part).ok()?;
        }
        let tag = self.tag(window(now), &sendback[TAG_LEN..]);
        sendback[..TAG_LEN].copy_from_slice(&tag);
        Some(sendback)
    }

    /// What is inside, if it is ours and not too old.
    pub(crate) fn open<'b>(&self, now: Instant, sendback: &'b [u8]) -> Option<&'b [u8]> {
        let (tag, inside) = sendback.split_at_checked(TAG_LEN)?;
        let window = window(now);
        let good = [window, window.wrapping_sub(1)].iter().any(|window| ct_eq(&self.tag(*window, inside), tag));
        good.then_some(inside)
    }

    fn tag(&self, window: u64, inside: &[u8]) -> [u8; TAG_LEN] {
        let hash = hmac_sha256(self.secret.as_bytes(), &[&window.to_be_bytes(), inside]);
        core::array::from_fn(|i| hash[i])
    }
}

/// Where a reply goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Back<'a> {
    /// To the client, as 0x91.
    Client(Endpoint),
    /// To the forwarder before us, as 0x92 with its own sendback.
    Forwarder(Endpoint, &'a [u8]),
}

const CLIENT: u8 = 0;
const FORWARDER: u8 = 1;

impl<'a> Back<'a> {
    /// Reads the inside of a sendback.
    pub(super) fn parse(inside: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(inside);
        let (what, at) = (r.u8()?, parse_address(&mut r)?);
        match what {
            CLIENT => r.end().map(|()| Self::Client(at)),
            FORWARDER => Some(Self::Forwarder(at, r.rest())),
            _ => None,
        }
    }

    /// A sendback that opens to this.
    pub(super) fn seal(&self, sendbacks: &Sendbacks, now: Instant) -> Option<Sendback> {
        let (what, at, rest) = match *self {
            Self::Client(at) => (CLIENT, at, &[][..]),
            Self::Forwarder(at, sendback) => (FORWARDER, at, sendback),
        };
        let mut head = [0; 1 + ADDRESS_LEN_MAX];
        let mut w = Writer::new(&mut head);
        emit_address(at, w.u8(what));
        let len = w.len();
        sendbacks.make(now, &[&head[..len], rest])
    }
}

fn window(now: Instant) -> u64 {
    now.since(Instant::ZERO).as_secs() / SENDBACK_LIFE.as_secs()
}

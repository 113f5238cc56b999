//! The layers of an onion path.
//!
//! ```text
//! 0x80  kind | nonce | our DHT key | box1{ addr B | key 2 | box2{ addr C | key 3 | box3{ addr D | payload } } }
//! 0x81  kind | nonce | key 2 | box2 | return 1            0x8c  kind | return 3 | payload
//! 0x82  kind | nonce | key 3 | box3 | return 2            0x8d  kind | return 2 | payload
//! to D  payload | return 3                                0x8e  kind | return 1 | payload
//! ```
//! One nonce serves all three boxes. Return n is `nonce | box{ addr of the sender | return n-1 }`, sealed by relay n
//! for itself.

use super::{ONION_ADDR_LEN, PACKET_MAX, Writer, emit_addr, kind};
use crate::crypto::{MAC_LEN, NONCE_LEN, Nonce, PUBLIC_KEY_LEN, PublicKey, SharedKey, Suite};
use crate::{DATAGRAM_MAX, Endpoint};

/// Length of a return header with nothing inside: what each relay adds.
pub const RETURN_STEP: usize = NONCE_LEN + MAC_LEN + ONION_ADDR_LEN;
/// Length of the return header behind a 0x81 packet and in front of a 0x8e payload.
pub const RETURN_1: usize = RETURN_STEP;
/// Length of the return header behind a 0x82 packet and in front of a 0x8d payload.
pub const RETURN_2: usize = 2 * RETURN_STEP;
/// Length of the return header behind a request at its node and in front of a 0x8c payload.
pub const RETURN_3: usize = 3 * RETURN_STEP;

/// Where the box starts in 0x80, 0x81 and 0x82.
pub const LAYER_BOX_AT: usize = 1 + NONCE_LEN + PUBLIC_KEY_LEN;
/// Where the next hop's address stands once the box is open; what is to be sent on follows it.
pub const LAYER_ADDR_AT: usize = LAYER_BOX_AT + MAC_LEN;
/// What one layer adds to its payload: key, authenticator, address.
pub const LAYER_LEN: usize = PUBLIC_KEY_LEN + MAC_LEN + ONION_ADDR_LEN;

/// Where the payload stands in a client's packet (0x80).
pub const PAYLOAD_AT: usize = 1 + NONCE_LEN + 3 * LAYER_LEN;
/// Longest payload of a client's packet.
pub const PAYLOAD_MAX: usize = PACKET_MAX - PAYLOAD_AT;
/// Longest payload of an answer (0x8c).
pub const RESPONSE_MAX: usize = PACKET_MAX - 1 - RETURN_3;

/// Shortest lengths that 0x80, 0x81, 0x82 must *exceed* (`onion.c` compares strictly).
pub const FORWARD_OVER: [usize; 3] =
    [PAYLOAD_AT, 1 + NONCE_LEN + 2 * LAYER_LEN + RETURN_1, 1 + NONCE_LEN + LAYER_LEN + RETURN_2];

/// One relay of a path, as its builder sees it.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// Where it is.
    pub at: Endpoint,
    /// The public key that it opens its layer with: our DHT key for the first, a temporary one for the others.
    pub public: &'a PublicKey,
    /// The secret half of `public` with the relay's DHT key.
    pub key: &'a SharedKey,
}

/// Wraps the `len` bytes (at most [`PAYLOAD_MAX`]) at `buf[PAYLOAD_AT..]` in place into a packet (0x80) that travels
/// through `hops` to `dest`. It is to be sent to `hops[0].at`; returns its length.
pub fn wrap(
    suite: &impl Suite,
    hops: &[Hop<'_>; 3],
    dest: Endpoint,
    nonce: &Nonce,
    buf: &mut [u8; DATAGRAM_MAX],
    len: usize,
) -> usize {
    let [first, second, third] = hops;
    let end = wrap_in(suite, &[(third, dest), (second, third.at), (first, second.at)], nonce, buf, len);
    Writer::new(buf).u8(kind::ONION_REQUEST_0).bytes(&nonce.0);
    end
}

/// Where the packet of [`wrap_relayed`] starts.
pub const RELAYED_AT: usize = LAYER_ADDR_AT - NONCE_LEN;

/// The same for a path that begins at a TCP relay, whose frames are the first layer; `hops` are the other two. What the
/// relay gets stands in `buf[RELAYED_AT..]` up to the returned end.
pub fn wrap_relayed(
    suite: &impl Suite,
    hops: &[Hop<'_>; 2],
    dest: Endpoint,
    nonce: &Nonce,
    buf: &mut [u8; DATAGRAM_MAX],
    len: usize,
) -> usize {
    let [second, third] = hops;
    let end = wrap_in(suite, &[(third, dest), (second, third.at)], nonce, buf, len);
    emit_addr(second.at, &mut Writer::new(&mut buf[LAYER_ADDR_AT..]));
    buf[RELAYED_AT..LAYER_ADDR_AT].copy_from_slice(&nonce.0);
    end
}

/// Wraps the payload in layers, the last hop first; each is told the next address. Returns where all ends.
fn wrap_in(
    suite: &impl Suite,
    layers: &[(&Hop<'_>, Endpoint)],
    nonce: &Nonce,
    buf: &mut [u8; DATAGRAM_MAX],
    len: usize,
) -> usize {
    debug_assert!(len > 0 && len <= PAYLOAD_MAX);
    let end = PAYLOAD_AT + len;
    let mut addr_at = PAYLOAD_AT - ONION_ADDR_LEN;
    for (hop, next) in layers {
        emit_addr(*next, &mut Writer::new(&mut buf[addr_at..]));
        let box_at = addr_at - MAC_LEN;
        suite.seal(hop.key, nonce, &mut buf[box_at..end]);
        buf[box_at - PUBLIC_KEY_LEN..box_at].copy_from_slice(&hop.public.0);
        addr_at -= LAYER_LEN;
    }
    end
}

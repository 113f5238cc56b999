//! Request ids without a table: an answer proves by its id that we asked, whom, and when.

use crate::time::Instant;
use crate::wire::NodeInfo;
use core::hash::Hasher;
use core::net::IpAddr;
use siphasher::sip::SipHasher13;

/// Ids change this often and stay good for one more window: an answer may take 5 to 10 s (`DHT.h`, PING_TIMEOUT).
const WINDOW_MICROS: u64 = 5_000_000;

/// Makes and checks request ids: a keyed hash of the request's kind, the node, and the time.
#[derive(Debug)]
pub(super) struct RequestIds {
    seed: [u8; 16],
}

impl RequestIds {
    pub(super) const fn new(seed: [u8; 16]) -> Self {
        Self { seed }
    }

    /// The id of a request of `kind` to `node`; never 0, which toxcore takes for invalid.
    pub(super) fn make(&self, now: Instant, kind: u8, node: &NodeInfo) -> u64 {
        self.of_window(now.micros() / WINDOW_MICROS, kind, node)
    }

    /// Whether `id` belongs to a request of `kind` that `node` was sent within this window or the one before.
    pub(super) fn check(&self, now: Instant, kind: u8, node: &NodeInfo, id: u64) -> bool {
        let window = now.micros() / WINDOW_MICROS;
        id == self.of_window(window, kind, node) || window > 0 && id == self.of_window(window - 1, kind, node)
    }

    fn of_window(&self, window: u64, kind: u8, node: &NodeInfo) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.seed);
        hasher.write_u8(kind);
        hasher.write(&node.key.0);
        match node.at.ip() {
            IpAddr::V4(ip) => hasher.write(&ip.octets()),
            IpAddr::V6(ip) => hasher.write(&ip.octets()),
        }
        hasher.write(&node.at.port().to_be_bytes());
        hasher.write(&window.to_be_bytes());
        hasher.finish().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Endpoint;
    use crate::crypto::PublicKey;
    use quickcheck::quickcheck;

    quickcheck! {
        fn good_for_five_to_ten_seconds_and_one_node(start: u32, delay_ms: u32, seed: u8) -> bool {
            let ids = RequestIds::new([seed; 16]);
            let node = NodeInfo { key: PublicKey([7; 32]), at: Endpoint::v4([1, 2, 3, 4], 5) };
            let (then, delay) = (Instant::from_millis(u64::from(start)), u64::from(delay_ms % 20_000));
            let now = Instant::from_millis(u64::from(start) + delay);
            let id = ids.make(then, 2, &node);
            let elsewhere = NodeInfo { at: Endpoint::v4([1, 2, 3, 4], 6), ..node };
            let other = NodeInfo { key: PublicKey([8; 32]), ..node };
            let good = ids.check(now, 2, &node, id);
            (delay > 5000 || good) && (delay < 10_000 || !good)
                && !ids.check(now, 0, &node, id) && !ids.check(now, 2, &elsewhere, id) && !ids.check(now, 2, &other, id)
                && !RequestIds::new([seed ^ 1; 16]).check(now, 2, &node, id)
        }
    }
}

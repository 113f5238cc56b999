//! Who was sent to may answer: filtering, with or without a NAT around it.

use super::{Address, Dependence, SWEEP_FROM, address};
use bluering_core::Endpoint;
use bluering_core::time::Instant;
use core::time::Duration;
use std::collections::BTreeMap;

/// Remote hosts that may answer, per mapping or firewall. When full, the quarter not used for longest is forgotten.
const PERMITS: usize = 16_384;

/// A stateful firewall: who was sent to may answer. It changes no addresses, as is usual for IPv6 (RFC 6092).
#[derive(Clone, Debug)]
pub struct Firewall {
    filtering: Dependence,
    expiry: Duration,
    permits: Permits<(Address, Address)>,
}

impl Firewall {
    /// A firewall that lets nothing in yet.
    #[must_use]
    pub const fn new(filtering: Dependence, expiry: Duration) -> Self {
        Self { filtering, expiry, permits: Permits::new() }
    }

    /// A packet goes out from `inner` to `to`. `now` never goes back.
    pub fn outbound(&mut self, now: Instant, inner: Endpoint, to: Endpoint) {
        self.permits.refresh(now, self.expiry, (address(inner), self.filtering.scope(to)));
    }

    /// Whether a packet from `from` may come in to `inner`. Packets in refresh nothing.
    #[must_use]
    pub fn inbound(&self, now: Instant, inner: Endpoint, from: Endpoint) -> bool {
        self.permits.allow(now, self.expiry, &(address(inner), self.filtering.scope(from)))
    }
}

/// When each remote host was last sent to.
#[derive(Clone, Debug)]
pub(super) struct Permits<K> {
    last: BTreeMap<K, Instant>,
    /// The number of entries at which to look for expired ones.
    sweep_at: usize,
}

impl<K: Ord> Permits<K> {
    pub(super) const fn new() -> Self {
        Self { last: BTreeMap::new(), sweep_at: SWEEP_FROM }
    }

    pub(super) fn allow(&self, now: Instant, expiry: Duration, key: &K) -> bool {
        self.last.get(key).is_some_and(|used| !now.reached(*used, expiry))
    }

    pub(super) fn refresh(&mut self, now: Instant, expiry: Duration, key: K) {
        if let Some(used) = self.last.get_mut(&key) {
            *used = now;
            return;
        }
        if self.last.len() >= self.sweep_at {
            self.sweep(now, expiry);
        }
        self.last.insert(key, now);
    }

    fn sweep(&mut self, now: Instant, expiry: Duration) {
        self.last.retain(|_, used| !now.reached(*used, expiry));
        let surplus = self.last.len().saturating_sub(PERMITS / 4 * 3);
        if surplus > 0 {
            let mut times: Vec<_> = self.last.values().copied().collect();
            let (_, oldest, _) = times.select_nth_unstable(surplus - 1);
            let oldest = *oldest;
            self.last.retain(|_, used| *used > oldest);
        }
        self.sweep_at = (self.last.len() * 2).clamp(SWEEP_FROM, PERMITS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INNER: Endpoint = Endpoint::v4([10, 0, 0, 1], 1);
    const EXPIRY: Duration = Duration::from_secs(30);

    /// Whether who was sent to, another port of it, and another host may come in.
    fn admitted(filtering: Dependence) -> [bool; 3] {
        let mut firewall = Firewall::new(filtering, EXPIRY);
        let now = Instant::from_secs(1);
        firewall.outbound(now, INNER, Endpoint::v4([1; 4], 1));
        [([1; 4], 1), ([1; 4], 2), ([2; 4], 1)].map(|(ip, port)| firewall.inbound(now, INNER, Endpoint::v4(ip, port)))
    }

    #[test]
    fn filtering_follows_its_dependence() {
        assert_eq!(admitted(Dependence::Endpoint), [true, true, true]);
        assert_eq!(admitted(Dependence::Address), [true, true, false]);
        assert_eq!(admitted(Dependence::AddressAndPort), [true, false, false]);
    }

    #[test]
    fn only_packets_out_keep_a_firewall_open() {
        let (mut firewall, remote) = (Firewall::new(Dependence::Endpoint, EXPIRY), Endpoint::v4([1; 4], 1));
        assert!(!firewall.inbound(Instant::from_secs(1), INNER, remote));
        firewall.outbound(Instant::from_secs(1), INNER, remote);
        assert!(!firewall.inbound(Instant::from_secs(1), Endpoint::v4([10, 0, 0, 2], 1), remote), "another inner host");
        firewall.outbound(Instant::from_secs(20), INNER, remote);
        assert!(firewall.inbound(Instant::from_secs(49), INNER, remote));
        assert!(!firewall.inbound(Instant::from_secs(50), INNER, remote));
    }

    /// A full table forgets who was not used for longest, and keeps the others.
    #[test]
    fn permits_are_bounded() {
        let mut permits = Permits::new();
        let at = |key: u64| Instant::from_millis(key);
        let hour = Duration::from_secs(3600);
        for key in 0..100_000 {
            permits.refresh(at(key), hour, key);
            assert!(permits.last.len() <= PERMITS);
            assert!(permits.allow(at(key), hour, &key));
        }
        let kept = PERMITS as u64 / 4 * 3;
        assert!((100_000 - kept..100_000).all(|key| permits.allow(at(100_000), hour, &key)));
        assert!(!permits.allow(at(100_000), hour, &(100_000 - PERMITS as u64 - 1)));
    }

    #[test]
    fn expired_permits_make_room_first() {
        let mut permits = Permits::new();
        (0..100_000).for_each(|key| permits.refresh(Instant::from_secs(key), EXPIRY, key));
        assert!(permits.last.len() <= SWEEP_FROM * 2);
    }
}

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

//! The relay client against relays that are right, and relays that lie.

use super::*;

/// Memory of the tables per entry.
#[test]
#[cfg_attr(target_arch = "x86", ignore = "a u64 is aligned to four bytes there, and entries are smaller")]
fn entries_stay_small() {
    assert!(size_of::<Relay>() <= 1200, "{}", size_of::<Relay>());
    assert!(size_of::<RelayPeer>() <= 256, "{}", size_of::<RelayPeer>());
}

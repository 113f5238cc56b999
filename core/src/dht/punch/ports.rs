//! Which port a translator will give, guessed from those that it gave for others.
//!
//! Translators that take another port for each whom their host talks to often take one near the last. So the ports
//! next to those named are tried first, then those farther away; what is near several is tried once. When that has
//! failed for long, all ports are tried in order as well, from the first that anybody may use.

/// The first port of the long way.
const LONG_WAY_FROM: u16 = 1024;

/// The `n`th guess around `ports`; `None` when it is none (no port, or nearer to another of them). They spread to both
/// sides, port by port.
pub(super) fn near(ports: &[u16], n: u32) -> Option<u16> {
    let count = u32::try_from(ports.len()).ok().filter(|count| *count > 0)?;
    let (around, distance, above) = ((n / 2) % count, n / (2 * count), n.is_multiple_of(2));
    if distance == 0 && !above {
        return None;
    }
    let from = u32::from(ports[around as usize]);
    let port = if above { from.checked_add(distance) } else { from.checked_sub(distance) };
    let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)?;
    let is_nearer = |(i, other): (usize, &u16)| {
        let other = u32::from(port.abs_diff(*other));
        other < distance || other == distance && i < around as usize
    };
    if ports.iter().enumerate().any(is_nearer) { None } else { Some(port) }
}

/// The `n`th guess of those who try all; from the first again after the last.
pub(super) const fn any(n: u16) -> u16 {
    LONG_WAY_FROM + n % (u16::MAX - LONG_WAY_FROM + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    #[test]
    fn examples() {
        let guesses = |ports: &[u16]| (0..40).filter_map(|n| near(ports, n)).take(8).collect::<Vec<_>>();
        assert_eq!(guesses(&[100]), [100, 101, 99, 102, 98, 103, 97, 104]);
        assert_eq!(guesses(&[12, 10, 11]), [12, 10, 11, 13, 9, 14, 8, 15]);
        assert_eq!(guesses(&[1, u16::MAX])[..4], [1, 65535, 2, 65534]);
        assert_eq!(near(&[], 0), None);
        assert_eq!((any(0), any(64_511), any(64_512)), (1024, 65_535, 1024));
    }

    quickcheck! {
        /// No port is tried twice, none is left out, and the nearest come first.
        fn every_port_once_in_order(ports: BTreeSet<u16>, rounds: u16) -> bool {
            let ports: Vec<u16> = ports.into_iter().filter(|port| *port != 0).take(6).collect();
            let distance = u32::from(rounds % 2000);
            let guesses: Vec<u16> =
                (0..(distance + 1) * 2 * ports.len() as u32).filter_map(|n| near(&ports, n)).collect();
            let far = |port: u16| ports.iter().map(|other| u32::from(port.abs_diff(*other))).min().unwrap_or(u32::MAX);
            let distinct: BTreeSet<u16> = guesses.iter().copied().collect();
            let all: BTreeSet<u16> = (1..=u16::MAX).filter(|port| far(*port) <= distance).collect();
            distinct.len() == guesses.len() && distinct == all && guesses.is_sorted_by_key(|port| far(*port))
        }
    }
}

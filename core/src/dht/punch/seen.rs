//! Where others see somebody: the address that each node last named for one key.
//!
//! A node can lie, and one machine can be many nodes. So all nodes at one address, and in one /64 of IPv6, have one
//! voice together, and an address counts when enough voices name it. A full table gives up the oldest voice.

use crate::Endpoint;
use crate::time::Instant;
use core::net::IpAddr;
use core::time::Duration;

/// Voices that are kept.
pub(in crate::dht) const VOICES: usize = 6;
/// A voice counts for so long: known nodes are asked once a minute.
const FRESH: Duration = Duration::from_secs(75);

/// What one node says.
#[derive(Clone, Copy, Debug)]
struct Voice {
    at: Endpoint,
    /// Whose voice it is.
    by: u32,
    /// When it was heard, in seconds.
    heard_s: u32,
}

impl Voice {
    const VACANT: Self = Self { at: Endpoint::UNSPECIFIED, by: 0, heard_s: 0 };

    fn is_fresh(&self, now: Instant) -> bool {
        self.at.is_usable() && u64::from(seconds(now).wrapping_sub(self.heard_s)) < FRESH.as_secs()
    }
}

/// What is said of one key.
#[derive(Clone, Copy, Debug)]
pub(in crate::dht) struct Seen([Voice; VOICES]);

/// The address that most voices name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dht) struct Agreed {
    pub(in crate::dht) ip: IpAddr,
    /// The ports named with it, each once, the newest first. Several: another one for each whom it talks to.
    pub(in crate::dht) ports: heapless::Vec<u16, VOICES>,
}

impl Seen {
    /// Nothing; all zeros.
    pub(in crate::dht) const NOTHING: Self = Self([Voice::VACANT; VOICES]);

    /// A node at `by` names `at`. True when that is news. Local addresses count for nothing: they are seen by
    /// neighbours only.
    pub(in crate::dht) fn say(&mut self, now: Instant, by: Endpoint, at: Endpoint) -> bool {
        if !at.is_usable() || at.is_lan() || by.is_lan() {
            return false;
        }
        let new = Voice { at, by: voice_of(by.ip()), heard_s: seconds(now) };
        let known = self.0.iter().position(|voice| voice.at.is_usable() && voice.by == new.by);
        let age = |voice: &Voice| if voice.at.is_usable() { new.heard_s.wrapping_sub(voice.heard_s) } else { u32::MAX };
        let oldest = || (0..VOICES).max_by_key(|i| age(&self.0[*i])).unwrap_or(0);
        let place = &mut self.0[known.unwrap_or_else(oldest)];
        let is_news = place.at != at || !place.is_fresh(now);
        *place = new;
        is_news
    }

    /// The address that most fresh voices name, of one family if asked for, if it is at least so many.
    pub(in crate::dht) fn agreed(&self, now: Instant, at_least: usize, is_v4: Option<bool>) -> Option<Agreed> {
        let fits = |voice: &&Voice| voice.is_fresh(now) && is_v4.is_none_or(|v4| voice.at.ip().is_ipv4() == v4);
        let fresh = || self.0.iter().filter(fits);
        let voices = |ip: IpAddr| fresh().filter(|voice| voice.at.ip() == ip).count();
        let ip = fresh().map(|voice| voice.at.ip()).max_by_key(|ip| voices(*ip))?;
        if voices(ip) < at_least {
            return None;
        }
        let age = |voice: &Voice| seconds(now).wrapping_sub(voice.heard_s);
        let mut named = heapless::Vec::<&Voice, VOICES>::new();
        // In its place, by hand: the standard library's sorting takes 6 KB of a microcontroller's flash.
        for voice in fresh().filter(|voice| voice.at.ip() == ip) {
            let place = named.iter().position(|other| age(voice) < age(other)).unwrap_or(named.len());
            // There are no more than all voices.
            let _ = named.insert(place, voice);
        }
        let mut ports = heapless::Vec::new();
        for port in named.iter().map(|voice| voice.at.port()) {
            if !ports.contains(&port) {
                // There are no more ports than voices.
                let _ = ports.push(port);
            }
        }
        Some(Agreed { ip, ports })
    }
}

/// All who have the same number have one voice.
fn voice_of(ip: IpAddr) -> u32 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits(),
        IpAddr::V6(ip) => {
            let prefix = (ip.to_bits() >> 64) as u64;
            (prefix >> 32) as u32 ^ prefix as u32
        }
    }
}

fn seconds(now: Instant) -> u32 {
    (now.micros() / 1_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    const NOW: Instant = Instant::from_secs(1000);

    fn node(n: u8) -> Endpoint {
        Endpoint::v4([203, 0, 113, n], 33445)
    }

    fn place(n: u8, port: u16) -> Endpoint {
        Endpoint::v4([198, 51, 100, n], port)
    }

    #[test]
    fn many_nodes_at_one_address_have_one_voice() {
        let mut seen = Seen::NOTHING;
        for port in 1..50 {
            seen.say(NOW, Endpoint::new(node(1).ip(), port), place(7, port));
        }
        assert_eq!(seen.agreed(NOW, 2, None), None);
        assert!(seen.say(NOW, node(2), place(7, 5)) && !seen.say(NOW, node(2), place(7, 5)));
        let agreed = seen.agreed(NOW, 2, None).unwrap();
        assert_eq!((agreed.ip, agreed.ports.len()), (place(7, 0).ip(), 2));
        let six = |tail: &str| Endpoint::new(tail.parse().unwrap(), 33445);
        let mut seen = Seen::NOTHING;
        for by in ["2001:db8:1:1::1", "2001:db8:1:1::2"] {
            seen.say(NOW, six(by), place(7, 1));
        }
        assert_eq!(seen.agreed(NOW, 2, None), None, "one /64");
        seen.say(NOW, six("2001:db8:1:2::1"), place(7, 1));
        assert!(seen.agreed(NOW, 2, None).is_some());
    }

    #[test]
    fn voices_get_old_and_the_oldest_makes_room() {
        let mut seen = Seen::NOTHING;
        let at = |s| NOW + Duration::from_secs(s);
        for n in 1..=VOICES as u8 {
            seen.say(at(u64::from(n)), node(n), place(1, 1));
        }
        assert!(seen.agreed(at(75), VOICES, None).is_some() && seen.agreed(at(76), VOICES, None).is_none());
        seen.say(at(20), node(99), place(2, 2));
        assert!(!seen.0.iter().any(|voice| voice.by == voice_of(node(1).ip())), "the oldest is gone");
        assert_eq!(seen.agreed(at(200), 1, None), None);
    }

    #[test]
    fn what_neighbours_see_does_not_count() {
        let mut seen = Seen::NOTHING;
        let home = Endpoint::v4([192, 168, 1, 7], 1);
        assert!(!seen.say(NOW, node(1), home) && !seen.say(NOW, home, place(1, 1)));
        assert_eq!(seen.agreed(NOW, 1, None), None);
    }

    quickcheck! {
        /// The address is one that no fewer voices name than any other, its ports are those named with it.
        fn the_majority_is_heard(said: Vec<(u8, u8, u8, u8)>) -> bool {
            let mut seen = Seen::NOTHING;
            let mut heard = BTreeMap::new();
            for (i, (by, ip, port, age)) in said.into_iter().enumerate() {
                let (by, at) = (by % VOICES as u8, place(ip % 3, 1 + u16::from(port % 4)));
                let when = NOW + Duration::from_secs(100 + (i as u64).min(30)) ;
                let when = if age < 40 { NOW } else { when };
                seen.say(when, node(by), at);
                heard.insert(by, (at, when));
            }
            let now = NOW + FRESH + Duration::from_secs(60);
            let fresh: Vec<Endpoint> =
                heard.values().filter(|(_, when)| !now.reached(*when, FRESH)).map(|(at, _)| *at).collect();
            let count = |ip: IpAddr| fresh.iter().filter(|at| at.ip() == ip).count();
            let most = fresh.iter().map(|at| count(at.ip())).max().unwrap_or(0);
            (1..=VOICES).all(|at_least| match seen.agreed(now, at_least, Some(true)) {
                None => most < at_least,
                Some(agreed) => {
                    let ports: std::collections::BTreeSet<u16> =
                        fresh.iter().filter(|at| at.ip() == agreed.ip).map(Endpoint::port).collect();
                    let named: std::collections::BTreeSet<u16> = agreed.ports.iter().copied().collect();
                    most >= at_least && count(agreed.ip) == most && named == ports
                        && named.len() == agreed.ports.len()
                }
            }) && seen.agreed(now, 1, Some(false)).is_none()
        }
    }
}

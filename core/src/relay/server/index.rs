//! Finding a client by its key, and counting connections by address.
//!
//! Peers choose both, so both hashes are keyed.

use crate::crypto::PublicKey;
use crate::storage::Mem;
use core::hash::Hasher;
use core::net::IpAddr;
use siphasher::sip::SipHasher13;

/// A hash table with open addressing: places of connections + 1, 0 for none. Keys stand in the connections themselves,
/// which `key_of` looks up.
#[derive(Debug)]
pub(super) struct KeyIndex<'s> {
    mem: Mem<'s, u32>,
    seed: [u8; 16],
    mask: usize,
}

impl<'s> KeyIndex<'s> {
    /// Empties `mem`, of which a power of two is used.
    pub(super) fn new(mut mem: Mem<'s, u32>, seed: [u8; 16]) -> Self {
        mem.fill(0);
        let mask = mem.len().checked_ilog2().map_or(0, |log| (1 << log) - 1);
        Self { mem, seed, mask }
    }

    pub(super) fn find<'k>(&self, key: &PublicKey, key_of: impl Fn(usize) -> &'k PublicKey) -> Option<usize> {
        self.place(key, key_of).map(|place| self.mem[place] as usize - 1)
    }

    /// Puts in a connection whose key is not there yet.
    pub(super) fn insert(&mut self, key: &PublicKey, conn: usize) {
        let mut place = self.home(key);
        while self.mem[place] != 0 {
            place = (place + 1) & self.mask;
        }
        self.mem[place] = conn as u32 + 1;
    }

    /// Takes a key out, and moves those behind it up that would be cut off.
    pub(super) fn remove<'k>(&mut self, key: &PublicKey, key_of: impl Fn(usize) -> &'k PublicKey) {
        let Some(mut hole) = self.place(key, &key_of) else { return };
        let mut at = hole;
        loop {
            at = (at + 1) & self.mask;
            let Some(conn) = self.mem[at].checked_sub(1) else { break };
            let home = self.home(key_of(conn as usize));
            // How far the entry is from its home, and how far the hole is behind the entry.
            if at.wrapping_sub(home) & self.mask >= at.wrapping_sub(hole) & self.mask {
                self.mem[hole] = conn + 1;
                hole = at;
            }
        }
        self.mem[hole] = 0;
    }

    fn place<'k>(&self, key: &PublicKey, key_of: impl Fn(usize) -> &'k PublicKey) -> Option<usize> {
        let mut place = self.home(key);
        loop {
            let conn = self.mem[place].checked_sub(1)?;
            if key_of(conn as usize) == key {
                return Some(place);
            }
            place = (place + 1) & self.mask;
        }
    }

    fn home(&self, key: &PublicKey) -> usize {
        let mut hasher = SipHasher13::new_with_key(&self.seed);
        hasher.write(&key.0);
        hasher.finish() as usize & self.mask
    }
}

/// How many connections each address has. An IPv6 address counts by its first 64 bits, which one host has alone. Two
/// addresses may share a counter; nobody can choose to.
#[derive(Debug)]
pub(super) struct Shares<'s> {
    mem: Mem<'s, u16>,
    seed: [u8; 16],
    limit: u16,
}

impl<'s> Shares<'s> {
    pub(super) fn new(mut mem: Mem<'s, u16>, seed: [u8; 16], limit: usize) -> Self {
        mem.fill(0);
        Self { mem, seed, limit: u16::try_from(limit).unwrap_or(u16::MAX) }
    }

    /// The counter of an address.
    pub(super) fn bucket(&self, ip: IpAddr) -> u32 {
        let mut hasher = SipHasher13::new_with_key(&self.seed);
        match ip {
            IpAddr::V4(ip) => hasher.write(&ip.octets()),
            IpAddr::V6(ip) => hasher.write(&ip.octets()[..8]),
        }
        (hasher.finish() % self.mem.len() as u64) as u32
    }

    pub(super) fn is_used_up(&self, bucket: u32) -> bool {
        self.mem[bucket as usize] >= self.limit
    }

    pub(super) fn take(&mut self, bucket: u32) {
        self.mem[bucket as usize] += 1;
    }

    pub(super) fn give(&mut self, bucket: u32) {
        self.mem[bucket as usize] -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::vec;
    use std::vec::Vec;

    quickcheck! {
        /// Whatever comes and goes, what is there is found and nothing else.
        fn finds_what_is_there(steps: Vec<u8>, seed: u8) -> bool {
            let keys: Vec<PublicKey> = (0..16).map(|n| PublicKey([n; 32])).collect();
            let mut mem = vec![0; 39];
            let mut index = KeyIndex::new(Mem::Borrowed(&mut mem), [seed; 16]);
            let mut there = [false; 16];
            steps.into_iter().all(|step| {
                let n = usize::from(step % 16);
                if there[n] {
                    index.remove(&keys[n], |i| &keys[i]);
                } else {
                    index.insert(&keys[n], n);
                }
                there[n] = !there[n];
                (0..16).all(|n| index.find(&keys[n], |i| &keys[i]) == there[n].then_some(n))
            })
        }
    }

    #[test]
    fn hosts_count_by_address_or_prefix() {
        let mut mem = vec![0; 1024];
        let mut shares = Shares::new(Mem::Borrowed(&mut mem), [3; 16], 2);
        let [a, b, other] = ["2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"]
            .map(|ip| shares.bucket(ip.parse::<IpAddr>().expect("an address")));
        assert!(a == b && a != other);
        shares.take(a);
        assert!(!shares.is_used_up(a));
        shares.take(b);
        assert!(shares.is_used_up(a) && !shares.is_used_up(other));
        shares.give(a);
        assert!(!shares.is_used_up(b));
    }
}

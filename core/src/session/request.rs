//! The list of missing packets in a request packet (spec "Crypto", packet id 1; wire-facts 2.6).
//!
//! Slots are counted from the packet's `recv_buffer_start`. Each byte is the distance from the slot after the last
//! named one, starting with 1, to the next missing slot; a zero byte skips 255 slots that are all there. Slots behind
//! the last byte are not spoken of. Every sequence of bytes has a meaning.

use crate::wire::session::CONTENT_LEN_MAX;

/// Room for the list behind the packet id.
pub(crate) const LIST_LEN_MAX: usize = CONTENT_LEN_MAX - 1;

/// Slots that a zero byte skips.
const SKIP: u32 = 255;

/// Writes which of the slots `0..end` are missing, given those that are `present` in ascending order. At most `limit`
/// missing ones are named, and no more than fit. Gives the length of the list.
pub(crate) fn encode(out: &mut [u8], present: impl Iterator<Item = u32>, end: u32, limit: usize) -> usize {
    let mut list = List { out, len: 0, slot: 0 };
    let (mut named, mut next) = (0, 0);
    for there in present.chain(core::iter::once(end)) {
        for missing in next..there.min(end) {
            if named == limit || !list.push(missing) {
                return list.len;
            }
            named += 1;
        }
        next = there.saturating_add(1);
    }
    while end - list.slot >= SKIP && list.skip() {}
    list.len
}

struct List<'a> {
    out: &'a mut [u8],
    len: usize,
    /// The first slot that is not spoken of yet.
    slot: u32,
}

impl List<'_> {
    fn push(&mut self, missing: u32) -> bool {
        while missing - self.slot >= SKIP {
            if !self.skip() {
                return false;
            }
        }
        let distance = missing - self.slot + 1;
        let written = self.byte(distance as u8);
        if written {
            self.slot = missing + 1;
        }
        written
    }

    fn skip(&mut self) -> bool {
        let written = self.byte(0);
        if written {
            self.slot += SKIP;
        }
        written
    }

    fn byte(&mut self, value: u8) -> bool {
        let Some(place) = self.out.get_mut(self.len) else { return false };
        *place = value;
        self.len += 1;
        true
    }
}

/// Reads a list slot by slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missing<'a> {
    list: &'a [u8],
    /// The first slot that the bytes read so far do not speak of.
    slot: u32,
    /// The missing slot that they name last.
    missing: Option<u32>,
}

/// What a list says of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Received,
    Missing,
    Nothing,
}

impl<'a> Missing<'a> {
    pub(crate) const fn new(list: &'a [u8]) -> Self {
        Self { list, slot: 0, missing: None }
    }

    /// What it says of `slot`; slots must be asked for in ascending order.
    pub(crate) fn of(&mut self, slot: u32) -> Said {
        while slot >= self.slot {
            let Some((byte, rest)) = self.list.split_first() else { return Said::Nothing };
            self.list = rest;
            let distance = if *byte == 0 { SKIP } else { u32::from(*byte) };
            self.slot += distance;
            self.missing = (*byte != 0).then_some(self.slot - 1);
        }
        if self.missing == Some(slot) { Said::Missing } else { Said::Received }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::vec::Vec;

    fn encoded(present: &[u32], end: u32, limit: usize) -> Vec<u8> {
        let mut out = [0; LIST_LEN_MAX];
        let len = encode(&mut out, present.iter().copied(), end, limit);
        out[..len].to_vec()
    }

    /// The rule as the protocol's text gives it: a counter from 1 that a named slot or a zero byte starts again.
    fn counted(there: &[bool]) -> Vec<u8> {
        let (mut out, mut n) = (Vec::new(), 1);
        for slot in there {
            match (slot, n) {
                (false, _) => out.push(n),
                (true, 255) => out.push(0),
                (true, _) => {
                    n += 1;
                    continue;
                }
            }
            n = 1;
        }
        out.truncate(LIST_LEN_MAX);
        out
    }

    #[test]
    fn examples() {
        assert_eq!(encoded(&[], 0, 9), []);
        assert_eq!(encoded(&[1, 2, 4], 5, 9), [1, 3]);
        assert_eq!(encoded(&(0..254).collect::<Vec<_>>(), 255, 9), [255]);
        assert_eq!(encoded(&(0..255).collect::<Vec<_>>(), 256, 9), [0, 1]);
        assert_eq!(encoded(&[], 20, 3), [1, 1, 1]);
        assert_eq!(encoded(&[], 20, 0), []);
        let mut list = Missing::new(&[0, 2]);
        assert_eq!(
            [0, 254, 255, 256, 257].map(|slot| list.of(slot)),
            [Said::Received, Said::Received, Said::Received, Said::Missing, Said::Nothing]
        );
    }

    quickcheck! {
        /// The list equals the counted one, and reading it tells exactly what is missing up to the last named slot.
        fn lists_survive(runs: Vec<(u16, bool)>) -> bool {
            let run = |&(n, v): &(u16, bool)| std::iter::repeat_n(v, usize::from(n % 600));
            let there: Vec<bool> = runs.iter().flat_map(run).collect();
            let present: Vec<u32> = (0..there.len() as u32).filter(|i| there[*i as usize]).collect();
            let list = encoded(&present, there.len() as u32, usize::MAX);
            let mut said = Missing::new(&list);
            let mut covered = true;
            list == counted(&there)
                && there.iter().enumerate().all(|(slot, there)| match said.of(slot as u32) {
                    Said::Received => covered && *there,
                    Said::Missing => covered && !there,
                    Said::Nothing => { covered = false; true }
                })
        }

        /// Any bytes can be read.
        fn noise_is_harmless(list: Vec<u8>) -> bool {
            let mut said = Missing::new(&list);
            (0..1000).filter(|slot| said.of(*slot) == Said::Missing).count() <= list.len()
        }
    }
}

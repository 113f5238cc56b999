//! Friend requests that wait for a person's word.

use bluering_core::crypto::PublicKey;
use heapless::Deque;

/// How many wait at most; when one more comes, the oldest goes.
pub const REQUESTS_MAX: usize = 4;

/// The number of a request. None is used twice, so an answer that comes too late finds nobody, not somebody else.
pub type Number = usize;

/// The requests, the oldest first.
#[derive(Debug, Default)]
pub struct Requests {
    waiting: Deque<(Number, PublicKey), REQUESTS_MAX>,
    next: Number,
}

impl Requests {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self { waiting: Deque::new(), next: 0 }
    }

    /// Remembers who asks, and gives the number; then the one that had to go for it. Somebody who asks again keeps the
    /// number.
    pub fn add(&mut self, key: PublicKey) -> (Number, Option<Number>) {
        if let Some((number, _)) = self.waiting.iter().find(|(_, known)| *known == key) {
            return (*number, None);
        }
        let oldest = if self.waiting.is_full() { self.waiting.pop_front() } else { None };
        let number = self.next;
        self.next += 1;
        let pushed = self.waiting.push_back((number, key));
        debug_assert!(pushed.is_ok(), "the oldest made room");
        (number, oldest.map(|(number, _)| number))
    }

    /// Takes out the request with a number.
    pub fn take(&mut self, number: Number) -> Option<PublicKey> {
        let mut taken = None;
        for _ in 0..self.waiting.len() {
            match self.waiting.pop_front() {
                Some((found, key)) if found == number => taken = Some(key),
                Some(other) => drop(self.waiting.push_back(other)),
                None => {}
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::vec::Vec;

    fn key(n: u8) -> PublicKey {
        PublicKey([n; 32])
    }

    #[test]
    fn the_oldest_goes_and_its_number_is_nobodys() {
        let mut requests = Requests::new();
        for n in 0..4 {
            assert_eq!(requests.add(key(n)), (n.into(), None));
        }
        assert_eq!(requests.add(key(2)), (2, None), "who asks again keeps the number");
        assert_eq!(requests.add(key(9)), (4, Some(0)));
        assert_eq!(requests.take(0), None);
        assert_eq!(requests.take(4), Some(key(9)));
        assert_eq!(requests.take(4), None);
        assert_eq!(requests.add(key(0)), (5, None));
    }

    quickcheck! {
        /// Against a list that keeps everything.
        fn it_is_the_end_of_a_list(deeds: Vec<(bool, u8)>) -> bool {
            let (mut requests, mut model) = (Requests::new(), Vec::<(Number, PublicKey)>::new());
            let mut next = 0;
            deeds.into_iter().all(|(is_new, n)| {
                if !is_new {
                    let at = model.iter().position(|(number, _)| *number == n.into());
                    return requests.take(n.into()) == at.map(|at| model.remove(at).1);
                }
                let known = model.iter().find(|(_, known)| *known == key(n)).map(|(number, _)| *number);
                let expected = known.map_or_else(
                    || {
                        let oldest = (model.len() == REQUESTS_MAX).then(|| model.remove(0).0);
                        model.push((next, key(n)));
                        next += 1;
                        (next - 1, oldest)
                    },
                    |number| (number, None),
                );
                requests.add(key(n)) == expected
            })
        }
    }
}

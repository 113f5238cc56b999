//! Who wants to speak with whom.
//!
//! A client may name 240 peers, and few name more than a dozen. So each has places for pages of eight, which come from
//! a pool. When a quarter of the pool is left, only those who have no page yet get one.

use crate::crypto::PublicKey;
use crate::storage::Mem;
use crate::wire::relay::{ROUTE_FIRST, ROUTES};

/// Routes of a page.
const PAGE: usize = 8;
/// Pages of a client.
const PAGES: usize = ROUTES / PAGE;
/// This part of the pool is for first pages.
const RESERVE: u32 = 4;

/// A peer that a client has named. All zeros when vacant.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) peer: PublicKey,
    /// When the peer has named us too.
    pub(super) link: Link,
    taken: bool,
    /// What the client is to be told.
    pub(super) due: Due,
}

/// The other end of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    /// Place of the other client's connection + 1; 0 for none.
    conn: u32,
    /// Our place among its routes.
    place: u8,
}

impl Link {
    pub(super) const NONE: Self = Self { conn: 0, place: 0 };

    pub(super) const fn to(conn: usize, place: usize) -> Self {
        Self { conn: conn as u32 + 1, place: place as u8 }
    }

    /// The connection and the place among its routes.
    pub(super) fn get(self) -> Option<(usize, usize)> {
        Some(((self.conn as usize).checked_sub(1)?, usize::from(self.place)))
    }
}

/// Notices that wait, in the order in which they are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) response: bool,
    pub(super) disconnected: bool,
    pub(super) connected: bool,
}

impl Due {
    const NONE: Self = Self { response: false, disconnected: false, connected: false };

    /// The peer is there now.
    pub(super) const fn connect(&mut self) {
        self.connected = true;
    }

    /// The peer has left. If the client does not know yet that it was there, it need not be told.
    pub(super) const fn disconnect(&mut self) {
        if self.connected {
            self.connected = false;
        } else {
            self.disconnected = true;
        }
    }
}

impl Route {
    const VACANT: Self = Self { peer: PublicKey::ZERO, link: Link::NONE, taken: false, due: Due::NONE };
}

/// A page of the pool.
#[derive(Debug)]
pub struct RoutePage {
    routes: [Route; PAGE],
    /// The next free page + 1.
    next: u32,
}

impl RoutePage {
    /// What static storage is filled with.
    pub const VACANT: Self = Self { routes: [const { Route::VACANT }; PAGE], next: 0 };
}

/// The pages of one client: places in the pool + 1.
#[derive(Debug)]
pub(super) struct RouteList([u32; PAGES]);

impl RouteList {
    pub(super) const EMPTY: Self = Self([0; PAGES]);
}

/// The id that a client uses for the peer at a place.
pub(super) const fn route_id(place: usize) -> u8 {
    ROUTE_FIRST + place as u8
}

/// The pool.
#[derive(Debug)]
pub(super) struct Routes<'s> {
    pages: Mem<'s, RoutePage>,
    free: u32,
    /// Pages from this place on were never used.
    fresh: u32,
    used: u32,
}

impl<'s> Routes<'s> {
    pub(super) const fn new(pages: Mem<'s, RoutePage>) -> Self {
        Self { pages, free: 0, fresh: 0, used: 0 }
    }

    pub(super) fn capacity(&self) -> usize {
        self.pages.len()
    }

    pub(super) const fn used(&self) -> usize {
        self.used as usize
    }

    pub(super) fn get(&self, list: &RouteList, place: usize) -> Option<&Route> {
        let page = list.0.get(place / PAGE)?.checked_sub(1)?;
        Some(&self.pages[page as usize].routes[place % PAGE]).filter(|route| route.taken)
    }

    pub(super) fn get_mut(&mut self, list: &RouteList, place: usize) -> Option<&mut Route> {
        let page = list.0.get(place / PAGE)?.checked_sub(1)?;
        Some(&mut self.pages[page as usize].routes[place % PAGE]).filter(|route| route.taken)
    }

    /// Where `peer` stands.
    pub(super) fn find(&self, list: &RouteList, peer: &PublicKey) -> Option<usize> {
        self.places(list).find(|place| self.get(list, *place).is_some_and(|route| route.peer == *peer))
    }

    /// The places that are taken, in order.
    pub(super) fn places(&self, list: &RouteList) -> impl Iterator<Item = usize> {
        let pages = list.0.iter().enumerate().filter(|(_, page)| **page != 0);
        let places = pages.flat_map(|(i, _)| i * PAGE..(i + 1) * PAGE);
        places.filter(|place| self.get(list, *place).is_some())
    }

    /// The first place from `from` on whose client is to be told something.
    pub(super) fn next_due(&self, list: &RouteList, from: usize) -> Option<usize> {
        (from..ROUTES).find(|place| self.get(list, *place).is_some_and(|route| route.due != Due::NONE))
    }

    /// Gives `peer` a place. `None` when all 240 are taken, or no page is to be had.
    pub(super) fn add(&mut self, list: &mut RouteList, peer: PublicKey) -> Option<usize> {
        let place = match self.vacancy(list) {
            Some(place) => place,
            None => self.take_page(list)? * PAGE,
        };
        let page = list.0[place / PAGE] - 1;
        self.pages[page as usize].routes[place % PAGE] = Route { peer, taken: true, ..Route::VACANT };
        Some(place)
    }

    /// Takes a route away.
    pub(super) fn remove(&mut self, list: &mut RouteList, place: usize) {
        let Some(page) = list.0.get(place / PAGE).and_then(|page| page.checked_sub(1)) else { return };
        let routes = &mut self.pages[page as usize].routes;
        routes[place % PAGE] = Route::VACANT;
        if routes.iter().all(|route| !route.taken) {
            self.give_page(page);
            list.0[place / PAGE] = 0;
        }
    }

    /// A free place on the pages that the client has.
    fn vacancy(&self, list: &RouteList) -> Option<usize> {
        list.0.iter().enumerate().find_map(|(i, page)| {
            let page = &self.pages[page.checked_sub(1)? as usize];
            Some(i * PAGE + page.routes.iter().position(|route| !route.taken)?)
        })
    }

    /// Adds a page to those of a client; its place among them.
    fn take_page(&mut self, list: &mut RouteList) -> Option<usize> {
        let capacity = self.capacity() as u32;
        let keep = if list.0.iter().any(|page| *page != 0) { capacity / RESERVE } else { 0 };
        let at = list.0.iter().position(|page| *page == 0)?;
        if capacity - self.used <= keep {
            return None;
        }
        list.0[at] = if self.free != 0 {
            let page = self.free;
            self.free = self.pages[page as usize - 1].next;
            page
        } else {
            self.fresh += 1;
            self.pages[self.fresh as usize - 1] = RoutePage::VACANT;
            self.fresh
        };
        self.used += 1;
        Some(at)
    }

    fn give_page(&mut self, page: u32) {
        self.pages[page as usize].next = self.free;
        self.free = page + 1;
        self.used -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    fn key(n: u16) -> PublicKey {
        let mut key = PublicKey::ZERO;
        key.0[..2].copy_from_slice(&n.to_be_bytes());
        key
    }

    #[test]
    fn first_pages_have_a_reserve() {
        let mut mem = [const { RoutePage::VACANT }; 8];
        let mut routes = Routes::new(Mem::Borrowed(&mut mem));
        let mut greedy = RouteList::EMPTY;
        let taken = (0..).take_while(|n| routes.add(&mut greedy, key(*n)).is_some()).count();
        assert_eq!((taken, routes.used()), (6 * PAGE, 6));
        let mut modest = [(); 3].map(|()| RouteList::EMPTY);
        assert_eq!(modest.each_mut().map(|list| routes.add(list, key(1))), [Some(0), Some(0), None]);
    }

    #[test]
    fn there_are_240_places() {
        let mut mem = [const { RoutePage::VACANT }; 64];
        let mut routes = Routes::new(Mem::Borrowed(&mut mem));
        let mut list = RouteList::EMPTY;
        for n in 0..ROUTES {
            assert_eq!(routes.add(&mut list, key(n as u16)), Some(n));
        }
        assert_eq!((routes.add(&mut list, key(999)), route_id(ROUTES - 1)), (None, 255));
        routes.remove(&mut list, 77);
        assert_eq!(routes.add(&mut list, key(999)), Some(77));
    }

    quickcheck! {
        /// Two clients name and leave peers; both lists stay what plain maps say.
        fn lists_are_maps(steps: Vec<(bool, bool, u8)>) -> bool {
            let mut mem = [const { RoutePage::VACANT }; 12];
            let mut routes = Routes::new(Mem::Borrowed(&mut mem));
            let mut lists = [RouteList::EMPTY, RouteList::EMPTY];
            let mut model: [BTreeMap<usize, PublicKey>; 2] = Default::default();
            for (who, add, n) in steps {
                let (list, map) = (&mut lists[usize::from(who)], &mut model[usize::from(who)]);
                let peer = key(u16::from(n % 64));
                match (add, routes.find(list, &peer)) {
                    (true, None) => if let Some(place) = routes.add(list, peer)
                        && map.insert(place, peer).is_some() { return false; },
                    (false, Some(place)) => {
                        routes.remove(list, place);
                        if map.remove(&place) != Some(peer) { return false; }
                    }
                    (true, Some(_)) | (false, None) => {}
                }
                if !routes.places(list).eq(map.keys().copied()) { return false; }
            }
            (0..2).for_each(|i| model[i].keys().for_each(|place| routes.remove(&mut lists[i], *place)));
            routes.used() == 0
        }
    }
}

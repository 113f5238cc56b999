//! Other addresses and long sleeps: everything that finds us, and those whom we talk to, again begins at once.

use super::{Node, OwnAddress};
use crate::cx::Env;
use crate::time::Instant;
use core::time::Duration;

/// Whoever wakes up so much later than asked has slept, with his machine or without it.
const OVERSLEPT: Duration = Duration::from_secs(10);

impl<E: Env> Node<'_, E> {
    /// The machine has other addresses or interfaces than before, or has slept without its clock. (Sleep that `now`
    /// counts is noticed without this.) All nodes and friends that are known are asked anew, sessions go on from here
    /// as soon as their peers hear it, and what was said of our address is forgotten.
    pub fn handle_network_change(&mut self, now: Instant) {
        self.input(now);
        self.start_over();
    }

    /// Our addresses as others see them, IPv4 first: each as soon as several nodes agree on it, until they are silent.
    pub fn own_addresses(&self) -> impl Iterator<Item = OwnAddress> {
        [true, false].into_iter().filter_map(|is_v4| self.dht.own_address(self.shared.now, is_v4))
    }

    /// To be called at each input.
    pub(super) fn notice_sleep(&mut self) {
        if self.alarm != Instant::FAR && self.shared.now.reached(self.alarm, OVERSLEPT) {
            self.law.input();
            self.start_over();
        }
    }

    fn start_over(&mut self) {
        let now = self.shared.now;
        self.alarm = Instant::FAR;
        if self.udp {
            self.dht.start_over(now);
        }
        self.onion.start_over(now);
        self.sessions.probe_all(now);
        self.friends.table.values_mut().for_each(|friend| friend.start_over(now));
        if E::RELAYS {
            self.relays.start_over(now);
            self.after_relays();
        }
    }
}

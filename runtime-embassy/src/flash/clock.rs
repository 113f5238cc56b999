//! The no-replay number of a device without a clock.
//!
//! Friends take an announcement of our DHT key only if its number, the Unix time for most, is higher than the last one
//! that they took (wire-facts 2.13). A device that starts at 1970 after each reset would not be heard. So the numbers
//! come from a clock that starts where no earlier run has been: flash holds a reservation, up to which numbers may have
//! been used, and the next run starts behind it. Reserving an hour at a time makes one write an hour of it.
//!
//! When the reservation cannot be saved, the numbers run on: friends still hear us, until the next reset.

use bluering_core::time::{Instant, UnixTime};
use core::time::Duration;

/// So many seconds are reserved at a time.
const AHEAD: u64 = 3600;
/// With so many left, the next are to be reserved.
const LEFT: u64 = 1800;
/// Where a device starts that has neither a reservation nor a clock: an identity that came from elsewhere has used
/// numbers up to some date.
const FIRST: u64 = 1_767_225_600;
/// Later times are no times: milliseconds given for seconds, for instance. The clock could not come back from them.
const LAST: u64 = 1 << 40;

/// Hands out times that no earlier run of the device has used.
#[derive(Clone, Debug)]
pub struct NoReplayClock {
    /// The number as of `at`.
    unix: u64,
    at: Instant,
    /// Numbers up to this are ours: it is on flash.
    reserved: u64,
    /// The node has to be told.
    news: bool,
}

impl NoReplayClock {
    /// A clock that starts behind `reservation`, as the snapshot has it; 0 for a new device.
    #[must_use]
    pub const fn new(reservation: u64, now: Instant) -> Self {
        let unix = if reservation < FIRST { FIRST } else { reservation.saturating_add(1) };
        Self { unix, at: now, reserved: reservation, news: true }
    }

    /// The wall clock, from an application that has one. Only forward: false when it is behind, or nonsense.
    pub fn set(&mut self, now: Instant, unix: UnixTime) -> bool {
        let forward = unix.0 > self.number(now) && unix.0 <= LAST;
        if forward {
            (self.unix, self.at, self.news) = (unix.0, now, true);
        }
        forward
    }

    /// What a snapshot that is written now has to hold.
    #[must_use]
    pub fn reservation(&self, now: Instant) -> u64 {
        self.reserved.max(self.number(now).saturating_add(AHEAD))
    }

    /// As [`reservation`](Self::reservation), but what is reserved already serves as long as no more is needed.
    #[must_use]
    pub fn reservation_needed(&self, now: Instant) -> u64 {
        if self.is_save_due(now) { self.reservation(now) } else { self.reserved }
    }

    /// A snapshot with this reservation is on flash.
    pub fn saved(&mut self, reservation: u64) {
        self.reserved = self.reserved.max(reservation);
    }

    /// Whether a snapshot is to be saved now, before the reserved numbers run out.
    #[must_use]
    pub fn is_save_due(&self, now: Instant) -> bool {
        self.number(now).saturating_add(LEFT) > self.reserved
    }

    /// When [`is_save_due`](Self::is_save_due) turns true.
    #[must_use]
    pub fn save_due_at(&self) -> Instant {
        // The first whole second whose number leaves less than `LEFT`.
        let seconds = (self.reserved + 1).saturating_sub(self.unix.saturating_add(LEFT));
        self.at + Duration::from_secs(seconds)
    }

    /// What to tell [`Node::handle_clock`](bluering_core::Node::handle_clock), when there is something new and it is
    /// reserved. The node counts on from there by itself, as this clock does.
    pub fn hand_over(&mut self, now: Instant) -> Option<UnixTime> {
        let number = self.number(now);
        if !self.news || number > self.reserved {
            return None;
        }
        self.news = false;
        Some(UnixTime(number))
    }

    /// The present number.
    #[must_use]
    pub fn number(&self, now: Instant) -> u64 {
        self.unix.saturating_add(now.since(self.at).as_secs())
    }
}

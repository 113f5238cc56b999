//! Over any sequence of boots, power cuts and times, no number is used twice and none goes back.

use crate::flash::NoReplayClock;
use bluering_core::time::{Instant, UnixTime};
use core::time::Duration;
use quickcheck::{Arbitrary, Gen, quickcheck};
use std::vec::Vec;

#[derive(Clone, Debug)]
enum Step {
    /// So many milliseconds pass: less than half an hour, as the runtime wakes when a save is due.
    Wait(u32),
    /// The application sets the wall clock, in seconds around what is plausible.
    Set(u64),
    /// Power goes; what was being saved may have been or not.
    Cut { saved: bool },
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Self {
        match u8::arbitrary(g) % 8 {
            0 => Self::Cut { saved: bool::arbitrary(g) },
            1 => {
                let times = [0, 1_767_225_599, 1_767_225_600, 1_767_300_000, 1_800_000_000, 1 << 40, u64::MAX];
                Self::Set(g.choose(&times).unwrap().saturating_add(u64::from(u16::arbitrary(g))))
            }
            _ => Self::Wait(u32::arbitrary(g) % 1_799_999),
        }
    }
}

/// A device: what its flash holds, and the numbers that its node uses.
struct Device {
    flash: u64,
    clock: NoReplayClock,
    /// What the node was handed, and when.
    node: Option<(u64, Instant)>,
    /// The highest number used in earlier runs, and in this one.
    earlier: u64,
    last: u64,
}

impl Device {
    /// What the runtime does whenever it is awake; `cut`: power goes at the save.
    fn wake(&mut self, now: Instant, cut: Option<bool>) {
        if self.clock.is_save_due(now) {
            assert!(self.clock.save_due_at() <= now);
            let reservation = self.clock.reservation(now);
            if cut != Some(false) {
                self.flash = reservation;
            }
            if cut.is_none() {
                self.clock.saved(reservation);
            }
        } else {
            assert!(self.clock.save_due_at() > now);
        }
        if cut.is_none()
            && let Some(UnixTime(number)) = self.clock.hand_over(now)
        {
            self.node = Some((number, now));
        }
        if let Some((number, since)) = self.node {
            let number = number + now.since(since).as_secs();
            assert!(number > self.earlier && number >= self.last, "{number} after {} and {}", self.earlier, self.last);
            assert!(number <= self.flash, "{number} is not reserved");
            self.last = number;
        }
    }

    fn boot(&mut self, now: Instant) {
        self.clock = NoReplayClock::new(self.flash, now);
        (self.node, self.earlier) = (None, self.last);
    }
}

quickcheck! {
    fn no_number_is_used_twice(steps: Vec<Step>) -> bool {
        let mut now = Instant::from_millis(77);
        let clock = NoReplayClock::new(0, now);
        let mut device = Device { flash: 0, clock, node: None, earlier: 0, last: 0 };
        device.wake(now, None);
        for step in steps {
            match step {
                Step::Wait(millis) => now = now + Duration::from_millis(millis.into()),
                Step::Set(unix) => {
                    let before = device.clock.number(now);
                    let forward = device.clock.set(now, UnixTime(unix));
                    assert_eq!(forward, unix > before && unix <= 1 << 40);
                    assert_eq!(device.clock.number(now), if forward { unix } else { before });
                }
                Step::Cut { saved } => {
                    device.wake(now, Some(saved));
                    now = Instant::from_millis(5);
                    device.boot(now);
                }
            }
            device.wake(now, None);
            assert!(device.node.is_some());
        }
        true
    }
}

#[test]
fn an_hour_is_reserved_at_a_time() {
    let mut now = Instant::ZERO;
    let mut clock = NoReplayClock::new(0, now);
    assert_eq!(clock.hand_over(now), None, "not before it is on flash");
    let mut saves = 0;
    while now < Instant::from_secs(86_400) {
        assert!(clock.is_save_due(now));
        clock.saved(clock.reservation(now));
        saves += 1;
        assert!(!clock.is_save_due(now));
        now = clock.save_due_at();
    }
    assert_eq!(saves, 48);
    assert_eq!(clock.hand_over(Instant::ZERO), Some(UnixTime(1_767_225_600)));
    assert_eq!(clock.hand_over(now), None, "the node counts on by itself");
}

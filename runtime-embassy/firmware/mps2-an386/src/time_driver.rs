//! The clock and the alarm of embassy-time, without a tick.
//!
//! Timer 0 counts down freely at 25 MHz and interrupts only when it wraps, every 171.8 s: how often it did, and where
//! it is, is the time. Timer 1 is set to the next moment that a task waits for. So the processor sleeps until something
//! is due.

use crate::interrupts::Interrupt;
use crate::mmio::{Device, Register};
use core::cell::{Cell, RefCell};
use core::task::Waker;
use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

/// Ticks of the timers in a microsecond.
pub(crate) const TICKS_PER_MICROSECOND: u32 = 25;
/// An alarm is never set for longer (86 s); what is due later is looked at again then.
const LONGEST_ALARM: u64 = 1 << 31;

const CONTROL: Register = Device::Timer0.at(0x0);
const VALUE: Register = Device::Timer0.at(0x4);
const RELOAD: Register = Device::Timer0.at(0x8);
const INTERRUPT: Register = Device::Timer0.at(0xc);

const ALARM_CONTROL: Register = Device::Timer1.at(0x0);
const ALARM_VALUE: Register = Device::Timer1.at(0x4);
const ALARM_RELOAD: Register = Device::Timer1.at(0x8);
const ALARM_INTERRUPT: Register = Device::Timer1.at(0xc);

const RUN: u32 = 1;
const RUN_AND_INTERRUPT: u32 = RUN | 1 << 3;

struct Clock {
    wraps: Mutex<Cell<u32>>,
    queue: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock {
    wraps: Mutex::new(Cell::new(0)),
    queue: Mutex::new(RefCell::new(Queue::new())),
});

/// Starts the clock at `ticks`, which a test chooses to see the wrap soon.
pub(crate) fn start(ticks: u32) {
    CONTROL.write(0);
    RELOAD.write(u32::MAX);
    VALUE.write(u32::MAX - ticks);
    INTERRUPT.write(1);
    CONTROL.write(RUN_AND_INTERRUPT);
    ALARM_CONTROL.write(0);
    ALARM_INTERRUPT.write(1);
    Interrupt::Timer0.enable();
    Interrupt::Timer1.enable();
}

/// Ticks of 40 ns since the start.
pub(crate) fn ticks() -> u64 {
    critical_section::with(|cs| {
        let (wraps, low) = CLOCK.read(cs);
        u64::from(wraps) << 32 | u64::from(low)
    })
}

/// How often the timer has wrapped since the start.
#[must_use]
pub fn wraps() -> u32 {
    critical_section::with(|cs| CLOCK.read(cs).0)
}

pub(crate) fn on_wrap() {
    critical_section::with(|cs| CLOCK.count_wrap(cs));
}

pub(crate) fn on_alarm() {
    critical_section::with(|cs| {
        ALARM_CONTROL.write(0);
        ALARM_INTERRUPT.write(1);
        CLOCK.wake_due(cs);
    });
}

impl Clock {
    /// Wraps and ticks since the last. A wrap that no interrupt has told of yet is counted here.
    fn read(&self, cs: CriticalSection<'_>) -> (u32, u32) {
        let mut value = value();
        if INTERRUPT.read() != 0 {
            self.count_wrap(cs);
            value = self::value();
        }
        (self.wraps.borrow(cs).get(), u32::MAX - value)
    }

    fn count_wrap(&self, cs: CriticalSection<'_>) {
        if INTERRUPT.read() != 0 {
            INTERRUPT.write(1);
            let wraps = self.wraps.borrow(cs);
            wraps.set(wraps.get().wrapping_add(1));
        }
    }

    fn wake_due(&self, cs: CriticalSection<'_>) {
        let mut queue = self.queue.borrow_ref_mut(cs);
        let mut next = queue.next_expiration(self.now());
        while !self.set_alarm(cs, next) {
            next = queue.next_expiration(self.now());
        }
    }

    /// Sets the alarm for a moment; `false` when that has passed.
    fn set_alarm(&self, cs: CriticalSection<'_>, at: u64) -> bool {
        ALARM_CONTROL.write(0);
        if at == u64::MAX {
            return true;
        }
        let (wraps, low) = self.read(cs);
        let now = u64::from(wraps) << 32 | u64::from(low);
        let due = at.saturating_mul(u64::from(TICKS_PER_MICROSECOND));
        if due <= now {
            return false;
        }
        ALARM_RELOAD.write(0);
        ALARM_VALUE.write((due - now).min(LONGEST_ALARM) as u32);
        ALARM_CONTROL.write(RUN_AND_INTERRUPT);
        true
    }
}

impl Driver for Clock {
    fn now(&self) -> u64 {
        let (wraps, low) = critical_section::with(|cs| self.read(cs));
        microseconds(wraps, low)
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|cs| {
            if self.queue.borrow_ref_mut(cs).schedule_wake(at, waker) {
                self.wake_due(cs);
            }
        });
    }
}

/// The timer's value, never zero: that lasts a tick, and belongs to the time before the wrap by the value but to the
/// time after it by the interrupt.
fn value() -> u32 {
    loop {
        match VALUE.read() {
            0 => {}
            value => return value,
        }
    }
}

/// `(wraps * 2^32 + low) / 25`, by divisions of 32 bits only, as 2^32 is `25 * WHOLE + REST`.
fn microseconds(wraps: u32, low: u32) -> u64 {
    const WHOLE: u64 = (1 << 32) / TICKS_PER_MICROSECOND as u64;
    const REST: u32 = ((1 << 32) % TICKS_PER_MICROSECOND as u64) as u32;
    let rest = low % TICKS_PER_MICROSECOND + wraps.wrapping_mul(REST);
    u64::from(wraps) * WHOLE + u64::from(low / TICKS_PER_MICROSECOND) + u64::from(rest / TICKS_PER_MICROSECOND)
}

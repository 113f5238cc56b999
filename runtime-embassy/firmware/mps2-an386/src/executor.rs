//! The executor's loop, which knows how long the processor was awake.
//!
//! It sleeps by WFI with interrupts masked: a pending interrupt ends the sleep all the same, but is served only after
//! the time of waking has been taken. So the time of interrupt handlers counts as busy.
//!
//! The stock executor of Cortex-M sleeps by WFE, which QEMU takes as a yield.

use crate::time_driver::ticks;
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, Ordering};
use critical_section::Mutex;
use embassy_executor::Spawner;
use embassy_executor::raw::Executor;
use static_cell::StaticCell;

/// With `-icount shift=0` QEMU runs an instruction per nanosecond, and a tick of the timer is 40.
const INSTRUCTIONS_PER_TICK: u64 = 40;

static EXECUTOR: StaticCell<Executor> = StaticCell::new();
static WORK: AtomicBool = AtomicBool::new(true);
static AWAKE: Mutex<Cell<Awake>> = Mutex::new(Cell::new(Awake { before: 0, since: 0, times: 0 }));

#[derive(Clone, Copy)]
struct Awake {
    /// Ticks of the times awake before this one.
    before: u64,
    /// When it woke, in ticks.
    since: u64,
    /// How often it woke.
    times: u32,
}

/// The processor is awake, since now.
pub(crate) fn start() {
    critical_section::with(|cs| AWAKE.borrow(cs).set(Awake { before: 0, since: ticks(), times: 0 }));
}

/// Runs tasks for ever; `init` spawns the first ones.
pub fn run(init: impl FnOnce(Spawner)) -> ! {
    let executor: &'static Executor = EXECUTOR.init_with(|| Executor::new(core::ptr::null_mut()));
    init(executor.spawner());
    loop {
        // SAFETY: only here, and `run` cannot be entered twice because `init_with` would panic.
        unsafe { executor.poll() };
        sleep();
    }
}

/// Instructions executed since boot, under QEMU's `-icount shift=0`. It counts in grains of 40; without `-icount` it is
/// nanoseconds awake.
#[must_use]
pub fn busy_instructions() -> u64 {
    let awake = critical_section::with(|cs| AWAKE.borrow(cs).get());
    (awake.before + (ticks() - awake.since)) * INSTRUCTIONS_PER_TICK
}

/// How often the processor has woken since boot.
#[must_use]
pub fn wakeups() -> u32 {
    critical_section::with(|cs| AWAKE.borrow(cs).get()).times
}

fn sleep() {
    critical_section::with(|cs| {
        if WORK.swap(false, Ordering::Relaxed) {
            return;
        }
        let cell = AWAKE.borrow(cs);
        let awake = cell.get();
        let before = awake.before + (ticks() - awake.since);
        cortex_m::asm::dsb();
        cortex_m::asm::wfi();
        cell.set(Awake { before, since: ticks(), times: awake.times.wrapping_add(1) });
    });
}

#[unsafe(export_name = "__pender")]
fn pend(_: *mut ()) {
    WORK.store(true, Ordering::Relaxed);
}

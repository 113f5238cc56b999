//! The board: a Cortex-M4F with Ethernet, as QEMU's `mps2-an386` plays it.
//!
//! [`init`] starts its devices and gives them out, once: the console, the network, a flash, entropy and the text of the
//! configuration. [`executor`] runs the tasks and knows how many instructions they took, [`stack`] how much RAM. What a
//! board in QEMU has not, the host gives by semihosting: entropy, a file that is the flash, and an exit code.
//!
//! There is no allocator.

#![no_std]

pub mod config;
pub mod executor;
pub mod flash;
mod interrupts;
pub mod lan9118;
mod mmio;
pub mod semihost;
pub mod stack;
pub mod time_driver;
pub mod uart;

use core::panic::PanicInfo;
use cortex_m::peripheral::SCB;
use cortex_m_rt::{ExceptionFrame, exception};

/// What the board is called.
pub const NAME: &str = "mps2-an386";
/// Exit code of a program that was stopped by what it was given: its configuration, its files.
pub const EXIT_CONFIG: u32 = 2;
/// Exit code of a broken program.
pub const EXIT_PANIC: u32 = 101;

/// All that the board has.
pub struct Board {
    /// Where lines of the console come from.
    pub console_in: uart::Reader,
    /// Where lines of the console go.
    pub console_out: uart::Writer,
    /// The network, for embassy-net.
    pub net: lan9118::Lan9118,
    /// 64 KiB that stay.
    pub flash: flash::FlashFile,
    /// Of the host's random source.
    pub entropy: [u8; 32],
    /// The text of the configuration.
    pub config: &'static [u8],
}

/// Starts the devices. Stops with a line on the console when the host refuses a file, or there is no end to the
/// configuration.
///
/// # Panics
/// When it is called a second time.
#[must_use]
pub fn init() -> Board {
    init_at(0)
}

/// As [`init`], with the clock at some ticks of 40 ns already, for a test of the clock.
///
/// # Panics
/// When it is called a second time.
#[must_use]
pub fn init_at(ticks: u32) -> Board {
    assert!(cortex_m::Peripherals::take().is_some(), "the board has been given out");
    time_driver::start(ticks);
    executor::start();
    let (console_in, console_out) = uart::start();
    let Some(config) = config::text() else { stop("config error: longer than 4096 bytes") };
    let Ok(entropy) = semihost::entropy() else { stop("entropy: the host does not give /dev/urandom") };
    let Ok(flash) = flash::FlashFile::open() else { stop("flash: the host does not give flash.bin") };
    let net = lan9118::Lan9118::start();
    Board { console_in, console_out, net, flash, entropy, config }
}

/// Ends the program for what it was given, with a last line on the console.
pub fn stop(why: &str) -> ! {
    uart::write_now(format_args!("{why}\n"));
    semihost::exit(EXIT_CONFIG)
}

/// Starts the board anew, as its button would.
pub fn reset() -> ! {
    SCB::sys_reset()
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // Not even where: the names of all files that could panic are more flash than is left.
    uart::write_now(format_args!("panicked\n"));
    semihost::exit(EXIT_PANIC)
}

#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    uart::write_now(format_args!("hard fault at {:#010x}\n", frame.pc()));
    semihost::exit(EXIT_PANIC)
}

//! Which interrupt belongs to whom.

use crate::{lan9118, time_driver, uart};
use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;
use cortex_m_rt::exception;

/// The interrupts in use, by their numbers on the board.
#[derive(Clone, Copy)]
#[repr(u16)]
pub(crate) enum Interrupt {
    UartReceive = 0,
    UartTransmit = 1,
    Timer0 = 8,
    Timer1 = 9,
    Lan9118 = 13,
}

// SAFETY: each number is the interrupt of one device, and they are below the 240 of a Cortex-M.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

impl Interrupt {
    /// Lets it happen from now on. What was pending from before the device was set up is forgotten.
    pub(crate) fn enable(self) {
        NVIC::unpend(self);
        // SAFETY: the handlers below share data with the program through critical sections only, so none is broken by
        // it.
        unsafe { NVIC::unmask(self) }
    }
}

#[exception]
unsafe fn DefaultHandler(irqn: i16) {
    match irqn {
        0 => uart::on_receive(),
        1 => uart::on_transmit(),
        8 => time_driver::on_wrap(),
        9 => time_driver::on_alarm(),
        13 => lan9118::on_interrupt(),
        _ => panic!("interrupt {irqn} has no handler"),
    }
}

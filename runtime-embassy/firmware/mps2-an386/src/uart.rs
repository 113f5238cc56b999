//! The console: UART 0.
//!
//! The device holds one byte each way. A received one is taken by its interrupt into a small buffer; when that is full,
//! the byte stays in the device and its interrupt off until the buffer has been read, so that QEMU keeps the rest and
//! nothing is lost. (A real line would overrun.) A byte is sent when the device has room for it, and its interrupt
//! tells when.

use crate::interrupts::Interrupt;
use crate::mmio::{Device, Register};
use core::convert::Infallible;
use core::fmt::{self, Write as _};
use core::future::poll_fn;
use core::task::{Context, Poll};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::pipe::Pipe;
use embassy_sync::waitqueue::AtomicWaker;
use embedded_io_async::{ErrorType, Read, Write};

const RECEIVED_MAX: usize = 64;

const DATA: Register = Device::Uart0.at(0x0);
const STATE: Register = Device::Uart0.at(0x4);
const CONTROL: Register = Device::Uart0.at(0x8);
const INTERRUPT: Register = Device::Uart0.at(0xc);
const DIVISOR: Register = Device::Uart0.at(0x10);

const TRANSMIT: u32 = 1;
const RECEIVE: u32 = 1 << 1;
/// In [`STATE`]: the device has no room; in [`CONTROL`] the interrupts are two bits higher.
const TRANSMIT_FULL: u32 = 1;
const RECEIVE_FULL: u32 = 1 << 1;
const TRANSMIT_INTERRUPT: u32 = 1 << 2;
const RECEIVE_INTERRUPT: u32 = 1 << 3;

static RECEIVED: Pipe<CriticalSectionRawMutex, RECEIVED_MAX> = Pipe::new();
static ROOM: AtomicWaker = AtomicWaker::new();

/// The receiving half.
pub struct Reader(());

/// The sending half.
pub struct Writer(());

/// Starts the device: 115200 baud at 25 MHz.
pub(crate) fn start() -> (Reader, Writer) {
    DIVISOR.write(217);
    INTERRUPT.write(0xf);
    CONTROL.write(TRANSMIT | RECEIVE | RECEIVE_INTERRUPT);
    Interrupt::UartReceive.enable();
    Interrupt::UartTransmit.enable();
    (Reader(()), Writer(()))
}

/// Writes without sleeping, for a program that is about to end.
pub(crate) fn write_now(text: fmt::Arguments<'_>) {
    struct Now;
    impl fmt::Write for Now {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for byte in text.bytes() {
                while STATE.read() & TRANSMIT_FULL != 0 {}
                DATA.write(byte.into());
            }
            Ok(())
        }
    }
    CONTROL.write(CONTROL.read() | TRANSMIT);
    // It never fails.
    let _ = Now.write_fmt(text);
}

impl ErrorType for Reader {
    type Error = Infallible;
}

impl Read for Reader {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        let length = RECEIVED.read(buf).await;
        critical_section::with(|_| {
            CONTROL.write(CONTROL.read() | RECEIVE_INTERRUPT);
            // What has stayed in the device interrupts no more.
            take_received();
        });
        Ok(length)
    }
}

impl ErrorType for Writer {
    type Error = Infallible;
}

impl Write for Writer {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for byte in bytes {
            poll_fn(poll_room).await;
            DATA.write((*byte).into());
        }
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        poll_fn(poll_room).await;
        Ok(())
    }
}

fn poll_room(cx: &mut Context<'_>) -> Poll<()> {
    if STATE.read() & TRANSMIT_FULL == 0 {
        return Poll::Ready(());
    }
    ROOM.register(cx.waker());
    enable(TRANSMIT_INTERRUPT);
    // It may have become free before the interrupt was on.
    if STATE.read() & TRANSMIT_FULL == 0 { Poll::Ready(()) } else { Poll::Pending }
}

fn enable(interrupt: u32) {
    critical_section::with(|_| CONTROL.write(CONTROL.read() | interrupt));
}

fn disable(interrupt: u32) {
    critical_section::with(|_| CONTROL.write(CONTROL.read() & !interrupt));
}

pub(crate) fn on_receive() {
    INTERRUPT.write(RECEIVE);
    take_received();
}

fn take_received() {
    while STATE.read() & RECEIVE_FULL != 0 {
        if RECEIVED.is_full() {
            disable(RECEIVE_INTERRUPT);
            return;
        }
        // It has room for one.
        let _ = RECEIVED.try_write(&[DATA.read() as u8]);
    }
}

pub(crate) fn on_transmit() {
    INTERRUPT.write(TRANSMIT);
    disable(TRANSMIT_INTERRUPT);
    ROOM.wake();
}

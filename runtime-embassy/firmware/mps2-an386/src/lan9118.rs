//! Ethernet: the LAN9118, for embassy-net.
//!
//! Frames are copied between its FIFOs and one buffer each way. Each cause of interrupt is off from when it has
//! happened until somebody waits for it again, so a flood costs one interrupt per waking, not one per frame. What
//! arrives faster than it is read is dropped by the device, which holds some 10 KB.
//!
//! All multicast is let through: IPv6 finds its neighbours by it.

use crate::interrupts::Interrupt;
use crate::mmio::{Device, Register};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Context;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::waitqueue::AtomicWaker;
use static_cell::ConstStaticCell;

/// The longest frame, without its check sum.
const FRAME_MAX: usize = 1514;
const FRAME_WORDS: usize = FRAME_MAX.div_ceil(4);
const CHECKSUM: usize = 4;
/// What the FIFO needs to take any frame, with its two words of command.
const SEND_ROOM: u32 = (FRAME_WORDS as u32 + 2) * 4;
/// The device answers within far fewer reads, or never.
const PATIENCE: usize = 1_000_000;

const RX_DATA: Register = Device::Lan9118.at(0x00);
const TX_DATA: Register = Device::Lan9118.at(0x20);
const RX_STATUS: Register = Device::Lan9118.at(0x40);
const TX_STATUS: Register = Device::Lan9118.at(0x48);
const IRQ_CFG: Register = Device::Lan9118.at(0x54);
const INT_STS: Register = Device::Lan9118.at(0x58);
const INT_EN: Register = Device::Lan9118.at(0x5c);
const BYTE_TEST: Register = Device::Lan9118.at(0x64);
const FIFO_INT: Register = Device::Lan9118.at(0x68);
const RX_CFG: Register = Device::Lan9118.at(0x6c);
const TX_CFG: Register = Device::Lan9118.at(0x70);
const HW_CFG: Register = Device::Lan9118.at(0x74);
const RX_FIFO_INF: Register = Device::Lan9118.at(0x7c);
const TX_FIFO_INF: Register = Device::Lan9118.at(0x80);
const MAC_CSR_CMD: Register = Device::Lan9118.at(0xa4);
const MAC_CSR_DATA: Register = Device::Lan9118.at(0xa8);

/// Causes of interrupt, in [`INT_STS`] and [`INT_EN`].
const INT_PHY: u32 = 1 << 18;
const INT_SEND_ROOM: u32 = 1 << 9;
const INT_RECEIVED: u32 = 1 << 3;

/// Registers behind [`MAC_CSR_CMD`].
const MAC_CR: u32 = 1;
const MAC_ADDRH: u32 = 2;
const MAC_ADDRL: u32 = 3;
const MAC_MII_ACC: u32 = 6;
const MAC_MII_DATA: u32 = 7;
const CSR_BUSY: u32 = 1 << 31;
const CSR_READ: u32 = 1 << 30;

/// Registers of the PHY, behind [`MAC_MII_ACC`].
const PHY_CONTROL: u32 = 0;
const PHY_STATUS: u32 = 1;
const PHY_INT_SOURCE: u32 = 29;
const PHY_INT_MASK: u32 = 30;
const PHY_LINK_UP: u32 = 1 << 2;
/// Negotiated, and link down.
const PHY_INT_LINK: u32 = 1 << 6 | 1 << 4;

/// Words, because the FIFOs are read and written by words.
type Frame = [u32; FRAME_WORDS];

static RECEIVED: ConstStaticCell<Frame> = ConstStaticCell::new([0; FRAME_WORDS]);
static TO_SEND: ConstStaticCell<Frame> = ConstStaticCell::new([0; FRAME_WORDS]);
static WAKER: AtomicWaker = AtomicWaker::new();
static LINK_CHANGED: AtomicBool = AtomicBool::new(true);

/// The device.
pub struct Lan9118 {
    address: [u8; 6],
    link: LinkState,
    received: &'static mut Frame,
    to_send: &'static mut Frame,
}

impl Lan9118 {
    /// Resets and starts it, with the address that its EEPROM (in QEMU: `mac=`) gave it.
    pub(crate) fn start() -> Self {
        wait_until(|| BYTE_TEST.read() == 0x8765_4321);
        HW_CFG.write(1);
        wait_until(|| HW_CFG.read() & 1 == 0);
        // An interrupt is a high level on a driven line.
        IRQ_CFG.write(1 << 8 | 1 << 4 | 1);
        // Tell of any frame received, and of room for any frame, in units of 64 bytes.
        FIFO_INT.write(SEND_ROOM.div_ceil(64) << 24);
        INT_STS.write(u32::MAX);
        // Negotiate, from the start.
        phy_write(PHY_CONTROL, 1 << 12 | 1 << 9);
        phy_write(PHY_INT_MASK, PHY_INT_LINK);
        // Full duplex, all multicast, send and receive.
        mac_write(MAC_CR, 1 << 20 | 1 << 19 | 1 << 3 | 1 << 2);
        RX_CFG.write(0);
        TX_CFG.write(1 << 1);
        INT_EN.write(0);
        Interrupt::Lan9118.enable();
        Self { address: address(), link: LinkState::Down, received: RECEIVED.take(), to_send: TO_SEND.take() }
    }

    /// Takes the next good frame out of the FIFO; its length.
    fn take_frame(&mut self) -> Option<usize> {
        while received_any() {
            let status = RX_STATUS.read();
            let (length, bad) = ((status >> 16 & 0x3fff) as usize, status & 1 << 15 != 0);
            for i in 0..length.div_ceil(4) {
                let word = RX_DATA.read();
                if let Some(at) = self.received.get_mut(i) {
                    *at = word;
                }
            }
            if !bad && (CHECKSUM..=FRAME_MAX + CHECKSUM).contains(&length) {
                return Some(length - CHECKSUM);
            }
        }
        None
    }
}

impl Driver for Lan9118 {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = ToSend<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received<'_>, ToSend<'_>)> {
        WAKER.register(cx.waker());
        if !room(INT_SEND_ROOM, may_send) || !room(INT_RECEIVED, received_any) {
            return None;
        }
        let length = self.take_frame()?;
        Some((Received { frame: bytes_of(self.received, length) }, ToSend { words: self.to_send }))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<ToSend<'_>> {
        WAKER.register(cx.waker());
        room(INT_SEND_ROOM, may_send).then_some(ToSend { words: self.to_send })
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        WAKER.register(cx.waker());
        if LINK_CHANGED.swap(false, Ordering::Relaxed) {
            // Reading the source ends the interrupt. The status remembers a link lost since it was last read.
            phy_read(PHY_INT_SOURCE);
            enable(INT_PHY);
            phy_read(PHY_STATUS);
            let up = phy_read(PHY_STATUS) & PHY_LINK_UP != 0;
            self.link = if up { LinkState::Up } else { LinkState::Down };
        }
        self.link
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = FRAME_MAX;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.address)
    }
}

/// A frame that has been received.
pub struct Received<'a> {
    frame: &'a mut [u8],
}

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        f(self.frame)
    }
}

/// Room for a frame.
pub struct ToSend<'a> {
    words: &'a mut Frame,
}

impl TxToken for ToSend<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let result = f(bytes_of(self.words, length));
        // The whole frame in one buffer: its first and its last segment.
        TX_DATA.write(1 << 13 | 1 << 12 | length as u32);
        TX_DATA.write(length as u32);
        for word in &self.words[..length.div_ceil(4)] {
            TX_DATA.write(*word);
        }
        result
    }
}

pub(crate) fn on_interrupt() {
    let fired = INT_STS.read() & INT_EN.read();
    INT_EN.write(INT_EN.read() & !fired);
    if fired & INT_PHY != 0 {
        LINK_CHANGED.store(true, Ordering::Relaxed);
    }
    WAKER.wake();
}

/// Whether `is_so`; when not, the interrupt tells when it may be.
fn room(interrupt: u32, is_so: fn() -> bool) -> bool {
    if is_so() {
        return true;
    }
    enable(interrupt);
    // It may have come about before.
    is_so()
}

fn enable(interrupt: u32) {
    critical_section::with(|_| {
        INT_STS.write(interrupt);
        INT_EN.write(INT_EN.read() | interrupt);
    });
}

fn received_any() -> bool {
    RX_FIFO_INF.read() >> 16 & 0xff != 0
}

/// Whether there is room for a frame. What became of the ones before is taken note of, or its FIFO would fill.
fn may_send() -> bool {
    let mut state = TX_FIFO_INF.read();
    while state >> 16 & 0xff != 0 {
        TX_STATUS.read();
        state = TX_FIFO_INF.read();
    }
    state & 0xffff >= SEND_ROOM
}

fn address() -> [u8; 6] {
    let [a, b, c, d] = mac_read(MAC_ADDRL).to_le_bytes();
    let [e, f, ..] = mac_read(MAC_ADDRH).to_le_bytes();
    [a, b, c, d, e, f]
}

fn mac_read(register: u32) -> u32 {
    MAC_CSR_CMD.write(CSR_BUSY | CSR_READ | register);
    wait_until(|| MAC_CSR_CMD.read() & CSR_BUSY == 0);
    MAC_CSR_DATA.read()
}

fn mac_write(register: u32, value: u32) {
    MAC_CSR_DATA.write(value);
    MAC_CSR_CMD.write(CSR_BUSY | register);
    wait_until(|| MAC_CSR_CMD.read() & CSR_BUSY == 0);
}

fn phy_read(register: u32) -> u32 {
    phy_access(register << 6);
    mac_read(MAC_MII_DATA)
}

fn phy_write(register: u32, value: u32) {
    mac_write(MAC_MII_DATA, value);
    phy_access(register << 6 | 1 << 1);
}

/// The PHY inside has the address 1.
fn phy_access(command: u32) {
    mac_write(MAC_MII_ACC, 1 << 11 | command | 1);
    wait_until(|| mac_read(MAC_MII_ACC) & 1 == 0);
}

fn wait_until(is_so: impl Fn() -> bool) {
    assert!((0..PATIENCE).any(|_| is_so()), "the LAN9118 does not answer");
}

/// The first `length` bytes of a frame.
fn bytes_of(words: &mut Frame, length: usize) -> &mut [u8] {
    assert!(length <= FRAME_MAX, "longer than a frame");
    // SAFETY: a word is four bytes without padding, any bytes are a word, and the length is within the array.
    unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), length) }
}

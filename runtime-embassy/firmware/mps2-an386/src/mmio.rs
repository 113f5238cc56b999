//! Registers of the board's devices. Every address that can be made here lies in the page of one of them.

/// The devices that the firmware drives, by the address of their registers.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Device {
    Timer0 = 0x4000_0000,
    Timer1 = 0x4000_1000,
    Uart0 = 0x4000_4000,
    Lan9118 = 0x4020_0000,
}

impl Device {
    /// Size of a device's registers.
    const PAGE: u32 = 0x1000;

    /// The register at `offset`.
    pub(crate) const fn at(self, offset: u32) -> Register {
        assert!(offset < Self::PAGE && offset.is_multiple_of(4), "no register");
        Register(self as u32 + offset)
    }
}

/// A register of 32 bits.
#[derive(Clone, Copy)]
pub(crate) struct Register(u32);

impl Register {
    pub(crate) fn read(self) -> u32 {
        // SAFETY: `Device::at` makes only aligned addresses of device registers, which Rust keeps nothing at.
        unsafe { (self.0 as *const u32).read_volatile() }
    }

    pub(crate) fn write(self, value: u32) {
        // SAFETY: as above; no device of ours reads or writes memory by itself.
        unsafe { (self.0 as *mut u32).write_volatile(value) }
    }
}

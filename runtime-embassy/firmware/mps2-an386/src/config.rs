//! The configuration text: QEMU's loader has put it into the PSRAM before boot, ended by a zero byte.
//!
//!     -device loader,file=bot.conf,addr=0x21000000,force-raw=on
//!
//! A file without a zero at its end will do, because the memory behind it is zero.

const TEXT: *const u8 = 0x2100_0000 as *const u8;

/// The longest text.
pub const LENGTH_MAX: usize = 4096;

/// The text without its zero; empty when there is none, `None` when it does not end.
pub(crate) fn text() -> Option<&'static [u8]> {
    // SAFETY: the PSRAM is 16 MiB of memory from there on. The reads are volatile because no code of ours has written
    // it.
    let length = (0..LENGTH_MAX).find(|&i| unsafe { TEXT.add(i).read_volatile() } == 0)?;
    // SAFETY: as above; and nothing writes to the PSRAM while the program runs.
    Some(unsafe { core::slice::from_raw_parts(TEXT, length) })
}

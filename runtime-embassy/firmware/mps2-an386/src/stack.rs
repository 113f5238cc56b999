//! How much RAM the program takes: the statics, by the linker's word, and the stack, by the paint it has worn off.

use core::ptr::addr_of;
use cortex_m_rt::STACK_PAINT_VALUE;

unsafe extern "C" {
    static __sdata: u32;
    static __edata: u32;
    static __sbss: u32;
    static __ebss: u32;
    static _stack_end: u32;
    static _stack_start: u32;
}

/// Bytes of `.data` and `.bss`.
#[must_use]
pub fn statics() -> usize {
    (addr_of!(__edata) as usize - addr_of!(__sdata) as usize) + (addr_of!(__ebss) as usize - addr_of!(__sbss) as usize)
}

/// Bytes that the stack has at all: what the statics leave of the RAM.
#[must_use]
pub fn size() -> usize {
    addr_of!(_stack_start) as usize - addr_of!(_stack_end) as usize
}

/// Bytes of the stack that have been used at least once. cortex-m-rt painted all of them at boot. It reads all that
/// was never used: some six instructions for each word.
#[must_use]
pub fn used() -> usize {
    let bottom = addr_of!(_stack_end);
    let words = size() / 4;
    // SAFETY: every word lies between the statics and the stack's start, in RAM; the reads are volatile because what is
    // in use changes beside them.
    let painted = (0..words).take_while(|&i| unsafe { bottom.add(i).read_volatile() } == STACK_PAINT_VALUE).count();
    (words - painted) * 4
}

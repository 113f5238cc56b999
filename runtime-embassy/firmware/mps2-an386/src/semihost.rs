//! What the host gives by semihosting: files, and an end with an exit code.

use cortex_m_semihosting::{nr, syscall};

/// Ends with a code of the program's choice; the crate knows only success and failure.
const EXIT_EXTENDED: usize = 0x20;
const APPLICATION_EXIT: usize = 0x20026;

/// The host refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// Ends the program, and QEMU with it.
pub fn exit(code: u32) -> ! {
    loop {
        // SAFETY: the operation takes a reason and a code.
        unsafe { syscall(EXIT_EXTENDED, &[APPLICATION_EXIT, code as usize]) };
    }
}

/// From the host's random source.
pub(crate) fn entropy() -> Result<[u8; 32], Refused> {
    let mut bytes = [0; 32];
    File::open(c"/dev/urandom", nr::open::R_BINARY)?.read(&mut bytes)?;
    Ok(bytes)
}

/// A file of the host. Whoever ends QEMU loses nothing that has been written.
pub(crate) struct File {
    handle: usize,
}

impl File {
    /// Opens it; `mode` is one of [`nr::open`].
    pub(crate) fn open(name: &core::ffi::CStr, mode: usize) -> Result<Self, Refused> {
        // SAFETY: the operation takes a name that ends with zero, a mode, and the name's length without the zero.
        let handle = unsafe { syscall(nr::OPEN, &[name.as_ptr() as usize, mode, name.count_bytes()]) };
        if handle == usize::MAX { Err(Refused) } else { Ok(Self { handle }) }
    }

    pub(crate) fn length(&self) -> Result<usize, Refused> {
        // SAFETY: the operation takes a handle that is open.
        let length = unsafe { syscall(nr::FLEN, &[self.handle]) };
        if length == usize::MAX { Err(Refused) } else { Ok(length) }
    }

    pub(crate) fn seek(&mut self, offset: usize) -> Result<(), Refused> {
        // SAFETY: the operation takes an open handle and an offset.
        nothing_left(unsafe { syscall(nr::SEEK, &[self.handle, offset]) })
    }

    /// Fills `buf`.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> Result<(), Refused> {
        // SAFETY: the operation takes an open handle and memory to write to, which is ours alone.
        nothing_left(unsafe { syscall(nr::READ, &[self.handle, buf.as_mut_ptr() as usize, buf.len()]) })
    }

    /// Writes all of `bytes`.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        // SAFETY: the operation takes an open handle and memory to read.
        nothing_left(unsafe { syscall(nr::WRITE, &[self.handle, bytes.as_ptr() as usize, bytes.len()]) })
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: the operation takes an open handle, which nobody uses after this.
        unsafe { syscall(nr::CLOSE, &[self.handle]) };
    }
}

fn nothing_left(left: usize) -> Result<(), Refused> {
    if left == 0 { Ok(()) } else { Err(Refused) }
}

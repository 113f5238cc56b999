//! A NOR flash, which the board in QEMU has not: a file of the host, `flash.bin` in QEMU's working directory.
//!
//! It is as forgetful as a real one: erasing a page sets its bits, writing only clears some. Whatever was written is in
//! the file at once, so it outlives a reset, and QEMU too, at whatever moment that is ended.

use crate::semihost::{File, Refused};
use cortex_m_semihosting::nr;
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

/// Bytes of the flash.
pub const SIZE: usize = 64 * 1024;
/// Bytes that are erased at once.
pub const PAGE: usize = 4096;
/// Bytes that are written at once.
pub const WORD: usize = 4;

const NAME: &core::ffi::CStr = c"flash.bin";
const ERASED: u8 = 0xff;
/// How much goes through the stack at once.
const CHUNK: usize = 128;

/// The flash.
pub struct FlashFile {
    file: File,
}

/// Why the flash failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashError {
    /// Not at a multiple of what is read, written or erased at once.
    NotAligned,
    /// Beyond its end.
    OutOfBounds,
    /// The host did not read or write its file.
    Host,
}

impl FlashFile {
    /// Opens the file; one that is missing or short (its making was cut off) is as if erased from there on.
    pub(crate) fn open() -> Result<Self, Refused> {
        let file =
            File::open(NAME, nr::open::RW_BINARY).or_else(|Refused| File::open(NAME, nr::open::RW_TRUNC_BINARY))?;
        let length = file.length()?;
        let mut flash = Self { file };
        if length < SIZE {
            flash.fill(length, SIZE)?;
        }
        Ok(flash)
    }

    fn fill(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        self.file.seek(from)?;
        let mut left = to - from;
        while left > 0 {
            let length = left.min(CHUNK);
            self.file.write(&[ERASED; CHUNK][..length])?;
            left -= length;
        }
        Ok(())
    }

    fn clear_bits(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Refused> {
        let mut buf = [0; CHUNK];
        for (i, chunk) in bytes.chunks(CHUNK).enumerate() {
            let at = offset + i * CHUNK;
            let stored = &mut buf[..chunk.len()];
            self.file.seek(at)?;
            self.file.read(stored)?;
            for (old, new) in stored.iter_mut().zip(chunk) {
                *old &= new;
            }
            self.file.seek(at)?;
            self.file.write(stored)?;
        }
        Ok(())
    }
}

impl ErrorType for FlashFile {
    type Error = FlashError;
}

impl ReadNorFlash for FlashFile {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        let offset = checked(offset, bytes.len(), 1)?;
        self.file.seek(offset)?;
        Ok(self.file.read(bytes)?)
    }

    fn capacity(&self) -> usize {
        SIZE
    }
}

impl NorFlash for FlashFile {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        let length = to.checked_sub(from).ok_or(FlashError::OutOfBounds)? as usize;
        let from = checked(from, length, PAGE)?;
        Ok(self.fill(from, from + length)?)
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let offset = checked(offset, bytes.len(), WORD)?;
        Ok(self.clear_bits(offset, bytes)?)
    }
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            Self::Host => NorFlashErrorKind::Other,
        }
    }
}

impl From<Refused> for FlashError {
    fn from(_: Refused) -> Self {
        Self::Host
    }
}

/// The offset, when a range that begins there lies within the flash and is of whole units.
fn checked(offset: u32, length: usize, unit: usize) -> Result<usize, FlashError> {
    let offset = offset as usize;
    if offset > SIZE || length > SIZE - offset {
        return Err(FlashError::OutOfBounds);
    }
    if !offset.is_multiple_of(unit) || !length.is_multiple_of(unit) {
        return Err(FlashError::NotAligned);
    }
    Ok(offset)
}

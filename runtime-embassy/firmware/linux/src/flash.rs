//! A file that behaves like NOR flash: erased bytes are `FF`, and a write can only clear bits.
//!
//! What is written is on the disk before the call returns, as on a board. The call blocks for as long: so does flash.

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Size of the file: as much as a board spares.
pub(crate) const SIZE: usize = 64 * 1024;
const PAGE: usize = 4096;
const WORD: usize = 4;
const ERASED: u8 = 0xFF;

/// The flash.
#[derive(Debug)]
pub(crate) struct FileFlash(File);

impl FileFlash {
    /// Opens the file, or makes it. What it is too short by is erased flash.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        // Two bots with one identity would take each other's place in the network.
        file.try_lock().map_err(io::Error::from)?;
        let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        if len > SIZE {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{len} bytes, at most {SIZE} are possible"),
            ));
        }
        file.write_all_at(&vec![ERASED; SIZE - len], len as u64)?;
        file.sync_all()?;
        Ok(Self(file))
    }
}

impl ErrorType for FileFlash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for FileFlash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check(offset as usize, bytes.len(), Self::READ_SIZE)?;
        self.0.read_exact_at(bytes, offset.into()).map_err(failed)
    }

    fn capacity(&self) -> usize {
        SIZE
    }
}

impl NorFlash for FileFlash {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        let len = to.checked_sub(from).ok_or(NorFlashErrorKind::OutOfBounds)? as usize;
        check(from as usize, len, PAGE)?;
        self.put(from, &vec![ERASED; len])
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check(offset as usize, bytes.len(), WORD)?;
        let mut cells = vec![0; bytes.len()];
        self.read(offset, &mut cells).await?;
        cells.iter_mut().zip(bytes).for_each(|(cell, byte)| *cell &= byte);
        self.put(offset, &cells)
    }
}

impl FileFlash {
    fn put(&self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.0.write_all_at(bytes, offset.into()).and_then(|()| self.0.sync_data()).map_err(failed)
    }
}

/// The store knows what to do about it; a person may want to know why.
fn failed(why: io::Error) -> NorFlashErrorKind {
    eprintln!("flash: {why}");
    NorFlashErrorKind::Other
}

fn check(offset: usize, len: usize, unit: usize) -> Result<(), NorFlashErrorKind> {
    if !offset.is_multiple_of(unit) || !len.is_multiple_of(unit) {
        return Err(NorFlashErrorKind::NotAligned);
    }
    match offset.checked_add(len) {
        Some(end) if end <= SIZE => Ok(()),
        Some(_) | None => Err(NorFlashErrorKind::OutOfBounds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embassy_futures::block_on;
    use quickcheck::quickcheck;
    use std::path::PathBuf;

    /// A file of its own for a test, removed afterwards.
    struct Temporary(PathBuf);

    impl Temporary {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("bluering-flash-{}-{name}", std::process::id()));
            let _ = std::fs::remove_file(&path);
            Self(path)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn read(flash: &mut FileFlash, offset: u32, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        block_on(flash.read(offset, &mut bytes)).unwrap();
        bytes
    }

    #[test]
    fn a_new_file_is_erased_and_a_kept_one_is_kept() {
        let file = Temporary::new("kept");
        let mut flash = FileFlash::open(&file.0).unwrap();
        assert_eq!(read(&mut flash, 0, SIZE), vec![ERASED; SIZE]);
        block_on(flash.write(4096, b"tox!")).unwrap();
        assert!(FileFlash::open(&file.0).is_err(), "two bots with one flash");
        drop(flash);
        let mut flash = FileFlash::open(&file.0).unwrap();
        assert_eq!(read(&mut flash, 4095, 6), b"\xFFtox!\xFF");
    }

    #[test]
    fn places_are_checked() {
        let file = Temporary::new("places");
        let mut flash = FileFlash::open(&file.0).unwrap();
        let kind = |result: Result<(), NorFlashErrorKind>| result.unwrap_err();
        assert_eq!(kind(block_on(flash.write(2, &[0; 4]))), NorFlashErrorKind::NotAligned);
        assert_eq!(kind(block_on(flash.write(4, &[0; 3]))), NorFlashErrorKind::NotAligned);
        assert_eq!(kind(block_on(flash.erase(0, 4095))), NorFlashErrorKind::NotAligned);
        assert_eq!(kind(block_on(flash.erase(8192, 4096))), NorFlashErrorKind::OutOfBounds);
        assert_eq!(kind(block_on(flash.write(SIZE as u32, &[0; 4]))), NorFlashErrorKind::OutOfBounds);
        assert_eq!(kind(block_on(flash.read(SIZE as u32 - 1, &mut [0; 2]))), NorFlashErrorKind::OutOfBounds);
        std::fs::write(&file.0, vec![0; SIZE + 1]).unwrap();
        drop(flash);
        assert!(FileFlash::open(&file.0).is_err(), "some other file was given by mistake");
    }

    quickcheck! {
        fn writes_clear_bits_and_only_erasing_sets_them(first: u32, second: u32, word: u8) -> bool {
            let file = Temporary::new("bits");
            let mut flash = FileFlash::open(&file.0).unwrap();
            let at = u32::from(word) * 4;
            block_on(flash.write(at, &first.to_le_bytes())).unwrap();
            block_on(flash.write(at, &second.to_le_bytes())).unwrap();
            let both = read(&mut flash, at, 4) == (first & second).to_le_bytes();
            block_on(flash.erase(0, 4096)).unwrap();
            both && read(&mut flash, 0, SIZE) == vec![ERASED; SIZE]
        }
    }
}

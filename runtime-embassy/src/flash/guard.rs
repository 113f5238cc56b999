//! Flash, lent for reading only.
//!
//! `sequential-storage` repairs what it finds damaged while it reads, by erasing it. A store that looks for its newest
//! snapshot must not destroy anything: what cannot be read today may be all that is left.

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

/// Reads go through, erasing is only pretended, writing fails.
pub(super) struct ReadOnly<'f, F>(pub(super) &'f mut F);

/// Why a [`ReadOnly`] flash fails.
#[derive(Debug)]
pub(super) enum ReadOnlyError<E> {
    /// The flash itself does.
    Flash(E),
    /// It was asked to write.
    Write,
}

impl<E: NorFlashError> NorFlashError for ReadOnlyError<E> {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Flash(error) => error.kind(),
            Self::Write => NorFlashErrorKind::Other,
        }
    }
}

impl<F: ErrorType> ErrorType for ReadOnly<'_, F> {
    type Error = ReadOnlyError<F::Error>;
}

impl<F: ReadNorFlash> ReadNorFlash for ReadOnly<'_, F> {
    const READ_SIZE: usize = F::READ_SIZE;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.read(offset, bytes).await.map_err(ReadOnlyError::Flash)
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl<F: NorFlash> NorFlash for ReadOnly<'_, F> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    /// A page without one good item would be erased in passing; the reader goes on to the next page either way.
    async fn erase(&mut self, _from: u32, _to: u32) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn write(&mut self, _offset: u32, _bytes: &[u8]) -> Result<(), Self::Error> {
        Err(ReadOnlyError::Write)
    }
}

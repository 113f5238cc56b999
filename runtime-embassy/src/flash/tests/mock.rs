//! NOR flash in memory: a word is written once between erasures, and power goes when it is told to.

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::vec;
use std::vec::Vec;

/// Erasing a page can be interrupted at so many points.
const ERASE_STEPS: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MockError {
    /// Power is gone.
    Off,
    /// A word was to be written a second time.
    NotErased,
    /// Wrong address or alignment: never right.
    Misused(NorFlashErrorKind),
    /// The cells do not work any more.
    Broken,
}

impl NorFlashError for MockError {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

#[derive(Clone, Debug)]
pub(super) struct Mock<const WRITE: usize, const READ: usize, const PAGE: usize> {
    pub(super) bytes: Vec<u8>,
    /// Bytes that can still be written before power goes.
    pub(super) power: usize,
    /// How often each page was erased.
    pub(super) erased: Vec<u32>,
    /// Bytes written, and steps of erasing, in all.
    pub(super) work: usize,
    /// Pages that cannot be erased or written.
    pub(super) broken: Vec<usize>,
    noise: u64,
}

impl<const WRITE: usize, const READ: usize, const PAGE: usize> Mock<WRITE, READ, PAGE> {
    pub(super) fn new(pages: usize) -> Self {
        Self {
            bytes: vec![0xff; pages * PAGE],
            power: usize::MAX,
            erased: vec![0; pages],
            work: 0,
            broken: Vec::new(),
            noise: 1,
        }
    }

    pub(super) fn end(&self) -> u32 {
        self.bytes.len() as u32
    }

    pub(super) fn pages(&self) -> usize {
        self.erased.len()
    }

    pub(super) fn page(&mut self, index: usize) -> &mut [u8] {
        &mut self.bytes[index * PAGE..(index + 1) * PAGE]
    }

    /// Fills a page with something that depends on `seed`.
    pub(super) fn fill_with_noise(&mut self, index: usize, seed: u64) {
        self.noise = seed;
        for at in index * PAGE..(index + 1) * PAGE {
            self.bytes[at] = self.noise();
        }
    }

    fn noise(&mut self) -> u8 {
        self.noise = self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.noise >> 56) as u8
    }

    /// One more step, if there is power for it.
    fn step(&mut self) -> Result<(), MockError> {
        self.power = self.power.checked_sub(1).ok_or(MockError::Off)?;
        self.work += 1;
        Ok(())
    }

    /// A page in the middle of being erased: what that is nobody knows.
    fn half_erase(&mut self, page: usize, step: usize) {
        let third = PAGE / 3;
        match step {
            1 => self.page(page)[..third].fill(0xff),
            2 => self.page(page)[PAGE - third..].fill(0xff),
            3 => self.fill_with_noise(page, page as u64 + 7),
            _ => {
                // Nearly done.
                self.page(page).fill(0xff);
                self.page(page)[PAGE / 2] = 0xbf;
            }
        }
    }
}

impl<const WRITE: usize, const READ: usize, const PAGE: usize> ErrorType for Mock<WRITE, READ, PAGE> {
    type Error = MockError;
}

impl<const WRITE: usize, const READ: usize, const PAGE: usize> ReadNorFlash for Mock<WRITE, READ, PAGE> {
    const READ_SIZE: usize = READ;

    async fn read(&mut self, offset: u32, to: &mut [u8]) -> Result<(), MockError> {
        let from = offset as usize;
        if !from.is_multiple_of(READ) || !to.len().is_multiple_of(READ) {
            return Err(MockError::Misused(NorFlashErrorKind::NotAligned));
        }
        let bytes = self.bytes.get(from..from + to.len()).ok_or(MockError::Misused(NorFlashErrorKind::OutOfBounds))?;
        to.copy_from_slice(bytes);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const WRITE: usize, const READ: usize, const PAGE: usize> NorFlash for Mock<WRITE, READ, PAGE> {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), MockError> {
        let (from, to) = (from as usize, to as usize);
        assert!(from.is_multiple_of(PAGE) && to.is_multiple_of(PAGE) && from < to && to <= self.bytes.len());
        for page in from / PAGE..to / PAGE {
            if self.broken.contains(&page) {
                return Err(MockError::Broken);
            }
            for step in 1..ERASE_STEPS {
                self.step()?;
                self.half_erase(page, step);
            }
            self.step()?;
            self.page(page).fill(0xff);
            self.erased[page] += 1;
        }
        Ok(())
    }

    async fn write(&mut self, offset: u32, from: &[u8]) -> Result<(), MockError> {
        let at = offset as usize;
        assert!(at.is_multiple_of(WRITE) && from.len().is_multiple_of(WRITE) && at + from.len() <= self.bytes.len());
        if self.broken.contains(&(at / PAGE)) {
            return Err(MockError::Broken);
        }
        for (at, byte) in (at..).zip(from) {
            if at.is_multiple_of(WRITE) && self.bytes[at..at + WRITE].iter().any(|byte| *byte != 0xff) {
                return Err(MockError::NotErased);
            }
            if let Err(off) = self.step() {
                // Some bits of the byte that was being written may be there already.
                self.bytes[at] = byte | self.noise();
                return Err(off);
            }
            self.bytes[at] = *byte;
        }
        Ok(())
    }
}

/// Runs a future that never waits.
pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the mock never waits"),
    }
}

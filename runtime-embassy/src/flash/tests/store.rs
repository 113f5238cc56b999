//! The store: geometries, damage, wear, sizes.

use super::mock::{Mock, MockError, run};
use super::node::small_snapshot;
use crate::flash::{LoadError, Loaded, RangeError, SNAPSHOT_MAX, SaveError, Saved, Store, WORDS_MAX};
use quickcheck::quickcheck;
use std::sync::OnceLock;
use std::vec;
use std::vec::Vec;

/// A snapshot that differs from all others by what follows it; `len` bytes of that, at least 4.
pub(super) fn sample(number: u32, len: usize) -> Vec<u8> {
    static SMALL: OnceLock<Vec<u8>> = OnceLock::new();
    let mut bytes = SMALL.get_or_init(small_snapshot).clone();
    let end = bytes.len() + len;
    bytes.extend(number.to_le_bytes());
    bytes.resize(end, number as u8);
    bytes
}

pub(super) fn open<const W: usize, const R: usize, const P: usize>(flash: Mock<W, R, P>) -> Store<Mock<W, R, P>> {
    let end = flash.end();
    Store::new(flash, 0..end, 0).unwrap()
}

/// What a boot finds: the store, and what it loaded.
type Booted<F> = (Store<F>, Result<(Loaded, Vec<u8>), LoadError>);

/// Boots from a copy of a flash, with power again.
pub(super) fn boot<const W: usize, const R: usize, const P: usize>(flash: &Mock<W, R, P>) -> Booted<Mock<W, R, P>> {
    let mut flash = flash.clone();
    flash.power = usize::MAX;
    let before = flash.bytes.clone();
    let mut store = open(flash);
    let mut buffer = vec![0; 4000];
    let loaded = run(store.load(&mut buffer)).map(|loaded| {
        match loaded {
            Loaded::New => buffer.clear(),
            Loaded::Newest { len, .. } | Loaded::Older { len, .. } => buffer.truncate(len),
        }
        (loaded, buffer)
    });
    assert!(store.is_on(&before), "loading changed the flash");
    (store, loaded)
}

impl<const W: usize, const R: usize, const P: usize> Store<Mock<W, R, P>> {
    fn is_on(&self, bytes: &[u8]) -> bool {
        self.flash().bytes == bytes
    }
}

/// Flash after so many saves of samples 0, 1, 2.., the last of them `saves - 1`.
fn history<const W: usize, const R: usize, const P: usize>(pages: usize, saves: u32, len: usize) -> Mock<W, R, P> {
    let mut store = open(Mock::new(pages));
    assert_eq!(run(store.load(&mut [])), Ok(Loaded::New));
    for number in 0..saves {
        assert!(matches!(run(store.save(&sample(number, len)[..])), Ok(Saved::Written(_))));
    }
    store.into_flash()
}

/// Boots from flash that one page of is damaged: the last save is there, or the one before and that is told. Then
/// saving goes on as if nothing had been.
fn survives<const W: usize, const R: usize, const P: usize>(flash: &Mock<W, R, P>, saves: u32, len: usize) -> bool {
    let (mut store, loaded) = boot(flash);
    let (loaded, bytes) = loaded.expect("an older one is there");
    match loaded {
        Loaded::New => panic!("the identity is lost"),
        Loaded::Newest { .. } => assert!(bytes == sample(saves - 1, len)),
        // The first save is written twice.
        Loaded::Older { generation, damaged, .. } => {
            assert!(generation == damaged - 1);
            assert!(bytes == sample(saves.saturating_sub(2), len));
        }
    }
    for number in 1000..1004 {
        assert!(matches!(run(store.save(&sample(number, len)[..])), Ok(Saved::Written(_))));
        let (_, loaded) = boot(store.flash());
        let (loaded, bytes) = loaded.unwrap();
        assert!(matches!(loaded, Loaded::Newest { .. }) && bytes == sample(number, len));
    }
    matches!(loaded, Loaded::Older { .. })
}

fn every_page_may_be_damaged<const W: usize, const R: usize, const P: usize>(pages: usize, len: usize) {
    for saves in 1..=14 {
        let good = history::<W, R, P>(pages, saves, len);
        let mut reported = 0;
        for page in 0..pages {
            for filling in 0..6 {
                let mut flash = good.clone();
                match filling {
                    0 => flash.page(page).fill(0),
                    1 => flash.page(page).fill(0xff),
                    2 => flash.page(page)[P / 16..].fill(0xff),
                    3 => flash.page(page)[..P / 16].fill(0xff),
                    seed => flash.fill_with_noise(page, seed),
                }
                reported += u32::from(survives(&flash, saves, len));
            }
        }
        assert!(reported > 0, "no damage was told after {saves} saves");
    }
}

#[test]
fn every_page_may_be_damaged_4k() {
    every_page_may_be_damaged::<4, 1, 4096>(2, 500);
}

#[test]
fn every_page_may_be_damaged_1k() {
    every_page_may_be_damaged::<8, 4, 1024>(8, 500);
}

#[test]
fn every_page_may_be_damaged_wide_words() {
    every_page_may_be_damaged::<32, 1, 8192>(4, 900);
}

quickcheck! {
    fn bits_may_flip_in_a_page(saves: u8, page: usize, flips: Vec<(usize, u8)>) -> bool {
        let saves = u32::from(saves % 12) + 1;
        let mut flash = history::<4, 1, 2048>(4, saves, 500);
        let page = page % flash.pages();
        for (at, bits) in flips {
            flash.page(page)[at % 2048] ^= bits;
        }
        survives(&flash, saves, 500);
        true
    }
}

#[test]
fn damage_of_both_banks_is_an_error_until_formatted() {
    let mut flash = history::<4, 1, 4096>(2, 3, 100);
    (0..2).for_each(|page| flash.fill_with_noise(page, 5));
    let (mut store, loaded) = boot(&flash);
    assert_eq!(loaded, Err(LoadError::Unreadable));
    assert_eq!(run(store.save(&sample(1, 4)[..])), Err(SaveError::NotLoaded));
    run(store.format()).unwrap();
    assert_eq!(run(store.save(&sample(1, 4)[..])), Ok(Saved::Written(2)));
    assert_eq!(boot(store.flash()).1.unwrap().1, sample(1, 4));
}

#[test]
fn what_others_wrote_is_not_overwritten() {
    for filled in [vec![0], vec![1], vec![0, 1]] {
        let mut flash = Mock::<4, 1, 4096>::new(2);
        filled.iter().for_each(|page| flash.fill_with_noise(*page, 5));
        assert_eq!(boot(&flash).1, Err(LoadError::Unreadable), "{filled:?}");
    }
}

#[test]
fn the_same_bytes_are_not_written_again() {
    let flash = history::<4, 1, 4096>(2, 3, 100);
    let (mut store, _) = boot(&flash);
    let before = store.flash().work;
    assert_eq!(run(store.save(&sample(2, 100)[..])), Ok(Saved::Unchanged));
    assert_eq!(store.flash().work, before);
    // Back to older bytes is a change.
    assert!(matches!(run(store.save(&sample(1, 100)[..])), Ok(Saved::Written(_))));
    // A lost second copy is written again even so.
    let mut flash = history::<4, 1, 4096>(2, 3, 100);
    let (_, loaded) = boot(&flash);
    let Ok((Loaded::Newest { generation, .. }, _)) = loaded else { panic!("{loaded:?}") };
    flash.page(usize::from(generation % 2 == 1)).fill(0);
    let (mut store, _) = boot(&flash);
    assert!(matches!(run(store.save(&sample(2, 100)[..])), Ok(Saved::Written(_))));
}

#[test]
fn a_range_is_checked() {
    let new = |pages: usize, range, friends| Store::new(Mock::<4, 1, 4096>::new(pages), range, friends).err();
    assert_eq!(new(8, 0..6 * 4096, 8), None);
    assert_eq!(new(8, 0..5 * 4096, 8), Some(RangeError::TooSmall(6 * 4096)));
    assert_eq!(new(8, 0..4096, 0), Some(RangeError::TooSmall(2 * 4096)));
    assert_eq!(new(8, 4096..4096, 0), Some(RangeError::TooSmall(2 * 4096)));
    assert_eq!(new(8, 0..4 * 4096 + 1, 0), Some(RangeError::NotPages));
    assert_eq!(new(8, 100..4 * 4096, 0), Some(RangeError::NotPages));
    assert_eq!(new(8, 0..9 * 4096, 0), Some(RangeError::NotPages));
    assert_eq!(Store::new(Mock::<4, 1, 256>::new(8), 0..2048, 0).err(), Some(RangeError::BadGeometry));
    assert_eq!(Store::new(Mock::<64, 1, 4096>::new(8), 0..8192, 0).err(), Some(RangeError::BadGeometry));
    assert_eq!(Store::new(Mock::<32, 1, 131_072>::new(2), 0..262_144, 8).err(), None);
}

/// The longest snapshots fit, again and again, into the smallest range.
fn fits<const W: usize, const R: usize, const P: usize>(friends: usize) {
    let Err(RangeError::TooSmall(needed)) = Store::new(Mock::<W, R, P>::new(0), 0..0, friends).map(|_| ()) else {
        panic!("an empty range is too small")
    };
    let mut store = Store::new(Mock::<W, R, P>::new(needed as usize / P), 0..needed as u32, friends).unwrap();
    run(store.load(&mut [])).unwrap();
    let longest = crate::flash::snapshot_max(friends) + friends * WORDS_MAX;
    for number in 0..40 {
        let mut bytes = sample(number, 4000 + friends * WORDS_MAX);
        bytes.truncate(longest - number as usize % 7);
        assert!(matches!(run(store.save(&bytes[..])), Ok(Saved::Written(_))));
        let mut read = vec![0; bytes.len()];
        run(store.read(0, &mut read)).unwrap();
        assert!(read == bytes);
        let (mut part, from) = ([0; 600], bytes.len() - 777);
        run(store.read(from, &mut part)).unwrap();
        assert!(part == bytes[from..from + 600]);
        assert!(run(store.read(from, &mut [0; 778])).is_err());
    }
    assert_eq!(run(store.save(&vec![1; longest + 1][..])), Err(SaveError::TooLong));
}

#[test]
fn the_longest_snapshots_fit() {
    fits::<1, 1, 4096>(8);
    fits::<4, 1, 4096>(8);
    fits::<4, 4, 2048>(0);
    fits::<8, 1, 2048>(8);
    fits::<8, 8, 1024>(3);
    fits::<2, 4, 16_384>(8);
    fits::<16, 1, 8192>(8);
    fits::<32, 1, 131_072>(8);
    fits::<32, 32, 4096>(20);
}

#[test]
fn wear_is_even_and_bounded() {
    const PAGES: usize = 8;
    let mut store = open(Mock::<4, 1, 4096>::new(PAGES));
    run(store.load(&mut [])).unwrap();
    for number in 0..1000 {
        assert!(matches!(run(store.save(&sample(number, 1100)[..])), Ok(Saved::Written(_))));
    }
    let (least, most) = (store.flash().erased.iter().min().unwrap(), store.flash().erased.iter().max().unwrap());
    std::println!("1000 saves of {} bytes: {:?}", sample(0, 1100).len(), store.flash().erased);
    // A bank of 4 pages holds 12 such snapshots, and has every second one.
    assert!(most - least <= 1 && *most <= 1000 / 2 / 11, "{least} {most}");
}

#[test]
fn a_bank_that_takes_nothing_is_told() {
    let (mut store, _) = boot(&history::<4, 1, 4096>(2, 4, 600));
    store.flash_mut().broken = vec![0];
    let mut results = Vec::new();
    for number in 100..120 {
        let result = run(store.save(&sample(number, 600)[..]));
        let (_, loaded) = boot(store.flash());
        let (_, bytes) = loaded.unwrap();
        match result {
            Ok(_) => assert!(bytes == sample(number, 600)),
            Err(why) => assert!(why == SaveError::Flash(MockError::Broken) && bytes != sample(number, 600)),
        }
        results.push(result);
    }
    assert!(results.iter().any(|result| matches!(result, Ok(Saved::Alone(_)) | Err(_))), "{results:?}");
}

#[test]
fn the_store_is_small() {
    type Flash = Mock<4, 1, 4096>;
    let mut store = open(Flash::new(2));
    let own = size_of_val(&store) - size_of::<Flash>();
    let mut buffer = [0; SNAPSHOT_MAX];
    let load = size_of_val(&store.load(&mut buffer));
    let bytes = sample(1, 4);
    let save = size_of_val(&store.save(&bytes[..]));
    std::println!("store {own} bytes, load {load}, save {save}; snapshot {SNAPSHOT_MAX}");
    assert!(own <= 96 && load <= 1300 && save <= 1700, "store {own}, load {load}, save {save}");
    const { assert!(SNAPSHOT_MAX <= 2560) };
}

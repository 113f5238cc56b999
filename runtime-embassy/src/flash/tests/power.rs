//! Power goes, at every single byte: what was complete is never lost, and saving goes on.

use super::mock::{Mock, MockError, run};
use super::store::{boot, open, sample};
use crate::flash::{Loaded, SaveError, Saved};
use quickcheck::quickcheck;
use std::vec::Vec;

/// The number of the sample that a boot finds, if it finds one; checks that nothing is reported that was not.
fn found<const W: usize, const R: usize, const P: usize>(flash: &Mock<W, R, P>, len: usize) -> Option<u32> {
    let (_, loaded) = boot(flash);
    let (loaded, bytes) = loaded.expect("a cut is no damage");
    match loaded {
        Loaded::New => None,
        Loaded::Older { .. } => panic!("{loaded:?}, but nothing is damaged"),
        Loaded::Newest { .. } => {
            let at = bytes.len() - len;
            let number = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            assert!(bytes == sample(number, len));
            Some(number)
        }
    }
}

/// A life of `saves` saves, with power cut at every byte of each of them.
fn cut_everywhere<const W: usize, const R: usize, const P: usize>(pages: usize, saves: u32, len: usize) {
    let mut good = Mock::<W, R, P>::new(pages);
    let mut cuts = 0;
    for number in 0..saves {
        let before = number.checked_sub(1);
        for power in 0.. {
            let (mut store, _) = boot(&good);
            store.flash_mut().power = power;
            if run(store.save(&sample(number, len)[..])).is_ok() && store.flash().power > 0 {
                good = store.into_flash();
                break;
            }
            cuts += 1;
            let cut = store.into_flash();
            let after = found(&cut, len);
            assert!(after == before || after == Some(number), "{after:?} after a cut of {number} at {power}");
            // The next run saves something else, and the one after that too.
            let (mut store, _) = boot(&cut);
            for other in [5000, 5001] {
                assert!(matches!(run(store.save(&sample(other, len)[..])), Ok(Saved::Written(_))), "{power}");
                assert_eq!(found(store.flash(), len), Some(other), "after a cut of {number} at {power}");
            }
        }
        assert_eq!(found(&good, len), Some(number));
    }
    std::println!("{cuts} cuts");
    assert!(good.erased.iter().all(|erased| *erased > 0), "the history is too short: {:?}", good.erased);
}

#[test]
fn power_may_go_at_every_byte_two_pages() {
    cut_everywhere::<4, 1, 4096>(2, 16, 340);
}

#[test]
fn power_may_go_at_every_byte_many_pages() {
    cut_everywhere::<1, 1, 1024>(8, 16, 340);
}

#[test]
fn power_may_go_at_every_byte_wide_words() {
    cut_everywhere::<32, 1, 4096>(2, 16, 240);
}

quickcheck! {
    /// Power goes again and again, also while what the last cut left is put in order.
    fn power_may_go_again(cuts: Vec<u16>, len: u16) -> bool {
        let len = 4 + usize::from(len % 900);
        let mut flash = Mock::<8, 1, 2048>::new(4);
        let mut last = None;
        for (number, power) in (0..).zip(cuts) {
            let (mut store, _) = boot(&flash);
            store.flash_mut().power = usize::from(power % 4096);
            let saved = run(store.save(&sample(number, len)[..]));
            flash = store.into_flash();
            let after = found(&flash, len);
            assert!(after == Some(number) || after == last && saved.is_err(), "{after:?} after {saved:?} of {number}");
            last = after;
        }
        true
    }

    /// A store that lives on after the flash failed it: what it said was saved stays, until something newer is. Of what
    /// it said was not, all may be there or nothing.
    fn a_failed_save_is_no_harm(failures: Vec<u16>) -> bool {
        let mut store = open(Mock::<4, 1, 2048>::new(4));
        run(store.load(&mut [])).unwrap();
        let mut least = None;
        for (number, power) in (0..).zip(failures) {
            store.flash_mut().power = usize::from(power % 2048);
            let saved = run(store.save(&sample(number, 300)[..]));
            assert!(saved.is_ok() || saved == Err(SaveError::Flash(MockError::Off)));
            if saved.is_ok() {
                least = Some(number);
            }
            let after = found(store.flash(), 300);
            assert!(after >= least && after <= Some(number), "{after:?} after {saved:?} of {number}");
        }
        store.flash_mut().power = usize::MAX;
        assert!(matches!(run(store.save(&sample(9999, 300)[..])), Ok(Saved::Written(_))));
        found(store.flash(), 300) == Some(9999)
    }
}

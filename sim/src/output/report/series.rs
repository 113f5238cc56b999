//! Counts over time, in bounded memory: when there are too many intervals, each two become one.

use super::super::Kind;
use bluering_core::time::Instant;

/// So many intervals at most.
const MOST: usize = 480;
/// The first length of an interval, in microseconds.
const FINEST: u64 = 1_000_000;

/// What happened in one interval.
#[derive(Clone, Debug)]
pub(super) struct Interval {
    /// Bytes sent, by kind.
    pub(super) bytes: [u64; Kind::COUNT],
    /// Pairs online at its end, and pairs that ever were, when that changed.
    pub(super) online: Option<(u32, u32)>,
    /// Datagrams sent, and those lost or dropped.
    pub(super) sent: u64,
    pub(super) lost: u64,
    pub(super) dropped: u64,
}

impl Interval {
    const NOTHING: Self = Self { bytes: [0; Kind::COUNT], online: None, sent: 0, lost: 0, dropped: 0 };

    fn join(&mut self, later: &Self) {
        self.bytes.iter_mut().zip(&later.bytes).for_each(|(sum, more)| *sum += more);
        self.online = later.online.or(self.online);
        self.sent += later.sent;
        self.lost += later.lost;
        self.dropped += later.dropped;
    }
}

/// Intervals of equal length from time 0 on.
#[derive(Debug)]
pub(super) struct Series {
    intervals: Vec<Interval>,
    width: u64,
}

impl Series {
    pub(super) const fn new() -> Self {
        Self { intervals: Vec::new(), width: FINEST }
    }

    /// The interval of `at`.
    pub(super) fn at(&mut self, at: Instant) -> &mut Interval {
        let mut place = (at.micros() / self.width) as usize;
        while place >= MOST {
            self.halve();
            place /= 2;
        }
        if place >= self.intervals.len() {
            self.intervals.resize(place + 1, Interval::NOTHING);
        }
        &mut self.intervals[place]
    }

    fn halve(&mut self) {
        let joined = self.intervals.chunks(2).map(|two| match two {
            [one, later] => {
                let mut one = one.clone();
                one.join(later);
                one
            }
            _ => two[0].clone(),
        });
        self.intervals = joined.collect();
        self.width *= 2;
    }

    /// Each interval, with the second at which it begins.
    pub(super) fn iter(&self) -> impl Iterator<Item = (f64, &Interval)> {
        let seconds = self.seconds();
        self.intervals.iter().enumerate().map(move |(i, interval)| (i as f64 * seconds, interval))
    }

    /// The length of an interval in seconds.
    pub(super) const fn seconds(&self) -> f64 {
        self.width as f64 / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_takes_no_more_room_and_loses_no_count() {
        let mut series = Series::new();
        for second in 0..10_000 {
            let interval = series.at(Instant::from_secs(second));
            interval.sent += 1;
            interval.online = Some((second as u32, 10_000));
        }
        assert!(series.intervals.len() <= MOST);
        assert_eq!(series.intervals.iter().map(|interval| interval.sent).sum::<u64>(), 10_000);
        assert_eq!(series.seconds(), 32.0);
        assert_eq!(series.intervals.last().unwrap().online, Some((9_999, 10_000)));
        assert_eq!(series.intervals[0].online, Some((31, 10_000)));
    }
}

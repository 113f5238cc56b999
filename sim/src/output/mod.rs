//! What a person looks at when a run is over: a [capture](pcap) for Wireshark, a [trace](trace) to read, the
//! [timeline](timeline) of a failure, and a [report](report) for the browser.
//!
//! Each of them is a [`Tap`](crate::observe::Tap). None decides anything, and none needs more memory for a longer run.

pub mod kinds;
pub mod pcap;
pub mod report;
pub mod timeline;
pub mod trace;
mod words;

pub use kinds::{Class, Kind};
pub use pcap::Capture;
pub use report::{Report, Summary, TableUse};
pub use timeline::Timeline;
pub use trace::Trace;

#[cfg(test)]
mod tests {
    //! A run that every output is tried on.

    use crate::crypto::Strength;
    use crate::net::{LinkSpec, NatSpec, Place};
    use crate::observe::{Observation, Tap};
    use crate::world::{HostSpec, World};
    use bluering_core::Limits;
    use bluering_core::time::Instant;
    use core::time::Duration;

    pub(super) const PAIR_END: &str = "the end of the pair";

    /// Both watch.
    impl<T: Tap> Tap for (T, usize) {
        fn observe(&mut self, at: Instant, seen: &Observation<'_>) {
            self.0.observe(at, seen);
            self.1 += 1;
        }
    }

    /// A bootstrap node, and behind NATs hosts 1 and 2 who become friends and talk, watched by `tap`.
    pub(super) fn pair<T: Tap>(seed: u64, tap: T) -> T {
        let mut world = World::watched(seed, Strength::Toy, tap);
        let through = world.add_host(HostSpec::public(Limits::MICRO));
        for _ in 0..2 {
            let place = Place { access: LinkSpec::MOBILE, ..Place::PUBLIC };
            let nat = world.net_mut().add_nat(NatSpec::RESTRICTED, &place, None);
            let id = world.add_host(HostSpec { place: Place::behind(nat), ..HostSpec::public(Limits::MICRO) });
            world.bootstrap(id, through);
        }
        for _ in 0..4 {
            let id = world.add_host(HostSpec::public(Limits::MICRO));
            world.bootstrap(id, through);
        }
        world.befriend(1, 2);
        world.run_for(Duration::from_secs(60));
        world.say(1, 2, b"hello").unwrap();
        world.mark(PAIR_END);
        world.run_for(Duration::from_secs(5));
        world.tap
    }
}

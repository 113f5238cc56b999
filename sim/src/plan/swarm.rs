//! Swarm testing: each run has a random subset of the kinds of faults, of random strength.
//!
//! Faults that never meet find little: a run with all of them at once is so bad that nothing happens, and independent
//! coin flips give every run the same average weather. So each family is on or off for the whole run; a family that is
//! on comes in spells with calm between them.

use super::{Fault, FaultKind, Plan};
use crate::choices::Choices;
use crate::net::{Cut, Jitter, LinkSpec, Loss, Part, Segment, StreamSpec};
use crate::observe::HostId;
use crate::world::{SavedState, Tamper};
use core::time::Duration;

/// A kind of faults that a swarm may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Loss, in bursts or not.
    Loss,
    /// Long and uneven delays, reordering.
    Delay,
    /// Duplicates, flipped bits, cut-off ends.
    Damage,
    /// Slow lines with short queues.
    Narrow,
    /// Partitions, one-way or two-way, of one host or of half of them.
    Partition,
    /// Crashes and restarts, with profiles in any condition.
    Crash,
    /// Sleep.
    Suspend,
    /// Orderly ends and new starts.
    Restart,
    /// Applications that do not read.
    Deaf,
    /// Dishonest onion hops.
    Dishonest,
    /// Wall clocks that jump.
    Clock,
    /// NATs that forget.
    NatReboot,
    /// Other addresses.
    Roam,
    /// Byte streams that stall, come in pieces, hang or are reset.
    Streams,
    /// UDP that does not get through.
    NoUdp,
}

impl Family {
    /// All of them but those that are about byte streams, or leave nothing else.
    pub const ALL: [Self; 13] = [
        Self::Loss,
        Self::Delay,
        Self::Damage,
        Self::Narrow,
        Self::Partition,
        Self::Crash,
        Self::Suspend,
        Self::Restart,
        Self::Deaf,
        Self::Dishonest,
        Self::Clock,
        Self::NatReboot,
        Self::Roam,
    ];

    /// Those that are.
    pub const OF_STREAMS: [Self; 2] = [Self::Streams, Self::NoUdp];
}

/// Families that are on in one run.
const ON: u32 = 300_000;
const SPELL_MIN: Duration = Duration::from_secs(2);
const SPELL_MAX: Duration = Duration::from_secs(40);

/// Fills the chaos phase of `plan` with faults of some of `families`, for the given hosts.
pub fn swarm(choices: &mut Choices, plan: &mut Plan, families: &[Family], hosts: &[HostId]) {
    if hosts.is_empty() || plan.phases.chaos.is_zero() {
        return;
    }
    let on: Vec<Family> = families.iter().copied().filter(|_| choices.chance(ON, "family")).collect();
    for family in on {
        let spells = choices.between(1, 4, "spells");
        for _ in 0..spells {
            let begins = plan.phases.warm_up + choices.span(Duration::ZERO, plan.phases.chaos, "begin");
            let ends = begins + choices.span(SPELL_MIN, SPELL_MAX, "spell");
            if let Some(what) = fault(choices, plan, family, hosts) {
                plan.faults.push(Fault { begins, ends, what });
            }
        }
    }
}

fn fault(choices: &mut Choices, plan: &Plan, family: Family, hosts: &[HostId]) -> Option<FaultKind> {
    let host = *choices.pick(hosts, "host");
    Some(match family {
        Family::Loss | Family::Delay | Family::Damage | Family::Narrow => {
            let whom = some(choices, hosts);
            let base = LinkSpec::with_latency(Duration::from_millis(5));
            FaultKind::Lines { hosts: whom, up: line(choices, family, base.clone()), down: line(choices, family, base) }
        }
        Family::Partition => FaultKind::Cuts(cuts(choices, hosts)),
        Family::Crash => FaultKind::Down(host, condition(choices)),
        Family::Suspend => FaultKind::Asleep(host, choices.chance(500_000, "counted")),
        Family::Restart => FaultKind::Stopped(host),
        Family::Deaf => FaultKind::Deaf(host),
        Family::Dishonest => FaultKind::Dishonest(host, tamper(choices)),
        Family::Clock => FaultKind::WallClock(host, choices.between(0, 200_000, "ahead") as i64 - 100_000),
        Family::NatReboot if plan.nats.is_empty() => return None,
        Family::NatReboot => FaultKind::NatReboot(choices.below(plan.nats.len() as u64, "nat") as u32),
        Family::Roam => FaultKind::Moved(host, plan.hosts[host as usize].place.clone()),
        Family::Streams => stream_fault(choices, hosts),
        Family::NoUdp => FaultKind::NoUdp(some(choices, hosts)),
    })
}

fn line(choices: &mut Choices, family: Family, base: LinkSpec) -> LinkSpec {
    match family {
        Family::Loss if choices.chance(500_000, "bursts") => {
            let to_bad = choices.between(1_000, 50_000, "to bad") as u32;
            let to_good = choices.between(50_000, 500_000, "to good") as u32;
            LinkSpec { loss: Loss::GilbertElliott { to_bad, to_good, in_good: 0, in_bad: 900_000 }, ..base }
        }
        Family::Loss => LinkSpec { loss: Loss::Bernoulli(choices.between(10_000, 400_000, "loss") as u32), ..base },
        Family::Delay => LinkSpec {
            latency: choices.span(Duration::from_millis(1), Duration::from_millis(800), "latency"),
            jitter: Jitter::Uniform(choices.span(Duration::ZERO, Duration::from_millis(300), "jitter")),
            reorder: choices.between(0, 300_000, "reorder") as u32,
            reorder_by: Duration::from_millis(200),
            ..base
        },
        Family::Damage => LinkSpec {
            duplicate: choices.between(0, 300_000, "duplicate") as u32,
            corrupt: choices.between(0, 100_000, "corrupt") as u32,
            truncate: choices.between(0, 50_000, "truncate") as u32,
            ..base
        },
        Family::Narrow => LinkSpec {
            rate: Some(choices.between(1_000, 20_000, "rate") as u32),
            queue: choices.between(600, 20_000, "queue") as u32,
            ..base
        },
        Family::Partition
        | Family::Crash
        | Family::Suspend
        | Family::Restart
        | Family::Deaf
        | Family::Dishonest
        | Family::Clock
        | Family::NatReboot
        | Family::Roam
        | Family::Streams
        | Family::NoUdp => base,
    }
}

fn stream_fault(choices: &mut Choices, hosts: &[HostId]) -> FaultKind {
    match choices.below(3, "how") {
        0 => FaultKind::Severed(some(choices, hosts)),
        1 => FaultKind::Reset(some(choices, hosts)),
        _ => FaultKind::Streams(stream_spec(choices)),
    }
}

/// How streams behave in bad weather.
pub fn stream_spec(choices: &mut Choices) -> StreamSpec {
    let segment = match choices.below(3, "segment") {
        0 => Segment::Whole,
        1 => Segment::Random(choices.between(1, 1500, "most") as u32),
        _ => Segment::Byte,
    };
    StreamSpec {
        segment,
        window: *choices.pick(&[65_536, 16_384, 2_048, 500], "window"),
        stall: choices.between(0, 20_000, "stall") as u32,
        stall_by: choices.span(Duration::ZERO, Duration::from_secs(3), "stall by"),
        ..StreamSpec::PERFECT
    }
}

/// One host, all of them, or every other.
fn some(choices: &mut Choices, hosts: &[HostId]) -> Vec<HostId> {
    match choices.below(3, "whom") {
        0 => vec![*choices.pick(hosts, "host")],
        1 => hosts.to_vec(),
        _ => hosts.iter().copied().filter(|host| host % 2 == 0).collect(),
    }
}

fn cuts(choices: &mut Choices, hosts: &[HostId]) -> Vec<Cut> {
    let one_way = choices.chance(300_000, "one way");
    let (from, to) = match choices.below(2, "whom") {
        0 => (Part::Hosts(vec![*choices.pick(hosts, "host")]), Part::All),
        _ => {
            let (left, right): (Vec<_>, Vec<_>) = hosts.iter().partition(|host| **host % 2 == 0);
            (Part::Hosts(left), Part::Hosts(right))
        }
    };
    let there = Cut { from: from.clone(), to: to.clone() };
    if one_way { vec![there] } else { vec![there, Cut { from: to, to: from }] }
}

fn condition(choices: &mut Choices) -> SavedState {
    match choices.below(8, "profile") {
        0..=4 => SavedState::Current,
        5 => SavedState::Stale,
        6 => SavedState::Truncated(choices.below(2000, "length") as u32),
        _ => SavedState::Flipped(choices.below(16_000, "bit") as u32),
    }
}

fn tamper(choices: &mut Choices) -> Tamper {
    let ppm = choices.between(100_000, 1_000_000, "how often") as u32;
    match choices.below(3, "how") {
        0 => Tamper::Drop(ppm),
        1 => Tamper::Flip(ppm),
        _ => Tamper::Delay(choices.span(Duration::from_millis(100), Duration::from_secs(5), "hold")),
    }
}

//! Every scenario holds its rules, on 200 seeds; what should happen sometimes does; a run is the same every time.

use bluering_sim::choices::{Choices, Exhaustive};
use bluering_sim::replay::ReplayFile;
use bluering_sim::run::{Options, Outcome, run};
use bluering_sim::scenarios::{self, Scenario, Size};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Which scenarios, how many seeds of each, and the size: smaller than the scenario's own where that takes long.
const SEEDS: [(&str, u64, Option<Size>); 22] = [
    ("pair", 40, None),
    ("tiny-tables", 15, None),
    ("onion-privacy", 20, None),
    ("lossy-mobile", 20, None),
    ("adversary-mutate", 14, None),
    ("suspend", 10, Some(Size { nodes: 5, minutes: 5 })),
    ("bootstrap-loss", 8, None),
    ("partition", 6, Some(Size { nodes: 10, minutes: 2 })),
    ("adversary-flood", 5, Some(Size { nodes: 6, minutes: 1 })),
    ("adversary-sybil", 5, Some(Size { nodes: 8, minutes: 1 })),
    ("churn", 5, Some(Size { nodes: 8, minutes: 2 })),
    ("crowd", 2, Some(Size { nodes: 30, minutes: 2 })),
    ("flash-crowd", 2, Some(Size { nodes: 40, minutes: 1 })),
    ("soak", 1, Some(Size { nodes: 4, minutes: 24 * 60 })),
    ("nat-matrix", 1, None),
    ("tcp-only", 6, None),
    ("proxied", 4, None),
    ("udp-blocked", 6, None),
    ("relay-dies", 8, None),
    ("sleeper", 6, None),
    ("roamer", 8, None),
    ("adversary-relay", 8, None),
];

/// What must have happened in some of these runs.
const REQUIRED: [&str; 17] = [
    "tampered",
    "hole punched",
    "NAT refused",
    "cookie refused",
    "window reopened",
    "send refused",
    "announce evicted",
    "announce refused",
    "message undelivered",
    "friend came back",
    "replay refused",
    "box refused",
    "profile refused",
    "duplicate arrived",
    "queue full",
    "moved",
    "resumed",
];

fn scenario(name: &str) -> &'static Scenario {
    scenarios::find(name).unwrap_or_else(|| panic!("no scenario {name}"))
}

fn run_seed(scenario: &Scenario, size: Size, seed: u64) -> Outcome {
    run(&(scenario.plan)(&mut Choices::seeded(seed), size), Options::default())
}

#[test]
fn two_hundred_seeds_break_no_rule() {
    let jobs: Vec<(&Scenario, Size, u64)> = SEEDS
        .iter()
        .flat_map(|(name, seeds, size)| {
            let scenario = scenario(name);
            (0..*seeds).map(move |seed| (scenario, size.unwrap_or(scenario.size), seed))
        })
        .collect();
    assert_eq!(jobs.len(), 200);
    let (next, told) = (AtomicUsize::new(0), Mutex::new((Vec::new(), BTreeMap::<&str, u64>::new())));
    let work = || {
        while let Some((scenario, size, seed)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = run_seed(scenario, *size, *seed);
            let mut told = told.lock().expect("no run panics");
            let Size { nodes, minutes } = *size;
            told.0.extend(outcome.violations.iter().map(|violation| {
                format!("run {} --seed {seed} --nodes {nodes} --minutes {minutes}: {violation:?}", scenario.name)
            }));
            outcome.probes.iter().for_each(|(probe, hits)| *told.1.entry(probe).or_default() += hits);
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    let (broken, probes) = told.into_inner().expect("no run panics");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    let missed: Vec<_> = REQUIRED.iter().filter(|probe| probes.get(**probe).is_none_or(|hits| *hits == 0)).collect();
    assert!(missed.is_empty(), "never seen: {missed:?}");
}

#[test]
fn a_run_is_the_same_every_time_and_other_seeds_are_others() {
    for name in ["pair", "adversary-mutate", "lossy-mobile", "tcp-only", "roamer"] {
        let scenario = scenario(name);
        let hashes = [1, 1, 2].map(|seed| run_seed(scenario, scenario.size, seed).hash);
        assert_eq!(hashes[0], hashes[1], "{name}");
        assert_ne!(hashes[0], hashes[2], "{name}");
    }
}

/// Whichever of the first packets of a new session are lost, the friends meet again and nothing else breaks.
#[test]
fn every_loss_in_a_handshake_is_survived() {
    let (scenario, mut all) = (scenario("handshake"), Exhaustive::new());
    let mut slowest = 0;
    while let Some(mut choices) = all.next() {
        let outcome = run(&(scenario.plan)(&mut choices, scenario.size), Options::default());
        assert_eq!(outcome.violations, [], "{:?}", choices.record());
        slowest = slowest.max(outcome.online.max);
        all.learn(&choices);
    }
    assert_eq!(all.runs(), 256);
    assert!(slowest > 0);
}

/// Runs that broke a rule once: each file was made by the program's `shrink` when the defect was still there.
#[test]
fn what_was_broken_once_stays_mended() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replays");
    let mut files: Vec<_> =
        folder.read_dir().expect("the folder of replays").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let bytes = std::fs::read(&file).expect("a replay file");
        let replay = ReplayFile::from_bytes(&bytes).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let case = replay.case().unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let outcome = case.run(Options::default());
        assert_eq!(outcome.violations, [], "{}", file.display());
    }
}

/// The smallest sizes that can be asked for are worlds too.
#[test]
fn every_scenario_can_be_small() {
    // The NAT matrix has as many hosts as it has pairs, whatever is asked for.
    for scenario in scenarios::ALL.into_iter().filter(|scenario| scenario.size.nodes > 0) {
        for nodes in 1..4 {
            let outcome = run_seed(&scenario, Size { nodes, minutes: 1 }, 1);
            assert_eq!(outcome.violations, [], "{} with {nodes}", scenario.name);
        }
    }
}

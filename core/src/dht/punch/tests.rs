//! Who names whom, who asks whom, and what goes out then.

use super::*;
use crate::crypto::PublicKey;
use crate::dht::search::{Goal, Search};
use crate::storage::{Slot, Slots};
use quickcheck::quickcheck;
use std::boxed::Box;
use std::collections::BTreeSet;
use std::vec::Vec;

const START: Instant = Instant::from_secs(1000);
const SECOND: Duration = Duration::from_secs(1);

fn punches(places: usize, on: bool) -> Punches<'static> {
    let mem: Vec<Punch> = core::iter::repeat_with(|| Punch::VACANT).take(places).collect();
    Punches::new(Mem::Borrowed(Box::leak(mem.into_boxed_slice())), on)
}

fn searches(count: u8) -> Vec<SearchId> {
    let mem: Vec<Slot<Search>> = core::iter::repeat_with(|| Slot::VACANT).take(count.into()).collect();
    let mut table = Slots::new(Box::leak(mem.into_boxed_slice()));
    (0..count).map(|n| table.insert(Search::new(PublicKey([n; 32]), Goal::Friend, START)).unwrap()).collect()
}

fn node(n: u8) -> Endpoint {
    Endpoint::v4([203, 0, 113, n], 33445)
}

fn friend(port: u16) -> Endpoint {
    Endpoint::v4([198, 51, 100, 7], port)
}

fn drain(punches: &mut Punches<'_>, now: Instant) -> Vec<Move> {
    core::iter::from_fn(|| punches.next(now)).collect()
}

fn targets(moves: &[Move]) -> Vec<Endpoint> {
    let target = |done: &Move| match done {
        Move::Punch { at, .. } => Some(*at),
        Move::Request { .. } | Move::Answer { .. } => None,
    };
    moves.iter().filter_map(target).collect()
}

/// Three nodes say where the friend is, and both have pinged and answered.
fn both_at_it(punches: &mut Punches<'_>, now: Instant, search: SearchId, ports: [u16; 3]) {
    for (n, port) in (1..).zip(ports) {
        punches.named(now, search, node(n), friend(port));
    }
    assert_eq!(punches.on_request(now, search, 5), Ok(true));
    assert_eq!(punches.on_answer(now, search), Ok(()));
}

#[test]
fn one_port_takes_one_packet() {
    let (mut punches, id) = (punches(2, true), searches(1)[0]);
    for n in 1..=3 {
        assert_eq!(drain(&mut punches, START), []);
        punches.named(START, id, node(n), friend(7));
    }
    let requests = drain(&mut punches, START);
    assert_eq!(requests, [2, 1, 0].map(|route| Move::Request { search: id, route }));
    assert_eq!(punches.on_request(START, id, 5), Ok(true));
    assert_eq!(drain(&mut punches, START), [1, 0].map(|route| Move::Answer { search: id, route, id: 5 }));
    assert_eq!(punches.on_answer(START, id), Ok(()));
    assert_eq!(drain(&mut punches, START), [Move::Punch { search: id, at: friend(7) }]);
    assert_eq!(punches.deadline(), Some(START + PAUSE_FIRST));
    punches.forget(id);
    assert_eq!((punches.table().used, punches.deadline()), (0, None));
}

#[test]
fn many_ports_take_a_round_of_guesses_next_to_them() {
    let (mut punches, id) = (punches(2, true), searches(1)[0]);
    both_at_it(&mut punches, START, id, [5000, 5001, 5003]);
    let first = targets(&drain(&mut punches, START));
    let ports: BTreeSet<u16> = first.iter().map(Endpoint::port).collect();
    assert!(first.iter().all(|at| at.ip() == friend(1).ip()));
    assert_eq!((first.len(), ports.len()), (usize::from(ROUND), usize::from(ROUND)));
    assert!(ports.contains(&5004) && ports.contains(&5002) && ports.iter().all(|port| (4970..5030).contains(port)));
    // Goes on where it ended, with the next exchange, and not at once.
    assert_eq!(punches.on_answer(START, id), Ok(()));
    assert_eq!(targets(&drain(&mut punches, START)), []);
    let later = START + PAUSE_FIRST;
    assert_eq!(punches.on_answer(later, id), Ok(()));
    let second = targets(&drain(&mut punches, later));
    assert!(second.len() == usize::from(ROUND) && second.iter().all(|at| !ports.contains(&at.port())));
}

#[test]
fn the_long_way_begins_when_the_short_one_has_failed() {
    let (mut punches, id) = (punches(2, true), searches(1)[0]);
    let mut far = 0;
    for round in 0..12 {
        let now = START + PAUSE * round;
        if round == 0 {
            both_at_it(&mut punches, now, id, [50_000, 50_010, 50_020]);
        } else {
            (1..=3).for_each(|n| punches.named(now, id, node(n), friend(50_000 + u16::from(n))));
            assert!(punches.on_request(now, id, round.into()).is_ok() && punches.on_answer(now, id).is_ok());
        }
        let tried = targets(&drain(&mut punches, now));
        let long = tried.iter().filter(|at| (1024..4000).contains(&at.port())).count();
        assert_eq!(long > 0, round >= u32::from(LONG_WAY_AFTER), "round {round}");
        far += long;
    }
    assert!(far > 100, "{far}");
}

#[test]
fn nobody_makes_us_shoot_alone() {
    let id = searches(1)[0];
    // One machine with many names, and the friend is there.
    let mut liar = punches(2, true);
    for port in 1..200 {
        liar.named(START, id, Endpoint::new(node(1).ip(), port), friend(port));
        liar.named(START, id, Endpoint::new(node(2).ip(), port), friend(port));
    }
    assert!(liar.on_request(START, id, 5).is_ok() && liar.on_answer(START, id).is_ok());
    assert_eq!(targets(&drain(&mut liar, START)), []);
    // Several nodes, but the friend has not answered, or long ago, or has not asked.
    for (asks, answers, wait) in [(true, false, 0), (false, true, 0), (true, true, 7)] {
        let mut punches = punches(2, true);
        if asks {
            punches.on_request(START, id, 5).unwrap();
        }
        if answers {
            let known = punches.on_answer(START, id);
            assert_eq!(known.is_ok(), asks, "whom we have not asked cannot answer");
        }
        let now = START + SECOND * wait;
        (1..=6).for_each(|n| punches.named(now, id, node(n), friend(n.into())));
        assert_eq!(targets(&drain(&mut punches, now)), [], "{asks} {answers} {wait}");
    }
}

#[test]
fn one_request_is_answered_once() {
    let (mut punches, id) = (punches(2, true), searches(1)[0]);
    assert_eq!(punches.on_request(START, id, 5), Ok(true));
    assert_eq!(punches.on_request(START, id, 5), Err(DropReason::Duplicate));
    assert_eq!(punches.on_request(START, id, 6), Err(DropReason::RateLimited));
    let answers = drain(&mut punches, START);
    assert_eq!(answers.iter().filter(|done| matches!(done, Move::Answer { .. })).count(), 2);
    assert_eq!(punches.on_request(START + ANSWER_GAP, id, 6), Ok(false));
    assert!(drain(&mut punches, START + ANSWER_GAP).contains(&Move::Answer { search: id, route: 0, id: 6 }));
}

#[test]
fn switched_off_it_only_answers() {
    let (mut punches, id) = (punches(2, false), searches(1)[0]);
    both_at_it(&mut punches, START, id, [1, 2, 3]);
    let moves = drain(&mut punches, START);
    assert_eq!(moves, [1, 0].map(|route| Move::Answer { search: id, route, id: 5 }));
    assert_eq!(punches.deadline(), Some(Instant::FAR));
}

#[test]
fn who_is_silent_makes_room() {
    let (mut punches, ids) = (punches(1, true), searches(2));
    punches.named(START, ids[0], node(1), friend(1));
    assert_eq!(punches.on_request(START + (KEPT - SECOND), ids[1], 1), Err(DropReason::NoRoom));
    assert_eq!(punches.on_request(START + (KEPT - SECOND), ids[0], 1), Ok(true));
    assert_eq!(punches.on_request(START + KEPT, ids[1], 1), Err(DropReason::NoRoom), "a sign of life");
    assert_eq!(punches.on_request(START + 2 * KEPT, ids[1], 1), Ok(true));
    assert_eq!(punches.on_answer(START + 2 * KEPT, ids[0]), Err(DropReason::Unsolicited), "it was given up");
}

#[test]
fn a_friend_who_never_answers_is_asked_ever_less() {
    let (mut punches, id) = (punches(1, true), searches(1)[0]);
    let mut asked = 0;
    let counts: Vec<usize> = (0..10)
        .map(|minute| {
            for second in 0..60 {
                let now = START + SECOND * (60 * minute + second);
                (1..=3).for_each(|n| punches.named(now, id, node(n), friend(7)));
                asked += drain(&mut punches, now).len();
            }
            core::mem::take(&mut asked)
        })
        .collect();
    assert!((12 * 3..18 * 3).contains(&counts[0]), "{counts:?}");
    assert!(counts[4..].iter().all(|count| *count <= 3), "{counts:?}");
}

#[test]
fn a_round_of_guesses_ends_when_all_say_the_same_port() {
    let deeds = [
        (0, 0, 1),
        (8, 117, 0),
        (0, 174, 0),
        (53, 254, 0),
        (0, 5, 70),
        (8, 0, 0),
        (109, 21, 0),
        (40, 30, 1),
        (3, 94, 0),
        (179, 0, 0),
        (45, 0, 0),
        (147, 29, 0),
        (8, 1, 70),
        (255, 0, 6),
    ];
    assert!(is_bounded(deeds.to_vec()));
}

/// No address gets more than a round within a second, all together no more than the bucket holds, and a deadline never
/// stays in the past.
fn is_bounded(deeds: Vec<(u8, u8, u8)>) -> bool {
    let (mut punches, ids) = (punches(3, true), searches(4));
    let mut now = START;
    let mut sent: Vec<(Instant, Endpoint)> = Vec::new();
    for (what, who, how) in deeds {
        let id = ids[usize::from(who % 4)];
        let at = Endpoint::v4([198, 51, 100, who % 4], 1000 + u16::from(how));
        match what % 8 {
            0..=2 => (0..4).for_each(|n| punches.named(now, id, node(n + what), at)),
            3 | 4 => drop(punches.on_request(now, id, how.into())),
            5 | 6 => drop(punches.on_answer(now, id)),
            _ => now = now + Duration::from_millis(u64::from(how) * 10),
        }
        sent.extend(targets(&drain(&mut punches, now)).into_iter().map(|at| (now, at)));
        assert!(punches.deadline().is_none_or(|at| at > now), "{:?} at {now:?}", punches.deadline());
    }
    let within = |from: Instant, fits: &dyn Fn(&Endpoint) -> bool| {
        sent.iter().filter(|(when, at)| *when >= from && when.since(from) < PAUSE_FIRST && fits(at)).count()
    };
    let elapsed = now.since(START).as_millis() as usize;
    assert!(sent.len() <= GUESS_BURST as usize + elapsed / 20, "{} in {elapsed} ms", sent.len());
    for (from, at) in &sent {
        let (to_host, to_port) = (within(*from, &|other| other.ip() == at.ip()), within(*from, &|other| other == at));
        assert!(to_host <= 2 * usize::from(ROUND) && to_port <= 2, "{to_host} and {to_port} to {at}");
    }
    true
}

quickcheck! {
    /// Whatever friends and nodes do.
    fn what_goes_out_is_bounded(deeds: Vec<(u8, u8, u8)>) -> bool {
        is_bounded(deeds)
    }
}

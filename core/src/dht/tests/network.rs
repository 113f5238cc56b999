//! What networks of some nodes do.

use super::world::{World, dht};
use crate::Endpoint;
use crate::crypto::PublicKey;
use crate::dht::{DhtNote, SearchId};
use core::time::Duration;
use quickcheck::QuickCheck;
use std::collections::HashMap;
use std::vec::Vec;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A bootstrap node (party 0) and `n` nodes that start at the same time and know only it.
fn around_a_bootstrap(n: usize) -> World {
    let mut world = World::new();
    world.add();
    for _ in 0..n {
        let i = world.add();
        world.bootstrap(i, 0);
    }
    world
}

/// Party `i` searches for the keys of `whom`.
fn search(world: &mut World, i: usize, whom: impl Iterator<Item = usize>) -> Vec<(SearchId, Endpoint)> {
    let whom: Vec<_> = whom.map(|j| world.info(j)).collect();
    let (now, dht) = (world.now, &mut world.parties[i].dht);
    whom.into_iter().map(|node| (dht.search(now, node.key).unwrap(), node.at)).collect()
}

fn all_found(world: &World, i: usize, searches: &[(SearchId, Endpoint)]) -> bool {
    searches.iter().all(|(id, at)| world.parties[i].dht.found(world.now, *id) == Some(*at))
}

#[test]
fn two_nodes_find_each_other_though_one_starts_empty() {
    let mut world = around_a_bootstrap(1);
    let end = world.now + Duration::from_millis(100);
    let both = |world: &World| world.parties.iter().all(|p| p.dht.nodes(world.now).count() == 1);
    assert!(world.run_until(end, both), "an empty answer counts, and who asks us is pinged at once");
    assert!(world.parties.iter().all(|p| p.dht.is_connected(world.now)));
    assert_eq!(world.parties[1].notes[0].0, DhtNote::Alive(world.info(0)));
}

#[test]
fn ten_nodes_around_a_bootstrap_find_each_other_at_once() {
    let mut world = around_a_bootstrap(10);
    let start = world.now;
    let searches: Vec<_> = (1..11).map(|i| search(&mut world, i, (1..11).filter(|j| *j != i))).collect();
    let done = |world: &World| (1..11).all(|i| all_found(world, i, &searches[i - 1]));
    assert!(world.run_until(start + SECOND, done), "ninety keys within a second");
    let took = world.now.since(start);
    assert!(took < Duration::from_millis(400), "{took:?}");
    world.run(SECOND * 5);
    assert!(world.busiest_second() <= 24, "{} packets in a second to one node", world.busiest_second());
}

#[test]
fn a_friend_that_comes_online_is_found_at_once() {
    for delay_ms in [0, 100, 333, 2000, 9000] {
        let mut world = around_a_bootstrap(10);
        world.run(MINUTE);
        let friend = world.add();
        let wanted = search(&mut world, 3, friend..friend + 1);
        world.parties[friend].online = false;
        world.run(Duration::from_millis(delay_ms));
        world.parties[friend].online = true;
        world.bootstrap(friend, 0);
        let start = world.now;
        world.run_until(start + SECOND * 5, |world| all_found(world, 3, &wanted));
        let took = world.now.since(start).as_millis();
        let limit = if delay_ms < 3000 { 500 } else { 1500 };
        assert!(took < limit, "{took} ms when searched for {delay_ms} ms");
    }
}

/// Two friends behind NATs that let in only who was sent to. The first keeps the way open until the second looks for
/// him, however late that is.
#[test]
fn friends_behind_nats_meet() {
    for wait in [0, 10, 130] {
        let mut world = around_a_bootstrap(20);
        world.run(MINUTE);
        let [a, b] = [(); 2].map(|()| {
            let i = world.add();
            world.parties[i].nat = Some(HashMap::new());
            world.bootstrap(i, 0);
            i
        });
        let to_b = search(&mut world, a, b..b + 1);
        let start = world.now;
        world.run(SECOND * wait);
        assert!(!all_found(&world, a, &to_b), "the NATs are no hindrance");
        let to_a = search(&mut world, b, a..a + 1);
        let began = world.now;
        let met = |w: &World| all_found(w, a, &to_b) && all_found(w, b, &to_a);
        assert!(world.run_until(began + SECOND, met), "not within a second after {wait} s");
        let (a_at, b_at) = (world.info(a).at, world.info(b).at);
        let sent = world.log.iter().filter(|s| s.by == a && s.to == b_at && s.when <= began);
        let sent: Vec<_> = core::iter::once(start).chain(sent.map(|s| s.when)).chain([began]).collect();
        let gap = sent.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap();
        assert!(gap <= SECOND * 16 && sent.len() as u32 <= 10 + wait / 16, "{gap:?}, {} packets", sent.len());
        let from_b = world.log.iter().filter(|s| s.by == b && s.to == a_at && !s.reply).count();
        assert!(from_b < 10, "{from_b}");
    }
}

/// Who hears of a friend that it could not reach for long begins at a high pace again.
#[test]
fn news_of_a_target_start_it_over() {
    let mut world = around_a_bootstrap(3);
    (2..4).for_each(|i| world.parties[i].nat = Some(HashMap::new()));
    world.run(Duration::from_millis(100));
    world.parties[3].online = false;
    let to_it = search(&mut world, 2, 3..4);
    world.run(MINUTE);
    let sent = |world: &World, since| {
        world.log.iter().filter(|s| s.by == 2 && s.to == world.info(3).at && s.when >= since).count()
    };
    let since = world.now;
    world.run(SECOND * 16);
    assert_eq!(sent(&world, since), 1);
    let since = world.now;
    world.parties[2].dht.reheat(since, to_it[0].0);
    world.run(SECOND * 16);
    assert_eq!(sent(&world, since), 7);
}

#[test]
fn a_search_is_found_under_loss() {
    for seed in 1..6 {
        let mut world = around_a_bootstrap(10);
        world.run(Duration::from_millis(seed * 100));
        world.loss = 64;
        let wanted = search(&mut world, 3, 7..8);
        let end = world.now + SECOND * 3;
        assert!(world.run_until(end, |world| all_found(world, 3, &wanted)));
    }
}

#[test]
fn idle_traffic_is_low() {
    let mut world = around_a_bootstrap(11);
    let friends = search(&mut world, 1, 2..12);
    world.run(MINUTE * 3);
    assert!(all_found(&world, 1, &friends));
    let since = world.now;
    world.run(MINUTE * 5);
    assert!(all_found(&world, 1, &friends), "keep-alive works");
    let per_minute = world.requests(1, since) / 5;
    assert!((11..60).contains(&per_minute), "{per_minute} requests in a minute");
    assert!(world.busiest_second() <= 24, "{}", world.busiest_second());
}

/// Friends that are not there are searched for less and less.
#[test]
fn fruitless_searches_cool_down() {
    let mut world = around_a_bootstrap(11);
    let now = world.now;
    for i in 0..10 {
        world.parties[1].dht.search(now, PublicKey([i * 20 + 3; 32])).unwrap();
    }
    world.run(MINUTE * 2);
    let since = world.now;
    world.run(MINUTE * 10);
    let per_minute = world.requests(1, since) / 10;
    assert!((30..90).contains(&per_minute), "{per_minute} requests in a minute");
}

#[test]
fn silent_nodes_turn_bad_and_are_forgotten() {
    let mut world = around_a_bootstrap(2);
    let wanted = search(&mut world, 1, 2..3);
    world.run(SECOND * 10);
    assert!(all_found(&world, 1, &wanted));
    world.parties[2].online = false;
    let gone = world.now;
    let listed = |world: &World| world.parties[1].dht.closest(world.now, &world.info(2).key, true);
    world.run(SECOND * 50);
    assert!(all_found(&world, 1, &wanted) && listed(&world)[0] == world.info(2));
    assert!(world.run_until(gone + SECOND * 123, |world| !all_found(world, 1, &wanted)));
    assert!(!listed(&world).contains(&world.info(2)));
    world.run(SECOND * 70);
    let key = world.info(2).key;
    assert!(world.parties[1].dht.close.get(&key).is_none(), "forgotten {:?} after", world.now.since(gone));
    let sent_since = |world: &World, since| {
        world.log.iter().filter(|s| s.by == 1 && s.to == world.parties[2].at && s.when > since).count()
    };
    assert!((2..=12).contains(&sent_since(&world, gone)), "{}", sent_since(&world, gone));
    world.run(MINUTE * 2);
    let later = world.now;
    world.run(MINUTE * 10);
    assert_eq!(sent_since(&world, later), 0, "nobody names it any more");
}

#[test]
fn bootstraps_are_asked_until_they_answer_and_again_when_all_is_lost() {
    let mut world = around_a_bootstrap(1);
    world.parties[0].online = false;
    let start = world.now;
    world.run(SECOND * 4);
    let pauses: Vec<_> = world.log.iter().map(|sent| sent.when.since(start).as_millis()).collect();
    assert_eq!(pauses, [0, 100, 400, 1400, 3400]);
    assert!(!world.parties[1].dht.is_connected(world.now));
    world.parties[0].online = true;
    world.run(SECOND * 5);
    assert!(world.parties[1].dht.is_connected(world.now));
    world.parties[0].online = false;
    world.run(MINUTE * 10);
    assert!(!world.parties[1].dht.is_connected(world.now));
    let since = world.now;
    world.run(MINUTE);
    assert!((1..=3).contains(&world.requests(1, since)), "{} requests a minute", world.requests(1, since));
    world.parties[0].online = true;
    let (now, node) = (world.now, world.info(0));
    let connected = |world: &World| world.parties[1].dht.is_connected(world.now);
    assert!(world.run_until(now + SECOND * 31, connected));
    world.parties[1].dht.bootstrap(now, node);
}

/// A machine that was suspended for hours finds its nodes still there.
#[test]
fn survives_a_jump_of_time() {
    let mut world = around_a_bootstrap(10);
    let wanted = search(&mut world, 1, 5..6);
    world.run(MINUTE);
    let known = world.parties[1].dht.nodes(world.now).count();
    world.now = world.now + MINUTE * 600;
    assert!(!world.parties[1].dht.is_connected(world.now));
    world.run(SECOND * 2);
    assert!(world.parties[1].dht.is_connected(world.now) && all_found(&world, 1, &wanted));
    assert_eq!(world.parties[1].dht.nodes(world.now).count(), known);
}

/// The friend's address changed: his old entry is silent, others tell the new one, the search is made hot again.
#[test]
fn a_friend_that_moves_is_found_again() {
    let mut world = around_a_bootstrap(6);
    let wanted = search(&mut world, 1, 4..5);
    world.run(MINUTE * 2);
    world.parties[4].at = Endpoint::v4([198, 51, 100, 7], 40000);
    world.bootstrap(4, 0);
    let others: Vec<_> = (1..6).filter(|i| *i != 4).collect();
    others.iter().for_each(|i| world.bootstrap(4, *i));
    world.run(SECOND);
    let now = world.now;
    world.parties[1].dht.reheat(now, wanted[0].0);
    let at = world.info(4).at;
    let moved = |world: &World| world.parties[1].dht.found(world.now, wanted[0].0) == Some(at);
    assert!(world.run_until(now + SECOND * 5, moved));
}

#[test]
fn lan_addresses_are_told_to_lan_only_and_replace_no_wan_address() {
    let mut world = World::new();
    let lan = |n| Endpoint::v4([192, 168, 1, n], 33445);
    let server = world.add();
    let inside = world.add_with(lan(2), dht(64, 8, 32, 2));
    let neighbour = world.add_with(lan(3), dht(64, 8, 32, 3));
    let outside = world.add();
    for i in [inside, neighbour, outside] {
        world.bootstrap(i, server);
    }
    let from_inside = search(&mut world, inside, neighbour..neighbour + 1);
    world.run(SECOND * 5);
    assert!(all_found(&world, inside, &from_inside));
    assert!(world.parties[server].dht.closest(world.now, &world.info(inside).key, false).len() == 1);
    assert!(world.parties[server].dht.closest(world.now, &world.info(inside).key, true).len() == 3);
    // The outside node is seen from within the LAN too, but what the server knows works.
    let known = world.info(outside);
    world.parties[outside].at = lan(9);
    let (now, node) = (world.now, world.info(outside));
    world.parties[server].dht.ask(now, node, node.key);
    world.run(SECOND);
    assert_eq!(world.parties[server].dht.close.get(&known.key).unwrap().at, known.at);
}

/// Whatever is lost, whoever comes and goes: no deadline sticks (checked by the world), nobody is flooded, and when the
/// loss ends everybody who is there is connected.
#[test]
fn any_weather() {
    fn calms_down(loss: u8, size: u8, absences: Vec<(u8, u16)>) -> bool {
        let mut world = around_a_bootstrap(2 + usize::from(size % 6));
        let n = world.parties.len();
        let wanted = search(&mut world, 1, 2..3);
        world.loss = loss;
        for (who, secs) in absences.iter().take(6) {
            let who = usize::from(*who) % n;
            world.parties[who].online = false;
            world.run(Duration::from_secs(u64::from(*secs % 300)));
            world.parties[who].online = true;
        }
        world.loss = 0;
        world.run(MINUTE * 3);
        world.busiest_second() <= 24
            && world.parties.iter().all(|p| p.dht.is_connected(world.now))
            && all_found(&world, 1, &wanted)
    }
    QuickCheck::new().tests(20).quickcheck(calms_down as fn(u8, u8, Vec<(u8, u16)>) -> bool);
}

/// The microcontroller's tables are enough to be part of a network.
#[test]
fn eight_places_are_enough() {
    let mut world = World::new();
    world.add();
    for n in 1..14_u8 {
        let i = world.add_with(Endpoint::v4([203, 0, 113, n + 1], 33445), dht(8, 4, 4, n));
        world.bootstrap(i, 0);
    }
    let wanted: Vec<_> = (1..14).map(|i| search(&mut world, i, (i % 13 + 1)..(i % 13 + 2))).collect();
    let end = world.now + SECOND * 10;
    assert!(world.run_until(end, |world| (1..14).all(|i| all_found(world, i, &wanted[i - 1]))));
}

//! Devices that UDP does not reach, on a hub in memory: they meet and chat through a TCP relay.

mod entry;

use crate::wire::{Device, Flash, Hub, until};
use bluering_embassy::Tox;
use bluering_embassy::bluering_core::{Connection, Event, FriendId, MessageKind};
use entry::Entry;

/// A hub with a relay that two devices know.
fn pair() -> (Hub, Entry, [Device; 2]) {
    let hub = Hub::default();
    let entry = hub.entry(1);
    let devices = [2, 3].map(|host| hub.device(host, &[entry.line()], &Flash::new()));
    (hub, entry, devices)
}

/// The same, and both have no UDP.
fn pair_without_udp() -> (Hub, Entry, [Device; 2]) {
    let (hub, entry, devices) = pair();
    devices.iter().for_each(|device| device.block_udp(true));
    (hub, entry, devices)
}

async fn connected(tox: Tox<'_>, by: Connection) {
    until(tox, |event| (event == Event::SelfConnection(by)).then_some(())).await;
}

async fn met(tox: Tox<'_>, by: Connection) -> FriendId {
    until(tox, |event| match event {
        Event::FriendConnection { friend, connection } if connection == by => Some(friend),
        _ => None,
    })
    .await
}

async fn meet(alice: Tox<'_>, bob: Tox<'_>, by: Connection) -> [FriendId; 2] {
    alice.add_friend(&bob.tox_id(), b"hello").expect("room");
    let asked = until(bob, |event| match event {
        Event::FriendRequest { key, .. } => Some(key),
        _ => None,
    });
    bob.accept(asked.await).expect("room");
    [met(alice, by).await, met(bob, by).await]
}

/// A message that is acknowledged.
async fn say(from: Tox<'_>, to: Tox<'_>, friend: FriendId, words: &[u8]) {
    let number = from.send_message(friend, MessageKind::Normal, words).await.expect("online");
    until(to, |event| matches!(event, Event::Message { text, .. } if text == words).then_some(())).await;
    until(from, |event| matches!(event, Event::ReadReceipt { message, .. } if message == number).then_some(())).await;
}

async fn chat(tox: [Tox<'_>; 2], friends: [FriendId; 2]) {
    for words in [b"are you there?".as_slice(), &[b'x'; 1372]] {
        say(tox[0], tox[1], friends[0], words).await;
        say(tox[1], tox[0], friends[1], words).await;
    }
}

#[test]
fn devices_without_udp_meet_through_a_relay() {
    let (hub, _entry, devices) = pair_without_udp();
    let tox = devices.each_ref().map(|device| device.tox);
    hub.run(async {
        connected(tox[0], Connection::Tcp).await;
        let friends = meet(tox[0], tox[1], Connection::Tcp).await;
        chat(tox, friends).await;
    });
}

#[test]
fn one_without_udp_meets_one_with_it() {
    let (hub, _entry, devices) = pair();
    devices[0].block_udp(true);
    let tox = devices.each_ref().map(|device| device.tox);
    hub.run(async {
        let friends = meet(tox[1], tox[0], Connection::Tcp).await;
        chat([tox[1], tox[0]], friends).await;
    });
}

/// The sockets' buffers are full again and again, and nothing is lost.
#[test]
fn an_echo_of_a_burst_comes_back_whole() {
    const COUNT: u32 = 60;
    let (hub, _entry, devices) = pair_without_udp();
    let [alice, bob] = devices.each_ref().map(|device| device.tox);
    let words = |number: u32| number.to_be_bytes().repeat(343);
    let text = |event: Event<'_>| match event {
        Event::Message { text, .. } => Some(text.to_vec()),
        _ => None,
    };
    hub.run(async {
        let [to_bob, to_alice] = meet(alice, bob, Connection::Tcp).await;
        let send = async {
            for number in 0..COUNT {
                alice.send_message(to_bob, MessageKind::Normal, &words(number)).await.expect("online");
            }
        };
        let echo = async {
            for _ in 0..COUNT {
                let words = until(bob, text).await;
                bob.send_message(to_alice, MessageKind::Normal, &words).await.expect("online");
            }
        };
        let hear = async {
            for number in 0..COUNT {
                assert_eq!(until(alice, text).await, words(number));
            }
        };
        smol::future::zip(send, smol::future::zip(echo, hear)).await;
    });
}

#[test]
fn udp_dies_while_they_chat_and_comes_back() {
    let (hub, _entry, devices) = pair();
    let tox = devices.each_ref().map(|device| device.tox);
    hub.run(async {
        let friends = meet(tox[0], tox[1], Connection::Udp).await;
        chat(tox, friends).await;
        devices[0].block_udp(true);
        chat(tox, friends).await;
        assert_eq!(tox[0].friend(friends[0]).expect("a friend").connection, Connection::Tcp);
        devices[0].block_udp(false);
        met(tox[0], Connection::Udp).await;
        chat(tox, friends).await;
    });
}

#[test]
fn a_relay_that_was_away() {
    let (hub, entry, devices) = pair_without_udp();
    let tox = devices.each_ref().map(|device| device.tox);
    hub.run(async {
        let friends = meet(tox[0], tox[1], Connection::Tcp).await;
        entry.set_relay(false);
        entry.is_deserted().await;
        entry.set_relay(true);
        chat(tox, friends).await;
    });
}

/// Nobody told it where the network is: the relay is on its flash.
#[test]
fn a_device_comes_back_from_its_flash() {
    let (hub, entry, [alice, _]) = pair();
    let flash = Flash::new();
    let carol = hub.device(4, &[entry.line()], &flash);
    [&alice, &carol].iter().for_each(|device| device.block_udp(true));
    let to_carol = hub.run(async {
        let [to_carol, _] = meet(alice.tox, carol.tox, Connection::Tcp).await;
        carol.tox.shutdown().await;
        until(alice.tox, |event| match event {
            Event::FriendConnection { connection: Connection::None, .. } => Some(()),
            _ => None,
        })
        .await;
        to_carol
    });
    drop(carol);
    let carol = hub.device(5, &[], &flash);
    carol.block_udp(true);
    hub.run(async {
        let to_alice = met(carol.tox, Connection::Tcp).await;
        met(alice.tox, Connection::Tcp).await;
        chat([alice.tox, carol.tox], [to_carol, to_alice]).await;
    });
}

#[test]
fn a_cable_that_is_pulled_and_plugged_in_again() {
    let (hub, _entry, devices) = pair_without_udp();
    let tox = devices.each_ref().map(|device| device.tox);
    hub.run(async {
        let friends = meet(tox[0], tox[1], Connection::Tcp).await;
        let with = tox[0].addresses();
        devices[0].plug(false);
        let without = tox[0].other_addresses(with).await;
        devices[0].plug(true);
        tox[0].other_addresses(without).await;
        chat(tox, friends).await;
    });
}

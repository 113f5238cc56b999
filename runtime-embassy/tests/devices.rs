//! Devices on a hub in memory: they meet, chat, and come back after a cable was pulled.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test waits for one kind of event")]

#[cfg(feature = "relays")]
mod relays;
mod wire;

use bluering_embassy::bluering_core::{Connection, Event, FriendId, MessageKind};
use bluering_embassy::flash::{LoadError, Loaded};
use bluering_embassy::{Bootstrap, StartError, Tox};
use wire::{Flash, Hub, PORT, until};

fn online(event: &Event<'_>) -> Option<FriendId> {
    match event {
        Event::FriendConnection { friend, connection: Connection::Udp } => Some(*friend),
        _ => None,
    }
}

async fn meet(alice: Tox<'_>, bob: Tox<'_>) -> [FriendId; 2] {
    alice.add_friend(&bob.tox_id(), b"hello").expect("room");
    let asked = until(bob, |event| match event {
        Event::FriendRequest { key, message } if message == b"hello" => Some(key),
        _ => None,
    });
    bob.accept(asked.await).expect("room");
    [until(alice, |event| online(&event)).await, until(bob, |event| online(&event)).await]
}

/// A message that is acknowledged.
async fn say(from: Tox<'_>, to: Tox<'_>, friend: FriendId, words: &[u8]) {
    let number = from.send_message(friend, MessageKind::Normal, words).await.expect("online");
    until(to, |event| matches!(event, Event::Message { text, .. } if text == words).then_some(())).await;
    until(from, |event| matches!(event, Event::ReadReceipt { message, .. } if message == number).then_some(())).await;
}

/// A hub with three devices; two of them enter through the first.
fn three() -> (Hub, [wire::Device; 3]) {
    let hub = Hub::default();
    let first = hub.device(1, &[], &Flash::new());
    let entry = [Bootstrap { host: "203.0.113.1", port: PORT, tcp_port: None, key: first.tox.dht_key() }];
    let others = [2, 3].map(|host| hub.device(host, &entry, &Flash::new()));
    let [alice, bob] = others;
    (hub, [first, alice, bob])
}

#[test]
fn devices_meet_and_chat() {
    let (hub, [_first, alice, bob]) = three();
    hub.run(async {
        let [to_bob, to_alice] = meet(alice.tox, bob.tox).await;
        for words in [b"are you there?".as_slice(), &[b'x'; 1372]] {
            say(alice.tox, bob.tox, to_bob, words).await;
            say(bob.tox, alice.tox, to_alice, words).await;
        }
    });
}

/// The sender waits for room while the receiver does not read, and nothing is lost.
#[test]
fn a_reader_that_is_late_gets_everything() {
    const COUNT: u32 = 40;
    let (hub, [_first, alice, bob]) = three();
    hub.run(async {
        let [to_bob, _] = meet(alice.tox, bob.tox).await;
        let send = async {
            for number in 0..COUNT {
                alice.tox.send_message(to_bob, MessageKind::Normal, &number.to_be_bytes()).await.expect("online");
            }
        };
        let read = async {
            while alice.tox.stats().sends_refused == 0 {
                smol::future::yield_now().await;
            }
            for number in 0..COUNT {
                let words = until(bob.tox, |event| match event {
                    Event::Message { text, .. } => Some(text.to_vec()),
                    _ => None,
                });
                assert_eq!(words.await, number.to_be_bytes());
            }
        };
        smol::future::zip(send, read).await;
    });
}

/// An application that answers each message before it reads the next: what waits to be read leaves room for answers.
#[test]
fn an_echo_of_a_burst_comes_back_whole() {
    const COUNT: u32 = 60;
    let (hub, [_first, alice, bob]) = three();
    hub.run(async {
        let [to_bob, to_alice] = meet(alice.tox, bob.tox).await;
        let text = |event: Event<'_>| match event {
            Event::Message { text, .. } => Some(text.to_vec()),
            _ => None,
        };
        let send = async {
            for number in 0..COUNT {
                alice.tox.send_message(to_bob, MessageKind::Normal, &number.to_be_bytes()).await.expect("online");
            }
        };
        let echo = async {
            for _ in 0..COUNT {
                let words = until(bob.tox, text).await;
                bob.tox.send_message(to_alice, MessageKind::Normal, &words).await.expect("online");
            }
        };
        let hear = async {
            for number in 0..COUNT {
                assert_eq!(until(alice.tox, text).await, number.to_be_bytes());
            }
        };
        smol::future::zip(send, smol::future::zip(echo, hear)).await;
    });
}

#[test]
fn a_cable_that_is_pulled_and_plugged_in_again() {
    let (hub, [_first, alice, bob]) = three();
    hub.run(async {
        let [to_bob, to_alice] = meet(alice.tox, bob.tox).await;
        let with = alice.tox.addresses();
        alice.plug(false);
        let without = alice.tox.other_addresses(with).await;
        assert!(without.is_empty());
        assert!(bob.tox.friend(to_alice).is_some());
        alice.plug(true);
        assert_eq!(alice.tox.other_addresses(without).await, with);
        say(alice.tox, bob.tox, to_bob, b"back again").await;
    });
}

/// Saved is saved, whenever the power goes: the device is the same, knows its friend, and finds the way back by the
/// nodes that it knew.
#[test]
fn a_device_comes_back_from_its_flash() {
    let (hub, [first, alice, _]) = three();
    let flash = Flash::new();
    let entry = [Bootstrap { host: "203.0.113.1", port: PORT, tcp_port: None, key: first.tox.dht_key() }];
    let carol = hub.device(4, &entry, &flash);
    let id = carol.tox.tox_id();
    let (to_carol, to_alice) = hub.run(async {
        carol.tox.set_name(b"Carol").expect("short");
        let [to_carol, to_alice] = meet(alice.tox, carol.tox).await;
        carol.tox.shutdown().await;
        (to_carol, to_alice)
    });
    assert_eq!(carol.tox.loaded(), Loaded::New);
    drop(carol);
    // Another address, and nobody told it where the network is.
    let carol = hub.device(5, &[], &flash);
    assert!(matches!(carol.tox.loaded(), Loaded::Newest { .. }));
    assert_eq!((carol.tox.tox_id(), carol.tox.friend_by_index(0)), (id, Some(to_alice)));
    hub.run(async {
        until(carol.tox, |event| online(&event)).await;
        until(alice.tox, |event| online(&event)).await;
        say(carol.tox, alice.tox, to_alice, b"same as ever").await;
        say(alice.tox, carol.tox, to_carol, b"indeed").await;
    });
}

#[test]
fn a_damaged_page_costs_the_newest_snapshot_only_and_all_of_them_stop_the_start() {
    let (hub, flash) = (Hub::default(), Flash::new());
    let device = hub.device(1, &[], &flash);
    let id = device.tox.tox_id();
    hub.run(async {
        device.tox.set_name(b"first").expect("short");
        device.tox.shutdown().await;
    });
    drop(device);
    let sound = flash.0.borrow().clone();
    let mut ends = [0; 2];
    for start in (0..sound.len()).step_by(4096) {
        flash.0.borrow_mut().copy_from_slice(&sound);
        flash.0.borrow_mut()[start..start + 4096].fill(0x5a);
        let device = hub.device(2, &[], &flash);
        assert_eq!(device.tox.tox_id(), id);
        ends[usize::from(matches!(device.tox.loaded(), Loaded::Older { .. }))] += 1;
    }
    assert!(ends[0] > 0 && ends[1] > 0, "{ends:?}");
    flash.0.borrow_mut().fill(0x5a);
    assert_eq!(hub.try_device(3, &[], &flash).err(), Some(StartError::Load(LoadError::Unreadable)));
    assert!(flash.0.borrow().iter().all(|byte| *byte == 0x5a), "nothing is written over");
}

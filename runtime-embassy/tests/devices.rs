//! Devices on a hub in memory: they meet, chat, and come back after a cable was pulled.

mod wire;

use bluering_embassy::bluering_core::{Connection, Event, FriendId, MessageKind};
use bluering_embassy::{Bootstrap, Tox};
use wire::{Hub, PORT, until};

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
    let first = hub.device(1, &[]);
    let entry = [Bootstrap { host: "203.0.113.1", port: PORT, key: first.tox.dht_key() }];
    let others = [2, 3].map(|host| hub.device(host, &entry));
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
            // By now the sender is out of blocks.
            until(alice.tox, |event| matches!(event, Event::Writable { .. }).then_some(())).await;
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

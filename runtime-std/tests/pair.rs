//! Two clients and a node on 127.0.0.1, driven by their events alone.

use bluering::core::{Connection, FriendId, MessageKind, SendError};
use bluering::{Builder, CommandError, Events, Listen, Tox, ToxEvent};
use smol::Timer;
use smol::future::FutureExt;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn builder() -> Builder {
    Builder::new().listen(Listen::At(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))
}

fn within_patience<T>(test: impl Future<Output = T>) -> T {
    let too_long = async {
        Timer::after(PATIENCE).await;
        panic!("not finished after {PATIENCE:?}")
    };
    smol::block_on(test.or(too_long))
}

async fn wait<T>(events: &mut Events, wanted: impl Fn(&ToxEvent) -> Option<T>) -> T {
    loop {
        let event = events.next().await.expect("a running node");
        if let Some(found) = wanted(&event) {
            return found;
        }
    }
}

async fn wait_connection(events: &mut Events, who: FriendId, how: Connection) {
    wait(events, |event| {
        matches!(event, ToxEvent::FriendConnection { friend, connection } if (*friend, *connection) == (who, how))
            .then_some(())
    })
    .await;
}

/// Alice asks, Bob accepts, both see each other.
async fn befriend(alice: &mut (Tox, Events), bob: &mut (Tox, Events)) -> (FriendId, FriendId) {
    let id = bob.0.me().await.expect("running").tox_id;
    let bob_at_alice = alice.0.add_friend(id, "let me in").await.expect("a good Tox ID");
    let (key, message) = wait(&mut bob.1, |event| {
        let ToxEvent::FriendRequest { key, message } = event else { return None };
        Some((*key, message.clone()))
    })
    .await;
    assert_eq!((key, message.as_slice()), (alice.0.public_key(), b"let me in".as_slice()));
    let alice_at_bob = bob.0.accept(key).await.expect("room for a friend");
    wait_connection(&mut alice.1, bob_at_alice, Connection::Udp).await;
    wait_connection(&mut bob.1, alice_at_bob, Connection::Udp).await;
    (bob_at_alice, alice_at_bob)
}

async fn enter(tox: &Tox, node: &Tox) {
    let at = node.local();
    tox.bootstrap(&at.ip().to_string(), at.port(), node.dht_key()).await.expect("a node on loopback");
}

#[test]
fn two_people_chat() {
    within_patience(async {
        let (node, _) = builder().start().expect("a node");
        let (mut alice, mut bob) = (builder().start().expect("Alice"), builder().start().expect("Bob"));
        alice.0.set_name("Alice").await.expect("short");
        enter(&alice.0, &node).await;
        enter(&bob.0, &node).await;
        let (to_bob, to_alice) = befriend(&mut alice, &mut bob).await;
        let number = alice.0.send_message(to_bob, MessageKind::Normal, "Grüße 🐧").await.expect("online");
        let (friend, kind, text) = wait(&mut bob.1, |event| {
            let ToxEvent::Message { friend, kind, text } = event else { return None };
            Some((*friend, *kind, text.clone()))
        })
        .await;
        assert_eq!((friend, kind, text.as_slice()), (to_alice, MessageKind::Normal, "Grüße 🐧".as_bytes()));
        let receipt = ToxEvent::ReadReceipt { friend: to_bob, message: number };
        wait(&mut alice.1, |event| (*event == receipt).then_some(())).await;
        let known = bob.0.friend(to_alice).await.expect("running").expect("a friend");
        assert_eq!(known.name, b"Alice");
        // An orderly end is seen at once, not after a timeout.
        alice.0.shutdown().await.expect("nothing to save");
        wait_connection(&mut bob.1, to_alice, Connection::None).await;
        let refused = bob.0.send_message(to_alice, MessageKind::Normal, "there?").await;
        assert_eq!(refused, Err(CommandError::Refused(SendError::NotConnected)));
    });
}

#[test]
fn a_profile_brings_friends_back() {
    let file = |name: &str| -> PathBuf {
        std::env::temp_dir().join(format!("bluering-pair-{name}-{}.tox", std::process::id()))
    };
    let (a_file, b_file) = (file("a"), file("b"));
    let _ = (std::fs::remove_file(&a_file), std::fs::remove_file(&b_file));
    within_patience(async {
        let (node, _) = builder().start().expect("a node");
        // With more nodes, Bob's onion paths need not lead through Alice, who will vanish.
        let mut others = Vec::new();
        for _ in 0..6 {
            let (tox, events) = builder().start().expect("a node");
            enter(&tox, &node).await;
            others.push((tox, events));
        }
        let mut alice = builder().profile(&a_file).start().expect("Alice");
        let mut bob = builder().profile(&b_file).start().expect("Bob");
        bob.0.set_name("Robert").await.expect("short");
        bob.0.set_status_message("out").await.expect("short");
        enter(&alice.0, &node).await;
        enter(&bob.0, &node).await;
        let (to_bob, to_alice) = befriend(&mut alice, &mut bob).await;
        wait(&mut alice.1, |event| matches!(event, ToxEvent::FriendStatusMessage { .. }).then_some(())).await;
        let alices_id = alice.0.me().await.expect("running").tox_id;
        alice.0.shutdown().await.expect("saved");
        wait_connection(&mut bob.1, to_alice, Connection::None).await;

        let mut alice = builder().profile(&a_file).start().expect("Alice again");
        assert_eq!(alice.0.me().await.expect("running").tox_id, alices_id);
        let friends = alice.0.friends().await.expect("running");
        assert_eq!((friends[0].id, friends[0].key), (to_bob, bob.0.public_key()));
        assert_eq!((friends[0].name.as_slice(), friends[0].status_message.as_slice()), (&b"Robert"[..], &b"out"[..]));
        // The profile knows a way in.
        wait_connection(&mut alice.1, to_bob, Connection::Udp).await;
        wait_connection(&mut bob.1, to_alice, Connection::Udp).await;
        alice.0.remove_friend(to_bob).await.expect("running");
        alice.0.shutdown().await.expect("saved");
        let (alice, _) = builder().profile(&a_file).start().expect("Alice, third time");
        assert!(alice.friends().await.expect("running").is_empty());
        bob.0.shutdown().await.expect("saved");
    });
    for path in [a_file, b_file] {
        std::fs::remove_file(path).expect("there");
    }
}

/// The node saves by itself after a change; a file that somebody put there meanwhile stays, and the application is
/// told.
#[test]
fn a_profile_that_cannot_be_saved_is_an_event() {
    let path = std::env::temp_dir().join(format!("bluering-pair-foreign-{}.tox", std::process::id()));
    let _ = std::fs::remove_file(&path);
    within_patience(async {
        let (tox, mut events) = builder().profile(&path).start().expect("an empty place");
        std::fs::write(&path, "a letter").expect("writable");
        tox.set_name("Alice").await.expect("short");
        let reason = wait(&mut events, |event| {
            let ToxEvent::ProfileNotSaved { reason } = event else { return None };
            Some(reason.clone())
        })
        .await;
        assert!(reason.contains("bluering-pair-foreign"), "{reason}");
        assert!(tox.shutdown().await.is_err());
    });
    assert_eq!(std::fs::read(&path).expect("there"), b"a letter");
    std::fs::remove_file(&path).expect("there");
}

/// Bob does not read: Alice is stopped by the window, nothing is lost, and all arrives once he reads.
#[test]
fn an_application_that_does_not_read_slows_its_friend() {
    const COUNT: usize = 8000;
    within_patience(async {
        let (node, _) = builder().start().expect("a node");
        let mut alice = builder().start().expect("Alice");
        let mut bob = builder().events_waiting(4).start().expect("Bob");
        enter(&alice.0, &node).await;
        enter(&bob.0, &node).await;
        let (to_bob, _) = befriend(&mut alice, &mut bob).await;
        let texts = |from: usize| (from..COUNT).map(|i| i.to_string().into_bytes()).collect::<Vec<_>>();
        let mut sent = alice.0.send_messages(to_bob, MessageKind::Normal, texts(0)).await.expect("running").taken;
        assert!(sent < COUNT, "the window is bounded");
        let mut next = 0;
        while next < COUNT {
            let text = wait(&mut bob.1, |event| {
                let ToxEvent::Message { text, .. } = event else { return None };
                Some(text.clone())
            })
            .await;
            assert_eq!(text, next.to_string().into_bytes());
            next += 1;
            while let Some(event) = alice.1.try_next() {
                if matches!(event, ToxEvent::Writable { .. }) {
                    sent +=
                        alice.0.send_messages(to_bob, MessageKind::Normal, texts(sent)).await.expect("running").taken;
                }
            }
        }
    });
}

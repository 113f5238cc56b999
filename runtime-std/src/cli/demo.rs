//! `bluering demo`: a node and two people on this machine's loopback, in one process, in a few seconds.

use super::Failure;
use bluering::core::{Connection, FriendId, MessageKind};
use bluering::{Builder, Events, Listen, Tox, ToxEvent};
use smol::Timer;
use smol::future::FutureExt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Long after everything should have happened.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Somebody in the demo.
struct Person {
    name: &'static str,
    tox: Tox,
    events: Events,
    start: Instant,
}

pub(super) async fn run() -> Result<(), Failure> {
    let start = Instant::now();
    let too_long = async {
        Timer::after(TIMEOUT).await;
        Err(Failure { code: 1, message: format!("demo: not finished after {} s", TIMEOUT.as_secs()) })
    };
    act(start).or(too_long).await?;
    println!(
        "{:7.3} s  done: everything above went through UDP on 127.0.0.1, encrypted",
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

async fn act(start: Instant) -> Result<(), Failure> {
    let node = Person::arrive("node", start)?;
    let mut alice = Person::arrive("Alice", start)?;
    let mut bob = Person::arrive("Bob", start)?;
    node.say(&format!("a bootstrap node listens on {}", node.tox.local()));
    for person in [&alice, &bob] {
        person.tox.set_name(person.name).await?;
        let at = node.tox.local();
        person.tox.bootstrap(&at.ip().to_string(), at.port(), node.tox.dht_key()).await?;
    }
    let bobs_id = bob.tox.me().await?.tox_id;
    bob.say(&format!("my Tox ID is {bobs_id}"));
    let alices_friend = alice.tox.add_friend(bobs_id, "Hello Bob, it is me, Alice.").await?;
    alice.say("sends a friend request to that Tox ID: \"Hello Bob, it is me, Alice.\"");
    let bobs_friend = bob.receive_request().await?;
    alice.wait_online(alices_friend, "Bob").await?;
    bob.wait_online(bobs_friend, "Alice").await?;
    alice.chat(alices_friend, &mut bob, MessageKind::Normal, "Did you see a server anywhere?").await?;
    bob.chat(bobs_friend, &mut alice, MessageKind::Normal, "No. There is none.").await?;
    alice.chat(alices_friend, &mut bob, MessageKind::Action, "waves").await?;
    for person in [&alice, &bob, &node] {
        person.tox.shutdown().await?;
    }
    Ok(())
}

impl Person {
    fn arrive(name: &'static str, start: Instant) -> Result<Self, Failure> {
        let loopback = Listen::At(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let (tox, events) = Builder::new().listen(loopback).start()?;
        Ok(Self { name, tox, events, start })
    }

    fn say(&self, what: &str) {
        println!("{:7.3} s  {:<5}  {what}", self.start.elapsed().as_secs_f64(), self.name);
    }

    async fn next(&mut self) -> Result<ToxEvent, Failure> {
        let gone = || Failure { code: 1, message: format!("demo: {} stopped", self.name) };
        self.events.next().await.ok_or_else(gone)
    }

    async fn receive_request(&mut self) -> Result<FriendId, Failure> {
        loop {
            if let ToxEvent::FriendRequest { key, message } = self.next().await? {
                let friend = self.tox.accept(key).await?;
                let words = String::from_utf8_lossy(&message);
                self.say(&format!("gets a friend request from {key}, which says \"{words}\", and accepts"));
                return Ok(friend);
            }
        }
    }

    async fn wait_online(&mut self, who: FriendId, name: &str) -> Result<(), Failure> {
        let online = ToxEvent::FriendConnection { friend: who, connection: Connection::Udp };
        while self.next().await? != online {}
        self.say(&format!("sees {name} online"));
        Ok(())
    }

    async fn chat(&mut self, to: FriendId, other: &mut Self, kind: MessageKind, words: &str) -> Result<(), Failure> {
        let sent_at = Instant::now();
        let number = self.tox.send_message(to, kind, words).await?;
        self.say(&match kind {
            MessageKind::Normal => format!("writes: {words}"),
            MessageKind::Action => format!("* {words}"),
        });
        let words_read = words.as_bytes();
        let same =
            |event| matches!(event, ToxEvent::Message { kind: read, text, .. } if read == kind && text == words_read);
        while !same(other.next().await?) {}
        other.say(&format!("reads it after {:.1} ms", sent_at.elapsed().as_secs_f64() * 1e3));
        let receipt = ToxEvent::ReadReceipt { friend: to, message: number };
        while self.next().await? != receipt {}
        self.say(&format!("has the receipt after {:.1} ms", sent_at.elapsed().as_secs_f64() * 1e3));
        Ok(())
    }
}

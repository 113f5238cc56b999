//! Bytes come in any pieces, and slots are used again.

use super::*;
use crate::relay::channel::{leave_open, opened};
use quickcheck::quickcheck;

/// What a client says in this test: a valid conversation with one misuse at the end, perhaps.
fn conversation(steps: &[u8]) -> Vec<Vec<u8>> {
    let step = |n: &u8| match n % 8 {
        0 => packet(&RelayPacket::Ping(u64::from(*n) + 1)),
        1 => packet(&RelayPacket::RoutingRequest(PublicKey([*n; 32]))),
        2 => packet(&RelayPacket::OobSend { to: PublicKey([1; 32]), data: &[*n; 900] }),
        3 => packet(&RelayPacket::Data { id: 16, data: &vec![*n; usize::from(*n) * 7] }),
        4 => packet(&RelayPacket::ConnectionNotification(*n)),
        5 => packet(&RelayPacket::Pong(9)),
        6 => packet(&RelayPacket::DisconnectNotification(17)),
        _ => packet(&RelayPacket::OnionRequest(&[*n; 400])),
    };
    steps.iter().map(step).collect()
}

/// Everything that can be seen of a conversation, given in pieces of these lengths.
fn seen(steps: &[u8], cuts: &[u8]) -> (Vec<Packet>, Option<CloseReason>, RelayStats) {
    let mut relay = Relay::new();
    let (id, secret) = (relay.open(1), SecretKey::from_bytes([3; 32]));
    let key = secret.public_key();
    let (greeting, hello) = Greeting::new(&Nacl, &mut relay.rng, (&secret, &key), &relay.server.key()).unwrap();
    let mut cuts = cuts.iter().cycle().map(|cut| usize::from(*cut) + 1);
    let mut rest = Vec::new();
    let mut give = |relay: &mut Relay, bytes: &[u8]| {
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let (piece, later) = bytes.split_at(cuts.next().unwrap_or(usize::MAX).min(bytes.len()));
            rest.extend_from_slice(piece);
            let before = rest.clone();
            let used = relay.server.handle_stream(relay.now, id, &mut rest);
            assert!(before[used..] == rest[used..], "what is not used is not changed");
            rest.drain(..used);
            assert!(rest.len() < FRAME_LEN_MAX);
            relay.drain();
            bytes = later;
        }
    };
    give(&mut relay, &hello);
    let answer = relay.sent.remove(&id.index()).unwrap();
    let channel = greeting.finish(&Nacl, &mut answer.try_into().unwrap()).unwrap();
    let mut client = Client { id, secret, key, channel };
    let bytes: Vec<u8> = conversation(steps).iter().flat_map(|text| client.frame_raw(text)).collect();
    give(&mut relay, &bytes);
    let mut heard = relay.hear(&mut client);
    // Of several equal requests, or pings, that came together only the last is answered, and none that was taken back.
    comparable(&mut heard);
    let mut stats = relay.server.stats().clone();
    stats.frames_out = 0;
    (heard, relay.why_closed(id), stats)
}

fn comparable(heard: &mut Vec<Packet>) {
    heard.retain(|text| {
        let packet = RelayPacket::parse(text);
        !matches!(packet, Some(RelayPacket::Pong(_) | RelayPacket::RoutingResponse { id: 17, .. }))
    });
    heard.sort();
    heard.dedup();
}

/// The same, all at once, of a relay whose adapter has the channel.
fn seen_outside(steps: &[u8]) -> (Vec<Packet>, Option<CloseReason>, RelayStats) {
    let mut relay = Relay::new();
    relay.server.outside = true;
    let (id, key) = (relay.open(1), SecretKey::from_bytes([3; 32]).public_key());
    assert!(relay.server.welcomes(&key) && relay.server.greeted(relay.now, id, key));
    assert!(!relay.server.greeted(relay.now, id, key), "once");
    let mut frames = Vec::new();
    for text in conversation(steps) {
        let at = frames.len();
        frames.extend_from_slice(&[0; FRAME_TEXT]);
        frames.extend_from_slice(&text);
        let len = frames.len() - at;
        leave_open(&mut frames[at..], len);
    }
    relay.give(id, &frames);
    let (mut sent, mut heard) = (relay.sent.remove(&id.index()).unwrap_or_default(), Vec::new());
    let mut left = &mut sent[..];
    while let Received::Frame { used, .. } = opened(left) {
        heard.push(left[FRAME_TEXT..used].to_vec());
        left = &mut left[used..];
    }
    assert!(left.is_empty());
    comparable(&mut heard);
    let mut stats = relay.server.stats().clone();
    stats.frames_out = 0;
    (heard, relay.why_closed(id), stats)
}

quickcheck! {
    fn segmentation_changes_nothing(steps: Vec<u8>, cuts: Vec<u8>) -> bool {
        let steps = &steps[..steps.len().min(20)];
        let whole = seen(steps, &[]);
        seen(steps, &[0]) == whole && (cuts.is_empty() || seen(steps, &cuts) == whole)
    }

    fn who_has_the_channel_changes_nothing(steps: Vec<u8>) -> bool {
        let steps = &steps[..steps.len().min(20)];
        seen_outside(steps) == seen(steps, &[])
    }

    /// Noise instead of a handshake, or behind a good one, never does harm and always ends the connection in time.
    fn noise_is_closed(noise: Vec<u8>, behind: bool) -> bool {
        let mut relay = Relay::new();
        let id = if behind {
            let secret = relay.secret();
            relay.greet(1, secret).id
        } else {
            relay.open(1)
        };
        let mut noise = noise;
        relay.server.handle_stream(relay.now, id, &mut noise);
        relay.drain();
        relay.pass(HANDSHAKE_TIME);
        relay.why_closed(id).is_some() && relay.is_clean()
    }
}

#[test]
fn a_stale_id_finds_nobody() {
    let mut relay = Relay::new();
    let first = relay.join(1);
    relay.server.closed(relay.now, first.id);
    let mut second = relay.join(2);
    assert_eq!(first.id.index(), second.id.index());
    assert_ne!(first.id, second.id);
    relay.server.closed(relay.now, first.id);
    assert_eq!(relay.server.handle_stream(relay.now, first.id, &mut [1, 2, 3]), 3);
    assert_eq!(relay.server.poll_stream(relay.now, first.id, &mut [0; FRAME_LEN_MAX]), 0);
    assert_eq!((relay.server.client(first.id), relay.server.client(second.id)), (None, Some(second.key)));
    relay.say(&mut second, &RelayPacket::Ping(2));
    assert_eq!(relay.hear(&mut second), [packet(&RelayPacket::Pong(2))]);
}

#[test]
fn an_adapter_refuses_whom_it_cannot_open() {
    let mut relay = Relay::new();
    relay.server.outside = true;
    let (greeting, open) = (relay.open(1), relay.open(2));
    let key = PublicKey([5; 32]);
    assert!(relay.server.greeted(relay.now, open, key));
    // Bytes before the handshake are not for the server.
    relay.give(greeting, &[1; 200]);
    relay.server.refuse(relay.now, greeting, CloseReason::BadHandshake);
    relay.server.refuse(relay.now, open, CloseReason::BadFrame);
    relay.drain();
    let reasons = [greeting, open].map(|id| relay.why_closed(id));
    assert_eq!(reasons, [Some(CloseReason::BadHandshake), Some(CloseReason::BadFrame)]);
    assert!(!relay.server.greeted(relay.now, open, key) && relay.is_clean());
}

#[test]
fn a_slow_loris_has_ten_seconds() {
    let mut relay = Relay::new();
    let mut honest = relay.join(1);
    let id = relay.open(2);
    let (mut bytes, mut given) = (Vec::new(), 0);
    while relay.why_closed(id).is_none() {
        bytes.push(0);
        given += 1;
        assert_eq!(relay.server.handle_stream(relay.now, id, &mut bytes), 0);
        relay.pass(Duration::from_millis(500));
    }
    assert_eq!((given, relay.why_closed(id)), (20, Some(CloseReason::HandshakeTimeout)));
    relay.say(&mut honest, &RelayPacket::Ping(2));
    assert_eq!(relay.hear(&mut honest).len(), 1);
}

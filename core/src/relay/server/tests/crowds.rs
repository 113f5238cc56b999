//! Full tables, floods, and those who do not read.

use super::*;
use quickcheck::quickcheck;

#[test]
fn the_client_beyond_the_last_is_turned_away() {
    let mut relay = Relay::new();
    let mut clients: Vec<Client> = (0..CLIENTS as u8).map(|ip| relay.join(ip)).collect();
    let id = relay.open(99);
    let (secret, relay_key) = (relay.secret(), relay.server.key());
    let me = (&secret, &secret.public_key());
    let (_, hello) = Greeting::new(&Nacl, &mut relay.rng, me, &relay_key).unwrap();
    relay.give(id, &hello);
    assert_eq!(relay.why_closed(id), Some(CloseReason::NoRoom));
    // One that comes again has its place.
    let first = clients.remove(0);
    let again = relay.join_as(1, first.secret);
    assert_eq!((relay.why_closed(first.id), relay.table(0)), (Some(CloseReason::Replaced), CLIENTS));
    relay.server.closed(relay.now, again.id);
    relay.join(99);
}

#[test]
fn a_thousand_half_open_handshakes_disturb_nobody() {
    let mut relay = Relay::new();
    let mut old = relay.join(1);
    for n in 0..1000 {
        relay.open((n % 251) as u8);
        assert!(relay.table(1) <= PENDING);
    }
    let mut new = relay.join(1);
    relay.route(&mut old, &mut new);
    assert_eq!(relay.server.stats().closed(CloseReason::Displaced), 1001 - PENDING as u64);
    relay.pass(HANDSHAKE_TIME);
    assert_eq!((relay.table(0), relay.table(1)), (2, 0));
}

#[test]
fn one_address_displaces_its_own_handshakes() {
    let mut relay = Relay::new();
    let slow = relay.open(1);
    for _ in 0..100 {
        relay.open(2);
    }
    assert_eq!(relay.why_closed(slow), None);
    assert_eq!(relay.table(1), PENDING);
}

#[test]
fn an_address_has_its_share() {
    let mut relay = Relay::with(Box::leak(Box::new(Memory::new())).storage(PENDING, 3));
    let (_a, b) = (relay.join(1), relay.join(1));
    let waiting = relay.open(1);
    let displacing = relay.open(1);
    assert_eq!(relay.why_closed(waiting), Some(CloseReason::Displaced));
    relay.server.closed(relay.now, displacing);
    let _c = relay.join(1);
    let from = Endpoint::v4([11, 0, 0, 1], 1);
    assert_eq!(relay.server.opened(relay.now, from), Err(Full));
    assert_eq!(relay.server.stats().refused, 1);
    relay.join(2);
    relay.server.closed(relay.now, b.id);
    relay.join(1);
}

/// One who does not read loses data, and nobody else does.
#[test]
fn a_flood_to_one_who_does_not_read_disturbs_nobody() {
    let mut relay = Relay::new();
    let (mut flooder, mut victim) = (relay.join(1), relay.join(2));
    let (mut a, mut b) = (relay.join(3), relay.join(4));
    relay.route(&mut flooder, &mut victim);
    relay.route(&mut a, &mut b);
    relay.stuck.push(victim.id);
    for n in 0..200 {
        relay.say(&mut flooder, &RelayPacket::Data { id: 16, data: &[n; 1400] });
        relay.say(&mut a, &RelayPacket::Data { id: 16, data: &[n; 1400] });
        assert_eq!(relay.hear(&mut b), [packet(&RelayPacket::Data { id: 16, data: &[n; 1400] })]);
    }
    let dropped = relay.server.stats().dropped(DropReason::NoRoom);
    assert!(dropped > 150 && relay.table(3) <= 16, "{dropped} dropped, {} blocks", relay.table(3));
    // Notices are not lost: they come first, then what was kept, in order.
    relay.say(&mut flooder, &RelayPacket::DisconnectNotification(16));
    relay.stuck.clear();
    relay.say(&mut victim, &RelayPacket::Ping(2));
    let heard = relay.hear(&mut victim);
    assert_eq!(heard[..2], [packet(&RelayPacket::Pong(2)), packet(&RelayPacket::DisconnectNotification(16))]);
    let kept: Vec<u8> = heard[2..].iter().map(|text| text[1]).collect();
    assert_eq!(kept, (0..kept.len() as u8).collect::<Vec<_>>());
    assert_eq!((kept.len() as u64 + dropped, relay.table(3)), (200, 0));
}

#[test]
fn refusals_that_nobody_reads_close() {
    let mut relay = Relay::new();
    let mut client = relay.join(1);
    relay.stuck.push(client.id);
    let peer = client.key;
    let mut asked = 0;
    while relay.why_closed(client.id).is_none() {
        relay.say(&mut client, &RelayPacket::RoutingRequest(peer));
        asked += 1;
    }
    assert_eq!(relay.why_closed(client.id), Some(CloseReason::Overflow));
    assert!((500..5000).contains(&asked) && relay.is_clean());
}

#[test]
fn who_asks_for_a_ping_and_does_not_read_is_closed_in_time() {
    let mut relay = Relay::new();
    let client = relay.join(1);
    relay.stuck.push(client.id);
    relay.pass(Duration::from_secs(40));
    assert_eq!(relay.why_closed(client.id), Some(CloseReason::PingTimeout));
    assert!(relay.is_clean());
}

quickcheck! {
    /// Whatever clients do to each other, and whenever they go: nothing is left of them.
    fn nothing_is_left(steps: Vec<(u8, u8)>) -> bool {
        let mut relay = Relay::new();
        let mut clients: Vec<Client> = (0..4).map(|ip| relay.join(ip)).collect();
        let keys: Vec<PublicKey> = clients.iter().map(|client| client.key).collect();
        for (who, what) in steps {
            let client = &mut clients[usize::from(who % 4)];
            if relay.why_closed(client.id).is_some() { continue; }
            let peer = keys[usize::from(what >> 3) % 4];
            match what % 8 {
                0 | 1 => relay.say(client, &RelayPacket::RoutingRequest(peer)),
                2 => relay.say(client, &RelayPacket::DisconnectNotification(16 + (what >> 6))),
                3 | 4 => relay.say(client, &RelayPacket::Data { id: 16 + (what >> 6), data: &[what; 700] }),
                5 => relay.say(client, &RelayPacket::OobSend { to: peer, data: &[what; 700] }),
                6 => relay.stuck.push(client.id),
                _ => *client = relay.join_as(who, client.secret.clone()),
            }
        }
        for client in &clients {
            relay.server.closed(relay.now, client.id);
        }
        relay.drain();
        relay.pass(HANDSHAKE_TIME);
        relay.is_clean()
    }
}

#[test]
fn storage_that_is_too_small_is_refused() {
    let parts = || Parts { rng: ChaCha12Rng::seed_from_u64(7), suite: Nacl };
    let new = |storage| RelayServer::<TestEnv>::new(SecretKey::from_bytes([9; 32]), storage, parts(), Instant::ZERO);
    let mut small = StaticRelayStorage::<16, 8, 1, 1>::new();
    assert!(new(small.storage(4, 1)).is_err());
    let mut no_blocks = StaticRelayStorage::<32, 64, 1, 0>::new();
    assert!(new(no_blocks.storage(4, 1)).is_err());
    let mut enough = StaticRelayStorage::<32, 64, 1, 1>::new();
    assert!(new(enough.storage(4, 1)).is_ok());
}

/// On 32 bits numbers of 64 bits may stand closer together.
#[test]
fn sizes_are_known() {
    let exact = if align_of::<u64>() == 8 { usize::eq } else { usize::ge };
    assert!(exact(&328, &size_of::<Conn>()), "{}", size_of::<Conn>());
    assert_eq!(size_of::<RoutePage>(), 8 * 44 + 4);
    assert!(exact(&16, &size_of::<StreamId>()), "{}", size_of::<StreamId>());
}

//! The whole node: arbitrary datagrams, time and commands. No panic, bounded output, no deadline stuck in the past.
//!
//! Two nodes share the run, so that real packets of one reach the other, whole or changed.

#![no_main]

use bluering_core::crypto::{Nacl, Nospam, SecretKey};
use bluering_core::time::Instant;
use bluering_core::wire::NodeInfo;
use bluering_core::{Config, DATAGRAM_MAX, Disposition, Endpoint, Env, Frame, Limits, MessageKind, Node, Parts, Storage};
use core::time::Duration;
use libfuzzer_sys::fuzz_target;
use rand_core::SeedableRng;

struct FuzzEnv;

impl Env for FuzzEnv {
    type Rng = chacha20::ChaCha8Rng;
    type Suite = Nacl;
}

type Packets = Vec<(usize, Vec<u8>)>;

fuzz_target!(|data: &[u8]| {
    let mut now = Instant::from_secs(1);
    let mut nodes = [node(1, now), node(2, now)];
    for i in 0..2 {
        let other = &nodes[1 - i];
        let (key, at) = (other.tox_id().public_key, NodeInfo { key: other.dht_key(), at: address(1 - i) });
        let _ = nodes[i].accept(now, key);
        let _ = nodes[i].bootstrap(now, at);
    }
    let mut flying: Packets = Vec::new();
    for i in 0..2 {
        drain(&mut nodes[i], i, now, &mut flying);
    }
    let mut input = data.iter().copied();
    while let (Some(what), Some(arg)) = (input.next(), input.next()) {
        let side = usize::from(what & 1);
        match what >> 1 & 7 {
            0 | 1 => {
                // Deliver the oldest packet, perhaps with a bit flipped, perhaps twice.
                if flying.is_empty() {
                    continue;
                }
                let (to, mut bytes) = flying.remove(0);
                if what & 128 != 0 && !bytes.is_empty() {
                    let at = usize::from(arg) * 7 % bytes.len();
                    bytes[at] ^= 1 << (arg & 7);
                }
                if what & 64 != 0 {
                    deliver(&mut nodes[to], to, now, &bytes.clone(), &mut flying);
                }
                deliver(&mut nodes[to], to, now, &bytes, &mut flying);
            }
            2 => {
                let bytes: Vec<u8> = input.by_ref().take(usize::from(arg) * 2).collect();
                deliver(&mut nodes[side], side, now, &bytes, &mut flying);
            }
            3 => flying.clear(),
            4 => {
                if let Some(friend) = nodes[side].friend_by_index(0) {
                    let text = vec![arg; usize::from(arg) * 5];
                    let _ = nodes[side].send_message(now, friend, MessageKind::Normal, &text);
                }
            }
            5 => now = now + Duration::from_millis(u64::from(arg) * 4),
            6 => now = now + Duration::from_secs(u64::from(arg)),
            _ => {
                if arg == 0 {
                    nodes[side].shutdown(now);
                }
            }
        }
        for i in 0..2 {
            nodes[i].handle_timeout(now);
            drain(&mut nodes[i], i, now, &mut flying);
        }
    }
});

fn node(seed: u8, now: Instant) -> Node<'static, FuzzEnv> {
    let parts = Parts { rng: chacha20::ChaCha8Rng::from_seed([seed; 32]), suite: Nacl };
    let config = Config { secret: SecretKey::from_bytes([seed; 32]), nospam: Nospam([seed; 4]), dht_secret: None, info: None };
    match Node::new(config, Storage::heap(&Limits::MICRO), parts, now) {
        Ok(node) => node,
        Err(error) => panic!("{error}"),
    }
}

fn address(i: usize) -> Endpoint {
    Endpoint::v4([192, 0, 2, i as u8 + 1], 33445)
}

fn deliver(node: &mut Node<'static, FuzzEnv>, to: usize, now: Instant, bytes: &[u8], flying: &mut Packets) {
    let mut buf = [0; DATAGRAM_MAX];
    let len = bytes.len().min(DATAGRAM_MAX);
    buf[..len].copy_from_slice(&bytes[..len]);
    if let Disposition::Reply { len, .. } = node.handle_datagram(now, &mut Frame::new(&mut buf, len, address(1 - to))) {
        flying.push((1 - to, buf[..len].to_vec()));
    }
    drain(node, to, now, flying);
}

fn drain(node: &mut Node<'static, FuzzEnv>, i: usize, now: Instant, flying: &mut Packets) {
    let mut buf = [0; DATAGRAM_MAX];
    for round in 0.. {
        let mut sent = 0;
        while node.poll_action().is_some() {}
        while let Some(packet) = node.poll_transmit(now, &mut buf) {
            sent += 1;
            assert!(sent <= 400, "endless output");
            if packet.to == address(1 - i) {
                flying.push((1 - i, packet.bytes.to_vec()));
            }
        }
        while node.poll_event().is_some() {}
        match node.poll_timeout() {
            Some(deadline) if deadline.at <= now => {
                assert!(round < 4, "busy with {:?}", deadline.why);
                node.handle_timeout(now);
            }
            Some(_) | None => break,
        }
    }
    flying.truncate(256);
}

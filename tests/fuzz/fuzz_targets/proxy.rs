//! What answers where a proxy should be: any bytes, in any pieces, before and after we have asked.
//!
//! The first byte says which proxy and how the pieces are cut; a byte in the answer may let us speak before it.

#![no_main]

use bluering_core::Endpoint;
use bluering_core::relay::proxy::{HostName, OUTPUT_MAX, Proxy, ProxyClient, ProxyKind, ProxyState, Target};
use libfuzzer_sys::fuzz_target;

/// More than any answer that is still read.
const ENOUGH: usize = 10_000;

/// How it ended, and how many bytes were the proxy's.
fn talk(proxy: &Proxy<'_>, answers: &[&[u8]], piece: usize) -> (ProxyState, usize) {
    let target = Target::Name(HostName::new("relay.example").expect("a name"), 443);
    let (mut client, mut buf, mut used) = (ProxyClient::new(proxy), [0; OUTPUT_MAX], 0);
    for answer in answers {
        let had_output = client.has_output();
        let len = client.output(proxy, &target, &mut buf);
        assert!(len <= OUTPUT_MAX && had_output == (len > 0));
        for bytes in answer.chunks(piece) {
            let progress = client.input(bytes);
            used += progress.used;
            assert!(progress.used <= bytes.len() && progress.state == client.state());
            assert!(progress.used == bytes.len() || progress.state != ProxyState::Waiting);
        }
    }
    let end = (client.state(), used);
    let _ = client.ended().to_string();
    for _ in 0..3 {
        client.output(proxy, &target, &mut buf);
        client.input(&[b'x'; ENOUGH]);
    }
    assert!(client.state() != ProxyState::Waiting, "it waits for ever");
    if let ProxyState::Failed(trouble) = client.state() {
        assert!(!trouble.to_string().is_empty());
    }
    end
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let kind = if first & 1 == 0 { ProxyKind::Socks5 } else { ProxyKind::Http };
    let credentials = (first & 2 != 0).then_some((&b"user"[..], &b"password"[..]));
    let proxy = Proxy::new(kind, Endpoint::v4([10, 0, 0, 1], 1080), credentials).expect("short");
    // HTTP is asked once; in SOCKS5 a byte tells how long the next answer is.
    let mut answers = Vec::new();
    let mut left = bytes;
    while kind == ProxyKind::Socks5 && answers.len() < 3 {
        let Some((len, rest)) = left.split_first() else { break };
        let (answer, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        answers.push(answer);
        left = rest;
    }
    answers.push(left);
    let piece = usize::from(first >> 2) + 1;
    assert_eq!(talk(&proxy, &answers, piece), talk(&proxy, &answers, ENOUGH));
});

//! Packed nodes: every byte is accounted for, and what is read can be written and read again.

#![no_main]

use bluering_core::wire::{NODE_LEN_MAX, NodeInfo, PackedNodes, Writer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for max in [0, 1, 4, 8, usize::MAX] {
        let any = PackedNodes::parse_any(bytes, max);
        let udp_only = PackedNodes::parse_udp(bytes, max);
        let Some(nodes) = any else {
            assert!(udp_only.is_none());
            continue;
        };
        assert!(nodes.count() <= max && nodes.as_bytes() == bytes);
        assert_eq!(nodes.udp().count() + nodes.tcp().count(), nodes.count());
        assert_eq!(udp_only.is_some(), nodes.tcp().next().is_none());
        // Addresses are normalised (IPv4 in IPv6); from then on they are stable.
        let again = written(nodes.udp().map(|node| (node, false)).chain(nodes.tcp().map(|node| (node, true))));
        let reread = PackedNodes::parse_any(&again, max).expect("own nodes can be read");
        assert!(reread.udp().eq(nodes.udp()) && reread.tcp().eq(nodes.tcp()));
        assert!(nodes.udp().chain(nodes.tcp()).map(|node| node.packed_len()).sum::<usize>() == again.len());
    }
});

fn written(nodes: impl Iterator<Item = (NodeInfo, bool)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (node, tcp) in nodes {
        let mut buf = [0; NODE_LEN_MAX];
        let mut w = Writer::new(&mut buf);
        if tcp {
            node.emit_tcp(&mut w)
        } else {
            node.emit(&mut w)
        }
        let len = w.len();
        out.extend_from_slice(&buf[..len]);
    }
    out
}

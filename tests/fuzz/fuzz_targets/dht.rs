//! DHT packets and what is in their boxes: what is read is written as it was.

#![no_main]

use bluering_core::wire::dht::{DhtRequest, InfoResponse, NodesRequest, NodesResponse, Outer, Ping};
use bluering_core::wire::{NodeInfo, Writer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(packet) = Outer::parse(bytes) {
        same(bytes, |w| packet.emit(w));
    }
    if let Some(ping) = Ping::parse(bytes) {
        same(bytes, |w| ping.emit(w));
    }
    if let Some(request) = NodesRequest::parse(bytes) {
        same(bytes, |w| request.emit(w));
    }
    if let Some(response) = NodesResponse::parse(bytes) {
        same(bytes, |w| response.emit(w));
        let nodes: Vec<NodeInfo> = response.nodes.udp().collect();
        // Normalised addresses may be shorter; the second writing must be stable.
        let mut buf = [0; 2048];
        let mut w = Writer::new(&mut buf);
        NodesResponse::emit_list(&mut w, &nodes, response.id);
        let len = w.len();
        let again = NodesResponse::parse(&buf[..len]).expect("own packets can be read");
        assert!(again.id == response.id && again.nodes.udp().eq(nodes));
    }
    if let Some(request) = DhtRequest::parse(bytes) {
        same(bytes, |w| request.emit(w));
    }
    if let Some(info) = InfoResponse::parse(bytes) {
        same(bytes, |w| info.emit(w));
    }
});

fn same(bytes: &[u8], emit: impl FnOnce(&mut Writer<'_>)) {
    let mut buf = [0; 2048];
    let mut w = Writer::new(&mut buf);
    emit(&mut w);
    let len = w.len();
    assert_eq!(&buf[..len], bytes);
}

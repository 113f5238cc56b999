//! Onion packets, announces and onion data: what is read is written as it was.

#![no_main]

use bluering_core::wire::onion::{
    AnnounceHeader, AnnounceRequest, AnnounceResponse, DataHeader, DataRequestHeader, DhtKeyAnnounce, FriendRequest,
    ONION_ADDR_LEN, ResponseHeader, data, emit_addr, is_request, is_response, parse_addr,
};
use bluering_core::wire::{Reader, Writer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(header) = AnnounceHeader::parse(bytes) {
        assert_eq!((&header.nonce.0[..], &header.sender.0[..]), (&bytes[1..25], &bytes[25..57]));
    }
    if let Some((request, extra)) = AnnounceRequest::parse(bytes) {
        same(bytes, |w| {
            request.emit(w);
            w.bytes(extra);
        });
    }
    if let Some(header) = ResponseHeader::parse(bytes) {
        same(&bytes[..33], |w| header.emit(w));
    }
    if let Some(response) = AnnounceResponse::parse(bytes, false) {
        same(bytes, |w| response.emit(false, w));
    }
    if let Some(response) = AnnounceResponse::parse(bytes, true) {
        // Group announcements may follow.
        let len = 34 + response.nodes.as_bytes().len();
        same(&bytes[..len], |w| response.emit(true, w));
    }
    if let Some(header) = DataRequestHeader::parse(bytes) {
        assert_eq!(header.receiver.0, bytes[1..DataRequestHeader::REST_AT]);
    }
    if let Some(header) = DataHeader::parse(bytes) {
        assert!(bytes.len() > data::RESPONSE_DATA_AT);
        assert_eq!((&header.nonce.0[..], &header.temporary.0[..]), (&bytes[1..25], &bytes[25..57]));
    }
    if let Some(announce) = DhtKeyAnnounce::parse(bytes) {
        same(bytes, |w| announce.emit(w));
        assert!(announce.nodes.udp().count() + announce.nodes.tcp().count() <= data::DHT_KEY_NODES_MAX);
    }
    if let Some(request) = FriendRequest::parse(bytes) {
        same(bytes, |w| request.emit(w));
    }
    if let Some(at) = parse_addr(&mut Reader::new(bytes)) {
        // Addresses are normalised; from then on they are stable.
        let mut buf = [0; ONION_ADDR_LEN];
        emit_addr(at, &mut Writer::new(&mut buf));
        assert_eq!(parse_addr(&mut Reader::new(&buf)), Some(at));
    }
    if let Some(kind) = bytes.first() {
        assert!(!(is_request(*kind) && is_response(*kind)));
    }
});

fn same(bytes: &[u8], emit: impl FnOnce(&mut Writer<'_>)) {
    let mut buf = [0; 4096];
    let mut w = Writer::new(&mut buf);
    emit(&mut w);
    let len = w.len();
    assert_eq!(&buf[..len], bytes);
}

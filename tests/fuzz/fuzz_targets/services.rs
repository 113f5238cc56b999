//! Forwarding, DHT announcements, group announcements, LAN discovery: what is read is written as it was.

#![no_main]

use bluering_core::wire::Writer;
use bluering_core::wire::announcements::{
    RetrieveRequest, RetrieveResponse, SearchRequest, SearchResponse, StoreRequest, StoreResponse, StoreText,
};
use bluering_core::wire::dht::{LanDiscovery, Outer};
use bluering_core::wire::forwarding::{FORWARD_LEN_MAX, ForwardRequest, Forwarded, SENDBACK_LEN_MAX};
use bluering_core::wire::onion::group::ANNOUNCES_MAX;
use bluering_core::wire::onion::{GroupAnnounces, PublicAnnounce};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(outer) = Outer::parse(bytes) {
        same(bytes, |w| outer.emit(w));
    }
    if let Some(call) = LanDiscovery::parse(bytes) {
        same(bytes, |w| call.emit(w));
    }
    if let Some(request) = ForwardRequest::parse(bytes) {
        assert!(request.data.len() <= FORWARD_LEN_MAX && request.chain() >= 1);
        same(bytes, |w| request.emit(w));
    }
    if let Some(forwarded) = Forwarded::parse(bytes) {
        assert!(forwarded.data.len() <= FORWARD_LEN_MAX && forwarded.sendback.len() <= SENDBACK_LEN_MAX);
        same(bytes, |w| forwarded.emit(w));
    }
    if let Some(request) = SearchRequest::parse(bytes) {
        same(bytes, |w| request.emit(w));
    }
    if let Some(response) = SearchResponse::parse(bytes) {
        same(bytes, |w| response.emit(w));
    }
    if let Some(request) = RetrieveRequest::parse(bytes) {
        same(bytes, |w| request.emit(w));
    }
    if let Some(response) = RetrieveResponse::parse(bytes) {
        same(bytes, |w| response.emit(w));
    }
    if let Some(request) = StoreRequest::parse(bytes) {
        same(bytes, |w| request.emit(w));
    }
    if let Some(text) = StoreText::parse(bytes) {
        same(bytes, |w| text.emit(w));
    }
    if let Some(response) = StoreResponse::parse(bytes) {
        same(bytes, |w| response.emit(w));
    }
    if let Some(public) = PublicAnnounce::parse(bytes) {
        same(bytes, |w| public.emit(w));
    }
    if let Some(list) = GroupAnnounces::parse(bytes) {
        assert!(list.iter().count() <= ANNOUNCES_MAX);
        same(bytes, |w| {
            for announce in list.iter() {
                w.bytes(announce.as_bytes());
            }
        });
    }
});

fn same(bytes: &[u8], emit: impl FnOnce(&mut Writer<'_>)) {
    let mut buf = [0; 4096];
    let mut w = Writer::new(&mut buf);
    emit(&mut w);
    let len = w.len();
    assert_eq!(&buf[..len], bytes);
}

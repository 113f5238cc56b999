//! Packets of `net_crypto` and what is in their boxes: what is read is written as it was.

#![no_main]

use bluering_core::wire::session::{
    CONTENT_LEN_MAX, COOKIE_REQUEST_BOX, COOKIE_RESPONSE_BOX, CookieRequest, CookieRequestText, CookieResponse,
    CookieResponseText, CookieText, DATA_LEN_MAX, DataText, HANDSHAKE_BOX, Handshake, HandshakeText, data_nonce,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(head) = CookieRequest::parse(bytes) {
        same(&bytes[..COOKIE_REQUEST_BOX], |out| head.emit(out));
    }
    if let Some(head) = CookieResponse::parse(bytes) {
        same(&bytes[..COOKIE_RESPONSE_BOX], |out| head.emit(out));
    }
    if let Some(head) = Handshake::parse(bytes) {
        same(&bytes[..HANDSHAKE_BOX], |out| head.emit(out));
    }
    if let Some(text) = CookieRequestText::parse(bytes) {
        // The padding in the middle is not kept.
        let mut zeroed = bytes.to_vec();
        zeroed[32..64].fill(0);
        same(&zeroed, |out| text.emit(out));
    }
    if let Some(text) = CookieResponseText::parse(bytes) {
        same(bytes, |out| text.emit(out));
    }
    if let Some(text) = CookieText::parse(bytes) {
        same(bytes, |out| text.emit(out));
    }
    if let Some(text) = HandshakeText::parse(bytes) {
        same(bytes, |out| text.emit(out));
    }
    if data_nonce(bytes).is_some() {
        assert!(bytes.len() <= DATA_LEN_MAX);
    }
    // The text of a packet that was not too long.
    if let Some(text) = DataText::parse(bytes).filter(|text| text.content.len() <= CONTENT_LEN_MAX) {
        // Padding may differ, the meaning not.
        let mut out = [0; DATA_LEN_MAX];
        let len = text.emit(&mut out);
        assert_eq!(DataText::parse(&out[..len]), Some(text));
    }
});

fn same(bytes: &[u8], emit: impl FnOnce(&mut [u8])) {
    let mut out = vec![0; bytes.len()];
    emit(&mut out);
    assert_eq!(out, bytes);
}

//! Packets inside a friend's session: what is read is written as it was.

#![no_main]

use bluering_core::wire::messenger::Packet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(packet) = Packet::parse(bytes) {
        let mut out = [0; 2048];
        let len = packet.emit(&mut out);
        assert_eq!(&out[..len], bytes);
    }
});

//! What people type: Tox IDs, keys, nospams.

#![no_main]

use bluering_core::crypto::{Nospam, PublicKey, ToxId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(id) = text.parse::<ToxId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    if let Some(key) = PublicKey::from_hex(text) {
        assert_eq!(PublicKey::from_hex(&key.to_string()), Some(key));
    }
    let _ = Nospam::from_hex(text);
});

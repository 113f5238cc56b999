//! Profiles: any bytes can be tried, and what was understood survives writing and reading.
//!
//! The keys must fit each other, which a fuzzer never guesses; so every input is also tried behind good keys.

#![no_main]

use bluering_core::crypto::{Nospam, SecretKey};
use bluering_core::profile::{Profile, ProfileWriter};
use bluering_core::wire::NodeInfo;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    let secret = SecretKey::from_bytes([7; 32]);
    let start = ProfileWriter::new(Vec::new(), Nospam([1; 4]), &secret).expect("a vector grows");
    let mut whole = start.finish().expect("a vector grows");
    // Without the end section, which has no content.
    whole.truncate(whole.len() - 8);
    whole.extend_from_slice(bytes);
    check(&whole);
});

fn check(bytes: &[u8]) {
    let Ok(profile) = Profile::parse(bytes) else { return };
    let written = write(&profile);
    let again = Profile::parse(&written).expect("own profiles can be read");
    assert_eq!((again.nospam(), again.public_key()), (profile.nospam(), profile.public_key()));
    assert_eq!(again.secret_key().as_bytes(), profile.secret_key().as_bytes());
    assert_eq!((again.name(), again.status_message()), (profile.name(), profile.status_message()));
    assert_eq!(again.status(), profile.status());
    assert!(again.friends().eq(profile.friends()));
    assert!(again.nodes().eq(profile.nodes()));
    assert!(again.relays().eq(profile.relays()));
    assert!(again.path_nodes().eq(profile.path_nodes()));
    assert!(again.others().eq(profile.others()));
    // emit(parse(x)) == x for everything that we wrote ourselves.
    assert_eq!(write(&again), written);
}

fn write(profile: &Profile<'_>) -> Vec<u8> {
    try_write(profile).expect("a vector grows")
}

fn try_write(profile: &Profile<'_>) -> Result<Vec<u8>, bluering_core::storage::Full> {
    let collected = |nodes: &mut dyn Iterator<Item = NodeInfo>| nodes.collect::<Vec<_>>();
    let mut w = ProfileWriter::new(Vec::new(), profile.nospam(), &profile.secret_key())?;
    w.nodes(collected(&mut profile.nodes()).into_iter())?;
    w.friends(profile.friends())?;
    w.name(profile.name())?;
    w.status_message(profile.status_message())?;
    w.status(profile.status())?;
    w.relays(collected(&mut profile.relays()).into_iter())?;
    w.path_nodes(collected(&mut profile.path_nodes()).into_iter())?;
    for section in profile.others() {
        w.other(section)?;
    }
    w.finish()
}

//! Between the node and its profile: the core writes it and reads it, we add what it does not keep.

use crate::HostEnv;
use crate::contacts::{Contact, Contacts};
use crate::env::unix_now;
use crate::profile_store::ProfileBytes;
use crate::room::Room;
use bluering_core::Node;
use bluering_core::profile::{FriendRecord, Profile, Section};
use bluering_core::storage::Full;
use bluering_core::time::Instant;
use zeroize::Zeroizing;

/// The profile as of now.
pub(crate) fn snapshot(room: &Room) -> ProfileBytes {
    let (node, contacts) = (&room.node, &room.contacts);
    let texts = |id| contacts.get(id).map(Contact::texts).unwrap_or_default();
    let relays = contacts.relays.iter().copied();
    let others = contacts.foreign.iter().map(|(kind, content)| Section { kind: *kind, content });
    match node.save(unix_now(), Vec::new(), texts, relays, others) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(Full) => unreachable!("a vector takes any length that a section can have"),
    }
}

/// How many friends a node must have room for to hold `profile`.
pub(crate) fn friends_in(profile: &Profile<'_>) -> usize {
    profile.friends().count()
}

/// Brings friends, texts and nodes back. What the node refuses (a duplicate, our own key) is left out.
pub(crate) fn restore(node: &mut Node<'static, HostEnv>, now: Instant, profile: &Profile<'_>) -> Contacts {
    let mut contacts = Contacts::default();
    node.restore(now, profile, |id, friend| contacts.put(id, contact(friend)));
    contacts.relays = profile.relays().collect();
    contacts.foreign = profile.others().map(|section| (section.kind, section.content.to_vec())).collect();
    contacts
}

fn contact(friend: &FriendRecord<'_>) -> Contact {
    Contact {
        name: friend.name.to_vec(),
        status_message: friend.status_message.to_vec(),
        status: friend.status,
        last_seen: friend.last_seen,
    }
}

//! Between the node and its profile: what is written, and how a node comes back from it.

use crate::HostEnv;
use crate::contacts::{Contact, Contacts};
use crate::env::unix_now;
use crate::profile_store::ProfileBytes;
use crate::room::Room;
use bluering_core::crypto::ToxId;
use bluering_core::profile::{FriendRecord, FriendState, Profile, ProfileWriter, Section};
use bluering_core::storage::Full;
use bluering_core::time::Instant;
use bluering_core::wire::NodeInfo;
use bluering_core::{Connection, FriendId, Node};
use std::net::{IpAddr, Ipv4Addr};
use zeroize::Zeroizing;

/// Nodes to start from: toxcore reads as many.
const NODES_MAX: usize = 8;

/// The profile as of now.
pub(crate) fn snapshot(room: &Room) -> ProfileBytes {
    match write(room) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(Full) => unreachable!("a vector takes any length that a section can have"),
    }
}

fn write(room: &Room) -> Result<Vec<u8>, Full> {
    let (node, contacts) = (&room.node, &room.contacts);
    let texts: Vec<_> = node.friends().map(|id| (id, contacts.get(id))).collect();
    let friends: Vec<_> = texts.iter().filter_map(|(id, contact)| record(node, *id, contact)).collect();
    let nodes: Vec<_> = node.known_nodes().take(NODES_MAX).collect();
    let path_nodes: Vec<_> = node.path_nodes().take(NODES_MAX).collect();
    let mut writer = ProfileWriter::new(Vec::new(), node.tox_id().nospam, node.secret_key())?;
    writer.nodes(nodes.into_iter())?;
    writer.friends(friends.into_iter())?;
    writer.name(node.name())?;
    writer.status_message(node.status_message())?;
    writer.status(node.status())?;
    writer.relays(contacts.relays.iter().copied())?;
    writer.path_nodes(path_nodes.into_iter())?;
    for (kind, content) in &contacts.foreign {
        writer.other(Section { kind: *kind, content })?;
    }
    writer.finish()
}

fn record<'a>(node: &'a Node<'static, HostEnv>, id: FriendId, contact: &'a Contact) -> Option<FriendRecord<'a>> {
    let info = node.friend(id)?;
    Some(FriendRecord {
        state: if info.requested.is_some() { FriendState::Requested } else { FriendState::Confirmed },
        key: info.key,
        request_message: node.request_message(id).unwrap_or_default(),
        nospam: info.requested.unwrap_or_default(),
        name: &contact.name,
        status_message: &contact.status_message,
        status: contact.status,
        last_seen: if info.connection == Connection::None { contact.last_seen } else { unix_now().0 },
    })
}

/// Nodes of the profile that are treated like bootstrap nodes; the others are asked once.
const PERSISTENT: usize = 4;

/// How many friends a node must have room for to hold `profile`.
pub(crate) fn friends_in(profile: &Profile<'_>) -> usize {
    profile.friends().count()
}

/// Brings friends, texts and nodes back. What the node refuses (a duplicate, our own key) is left out.
pub(crate) fn restore(node: &mut Node<'static, HostEnv>, now: Instant, profile: &Profile<'_>) -> Contacts {
    let mut contacts = Contacts::default();
    // Texts in a profile are checked for their length by its reader.
    let _ = node.set_name(profile.name());
    let _ = node.set_status_message(profile.status_message());
    node.set_status(profile.status());
    for friend in profile.friends() {
        if let Some(id) = restore_friend(node, now, &friend) {
            contacts.put(id, contact(&friend));
        }
    }
    let known = || profile.nodes().chain(profile.path_nodes()).filter(usable);
    // Some are asked until they answer: nobody may be there yet when a laptop wakes.
    known().take(PERSISTENT).for_each(|at| node.bootstrap(now, at));
    known().skip(PERSISTENT).for_each(|at| node.add_known_node(now, at));
    contacts.relays = profile.relays().collect();
    contacts.foreign = profile.others().map(|section| (section.kind, section.content.to_vec())).collect();
    contacts
}

fn restore_friend(node: &mut Node<'static, HostEnv>, now: Instant, friend: &FriendRecord<'_>) -> Option<FriendId> {
    match friend.state {
        FriendState::Confirmed => node.accept(now, friend.key).ok(),
        FriendState::Added | FriendState::Requested => {
            let to = ToxId { public_key: friend.key, nospam: friend.nospam };
            // Words that cannot be sent again are no reason to lose the friend.
            node.add_friend(now, &to, friend.request_message).or_else(|_| node.accept(now, friend.key)).ok()
        }
    }
}

fn contact(friend: &FriendRecord<'_>) -> Contact {
    Contact {
        name: friend.name.to_vec(),
        status_message: friend.status_message.to_vec(),
        status: friend.status,
        last_seen: friend.last_seen,
    }
}

fn usable(node: &NodeInfo) -> bool {
    node.at.is_usable() && node.at.ip() != IpAddr::V4(Ipv4Addr::BROADCAST)
}

//! The onion: how friends find each other by long-term key without telling anybody where they are.
//!
//! Three machines. [`OnionRelay`] carries other people's packets one hop on and their answers one hop back.
//! [`AnnounceStore`] keeps announcements of others whose keys are near ours and hands data to them, and keeps where
//! peers of groups are (`groups`). The client (`client`) announces ourselves through paths of three relays, searches
//! friends, and tells them our DHT key.

pub(crate) mod announce;
pub(crate) mod client;
mod groups;
pub(crate) mod relay;
pub(crate) mod returns;
#[cfg(test)]
mod tests;

pub(crate) use announce::AnnounceStore;
pub(crate) use announce::Announced;
pub(crate) use client::{OnionClient, OnionNote, OnionSend, OnionTables, OnionWay};
pub(crate) use client::{OnionFriend, Path, PathNode, Pending, SelfNode};
pub(crate) use groups::GroupPeer;
pub(crate) use relay::{OnionRelay, may_send};
pub(crate) use returns::ReturnKeys;

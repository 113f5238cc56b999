//! A helper of a node on another thread, for nodes that have outgrown one core.
//!
//! The DHT and the announce store are one state and stay with the node. But most of the work needs none of it: an onion
//! hop needs only keys, and of whatever else comes in, the key agreement is the dear part. So a [`Shard`] carries onion
//! packets by itself, and agrees on the keys for the rest, which goes to the node, together with the key
//! ([`Node::learn_key`]). Each shard has a cache of keys, a budget and counters of its own.
//!
//! A shard knows nobody. Who would be refused there as a stranger is passed on, for the node may know him.

use super::{Node, Shared};
use crate::budget::{Budget, Source, Standing};
use crate::crypto::{NONCE_LEN, PUBLIC_KEY_LEN, PublicKey, SharedKey};
use crate::cx::{Env, Parts};
use crate::frame::{Disposition, Frame};
use crate::onion::OnionRelay;
use crate::stats::{DropReason, Stats};
use crate::storage::{Blocks, KeyEntry, Keys, Mem, Need, Whose};
use crate::time::Instant;
use crate::wire::dht::{NODES_REQUEST_LEN, PING_LEN};
use crate::wire::kind;
use crate::wire::onion::{ANNOUNCE_REQUEST_LEN, RETURN_3};
use crate::wire::session::COOKIE_REQUEST_LEN;
use alloc::boxed::Box;
use alloc::vec;
use rand_core::Rng;

/// Source prefixes that are limited one by one.
const SOURCES: usize = 1024;

/// The helper. It is made by [`Node::shard`].
pub struct Shard<E: Env> {
    relay: OnionRelay,
    shared: Shared<'static, E>,
}

/// What is to be done with a datagram.
#[derive(Debug)]
pub enum Sorted {
    /// What this says, as with a node.
    Done(Disposition),
    /// It goes to the node, unchanged. The box key of its sender may be there already.
    ForNode(Option<AgreedKey>),
}

/// The box key of our DHT key with somebody's.
#[derive(Debug)]
pub struct AgreedKey {
    peer: PublicKey,
    key: SharedKey,
}

impl<E: Env> Node<'_, E> {
    /// A helper with the node's keys and room for so many box keys of others.
    pub fn shard(&mut self, now: Instant, keys: usize, mut parts: Parts<E>) -> Shard<E> {
        let mut seed = [0; 16];
        parts.rng.fill_bytes(&mut seed);
        let entries: Box<[KeyEntry]> = core::iter::repeat_with(|| KeyEntry::VACANT).take(keys).collect();
        let sources = Mem::Owned(vec![Source::VACANT; SOURCES].into_boxed_slice());
        Shard {
            relay: self.relay.twin(now),
            shared: Shared {
                now,
                unix: self.shared.unix,
                unix_at: self.shared.unix_at,
                me: self.shared.me.clone(),
                keys: Keys::new(Mem::Owned(entries), seed),
                budget: Budget::new(sources, self.shared.budget.burst(), seed),
                blocks: Blocks::boxed(0),
                parts,
                stats: Stats::default(),
            },
        }
    }

    /// Remembers a key that a [`Shard`] has agreed on. To be called before the datagram that it belongs to is handled.
    pub fn learn_key(&mut self, AgreedKey { peer, key }: AgreedKey) {
        let now = self.shared.now;
        // Whoever is here already has the same key.
        let _ = self.shared.keys.get(now, Need::Theirs, Whose::Dht, &peer, || Some(key));
    }
}

impl<E: Env> Shard<E> {
    /// Handles a received datagram, or says that it is for the node.
    pub fn handle_datagram(&mut self, now: Instant, frame: &mut Frame<'_>) -> Sorted {
        self.shared.advance(now);
        let Some(kind) = frame.bytes().first() else { return Sorted::ForNode(None) };
        let disposition = match *kind {
            kind::ONION_REQUEST_0
            | kind::ONION_REQUEST_1
            | kind::ONION_REQUEST_2
            | kind::ONION_RESPONSE_1
            | kind::ONION_RESPONSE_2
            | kind::ONION_RESPONSE_3 => self.relay.on_packet(&mut self.shared.cx(), frame, &|_, _| Standing::Stranger),
            kind => return Sorted::ForNode(self.agree(kind, frame)),
        };
        let stats = &mut self.shared.stats;
        match disposition {
            Disposition::Dropped(DropReason::RateLimited) => return Sorted::ForNode(None),
            Disposition::Dropped(reason) => stats.count_drop(reason),
            Disposition::Reply { .. } => {
                stats.replied += 1;
                stats.datagrams_out += 1;
            }
            Disposition::Consumed => {}
        }
        stats.datagrams_in += 1;
        Sorted::Done(disposition)
    }

    /// Counters since the start, of what it has done itself.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    /// The box key that the node will need, if this is long enough for a request.
    fn agree(&mut self, kind: u8, frame: &Frame<'_>) -> Option<AgreedKey> {
        let (at, len_min) = match kind {
            kind::PING_REQUEST => (1, PING_LEN),
            kind::NODES_REQUEST => (1, NODES_REQUEST_LEN),
            kind::COOKIE_REQUEST => (1, COOKIE_REQUEST_LEN),
            kind::ANNOUNCE_REQUEST | kind::GROUP_ANNOUNCE_REQUEST => (1 + NONCE_LEN, ANNOUNCE_REQUEST_LEN + RETURN_3),
            _ => return None,
        };
        if frame.len < len_min {
            return None;
        }
        let peer = PublicKey::from_slice(frame.bytes().get(at..at + PUBLIC_KEY_LEN)?)?;
        let mut cx = self.shared.cx();
        cx.admit_box(Whose::Dht, &peer, frame.from, || Standing::Stranger).ok()?;
        let key = cx.box_key(Need::Theirs, Whose::Dht, &peer)?.clone();
        Some(AgreedKey { peer, key })
    }
}

impl<E: Env> core::fmt::Debug for Shard<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shard").field("stats", &self.shared.stats).finish_non_exhaustive()
    }
}

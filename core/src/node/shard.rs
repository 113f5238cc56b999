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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{MAC_LEN, Nacl, Nonce, Nospam, SecretKey, Suite};
    use crate::cx::test_env::TestEnv;
    use crate::wire::Writer;
    use crate::wire::onion::path::{LAYER_ADDR_AT, LAYER_BOX_AT, RETURN_1, RETURN_2};
    use crate::wire::onion::{AnnounceRequest, ONION_ADDR_LEN, emit_addr};
    use crate::{Config, DATAGRAM_MAX, Endpoint, Limits, Storage};
    use core::time::Duration;
    use rand_core::SeedableRng;

    const START: Instant = Instant::from_secs(1);
    const CLIENT: Endpoint = Endpoint::v4([11, 0, 0, 1], 1000);
    const NEXT: Endpoint = Endpoint::v4([12, 0, 0, 2], 2000);

    fn parts(seed: u8) -> Parts<TestEnv> {
        Parts { rng: chacha20::ChaCha12Rng::from_seed([seed; 32]), suite: Nacl }
    }

    fn node(agreements: u32) -> (Node<'static, TestEnv>, Shard<TestEnv>) {
        let config = Config::new(SecretKey::from_bytes([1; 32]), Nospam([0; 4]));
        let limits = Limits { announces: 8, agreements, ..Limits::MICRO };
        let mut node = Node::new(config, Storage::heap(&limits), parts(1), START).unwrap();
        let shard = node.shard(START, 16, parts(2));
        (node, shard)
    }

    /// Writes `kind | nonce | key | box` of somebody whose secret key this is; what is in the box stands there already.
    fn seal(node: &Node<'_, TestEnv>, who: u8, kind: u8, buf: &mut [u8], box_end: usize) {
        let (secret, nonce) = (SecretKey::from_bytes([who; 32]), Nonce([who; NONCE_LEN]));
        let key = Nacl.agree(&secret, &node.dht_key()).unwrap();
        Writer::new(buf).u8(kind).bytes(&nonce.0).bytes(&secret.public_key().0);
        Nacl.seal(&key, &nonce, &mut buf[LAYER_BOX_AT..box_end]);
    }

    fn handle(shard: &mut Shard<TestEnv>, now: Instant, buf: &mut [u8; DATAGRAM_MAX], len: usize) -> Sorted {
        shard.handle_datagram(now, &mut Frame::new(buf, len, CLIENT))
    }

    fn announce(node: &Node<'_, TestEnv>, who: u8, buf: &mut [u8; DATAGRAM_MAX]) -> usize {
        let [search, data_key] = [PublicKey([3; 32]), PublicKey::ZERO];
        let request = AnnounceRequest { ping_id: [0; 32], search, data_key, sendback: [7; 8] };
        request.emit(&mut Writer::new(&mut buf[LAYER_BOX_AT + MAC_LEN..]));
        seal(node, who, kind::ANNOUNCE_REQUEST, buf, ANNOUNCE_REQUEST_LEN);
        ANNOUNCE_REQUEST_LEN + RETURN_3
    }

    /// What the one has sealed the other opens, however long they have run.
    #[test]
    fn a_packet_comes_back_by_another_thread() {
        let (mut node, mut shard) = node(1000);
        for hours in [0, 1, 3, 9, 10, 30] {
            let (now, mut buf) = (START + Duration::from_secs(hours * 3600), [9; DATAGRAM_MAX]);
            emit_addr(NEXT, &mut Writer::new(&mut buf[LAYER_ADDR_AT..]));
            let box_end = LAYER_ADDR_AT + ONION_ADDR_LEN + 100;
            seal(&node, 5, kind::ONION_REQUEST_1, &mut buf, box_end);
            let Sorted::Done(Disposition::Reply { to, len }) = handle(&mut shard, now, &mut buf, box_end + RETURN_1)
            else {
                panic!("carried on")
            };
            assert_eq!((to, buf[0]), (NEXT, kind::ONION_REQUEST_2));
            let back = buf[len - RETURN_2..len].to_vec();
            let mut buf = [0; DATAGRAM_MAX];
            Writer::new(&mut buf).u8(kind::ONION_RESPONSE_2).bytes(&back).u8(kind::ANNOUNCE_RESPONSE);
            let answer = Frame::new(&mut buf, 1 + RETURN_2 + 50, NEXT);
            let Disposition::Reply { to, .. } = node.handle_datagram(now, &mut { answer }) else { panic!("{hours}") };
            assert_eq!(to, CLIENT);
        }
        assert_eq!((shard.stats().replied, shard.stats().keys_computed, node.stats().keys_computed), (6, 1, 0));
    }

    #[test]
    fn the_node_need_not_agree_again() {
        let (mut node, mut shard) = node(1000);
        let mut buf = [0; DATAGRAM_MAX];
        let len = announce(&node, 6, &mut buf);
        let Sorted::ForNode(Some(key)) = handle(&mut shard, START, &mut buf, len) else { panic!("with its key") };
        node.learn_key(key);
        let answered = node.handle_datagram(START, &mut Frame::new(&mut buf, len, CLIENT));
        assert!(matches!(answered, Disposition::Reply { to, .. } if to == CLIENT));
        assert_eq!((shard.stats().keys_computed, node.stats().keys_computed), (1, 0));
        for kind in [kind::CRYPTO_DATA, kind::DHT_REQUEST, kind::BOOTSTRAP_INFO, kind::PING_REQUEST] {
            buf[0] = kind;
            assert!(matches!(handle(&mut shard, START, &mut buf, 40), Sorted::ForNode(None)), "{kind}");
        }
        assert!(matches!(handle(&mut shard, START, &mut buf, 0), Sorted::ForNode(None)));
    }

    #[test]
    fn whom_a_shard_has_nothing_left_for_the_node_may_know() {
        let (node, mut shard) = node(8);
        let mut with_key = 0;
        for who in 10..30 {
            let mut buf = [0; DATAGRAM_MAX];
            let len = announce(&node, who, &mut buf);
            with_key += u32::from(matches!(handle(&mut shard, START, &mut buf, len), Sorted::ForNode(Some(_))));
        }
        assert_eq!((with_key, shard.stats().agreements_granted, shard.stats().agreements_refused), (2, 2, 18));
    }
}

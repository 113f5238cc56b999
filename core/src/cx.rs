//! What every machine of the node borrows while it works.

use crate::budget::{Budget, Standing};
use crate::crypto::{MAC_LEN, Nonce, Nospam, PublicKey, SecretKey, SharedKey, Suite};
use crate::stats::count;
use crate::storage::{Blocks, Keys, Need, Whose};
use crate::time::{Instant, UnixTime};
use crate::{DropReason, Endpoint, Stats};
use rand_core::CryptoRng;

/// The bundle of types that a node is built with.
pub trait Env {
    /// The only source of randomness. The same bytes from it and the same inputs give the same outputs.
    type Rng: CryptoRng;
    /// The implementation of the primitives.
    type Suite: Suite;
    /// Whether the node does for others what c-toxcore's groups need beyond the onion: forwarding, DHT announcements,
    /// group announcements. Where an application says no, all of that code is dead and the linker drops it.
    const SERVES: bool = true;
    /// Whether the node uses TCP relays. Without, all that belongs to them is dead code.
    const RELAYS: bool = true;
    /// Whether the way to relays may lead through a proxy. Without, what speaks with proxies is dead code.
    const PROXIES: bool = true;
    /// Whether there is LAN discovery at all, for whoever configures it; likewise.
    const LAN_DISCOVERY: bool = true;
}

/// The values behind an [`Env`].
#[derive(Debug)]
pub struct Parts<E: Env> {
    /// Randomness.
    pub rng: E::Rng,
    /// Primitives.
    pub suite: E::Suite,
}

/// A secret key and its public half.
#[derive(Clone, Debug)]
pub(crate) struct KeyPair {
    pub(crate) secret: SecretKey,
    pub(crate) public: PublicKey,
}

impl KeyPair {
    pub(crate) fn new(suite: &impl Suite, secret: SecretKey) -> Self {
        let public = suite.public_key(&secret);
        Self { secret, public }
    }

    pub(crate) fn generate(suite: &impl Suite, rng: &mut impl CryptoRng) -> Self {
        Self::new(suite, SecretKey::generate(rng))
    }
}

/// Who we are.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The identity that friends know.
    pub(crate) long_term: KeyPair,
    /// Our DHT node id: new at every start.
    pub(crate) dht: KeyPair,
    /// What friends encrypt onion data to: new at every start.
    pub(crate) onion_data: KeyPair,
    pub(crate) nospam: Nospam,
}

impl Identity {
    /// With new keys where none is given.
    #[inline(never)]
    pub(crate) fn generate<E: Env>(
        parts: &mut Parts<E>,
        secret: SecretKey,
        nospam: Nospam,
        dht_secret: Option<SecretKey>,
    ) -> Self {
        let (rng, suite) = (&mut parts.rng, &parts.suite);
        let dht_secret = dht_secret.unwrap_or_else(|| SecretKey::generate(rng));
        Self {
            long_term: KeyPair::new(suite, secret),
            dht: KeyPair::new(suite, dht_secret),
            onion_data: KeyPair::generate(suite, rng),
            nospam,
        }
    }

    pub(crate) fn secret(&self, whose: Whose) -> &SecretKey {
        match whose {
            Whose::Dht | Whose::Nobody => &self.dht.secret,
            Whose::LongTerm => &self.long_term.secret,
            Whose::OnionData => &self.onion_data.secret,
        }
    }
}

/// The shared parts of the node, lent as fields so that borrows split. Draw a nonce before you hold a key.
pub(crate) struct Cx<'a, 's, E: Env> {
    pub(crate) now: Instant,
    pub(crate) unix: UnixTime,
    pub(crate) me: &'a Identity,
    pub(crate) keys: &'a mut Keys<'s>,
    pub(crate) budget: &'a mut Budget<'s>,
    pub(crate) blocks: &'a mut Blocks<'s>,
    pub(crate) rng: &'a mut E::Rng,
    pub(crate) suite: &'a E::Suite,
    pub(crate) stats: &'a mut Stats,
}

impl<E: Env> Cx<'_, '_, E> {
    /// A random nonce.
    pub(crate) fn nonce(&mut self) -> Nonce {
        Nonce::generate(self.rng)
    }

    /// Whether somebody at `from` may make us agree on a key: the token for it is taken.
    pub(crate) fn admit(&mut self, from: Endpoint, standing: impl FnOnce() -> Standing) -> Result<(), DropReason> {
        if self.budget.take(self.now, from, standing) {
            count(&mut self.stats.agreements_granted);
            Ok(())
        } else {
            count(&mut self.stats.agreements_refused);
            Err(DropReason::RateLimited)
        }
    }

    /// The same for a box from `peer` to our key `whose`: free when the key is there.
    pub(crate) fn admit_box(
        &mut self,
        whose: Whose,
        peer: &PublicKey,
        from: Endpoint,
        standing: impl FnOnce() -> Standing,
    ) -> Result<(), DropReason> {
        if self.keys.has(whose, peer) { Ok(()) } else { self.admit(from, standing) }
    }

    /// The box key of our key `whose` with `peer`, from the cache. `None` when the peer's key is of small order.
    pub(crate) fn box_key(&mut self, need: Need, whose: Whose, peer: &PublicKey) -> Option<&SharedKey> {
        let (suite, secret, computed) = (self.suite, self.me.secret(whose), &mut self.stats.keys_computed);
        self.keys.get(self.now, need, whose, peer, || {
            *computed += 1;
            suite.agree(secret, peer)
        })
    }

    /// Agrees on a key that is used once or kept elsewhere. `None` when the peer's key is of small order.
    pub(crate) fn agree(&mut self, secret: &SecretKey, peer: &PublicKey) -> Option<SharedKey> {
        self.stats.keys_computed += 1;
        self.suite.agree(secret, peer)
    }

    /// Opens a box from `peer` to our key `whose` in place: the plaintext then stands in `boxed[16..]`.
    pub(crate) fn open(
        &mut self,
        whose: Whose,
        peer: &PublicKey,
        nonce: &Nonce,
        boxed: &mut [u8],
    ) -> Result<(), DropReason> {
        self.open_for(Need::Ours, whose, peer, nonce, boxed)
    }

    /// The same, for whoever needs the key.
    pub(crate) fn open_for(
        &mut self,
        need: Need,
        whose: Whose,
        peer: &PublicKey,
        nonce: &Nonce,
        boxed: &mut [u8],
    ) -> Result<(), DropReason> {
        let suite = self.suite;
        match self.box_key(need, whose, peer) {
            Some(key) if suite.open(key, nonce, boxed) => Ok(()),
            Some(_) | None => Err(DropReason::BadCrypto),
        }
    }

    /// Seals `boxed` (16 bytes of room, then the plaintext) in place from our key `whose` to `peer`.
    pub(crate) fn seal(
        &mut self,
        whose: Whose,
        peer: &PublicKey,
        nonce: &Nonce,
        boxed: &mut [u8],
    ) -> Result<(), DropReason> {
        self.seal_for(Need::Ours, whose, peer, nonce, boxed)
    }

    /// The same, for whoever needs the key.
    pub(crate) fn seal_for(
        &mut self,
        need: Need,
        whose: Whose,
        peer: &PublicKey,
        nonce: &Nonce,
        boxed: &mut [u8],
    ) -> Result<(), DropReason> {
        debug_assert!(boxed.len() >= MAC_LEN);
        let suite = self.suite;
        suite.seal(self.box_key(need, whose, peer).ok_or(DropReason::BadCrypto)?, nonce, boxed);
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod test_env {
    //! A deterministic environment for the machines' own tests.

    use super::*;
    use crate::crypto::Nacl;
    use crate::storage::Block;
    use rand_core::SeedableRng;
    use std::boxed::Box;
    use std::vec;

    pub(crate) struct TestEnv;

    impl Env for TestEnv {
        type Rng = chacha20::ChaCha12Rng;
        type Suite = Nacl;
    }

    /// Everything that a [`Cx`] lends, owned.
    pub(crate) struct Bench {
        pub(crate) now: Instant,
        pub(crate) me: Identity,
        pub(crate) keys: Keys<'static>,
        pub(crate) budget: Budget<'static>,
        pub(crate) blocks: Blocks<'static>,
        pub(crate) rng: chacha20::ChaCha12Rng,
        pub(crate) stats: Stats,
    }

    impl Bench {
        /// A party of its own for each `seed`, with 64 blocks.
        pub(crate) fn new(seed: u8) -> Self {
            let mut rng = chacha20::ChaCha12Rng::from_seed([seed; 32]);
            let me = Identity {
                long_term: KeyPair::generate(&Nacl, &mut rng),
                dht: KeyPair::generate(&Nacl, &mut rng),
                onion_data: KeyPair::generate(&Nacl, &mut rng),
                nospam: Nospam::generate(&mut rng),
            };
            let keys = Keys::new(crate::storage::Mem::Borrowed(Box::leak(Box::new([]))), [seed; 16]);
            let blocks = Blocks::new(Box::leak(vec![Block::ZERO; 64].into_boxed_slice()));
            let budget = Budget::new(crate::storage::Mem::Borrowed(Box::leak(Box::new([]))), 1_000_000, [seed; 16]);
            Self { now: Instant::from_secs(1000), me, keys, budget, blocks, rng, stats: Stats::default() }
        }

        pub(crate) fn cx(&mut self) -> Cx<'_, 'static, TestEnv> {
            Cx {
                now: self.now,
                unix: UnixTime(1_700_000_000 + self.now.millis() / 1000),
                me: &self.me,
                keys: &mut self.keys,
                budget: &mut self.budget,
                blocks: &mut self.blocks,
                rng: &mut self.rng,
                suite: &Nacl,
                stats: &mut self.stats,
            }
        }
    }
}

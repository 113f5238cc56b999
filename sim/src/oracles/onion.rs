//! No datagram to or from an address shows its owner's long-term key, nor does what a relay makes of it.
//!
//! The onion exists so that nobody but friends learns which address a long-term key has. A relay that sees a datagram
//! knows its sender's address, so neither the datagram nor what the relay makes of it may show the sender's key. And
//! whoever sends a datagram knows its receiver's address, so it may not show the receiver's key.
//!
//! One key is no betrayal: an onion data request (0x85) names in clear for whom it is. Whoever looks for a friend may
//! by chance choose that very friend as a relay, whose datagram then shows its own key; but nobody can tell it from all
//! the other relays that this friend's data requests come through. Only its receiver's key it may not show.
//!
//! Nor is an announcement that its receiver drops, because it cannot open it: nodes may still name the DHT key that a
//! host had before its last start, at the host's address. Where it announces itself it cannot know that this is itself,
//! and nobody else can tell it from its other announcements.
//!
//! Hosts without a node are left out, and so is what relays make of their packets: they send what they like, keys that
//! they know and other people's packets among it.

use super::{Findings, Oracle, PerHost, Rule};
use crate::observe::{HostId, Observation, Packet};
use bluering_core::Disposition;
use bluering_core::crypto::{PUBLIC_KEY_LEN, PublicKey};
use bluering_core::time::Instant;
use bluering_core::wire::kind;
use memchr::memmem::Finder;
use std::collections::{HashSet, VecDeque};

/// Watches the kinds of packets that have to do with long-term keys.
#[derive(Debug, Default)]
pub struct OnionPrivacy {
    owners: PerHost<Option<Owner>>,
    forged: Forged,
}

/// Datagrams that an adversary sent, or that were made of one of these: the latest.
#[derive(Debug, Default)]
struct Forged {
    ids: HashSet<u64>,
    order: VecDeque<u64>,
}

/// As many datagrams of adversaries are remembered: far more than are under way at a time.
const REMEMBERED: usize = 1 << 16;

impl Forged {
    fn note(&mut self, id: u64) {
        self.ids.insert(id);
        self.order.push_back(id);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

#[derive(Debug)]
struct Owner {
    key: PublicKey,
    finder: Finder<'static>,
}

const fn is_watched(kind: u8) -> bool {
    matches!(kind, kind::COOKIE_REQUEST..=kind::CRYPTO_HANDSHAKE | kind::ONION_REQUEST_0..=kind::ONION_RESPONSE_1)
}

/// What else than the key of whom it is for stands in an onion data request; of other kinds, everything.
fn besides_destination(bytes: &[u8]) -> &[u8] {
    match bytes.first() {
        Some(&kind::ONION_DATA_REQUEST) => bytes.get(1 + PUBLIC_KEY_LEN..).unwrap_or_default(),
        Some(_) | None => bytes,
    }
}

impl OnionPrivacy {
    fn shows(&self, bytes: &[u8], host: HostId) -> bool {
        let owner = self.owners.get(host).and_then(Option::as_ref);
        owner.is_some_and(|owner| owner.finder.find(bytes).is_some())
    }

    fn is_node(&self, host: HostId) -> bool {
        self.owners.get(host).is_some_and(Option::is_some)
    }

    fn handled(&self, host: HostId, packet: &Packet<'_>, how: Disposition, reply: Option<&[u8]>) -> Option<String> {
        let kind = *packet.bytes.first()?;
        if !is_watched(kind) || packet.from == host || self.forged.ids.contains(&packet.id) {
            return None;
        }
        let from = packet.from;
        if self.shows(besides_destination(packet.bytes), from) {
            Some(format!("a datagram of kind {kind:02x} from host {from} shows its sender's long-term key"))
        } else if reply.is_some_and(|reply| self.shows(besides_destination(reply), from)) {
            Some(format!("what is made of a datagram of kind {kind:02x} from host {from} shows its long-term key"))
        } else if kind == kind::ANNOUNCE_REQUEST && matches!(how, Disposition::Dropped(_)) {
            None
        } else if self.shows(packet.bytes, host) {
            Some(format!("a datagram of kind {kind:02x} from host {from} shows its receiver's long-term key"))
        } else {
            None
        }
    }
}

impl Oracle for OnionPrivacy {
    fn rule(&self) -> Rule {
        Rule::OnionPrivacy
    }

    fn observe(&mut self, at: Instant, seen: &Observation<'_>, findings: &mut Findings) {
        match seen {
            Observation::Sent { packet, answers } => {
                if !self.is_node(packet.from) || answers.is_some_and(|id| self.forged.ids.contains(&id)) {
                    self.forged.note(packet.id);
                }
            }
            Observation::Handled { host, packet, disposition, reply } => {
                if let Some(what) = self.handled(*host, packet, *disposition, *reply) {
                    findings.report(Rule::OnionPrivacy, at, Some(*host), what);
                }
            }
            Observation::Started { host, truth } => {
                let owner = self.owners.at(*host);
                if owner.as_ref().is_none_or(|owner| owner.key != truth.public) {
                    let finder = Finder::new(truth.public.as_bytes()).into_owned();
                    *owner = Some(Owner { key: truth.public, finder });
                }
            }
            Observation::Joined { .. }
            | Observation::Changed { .. }
            | Observation::Lost { .. }
            | Observation::Heard { .. }
            | Observation::Said { .. }
            | Observation::Sleeps { .. }
            | Observation::Allocated { .. }
            | Observation::ForRelay { .. }
            | Observation::Stream { .. }
            | Observation::Mark { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Watch;
    use super::super::fixture::{Feed, chat, found, packet, truth, watched};
    use super::*;
    use bluering_core::Disposition;

    fn feed() -> Feed<OnionPrivacy> {
        let mut feed = Feed::new(OnionPrivacy::default());
        [1, 2, 3].into_iter().for_each(|host| feed.see(&Observation::Started { host, truth: &truth(host) }));
        feed
    }

    fn handled(from: HostId, to: HostId, bytes: &[u8], reply: Option<&[u8]>) -> Vec<(Rule, Option<HostId>)> {
        let mut feed = feed();
        let packet = packet(from, to, bytes);
        feed.see(&Observation::Sent { packet, answers: None });
        feed.see(&Observation::Handled { host: to, packet, disposition: Disposition::Consumed, reply });
        feed.found()
    }

    fn with_key_of(kind: u8, host: HostId) -> Vec<u8> {
        [&[kind, 1, 2, 3], &truth(host).public.0[..], b"the rest"].concat()
    }

    /// An onion data request.
    fn destined_for(host: HostId) -> Vec<u8> {
        [&[0x85], &truth(host).public.0[..], b"the rest"].concat()
    }

    #[test]
    fn the_key_of_the_sender_or_receiver_is_seen() {
        let fired = [(Rule::OnionPrivacy, Some(2))];
        assert_eq!(handled(1, 2, &with_key_of(0x83, 1), None), fired);
        assert_eq!(handled(1, 2, &with_key_of(0x85, 2), None), fired);
        assert_eq!(handled(1, 2, &with_key_of(0x18, 1), None), fired);
        assert_eq!(handled(1, 2, &[&destined_for(3)[..], &truth(1).public.0].concat(), None), fired);
        assert_eq!(handled(1, 2, &destined_for(2), None), fired);
        assert_eq!(handled(1, 2, &with_key_of(0x82, 3), Some(&with_key_of(0x83, 1))), fired);
    }

    #[test]
    fn somebody_elses_key_is_fine() {
        assert_eq!(handled(1, 2, &with_key_of(0x83, 3), None), []);
        assert_eq!(handled(1, 2, &with_key_of(0x82, 3), Some(&with_key_of(0x83, 3))), []);
        // A relay that the sender chose by chance: the receiver of the data itself.
        assert_eq!(handled(1, 2, &destined_for(1), None), []);
        assert_eq!(handled(1, 2, &with_key_of(0x82, 3), Some(&destined_for(1))), []);
        // Not a packet that has to do with long-term keys, an injected one, and an adversary's.
        assert_eq!(handled(1, 2, &with_key_of(0x20, 1), None), []);
        assert_eq!(handled(2, 2, &with_key_of(0x83, 2), None), []);
        assert_eq!(handled(9, 2, &with_key_of(0x83, 2), None), []);
    }

    #[test]
    fn an_honest_run_keeps_the_secret() {
        let mut world = watched(vec![Box::new(OnionPrivacy::default())]);
        chat(&mut world);
        Watch::audit(&mut world);
        assert_eq!(found(&world.tap.findings), []);
    }
}

//! What answers an unauthenticated datagram is bounded.
//!
//! A node that answers more than it was sent can be turned against a third party, whose address the attacker puts on
//! its datagrams. Two bounds hold:
//!
//! - What answers a datagram at once is a single datagram, at most 2.6 times as long. The worst case is a nodes request
//!   (113 bytes), which is answered with four IPv6 nodes (286 bytes, 2.53 times). A search for a DHT announcement (113
//!   bytes, perhaps in a packet 0x91) is answered with a hash and an auth besides (384 bytes): the protocol's own 3.4.
//! - All that goes to an address of an adversary, over the whole run, is at most four times what came from there
//!   and 4 KiB: besides the answer to a nodes request, the node may want to get to know a newcomer (a ping of 82
//!   bytes). That ends when something from the address was consumed that only an addressee can send: an answer, or a
//!   handshake with our cookie. From then on it is somebody whom nodes talk to.

use super::{Findings, Oracle, PerHost, Rule};
use crate::observe::{HostId, Observation, Packet};
use bluering_core::time::Instant;
use bluering_core::wire::kind;
use bluering_core::{Disposition, Endpoint};
use std::collections::HashMap;

/// Bytes to an address of an adversary, per byte from there.
const FACTOR: u64 = 4;
/// Bytes that may go there besides.
const SLACK: u64 = 4096;
/// Tenths of a datagram's length that its immediate answer may have.
const REPLY_TENTHS: usize = 26;
/// The same for the search of a DHT announcement.
const SEARCH_TENTHS: usize = 34;

/// Watches immediate answers, and the accounts of adversaries' addresses.
#[derive(Debug, Default)]
pub struct Amplification {
    /// Whether there is an adversary at all.
    any: bool,
    hosts: PerHost<Host>,
    accounts: HashMap<(HostId, Endpoint), Account>,
    /// The datagram that was handled last, by whom, and how long its answer is.
    pending: Option<(HostId, u64, usize)>,
}

#[derive(Clone, Debug, Default)]
struct Host {
    is_adversary: bool,
    /// The address that a node was last seen to send from.
    address: Option<Endpoint>,
}

/// What went between a node and an address that a datagram of an adversary came from.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    came: u64,
    went: u64,
    /// Nothing is to be counted: it is a node's address, or its owner has proved to receive there.
    closed: bool,
}

/// Whether only somebody who receives at an address can send this from there.
const fn is_proof(kind: u8) -> bool {
    matches!(
        kind,
        kind::PING_RESPONSE | kind::NODES_RESPONSE | kind::COOKIE_RESPONSE
            ..=kind::CRYPTO_DATA | kind::ANNOUNCE_RESPONSE | kind::ONION_DATA_RESPONSE
    )
}

impl Amplification {
    fn is_adversary(&self, host: HostId) -> bool {
        self.hosts.get(host).is_some_and(|host| host.is_adversary)
    }

    fn handled(&mut self, host: HostId, packet: &Packet<'_>, disposition: Disposition) {
        if !self.any {
            return;
        }
        let proof = disposition == Disposition::Consumed && packet.bytes.first().copied().is_some_and(is_proof);
        if self.is_adversary(packet.from) {
            let account = self.accounts.entry((host, packet.source)).or_insert_with(|| {
                let is_nodes = self.hosts.iter().any(|(_, host)| host.address == Some(packet.source));
                Account { closed: is_nodes, ..Account::default() }
            });
            account.came += packet.bytes.len() as u64;
            account.closed |= proof;
        } else if let Some(account) = self.accounts.get_mut(&(host, packet.source)) {
            account.closed = true;
        }
    }

    fn sent(&mut self, at: Instant, packet: &Packet<'_>, answers: Option<u64>, findings: &mut Findings) {
        let pending = self.pending.take();
        let from = packet.from;
        if answers.is_some() && pending != answers.map(|id| (from, id, packet.bytes.len())) {
            let what = format!("{} bytes to {} answer nothing, or for the second time", packet.bytes.len(), packet.to);
            findings.report(Rule::Amplification, at, Some(from), what);
        }
        if !self.any || self.is_adversary(from) {
            return;
        }
        self.hosts.at(from).address = Some(packet.source);
        let Some(account) = self.accounts.get_mut(&(from, packet.to)).filter(|account| !account.closed) else { return };
        account.went += packet.bytes.len() as u64;
        let Account { came, went, .. } = *account;
        if went > came * FACTOR + SLACK {
            account.closed = true;
            let what =
                format!("{went} bytes went to {} for {came} from there, which anybody could have sent", packet.to);
            findings.report(Rule::Amplification, at, Some(from), what);
        }
    }
}

impl Oracle for Amplification {
    fn rule(&self) -> Rule {
        Rule::Amplification
    }

    fn observe(&mut self, at: Instant, seen: &Observation<'_>, findings: &mut Findings) {
        match seen {
            Observation::Handled { host, packet, disposition, reply } => {
                self.pending = reply.map(|reply| (*host, packet.id, reply.len()));
                let tenths = match packet.bytes.first() {
                    Some(&(kind::DATA_SEARCH_REQUEST | kind::FORWARDING)) => SEARCH_TENTHS,
                    Some(_) | None => REPLY_TENTHS,
                };
                if let Some(reply) = reply.filter(|reply| reply.len() * 10 > packet.bytes.len() * tenths) {
                    let (got, gave) = (packet.bytes.len(), reply.len());
                    let kind = packet.bytes.first().copied().unwrap_or_default();
                    let what = format!("{got} bytes of kind {kind:02x} from {} get {gave} back", packet.source);
                    findings.report(Rule::Amplification, at, Some(*host), what);
                }
                self.handled(*host, packet, *disposition);
            }
            Observation::Sent { packet, answers } => self.sent(at, packet, *answers, findings),
            Observation::Joined { host, node: false, .. } => {
                self.any = true;
                self.hosts.at(*host).is_adversary = true;
            }
            Observation::Joined { .. }
            | Observation::Started { .. }
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
    use super::super::fixture::{Feed, address, audited, chat, packet, watched};
    use super::*;
    use crate::actor::{Actor, ActorCx};
    use crate::net::Place;
    use core::time::Duration;

    /// Host 1 is a node, host 2 another, host 9 an adversary.
    fn feed() -> Feed<Amplification> {
        let mut feed = Feed::new(Amplification::default());
        for (host, node) in [(1, true), (2, true), (9, false)] {
            feed.see(&Observation::Joined { host, place: String::new(), node });
        }
        feed
    }

    fn handled(feed: &mut Feed<Amplification>, from: HostId, bytes: &[u8], reply: Option<&[u8]>) {
        let disposition = match reply {
            Some(reply) => Disposition::Reply { to: address(from), len: reply.len() },
            None => Disposition::Consumed,
        };
        feed.see(&Observation::Handled { host: 1, packet: packet(from, 1, bytes), disposition, reply });
    }

    fn sent(feed: &mut Feed<Amplification>, from: HostId, to: HostId, len: usize, answers: Option<u64>) {
        feed.see(&Observation::Sent { packet: packet(from, to, &vec![0; len]), answers });
    }

    #[test]
    fn a_long_answer_is_seen() {
        let mut feed = feed();
        handled(&mut feed, 2, &[2; 100], Some(&[4; 260]));
        assert_eq!(feed.found(), []);
        handled(&mut feed, 2, &[2; 100], Some(&[4; 261]));
        assert_eq!(feed.found(), [(Rule::Amplification, Some(1))]);
    }

    #[test]
    fn a_second_answer_is_seen() {
        let mut feed = feed();
        handled(&mut feed, 2, &[2; 100], Some(&[4; 200]));
        sent(&mut feed, 1, 2, 200, Some(1));
        assert_eq!(feed.found(), []);
        sent(&mut feed, 1, 2, 200, Some(1));
        assert_eq!(feed.found(), [(Rule::Amplification, Some(1))]);
    }

    /// An adversary sends 1000 bytes, and gets so many back unasked.
    fn flooded(before: &[(HostId, u8)], back: usize) -> Vec<(Rule, Option<HostId>)> {
        let mut feed = feed();
        before.iter().for_each(|(from, kind)| handled(&mut feed, *from, &[*kind], None));
        handled(&mut feed, 9, &[2; 1000], None);
        (0..back / 100).for_each(|_| sent(&mut feed, 1, 9, 100, None));
        feed.found()
    }

    #[test]
    fn an_address_that_gets_much_for_little_is_seen() {
        assert_eq!(flooded(&[], (1000 * FACTOR + SLACK) as usize), []);
        assert_eq!(flooded(&[], 100_000), [(Rule::Amplification, Some(1))]);
        assert_eq!(flooded(&[(9, kind::NODES_REQUEST)], 100_000), [(Rule::Amplification, Some(1))]);
        // It has answered: it receives there, and wants it.
        assert_eq!(flooded(&[(9, kind::PING_RESPONSE)], 100_000), []);
    }

    #[test]
    fn a_false_source_that_is_a_nodes_is_not_the_adversarys() {
        let mut feed = feed();
        sent(&mut feed, 2, 1, 50, None);
        let spoofed = Packet { source: address(2), ..packet(9, 1, &[2; 100]) };
        feed.see(&Observation::Handled { host: 1, packet: spoofed, disposition: Disposition::Consumed, reply: None });
        (0..1000).for_each(|_| sent(&mut feed, 1, 2, 100, None));
        assert_eq!(feed.found(), []);
    }

    /// Sends each datagram that it overhears on to whom it was sent to, as if it were its own.
    struct Parrot;

    impl Actor for Parrot {
        fn on_datagram(&mut self, _: &mut ActorCx<'_>, _: Endpoint, _: &[u8]) {}

        fn overhears(&self) -> bool {
            true
        }

        fn on_overheard(&mut self, cx: &mut ActorCx<'_>, packet: &Packet<'_>) {
            cx.send(packet.to, packet.bytes.to_vec());
        }
    }

    #[test]
    fn an_honest_run_stays_within_bounds_whoever_repeats_it() {
        let mut world = watched(vec![Box::new(Amplification::default())]);
        world.add_actor(&Place::PUBLIC, Box::new(Parrot));
        chat(&mut world);
        world.run_for(Duration::from_secs(60));
        assert_eq!(audited(&mut world), []);
    }
}

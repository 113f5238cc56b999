//! No plaintext, name or secret key in any captured byte.

use super::{Findings, Oracle, PerHost, Rule};
use crate::observe::{HostId, Observation, StreamSeen};
use aho_corasick::AhoCorasick;
use bluering_core::time::Instant;

/// So many first bytes of a key are looked for; by chance they stand nowhere.
const KEY_PART: usize = 16;
/// After so many datagrams without a new needle, all needles go into one automaton.
const SETTLED: u32 = 4096;

/// Looks for needles in every byte of the run: markers of the texts, and the long-term secret keys.
///
/// An automaton finds all needles in one pass, but cannot take a new one. A host that starts brings one, and ten
/// thousand start together; so there is a row of automata, each smaller than the one before, which are merged when two
/// are of a size, or when no more needles come.
#[derive(Debug, Default)]
pub struct Secrecy {
    needles: Vec<Needle>,
    /// Ends of the parts of `needles` that have an automaton; the last part may have none yet.
    parts: Vec<Part>,
    /// Needles that no automaton knows yet begin here.
    built: usize,
    /// Datagrams since the last new needle.
    calm: u32,
    /// The last key of each host: most starts are restarts.
    last: PerHost<[u8; KEY_PART]>,
}

#[derive(Debug)]
struct Needle {
    bytes: Vec<u8>,
    owner: Option<HostId>,
}

#[derive(Debug)]
struct Part {
    start: usize,
    len: usize,
    automaton: AhoCorasick,
}

impl Secrecy {
    /// Looks for `needles`, and the keys of all nodes.
    #[must_use]
    pub fn new(needles: &[Vec<u8>]) -> Self {
        let needles = needles.iter().filter(|needle| !needle.is_empty());
        Self { needles: needles.map(|bytes| Needle { bytes: bytes.clone(), owner: None }).collect(), ..Self::default() }
    }

    fn learn(&mut self, owner: HostId, key: &[u8]) {
        let Some(part) = key.first_chunk::<KEY_PART>() else { return };
        if core::mem::replace(self.last.at(owner), *part) != *part {
            self.needles.push(Needle { bytes: part.to_vec(), owner: Some(owner) });
            self.calm = 0;
        }
    }

    fn build(&mut self) {
        let mut start = self.built;
        self.built = self.needles.len();
        while let Some(last) = self.parts.pop_if(|last| last.len <= self.needles.len() - start) {
            start = last.start;
        }
        self.push_part(start);
    }

    fn settle(&mut self) {
        self.parts.clear();
        self.push_part(0);
    }

    fn push_part(&mut self, start: usize) {
        let needles = &self.needles[start..];
        // Needles are few bytes of memory; only more than 2^31 states would be too many.
        if let Ok(automaton) = AhoCorasick::new(needles.iter().map(|needle| &needle.bytes)) {
            self.parts.push(Part { start, len: needles.len(), automaton });
        }
    }

    fn find(&self, bytes: &[u8]) -> Option<(&Needle, usize)> {
        self.parts.iter().find_map(|part| {
            let found = part.automaton.find(bytes)?;
            Some((&self.needles[part.start + found.pattern().as_usize()], found.start()))
        })
    }

    /// Bytes leave a host, by a way that has a name.
    fn look_for_needles(
        &mut self,
        at: Instant,
        host: HostId,
        bytes: &[u8],
        findings: &mut Findings,
        way: impl FnOnce() -> String,
    ) {
        if self.built < self.needles.len() {
            self.build();
        }
        self.calm = self.calm.saturating_add(1);
        if self.calm == SETTLED && self.parts.len() > 1 {
            self.settle();
        }
        if let Some((needle, place)) = self.find(bytes) {
            let what = match needle.owner {
                Some(owner) => format!("the secret key of host {owner}"),
                None => format!("{:?}", String::from_utf8_lossy(&needle.bytes)),
            };
            findings.report(Rule::Secrecy, at, Some(host), format!("{} shows {what} at byte {place}", way()));
        }
    }
}

impl Oracle for Secrecy {
    fn rule(&self) -> Rule {
        Rule::Secrecy
    }

    fn observe(&mut self, at: Instant, seen: &Observation<'_>, findings: &mut Findings) {
        match seen {
            Observation::Sent { packet, .. } => {
                let kind = packet.bytes.first().copied().unwrap_or_default();
                self.look_for_needles(at, packet.from, packet.bytes, findings, || {
                    format!("a datagram of kind {kind:02x} to {}", packet.to)
                });
            }
            Observation::Stream { host, what: StreamSeen::Writes(bytes), .. } => {
                self.look_for_needles(at, *host, bytes, findings, || "a byte stream".into());
            }
            Observation::Started { host, truth } => self.learn(*host, truth.secret.as_bytes()),
            Observation::Joined { .. }
            | Observation::Changed { .. }
            | Observation::Lost { .. }
            | Observation::Handled { .. }
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
    use super::super::fixture::{Feed, audited, chat, packet, truth, watched};
    use super::*;
    use quickcheck::quickcheck;

    fn sent(feed: &mut Feed<Secrecy>, bytes: &[u8]) {
        feed.see(&Observation::Sent { packet: packet(1, 2, bytes), answers: None });
    }

    quickcheck! {
        /// Whatever comes before or after it, whenever its owner has started, and however many others there are.
        fn a_secret_key_is_found(owner: u8, before: Vec<u8>, after: Vec<u8>, calm: bool) -> bool {
            let mut feed = Feed::new(Secrecy::new(&[b"~secret~".to_vec()]));
            let hosts = u32::from(owner) + 5;
            for host in 0..hosts {
                feed.see(&Observation::Started { host, truth: &truth(host) });
                sent(&mut feed, truth(host).public.as_bytes());
            }
            (0..if calm { SETTLED } else { 0 }).for_each(|_| sent(&mut feed, b"calm"));
            let silent = feed.found().is_empty() && (!calm || feed.oracle.parts.len() == 1);
            let key = truth(owner.into()).secret;
            sent(&mut feed, &[&before, &key.as_bytes()[..], &after].concat());
            let whose = format!("host {owner} ");
            silent && feed.findings.total() == 1 && feed.findings.violations()[0].what.contains(&whose)
        }
    }

    #[test]
    fn a_marker_is_found() {
        let mut feed = Feed::new(Secrecy::new(&[b"~secret~".to_vec()]));
        sent(&mut feed, b"\x1b ~secre t~");
        assert_eq!(feed.found(), []);
        sent(&mut feed, b"\x1b words with ~secret~ in them");
        assert_eq!(feed.found(), [(Rule::Secrecy, Some(1))]);
    }

    #[test]
    fn an_honest_run_shows_nothing() {
        let mut world = watched(vec![Box::new(Secrecy::new(&[b"~secret~".to_vec()]))]);
        chat(&mut world);
        assert_eq!(audited(&mut world), []);
    }
}

//! Each accepted message is delivered exactly once and in order, or reported as failed; receipts tell the truth.
//!
//! For each ordered pair of hosts there is a list of what was said and not settled. A delivery is looked up from the
//! last delivered message on: what it passes over can only have failed. A failure that the sender's application was
//! told of means "it may or may not have arrived", so a late delivery is fine as long as the order holds.
//!
//! When the process of either end comes to an end, what was under way may be lost without a word: such messages are
//! *excused*. Message numbers begin again with each process of the sender; what an earlier one said is *over*.
//!
//! Texts between two hosts must differ from each other, or one may be taken for another.

use super::{Audited, Findings, Oracle, PerHost, Rule};
use crate::observe::{Change, HostId, Observation};
use bluering_core::time::Instant;
use bluering_core::{Event, MessageId};
use core::hash::Hasher;
use siphasher::sip::SipHasher13;
use std::collections::{HashMap, VecDeque};

/// Guards [`Rule::Delivery`] and [`Rule::Receipts`].
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    index: HashMap<(HostId, HostId), u32>,
    pairs: Vec<Pair>,
    hosts: PerHost<Host>,
}

#[derive(Clone, Debug, Default)]
struct Host {
    /// The pairs that it is an end of.
    pairs: Vec<u32>,
    /// Its application does not read.
    deaf: bool,
    /// Its process has ended, or it sleeps.
    away: bool,
}

#[derive(Clone, Debug)]
struct Pair {
    from: HostId,
    to: HostId,
    said: VecDeque<Said>,
    /// What comes before this place was delivered or passed over.
    cursor: usize,
}

/// A message that the sender's node accepted.
#[derive(Clone, Debug, Default)]
struct Said {
    id: MessageId,
    /// Hash of the text.
    text: u64,
    at: Instant,
    delivered: bool,
    failed: bool,
    receipt: bool,
    /// One end's process has ended since.
    excused: bool,
    /// The sender's was it.
    over: bool,
}

impl Said {
    fn words(&self, pair: &Pair) -> String {
        let (id, ms) = (self.id, self.at.millis());
        format!("message {id} from host {} to {}, said at {ms} ms, was ", pair.from, pair.to)
    }

    /// Whether the sender's application can be told nothing more about it.
    const fn is_settled(&self) -> bool {
        self.over || self.failed || self.receipt
    }
}

impl Delivery {
    fn pair(&mut self, from: HostId, to: HostId) -> &mut Pair {
        let next = self.pairs.len() as u32;
        let index = *self.index.entry((from, to)).or_insert(next);
        if index == next {
            self.pairs.push(Pair { from, to, said: VecDeque::new(), cursor: 0 });
            self.hosts.at(from).pairs.push(index);
            self.hosts.at(to).pairs.push(index);
        }
        &mut self.pairs[index as usize]
    }

    fn changed(&mut self, host: HostId, how: Change) {
        let state = self.hosts.at(host);
        match how {
            Change::Crashed | Change::Stopped => {
                state.away = true;
                self.excuse(host);
            }
            Change::Suspended => state.away = true,
            Change::Resumed => state.away = false,
            Change::Deaf => state.deaf = true,
            Change::Hearing => state.deaf = false,
            Change::ProfileRefused => self.excuse(host),
            Change::Moved | Change::ClockSet => {}
        }
    }

    /// A new process.
    fn started(&mut self, host: HostId) {
        let state = self.hosts.at(host);
        (state.away, state.deaf) = (false, false);
        self.excuse(host);
    }

    fn excuse(&mut self, host: HostId) {
        for index in &self.hosts.at(host).pairs {
            let pair = &mut self.pairs[*index as usize];
            for said in &mut pair.said {
                said.excused = true;
                said.over |= pair.from == host;
            }
        }
    }

    fn heard(&mut self, at: Instant, host: HostId, peer: HostId, event: &Event<'_>, findings: &mut Findings) {
        if let Event::Message { text, .. } = *event {
            self.pair(peer, host).delivered(at, hash(text), text, findings);
        } else if let Event::ReadReceipt { message, .. } = *event {
            // Its node has acknowledged what its application could not read yet.
            let unread = self.is_out(peer);
            self.pair(host, peer).receipt(at, message, unread, findings);
        } else if let Event::Undelivered { first, last, .. } = *event {
            self.pair(host, peer).failed(at, (first, last), findings);
        }
    }

    fn is_out(&self, host: HostId) -> bool {
        self.hosts.get(host).is_some_and(|host| host.away || host.deaf)
    }
}

impl Pair {
    fn delivered(&mut self, at: Instant, text: u64, words: &[u8], findings: &mut Findings) {
        let ahead = (self.cursor..self.said.len()).find(|place| self.said[*place].text == text);
        if let Some(place) = ahead {
            self.said[place].delivered = true;
            self.cursor = place + 1;
            return self.forget_settled();
        }
        let what = match self.said.range_mut(..self.cursor).find(|said| said.text == text) {
            Some(said) if said.delivered => "twice",
            Some(said) => {
                said.delivered = true;
                "after a later one"
            }
            None => "although it was never said, or long ago",
        };
        let words = String::from_utf8_lossy(&words[..words.len().min(40)]);
        let what = format!("host {} gets {words:?} from host {} {what}", self.to, self.from);
        findings.report(Rule::Delivery, at, Some(self.to), what);
    }

    fn receipt(&mut self, at: Instant, id: MessageId, unread: bool, findings: &mut Findings) {
        let place = self.said.iter().position(|said| !said.over && said.id == id);
        let wrong = match place.map(|place| &mut self.said[place]) {
            None => Some("never accepted, or long settled"),
            Some(said) => {
                let twice = core::mem::replace(&mut said.receipt, true);
                if twice {
                    Some("acknowledged already")
                } else if said.failed {
                    Some("reported as failed already")
                } else if !(said.delivered || said.excused || unread) {
                    Some("not delivered yet")
                } else {
                    None
                }
            }
        };
        if let Some(wrong) = wrong {
            let what = format!("host {} gets a receipt of host {} for message {id}, {wrong}", self.from, self.to);
            findings.report(Rule::Receipts, at, Some(self.from), what);
        }
        self.forget_settled();
    }

    fn failed(&mut self, at: Instant, (first, last): (MessageId, MessageId), findings: &mut Findings) {
        let mut wrong = None;
        let mut found = 0;
        for said in self.said.iter_mut().filter(|said| !said.over && (first..=last).contains(&said.id)) {
            found += 1;
            if said.receipt {
                wrong = Some("although there was a receipt");
            } else if core::mem::replace(&mut said.failed, true) {
                wrong = Some("again");
            }
        }
        if found != u64::from(last) + 1 - u64::from(first.min(last)) {
            wrong.get_or_insert("although not all of them were under way");
        }
        if let Some(wrong) = wrong {
            let what = format!("messages {first} to {last} to host {} are reported as failed, {wrong}", self.to);
            findings.report(Rule::Delivery, at, Some(self.from), what);
        }
        self.forget_settled();
    }

    /// Entries before the cursor of which nothing is to be expected go, except the last few: they tell a repeated
    /// delivery from an invented one.
    fn forget_settled(&mut self) {
        const KEPT: usize = 16;
        while self.cursor > KEPT && self.said.front().is_some_and(Said::is_settled) {
            self.said.pop_front();
            self.cursor -= 1;
        }
    }
}

fn hash(text: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(text);
    hasher.finish()
}

impl Oracle for Delivery {
    fn rule(&self) -> Rule {
        Rule::Delivery
    }

    fn observe(&mut self, at: Instant, seen: &Observation<'_>, findings: &mut Findings) {
        match seen {
            Observation::Said { host, to, message: Some(id), text } => {
                let said = Said { id: *id, text: hash(text), at, ..Said::default() };
                self.pair(*host, *to).said.push_back(said);
            }
            Observation::Heard { host, peer: Some(peer), event } => self.heard(at, *host, *peer, event, findings),
            Observation::Changed { host, how } => self.changed(*host, *how),
            Observation::Started { host, .. } => self.started(*host),
            Observation::Said { message: None, .. }
            | Observation::Heard { peer: None, .. }
            | Observation::Joined { .. }
            | Observation::Sent { .. }
            | Observation::Lost { .. }
            | Observation::Handled { .. }
            | Observation::Sleeps { .. }
            | Observation::Allocated { .. }
            | Observation::ForRelay { .. }
            | Observation::Stream { .. }
            | Observation::Mark { .. } => {}
        }
    }

    fn audit(&mut self, world: &dyn Audited, findings: &mut Findings) {
        let at = world.now();
        for pair in self.pairs.iter().filter(|pair| !self.is_out(pair.from) && !self.is_out(pair.to)) {
            for said in pair.said.iter().filter(|said| !said.excused && !said.failed) {
                if !said.delivered {
                    let what = said.words(pair) + "neither delivered nor reported as failed";
                    findings.report(Rule::Delivery, at, Some(pair.from), what);
                } else if !said.receipt {
                    let what = said.words(pair) + "delivered, but there was no receipt";
                    findings.report(Rule::Receipts, at, Some(pair.from), what);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Outstanding announce requests: whom we asked, for whom, over which path.
//!
//! An entry is wanted, then asked, then late: a late one has been counted against its path and its node, but an answer
//! is still welcome until [`LIFE`] has passed. The sendback is a random number, so an answer that nobody was asked for
//! finds nothing. Full: new requests wait; late entries make room first.

use super::paths::PathId;
use crate::Endpoint;
use crate::crypto::{PublicKey, SharedKey};
use crate::storage::{Mem, Table};
use crate::time::Instant;
use crate::wire::NodeInfo;
use core::time::Duration;

/// How long an answer is accepted (`onion_client.c`, ANNOUNCE_TIMEOUT).
const LIFE: Duration = Duration::from_secs(10);

/// For whom a node is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Our own announcement.
    Ourselves,
    /// The search for a friend, by index.
    Friend(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Stage {
    Free = 0,
    Wanted,
    Asked,
    Late,
}

/// An announce request that is to be sent, or not answered yet.
#[derive(Debug)]
pub(crate) struct Pending {
    stage: Stage,
    /// The request carried the ping id that this node gave over this path.
    pub(super) earned: bool,
    /// 0 for ourselves, 1 + the friend's index otherwise.
    owner: u16,
    pub(super) path: PathId,
    sendback: u64,
    /// When it was asked, or wanted.
    since: Instant,
    key: PublicKey,
    at: Endpoint,
    /// The box key of the request, which the answer uses as well.
    shared: SharedKey,
}

impl Pending {
    /// What static storage is filled with: all zeros.
    pub(crate) const VACANT: Self = Self {
        stage: Stage::Free,
        earned: false,
        owner: 0,
        path: PathId::NONE,
        sendback: 0,
        since: Instant::ZERO,
        key: PublicKey::ZERO,
        at: Endpoint::UNSPECIFIED,
        shared: SharedKey::ZERO,
    };

    pub(super) const fn node(&self) -> NodeInfo {
        NodeInfo { key: self.key, at: self.at }
    }

    pub(super) const fn owner(&self) -> Owner {
        match self.owner.checked_sub(1) {
            None => Owner::Ourselves,
            Some(index) => Owner::Friend(index),
        }
    }

    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    pub(super) const fn shared(&self) -> &SharedKey {
        &self.shared
    }

    fn is(&self, owner: Owner, key: &PublicKey) -> bool {
        self.stage != Stage::Free && self.owner() == owner && self.key == *key
    }
}

/// A request on its way out.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) owner: Owner,
    pub(super) node: NodeInfo,
    pub(super) path: PathId,
    pub(super) earned: bool,
    pub(super) sendback: u64,
    pub(super) shared: SharedKey,
}

/// What went wrong when a request turned late.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unanswered {
    pub(super) owner: Owner,
    pub(super) node: NodeInfo,
    pub(super) path: PathId,
}

/// The table.
#[derive(Debug)]
pub(super) struct Requests<'s> {
    mem: Mem<'s, Pending>,
    /// How many are wanted, and how many are wanted or asked.
    wanted: usize,
    busy: usize,
    /// When the first of the asked ones was asked, and the first of the late ones.
    first_asked: Option<Instant>,
    first_late: Option<Instant>,
}

impl<'s> Requests<'s> {
    pub(super) const fn new(mem: Mem<'s, Pending>) -> Self {
        Self { mem, wanted: 0, busy: 0, first_asked: None, first_late: None }
    }

    pub(super) fn table(&self) -> Table {
        Table::of_mem("onion pending", &self.mem, |entry| entry.stage != Stage::Free)
    }

    /// Notes that a node should be asked. False when there is no room.
    pub(super) fn want(&mut self, now: Instant, owner: Owner, node: NodeInfo) -> bool {
        let Some(place) = self.place(owner) else { return false };
        let entry = &mut self.mem[place];
        *entry = Pending { stage: Stage::Wanted, owner: number(owner), since: now, ..Pending::VACANT };
        (entry.key, entry.at) = (node.key, node.at);
        self.count();
        true
    }

    /// Takes the next wanted one out.
    pub(super) fn take_wanted(&mut self) -> Option<(Owner, NodeInfo)> {
        if self.wanted == 0 {
            return None;
        }
        let entry = self.mem.iter_mut().find(|entry| entry.stage == Stage::Wanted)?;
        entry.stage = Stage::Free;
        let taken = (entry.owner(), entry.node());
        self.count();
        Some(taken)
    }

    /// Whether a request of this owner may be added.
    pub(super) fn has_room(&self, owner: Owner) -> bool {
        self.busy < self.usable(owner)
    }

    /// A request goes out now. False when there is no room.
    pub(super) fn sent(&mut self, now: Instant, asking: Asking) -> bool {
        let Some(place) = self.place(asking.owner) else { return false };
        self.mem[place] = Pending {
            stage: Stage::Asked,
            earned: asking.earned,
            owner: number(asking.owner),
            path: asking.path,
            sendback: asking.sendback,
            since: now,
            key: asking.node.key,
            at: asking.node.at,
            shared: asking.shared,
        };
        self.count();
        true
    }

    /// The place of the request that an answer belongs to.
    pub(super) fn find(&self, sendback: u64) -> Option<usize> {
        let open = |entry: &Pending| matches!(entry.stage, Stage::Asked | Stage::Late);
        self.mem.iter().position(|entry| open(entry) && entry.sendback == sendback)
    }

    pub(super) fn get(&self, place: usize) -> &Pending {
        &self.mem[place]
    }

    /// Ends a request that was answered: a second answer finds nothing.
    pub(super) fn take(&mut self, place: usize) -> Pending {
        let taken = core::mem::replace(&mut self.mem[place], Pending::VACANT);
        self.count();
        taken
    }

    /// How many requests to that node are not late yet.
    pub(super) fn count_open(&self, owner: Owner, key: &PublicKey) -> usize {
        self.mem.iter().filter(|entry| entry.is(owner, key) && entry.stage != Stage::Late).count()
    }

    /// Whether that node may be asked though it is not in a list: it has not been within the last ten seconds without
    /// an answer, or not within `gap` and fewer than `parallel` requests to it are open.
    pub(super) fn may_repeat(
        &self,
        now: Instant,
        owner: Owner,
        key: &PublicKey,
        gap: Duration,
        parallel: usize,
    ) -> bool {
        let asked = self.mem.iter().filter(|entry| entry.is(owner, key));
        match asked.map(|entry| entry.since).max() {
            None => true,
            Some(last) => now.reached(last, gap) && self.count_open(owner, key) < parallel,
        }
    }

    /// Whether that node has been asked for that owner within the last ten seconds without an answer, or is to be
    /// asked.
    pub(super) fn is_known(&self, owner: Owner, key: &PublicKey) -> bool {
        self.mem.iter().any(|entry| entry.is(owner, key))
    }

    /// Frees what has expired and turns late what has waited for `patience`; returns one of the latter per call.
    pub(super) fn expire(&mut self, now: Instant, patience: Duration) -> Option<Unanswered> {
        if self.deadline(patience).is_none_or(|at| now < at) {
            return None;
        }
        let mut late = None;
        for entry in self.mem.iter_mut() {
            match entry.stage {
                Stage::Asked if now.reached(entry.since, patience) => {
                    entry.stage = Stage::Late;
                    late = Some(Unanswered { owner: entry.owner(), node: entry.node(), path: entry.path });
                    break;
                }
                Stage::Late if now.reached(entry.since, LIFE) => *entry = Pending::VACANT,
                Stage::Free | Stage::Wanted | Stage::Asked | Stage::Late => {}
            }
        }
        self.count();
        late
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.mem.fill_with(|| Pending::VACANT);
        self.count();
    }

    /// Forgets everything about a friend whose index may be reused.
    pub(super) fn forget(&mut self, owner: Owner) {
        for entry in self.mem.iter_mut().filter(|entry| entry.stage != Stage::Free && entry.owner() == owner) {
            *entry = Pending::VACANT;
        }
        self.count();
    }

    /// Whether something is wanted.
    pub(super) const fn has_wanted(&self) -> bool {
        self.wanted > 0
    }

    /// When the next request turns late or expires.
    pub(super) fn deadline(&self, patience: Duration) -> Option<Instant> {
        let late = self.first_asked.map(|since| since + patience);
        late.into_iter().chain(self.first_late.map(|since| since + LIFE)).min()
    }

    /// A free place, or the one that has been late longest. A quarter of the table is kept for our own announcement.
    fn place(&self, owner: Owner) -> Option<usize> {
        if !self.has_room(owner) {
            return None;
        }
        let free = self.mem.iter().position(|entry| entry.stage == Stage::Free);
        let late = |place: &usize| self.mem[*place].stage == Stage::Late;
        free.or_else(|| (0..self.mem.len()).filter(late).min_by_key(|place| self.mem[*place].since))
    }

    fn usable(&self, owner: Owner) -> usize {
        match owner {
            Owner::Ourselves => self.mem.len(),
            Owner::Friend(_) => self.mem.len() - self.mem.len() / 4,
        }
    }

    /// Comes after every change: whoever asks for it asks far more often.
    fn count(&mut self) {
        (self.wanted, self.busy, self.first_asked, self.first_late) = (0, 0, None, None);
        for entry in self.mem.iter() {
            let first = match entry.stage {
                Stage::Free => continue,
                Stage::Wanted => {
                    self.wanted += 1;
                    self.busy += 1;
                    continue;
                }
                Stage::Asked => {
                    self.busy += 1;
                    &mut self.first_asked
                }
                Stage::Late => &mut self.first_late,
            };
            *first = Some(first.map_or(entry.since, |first| first.min(entry.since)));
        }
    }
}

#[cfg(test)]
impl Pending {
    pub(super) fn set_node(&mut self, key: PublicKey, at: Endpoint) {
        (self.key, self.at) = (key, at);
    }
}

const fn number(owner: Owner) -> u16 {
    match owner {
        Owner::Ourselves => 0,
        Owner::Friend(index) => index + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(n: u8) -> NodeInfo {
        NodeInfo { key: PublicKey([n; 32]), at: Endpoint::v4([10, 0, 0, n], 33445) }
    }

    fn ask(requests: &mut Requests<'_>, at: u64, owner: Owner, n: u8) -> bool {
        let shared = SharedKey::from_bytes([n; 32]);
        let asking = Asking { owner, node: node(n), path: PathId::NONE, earned: false, sendback: u64::from(n), shared };
        requests.sent(Instant::from_millis(at), asking)
    }

    #[test]
    fn a_request_is_late_once_and_answered_once() {
        let mut mem = [const { Pending::VACANT }; 4];
        let mut requests = Requests::new(Mem::Borrowed(&mut mem));
        let patience = Duration::from_millis(1500);
        assert!(ask(&mut requests, 0, Owner::Ourselves, 1));
        assert_eq!(requests.deadline(patience), Some(Instant::from_millis(1500)));
        assert!(requests.expire(Instant::from_millis(1499), patience).is_none());
        assert!(requests.expire(Instant::from_millis(1500), patience).is_some());
        assert!(requests.expire(Instant::from_millis(1500), patience).is_none());
        let (owner, key) = (Owner::Ourselves, &node(1).key);
        assert!(requests.count_open(owner, key) == 0 && requests.is_known(owner, key));
        let place = requests.find(1).unwrap();
        assert_eq!(requests.take(place).node(), node(1));
        assert_eq!(requests.find(1), None);
        assert_eq!(requests.deadline(patience), None);
    }

    #[test]
    fn friends_leave_a_quarter_and_late_ones_make_room() {
        let mut mem = [const { Pending::VACANT }; 4];
        let mut requests = Requests::new(Mem::Borrowed(&mut mem));
        for n in 1..=3 {
            assert!(ask(&mut requests, u64::from(n), Owner::Friend(0), n));
        }
        assert!(!ask(&mut requests, 4, Owner::Friend(0), 4));
        assert!(ask(&mut requests, 4, Owner::Ourselves, 4));
        assert!(!ask(&mut requests, 5, Owner::Ourselves, 5));
        assert!(requests.expire(Instant::from_millis(11), Duration::from_millis(10)).is_some());
        assert!(ask(&mut requests, 12, Owner::Ourselves, 5));
        assert_eq!(requests.find(1), None, "the late one made room");
        requests.forget(Owner::Friend(0));
        assert_eq!((requests.find(2), requests.find(3)), (None, None));
        assert!(requests.find(4).is_some());
    }
}

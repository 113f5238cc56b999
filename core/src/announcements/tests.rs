//! One node that keeps announcements, and those who ask it.

use super::*;
use crate::DATAGRAM_MAX;
use crate::budget::Standing;
use crate::crypto::{Nacl, Nonce, Suite};
use crate::cx::KeyPair;
use crate::cx::test_env::Bench;
use crate::storage::Slot;
use crate::wire::NodeInfo;
use quickcheck::quickcheck;
use std::vec::Vec;

const NEAR: NodeInfo = NodeInfo { key: PublicKey([7; 32]), at: Endpoint::v4([203, 0, 113, 9], 33445) };
const CLIENT: Endpoint = Endpoint::v4([198, 51, 100, 7], 40000);

struct Keeper {
    bench: Bench,
    announcements: Announcements<'static>,
}

/// Somebody who asks, with a key of their own, directly or through a forwarder.
struct Asking {
    bench: Bench,
    from: Endpoint,
    via: &'static [u8],
}

/// What is asked, in its packed form.
struct Text(Vec<u8>);

impl Text {
    fn of(emit: impl FnOnce(&mut Writer<'_>)) -> Self {
        let mut buf = [0; 1024];
        let mut w = Writer::new(&mut buf);
        emit(&mut w);
        let len = w.len();
        Self(buf[..len].to_vec())
    }
}

impl Keeper {
    fn new(capacity: usize) -> Self {
        let mut bench = Bench::new(1);
        let mem = (0..capacity).map(|_| Slot::VACANT).collect::<Vec<Slot<Announcement>>>();
        let announcements = Announcements::new(bench.now, Slots::new(mem.leak()), &mut bench.rng);
        bench.now = bench.now + Duration::from_secs(3600);
        Self { bench, announcements }
    }

    fn key(&self) -> PublicKey {
        self.bench.me.dht.public
    }

    fn later(&mut self, span: Duration) {
        self.bench.now = self.bench.now + span;
    }

    fn handle(&mut self, buf: &mut [u8; DATAGRAM_MAX], len: usize, from: Endpoint, via: &[u8]) -> Disposition {
        let closest = |_: &PublicKey, _| NodeList::from_iter([NEAR]);
        let mut frame = Frame::new(buf, len, from);
        let cx = &mut self.bench.cx();
        self.announcements.on_packet(cx, &mut frame, via, &|_, _| Standing::Stranger, closest)
    }
}

impl Asking {
    fn new(seed: u8) -> Self {
        Self { bench: Bench::new(seed), from: CLIENT, via: &[] }
    }

    /// Asks, and gives the plaintext of the answer.
    fn ask(&mut self, keeper: &mut Keeper, kind: u8, request: &Text) -> Result<Vec<u8>, DropReason> {
        let (me, nonce) = (&self.bench.me.dht, Nonce::generate(&mut self.bench.rng));
        let key = Nacl.agree(&me.secret, &keeper.key()).unwrap();
        let mut buf = [0; DATAGRAM_MAX];
        let len = TEXT_AT + request.0.len();
        buf[TEXT_AT..len].copy_from_slice(&request.0);
        Outer::emit_header(&mut Writer::new(&mut buf), kind, &me.public, &nonce);
        Nacl.seal(&key, &nonce, &mut buf[BOX_AT..len]);
        match keeper.handle(&mut buf, len, self.from, self.via) {
            Disposition::Reply { to, len } => {
                assert_eq!((to, buf[0]), (self.from, kind + 1));
                let outer = Outer::parse(&buf[..len]).expect("an answer of ours is one");
                let nonce = outer.nonce;
                assert_eq!(outer.sender, keeper.key());
                assert!(Nacl.open(&key, &nonce, &mut buf[BOX_AT..len]));
                let (text, id) = buf[TEXT_AT..len].split_last_chunk::<8>().unwrap();
                assert_eq!(Some(id), request.0.last_chunk(), "echoed");
                Ok(text.to_vec())
            }
            Disposition::Dropped(reason) => Err(reason),
            Disposition::Consumed => panic!("requests are answered or dropped"),
        }
    }

    fn search(&mut self, keeper: &mut Keeper, key: PublicKey) -> (Option<[u8; 32]>, [u8; 32], bool) {
        let request = Text::of(|w| SearchRequest { key, known: None, id: 5 }.emit(w));
        let answer = self.ask(keeper, kind::DATA_SEARCH_REQUEST, &request).unwrap();
        let response = SearchResponse::parse(&answer).unwrap();
        assert_eq!((response.key, response.nodes.udp().collect::<Vec<_>>()), (key, [NEAR].to_vec()));
        (response.found, response.auth, response.accepts)
    }

    fn retrieve(&mut self, keeper: &mut Keeper, key: PublicKey, auth: [u8; 32]) -> Result<Vec<u8>, DropReason> {
        let request = Text::of(|w| RetrieveRequest { key, auth, id: 5 }.emit(w));
        let mut answer = self.ask(keeper, kind::DATA_RETRIEVE_REQUEST, &request)?;
        answer.extend([0; 8]);
        Ok(RetrieveResponse::parse(&answer).unwrap().data.to_vec())
    }

    fn store(&mut self, keeper: &mut Keeper, data: &KeyPair, text: &StoreText<'_>) -> Result<u32, DropReason> {
        let nonce = Nonce::generate(&mut self.bench.rng);
        let Text(inner) = Text::of(|w| {
            w.skip(MAC_LEN);
            text.emit(w);
        });
        let mut boxed = inner;
        Nacl.seal(&Nacl.agree(&data.secret, &keeper.key()).unwrap(), &nonce, &mut boxed);
        let request = Text::of(|w| StoreRequest { key: data.public, nonce, boxed: &boxed, id: 5 }.emit(w));
        let mut answer = self.ask(keeper, kind::STORE_ANNOUNCE_REQUEST, &request)?;
        answer.extend([0; 8]);
        let response = StoreResponse::parse(&answer).unwrap();
        assert_eq!(response.unix, keeper.bench.cx().unix.0);
        Ok(response.seconds)
    }

    /// Searches and stores.
    fn announce(&mut self, keeper: &mut Keeper, data: &KeyPair, what: Stored<'_>) -> Result<u32, DropReason> {
        let (_, auth, _) = self.search(keeper, data.public);
        self.store(keeper, data, &StoreText { auth, seconds: 600, what })
    }
}

fn data_key(seed: u8) -> KeyPair {
    KeyPair::generate(&Nacl, &mut Bench::new(seed).rng)
}

#[test]
fn store_search_and_retrieve() {
    let (mut keeper, mut alice, mut bob, key) = (Keeper::new(4), Asking::new(50), Asking::new(51), data_key(60));
    let (found, auth, accepts) = alice.search(&mut keeper, key.public);
    assert_eq!((found, accepts), (None, true));
    assert_eq!(alice.retrieve(&mut keeper, key.public, auth), Err(DropReason::NoRoute));
    let text = StoreText { auth, seconds: 600, what: Stored::Data(b"hello") };
    assert_eq!(alice.store(&mut keeper, &key, &text), Ok(600));
    let (found, auth, _) = bob.search(&mut keeper, key.public);
    assert_eq!(found, Some(sha256(b"hello")));
    assert_eq!(bob.retrieve(&mut keeper, key.public, auth).as_deref(), Ok(&b"hello"[..]));
    // The largest data, in place of what was there.
    assert_eq!(alice.announce(&mut keeper, &key, Stored::Data(&[9; 512])), Ok(600));
    assert_eq!(bob.retrieve(&mut keeper, key.public, auth).as_deref(), Ok(&[9; 512][..]));
    assert_eq!(keeper.announcements.table().used, 1);
}

#[test]
fn what_has_not_changed_is_not_told_again() {
    let (mut keeper, mut alice, key) = (Keeper::new(4), Asking::new(50), data_key(60));
    let key = key.public;
    let ask = |known| Text::of(|w| SearchRequest { key, known, id: 5 }.emit(w));
    let first = alice.ask(&mut keeper, kind::DATA_SEARCH_REQUEST, &ask(None)).unwrap();
    let again = ask(Some(sha256(&first)));
    assert_eq!(alice.ask(&mut keeper, kind::DATA_SEARCH_REQUEST, &again).as_deref(), Ok(&key.0[..]));
    let other = ask(Some([1; 32]));
    assert_eq!(alice.ask(&mut keeper, kind::DATA_SEARCH_REQUEST, &other), Ok(first));
}

#[test]
fn an_auth_serves_its_asker_its_key_its_way_and_for_a_minute() {
    let (mut keeper, mut alice, key) = (Keeper::new(4), Asking::new(50), data_key(60));
    alice.announce(&mut keeper, &key, Stored::Data(b"x")).unwrap();
    keeper.bench.now = Instant::from_secs(60 * 1000);
    alice.announce(&mut keeper, &key, Stored::Data(b"x")).unwrap();
    let (_, auth, _) = alice.search(&mut keeper, key.public);
    let refused = Err(DropReason::BadToken);
    assert_eq!(Asking::new(51).retrieve(&mut keeper, key.public, auth), refused, "somebody else");
    assert_eq!(alice.retrieve(&mut keeper, PublicKey([9; 32]), auth), refused, "another key");
    alice.from = Endpoint::v4([198, 51, 100, 8], 40000);
    assert_eq!(alice.retrieve(&mut keeper, key.public, auth), refused, "another address");
    (alice.from, alice.via) = (CLIENT, b"sendback");
    assert_eq!(alice.retrieve(&mut keeper, key.public, auth), refused, "another way");
    let (_, forwarded, _) = alice.search(&mut keeper, key.public);
    assert!(alice.retrieve(&mut keeper, key.public, forwarded).is_ok());
    alice.via = &[];
    let text = StoreText { auth: forwarded, seconds: 600, what: Stored::Data(b"y") };
    assert_eq!(alice.store(&mut keeper, &key, &text), Err(DropReason::BadToken));
    keeper.later(AUTH_LIFE * 2 - Duration::from_secs(1));
    assert!(alice.retrieve(&mut keeper, key.public, auth).is_ok());
    keeper.later(Duration::from_secs(1));
    assert_eq!(alice.retrieve(&mut keeper, key.public, auth), refused, "too late");
}

#[test]
fn only_the_owner_of_a_key_stores_under_it() {
    let (mut keeper, mut alice, key) = (Keeper::new(4), Asking::new(50), data_key(60));
    let (_, auth, _) = alice.search(&mut keeper, key.public);
    let thief = KeyPair { public: key.public, ..data_key(61) };
    let text = StoreText { auth, seconds: 600, what: Stored::Data(b"x") };
    assert_eq!(alice.store(&mut keeper, &thief, &text), Err(DropReason::BadCrypto));
    assert_eq!(keeper.announcements.table().used, 0);
}

#[test]
fn announcements_end_and_are_renewed() {
    let (mut keeper, mut alice, key) = (Keeper::new(4), Asking::new(50), data_key(60));
    assert_eq!(alice.announce(&mut keeper, &key, Stored::Same(sha256(b"x"))), Err(DropReason::NoRoute));
    alice.announce(&mut keeper, &key, Stored::Data(b"x")).unwrap();
    keeper.later(Duration::from_secs(400));
    assert_eq!(alice.announce(&mut keeper, &key, Stored::Same(sha256(b"x"))), Ok(600));
    keeper.later(Duration::from_secs(599));
    assert!(alice.search(&mut keeper, key.public).0.is_some());
    keeper.later(Duration::from_secs(1));
    assert_eq!(alice.search(&mut keeper, key.public).0, None);
    // Renewing something else than is there: its owner does not want it any more.
    alice.announce(&mut keeper, &key, Stored::Data(b"x")).unwrap();
    assert_eq!(alice.announce(&mut keeper, &key, Stored::Same(sha256(b"y"))), Err(DropReason::NoRoute));
    assert_eq!(alice.search(&mut keeper, key.public).0, None);
}

/// Nobody is told that data is kept for longer than the node has shown to stay.
#[test]
fn young_nodes_keep_data_shortly() {
    let (mut keeper, mut alice, key) = (Keeper::new(4), Asking::new(50), data_key(60));
    let start = keeper.announcements.since;
    for (up, wanted, kept) in [
        (0, 600, 10),
        (39, 600, 10),
        (80, 600, 20),
        (80, 5, 5),
        (3600, 2000, 900),
        (100_000, u32::MAX, 900),
        (100_000, 0, 0),
    ] {
        keeper.bench.now = start + Duration::from_secs(up);
        let (_, auth, _) = alice.search(&mut keeper, key.public);
        let text = StoreText { auth, seconds: wanted, what: Stored::Data(b"x") };
        assert_eq!(alice.store(&mut keeper, &key, &text), Ok(kept), "up {up}, wanted {wanted}");
    }
}

/// A flood of stores fills the table and no more; the keys nearest to ours stay, and searches say so.
#[test]
fn a_full_table_keeps_the_nearest() {
    let (mut keeper, mut alice) = (Keeper::new(4), Asking::new(50));
    let me = keeper.key();
    let mut keys: Vec<KeyPair> = (100..140).map(data_key).collect();
    for key in &keys {
        let (_, _, accepts) = alice.search(&mut keeper, key.public);
        let stored = alice.announce(&mut keeper, key, Stored::Data(b"x"));
        assert_eq!(stored, if accepts { Ok(600) } else { Err(DropReason::NoRoom) });
        assert!(keeper.announcements.table().used <= 4);
    }
    keys.sort_by_key(|key| key.public.distance(&me));
    for (rank, key) in keys.iter().enumerate() {
        let (found, _, accepts) = alice.search(&mut keeper, key.public);
        assert_eq!((found.is_some(), accepts), (rank < 4, rank < 4), "rank {rank}");
    }
    keeper.later(Duration::from_secs(600));
    assert_eq!(alice.announce(&mut keeper, &keys[39], Stored::Data(b"x")), Ok(600), "those that are over make room");
}

#[test]
fn a_table_without_room_answers_nobody() {
    let (mut keeper, mut alice) = (Keeper::new(0), Asking::new(50));
    let request = Text::of(|w| SearchRequest { key: NEAR.key, known: None, id: 5 }.emit(w));
    assert_eq!(alice.ask(&mut keeper, kind::DATA_SEARCH_REQUEST, &request), Err(DropReason::Disabled));
}

/// What is spent on strangers' requests has its limit: a flood from new keys is refused before its boxes are opened.
#[test]
fn a_flood_of_searches_meets_the_budget() {
    let mut keeper = Keeper::new(4);
    keeper.bench.budget = crate::budget::Budget::new(crate::storage::Mem::Borrowed(&mut []), 20, [1; 16]);
    let request = Text::of(|w| SearchRequest { key: NEAR.key, known: None, id: 5 }.emit(w));
    let answered = (2..100).filter(|seed| Asking::new(*seed).ask(&mut keeper, 0x93, &request).is_ok()).count();
    assert_eq!(answered, 10, "half of the budget is for strangers");
}

#[test]
fn an_entry_is_small() {
    assert!(size_of::<Slot<Announcement>>() <= 568);
}

#[test]
fn a_request_that_somebody_made_up() {
    let mut keeper = Keeper::new(2);
    let answer = Asking::new(50).ask(&mut keeper, kind::DATA_SEARCH_REQUEST, &Text((0..40).collect())).unwrap();
    assert_eq!(answer[..32], core::array::from_fn::<u8, 32, _>(|at| at as u8));
}

quickcheck! {
    fn arbitrary_requests_do_no_harm(kind: u8, text: Vec<u8>, len: usize) -> bool {
        let (mut keeper, mut alice) = (Keeper::new(2), Asking::new(50));
        let text = Text(text.iter().copied().cycle().chain([0; 600]).take(len % 650).collect());
        match alice.ask(&mut keeper, 0x93 + kind % 6, &text) {
            Ok(answer) => kind.is_multiple_of(6) && answer.len() >= 32,
            Err(_) => keeper.announcements.table().used == 0,
        }
    }

    fn arbitrary_packets_do_no_harm(kind: u8, bytes: Vec<u8>, len: usize) -> bool {
        let mut buf = [0; DATAGRAM_MAX];
        for (to, from) in buf.iter_mut().zip(bytes.iter().cycle()) { *to = *from; }
        buf[0] = 0x93 + kind % 6;
        matches!(Keeper::new(2).handle(&mut buf, len % (DATAGRAM_MAX + 1), CLIENT, &bytes), Disposition::Dropped(_))
    }
}

//! The friend table, message numbers, requests in both directions.

use super::*;
use crate::DropReason;
use crate::storage::{Block, Mem, Slot};
use quickcheck::quickcheck;
use std::boxed::Box;
use std::vec::Vec;

fn key(byte: u8) -> PublicKey {
    PublicKey([byte; 32])
}

fn blocks(count: usize) -> Blocks<'static> {
    Blocks::new(Box::leak(std::vec![Block::ZERO; count].into_boxed_slice()))
}

fn friends(count: usize) -> Friends<'static> {
    let table: Vec<Slot<Friend>> = core::iter::repeat_with(|| Slot::VACANT).take(count).collect();
    Friends::new(Slots::new(Box::leak(table.into_boxed_slice())))
}

#[test]
fn adding_names_each_error_and_loses_no_block() {
    let (mut table, mut pool) = (friends(2), blocks(8));
    let me = key(1);
    let id = |byte| ToxId { public_key: key(byte), nospam: Nospam([byte; 4]) };
    assert_eq!(table.request(&mut pool, &me, &id(2), b""), Err(AddFriendError::NoMessage));
    assert_eq!(table.request(&mut pool, &me, &id(2), &[0; 922]), Err(AddFriendError::TooLong));
    assert_eq!(table.request(&mut pool, &me, &id(1), b"hi"), Err(AddFriendError::OwnKey));
    assert_eq!(table.request(&mut pool, &me, &id(200), b"hi"), Err(AddFriendError::BadKey));
    assert_eq!(pool.available(), 8);
    let second = table.request(&mut pool, &me, &id(2), &[b'x'; 921]).unwrap();
    assert_eq!(table.request(&mut pool, &me, &id(2), b"hi"), Err(AddFriendError::AlreadyFriend));
    let moved = ToxId { public_key: key(2), nospam: Nospam([9; 4]) };
    assert_eq!(table.request(&mut pool, &me, &moved, b"hi"), Err(AddFriendError::NewNospam));
    assert_eq!(table.get_mut(second).unwrap().nospam, Nospam([9; 4]));
    assert_eq!(table.accept(&me, key(2)), Err(AddFriendError::AlreadyFriend));
    table.accept(&me, key(3)).unwrap();
    assert_eq!(table.request(&mut pool, &me, &id(4), b"hi"), Err(AddFriendError::Full));
    assert_eq!(pool.available(), 7);
    let words = table.remove(second).unwrap().request.unwrap();
    assert_eq!(pool.get(&words).bytes(), &[b'x'; 921]);
}

#[test]
fn requests_go_out_often_at_first_and_slowly_later() {
    let (mut table, mut pool) = (friends(1), blocks(4));
    let to = ToxId { public_key: key(2), nospam: Nospam([2; 4]) };
    let id = table.request(&mut pool, &key(1), &to, b"hi").unwrap();
    let friend = table.get_mut(id).unwrap();
    let mut sent = Vec::new();
    for second in 0..86_400 {
        if friend.request_due(Instant::from_secs(second)) {
            sent.push(second);
        }
    }
    assert!(sent.iter().filter(|s| **s < 60).count() >= 10, "{sent:?}");
    assert!(sent.len() < 80, "{} requests in a day", sent.len());
    assert!(sent.windows(2).all(|pair| pair[1] - pair[0] <= 1800));
}

#[test]
fn a_resumed_request_goes_on_slowly() {
    let (mut table, mut pool) = (friends(2), blocks(4));
    let to = ToxId { public_key: key(2), nospam: Nospam([2; 4]) };
    let id = table.request(&mut pool, &key(1), &to, b"hi").unwrap();
    let friend = table.get_mut(id).unwrap();
    friend.resume_request(40);
    friend.resume_request(3);
    assert!(friend.request_due(Instant::from_secs(1)), "it goes out once at the start");
    assert_eq!(friend.request_tries(), 41);
    assert!(!friend.request_due(Instant::from_secs(1800)));
    assert!(friend.request_due(Instant::from_secs(1801)));
    let id = table.accept(&key(1), key(3)).unwrap();
    let friend = table.get_mut(id).unwrap();
    friend.resume_request(40);
    assert_eq!(friend.request_tries(), 0, "nothing is asked");
}

#[test]
fn incoming_requests_are_filtered() {
    let mut pool = blocks(8);
    let waiting: Vec<Slot<IncomingRequest>> = core::iter::repeat_with(|| Slot::VACANT).take(2).collect();
    let waiting = Slots::new(Box::leak(waiting.into_boxed_slice()));
    let mut requests = Requests::new(waiting, Mem::Borrowed(Box::leak(Box::new([PublicKey::ZERO; 1]))));
    let ours = Nospam([1, 2, 3, 4]);
    let mut receive =
        |requests: &mut Requests<'_>, byte, nospam| requests.receive(&mut pool, key(byte), nospam, ours, b"hello");
    assert_eq!(receive(&mut requests, 2, Nospam([0; 4])), Verdict::Dropped(DropReason::WrongNospam));
    assert_eq!(receive(&mut requests, 2, ours), Verdict::Kept);
    assert_eq!(receive(&mut requests, 2, ours), Verdict::Dropped(DropReason::Duplicate));
    assert!(requests.block(key(3)) && requests.block(key(3)) && !requests.block(key(4)));
    assert_eq!(receive(&mut requests, 3, ours), Verdict::Dropped(DropReason::Stranger));
    requests.unblock(&key(3));
    assert_eq!(receive(&mut requests, 3, ours), Verdict::Kept);
    assert_eq!(receive(&mut requests, 5, ours), Verdict::Dropped(DropReason::NoRoom));
    assert_eq!(requests.next().unwrap().from, key(2));
    assert_eq!(receive(&mut requests, 5, ours), Verdict::Kept);
}

quickcheck! {
    /// Every message is reported exactly once, in order, as arrived or lost; only those as arrived that were
    /// acknowledged in their own session, however late the application asks.
    fn outbox_reports_each_message_once(steps: Vec<(u8, u8)>) -> bool {
        let (mut outbox, mut arrived, mut next, mut begin) = (Outbox::default(), std::vec![false], 1, 1);
        for (what, n) in steps {
            match what % 4 {
                0 => { outbox.sent(); arrived.push(false); }
                1 => {
                    let tag = begin + u32::from(n) % 8;
                    if tag < outbox.next() {
                        arrived[begin as usize..=tag as usize].fill(true);
                        outbox.acknowledged(tag);
                    }
                }
                2 => { outbox.session_ended(); begin = outbox.next(); }
                _ => while let Some(fate) = outbox.report() {
                    match fate {
                        Fate::Arrived(m) => { if m != next || !arrived[m as usize] { return false; } next = m + 1; }
                        Fate::Lost(a, b) => {
                            if a != next || b < a || b >= outbox.next() { return false; }
                            next = b + 1;
                        }
                    }
                },
            }
        }
        true
    }
}

//! Each way in which a message can go wrong, and each excuse.

use super::super::fixture::{Feed, any_friend, audited, chat, truth, watched};
use super::*;
use crate::World;
use crate::net::{Cut, Part};
use crate::oracles::Probe;
use bluering_core::{FriendId, MessageKind};
use core::time::Duration;

/// Host 1 talks to host 2; `story` goes wrong so often, in this rule.
struct Story {
    feed: Feed<Delivery>,
    friend: FriendId,
}

impl Story {
    fn new() -> Self {
        let mut feed = Feed::new(Delivery::default());
        [1, 2].into_iter().for_each(|host| feed.see(&Observation::Started { host, truth: &truth(host) }));
        Self { feed, friend: any_friend() }
    }

    fn said(&mut self, id: MessageId) -> &mut Self {
        let text = id.to_be_bytes();
        self.feed.see(&Observation::Said { host: 1, to: 2, message: Some(id), text: &text });
        self
    }

    fn delivered(&mut self, id: MessageId) -> &mut Self {
        let event = Event::Message { friend: self.friend, kind: MessageKind::Normal, text: &id.to_be_bytes() };
        self.feed.see(&Observation::Heard { host: 2, peer: Some(1), event: &event });
        self
    }

    fn told(&mut self, event: &Event<'_>) -> &mut Self {
        self.feed.see(&Observation::Heard { host: 1, peer: Some(2), event });
        self
    }

    fn receipt(&mut self, message: MessageId) -> &mut Self {
        self.told(&Event::ReadReceipt { friend: self.friend, message })
    }

    fn failed(&mut self, first: MessageId, last: MessageId) -> &mut Self {
        self.told(&Event::Undelivered { friend: self.friend, first, last })
    }

    fn changed(&mut self, host: HostId, how: Change) -> &mut Self {
        self.feed.see(&Observation::Changed { host, how });
        self
    }

    fn restarted(&mut self, host: HostId) -> &mut Self {
        self.feed.see(&Observation::Started { host, truth: &truth(host) });
        self
    }

    fn audited(&mut self) -> Vec<Rule> {
        self.feed.oracle.audit(&World::new(1), &mut self.feed.findings);
        self.feed.findings.violations().iter().map(|found| found.rule).collect()
    }
}

#[test]
fn what_was_said_and_read_is_fine() {
    let mut story = Story::new();
    for id in 1..=100 {
        story.said(id).delivered(id).receipt(id);
    }
    assert_eq!(story.audited(), []);
    assert!(story.feed.oracle.pairs[0].said.len() < 20, "settled messages are forgotten");
    let mut world = watched(vec![Box::new(Delivery::default())]);
    chat(&mut world);
    assert_eq!(audited(&mut world), []);
}

#[test]
fn what_never_arrives_is_seen() {
    assert_eq!(Story::new().said(1).audited(), [Rule::Delivery]);
    assert_eq!(Story::new().said(1).said(2).delivered(2).receipt(2).audited(), [Rule::Delivery]);
}

#[test]
fn what_arrives_twice_or_out_of_order_or_from_nowhere_is_seen() {
    assert_eq!(Story::new().said(1).delivered(1).receipt(1).delivered(1).audited(), [Rule::Delivery]);
    let mut swapped = Story::new();
    swapped.said(1).said(2).delivered(2).delivered(1).receipt(1).receipt(2);
    assert_eq!(swapped.audited(), [Rule::Delivery]);
    assert_eq!(Story::new().delivered(7).audited(), [Rule::Delivery]);
    assert_eq!(
        Story::new().said(1).failed(1, 1).said(2).delivered(2).receipt(2).delivered(1).audited(),
        [Rule::Delivery]
    );
}

#[test]
fn a_reported_failure_may_have_arrived_or_not() {
    let mut story = Story::new();
    story.said(1).said(2).said(3).delivered(1).failed(1, 2).delivered(2).said(4).delivered(4).failed(3, 4);
    assert_eq!(story.audited(), []);
}

#[test]
fn a_false_report_of_failure_is_seen() {
    assert_eq!(Story::new().said(1).delivered(1).receipt(1).failed(1, 1).audited(), [Rule::Delivery]);
    assert_eq!(Story::new().said(1).failed(1, 1).failed(1, 1).audited(), [Rule::Delivery]);
    assert_eq!(Story::new().said(1).failed(1, 2).audited(), [Rule::Delivery]);
}

#[test]
fn a_false_receipt_is_seen() {
    assert_eq!(Story::new().said(1).receipt(1).delivered(1).audited(), [Rule::Receipts]);
    assert_eq!(Story::new().said(1).delivered(1).receipt(1).receipt(1).audited(), [Rule::Receipts]);
    assert_eq!(Story::new().said(1).delivered(1).failed(1, 1).receipt(1).audited(), [Rule::Receipts]);
    assert_eq!(Story::new().receipt(9).audited(), [Rule::Receipts]);
    assert_eq!(Story::new().said(1).delivered(1).audited(), [Rule::Receipts]);
}

#[test]
fn a_node_acknowledges_what_its_application_has_not_read() {
    let mut deaf = Story::new();
    deaf.changed(2, Change::Deaf).said(1).receipt(1);
    assert_eq!(deaf.audited(), []);
    // Once it hears again, nothing may be missing.
    assert_eq!(deaf.changed(2, Change::Hearing).audited(), [Rule::Delivery]);
    let mut deaf = Story::new();
    deaf.changed(2, Change::Deaf).said(1).receipt(1).changed(2, Change::Hearing).delivered(1);
    assert_eq!(deaf.audited(), []);
}

#[test]
fn a_host_that_sleeps_has_not_read_either() {
    let mut asleep = Story::new();
    asleep.changed(2, Change::Deaf).said(1).changed(2, Change::Suspended).changed(2, Change::Hearing).receipt(1);
    assert_eq!(asleep.audited(), []);
    assert_eq!(asleep.changed(2, Change::Resumed).delivered(1).audited(), []);
}

/// A session ends with unacknowledged messages while the sender's application does not read; the next session
/// acknowledges others before it reads again.
#[test]
fn a_later_session_does_not_vouch_for_an_earlier_one() {
    let mut world = watched(vec![Box::new(Delivery::default())]);
    chat(&mut world);
    world.set_reading(0, false);
    let cut = world.net_mut().cut(Cut { from: Part::Hosts(vec![0]), to: Part::All });
    (0..3_u8).for_each(|i| assert!(world.say(0, 1, &[b'a', i]).is_ok()));
    world.run_for(Duration::from_secs(60));
    world.net_mut().mend(cut);
    world.run_for(Duration::from_secs(90));
    (0..3_u8).for_each(|i| assert!(world.say(0, 1, &[b'b', i]).is_ok()));
    world.run_for(Duration::from_secs(10));
    world.set_reading(0, true);
    world.run_for(Duration::from_secs(10));
    assert_eq!(world.tap.probes.get(Probe::Undelivered), 3);
    assert_eq!(audited(&mut world), []);
}

#[test]
fn ends_of_processes_excuse() {
    for host in [1, 2] {
        for how in [Change::Crashed, Change::Stopped] {
            assert_eq!(Story::new().said(1).changed(host, how).restarted(host).audited(), []);
            // What is said afterwards is not excused; numbers begin again.
            let mut after = Story::new();
            after.said(1).changed(host, how).restarted(host).said(1);
            assert_eq!(after.audited(), [Rule::Delivery]);
        }
        assert_eq!(Story::new().said(1).changed(host, Change::Suspended).audited(), []);
        let mut awake = Story::new();
        awake.said(1).changed(host, Change::Suspended).changed(host, Change::Resumed);
        assert_eq!(awake.audited(), [Rule::Delivery]);
    }
    // Lost with the receiver's process, but acknowledged by it.
    let mut story = Story::new();
    story.changed(2, Change::Deaf).said(1).changed(2, Change::Crashed).receipt(1).restarted(2);
    assert_eq!(story.audited(), []);
}

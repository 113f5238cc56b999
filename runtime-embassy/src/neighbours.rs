//! Hosts of our own network that may not exist.
//!
//! smoltcp keeps the datagrams of a socket in order: while it asks for the hardware address of one destination, nothing
//! else leaves, and when nobody answers, nothing ever does. Any stranger can name such an address. So a neighbour that
//! has not been heard lately is *tried*: its datagram goes into an empty socket, and if it is still there after a
//! while, the socket is emptied and the neighbour is *deaf* for a time: what is for it is lost at once, as it would be
//! on the line.

use bluering_core::time::Instant;
use core::net::IpAddr;
use core::time::Duration;
use heapless::Deque;

/// How long a neighbour may take to tell its hardware address: smoltcp asks for one address a second, whosever it is,
/// and tries a datagram that waits once a second.
const PATIENCE: Duration = Duration::from_millis(2200);
/// A deaf neighbour is not sent anything for so long.
const DEAF_FOR: Duration = Duration::from_secs(60);
/// After one that was deaf, no other is tried for so long.
const PAUSE: Duration = Duration::from_secs(18);
/// Whom we have heard within this time is there.
const HEARD_FOR: Duration = Duration::from_secs(30);
/// Neighbours that are remembered, of each kind: the oldest makes room.
const KEPT: usize = 8;

/// What is known about the hosts of our own network.
#[derive(Debug)]
pub(crate) struct Neighbours {
    heard: Deque<(IpAddr, Instant), KEPT>,
    deaf: Deque<(IpAddr, Instant), KEPT>,
    /// Who is tried.
    tried: Option<IpAddr>,
    /// Something for a neighbour is in the socket; at this time it has been there for too long.
    give_up_at: Option<Instant>,
    pause_until: Instant,
}

/// What to do with a datagram for a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Hand it to the stack.
    Send,
    /// Wait until the socket is empty.
    Wait,
    /// Lose it.
    Lose,
}

impl Neighbours {
    pub(crate) const fn new() -> Self {
        let pause_until = Instant::ZERO;
        Self { heard: Deque::new(), deaf: Deque::new(), tried: None, give_up_at: None, pause_until }
    }

    /// A datagram came from a neighbour.
    pub(crate) fn hear(&mut self, now: Instant, ip: IpAddr) {
        self.deaf.retain(|(other, _)| *other != ip);
        remember(&mut self.heard, ip, now);
    }

    /// Whether a datagram may be handed to the stack.
    pub(crate) fn leave(&self, now: Instant, ip: IpAddr) -> Leave {
        if self.has_heard(now, ip) {
            return Leave::Send;
        }
        let deaf = self.deaf.iter().any(|(other, since)| *other == ip && !now.reached(*since, DEAF_FOR));
        match (deaf || now < self.pause_until, self.give_up_at) {
            (true, _) => Leave::Lose,
            (false, Some(_)) if self.tried == Some(ip) => Leave::Send,
            (false, Some(_)) => Leave::Wait,
            (false, None) => Leave::Send,
        }
    }

    /// A datagram was handed to the stack.
    pub(crate) fn sent(&mut self, now: Instant, ip: IpAddr) {
        if self.give_up_at.is_none() {
            self.give_up_at = Some(now + PATIENCE);
            self.tried = (!self.has_heard(now, ip)).then_some(ip);
        }
    }

    /// The socket has sent everything.
    pub(crate) const fn all_sent(&mut self) {
        (self.tried, self.give_up_at) = (None, None);
    }

    /// When the socket is to be emptied, if it has not sent everything by then.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.give_up_at
    }

    /// The socket is emptied.
    pub(crate) fn give_up(&mut self, now: Instant) {
        match self.tried {
            Some(ip) => {
                remember(&mut self.deaf, ip, now);
                self.pause_until = now + PAUSE;
            }
            // One that we have heard is gone: all are tried again.
            None => self.heard.clear(),
        }
        self.all_sent();
    }

    fn has_heard(&self, now: Instant, ip: IpAddr) -> bool {
        self.heard.iter().any(|(other, at)| *other == ip && !now.reached(*at, HEARD_FOR))
    }
}

/// Adds or renews; the oldest makes room.
fn remember(list: &mut Deque<(IpAddr, Instant), KEPT>, ip: IpAddr, now: Instant) {
    list.retain(|(other, _)| *other != ip);
    if list.is_full() {
        list.pop_front();
    }
    // There is room now.
    let _ = list.push_back((ip, now));
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    fn ip(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 168, 0, last).into()
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(1000 + millis)
    }

    #[test]
    fn who_does_not_answer_is_deaf_for_a_while() {
        let mut table = Neighbours::new();
        table.sent(at(0), ip(1));
        assert_eq!((table.deadline(), table.leave(at(1), ip(1))), (Some(at(2200)), Leave::Send));
        table.give_up(at(2200));
        assert_eq!(table.deadline(), None);
        assert_eq!(table.leave(at(62_199), ip(1)), Leave::Lose);
        assert_eq!(table.leave(at(62_200), ip(1)), Leave::Send);
        table.hear(at(2300), ip(1));
        assert_eq!(table.leave(at(2301), ip(1)), Leave::Send, "it speaks after all");
    }

    #[test]
    fn one_is_tried_at_a_time_and_those_heard_are_not_in_question() {
        let mut table = Neighbours::new();
        table.hear(at(0), ip(1));
        table.sent(at(1), ip(2));
        assert_eq!([1, 2, 3].map(|host| table.leave(at(2), ip(host))), [Leave::Send, Leave::Send, Leave::Wait]);
        table.all_sent();
        assert_eq!(table.leave(at(3), ip(3)), Leave::Send);
        table.sent(at(3), ip(3));
        table.give_up(at(2203));
        assert_eq!([1, 2, 3].map(|host| table.leave(at(2204), ip(host))), [Leave::Send, Leave::Lose, Leave::Lose]);
        assert_eq!([2, 3].map(|host| table.leave(at(20_203), ip(host))), [Leave::Send, Leave::Lose]);
    }

    #[test]
    fn many_false_names_cost_an_eighth_of_the_time() {
        let (mut table, mut stuck) = (Neighbours::new(), 0);
        for millis in 0..300_000 {
            let stranger = ip((millis % 250) as u8);
            if table.deadline().is_some_and(|due| due <= at(millis)) {
                table.give_up(at(millis));
            }
            if table.leave(at(millis), stranger) == Leave::Send {
                table.sent(at(millis), stranger);
            }
            stuck += u32::from(table.deadline().is_some());
        }
        assert!((1000..=300_000 / 8).contains(&stuck), "{stuck}");
    }

    #[test]
    fn a_neighbour_that_went_away_is_found_out() {
        let mut table = Neighbours::new();
        table.hear(at(0), ip(1));
        table.hear(at(0), ip(2));
        table.sent(at(100), ip(1));
        table.give_up(at(2300));
        assert_eq!(table.leave(at(2301), ip(1)), Leave::Send, "it may have been another that blocked");
        table.sent(at(2301), ip(1));
        assert_eq!(table.leave(at(2302), ip(2)), Leave::Wait);
        table.give_up(at(4501));
        assert_eq!(table.leave(at(4502), ip(1)), Leave::Lose);
    }
}

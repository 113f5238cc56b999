//! Observations in words, the same in all outputs.

use crate::net::NetDrop;
use crate::observe::Change;
use bluering_core::time::Instant;
use bluering_core::{Connection, DropReason, Event};
use core::fmt;

/// `12.345678`: seconds of the world's time.
#[derive(Clone, Copy)]
pub(super) struct Seconds(pub(super) u64);

impl From<Instant> for Seconds {
    fn from(at: Instant) -> Self {
        Self(at.micros())
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000);
        f.pad(&text)
    }
}

pub(super) const fn lost(why: NetDrop) -> &'static str {
    match why {
        NetDrop::Loss => "lost on the line",
        NetDrop::QueueFull => "the line's queue was full",
        NetDrop::TooLong => "longer than the line takes",
        NetDrop::Cut => "a partition lies between",
        NetDrop::NoRoute => "nobody has that address",
        NetDrop::Blocked => "no UDP, or no address of that family",
        NetDrop::NoMapping => "no such mapping at the NAT",
        NetDrop::Filtered => "filtered by a NAT or firewall",
        NetDrop::NoPort => "the NAT has no port left",
        NetDrop::HostDown => "the host sleeps or is down",
    }
}

pub(super) const fn change(how: Change) -> &'static str {
    match how {
        Change::Crashed => "crashed",
        Change::Stopped => "stopped",
        Change::Suspended => "sleeps",
        Change::Resumed => "wakes",
        Change::Moved => "is somewhere else",
        Change::ClockSet => "has another wall-clock time",
        Change::Deaf => "no longer reads events",
        Change::Hearing => "reads events again",
        Change::ProfileRefused => "could not read its profile",
    }
}

/// What a node told its application, and a number that belongs to it: a length, or the number of a message.
pub(super) fn event(event: &Event<'_>) -> (&'static str, Option<u64>) {
    let counted = |what, bytes: &[u8]| (what, Some(bytes.len() as u64));
    match *event {
        Event::SelfConnection(connection) => (itself(connection), None),
        Event::FriendRequest { message, .. } => counted("hears a friend request of bytes:", message),
        Event::FriendConnection { connection, .. } => (friend(connection), None),
        Event::FriendName { name, .. } => counted("hears a name of bytes:", name),
        Event::FriendStatusMessage { text, .. } => counted("hears a status message of bytes:", text),
        Event::FriendStatus { status, .. } => ("hears a status:", Some(status as u64)),
        Event::FriendTyping { typing, .. } => (if typing { "hears typing" } else { "hears no more typing" }, None),
        Event::Message { text, .. } => counted("hears a message of bytes:", text),
        Event::LosslessPacket { data, .. } => counted("hears a lossless packet of bytes:", data),
        Event::LossyPacket { data, .. } => counted("hears a lossy packet of bytes:", data),
        Event::ReadReceipt { message, .. } => ("hears a receipt for message", Some(u64::from(message))),
        Event::Undelivered { first, .. } => ("hears of undelivered messages, from", Some(u64::from(first))),
        Event::Writable { .. } => ("may write again", None),
        Event::Proxy(_) => ("has trouble with its proxy", None),
        _ => ("hears something", None),
    }
}

const fn itself(connection: Connection) -> &'static str {
    match connection {
        Connection::None => "is offline",
        Connection::Tcp => "is online by a relay",
        Connection::Udp => "is online",
    }
}

const fn friend(connection: Connection) -> &'static str {
    match connection {
        Connection::None => "sees the friend offline",
        Connection::Tcp => "sees the friend online by a relay",
        Connection::Udp => "sees the friend online",
    }
}

/// Why a node dropped a datagram.
pub(super) const fn dropped(why: DropReason) -> &'static str {
    match why {
        DropReason::UnknownKind => "no packet that nodes serve",
        DropReason::Malformed => "malformed",
        DropReason::BadCrypto => "bad cryptography",
        DropReason::OwnPacket => "the node's own packet",
        DropReason::Unsolicited => "answer to nothing asked, or late",
        DropReason::NoRoute => "for a node that it does not know",
        DropReason::Forbidden => "forbidden onion payload",
        DropReason::BadAddress => "address that cannot be sent to",
        DropReason::BadToken => "ping id or cookie expired or false",
        DropReason::NoRoom => "table or pool full",
        DropReason::RateLimited => "rate limited",
        DropReason::Stranger => "from a stranger",
        DropReason::Duplicate => "duplicate or replay",
        DropReason::BadState => "not in this state of the session",
        DropReason::OutOfWindow => "outside the window",
        DropReason::WrongNospam => "wrong nospam",
        DropReason::Disabled => "feature turned off",
    }
}

//! Packets by name: what the first byte of a datagram says.

use bluering_core::wire::kind;

/// What a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Finding nodes.
    Dht,
    /// Passing on, unseen.
    Onion,
    /// Finding friends.
    Announce,
    /// Talking to friends.
    Session,
    /// All else.
    Other,
}

impl Class {
    /// All classes, in order.
    pub const ALL: [Self; 5] = [Self::Dht, Self::Onion, Self::Announce, Self::Session, Self::Other];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dht => "DHT",
            Self::Onion => "onion",
            Self::Announce => "announce",
            Self::Session => "session",
            Self::Other => "other",
        }
    }
}

/// A kind of packet: its place in [`Kind::ALL`], from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind(u8);

/// First byte, name, class; in the order of classes.
const KINDS: [(u8, &str, Class); 32] = [
    (kind::PING_REQUEST, "ping request", Class::Dht),
    (kind::PING_RESPONSE, "ping response", Class::Dht),
    (kind::NODES_REQUEST, "nodes request", Class::Dht),
    (kind::NODES_RESPONSE, "nodes response", Class::Dht),
    (kind::DHT_REQUEST, "DHT request", Class::Dht),
    (kind::LAN_DISCOVERY, "LAN discovery", Class::Dht),
    (kind::ONION_REQUEST_0, "onion request 0", Class::Onion),
    (kind::ONION_REQUEST_1, "onion request 1", Class::Onion),
    (kind::ONION_REQUEST_2, "onion request 2", Class::Onion),
    (kind::ONION_RESPONSE_3, "onion response 3", Class::Onion),
    (kind::ONION_RESPONSE_2, "onion response 2", Class::Onion),
    (kind::ONION_RESPONSE_1, "onion response 1", Class::Onion),
    (kind::ANNOUNCE_REQUEST, "announce request", Class::Announce),
    (kind::ANNOUNCE_RESPONSE, "announce response", Class::Announce),
    (kind::ONION_DATA_REQUEST, "onion data request", Class::Announce),
    (kind::ONION_DATA_RESPONSE, "onion data response", Class::Announce),
    (kind::GROUP_ANNOUNCE_REQUEST, "group announce request", Class::Announce),
    (kind::GROUP_ANNOUNCE_RESPONSE, "group announce response", Class::Announce),
    (kind::FORWARD_REQUEST, "forward request", Class::Announce),
    (kind::FORWARDING, "forwarding", Class::Announce),
    (kind::FORWARD_REPLY, "forward reply", Class::Announce),
    (kind::DATA_SEARCH_REQUEST, "data search request", Class::Announce),
    (kind::DATA_SEARCH_RESPONSE, "data search response", Class::Announce),
    (kind::DATA_RETRIEVE_REQUEST, "data retrieve request", Class::Announce),
    (kind::DATA_RETRIEVE_RESPONSE, "data retrieve response", Class::Announce),
    (kind::STORE_ANNOUNCE_REQUEST, "store announce request", Class::Announce),
    (kind::STORE_ANNOUNCE_RESPONSE, "store announce response", Class::Announce),
    (kind::COOKIE_REQUEST, "cookie request", Class::Session),
    (kind::COOKIE_RESPONSE, "cookie response", Class::Session),
    (kind::CRYPTO_HANDSHAKE, "crypto handshake", Class::Session),
    (kind::CRYPTO_DATA, "crypto data", Class::Session),
    (kind::BOOTSTRAP_INFO, "bootstrap info", Class::Other),
];

impl Kind {
    /// How many there are, with the one for all that is no Tox packet.
    pub const COUNT: usize = KINDS.len() + 1;
    /// What is no Tox packet, or empty.
    pub const UNKNOWN: Self = Self(KINDS.len() as u8);

    /// The kind of a datagram.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let known = bytes.first().and_then(|first| KINDS.iter().position(|(byte, ..)| byte == first));
        known.map_or(Self::UNKNOWN, |place| Self(place as u8))
    }

    /// All kinds, those of one class together.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT as u8).map(Self)
    }

    /// Its place among all.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Its name, as the protocol's documents have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        KINDS.get(self.index()).map_or("unknown packet", |(_, name, _)| name)
    }

    /// What it is for.
    #[must_use]
    pub fn class(self) -> Class {
        KINDS.get(self.index()).map_or(Class::Other, |(.., class)| *class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_tell_kinds_apart() {
        let names: BTreeSet<&str> = Kind::all().map(Kind::name).collect();
        assert_eq!(names.len(), Kind::COUNT);
        assert!(Kind::all().map(Kind::class).is_sorted(), "those of a class stand together");
    }

    #[test]
    fn the_first_byte_says_it() {
        assert_eq!(Kind::of(&[0x02, 1, 2]).name(), "nodes request");
        assert_eq!(Kind::of(&[0x1b]).class(), Class::Session);
        assert_eq!(Kind::of(&[0x86]).class(), Class::Announce);
        assert_eq!(Kind::of(&[]), Kind::UNKNOWN);
        assert_eq!(Kind::of(&[0x77]).name(), "unknown packet");
    }
}

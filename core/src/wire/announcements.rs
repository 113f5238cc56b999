//! DHT announcements: a little data that is kept by the nodes near a key, for whoever knows the key.
//!
//! All six packets have the shape of ping and nodes packets, [`Outer`](super::dht::Outer); these are the insides of
//! their boxes. `id` is eight bytes that only the asker reads.
//!
//! ```text
//! 0x93  data key | [hash of the last response 32] | id                                               113 or 145 bytes
//! 0x94  data key | found 1 [hash of the data 32] | auth 32 | accepts 1 | count 1 | nodes | id
//!       data key | id                                        the response is still the one with that hash
//! 0x95  data key | 0 | auth 32 | id                                                                         146 bytes
//! 0x96  data key | 1 | data | id
//! 0x97  data key | nonce | box{ auth 32 | seconds 4 | what 1 | data, or its hash } | id                  190 and more
//! 0x98  data key | seconds 4 | time 8 | id
//! ```
//! The auth of a search lets the same asker retrieve and store. The inner box of 0x97 is from the data key to the
//! node's DHT key: nobody else stores under that key. Sources: `announce.h`; wire-facts 2.12.

use super::dht::TEXT_AT;
use super::{NODE_LEN_MAX, PackedNodes, Reader, Writer};
use crate::crypto::{MAC_LEN, NONCE_LEN, Nonce, PUBLIC_KEY_LEN, PublicKey};

/// Longest data (`announce.h`, MAX_ANNOUNCEMENT_SIZE).
pub const DATA_LEN_MAX: usize = 512;
/// Length of a hash of data or of a response: SHA-256.
pub const HASH_LEN: usize = 32;
/// Length of what proves that the asker got our last response.
pub const AUTH_LEN: usize = 32;
/// Most nodes in a response.
pub const NODES_MAX: usize = 4;
/// Where the inner box of 0x97 starts in the plaintext.
pub const STORE_BOX_AT: usize = PUBLIC_KEY_LEN + NONCE_LEN;

const ID_LEN: usize = 8;
const STORE_TEXT_LEN_MIN: usize = AUTH_LEN + 4 + 1;

/// Exact lengths of 0x93, without and with a hash.
pub const SEARCH_LENS: [usize; 2] = [TEXT_AT + PUBLIC_KEY_LEN + ID_LEN, TEXT_AT + PUBLIC_KEY_LEN + HASH_LEN + ID_LEN];
/// Longest 0x94.
pub const SEARCH_RESPONSE_LEN_MAX: usize =
    TEXT_AT + PUBLIC_KEY_LEN + 1 + HASH_LEN + AUTH_LEN + 2 + NODES_MAX * NODE_LEN_MAX + ID_LEN;
/// Exact length of 0x95.
pub const RETRIEVE_LEN: usize = TEXT_AT + PUBLIC_KEY_LEN + 1 + AUTH_LEN + ID_LEN;
/// Longest 0x96.
pub const RETRIEVE_RESPONSE_LEN_MAX: usize = TEXT_AT + PUBLIC_KEY_LEN + 1 + DATA_LEN_MAX + ID_LEN;
/// Shortest 0x97.
pub const STORE_LEN_MIN: usize = TEXT_AT + STORE_BOX_AT + MAC_LEN + STORE_TEXT_LEN_MIN + ID_LEN;
/// Longest 0x97.
pub const STORE_LEN_MAX: usize = STORE_LEN_MIN + DATA_LEN_MAX;
/// Exact length of 0x98.
pub const STORE_RESPONSE_LEN: usize = TEXT_AT + PUBLIC_KEY_LEN + 4 + 8 + ID_LEN;
/// Shortest of all answers: 0x94 that says nothing new.
pub const ANSWER_LEN_MIN: usize = TEXT_AT + PUBLIC_KEY_LEN + ID_LEN;

/// 0x93: what is there under this key, and who is near it?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchRequest {
    /// The key.
    pub key: PublicKey,
    /// SHA-256 of the last response without its id: a response that is the same need not be sent.
    pub known: Option<[u8; HASH_LEN]>,
    /// Echoed.
    pub id: u64,
}

impl SearchRequest {
    /// Reads the plaintext.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut r = Reader::new(text);
        let key = r.key()?;
        let known = if r.left() > ID_LEN { Some(*r.array()?) } else { None };
        let this = Self { key, known, id: r.u64()? };
        r.end().map(|()| this)
    }

    /// Writes the plaintext.
    pub fn emit(&self, w: &mut Writer<'_>) {
        w.bytes(&self.key.0).bytes(self.known.as_ref().map_or(&[], <[_; _]>::as_slice)).u64(self.id);
    }
}

/// 0x94 that says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchResponse<'a> {
    /// The key of the request.
    pub key: PublicKey,
    /// SHA-256 of the data, if there is any.
    pub found: Option<[u8; HASH_LEN]>,
    /// For the requests that follow.
    pub auth: [u8; AUTH_LEN],
    /// Whether data under this key would be stored now.
    pub accepts: bool,
    /// Up to four nodes near the key.
    pub nodes: PackedNodes<'a>,
}

impl<'a> SearchResponse<'a> {
    /// Reads the plaintext without its id.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(text);
        let key = r.key()?;
        let found = if flag(r.u8()?)? { Some(*r.array()?) } else { None };
        let (auth, accepts, count) = (*r.array()?, flag(r.u8()?)?, usize::from(r.u8()?));
        let nodes = PackedNodes::parse_udp(r.rest(), NODES_MAX).filter(|nodes| nodes.count() == count)?;
        Some(Self { key, found, auth, accepts, nodes })
    }

    /// Writes the plaintext without its id: what is hashed.
    pub fn emit(&self, w: &mut Writer<'_>) {
        w.bytes(&self.key.0).u8(u8::from(self.found.is_some()));
        w.bytes(self.found.as_ref().map_or(&[], <[_; _]>::as_slice)).bytes(&self.auth);
        w.u8(u8::from(self.accepts)).u8(self.nodes.count() as u8).bytes(self.nodes.as_bytes());
    }
}

/// 0x95: give me what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrieveRequest {
    /// The key.
    pub key: PublicKey,
    /// From the response to a search.
    pub auth: [u8; AUTH_LEN],
    /// Echoed.
    pub id: u64,
}

impl RetrieveRequest {
    /// Reads the plaintext.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut r = Reader::new(text);
        let key = r.key()?;
        (r.u8()? == 0).then_some(())?;
        let this = Self { key, auth: *r.array()?, id: r.u64()? };
        r.end().map(|()| this)
    }

    /// Writes the plaintext.
    pub fn emit(&self, w: &mut Writer<'_>) {
        w.bytes(&self.key.0).u8(0).bytes(&self.auth).u64(self.id);
    }
}

/// 0x96: this is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrieveResponse<'a> {
    /// The key of the request.
    pub key: PublicKey,
    /// The data.
    pub data: &'a [u8],
    /// From the request.
    pub id: u64,
}

impl<'a> RetrieveResponse<'a> {
    /// Reads the plaintext.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(text);
        let key = r.key()?;
        (r.u8()? == 1).then_some(())?;
        let data = r.take(r.left().checked_sub(ID_LEN)?)?;
        (data.len() <= DATA_LEN_MAX).then_some(Self { key, data, id: r.u64()? })
    }

    /// Writes the plaintext.
    pub fn emit(&self, w: &mut Writer<'_>) {
        w.bytes(&self.key.0).u8(1).bytes(self.data).u64(self.id);
    }
}

/// 0x97: keep this. Its box is opened in place, from [`STORE_BOX_AT`] on, and is a [`StoreText`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreRequest<'a> {
    /// The key under which it is kept.
    pub key: PublicKey,
    /// Nonce of the inner box.
    pub nonce: Nonce,
    /// Authenticator and ciphertext.
    pub boxed: &'a [u8],
    /// Echoed.
    pub id: u64,
}

impl<'a> StoreRequest<'a> {
    /// Reads the plaintext.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(text);
        let (key, nonce) = (r.key()?, r.nonce()?);
        let boxed = r.take(r.left().checked_sub(ID_LEN)?)?;
        let lens = MAC_LEN + STORE_TEXT_LEN_MIN..=MAC_LEN + STORE_TEXT_LEN_MIN + DATA_LEN_MAX;
        lens.contains(&boxed.len()).then_some(Self { key, nonce, boxed, id: r.u64()? })
    }

    /// Writes the plaintext.
    pub fn emit(&self, w: &mut Writer<'_>) {
        w.bytes(&self.key.0).bytes(&self.nonce.0).bytes(self.boxed).u64(self.id);
    }
}

/// What is in the inner box of 0x97.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreText<'a> {
    /// From the response to a search.
    pub auth: [u8; AUTH_LEN],
    /// For how long, in seconds, at most.
    pub seconds: u32,
    /// What is to be stored.
    pub what: Stored<'a>,
}

/// What is to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored<'a> {
    /// This.
    Data(&'a [u8]),
    /// What is there already, if it has this SHA-256.
    Same([u8; HASH_LEN]),
}

impl<'a> StoreText<'a> {
    /// Reads the inside of the box.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(text);
        let (auth, seconds) = (*r.array()?, r.u32()?);
        let what = match r.u8()? {
            0 if r.left() <= DATA_LEN_MAX => Stored::Data(r.rest()),
            1 => Stored::Same(*r.array()?),
            _ => return None,
        };
        r.end().map(|()| Self { auth, seconds, what })
    }

    /// Writes the inside of the box.
    pub fn emit(&self, w: &mut Writer<'_>) {
        w.bytes(&self.auth).u32(self.seconds);
        match &self.what {
            Stored::Data(data) => w.u8(0).bytes(data),
            Stored::Same(hash) => w.u8(1).bytes(hash),
        };
    }
}

/// 0x98: it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreResponse {
    /// The key of the request.
    pub key: PublicKey,
    /// For so many seconds.
    pub seconds: u32,
    /// The node's clock, seconds since 1970.
    pub unix: u64,
    /// From the request.
    pub id: u64,
}

impl StoreResponse {
    /// Reads the plaintext.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut r = Reader::new(text);
        let this = Self { key: r.key()?, seconds: r.u32()?, unix: r.u64()?, id: r.u64()? };
        r.end().map(|()| this)
    }

    /// Writes the plaintext.
    pub fn emit(&self, w: &mut Writer<'_>) {
        w.bytes(&self.key.0).u32(self.seconds).u64(self.unix).u64(self.id);
    }
}

const fn flag(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Endpoint;
    use crate::wire::NodeInfo;
    use quickcheck::quickcheck;
    use std::vec::Vec;

    fn emitted(emit: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut buf = [0; 2048];
        let mut w = Writer::new(&mut buf);
        emit(&mut w);
        let len = w.len();
        buf[..len].to_vec()
    }

    /// `announce.c`, worked out by hand.
    #[test]
    fn sizes_are_those_of_toxcore() {
        assert_eq!((SEARCH_LENS, SEARCH_RESPONSE_LEN_MAX), ([113, 145], 384));
        assert_eq!((RETRIEVE_LEN, RETRIEVE_RESPONSE_LEN_MAX), (146, 626));
        assert_eq!((STORE_LEN_MIN, STORE_LEN_MAX, STORE_RESPONSE_LEN), (190, 702, 125));
        for len in 0..800 {
            let bytes = std::vec![0; len];
            assert_eq!(SearchRequest::parse(&bytes).is_some(), [40, 72].contains(&len), "search {len}");
            assert_eq!(RetrieveRequest::parse(&bytes).is_some(), len == 73, "retrieve {len}");
            assert_eq!(StoreRequest::parse(&bytes).is_some(), (117..=629).contains(&len), "store {len}");
            assert_eq!(StoreText::parse(&bytes).is_some(), (37..=549).contains(&len), "store text {len}");
            assert_eq!(StoreResponse::parse(&bytes).is_some(), len == 52, "stored {len}");
        }
    }

    /// Vectors written out by hand from wire-facts 2.12.
    #[test]
    fn plaintexts_have_the_documented_layout() {
        let key = PublicKey([9; 32]);
        let mut expected = [9; 32].to_vec();
        expected.push(1);
        expected.extend([3; 32]);
        expected.extend([4; 32]);
        expected.extend([1, 0]);
        let response =
            SearchResponse { key, found: Some([3; 32]), auth: [4; 32], accepts: true, nodes: PackedNodes::EMPTY };
        assert_eq!(emitted(|w| response.emit(w)), expected);
        *expected.last_mut().unwrap() = 1;
        assert_eq!(SearchResponse::parse(&expected), None, "the count must be right");
        let text = StoreText { auth: [5; 32], seconds: 0x0102_0304, what: Stored::Data(b"hi") };
        let mut expected = [5; 32].to_vec();
        expected.extend([1, 2, 3, 4, 0, b'h', b'i']);
        assert_eq!(emitted(|w| text.emit(w)), expected);
        expected[36] = 1;
        assert_eq!(StoreText::parse(&expected), None, "a hash has 32 bytes");
        expected[36] = 2;
        assert_eq!(StoreText::parse(&expected), None);
    }

    quickcheck! {
        fn parsed_and_emitted(seed: u8, len: u16, flags: (bool, bool, bool), nodes: Vec<(u32, u16, u8)>) -> bool {
            let byte = |i: usize| (i as u8).wrapping_mul(31).wrapping_add(seed);
            let bytes = |len: usize| (0..len).map(byte).collect::<Vec<_>>();
            let len = usize::from(len);
            let text = bytes(if flags.0 { 72 } else { 40 });
            let search = SearchRequest::parse(&text).is_some_and(|p| emitted(|w| p.emit(w)) == text);
            let mut text = bytes(73);
            text[32] = 0;
            let retrieve = RetrieveRequest::parse(&text).is_some_and(|p| emitted(|w| p.emit(w)) == text);
            let mut text = bytes(41 + len % 513);
            text[32] = 1;
            let retrieved = RetrieveResponse::parse(&text).is_some_and(|p| emitted(|w| p.emit(w)) == text);
            let text = bytes(117 + len % 513);
            let store = StoreRequest::parse(&text).is_some_and(|p| emitted(|w| p.emit(w)) == text);
            let mut text = bytes(if flags.0 { 37 + len % 513 } else { 69 });
            text[36] = u8::from(!flags.0);
            let inner = StoreText::parse(&text).is_some_and(|p| emitted(|w| p.emit(w)) == text);
            let text = bytes(52);
            let stored = StoreResponse::parse(&text).is_some_and(|p| emitted(|w| p.emit(w)) == text);
            let packed = emitted(|w| {
                for &(ip, port, key) in nodes.iter().take(4) {
                    NodeInfo { key: PublicKey([key; 32]), at: Endpoint::v4(ip.to_be_bytes(), port) }.emit(w);
                }
            });
            let response = SearchResponse {
                key: PublicKey([seed; 32]),
                found: flags.1.then_some([1; 32]),
                auth: [2; 32],
                accepts: flags.2,
                nodes: PackedNodes::parse_udp(&packed, 4).unwrap(),
            };
            let found = SearchResponse::parse(&emitted(|w| response.emit(w))) == Some(response);
            search && retrieve && retrieved && store && inner && stored && found
        }

        fn arbitrary_bytes_do_no_harm(bytes: Vec<u8>) -> bool {
            let again = |copy: Vec<u8>| copy == bytes;
            SearchRequest::parse(&bytes).is_none_or(|p| again(emitted(|w| p.emit(w))))
                && SearchResponse::parse(&bytes).is_none_or(|p| again(emitted(|w| p.emit(w))))
                && RetrieveRequest::parse(&bytes).is_none_or(|p| again(emitted(|w| p.emit(w))))
                && RetrieveResponse::parse(&bytes).is_none_or(|p| again(emitted(|w| p.emit(w))))
                && StoreRequest::parse(&bytes).is_none_or(|p| again(emitted(|w| p.emit(w))))
                && StoreText::parse(&bytes).is_none_or(|p| again(emitted(|w| p.emit(w))))
                && StoreResponse::parse(&bytes).is_none_or(|p| again(emitted(|w| p.emit(w))))
        }
    }
}

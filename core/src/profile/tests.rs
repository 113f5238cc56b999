//! A profile that c-toxcore 0.2.18 wrote, what can be wrong with one, and that nothing gets lost.

use super::*;
use crate::Endpoint;
use crate::crypto::ToxId;
use crate::storage::Full;
use core::net::IpAddr;
use quickcheck::{Arbitrary, Gen, quickcheck};
use std::string::ToString;
use std::vec;
use std::vec::Vec;

/// Lines of hexadecimal digits; `0*n` stands for n zeros.
fn c_toxcore_save() -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in include_str!("c_toxcore_save.txt").lines() {
        if let Some(zeros) = line.strip_prefix("0*") {
            bytes.resize(bytes.len() + zeros.parse::<usize>().unwrap(), 0);
        } else {
            let digits = line.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
            bytes.extend(digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()));
        }
    }
    bytes
}

fn node(key: &str, port: u16) -> NodeInfo {
    NodeInfo { key: PublicKey::from_hex(key).unwrap(), at: Endpoint::v4([127, 0, 0, 1], port) }
}

/// Alice (secret key 1, 2, 3, ..) with Bobby, who was online, and Carol, whom no request has reached. The values are
/// what c-toxcore's own interface told about it.
#[test]
fn a_save_of_c_toxcore_is_understood() {
    let bytes = c_toxcore_save();
    assert_eq!(bytes.len(), 5552);
    let profile = Profile::parse(&bytes).unwrap();
    let id = ToxId { public_key: profile.public_key(), nospam: profile.nospam() };
    assert_eq!(id.to_string(), "07A37CBC142093C8B755DC1B10E86CB426374AD16AA853ED0BDFC0B2B86D1C7C54D4409CC572");
    assert_eq!(*profile.secret_key().as_bytes(), core::array::from_fn(|i| i as u8 + 1));
    assert_eq!((profile.name(), profile.status_message()), (&b"Alice"[..], &b"in the garden"[..]));
    assert_eq!(profile.status(), UserStatus::Away);

    let friends: Vec<_> = profile.friends().collect();
    let [bobby, carol] = friends[..] else { panic!("{} friends", friends.len()) };
    let bobby_key = "DABEFE57FD09253CC362A925BE9BE321C19D888ABCF8344038C8215CF1A66F0B";
    assert_eq!(bobby.key.to_string(), bobby_key);
    assert_eq!((bobby.state, bobby.status), (FriendState::Confirmed, UserStatus::Busy));
    assert_eq!(bobby.last_seen, 1_795_378_743);
    assert_eq!((bobby.name, bobby.status_message), (&b"Bobby"[..], &b"at the sea"[..]));
    assert_eq!((carol.state, carol.request_message), (FriendState::Added, &b"Hello Carol"[..]));
    assert_eq!(carol.nospam, Nospam([0x68, 0x5c, 0x67, 0x07]));

    let bobby_dht = "63A36E821D16CBA1131595100737905DB7A8ED4611471C1D67C9E8AD484B6A79";
    let alice_dht = "5624C9DE19D459BCB0A32C308B4B102C11BBCF91556E168C58657265A0C99341";
    assert_eq!(profile.nodes().collect::<Vec<_>>(), vec![node(bobby_dht, 41002); 3]);
    assert_eq!(profile.relays().collect::<Vec<_>>(), [node(bobby_dht, 41003)]);
    assert_eq!(profile.path_nodes().collect::<Vec<_>>(), [node(alice_dht, 41001), node(bobby_dht, 41002)]);
    assert_eq!(profile.others().collect::<Vec<_>>(), [Section { kind: section::CONFERENCES, content: &[] }]);
}

/// Read and written again, it is what c-toxcore wrote, up to the zeros that it leaves at the end.
#[test]
fn a_save_of_c_toxcore_is_written_back_byte_for_byte() {
    let bytes = c_toxcore_save();
    let profile = Profile::parse(&bytes).unwrap();
    let mut buf = vec![0; bytes.len()];
    let sink = rewrite(&profile, SliceSink::new(&mut buf)).unwrap();
    let len = sink.written().len();
    assert_eq!(bytes.len() - len, 699);
    assert_eq!(buf, bytes);
}

#[test]
fn what_is_wrong_has_a_name() {
    let good = c_toxcore_save();
    let parse = |bytes: &[u8]| Profile::parse(bytes).map(|_| ());
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        parse(&bytes)
    };
    assert_eq!(parse(b"#!/bin/sh and so on"), Err(ProfileError::Foreign));
    assert_eq!(parse(b"toxEsave and salt"), Err(ProfileError::Encrypted));
    assert_eq!(parse(b""), Err(ProfileError::Truncated { at: 0 }));
    assert_eq!(parse(&good[..8]), Err(ProfileError::NoKeys));
    assert_eq!(parse(&good[..83]), Err(ProfileError::Truncated { at: 8 }));
    assert_eq!(parse(&good[..84]), Ok(()), "the end may be missing");
    assert_eq!(parse(&good[..90]), Err(ProfileError::Truncated { at: 84 }));
    assert_eq!(parse(&good[..4000]), Err(ProfileError::Truncated { at: 221 }));
    assert_eq!(changed(4, 0), Err(ProfileError::Foreign));
    assert_eq!(changed(90, 0xcf), Err(ProfileError::Cookie { at: 84 }));
    assert_eq!(changed(20, 0), Err(ProfileError::KeyMismatch));
    assert_eq!(changed(60, 0), Err(ProfileError::KeyMismatch));

    let head = |len: u32, kind: u8| [&MAGIC[..], &len.to_le_bytes(), &[kind, 0, 0xce, 1]].concat();
    assert_eq!(parse(&[head(67, 1), vec![0; 67]].concat()), Err(ProfileError::KeysLength(67)));
    assert_eq!(parse(&[head(2215, 3), vec![0; 2215]].concat()), Err(ProfileError::FriendsLength(2215)));
    assert_eq!(parse(&[head(u32::MAX, 4), vec![0; 100]].concat()), Err(ProfileError::Truncated { at: 8 }));
}

/// Text that claims to be longer than its field is no reason to lose a friend.
#[test]
fn friends_with_overlong_texts_are_kept() {
    let mut bytes = c_toxcore_save();
    let first = 221 + 8;
    for length_at in [1058, 1188, 2198] {
        bytes[first + length_at] = 0xff;
    }
    let friend = Profile::parse(&bytes).unwrap().friends().next().unwrap();
    assert_eq!((friend.request_message, friend.name, friend.status_message), (&b""[..], &b""[..], &b""[..]));
    assert_eq!(friend.status, UserStatus::Busy);
}

#[test]
fn a_sink_that_is_too_small_says_so() {
    let bytes = c_toxcore_save();
    let profile = Profile::parse(&bytes).unwrap();
    for len in [0, 8, 50, 83, 84, 230, 3000, 4852] {
        assert!(rewrite(&profile, SliceSink::new(&mut vec![0; len])).is_err(), "{len}");
    }
    assert!(rewrite(&profile, SliceSink::new(&mut vec![0; 4853])).is_ok());
}

/// Writes everything that can be read, in toxcore's order.
fn rewrite<S: Sink>(profile: &Profile<'_>, sink: S) -> Result<S, Full> {
    let mut w = ProfileWriter::new(sink, profile.nospam(), &profile.secret_key())?;
    let nodes: [Vec<NodeInfo>; 3] =
        [profile.nodes().collect(), profile.relays().collect(), profile.path_nodes().collect()];
    w.nodes(nodes[0].iter().copied())?;
    w.friends(profile.friends())?;
    w.name(profile.name())?;
    w.status_message(profile.status_message())?;
    w.status(profile.status())?;
    w.relays(nodes[1].iter().copied())?;
    w.path_nodes(nodes[2].iter().copied())?;
    profile.others().try_for_each(|section| w.other(section))?;
    w.finish()
}

/// State, key, texts, and a number for the rest.
type ModelFriend = (u8, [u8; 32], [Vec<u8>; 3], u64);

/// What a profile holds.
#[derive(Clone, Debug)]
struct Model {
    keys: [u8; 36],
    texts: [Vec<u8>; 2],
    status: UserStatus,
    friends: Vec<ModelFriend>,
    nodes: [Vec<NodeInfo>; 3],
    whereabouts: Vec<Whereabouts>,
    others: Vec<(u16, Vec<u8>)>,
}

impl Arbitrary for Model {
    fn arbitrary(g: &mut Gen) -> Self {
        let key = |g: &mut Gen| core::array::from_fn(|_| u8::arbitrary(g));
        let text = |g: &mut Gen, max: usize| {
            let len = usize::arbitrary(g) % (max + 1);
            Vec::arbitrary(g).into_iter().cycle().take(len).collect::<Vec<u8>>()
        };
        let node = |g: &mut Gen| {
            let (v6, ip) = (bool::arbitrary(g), u128::arbitrary(g));
            let ip = if v6 { IpAddr::V6((ip | 1 << 127).into()) } else { IpAddr::V4((ip as u32).into()) };
            NodeInfo { key: PublicKey(key(g)), at: Endpoint::new(ip, u16::arbitrary(g)) }
        };
        let friend = |g: &mut Gen| {
            let texts = [text(g, REQUEST_MESSAGE_MAX), text(g, NAME_LEN_MAX), text(g, STATUS_MESSAGE_LEN_MAX)];
            (u8::arbitrary(g) % 3, key(g), texts, u64::arbitrary(g))
        };
        Self {
            keys: core::array::from_fn(|_| u8::arbitrary(g)),
            texts: [text(g, NAME_LEN_MAX), text(g, STATUS_MESSAGE_LEN_MAX)],
            status: UserStatus::from_byte(u8::arbitrary(g) % 3).unwrap(),
            friends: (0..usize::arbitrary(g) % 4).map(|_| friend(g)).collect(),
            nodes: core::array::from_fn(|_| (0..usize::arbitrary(g) % 9).map(|_| node(g)).collect()),
            whereabouts: (0..usize::arbitrary(g) % 3)
                .map(|_| Whereabouts {
                    key: PublicKey(key(g)),
                    dht_key: PublicKey(key(g)),
                    at: bool::arbitrary(g).then(|| node(g).at),
                    relays: (0..usize::arbitrary(g) % 4).map(|_| node(g)).collect(),
                })
                .collect(),
            others: (0..usize::arbitrary(g) % 3).map(|i| ([7, 20, 4711][i], text(g, 99))).collect(),
        }
    }
}

impl Model {
    fn friends(&self) -> impl Iterator<Item = FriendRecord<'_>> + Clone {
        self.friends.iter().map(|(state, key, texts, number)| FriendRecord {
            state: [FriendState::Added, FriendState::Requested, FriendState::Confirmed][usize::from(*state)],
            key: PublicKey(*key),
            request_message: &texts[0],
            nospam: Nospam((*number as u32).to_be_bytes()),
            name: &texts[1],
            status_message: &texts[2],
            status: UserStatus::from_byte(2 - state).unwrap(),
            last_seen: *number,
        })
    }

    fn write<S: Sink>(&self, sink: S) -> Result<S, Full> {
        let secret = SecretKey::from_bytes(*self.keys.last_chunk().unwrap());
        let mut w = ProfileWriter::new(sink, Nospam(*self.keys.first_chunk().unwrap()), &secret)?;
        w.friends(self.friends())?;
        w.nodes(self.nodes[0].iter().copied())?;
        w.relays(self.nodes[1].iter().copied())?;
        w.path_nodes(self.nodes[2].iter().copied())?;
        w.name(&self.texts[0])?;
        w.status_message(&self.texts[1])?;
        w.status(self.status)?;
        w.whereabouts(self.whereabouts.iter().cloned())?;
        self.others.iter().try_for_each(|(kind, content)| w.other(Section { kind: *kind, content }))?;
        w.finish()
    }
}

quickcheck! {
    fn what_is_written_is_read(model: Model) -> bool {
        let mut buf = vec![0; 50_000];
        let sink = model.write(SliceSink::new(&mut buf)).unwrap();
        let profile = Profile::parse(sink.written()).unwrap();
        let others: Vec<_> = model.others.iter().map(|(kind, content)| Section { kind: *kind, content }).collect();
        profile.nospam().0[..] == model.keys[..4]
            && profile.secret_key().as_bytes()[..] == model.keys[4..]
            && profile.public_key() == profile.secret_key().public_key()
            && profile.name() == model.texts[0] && profile.status_message() == model.texts[1]
            && profile.status() == model.status
            && profile.friends().eq(model.friends())
            && profile.nodes().eq(model.nodes[0].iter().copied())
            && profile.relays().eq(model.nodes[1].iter().copied())
            && profile.path_nodes().eq(model.nodes[2].iter().copied())
            && profile.whereabouts().eq(model.whereabouts.iter().cloned())
            && profile.others().eq(others)
    }

    fn arbitrary_and_damaged_bytes_do_no_harm(bytes: Vec<u8>, changes: Vec<(usize, u8)>, cut: usize) -> bool {
        let mut damaged = c_toxcore_save();
        for (at, byte) in changes {
            let len = damaged.len();
            damaged[at % len] = byte;
        }
        damaged.truncate(cut % (damaged.len() + 1));
        let sections = [&c_toxcore_save()[..84], &bytes].concat();
        [bytes, damaged, sections].iter().all(|bytes| {
            let Ok(profile) = Profile::parse(bytes) else { return true };
            let mut buf = vec![0; 20_000];
            // Whatever is still a profile can be written and read again.
            let sink = rewrite(&profile, SliceSink::new(&mut buf)).unwrap();
            let again = Profile::parse(sink.written()).unwrap();
            again.friends().eq(profile.friends()) && again.nodes().eq(profile.nodes())
        })
    }
}

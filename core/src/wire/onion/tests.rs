//! Sizes as toxcore has them, properties, and a path taken apart layer by layer.

use super::*;
use crate::DATAGRAM_MAX;
use crate::crypto::{MAC_LEN, Nacl, Nonce, Nospam, PublicKey, SecretKey, SharedKey, Suite};
use crate::wire::{NodeInfo, PackedNodes};
use quickcheck::quickcheck;
use std::vec::Vec;

/// `onion.h` and `onion_announce.h`, worked out by hand.
#[test]
fn sizes_are_those_of_toxcore() {
    assert_eq!((RETURN_1, RETURN_2, RETURN_3), (59, 118, 177));
    assert_eq!(path::FORWARD_OVER, [1 + 225, 1 + 217, 1 + 209]);
    assert_eq!((PAYLOAD_AT, path::PAYLOAD_MAX, path::RESPONSE_MAX), (226, 1174, 1222));
    assert_eq!((ANNOUNCE_REQUEST_LEN, ANNOUNCE_REQUEST_LEN + announce::GROUP_EXTRA_MAX), (177, 313));
    assert_eq!((announce::RESPONSE_LEN_MIN, announce::RESPONSE_LEN_MAX), (82, 286));
    assert_eq!((announce::GROUP_RESPONSE_LEN_MAX, group::ANNOUNCE_LEN_MAX), (703, 104));
    assert_eq!((data::REQUEST_OVER, data::REQUEST_DATA_AT, data::RESPONSE_LEN_MAX), (105, 153, 1069));
    const { assert!(data::REQUEST_DATA_AT + DATA_MAX <= path::PAYLOAD_MAX) };
}

#[test]
fn a_wrapped_packet_opens_layer_by_layer() {
    let publics = [PublicKey([1; 32]), PublicKey([2; 32]), PublicKey([3; 32])];
    let keys = [4, 5, 6].map(|byte| SharedKey::from_bytes([byte; 32]));
    let at = [7, 8, 9].map(|byte| Endpoint::v4([10, 0, 0, byte], 1000 + u16::from(byte)));
    let hops = [0, 1, 2].map(|i| Hop { at: at[i], public: &publics[i], key: &keys[i] });
    let dest = Endpoint::new("2001:db8::1".parse().unwrap(), 33445);
    let nonce = Nonce([11; 24]);

    let mut buf = [0; DATAGRAM_MAX];
    buf[PAYLOAD_AT..PAYLOAD_AT + 5].copy_from_slice(b"hello");
    let len = wrap(&Nacl, &hops, dest, &nonce, &mut buf, 5);
    assert_eq!((buf[0], len), (kind::ONION_REQUEST_0, 231));
    assert_eq!(buf[1..25], nonce.0);
    let mut layer = &mut buf[25..len];
    for (i, next) in [at[1], at[2], dest].into_iter().enumerate() {
        assert_eq!(layer[..32], publics[i].0);
        layer = &mut layer[32..];
        assert!(Nacl.open(&keys[i], &nonce, layer));
        layer = &mut layer[MAC_LEN..];
        assert_eq!(parse_addr(&mut Reader::new(layer)), Some(next));
        layer = &mut layer[ONION_ADDR_LEN..];
    }
    assert_eq!(layer, b"hello");
}

#[test]
fn data_opens_with_both_keys() {
    let keys = [1, 2, 3, 4].map(|byte| SecretKey::from_bytes([byte; 32]));
    let [sender, receiver, temporary, data_key] = &keys;
    let [sender_pk, receiver_pk, temporary_pk, data_pk] = keys.each_ref().map(SecretKey::public_key);
    let (inner, outer) = (Nacl.agree(sender, &receiver_pk).unwrap(), Nacl.agree(temporary, &data_pk).unwrap());
    let sealing =
        DataKeys { receiver: &receiver_pk, sender: &sender_pk, temporary: &temporary_pk, inner: &inner, outer: &outer };

    let mut buf = [0; 1400];
    buf[data::REQUEST_DATA_AT..][..3].copy_from_slice(b"abc");
    let nonce = Nonce([5; 24]);
    let len = sealing.seal(&Nacl, &nonce, &mut buf, 3);
    assert_eq!(len, 156);
    assert_eq!(DataRequestHeader::parse(&buf[..len]), Some(DataRequestHeader { receiver: receiver_pk }));

    // The node makes the response of it by cutting the receiver's key out.
    let mut packet = std::vec![kind::ONION_DATA_RESPONSE];
    packet.extend(&buf[DataRequestHeader::REST_AT..len]);
    assert_eq!(DataHeader::parse(&packet), Some(DataHeader { nonce, temporary: temporary_pk }));
    assert_eq!(DataHeader::parse(&packet[..data::RESPONSE_DATA_AT]), None);
    assert!(Nacl.open(&Nacl.agree(data_key, &temporary_pk).unwrap(), &nonce, &mut packet[data::RESPONSE_BOX_AT..]));
    assert_eq!(packet[data::RESPONSE_SENDER_AT..data::RESPONSE_INNER_AT], sender_pk.0);
    assert!(Nacl.open(&Nacl.agree(receiver, &sender_pk).unwrap(), &nonce, &mut packet[data::RESPONSE_INNER_AT..]));
    assert_eq!(packet[data::RESPONSE_DATA_AT..], *b"abc");
}

#[test]
fn response_nodes_are_counted_in_the_second_form() {
    let node = NodeInfo { key: PublicKey([9; 32]), at: Endpoint::v4([1, 2, 3, 4], 5) };
    let mut nodes = [0; 78];
    let mut w = Writer::new(&mut nodes);
    node.emit(&mut w);
    node.emit(&mut w);
    let response = AnnounceResponse {
        stored: Stored::Found { data_key: PublicKey([7; 32]) },
        nodes: PackedNodes::parse_udp(&nodes, 4).unwrap(),
    };
    let mut plain = [0; 200];
    let mut w = Writer::new(&mut plain);
    response.emit(true, &mut w);
    let len = w.len();
    assert_eq!(len, 34 + 78);
    assert_eq!(AnnounceResponse::parse(&plain[..len], true), Some(response));
    assert_eq!(AnnounceResponse::parse(&plain[..len + 20], true), Some(response), "group announcements are ignored");
    assert_eq!(AnnounceResponse::parse(&plain[..len - 1], true), None);
    plain[33] = 5;
    assert_eq!(AnnounceResponse::parse(&plain, true), None);
    plain[0] = 3;
    assert_eq!(AnnounceResponse::parse(&plain[..33], false), None);
}

/// Writes `emit` to a vector of `len` bytes and more, and returns what was written.
fn written(emit: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buf = [0; DATAGRAM_MAX];
    let mut w = Writer::new(&mut buf);
    emit(&mut w);
    let len = w.len();
    buf[..len].to_vec()
}

quickcheck! {
    fn emit_after_parse_is_identity(bytes: Vec<u8>, tail: Vec<u8>) -> bool {
        // Long enough for each layout: the drawn bytes, repeated.
        let mut long: Vec<u8> = bytes.iter().copied().chain([1]).cycle().take(200).collect();
        let (request, extra) = AnnounceRequest::parse(&long).unwrap();
        let same = written(|w| { request.emit(w); w.bytes(extra); }) == long;

        long.truncate(33);
        long[0] %= 3;
        let response = AnnounceResponse::parse(&long, false).unwrap();
        let same = same && written(|w| response.emit(false, w)) == long;

        let mut friend = std::vec![data::FRIEND_REQUEST, 1, 2, 3, 4, 5];
        friend.extend(&tail);
        let request = FriendRequest::parse(&friend).unwrap();
        let same = same && written(|w| request.emit(w)) == friend && request.nospam == Nospam([1, 2, 3, 4]);

        let mut announce: Vec<u8> = std::iter::repeat_n(7, 41).collect();
        announce[0] = data::DHT_KEY_ANNOUNCE;
        for _ in 0..tail.len() % 5 {
            announce.push(if bytes.len().is_multiple_of(2) { 2 } else { 130 });
            announce.extend([3; 38]);
        }
        let parsed = DhtKeyAnnounce::parse(&announce).unwrap();
        same && written(|w| parsed.emit(w)) == announce && parsed.nodes.count() == tail.len() % 5
    }

    fn arbitrary_bytes_do_no_harm(bytes: Vec<u8>, group: bool) -> bool {
        let _ = (AnnounceHeader::parse(&bytes), ResponseHeader::parse(&bytes), DataHeader::parse(&bytes));
        let _ = (DataRequestHeader::parse(&bytes), AnnounceResponse::parse(&bytes, group));
        DhtKeyAnnounce::parse(&bytes).is_none_or(|a| written(|w| a.emit(w)).len() == bytes.len())
            && FriendRequest::parse(&bytes).is_none_or(|a| written(|w| a.emit(w)) == bytes)
            && AnnounceRequest::parse(&bytes).is_some() == (bytes.len() >= announce::REQUEST_PLAIN_LEN)
    }

    fn addresses_survive(v6: bool, ip: u128, port: u16) -> bool {
        let ip = if v6 { IpAddr::V6((ip | 1 << 127).into()) } else { IpAddr::V4((ip as u32).into()) };
        let at = Endpoint::new(ip, port);
        let bytes = written(|w| emit_addr(at, w));
        bytes.len() == ONION_ADDR_LEN && parse_addr(&mut Reader::new(&bytes)) == Some(at)
    }
}

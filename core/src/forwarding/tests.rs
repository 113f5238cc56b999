//! Chains of forwarders in memory, and what must not get through.

use super::sendback::SENDBACK_LIFE;
use super::*;
use crate::cx::test_env::Bench;
use crate::wire::Writer;
use quickcheck::quickcheck;
use std::vec::Vec;

/// Nodes that all know each other, at 203.0.113.1.. or at IPv6 addresses.
struct Net {
    nodes: Vec<(Bench, Forwarder)>,
    v6: bool,
}

type Packet = ([u8; DATAGRAM_MAX], usize);

const CLIENT: Endpoint = Endpoint::v4([198, 51, 100, 7], 40000);

fn packet(bytes: &[u8]) -> Packet {
    let mut buf = [0; DATAGRAM_MAX];
    buf[..bytes.len()].copy_from_slice(bytes);
    (buf, bytes.len())
}

impl Net {
    fn new(count: u8, v6: bool) -> Self {
        let node = |seed| {
            let mut bench = Bench::new(seed);
            let forwarder = Forwarder::new(&mut bench.rng);
            (bench, forwarder)
        };
        Self { nodes: (1..=count).map(node).collect(), v6 }
    }

    fn at(&self, i: usize) -> Endpoint {
        if self.v6 {
            Endpoint::new(core::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, i as u16 + 1).into(), 33445)
        } else {
            Endpoint::v4([203, 0, 113, i as u8 + 1], 33445)
        }
    }

    fn key(&self, i: usize) -> PublicKey {
        self.nodes[i].0.me.dht.public
    }

    fn later(&mut self, span: Duration) {
        self.nodes.iter_mut().for_each(|(bench, _)| bench.now = bench.now + span);
    }

    fn handle(&mut self, i: usize, from: Endpoint, (buf, len): &mut Packet) -> Forward {
        let known: Vec<_> =
            (0..self.nodes.len()).filter(|other| *other != i).map(|i| (self.key(i), self.at(i))).collect();
        let find = |key: &PublicKey| known.iter().find(|(known, _)| known == key).map(|(_, at)| *at);
        let (bench, forwarder) = &mut self.nodes[i];
        let mut frame = Frame::new(buf, *len, from);
        let forward = forwarder.on_packet(&bench.cx(), &mut frame, find);
        if let Forward::Done(Disposition::Reply { len: written, .. }) = forward {
            let (got, sent) = (*len, written);
            assert!(sent <= got + 5, "{got} bytes in, {sent} bytes out");
            *len = written;
        }
        forward
    }

    /// `data` through the nodes of a chain, as the client sends it to the first of them.
    fn request(&self, chain: &[usize], data: &[u8]) -> Packet {
        let mut buf = [0; DATAGRAM_MAX];
        let mut w = Writer::new(&mut buf);
        for next in &chain[1..] {
            w.u8(kind::FORWARD_REQUEST).bytes(&self.key(*next).0);
        }
        w.bytes(data);
        let len = w.len();
        (buf, len)
    }

    /// Carries a packet until it is dropped, is for a node, or leaves for somebody who is no node.
    fn carry(
        &mut self,
        mut from: Endpoint,
        mut to: Endpoint,
        mut packet: Packet,
    ) -> (Result<Endpoint, DropReason>, Packet) {
        loop {
            let Some(i) = (0..self.nodes.len()).find(|i| self.at(*i) == to) else { return (Ok(to), packet) };
            match self.handle(i, from, &mut packet) {
                Forward::Done(Disposition::Reply { to: next, .. }) => (from, to) = (to, next),
                Forward::Done(Disposition::Dropped(reason)) => return (Err(reason), packet),
                Forward::Ours { sendback } => {
                    // The node echoes what it was asked.
                    let mut frame = Frame::new(&mut packet.0, packet.1, from);
                    let sendback = unwrap_request(&mut frame, sendback);
                    let len = frame.len;
                    packet.1 = wrap_reply(&mut packet.0, len, &sendback);
                    (from, to) = (to, from);
                }
                Forward::Done(Disposition::Consumed) => panic!("nothing is kept"),
            }
        }
    }
}

#[test]
fn a_request_and_its_reply_go_through_chains_of_up_to_four() {
    for v6 in [false, true] {
        let mut net = Net::new(5, v6);
        for chain in [&[0, 1][..], &[0, 1, 2], &[0, 1, 2, 3], &[0, 1, 2, 3, 4], &[0, 1, 0, 1, 0]] {
            let request = net.request(chain, b"hello");
            let (arrived, (buf, len)) = net.carry(CLIENT, net.at(0), request);
            assert_eq!(arrived, Ok(CLIENT), "{chain:?}");
            assert_eq!(
                Forwarded::parse(&buf[..len]),
                Some(Forwarded { kind: kind::FORWARDING, sendback: &[], data: b"hello" })
            );
        }
        let request = net.request(&[0, 1, 2, 3, 4, 0], b"hello");
        assert_eq!(net.carry(CLIENT, net.at(0), request).0, Err(DropReason::Forbidden), "five are too many");
    }
}

#[test]
fn the_largest_data_goes_through() {
    let mut net = Net::new(2, true);
    let data = [0x93; 1792];
    let request = net.request(&[0, 1], &data);
    let (arrived, (buf, len)) = net.carry(CLIENT, net.at(0), request);
    assert_eq!((arrived, &buf[2..len]), (Ok(CLIENT), &data[..]));
    let mut request = net.request(&[0, 1], &data);
    request.1 += 1;
    assert_eq!(net.carry(CLIENT, net.at(0), request).0, Err(DropReason::Malformed));
}

/// What toxcore's forwarders put in front of ours, 53 bytes with IPv6 for each hop, fits four times.
#[test]
fn chains_of_others_have_room() {
    let mut net = Net::new(2, true);
    let inside = [&[kind::FORWARD_REQUEST][..], &net.key(1).0, b"x"].concat();
    for (len, fits) in [(1, true), (3 * 53, true), (254 - 36, true), (254 - 35, false), (254, false)] {
        let bytes = [&[kind::FORWARDING, len as u8][..], &[7; 254][..len], &inside].concat();
        let forward = net.handle(0, net.at(1), &mut packet(&bytes));
        assert_eq!(matches!(forward, Forward::Done(Disposition::Reply { .. })), fits, "{len}: {forward:?}");
    }
}

#[test]
fn strangers_reach_only_listed_nodes_outside_of_our_network() {
    let mut net = Net::new(2, false);
    let unknown = [&[kind::FORWARD_REQUEST][..], &[9; 32], b"x"].concat();
    assert_eq!(net.handle(0, CLIENT, &mut packet(&unknown)), Forward::Done(Disposition::Dropped(DropReason::NoRoute)));
    let (bench, forwarder) = &mut net.nodes[0];
    let lan = Endpoint::v4([192, 168, 1, 2], 33445);
    for (from, to, sent) in [(CLIENT, lan, false), (lan, lan, true), (lan, CLIENT, true)] {
        let (mut buf, len) = packet(&unknown);
        let forward = forwarder.on_packet(&bench.cx(), &mut Frame::new(&mut buf, len, from), |_| Some(to));
        let wanted = Forward::Done(Disposition::Dropped(DropReason::BadAddress));
        assert_eq!(forward != wanted, sent, "{from} to {to}");
    }
    let nowhere = Endpoint::v4([1, 2, 3, 4], 0);
    let (mut buf, len) = packet(&unknown);
    let forward = forwarder.on_packet(&bench.cx(), &mut Frame::new(&mut buf, len, nowhere), |_| Some(CLIENT));
    assert_eq!(forward, Forward::Done(Disposition::Dropped(DropReason::BadAddress)));
}

/// The sendback that node 0 puts on a request of the client to node 1.
fn sendback(net: &mut Net) -> Vec<u8> {
    let mut request = net.request(&[0, 1], b"x");
    let forward = net.handle(0, CLIENT, &mut request);
    assert!(matches!(forward, Forward::Done(Disposition::Reply { .. })), "{forward:?}");
    Forwarded::parse(&request.0[..request.1]).unwrap().sendback.to_vec()
}

fn reply(net: &mut Net, sendback: &[u8]) -> Forward {
    let bytes = [&[kind::FORWARD_REPLY, sendback.len() as u8][..], sendback, b"yes"].concat();
    net.handle(0, net.at(1), &mut packet(&bytes))
}

#[test]
fn a_sendback_is_stable_for_an_hour_and_good_for_one_more() {
    let mut net = Net::new(2, false);
    net.later(SENDBACK_LIFE - Duration::from_secs(1000));
    let first = sendback(&mut net);
    assert_eq!(first.len(), 24);
    net.later(SENDBACK_LIFE - Duration::from_secs(1));
    assert_eq!(sendback(&mut net), first, "auths are bound to it");
    let back = Forward::Done(Disposition::Reply { to: CLIENT, len: 5 });
    net.later(Duration::from_secs(1));
    assert_ne!(sendback(&mut net), first);
    assert_eq!(reply(&mut net, &first), back);
    net.later(SENDBACK_LIFE - Duration::from_secs(1));
    assert_eq!(reply(&mut net, &first), back);
    net.later(Duration::from_secs(1));
    assert_eq!(reply(&mut net, &first), Forward::Done(Disposition::Dropped(DropReason::BadToken)));
}

#[test]
fn answers_that_nobody_asked_for_are_dropped() {
    let mut net = Net::new(2, false);
    let forward = net.handle(0, CLIENT, &mut packet(&[kind::FORWARDING, 0, 1, 2, 3]));
    assert_eq!(forward, Forward::Done(Disposition::Dropped(DropReason::Unsolicited)));
    let other = sendback(&mut net);
    let own = Net::new(2, false).nodes.remove(1).1;
    net.nodes[0].1 = own;
    assert_eq!(reply(&mut net, &other), Forward::Done(Disposition::Dropped(DropReason::BadToken)));
}

#[test]
fn both_directions_have_a_rate_of_their_own() {
    let mut net = Net::new(2, false);
    let good = sendback(&mut net);
    let limited = Forward::Done(Disposition::Dropped(DropReason::RateLimited));
    let sent = (0..1000).take_while(|_| {
        let mut request = net.request(&[0, 1], b"x");
        net.handle(0, CLIENT, &mut request) != limited
    });
    assert_eq!(sent.count(), FORWARD_BURST as usize - 1);
    assert_eq!((0..1000).take_while(|_| reply(&mut net, &good) != limited).count(), FORWARD_BURST as usize);
    net.later(FORWARD_EVERY * 10);
    assert_eq!((0..1000).take_while(|_| reply(&mut net, &good) != limited).count(), 10);
    assert_eq!(sendback(&mut net), good);
}

quickcheck! {
    /// A sendback that was changed opens to nothing.
    fn a_forged_sendback_goes_nowhere(at: usize, flip: u8, cut: Option<usize>) -> bool {
        let mut net = Net::new(2, false);
        let mut forged = sendback(&mut net);
        let at = at % forged.len();
        forged[at] ^= flip.max(1);
        forged.truncate(cut.map_or(forged.len(), |cut| cut % forged.len()));
        matches!(reply(&mut net, &forged), Forward::Done(Disposition::Dropped(_)))
    }

    /// A packet can be sent round in circles only as long as it has keys on it.
    fn no_packet_runs_for_ever(path: Vec<bool>, from_node: bool, tail: Vec<u8>) -> bool {
        let mut net = Net::new(2, false);
        let mut chain = std::vec![0];
        chain.extend(path.iter().take(50).map(|next| usize::from(*next)));
        let (mut bytes, len) = net.request(&chain, &tail);
        if from_node {
            bytes.copy_within(..len, 3);
            (bytes[0], bytes[1]) = (kind::FORWARDING, 1);
        }
        let len = if from_node { len + 3 } else { len };
        let (from, to) = (net.at(1), net.at(0));
        let mut packet = (bytes, len);
        let (mut from, mut to) = (from, to);
        for _ in 0..2 * (chain.len() + 2) {
            let Some(i) = (0..2).find(|i| net.at(*i) == to) else { return true };
            match net.handle(i, from, &mut packet) {
                Forward::Done(Disposition::Reply { to: next, .. }) => (from, to) = (to, next),
                Forward::Done(Disposition::Dropped(_)) | Forward::Ours { .. } => return true,
                Forward::Done(Disposition::Consumed) => return false,
            }
        }
        false
    }

    fn arbitrary_packets_do_no_harm(kind: u8, bytes: Vec<u8>, len: usize) -> bool {
        let mut net = Net::new(2, false);
        let mut buf = [0; DATAGRAM_MAX];
        for (to, from) in buf.iter_mut().zip(bytes.iter().cycle()) { *to = *from; }
        buf[0] = 0x90 + kind % 4;
        let mut packet = (buf, len % (DATAGRAM_MAX + 1));
        match net.handle(0, CLIENT, &mut packet) {
            Forward::Done(disposition) => matches!(disposition, Disposition::Dropped(_)),
            Forward::Ours { sendback } => sendback > 0 && SENDBACK_AT + sendback <= packet.1,
        }
    }
}

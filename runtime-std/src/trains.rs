//! Between the node, which speaks in single datagrams, and the socket, which takes and gives trains of them.

use crate::offload::{self, AT_ONCE, Hall, TRAIN_CARS, TRAIN_LEN_MAX, Waiting};
use crate::socket::{SEND_TRIES, UdpPort, endpoint_of};
use bluering_core::driver::Sent;
use bluering_core::{DATAGRAM_MAX, Endpoint, Transmit};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};

/// Datagrams that wait to be sent in one call. Nothing that was taken is lost, and order is kept.
#[derive(Debug)]
pub(crate) struct Departures {
    bytes: Vec<u8>,
    /// What the kernel already has of them.
    done: usize,
    /// Length of each datagram but the last.
    stride: usize,
    /// The last one is shorter: nothing can follow it.
    closed: bool,
    to: Endpoint,
}

impl Departures {
    pub(crate) fn new() -> Self {
        let bytes = Vec::with_capacity(TRAIN_LEN_MAX);
        Self { bytes, done: 0, stride: 0, closed: false, to: Endpoint::UNSPECIFIED }
    }

    /// Takes a datagram, unless those before it must go first and cannot.
    pub(crate) fn push(&mut self, port: &UdpPort, packet: &Transmit<'_>) -> Sent {
        if !self.fits(packet) && self.depart(port) == Sent::Blocked {
            return Sent::Blocked;
        }
        if self.bytes.is_empty() {
            (self.stride, self.to) = (packet.bytes.len(), packet.to);
        }
        self.closed |= packet.bytes.len() < self.stride;
        self.bytes.extend_from_slice(packet.bytes);
        Sent::Ok
    }

    /// Sends what waits. After `Blocked` it is called again when the socket can send.
    pub(crate) fn depart(&mut self, port: &UdpPort) -> Sent {
        while self.done < self.bytes.len() {
            match port.send_train(&self.bytes[self.done..], self.stride, self.to) {
                Some(sent) => self.done += sent,
                None => return Sent::Blocked,
            }
        }
        self.bytes.clear();
        (self.done, self.closed) = (0, false);
        Sent::Ok
    }

    fn fits(&self, packet: &Transmit<'_>) -> bool {
        let (len, more) = (self.bytes.len(), packet.bytes.len());
        len == 0
            || !self.closed
                && packet.to == self.to
                && (1..=self.stride).contains(&more)
                && len < self.stride * TRAIN_CARS
                && len + more <= TRAIN_LEN_MAX
    }
}

/// Datagrams that came in one call and are not handled yet.
#[derive(Debug)]
pub(crate) struct Arrivals {
    hall: Hall,
    /// How far the first train is handled.
    at: usize,
    /// The last call has taken all that was there.
    all: bool,
}

impl Arrivals {
    pub(crate) fn new() -> Self {
        Self { hall: Hall::new(), at: 0, all: false }
    }

    /// The next datagram that has already arrived: its length and sender. Longer than `buf` is cut.
    pub(crate) fn next(&mut self, port: &UdpPort, buf: &mut [u8; DATAGRAM_MAX]) -> Option<(usize, Endpoint)> {
        if self.hall.trains.is_empty() {
            if core::mem::take(&mut self.all) {
                return None;
            }
            self.all = !port.receive(&mut self.hall)?;
        }
        let train = self.hall.trains.front()?;
        let end = if train.stride == 0 { train.len } else { train.len.min(self.at + train.stride) };
        let car = &self.hall.bytes[train.at + self.at..train.at + end];
        let (len, from) = (car.len().min(DATAGRAM_MAX), endpoint_of(train.from));
        buf[..len].copy_from_slice(&car[..len]);
        self.at = end;
        if end >= train.len {
            self.hall.trains.pop_front();
            self.at = 0;
        }
        Some((len, from))
    }
}

/// Answers that wait to be sent in one call. What the socket does not take is lost: whoever asked asks again.
#[derive(Debug)]
pub(crate) struct Replies {
    bytes: Vec<u8>,
    waiting: Vec<Waiting>,
}

impl Replies {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::with_capacity(AT_ONCE * DATAGRAM_MAX), waiting: Vec::with_capacity(AT_ONCE) }
    }

    /// Takes an answer; true when there must be a [`depart`](Self::depart) before the next.
    #[must_use]
    pub(crate) fn push(&mut self, bytes: &[u8], to: SocketAddr) -> bool {
        self.bytes.extend_from_slice(bytes);
        self.waiting.push(Waiting { end: self.bytes.len(), to });
        self.waiting.len() == AT_ONCE
    }

    /// Sends what waits, and shows each datagram that the kernel took to `sent`.
    pub(crate) fn depart(&mut self, socket: &UdpSocket, mut sent: impl FnMut(&[u8])) {
        let (mut first, mut start, mut tries) = (0, 0, SEND_TRIES);
        while first < self.waiting.len() {
            match offload::send_some(socket, &self.bytes, start, &self.waiting[first..]) {
                Ok(count) => {
                    for datagram in &self.waiting[first..first + count] {
                        sent(&self.bytes[start..datagram.end]);
                        start = datagram.end;
                    }
                    (first, tries) = (first + count, SEND_TRIES);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) if tries > 1 => tries -= 1,
                // No route, say: it alone is lost.
                Err(_) => (start, first, tries) = (self.waiting[first].end, first + 1, SEND_TRIES),
            }
        }
        self.bytes.clear();
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Listen, Ports};
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    fn bind(ip: impl Into<std::net::IpAddr>) -> UdpPort {
        UdpPort::bind(Listen::At(SocketAddr::new(ip.into(), 0))).expect("loopback")
    }

    /// Sends `lens` through trains and tells what the other end gets: first byte, length, sender.
    fn carry(from: &UdpPort, to: &UdpPort, at: Endpoint, lens: &[usize]) -> Vec<(u8, usize, Endpoint)> {
        let (mut out, mut arrivals, mut buf) = (Departures::new(), Arrivals::new(), [0; DATAGRAM_MAX]);
        for (i, len) in lens.iter().enumerate() {
            let bytes = vec![u8::try_from(i).expect("few"); *len];
            assert_eq!(out.push(from, &Transmit { to: at, bytes: &bytes }), Sent::Ok);
        }
        assert_eq!(out.depart(from), Sent::Ok);
        let mut got = Vec::new();
        while got.len() < lens.len() {
            smol::block_on(std::future::poll_fn(|cx| to.poll_readable(cx))).expect("readable");
            while let Some((len, from)) = arrivals.next(to, &mut buf) {
                assert!(buf[..len].iter().all(|byte| *byte == buf[0]));
                got.push((buf[0], len, from));
            }
        }
        got
    }

    fn check(from: &UdpPort, to: &UdpPort, at: Endpoint, lens: &[usize]) {
        let got = carry(from, to, at, lens);
        for (i, ((first, len, sender), expected)) in got.iter().zip(lens).enumerate() {
            assert_eq!((usize::from(*first), len, sender.port()), (i, expected, from.local().port()));
        }
    }

    /// Lengths that start, continue, close and break a train.
    fn mixed() -> Vec<usize> {
        let mut lens = vec![1400; 70];
        lens.extend([9, 9, 8, 9, 1400, 1400, 3, 1400, 2000, 2000, 1, 1, 1, 700, 700]);
        lens
    }

    #[test]
    fn trains_keep_lengths_and_order_in_both_families() {
        let (a, b) = (bind(Ipv4Addr::LOCALHOST), bind(Ipv4Addr::LOCALHOST));
        check(&a, &b, b.local(), &mixed());
        let (a, b) = (bind(Ipv6Addr::LOCALHOST), bind(Ipv6Addr::LOCALHOST));
        check(&a, &b, b.local(), &mixed());
        let (a, b) = (UdpPort::bind(Listen::Dual(Ports::Fixed(0))).expect("dual"), bind(Ipv4Addr::LOCALHOST));
        check(&a, &b, b.local(), &mixed());
        check(&b, &a, Endpoint::v4([127, 0, 0, 1], a.local().port()), &mixed());
    }

    #[test]
    fn what_the_kernel_cannot_segment_goes_one_by_one() {
        let (a, b) = (bind(Ipv4Addr::LOCALHOST), bind(Ipv4Addr::LOCALHOST));
        a.forbid_trains();
        check(&a, &b, b.local(), &mixed());
    }

    #[test]
    fn replies_to_many_go_together_and_one_that_cannot_go_takes_none_along() {
        let a = bind(Ipv4Addr::LOCALHOST);
        let others: Vec<_> = (0..AT_ONCE - 1).map(|_| bind(Ipv4Addr::LOCALHOST)).collect();
        let (mut replies, mut sent) = (Replies::new(), 0);
        for (i, other) in others.iter().enumerate() {
            if i == 5 {
                assert!(!replies.push(&[0; 70_000], SocketAddr::from(other.local())));
            }
            assert_eq!(replies.push(&[i as u8; 100], SocketAddr::from(other.local())), i + 2 == AT_ONCE);
        }
        replies.depart(a.socket(), |_| sent += 1);
        assert_eq!(sent, others.len());
        for (i, other) in others.iter().enumerate() {
            smol::block_on(std::future::poll_fn(|cx| other.poll_readable(cx))).expect("readable");
            let (mut arrivals, mut buf) = (Arrivals::new(), [0; DATAGRAM_MAX]);
            let (len, from) = arrivals.next(other, &mut buf).expect("a datagram");
            assert_eq!((len, buf[0], from), (100, i as u8, a.local()));
            assert!(arrivals.next(other, &mut buf).is_none());
        }
    }

    #[test]
    fn a_full_socket_loses_nothing() {
        let (a, b) = (bind(Ipv4Addr::LOCALHOST), bind(Ipv4Addr::LOCALHOST));
        let mut out = Departures::new();
        a.pretend_full(true);
        let packet = |byte: &'static [u8]| Transmit { to: b.local(), bytes: byte };
        assert_eq!(out.push(&a, &packet(b"one")), Sent::Ok);
        assert_eq!(out.push(&a, &packet(b"longer")), Sent::Blocked);
        assert_eq!(out.depart(&a), Sent::Blocked);
        a.pretend_full(false);
        assert_eq!(out.push(&a, &packet(b"longer")), Sent::Ok);
        assert_eq!(out.depart(&a), Sent::Ok);
        let (mut arrivals, mut buf) = (Arrivals::new(), [0; DATAGRAM_MAX]);
        for expected in [b"one".as_slice(), b"longer"] {
            let len = loop {
                match arrivals.next(&b, &mut buf) {
                    Some((len, _)) => break len,
                    None => smol::block_on(std::future::poll_fn(|cx| b.poll_readable(cx))).expect("readable"),
                }
            };
            assert_eq!(&buf[..len], expected);
        }
        assert!(arrivals.next(&b, &mut buf).is_none());
    }
}

//! A run as Wireshark and tshark read it: pcapng, one packet per datagram that was sent.
//!
//! Each packet stands at the time of its sending, in the world's seconds, with the addresses that its sender wrote on
//! it. Its comment says what became of it, so it is held until that is known: `#17 host 3: nodes request (DHT) to host
//! 5; answered`. Datagrams are numbered as they are sent, so a capture of the whole run has them in Wireshark's order.

use super::Kind;
use super::words;
use crate::net::NetDrop;
use crate::observe::{HostId, Observation, Packet, Tap};
use bluering_core::time::Instant;
use bluering_core::{Disposition, Endpoint};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;
use etherparse::PacketBuilder;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::pcapng::{PcapNgBlock, PcapNgWriter};
use pcap_file::{DataLink, Endianness, PcapError};
use std::collections::VecDeque;
use std::io::{self, Write};

/// As many packets wait at most until their fate is known.
const HELD: usize = 65_536;
/// Who has not arrived by then was sent to a host without a node, or will not arrive.
const PATIENCE: Duration = Duration::from_secs(10);
/// Nanoseconds: what the writer counts in.
const NANOSECONDS: u8 = 9;
const HOP_LIMIT: u8 = 64;
const PROGRAM: &str = concat!("bluering-sim ", env!("CARGO_PKG_VERSION"));

/// Writes each datagram of a run into a pcapng file.
pub struct Capture<W: Write> {
    writer: PcapNgWriter<W>,
    /// Consecutive ids.
    held: VecDeque<Held>,
    /// The first thing that went wrong with the file; nothing is written after it.
    failed: Option<io::Error>,
    buffer: Vec<u8>,
}

/// A datagram whose fate is not known yet.
struct Held {
    at: Instant,
    id: u64,
    from: HostId,
    source: Endpoint,
    to: Endpoint,
    answers: Option<u64>,
    bytes: Vec<u8>,
    fates: Vec<Fate>,
}

#[derive(Clone, Copy)]
struct Fate {
    /// Where it came from in the end, as its receiver saw it.
    source: Endpoint,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Lost(NetDrop),
    Handled(HostId, Disposition),
}

impl<W: Write> Capture<W> {
    /// A capture with one interface named `run`: scenario and seed, for instance.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn new(writer: W, run: &str) -> io::Result<Self> {
        let section = SectionHeaderBlock {
            endianness: Endianness::Little,
            options: vec![SectionHeaderOption::UserApplication(PROGRAM.into())],
            ..SectionHeaderBlock::default()
        };
        let mut writer = PcapNgWriter::with_section_header(writer, section).map_err(io_error)?;
        let interface = InterfaceDescriptionBlock {
            linktype: DataLink::RAW,
            snaplen: 0,
            options: vec![
                InterfaceDescriptionOption::IfName(run.into()),
                InterfaceDescriptionOption::IfDescription("simulated network; seconds of virtual time".into()),
                InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
            ],
        };
        writer.write_block(&interface.into_block()).map_err(io_error)?;
        Ok(Self { writer, held: VecDeque::new(), failed: None, buffer: Vec::new() })
    }

    /// Writes what is still held, and gives the writer back.
    ///
    /// # Errors
    /// The first that the writer ever gave.
    pub fn finish(mut self) -> io::Result<W> {
        self.write_until(0, |_| true);
        if let Some(why) = self.failed {
            return Err(why);
        }
        let mut writer = self.writer.into_inner();
        writer.flush()?;
        Ok(writer)
    }

    fn hold(&mut self, at: Instant, packet: &Packet<'_>, answers: Option<u64>) {
        let Packet { id, from, source, to, bytes } = *packet;
        let held = Held { at, id, from, source, to, answers, bytes: bytes.to_vec(), fates: Vec::new() };
        self.held.push_back(held);
        self.write_until(HELD, |held| !held.fates.is_empty() || at.reached(held.at, PATIENCE));
    }

    fn note(&mut self, packet: &Packet<'_>, what: What) {
        let Some(first) = self.held.front() else { return };
        let place = packet.id.checked_sub(first.id).and_then(|place| usize::try_from(place).ok());
        if let Some(held) = place.and_then(|place| self.held.get_mut(place)) {
            held.fates.push(Fate { source: packet.source, what });
        }
    }

    /// Writes the oldest while they are `ready` or there are more than `keep`.
    fn write_until(&mut self, keep: usize, ready: impl Fn(&Held) -> bool) {
        while self.held.len() > keep || self.held.front().is_some_and(&ready) {
            let Some(held) = self.held.pop_front() else { return };
            if self.failed.is_none() {
                self.failed = self.write(&held).err();
            }
        }
    }

    fn write(&mut self, held: &Held) -> io::Result<()> {
        self.buffer.clear();
        held.frame(&mut self.buffer)?;
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: Duration::from_micros(held.at.micros()),
            original_len: self.buffer.len() as u32,
            data: self.buffer.as_slice().into(),
            options: vec![EnhancedPacketOption::Comment(held.comment().into())],
        };
        self.writer.write_block(&block.into_block()).map_err(io_error)?;
        Ok(())
    }
}

impl<W: Write> Tap for Capture<W> {
    fn observe(&mut self, at: Instant, seen: &Observation<'_>) {
        match seen {
            Observation::Sent { packet, answers } => self.hold(at, packet, *answers),
            Observation::Lost { packet, why } => self.note(packet, What::Lost(*why)),
            Observation::Handled { host, packet, disposition, .. } => {
                self.note(packet, What::Handled(*host, *disposition));
            }
            Observation::Joined { .. }
            | Observation::Started { .. }
            | Observation::Changed { .. }
            | Observation::Heard { .. }
            | Observation::Said { .. }
            | Observation::Sleeps { .. }
            | Observation::Allocated { .. }
            | Observation::ForRelay { .. }
            | Observation::Stream { .. }
            | Observation::Mark { .. } => {}
        }
    }
}

impl Held {
    /// The IP packet.
    fn frame(&self, buffer: &mut Vec<u8>) -> io::Result<()> {
        let (source, to) = (self.source_ip(), self.to.ip());
        let ports = (self.source.port(), self.to.port());
        let built = match (source, to) {
            (IpAddr::V4(source), IpAddr::V4(to)) => {
                let builder = PacketBuilder::ipv4(source.octets(), to.octets(), HOP_LIMIT);
                builder.udp(ports.0, ports.1).write(buffer, &self.bytes)
            }
            (_, _) => {
                let builder = PacketBuilder::ipv6(octets(source), octets(to), HOP_LIMIT);
                builder.udp(ports.0, ports.1).write(buffer, &self.bytes)
            }
        };
        built.map_err(|why| io::Error::other(why.to_string()))
    }

    /// In the family of the destination: a host with both is known by one of them.
    fn source_ip(&self) -> IpAddr {
        let of_family = |ip: &IpAddr| ip.is_ipv4() == self.to.ip().is_ipv4();
        let seen = self.fates.iter().map(|fate| fate.source.ip());
        let unspecified = match self.to.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        core::iter::once(self.source.ip()).chain(seen).find(of_family).unwrap_or(unspecified)
    }

    fn comment(&self) -> String {
        let kind = Kind::of(&self.bytes);
        let mut text = format!("#{} host {}: {} ({})", self.id, self.from, kind.name(), kind.class().name());
        if let Some(asked) = self.answers {
            text += &format!(" in answer to #{asked}");
        }
        let source = Endpoint::new(self.source_ip(), self.source.port());
        if let Some(seen) = self.fates.iter().map(|fate| fate.source).find(|seen| *seen != source) {
            text += &format!(" by way of {seen}");
        }
        if self.fates.is_empty() {
            return text + "; not seen to arrive at a node";
        }
        self.fates.iter().fold(text, |text, fate| text + "; " + &fate.words())
    }
}

impl Fate {
    fn words(self) -> String {
        match self.what {
            What::Lost(why) => format!("lost: {why:?}, {}", words::lost(why)),
            What::Handled(host, Disposition::Consumed) => format!("host {host}: consumed"),
            What::Handled(host, Disposition::Reply { .. }) => format!("host {host}: answered"),
            What::Handled(host, Disposition::Dropped(why)) => format!("host {host}: dropped {why:?}"),
        }
    }
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn io_error(why: PcapError) -> io::Error {
    if let PcapError::IoError(why) = why { why } else { io::Error::other(why) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::pair;
    use super::*;
    use bluering_core::DropReason;
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};
    use pcap_file::pcapng::{Block, PcapNgReader};

    struct Read {
        at: Duration,
        frame: Vec<u8>,
        comment: String,
    }

    fn read(file: &[u8]) -> Vec<Read> {
        let (mut reader, mut all) = (PcapNgReader::new(file).unwrap(), Vec::new());
        while let Some(block) = reader.next_block() {
            if let Block::EnhancedPacket(packet) = block.unwrap() {
                let [EnhancedPacketOption::Comment(comment)] = &packet.options[..] else { panic!("one comment") };
                let (frame, comment) = (packet.data.to_vec(), comment.to_string());
                all.push(Read { at: packet.timestamp, frame, comment });
            }
        }
        assert_eq!(reader.interfaces()[0].linktype, DataLink::RAW);
        all
    }

    fn capture() -> Capture<Vec<u8>> {
        Capture::new(Vec::new(), "test seed 1").unwrap()
    }

    fn packet<'a>(id: u64, to: Endpoint, bytes: &'a [u8]) -> Packet<'a> {
        Packet { id, from: 3, source: Endpoint::v4([192, 168, 0, 2], 33445), to, bytes }
    }

    const TO: Endpoint = Endpoint::v4([11, 0, 0, 1], 33445);

    #[test]
    fn every_datagram_of_a_run_is_there_with_its_fate() {
        let (capture, _) = pair(3, (capture(), 0));
        let all = read(&capture.finish().unwrap());
        assert!(all.len() > 100, "{}", all.len());
        assert!(all.iter().map(|packet| packet.at).is_sorted());
        let numbered = |(i, packet): (usize, &Read)| packet.comment.starts_with(&format!("#{} host ", i + 1));
        assert!(all.iter().enumerate().all(numbered));
        for words in ["nodes request (DHT); host", ": answered", "in answer to #", "by way of 12.0.", "lost: Loss"] {
            assert!(all.iter().any(|packet| packet.comment.contains(words)), "{words}");
        }
        let unknown = all.iter().filter(|packet| packet.comment.contains("not seen")).count();
        assert!(unknown < 10, "only what is on its way at the end: {unknown}");
    }

    #[test]
    fn addresses_and_payload_are_those_of_the_datagram() {
        let mut capture = capture();
        let sent = packet(1, TO, &[2, 7, 7]);
        let at = Instant::from_secs(5);
        capture.observe(at, &Observation::Sent { packet: sent, answers: None });
        capture.observe(at, &Observation::Lost { packet: sent, why: NetDrop::Filtered });
        let all = read(&capture.finish().unwrap());
        assert_eq!(all[0].comment, "#1 host 3: nodes request (DHT); lost: Filtered, filtered by a NAT or firewall");
        assert_eq!(all[0].at, Duration::from_secs(5));
        let sliced = SlicedPacket::from_ip(&all[0].frame).unwrap();
        let Some(NetSlice::Ipv4(ip)) = &sliced.net else { panic!("IPv4") };
        assert_eq!(ip.header().destination_addr(), Ipv4Addr::new(11, 0, 0, 1));
        let Some(TransportSlice::Udp(udp)) = &sliced.transport else { panic!("UDP") };
        assert_eq!((udp.source_port(), udp.destination_port(), udp.payload()), (33445, 33445, &[2, 7, 7][..]));
    }

    #[test]
    fn ipv6_takes_the_address_that_its_receiver_saw() {
        let mut capture = capture();
        let to = Endpoint::new("2a00::7".parse().unwrap(), 33445);
        let sent = packet(1, to, &[0x1b]);
        let arrived = Packet { source: Endpoint::new("2a00::3".parse().unwrap(), 33445), ..sent };
        let disposition = Disposition::Dropped(DropReason::BadCrypto);
        let at = Instant::from_secs(1);
        capture.observe(at, &Observation::Sent { packet: sent, answers: None });
        capture.observe(at, &Observation::Handled { host: 7, packet: arrived, disposition, reply: None });
        let all = read(&capture.finish().unwrap());
        assert_eq!(all[0].comment, "#1 host 3: crypto data (session); host 7: dropped BadCrypto");
        let sliced = SlicedPacket::from_ip(&all[0].frame).unwrap();
        let Some(NetSlice::Ipv6(ip)) = &sliced.net else { panic!("IPv6") };
        assert_eq!(ip.header().source_addr().to_string(), "2a00::3");
    }

    #[test]
    fn what_never_arrives_does_not_hold_up_the_rest() {
        let mut capture = capture();
        for id in 1..=3 {
            let at = Instant::from_secs(id * 11);
            capture.observe(at, &Observation::Sent { packet: packet(id, TO, &[0]), answers: None });
        }
        assert_eq!(capture.held.len(), 1);
        for id in 4..4 + 2 * HELD as u64 {
            capture.observe(Instant::from_secs(33), &Observation::Sent { packet: packet(id, TO, &[0]), answers: None });
        }
        assert_eq!(capture.held.len(), HELD);
    }
}

//! All that happened, one line each, for a person and for `grep`.
//!
//! ```text
//!     12.345678  host    17  sent       #4711 nodes request, 121 bytes, to 11.0.0.3:33445
//! ```
//!
//! The columns are the world's seconds, who, what, and the rest. Marks of the run stand with no host.

use super::Kind;
use super::words::{self, Seconds};
use crate::net::{ConnId, Side, StreamWhat};
use crate::observe::{HostId, Observation, Packet, StreamSeen, Tap};
use bluering_core::Disposition;
use bluering_core::time::Instant;
use std::io::{self, Write};

/// Writes a line per observation.
pub struct Trace<W: Write> {
    writer: W,
    /// The first thing that went wrong with the file; nothing is written after it.
    failed: Option<io::Error>,
}

impl<W: Write> Trace<W> {
    /// A trace into a buffered writer.
    pub const fn new(writer: W) -> Self {
        Self { writer, failed: None }
    }

    /// Gives the writer back.
    ///
    /// # Errors
    /// The first that the writer ever gave.
    pub fn finish(mut self) -> io::Result<W> {
        if let Some(why) = self.failed {
            return Err(why);
        }
        self.writer.flush()?;
        Ok(self.writer)
    }
}

impl<W: Write> Tap for Trace<W> {
    fn observe(&mut self, at: Instant, seen: &Observation<'_>) {
        if self.failed.is_none() {
            let (host, what, rest) = line(seen);
            self.failed = write_line(&mut self.writer, at, host, what, &rest).err();
        }
    }
}

fn write_line(writer: &mut impl Write, at: Instant, host: Option<HostId>, what: &str, rest: &str) -> io::Result<()> {
    let at = Seconds::from(at);
    let line = match host {
        Some(host) => format!("{at:>14}  host {host:>5}  {what:<10} {rest}"),
        None => format!("{at:>14}  {:<10}  {what:<10} {rest}", "--"),
    };
    writeln!(writer, "{}", line.trim_end())
}

/// Who, what, and the rest.
fn line(seen: &Observation<'_>) -> (Option<HostId>, &'static str, String) {
    match seen {
        Observation::Joined { host, place, node } => {
            (Some(*host), "joined", format!("{place}, {}", if *node { "a node" } else { "an actor" }))
        }
        Observation::Started { host, truth } => {
            (Some(*host), "started", format!("key {}, DHT key {}", hex(&truth.public.0), hex(&truth.dht.0)))
        }
        Observation::Changed { host, how } => (Some(*host), "changed", words::change(*how).to_owned()),
        Observation::Sent { packet, answers } => {
            let asked = answers.map_or_else(String::new, |asked| format!(", in answer to #{asked}"));
            (Some(packet.from), "sent", format!("{}, to {}{asked}", described(packet), packet.to))
        }
        Observation::Lost { packet, why } => {
            let why = words::lost(*why);
            (Some(packet.from), "lost", format!("{}, to {}: {why}", described(packet), packet.to))
        }
        Observation::Handled { host, packet, disposition, .. } => {
            let from = format!("{}, from {} (host {})", described(packet), packet.source, packet.from);
            (Some(*host), became(disposition), from + &reason(disposition))
        }
        Observation::Heard { host, peer, event } => {
            let (what, number) = words::event(event);
            let number = number.map_or_else(String::new, |number| format!(" {number}"));
            let peer = peer.map_or_else(String::new, |peer| format!(" (host {peer})"));
            (Some(*host), "told", format!("{what}{number}{peer}"))
        }
        Observation::Said { host, to, message, text } => {
            let number = message.map_or_else(|| "refused".to_owned(), |message| format!("message {message}"));
            (Some(*host), "said", format!("{number}, {} bytes, to host {to}", text.len()))
        }
        Observation::Sleeps { host, deadline, progress } => {
            let until = deadline.map_or_else(
                || "for ever".to_owned(),
                |due| format!("until {} ({:?})", Seconds::from(due.at), due.why),
            );
            (Some(*host), "sleeps", if *progress { until } else { until + ", nothing done" })
        }
        Observation::Allocated { host, times } => (Some(*host), "allocated", format!("{times} times")),
        Observation::ForRelay { host, packet, disposition } => {
            let from = format!("{}, from {} (host {})", described(packet), packet.source, packet.from);
            (Some(*host), became(disposition), format!("by the relay: {from}{}", reason(disposition)))
        }
        Observation::Stream { host, conn, side, what } => (Some(*host), "stream", stream(*conn, *side, *what)),
        Observation::Mark { text } => (None, "mark", (*text).to_owned()),
    }
}

/// Something about a byte stream: `~3 (server) hears 98 bytes`.
fn stream(conn: ConnId, side: Side, what: StreamSeen<'_>) -> String {
    let side = match side {
        Side::Client => "client",
        Side::Server => "server",
    };
    let what = match what {
        StreamSeen::Connects { to } => format!("connects to {to}"),
        StreamSeen::Writes(bytes) => format!("writes {} bytes", bytes.len()),
        StreamSeen::Closes => "closes".to_owned(),
        StreamSeen::Hears(StreamWhat::Opened { peer, port }) => format!("is open, to host {peer}, port {port}"),
        StreamSeen::Hears(StreamWhat::Data(bytes)) => format!("hears {} bytes", bytes.len()),
        StreamSeen::Hears(StreamWhat::Refused) => "is refused".to_owned(),
        StreamSeen::Hears(StreamWhat::TimedOut) => "timed out".to_owned(),
        StreamSeen::Hears(StreamWhat::Writable) => "may write again".to_owned(),
        StreamSeen::Hears(StreamWhat::Closed) => "is closed by the other side".to_owned(),
        StreamSeen::Hears(StreamWhat::Reset) => "is reset".to_owned(),
    };
    format!("~{} ({side}) {what}", conn.0)
}

fn described(packet: &Packet<'_>) -> String {
    format!("#{} {}, {} bytes", packet.id, Kind::of(packet.bytes).name(), packet.bytes.len())
}

const fn became(disposition: &Disposition) -> &'static str {
    match disposition {
        Disposition::Consumed => "consumed",
        Disposition::Reply { .. } => "answered",
        Disposition::Dropped(_) => "dropped",
    }
}

fn reason(disposition: &Disposition) -> String {
    match disposition {
        Disposition::Consumed | Disposition::Reply { .. } => String::new(),
        Disposition::Dropped(why) => format!(": {why:?}"),
    }
}

/// The first bytes of a key: enough to tell it from others.
fn hex(key: &[u8; 32]) -> String {
    key.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{PAIR_END, pair};
    use super::*;

    #[test]
    fn a_line_per_observation_in_order_of_time() {
        let (trace, count) = pair(1, (Trace::new(Vec::new()), 0_usize));
        let text = String::from_utf8(trace.finish().unwrap()).unwrap();
        assert_eq!(text.lines().count(), count);
        let times: Vec<&str> = text.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
        assert!(times.iter().all(|time| time.split_once('.').is_some_and(|(_, micros)| micros.len() == 6)));
        assert!(times.iter().map(|time| time.parse::<f64>().unwrap()).is_sorted());
        for word in ["joined", "started", "sent", "answered", "told", "said", "sleeps", PAIR_END] {
            assert!(text.contains(word), "{word}");
        }
        assert!(text.lines().all(|line| line.len() < 150 && !line.ends_with(' ')));
    }

    #[test]
    fn a_full_disk_is_told_at_the_end() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut trace = Trace::new(Full);
        trace.observe(Instant::from_secs(1), &Observation::Mark { text: "warm-up" });
        assert_eq!(trace.finish().err().unwrap().kind(), io::ErrorKind::StorageFull);
    }
}

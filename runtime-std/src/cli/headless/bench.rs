//! What only benches ask for: sending many messages, and counting instead of printing.

use super::{Failure, Headless};
use bluering::core::{FriendId, MessageId, MessageKind, SendError};
use bluering::{SentMessages, ToxEvent};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;

/// A run of messages under way, answered when the last one is acknowledged.
pub(super) struct Flood {
    /// The command's id, for the reply.
    id: Value,
    friend: FriendId,
    text: Arc<[u8]>,
    count: u64,
    window: u64,
    sent: u64,
    acked: u64,
    /// Number of the first message.
    first: Option<MessageId>,
    failed: Option<String>,
    cost: Cost,
}

impl Flood {
    pub(super) fn new(id: Value, friend: FriendId, bytes: usize, count: u64, window: u64) -> Self {
        let (text, cost) = (vec![b'x'; bytes].into(), Cost::start());
        Self { id, friend, text, count, window, sent: 0, acked: 0, first: None, failed: None, cost }
    }

    /// Whether `event` is about this run and need not be printed.
    pub(super) fn takes(&mut self, event: &ToxEvent) -> bool {
        if let ToxEvent::ReadReceipt { friend, message } = *event
            && friend == self.friend
            && self.first.is_some_and(|first| message >= first)
        {
            self.acked += 1;
            return true;
        }
        if matches!(*event, ToxEvent::Undelivered { friend, .. } if friend == self.friend) {
            self.failed = Some("the friend went offline".to_string());
        }
        matches!(*event, ToxEvent::Writable { friend } if friend == self.friend)
    }

    /// How many to send now: a quarter of the window at least, or all that are left, so that calls are few.
    fn due(&self) -> u64 {
        let (left, free) = (self.count - self.sent, self.window.saturating_sub(self.sent - self.acked));
        if free >= left || free * 4 >= self.window { left.min(free) } else { 0 }
    }

    fn took(&mut self, sent: SentMessages) {
        let taken = u64::try_from(sent.taken).unwrap_or(u64::MAX);
        self.sent += taken;
        if self.first.is_none() && taken > 0 {
            self.first = Some(sent.last + 1 - MessageId::try_from(taken).unwrap_or(sent.last));
        }
        match sent.refused {
            Some(SendError::Full) | None => {}
            Some(error) => self.failed = Some(error.to_string()),
        }
    }
}

/// Counts what arrives.
pub(super) struct Sink {
    messages: u64,
    bytes: u64,
    receipts: u64,
    cost: Cost,
}

impl Sink {
    pub(super) fn new() -> Self {
        Self { messages: 0, bytes: 0, receipts: 0, cost: Cost::start() }
    }

    /// Whether `event` is counted and need not be printed.
    pub(super) fn takes(&mut self, event: &ToxEvent) -> bool {
        if let ToxEvent::Message { text, .. } = event {
            self.messages += 1;
            self.bytes += text.len() as u64;
            return true;
        }
        let receipt = matches!(event, ToxEvent::ReadReceipt { .. });
        self.receipts += u64::from(receipt);
        receipt
    }

    pub(super) fn report(&self) -> Value {
        let (seconds, cpu_seconds) = self.cost.so_far();
        json!({"messages": self.messages, "bytes": self.bytes, "receipts": self.receipts, "seconds": seconds,
               "cpu_seconds": cpu_seconds})
    }
}

impl Headless {
    /// Fills the window, and answers when all is acknowledged.
    pub(super) async fn drive_flood(&mut self) -> Result<(), Failure> {
        let Some(flood) = &mut self.flood else { return Ok(()) };
        let due = if flood.failed.is_some() { 0 } else { flood.due() };
        if due > 0 {
            let texts = std::iter::repeat_n(flood.text.clone(), usize::try_from(due).unwrap_or(usize::MAX));
            flood.took(self.tox.send_messages(flood.friend, MessageKind::Normal, texts).await?);
        }
        let reply = if let Some(error) = &flood.failed {
            json!({"id": flood.id, "ok": false, "cmd": "flood", "error": format!("flood: {error}")})
        } else if flood.acked >= flood.count {
            let (seconds, cpu_seconds) = flood.cost.so_far();
            json!({"id": flood.id, "ok": true, "cmd": "flood", "count": flood.count, "bytes": flood.text.len(),
                   "seconds": seconds, "cpu_seconds": cpu_seconds})
        } else {
            return Ok(());
        };
        self.flood = None;
        Ok(self.out.emit("reply", reply)?)
    }
}

/// A stretch of time and of this process's CPU.
struct Cost {
    start: Instant,
    cpu_start: Option<f64>,
}

impl Cost {
    fn start() -> Self {
        Self { start: Instant::now(), cpu_start: cpu_seconds() }
    }

    /// Wall and CPU seconds; no CPU where the system does not tell.
    fn so_far(&self) -> (f64, Option<f64>) {
        let cpu = cpu_seconds().zip(self.cpu_start).map(|(now, start)| now - start);
        (self.start.elapsed().as_secs_f64(), cpu)
    }
}

/// CPU time of all living threads: the first number of each one's schedstat, in nanoseconds (Linux).
fn cpu_seconds() -> Option<f64> {
    let threads = std::fs::read_dir("/proc/self/task").ok()?;
    let nanoseconds = |path: std::path::PathBuf| -> Option<u64> {
        std::fs::read_to_string(path.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
    };
    Some(threads.flatten().filter_map(|thread| nanoseconds(thread.path())).sum::<u64>() as f64 / 1e9)
}

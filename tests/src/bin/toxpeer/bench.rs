//! What only benches ask for: sending many messages, and counting instead of printing.

use crate::Peer;
use serde_json::{Value, json};
use std::time::Instant;

/// A run of messages under way, answered when the last one is acknowledged.
pub(crate) struct Flood {
    /// The command's id, for the reply.
    pub(crate) id: Value,
    pub(crate) friend: u32,
    pub(crate) text: Vec<u8>,
    pub(crate) count: u64,
    pub(crate) window: u64,
    sent: u64,
    acked: u64,
    cost: Cost,
}

impl Flood {
    pub(crate) fn new(id: Value, friend: u32, bytes: usize, count: u64, window: u64) -> Self {
        let text = vec![b'x'; bytes];
        Self { id, friend, text, count, window, sent: 0, acked: 0, cost: Cost::start() }
    }

    pub(crate) fn on_receipt(&mut self, friend: u32) {
        if friend == self.friend {
            self.acked += 1;
        }
    }
}

/// What arrived while nothing is printed.
pub(crate) struct Sink {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) receipts: u64,
    cost: Cost,
}

impl Sink {
    pub(crate) fn new() -> Self {
        Self { messages: 0, bytes: 0, receipts: 0, cost: Cost::start() }
    }

    pub(crate) fn report(&self) -> Value {
        let (seconds, cpu_seconds) = self.cost.so_far();
        json!({"messages": self.messages, "bytes": self.bytes, "receipts": self.receipts, "seconds": seconds,
               "cpu_seconds": cpu_seconds})
    }
}

impl Peer {
    /// Once per iteration: fills the window, and answers when all is acknowledged.
    pub(crate) fn drive_flood(&mut self) {
        let Some(flood) = &mut self.flood else { return };
        while flood.sent < flood.count && flood.sent - flood.acked < flood.window {
            match self.tox.send_message(flood.friend, 0, &flood.text) {
                Ok(_) => flood.sent += 1,
                Err(why) if why.ends_with("SENDQ") => break,
                Err(why) => {
                    let reply = json!({"id": flood.id, "ok": false, "cmd": "flood", "error": why});
                    self.flood = None;
                    return self.emit("reply", reply);
                }
            }
        }
        if flood.acked >= flood.count {
            let (seconds, cpu_seconds) = flood.cost.so_far();
            let reply = json!({"id": flood.id, "ok": true, "cmd": "flood", "count": flood.count,
                               "bytes": flood.text.len(), "seconds": seconds, "cpu_seconds": cpu_seconds});
            self.flood = None;
            self.emit("reply", reply);
        }
    }
}

/// A stretch of time and of this thread's CPU.
struct Cost {
    start: Instant,
    cpu_start: f64,
}

impl Cost {
    fn start() -> Self {
        Self { start: Instant::now(), cpu_start: thread_cpu_seconds() }
    }

    fn so_far(&self) -> (f64, f64) {
        (self.start.elapsed().as_secs_f64(), thread_cpu_seconds() - self.cpu_start)
    }
}

/// CPU time of the calling thread: the first number of its schedstat, in nanoseconds.
fn thread_cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds: u64 = stat.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0);
    nanoseconds as f64 / 1e9
}

//! What a process said, line by line, and waiting for a line.

use crate::{Failure, Outcome};
use core::time::Duration;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

/// How many lines a failure quotes, and how much of each.
const QUOTE_LINES: usize = 15;
const QUOTE_COLUMNS: usize = 200;

/// A line of a process and when it came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The mark just behind it, for what comes after.
    pub next: usize,
    /// When it was read.
    pub at: Instant,
    /// The line.
    pub line: Value,
}

impl Heard {
    /// A text field, empty when it is missing.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.line[field].as_str().unwrap_or_default()
    }

    /// A number field.
    ///
    /// # Errors
    /// When it is missing.
    pub fn number(&self, field: &str) -> Outcome<u64> {
        self.line[field].as_u64().ok_or_else(|| Failure(format!("no number {field} in {}", self.line)))
    }

    /// A field with a fraction, e.g. seconds.
    ///
    /// # Errors
    /// When it is missing.
    pub fn float(&self, field: &str) -> Outcome<f64> {
        self.line[field].as_f64().ok_or_else(|| Failure(format!("no number {field} in {}", self.line)))
    }
}

/// Everything that a process said.
#[derive(Default)]
pub(crate) struct Log {
    lines: Mutex<Vec<Heard>>,
    grown: Condvar,
}

enum Found {
    /// This line.
    Line(Heard),
    /// The process ended without.
    Ended,
    /// It did not come in time.
    Timeout,
}

impl Log {
    /// Reads a stream to its end in a thread of its own.
    pub(crate) fn follow(
        self: &Arc<Self>,
        stream: impl Read + Send + 'static,
        parse: impl Fn(&str) -> Value + Send + 'static,
    ) {
        let log = Arc::clone(self);
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                log.push(parse(&String::from_utf8_lossy(&line)));
            }
            log.push(json!({"event": "eof"}));
        });
    }

    /// Where the list ends now.
    pub(crate) fn mark(&self) -> usize {
        lock(&self.lines).len()
    }

    /// The last lines, each on a line of its own with the seconds since `start`.
    pub(crate) fn quote(&self, start: Instant, show: impl Fn(&Heard) -> String) -> String {
        let lines = lock(&self.lines);
        let mut text = String::new();
        for heard in &lines[lines.len().saturating_sub(QUOTE_LINES)..] {
            let line: String = show(heard).chars().take(QUOTE_COLUMNS).collect();
            text.push_str(&format!("\n    {:8.3} s  {line}", heard.at.duration_since(start).as_secs_f64()));
        }
        text
    }

    fn push(&self, line: Value) {
        let mut lines = lock(&self.lines);
        let next = lines.len() + 1;
        lines.push(Heard { next, at: Instant::now(), line });
        drop(lines);
        self.grown.notify_all();
    }

    /// The first such event after `mark`, now or within `timeout`; `failure` tells of its absence.
    pub(crate) fn expect(
        &self,
        mark: usize,
        event: &str,
        timeout: Duration,
        wanted: impl Fn(&Heard) -> bool,
        failure: impl Fn(&str) -> Failure,
    ) -> Outcome<Heard> {
        match self.find(mark, event, timeout, wanted) {
            Found::Line(heard) => Ok(heard),
            Found::Ended => Err(failure(&format!("ended while we waited for {event}"))),
            Found::Timeout => Err(failure(&format!("no {event} within {timeout:?}"))),
        }
    }

    /// Makes sure that no such event comes after `mark` within `span`; `failure` tells of it, or of an end.
    pub(crate) fn refuse(
        &self,
        mark: usize,
        event: &str,
        span: Duration,
        unwanted: impl Fn(&Heard) -> bool,
        failure: impl Fn(&str) -> Failure,
    ) -> Outcome {
        match self.find(mark, event, span, unwanted) {
            Found::Line(heard) => Err(failure(&format!("unwanted {}", heard.line))),
            Found::Ended => Err(failure("ended")),
            Found::Timeout => Ok(()),
        }
    }

    fn find(&self, mark: usize, event: &str, timeout: Duration, wanted: impl Fn(&Heard) -> bool) -> Found {
        let end = Instant::now() + timeout;
        let mut lines = lock(&self.lines);
        let mut next = mark;
        loop {
            for heard in &lines[next..] {
                if heard.line["event"] == event && wanted(heard) {
                    return Found::Line(heard.clone());
                }
            }
            // Both streams end with the process, in any order.
            if lines.iter().filter(|heard| heard.line["event"] == "eof").count() == 2 {
                return Found::Ended;
            }
            next = lines.len();
            let Some(left) = end.checked_duration_since(Instant::now()) else { return Found::Timeout };
            lines = self.grown.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A panic elsewhere leaves the data whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

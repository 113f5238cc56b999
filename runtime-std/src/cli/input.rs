//! Lines of stdin, without blocking anybody.

use smol::channel::{self, Receiver};
use std::io::{BufRead, stdin};

/// Lines that may wait.
const LINES_WAITING: usize = 64;

/// The lines of stdin without their ends, undecodable bytes replaced; closed at its end. A thread reads them: it ends
/// with the process.
pub(super) fn lines() -> Receiver<String> {
    let (sender, lines) = channel::bounded(LINES_WAITING);
    let read = move || {
        let mut input = stdin().lock();
        let mut line = Vec::new();
        while matches!(input.read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line);
            if sender.send_blocking(text.trim_end_matches(['\r', '\n']).to_string()).is_err() {
                break;
            }
            line.clear();
        }
    };
    // Without a thread there are no lines, and that is the end of them.
    let _ = std::thread::Builder::new().name("stdin".to_string()).spawn(read);
    lines
}

//! Where the lines of a sweep go.

use super::super::show::Line;
use super::super::{Failure, say};
use bluering_sim::replay::Case;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;

/// A file, or stdout.
#[derive(Debug)]
pub(super) struct Store(Option<File>);

impl Store {
    /// Opens the file, which may hold lines of earlier sweeps with cases like `case`: these are given back. A last line
    /// that was cut off is removed.
    pub(super) fn open(path: Option<&Path>, case: &Case) -> Result<(Self, Vec<Line>), Failure> {
        let Some(path) = path else { return Ok((Self(None), Vec::new())) };
        let wrong = |error: std::io::Error| Failure::file(path, error);
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(wrong)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(wrong)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut lines = Vec::new();
        for (i, line) in (1_usize..).zip(text[..whole].split_inclusive(|byte| *byte == b'\n')) {
            let line = read(line, case).map_err(|why| Failure::file(path, format!("line {i}: {why}")))?;
            lines.push(line);
        }
        // Only now: a file that is something else stays as it is.
        if whole < text.len() {
            file.set_len(whole as u64).map_err(wrong)?;
        }
        Ok((Self(Some(file)), lines))
    }

    /// Writes a line, all at once.
    pub(super) fn put(&mut self, line: &Line) -> Result<(), Failure> {
        match &mut self.0 {
            Some(file) => Ok(file.write_all(line.to_json().as_bytes())?),
            None => say(&line.to_json()),
        }
    }
}

fn read(line: &[u8], case: &Case) -> Result<Line, String> {
    let line: Line = serde_json::from_slice(line).map_err(|_| "not a line of a sweep".to_owned())?;
    let found = (line.scenario.as_str(), line.nodes_asked, line.minutes);
    let wanted = (case.scenario.name, case.size.nodes, case.size.minutes);
    if found == wanted {
        Ok(line)
    } else {
        let words = |(name, nodes, minutes): (&str, u32, u32)| format!("{name} of {nodes} nodes and {minutes} minutes");
        Err(format!("it is about {}, this sweep about {}", words(found), words(wanted)))
    }
}

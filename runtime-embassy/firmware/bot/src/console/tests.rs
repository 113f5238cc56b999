//! Lines in any segmentation, commands, and what is shown.

use super::*;
use embassy_futures::block_on;
use quickcheck::quickcheck;
use std::collections::VecDeque;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

const TOX_ID: &str = "56A1ADE4B65B86BCD51CC73E2CD4E542179F47959FE3E0E21B4B0ACDADE51855D34D34D37CB5";

/// A stream that gives its bytes in pieces of these sizes.
struct Pieces {
    bytes: VecDeque<u8>,
    sizes: Vec<u8>,
    reads: usize,
}

impl embedded_io_async::ErrorType for Pieces {
    type Error = core::convert::Infallible;
}

impl embedded_io_async::Read for Pieces {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        assert!(!buf.is_empty(), "a read into nothing would look like the end");
        let size = self.sizes.get(self.reads % self.sizes.len().max(1)).map_or(1, |size| usize::from(*size).max(1));
        self.reads += 1;
        let n = size.min(buf.len()).min(self.bytes.len());
        buf.iter_mut().zip(self.bytes.drain(..n)).for_each(|(to, byte)| *to = byte);
        Ok(n)
    }
}

/// All lines of `bytes`, as text, with what is none in brackets.
fn lines(bytes: &[u8], sizes: &[u8]) -> Vec<String> {
    let mut lines = Lines::new(Pieces { bytes: bytes.iter().copied().collect(), sizes: sizes.to_vec(), reads: 0 });
    let mut found = Vec::new();
    while let Some(line) = block_on(lines.next()).unwrap() {
        found.push(match line {
            Line::Text(text) => text.to_string(),
            Line::TooLong => "<too long>".to_string(),
            Line::NotText => "<not text>".to_string(),
        });
    }
    found
}

#[test]
fn lines_end_as_terminals_and_scripts_end_them() {
    assert_eq!(lines(b"id\r\n  status \n\nhelp", &[200]), ["id", "status", "", "help"]);
    assert_eq!(lines(b"", &[1]), [""; 0]);
    assert_eq!(lines(b"\xFF\nid\n", &[1]), ["<not text>", "id"]);
}

#[test]
fn a_line_that_is_too_long_is_told_once_and_the_next_is_read() {
    for excess in [0, 1, 2, LINE_MAX, 3 * LINE_MAX] {
        let mut text = std::vec![b'a'; LINE_MAX + excess];
        text.extend(b"\nid\n");
        assert_eq!(lines(&text, &[7, 200]), ["<too long>", "id"], "{excess}");
    }
    let mut longest = std::vec![b'a'; LINE_MAX - 1];
    longest.extend(b"\nid");
    assert_eq!(lines(&longest, &[255]), [&"a".repeat(LINE_MAX - 1), "id"]);
    assert_eq!(lines(&[b'a'; 2 * LINE_MAX], &[255]), ["<too long>"]);
}

quickcheck! {
    fn segmentation_makes_no_difference(texts: Vec<String>, sizes: Vec<u8>) -> bool {
        let text: String = texts.iter().map(|text| format!("{text}\n")).collect();
        lines(text.as_bytes(), &sizes) == lines(text.as_bytes(), &[255])
    }

    fn lines_are_those_of_the_text(texts: Vec<u16>) -> bool {
        let texts: Vec<String> = texts.iter().map(|number| format!("send {number}")).collect();
        lines((texts.join("\n") + "\n").as_bytes(), &[3]) == texts || texts.is_empty()
    }

    fn no_line_makes_the_parser_panic(line: String) -> bool {
        Command::parse(&line).map_or_else(|why| !why.to_string().is_empty(), |_| true)
    }

    fn what_is_shown_is_one_line_and_short(bytes: Vec<u8>) -> bool {
        let shown = [Shown(&bytes[..]).to_string(), Shown(&*String::from_utf8_lossy(&bytes)).to_string()];
        shown.iter().all(|shown| !shown.contains(char::is_control))
    }
}

#[test]
fn every_command_is_understood() {
    let id: bluering_core::crypto::ToxId = TOX_ID.parse().unwrap();
    let add = format!("add {TOX_ID} hello  there");
    for (line, command) in [
        ("id", Command::Id),
        ("accept 0", Command::Accept(0)),
        ("refuse 12", Command::Refuse(12)),
        ("friends", Command::Friends),
        ("remove 3", Command::Remove(3)),
        ("status", Command::Status),
        ("reset", Command::Reset),
        ("help", Command::Help),
        ("send 1 a text  of words", Command::Send(1, "a text  of words")),
        (&add, Command::Add(id, "hello  there")),
    ] {
        assert_eq!(Command::parse(line), Ok(command), "{line}");
        let name = line.split(' ').next().unwrap();
        assert!(HELP.iter().any(|help| help.split(' ').next() == Some(name)), "{name} is in no help");
    }
}

#[test]
fn what_is_no_command_is_told_how_it_is_meant() {
    for (line, answer) in [
        ("hlep", "unknown command `hlep`; `help` lists them"),
        ("accept", "usage: accept N"),
        ("accept x", "usage: accept N"),
        ("accept +1", "usage: accept N"),
        ("accept 99999999999999999999999", "usage: accept N"),
        ("remove -1", "usage: remove I"),
        ("send 1", "usage: send I TEXT"),
        ("send hello", "usage: send I TEXT"),
        ("status now", "usage: status"),
        ("add", "usage: add TOXID WORDS"),
        ("add 1234 hello", "not a Tox ID: a Tox ID has 76 hexadecimal digits, this has 4"),
    ] {
        assert_eq!(Command::parse(line).unwrap_err().to_string(), answer, "{line}");
    }
    let mistyped = format!("add {} hello", TOX_ID.replace('5', "6"));
    let answer = Command::parse(&mistyped).unwrap_err().to_string();
    assert_eq!(answer, "not a Tox ID: the checksum does not match: a digit is wrong or missing");
}

#[test]
fn a_line_that_is_too_long_to_be_written_is_cut() {
    let mut console = Console::new(Vec::new());
    block_on(console.say("tox-id"));
    block_on(console.say("\u{fc}".repeat(OUT_MAX)));
    let written = String::from_utf8(console.out).unwrap();
    let cut = written.strip_prefix("tox-id\r\n").unwrap().strip_suffix("...\r\n").unwrap();
    assert!(cut.len() <= OUT_MAX && cut.len() > OUT_MAX - 8 && cut.chars().all(|c| c == '\u{fc}'));
}

#[test]
fn foreign_texts_are_shown_harmlessly() {
    assert_eq!(Shown("it's \"quoted\"").to_string(), "it's \"quoted\"");
    assert_eq!(Shown("\u{1b}[2Jcleared\n").to_string(), "\\u{1b}[2Jcleared\\n");
    assert_eq!(Shown(&b"caf\xE9!"[..]).to_string(), "caf\u{fffd}!");
    assert_eq!(Shown(&*"x".repeat(SHOWN_MAX)).to_string(), "x".repeat(SHOWN_MAX));
    assert_eq!(Shown(&*"x".repeat(SHOWN_MAX + 1)).to_string(), "x".repeat(SHOWN_MAX) + "...");
}

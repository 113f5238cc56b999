//! What can be typed.

use super::Shown;
use bluering_core::crypto::{ToxId, ToxIdError};
use core::fmt;

/// All commands, a line each.
pub const HELP: [&str; 10] = [
    "id                show the Tox ID",
    "accept N          make who sent request N a friend",
    "refuse N          forget request N",
    "friends           list the friends",
    "remove I          end the friendship with friend I",
    "add TOXID WORDS   ask somebody to be a friend",
    "send I TEXT       write to friend I",
    "status            show the state of everything",
    "reset             start again",
    "help              show this",
];

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'l> {
    /// Show the Tox ID.
    Id,
    /// Accept a friend request, by its number.
    Accept(usize),
    /// Forget a friend request.
    Refuse(usize),
    /// List the friends.
    Friends,
    /// Remove a friend, by its number.
    Remove(usize),
    /// Ask somebody to be a friend.
    Add(ToxId, &'l str),
    /// Write to a friend.
    Send(usize, &'l str),
    /// Show the status line.
    Status,
    /// Start again.
    Reset,
    /// List the commands.
    Help,
}

/// Why a line is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError<'l> {
    /// There is none of this name.
    Unknown(&'l str),
    /// It is used otherwise.
    Usage(&'static str),
    /// What should be a Tox ID is none.
    ToxId(ToxIdError),
}

impl<'l> Command<'l> {
    /// Understands a line.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn parse(line: &'l str) -> Result<Self, CommandError<'l>> {
        let (name, rest) = split(line);
        let alone = |command, usage| if rest.is_empty() { Ok(command) } else { Err(CommandError::Usage(usage)) };
        match name {
            "id" => alone(Self::Id, "id"),
            "accept" => number(rest).map(Self::Accept).ok_or(CommandError::Usage("accept N")),
            "refuse" => number(rest).map(Self::Refuse).ok_or(CommandError::Usage("refuse N")),
            "friends" => alone(Self::Friends, "friends"),
            "remove" => number(rest).map(Self::Remove).ok_or(CommandError::Usage("remove I")),
            "add" => Self::parse_add(rest),
            "send" => Self::parse_send(rest),
            "status" => alone(Self::Status, "status"),
            "reset" => alone(Self::Reset, "reset"),
            "help" => alone(Self::Help, "help"),
            _ => Err(CommandError::Unknown(name)),
        }
    }

    fn parse_add(rest: &'l str) -> Result<Self, CommandError<'l>> {
        let (id, words) = split(rest);
        if words.is_empty() {
            return Err(CommandError::Usage("add TOXID WORDS"));
        }
        Ok(Self::Add(id.parse().map_err(CommandError::ToxId)?, words))
    }

    fn parse_send(rest: &'l str) -> Result<Self, CommandError<'l>> {
        let (friend, text) = split(rest);
        match number(friend) {
            Some(friend) if !text.is_empty() => Ok(Self::Send(friend, text)),
            Some(_) | None => Err(CommandError::Usage("send I TEXT")),
        }
    }
}

impl fmt::Display for CommandError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unknown(name) => write!(f, "unknown command `{}`; `help` lists them", Shown(name)),
            Self::Usage(usage) => write!(f, "usage: {usage}"),
            Self::ToxId(why) => write!(f, "not a Tox ID: {why}"),
        }
    }
}

/// The first word and what follows it.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

fn number(word: &str) -> Option<usize> {
    // Rust would take `+1` too.
    word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok())?
}

//! The bot itself.
//!
//! One event is dealt with before the next is taken. An echo waits until there is room for it; meanwhile nothing else
//! is read from friends, so what they send piles up on their side, and no message is lost or overtakes another. The
//! console is served all the time.
//!
//! Answers are actions, and actions are not answered: two bots that are friends do not talk for ever.

use crate::Board;
use crate::config::Config;
use crate::console::{Command, Console, HELP, Line, Lines, Shown};
use crate::requests::Requests;
use crate::status::{Status, named};
use bluering_core::crypto::PublicKey;
use bluering_core::{Connection, Event, FriendId, MessageKind, SendError};
use bluering_embassy::{Addresses, EVENT_LEN_MAX, Tox};
use core::fmt;
use core::future::pending;
use core::pin::pin;
use embassy_futures::select::{Either, Either3, select, select3};
use embassy_time::{Duration, with_timeout};
use embedded_io_async::{Read, Write};

/// A friend who writes this gets the status line.
const STATUS: &[u8] = b"status";
/// How long friends and flash get before a reset that was asked for.
const SHUTDOWN: Duration = Duration::from_secs(5);
/// How long what is typed may wait for room.
const SEND_WAIT: Duration = Duration::from_secs(10);
/// A console that cannot be read so often in a row is given up.
const FAILURES_MAX: u8 = 8;

/// Runs the bot until somebody types `reset`: then friends are told, all is saved, and the board may be reset.
pub async fn run<B: Board, R: Read, W: Write>(
    tox: Tox<'_>,
    config: &Config<'_>,
    board: &B,
    typed: R,
    console: &mut Console<W>,
) {
    let mut ears = Ears { lines: Lines::new(typed), failures: 0 };
    let mut desk =
        Desk { tox, config, board, console, requests: Requests::new(), receipts: 0, addresses: Addresses::default() };
    desk.open().await;
    let mut text = [0; EVENT_LEN_MAX];
    loop {
        let flow = match select3(tox.event(&mut text), ears.next(), tox.other_addresses(desk.addresses)).await {
            Either3::First(event) => match desk.on_event(event).await {
                Some(answer) => desk.answer(answer, &mut text, &mut ears).await,
                None => Flow::On,
            },
            Either3::Second(line) => desk.on_line(line).await,
            Either3::Third(addresses) => {
                desk.on_addresses(addresses).await;
                Flow::On
            }
        };
        match flow {
            Flow::On => {}
            Flow::Reset => break,
        }
    }
    let _ = with_timeout(SHUTDOWN, tox.shutdown()).await;
    desk.console.say("reset").await;
}

/// Whether the bot goes on.
enum Flow {
    On,
    Reset,
}

/// A message that is owed to a friend.
struct Answer {
    friend: FriendId,
    what: What,
}

enum What {
    /// So many bytes of the text that came in.
    Echo(usize),
    Status,
}

/// Everything but the two buffers that are read into.
struct Desk<'a, 'd, B, W> {
    tox: Tox<'d>,
    config: &'a Config<'a>,
    board: &'a B,
    console: &'a mut Console<W>,
    requests: Requests,
    receipts: u32,
    addresses: Addresses,
}

impl<B: Board, W: Write> Desk<'_, '_, B, W> {
    async fn open(&mut self) {
        let tox = self.tox;
        let (name, status) = (self.config.name.as_bytes(), self.config.status_message.as_bytes());
        let fits = tox.set_name(name).and_then(|()| tox.set_status_message(status));
        debug_assert!(fits.is_ok(), "the configuration was checked");
        self.say(format_args!("tox-id {}", tox.tox_id())).await;
    }

    async fn say(&mut self, what: impl fmt::Display) {
        self.console.say(what).await;
    }

    async fn on_addresses(&mut self, addresses: Addresses) {
        self.addresses = addresses;
        let port = self.config.port;
        if addresses.is_empty() {
            self.say("link down").await;
        }
        if let Some(ip) = addresses.v4 {
            self.say(format_args!("address {ip}:{port}")).await;
        }
        if let Some(ip) = addresses.v6 {
            self.say(format_args!("address [{ip}]:{port}")).await;
        }
    }

    async fn on_event(&mut self, event: Event<'_>) -> Option<Answer> {
        match event {
            Event::SelfConnection(connection) => self.say(format_args!("connection {}", named(connection))).await,
            Event::FriendRequest { key, message } => self.on_request(key, message).await,
            Event::FriendConnection { friend, .. } => self.show_friend(friend).await,
            Event::Message { friend, kind, text } => {
                if self.config.verbose {
                    self.say(format_args!("message {} {}", friend.index(), text.len())).await;
                }
                let what = if text == STATUS { What::Status } else { What::Echo(text.len()) };
                return (kind == MessageKind::Normal).then_some(Answer { friend, what });
            }
            Event::Undelivered { friend, first, last } => {
                self.say(format_args!("undelivered {} {first} {last}", friend.index())).await;
            }
            Event::ReadReceipt { friend, message } => {
                self.receipts = self.receipts.wrapping_add(1);
                if self.config.verbose {
                    self.say(format_args!("receipt {} {message}", friend.index())).await;
                }
            }
            // A bot has no use for what friends are called, how they feel and what other applications do; it has no
            // proxy.
            Event::FriendName { .. }
            | Event::FriendStatusMessage { .. }
            | Event::FriendStatus { .. }
            | Event::FriendTyping { .. }
            | Event::LosslessPacket { .. }
            | Event::LossyPacket { .. }
            | Event::Proxy(_)
            | Event::Writable { .. } => {}
            _ => {}
        }
        None
    }

    async fn on_request(&mut self, key: PublicKey, words: &[u8]) {
        if self.config.accept.contains(&key) {
            return self.accept(key).await;
        }
        let (number, oldest) = self.requests.add(key);
        if let Some(oldest) = oldest {
            self.say(format_args!("request {oldest} dropped")).await;
        }
        self.say(format_args!("request {number} {key} {}", Shown(words))).await;
    }

    async fn accept(&mut self, key: PublicKey) {
        match self.tox.accept(key) {
            Ok(_) => self.say(format_args!("request accepted {key}")).await,
            Err(why) => self.say(format_args!("error: {key} not accepted: {why}")).await,
        }
    }

    async fn show_friend(&mut self, id: FriendId) {
        let Some(friend) = self.tox.friend(id) else { return };
        let state = if friend.connection == Connection::None { "offline" } else { "online" };
        self.say(format_args!("friend {} {} {state}", id.index(), friend.key)).await;
    }

    /// Sends what is owed. Who leaves before there is room for it gets it no more.
    async fn answer<R: Read>(
        &mut self,
        Answer { friend, what }: Answer,
        text: &mut [u8; EVENT_LEN_MAX],
        ears: &mut Ears<R>,
    ) -> Flow {
        let len = match what {
            What::Echo(len) => len,
            What::Status => {
                let line = self
                    .console
                    .compose(Status { tox: self.tox, receipts: self.receipts, board: self.board })
                    .as_bytes();
                text[..line.len()].copy_from_slice(line);
                line.len()
            }
        };
        let mut sending = pin!(self.tox.send_message(friend, MessageKind::Action, &text[..len]));
        loop {
            match select(sending.as_mut(), ears.next()).await {
                Either::First(Ok(_)) => return Flow::On,
                Either::First(Err(why)) => {
                    self.say(format_args!("error: friend {} not answered: {why}", friend.index())).await;
                    return Flow::On;
                }
                Either::Second(line) => match self.on_line(line).await {
                    Flow::On => {}
                    Flow::Reset => return Flow::Reset,
                },
            }
        }
    }

    async fn on_line(&mut self, line: Line<'_>) -> Flow {
        let text = match line {
            Line::Text("") => return Flow::On,
            Line::Text(text) => text,
            Line::TooLong => {
                self.say("error: the line is too long").await;
                return Flow::On;
            }
            Line::NotText => {
                self.say("error: the line is not text").await;
                return Flow::On;
            }
        };
        match Command::parse(text) {
            Ok(Command::Reset) => return Flow::Reset,
            Ok(command) => self.on_command(command).await,
            Err(why) => self.say(format_args!("error: {why}")).await,
        }
        Flow::On
    }

    async fn on_command(&mut self, command: Command<'_>) {
        match command {
            Command::Id => self.say(format_args!("tox-id {}", self.tox.tox_id())).await,
            Command::Accept(number) => match self.requests.take(number) {
                Some(key) => self.accept(key).await,
                None => self.say(format_args!("error: there is no request {number}")).await,
            },
            Command::Refuse(number) => match self.requests.take(number) {
                Some(key) => self.say(format_args!("request refused {key}")).await,
                None => self.say(format_args!("error: there is no request {number}")).await,
            },
            Command::Friends => self.list_friends().await,
            Command::Remove(index) => self.remove(index).await,
            Command::Add(id, words) => match self.tox.add_friend(&id, words.as_bytes()) {
                Ok(friend) => self.show_friend(friend).await,
                Err(why) => self.say(format_args!("error: not added: {why}")).await,
            },
            Command::Send(index, text) => match self.send(index, text).await {
                Ok(number) => self.say(format_args!("sent {index} {number}")).await,
                Err(why) => self.say(format_args!("error: not sent: {why}")).await,
            },
            Command::Status => {
                let status = Status { tox: self.tox, receipts: self.receipts, board: self.board };
                self.console.say(status).await;
            }
            Command::Help => {
                for line in HELP {
                    self.say(format_args!("help {line}")).await;
                }
            }
            // The loop that reads the lines has seen to it.
            Command::Reset => {}
        }
    }

    async fn list_friends(&mut self) {
        let mut last = None;
        let mut count = 0;
        while let Some(friend) = self.tox.next_friend(last) {
            self.show_friend(friend).await;
            last = Some(friend);
            count += 1;
        }
        self.say(format_args!("friends {count}")).await;
    }

    async fn remove(&mut self, index: usize) {
        let friend = self.tox.friend_by_index(index);
        match friend.is_some_and(|friend| self.tox.remove_friend(friend)) {
            true => self.say(format_args!("friend {index} removed")).await,
            false => self.say(format_args!("error: there is no friend {index}")).await,
        }
    }

    /// A friend who has just come online may not have room yet.
    async fn send(&self, index: usize, text: &str) -> Result<u32, SendError> {
        let friend = self.tox.friend_by_index(index).ok_or(SendError::NoFriend)?;
        let sent = self.tox.send_message(friend, MessageKind::Normal, text.as_bytes());
        with_timeout(SEND_WAIT, sent).await.unwrap_or(Err(SendError::Full))
    }
}

/// The lines that are typed, as long as somebody can type.
struct Ears<R> {
    lines: Lines<R>,
    failures: u8,
}

impl<R: Read> Ears<R> {
    /// The next line; never, when the console's input has ended or fails all the time.
    async fn next(&mut self) -> Line<'_> {
        if self.failures < FAILURES_MAX {
            match self.lines.next().await {
                Ok(Some(line)) => {
                    self.failures = 0;
                    return line;
                }
                Ok(None) => self.failures = FAILURES_MAX,
                // A line with noise on it: what is left of it is no command.
                Err(_) => {
                    self.failures += 1;
                    return Line::NotText;
                }
            }
        }
        pending().await
    }
}

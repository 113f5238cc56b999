//! `bluering chat`: a client for people. One line, one message; lines with a slash are commands.

use super::{ClientOptions, Failure, end_signal, input};
use bluering::core::crypto::{Nospam, PublicKey, ToxId};
use bluering::core::{Connection, FriendId, MessageId, MessageKind, UserStatus};
use bluering::{Friend, Stopped, Tox, ToxEvent};
use smol::Timer;
use smol::future::FutureExt;
use std::fmt::Display;

/// Options of `bluering chat`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    client: ClientOptions,
    /// Do not use IPv6
    #[arg(long)]
    ipv4_only: bool,
}

const HELP: &str = "\
/id                    show your Tox ID; give it to people who shall add you
/add ID MESSAGE        ask somebody to be your friend
/requests              who asked you
/accept N|KEY          accept a request, by its number or by key
/list                  your friends
/msg N TEXT            write to friend N; plain lines go to the friend you wrote to last
/me TEXT               tell that friend what you do
/name TEXT             set your name
/status TEXT           set your status message
/away /busy /online    set your status
/nospam                change your Tox ID, so that nobody can use the old one
/remove N              remove friend N
/quit                  leave";

/// A client and what its screen needs to know.
struct Chat {
    tox: Tox,
    auto_accept: bool,
    /// Requests not yet accepted, by number.
    requests: Vec<(PublicKey, String)>,
    /// Whom plain lines go to.
    current: Option<FriendId>,
    /// Messages whose receipts would be news: those to the current friend are shown once, by their last number.
    unread: Option<(FriendId, MessageId)>,
    leaving: bool,
}

enum Wake {
    Event(Option<ToxEvent>),
    Line(Option<String>),
    End,
}

pub(super) async fn run(options: Options) -> Result<(), Failure> {
    let end = end_signal()?;
    let (tox, mut events) = options.client.builder(!options.ipv4_only, true).start()?;
    options.client.apply(&tox).await?;
    println!("Your Tox ID: {}\n/help lists the commands.", tox.me().await?.tox_id);
    let auto_accept = options.client.auto_accept;
    let mut chat = Chat { tox, auto_accept, requests: Vec::new(), current: None, unread: None, leaving: false };
    let mut timer = options.client.max_seconds.map_or_else(Timer::never, Timer::after);
    let lines = input::lines();
    while !chat.leaving {
        let event = async { Wake::Event(events.next().await) };
        let line = async { Wake::Line(lines.recv().await.ok()) };
        let over = async {
            (&mut timer).await;
            Wake::End
        };
        let signal = async {
            let _ = end.recv().await;
            Wake::End
        };
        match event.or(line).or(over).or(signal).await {
            Wake::Event(Some(event)) => chat.on_event(event).await?,
            Wake::Line(Some(line)) => chat.on_line(line.trim()).await,
            Wake::Event(None) | Wake::Line(None) | Wake::End => break,
        }
    }
    chat.tox.shutdown().await?;
    Ok(())
}

impl Chat {
    async fn on_event(&mut self, event: ToxEvent) -> Result<(), Failure> {
        match event {
            ToxEvent::SelfConnection(connection) => println!("* you are {}", reachable(connection)),
            ToxEvent::FriendRequest { key, message } => self.on_request(key, shown(&message)).await,
            ToxEvent::FriendConnection { friend, connection } => {
                println!("* {} is {}", self.name_of(friend).await?, reachable(connection));
            }
            ToxEvent::FriendName { friend, .. } => {
                println!("* friend {} is called {}", friend.index(), self.name_of(friend).await?);
            }
            ToxEvent::Message { friend, kind, text } => {
                let (name, text) = (self.name_of(friend).await?, shown(&text));
                match kind {
                    MessageKind::Normal => println!("[{}] {name}: {text}", friend.index()),
                    MessageKind::Action => println!("[{}] * {name} {text}", friend.index()),
                }
                self.current = self.current.or(Some(friend));
            }
            ToxEvent::ReadReceipt { friend, message } if self.unread == Some((friend, message)) => {
                self.unread = None;
                println!("* delivered");
            }
            ToxEvent::Undelivered { friend, .. } => {
                println!("* {} may not have got your last messages", self.name_of(friend).await?);
            }
            ToxEvent::Proxy(trouble) => println!("! {trouble}"),
            ToxEvent::ProfileNotSaved { reason } => println!("! {reason}"),
            // Statuses are shown by /list; typing and packets of other applications are not shown.
            ToxEvent::FriendStatusMessage { .. }
            | ToxEvent::FriendStatus { .. }
            | ToxEvent::FriendTyping { .. }
            | ToxEvent::ReadReceipt { .. }
            | ToxEvent::LosslessPacket { .. }
            | ToxEvent::LossyPacket { .. }
            | ToxEvent::Writable { .. } => {}
            _ => {}
        }
        Ok(())
    }

    async fn on_request(&mut self, key: PublicKey, message: String) {
        println!("* friend request from {key}: {message}");
        if self.auto_accept {
            return tell(self.accept(key).await);
        }
        self.requests.retain(|(known, _)| *known != key);
        self.requests.push((key, message));
        println!("  /accept {} accepts it", self.requests.len() - 1);
    }

    async fn on_line(&mut self, line: &str) {
        let (command, rest) = match line.split_once(char::is_whitespace) {
            Some((command, rest)) => (command, rest.trim()),
            None => (line, ""),
        };
        let result = match command {
            "" => Ok(()),
            "/id" => self.id().await,
            "/add" => self.add(rest).await,
            "/requests" => self.show_requests(),
            "/accept" => self.accept_named(rest).await,
            "/list" => self.list().await,
            "/msg" => self.message_to(rest).await,
            "/me" => self.send(MessageKind::Action, rest).await,
            "/name" => self.tox.set_name(rest).await.map_err(say),
            "/status" => self.tox.set_status_message(rest).await.map_err(say),
            "/away" => self.tox.set_status(UserStatus::Away).await.map_err(say),
            "/busy" => self.tox.set_status(UserStatus::Busy).await.map_err(say),
            "/online" => self.tox.set_status(UserStatus::None).await.map_err(say),
            "/nospam" => self.new_nospam().await,
            "/remove" => self.remove(rest).await,
            "/help" => {
                println!("{HELP}");
                Ok(())
            }
            "/quit" => {
                self.leaving = true;
                Ok(())
            }
            _ if command.starts_with('/') => Err(format!("there is no command {command}; /help lists them")),
            _ => self.send(MessageKind::Normal, line).await,
        };
        tell(result);
    }

    async fn id(&self) -> Result<(), String> {
        println!("{}", self.tox.me().await.map_err(say)?.tox_id);
        Ok(())
    }

    async fn add(&mut self, rest: &str) -> Result<(), String> {
        let (id, message) = rest.split_once(char::is_whitespace).unwrap_or((rest, "Hello, let us chat."));
        let id: ToxId = id.parse().map_err(say)?;
        let friend = self.tox.add_friend(id, message.trim()).await.map_err(say)?;
        self.current = Some(friend);
        println!("* friend {}: the request goes out as soon as they are found", friend.index());
        Ok(())
    }

    fn show_requests(&self) -> Result<(), String> {
        if self.requests.is_empty() {
            println!("* no requests");
        }
        for (number, (key, message)) in self.requests.iter().enumerate() {
            println!("{number:>3}  {key}: {message}");
        }
        Ok(())
    }

    async fn accept_named(&mut self, rest: &str) -> Result<(), String> {
        let by_number = rest.parse::<usize>().ok().and_then(|number| self.requests.get(number)).map(|(key, _)| *key);
        let key = by_number.or_else(|| PublicKey::from_hex(rest));
        let key = key.ok_or("/accept needs the number of a request (/requests) or a key of 64 hexadecimal digits")?;
        self.accept(key).await
    }

    async fn accept(&mut self, key: PublicKey) -> Result<(), String> {
        let friend = self.tox.accept(key).await.map_err(say)?;
        self.requests.retain(|(known, _)| *known != key);
        self.current = self.current.or(Some(friend));
        println!("* friend {} accepted", friend.index());
        Ok(())
    }

    async fn list(&self) -> Result<(), String> {
        for friend in self.tox.friends().await.map_err(say)? {
            let state = match (friend.connection, friend.status) {
                (Connection::None, _) if friend.requested => "asked",
                (Connection::None, _) => "offline",
                (Connection::Tcp | Connection::Udp, UserStatus::None) => "online",
                (Connection::Tcp | Connection::Udp, UserStatus::Away) => "away",
                (Connection::Tcp | Connection::Udp, UserStatus::Busy) => "busy",
            };
            let mark = if self.current == Some(friend.id) { '>' } else { ' ' };
            let (name, words) = (display_name(&friend), shown(&friend.status_message));
            println!("{mark}{:>3}  {state:<7}  {name}  {words}", friend.id.index());
        }
        Ok(())
    }

    async fn message_to(&mut self, rest: &str) -> Result<(), String> {
        let (number, text) = rest.split_once(char::is_whitespace).ok_or("/msg needs a friend's number and a text")?;
        self.current = Some(self.friend(number).await?);
        self.send(MessageKind::Normal, text.trim()).await
    }

    async fn send(&mut self, kind: MessageKind, text: &str) -> Result<(), String> {
        let friend = self.current.ok_or("to whom? /list shows your friends, /msg N TEXT writes to one")?;
        let number = self.tox.send_message(friend, kind, text).await.map_err(say)?;
        self.unread = Some((friend, number));
        Ok(())
    }

    async fn new_nospam(&self) -> Result<(), String> {
        let nospam = Nospam::generate(&mut bluering::rng().map_err(say)?);
        self.tox.set_nospam(nospam).await.map_err(say)?;
        self.id().await
    }

    async fn remove(&mut self, rest: &str) -> Result<(), String> {
        let friend = self.friend(rest).await?;
        self.tox.remove_friend(friend).await.map_err(say)?;
        self.current = self.current.filter(|current| *current != friend);
        println!("* friend {} removed", friend.index());
        Ok(())
    }

    async fn friend(&self, number: &str) -> Result<FriendId, String> {
        let index = number.parse().map_err(|_| format!("'{number}' is not a friend's number"))?;
        let friend = self.tox.friend_by_index(index).await.map_err(say)?;
        friend.ok_or_else(|| format!("there is no friend {index}"))
    }

    async fn name_of(&self, friend: FriendId) -> Result<String, Stopped> {
        let known = self.tox.friend(friend).await?;
        Ok(known.as_ref().map_or_else(|| format!("friend {}", friend.index()), display_name))
    }
}

const fn reachable(connection: Connection) -> &'static str {
    match connection {
        Connection::None => "offline",
        Connection::Tcp | Connection::Udp => "online",
    }
}

fn say(error: impl Display) -> String {
    error.to_string()
}

fn tell(result: Result<(), String>) {
    if let Err(error) = result {
        println!("! {error}");
    }
}

fn display_name(friend: &Friend) -> String {
    if friend.name.is_empty() { friend.key.to_string() } else { shown(&friend.name) }
}

/// A friend's words, without what would command the terminal.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn friends_cannot_command_the_terminal() {
        assert_eq!(shown("hi \u{1b}[2Jthere\nX".as_bytes()), "hi \u{fffd}[2Jthere\u{fffd}X");
        assert_eq!(shown("grüß 🐧".as_bytes()), "grüß 🐧");
    }
}

//! What happened, as lines.

use super::output::{hex, text};
use super::{Failure, Headless};
use bluering::ToxEvent;
use bluering::core::crypto::PublicKey;
use bluering::core::relay::proxy::ProxyTrouble;
use bluering::core::{Connection, FriendId, MessageKind, UserStatus};
use serde_json::{Value, json};

impl Headless {
    pub(super) async fn on_event(&mut self, event: ToxEvent) -> Result<(), Failure> {
        let counted = self.flood.as_mut().is_some_and(|flood| flood.takes(&event))
            || self.sink.as_mut().is_some_and(|sink| sink.takes(&event));
        if counted {
            return Ok(());
        }
        let (name, fields) = line(&event);
        self.out.emit(name, fields)?;
        if let ToxEvent::FriendRequest { key, .. } = event {
            if self.options.client.auto_accept {
                self.auto_accept(key).await?;
            }
        } else if let ToxEvent::Message { friend, kind, text } = event
            && self.options.echo
        {
            self.echo(friend, kind, text).await?;
        }
        Ok(())
    }

    async fn auto_accept(&mut self, key: PublicKey) -> Result<(), Failure> {
        match self.tox.accept(key).await {
            Ok(friend) => Ok(self.out.emit("auto_accepted", json!({"pk": hex(&key.0), "friend": friend.index()}))?),
            Err(error) => {
                let error = super::commands::add_friend_error("tox_friend_add_norequest", &error);
                Ok(self.out.emit("internal_error", json!({"where": "friend_request", "error": error}))?)
            }
        }
    }

    async fn echo(&mut self, friend: FriendId, kind: MessageKind, text: Vec<u8>) -> Result<(), Failure> {
        match self.tox.send_message(friend, kind, text).await {
            Ok(number) => Ok(self.out.emit("echoed", json!({"friend": friend.index(), "message_id": number}))?),
            Err(error) => {
                let error = super::commands::send_error("tox_friend_send_message", &error);
                Ok(self.out.emit("echo_failed", json!({"error": error}))?)
            }
        }
    }
}

/// An event's name and fields.
fn line(event: &ToxEvent) -> (&'static str, Value) {
    match event {
        ToxEvent::SelfConnection(connection) => ("self_connection", json!({"status": connection_name(*connection)})),
        ToxEvent::FriendRequest { key, message } => {
            ("friend_request", json!({"pk": hex(&key.0), "message": text(message)}))
        }
        ToxEvent::FriendConnection { friend, connection } => {
            ("friend_connection", json!({"friend": friend.index(), "status": connection_name(*connection)}))
        }
        ToxEvent::FriendName { friend, name } => ("friend_name", json!({"friend": friend.index(), "name": text(name)})),
        ToxEvent::FriendStatusMessage { friend, text: words } => {
            ("friend_status_message", json!({"friend": friend.index(), "text": text(words)}))
        }
        ToxEvent::FriendStatus { friend, status } => {
            ("friend_status", json!({"friend": friend.index(), "status": status_name(*status)}))
        }
        ToxEvent::FriendTyping { friend, typing } => {
            ("friend_typing", json!({"friend": friend.index(), "typing": typing}))
        }
        ToxEvent::Message { friend, kind, text: words } => (
            "message",
            json!({"friend": friend.index(), "type": kind_name(*kind), "text": text(words), "bytes": words.len()}),
        ),
        ToxEvent::LosslessPacket { friend, data } => {
            ("lossless_packet", json!({"friend": friend.index(), "hex": hex(data)}))
        }
        ToxEvent::LossyPacket { friend, data } => ("lossy_packet", json!({"friend": friend.index(), "hex": hex(data)})),
        ToxEvent::ReadReceipt { friend, message } => {
            ("read_receipt", json!({"friend": friend.index(), "message_id": message}))
        }
        ToxEvent::Undelivered { friend, first, last } => {
            ("undelivered", json!({"friend": friend.index(), "first": first, "last": last}))
        }
        ToxEvent::Writable { friend } => ("writable", json!({"friend": friend.index()})),
        ToxEvent::Proxy(trouble) => ("proxy", json!({"trouble": trouble_name(*trouble), "error": trouble.to_string()})),
        ToxEvent::ProfileNotSaved { reason } => ("profile_not_saved", json!({"error": reason})),
        _ => ("unknown_event", json!({})),
    }
}

pub(super) const fn connection_name(connection: Connection) -> &'static str {
    match connection {
        Connection::None => "none",
        Connection::Tcp => "tcp",
        Connection::Udp => "udp",
    }
}

pub(super) const fn status_name(status: UserStatus) -> &'static str {
    match status {
        UserStatus::None => "none",
        UserStatus::Away => "away",
        UserStatus::Busy => "busy",
    }
}

const fn trouble_name(trouble: ProxyTrouble) -> &'static str {
    match trouble {
        ProxyTrouble::Down => "down",
        ProxyTrouble::Refused(_) => "refused",
        ProxyTrouble::NeedsCredentials => "needs_credentials",
        ProxyTrouble::BadCredentials => "bad_credentials",
        ProxyTrouble::NotAProxy => "not_a_proxy",
    }
}

const fn kind_name(kind: MessageKind) -> &'static str {
    match kind {
        MessageKind::Normal => "normal",
        MessageKind::Action => "action",
    }
}

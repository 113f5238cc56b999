//! The commands: a JSON line in, a reply out. Errors are worded as toxpeer words those of libtoxcore.

use super::args::{Args, COMMANDS};
use super::bench::{Flood, Sink};
use super::events::{connection_name, status_name};
use super::output::{hex, text};
use super::{Failure, Headless};
use bluering::core::crypto::{Nospam, PublicKey, ToxId, ToxIdError};
use bluering::core::{AddFriendError, FriendId, MessageKind, OwnAddress, SendError, UserStatus};
use bluering::{BootstrapError, CommandError, ProfileStore, Stopped};
use serde_json::{Map, Value, json};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

impl Headless {
    /// Answers one line.
    pub(super) async fn on_line(&mut self, line: &str) -> Result<(), Failure> {
        if line.trim().is_empty() {
            return Ok(());
        }
        let (id, args) = Args::parse(line);
        let result = match &args {
            Ok(args) => self.dispatch(args, &id).await.map(|fields| (args.command, fields)),
            Err(error) => Err(error.clone()),
        };
        let reply = match result {
            Ok((command, Some(mut fields))) => {
                fields["id"] = id;
                fields["ok"] = json!(true);
                fields["cmd"] = json!(command);
                fields
            }
            Ok((_, None)) => return self.drive_flood().await,
            Err(error) => json!({"id": id, "ok": false, "error": error}),
        };
        Ok(self.out.emit("reply", reply)?)
    }

    /// The fields of the reply; `None` when it comes later.
    async fn dispatch(&mut self, args: &Args, id: &Value) -> Result<Option<Value>, String> {
        let fields = match args.command {
            "self" => self.describe().await.map_err(say)?,
            "bootstrap" => self.bootstrap(args).await?,
            "add_tcp_relay" => self.add_relay(args, "port").await?,
            "set_name" => refused("tox_self_set_name", self.tox.set_name(args.text("name")?).await)?,
            "set_status_message" => {
                refused("tox_self_set_status_message", self.tox.set_status_message(args.text("text")?).await)?
            }
            "set_status" => self.set_status(args).await?,
            "set_nospam" => self.set_nospam(args).await?,
            "add_friend" => self.add_friend(args).await?,
            "accept" => self.accept(args).await?,
            "delete_friend" => self.delete_friend(args).await?,
            "friends" => self.friends().await.map_err(say)?,
            "set_typing" => self.set_typing(args).await?,
            "send_message" => self.send_message(args).await?,
            "send_lossless" => self.send_custom(args, "tox_friend_send_lossless_packet", true).await?,
            "send_lossy" => self.send_custom(args, "tox_friend_send_lossy_packet", false).await?,
            "save" => self.save(args).await?,
            "freeze" => self.freeze(args).await?,
            "quit" => self.quit(args).await?,
            "help" => {
                let all = COMMANDS.iter().map(|(name, args)| ((*name).to_string(), json!(args)));
                json!({"commands": all.collect::<Map<_, _>>()})
            }
            "flood" => return self.start_flood(args, id).await.map(|()| None),
            "sink" => self.sink(args)?,
            command => return Err(format!("unknown command {command}")),
        };
        Ok(Some(fields))
    }

    /// Ourselves, as in `ready`.
    pub(super) async fn describe(&self) -> Result<Value, Stopped> {
        let me = self.tox.me().await?;
        let address = |own: &OwnAddress| json!({"at": own.at.to_string(), "same_for_all": own.same_for_all});
        Ok(json!({
            "address": me.tox_id.to_string(),
            "pk": hex(&me.tox_id.public_key.0),
            "dht_id": hex(&self.tox.dht_key().0),
            "version": env!("CARGO_PKG_VERSION"),
            "lib": "bluering",
            "features": [],
            "nospam": me.tox_id.nospam.to_string(),
            "name": String::from_utf8_lossy(&me.name),
            "status_message": String::from_utf8_lossy(&me.status_message),
            "status": status_name(me.status),
            "connection": connection_name(me.connection),
            "addresses": me.addresses.iter().map(address).collect::<Vec<_>>(),
            "udp_port": self.tox.local().port(),
            "tcp_port": null,
        }))
    }

    /// With a TCP port, the node is a relay, too.
    async fn bootstrap(&self, args: &Args) -> Result<Value, String> {
        if args.value("tcp_port").is_some() {
            self.add_relay(args, "tcp_port").await?;
        }
        let key = public_key(args, args.text("pk")?)?;
        let port = u16::try_from(args.number("port")?).ok().filter(|port| *port > 0);
        let port = port.ok_or("tox_bootstrap: BAD_PORT")?;
        match self.tox.bootstrap(args.text("host")?, port, key).await {
            Ok(()) => Ok(json!({})),
            Err(error @ BootstrapError::Resolve(_)) => Err(format!("tox_bootstrap: BAD_HOST: {error}")),
            Err(error) => Err(format!("tox_bootstrap: {error}")),
        }
    }

    async fn add_relay(&self, args: &Args, port: &str) -> Result<Value, String> {
        let key = public_key(args, args.text("pk")?)?;
        let port = u16::try_from(args.number(port)?).ok().filter(|port| *port > 0);
        let port = port.ok_or("tox_add_tcp_relay: BAD_PORT")?;
        match self.tox.add_relay(args.text("host")?, port, key).await {
            Ok(_) => Ok(json!({})),
            Err(error @ BootstrapError::Resolve(_)) => Err(format!("tox_add_tcp_relay: BAD_HOST: {error}")),
            Err(error) => Err(format!("tox_add_tcp_relay: {error}")),
        }
    }

    async fn set_status(&self, args: &Args) -> Result<Value, String> {
        let status = match args.choice("status", &["none", "away", "busy"], None)? {
            0 => UserStatus::None,
            1 => UserStatus::Away,
            _ => UserStatus::Busy,
        };
        self.tox.set_status(status).await.map_err(say)?;
        Ok(json!({}))
    }

    async fn set_nospam(&self, args: &Args) -> Result<Value, String> {
        let number = match args.value("nospam").and_then(Value::as_u64) {
            Some(number) => u32::try_from(number).ok(),
            None => u32::from_str_radix(args.text("nospam")?, 16).ok(),
        };
        let number = number.ok_or("set_nospam: the argument nospam must be 8 hexadecimal digits")?;
        self.tox.set_nospam(Nospam(number.to_be_bytes())).await.map_err(say)?;
        self.describe().await.map_err(say)
    }

    async fn add_friend(&self, args: &Args) -> Result<Value, String> {
        let to: ToxId = args.text("address")?.parse().map_err(|error| match error {
            ToxIdError::Checksum | ToxIdError::Key => "tox_friend_add: BAD_CHECKSUM".to_string(),
            ToxIdError::Length(_) | ToxIdError::Digit(_) => format!("add_friend: address: {error}"),
        })?;
        let added = self.tox.add_friend(to, args.text_or("message", "hello")?).await;
        added.map(friend_number).map_err(|error| add_friend_error("tox_friend_add", &error))
    }

    /// As toxpeer does, a whole Tox ID will do: its key comes first.
    async fn accept(&self, args: &Args) -> Result<Value, String> {
        let text = args.text("pk")?;
        let key = public_key(args, text.get(..64).unwrap_or(text))?;
        let added = self.tox.accept(key).await;
        added.map(friend_number).map_err(|error| add_friend_error("tox_friend_add_norequest", &error))
    }

    async fn delete_friend(&self, args: &Args) -> Result<Value, String> {
        let friend = self.friend(args, "tox_friend_delete").await?;
        self.tox.remove_friend(friend).await.map_err(say)?;
        Ok(json!({}))
    }

    async fn friends(&self) -> Result<Value, Stopped> {
        let friends = self.tox.friends().await?;
        let friends: Vec<_> = friends
            .iter()
            .map(|friend| {
                json!({
                    "friend": friend.id.index(),
                    "pk": hex(&friend.key.0),
                    "name": text(&friend.name),
                    "status_message": text(&friend.status_message),
                    "connection": connection_name(friend.connection),
                    "status": status_name(friend.status),
                })
            })
            .collect();
        Ok(json!({"friends": friends}))
    }

    async fn set_typing(&self, args: &Args) -> Result<Value, String> {
        let friend = self.friend(args, "tox_self_set_typing").await?;
        let set = self.tox.set_typing(friend, args.flag_or("typing", true)?).await;
        set.map_err(|error| send_error("tox_self_set_typing", &error))?;
        Ok(json!({}))
    }

    async fn send_custom(&self, args: &Args, call: &str, lossless: bool) -> Result<Value, String> {
        let friend = self.friend(args, call).await?;
        let sent = self.tox.send_custom(friend, args.hex("hex")?, lossless).await;
        sent.map_err(|error| send_error(call, &error))?;
        Ok(json!({}))
    }

    async fn send_message(&self, args: &Args) -> Result<Value, String> {
        const CALL: &str = "tox_friend_send_message";
        let friend = self.friend(args, CALL).await?;
        let kind = match args.choice("type", &["normal", "action"], Some(0))? {
            0 => MessageKind::Normal,
            _ => MessageKind::Action,
        };
        let sent = self.tox.send_message(friend, kind, args.body()?).await;
        sent.map(|number| json!({"message_id": number})).map_err(|error| send_error(CALL, &error))
    }

    /// To `path` (default: `--save`); "-" returns the profile itself.
    async fn save(&self, args: &Args) -> Result<Value, String> {
        if args.value("password").is_some() {
            return Err("save: encrypted profiles are not supported yet".to_string());
        }
        let path = match args.text_or("path", "")? {
            "" => self.options.client.save.clone().ok_or("no path")?,
            "-" => return Ok(json!({"hex": hex(&self.tox.profile().await.map_err(say)?)})),
            path => PathBuf::from(path),
        };
        self.save_to(&path).await
    }

    /// A file that is no profile is not replaced.
    async fn save_to(&self, path: &Path) -> Result<Value, String> {
        let bytes = self.tox.profile().await.map_err(say)?;
        let (reply, path) = (json!({"path": path, "bytes": bytes.len(), "encrypted": false}), path.to_path_buf());
        smol::unblock(move || {
            let (store, _) = ProfileStore::open(&path).map_err(say)?;
            store.write(&bytes).map_err(say)
        })
        .await?;
        Ok(reply)
    }

    async fn freeze(&self, args: &Args) -> Result<Value, String> {
        let time = Duration::try_from_secs_f64(args.seconds("seconds")?).map_err(say)?;
        self.tox.freeze(time).await.map_err(say)?;
        Ok(json!({}))
    }

    async fn quit(&mut self, args: &Args) -> Result<Value, String> {
        let saved = match &self.options.client.save {
            Some(path) if args.flag_or("save", false)? => self.save_to(path).await?,
            None if args.flag_or("save", false)? => return Err("no path".to_string()),
            Some(_) | None => json!({}),
        };
        self.stopping = true;
        Ok(saved)
    }

    async fn start_flood(&mut self, args: &Args, id: &Value) -> Result<(), String> {
        if self.flood.is_some() {
            return Err("a flood is under way".to_string());
        }
        let friend = self.friend(args, "flood").await?;
        let bytes = usize::try_from(args.number("bytes")?).map_err(say)?;
        let (count, window) = (args.number("count")?, args.number("window")?.max(1));
        self.flood = Some(Flood::new(id.clone(), friend, bytes, count, window));
        Ok(())
    }

    /// Reports what was counted so far, and counts on from zero or prints again.
    fn sink(&mut self, args: &Args) -> Result<Value, String> {
        let report = self.sink.as_ref().map_or_else(|| json!({}), Sink::report);
        self.sink = args.flag_or("on", true)?.then(Sink::new);
        Ok(report)
    }

    async fn friend(&self, args: &Args, call: &str) -> Result<FriendId, String> {
        let index = usize::try_from(args.number("friend")?).map_err(say)?;
        let friend = self.tox.friend_by_index(index).await.map_err(say)?;
        friend.ok_or_else(|| format!("{call}: FRIEND_NOT_FOUND"))
    }
}

fn say(error: impl Display) -> String {
    error.to_string()
}

fn friend_number(friend: FriendId) -> Value {
    json!({"friend": friend.index()})
}

fn public_key(args: &Args, text: &str) -> Result<PublicKey, String> {
    let wrong = || format!("{}: the argument pk must be 64 hexadecimal digits", args.command);
    PublicKey::from_hex(text).ok_or_else(wrong)
}

fn refused(call: &str, result: Result<(), CommandError<bluering::core::TooLong>>) -> Result<Value, String> {
    match result {
        Ok(()) => Ok(json!({})),
        Err(CommandError::Refused(_)) => Err(format!("{call}: TOO_LONG")),
        Err(error @ CommandError::Stopped) => Err(error.to_string()),
    }
}

pub(super) fn add_friend_error(call: &str, error: &CommandError<AddFriendError>) -> String {
    let name = match error {
        CommandError::Stopped => return error.to_string(),
        CommandError::Refused(AddFriendError::NoMessage) => "NO_MESSAGE",
        CommandError::Refused(AddFriendError::TooLong) => "TOO_LONG",
        CommandError::Refused(AddFriendError::OwnKey) => "OWN_KEY",
        CommandError::Refused(AddFriendError::AlreadyFriend) => "ALREADY_SENT",
        CommandError::Refused(AddFriendError::NewNospam) => "SET_NEW_NOSPAM",
        CommandError::Refused(AddFriendError::BadKey) => "BAD_CHECKSUM",
        CommandError::Refused(AddFriendError::Full) => "MALLOC",
    };
    format!("{call}: {name}")
}

pub(super) fn send_error(call: &str, error: &CommandError<SendError>) -> String {
    let name = match error {
        CommandError::Stopped => return error.to_string(),
        CommandError::Refused(SendError::NoFriend) => "FRIEND_NOT_FOUND",
        CommandError::Refused(SendError::NotConnected) => "FRIEND_NOT_CONNECTED",
        CommandError::Refused(SendError::Empty) => "EMPTY",
        CommandError::Refused(SendError::TooLong) => "TOO_LONG",
        CommandError::Refused(SendError::Full) => "SENDQ",
        CommandError::Refused(SendError::BadId) => "INVALID",
    };
    format!("{call}: {name}")
}

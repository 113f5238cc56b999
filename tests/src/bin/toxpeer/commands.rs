//! The commands: JSON object in, reply out.

use crate::bench::{Flood, Sink};
use crate::{CONNECTIONS, MESSAGE_TYPES, Peer, STATUSES, name};
use core::ffi::c_int;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Every command and its arguments, for `help`.
const COMMANDS: &[(&str, &[&str])] = &[
    ("self", &[]),
    ("bootstrap", &["host", "port", "pk", "tcp_port"]),
    ("set_name", &["name"]),
    ("set_status_message", &["text"]),
    ("set_status", &["status"]),
    ("set_nospam", &["nospam"]),
    ("add_friend", &["address", "message"]),
    ("accept", &["pk"]),
    ("delete_friend", &["friend"]),
    ("friends", &[]),
    ("set_typing", &["friend", "typing"]),
    ("send_message", &["friend", "text", "hex", "type"]),
    ("group_new", &["public"]),
    ("group_join", &["chat_id"]),
    ("group_invite", &["group", "friend"]),
    ("group_accept", &["friend", "data"]),
    ("group_message", &["group", "text"]),
    ("save", &["path"]),
    ("quit", &["save"]),
    ("help", &[]),
    ("flood", &["friend", "bytes", "count", "window"]),
    ("sink", &["on"]),
];

impl Peer {
    /// Answers one command line.
    pub(crate) fn handle(&mut self, line: &str) {
        let (id, command, outcome) = match serde_json::from_str::<Map<String, Value>>(line) {
            Ok(fields) => {
                let args = Args(fields);
                let id = args.0.get("id").cloned().unwrap_or(Value::Null);
                let command = args.text("cmd").unwrap_or_default().to_string();
                let outcome = self.dispatch(&command, &id, &args);
                (id, command, outcome)
            }
            Err(why) => (Value::Null, String::new(), Err(why.to_string())),
        };
        let mut reply = match outcome {
            Ok(Some(more)) => more,
            Ok(None) => return,
            Err(why) => return self.emit("reply", json!({"id": id, "ok": false, "error": why})),
        };
        if let Some(fields) = reply.as_object_mut() {
            fields.insert("id".into(), id);
            fields.insert("ok".into(), json!(true));
            fields.insert("cmd".into(), json!(command));
        }
        self.emit("reply", reply);
    }

    /// The fields of the reply, or nothing when it comes later.
    fn dispatch(&mut self, command: &str, id: &Value, args: &Args) -> Result<Option<Value>, String> {
        let fields = match command {
            "self" => self.describe(),
            "bootstrap" => {
                let tcp_port = args.optional_number("tcp_port")?.map(port).transpose()?;
                self.bootstrap(args.text("host")?, port(args.number("port")?)?, args.text("pk")?, tcp_port)?;
                json!({})
            }
            "set_name" => self.tox.set_name(args.text("name")?.as_bytes()).map(|()| json!({}))?,
            "set_status_message" => self.tox.set_status_message(args.text("text")?.as_bytes()).map(|()| json!({}))?,
            "set_status" => {
                self.tox.set_status(index(STATUSES, args.text("status")?, "status")?);
                json!({})
            }
            "set_nospam" => {
                self.tox.set_nospam(args.nospam()?);
                self.describe()
            }
            "add_friend" => {
                let message = args.optional_text("message").unwrap_or("hello");
                json!({"friend": self.tox.add_friend(&unhex(args.text("address")?)?, message.as_bytes())?})
            }
            "accept" => json!({"friend": self.tox.accept(&unhex(args.text("pk")?)?)?}),
            "delete_friend" => self.tox.delete_friend(args.friend()?).map(|()| json!({}))?,
            "friends" => self.friends()?,
            "set_typing" => self.tox.set_typing(args.friend()?, args.flag("typing", true)).map(|()| json!({}))?,
            "send_message" => self.send_message(args)?,
            "group_new" | "group_join" | "group_invite" | "group_accept" | "group_message" => {
                self.group(command, args)?
            }
            "save" => self.save(args.optional_text("path"))?,
            "quit" => self.quit(args)?,
            "help" => help(),
            "flood" => return self.flood(id, args).map(|()| None),
            "sink" => self.sink(args),
            other => return Err(format!("unknown command {other}")),
        };
        Ok(Some(fields))
    }

    fn group(&self, command: &str, args: &Args) -> Result<Value, String> {
        let ((groups, tox), nick) = (self.tox.groups()?, self.tox.name());
        Ok(match command {
            "group_new" => {
                let (group, chat) = groups.create(tox, args.flag("public", true), &nick)?;
                json!({"group": group, "chat_id": hex(&chat)})
            }
            "group_join" => json!({"group": groups.join(tox, &unhex(args.text("chat_id")?)?, &nick)?}),
            "group_invite" => {
                groups.invite(tox, args.number("group")? as u32, args.friend()?)?;
                json!({})
            }
            "group_accept" => {
                json!({"group": groups.accept(tox, args.friend()?, &unhex(args.text("data")?)?, &nick)?})
            }
            _ => {
                groups.say(tox, args.number("group")? as u32, args.text("text")?.as_bytes())?;
                json!({})
            }
        })
    }

    /// What `ready` and `self` tell.
    pub(crate) fn describe(&self) -> Value {
        let tox = &self.tox;
        json!({"address": hex(&tox.address()), "pk": hex(&tox.public_key()), "dht_id": hex(&tox.dht_id()),
               "version": tox.version(), "lib": "libtoxcore", "features": [], "nospam": format!("{:08X}", tox.nospam()),
               "name": String::from_utf8_lossy(&tox.name()),
               "status_message": String::from_utf8_lossy(&tox.status_message()),
               "status": name(STATUSES, tox.status()), "connection": name(CONNECTIONS, tox.connection()),
               "udp_port": tox.udp_port(), "tcp_port": null})
    }

    /// Bootstraps from `HOST:PORT:PK[:TCPPORT]`.
    pub(crate) fn bootstrap_from(&mut self, node: &str) -> Result<(), String> {
        let bad = || format!("not HOST:PORT:PK[:TCPPORT]: {node}");
        let mut parts: Vec<&str> = node.rsplitn(4, ':').collect();
        parts.reverse();
        let (host, port_text, key, tcp_port) = match parts[..] {
            [host, port, key, tcp_port] if tcp_port.len() <= 5 => (host, port, key, Some(tcp_port)),
            [_, _, _, _] => {
                let (rest, key) = node.rsplit_once(':').ok_or_else(bad)?;
                let (host, port) = rest.rsplit_once(':').ok_or_else(bad)?;
                (host, port, key, None)
            }
            [host, port, key] => (host, port, key, None),
            _ => return Err(bad()),
        };
        let tcp_port = tcp_port.map(|text| text.parse().map_err(|_| bad())).transpose()?;
        let host = host.trim_matches(['[', ']']);
        self.bootstrap(host, port_text.parse().map_err(|_| bad())?, key, tcp_port)
    }

    fn bootstrap(&mut self, host: &str, port: u16, key: &str, tcp_port: Option<u16>) -> Result<(), String> {
        let key = unhex(key)?;
        self.tox.bootstrap(host, port, &key)?;
        tcp_port.map_or(Ok(()), |tcp_port| self.tox.add_tcp_relay(host, tcp_port, &key))
    }

    fn friends(&self) -> Result<Value, String> {
        let friend = |f: crate::tox::Friend| {
            json!({"friend": f.number, "pk": hex(&f.key), "name": String::from_utf8_lossy(&f.name),
                   "status_message": String::from_utf8_lossy(&f.status_message),
                   "connection": name(CONNECTIONS, f.connection), "status": name(STATUSES, f.status)})
        };
        let friends: Vec<Value> = self.tox.friends()?.into_iter().map(friend).collect();
        Ok(json!({"friends": friends}))
    }

    fn send_message(&mut self, args: &Args) -> Result<Value, String> {
        let kind = index(MESSAGE_TYPES, args.optional_text("type").unwrap_or("normal"), "type")?;
        let body = match args.optional_text("hex") {
            Some(digits) => unhex(digits)?,
            None => args.optional_text("text").unwrap_or_default().as_bytes().to_vec(),
        };
        Ok(json!({"message_id": self.tox.send_message(args.friend()?, kind, &body)?}))
    }

    /// Writes the profile to `path` (`--save` when not given); `-` puts it into the reply instead.
    pub(crate) fn save(&mut self, path: Option<&str>) -> Result<Value, String> {
        let data = self.tox.savedata();
        if path == Some("-") {
            return Ok(json!({"hex": hex(&data)}));
        }
        let path = path.map(PathBuf::from).or_else(|| self.options.save.clone()).ok_or("no path")?;
        let mut new = path.clone().into_os_string();
        new.push(".tmp");
        let written = std::fs::write(&new, &data).and_then(|()| std::fs::rename(&new, &path));
        written.map_err(|why| format!("{}: {why}", path.display()))?;
        Ok(json!({"path": path, "bytes": data.len(), "encrypted": false}))
    }

    fn quit(&mut self, args: &Args) -> Result<Value, String> {
        let saved = if args.flag("save", false) { self.save(None)? } else { json!({}) };
        self.stopping = true;
        Ok(saved)
    }

    fn flood(&mut self, id: &Value, args: &Args) -> Result<(), String> {
        if self.flood.is_some() {
            return Err("a flood is under way".into());
        }
        let bytes = usize::try_from(args.number("bytes")?).map_err(|why| why.to_string())?;
        let (count, window) = (args.number("count")?, args.number("window")?.max(1));
        self.flood = Some(Flood::new(id.clone(), args.friend()?, bytes, count, window));
        Ok(())
    }

    fn sink(&mut self, args: &Args) -> Value {
        let report = self.sink.as_ref().map_or_else(|| json!({}), Sink::report);
        self.sink = args.flag("on", true).then(Sink::new);
        report
    }
}

fn help() -> Value {
    let commands: Map<String, Value> = COMMANDS.iter().map(|(name, args)| ((*name).into(), json!(args))).collect();
    json!({ "commands": commands })
}

/// The fields of a command.
struct Args(Map<String, Value>);

impl Args {
    fn text(&self, field: &str) -> Result<&str, String> {
        self.optional_text(field).ok_or_else(|| format!("missing text: {field}"))
    }

    fn optional_text(&self, field: &str) -> Option<&str> {
        self.0.get(field).and_then(Value::as_str)
    }

    fn number(&self, field: &str) -> Result<u64, String> {
        self.optional_number(field)?.ok_or_else(|| format!("missing number: {field}"))
    }

    fn optional_number(&self, field: &str) -> Result<Option<u64>, String> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| format!("not a number: {field}")),
        }
    }

    fn friend(&self) -> Result<u32, String> {
        u32::try_from(self.number("friend")?).map_err(|why| why.to_string())
    }

    fn flag(&self, field: &str, default: bool) -> bool {
        self.0.get(field).and_then(Value::as_bool).unwrap_or(default)
    }

    /// Hexadecimal text or a number.
    fn nospam(&self) -> Result<u32, String> {
        match self.optional_text("nospam") {
            Some(digits) => u32::from_str_radix(digits, 16).map_err(|why| why.to_string()),
            None => u32::try_from(self.number("nospam")?).map_err(|why| why.to_string()),
        }
    }
}

fn port(number: u64) -> Result<u16, String> {
    u16::try_from(number).map_err(|_| format!("not a port: {number}"))
}

fn index(names: &[&str], wanted: &str, what: &str) -> Result<c_int, String> {
    let at = names.iter().position(|name| *name == wanted).and_then(|i| c_int::try_from(i).ok());
    at.ok_or_else(|| format!("{what} must be one of {names:?}"))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

pub(crate) fn unhex(digits: &str) -> Result<Vec<u8>, String> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
        _ => None,
    };
    pairs.map(byte).collect::<Option<_>>().ok_or_else(|| format!("not hexadecimal: {digits}"))
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

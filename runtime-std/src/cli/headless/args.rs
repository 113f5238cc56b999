//! The arguments of a command, taken apart with errors that name them.

use serde_json::{Map, Value};

/// Every command and its arguments, as `help` lists them.
pub(super) const COMMANDS: &[(&str, &[&str])] = &[
    ("self", &[]),
    ("bootstrap", &["host", "port", "pk", "tcp_port"]),
    ("add_tcp_relay", &["host", "port", "pk"]),
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
    ("send_lossless", &["friend", "hex"]),
    ("send_lossy", &["friend", "hex"]),
    ("save", &["path", "password"]),
    ("freeze", &["seconds"]),
    ("quit", &["save"]),
    ("help", &[]),
    ("flood", &["friend", "bytes", "count", "window"]),
    ("sink", &["on"]),
];

/// A command line taken apart.
#[derive(Debug)]
pub(super) struct Args {
    pub(super) command: &'static str,
    fields: Map<String, Value>,
}

impl Args {
    /// Splits a line; the id comes back in any case, so that the answer can carry it.
    pub(super) fn parse(line: &str) -> (Value, Result<Self, String>) {
        let mut fields: Map<String, Value> = match serde_json::from_str(line) {
            Ok(fields) => fields,
            Err(error) => return (Value::Null, Err(format!("not a JSON object: {error}"))),
        };
        let id = fields.remove("id").unwrap_or(Value::Null);
        (id, Self::check(fields))
    }

    fn check(mut fields: Map<String, Value>) -> Result<Self, String> {
        let Some(Value::String(name)) = fields.remove("cmd") else {
            return Err("the argument cmd is missing or no text".to_string());
        };
        let Some((command, known)) = COMMANDS.iter().find(|(command, _)| *command == name) else {
            return Err(format!("unknown command {name}"));
        };
        if let Some(field) = fields.keys().find(|field| !known.contains(&field.as_str())) {
            return Err(format!("{command}: unknown argument {field}"));
        }
        Ok(Self { command, fields })
    }

    /// A null is as good as nothing.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text_or<'a>(&'a self, name: &str, default: &'a str) -> Result<&'a str, String> {
        match self.value(name) {
            None => Ok(default),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(self.wrong(name, "text")),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<&str, String> {
        self.value(name).ok_or_else(|| self.missing(name))?;
        self.text_or(name, "")
    }

    pub(super) fn number(&self, name: &str) -> Result<u64, String> {
        let value = self.value(name).ok_or_else(|| self.missing(name))?;
        value.as_u64().ok_or_else(|| self.wrong(name, "a number"))
    }

    pub(super) fn seconds(&self, name: &str) -> Result<f64, String> {
        let value = self.value(name).ok_or_else(|| self.missing(name))?;
        value.as_f64().ok_or_else(|| self.wrong(name, "a number"))
    }

    /// Python's truth: numbers are allowed.
    pub(super) fn flag_or(&self, name: &str, default: bool) -> Result<bool, String> {
        match self.value(name) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::Number(number)) => Ok(number.as_f64() != Some(0.0)),
            Some(_) => Err(self.wrong(name, "true or false")),
        }
    }

    /// One of `names`, by name or by number.
    pub(super) fn choice(&self, name: &str, names: &[&str], default: Option<usize>) -> Result<usize, String> {
        let Some(value) = self.value(name) else { return default.ok_or_else(|| self.missing(name)) };
        let by_name = value.as_str().and_then(|text| names.iter().position(|name| *name == text));
        let by_number = value.as_u64().and_then(|number| usize::try_from(number).ok()).filter(|n| *n < names.len());
        by_name.or(by_number).ok_or_else(|| self.wrong(name, &format!("one of {names:?}")))
    }

    /// Hexadecimal of any length.
    pub(super) fn hex(&self, name: &str) -> Result<Vec<u8>, String> {
        let digits = self.text(name)?.as_bytes();
        let digit = |digit: &u8| char::from(*digit).to_digit(16);
        let byte = |pair: &[u8]| match pair {
            [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
        bytes.ok_or_else(|| self.wrong(name, "hexadecimal"))
    }

    /// `hex` if it is there, otherwise `text`.
    pub(super) fn body(&self) -> Result<Vec<u8>, String> {
        if self.value("hex").is_some() { self.hex("hex") } else { Ok(self.text_or("text", "")?.into()) }
    }

    fn missing(&self, name: &str) -> String {
        format!("{}: the argument {name} is missing", self.command)
    }

    fn wrong(&self, name: &str, wanted: &str) -> String {
        format!("{}: the argument {name} must be {wanted}", self.command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn error(line: &str) -> String {
        Args::parse(line).1.expect_err(line)
    }

    #[test]
    fn what_is_unknown_is_named() {
        assert_eq!(error(r#"{"cmd":"fly"}"#), "unknown command fly");
        assert_eq!(error(r#"{"cmd":"accept","key":"00"}"#), "accept: unknown argument key");
        assert_eq!(error(r#"{"id":1}"#), "the argument cmd is missing or no text");
        assert!(error("quit").starts_with("not a JSON object: "));
        assert_eq!(Args::parse(r#"{"cmd":"fly","id":[7]}"#).0, json!([7]));
    }

    #[test]
    fn arguments_are_typed() {
        let args = |fields: Value| {
            let line = fields.to_string();
            Args::parse(&line).1.expect("well-formed")
        };
        let send = args(json!({"cmd": "send_message", "friend": "x", "hex": "0aFF", "type": "action"}));
        assert_eq!(send.number("friend"), Err("send_message: the argument friend must be a number".to_string()));
        assert_eq!(send.body(), Ok(vec![10, 255]));
        assert_eq!(send.choice("type", &["normal", "action"], Some(0)), Ok(1));
        let odd = args(json!({"cmd": "send_message", "hex": "abc", "text": null}));
        assert_eq!(odd.body(), Err("send_message: the argument hex must be hexadecimal".to_string()));
        assert_eq!(odd.text("text"), Err("send_message: the argument text is missing".to_string()));
        let signs = args(json!({"cmd": "send_message", "hex": "+1+2"}));
        assert!(signs.body().is_err());
    }
}

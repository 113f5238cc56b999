//! The syntax of libconfig, in which tox-bootstrapd's configuration is written: `name = value;` with numbers, truth
//! values, strings, groups `{}`, lists `()` and arrays `[]`, and comments of three kinds.
//!
//! Every value keeps its line, so that what is wrong with it can be told with its place. Groups and lists are not
//! nested deeper than [`DEPTH_MAX`], so no file can exhaust the stack.

use std::fmt;

/// How deep groups and lists may be nested.
const DEPTH_MAX: usize = 16;

/// A named value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) item: Item,
}

/// A value, and the line on which it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) line: usize,
    pub(super) value: Value,
}

/// A value. Lists and arrays are told apart by libconfig only to check that an array's elements are alike.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    Group(Vec<Setting>),
    List(Vec<Item>),
}

/// What is wrong, and on which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) line: usize,
    pub(super) what: String,
}

/// Reads a file.
pub(super) fn parse(text: &str) -> Result<Vec<Setting>, SyntaxError> {
    let mut parser = Parser { rest: text, line: 1, depth: 0 };
    let settings = parser.settings()?;
    match parser.rest.chars().next() {
        None => Ok(settings),
        Some(found) => Err(parser.wrong(format!("'{found}' where a name was expected"))),
    }
}

struct Parser<'a> {
    rest: &'a str,
    line: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    /// Settings up to something that is no name.
    fn settings(&mut self) -> Result<Vec<Setting>, SyntaxError> {
        let mut settings: Vec<Setting> = Vec::new();
        self.skip_blanks()?;
        while let Some(name) = self.name() {
            if settings.iter().any(|known| known.name == name) {
                return Err(self.wrong(format!("{name} is set twice")));
            }
            self.skip_blanks()?;
            if !self.eat('=') && !self.eat(':') {
                return Err(self.wrong(format!("'=' is missing after {name}")));
            }
            self.skip_blanks()?;
            let item = self.item()?;
            settings.push(Setting { name: name.to_string(), item });
            self.skip_blanks()?;
            if self.eat(';') || self.eat(',') {
                self.skip_blanks()?;
            }
        }
        if self.rest.starts_with('@') {
            return Err(self.wrong("@include is not supported: write the other file's settings here".to_string()));
        }
        Ok(settings)
    }

    fn name(&mut self) -> Option<&'a str> {
        let starts = self.rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*');
        starts.then(|| self.take_while(|c| c.is_ascii_alphanumeric() || "*_-".contains(c)))
    }

    fn item(&mut self) -> Result<Item, SyntaxError> {
        let line = self.line;
        let value = match self.rest.chars().next() {
            Some('{') => self.nested('}', |parser| parser.settings().map(Value::Group))?,
            Some('(') => self.nested(')', |parser| parser.elements(')'))?,
            Some('[') => self.nested(']', |parser| parser.elements(']'))?,
            Some('"') => Value::Text(self.strings()?),
            _ => self.scalar()?,
        };
        Ok(Item { line, value })
    }

    fn nested(
        &mut self,
        end: char,
        inside: impl FnOnce(&mut Self) -> Result<Value, SyntaxError>,
    ) -> Result<Value, SyntaxError> {
        let opened = self.line;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong(format!("nested deeper than {DEPTH_MAX} times")));
        }
        self.advance(1);
        let value = inside(self)?;
        self.skip_blanks()?;
        if !self.eat(end) {
            return Err(self.wrong(format!("'{end}' is missing for what was opened on line {opened}")));
        }
        self.depth -= 1;
        Ok(value)
    }

    fn elements(&mut self, end: char) -> Result<Value, SyntaxError> {
        let mut items = Vec::new();
        self.skip_blanks()?;
        while !self.rest.is_empty() && !self.rest.starts_with(end) {
            items.push(self.item()?);
            self.skip_blanks()?;
            if !self.eat(',') {
                break;
            }
            self.skip_blanks()?;
        }
        Ok(Value::List(items))
    }

    /// Strings that stand side by side are one.
    fn strings(&mut self) -> Result<String, SyntaxError> {
        let mut text = Vec::new();
        while self.eat('"') {
            self.string(&mut text)?;
            self.skip_blanks()?;
        }
        String::from_utf8(text).map_err(|_| self.wrong("a string that is not UTF-8".to_string()))
    }

    fn string(&mut self, text: &mut Vec<u8>) -> Result<(), SyntaxError> {
        let opened = self.line;
        loop {
            let plain = self.take_while(|c| c != '"' && c != '\\');
            text.extend_from_slice(plain.as_bytes());
            if self.eat('"') {
                return Ok(());
            }
            let escape = self.rest.strip_prefix('\\').and_then(|rest| rest.chars().next());
            let (byte, len) = match escape {
                Some('x') => match self.rest.get(2..4).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                    Some(byte) => (byte, 4),
                    None => return Err(self.wrong("\\x needs two hexadecimal digits".to_string())),
                },
                Some('n') => (b'\n', 2),
                Some('r') => (b'\r', 2),
                Some('t') => (b'\t', 2),
                Some('f') => (0x0c, 2),
                Some('a') => (0x07, 2),
                Some('b') => (0x08, 2),
                Some('v') => (0x0b, 2),
                Some(same @ ('"' | '\\')) => (same as u8, 2),
                Some(other) => return Err(self.wrong(format!("'\\{other}' is no escape of libconfig"))),
                None => return Err(SyntaxError { line: opened, what: "a string does not end".to_string() }),
            };
            text.push(byte);
            self.advance(len);
        }
    }

    fn scalar(&mut self) -> Result<Value, SyntaxError> {
        let word = self.take_while(|c| c.is_ascii_alphanumeric() || "+-._".contains(c));
        let truth = [("true", true), ("false", false)].into_iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        if let Some((_, truth)) = truth {
            return Ok(Value::Bool(truth));
        }
        if let Some(number) = integer(word) {
            return Ok(Value::Integer(number));
        }
        let is_float =
            word.contains(['.', 'e', 'E']) && !word.contains(|c: char| c.is_ascii_alphabetic() && c != 'e' && c != 'E');
        match word.parse::<f64>() {
            Ok(number) if is_float && number.is_finite() => Ok(Value::Float(number)),
            Ok(_) | Err(_) => Err(self.wrong(match (word, self.rest.chars().next()) {
                ("", Some(found)) => format!("'{found}' where a value was expected"),
                ("", None) => "the file ends where a value was expected".to_string(),
                (word, _) => format!("'{word}' is no value: texts stand in double quotes"),
            })),
        }
    }

    fn skip_blanks(&mut self) -> Result<(), SyntaxError> {
        loop {
            self.take_while(char::is_whitespace);
            if self.rest.starts_with('#') || self.rest.starts_with("//") {
                self.take_while(|c| c != '\n');
            } else if self.rest.starts_with("/*") {
                let end = self.rest.find("*/").ok_or_else(|| self.wrong("a comment does not end".to_string()))?;
                self.advance(end + 2);
            } else {
                return Ok(());
            }
        }
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.rest.starts_with(wanted);
        if found {
            self.advance(wanted.len_utf8());
        }
        found
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let len = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        self.advance(len)
    }

    fn advance(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(len);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn wrong(&self, what: String) -> SyntaxError {
        SyntaxError { line: self.line, what }
    }
}

/// Decimal, `0x`, `0b` or `0o`, with the mark of a 64-bit number or without.
fn integer(word: &str) -> Option<i64> {
    let digits = word.strip_suffix("LL").or_else(|| word.strip_suffix('L')).unwrap_or(word);
    let radix = match digits.get(..2) {
        Some("0x" | "0X") => 16,
        Some("0b" | "0B") => 2,
        Some("0o" | "0O") => 8,
        _ => return digits.parse().ok(),
    };
    let digits = &digits[2..];
    digits.starts_with(|c: char| c.is_ascii_hexdigit()).then(|| i64::from_str_radix(digits, radix).ok())?
}

/// As it would stand in a file, on one line.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Integer(number) if i32::try_from(*number).is_ok() => write!(f, "{number}"),
            Self::Integer(number) => write!(f, "{number}L"),
            Self::Float(number) => write!(f, "{number:e}"),
            Self::Text(text) => quoted(f, text),
            Self::Group(settings) => {
                f.write_str("{")?;
                settings.iter().try_for_each(|setting| write!(f, " {} = {};", setting.name, setting.item.value))?;
                f.write_str(" }")
            }
            Self::List(items) => {
                f.write_str("(")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{}", if i == 0 { "" } else { ", " }, item.value)?;
                }
                f.write_str(")")
            }
        }
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            c if c.is_ascii_control() => write!(f, "\\x{:02x}", c as u32)?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::{Arbitrary, Gen, quickcheck};

    fn value(text: &str) -> Value {
        let settings = parse(&format!("x = {text}")).expect(text);
        settings.into_iter().next().expect("one").item.value
    }

    #[test]
    fn every_kind_of_value_is_read() {
        for (text, expected) in [
            ("true", Value::Bool(true)),
            ("FALSE;", Value::Bool(false)),
            ("33445", Value::Integer(33445)),
            ("-7,", Value::Integer(-7)),
            ("0x1F", Value::Integer(31)),
            ("0b101", Value::Integer(5)),
            ("5000000000L", Value::Integer(5_000_000_000)),
            ("1.5", Value::Float(1.5)),
            ("-2e3", Value::Float(-2000.0)),
            (r#""a\n\"b\"\x21" "c""#, Value::Text("a\n\"b\"!c".to_string())),
            ("{}", Value::Group(Vec::new())),
            ("()", Value::List(Vec::new())),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
        let Value::List(items) = value("[1, 2, 3,]") else { panic!("a list") };
        assert_eq!(items.len(), 3);
    }

    #[test]
    fn comments_lines_and_nesting_are_kept_apart() {
        let text = "# one\n// two\n/* three\nfour */ a : 1\nb = ( { c = \"x\"; d = 2 },\n { c = \"y\" } );";
        let settings = parse(text).expect("a file");
        assert_eq!((settings[0].name.as_str(), settings[0].item.line), ("a", 4));
        let Value::List(items) = &settings[1].item.value else { panic!("a list") };
        assert_eq!(items.iter().map(|item| item.line).collect::<Vec<_>>(), [5, 6]);
    }

    #[test]
    fn errors_name_the_line() {
        for (text, line, part) in [
            ("a = 1\nb 2", 2, "'=' is missing after b"),
            ("a = 1\n\na = 2", 3, "a is set twice"),
            ("a = \"x", 1, "does not end"),
            ("a = \"\\q\"", 1, "no escape"),
            ("a = x", 1, "'x' is no value"),
            ("a =", 1, "the file ends"),
            ("a = {\nb = 1", 2, "opened on line 1"),
            ("\n/* x", 2, "comment does not end"),
            ("@include \"b\"", 1, "@include"),
            ("a = 1\n= 3", 2, "'='"),
            (&format!("a = {}", "(".repeat(100_000)), 1, "deeper than 16"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.line == line && error.what.contains(part), "{text:?}: {error:?}");
        }
    }

    impl Arbitrary for Value {
        fn arbitrary(g: &mut Gen) -> Self {
            let mut smaller = Gen::new(g.size() / 4);
            match u8::arbitrary(g) % if g.size() > 3 { 6 } else { 4 } {
                0 => Self::Bool(bool::arbitrary(g)),
                1 => Self::Integer(i64::arbitrary(g)),
                2 => Self::Float(f64::from(i32::arbitrary(g)) / 8.0),
                3 => Self::Text(String::arbitrary(g)),
                4 => Self::Group(settings(&mut smaller)),
                _ => Self::List((0..smaller.size()).map(|_| item(&mut smaller)).collect()),
            }
        }
    }

    fn item(g: &mut Gen) -> Item {
        Item { line: 1, value: Value::arbitrary(g) }
    }

    fn settings(g: &mut Gen) -> Vec<Setting> {
        (0..g.size()).map(|i| Setting { name: format!("n{i}-x_"), item: item(g) }).collect()
    }

    #[derive(Clone, Debug)]
    struct File(Vec<Setting>);

    impl Arbitrary for File {
        fn arbitrary(g: &mut Gen) -> Self {
            Self(settings(&mut Gen::new(g.size() / 8)))
        }
    }

    quickcheck! {
        fn what_is_written_out_is_read_back(file: File) -> bool {
            let text: String = file.0.iter().map(|s| format!("{} = {} ", s.name, s.item.value)).collect();
            parse(&text) == Ok(file.0)
        }

        /// Pieces of the syntax in any order do no harm, and an error's line exists.
        fn any_text_is_a_file_or_an_error(pieces: Vec<(u8, String)>) -> bool {
            let syntax = ["a", "=", "\"", "\\", "{", "}", "(", ")", "[", "]", ",",
                ";", "/*", "*/", "#", "\n", "0x", "1.e", "\\x"];
            let text: String = pieces.iter().map(|(n, other)| {
                syntax.get(usize::from(*n) % (syntax.len() + 2)).map_or(other.as_str(), |piece| piece)
            }).collect();
            parse(&text).err().is_none_or(|error| (1..=text.matches('\n').count() + 1).contains(&error.line))
        }
    }
}

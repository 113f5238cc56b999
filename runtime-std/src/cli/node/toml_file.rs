//! Our own configuration file: TOML with the names of the command line's options.

use super::settings::{Count, Given, Place, Settings};
use bluering::{BootstrapNode, Listen};
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// All names, in the order of the documentation.
pub(super) const NAMES: [&str; 11] = [
    "udp",
    "tcp",
    "tcp-clients",
    "keys",
    "motd",
    "bootstrap",
    "lan-discovery",
    "metrics",
    "workers",
    "agreements",
    "pid-file",
];

/// Reads a file's text; all that is wrong with it, one line each.
pub(super) fn read(file: &Arc<str>, text: &str) -> Result<Settings, Vec<String>> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_at(text, span.start));
        vec![format!("{file}:{line}: {}", error.message().replace('\n', ", "))]
    })?;
    let mut reader = Reader { file, text, errors: Vec::new() };
    let mut settings = Settings::default();
    for (name, value) in table.get_ref() {
        reader.setting(&mut settings, name, value);
    }
    if reader.errors.is_empty() { Ok(settings) } else { Err(reader.errors) }
}

/// The line of a byte, counted from 1.
fn line_at(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

struct Reader<'a> {
    file: &'a Arc<str>,
    text: &'a str,
    errors: Vec<String>,
}

type Value<'i> = Spanned<DeValue<'i>>;

impl Reader<'_> {
    fn setting(&mut self, settings: &mut Settings, name: &Spanned<std::borrow::Cow<'_, str>>, value: &Value<'_>) {
        let key = name.get_ref().as_ref();
        match key {
            "udp" => settings.udp = self.parsed(key, value, "an address such as \"[::]:33445\"", Listen::At),
            "tcp" => settings.tcp = self.all(key, value, "an address such as \"[::]:33445\""),
            "tcp-clients" => settings.tcp_clients = self.count(key, value),
            "workers" => settings.workers = self.count(key, value),
            "agreements" => settings.agreements = self.count(key, value),
            "keys" => settings.keys = self.parsed(key, value, "a path", |path| path),
            "motd" => settings.motd = self.parsed(key, value, "a text", Some),
            "bootstrap" => settings.bootstrap = self.all::<BootstrapNode>(key, value, "HOST:PORT:PUBLICKEY"),
            "lan-discovery" => settings.lan_discovery = self.truth(key, value),
            "metrics" => settings.metrics = self.parsed(key, value, "an address such as \"127.0.0.1:9100\"", |at| at),
            "pid-file" => settings.pid_file = self.parsed(key, value, "a path", |path| path),
            _ => {
                let line = line_at(self.text, name.span().start);
                self.errors.push(format!(
                    "{}:{line}: there is no setting '{key}', only {}",
                    self.file,
                    NAMES.join(", ")
                ));
            }
        }
    }

    /// Something that is written as a text.
    fn parsed<P: FromStr<Err: Display>, T>(
        &mut self,
        key: &str,
        value: &Value<'_>,
        wanted: &str,
        make: impl FnOnce(P) -> T,
    ) -> Option<Given<T>> {
        let place = self.place(key, value);
        let DeValue::String(text) = value.get_ref() else {
            return self.wrong(&place, format!("not {wanted} in quotes"));
        };
        match text.parse() {
            Ok(parsed) => Some(Given { value: make(parsed), place }),
            Err(error) => self.wrong(&place, format!("{error}; wanted is {wanted}")),
        }
    }

    /// Several of them: an array, or a single one.
    fn all<P: FromStr<Err: Display>>(&mut self, key: &str, value: &Value<'_>, wanted: &str) -> Vec<Given<P>> {
        let alone = core::slice::from_ref(value);
        let items = if let DeValue::Array(items) = value.get_ref() { &**items } else { alone };
        items.iter().filter_map(|item| self.parsed(key, item, wanted, |parsed| parsed)).collect()
    }

    fn truth(&mut self, key: &str, value: &Value<'_>) -> Option<Given<bool>> {
        let place = self.place(key, value);
        let DeValue::Boolean(truth) = value.get_ref() else {
            return self.wrong(&place, "neither true nor false".to_string());
        };
        Some(Given { value: *truth, place })
    }

    fn count(&mut self, key: &str, value: &Value<'_>) -> Option<Given<Count>> {
        let place = self.place(key, value);
        let DeValue::Integer(number) = value.get_ref() else {
            return self.wrong(&place, "not a number".to_string());
        };
        let text = if number.radix() == 10 { number.as_str() } else { "" };
        match text.parse() {
            Ok(count) => Some(Given { value: count, place }),
            Err(why) => self.wrong(&place, why),
        }
    }

    fn place(&self, key: &str, value: &Value<'_>) -> Place {
        let span = value.span();
        let written = self.text.get(span.clone()).unwrap_or_default().lines().next().unwrap_or_default();
        let line = line_at(self.text, span.start);
        Place { file: Some((self.file.clone(), line)), text: format!("{key} = {written}") }
    }

    fn wrong<T>(&mut self, place: &Place, why: String) -> Option<T> {
        self.errors.push(format!("{place}: {why}"));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    const KEY: &str = "F404ABAA1C99A9D37D61AB54898F56793E1DEF8BD46B1038B9D822E8460FAB67";

    fn read(text: &str) -> Result<Settings, Vec<String>> {
        super::read(&"node.toml".into(), text)
    }

    #[test]
    fn every_setting_is_read() {
        let text = format!(
            "# a node\nudp = \"[::]:33445\"\ntcp = [\"0.0.0.0:443\", \"[::]:3389\"]\nkeys = '/var/keys'\n\
             motd = \"hi\"\n\
             bootstrap = [\n \"a.example:33445:{KEY}\",\n \"[2001:db8::1]:1:{KEY}\",\n]\nlan-discovery = false\n\
             metrics = \"127.0.0.1:9100\"\npid-file = \"node.pid\"\nworkers = 4\ntcp-clients = 100_000\n"
        );
        let settings = read(&text).expect("a file");
        assert_eq!(settings.udp.expect("given").value, Listen::At("[::]:33445".parse().expect("an address")));
        assert_eq!(settings.tcp.iter().map(|at| at.value.port()).collect::<Vec<_>>(), [443, 3389]);
        assert_eq!(settings.keys.expect("given").value.to_str(), Some("/var/keys"));
        assert_eq!(settings.motd.expect("given").value.as_deref(), Some("hi"));
        let second = &settings.bootstrap[1];
        assert_eq!(
            (second.value.host.as_str(), second.place.file.as_ref().map(|(_, line)| *line)),
            ("2001:db8::1", Some(8))
        );
        assert!(!settings.lan_discovery.expect("given").value);
        assert_eq!(settings.metrics.expect("given").value.port(), 9100);
        assert!(settings.pid_file.is_some());
        assert_eq!(
            (settings.workers.map(|n| n.value), settings.tcp_clients.map(|n| n.value.0)),
            (Some(Count(4)), Some(100_000))
        );
    }

    #[test]
    fn every_error_names_line_and_value() {
        let text = format!(
            "udp = \"1.2.3.4\"\nprot = 1\ntcp = [\"1.2.3.4:99999\",\n 7]\n\
             lan-discovery = 1\nbootstrap = [\"x:0:{KEY}\"]\nworkers = 0\ntcp-clients = \"many\"\n[a]\nb = 1\n"
        );
        let errors = read(&text).expect_err("wrong");
        for (line, part) in [
            (1, "udp = \"1.2.3.4\""),
            (2, "'prot'"),
            (3, "tcp = \"1.2.3.4:99999\""),
            (4, "tcp = 7"),
            (5, "lan-discovery = 1"),
            (6, "'0' is not a port"),
            (7, "workers = 0"),
            (8, "tcp-clients = \"many\""),
            (9, "'a'"),
        ] {
            let start = format!("node.toml:{line}: ");
            assert!(
                errors.iter().any(|error| error.starts_with(&start) && error.contains(part)),
                "{part}: {errors:#?}"
            );
        }
        assert_eq!(errors.len(), 9);
        let syntax = read("udp = \"x\"\nmotd = \n").expect_err("wrong");
        assert!(syntax[0].starts_with("node.toml:2: "), "{syntax:?}");
        let twice = read("motd = \"a\"\n\nmotd = \"b\"\n").expect_err("wrong");
        assert!(twice[0].starts_with("node.toml:3: "), "{twice:?}");
    }

    quickcheck! {
        fn what_is_written_out_is_read_back(
            port: u16,
            metrics: Option<u16>,
            motd: String,
            nodes: Vec<u16>,
            lan: bool
        ) -> bool {
            let quoted = |text: &str| serde_json::to_string(text).expect("a text").replace('\u{7f}', "\\u007f");
            let nodes: Vec<_> = nodes.iter().map(|port| format!("n{port}.example:{}:{KEY}", (*port).max(1))).collect();
            let list = nodes.iter().map(|node| quoted(node)).collect::<Vec<_>>().join(",\n");
            let metrics_line = metrics.map(|port| format!("metrics = \"127.0.0.1:{port}\"\n")).unwrap_or_default();
            let text = format!(
                "udp = \"[::1]:{port}\"\n{metrics_line}motd = {}\nlan-discovery = {lan}\nbootstrap = [{list}]\n",
                quoted(&motd)
            );
            read(&text).is_ok_and(|settings| {
                settings.udp.is_some_and(|udp| matches!(udp.value, Listen::At(at) if at.port() == port))
                    && settings.metrics.map(|at| at.value.port()) == metrics
                    && settings.motd.is_some_and(|found| found.value == Some(motd))
                    && settings.lan_discovery.is_some_and(|found| found.value == lan)
                    && settings.bootstrap.iter().map(|node| node.value.host.clone())
                        .eq(nodes.iter().map(|node| node.split(':').next().unwrap_or_default().to_string()))
            })
        }

        fn any_text_is_a_file_or_errors(pieces: Vec<(u8, String)>) -> bool {
            let syntax = ["udp", "motd", "tcp", "=", "\"", "'", "[", "]", "{", "}", ",",
                "\n", "#", "1", "true", ".", "\\"];
            let text: String = pieces.iter().map(|(n, other)| {
                syntax.get(usize::from(*n) % (syntax.len() + 2)).map_or(other.as_str(), |piece| piece)
            }).collect();
            let is_line = |error: &String| error.starts_with("node.toml:") && !error.contains('\n');
            read(&text).map_or_else(|errors| errors.iter().all(is_line), |_| true)
        }
    }
}

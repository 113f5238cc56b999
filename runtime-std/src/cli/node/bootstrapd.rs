//! tox-bootstrapd's configuration file, accepted as it is: the same names, the same defaults. Where tox-bootstrapd
//! skips what it does not understand, an error says so.

use super::libconfig::{self, Item, Setting, Value};
use super::settings::{Given, Place, Settings};
use bluering::core::crypto::PublicKey;
use bluering::{BootstrapNode, Listen, PORT_FIRST, Ports};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

/// Its names, but for those that our own files have too.
const NAMES: [&str; 10] = [
    "port",
    "keys_file_path",
    "pid_file_path",
    "enable_ipv6",
    "enable_ipv4_fallback",
    "enable_lan_discovery",
    "enable_tcp_relay",
    "tcp_relay_ports",
    "enable_motd",
    "bootstrap_nodes",
];
/// Where its relay listens unless told otherwise.
const RELAY_PORTS: [u16; 3] = [443, 3389, PORT_FIRST];
const KEYS_FILE: &str = "tox-bootstrapd.keys";

/// Whether a text uses one of its names.
pub(super) fn is_bootstrapds(text: &str) -> bool {
    let is_its = |name: &str| NAMES.contains(&name);
    match toml::de::DeTable::parse(text) {
        Ok(table) => table.get_ref().keys().any(|name| is_its(name.get_ref())),
        Err(_) => text.lines().any(|line| {
            let line = line.trim_start();
            is_its(line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default())
        }),
    }
}

/// Reads a file's text; all that is wrong with it, one line each.
pub(super) fn read(file: &Arc<str>, text: &str) -> Result<Settings, Vec<String>> {
    let parsed = libconfig::parse(text).map_err(|error| vec![format!("{file}:{}: {}", error.line, error.what)])?;
    let mut reader = Reader { file, said: Said::default(), errors: Vec::new() };
    for setting in &parsed {
        reader.setting(setting);
    }
    let settings = reader.said.settings(file);
    if reader.errors.is_empty() { Ok(settings) } else { Err(reader.errors) }
}

/// What the file says, name by name.
#[derive(Default)]
struct Said {
    port: Option<Given<u16>>,
    keys: Option<Given<PathBuf>>,
    pid_file: Option<Given<PathBuf>>,
    ipv6: Option<Given<bool>>,
    ipv4_fallback: Option<Given<bool>>,
    lan_discovery: Option<Given<bool>>,
    relay: Option<Given<bool>>,
    relay_ports: Option<Vec<Given<u16>>>,
    enable_motd: Option<Given<bool>>,
    motd: Option<Given<String>>,
    bootstrap: Vec<Given<BootstrapNode>>,
}

impl Said {
    /// Together with the defaults.
    fn settings(self, file: &Arc<str>) -> Settings {
        let default = |text: &str| Place { file: Some((file.clone(), 1)), text: format!("{text} (default)") };
        let is = |given: &Option<Given<bool>>| given.as_ref().is_none_or(|given| given.value);
        let (ipv6, fallback) = (is(&self.ipv6), is(&self.ipv4_fallback));
        let any: IpAddr = if ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        let port = self.port.unwrap_or_else(|| Given { value: PORT_FIRST, place: default("port = 33445") });
        let listen = match (ipv6, fallback) {
            (true, true) => Listen::Dual(Ports::Fixed(port.value)),
            (true, false) => Listen::At(SocketAddr::new(any, port.value)),
            (false, _) => Listen::V4(Ports::Fixed(port.value)),
        };
        let relay_ports = self.relay_ports.unwrap_or_else(|| {
            let place =
                self.relay.as_ref().map_or_else(|| default("enable_tcp_relay = true"), |given| given.place.clone());
            RELAY_PORTS.map(|value| Given { value, place: place.clone() }).into()
        });
        let relay_ports = if is(&self.relay) { relay_ports } else { Vec::new() };
        let motd = match (is(&self.enable_motd), self.motd, self.enable_motd) {
            (true, Some(Given { value, place }), _) => Some(Given { value: Some(value), place }),
            (false, _, Some(Given { place, .. })) => Some(Given { value: None, place }),
            (true, None, _) | (false, _, None) => None,
        };
        let lan_discovery = || Given { value: true, place: default("enable_lan_discovery = true") };
        Settings {
            udp: Some(Given { value: listen, place: port.place }),
            tcp: relay_ports
                .into_iter()
                .map(|Given { value, place }| Given { value: SocketAddr::new(any, value), place })
                .collect(),
            keys: Some(
                self.keys.unwrap_or_else(|| Given { value: KEYS_FILE.into(), place: default("keys_file_path") }),
            ),
            motd,
            bootstrap: self.bootstrap,
            lan_discovery: Some(self.lan_discovery.unwrap_or_else(lan_discovery)),
            tcp_clients: None,
            workers: None,
            agreements: None,
            metrics: None,
            pid_file: self.pid_file,
        }
    }
}

struct Reader<'a> {
    file: &'a Arc<str>,
    said: Said,
    errors: Vec<String>,
}

impl Reader<'_> {
    fn setting(&mut self, Setting { name, item }: &Setting) {
        match name.as_str() {
            "port" => self.said.port = self.port(name, item),
            "keys_file_path" => self.said.keys = self.text(name, item),
            "pid_file_path" => self.said.pid_file = self.text(name, item),
            "enable_ipv6" => self.said.ipv6 = self.truth(name, item),
            "enable_ipv4_fallback" => self.said.ipv4_fallback = self.truth(name, item),
            "enable_lan_discovery" => self.said.lan_discovery = self.truth(name, item),
            "enable_tcp_relay" => self.said.relay = self.truth(name, item),
            "enable_motd" => self.said.enable_motd = self.truth(name, item),
            "motd" => self.said.motd = self.text(name, item),
            "tcp_relay_ports" => {
                let ports = self.list(name, item, "a list of ports such as [443, 3389]");
                self.said.relay_ports = Some(ports.iter().filter_map(|item| self.port(name, item)).collect());
            }
            "bootstrap_nodes" => {
                let nodes = self.list(name, item, "a list of nodes such as ( { address = \"...\"; ... } )");
                self.said.bootstrap = nodes.iter().filter_map(|item| self.node(item)).collect();
            }
            _ => self.errors.push(format!(
                "{}:{}: there is no setting '{name}', only motd, {}",
                self.file,
                item.line,
                NAMES.join(", ")
            )),
        }
    }

    /// A bootstrap node: a group of exactly three settings.
    fn node(&mut self, item: &Item) -> Option<Given<BootstrapNode>> {
        let place = self.place("bootstrap_nodes", item);
        let Value::Group(parts) = &item.value else {
            return self.wrong(&place, "not a group { address = ...; port = ...; public_key = ...; }");
        };
        let (mut host, mut port, mut key) = (None, None, None);
        for Setting { name, item } in parts {
            match name.as_str() {
                "address" => host = self.text::<String>(name, item).and_then(|given| self.host(given)),
                "port" => port = self.port(name, item),
                "public_key" => key = self.key(name, item),
                _ => {
                    let place = self.place(name, item);
                    self.wrong::<()>(&place, "a node has only address, port, public_key");
                }
            }
        }
        for wanted in ["address", "port", "public_key"] {
            if !parts.iter().any(|part| part.name == wanted) {
                self.wrong::<()>(&place, &format!("{wanted} is missing"));
            }
        }
        let value = BootstrapNode { host: host?, port: port?.value, key: key?, tcp_port: None };
        Some(Given { value, place })
    }

    fn host(&mut self, given: Given<String>) -> Option<String> {
        if given.value.is_empty() {
            self.wrong(&given.place, "an address is a name or an IP address")
        } else {
            Some(given.value)
        }
    }

    fn key(&mut self, name: &str, item: &Item) -> Option<PublicKey> {
        let Given { value, place } = self.text::<String>(name, item)?;
        PublicKey::from_hex(&value).or_else(|| self.wrong(&place, "a public key has 64 hexadecimal digits"))
    }

    fn port(&mut self, name: &str, item: &Item) -> Option<Given<u16>> {
        let place = self.place(name, item);
        let number = if let Value::Integer(number) = item.value { u16::try_from(number).ok() } else { None };
        match number {
            Some(value @ 1..) => Some(Given { value, place }),
            Some(0) | None => self.wrong(&place, "a port is a number from 1 to 65535"),
        }
    }

    fn text<T: From<String>>(&mut self, name: &str, item: &Item) -> Option<Given<T>> {
        let place = self.place(name, item);
        let Value::Text(text) = &item.value else { return self.wrong(&place, "a text in double quotes is wanted") };
        Some(Given { value: text.clone().into(), place })
    }

    fn truth(&mut self, name: &str, item: &Item) -> Option<Given<bool>> {
        let place = self.place(name, item);
        let Value::Bool(value) = item.value else { return self.wrong(&place, "neither true nor false") };
        Some(Given { value, place })
    }

    fn list<'i>(&mut self, name: &str, item: &'i Item, wanted: &str) -> &'i [Item] {
        if let Value::List(items) = &item.value {
            return items;
        }
        let place = self.place(name, item);
        self.wrong::<()>(&place, &format!("{wanted} is wanted"));
        &[]
    }

    fn place(&self, name: &str, item: &Item) -> Place {
        let text = format!("{name} = {}", item.value);
        Place { file: Some((self.file.clone(), item.line)), text }
    }

    fn wrong<T>(&mut self, place: &Place, why: &str) -> Option<T> {
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
        super::read(&"tox.conf".into(), text)
    }

    #[test]
    fn a_whole_file_is_read() {
        let text = format!(
            "// a node\nport = 33445\nkeys_file_path = \"/var/keys\"\npid_file_path = \"/run/pid\"\n\
             enable_ipv6 = false\n\
             enable_ipv4_fallback = true\nenable_lan_discovery = false\nenable_tcp_relay = true\n\
             tcp_relay_ports = [443, 3389]\nenable_motd = true\nmotd = \"hi\"\nbootstrap_nodes = (\n\
             {{ // somebody's\n address = \"a.example\"\n port = 33446\n public_key = \"{KEY}\"\n }},\n\
             {{ address = \"::1\"; port = 2; public_key = \"{KEY}\"; }}\n)\n"
        );
        assert!(is_bootstrapds(&text));
        let settings = read(&text).expect("a file");
        assert_eq!(settings.udp.expect("given").value, Listen::V4(Ports::Fixed(33445)));
        assert_eq!(
            settings.tcp.iter().map(|at| at.value.to_string()).collect::<Vec<_>>(),
            ["0.0.0.0:443", "0.0.0.0:3389"]
        );
        assert_eq!(settings.motd.expect("given").value.as_deref(), Some("hi"));
        assert_eq!(settings.bootstrap[0].value, format!("a.example:33446:{KEY}").parse().expect("a node"));
        assert_eq!(settings.bootstrap[1].value.host, "::1");
        assert!(!settings.lan_discovery.expect("said").value && settings.pid_file.is_some());
    }

    /// As tox-bootstrapd 0.2.18 tells them when it is given an empty file.
    #[test]
    fn the_defaults_are_its_own() {
        let settings = read("").expect("a file");
        assert_eq!(settings.udp.expect("given").value, Listen::Dual(Ports::Fixed(33445)));
        assert_eq!(settings.tcp.iter().map(|at| at.value.port()).collect::<Vec<_>>(), [443, 3389, 33445]);
        assert_eq!(settings.keys.expect("given").value.to_str(), Some("tox-bootstrapd.keys"));
        assert!(
            settings.lan_discovery.expect("given").value && settings.motd.is_none() && settings.bootstrap.is_empty()
        );
        let silent = read("enable_motd = false; motd = \"x\"; enable_tcp_relay = false; enable_ipv4_fallback = false")
            .expect("a file");
        assert_eq!((silent.motd.expect("given").value, silent.tcp.len()), (None, 0));
        assert_eq!(silent.udp.expect("given").value, Listen::At("[::]:33445".parse().expect("an address")));
    }

    #[test]
    fn every_error_names_line_and_value() {
        let errors = read(
            "port = 0\nprot = 1\nenable_ipv6 = 1\nmotd = 3\ntcp_relay_ports = [1, 70000]\nbootstrap_nodes = (\n\
             { address = \"\"; port = 1; public_key = \"AB\"; },\n{ adress = \"x\" }, 7 )\n",
        )
        .expect_err("wrong");
        for (line, part) in [
            (1, "port = 0: a port"),
            (2, "'prot'"),
            (3, "enable_ipv6 = 1"),
            (4, "motd = 3"),
            (5, "tcp_relay_ports = 70000"),
            (7, "address = \"\""),
            (7, "public_key = \"AB\": a public key has 64"),
            (8, "adress = \"x\""),
            (8, "port is missing"),
            (8, "bootstrap_nodes = 7"),
        ] {
            let start = format!("tox.conf:{line}: ");
            assert!(
                errors.iter().any(|error| error.starts_with(&start) && error.contains(part)),
                "{part}: {errors:#?}"
            );
        }
        assert_eq!(read("port = 1\nx y").expect_err("wrong"), ["tox.conf:2: '=' is missing after x"]);
    }

    #[test]
    fn files_are_told_apart_by_their_names() {
        for (text, is_its) in [
            ("port = 33445\n", true),
            ("motd = \"x\"\n/* y */ enable_ipv6 = true;\nport = 3;", true),
            ("udp = \"[::]:1\"\nmotd = \"port = 3\"\n", false),
            ("udp = \n# port = 3\n", false),
            ("motd = '''\nport = 3\n'''\nudp = '[::]:1'", false),
            ("", false),
        ] {
            assert_eq!(is_bootstrapds(text), is_its, "{text}");
        }
    }

    quickcheck! {
        fn what_is_written_out_is_read_back(
            port: u16,
            motd: String,
            nodes: Vec<u16>,
            truths: (bool, bool, bool)
        ) -> bool {
            let (port, text) = (port.max(1), Value::Text(motd.clone()));
            let list: Vec<_> = nodes.iter().map(|port| {
                format!("{{ address = \"n{port}\"; port = {}; public_key = \"{KEY}\" }}", (*port).max(1))
            }).collect();
            let (ipv6, relay, lan) = truths;
            let text = format!(
                "port = {port};motd={text}\nenable_ipv6 = {ipv6}, enable_tcp_relay: {relay}\n\
                 enable_lan_discovery = {lan}\n\
                 bootstrap_nodes = ({})", list.join(",\n")
            );
            read(&text).is_ok_and(|settings| {
                let listen = if ipv6 { Listen::Dual(Ports::Fixed(port)) } else { Listen::V4(Ports::Fixed(port)) };
                settings.udp.is_some_and(|udp| udp.value == listen)
                    && settings.motd.is_some_and(|found| found.value == Some(motd))
                    && settings.tcp.is_empty() != relay
                    && settings.lan_discovery.is_some_and(|found| found.value == lan)
                    && settings.bootstrap.iter().map(|node| node.value.port).eq(nodes.iter().map(|port| (*port).max(1)))
            })
        }
    }
}

//! Every line that is right, every error that a person can make, and any bytes at all.

use super::*;
use bluering_core::crypto::Nospam;
use quickcheck::{Arbitrary, Gen, quickcheck};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec as StdVec;

const KEY: &str = "F404ABAA1C99A9D37D61AB54898F56793E1DEF8BD46B1038B9D822E8460FAB67";

/// A configuration with this line at line 2.
fn with(line: &str) -> String {
    format!("bootstrap = tox.example.org:33445:{KEY}\n{line}\n")
}

fn error(text: &str) -> String {
    Config::parse(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn everything_can_be_configured() {
    let id = ToxId { public_key: PublicKey([7; 32]), nospam: Nospam([1, 2, 3, 4]) };
    let text = format!(
        "\u{feff}# A bot\r\n\r\nname = Porch # 1\r\nstatus_message=on\r\nbootstrap = 203.0.113.1:33445:{KEY}\n\
         \tbootstrap\t=\t[2001:db8::1]:443:{}\naccept = {KEY}\naccept = {id}\nipv4 = 203.0.113.5/24\n\
         gateway = 203.0.113.1\ndns = 203.0.113.2\ndns = 2001:db8::2\nipv6 = 2001:db8::5/64\ngateway6 = fe80::1\n\
         port = 33446\nverbose = yes",
        KEY.to_lowercase()
    );
    let config = Config::parse(text.as_bytes()).unwrap();
    let key = PublicKey::from_hex(KEY).unwrap();
    assert_eq!((config.name, config.status_message), ("Porch # 1", "on"));
    let first = Bootstrap { host: "203.0.113.1", port: 33445, tcp_port: None, key };
    assert_eq!(config.bootstrap, [first, Bootstrap { host: "2001:db8::1", port: 443, tcp_port: None, key }]);
    assert_eq!(config.accept, [key, id.public_key]);
    let gateway = Some(Ipv4Addr::new(203, 0, 113, 1));
    assert_eq!(config.ipv4, Ipv4::Static { address: Ipv4Addr::new(203, 0, 113, 5), prefix: 24, gateway });
    assert_eq!(config.ipv6.unwrap().gateway.unwrap().to_string(), "fe80::1");
    assert_eq!(config.dns.len(), 2);
    assert_eq!((config.port, config.verbose), (33446, true));
}

#[test]
fn little_has_to_be_configured() {
    let text = with("");
    let config = Config::parse(text.as_bytes()).unwrap();
    assert_eq!((config.ipv4, config.ipv6, config.port, config.verbose), (Ipv4::Dhcp, None, DEFAULT_PORT, false));
    assert_eq!(config.bootstrap[0].host, "tox.example.org");
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let short = &KEY[..63];
    let mut wrong = KEY.to_string();
    wrong.replace_range(9..10, "G");
    for (line, why) in [
        ("nmae = x", "unknown key `nmae`, expected one of name status_message bootstrap"),
        ("Name = x", "unknown key `Name`"),
        ("name", "expected `key = value`, found `name`"),
        ("name =", "`name` has no value"),
        ("port = 65536", "expected a port from 1 to 65535, found `65536`"),
        ("port = 0", "expected a port from 1 to 65535, found `0`"),
        ("port = +1", "expected a port from 1 to 65535, found `+1`"),
        ("verbose = true", "expected `yes` or `no`, found `true`"),
        ("name = a\tb", "the text has control characters in it"),
        ("bootstrap = tox.example.org", "expected HOST:PORT:KEY"),
        (&format!("bootstrap = tox.example.org:{KEY}"), "expected HOST:PORT:KEY"),
        (&format!("bootstrap = tox.example.org:http:{KEY}"), "expected a port from 1 to 65535, found `http`"),
        (&format!("bootstrap = 2001:db8::1:33445:{KEY}"), "expected a host name, an IPv4 address or [an IPv6"),
        (&format!("bootstrap = 203.0.113.256:33445:{KEY}"), "expected a host name, an IPv4 address or"),
        (&format!("bootstrap = [203.0.113.2]:33445:{KEY}"), "expected an IPv6 address, found `203.0.113.2`"),
        (&format!("bootstrap = :33445:{KEY}"), "expected a host name, an IPv4 address or [an IPv6 address], found ``"),
        (&format!("bootstrap = h:1:{short}"), "a key has 64 hexadecimal digits, this has 63"),
        (&format!("bootstrap = h:1:{wrong}"), "character 10 of the key"),
        (&format!("bootstrap = h:1:{}", "0".repeat(64)), "no node or person can have the key `0000"),
        (&format!("accept = {short}"), "a key has 64 hexadecimal digits and a Tox ID 76, this has 63"),
        (&format!("accept = {wrong}"), "character 10 of the key"),
        (&format!("accept = {KEY}000000000000"), "expected a key or a Tox ID, found `F404"),
        ("ipv4 = 203.0.113.5", "expected `dhcp` or ADDRESS/LENGTH like 192.0.2.7/24, found `203.0.113.5`"),
        ("ipv4 = 203.0.113.5/33", "expected `dhcp` or ADDRESS/LENGTH"),
        ("ipv6 = 2001:db8::5", "expected ADDRESS/LENGTH like 2001:db8::7/64, found `2001:db8::5`"),
        ("ipv6 = dhcp", "expected ADDRESS/LENGTH like"),
        ("gateway = router", "expected an IPv4 address, found `router`"),
        ("gateway = 192.0.2.1", "a gateway needs a fixed address: `ipv4 = ADDRESS/LENGTH`"),
        ("gateway6 = fe80::1", "a gateway needs a fixed address: `ipv6 = ADDRESS/LENGTH`"),
        ("dns = resolver", "expected an IP address, found `resolver`"),
        ("dns = 192.0.2.1", "name server 192.0.2.1 needs a fixed address of its kind"),
        ("name = \u{1b}[2J", "the text has control characters in it"),
        ("\u{1b}[2J = 1", "unknown key `\\u{1b}[2J`"),
    ] {
        let found = error(&with(line));
        assert!(found.starts_with(&format!("line 2: {why}")), "{line}\n {found}\n {why}");
    }
    assert_eq!(Config::parse(b"name = x\n# \xFF\n\nname\xFF").unwrap_err(), Error { line: 4, why: Why::NotText });
}

#[test]
fn a_relay_is_named_with_its_port() {
    let of = |host: &str, tcp_port: &str| format!("bootstrap = {host}:33445:{KEY}:{tcp_port}\n");
    for host in ["203.0.113.1", "tox.example.org", "[2001:db8::1]"] {
        let (text, without) = (of(host, "3389"), format!("bootstrap = {host}:33445:{KEY}"));
        let found = Config::parse(text.as_bytes());
        if cfg!(feature = "relays") {
            let node = Config::parse(without.as_bytes()).unwrap().bootstrap[0];
            let tcp_port = NonZeroU16::new(3389);
            assert_eq!(found.unwrap().bootstrap, [Bootstrap { tcp_port, ..node }]);
        } else {
            assert_eq!(found.unwrap_err().line, 1);
        }
    }
    if cfg!(feature = "relays") {
        let missing = "line 1: expected HOST:PORT:KEY or HOST:PORT:KEY:TCPPORT, found `h:33445`";
        assert_eq!(error("bootstrap = h:33445"), missing);
        for port in ["0", "65536", "999999"] {
            assert_eq!(error(&of("h", port)), format!("line 1: expected a port from 1 to 65535, found `{port}`"));
        }
    }
}

#[test]
fn what_is_given_twice_or_too_often_or_not_at_all_is_named() {
    assert_eq!(error("\nname = a\n#\nname = b"), "line 4: `name` stands in line 2 already");
    assert!(error(&with(&format!("name = {}", "x".repeat(129)))).contains("has 129 bytes, at most 128"));
    assert!(error(&with(&format!("status_message = {}", "x".repeat(1008)))).contains("has 1008 bytes, at most 1007"));
    let many = format!("bootstrap = h:1:{KEY}\n").repeat(5);
    assert_eq!(error(&many), "line 5: at most 4 lines of this key are possible");
    let many = with(&format!("accept = {KEY}\n").repeat(9));
    assert_eq!(error(&many), "line 10: at most 8 lines of this key are possible");
    let missing = "expected 1 to 4 lines `bootstrap = HOST:PORT:KEY`, found none";
    assert_eq!(error(""), format!("line 1: {missing}"));
    assert_eq!(error("#\nname = a\n#\n"), format!("line 2: {missing}"));
}

/// A valid configuration, with texts of its own.
#[derive(Clone, Debug)]
struct Valid {
    name: String,
    hosts: StdVec<String>,
    seed: StdVec<u8>,
    verbose: bool,
    has_ipv6: bool,
    is_static: bool,
}

impl Arbitrary for Valid {
    fn arbitrary(g: &mut Gen) -> Self {
        let text = String::arbitrary(g).replace(char::is_control, "");
        let name = text.trim().chars().take(32).collect::<String>();
        let hosts = ["tox.example.org", "203.0.113.9", "2001:db8::9", "a-b.c_d"];
        let hosts = (0..1 + usize::arbitrary(g) % 4).map(|_| (*g.choose(&hosts).unwrap()).to_string()).collect();
        Self {
            name: if name.trim().is_empty() { "x".to_string() } else { name.trim().to_string() },
            hosts,
            seed: (0..8).map(|_| u8::arbitrary(g)).collect(),
            verbose: bool::arbitrary(g),
            has_ipv6: bool::arbitrary(g),
            is_static: bool::arbitrary(g),
        }
    }
}

impl Valid {
    fn config(&self) -> Config<'_> {
        let [a, b, c, d, ..] = self.seed[..] else { unreachable!("eight were made") };
        let key = |n: u8| PublicKey([n & 0x7F | 1; 32]);
        let port = u16::from_be_bytes([a, b]).max(1);
        let tcp_port = NonZeroU16::new(port).filter(|_| cfg!(feature = "relays") && c % 3 == 0);
        let gateway = (a % 2 == 0).then_some(Ipv4Addr::new(d, c, b, a));
        let fixed = Ipv4::Static { address: Ipv4Addr::new(a, b, c, d), prefix: a % 32 + 1, gateway };
        let address = Ipv6Addr::from([a, b, c, d, d, c, b, a, 0, 0, 0, 0, a, b, c, d]);
        let gateway6 = (b % 2 == 0).then_some(address);
        let v4 = self.is_static.then_some(IpAddr::from([b, a, c, d]));
        let v6 = self.has_ipv6.then_some(IpAddr::from(address));
        Config {
            name: &self.name,
            status_message: if c % 2 == 0 { "" } else { &self.name },
            bootstrap: self.hosts.iter().map(|host| Bootstrap { host, port, tcp_port, key: key(a) }).collect(),
            accept: self.seed.iter().map(|byte| key(*byte)).collect(),
            ipv4: if self.is_static { fixed } else { Ipv4::Dhcp },
            ipv6: self.has_ipv6.then_some(Ipv6 { address, prefix: b % 128 + 1, gateway: gateway6 }),
            dns: v4.into_iter().chain(v6).collect(),
            port,
            verbose: self.verbose,
        }
    }
}

quickcheck! {
    fn what_is_written_is_read_back(valid: Valid) -> bool {
        let config = valid.config();
        Config::parse(config.to_string().as_bytes()) == Ok(config)
    }

    fn any_bytes_are_read_or_refused_with_words(bytes: StdVec<u8>) -> bool {
        Config::parse(&bytes).map_or_else(|why| why.line >= 1 && why.to_string().len() > 10, |_| true)
    }

    /// Nearer to what people write than bytes are: valid text with a few bytes changed.
    fn spoilt_text_is_read_or_refused_with_words(valid: Valid, changes: StdVec<(usize, u8)>) -> bool {
        let mut text = valid.config().to_string().into_bytes();
        for (at, byte) in changes {
            let at = at % text.len();
            text[at] = byte;
        }
        let lines = text.split(|byte| *byte == b'\n').count();
        let is_one_line =
            |why: Error<'_>| (1..=lines).contains(&why.line) && !why.to_string().contains(char::is_control);
        Config::parse(&text).map_or_else(is_one_line, |_| true)
    }
}

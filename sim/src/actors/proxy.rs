//! A proxy: it connects on behalf of others, when they ask for it in the words of SOCKS5 (RFC 1928, 1929) or of HTTP's
//! CONNECT (RFC 9110), and then passes bytes on both ways.
//!
//! It resolves names itself, from a list. It may also be in another mood: refuse everybody, say nothing at all, or be
//! no proxy.

use crate::actor::{Actor, ActorCx};
use crate::net::{ConnId, Side, StreamEvent, StreamWhat};
use bluering_core::Endpoint;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::BTreeMap;

/// What a proxy is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxySpec {
    /// The port it listens on.
    pub port: u16,
    /// Which protocol.
    pub speech: Speech,
    /// User and password that it demands.
    pub credentials: Option<(Vec<u8>, Vec<u8>)>,
    /// What it is up to.
    pub mood: Mood,
    /// Names that it resolves.
    pub names: BTreeMap<String, IpAddr>,
}

/// The protocol of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// SOCKS5.
    Socks5,
    /// HTTP CONNECT.
    Http,
}

/// What a proxy is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// It serves.
    Serves,
    /// It is not allowed to connect anywhere.
    Refuses,
    /// It accepts connections and says nothing.
    Silent,
    /// It is another kind of server.
    Stranger,
}

impl ProxySpec {
    /// A proxy that serves everybody, on the usual port.
    #[must_use]
    pub const fn new(speech: Speech) -> Self {
        let port = match speech {
            Speech::Socks5 => 1080,
            Speech::Http => 3128,
        };
        Self { port, speech, credentials: None, mood: Mood::Serves, names: BTreeMap::new() }
    }
}

/// The longest request that is read.
const REQUEST_MAX: usize = 8192;
/// What answers who speaks no language of ours.
const STRANGE: &[u8] = b"SSH-2.0-simulated\r\n";

/// A proxy at work.
#[derive(Debug)]
pub struct Proxy {
    spec: ProxySpec,
    /// By the client's connection.
    tunnels: BTreeMap<ConnId, Tunnel>,
    /// The client's connection by that to the server.
    clients: BTreeMap<ConnId, ConnId>,
    /// Connections that it has made for others.
    pub opened: u64,
}

#[derive(Debug, Default)]
struct Tunnel {
    stage: Stage,
    /// Bytes of the client that are not understood yet, or wait for the server.
    from_client: Vec<u8>,
    /// Bytes for the client.
    to_client: Vec<u8>,
    server: Option<ConnId>,
    /// Ends when all is written.
    ends: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Greets,
    LogsIn,
    Asks,
    Waits,
    Open,
}

/// What the bytes of a client amount to.
enum Step {
    /// More are needed.
    More,
    /// So many are done with, this is said, and the next stage begins.
    Say(usize, Vec<u8>, Stage),
    /// This is said, and that is all.
    Enough(Vec<u8>),
    /// So many are done with, and a connection is asked for.
    Connect(usize, Target),
}

/// Where a client wants to go.
enum Target {
    At(Endpoint),
    Name(String, u16),
}

impl Proxy {
    /// A proxy.
    #[must_use]
    pub const fn new(spec: ProxySpec) -> Self {
        Self { spec, tunnels: BTreeMap::new(), clients: BTreeMap::new(), opened: 0 }
    }

    fn read(&mut self, cx: &mut ActorCx<'_>, client: ConnId) {
        loop {
            let Some(tunnel) = self.tunnels.get_mut(&client) else { return };
            let step = match (self.spec.speech, tunnel.stage) {
                (_, Stage::Waits) => return,
                (_, Stage::Open) => return self.flush(cx, client),
                (Speech::Socks5, Stage::Greets) => socks_hello(&tunnel.from_client, self.spec.credentials.is_some()),
                (Speech::Socks5, Stage::LogsIn) => socks_login(&tunnel.from_client, self.spec.credentials.as_ref()),
                (Speech::Socks5, Stage::Asks) => socks_request(&tunnel.from_client),
                (Speech::Http, _) => http_request(&tunnel.from_client, self.spec.credentials.as_ref()),
            };
            match step {
                Step::More if tunnel.from_client.len() > REQUEST_MAX => self.finish(cx, client, &[]),
                Step::More => return,
                Step::Say(used, answer, next) => {
                    tunnel.from_client.drain(..used);
                    tunnel.stage = next;
                    tunnel.to_client.extend(answer);
                    self.flush(cx, client);
                }
                Step::Enough(answer) => return self.finish(cx, client, &answer),
                Step::Connect(used, target) => {
                    tunnel.from_client.drain(..used);
                    return self.connect(cx, client, target);
                }
            }
        }
    }

    fn connect(&mut self, cx: &mut ActorCx<'_>, client: ConnId, target: Target) {
        if self.spec.mood == Mood::Refuses {
            return self.finish(cx, client, refusal(self.spec.speech, Refusal::Forbidden));
        }
        let to = match target {
            Target::At(at) => Some(at),
            Target::Name(name, port) => {
                let known = self.spec.names.get(&name).copied().or_else(|| name.parse().ok());
                known.map(|ip| Endpoint::new(ip, port))
            }
        };
        let Some(to) = to else { return self.finish(cx, client, refusal(self.spec.speech, Refusal::Unreachable)) };
        let server = cx.connect(to);
        self.opened += 1;
        self.clients.insert(server, client);
        if let Some(tunnel) = self.tunnels.get_mut(&client) {
            (tunnel.stage, tunnel.server) = (Stage::Waits, Some(server));
        }
    }

    /// Says a last word to a client.
    fn finish(&mut self, cx: &mut ActorCx<'_>, client: ConnId, word: &[u8]) {
        if let Some(tunnel) = self.tunnels.get_mut(&client) {
            tunnel.to_client.extend_from_slice(word);
            tunnel.ends = true;
        }
        self.flush(cx, client);
    }

    /// Writes what waits, both ways; who writes faster than the other side reads is not read meanwhile.
    fn flush(&mut self, cx: &mut ActorCx<'_>, client: ConnId) {
        let Some(tunnel) = self.tunnels.get_mut(&client) else { return };
        let taken = cx.write(client, Side::Server, &tunnel.to_client);
        tunnel.to_client.drain(..taken);
        if let Some(server) = tunnel.server.filter(|_| tunnel.stage == Stage::Open) {
            let taken = cx.write(server, Side::Client, &tunnel.from_client);
            tunnel.from_client.drain(..taken);
            cx.set_reading(client, Side::Server, tunnel.from_client.is_empty());
            cx.set_reading(server, Side::Client, tunnel.to_client.is_empty());
        }
        if tunnel.ends && tunnel.to_client.is_empty() {
            self.drop_tunnel(cx, client);
        }
    }

    fn drop_tunnel(&mut self, cx: &mut ActorCx<'_>, client: ConnId) {
        cx.close(client, Side::Server);
        if let Some(server) = self.tunnels.remove(&client).and_then(|tunnel| tunnel.server) {
            cx.close(server, Side::Client);
            self.clients.remove(&server);
        }
    }

    fn of_client(&mut self, cx: &mut ActorCx<'_>, event: &StreamEvent) {
        let client = event.conn;
        match &event.what {
            StreamWhat::Opened { .. } => {
                self.tunnels.insert(client, Tunnel::default());
                if self.spec.mood == Mood::Stranger {
                    cx.write(client, Side::Server, STRANGE);
                }
            }
            StreamWhat::Data(bytes) => match self.tunnels.get_mut(&client) {
                Some(tunnel) => {
                    tunnel.from_client.extend_from_slice(bytes);
                    match self.spec.mood {
                        Mood::Serves | Mood::Refuses => self.read(cx, client),
                        Mood::Silent | Mood::Stranger => {}
                    }
                }
                None => cx.abort(client, Side::Server),
            },
            StreamWhat::Writable => self.flush(cx, client),
            StreamWhat::Closed | StreamWhat::Reset | StreamWhat::TimedOut | StreamWhat::Refused => {
                self.drop_tunnel(cx, client);
            }
        }
    }

    fn of_server(&mut self, cx: &mut ActorCx<'_>, client: ConnId, what: &StreamWhat) {
        let Some(tunnel) = self.tunnels.get_mut(&client) else { return };
        match what {
            StreamWhat::Opened { .. } => {
                tunnel.stage = Stage::Open;
                tunnel.to_client.extend_from_slice(match self.spec.speech {
                    Speech::Socks5 => &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0],
                    Speech::Http => b"HTTP/1.1 200 Connection established\r\n\r\n",
                });
                self.flush(cx, client);
            }
            StreamWhat::Data(bytes) => {
                tunnel.to_client.extend_from_slice(bytes);
                self.flush(cx, client);
            }
            StreamWhat::Writable => self.flush(cx, client),
            StreamWhat::Refused | StreamWhat::TimedOut if tunnel.stage == Stage::Waits => {
                self.finish(cx, client, refusal(self.spec.speech, Refusal::Unreachable));
            }
            StreamWhat::Closed | StreamWhat::Reset | StreamWhat::TimedOut | StreamWhat::Refused => {
                self.finish(cx, client, &[]);
            }
        }
    }
}

impl Actor for Proxy {
    fn start(&mut self, cx: &mut ActorCx<'_>) {
        self.tunnels.clear();
        self.clients.clear();
        cx.listen(self.spec.port);
    }

    fn on_datagram(&mut self, _: &mut ActorCx<'_>, _: Endpoint, _: &[u8]) {}

    fn on_stream(&mut self, cx: &mut ActorCx<'_>, event: &StreamEvent) {
        match event.side {
            Side::Server => self.of_client(cx, event),
            Side::Client => {
                if let Some(client) = self.clients.get(&event.conn).copied() {
                    self.of_server(cx, client, &event.what);
                }
            }
        }
    }
}

/// Why a proxy does not connect.
#[derive(Clone, Copy)]
enum Refusal {
    Forbidden,
    Unreachable,
}

const fn refusal(speech: Speech, why: Refusal) -> &'static [u8] {
    match (speech, why) {
        (Speech::Socks5, Refusal::Forbidden) => &[5, 2, 0, 1, 0, 0, 0, 0, 0, 0],
        (Speech::Socks5, Refusal::Unreachable) => &[5, 4, 0, 1, 0, 0, 0, 0, 0, 0],
        (Speech::Http, Refusal::Forbidden) => b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        (Speech::Http, Refusal::Unreachable) => b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
    }
}

fn socks_hello(bytes: &[u8], demands: bool) -> Step {
    let [version, count, methods @ ..] = bytes else { return Step::More };
    let Some(methods) = methods.get(..usize::from(*count)) else { return Step::More };
    let (method, next) = if demands { (2, Stage::LogsIn) } else { (0, Stage::Asks) };
    if *version == 5 && methods.contains(&method) {
        Step::Say(2 + methods.len(), vec![5, method], next)
    } else {
        Step::Enough(vec![5, 0xff])
    }
}

fn socks_login(bytes: &[u8], demanded: Option<&(Vec<u8>, Vec<u8>)>) -> Step {
    let parsed = || {
        let (user_len, rest) = bytes.get(1..)?.split_first()?;
        let (user, rest) = rest.split_at_checked(usize::from(*user_len))?;
        let (password_len, rest) = rest.split_first()?;
        Some((user, rest.get(..usize::from(*password_len))?))
    };
    let Some((user, password)) = parsed() else { return Step::More };
    match demanded {
        Some((known, secret)) if (user, password) != (known, secret) => Step::Enough(vec![1, 1]),
        Some(_) | None => Step::Say(3 + user.len() + password.len(), vec![1, 0], Stage::Asks),
    }
}

fn socks_request(bytes: &[u8]) -> Step {
    let [version, command, _, kind, rest @ ..] = bytes else { return Step::More };
    if (*version, *command) != (5, 1) {
        return Step::Enough(vec![5, 7, 0, 1, 0, 0, 0, 0, 0, 0]);
    }
    let (skip, len) = match kind {
        1 => (0, 4),
        4 => (0, 16),
        3 => match rest.first() {
            Some(len) => (1, usize::from(*len)),
            None => return Step::More,
        },
        _ => return Step::Enough(vec![5, 8, 0, 1, 0, 0, 0, 0, 0, 0]),
    };
    let Some([name @ .., high, low]) = rest.get(skip..skip + len + 2) else { return Step::More };
    let port = u16::from_be_bytes([*high, *low]);
    let target = if let Ok(ip) = <[u8; 4]>::try_from(name).map(Ipv4Addr::from)
        && *kind == 1
    {
        Target::At(Endpoint::new(IpAddr::V4(ip), port))
    } else if let Ok(ip) = <[u8; 16]>::try_from(name).map(Ipv6Addr::from)
        && *kind == 4
    {
        Target::At(Endpoint::new(IpAddr::V6(ip), port))
    } else {
        Target::Name(String::from_utf8_lossy(name).into_owned(), port)
    };
    Step::Connect(4 + skip + len + 2, target)
}

fn http_request(bytes: &[u8], demanded: Option<&(Vec<u8>, Vec<u8>)>) -> Step {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Step::More };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let target = lines.next().and_then(|line| line.strip_prefix("CONNECT ")?.split(' ').next());
    let Some((host, port)) = target.and_then(|target| target.rsplit_once(':')) else {
        return Step::Enough(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec());
    };
    let given = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("proxy-authorization").then(|| value.trim().to_owned())
    });
    let wanted = demanded.map(|(user, password)| {
        let pair = [user.as_slice(), b":", password].concat();
        format!("Basic {}", base64(&pair))
    });
    if wanted.is_some() && given != wanted {
        let refused = "HTTP/1.1 407 Proxy Authentication Required\r\n\
                       Proxy-Authenticate: Basic realm=\"sim\"\r\nContent-Length: 0\r\n\r\n";
        return Step::Enough(refused.into());
    }
    let Ok(port) = port.parse() else {
        return Step::Enough(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec());
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Step::Connect(end + 4, Target::Name(host.to_owned(), port))
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_of_the_rfc() {
        let words = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        (0..words.len()).for_each(|len| assert_eq!(base64(&b"foobar"[..len]), words[len]));
    }
}

//! What most scenarios begin with: an internet, a real node, real clients, a board.

use bluering_tests::{
    Board, Clock, Device, Failure, Internet, Kind, Net, Node, Outcome, Peer, Wire, ensure, is_friend,
};
use core::fmt::Write;
use core::time::Duration;
use serde_json::json;
use std::path::PathBuf;
use std::time::Instant;

pub(crate) const NODE: [u8; 4] = [203, 0, 113, 2];
/// How the board is configured unless a scenario is about that.
pub(crate) const STATIC: &str = "ipv4 = 198.51.100.5/24\ngateway = 198.51.100.1\n";
pub(crate) const DEVICE: [u8; 4] = [198, 51, 100, 5];
/// The longest message, in bytes.
const MESSAGE_MAX: usize = 1372;
/// How many lines of each log a failure shows.
const LOG_LINES: usize = 40;

/// What all scenarios of a run share.
pub(crate) struct Lab {
    pub(crate) image: PathBuf,
    pub(crate) relays: Option<PathBuf>,
    pub(crate) logs: PathBuf,
    pub(crate) idle: Duration,
    pub(crate) flood: Duration,
}

impl Lab {
    /// A new board on this wire.
    pub(crate) fn board(&self, wire: &Wire, name: &str, clock: Clock) -> Outcome<Board> {
        Board::new(wire, name, &self.image, clock, &self.logs)
    }

    /// The same, with the image that has TCP relays.
    pub(crate) fn board_with_relays(&self, wire: &Wire, name: &str) -> Outcome<Board> {
        let image = self.relays.as_ref().ok_or_else(|| Failure::new("there is no image with relays"))?;
        Board::new(wire, name, image, Clock::Real, &self.logs)
    }

    /// Shows the ends of the transcripts.
    pub(crate) fn show_logs(&self) {
        for file in std::fs::read_dir(&self.logs).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(file.path()).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            println!("-- {}", file.path().display());
            for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
                println!("   {line}");
            }
        }
    }
}

/// A client in a network of its own.
pub(crate) struct Client {
    pub(crate) peer: Peer,
    _host: Net,
}

/// An internet with a node. Programs end before their networks do.
pub(crate) struct Stage {
    pub(crate) node: Node,
    _crowd: Vec<Node>,
    node_host: Net,
    pub(crate) internet: Internet,
}

impl Stage {
    /// One without clients.
    pub(crate) fn new() -> Outcome<Self> {
        let internet = Internet::new()?;
        let node_host = internet.host(NODE)?;
        Ok(Self { node: Node::start(&node_host, Kind::Real)?, _crowd: Vec::new(), node_host, internet })
    }

    /// One whose node is a TCP relay too.
    pub(crate) fn with_relay() -> Outcome<Self> {
        let internet = Internet::new()?;
        let node_host = internet.host(NODE)?;
        Ok(Self { node: Node::start_with_relay(&node_host)?, _crowd: Vec::new(), node_host, internet })
    }

    /// Kills the node, and after a pause it is back.
    pub(crate) fn restart_node(&mut self, pause: Duration) -> Outcome {
        self.node.restart(&self.node_host, pause)
    }

    /// With so many nodes more: in a network of a few hosts everybody relays for everybody.
    pub(crate) fn crowded(count: usize) -> Outcome<Self> {
        let stage = Self::new()?;
        Ok(Self { _crowd: stage.node.crowd(&stage.node_host, count)?, ..stage })
    }

    /// A real client, connected to the network.
    pub(crate) fn client(&self, name: &str, address: [u8; 4]) -> Outcome<Client> {
        self.client_by(name, address, &["--bootstrap", &self.node.address()])
    }

    /// A real client with these arguments, connected to the network.
    pub(crate) fn client_by(&self, name: &str, address: [u8; 4], args: &[&str]) -> Outcome<Client> {
        let host = self.internet.host(address)?;
        let peer = Peer::start(&host, Kind::Real, name, args)?;
        peer.online()?;
        Ok(Client { peer, _host: host })
    }

    /// A configuration that accepts these clients.
    pub(crate) fn config(&self, address: &str, accept: &[&Client]) -> String {
        config(&self.node.address(), address, accept)
    }
}

/// A configuration with this node to bootstrap from.
pub(crate) fn config(node: &str, address: &str, accept: &[&Client]) -> String {
    let mut text = format!("# run-qemu\nname = device\nbootstrap = {node}\n{address}");
    for client in accept {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "accept = {}", client.peer.pk());
    }
    text
}

/// A client and a device that are friends.
pub(crate) struct Friendship<'a> {
    pub(crate) client: &'a Peer,
    pub(crate) device: &'a Device,
    /// What the client calls the device.
    pub(crate) number: u64,
}

impl<'a> Friendship<'a> {
    /// The client adds the device by its Tox ID, and both see each other.
    pub(crate) fn make(client: &'a Client, device: &'a Device) -> Outcome<Self> {
        let (asked, client) = (client.peer.mark(), &client.peer);
        let add = json!({"address": device.tox_id(0)?, "message": "run-qemu"});
        let number = client.cmd("add_friend", add)?.number("friend")?;
        let friendship = Self { client, device, number };
        friendship.meet(0, asked)?;
        Ok(friendship)
    }

    /// Waits until both see each other after these marks. When the device did.
    pub(crate) fn meet(&self, at_device: usize, at_client: usize) -> Outcome<Instant> {
        let seen = self.device.friend(at_device, self.client.pk(), "online")?;
        self.client.friend_online(at_client, self.number)?;
        Ok(seen.at)
    }

    /// The client writes `count` messages of all lengths, and each comes back, in order, with receipts on both sides.
    pub(crate) fn chat(&self, count: u64) -> Outcome {
        self.await_client()?;
        let (client, mark) = (self.client, self.client.mark());
        let before = self.device.status()?.number("receipts")?;
        let texts: Vec<String> = (0..count).map(|i| text(i, count)).collect();
        let mut receipts = Vec::new();
        for text in &texts {
            let sent = client.cmd("send_message", json!({"friend": self.number, "text": text}))?;
            receipts.push(sent.number("message_id")?);
        }
        let mut next = mark;
        for text in &texts {
            let heard = client.wait_after(next, "message", |_| true)?;
            ensure(heard.text("text") == text, || client.quote(&format!("{text:?} came back as {}", heard.line)))?;
            next = heard.next;
        }
        for id in receipts {
            client.wait_after(mark, "read_receipt", |heard| heard.line["message_id"] == id)?;
        }
        self.device.await_receipts(before + count)
    }

    /// The device may see the client a moment before the client sees the device.
    fn await_client(&self) -> Outcome {
        let start = Instant::now();
        loop {
            let friends = self.client.cmd("friends", json!({}))?;
            let known = friends.line["friends"].as_array().map(Vec::as_slice).unwrap_or_default();
            if known.iter().any(|friend| friend["friend"] == self.number && friend["connection"] != "none") {
                return Ok(());
            }
            ensure(start.elapsed() < Duration::from_secs(10), || self.client.quote("the client does not see it"))?;
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Makes sure that neither has seen the other go, after these marks.
    pub(crate) fn lost_nothing(&self, at_device: usize, at_client: usize) -> Outcome {
        let goes = |heard: &bluering_tests::Heard| is_friend(heard, self.client.pk(), "offline");
        self.device.was_without(at_device, "friend", goes)?;
        let went =
            |heard: &bluering_tests::Heard| heard.line["friend"] == self.number && heard.text("status") == "none";
        self.client.stays_without(at_client, "friend_connection", Duration::ZERO, went)
    }
}

/// The message with this number: from a few bytes to the longest.
fn text(number: u64, count: u64) -> String {
    let len = MESSAGE_MAX as u64 * number / count.saturating_sub(1).max(1);
    let mut text = format!("{number} Grüße 🐧 ");
    while (text.len() as u64) < len {
        text.push(char::from(b'a' + (text.len() as u64 * 7 + number) as u8 % 26));
    }
    text
}

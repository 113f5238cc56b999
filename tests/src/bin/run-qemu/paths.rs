//! How a device gets its addresses, and what happens when they change.

use crate::chat::await_snapshot;
use crate::stage::{Friendship, Lab, STATIC, Stage, config};
use crate::table::Figures;
use bluering_tests::{Clock, Failure, NameServer, Outcome, ensure};
use core::time::Duration;
use std::thread::sleep;

const CLIENT: [u8; 4] = [192, 0, 2, 10];
const HOME: [u8; 4] = [198, 51, 100, 20];
const NAME: &str = "node.tox.example";
/// How long the cable is out: long enough to be noticed, too short for c-toxcore to give its friend up.
const PULLED: Duration = Duration::from_secs(5);
/// How long it is out so that friends are gone. c-toxcore gives up after 32 s.
const PULLED_LONG: Duration = Duration::from_secs(45);

/// Behind a NAT, with an address, a router and a name server from DHCP.
pub(crate) fn dhcp(lab: &Lab, _: &mut Figures) -> Outcome {
    let stage = Stage::new()?;
    let client = stage.client("client", CLIENT)?;
    let home = stage.internet.home(HOME)?;
    let _server = NameServer::start(&home, NAME, stage.node.endpoint().ip())?;
    let text = config(&stage.node.address_by(NAME), "ipv4 = dhcp\n", &[&client]);
    let device = lab.board(&home, "device", Clock::Real)?.boot(&text)?;
    let address = device.wait_after(0, "address", |_| true)?;
    ensure(address.text("rest").starts_with("192.168.1."), || device.failure("an address from nowhere").0)?;
    Friendship::make(&client, &device)?.chat(10)
}

/// Nobody gives it an IPv4 address.
pub(crate) fn ipv6(lab: &Lab, _: &mut Figures) -> Outcome {
    let stage = Stage::new()?;
    let node = stage.node.address6().ok_or_else(|| Failure::new("the node has no IPv6 address"))?;
    let client = stage.client_by("client", CLIENT, &["--ipv6", "--bootstrap", &node])?;
    let text = config(&node, "ipv6 = 2001:db8::5/64\ngateway6 = 2001:db8::1\n", &[&client]);
    let device = lab.board(stage.internet.wire(), "device", Clock::Real)?.boot(&text)?;
    Friendship::make(&client, &device)?.chat(10)
}

/// The cable is out for a while, for long, and then in another network.
pub(crate) fn link(lab: &Lab, _: &mut Figures) -> Outcome {
    let stage = Stage::new()?;
    let client = stage.client("client", CLIENT)?;
    let device = lab.board(stage.internet.wire(), "device", Clock::Real)?.boot(&stage.config(STATIC, &[&client]))?;
    let friendship = Friendship::make(&client, &device)?;
    friendship.chat(3)?;
    await_snapshot(&device)?;
    for span in [PULLED, PULLED_LONG] {
        let (at_device, at_client) = (device.mark(), client.peer.mark());
        device.set_link(false)?;
        sleep(span);
        device.set_link(true)?;
        device.wait_after(at_device, "address", |_| true)?;
        if span == PULLED_LONG {
            friendship.meet(at_device, at_client)?;
        }
        friendship.chat(3)?;
    }
    let number = friendship.number;

    let elsewhere = stage.config("ipv4 = 203.0.113.5/24\ngateway = 203.0.113.1\n", &[&client]);
    let device = device.power_off().boot(&elsewhere)?;
    let friendship = Friendship { client: &client.peer, device: &device, number };
    device.friend(0, client.peer.pk(), "online")?;
    friendship.chat(3)
}

//! Where UDP does not lead, or not any more: a device and its friend have the TCP relay of their only node.

use crate::image::{WITH_RELAYS, measure_stack};
use crate::stage::{Client, Friendship, Lab, Stage, config};
use crate::table::Figures;
use bluering_tests::{Device, Outcome, Wire};
use core::time::Duration;
use std::thread::sleep;
use std::time::Instant;

const CLIENT: [u8; 4] = [192, 0, 2, 10];
const HOME: [u8; 4] = [198, 51, 100, 20];
const INSIDE: &str = "ipv4 = 192.168.1.5/24\ngateway = 192.168.1.1\n";
const MESSAGES: u64 = 10;
/// How long the node is away: everybody notices, and nobody gives his friend up.
const AWAY: Duration = Duration::from_secs(3);

/// c-toxcore hangs up at a relay after 10 s in which its friends were reached directly. When UDP dies at that very
/// time, it does not go there again, and loses them.
const SETTLE: Duration = Duration::from_secs(12);

/// UDP is blocked from the beginning; the relay is killed and comes back.
pub(crate) fn relay(lab: &Lab, figures: &mut Figures) -> Outcome {
    let mut stage = Stage::with_relay()?;
    let client = stage.client("client", CLIENT)?;
    let home = stage.internet.home(HOME)?;
    home.net().block_udp(true)?;
    let device = boot(lab, &stage, &home, &client)?;
    device.wait_after(0, "connection", |heard| heard.text("rest") == "tcp")?;
    let friendship = Friendship::make(&client, &device)?;
    friendship.chat(MESSAGES)?;
    stage.restart_node(AWAY)?;
    friendship.chat(MESSAGES)?;
    measure_stack(&device, &WITH_RELAYS, figures)
}

/// UDP dies while they chat, and comes back.
pub(crate) fn fallback(lab: &Lab, figures: &mut Figures) -> Outcome {
    let stage = Stage::with_relay()?;
    let client = stage.client("client", CLIENT)?;
    let home = stage.internet.home(HOME)?;
    let device = boot(lab, &stage, &home, &client)?;
    let friendship = Friendship::make(&client, &device)?;
    friendship.chat(MESSAGES)?;
    sleep(SETTLE);
    let mark = client.peer.mark();
    let start = Instant::now();
    home.net().block_udp(true)?;
    friendship.chat(MESSAGES)?;
    println!("fallback: UDP died, and {MESSAGES} messages each way took {:.1} s", start.elapsed().as_secs_f64());
    comes_by(&client, mark, "tcp")?;
    friendship.chat(MESSAGES)?;
    let mark = client.peer.mark();
    home.net().block_udp(false)?;
    comes_by(&client, mark, "udp")?;
    friendship.chat(MESSAGES)?;
    measure_stack(&device, &WITH_RELAYS, figures)
}

fn boot(lab: &Lab, stage: &Stage, home: &Wire, client: &Client) -> Outcome<Device> {
    lab.board_with_relays(home, "device")?.boot(&config(&stage.node.address(), INSIDE, &[client]))
}

/// Waits until the client sees the device this way.
fn comes_by(client: &Client, mark: usize, way: &str) -> Outcome {
    client.peer.wait_after(mark, "friend_connection", |heard| heard.text("status") == way).map(drop)
}

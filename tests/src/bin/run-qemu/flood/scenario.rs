//! A device that chats while it is flooded.

use super::packets::NETWORK;
use crate::stage::{DEVICE, Friendship, Lab, STATIC, Stage};
use crate::table::Figures;
use bluering_tests::{Clock, Failure, Outcome, ensure};
use core::net::Ipv4Addr;
use core::time::Duration;
use serde_json::json;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Instant;

const CLIENT: [u8; 4] = [192, 0, 2, 10];
const FLOODER: [u8; 4] = [203, 0, 113, 66];
const RATE: u64 = 1000;
/// A message each so often.
const SPEAK: Duration = Duration::from_secs(2);

/// The friend stays online, and all messages arrive.
pub(crate) fn flood(lab: &Lab, _: &mut Figures) -> Outcome {
    let stage = Stage::new()?;
    let client = stage.client("client", CLIENT)?;
    let host = stage.internet.host_of_network(FLOODER, NETWORK)?;
    let device = lab.board(stage.internet.wire(), "device", Clock::Real)?.boot(&stage.config(STATIC, &[&client]))?;
    let friendship = Friendship::make(&client, &device)?;
    friendship.chat(10)?;

    let (before, at_device, at_client) = (device.status()?, device.mark(), client.peer.mark());
    let mut command = host.command(&std::env::current_exe()?)?;
    command.args(["flood", &format!("{}:33445", Ipv4Addr::from(DEVICE)), &stage.node.endpoint().to_string()]);
    command.args([stage.node.key(), "--rate", &RATE.to_string(), "--seconds", &lab.flood.as_secs().to_string()]);
    let mut flooder = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
    let mut spoken = Vec::new();
    while flooder.try_wait()?.is_none() {
        let text = format!("message {} in the flood", spoken.len());
        let sent = client.peer.cmd("send_message", json!({"friend": friendship.number, "text": text}))?;
        spoken.push((Instant::now(), text, sent.number("message_id")?));
        sleep(SPEAK);
    }
    let output = flooder.wait_with_output()?;
    ensure(output.status.success(), || "the flood ended early".into())?;
    print!("{}", String::from_utf8_lossy(&output.stdout));

    let mut slowest = Duration::ZERO;
    for (at, text, id) in &spoken {
        let heard = client.peer.wait_after(at_client, "message", |heard| heard.text("text") == text)?;
        slowest = slowest.max(heard.at.duration_since(*at));
        client.peer.wait_after(at_client, "read_receipt", |heard| heard.line["message_id"] == *id)?;
    }
    println!("{} messages in the flood, the slowest answered after {slowest:.1?}", spoken.len());
    let least = lab.flood.as_secs() / SPEAK.as_secs() / 2;
    ensure(spoken.len() as u64 >= least, || format!("only {} messages were sent", spoken.len()))?;
    friendship.lost_nothing(at_device, at_client)?;
    device.was_without(at_device, "bluering-bot", |_| true)?;
    friendship.chat(10)?;
    stands(&before, &device.status()?).map_err(|why| device.failure(&why.0))
}

/// Most of the flood has reached it, and it did not start again.
fn stands(before: &bluering_tests::Status, after: &bluering_tests::Status) -> Outcome {
    let grown = |key: &str| Ok::<_, Failure>(after.number(key)?.saturating_sub(before.number(key)?));
    println!("received {}, dropped {}", grown("rx")?, grown("dropped")?);
    ensure(grown("uptime_ms")? > 0, || "it started again".into())?;
    ensure(grown("dropped")? > 0, || "it dropped nothing".into())
}

//! Nobody says anything: nothing is lost, and what it costs. A second device beside the first has a clock of
//! instructions, and the same two friends.

use crate::image::{WITHOUT_RELAYS, measure_stack};
use crate::stage::{Friendship, Lab, STATIC, Stage};
use crate::table::{Figure, Figures};
use bluering_tests::{Clock, Device, Failure, Outcome, Status, ensure};
use core::time::Duration;
use serde_json::json;
use std::thread::sleep;

const FIRST: [u8; 4] = [192, 0, 2, 10];
const SECOND: [u8; 4] = [203, 0, 113, 10];
const COUNTED: &str = "ipv4 = 198.51.100.6/24\ngateway = 198.51.100.1\n";
/// Until new friends have found all that they look for.
const SETTLE: Duration = Duration::from_secs(60);
/// Parts of the time that are looked at one by one. Whose onion paths lead through it, and when, is chance.
const PARTS: u32 = 10;
const MESSAGES: u64 = 10;
const GROUPS: u64 = 5;
/// Nodes beside the one to bootstrap from: as many as c-toxcore was measured with (README, "idle").
const CROWD: usize = 10;

/// Idles, and looks whether everybody is still there.
pub(crate) fn idle(lab: &Lab, figures: &mut Figures) -> Outcome {
    let stage = Stage::crowded(CROWD)?;
    let clients = [stage.client("first", FIRST)?, stage.client("second", SECOND)?];
    let both = [&clients[0], &clients[1]];
    let wire = stage.internet.wire();
    let device = lab.board(wire, "device", Clock::Real)?.boot(&stage.config(STATIC, &both))?;
    let counted = lab.board(wire, "counted", Clock::Instructions)?.boot(&stage.config(COUNTED, &both))?;
    let mut friendships = Vec::new();
    for device in [&device, &counted] {
        for client in both {
            friendships.push(Friendship::make(client, device)?);
        }
    }
    for friendship in &friendships {
        friendship.chat(3)?;
    }
    messages(&friendships[2], figures)?;
    sleep(SETTLE.min(lab.idle));

    let marks: Vec<_> = friendships.iter().map(|f| (f.device.mark(), f.client.mark())).collect();
    let first = counted.status()?;
    let (mut before, mut quietest) = (counted.status()?, f64::INFINITY);
    let window = lab.idle / PARTS;
    for _ in 0..PARTS {
        sleep(window);
        let after = counted.status()?;
        quietest = quietest.min(per_second(&counted, &before, &after)?);
        before = after;
    }
    figures.add(Figure::Idle, quietest);
    figures.add(Figure::IdleMean, per_second(&counted, &first, &before)?);
    for (friendship, (at_device, at_client)) in friendships.iter().zip(marks) {
        friendship.lost_nothing(at_device, at_client)?;
        friendship.chat(3)?;
    }
    for device in [&device, &counted] {
        measure_stack(device, &WITHOUT_RELAYS, figures)?;
    }
    Ok(())
}

/// What a message of the greatest length costs the device, from its arrival until its answer is on its way: of some
/// groups of messages the cheapest, in which it did the least for others meanwhile.
fn messages(friendship: &Friendship<'_>, figures: &mut Figures) -> Outcome {
    let busy = || friendship.device.status()?.number("busy_instructions");
    let mut least = u64::MAX;
    for _ in 0..GROUPS {
        // A status line costs something too.
        let (first, before) = (busy()?, busy()?);
        for i in 0..MESSAGES {
            let mark = friendship.client.mark();
            let send = json!({"friend": friendship.number, "text": format!("{i:01372}")});
            friendship.client.cmd("send_message", send)?;
            friendship.client.wait_after(mark, "message", |_| true)?;
        }
        least = least.min((busy()? - before).saturating_sub(before - first));
    }
    figures.add(Figure::Message, least as f64 / MESSAGES as f64 / 1e3);
    Ok(())
}

/// Thousand instructions in a second of the device's own time.
fn per_second(device: &Device, before: &Status, after: &Status) -> Outcome<f64> {
    let grown = |key: &str| Ok::<_, Failure>(after.number(key)?.saturating_sub(before.number(key)?));
    let (online, milliseconds) = (after.number("friends_online")?, grown("uptime_ms")?);
    ensure(online == 2, || device.failure(&format!("{online} friends online")).0)?;
    ensure(milliseconds > 0, || device.failure("its clock stands still").0)?;
    Ok(grown("busy_instructions")? as f64 / milliseconds as f64)
}

//! Making friends, chatting, and coming back after a reset, a power cut, or many.

use crate::stage::{Friendship, Lab, STATIC, Stage};
use crate::table::{Figure, Figures};
use bluering_tests::{Clock, Device, Outcome, ensure};
use core::time::Duration;
use serde_json::json;
use std::thread::sleep;
use std::time::Instant;

const CLIENT: [u8; 4] = [192, 0, 2, 10];
const STRANGER: [u8; 4] = [203, 0, 113, 10];
const MESSAGES: u64 = 100;
const ONLINE_AGAIN: Duration = Duration::from_secs(3);
/// c-toxcore repeats a friend request within seconds.
const REFUSED: Duration = Duration::from_secs(10);
/// When the power goes, in milliseconds after it came.
const CUTS: [u64; 10] = [20, 60, 100, 150, 220, 300, 450, 700, 1000, 1500];

/// 100 messages each way.
pub(crate) fn chat(lab: &Lab, _: &mut Figures) -> Outcome {
    let stage = Stage::new()?;
    let client = stage.client("client", CLIENT)?;
    let board = lab.board(stage.internet.wire(), "device", Clock::Real)?;
    let device = board.boot(&stage.config(STATIC, &[&client]))?;
    let friendship = Friendship::make(&client, &device)?;
    friendship.chat(MESSAGES)?;
    speaks(&friendship)
}

/// What is typed at the console reaches the friend.
fn speaks(friendship: &Friendship<'_>) -> Outcome {
    let mark = friendship.client.mark();
    friendship.device.type_line("send 0 hello from the console")?;
    friendship.client.wait_after(mark, "message", |heard| heard.text("text") == "hello from the console")?;
    Ok(())
}

/// The reset button, then power cuts, then power cuts while it starts.
pub(crate) fn reset(lab: &Lab, figures: &mut Figures) -> Outcome {
    let stage = Stage::new()?;
    let client = stage.client("client", CLIENT)?;
    let config = stage.config(STATIC, &[&client]);
    let device = lab.board(stage.internet.wire(), "device", Clock::Real)?.boot(&config)?;
    let friendship = Friendship::make(&client, &device)?;
    friendship.chat(3)?;
    await_snapshot(&device)?;
    let (id, number) = (device.tox_id(0)?, friendship.number);

    let mark = device.mark();
    let pressed = device.reset()?;
    figures.add(Figure::Online, online_again(&client.peer, &device, mark, pressed)?);
    same_identity(&device, mark, &id)?;
    Friendship { client: &client.peer, device: &device, number }.chat(10)?;

    let device = device.power_off().boot(&config)?;
    figures.add(Figure::Online, online_again(&client.peer, &device, 0, device.started())?);
    same_identity(&device, 0, &id)?;
    Friendship { client: &client.peer, device: &device, number }.chat(10)?;

    let mut board = device.power_off();
    for after in CUTS {
        let device = board.boot(&config)?;
        sleep(Duration::from_millis(after));
        board = device.power_off();
    }
    let device = board.boot(&config)?;
    figures.add(Figure::Online, online_again(&client.peer, &device, 0, device.started())?);
    same_identity(&device, 0, &id)?;
    Friendship { client: &client.peer, device: &device, number }.chat(10)
}

/// A key that the configuration does not have: asked for at the console, remembered over a power cut.
pub(crate) fn confirm(lab: &Lab, _: &mut Figures) -> Outcome {
    let stage = Stage::new()?;
    let (client, stranger) = (stage.client("client", CLIENT)?, stage.client("stranger", STRANGER)?);
    let config = stage.config(STATIC, &[]);
    let device = lab.board(stage.internet.wire(), "device", Clock::Real)?.boot(&config)?;
    let add = json!({"address": device.tox_id(0)?, "message": "let me in"});
    for (peer, answer) in [(&client.peer, "accept"), (&stranger.peer, "refuse")] {
        let mark = peer.mark();
        peer.cmd("add_friend", add.clone())?;
        let request = device.wait_after(0, "request", |heard| asks(heard.text("rest"), peer.pk()))?;
        let rest = request.text("rest");
        ensure(rest.ends_with("let me in"), || format!("the request says {rest:?}"))?;
        let index = rest.split_whitespace().next().unwrap_or_default();
        device.command(&format!("{answer} {index}"), "request")?;
        if answer == "accept" {
            device.friend(0, peer.pk(), "online")?;
            peer.friend_online(mark, 0)?;
        } else {
            peer.stays_without(mark, "friend_connection", REFUSED, |heard| heard.text("status") != "none")?;
        }
    }
    let friendship = Friendship { client: &client.peer, device: &device, number: 0 };
    friendship.chat(3)?;
    await_snapshot(&device)?;
    let id = device.tox_id(0)?;

    let device = device.power_off().boot(&config)?;
    online_again(&client.peer, &device, 0, device.started())?;
    same_identity(&device, 0, &id)?;
    Friendship { client: &client.peer, device: &device, number: 0 }.chat(3)
}

/// `N KEY64 TEXT`
fn asks(rest: &str, key: &str) -> bool {
    rest.split_whitespace().nth(1).is_some_and(|word| word.eq_ignore_ascii_case(key))
}

/// Seconds from `since` until the device sees its friend, at most three.
fn online_again(client: &bluering_tests::Peer, device: &Device, mark: usize, since: Instant) -> Outcome<f64> {
    let seen = device.friend(mark, client.pk(), "online")?.at;
    let took = seen.duration_since(since);
    ensure(took <= ONLINE_AGAIN, || device.failure(&format!("its friend came only after {took:?}")).0)?;
    Ok(took.as_secs_f64())
}

fn same_identity(device: &Device, mark: usize, id: &str) -> Outcome {
    let now = device.tox_id(mark)?;
    ensure(now == id, || device.failure(&format!("it was {id}")).0)
}

/// Waits until what it knows is on its flash: two looks a second apart find no further write.
pub(crate) fn await_snapshot(device: &Device) -> Outcome {
    let mut before = 0;
    for _ in 0..60 {
        let writes = device.status()?.number("flash_writes")?;
        if writes > 0 && writes == before {
            return Ok(());
        }
        before = writes;
        sleep(Duration::from_secs(1));
    }
    Err(device.failure("its flash writes never end, or never begin"))
}

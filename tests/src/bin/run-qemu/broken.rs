//! A device that was given something broken: it says what, and does the best that is left.

use crate::chat::await_snapshot;
use crate::stage::{Friendship, Lab, STATIC, Stage};
use crate::table::Figures;
use bluering_tests::{Clock, Outcome, ensure};

const CLIENT: [u8; 4] = [192, 0, 2, 10];
const OTHER: [u8; 4] = [203, 0, 113, 10];
/// What the firmware ends with when it was configured wrongly.
const EXIT_CONFIG: i32 = 2;
/// Halves of the flash that have a snapshot each.
const BANKS: usize = 2;
/// A configuration, and how what is said about it begins.
const CONFIGS: [(&str, &str); 4] = [
    ("nmae = device\n", "error: line 1:"),
    ("name = device\n\nipv4 = somewhere\n", "error: line 3:"),
    ("bootstrap = 203.0.113.2:33445:ABCD\n", "error: line 1:"),
    ("accept = 00\n", "error: line 1:"),
];

/// Each stops the boot with a line on the UART.
pub(crate) fn config(lab: &Lab, _: &mut Figures) -> Outcome {
    let stage = Stage::new()?;
    let mut board = lab.board(stage.internet.wire(), "device", Clock::Real)?;
    for (config, says) in CONFIGS {
        let device = board.boot(config)?;
        let said = device.wait_after(0, "config", |_| true)?;
        ensure(said.text("rest").starts_with(says), || device.failure(&format!("{config:?}: not {says:?}")).0)?;
        let code;
        (code, board) = device.ended()?;
        ensure(code == Some(EXIT_CONFIG), || format!("{config:?}: it ended with {code:?}"))?;
    }
    Ok(())
}

/// Of the two banks of the flash one is damaged, then the other: the device is who it was, has its friend, and says
/// when the newest snapshot is lost.
pub(crate) fn flash(lab: &Lab, _: &mut Figures) -> Outcome {
    let stage = Stage::new()?;
    let (client, other) = (stage.client("client", CLIENT)?, stage.client("other", OTHER)?);
    let config = stage.config(STATIC, &[&client, &other]);
    let device = lab.board(stage.internet.wire(), "device", Clock::Real)?.boot(&config)?;
    let id = device.tox_id(0)?;
    let number = Friendship::make(&client, &device)?.number;
    await_snapshot(&device)?;
    Friendship::make(&other, &device)?;
    await_snapshot(&device)?;

    let mut board = device.power_off();
    let file = board.folder().join("flash.bin");
    let whole = std::fs::read(&file)?;
    let mut found = Vec::new();
    for bank in 0..BANKS {
        let mut damaged = whole.clone();
        let len = damaged.len() / BANKS;
        // As a page whose cells have lost their charge.
        damaged[bank * len..][..len].fill(0);
        std::fs::write(&file, &damaged)?;
        let device = board.boot(&config)?;
        found.push(device.wait_after(0, "flash", |_| true)?.text("rest").to_string());
        let now = device.tox_id(0)?;
        ensure(now == id, || device.failure(&format!("it was {id}")).0)?;
        device.friend(0, client.peer.pk(), "online")?;
        Friendship { client: &client.peer, device: &device, number }.chat(3)?;
        board = device.power_off();
    }
    found.sort();
    let told = found[0].starts_with("damaged, older snapshot ") && found[1].starts_with("snapshot ");
    ensure(told, || format!("damaged banks were found as {found:?}"))
}

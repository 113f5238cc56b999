//! Two devices, each behind a NAT of its own.

use crate::stage::{Lab, Stage, config};
use crate::table::Figures;
use bluering_tests::{Clock, Device, Outcome, ensure};
use core::time::Duration;
use std::time::Instant;

const HOMES: [[u8; 4]; 2] = [[198, 51, 100, 20], [192, 0, 2, 20]];
const INSIDE: &str = "ipv4 = 192.168.1.5/24\ngateway = 192.168.1.1\nverbose = yes\n";
const MESSAGES: u64 = 10;
/// How long the console may take to say that a line is on its way.
const SENT_TIMEOUT: Duration = Duration::from_millis(500);
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// One adds the other by its Tox ID, the other's console accepts, and both write.
pub(crate) fn nat(lab: &Lab, _: &mut Figures) -> Outcome {
    let stage = Stage::new()?;
    let homes = [stage.internet.home(HOMES[0])?, stage.internet.home(HOMES[1])?];
    let text = config(&stage.node.address(), INSIDE, &[]);
    let a = lab.board(&homes[0], "a", Clock::Real)?.boot(&text)?;
    let b = lab.board(&homes[1], "b", Clock::Real)?.boot(&text)?;
    for device in [&a, &b] {
        device.wait_after(0, "connection", |heard| heard.text("rest") == "udp")?;
    }

    let (a_id, b_id) = (a.tox_id(0)?, b.tox_id(0)?);
    a.type_line(&format!("add {b_id} from one home to another"))?;
    let request = b.wait_after(0, "request", |heard| heard.text("rest").ends_with("from one home to another"))?;
    let index = request.text("rest").split_whitespace().next().unwrap_or_default().to_string();
    b.type_line(&format!("accept {index}"))?;
    a.friend(0, &b_id, "online")?;
    b.friend(0, &a_id, "online")?;
    for i in 0..MESSAGES {
        says(&a, &b, 20 + 2 * i)?;
        says(&b, &a, 21 + 2 * i)?;
    }
    // As many as it wrote, and as it echoed.
    a.await_receipts(2 * MESSAGES)?;
    b.await_receipts(2 * MESSAGES)
}

/// One writes so many bytes, the other shows that it heard. Just after they have met, names and statuses may take all
/// the room there is.
fn says(from: &Device, to: &Device, len: u64) -> Outcome {
    let (line, mark) = (format!("send 0 {}", "x".repeat(len as usize)), to.mark());
    let start = Instant::now();
    loop {
        let answered = from.mark();
        from.type_line(&line)?;
        if from.wait_since(answered, "sent", SENT_TIMEOUT, |_| true).is_ok() {
            break;
        }
        ensure(start.elapsed() < SEND_TIMEOUT, || from.failure("it cannot send").0)?;
    }
    to.wait_after(mark, "message", |heard| heard.text("rest").ends_with(&format!(" {len}")))?;
    Ok(())
}

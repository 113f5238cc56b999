//! Two devices, each behind a NAT of its own.

use crate::stage::{Lab, Stage, config};
use crate::table::Figures;
use bluering_tests::{Clock, Device, Outcome};

const HOMES: [[u8; 4]; 2] = [[198, 51, 100, 20], [192, 0, 2, 20]];
const INSIDE: &str = "ipv4 = 192.168.1.5/24\ngateway = 192.168.1.1\nverbose = yes\n";
const MESSAGES: usize = 10;

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
        says(&a, &b, i)?;
        says(&b, &a, i)?;
    }
    Ok(())
}

/// One writes, the other shows that it heard.
fn says(from: &Device, to: &Device, number: usize) -> Outcome {
    let (text, mark) = ("x".repeat(20 + number), to.mark());
    from.type_line(&format!("send 0 {text}"))?;
    to.wait_after(mark, "message", |heard| heard.text("rest").ends_with(&format!(" {}", text.len())))?;
    Ok(())
}

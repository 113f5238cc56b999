//! What /proc tells of a process, and medians.

/// CPU seconds of a process so far, the sum over its living threads.
#[must_use]
pub fn cpu_seconds(pid: u32) -> f64 {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return 0.0 };
    let nanoseconds: u64 = tasks.flatten().filter_map(|task| first_number(&task.path().join("schedstat"))).sum();
    nanoseconds as f64 / 1e9
}

/// UDP datagrams sent so far by everyone in the network namespace of this process.
#[must_use]
pub fn datagrams_sent(pid: u32) -> u64 {
    let snmp = std::fs::read_to_string(format!("/proc/{pid}/net/snmp")).unwrap_or_default();
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return 0 };
    let mut pairs = names.split(' ').zip(values.split(' '));
    pairs.find(|(name, _)| *name == "OutDatagrams").and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

/// Resident memory of a process in bytes.
#[must_use]
pub fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Whether a UDP socket in the namespace of this process is bound to `port`.
#[must_use]
pub fn udp_bound(pid: u32, port: u16) -> bool {
    let ends = format!(":{port:04X}");
    sockets(pid, &["udp", "udp6"], |local, _| local.ends_with(&ends))
}

/// Whether a TCP socket in the namespace of this process listens on `port`.
#[must_use]
pub fn tcp_listening(pid: u32, port: u16) -> bool {
    let ends = format!(":{port:04X}");
    sockets(pid, &["tcp", "tcp6"], |local, state| local.ends_with(&ends) && state == "0A")
}

/// Whether the tables have a socket with such a local address and state.
fn sockets(pid: u32, tables: &[&str], wanted: impl Fn(&str, &str) -> bool) -> bool {
    tables.iter().any(|table| {
        let table = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        table.lines().skip(1).any(|line| {
            let mut fields = line.split_whitespace().skip(1);
            fields.next().zip(fields.nth(1)).is_some_and(|(local, state)| wanted(local, state))
        })
    })
}

/// The middle of the values, or the mean of the two middle ones; NaN of none.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

fn first_number(file: &std::path::Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_and_even() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn cpu_time_grows_with_work() {
        let before = cpu_seconds(std::process::id());
        let start = std::time::Instant::now();
        let mut sum = 0u64;
        while start.elapsed().as_millis() < 60 {
            sum = core::hint::black_box(sum.wrapping_add(1));
        }
        assert!(cpu_seconds(std::process::id()) > before);
    }
}

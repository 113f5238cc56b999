//! A node's counters and tables as Prometheus reads them (text format 0.0.4).

use bluering::core::DropReason;
use bluering::core::relay::server::{CloseReason, RelayStats};
use bluering::core::wire::kind;
use bluering::{RelayReport, Vitals};
use std::fmt::{Display, Write};
use std::time::{Duration, SystemTime};

/// Packets by name; all others are counted as `unknown`.
const KINDS: [(u8, &str); 32] = [
    (kind::PING_REQUEST, "ping_request"),
    (kind::PING_RESPONSE, "ping_response"),
    (kind::NODES_REQUEST, "nodes_request"),
    (kind::NODES_RESPONSE, "nodes_response"),
    (kind::COOKIE_REQUEST, "cookie_request"),
    (kind::COOKIE_RESPONSE, "cookie_response"),
    (kind::CRYPTO_HANDSHAKE, "crypto_handshake"),
    (kind::CRYPTO_DATA, "crypto_data"),
    (kind::DHT_REQUEST, "dht_request"),
    (kind::LAN_DISCOVERY, "lan_discovery"),
    (kind::ONION_REQUEST_0, "onion_request_0"),
    (kind::ONION_REQUEST_1, "onion_request_1"),
    (kind::ONION_REQUEST_2, "onion_request_2"),
    (kind::ANNOUNCE_REQUEST, "announce_request"),
    (kind::ANNOUNCE_RESPONSE, "announce_response"),
    (kind::ONION_DATA_REQUEST, "onion_data_request"),
    (kind::ONION_DATA_RESPONSE, "onion_data_response"),
    (kind::GROUP_ANNOUNCE_REQUEST, "group_announce_request"),
    (kind::GROUP_ANNOUNCE_RESPONSE, "group_announce_response"),
    (kind::ONION_RESPONSE_3, "onion_response_3"),
    (kind::ONION_RESPONSE_2, "onion_response_2"),
    (kind::ONION_RESPONSE_1, "onion_response_1"),
    (kind::FORWARD_REQUEST, "forward_request"),
    (kind::FORWARDING, "forwarding"),
    (kind::FORWARD_REPLY, "forward_reply"),
    (kind::DATA_SEARCH_REQUEST, "data_search_request"),
    (kind::DATA_SEARCH_RESPONSE, "data_search_response"),
    (kind::DATA_RETRIEVE_REQUEST, "data_retrieve_request"),
    (kind::DATA_RETRIEVE_RESPONSE, "data_retrieve_response"),
    (kind::STORE_ANNOUNCE_REQUEST, "store_announce_request"),
    (kind::STORE_ANNOUNCE_RESPONSE, "store_announce_response"),
    (kind::BOOTSTRAP_INFO, "bootstrap_info"),
];

/// What does not change while a node runs.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub(super) key: String,
    pub(super) started: SystemTime,
}

/// The whole page.
pub(super) fn page(about: &About, vitals: &Vitals, relay: Option<&RelayReport>) -> String {
    let mut page = Page(String::with_capacity(8192));
    let version = env!("CARGO_PKG_VERSION");
    page.family("bluering_build_info", "gauge", "The program that runs.");
    page.sample("bluering_build_info", &[("version", version), ("public_key", &about.key)], 1);
    datagrams(&mut page, vitals);
    counters(&mut page, vitals);
    if let Some(RelayReport { stats, .. }) = relay {
        relay_counters(&mut page, stats);
    }
    tables(&mut page, vitals, relay);
    process(&mut page, about);
    page.0
}

fn datagrams(page: &mut Page, Vitals { stats, traffic, .. }: &Vitals) {
    let (received, sent) = ("bluering_datagrams_received_total", "bluering_datagrams_sent_total");
    by_kind(page, received, "UDP datagrams that came in, by kind.", |kind| traffic.received(kind));
    by_kind(page, sent, "UDP datagrams that went out, by kind.", |kind| traffic.sent(kind));
    page.single(
        "bluering_received_bytes_total",
        "counter",
        "Bytes of UDP datagrams that came in.",
        traffic.bytes_received,
    );
    page.single("bluering_sent_bytes_total", "counter", "Bytes of UDP datagrams that went out.", traffic.bytes_sent);
    let name = "bluering_datagrams_dropped_total";
    page.family(name, "counter", "Datagrams that were dropped, by reason.");
    for reason in DropReason::ALL {
        page.sample(name, &[("reason", &snake_case(&format!("{reason:?}")))], stats.dropped(reason));
    }
}

fn by_kind(page: &mut Page, name: &str, help: &str, count: impl Fn(u8) -> u64) {
    page.family(name, "counter", help);
    for (byte, label) in KINDS {
        page.sample(name, &[("kind", label)], count(byte));
    }
    let is_known = |byte: &u8| KINDS.iter().any(|(known, _)| known == byte);
    let unknown: u64 = (0..=u8::MAX).filter(|byte| !is_known(byte)).map(count).sum();
    page.sample(name, &[("kind", "unknown")], unknown);
}

fn counters(page: &mut Page, Vitals { stats, .. }: &Vitals) {
    for (name, help, count) in [
        ("bluering_datagrams_answered_total", "Datagrams that were answered at once.", stats.replied),
        ("bluering_key_agreements_total", "Keys agreed upon, which is what costs time.", stats.keys_computed),
        (
            "bluering_budget_granted_total",
            "Key agreements for others, within the budget.",
            stats.agreements_granted.into(),
        ),
        (
            "bluering_budget_refused_total",
            "Key agreements for others that the budget did not allow.",
            stats.agreements_refused.into(),
        ),
        (
            "bluering_announces_evicted_total",
            "Announcements driven out by nearer ones.",
            stats.announces_evicted.into(),
        ),
        ("bluering_announces_refused_total", "Announcements without a place.", stats.announces_refused.into()),
        ("bluering_cookies_refused_total", "Handshakes with a wrong or old cookie.", stats.cookies_refused.into()),
    ] {
        page.single(name, "counter", help, count);
    }
}

fn relay_counters(page: &mut Page, stats: &RelayStats) {
    for (name, help, count) in [
        ("bluering_relay_connections_total", "Connections that were accepted.", stats.opened),
        ("bluering_relay_refused_total", "Connections that were refused at once.", stats.refused),
        ("bluering_relay_clients_total", "Clients that have shown who they are.", stats.clients),
        ("bluering_relay_frames_received_total", "Frames that clients sent.", stats.frames_in),
        ("bluering_relay_frames_sent_total", "Frames that clients were sent.", stats.frames_out),
        ("bluering_relay_passed_total", "Packets passed on from client to client.", stats.relayed),
        ("bluering_relay_passed_bytes_total", "Bytes of packets passed on.", stats.relayed_bytes),
        ("bluering_relay_onion_requests_total", "Onion packets sent for clients.", stats.onion_requests),
        ("bluering_relay_onion_responses_total", "Onion answers handed to clients.", stats.onion_responses),
        ("bluering_relay_forwarded_total", "Packets forwarded to nodes for clients.", stats.forwarded),
    ] {
        page.single(name, "counter", help, count);
    }
    let name = "bluering_relay_closed_total";
    page.family(name, "counter", "Connections of clients that ended, by reason.");
    for reason in CloseReason::ALL {
        page.sample(name, &[("reason", &snake_case(&format!("{reason:?}")))], stats.closed(reason));
    }
    let name = "bluering_relay_dropped_total";
    page.family(name, "counter", "Packets of clients that were dropped, by reason.");
    for reason in DropReason::ALL {
        page.sample(name, &[("reason", &snake_case(&format!("{reason:?}")))], stats.dropped(reason));
    }
}

fn tables(page: &mut Page, Vitals { occupancy, .. }: &Vitals, relay: Option<&RelayReport>) {
    for (name, help, count) in [
        (
            "bluering_table_entries",
            "Places taken in a table.",
            (|table| table.used) as fn(&bluering::core::storage::Table) -> usize,
        ),
        ("bluering_table_capacity", "Places of a table.", |table| table.capacity),
    ] {
        page.family(name, "gauge", help);
        for table in occupancy.tables().iter().chain(relay.iter().flat_map(|relay| &relay.tables)) {
            page.sample(name, &[("table", &table.name.replace(' ', "_"))], count(table));
        }
    }
}

/// The names that all Prometheus programs use. What the system does not tell is left out.
fn process(page: &mut Page, about: &About) {
    let started = about.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    page.single("process_start_time_seconds", "gauge", "When the process started, in Unix time.", started);
    if let Some(time) = processor_time() {
        page.single("process_cpu_seconds_total", "counter", "Processor time of the process.", time.as_secs_f64());
    }
    if let Some(bytes) = resident_memory() {
        page.single("process_resident_memory_bytes", "gauge", "Memory of the process.", bytes);
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn processor_time() -> Option<Duration> {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let time = |time: nix::sys::time::TimeVal| {
        Some(Duration::new(time.tv_sec().try_into().ok()?, u32::try_from(time.tv_usec()).ok()? * 1000))
    };
    Some(time(usage.user_time())? + time(usage.system_time())?)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn processor_time() -> Option<Duration> {
    None
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn resident_memory() -> Option<u64> {
    None
}

/// Writing to a text cannot fail.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Labels are words of ours: nothing in them needs escaping.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> = labels.iter().map(|(label, text)| format!("{label}=\"{text}\"")).collect();
        let _ = writeln!(self.0, "{name}{{{}}} {value}", labels.join(","));
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        let _ = writeln!(self.0, "{name} {value}");
    }
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn a_page() -> String {
        let (tox, _events) = bluering::Builder::new()
            .listen(bluering::Listen::At("127.0.0.1:0".parse().expect("an address")))
            .limits(bluering::core::Limits::SERVER)
            .relay("127.0.0.1:0".parse().expect("an address"))
            .start()
            .expect("a node");
        let vitals = smol::block_on(tox.vitals()).expect("running");
        let relay = tox.relay_report();
        page(&About { key: tox.dht_key().to_string(), started: SystemTime::now() }, &vitals, relay.as_ref())
    }

    #[test]
    fn the_page_has_a_line_for_everything_once() {
        let page = a_page();
        let samples: Vec<_> = page.lines().filter(|line| !line.starts_with('#')).collect();
        for sample in &samples {
            let (name, value) = sample.rsplit_once(' ').expect("a value");
            assert!(value.parse::<f64>().is_ok_and(|value| value >= 0.0), "{sample}");
            let family = name.split('{').next().unwrap_or_default();
            assert!(page.contains(&format!("# TYPE {family} ")), "{sample}");
        }
        let names: BTreeSet<_> = samples.iter().map(|sample| sample.rsplit_once(' ').expect("a value").0).collect();
        assert_eq!(names.len(), samples.len());
        for wanted in [
            "bluering_datagrams_received_total{kind=\"ping_request\"} 0",
            "bluering_datagrams_dropped_total{reason=\"rate_limited\"} 0",
            "bluering_table_capacity{table=\"close_list\"} 1024",
            "bluering_table_capacity{table=\"relay_clients\"} 16384",
            "bluering_relay_closed_total{reason=\"bad_handshake\"} 0",
            "bluering_relay_dropped_total{reason=\"no_room\"} 0",
            "bluering_budget_refused_total 0",
        ] {
            assert!(samples.contains(&wanted), "{wanted}");
        }
    }

    /// Whatever the dashboard shows is on the page, and its panels do not lie on each other.
    #[test]
    fn the_dashboard_asks_for_what_there_is() {
        let page = a_page();
        let text = include_str!("../../../packaging/grafana-dashboard.json");
        let dashboard: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let panels = dashboard["panels"].as_array().expect("panels");
        let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
        for panel in panels {
            assert!(ids.insert(panel["id"].to_string()) && places.insert(panel["gridPos"].to_string()), "{panel}");
            for target in panel["targets"].as_array().expect("targets") {
                let names =
                    target["expr"].as_str().expect("a query").split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                for name in names.filter(|name| name.starts_with("bluering_") || name.starts_with("process_")) {
                    assert!(page.contains(&format!("# TYPE {name} ")), "{name}");
                }
            }
        }
        assert!(panels.len() > 10);
    }

    #[test]
    fn the_system_tells_of_the_process() {
        if cfg!(target_os = "linux") {
            assert!(processor_time().is_some_and(|time| time > Duration::ZERO));
            assert!(resident_memory().is_some_and(|bytes| bytes > 1 << 20));
        }
    }

    #[test]
    fn kinds_are_different() {
        let bytes: BTreeSet<_> = KINDS.iter().map(|(byte, _)| byte).collect();
        let names: BTreeSet<_> = KINDS.iter().map(|(_, name)| name).collect();
        assert_eq!((bytes.len(), names.len()), (KINDS.len(), KINDS.len()));
    }
}

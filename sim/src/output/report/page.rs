//! The page: its head, its sections, in the order in which a person asks.

use super::chart::{clock, grouped, micros};
use super::{Report, Summary, network, tables, times};
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

pub(super) fn page(report: &Report, summary: &Summary) -> Markup {
    let title = format!("{}, seed {}", summary.scenario, summary.seed);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · BlueRing simulator" }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                (header(summary))
                main {
                    (tiles(report, summary))
                    (violations(report, summary))
                    (section("network", "Network", network::network(report, summary)))
                    (section("online", "Pairs online", times::online(report, summary)))
                    (section("faults", "Faults", times::faults(report)))
                    (section("traffic", "Traffic", html! { (times::traffic(report)) (tables::kinds(report)) }))
                    (section("losses", "Losses and drops", losses(report)))
                    (section("latency", "Latency", html! {
                        p class="note" { "From sending to handling, where a node handled it." }
                        (tables::latency(report))
                    }))
                    (section("tables", "Table occupancy", tables::occupancy(summary)))
                    (section("probes", "Probes", tables::probes(summary)))
                }
                footer { "bluering-sim " (env!("CARGO_PKG_VERSION")) ". Times are those of the simulated world; its clock starts at 1 s." }
            }
        }
    }
}

fn section(id: &str, title: &str, inside: Markup) -> Markup {
    html! {
        section id=(id) aria-labelledby=(format!("{id}-heading")) {
            h2 id=(format!("{id}-heading")) { (title) }
            (inside)
        }
    }
}

fn header(summary: &Summary) -> Markup {
    html! {
        header {
            p class="program" { "BlueRing simulator" }
            h1 { (summary.scenario) " " span class="seed" { "seed " (summary.seed) } }
            @if summary.violation_count == 0 {
                p class="verdict good" { "All rules held" }
            } @else {
                p class="verdict bad" {
                    (grouped(summary.violation_count)) @if summary.violation_count == 1 { " violation" } @else { " violations" }
                }
            }
            @if !summary.replay_command.is_empty() { p class="command" { code { (summary.replay_command) } } }
        }
    }
}

fn tiles(report: &Report, summary: &Summary) -> Markup {
    let (online, messages) = (&summary.online, &report.messages);
    let time = |millis: u64| if online.pairs == 0 { "–".to_owned() } else { micros(millis * 1000) };
    html! {
        dl class="tiles" {
            (tile("hosts", &grouped(summary.nodes.into()), &format!("{} pairs of friends", grouped(summary.pairs.len() as u64))))
            (tile("virtual time", &clock(summary.took.as_secs_f64()), &format!("{} min", summary.took.as_secs() / 60)))
            (tile("online, median", &time(online.p50), &format!("95 %: {}, slowest: {}", time(online.p95), time(online.max))))
            (tile("packets", &grouped(summary.packets), &format!("{} events", grouped(summary.events))))
            (tile("messages", &grouped(messages.said), &format!("{} heard, {} receipts, {} refused", grouped(messages.heard), grouped(messages.receipts), grouped(messages.refused))))
            (tile("hash", &format!("{:016x}", summary.hash), "equal runs have equal hashes"))
        }
    }
}

fn tile(name: &str, value: &str, more: &str) -> Markup {
    html! { div { dt { (name) } dd class="value" { (value) } dd class="more" { (more) } } }
}

fn violations(report: &Report, summary: &Summary) -> Markup {
    html! {
        @if !summary.violations.is_empty() {
            section id="violations" class="bad" aria-labelledby="violations-heading" {
                h2 id="violations-heading" { "Violations" }
                @if summary.violation_count > summary.violations.len() as u64 {
                    p class="note" { "The first " (summary.violations.len()) " of " (grouped(summary.violation_count)) "." }
                }
                @for (i, violation) in summary.violations.iter().enumerate() {
                    details open[i == 0] {
                        summary {
                            b { (format!("{:?}", violation.rule)) } " "
                            span class="dim" {
                                "at " (clock(violation.at as f64 / 1e6))
                                @if let Some(host) = violation.host { ", host " (host) }
                            }
                            ": " (violation.what)
                        }
                        pre tabindex="0" aria-label="Timeline" { (report.timeline.around(violation)) }
                    }
                }
            }
        }
    }
}

fn losses(report: &Report) -> Markup {
    let packets = report.packets.iter().sum();
    html! {
        div class="columns" {
            div { (tables::reasons("Lost on the way", "Nothing was lost on the way.", &report.lost, packets)) }
            div { (tables::reasons("Dropped by nodes", "Nodes dropped nothing.", &report.dropped, packets)) }
        }
    }
}

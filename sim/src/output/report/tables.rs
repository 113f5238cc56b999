//! Tables: kinds of packets, losses and drops, how full tables were, probes; and latency as bars.

use super::chart::{LEFT, RIGHT, Scale, WIDTH, bytes, clock, grouped, micros, percent, px, svg};
use super::collect::Reasons;
use super::times::{COLOURS, ranked};
use super::{Report, Summary, Use};
use crate::output::Kind;
use maud::{Markup, html};

/// Packets by kind: how many, how much, what became of them.
pub(super) fn kinds(report: &Report) -> Markup {
    let kinds = ranked(report);
    let total: u64 = report.bytes.iter().sum();
    html! {
        div class="wide" { table {
            caption { "Kinds of packets" }
            thead { tr {
                th scope="col" { "kind" } th scope="col" { "class" }
                th scope="col" class="number" { "packets" } th scope="col" class="number" { "bytes" }
                th scope="col" { "share of bytes" }
                th scope="col" class="number" { "lost" } th scope="col" class="number" { "dropped" }
            } }
            tbody { @for (i, kind) in kinds.iter().enumerate() {
                @let packets = report.packets[kind.index()];
                @let sent = report.bytes[kind.index()];
                tr {
                    th scope="row" { span class=(format!("swatch k{}", i.min(COLOURS))) {} (kind.name()) }
                    td { (kind.class().name()) }
                    td class="number" { (grouped(packets)) }
                    td class="number" { (bytes(sent as f64)) }
                    td { (bar(sent as f64, total as f64, "")) }
                    td class="number" { (percent(report.lost.of(*kind) as f64, packets as f64)) }
                    td class="number" { (percent(report.dropped.of(*kind) as f64, packets as f64)) }
                }
            } }
        } }
    }
}

/// A share as a bar and as a number.
fn bar(part: f64, whole: f64, class: &str) -> Markup {
    let share = if whole > 0.0 { (part / whole * 100.0).clamp(0.0, 100.0) } else { 0.0 };
    html! {
        span class="meter" aria-hidden="true" { span class=(class) style=(format!("width:{}%", px(share))) {} }
        span class="share" { (percent(part, whole)) }
    }
}

/// Why datagrams did not arrive, or were not wanted.
pub(super) fn reasons(title: &str, none: &str, reasons: &Reasons, packets: u64) -> Markup {
    let rows = reasons.sorted();
    html! {
        @if rows.is_empty() { p class="note" { (none) } } @else {
            table {
                caption { (title) }
                thead { tr {
                    th scope="col" { "reason" } th scope="col" class="number" { "packets" }
                    th scope="col" class="number" { "of all" } th scope="col" { "most often" }
                } }
                tbody { @for (reason, count, kind, of_kind) in rows {
                    tr {
                        th scope="row" { (reason) }
                        td class="number" { (grouped(count)) }
                        td class="number" { (percent(count as f64, packets as f64)) }
                        td { (kind.name()) " " span class="dim" { (percent(of_kind as f64, count as f64)) } }
                    }
                } }
            }
        }
    }
}

const ROW: f64 = 24.0;
/// Room for names at the left of the bars, and for numbers at the right.
const NAMES: f64 = LEFT + 116.0;
const NUMBERS: f64 = RIGHT - 210.0;

/// From sending to handling: a bar from the median to the 95th percentile of each kind, on a logarithmic scale.
pub(super) fn latency(report: &Report) -> Markup {
    let all: Vec<(Kind, [u64; 3])> =
        Kind::all().filter_map(|kind| report.latency.of(kind).map(|times| (kind, times))).collect();
    let shortest = all.iter().map(|(_, [p50, ..])| *p50).min().unwrap_or(1).max(1);
    let longest = all.iter().map(|(_, [_, p95, _])| *p95).max().unwrap_or(1);
    let (from, to) = (decade_below(shortest), decade_above(longest.max(shortest + 1)));
    let x = Scale { from: log(from), to: log(to), start: NAMES, end: NUMBERS };
    let bottom = 14.0 + ROW * all.len() as f64;
    let decades = core::iter::successors(Some(from), |decade| (*decade < to).then_some(decade * 10));
    let inside = html! {
        g class="axis" { @for decade in decades {
            line class="grid" x1=(px(x.at(log(decade)))) x2=(px(x.at(log(decade)))) y1="8" y2=(px(bottom)) {}
            text x=(px(x.at(log(decade)))) y=(px(bottom + 18.0)) text-anchor="middle" { (micros(decade).replace(".0", "").replace(".00", "")) }
        } }
        @for (row, (kind, [p50, p95, max])) in all.iter().enumerate() {
            @let y = 14.0 + ROW * row as f64;
            @let (start, end) = (x.at(log((*p50).max(from))), x.at(log((*p95).max(from))));
            text class="name" x=(px(NAMES - 12.0)) y=(px(y + 14.0)) text-anchor="end" { (kind.name()) }
            rect class="span" x=(px(start)) y=(px(y + 6.0)) width=(px((end - start).max(1.0))) height="8" rx="4" {
                title { (format!("{}: half within {}, 95 % within {}, all within {}", kind.name(), micros(*p50), micros(*p95), micros(*max))) }
            }
            circle class="median" cx=(px(start)) cy=(px(y + 10.0)) r="5" {}
            text class="value" x=(px(WIDTH - 124.0)) y=(px(y + 14.0)) text-anchor="end" { (micros(*p50)) }
            text class="value" x=(px(WIDTH - 16.0)) y=(px(y + 14.0)) text-anchor="end" { (micros(*p95)) }
        }
        text class="head" x=(px(WIDTH - 124.0)) y="8" text-anchor="end" { "median" }
        text class="head" x=(px(WIDTH - 16.0)) y="8" text-anchor="end" { "95 %" }
    };
    html! {
        @if all.is_empty() { p class="note" { "No datagram was handled." } } @else {
            (svg("latency-chart", bottom + 26.0, "Latency by kind of packet", "Median and 95th percentile from sending to handling.", &inside))
        }
    }
}

/// The logarithm to base 2 from integer steps: the same on every machine.
fn log(number: u64) -> f64 {
    let whole = number.max(1).ilog2();
    f64::from(whole) + (number as f64 / (1_u64 << whole) as f64 - 1.0)
}

fn decade_below(number: u64) -> u64 {
    10_u64.pow(number.max(1).ilog10())
}

fn decade_above(number: u64) -> u64 {
    let below = decade_below(number);
    if below == number { below } else { below * 10 }
}

/// How full tables were.
pub(super) fn occupancy(summary: &Summary) -> Markup {
    let tables: Vec<(&str, Use)> = summary
        .occupancy
        .order
        .iter()
        .filter_map(|name| summary.occupancy.tables.get(name).map(|table| (*name, *table)))
        .collect();
    html! {
        @if tables.is_empty() { p class="note" { "No samples were taken." } } @else {
            div class="wide" { table {
                caption { "Tables of the nodes" }
                thead { tr {
                    th scope="col" { "table" } th scope="col" { "fullest" } th scope="col" class="number" { "places" }
                    th scope="col" class="number" { "at host" } th scope="col" class="number" { "time" }
                    th scope="col" { "on average" }
                } }
                tbody { @for (name, table) in tables {
                    @let full = if table.used >= table.capacity { "full" } else { "" };
                    tr {
                        th scope="row" { (name) }
                        td { (bar(table.used as f64, table.capacity as f64, full)) }
                        td class="number" { (grouped(table.used)) " of " (grouped(table.capacity)) }
                        td class="number" { (table.host) }
                        td class="number" { (clock(table.at as f64 / 1e6)) }
                        td { (bar(table.sum as f64, table.samples as f64 * 1e6, "")) }
                    }
                } }
            } }
        }
    }
}

/// What was to be reached, and how often it was.
pub(super) fn probes(summary: &Summary) -> Markup {
    html! {
        @if summary.probes.is_empty() { p class="note" { "This run has no probes." } } @else {
            table {
                caption { "Probes" }
                thead { tr { th scope="col" { "probe" } th scope="col" class="number" { "times" } } }
                tbody { @for (name, count) in &summary.probes {
                    tr class=(if *count == 0 { "missed" } else { "" }) {
                        th scope="row" { (name) }
                        td class="number" { @if *count == 0 { "not reached" } @else { (grouped(*count)) } }
                    }
                } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decades_enclose() {
        assert_eq!((decade_below(999), decade_above(999)), (100, 1000));
        assert_eq!((decade_below(1000), decade_above(1000)), (1000, 1000));
        assert!((1..100_000).map(log).is_sorted());
    }
}

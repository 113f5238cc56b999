//! Charts over time: pairs online, traffic by kind, faults.

use super::chart::{LEFT, RIGHT, Scale, bytes, grouped, percent, px, step, svg, time_axis, value_axis};
use super::collect::Bar;
use super::{Report, Summary};
use crate::output::Kind;
use maud::{Markup, html};
use std::collections::BTreeMap;
use std::fmt::Write;

const TOP: f64 = 22.0;
/// So many kinds have a colour of their own.
pub(super) const COLOURS: usize = 8;
/// So many rows of faults.
const ROWS: usize = 24;

/// The share of pairs that are online, and that ever were, over time.
pub(super) fn online(report: &Report, summary: &Summary) -> Markup {
    let (bottom, (now, ever)) = (236.0, report.sight.count());
    let all = (summary.pairs.len() as u32).max(ever).max(1);
    let (x, y) = (Scale::time(report.seconds()), Scale { from: 0.0, to: 100.0, start: bottom, end: TOP });
    let share = |count: u32| f64::from(count) / f64::from(all) * 100.0;
    let (mut paths, mut last) = ([format!("M{LEFT} {bottom}"), format!("M{LEFT} {bottom}")], (0, 0));
    for (second, interval) in report.series.iter() {
        let online = interval.online.unwrap_or(last);
        last = online;
        let at = px(x.at((second + report.series.seconds()).min(x.to)));
        for (path, count) in paths.iter_mut().zip([online.0, online.1]) {
            // Writing to a string cannot fail.
            let _ = write!(path, "H{at}V{}", px(y.at(share(count))));
        }
    }
    paths.iter_mut().for_each(|path| path.push_str(&format!("H{RIGHT}")));
    let [now_path, ever_path] = paths;
    let words = format!("{now} of {all} pairs of friends are online at the end; {ever} ever were.");
    let inside = html! {
        (phases(report, x, bottom))
        (value_axis(y, 25.0, |value| format!("{value} %")))
        (time_axis(x, TOP, bottom))
        path class="area" d=(format!("{now_path}V{bottom}Z")) {}
        path class="line ever" d=(ever_path) { title { (format!("ever online: {ever} of {all}")) } }
        path class="line now" d=(now_path) { title { (format!("online: {now} of {all} at the end")) } }
    };
    html! {
        (svg("online-chart", 262.0, "Pairs online over time", &words, &inside))
        ul class="legend" {
            li { span class="swatch now" {} "online now: " b { (grouped(now.into())) } " of " (grouped(all.into())) " at the end, " (percent(now.into(), all.into())) }
            li { span class="swatch ever" {} "ever online: " b { (grouped(ever.into())) } ", " (percent(ever.into(), all.into())) }
        }
    }
}

/// Where phases begin; named where there is room.
fn phases(report: &Report, x: Scale, bottom: f64) -> Markup {
    let mut free = f64::NEG_INFINITY;
    let mut lines = Vec::new();
    for (at, name) in &report.marks.phases {
        let at = x.at(*at);
        let label = (at >= free).then_some(name);
        if label.is_some() {
            free = at + 12.0 + 7.0 * name.chars().count() as f64;
        }
        lines.push((at, name, label));
    }
    html! {
        g class="phases" {
            @for (at, name, label) in lines {
                line x1=(px(at)) x2=(px(at)) y1="4" y2=(px(bottom)) { title { (name) } }
                @if let Some(label) = label { text x=(px(at + 4.0)) y="13" { (label) } }
            }
        }
    }
}

/// The kinds that sent the most bytes, and the rest.
pub(super) fn ranked(report: &Report) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = Kind::all().filter(|kind| report.bytes[kind.index()] > 0).collect();
    kinds.sort_by_key(|kind| core::cmp::Reverse(report.bytes[kind.index()]));
    kinds
}

/// Bytes per second over time, stacked by kind.
pub(super) fn traffic(report: &Report) -> Markup {
    let (bottom, seconds) = (276.0, report.series.seconds());
    let kinds = ranked(report);
    let (own, rest) = kinds.split_at(kinds.len().min(COLOURS));
    let rates: Vec<(f64, Vec<f64>)> = report
        .series
        .iter()
        .map(|(second, interval)| {
            let rate = |kind: &Kind| interval.bytes[kind.index()] as f64 / seconds;
            let mut sums: Vec<f64> = own.iter().map(rate).collect();
            sums.push(rest.iter().map(rate).sum());
            sums.iter_mut().fold(0.0, |below, sum| {
                *sum += below;
                *sum
            });
            (second, sums)
        })
        .collect();
    let peak = rates.iter().filter_map(|(_, sums)| sums.last()).fold(1.0_f64, |peak, sum| peak.max(*sum));
    let (unit, names) = rate_unit(peak);
    let y = Scale { from: 0.0, to: (peak / unit) * 1.05, start: bottom, end: TOP };
    let x = Scale::time(report.seconds());
    let total: u64 = report.bytes.iter().sum();
    let words = format!("{} in all, {} per second at most.", bytes(total as f64), bytes(peak));
    let layers = own.len() + usize::from(!rest.is_empty());
    let inside = html! {
        (value_axis(y, step(y.to, 5.0), |value| format!("{} {names}", px(value))))
        (time_axis(x, TOP, bottom))
        @for layer in (0..layers).rev() {
            path class=(format!("k{layer}")) d=(area(&rates, layer, seconds, (x, y), unit)) {
                title { (own.get(layer).map_or("all others", |kind| kind.name())) }
            }
        }
        (phases(report, x, bottom))
    };
    html! {
        (svg("traffic-chart", 302.0, "Traffic by kind of packet over time", &words, &inside))
        ul class="legend" {
            @for (i, kind) in own.iter().enumerate() {
                li { span class=(format!("swatch k{i}")) {} (kind.name()) }
            }
            @if !rest.is_empty() { li { span class=(format!("swatch k{COLOURS}")) {} "all others" } }
        }
        p class="note" { (words) " Intervals of " (px(seconds)) " s." }
    }
}

fn rate_unit(peak: f64) -> (f64, &'static str) {
    match peak {
        _ if peak >= 2.0 * 1_048_576.0 => (1_048_576.0, "MiB/s"),
        _ if peak >= 2.0 * 1024.0 => (1024.0, "KiB/s"),
        _ => (1.0, "B/s"),
    }
}

/// From the top of a layer down to the axis: the layers below are drawn over it.
fn area(rates: &[(f64, Vec<f64>)], layer: usize, seconds: f64, (x, y): (Scale, Scale), unit: f64) -> String {
    let bottom = px(y.start);
    let mut path = format!("M{LEFT} {bottom}");
    for (second, sums) in rates {
        let height = px(y.at(sums[layer] / unit));
        // Writing to a string cannot fail.
        let _ = write!(path, "V{height}H{}", px(x.at((second + seconds).min(x.to))));
    }
    path + "V" + &bottom + "Z"
}

/// When which faults lasted; alike ones share a row.
pub(super) fn faults(report: &Report) -> Markup {
    let mut rows: BTreeMap<String, Vec<&Bar>> = BTreeMap::new();
    for bar in &report.marks.faults {
        rows.entry(family(&bar.name)).or_default().push(bar);
    }
    let mut rows: Vec<(String, Vec<&Bar>)> = rows.into_iter().collect();
    rows.sort_by(|(_, a), (_, b)| a[0].from.total_cmp(&b[0].from));
    let hidden = rows.len().saturating_sub(ROWS);
    rows.truncate(ROWS);
    let (count, x) = (report.marks.faults.len(), Scale::time(report.seconds()));
    let bottom = TOP + 30.0 * rows.len() as f64 + 4.0;
    let words = format!("{count} faults of {} sorts.", rows.len() + hidden);
    let inside = html! {
        (phases(report, x, bottom))
        (time_axis(x, TOP, bottom))
        @for (row, (name, bars)) in rows.iter().enumerate() {
            @let y = TOP + 30.0 * row as f64 + 8.0;
            @for bar in bars {
                @let (from, to) = (x.at(bar.from), x.at(bar.to.unwrap_or(x.to)));
                rect class="fault" x=(px(from)) y=(px(y + 15.0)) width=(px((to - from).max(2.0))) height="8" rx="2" {
                    title { (bar.name) }
                }
            }
            text class="row" x=(px(LEFT + 4.0)) y=(px(y + 10.0)) {
                (name) @if bars.len() > 1 { " × " (bars.len()) }
            }
        }
    };
    html! {
        @if count == 0 {
            p class="note" { "No faults in this run." }
        } @else {
            (svg("fault-chart", bottom + 26.0, "Faults over time", &words, &inside))
        }
        @if hidden > 0 || report.marks.more > 0 {
            p class="note" { (hidden) " more sorts and " (report.marks.more) " more faults are not shown." }
        }
    }
}

/// A fault's name without numbers and details.
fn family(name: &str) -> String {
    let name = name.split([':', '[', '{', ',']).next().unwrap_or(name).trim();
    let words = name.split(' ').map(|word| if word.bytes().all(|byte| byte.is_ascii_digit()) { "…" } else { word });
    words.collect::<Vec<_>>().join(" ").chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alike_faults_share_a_row() {
        assert_eq!(family("host 12 crashed, profile Stale"), "host … crashed");
        assert_eq!(family("bad lines at 3 hosts: LinkSpec { latency: 1 }"), "bad lines at … hosts");
        assert_eq!(family("no UDP at [1, 2]"), "no UDP at");
    }
}

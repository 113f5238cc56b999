//! The network drawn: hosts on a circle, those with the same kind of NAT together, and a line for each friendship.

use super::chart::{WIDTH, grouped, px, svg};
use super::{Report, Summary};
use crate::observe::HostId;
use core::f64::consts::TAU;
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet};

/// So many hosts are drawn; of more, a sample.
const DRAWN: usize = 200;
/// Of a sample, at most so many bootstrap nodes and adversaries each.
const SPECIAL: usize = 20;
/// So many friendships are drawn.
const LINES: usize = 1_200;
/// Up to so many hosts have their number beside them.
const NUMBERED: usize = 48;
const CENTRE: (f64, f64) = (WIDTH / 2.0, 290.0);
const RADIUS: f64 = 228.0;
const HEIGHT: f64 = 580.0;

/// How two friends stand in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Online,
    Gone,
    Never,
}

impl State {
    const ALL: [Self; 3] = [Self::Online, Self::Gone, Self::Never];

    const fn class(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Gone => "gone",
            Self::Never => "never",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Online => "online at the end",
            Self::Gone => "were online, not at the end",
            Self::Never => "never online",
        }
    }
}

/// The drawing and its legend.
pub(super) fn network(report: &Report, summary: &Summary) -> Markup {
    let pairs: Vec<(HostId, HostId, State)> =
        summary.pairs.iter().map(|(a, b)| (*a, *b, state(report, *a, *b))).collect();
    let circle = Circle::of(report, sample(report, summary, &pairs));
    let mut lines: Vec<_> = pairs.iter().filter(|(a, b, _)| circle.has(*a) && circle.has(*b)).collect();
    lines.sort_by_key(|(.., state)| core::cmp::Reverse(*state));
    let hidden = lines.len().saturating_sub(LINES);
    lines.truncate(LINES);
    // The worst on top.
    lines.reverse();
    let (shown, all) = (circle.places.len(), report.guests.all.len());
    let words = format!("{all} hosts, {} friendships.", pairs.len());
    let inside = html! {
        g class="links" {
            @for (a, b, state) in &lines { (circle.link(*a, *b, *state)) }
        }
        @for (name, from, to) in &circle.groups { (group(name, *from, *to)) }
        g class="hosts" {
            @for (host, angle) in &circle.places { (node(report, summary, *host, *angle, shown <= NUMBERED)) }
        }
    };
    let count = |wanted| pairs.iter().filter(|(.., state)| *state == wanted).count() as u64;
    html! {
        (svg("network-chart", HEIGHT, "The network", &words, &inside))
        ul class="legend" {
            @for state in State::ALL {
                li { span class=(format!("swatch link-{}", state.class())) {} (state.words()) ": " b { (grouped(count(state))) } }
            }
            li { span class="swatch round client" {} "client" }
            li { span class="swatch bootstrap" {} "bootstrap" }
            li { span class="swatch round actor" {} "adversary" }
            li { span class="swatch round down" {} "down or asleep" }
        }
        @if shown < all || hidden > 0 {
            p class="note" {
                (grouped(shown as u64)) " of " (grouped(all as u64)) " hosts are drawn, those of pairs that are not online first"
                @if hidden > 0 { ", without " (grouped(hidden as u64)) " of their friendships" } "."
            }
        }
    }
}

fn state(report: &Report, a: HostId, b: HostId) -> State {
    match (report.sight.is_online(a, b), report.sight.ever_online(a, b)) {
        (true, _) => State::Online,
        (false, true) => State::Gone,
        (false, false) => State::Never,
    }
}

/// All hosts, or when there are many some: of each sort, and those with troubles first.
fn sample(report: &Report, summary: &Summary, pairs: &[(HostId, HostId, State)]) -> BTreeSet<HostId> {
    let count = report.guests.all.len();
    if count <= DRAWN {
        return (0..count as HostId).collect();
    }
    let actors = (0..).zip(&report.guests.all).filter(|(_, guest)| !guest.node).map(|(host, _)| host);
    let mut chosen: BTreeSet<HostId> =
        actors.take(SPECIAL).chain(summary.bootstrap.iter().copied().take(SPECIAL)).collect();
    let mut by_trouble: Vec<_> = pairs.iter().collect();
    by_trouble.sort_by_key(|(.., state)| core::cmp::Reverse(*state));
    for (a, b, _) in by_trouble {
        if chosen.len() + 2 > DRAWN {
            break;
        }
        chosen.extend([*a, *b]);
    }
    let stride = (count / DRAWN).max(1);
    let evenly = (0..count as HostId).step_by(stride);
    let missing = DRAWN.saturating_sub(chosen.len());
    let more: Vec<HostId> = evenly.filter(|host| !chosen.contains(host)).take(missing).collect();
    chosen.extend(more);
    chosen
}

/// Where everybody is on the circle.
struct Circle {
    /// Angles, in order.
    places: BTreeMap<HostId, f64>,
    /// Name, first and last angle of those at like places.
    groups: Vec<(String, f64, f64)>,
}

impl Circle {
    fn of(report: &Report, hosts: BTreeSet<HostId>) -> Self {
        let mut by_place: BTreeMap<u16, Vec<HostId>> = BTreeMap::new();
        for host in hosts {
            let place = report.guests.all.get(host as usize).map_or(0, |guest| guest.place);
            by_place.entry(place).or_default().push(host);
        }
        let gap = if by_place.len() > 1 { 1.5 } else { 0.0 };
        let room: f64 = by_place.values().map(|hosts| hosts.len() as f64 + gap).sum();
        let mut circle = Self { places: BTreeMap::new(), groups: Vec::new() };
        let mut at = 0.0;
        for (place, hosts) in by_place {
            let angle = |at: f64| (at / room - 0.25) * TAU;
            let from = at;
            for host in &hosts {
                circle.places.insert(*host, angle(at));
                at += 1.0;
            }
            let name = report.guests.places.get(place as usize).map_or("nowhere yet", String::as_str);
            circle.groups.push((format!("{name} × {}", hosts.len()), angle(from), angle(at - 1.0)));
            at += gap;
        }
        circle
    }

    fn has(&self, host: HostId) -> bool {
        self.places.contains_key(&host)
    }

    fn link(&self, a: HostId, b: HostId, state: State) -> Markup {
        let place = |host| self.places.get(&host).map_or(CENTRE, |angle| point(*angle, RADIUS));
        let ((ax, ay), (bx, by)) = (place(a), place(b));
        let middle = |from: f64, to: f64, centre: f64| (from + to) / 2.0 * 0.4 + centre * 0.6;
        let (mx, my) = (middle(ax, bx, CENTRE.0), middle(ay, by, CENTRE.1));
        let path = format!("M{} {}Q{} {} {} {}", px(ax), px(ay), px(mx), px(my), px(bx), px(by));
        html! {
            path class=(format!("link-{}", state.class())) d=(path) {
                title { (format!("hosts {a} and {b}: {}", state.words())) }
            }
        }
    }
}

fn point(angle: f64, radius: f64) -> (f64, f64) {
    (CENTRE.0 + angle.cos() * radius, CENTRE.1 + angle.sin() * radius)
}

/// An arc outside of the hosts at like places, and what places these are.
fn group(name: &str, from: f64, to: f64) -> Markup {
    let (from, to) = (from - 0.01, to + 0.01);
    let ((ax, ay), (bx, by)) = (point(from, RADIUS + 26.0), point(to, RADIUS + 26.0));
    let large = u8::from(to - from > TAU / 2.0);
    let radius = px(RADIUS + 26.0);
    let path = format!("M{} {}A{radius} {radius} 0 {large} 1 {} {}", px(ax), px(ay), px(bx), px(by));
    let (x, y) = point((from + to) / 2.0, RADIUS + 36.0);
    let side = (x - CENTRE.0) / RADIUS;
    let anchor = if side > 0.15 {
        "start"
    } else if side < -0.15 {
        "end"
    } else {
        "middle"
    };
    html! {
        path class="arc" d=(path) {}
        text class="place" x=(px(x)) y=(px(y + 4.0)) text-anchor=(anchor) { (name) }
    }
}

fn node(report: &Report, summary: &Summary, host: HostId, angle: f64, numbered: bool) -> Markup {
    let (x, y) = point(angle, RADIUS);
    let guest = report.guests.all.get(host as usize).cloned().unwrap_or_default();
    let is_bootstrap = summary.bootstrap.contains(&host);
    let (class, role) = match (guest.node, is_bootstrap) {
        (false, _) => ("actor", "adversary"),
        (true, true) => ("bootstrap", "bootstrap node"),
        (true, false) => ("client", "client"),
    };
    let class = if guest.up { class.to_owned() } else { format!("{class} down") };
    let place = report.guests.places.get(guest.place as usize).map_or("", String::as_str);
    let words = format!("host {host}: {role}, {place}{}", if guest.up { "" } else { ", down or asleep" });
    let (lx, ly) = point(angle, RADIUS + 14.0);
    html! {
        @if is_bootstrap {
            rect class=(class) x=(px(x - 5.0)) y=(px(y - 5.0)) width="10" height="10" rx="1.5" { title { (words) } }
        } @else {
            circle class=(class) cx=(px(x)) cy=(px(y)) r="5" { title { (words) } }
        }
        @if numbered { text x=(px(lx)) y=(px(ly + 3.5)) text-anchor="middle" { (host) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{Observation, Tap};
    use bluering_core::time::Instant;

    fn crowd(count: HostId) -> Report {
        let mut report = Report::new();
        for host in 0..count {
            let place = if host % 3 == 0 { "public" } else { "symmetric" }.to_owned();
            report.observe(Instant::from_secs(1), &Observation::Joined { host, place, node: host != count - 1 });
        }
        report
    }

    #[test]
    fn of_a_crowd_a_sample_is_drawn_with_the_troubled_in_it() {
        let mut report = crowd(5_000);
        let pairs: Vec<(HostId, HostId)> = (0..4_000).map(|i| (i, i + 900)).collect();
        for (a, b) in pairs.iter().filter(|(a, _)| *a != 3_333) {
            report.sight.set(*a, *b, true);
            report.sight.set(*b, *a, true);
        }
        let summary = Summary { pairs, bootstrap: vec![4_998], ..Summary::default() };
        let drawn = network(&report, &summary).into_string();
        assert!(drawn.contains("hosts 3333 and 4233: never online"));
        assert!(drawn.contains("host 4998: bootstrap node") && drawn.contains("host 4999: adversary"));
        assert!(drawn.matches("<circle").count() + drawn.matches("<rect").count() <= DRAWN);
        assert!(drawn.len() < 200_000, "{}", drawn.len());
    }

    #[test]
    fn of_few_everybody_is_drawn() {
        let drawn = network(&crowd(12), &Summary { pairs: vec![(1, 2)], ..Summary::default() }).into_string();
        assert_eq!(drawn.matches("<circle").count(), 12);
        assert!(drawn.contains("public × 4") && drawn.contains("symmetric × 8"));
        assert!(!drawn.contains("hosts are drawn"));
    }
}

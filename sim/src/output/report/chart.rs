//! Charts as inline SVG: axes, ticks, and numbers for people. Colours come from the page's style sheet.

use maud::{Markup, html};

/// Left and right ends of every time axis, so that charts stand in line below each other.
pub(super) const LEFT: f64 = 64.0;
pub(super) const RIGHT: f64 = 944.0;
/// The width of every chart.
pub(super) const WIDTH: f64 = 960.0;

/// Maps values to places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) start: f64,
    pub(super) end: f64,
}

impl Scale {
    /// The time axis up to so many seconds.
    pub(super) const fn time(seconds: f64) -> Self {
        Self { from: 0.0, to: seconds, start: LEFT, end: RIGHT }
    }

    pub(super) fn at(&self, value: f64) -> f64 {
        self.start + (value - self.from) / (self.to - self.from) * (self.end - self.start)
    }
}

/// A round number of about a `count`th of `span`: 1, 2 or 5 and noughts.
pub(super) fn step(span: f64, count: f64) -> f64 {
    let raw = span / count;
    let mut magnitude = 1.0;
    while magnitude * 10.0 <= raw {
        magnitude *= 10.0;
    }
    while magnitude > raw {
        magnitude /= 10.0;
    }
    [1.0, 2.0, 5.0, 10.0].map(|times| times * magnitude).into_iter().find(|step| *step >= raw).unwrap_or(raw)
}

/// Seconds between the ticks of a time axis.
fn time_step(span: f64) -> f64 {
    const STEPS: [f64; 16] = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21_600.0, 43_200.0,
        86_400.0,
    ];
    STEPS.into_iter().find(|step| span / step <= 10.0).unwrap_or(604_800.0)
}

/// All multiples of `step` within the scale.
pub(super) fn ticks(scale: Scale, step: f64) -> Vec<f64> {
    let count = ((scale.to - scale.from) / step + 1e-9) as u32;
    (0..=count).map(|i| scale.from + f64::from(i) * step).collect()
}

/// The time axis below a chart at height `y`, with lines up to `top`.
pub(super) fn time_axis(scale: Scale, top: f64, y: f64) -> Markup {
    html! {
        g class="axis" {
            @for tick in ticks(scale, time_step(scale.to)) {
                line class="grid" x1=(px(scale.at(tick))) x2=(px(scale.at(tick))) y1=(px(top)) y2=(px(y)) {}
                text x=(px(scale.at(tick))) y=(px(y + 18.0)) text-anchor="middle" { (clock(tick)) }
            }
            line class="base" x1=(px(scale.start)) x2=(px(scale.end)) y1=(px(y)) y2=(px(y)) {}
        }
    }
}

/// The axis at the left, with lines across.
pub(super) fn value_axis(scale: Scale, step: f64, label: impl Fn(f64) -> String) -> Markup {
    html! {
        g class="axis" {
            @for tick in ticks(scale, step) {
                line class="grid" x1=(px(LEFT)) x2=(px(RIGHT)) y1=(px(scale.at(tick))) y2=(px(scale.at(tick))) {}
                text x=(px(LEFT - 8.0)) y=(px(scale.at(tick) + 4.0)) text-anchor="end" { (label(tick)) }
            }
        }
    }
}

/// A chart with its name for those who cannot see it.
pub(super) fn svg(id: &str, height: f64, title: &str, words: &str, inside: &Markup) -> Markup {
    let (title_id, words_id) = (format!("{id}-title"), format!("{id}-words"));
    html! {
        svg id=(id) viewBox=(format!("0 0 {WIDTH} {}", px(height))) role="img"
            aria-labelledby=(format!("{title_id} {words_id}")) {
            title id=(title_id) { (title) }
            desc id=(words_id) { (words) }
            (inside)
        }
    }
}

/// A place in a chart, to a tenth.
pub(super) fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

/// `1 234 567`, with thin spaces that do not break.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `1.5 MiB`.
pub(super) fn bytes(number: f64) -> String {
    let mut number = number;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if number < 1024.0 || unit == "GiB" {
            let digits = usize::from(unit != "B" && number < 99.95);
            return format!("{number:.digits$} {unit}").replace(".0 ", " ");
        }
        number /= 1024.0;
    }
    String::new()
}

/// `850 µs`, `42.0 ms`, `1.50 s`.
pub(super) fn micros(number: u64) -> String {
    match number {
        0..1_000 => format!("{number} µs"),
        1_000..100_000 => format!("{:.1} ms", number as f64 / 1e3),
        100_000..1_000_000 => format!("{:.0} ms", number as f64 / 1e3),
        1_000_000..60_000_000 => format!("{:.2} s", number as f64 / 1e6),
        _ => clock((number / 1_000_000) as f64),
    }
}

/// `0:00`, `1:02:03`: hours when there are any, minutes, seconds.
pub(super) fn clock(seconds: f64) -> String {
    let all = seconds as u64;
    let (hours, minutes, seconds) = (all / 3600, all / 60 % 60, all % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// `12.3 %`.
pub(super) fn percent(part: f64, whole: f64) -> String {
    let share = if whole > 0.0 { part / whole * 100.0 } else { 0.0 };
    match share {
        0.0 => "0 %".to_owned(),
        _ if share < 0.05 => "< 0.1 %".to_owned(),
        _ if share >= 99.95 => "100 %".to_owned(),
        _ => format!("{share:.1} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!((grouped(0), grouped(999)), ("0".into(), "999".into()));
        assert_eq!([bytes(12.0), bytes(1536.0), bytes(3_145_728.0)], ["12 B", "1.5 KiB", "3 MiB"]);
        assert_eq!([micros(850), micros(42_000), micros(1_500_000)], ["850 µs", "42.0 ms", "1.50 s"]);
        assert_eq!([clock(59.9), clock(3723.0)], ["0:59", "1:02:03"]);
        assert_eq!([percent(0.0, 0.0), percent(1.0, 3.0), percent(1.0, 1e6)], ["0 %", "33.3 %", "< 0.1 %"]);
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(step(100.0, 5.0), 20.0);
        assert_eq!(step(0.7, 5.0), 0.2);
        for seconds in [1.0, 61.0, 600.0, 7_200.0, 604_800.0] {
            let count = ticks(Scale::time(seconds), time_step(seconds)).len();
            assert!((2..=11).contains(&count), "{seconds}: {count}");
        }
    }
}

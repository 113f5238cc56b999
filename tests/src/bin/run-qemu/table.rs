//! The figures of a run beside their goals, as a Markdown table.

use core::fmt::Write;

/// What is measured. The order is that of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    Ram,
    Statics,
    Stack,
    Storage,
    Flash,
    Message,
    Idle,
    IdleMean,
    Online,
    Allocator,
    RelayRam,
    RelayStatics,
    RelayStack,
    RelayStorage,
    RelayFlash,
}

impl Figure {
    const ALL: [Self; 15] = [
        Self::Ram,
        Self::Statics,
        Self::Stack,
        Self::Storage,
        Self::Flash,
        Self::Message,
        Self::Idle,
        Self::IdleMean,
        Self::Online,
        Self::Allocator,
        Self::RelayRam,
        Self::RelayStatics,
        Self::RelayStack,
        Self::RelayStorage,
        Self::RelayFlash,
    ];

    /// What the table calls it, its unit, and the most that is allowed.
    const fn described(self) -> (&'static str, &'static str, Option<f64>) {
        match self {
            Self::Ram => ("RAM of the bot: statics and stack high-water, embassy-net included", "KiB", Some(96.0)),
            Self::Statics => ("- statics", "KiB", None),
            Self::Stack => ("- stack high-water", "KiB", None),
            Self::Storage => ("- of the statics, core's storage", "KiB", Some(48.0)),
            Self::Flash => ("flash", "KiB", Some(256.0)),
            Self::Message => ("one message in, decrypted, answered", "k instructions", Some(250.0)),
            Self::Idle => {
                ("idle with 2 online friends, the quietest tenth of the time", "k instructions/s", Some(250.0))
            }
            Self::IdleMean => ("- mean, with all that it relays for others", "k instructions/s", None),
            Self::Online => ("boot to friend online, warm state", "s", Some(3.0)),
            Self::Allocator => ("symbols of an allocator", "", Some(0.0)),
            Self::RelayRam => ("with TCP relays: RAM", "KiB", Some(128.0)),
            Self::RelayStatics => ("- statics, with relays", "KiB", None),
            Self::RelayStack => ("- stack high-water, with relays", "KiB", None),
            Self::RelayStorage => ("- of the statics, core's storage with relays", "KiB", Some(56.0)),
            Self::RelayFlash => ("with TCP relays: flash", "KiB", Some(288.0)),
        }
    }

    /// `RAM of the bot`, for a sentence.
    fn name(self) -> &'static str {
        let (what, ..) = self.described();
        what.trim_start_matches("- ")
    }
}

/// All that was measured.
#[derive(Clone, Default)]
pub(crate) struct Figures(Vec<(Figure, f64)>);

impl Figures {
    /// Notes a value; of several the largest counts.
    pub(crate) fn add(&mut self, figure: Figure, value: f64) {
        self.0.push((figure, value));
    }

    /// Notes what others have measured.
    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// The largest value.
    pub(crate) fn get(&self, figure: Figure) -> Option<f64> {
        let values = self.0.iter().filter(|(of, _)| *of == figure).map(|(_, value)| *value);
        values.max_by(f64::total_cmp)
    }

    /// The names of those whose goal is missed.
    pub(crate) fn missed(&self) -> Vec<&'static str> {
        let is_missed = |figure: &Figure| {
            let (_, _, most) = figure.described();
            most.zip(self.get(*figure)).is_some_and(|(most, value)| value > most)
        };
        Figure::ALL.into_iter().filter(is_missed).map(Figure::name).collect()
    }

    /// The names of those that have a goal and were not measured; those of the image with relays if there is one.
    pub(crate) fn unmeasured(&self, relays: bool) -> Vec<&'static str> {
        let is_open = |figure: &Figure| {
            let is_asked = relays || *figure < Figure::RelayRam;
            is_asked && figure.described().2.is_some() && self.get(*figure).is_none()
        };
        Figure::ALL.into_iter().filter(is_open).map(Figure::name).collect()
    }

    /// The table.
    pub(crate) fn table(&self) -> String {
        let mut text = String::from("| what | measured | goal |\n|---|---|---|\n");
        for figure in Figure::ALL {
            let (what, unit, most) = figure.described();
            let measured = self.get(figure).map_or("-".into(), |value| with_unit(value, unit));
            let goal = most.map_or(String::new(), |most| format!("at most {}", with_unit(most, unit)));
            // Writing to a String cannot fail.
            let _ = writeln!(text, "| {what} | {measured} | {goal} |");
        }
        text
    }
}

fn with_unit(value: f64, unit: &str) -> String {
    let digits = if value.fract() == 0.0 { 0 } else { usize::from(value < 100.0) + usize::from(value < 10.0) };
    format!("{value:.digits$} {unit}").trim_end().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_value_counts_against_the_goal() {
        let mut figures = Figures::default();
        figures.add(Figure::Online, 1.25);
        assert_eq!(figures.missed(), Vec::<&str>::new());
        figures.add(Figure::Online, 3.5);
        figures.add(Figure::Online, 0.5);
        assert_eq!(figures.missed(), ["boot to friend online, warm state"]);
        assert!(figures.table().contains("| boot to friend online, warm state | 3.50 s | at most 3 s |"));
        assert!(figures.table().contains("| flash | - | at most 256 KiB |"));
        assert_eq!((figures.unmeasured(false).len(), figures.unmeasured(false).contains(&"flash")), (6, true));
        assert_eq!(figures.unmeasured(true).len(), 9);
    }
}

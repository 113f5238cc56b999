//! Tables of measurements, for reading in a terminal or in Markdown.

use crate::measure::median;

/// Rows of one measurement each; a column per contestant, the first of which is what the others are compared with.
pub struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table. `columns` names the contestants.
    #[must_use]
    pub fn new(title: &str, columns: &[&str]) -> Self {
        Self { title: title.into(), columns: columns.iter().map(|c| (*c).into()).collect(), rows: Vec::new() }
    }

    /// Adds a row of medians, each with its range and, after the first, its ratio to the first. No value: `-`.
    pub fn row(&mut self, what: &str, samples: &[Vec<f64>]) {
        let base = samples.first().map_or(f64::NAN, |first| median(first));
        let cells = samples.iter().enumerate().map(|(i, values)| cell(values, (i > 0).then_some(base)));
        self.rows.push(core::iter::once(what.to_string()).chain(cells).collect());
    }

    /// Prints it as a Markdown table with aligned columns.
    pub fn print(&self) {
        println!("\n## {}\n", self.title);
        let head: Vec<String> = core::iter::once(String::new()).chain(self.columns.iter().cloned()).collect();
        let width = |i: usize| {
            let all = core::iter::once(&head).chain(&self.rows);
            all.filter_map(|row| row.get(i)).map(|text| text.chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        print_row(&head, &widths);
        print_row(&widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>(), &widths);
        for row in &self.rows {
            print_row(row, &widths);
        }
    }
}

fn print_row(cells: &[String], widths: &[usize]) {
    let cells: Vec<String> = cells.iter().zip(widths).map(|(text, width)| format!("{text:<width$}")).collect();
    println!("| {} |", cells.join(" | "));
}

fn cell(values: &[f64], base: Option<f64>) -> String {
    let middle = median(values);
    if middle.is_nan() {
        return "-".into();
    }
    let mut text = number(middle);
    if values.len() > 1 {
        let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
        text.push_str(&format!(" ({}..{})", number(low), number(high)));
    }
    if let Some(base) = base.filter(|base| base.is_normal()) {
        text.push_str(&format!(" ×{:.2}", middle / base));
    }
    text
}

/// Three or more significant digits, no exponent.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_have_median_range_and_ratio() {
        assert_eq!(cell(&[8.0], None), "8.00");
        assert_eq!(cell(&[1.0, 4.0, 2.0], Some(8.0)), "2.00 (1.00..4.00) ×0.25");
        assert_eq!(cell(&[], Some(8.0)), "-");
    }
}

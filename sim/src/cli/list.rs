//! `list`.

use super::{Done, say};
use bluering_sim::scenarios::ALL;
use std::process::ExitCode;

pub(super) fn list() -> Done {
    let width = ALL.iter().map(|scenario| scenario.name.len()).max().unwrap_or(0);
    for scenario in &ALL {
        let size = scenario.size;
        say(&format!(
            "{:width$}  {:>6} nodes {:>6} min  {}\n",
            scenario.name, size.nodes, size.minutes, scenario.about
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

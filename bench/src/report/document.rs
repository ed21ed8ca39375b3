//! Writes a run into the documentation.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::charts::pictures;
use super::rows::Row;
use super::table::{micro_table, table, thousands};
use crate::runner::Run;

const BEGIN: &str = "<!-- numbers:begin -->";
const END: &str = "<!-- numbers:end -->";

/// Writes the numbers between the marks of `BENCHMARKS.md`, and charts and data to `benchmarks/`
/// next to it.
pub fn write(docs: &Path, run: &Run, rows: &[Row]) -> Result<()> {
    let directory = docs.join("benchmarks");
    fs::create_dir_all(&directory)?;
    let mut numbers = format!("{}\n{}\n", facts(run), table(rows));
    for picture in pictures(run) {
        fs::write(directory.join(picture.file), picture.chart.svg())?;
        writeln!(numbers, "![{}](benchmarks/{})\n", picture.chart.title, picture.file)?;
    }
    writeln!(numbers, "The parts of the broker, without a socket:\n\n{}", micro_table(run))?;
    write!(numbers, "All measurements of this run: [run.json](benchmarks/run.json).")?;
    let data = serde_json::to_string_pretty(run)? + "\n";
    fs::write(directory.join("run.json"), data)?;
    let page = docs.join("BENCHMARKS.md");
    let text = fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    let text = between_marks(&text, &numbers).with_context(|| format!("no marks in {}", page.display()))?;
    Ok(fs::write(page, text)?)
}

/// The machine, the time and the versions of a run.
pub fn facts(run: &Run) -> String {
    let machine = &run.machine;
    let versions: Vec<String> =
        machine.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    format!(
        "{}: {}, {} cores, {:.0} GB, {}, load average {} at the start, {} s. {}.\n",
        machine.date,
        machine.cpu,
        machine.cores,
        machine.memory_bytes as f64 / 1e9,
        machine.kernel,
        machine.load_average,
        thousands(run.seconds),
        versions.join(", ")
    )
}

fn between_marks(text: &str, numbers: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{numbers}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let text = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(between_marks(&text, "new"), Some(format!("a\n{BEGIN}\nnew\n{END}\nb\n")));
        assert_eq!(between_marks("a", "new"), None);
    }
}

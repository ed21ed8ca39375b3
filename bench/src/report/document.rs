//! Writes a run into the documentation.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::table::thousands;
use crate::runner::Run;

/// The numbers of a run, as `BENCHMARKS.md` shows them.
pub struct Chapter {
    /// Its marks are `<!-- NAME:begin -->` and `<!-- NAME:end -->`.
    pub(super) name: &'static str,
    /// The file of all measurements.
    pub(super) data: &'static str,
    pub(super) table: String,
    /// Follows the table.
    pub(super) rest: String,
}

impl Chapter {
    /// For a terminal.
    pub fn text(&self, run: &Run) -> String {
        format!("{}\n{}\n{}", facts(run), self.table, self.rest)
    }

    /// Writes the numbers between the marks of `BENCHMARKS.md`, and the data to `benchmarks/` next to it.
    pub fn write(&self, docs: &Path, run: &Run) -> Result<()> {
        let directory = docs.join("benchmarks");
        fs::create_dir_all(&directory)?;
        let data = self.data;
        let mut numbers = format!("{}\n{}\n", facts(run), self.table);
        if !self.rest.is_empty() {
            numbers += &format!("{}\n", self.rest);
        }
        numbers += &format!("All measurements of this run: [{data}](benchmarks/{data}).");
        fs::write(directory.join(data), serde_json::to_string_pretty(run)? + "\n")?;
        let page = docs.join("BENCHMARKS.md");
        let text = fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
        let text = between_marks(&text, self.name, &numbers)
            .with_context(|| format!("no marks in {}", page.display()))?;
        Ok(fs::write(page, text)?)
    }
}

/// The machine, the time and the versions of a run.
fn facts(run: &Run) -> String {
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

fn between_marks(text: &str, name: &str, numbers: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name}:begin -->"), format!("<!-- {name}:end -->"));
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{numbers}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let page = |numbers: &str| format!("a\n<!-- x:begin -->\n{numbers}\n<!-- x:end -->\nb\n");
        assert_eq!(between_marks(&page("old"), "x", "new"), Some(page("new")));
        assert_eq!(between_marks(&page("old"), "y", "new"), None);
    }
}

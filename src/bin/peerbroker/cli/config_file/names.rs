//! The names of settings in a file, and places in it.

use std::path::Path;

use crate::cli::row::Row;
use crate::cli::table::ROWS;

/// The tables with keys. `key` is the setting of `--key`.
pub(super) const API_KEY: &str = "api_key";

/// The settings that a file may have: all but its own place.
pub(in crate::cli) fn settings_of_files() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(|row| row.name != "config")
}

/// The setting with this name, with `_` or `-`.
pub(super) fn row_of(name: &str) -> Option<&'static Row> {
    let name = name.replace('-', "_");
    settings_of_files().find(|row| row.names().any(|known| known == name))
}

pub(super) fn place(path: &Path, line: usize) -> String {
    format!("{}, line {line}", path.display())
}

/// The line of a byte, from 1.
pub(super) fn line_of(text: &str, byte: usize) -> usize {
    1 + text.bytes().take(byte).filter(|byte| *byte == b'\n').count()
}

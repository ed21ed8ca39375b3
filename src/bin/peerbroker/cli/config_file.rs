//! The configuration file: TOML. Its settings have the names of the flags, and each `[[api_key]]` table is a
//! key.

mod keys;
mod syntax;

use std::ffi::OsString;
use std::fmt::Display;
use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::Error;
use clap::error::ErrorKind;
use peerbroker_core::vocabulary::{ApiKey, expected};
use peerbroker_keys::{Key, Settings};
use peerbroker_system::files::Stamp;
use toml::Table;
use toml::de::{DeTable, DeValue};

use super::given::{Given, Source};
use super::row::Row;
use super::secret_file;
use super::table::{ROWS, gone};
use super::values::{FIXED_LOGIN, is_fixed_login, most_alike};

/// The tables with keys. `key` is the setting of `--key`.
const API_KEY: &str = "api_key";

/// Replaces a secret in the output of `config show`.
pub(super) const HIDDEN: &str = "(hidden)";

/// Longest file: enough for thousands of keys.
pub(super) const MAX_BYTES: u64 = 4 << 20;

/// The contents of a configuration file.
#[derive(Clone, Default)]
pub struct ConfigFile {
    pub path: PathBuf,
    /// The file when it was read. A pipe has none: it cannot be read again.
    pub stamp: Option<Stamp>,
    pub(super) given: Given,
    pub keys: Vec<Key>,
    /// The line of each key.
    key_lines: Vec<usize>,
    /// Settings that may have got to a key by mistake.
    pub(super) warnings: Vec<String>,
}

/// The settings of a key.
pub(super) fn as_table(settings: &Settings) -> Table {
    expected(Table::try_from(settings), "settings of a key")
}

impl ConfigFile {
    /// Reads and parses a file.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let stamp = path.is_file().then(|| Stamp::of(path)).flatten();
        let unreadable = |why: &dyn Display| {
            let path = path.display();
            Error::raw(ErrorKind::Io, format!("cannot read the configuration file {path}: {why}\n"))
        };
        let text = secret_file::read(path, MAX_BYTES).map_err(|error| unreadable(&error))?;
        // As an editor leaves it on a full disk: without its tokens, the API would be open.
        if path.is_file() && text.trim().is_empty() {
            return Err(unreadable(&"it is empty. If that is meant, write a comment, as in # no settings"));
        }
        Ok(ConfigFile { stamp, ..Self::parse(path, &text)? })
    }

    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let at = |span: Range<usize>, why: &dyn Display| {
            let place = place(path, line_of(text, span.start));
            Error::raw(ErrorKind::ValueValidation, format!("{place}: {why}\n"))
        };
        let table = DeTable::parse(text)
            .map_err(|error| at(error.span().unwrap_or_default(), &syntax::explained(text, &error)))?
            .into_inner();
        // In the order of the file, so that the error names the first mistake.
        let mut settings: Vec<_> = table.into_iter().collect();
        settings.sort_by_key(|(name, _)| name.span().start);
        let mut file = ConfigFile { path: path.to_owned(), ..Self::default() };
        for (name, value) in settings {
            let span = name.span();
            if name.get_ref() == API_KEY {
                let mut keys = keys::Reader { path, text, lines: Vec::new(), warnings: Vec::new() };
                file.keys = keys.read(value).map_err(|(span, why)| at(span, &why))?;
                file.key_lines = keys.lines;
                file.warnings.extend(keys.warnings);
                continue;
            }
            let place = place(path, line_of(text, span.start));
            let bare = name.get_ref().replace('-', "_");
            if let Some(warning) = gone(&bare, &format!("{bare} ({place})")) {
                file.warnings.push(warning);
                continue;
            }
            let Some(row) = row_of(name.get_ref()) else {
                return Err(at(span, &unknown(name.get_ref(), value.get_ref())));
            };
            let id = row.name;
            if file.given.has(id) {
                return Err(at(span, &format!("{id} is set twice")));
            }
            let texts = texts_of(row, value.get_ref()).map_err(|why| at(value.span(), &why))?;
            let source = Source::File(place);
            // An empty list is as good as none.
            if !texts.is_empty() {
                file.given.add(row, source, texts);
            }
        }
        Ok(file)
    }

    /// The file and the line of a key, if the file has it.
    pub(super) fn place_of(&self, key: &ApiKey) -> Option<String> {
        let at = self.keys.iter().position(|other| other.key == *key)?;
        Some(place(&self.path, *self.key_lines.get(at)?))
    }
}

fn find(keys: &[Key], key: &Key) -> Option<Key> {
    keys.iter().find(|other| other.key == key.key).cloned()
}

/// The keys of a file that a later one no longer has.
pub(super) fn removed<'a>(old: &'a [Key], new: &'a [Key]) -> impl Iterator<Item = &'a Key> {
    old.iter().filter(|key| find(new, key).is_none())
}

/// The differences between the keys of two files, as the log says them.
pub(super) fn key_differences(old: &[Key], new: &[Key]) -> Vec<String> {
    let removed = removed(old, new).map(|key| (key, "removed"));
    let others = new.iter().filter_map(|key| match find(old, key) {
        None => Some((key, "added")),
        Some(old) => (old != *key).then_some((key, "changed")),
    });
    removed.chain(others).map(|(key, what)| format!("key {:?} {what}", key.key.as_str())).collect()
}

fn unknown(name: &str, value: &DeValue<'_>) -> String {
    let bare = name.trim_start_matches("--").to_lowercase();
    let bare = bare.strip_prefix("peerbroker_").unwrap_or(&bare);
    if is_fixed_login(bare) {
        return format!("unknown setting {name:?}: {FIXED_LOGIN}");
    }
    match most_alike(bare, settings_of_files().map(|row| row.name).chain([API_KEY])) {
        Some(best) => format!("unknown setting {name:?}: did you mean {best}?"),
        None if value.is_table() => format!(
            "unknown section [{name}]: the file has no sections but [[{API_KEY}]], so write its settings above the \
             first of these, without a section"
        ),
        None => {
            format!("unknown setting {name:?}: `peerbroker --help` lists the flags, which are the settings")
        }
    }
}

/// The texts of a value, as a flag would have them.
fn texts_of(row: &Row, value: &DeValue<'_>) -> Result<Vec<OsString>, String> {
    let name = row.name;
    match value {
        DeValue::Array(values) if row.is_list => {
            values.iter().map(|value| text_of(name, value.get_ref())).collect()
        }
        DeValue::Array(values) if name == "key" && values.iter().all(|value| value.get_ref().is_table()) => {
            Err(format!("API keys are [[{API_KEY}]] tables; key is the setting of --key"))
        }
        DeValue::Array(_) => Err(format!("{name} takes one value, not a list")),
        value => text_of(name, value).map(|text| vec![text]),
    }
}

fn text_of(name: &str, value: &DeValue<'_>) -> Result<OsString, String> {
    match value {
        DeValue::String(text) if text == HIDDEN => {
            Err(format!("{name} is hidden in the output of `config show`: write the secret itself"))
        }
        DeValue::String(text) => Ok(text.as_ref().into()),
        DeValue::Boolean(value) => Ok(value.to_string().into()),
        DeValue::Integer(value) => i64::from_str_radix(value.as_str(), value.radix())
            .map(|value| value.to_string().into())
            .map_err(|_| format!("{name} is too large")),
        _ => Err(format!("{name} takes a text in quotes, a whole number, true or false")),
    }
}

/// The settings that a file may have: all but its own place.
pub(super) fn settings_of_files() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(|row| row.name != "config")
}

/// The setting with this name, with `_` or `-`.
fn row_of(name: &str) -> Option<&'static Row> {
    let name = name.replace('-', "_");
    settings_of_files().find(|row| row.name == name)
}

fn place(path: &Path, line: usize) -> String {
    format!("{}, line {line}", path.display())
}

/// The line of a byte, from 1.
fn line_of(text: &str, byte: usize) -> usize {
    1 + text.bytes().take(byte).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests;

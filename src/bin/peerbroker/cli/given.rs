//! The source of each given setting: a flag, a variable or the configuration file.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Error};

use super::odd::{Odd, quotes};
use super::row::{Invalid, RowOf};
use super::table::ROWS;
use super::values::may_be_secret;

/// The source of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Flag,
    /// The name of the variable.
    Variable(String),
    /// The file and the line.
    File(String),
    /// A socket of the service manager, in place of what gave the setting otherwise.
    Socket(Option<String>),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag => f.write_str("flag"),
            Source::Variable(text) | Source::File(text) => f.write_str(text),
            Source::Socket(None) => f.write_str("socket of the service manager"),
            Source::Socket(Some(replaced)) => {
                write!(f, "socket of the service manager, in place of {replaced}")
            }
        }
    }
}

/// The settings that were given, each with what gave it, and its texts.
#[derive(Clone, Debug, Default)]
pub struct Given(BTreeMap<&'static str, (Source, Vec<OsString>)>);

/// Reads the variables of the process; nothing in tests.
pub(super) type Variables = fn(&str) -> Option<OsString>;

impl Given {
    /// The flags and variables of some rows.
    pub(super) fn of<D: 'static>(
        rows: impl Iterator<Item = &'static RowOf<D>>,
        matches: &ArgMatches,
        variables: Variables,
    ) -> Self {
        let mut given = Given::default();
        for row in rows {
            let texts = matches.get_raw(row.name).into_iter().flatten();
            if matches.value_source(row.name) == Some(ValueSource::CommandLine) {
                given.add(row, Source::Flag, texts.map(OsString::from).collect());
                continue;
            }
            if let Some((text, name)) = row.variables().find_map(|name| Some((variables(&name)?, name))) {
                given.add(row, Source::Variable(name), vec![text]);
            }
        }
        given
    }

    /// Adds the texts that one source gives for a setting.
    pub(super) fn add<D: 'static>(&mut self, row: &RowOf<D>, source: Source, texts: Vec<OsString>) {
        self.0.insert(row.name, (source, texts.into_iter().flat_map(|text| row.split(text)).collect()));
    }

    /// The given settings, and those of a file that neither flags nor variables give.
    pub(super) fn and(&self, file: &Self) -> Self {
        Given(file.0.iter().chain(&self.0).map(|(name, given)| (*name, given.clone())).collect())
    }

    /// The given settings, with what `other` has for those that a reload does not change.
    pub(super) fn with_fixed_of(&self, other: &Self) -> Self {
        let all = ROWS.iter().filter_map(|row| {
            let given = if row.is_live { self } else { other };
            given.0.get(row.name).map(|given| (row.name, given.clone()))
        });
        Given(all.collect())
    }

    /// The settings of a file that flags and variables override, if `before` has other values for them.
    pub(super) fn overridden(&self, file: &Self, before: &Self) -> Vec<String> {
        let is_other = |name, texts| before.texts(name) != texts && self.texts(name) != texts;
        let changed = file.0.iter().filter(|(name, (_, texts))| is_other(name, texts));
        let overridden = changed.filter_map(|(name, (source, _))| {
            let by = match self.source(name)? {
                Source::Flag => format!("--{name}"),
                Source::Variable(variable) => variable.clone(),
                Source::File(_) | Source::Socket(_) => return None,
            };
            Some(format!("{name} ({source}) does nothing: {by} overrides it"))
        });
        overridden.collect()
    }

    /// The names of the settings that `other` lacks.
    pub(super) fn lacking_in(&self, other: &Self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied().filter(|name| !other.has(name))
    }

    /// `draft` with the values that were given.
    pub(super) fn draft<D: 'static>(&self, rows: &[RowOf<D>], mut draft: D) -> Result<D, Error> {
        for row in rows {
            let Some((_, texts)) = self.0.get(row.name) else { continue };
            let named = self.named(row);
            for other in rows {
                let excludes = row.excludes.contains(&other.name) || other.file_of == Some(row.name);
                if excludes && self.has(other.name) {
                    let other = self.named(other);
                    return Err(wrong(format!("the argument '{named}' cannot be used with '{other}'")));
                }
                if row.with == Some(other.name) && !self.has(other.name) {
                    return Err(wrong(format!("'{named}' needs '{}'", other.flag())));
                }
            }
            let invalid = |Invalid { text, why }| {
                let why =
                    quotes(&text).filter(|_| !row.is_secret).map_or(why, |quotes| format!("it {quotes}"));
                let is_hidden = row.is_secret || may_be_secret(&text, row.value_name);
                let value = if is_hidden { String::new() } else { format!("'{text}' ") };
                wrong(format!("invalid value {value}for '{named}': {why}"))
            };
            let mut refused = Ok(());
            let taken = texts.iter().map(|text| match odd(row, text) {
                Some(odd) if self.is_of_peerjs(row) => odd.taken.into(),
                Some(odd) => {
                    refused = Err(Invalid::new(text, format!("it {}", odd.why)));
                    text.clone()
                }
                None => text.clone(),
            });
            let taken: Vec<OsString> = taken.collect();
            if let Err(mut wrong) = (row.set)(&mut draft, &taken).and(refused) {
                if row.is_list && row.separator == ' ' && wrong.text.contains(',') {
                    let parts = wrong.text.split(',').map(str::trim).filter(|part| !part.is_empty());
                    let parts: Vec<OsString> = parts.map(OsString::from).collect();
                    if (row.set)(&mut draft, &parts).is_ok() {
                        wrong.why += "; separate several by spaces, not by commas";
                    }
                }
                return Err(invalid(wrong));
            }
        }
        Ok(draft)
    }

    /// The odd texts of a setting, and what is odd about them.
    pub(super) fn odd<D: 'static>(&self, row: &RowOf<D>) -> Vec<(String, Odd)> {
        let texts = self.texts(row.name).iter().filter(|_| self.is_of_peerjs(row));
        texts.filter_map(|text| Some((text.to_string_lossy().into_owned(), odd(row, text)?))).collect()
    }

    /// True if a flag or a variable of peerjs-server gave a setting, if the setting is one of peerjs-server.
    fn is_of_peerjs<D>(&self, row: &RowOf<D>) -> bool {
        match self.source(row.name) {
            _ if row.odd.is_none() => false,
            Some(Source::Variable(name)) => row.fallback == Some(name),
            source => source == Some(&Source::Flag),
        }
    }

    /// The last text that was given for a setting.
    pub(super) fn last(&self, name: &str) -> Option<&OsString> {
        self.texts(name).last()
    }

    pub(super) fn texts(&self, name: &str) -> &[OsString] {
        self.0.get(name).map_or(&[], |(_, texts)| texts)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn source(&self, name: &str) -> Option<&Source> {
        self.0.get(name).map(|(source, _)| source)
    }

    /// A setting as errors name it: by what gave it.
    fn named<D: 'static>(&self, row: &RowOf<D>) -> String {
        self.by(row.name).unwrap_or_else(|| row.flag())
    }

    /// The variable or the line of the file that gave a setting; nothing if a flag did.
    pub(super) fn by(&self, name: &str) -> Option<String> {
        match self.source(name)? {
            Source::Flag | Source::Socket(_) => None,
            Source::Variable(variable) => Some(variable.clone()),
            Source::File(place) => Some(format!("{name} ({place})")),
        }
    }

    /// A text about flags that names variables and settings of the file in place of flags that were not
    /// given.
    pub fn reworded(&self, text: &str) -> String {
        let mut reworded = String::with_capacity(text.len());
        let mut parts = text.split("--");
        reworded.extend(parts.next());
        for part in parts {
            let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
            let (name, rest) = part.split_at(end);
            reworded.extend([&self.by(name).unwrap_or_else(|| format!("--{name}")), rest]);
        }
        reworded
    }
}

fn odd<D>(row: &RowOf<D>, text: &OsStr) -> Option<Odd> {
    let text = text.to_str()?;
    let of_row = row.odd.and_then(|odd| odd(text));
    match quotes(text).filter(|_| !row.is_secret) {
        // peerjs-server takes them for a part of the value.
        Some(why) => Some(Odd { taken: of_row.map_or_else(|| text.to_owned(), |odd| odd.taken), why }),
        None => of_row,
    }
}

/// An error of the values, which ends the program with 2.
fn wrong(text: String) -> Error {
    Error::raw(ErrorKind::ValueValidation, text + "\n")
}

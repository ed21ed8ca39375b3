//! The configuration file: TOML. Its settings have the names of the flags, and each `[[api_key]]` table is a key.

use std::fmt::Display;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Args, Command, Error, error::ErrorKind};
use peerbroker::files::Stamp;
use peerbroker::keys::{Change, Key, Settings, check_name};
use peerbroker::wire::ApiKey;
use peerbroker::{check_auth, check_webhook};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::given::Source;
use super::{environment, help, secret_file};

/// The tables with keys. `key` is the setting of `--key`.
const API_KEY: &str = "api_key";

/// What stands in place of a secret in the output of `config show`.
pub(super) const HIDDEN: &str = "(hidden)";

/// Longest file: enough for thousands of keys.
pub(super) const MAX_BYTES: u64 = 4 << 20;

#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// File with settings: TOML, with the names of the flags
    ///
    /// Flags and variables override it. The server reads it again when it changes, and on SIGHUP.
    #[arg(help_heading = help::BASICS, long, env = "PEERBROKER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What a file says.
#[derive(Clone, Debug, Default)]
pub struct ConfigFile {
    pub path: PathBuf,
    /// The file when it was read. A pipe has none: it cannot be read again.
    pub stamp: Option<Stamp>,
    pub(super) values: Vec<FileValue>,
    pub keys: Vec<Key>,
}

/// One setting of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileValue {
    /// The id of its flag.
    pub(super) id: String,
    pub(super) line: usize,
    pub(super) values: Vec<String>,
}

impl FileValue {
    /// The flag that says the same.
    pub(super) fn args(&self) -> impl Iterator<Item = String> {
        self.values.iter().map(|value| format!("--{}={value}", self.id))
    }
}

/// Whether a file may set the argument.
pub(super) fn is_setting(arg: &Arg) -> bool {
    arg.get_action().takes_values() && arg.get_long().is_some() && arg.get_id() != "config"
}

impl ConfigFile {
    /// Reads and parses a file for a command whose arguments are the settings.
    pub(super) fn read(path: &Path, command: &Command) -> Result<Self, Error> {
        let is_regular = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
        let stamp = is_regular.then(|| Stamp::of(path)).flatten();
        let text = secret_file::read(path, MAX_BYTES).map_err(|error| {
            let path = path.display();
            Error::raw(ErrorKind::Io, format!("cannot read the configuration file {path}: {error}\n"))
        })?;
        Ok(ConfigFile { stamp, ..Self::parse(path, &text, command)? })
    }

    pub(super) fn parse(path: &Path, text: &str, command: &Command) -> Result<Self, Error> {
        let at = |span: Range<usize>, why: &dyn Display| {
            let place = place(path, line_of(text, span.start));
            Error::raw(ErrorKind::ValueValidation, format!("{place}: {why}\n"))
        };
        let table = DeTable::parse(text)
            .map_err(|error| at(error.span().unwrap_or_default(), &error.message().trim()))?
            .into_inner();
        // In the order of the file, so that the first mistake is the one that is told.
        let mut settings: Vec<_> = table.into_iter().collect();
        settings.sort_by_key(|(name, _)| name.span().start);
        let mut file = ConfigFile { path: path.to_owned(), ..Self::default() };
        for (name, value) in settings {
            let span = name.span();
            if name.get_ref() == API_KEY {
                file.keys = keys_of(value).map_err(|(span, why)| at(span, &why))?;
                continue;
            }
            let id = name.get_ref().replace('-', "_");
            let Some(arg) = command.get_arguments().find(|arg| is_setting(arg) && arg.get_id() == &id) else {
                return Err(at(span, &unknown(name.get_ref(), command)));
            };
            if file.values.iter().any(|value| value.id == id) {
                return Err(at(span, &format!("{id} is set twice")));
            }
            let values = texts_of(arg, value.get_ref()).map_err(|why| at(value.span(), &why))?;
            file.values.push(FileValue { id, line: line_of(text, span.start), values });
        }
        Ok(file)
    }

    /// The settings of the file, and where each stands.
    pub(super) fn sources(&self) -> impl Iterator<Item = (String, Source)> {
        let source = |value: &FileValue| Source::File(place(&self.path, value.line));
        self.values.iter().map(move |value| (value.id.clone(), source(value)))
    }

    /// The file with the values of another one for some settings.
    pub(super) fn with_values_of(&self, other: Option<&Self>, is_of_other: impl Fn(&str) -> bool) -> Self {
        let own = self.values.iter().filter(|value| !is_of_other(&value.id));
        let others = other.into_iter().flat_map(|other| &other.values).filter(|value| is_of_other(&value.id));
        ConfigFile { values: own.chain(others).cloned().collect(), ..self.clone() }
    }
}

/// What is different between the keys of two files, as the log says it.
pub(super) fn key_differences(old: &[Key], new: &[Key]) -> Vec<String> {
    let find = |keys: &[Key], key: &Key| keys.iter().find(|other| other.key == key.key).cloned();
    let (mut differences, said) =
        (Vec::new(), |key: &Key, what| format!("key {:?} {what}", key.key.as_str()));
    for key in old.iter().filter(|key| find(new, key).is_none()) {
        differences.push(said(key, "removed"));
    }
    for key in new {
        match find(old, key) {
            None => differences.push(said(key, "added")),
            Some(old) if old != *key => differences.push(said(key, "changed")),
            Some(_) => {}
        }
    }
    differences
}

fn place(path: &Path, line: usize) -> String {
    format!("{}, line {line}", path.display())
}

/// The line of a byte, from 1.
fn line_of(text: &str, byte: usize) -> usize {
    1 + text.bytes().take(byte).filter(|byte| *byte == b'\n').count()
}

fn unknown(name: &str, command: &Command) -> String {
    let known = command.get_arguments().filter(|arg| is_setting(arg)).map(|arg| arg.get_id().as_str());
    match environment::most_alike(name, known.chain([API_KEY])) {
        Some(best) => format!("unknown setting {name:?}: did you mean {best}?"),
        None => {
            format!("unknown setting {name:?}: `peerbroker --help` lists the flags, which are the settings")
        }
    }
}

/// The texts of a value, as a flag would have them.
fn texts_of(arg: &Arg, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let name = arg.get_id();
    match value {
        DeValue::Array(values) if matches!(arg.get_action(), ArgAction::Append) => {
            values.iter().map(|value| text_of(name.as_str(), value.get_ref())).collect()
        }
        DeValue::Array(values) if name == "key" && values.iter().all(|value| value.get_ref().is_table()) => {
            Err(format!("API keys are [[{API_KEY}]] tables; key is the setting of --key"))
        }
        DeValue::Array(_) => Err(format!("{name} takes one value, not a list")),
        value => text_of(name.as_str(), value).map(|text| vec![text]),
    }
}

fn text_of(name: &str, value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) if text == HIDDEN => {
            Err(format!("{name} is hidden in the output of `config show`: write the secret itself"))
        }
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Boolean(value) => Ok(value.to_string()),
        DeValue::Integer(value) => i64::from_str_radix(value.as_str(), value.radix())
            .map(|value| value.to_string())
            .map_err(|_| format!("{name} is too large")),
        _ => Err(format!("{name} takes a text in quotes, a whole number, true or false")),
    }
}

type Misplaced = (Range<usize>, String);

fn keys_of(value: Spanned<DeValue<'_>>) -> Result<Vec<Key>, Misplaced> {
    let span = value.span();
    let DeValue::Array(tables) = value.into_inner() else {
        return Err((span, format!("keys are tables that begin with [[{API_KEY}]]")));
    };
    let mut keys: Vec<Key> = Vec::new();
    for table in tables {
        let span = table.span();
        let key = key_of(table)?;
        if keys.iter().any(|other| other.key == key.key) {
            return Err((span, format!("there are two [[{API_KEY}]] tables for the key {:?}", key.key)));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn key_of(table: Spanned<DeValue<'_>>) -> Result<Key, Misplaced> {
    let span = table.span();
    let wrong = |why: &dyn Display| (span.clone(), why.to_string());
    let DeValue::Table(mut table) = table.into_inner() else {
        return Err(wrong(&format!("keys are tables that begin with [[{API_KEY}]]")));
    };
    let text = table.remove("key").ok_or_else(|| wrong(&format!("this [[{API_KEY}]] has no key")))?;
    let key = match text.get_ref().as_str().map(ApiKey::parse) {
        Some(Ok(key)) => key,
        Some(Err(why)) => return Err((text.span(), format!("key: {why}"))),
        None => return Err((text.span(), "key takes a text in quotes".to_owned())),
    };
    let rest = Spanned::new(span.clone(), DeValue::Table(table));
    let change = Change::deserialize(rest.into_deserializer())
        .map_err(|error| (error.span().unwrap_or(span.clone()), error.message().to_owned()))?;
    change.name.as_deref().map(check_name).transpose().map_err(|why| wrong(&why))?;
    let mut key = Key { created: 0, built_in: true, ..Key::new(Some(key), "", Settings::default()) };
    key.apply(change);
    check_auth(&key.settings.auth).map_err(|why| wrong(&format!("auth: {why}")))?;
    // Whether its URL may be a private one is looked at when events are sent, as for stored keys.
    check_webhook(&key.settings.webhook, true).map_err(|why| wrong(&format!("webhook: {why}")))?;
    Ok(key)
}

#[cfg(test)]
mod tests;

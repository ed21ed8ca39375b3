//! The `[[api_key]]` tables of the configuration file.

use std::fmt::Display;
use std::ops::Range;
use std::path::Path;

use peerbroker::{check_auth, check_webhook};
use peerbroker_config::{Mistyped, Segment};
use peerbroker_core::vocabulary::ApiKey;
use peerbroker_keys::{Change, Key, Settings, check_name};
use serde::de::IntoDeserializer as _;
use toml::de::{DeTable, DeValue, Error};
use toml::{Spanned, Value};

use super::{API_KEY, as_table, line_of, place, row_of};
use crate::cli::odd::quotes;
use crate::cli::values::most_alike;

/// Settings of keys that may hold a secret.
const SECRET: &[&str] = &["auth", "webhook"];

/// A place in the file, and the mistake there.
type Misplaced = (Range<usize>, String);

/// The place of a name, the name, and the place of its value.
type Entry = (Range<usize>, String, Range<usize>);

/// Reads the keys of a file.
pub(super) struct Reader<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
    /// The line of each table.
    pub(super) lines: Vec<usize>,
    pub(super) warnings: Vec<String>,
}

impl Reader<'_> {
    pub(super) fn read(&mut self, value: Spanned<DeValue<'_>>) -> Result<Vec<Key>, Misplaced> {
        let no_table = |span| (span, format!("keys are tables that begin with [[{API_KEY}]]"));
        let span = value.span();
        let DeValue::Array(tables) = value.into_inner() else { return Err(no_table(span)) };
        self.lines = tables.iter().map(|table| line_of(self.text, table.span().start)).collect();
        let mut keys: Vec<Key> = Vec::new();
        for table in tables {
            let span = table.span();
            let DeValue::Table(table) = table.into_inner() else { return Err(no_table(span)) };
            let key = self.key(span.clone(), table)?;
            if keys.iter().any(|other| other.key == key.key) {
                return Err((span, format!("there are two [[{API_KEY}]] tables for the key {:?}", key.key)));
            }
            keys.push(key);
        }
        Ok(keys)
    }

    /// The line of the first table.
    fn first(&self) -> usize {
        self.lines.first().copied().unwrap_or_default()
    }

    fn key(&mut self, span: Range<usize>, mut table: DeTable<'_>) -> Result<Key, Misplaced> {
        let wrong = |why: &dyn Display| (span.clone(), why.to_string());
        let text = table.remove("key").ok_or_else(|| wrong(&format!("this [[{API_KEY}]] has no key")))?;
        if let Some(why) = text.get_ref().as_str().and_then(quotes) {
            return Err((text.span(), format!("key: it {why}")));
        }
        let key = match text.get_ref().as_str().map(ApiKey::parse) {
            Some(Ok(key)) => key,
            Some(Err(why)) => return Err((text.span(), format!("key: {why}"))),
            None => return Err((text.span(), "key takes a text in quotes".to_owned())),
        };
        let entries = entries_of(&table);
        let inner = table.iter().filter_map(|(name, value)| {
            Some((name.get_ref().to_string(), entries_of(value.get_ref().as_table()?)))
        });
        let inner = Vec::from_iter(inner);
        self.check_names(&key, &entries)?;
        let rest = Spanned::new(span.clone(), DeValue::Table(table));
        let read = Mistyped::read(rest.clone().into_deserializer());
        let too_large = |error: Error| (error.span().unwrap_or(span.clone()), "it is too large".to_owned());
        let read = read.map_err(too_large)?;
        let change: Change = read.map_err(|mistyped| self.mistyped(&rest, &mistyped))?;
        change.name.as_deref().map(check_name).transpose().map_err(|why| wrong(&why))?;
        let mut key = Key { created: 0, built_in: true, ..Key::new(Some(key), "", Settings::default()) };
        key.apply(change);
        check_inner(&key.settings, &inner)?;
        check_auth(&key.settings.auth).map_err(|why| wrong(&format!("auth: {why}")))?;
        // Private URLs are checked when events are sent, as for stored keys.
        check_webhook(&key.settings.webhook, true).map_err(|why| wrong(&format!("webhook: {why}")))?;
        Ok(key)
    }

    /// Refuses unknown settings, and warns of those that were perhaps meant for the server: TOML gives a key
    /// all that stands below it.
    fn check_names(&mut self, key: &ApiKey, entries: &[Entry]) -> Result<(), Misplaced> {
        let known = Settings::NAMES;
        for (span, name, _) in entries {
            let first = self.first();
            let why = match (known.contains(&name.as_str()), row_of(name)) {
                (true, Some(row)) if self.follows_empty_line(span) => {
                    let place = place(self.path, line_of(self.text, span.start));
                    self.warnings.push(format!(
                        "{} ({place}) is a setting of the key {:?}, because it stands below [[{API_KEY}]]. If it is meant for \
                         the server, write it above line {first}; if not, remove the empty line in front of it",
                        row.name,
                        key.as_str()
                    ));
                    continue;
                }
                (true, _) => continue,
                (false, Some(row)) => format!(
                    "{} is a setting of the server, and all below [[{API_KEY}]] belongs to a key: write it above line {first}",
                    row.name
                ),
                (false, None) => match most_alike(name, known.iter().copied()) {
                    Some(best) => format!("unknown setting {name:?} of a key: did you mean {best}?"),
                    None => format!("unknown setting {name:?}: a key has key, {}", known.join(", ")),
                },
            };
            return Err((span.clone(), why));
        }
        Ok(())
    }

    /// True if the line above is empty, apart from comments.
    fn follows_empty_line(&self, span: &Range<usize>) -> bool {
        let before = self.text.get(..span.start).and_then(|text| text.rsplit_once('\n'));
        let mut above = before.map_or("", |(above, _)| above).split('\n').rev().map(str::trim);
        above.find(|line| !line.starts_with('#')).is_some_and(str::is_empty)
    }

    /// A mistake and its place. A secret is not shown.
    fn mistyped(&self, table: &Spanned<DeValue<'_>>, mistyped: &Mistyped) -> Misplaced {
        let at = mistyped.path.iter().fold(table, |at, segment| {
            let inner = match segment {
                Segment::Map { key } => at.get_ref().get(key.as_str()),
                Segment::Seq { index } => at.get_ref().get(*index),
                _ => None,
            };
            inner.unwrap_or(at)
        });
        let name = mistyped.name().unwrap_or_default();
        let why = mistyped.in_words("a table", SECRET);
        let of_server = row_of(name)
            .map(|_| format!(". The setting {name} of the server stands above line {}", self.first()))
            .unwrap_or_default();
        (at.span(), why + &of_server)
    }
}

/// The names of a table in the order of the file, and the places of names and values.
fn entries_of(table: &DeTable<'_>) -> Vec<Entry> {
    let entries = table.iter().map(|(name, value)| (name.span(), name.get_ref().to_string(), value.span()));
    let mut entries: Vec<Entry> = entries.collect();
    entries.sort_by_key(|(name, ..)| name.start);
    entries
}

/// Refuses unknown names in the tables of a key, which serde leaves out: a setting below `[api_key.auth]`
/// would get lost.
fn check_inner(settings: &Settings, inner: &[(String, Vec<Entry>)]) -> Result<(), Misplaced> {
    let written = as_table(settings);
    for (table, entries) in inner {
        let known = written.get(table).and_then(Value::as_table);
        let is_known = |name: &str| known.is_none_or(|known| known.contains_key(name));
        if let Some((span, name, _)) = entries.iter().find(|(_, name, _)| !is_known(name)) {
            return Err((span.clone(), format!("{name} is no setting of {table}, to which it belongs here")));
        }
    }
    Ok(())
}

//! The active settings, each with its source: for `peerbroker config show`, and for the differences of a
//! reload.

use std::fmt::{self, Display};

use peerbroker::InheritedSockets;
use peerbroker_keys::{Key, Settings};
use toml::Value;

use super::command::Cli;
use super::config_file::{HIDDEN, as_table, settings_of_files};
use super::draft::Draft;
use super::given::Source;
use super::row::{Need, Row};
use super::warnings::OnSocket;

/// A setting, as text.
pub(super) struct Setting {
    pub(super) row: &'static Row,
    /// The values; none if the setting is not set.
    pub(super) values: Vec<String>,
    /// `None` is the default.
    source: Option<Source>,
    /// The setting without which it does nothing, if that is not set.
    lacks: Option<&'static str>,
}

impl Cli {
    /// All settings as text, in the order of `--help`.
    pub(super) fn effective(&self) -> Vec<Setting> {
        let mut draft = self.draft.clone();
        let setting = |row: &'static Row| {
            let source = self.given.source(row.name).cloned();
            let is_unset = source.is_none() && row.unset.is_some();
            let values = if is_unset { Vec::new() } else { (row.texts)(&mut draft) };
            let lacks =
                row.needs.filter(|Need(_, is_used)| !is_used(&self.draft)).map(|Need(needed, _)| *needed);
            Setting { row, values, source, lacks }
        };
        settings_of_files().map(setting).collect()
    }

    /// The settings and some keys as a configuration file. The file gives the same settings, except for
    /// secrets. Those of `sockets` replace others.
    pub fn as_file(&self, keys: &[Key], sockets: &InheritedSockets) -> String {
        let mut settings = self.effective();
        for OnSocket { flag, value, .. } in self.on(sockets) {
            if let Some(setting) = settings.iter_mut().find(|setting| setting.row.name == flag) {
                let replaced = setting.source.take().map(|source| source.to_string());
                setting.values = vec![value];
                setting.source = Some(Source::Socket(replaced));
            }
        }
        let settings = settings.into_iter().map(|setting| format!("{setting}\n"));
        let keys = keys.iter().map(|key| format!("\n[[api_key]]\n{}", table_of(key)));
        settings.chain(keys).collect()
    }
}

/// The settings whose values are different, before and after.
pub(super) fn differences<'a>(
    old: &'a [Setting],
    new: &'a [Setting],
) -> impl Iterator<Item = (&'a Setting, &'a Setting)> {
    old.iter().zip(new).filter(|(old, new)| old.values != new.values)
}

impl Setting {
    /// A change, as the log says it: `messages_per_second 200 → 100`.
    pub(super) fn changed_to(&self, new: &Self) -> String {
        match self.row.is_secret {
            true => format!("{} changed", self.row.name),
            false => format!("{} {} → {}", self.row.name, self.in_words(), new.in_words()),
        }
    }

    /// The value, as the log says it.
    pub(super) fn in_words(&self) -> String {
        match &*self.values {
            [] => "not set".to_owned(),
            _ if self.row.is_secret => HIDDEN.to_owned(),
            values => values.join(" "),
        }
    }

    fn value(&self) -> Value {
        let value = |text: &String| if self.row.is_secret { HIDDEN.into() } else { value_of(text) };
        match &*self.values {
            [one] if !self.row.is_list => value(one),
            values => Value::Array(values.iter().map(value).collect()),
        }
    }
}

impl Display for Setting {
    /// The setting as a line of TOML, and its source.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.row.name;
        let source = self.source.as_ref().map_or_else(|| "default".to_owned(), Source::to_string);
        // As a comment: in a file, it would be a setting that somebody has given, and a warning.
        if let (None, Some(lacks), [_, ..]) = (&self.source, self.lacks, &*self.values) {
            return write!(f, "# {name} = {}  # default, without {lacks}", self.value());
        }
        match (&*self.values, self.row.default(&mut Draft::default())) {
            ([], Some(default)) => write!(f, "# {name} is not set: {default}"),
            ([], None) => write!(f, "# {name} is not set"),
            _ => write!(f, "{name} = {}  # {source}", self.value()),
        }
    }
}

/// A number or a truth value if the text is one in its usual form.
fn value_of(text: &str) -> Value {
    match (text.parse::<bool>(), text.parse::<i64>()) {
        (Ok(value), _) => Value::Boolean(value),
        (_, Ok(value)) if value.to_string() == text => Value::Integer(value),
        _ => Value::String(text.to_owned()),
    }
}

/// The settings of a key that are not the default, without its secrets.
fn table_of(key: &Key) -> String {
    let mut settings = as_table(&key.settings);
    let defaults = as_table(&Settings::default());
    settings.retain(|name, value| defaults.get(name) != Some(value));
    if let Some(Value::Table(auth)) = settings.get_mut("auth") {
        // A secret that signs tokens, and a URL whose query may hold one.
        if auth.get("kind").and_then(Value::as_str) == Some("secret") {
            auth.insert("value".to_owned(), HIDDEN.into());
        }
        if auth.get("url").and_then(Value::as_str).is_some_and(|url| url.contains('?')) {
            auth.insert("url".to_owned(), HIDDEN.into());
        }
    }
    if let Some(Value::Table(webhook)) = settings.get_mut("webhook") {
        webhook.insert("secrets".to_owned(), vec![HIDDEN].into());
    }
    let name = Some(("name".to_owned(), key.name.as_str().into())).filter(|_| !key.name.is_empty());
    let lines = [("key".to_owned(), key.key.as_str().into())].into_iter().chain(name).chain(settings);
    lines.map(|(name, value): (String, Value)| format!("{name} = {value}\n")).collect()
}

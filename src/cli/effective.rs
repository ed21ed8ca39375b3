//! The settings in force, each with its source: for `peerbroker config show`, and to see what a reload changes.

use std::fmt::{self, Display, Write as _};

use clap::{Arg, ArgAction, ArgMatches, Command};
use peerbroker::keys::{Key, Settings};
use toml::{Table, Value};

use super::config_file::{HIDDEN, is_setting};
use super::given::{Given, Source};

/// A setting, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) id: String,
    /// Empty if it is not set.
    pub(super) values: Vec<String>,
    /// `None` is the default.
    source: Option<Source>,
    /// The default in words, if a setting that is not set has one.
    default: Option<String>,
    is_secret: bool,
    is_list: bool,
}

/// All settings, in the order of `--help`.
#[derive(Clone, Debug, Default)]
pub struct Effective(pub(super) Vec<Setting>);

/// What a reload changes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) id: String,
    /// As the log says it: `messages_per_second 200 → 100`.
    pub(super) text: String,
    /// The old value, as the log says it.
    pub(super) old: String,
}

/// Whether nobody may see the value. The mark that hides the value of its variable in `--help` is the only one.
fn is_secret(arg: &Arg) -> bool {
    arg.is_hide_env_values_set()
}

impl Effective {
    pub(super) fn of(command: &Command, matches: &ArgMatches, given: &Given) -> Self {
        let setting = |arg: &Arg| {
            let id = arg.get_id().as_str();
            let values = matches.get_raw(id).into_iter().flatten();
            Setting {
                id: id.to_owned(),
                values: values.map(|value| value.to_string_lossy().into_owned()).collect(),
                source: given.source(id).cloned(),
                default: default_in_words(arg),
                is_secret: is_secret(arg),
                is_list: matches!(arg.get_action(), ArgAction::Append),
            }
        };
        Effective(command.get_arguments().filter(|arg| is_setting(arg)).map(setting).collect())
    }

    /// The settings that are different in `new`.
    pub(super) fn differences<'a>(&'a self, new: &'a Self) -> impl Iterator<Item = Difference> + 'a {
        self.0.iter().zip(&new.0).filter(|(old, new)| old.values != new.values).map(|(old, new)| {
            let (id, was, is) = (&old.id, old.in_words(), new.in_words());
            let text = if old.is_secret { format!("{id} changed") } else { format!("{id} {was} → {is}") };
            Difference { id: id.clone(), text, old: was }
        })
    }

    /// The settings as a configuration file. The file gives the same settings, except for secrets.
    pub fn as_file(&self, keys: &[Key]) -> String {
        let mut text = String::new();
        for setting in &self.0 {
            // A write to a text never fails.
            let _ = writeln!(text, "{setting}");
        }
        for key in keys {
            let _ = write!(text, "\n[[api_key]]\n{}", table_of(key));
        }
        text
    }
}

impl Setting {
    fn in_words(&self) -> String {
        match &*self.values {
            [] => "not set".to_owned(),
            _ if self.is_secret => HIDDEN.to_owned(),
            values => values.join(" "),
        }
    }

    fn value(&self) -> Value {
        let value = |text: &String| if self.is_secret { HIDDEN.into() } else { value_of(text) };
        match &*self.values {
            [one] if !self.is_list => value(one),
            values => Value::Array(values.iter().map(value).collect()),
        }
    }
}

impl Display for Setting {
    /// The setting as a line of TOML, and what gave it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = self.source.as_ref().map_or_else(|| "default".to_owned(), Source::to_string);
        match (&*self.values, &self.default) {
            ([], Some(default)) => write!(f, "# {} is not set: {default}", self.id),
            ([], None) => write!(f, "# {} is not set", self.id),
            _ => write!(f, "{} = {}  # {source}", self.id, self.value()),
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

/// The default that the help says in words.
fn default_in_words(arg: &Arg) -> Option<String> {
    let help = arg.get_help()?.to_string();
    let (_, default) = help.split_once("[default: ")?;
    default.strip_suffix(']').map(str::to_owned)
}

/// The settings of a key that are not the default, without its secrets.
fn table_of(key: &Key) -> String {
    // The settings of a key can always be written.
    let of = |settings: &Settings| Table::try_from(settings).unwrap_or_default();
    let mut settings = of(&key.settings);
    let defaults = of(&Settings::default());
    settings.retain(|name, value| defaults.get(name) != Some(value));
    if let Some(Value::Table(auth)) = settings.get_mut("auth") {
        hide_secrets(auth);
    }
    if let Some(Value::Table(webhook)) = settings.get_mut("webhook") {
        webhook.insert("secrets".to_owned(), vec![HIDDEN].into());
    }
    let name = Some(("name".to_owned(), key.name.as_str().into())).filter(|_| !key.name.is_empty());
    let lines = [("key".to_owned(), key.key.as_str().into())].into_iter().chain(name).chain(settings);
    lines.map(|(name, value): (String, Value)| format!("{name} = {value}\n")).collect()
}

/// Hides a secret that signs tokens, and a URL whose query may hold one.
fn hide_secrets(auth: &mut Table) {
    if auth.get("kind").and_then(Value::as_str) == Some("secret") {
        auth.insert("value".to_owned(), HIDDEN.into());
    }
    if auth.get("url").and_then(Value::as_str).is_some_and(|url| url.contains('?')) {
        auth.insert("url".to_owned(), HIDDEN.into());
    }
}

//! A setting: a row of a table, and how it gets from texts to a value and back.

use std::env;
use std::ffi::{OsStr, OsString};

use clap::{Arg, ArgAction};
use peerbroker_config::Dialects;

use super::dialects::{Choice, dialects_of};
use super::draft::Draft;
use super::odd::Odd;
use super::service_links::{PREFIX, is_link};
use super::values::Kind;

/// The setting of one flag, one variable and one name in the configuration file. Its value has a place in
/// `D`.
pub struct RowOf<D> {
    /// The name, with underscores.
    pub name: &'static str,
    pub short: Option<char>,
    /// The group in `--help`.
    pub group: &'static str,
    /// The help: a line of Markdown, for `-h`, `--help` and the docs.
    pub help: &'static str,
    /// More of the help, for `--help` and the docs.
    pub more: &'static str,
    pub value_name: &'static str,
    pub choices: Vec<&'static str>,
    /// The default in words, if no value says it.
    pub unset: Option<&'static str>,
    /// The variable of peerjs-server, or of Rust's loggers, that our own one overrides.
    pub fallback: Option<&'static str>,
    /// The value of a flag that stands alone.
    pub alone: Option<&'static str>,
    pub is_list: bool,
    /// The separator of the values of a list.
    pub separator: char,
    /// The number of values that follow one flag.
    pub most: usize,
    /// A value may begin with a hyphen.
    pub allows_hyphen: bool,
    pub scope: &'static str,
    /// A reload changes it.
    pub is_live: bool,
    /// Nobody may see the value.
    pub is_secret: bool,
    /// A setting with `_file` behind the name has the name of a file with the value.
    pub is_in_file: bool,
    /// The secret that is in the file.
    pub file_of: Option<&'static str>,
    /// `-h` has it.
    pub is_common: bool,
    /// Flags that it cannot be used with.
    pub excludes: &'static [&'static str],
    /// A flag that it cannot be used without.
    pub with: Option<&'static str>,
    /// The condition without which the setting does nothing.
    pub needs: Option<&'static Need>,
    /// The commands that take the flag, too.
    pub commands: &'static [&'static str],
    /// A value of peerjs-server that makes no sense, and that it starts with.
    pub odd: Option<fn(&str) -> Option<Odd>>,
    /// Reads the values of the setting into the draft.
    pub set: Set<D>,
    /// The values in the draft; none if the setting is not set, or empty.
    pub texts: Texts<D>,
}

/// The scopes of values: all nodes of a cluster alike, each node, or the built-in key, because stored keys
/// have their own.
pub const ALL_NODES: &str = "all nodes";
pub const NODE: &str = "node";
pub const KEY: &str = "key";

/// A setting of the server.
pub type Row = RowOf<Draft>;

/// The condition under which a setting has an effect: the words for warnings, and the check.
pub struct Need(pub &'static str, pub fn(&Draft) -> bool);

type Set<D> = Box<dyn Fn(&mut D, &[OsString]) -> Result<(), Invalid> + Send + Sync>;
type Texts<D> = Box<dyn Fn(&mut D) -> Vec<String> + Send + Sync>;

/// A text that is no value of its setting.
#[derive(Debug)]
pub struct Invalid {
    pub text: String,
    pub why: String,
}

impl Invalid {
    pub fn new(text: &OsStr, why: String) -> Self {
        Invalid { text: text.to_string_lossy().into_owned(), why }
    }
}

/// A place for one value, for at most one, or for many.
pub trait Slot<T> {
    const IS_LIST: bool = false;
    fn put(&mut self, values: Vec<T>);
    fn values(&self) -> Vec<T>;
}

impl<T: Clone> Slot<T> for T {
    fn put(&mut self, mut values: Vec<T>) {
        if let Some(last) = values.pop() {
            *self = last;
        }
    }

    fn values(&self) -> Vec<T> {
        vec![self.clone()]
    }
}

impl<T: Clone> Slot<T> for Option<T> {
    fn put(&mut self, mut values: Vec<T>) {
        *self = values.pop();
    }

    fn values(&self) -> Vec<T> {
        self.iter().cloned().collect()
    }
}

impl<T: Clone> Slot<T> for Vec<T> {
    const IS_LIST: bool = true;

    fn put(&mut self, values: Vec<T>) {
        *self = values;
    }

    fn values(&self) -> Vec<T> {
        self.clone()
    }
}

impl Slot<Choice> for Dialects {
    const IS_LIST: bool = true;

    fn put(&mut self, values: Vec<Choice>) {
        let is_whole = values.iter().any(|value| matches!(value, Choice::Only(_)));
        let mut chosen = if is_whole { Vec::new() } else { dialects_of(Dialects::default()) };
        for value in values {
            match value {
                Choice::Only(dialect) | Choice::Add(dialect) => chosen.push(dialect),
                Choice::Remove(dialect) => chosen.retain(|other| *other != dialect),
            }
        }
        *self = chosen.into_iter().collect();
    }

    fn values(&self) -> Vec<Choice> {
        dialects_of(*self).into_iter().map(Choice::Only).collect()
    }
}

/// Advice about names of hosts outside ASCII (RFC 5890).
const INTERNATIONAL: &str = "Write a name with letters beyond ASCII as browsers send it: xn--…";

/// Makes the methods that set fields of a row.
macro_rules! setters {
    ($($name:ident($($value:ident: $type:ty)?) => $($field:ident = $to:expr),+;)*) => {
        $(pub fn $name(self $(, $value: $type)?) -> Self { RowOf { $($field: $to,)+ ..self } })*
    };
}

impl<D: 'static> RowOf<D> {
    /// A row: name, place of the value, kind, a line of help in Markdown, and more of it. It is read at the
    /// start only, unless [`live`](Self::live).
    pub fn new<T: 'static, S: Slot<T> + 'static>(
        name: &'static str,
        at: impl Fn(&mut D) -> &mut S + Copy + Send + Sync + 'static,
        kind: Kind<T>,
        help: &'static str,
        more: &'static str,
    ) -> Self {
        let Kind { value_name, choices, alone, parse, show } = kind;
        let set = move |draft: &mut D, texts: &[OsString]| {
            let refused = |text: &OsString, why: String| {
                let is_odd = matches!(value_name, "URL" | "NAME" | "ADDRESS") && !text.is_ascii();
                Invalid::new(text, if is_odd { format!("{why}. {INTERNATIONAL}") } else { why })
            };
            let parsed = |text: &OsString| parse(text).map_err(|why| refused(text, why));
            at(draft).put(texts.iter().map(parsed).collect::<Result<_, _>>()?);
            Ok(())
        };
        RowOf {
            name,
            short: None,
            group: "",
            help,
            more,
            value_name,
            choices,
            unset: None,
            fallback: None,
            alone,
            is_list: S::IS_LIST,
            separator: ' ',
            most: if S::IS_LIST { usize::MAX } else { 1 },
            allows_hyphen: false,
            scope: ALL_NODES,
            is_live: false,
            is_secret: false,
            is_in_file: false,
            file_of: None,
            is_common: false,
            excludes: &[],
            with: None,
            needs: None,
            commands: &[],
            odd: None,
            set: Box::new(set),
            texts: Box::new(move |draft| {
                Slot::<T>::values(at(draft)).iter().map(&show).filter(|text| !text.is_empty()).collect()
            }),
        }
    }

    setters! {
        short(letter: char) => short = Some(letter);
        unset(words: &'static str) => unset = Some(words);
        fallback(variable: &'static str) => fallback = Some(variable);
        // Commas separate the values, and a flag takes one text.
        commas() => separator = ',', most = 1;
        signed() => allows_hyphen = true;
        at_most(values: usize) => most = values;
        of(scope: &'static str) => scope = scope;
        live() => is_live = true;
        hidden() => is_secret = true;
        secret() => is_secret = true, is_in_file = true;
        common() => is_common = true;
        excludes(flags: &'static [&'static str]) => excludes = flags;
        with(flag: &'static str) => with = Some(flag);
        needs(need: &'static Need) => needs = Some(need);
        commands(names: &'static [&'static str]) => commands = names;
        odd(odd: fn(&str) -> Option<Odd>) => odd = Some(odd);
    }

    /// The default, as people read it: the value in `defaults`.
    pub fn default(&self, defaults: &mut D) -> Option<String> {
        let value = || Some((self.texts)(defaults).join(&self.separator.to_string()));
        let own = self.unset.map(str::to_owned).or_else(value).filter(|text| !text.is_empty())?;
        Some(self.fallback.map_or_else(|| own.clone(), |variable| format!("${variable} or {own}")))
    }

    /// The flag. clap takes any text for its value.
    pub fn arg(&'static self, help: String) -> Arg {
        let least = if self.alone.is_some() { 0 } else { 1 };
        let arg = Arg::new(self.name)
            .long(self.name)
            .alias(self.name.replace('_', "-"))
            .value_name(self.value_name)
            .value_parser(clap::value_parser!(OsString))
            .action(if self.is_list { ArgAction::Append } else { ArgAction::Set })
            .num_args(least..=self.most)
            // `-nostr` takes a protocol off, and is no flag.
            .allow_hyphen_values(self.allows_hyphen)
            .help(help);
        let arg = if let Some(alone) = self.alone { arg.default_missing_value(alone) } else { arg };
        if let Some(short) = self.short { arg.short(short) } else { arg }
    }

    /// True if its value is true or false.
    pub fn is_switch(&self) -> bool {
        self.alone == Some("true")
    }

    /// All variables that give it, the first one before the others.
    pub fn variables(&self) -> impl Iterator<Item = String> + use<D> {
        let own = format!("{PREFIX}{}", self.name.to_uppercase());
        std::iter::once(own).chain(self.fallback.map(str::to_owned))
    }

    /// The flag with its value, as in the help.
    pub fn flag(&self) -> String {
        format!("--{} <{}>", self.name, self.value_name)
    }

    /// The texts that one text of a flag, a variable or a file stands for.
    pub fn split(&self, text: OsString) -> Vec<OsString> {
        match text.to_str() {
            Some(given) if self.is_list && !given.trim().is_empty() => {
                let parts =
                    given.split(self.separator).filter(|part| self.separator != ' ' || !part.is_empty());
                parts.map(OsString::from).collect()
            }
            _ => vec![text],
        }
    }
}

/// Markdown without its links.
pub fn plain(markdown: &str) -> String {
    if let Some((head, tail)) = markdown.split_once("](")
        && let (Some((before, link)), Some((_, after))) = (head.rsplit_once('['), tail.split_once(')'))
    {
        return [before, link, &plain(after)].concat();
    }
    markdown.to_owned()
}

/// A variable of the process. An empty one counts as unset: compose files cannot leave one out. A file of
/// variables from Windows leaves the first half of its line break.
pub fn variable(name: &str) -> Option<OsString> {
    let value = env::var_os(name)?;
    let value = value.to_str().map_or_else(|| value.clone(), |text| text.trim_end_matches('\r').into());
    Some(value).filter(|value| !value.is_empty() && !is_link(name, value))
}

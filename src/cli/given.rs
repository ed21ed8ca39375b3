//! What gave each argument: a flag, a variable or the configuration file.

use std::collections::BTreeMap;
use std::fmt;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

/// What gave an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Flag,
    /// The name of the variable.
    Variable(String),
    /// The file and the line.
    File(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag => f.write_str("flag"),
            Source::Variable(text) | Source::File(text) => f.write_str(text),
        }
    }
}

/// The arguments that were given, each with what gave it.
#[derive(Clone, Debug, Default)]
pub struct Given(BTreeMap<String, Source>);

impl Given {
    pub(super) fn of(command: &Command, matches: &ArgMatches) -> Self {
        let given = command.get_arguments().filter_map(|arg| {
            let id = arg.get_id().as_str();
            let source = match matches.value_source(id)? {
                ValueSource::CommandLine => Source::Flag,
                ValueSource::EnvVariable => Source::Variable(arg.get_env()?.to_str()?.to_owned()),
                _ => return None,
            };
            Some((id.to_owned(), source))
        });
        let mut all: BTreeMap<String, Source> = given.collect();
        if let Some((name, matches)) = matches.subcommand()
            && let Some(command) = command.find_subcommand(name)
        {
            all.extend(Given::of(command, matches).0);
        }
        Given(all)
    }

    /// Names the file for what it gave. clap has seen it as flags.
    pub(super) fn by_file(mut self, sources: impl Iterator<Item = (String, Source)>) -> Self {
        self.0.extend(sources);
        self
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    pub(super) fn source(&self, id: &str) -> Option<&Source> {
        self.0.get(id)
    }

    /// A text about flags that names variables and settings of the file in place of flags that were not given.
    pub fn reworded(&self, text: &str) -> String {
        let mut reworded = String::with_capacity(text.len());
        let mut parts = text.split("--");
        reworded.extend(parts.next());
        for part in parts {
            let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
            let (id, rest) = part.split_at(end);
            let by = match self.0.get(id) {
                None | Some(Source::Flag) => format!("--{id}"),
                Some(Source::Variable(name)) => name.clone(),
                Some(place @ Source::File(_)) => in_file(id, place),
            };
            reworded.extend([&by, rest]);
        }
        reworded
    }
}

/// How texts name a setting of the file.
pub(super) fn in_file(id: &str, place: &Source) -> String {
    format!("{id} ({place})")
}

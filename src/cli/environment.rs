//! Environment variables: which one an argument takes, which ones nobody takes, and errors that name what gave a value.

use std::env;
use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command, Error};

use super::given::{Source, in_file};

/// What the names of all variables of the program begin with.
const PREFIX: &str = "PEERBROKER_";

/// The variables of peerjs-server and of Rust's loggers, and those that override them.
const OF_REFERENCE: [(&str, &str); 3] =
    [("PEERBROKER_PORT", "PORT"), ("PEERBROKER_PATH", "PEERSERVER_PATH"), ("PEERBROKER_LOG", "RUST_LOG")];

/// What Kubernetes sets in every container beside a service named `peerbroker`, and what names the program for its tests.
const OF_OTHERS: [&str; 3] = ["PEERBROKER_SERVICE_", "PEERBROKER_PORT_", "PEERBROKER_BIN"];

/// How alike a name must be to be suggested: clap's bound for flags.
const ALIKE: f64 = 0.7;

/// The command with the variable of each argument that is set. An argument whose own variable is unset takes the one of
/// peerjs-server. An empty variable counts as unset: compose files cannot leave one out. The variables of the server mean
/// nothing for its commands.
pub(super) fn with_set_variables(command: Command) -> Command {
    let first = env::args_os().nth(1).unwrap_or_default();
    if command.find_subcommand(&first).is_some() {
        return command.mut_args(|arg| arg.env(None::<&'static str>)).mut_subcommands(with_set_variables_of);
    }
    with_set_variables_of(command)
}

fn with_set_variables_of(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let Some(own) = arg.get_env().map(OsStr::to_owned) else { return arg };
        let is_own_set = is_set(&own);
        let is_fallback = |(name, of_reference): &(&str, &str)| *name == own && is_set(of_reference.as_ref());
        match OF_REFERENCE.into_iter().find(is_fallback) {
            Some((_, of_reference)) if !is_own_set => arg.env(of_reference),
            _ if !is_own_set && env::var_os(&own).is_some() => arg.env(None::<&'static str>),
            _ => arg,
        }
    });
    command.mut_subcommands(with_set_variables_of)
}

fn is_set(name: &OsStr) -> bool {
    let Some(value) = env::var_os(name) else { return false };
    // Kubernetes sets it if a service is named `peerbroker`.
    let is_link = name == "PEERBROKER_PORT" && value.to_string_lossy().starts_with("tcp://");
    !value.is_empty() && !is_link
}

/// The error with the names of variables, or of settings in the file, in place of flags that were not on the command line.
pub(super) fn naming_sources(mut error: Error, mut command: Command, of_file: &[(String, Source)]) -> Error {
    // Only then its arguments can be written as the error writes them.
    command.build();
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    let source = |arg: &Arg| {
        let variable = arg.get_env().filter(|variable| is_set(variable)).and_then(OsStr::to_str);
        let id = arg.get_id().as_str();
        let of_file = || of_file.iter().find(|(set, _)| set == id).map(|(_, place)| in_file(id, place));
        variable.map(str::to_owned).or_else(of_file)
    };
    let sources: Vec<(String, String)> = command
        .get_arguments()
        .chain(
            command
                .get_subcommands()
                .flat_map(|keys| keys.get_subcommands())
                .flat_map(Command::get_arguments),
        )
        .filter(|arg| !is_given(arg, &args))
        .filter_map(|arg| Some((arg.to_string(), source(arg)?)))
        .collect();
    let renamed = |shown: &String| {
        let source = sources.iter().find(|(flag, _)| flag == shown);
        source.map_or_else(|| shown.clone(), |(_, source)| source.clone())
    };
    for kind in [ContextKind::InvalidArg, ContextKind::PriorArg] {
        let value = match error.get(kind) {
            Some(ContextValue::String(shown)) => ContextValue::String(renamed(shown)),
            Some(ContextValue::Strings(shown)) => ContextValue::Strings(shown.iter().map(renamed).collect()),
            _ => continue,
        };
        error.insert(kind, value);
    }
    error
}

/// Whether an argument is on the command line.
fn is_given(arg: &Arg, args: &[OsString]) -> bool {
    let names = arg.get_all_aliases().unwrap_or_default().into_iter().chain(arg.get_long());
    let long: Vec<String> = names.map(|name| format!("--{name}")).collect();
    let short = arg.get_short().map(|short| format!("-{short}"));
    args.iter().map(|text| text.to_string_lossy()).any(|text| {
        let name = text.split('=').next().unwrap_or_default();
        long.iter().any(|long| long == name) || short.as_ref().is_some_and(|short| text.starts_with(short))
    })
}

/// A warning for each variable that looks like one of this program and is none.
pub(super) fn unknown_variables(command: &Command) -> Vec<String> {
    let known: Vec<String> = variables_of(command);
    let mut names: Vec<String> = env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    names.retain(|name| name.starts_with(PREFIX) && !known.contains(name));
    names.retain(|name| !OF_OTHERS.iter().any(|prefix| name.starts_with(prefix)));
    names.sort_unstable();
    names
        .into_iter()
        .map(|name| match most_alike(bare(&name), known.iter().map(|known| bare(known))) {
            Some(best) => format!("unknown variable {}: did you mean {PREFIX}{best}?", name.escape_debug()),
            None => format!(
                "unknown variable {}: `peerbroker --help` names the variable of each flag",
                name.escape_debug()
            ),
        })
        .collect()
}

/// The name that is surely meant, if there is one.
pub(super) fn most_alike<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let rated = known.map(|known| (strsim::jaro(known, name), known));
    rated.filter(|(alike, _)| *alike > ALIKE).max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, known)| known)
}

fn bare(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

fn variables_of(command: &Command) -> Vec<String> {
    let own = command.get_arguments().filter_map(|arg| arg.get_env()?.to_str().map(str::to_owned));
    own.chain(command.get_subcommands().flat_map(variables_of)).collect()
}

//! Reads the command line, the variables and the configuration file, at the start and for a reload.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command as ClapCommand, Error, FromArgMatches as _};

use super::command::{Cli, CliCommand};
use super::config_file::{ConfigFile, key_differences, removed};
use super::draft::Draft;
use super::effective::differences;
use super::given::{Given, Source, Variables};
use super::help::command;
use super::row::variable;
use super::service_links::{PREFIX, Services};
use super::table::{GONE, ROWS, gone};
use super::values::{FIXED_LOGIN, LogFormat, check_path, is_fixed_login, most_alike};
use crate::process::memory;

/// The variable of tests.
const PROGRAM: &str = "PEERBROKER_BIN";

/// The result of reading the configuration again.
pub struct Reread {
    /// The settings as they would be after a restart.
    pub new: Cli,
    /// The new settings, but with the old values of those that need a restart.
    pub in_force: Cli,
    /// The differences that are active, as the log says them.
    pub changed: Vec<String>,
    /// The differences that are not active, because they need a restart or are overridden, as the log says
    /// them.
    pub pending: Vec<String>,
    /// The settings and keys that the file had, and no longer has.
    pub taken_away: Vec<String>,
}

impl Cli {
    /// Reads flags, environment and configuration file. The error may be a text that the flags ask for, such
    /// as the help.
    pub fn read() -> Result<Self, Error> {
        Self::of(&Vec::from_iter(env::args_os()), variable)
    }

    /// Reads them again for a server that runs with these settings. The error has one line, for its log.
    pub fn reread(&self) -> Result<Reread, String> {
        let in_one_line = |error: Error| text_of(&error).replace('\n', " ");
        let new = Self::read().map_err(in_one_line)?;
        let given = new.given.with_fixed_of(&self.given);
        let in_force = Cli::server(given, new.file.clone()).map_err(in_one_line)?;
        let [before, now, after_restart] = [self, &in_force, &new].map(Cli::effective);
        let mut changed: Vec<String> =
            differences(&before, &now).map(|(old, new)| old.changed_to(new)).collect();
        let keys = |cli: &Cli| cli.file.as_ref().map(|file| file.keys.clone()).unwrap_or_default();
        changed.extend(key_differences(&keys(self), &keys(&in_force)));
        let mut pending: Vec<String> = differences(&now, &after_restart)
            .map(|(old, _)| format!("{} needs a restart; {} stays", old.row.name, old.in_words()))
            .collect();
        let of_file = |cli: &Cli| cli.file.as_ref().map(|file| file.given.clone()).unwrap_or_default();
        let [old_file, new_file] = [self, &new].map(of_file);
        pending.extend(new.given.overridden(&new_file, &old_file));
        let [old_keys, new_keys] = [self, &new].map(keys);
        let of_keys = removed(&old_keys, &new_keys).map(|key| format!("the key {:?}", key.key.as_str()));
        let taken_away = old_file.lacking_in(&new_file).map(str::to_owned).chain(of_keys).collect();
        Ok(Reread { new, in_force, changed, pending, taken_away })
    }

    pub(super) fn of(args: &[OsString], variables: Variables) -> Result<Self, Error> {
        let line = command(args);
        if let Some(error) = long_with_one_hyphen(args, &line) {
            return Err(error);
        }
        if let Some(error) = pem_behind_a_flag(args, &line) {
            return Err(error);
        }
        let args = with_words_for_help(args);
        let lenient = if args.iter().any(is_help) { line.clone() } else { with_empty_values(line.clone()) };
        let matches = lenient.try_get_matches_from(&args).map_err(|error| explained(error, &line))?;
        let command = matches.subcommand().map(|_| CliCommand::from_arg_matches(&matches)).transpose()?;
        let (name, flags) = matches.subcommand().unwrap_or(("", &matches));
        let rows = ROWS.iter().filter(|row| matches!(name, "" | "config") || row.commands.contains(&name));
        let given = Given::of(rows, flags, variables);
        if let Some(error) = file_for_a_limit(&given, &line) {
            return Err(error);
        }
        let file = given.last("config").map(|path| config_file(path, &given)).transpose()?;
        let given = if let Some(file) = &file { given.and(&file.given) } else { given };
        let gone = GONE.iter().filter_map(|(name, _)| {
            let is_flag = matches!(flags.try_contains_id(name), Ok(true));
            let variable = format!("{PREFIX}{}", name.to_uppercase());
            let given = if is_flag { format!("--{name}") } else { variables(&variable).map(|_| variable)? };
            gone(name, &given)
        });
        let gone = gone.collect();
        Ok(Cli { command, gone, ..Cli::server(given, file)? })
    }

    fn server(given: Given, file: Option<ConfigFile>) -> Result<Self, Error> {
        let defaults = Draft::for_memory(memory(Path::new("/")));
        Ok(Cli { draft: given.draft(&ROWS, defaults)?, given, file, ..Cli::default() })
    }
}

/// Reads the configuration file. An error names the flag or the variable that has its path.
fn config_file(path: &OsStr, given: &Given) -> Result<ConfigFile, Error> {
    check_path(path, true).map_err(|why| {
        let named = given.by("config").unwrap_or_else(|| "--config".to_owned());
        Error::raw(ErrorKind::ValueValidation, format!("invalid value for '{named}': {why}\n"))
    })?;
    ConfigFile::read(Path::new(path))
}

/// Prints an error or the text that the flags ask for, in colours where they are wanted. Returns the exit
/// code.
pub fn print(error: &Error, in_json: impl Fn(&str)) -> u8 {
    if error.use_stderr() && log_format() == LogFormat::Json {
        in_json(&text_of(error));
    } else {
        // If the output is closed, there is nobody to tell.
        let _ = error.print();
    }
    match error.kind() {
        // A file, as everywhere.
        ErrorKind::Io => 1,
        _ => u8::try_from(error.exit_code()).unwrap_or(1),
    }
}

/// The text of an error, without the word in front.
fn text_of(error: &Error) -> String {
    error.to_string().trim_start_matches("error: ").trim().to_owned()
}

/// The format of the log, however wrong other flags are: clap says nothing about those that follow a wrong
/// one. Commands print text.
fn log_format() -> LogFormat {
    let args: Vec<String> =
        env::args_os().skip(1).map(|arg| arg.to_string_lossy().replacen('=', " ", 1)).collect();
    if args.first().is_some_and(|first| command(&[]).find_subcommand(first).is_some()) {
        return LogFormat::Text;
    }
    let line = args.join(" ").replace("--log-format", "--log_format");
    let given = |name: &str| {
        let of_flag = line.rsplit_once(&format!("--{name} ")).and_then(|(_, rest)| rest.split(' ').next());
        of_flag.map(OsString::from).or_else(|| variable(&format!("{PREFIX}{}", name.to_uppercase())))
    };
    let of_file = || ConfigFile::read(Path::new(&given("config")?)).ok()?.given.last("log_format").cloned();
    let is_json = given("log_format").or_else(of_file).is_some_and(|format| format == "json");
    if is_json { LogFormat::Json } else { LogFormat::Text }
}

/// First words for the server, which other programs have.
const SERVE: &[&str] = &["serve", "server", "start", "run", "listen", "up"];

/// Prefix of the only variable of peerjs-server besides `PORT`, which is that of its path.
const PEERSERVER: &str = "PEERSERVER_";

/// Flags for a longer log, which other programs have.
const VERBOSE: &[&str] = &["--verbose", "--debug", "-v", "-vv", "-d"];

/// The error, reworded if clap took a text without a flag for a command, or does not know a flag of many
/// programs.
fn explained(error: Error, command: &ClapCommand) -> Error {
    let about = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(" ")),
        _ => None,
    };
    let is_unknown = error.kind() == ErrorKind::UnknownArgument;
    let flag = about(ContextKind::InvalidArg).filter(|_| is_unknown);
    let word = about(ContextKind::InvalidSubcommand);
    let flags = about(ContextKind::PriorArg);
    let text = flag.as_ref().or(word.as_ref()).map_or("", |text| text);
    let advice = match flags {
        _ if is_unknown && is_fixed_login(text) => FIXED_LOGIN.to_owned(),
        _ if matches!(text, "--check_config" | "--check-config") => {
            "'peerbroker config check' checks the flags that follow it".to_owned()
        }
        _ if is_unknown && VERBOSE.contains(&text) => "'--log debug' makes the log longer".to_owned(),
        _ if Path::new(text).extension().is_some_and(|extension| extension == "toml") => {
            format!("a configuration file follows its flag, as in '--config {text}'")
        }
        _ if word.is_none() => return error,
        _ if SERVE.contains(&text) => format!(
            "the server starts without a command, as in 'peerbroker --port 9000', so leave '{text}' out"
        ),
        Some(flags) if command.find_subcommand(text).is_some() => {
            let message =
                format!("the command '{text}' must come first, as in 'peerbroker {text} … {flags}'");
            return conflict(command, message);
        }
        _ if text.parse::<u16>().is_ok() => format!("a port follows its flag, as in '--port {text}'"),
        Some(_) => {
            "every value follows its flag; quote a value with spaces, and leave out what belongs to no flag"
                .to_owned()
        }
        None => return error,
    };
    conflict(command, format!("unexpected argument '{text}': {advice}"))
}

fn conflict(command: &ClapCommand, message: String) -> Error {
    command.clone().error(ErrorKind::ArgumentConflict, message)
}

/// The error of a long flag with one hyphen: clap would take `-port` for `-p ort`, and `-host` for `-h`.
fn long_with_one_hyphen(args: &[OsString], command: &ClapCommand) -> Option<Error> {
    let is_signed = |arg: &OsString| {
        let name = arg.to_str().and_then(|arg| arg.strip_prefix("--"));
        name.is_some_and(|name| ROWS.iter().any(|row| row.allows_hyphen && row.name == name))
    };
    let flag = args.iter().zip(args.iter().skip(1)).find_map(|(before, arg)| {
        let flag = arg.to_str()?.strip_prefix('-').filter(|_| !is_signed(before))?;
        let name = flag.split('=').next()?.replace('-', "_");
        ROWS.iter().any(|row| row.name == name).then_some(flag)
    })?;
    let message = format!("unexpected argument '-{flag}': a long flag has two hyphens, as in '--{flag}'");
    Some(conflict(command, message))
}

/// The error of PEM text in place of the name of its file: clap would take it for an unknown flag, and print
/// it.
fn pem_behind_a_flag(args: &[OsString], command: &ClapCommand) -> Option<Error> {
    let is_pem = |text: &OsString| text.to_string_lossy().starts_with("-----BEGIN");
    let at = args.iter().position(is_pem)?;
    let flag = args.get(at.checked_sub(1)?).and_then(|flag| flag.to_str()?.strip_prefix("--"));
    let of_flag = flag.map(|flag| format!(" for '--{flag}'")).unwrap_or_default();
    Some(conflict(command, format!("invalid value{of_flag}: it has the text itself: it must name a file")))
}

/// The error of a configuration file behind `-c`, which other programs have for theirs.
fn file_for_a_limit(given: &Given, command: &ClapCommand) -> Option<Error> {
    let text =
        given.last("concurrent_limit").filter(|_| given.source("concurrent_limit") == Some(&Source::Flag))?;
    let path = Path::new(text);
    let is_file = path.extension().is_some_and(|end| end == "toml") || path.is_file();
    let text = text.to_string_lossy();
    is_file.then(|| {
        let advice = format!("a configuration file follows its flag, as in '--config {text}'");
        conflict(command, format!("-c is short for --concurrent_limit, which takes a number: {advice}"))
    })
}

/// The arguments with `help` and `version` as first words read as the flags.
fn with_words_for_help(args: &[OsString]) -> Vec<OsString> {
    let (program, words) = args.split_at(1.min(args.len()));
    match words.split_first() {
        Some((first, rest)) if first == "help" => [program, rest, &["-h".into()]].concat(),
        Some((first, _)) if first == "version" => [program, &["--version".into()]].concat(),
        _ => args.to_vec(),
    }
}

/// The command line with an empty text for each value that is missing, if peerjs-server has the flag: it
/// starts with that. The help does not say so.
fn with_empty_values(line: ClapCommand) -> ClapCommand {
    let rows = ROWS.iter().filter(|row| row.odd.is_some() && !row.is_switch());
    rows.fold(line, |line, row| {
        line.mut_arg(row.name, |arg| arg.num_args(0..=row.most).default_missing_value(""))
    })
}

fn is_help(arg: &OsString) -> bool {
    arg == "-h" || arg == "--help"
}

/// The line about the variables of Services of Kubernetes, if there are any.
pub(super) fn variables_of_services() -> Option<String> {
    Services::of_environment().note()
}

/// A warning for each variable that looks like one of this program and is unknown.
pub fn unknown_variables() -> Vec<String> {
    let names = ROWS.iter().map(|row| row.name).chain(GONE.iter().map(|(name, _)| *name));
    let known: Vec<String> = names.map(str::to_uppercase).collect();
    let mut names: Vec<String> = env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    let services = Services::of_environment();
    let others = [&[PROGRAM][..], &peerbroker_netcat::VARIABLES].concat();
    names.retain(|name| !others.contains(&name.as_str()) && !services.have(name));
    names.sort_unstable();
    let of_predecessor = |name: &String| {
        let bare = name.strip_prefix(PEERSERVER).filter(|bare| known.iter().any(|known| known == bare))?;
        variable(name).filter(|_| ROWS.iter().all(|row| row.fallback != Some(name.as_str())))?;
        Some(format!("{name} is no variable of this server: did you mean {PREFIX}{bare}?"))
    };
    let warning = |name: &String| {
        let bare = name.strip_prefix(PREFIX).filter(|bare| known.iter().all(|known| known != bare))?;
        let instead = match most_alike(bare, known.iter().map(String::as_str)) {
            Some(best) => format!("did you mean {PREFIX}{best}?"),
            None => "`peerbroker --help` lists the flags, whose names the variables have".to_owned(),
        };
        Some(format!("unknown variable {}: {instead}", name.escape_debug()))
    };
    names.iter().filter_map(|name| of_predecessor(name).or_else(|| warning(name))).collect()
}

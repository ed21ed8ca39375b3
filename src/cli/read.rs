//! Reads the command line, the variables and the configuration file, at the start and for a reload.
//!
//! The values of the file become flags, unless a flag or a variable gives the same setting. So clap is the only parser of
//! values, wherever they are from.

use std::env;
use std::ffi::OsString;
use std::path::Path;

use clap::{ArgMatches, Command as ClapCommand, CommandFactory as _, Error, FromArgMatches as _};

use super::config_command::with_flags;
use super::config_file::{ConfigFile, key_differences};
use super::effective::{Difference, Effective};
use super::given::Given;
use super::live::is_live;
use super::{Cli, Command, ConfigCommand, NotRead, environment, help, misplaced, not_read};

/// What a reload has read.
pub struct Reread {
    /// The settings as they would be after a restart.
    pub new: Cli,
    /// The same, but with the old values of the settings that need a restart.
    pub in_force: Cli,
    /// What is different in force, as the log says it.
    pub changed: Vec<String>,
    /// What needs a restart, as the log says it.
    pub pending: Vec<String>,
}

impl Cli {
    /// Reads flags, environment and configuration file.
    pub fn read() -> Result<Self, NotRead> {
        read(ConfigFile::read)
    }

    /// Reads them again for a server that runs with these settings.
    pub fn reread(&self) -> Result<Reread, NotRead> {
        let new = Self::read()?;
        let in_force = read(|_, _| {
            // Without a file, this is not called.
            let file = new.file.clone().unwrap_or_default();
            Ok(file.with_values_of(self.file.as_ref(), |id| !is_live(id)))
        })?;
        let mut changed: Vec<String> =
            self.effective.differences(&in_force.effective).map(|difference| difference.text).collect();
        let keys = |cli: &Cli| cli.file.as_ref().map(|file| file.keys.clone()).unwrap_or_default();
        changed.extend(key_differences(&keys(self), &keys(&in_force)));
        let pending = in_force.effective.differences(&new.effective);
        let pending = pending.map(|Difference { id, old, .. }| format!("{id} needs a restart; {old} stays"));
        let pending = pending.collect();
        Ok(Reread { new, in_force, changed, pending })
    }

    pub(super) fn of(
        command: &ClapCommand,
        matches: &ArgMatches,
        file: Option<ConfigFile>,
    ) -> Result<Self, Error> {
        let outer = Cli::from_arg_matches(matches)?;
        let Some((command, matches)) = of_server(command, matches) else {
            return Ok(Cli { given: Given::of(command, matches), ..outer });
        };
        let mut cli = Cli::from_arg_matches(matches)?;
        match outer.command {
            Some(Command::Config(ConfigCommand::Check)) => cli.check_config = true,
            other => cli.command = other,
        }
        let given = Given::of(command, matches);
        cli.given = match &file {
            Some(file) => given.by_file(file.sources()),
            None => given,
        };
        cli.effective = Effective::of(command, matches, &cli.given);
        cli.file = file;
        Ok(cli)
    }
}

fn read(read_file: impl FnOnce(&Path, &ClapCommand) -> Result<ConfigFile, Error>) -> Result<Cli, NotRead> {
    let command = help::shortened(environment::with_set_variables(with_flags(Cli::command())));
    let mut file = None;
    let read = with_file(&command, &mut file, read_file);
    read.map_err(|error| {
        let log_format = not_read::log_format(&command, file.as_ref());
        let error = misplaced::explained(error, &command);
        let of_file: Vec<_> = file.iter().flat_map(ConfigFile::sources).collect();
        NotRead { error: environment::naming_sources(error, command, &of_file), log_format }
    })
}

fn with_file(
    command: &ClapCommand,
    file: &mut Option<ConfigFile>,
    read_file: impl FnOnce(&Path, &ClapCommand) -> Result<ConfigFile, Error>,
) -> Result<Cli, Error> {
    let mut args: Vec<OsString> = env::args_os().collect();
    // A first look finds the file, and what the file cannot override. The second parse says what is wrong.
    let looked = command.clone().ignore_errors(true).try_get_matches_from(&args).ok();
    if let Some((command, matches)) = looked.as_ref().and_then(|matches| of_server(command, matches))
        && let Some(path) = matches.get_raw("config").and_then(|mut paths| paths.next())
    {
        let found = file.insert(read_file(Path::new(path), command)?);
        let given = Given::of(command, matches);
        found.values.retain(|value| !given.has(&value.id));
        args.extend(found.values.iter().flat_map(|value| value.args()).map(OsString::from));
    }
    let matches = command.clone().try_get_matches_from(args)?;
    Cli::of(command, &matches, file.clone())
}

/// The part of the arguments that has the flags of the server; nothing if another command has its own.
fn of_server<'a>(
    command: &'a ClapCommand,
    matches: &'a ArgMatches,
) -> Option<(&'a ClapCommand, &'a ArgMatches)> {
    match matches.subcommand() {
        None => Some((command, matches)),
        Some(("config", matches)) => {
            let (name, matches) = matches.subcommand()?;
            Some((command.find_subcommand("config")?.find_subcommand(name)?, matches))
        }
        Some(_) => None,
    }
}

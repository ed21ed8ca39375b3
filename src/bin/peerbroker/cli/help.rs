//! The command line: its help, manual page and completions, from the table of settings.

use std::ffi::OsString;
use std::io;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command as ClapCommand, Subcommand as _};
use clap_complete::Shell;

use super::command::CliCommand;
use super::draft::Draft;
use super::row::{ALL_NODES, Row, plain};
use super::table::{GONE, ROWS};
use super::values::{SECONDS, key, number};
use crate::process::LACKS;

/// The text below `-h`.
const EXAMPLES: &str = "\
Examples:
  peerbroker                                                   development
  peerbroker --host 127.0.0.1 --proxied                        behind nginx
  peerbroker --port 443 --acme b.example.com --data_dir data   TLS of its own

`peerbroker --help` lists all flags.";

/// The text below `--help`.
const RULES: &str = "\
Each flag may be written with hyphens, as in --data-dir, and set by PEERBROKER_DATA_DIR or in a
configuration file. A flag overrides its variable, and both override the file. Values may have a
unit: 500ms, 10s, 2m, 1h, 7d; 64KiB, 2MiB, 1MB; 10Mbit/s, 1MB/s.

`peerbroker man | man -l -` has more about each flag.";

/// Columns of a usual window.
const MAX_WIDTH: usize = 100;

/// The text for which the command line is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    /// Fits on one screen: the flags that most people need, without groups.
    Short,
    /// A line for each flag.
    All,
    /// The whole text about each flag, and the words that values may be.
    Reference,
}

/// The command line of the program. clap checks no value of a setting: variables and files have them, too.
pub(super) fn command(args: &[OsString]) -> ClapCommand {
    let is_of_server = args.get(1).is_some_and(|arg| arg.to_string_lossy().starts_with('-'));
    let is_all = is_of_server && args.iter().any(|arg| arg == "--help");
    with_args(if is_all { Text::All } else { Text::Short })
}

fn with_args(text: Text) -> ClapCommand {
    let args = ROWS.iter().map(|row| arg(row, text).hide(text == Text::Short && !row.is_common));
    let gone = GONE.iter().map(|(name, _)| {
        Arg::new(*name)
            .long(*name)
            .alias(name.replace('_', "-"))
            .num_args(0..=1)
            .action(ArgAction::Append)
            .value_parser(clap::value_parser!(OsString))
            .hide(true)
    });
    let args: Vec<Arg> =
        args.chain(if text == Text::Reference { Vec::new() } else { gone.collect() }).collect();
    // The help of `config` has the flag that most people need there, and does not repeat the others.
    let of_config = |arg: &Arg| arg.clone().global(true).hide(arg.get_id() != "config").help_heading(None);
    let of_config: Vec<Arg> = args.iter().map(of_config).collect();
    let of_others = |command: ClapCommand| {
        let rows = ROWS.iter().filter(|row| row.commands.contains(&command.get_name()));
        let args: Vec<Arg> =
            rows.map(|row| arg(row, text).global(true).help_heading("Flags of the server")).collect();
        command.args(args)
    };
    let base = ClapCommand::new("peerbroker").args(args);
    let base = match text {
        Text::Short => base.max_term_width(MAX_WIDTH).after_help(EXAMPLES),
        // No line is folded.
        _ => base.term_width(0).after_help([RULES].into_iter().chain(LACKS).collect::<Vec<_>>().join("\n\n")),
    };
    CliCommand::augment_subcommands(base)
        .mut_subcommand("config", |command| command.args(of_config))
        .mut_subcommand("doctor", with_values)
        .mut_subcommands(of_others)
        .version(env!("CARGO_PKG_VERSION"))
        .about("Signalling server for PeerJS and WebRTC. Drop-in replacement for peerjs-server")
        .allow_negative_numbers(true)
        .args_conflicts_with_subcommands(true)
        .disable_help_subcommand(true)
}

/// The doctor's command, whose values are read as those of other commands.
fn with_values(command: ClapCommand) -> ClapCommand {
    command
        .mut_arg("key", |arg| arg.value_parser(|text: &str| key(text).map(|key| key.as_str().to_owned())))
        .mut_arg("idle", |arg| {
            arg.value_parser(|text: &str| (number::<u64>(&SECONDS, 1..=3600).parse)(text.as_ref()))
        })
}

fn arg(row: &'static Row, text: Text) -> Arg {
    let help = plain(row.help);
    let more = plain(row.more);
    let default = row.default(&mut Draft::default());
    let told = default.as_ref().filter(|default| text != Text::Short || *default != "false");
    let told = told.map(|default| format!(" [default: {default}]")).unwrap_or_default();
    let arg = row.arg(format!("{help}{told}")).help_heading((text != Text::Short).then_some(row.group));
    if text != Text::Reference {
        return arg;
    }
    let more = if more.is_empty() { more } else { more + "\n\n" };
    let default = default.map(|default| format!("\n[default: {default}]")).unwrap_or_default();
    let scope = if row.scope == ALL_NODES { String::new() } else { format!("\n[scope: {}]", row.scope) };
    let variable = row.variables().next().unwrap_or_default();
    let arg = arg.long_help(format!("{help}\n\n{more}[env: {variable}]{default}{scope}"));
    if row.choices.is_empty() { arg } else { arg.value_parser(PossibleValuesParser::new(&row.choices)) }
}

/// The completions for a shell.
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut with_args(Text::Reference), "peerbroker", &mut text);
    text
}

/// The manual page.
pub fn manual() -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    clap_mangen::Man::new(with_args(Text::Reference)).render(&mut text)?;
    Ok(text)
}

//! The help: its groups, its short form, the manual page and the completions, all from the same flags.

use std::env;
use std::io;

use clap::Command;
use clap_complete::Shell;

// The groups of flags, in their order.
pub(super) const BASICS: &str = "Basics";
pub(super) const TLS: &str = "TLS";
pub(super) const PROXY: &str = "Behind a proxy";
pub(super) const KEYS: &str = "Keys and pages that may use them";
pub(super) const CLUSTER: &str = "Many nodes";
pub(super) const RELAY: &str = "Calls that cannot go directly";
pub(super) const ICE: &str = "ICE servers that clients are told";
pub(super) const LIMITS: &str = "Limits";
pub(super) const ROOMS: &str = "Rooms and calls";
pub(super) const API: &str = "API";
pub(super) const WEBHOOKS: &str = "Webhooks";
pub(super) const LOG: &str = "Output";

/// The flags of `-h`. `--help` has all of them.
pub(super) const SHORT: &[&str] = &[
    "port",
    "host",
    "path",
    "static_dir",
    "config",
    "sslkey",
    "sslcert",
    "proxied",
    "key",
    "data_dir",
    "redis",
    "cors",
    "ops_port",
    "quiet",
];

/// The text below `--help`.
pub(super) const AFTER: &str = "\
Each flag may be written with hyphens, as in --data-dir, and set by its variable or in a
configuration file. A flag overrides its variable, and both override the file.";

/// The text below `peerbroker completions --help`.
pub(super) const COMPLETIONS: &str = "\
  bash: peerbroker completions bash > ~/.local/share/bash-completion/completions/peerbroker
  zsh:  peerbroker completions zsh > _peerbroker, in a directory of $fpath
  fish: peerbroker completions fish > ~/.config/fish/completions/peerbroker.fish";

/// The command whose `-h` fits on one screen: the flags that most people need, without groups and variables.
pub(super) fn shortened(command: Command) -> Command {
    let is_short = env::args_os().nth(1).is_some_and(|arg| arg == "-h");
    if !is_short {
        return command;
    }
    let shortened = command.mut_args(|arg| {
        let is_kept = SHORT.contains(&arg.get_id().as_str());
        let arg = arg.hide_short_help(!is_kept).hide_env(true).help_heading(None::<&'static str>);
        if !arg.get_action().takes_values() {
            return arg;
        }
        let is_off = arg.get_default_values() == ["false"];
        let is_off = is_off || arg.is_hide_default_value_set();
        arg.hide_default_value(is_off).hide_possible_values(true)
    });
    shortened.after_help("`peerbroker --help` has all flags, with their variables.")
}

/// The completions for a shell.
pub(super) fn completions(mut command: Command, shell: Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, "peerbroker", &mut text);
    text
}

/// The manual page.
pub(super) fn manual(command: Command) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command).render(&mut text)?;
    Ok(text)
}

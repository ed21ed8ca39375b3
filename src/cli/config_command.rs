//! The arguments of `peerbroker config`.

use clap::{Arg, Command, Subcommand};

/// The commands of `peerbroker config`. They take all flags of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Check flags, variables and files, and exit: the same as --check_config
    ///
    /// It takes the flags of the server, as in `peerbroker config check --config peerbroker.toml`.
    Check,

    /// Print the settings in force as a configuration file, with what gave each; secrets are hidden
    ///
    /// It takes the flags of the server, as in `peerbroker config show --config peerbroker.toml`.
    Show,
}

/// The command whose `config check` and `config show` take the flags of the server. Their help does not repeat the flags.
pub(super) fn with_flags(command: Command) -> Command {
    let flags: Vec<Arg> = command.get_arguments().map(|arg| arg.clone().hide(true)).collect();
    command.mut_subcommand("config", |config| config.mut_subcommands(|command| command.args(flags.clone())))
}

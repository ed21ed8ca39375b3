//! The values that were given, and the commands.

use std::path::PathBuf;

use clap::Subcommand;

use super::config_file::ConfigFile;
use super::draft::Draft;
use super::given::Given;
use super::keys::{self, KeysCommand};

/// The values of the command line, the variables and the configuration file.
#[derive(Default)]
pub struct Cli {
    /// The command. Without one, the program serves.
    pub command: Option<CliCommand>,
    /// The values of all settings.
    pub draft: Draft,
    /// The settings that were given, by a flag, a variable or the configuration file.
    pub given: Given,
    /// The configuration file, if there is one.
    pub file: Option<ConfigFile>,
    /// Warnings about flags and variables that are gone.
    pub(super) gone: Vec<String>,
}

/// The text below `peerbroker completions --help`.
const COMPLETIONS: &str = "\
  bash: peerbroker completions bash > ~/.local/share/bash-completion/completions/peerbroker
  zsh:  peerbroker completions zsh > _peerbroker, in a directory of $fpath
  fish: peerbroker completions fish > ~/.config/fish/completions/peerbroker.fish";

/// The text below `peerbroker backup --help`.
const BACKUP: &str = "\
  peerbroker backup --data_dir data backup-of-today
  peerbroker backup --check backup-of-today

The backup is a data directory itself. To restore it, stop the server, put the backup in the place of its data
directory, and start the server. Keys in Redis: `peerbroker keys export`.";

/// The text below `peerbroker doctor --help`.
const DOCTOR: &str = "\
The exit code is 0 if nothing is wrong, though there may be warnings; 1 if a check failed; 2 for wrong arguments.

  peerbroker doctor https://broker.example.com
  peerbroker doctor localhost:9000 --key my-game --origin https://game.example.org
  peerbroker doctor broker.example.com --idle 90
  peerbroker doctor --quick      as the health check of a container";

/// Commands that run instead of the server.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Write a configuration file, an admin token and a data directory
    Init {
        /// Directory for them; it is created if it does not exist
        #[arg(value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },

    /// Add, list, change and remove API keys while the server runs
    #[command(subcommand, after_help = keys::HELP, disable_help_subcommand = true)]
    Keys(Box<KeysCommand>),

    /// Check the configuration, or show it
    #[command(subcommand, disable_help_subcommand = true)]
    Config(ConfigCommand),

    /// Examine a broker from outside, and report errors with advice
    #[command(after_help = DOCTOR)]
    Doctor(Box<peerbroker_doctor::Args>),

    /// Join stdin, a command or a port to whoever connects
    #[command(after_help = peerbroker_netcat::HELP)]
    Listen(Box<peerbroker_netcat::ListenArgs>),

    /// Join stdin or a port to a page, or to `listen`
    #[command(after_help = peerbroker_netcat::HELP)]
    Connect(Box<peerbroker_netcat::ConnectArgs>),

    /// Copy the data directory while a server uses it
    #[command(after_help = BACKUP, override_usage = "peerbroker backup --data_dir <DIR> <NEW_DIR>\n       peerbroker backup --check <DIR>")]
    Backup {
        /// Directory to create, which only you can read
        #[arg(value_name = "NEW_DIR")]
        to: PathBuf,

        /// Check that this directory is a backup whose keys can be read, and count them
        #[arg(long)]
        check: bool,
    },

    /// Print the completions of flags for a shell
    #[command(after_help = COMPLETIONS)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },

    /// Print the manual page, as in `peerbroker man | man -l -`
    Man,
}

/// The commands of `peerbroker config`. They take all flags of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Check flags, variables, and all files that they name; creates and changes nothing
    ///
    /// It takes the flags of the server, as in `peerbroker config check --config peerbroker.toml`.
    #[command(override_usage = "peerbroker config check --config <FILE> [FLAGS]")]
    Check,

    /// Print the active settings as a configuration file, each with its source; secrets are hidden
    ///
    /// It takes the flags of the server, as in `peerbroker config show --config peerbroker.toml`.
    #[command(override_usage = "peerbroker config show --config <FILE> [FLAGS]")]
    Show,
}

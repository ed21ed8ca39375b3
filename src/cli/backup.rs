//! The arguments of `peerbroker backup`.

use std::path::PathBuf;

use clap::Args;

/// Where the accounts and certificates of --acme are in the data directory.
pub const ACME_DIR: &str = "acme";

/// The text below the options.
pub(super) const HELP: &str = "\
  peerbroker backup --data_dir data backup-of-today

The backup is a data directory itself. To restore it, stop the server, put the backup in the place of its data
directory, and start the server. Keys in Redis: `peerbroker keys export`.";

/// The arguments of `peerbroker backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Data directory of the server
    #[arg(long = "data_dir", alias = "data-dir", env = "PEERBROKER_DATA_DIR", value_name = "DIR")]
    pub data_dir: PathBuf,

    /// Directory to create, which only you can read
    #[arg(value_name = "NEW_DIR")]
    pub to: PathBuf,
}

//! The flags and the commands. Names and meanings are those of the npm `peerjs` program where it has them;
//! every flag may also be spelt with hyphens, set in the environment and in a file: [`table`] has them all.

mod command;
mod config_file;
mod dialects;
mod draft;
mod effective;
mod given;
mod help;
mod keys;
mod notes;
mod odd;
mod read;
mod row;
mod secret_file;
mod service_links;
mod settings;
mod table;
mod values;
mod warnings;

pub use command::{Cli, CliCommand, ConfigCommand};
pub use draft::{ACME_DIR, SecretStamps};
pub use help::{completions, manual};
pub use keys::{KeySettings, KeysCommand, OneKey, TokenCommand};
pub use read::{Reread, print, unknown_variables};
pub use secret_file::refuse_new_pipes;
pub use settings::Settings;
pub use values::{LogFormat, parse_filter};

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::parsed;

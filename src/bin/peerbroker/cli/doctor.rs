//! The arguments of `peerbroker doctor`.

use clap::Command as ClapCommand;

use super::values::{SECONDS, key, number};

/// The text below the options.
pub(super) const HELP: &str = "\
The exit code is 0 if nothing is wrong, though there may be warnings; 1 if a check failed; 2 for wrong arguments.

  peerbroker doctor https://broker.example.com
  peerbroker doctor localhost:9000 --key my-game --origin https://game.example.org
  peerbroker doctor broker.example.com --idle 90
  peerbroker doctor --quick      as the health check of a container";

/// The command, whose values are read as those of other commands.
pub(super) fn with_values(command: ClapCommand) -> ClapCommand {
    command
        .mut_arg("key", |arg| arg.value_parser(|text: &str| key(text).map(|key| key.to_string())))
        .mut_arg("idle", |arg| {
            arg.value_parser(|text: &str| (number::<u64>(&SECONDS, 1..=3600).parse)(text.as_ref()))
        })
}

//! The flags of the server's end, and of the next server.

use std::time::Duration;

use clap::Args;
use peerbroker::Listen;

use super::help;
use super::values::{millis_or_none, yes_or_no};

#[derive(Debug, Args)]
pub(super) struct HandoverArgs {
    /// Let the next server listen on the same ports before this one ends; Linux only
    ///
    /// Both need the flag, and the same user. Start the next server, then stop this one.
    #[arg(help_heading = help::BASICS, long = "reuse_port", alias = "reuse-port", env = "PEERBROKER_REUSE_PORT", value_name = "true|false", num_args = 0..=1, default_value_t = Listen::default().reuse_port, default_missing_value = "true", value_parser = yes_or_no, action = clap::ArgAction::Set)]
    reuse_port: bool,

    /// Milliseconds over which a stopping server closes its clients; 0 closes all at once [default: 10000 if another server can take them, else 0]
    ///
    /// Other servers are the nodes of a cluster, or one that listens on the same port. With a socket of systemd the default is 1000.
    #[arg(help_heading = help::BASICS, long = "drain_timeout", alias = "drain-timeout", env = "PEERBROKER_DRAIN_TIMEOUT", value_name = "MS", value_parser = millis_or_none)]
    drain_timeout: Option<Duration>,
}

impl HandoverArgs {
    /// The settings of these flags, and defaults.
    pub(super) fn listen(&self) -> Listen {
        Listen { reuse_port: self.reuse_port, drain_timeout: self.drain_timeout, ..Listen::default() }
    }
}

//! The flags of what the program prints.

use clap::Args;

use super::help;
use super::values::{LogFilter, LogFormat, log_filter, yes_or_no};

#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Format of all lines on stdout and stderr: text or json
    #[arg(
        help_heading = help::LOG,
        long = "log_format",
        alias = "log-format",
        env = "PEERBROKER_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,

    /// Levels of the log, also by module, as in info,peerbroker::relay=debug [default: $RUST_LOG or warn,peerbroker=info,actix_http=off]
    #[arg(help_heading = help::LOG, long, env = "PEERBROKER_LOG", value_name = "FILTER", value_parser = log_filter)]
    pub log: Option<LogFilter>,

    /// Print no lines about clients, and log no more than warnings
    ///
    /// The start line stays, and changes through the API are logged.
    #[arg(help_heading = help::LOG, long, env = "PEERBROKER_QUIET", value_name = "true|false", num_args = 0..=1, default_value_t = false, default_missing_value = "true", value_parser = yes_or_no, action = clap::ArgAction::Set)]
    pub quiet: bool,
}

//! Flags that cannot be read, and how to say so in the format of the log.

use std::{env, io};

use clap::error::ErrorKind;
use clap::{Command, Error, ValueEnum as _};

use super::config_file::ConfigFile;
use super::values::LogFormat;

/// Flags that cannot be read, or that ask for a text such as the help.
pub struct NotRead {
    pub(super) error: Error,
    pub(super) log_format: LogFormat,
}

impl NotRead {
    /// The error as one text, if it is one and the log is JSON.
    pub fn for_json(&self) -> Option<String> {
        let is_json = self.log_format == LogFormat::Json && self.error.use_stderr();
        let text = self.error.to_string();
        is_json.then(|| text.trim_start_matches("error: ").trim_end().to_owned())
    }

    /// The error in one line, for the log of a running server.
    pub fn in_one_line(&self) -> String {
        let text = self.error.to_string();
        let text = text.trim_start_matches("error: ");
        text.split("\n\n").next().unwrap_or(text).replace('\n', " ").trim().to_owned()
    }

    /// The exit code of the program.
    pub fn exit_code(&self) -> u8 {
        if self.error.kind() == ErrorKind::Io {
            // A file, as everywhere.
            return 1;
        }
        u8::try_from(self.error.exit_code()).unwrap_or(1)
    }

    /// Prints the text, in colours where they are wanted.
    pub fn print(&self) -> io::Result<()> {
        self.error.print()
    }
}

/// The format of the log, however wrong other flags are. clap says nothing about those that follow a wrong one. Commands
/// print text.
pub(super) fn log_format(command: &Command, file: Option<&ConfigFile>) -> LogFormat {
    let args: Vec<String> = env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    if args.first().is_some_and(|first| command.find_subcommand(first).is_some()) {
        return LogFormat::Text;
    }
    let mut values = args.iter().enumerate().filter_map(|(at, arg)| {
        let value = arg.strip_prefix("--log_format").or_else(|| arg.strip_prefix("--log-format"))?;
        if value.is_empty() { args.get(at + 1).map(String::as_str) } else { value.strip_prefix('=') }
    });
    let given = values.next_back().map(str::to_owned).or_else(|| env::var("PEERBROKER_LOG_FORMAT").ok());
    let given =
        given.or_else(|| file?.values.iter().find(|value| value.id == "log_format")?.values.last().cloned());
    given.and_then(|given| LogFormat::from_str(&given, false).ok()).unwrap_or(LogFormat::Text)
}

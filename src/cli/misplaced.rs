//! Errors of texts where a command or a flag is expected, with what to write instead.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};

/// The error, in words of its own if clap took a text without a flag for a command.
pub(super) fn explained(error: Error, command: &Command) -> Error {
    let Some(ContextValue::String(text)) = error.get(ContextKind::InvalidSubcommand) else { return error };
    let instead = match error.get(ContextKind::PriorArg) {
        Some(ContextValue::String(flag)) => Some(flag.clone()),
        Some(ContextValue::Strings(flags)) => Some(flags.join(" ")),
        _ => None,
    };
    let message = match instead {
        Some(flags) if command.find_subcommand(text).is_some() => {
            format!("the command '{text}' must come first, as in 'peerbroker {text} … {flags}'")
        }
        _ if text.parse::<u16>().is_ok() => {
            format!("unexpected argument '{text}': a port follows its flag, as in '--port {text}'")
        }
        Some(_) => format!(
            "unexpected argument '{text}': every value follows its flag; quote a value with spaces, and leave out \
             what belongs to no flag"
        ),
        None => return error,
    };
    command.clone().error(ErrorKind::ArgumentConflict, message)
}

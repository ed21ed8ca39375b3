//! The error that ends the program.

use std::error::Error;
use std::fmt::Display;
use std::io;
use std::path::Path;

/// The reason why a command failed. It names flags; `Given::reworded` names their sources instead.
#[derive(Debug)]
pub struct Failure {
    pub text: String,
    /// 2 for a wrong value or combination, like clap; 1 for all else, and where peerjs-server exits with 1.
    pub exit_code: u8,
}

/// A wrong value or combination.
pub fn wrong(text: impl Display) -> Failure {
    Failure { text: text.to_string(), exit_code: 2 }
}

/// A file that cannot be used, or whatever else stops a command.
pub fn failed(text: impl Display) -> Failure {
    Failure { text: text.to_string(), exit_code: 1 }
}

/// A file that cannot be written, copied or read, for `map_err`.
pub fn cannot(what: &str, path: &Path) -> impl Fn(io::Error) -> Failure {
    move |error| failed(format!("cannot {what} {}: {error}", path.display()))
}

/// A wrong combination, unless all is fine.
pub fn ensure(is_fine: bool, why: impl Display) -> Result<(), Failure> {
    if is_fine { Ok(()) } else { Err(wrong(why)) }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        failed(error)
    }
}

//! Files with secrets, and the configuration file. They may be pipes: with `<(…)`, a shell keeps a secret out of the file system.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use parking_lot::Mutex;
use peerbroker::files::{self, FileError};

use super::failure::{Failure, failed};

/// The texts of pipes. A pipe can be read once only, and a reload needs its text again.
static PIPES: LazyLock<Mutex<Pipes>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Pipes {
    texts: HashMap<PathBuf, String>,
    are_refused: bool,
}

/// Longest file with a token, a secret or a public key: as long as the body of an API request.
const MAX_BYTES: u64 = 64 << 10;

/// Reads the file with a token, a secret or a public key that a flag names.
pub(super) fn of_flag(flag: &str, path: &Path) -> Result<String, Failure> {
    let unreadable = |error| failed(format!("cannot read --{flag} {}: {error}", path.display()));
    read(path, MAX_BYTES).map_err(unreadable)
}

/// Reads a text of at most `max` bytes: a file each time, a pipe only at the first call.
pub(super) fn read(path: &Path, max: u64) -> Result<String, FileError> {
    if path.is_file() {
        return files::read_text(path, max);
    }
    let mut pipes = PIPES.lock();
    if let Some(text) = pipes.texts.get(path) {
        return Ok(text.clone());
    }
    if pipes.are_refused && path.exists() {
        return Err(FileError::NotRegular);
    }
    let text = files::read_text(path, max)?;
    pipes.texts.insert(path.to_owned(), text.clone());
    Ok(text)
}

/// From now on, unread pipes are errors: a running server must not wait for their writers.
pub fn refuse_new_pipes() {
    PIPES.lock().are_refused = true;
}

//! Files with secrets, and the configuration file. They may be pipes: with `<(…)`, a shell keeps a secret out of the file system.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use peerbroker::files::{self, FileError};

/// What the pipes held. A pipe can be read once only, and a reload needs its text again.
static PIPES: LazyLock<Mutex<Pipes>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Pipes {
    texts: HashMap<PathBuf, String>,
    are_refused: bool,
}

/// Reads a text of at most `max` bytes: a file as it is now, a pipe as it was at the first call.
pub(super) fn read(path: &Path, max: u64) -> Result<String, FileError> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        return files::read_text(path, max);
    }
    let mut pipes = PIPES.lock().unwrap_or_else(PoisonError::into_inner);
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

/// From now on, pipes that were not read yet are errors: a running server must not wait for their writers.
pub fn refuse_new_pipes() {
    PIPES.lock().unwrap_or_else(PoisonError::into_inner).are_refused = true;
}
